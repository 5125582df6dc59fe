//! Names, ports and name resolution.

use super::Field;
use super::Rule::{Enforced, Group, Trivial};

/// The rows, in the order of their paths.
pub(super) const NETWORK: &[Field] = &[
    ("spec.containers[].ports", Group),
    ("spec.containers[].ports[]", Group),
    (
        "spec.containers[].ports[].containerPort",
        Enforced("says where the container listens, for probes and hooks; every other port can be listened on, too"),
    ),
    (
        "spec.containers[].ports[].hostIP",
        Enforced(
            "with hostNetwork it is the program that chooses its address, as in a cluster; without it one is refused",
        ),
    ),
    (
        "spec.containers[].ports[].hostPort",
        Enforced("with hostNetwork the container's port is the host's; without it a port is refused"),
    ),
    ("spec.containers[].ports[].name", Enforced("probes and hooks may name the port by it")),
    ("spec.containers[].ports[].protocol", Trivial("it says what the container listens on, and opens nothing")),
    (
        "spec.dnsConfig",
        Enforced(
            "goes into /etc/resolv.conf, behind what dnsPolicy puts there; without hostNetwork the report says that no network leads to it",
        ),
    ),
    ("spec.dnsConfig.nameservers", Enforced("its nameserver lines; three are the most, the policy's own first")),
    ("spec.dnsConfig.nameservers[]", Group),
    ("spec.dnsConfig.options", Group),
    ("spec.dnsConfig.options[]", Group),
    (
        "spec.dnsConfig.options[].name",
        Enforced("a word of the options line, in the place of the policy's of that name"),
    ),
    ("spec.dnsConfig.options[].value", Enforced("is written behind the option's name and a colon")),
    ("spec.dnsConfig.searches", Enforced("its search line, behind the policy's own domains")),
    ("spec.dnsConfig.searches[]", Group),
    (
        "spec.dnsPolicy",
        Enforced(
            "None: nothing but dnsConfig is in /etc/resolv.conf; Default: the host's name servers, domains and options are; \
             ClusterFirst: the same, as the kubelet does without a cluster's name server",
        ),
    ),
    (
        "spec.enableServiceLinks",
        Enforced(
            "no variable tells of a Service, since there are none, nor of the API server (KUBERNETES_SERVICE_HOST), which a cluster \
             tells of whatever is written here",
        ),
    ),
    ("spec.hostAliases", Enforced("each becomes a line of /etc/hosts, as the kubelet writes it")),
    ("spec.hostAliases[]", Group),
    ("spec.hostAliases[].hostnames", Enforced("the names in its line")),
    ("spec.hostAliases[].hostnames[]", Group),
    ("spec.hostAliases[].ip", Enforced("the address in its line")),
    (
        "spec.hostNetwork",
        Enforced(
            "the containers are in the host's network namespace, with its host name, /etc/hosts and /etc/resolv.conf",
        ),
    ),
    ("spec.hostname", Enforced("the pod's host name, in place of its own name")),
    (
        "spec.hostnameOverride",
        Enforced("the pod's host name, before hostname and subdomain; cut to 63 bytes, as the kubelet does"),
    ),
    (
        "spec.setHostnameAsFQDN",
        Enforced("with a subdomain the kernel's host name is the whole name, of which it keeps 64 bytes"),
    ),
    (
        "spec.subdomain",
        Enforced(
            "the pod's /etc/hosts knows it as HOSTNAME.SUBDOMAIN.NAMESPACE.svc.cluster.local, as without a headless Service in a \
             cluster nobody else does",
        ),
    ),
];

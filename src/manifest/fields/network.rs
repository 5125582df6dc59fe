//! Names, ports and name resolution.

use super::Rule::{Enforced, Group, Only, Refused, Trivial};
use super::{Field, Rule};

const YET: Rule = Refused("podling does not honour it yet");

/// The rows, in the order of their paths.
pub(super) const NETWORK: &[Field] = &[
    ("spec.containers[].ports", Group),
    ("spec.containers[].ports[]", Group),
    ("spec.containers[].ports[].containerPort", Enforced("")),
    ("spec.containers[].ports[].hostIP", Refused("podling does not publish ports yet")),
    (
        "spec.containers[].ports[].hostPort",
        Enforced("with hostNetwork the container's port is the host's; without it a port is refused"),
    ),
    ("spec.containers[].ports[].name", Enforced("")),
    ("spec.containers[].ports[].protocol", Trivial("it says what the container listens on, and opens nothing")),
    ("spec.dnsConfig", YET),
    ("spec.dnsPolicy", Only(&["ClusterFirst", "Default"], "podling does not honour it yet")),
    ("spec.enableServiceLinks", Trivial("there are no Services to tell of")),
    ("spec.hostAliases", YET),
    (
        "spec.hostNetwork",
        Enforced(
            "the containers are in the host's network namespace, with its host name, /etc/hosts and /etc/resolv.conf",
        ),
    ),
    ("spec.hostname", Enforced("")),
    ("spec.hostnameOverride", YET),
    ("spec.setHostnameAsFQDN", Only(&["false"], "podling does not honour it yet")),
    ("spec.subdomain", YET),
];

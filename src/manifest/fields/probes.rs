//! Probes and hooks.

use super::Field;
use super::Rule::{Enforced, Group, Only, Refused};

const HTTP2: &str = "podling speaks HTTP/1.1 here (HTTP1), and HTTP/2 without TLS is alpha in Kubernetes too";

/// The rows, in the order of their paths.
pub(super) const PROBES: &[Field] = &[
    ("spec.containers[].lifecycle", Group),
    ("spec.containers[].lifecycle.postStart", Group),
    ("spec.containers[].lifecycle.postStart.exec", Group),
    (
        "spec.containers[].lifecycle.postStart.exec.command",
        Enforced("runs in the container, as it is written, right after its start; a failure kills the container"),
    ),
    ("spec.containers[].lifecycle.postStart.exec.command[]", Group),
    ("spec.containers[].lifecycle.postStart.httpGet", Group),
    (
        "spec.containers[].lifecycle.postStart.httpGet.host",
        Enforced(
            "whom to ask, by --allow probeHosts, an address or localhost; the pod itself, at 127.0.0.1, where it is not written",
        ),
    ),
    ("spec.containers[].lifecycle.postStart.httpGet.httpHeaders", Group),
    ("spec.containers[].lifecycle.postStart.httpGet.httpHeaders[]", Group),
    (
        "spec.containers[].lifecycle.postStart.httpGet.httpHeaders[].name",
        Enforced("a header of the request; Host, User-Agent and Accept replace the kubelet's"),
    ),
    ("spec.containers[].lifecycle.postStart.httpGet.httpHeaders[].value", Enforced("the header's value")),
    (
        "spec.containers[].lifecycle.postStart.httpGet.path",
        Enforced("the path and query that are asked for, / where it is not written; any answer is success"),
    ),
    (
        "spec.containers[].lifecycle.postStart.httpGet.port",
        Enforced("the port, by number or by the name of one of the container's ports"),
    ),
    ("spec.containers[].lifecycle.postStart.httpGet.protocol", Only(&["HTTP1"], HTTP2)),
    (
        "spec.containers[].lifecycle.postStart.httpGet.scheme",
        Enforced("HTTP, or HTTPS without a look at the certificate; HTTP where it is not written"),
    ),
    ("spec.containers[].lifecycle.postStart.sleep", Group),
    ("spec.containers[].lifecycle.postStart.sleep.seconds", Enforced("waits that long")),
    (
        "spec.containers[].lifecycle.postStart.tcpSocket",
        Refused("Kubernetes deprecated it, and the kubelet fails every such hook; exec, httpGet and sleep work"),
    ),
    (
        "spec.containers[].lifecycle.preStop",
        Enforced(
            "runs before the stop signal, and its time counts as part of the grace period; takes what postStart takes",
        ),
    ),
    (
        "spec.containers[].lifecycle.stopSignal",
        Enforced("is sent to the container to end it, instead of the image's StopSignal"),
    ),
    ("spec.containers[].livenessProbe", Group),
    ("spec.containers[].livenessProbe.exec", Group),
    (
        "spec.containers[].livenessProbe.exec.command",
        Enforced("runs in the container, with $(NAME) replaced; exit code 0 is success"),
    ),
    ("spec.containers[].livenessProbe.exec.command[]", Group),
    (
        "spec.containers[].livenessProbe.failureThreshold",
        Enforced("so many failures in a row have a consequence; 3 where it is not written"),
    ),
    ("spec.containers[].livenessProbe.grpc", Group),
    (
        "spec.containers[].livenessProbe.grpc.mode",
        Enforced("Plaintext, or TLS without a look at the certificate; Plaintext where it is not written"),
    ),
    ("spec.containers[].livenessProbe.grpc.port", Enforced("the port whose gRPC health service is asked")),
    ("spec.containers[].livenessProbe.grpc.service", Enforced("the service that the health request names")),
    ("spec.containers[].livenessProbe.httpGet", Group),
    (
        "spec.containers[].livenessProbe.httpGet.host",
        Enforced(
            "whom to ask, by --allow probeHosts, an address or localhost; the pod itself, at 127.0.0.1, where it is not written",
        ),
    ),
    ("spec.containers[].livenessProbe.httpGet.httpHeaders", Group),
    ("spec.containers[].livenessProbe.httpGet.httpHeaders[]", Group),
    (
        "spec.containers[].livenessProbe.httpGet.httpHeaders[].name",
        Enforced("a header of the request; Host, User-Agent and Accept replace the kubelet's"),
    ),
    ("spec.containers[].livenessProbe.httpGet.httpHeaders[].value", Enforced("the header's value")),
    (
        "spec.containers[].livenessProbe.httpGet.path",
        Enforced(
            "the path and query that are asked for, / where it is not written; an answer from 200 to 399 is success",
        ),
    ),
    (
        "spec.containers[].livenessProbe.httpGet.port",
        Enforced("the port, by number or by the name of one of the container's ports"),
    ),
    ("spec.containers[].livenessProbe.httpGet.protocol", Only(&["HTTP1"], HTTP2)),
    (
        "spec.containers[].livenessProbe.httpGet.scheme",
        Enforced("HTTP, or HTTPS without a look at the certificate; HTTP where it is not written"),
    ),
    (
        "spec.containers[].livenessProbe.initialDelaySeconds",
        Enforced("the first probe comes that long after the start; at once where it is not written"),
    ),
    (
        "spec.containers[].livenessProbe.periodSeconds",
        Enforced("the time from probe to probe; 10 where it is not written"),
    ),
    (
        "spec.containers[].livenessProbe.successThreshold",
        Enforced(
            "so many successes in a row have a consequence; 1 where it is not written, and for all but readinessProbe",
        ),
    ),
    ("spec.containers[].livenessProbe.tcpSocket", Group),
    (
        "spec.containers[].livenessProbe.tcpSocket.host",
        Enforced(
            "what to connect to, by --allow probeHosts, an address or localhost; the pod itself, at 127.0.0.1, where it is not written",
        ),
    ),
    (
        "spec.containers[].livenessProbe.tcpSocket.port",
        Enforced("the port, by number or by the name of one of the container's ports; a connection is success"),
    ),
    (
        "spec.containers[].livenessProbe.terminationGracePeriodSeconds",
        Enforced(
            "the grace period of a container that is stopped because of this probe; the pod's where it is not written",
        ),
    ),
    (
        "spec.containers[].livenessProbe.timeoutSeconds",
        Enforced("a probe that takes longer has failed; 1 where it is not written"),
    ),
    (
        "spec.containers[].readinessProbe",
        Enforced(
            "the container is ready, and podling wait --for ready returns, while it succeeds; takes what livenessProbe takes",
        ),
    ),
    (
        "spec.containers[].startupProbe",
        Enforced(
            "the other probes wait until it succeeds, and its failure ends the container; takes what livenessProbe takes",
        ),
    ),
];

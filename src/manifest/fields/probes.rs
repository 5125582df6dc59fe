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
        Enforced("runs in the container right after its start; a failure kills it"),
    ),
    ("spec.containers[].lifecycle.postStart.exec.command[]", Group),
    ("spec.containers[].lifecycle.postStart.httpGet", Group),
    (
        "spec.containers[].lifecycle.postStart.httpGet.host",
        Enforced("the host to ask, an address; the pod itself where it is not written"),
    ),
    ("spec.containers[].lifecycle.postStart.httpGet.httpHeaders", Group),
    ("spec.containers[].lifecycle.postStart.httpGet.httpHeaders[]", Group),
    ("spec.containers[].lifecycle.postStart.httpGet.httpHeaders[].name", Enforced("a header of the request")),
    ("spec.containers[].lifecycle.postStart.httpGet.httpHeaders[].value", Enforced("the header's value")),
    (
        "spec.containers[].lifecycle.postStart.httpGet.path",
        Enforced("the path that is asked for; / where it is not written"),
    ),
    (
        "spec.containers[].lifecycle.postStart.httpGet.port",
        Enforced("the port, by number or by the name of one of the container's ports"),
    ),
    ("spec.containers[].lifecycle.postStart.httpGet.protocol", Only(&["HTTP1"], HTTP2)),
    (
        "spec.containers[].lifecycle.postStart.httpGet.scheme",
        Enforced("HTTP, or HTTPS without a look at the certificate"),
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
        Enforced("asks the container to end, instead of the image's StopSignal"),
    ),
    ("spec.containers[].livenessProbe", Group),
    ("spec.containers[].livenessProbe.exec", Group),
    ("spec.containers[].livenessProbe.exec.command", Enforced("runs in the container; exit code 0 is success")),
    ("spec.containers[].livenessProbe.exec.command[]", Group),
    (
        "spec.containers[].livenessProbe.failureThreshold",
        Enforced("so many failures in a row count; 3 where it is not written"),
    ),
    ("spec.containers[].livenessProbe.grpc", Group),
    ("spec.containers[].livenessProbe.grpc.mode", Enforced("Plaintext or TLS")),
    ("spec.containers[].livenessProbe.grpc.port", Enforced("the port whose gRPC health service is asked")),
    ("spec.containers[].livenessProbe.grpc.service", Enforced("the service that the health request names")),
    ("spec.containers[].livenessProbe.httpGet", Group),
    (
        "spec.containers[].livenessProbe.httpGet.host",
        Enforced("the host to ask, an address; the pod itself where it is not written"),
    ),
    ("spec.containers[].livenessProbe.httpGet.httpHeaders", Group),
    ("spec.containers[].livenessProbe.httpGet.httpHeaders[]", Group),
    ("spec.containers[].livenessProbe.httpGet.httpHeaders[].name", Enforced("a header of the request")),
    ("spec.containers[].livenessProbe.httpGet.httpHeaders[].value", Enforced("the header's value")),
    (
        "spec.containers[].livenessProbe.httpGet.path",
        Enforced("the path that is asked for; an answer from 200 to 399 is success"),
    ),
    (
        "spec.containers[].livenessProbe.httpGet.port",
        Enforced("the port, by number or by the name of one of the container's ports"),
    ),
    ("spec.containers[].livenessProbe.httpGet.protocol", Only(&["HTTP1"], HTTP2)),
    ("spec.containers[].livenessProbe.httpGet.scheme", Enforced("HTTP, or HTTPS without a look at the certificate")),
    (
        "spec.containers[].livenessProbe.initialDelaySeconds",
        Enforced("the first probe comes that long after the start"),
    ),
    (
        "spec.containers[].livenessProbe.periodSeconds",
        Enforced("the time from probe to probe; 10 where it is not written"),
    ),
    (
        "spec.containers[].livenessProbe.successThreshold",
        Enforced("so many successes in a row count; 1 where it is not written"),
    ),
    ("spec.containers[].livenessProbe.tcpSocket", Group),
    (
        "spec.containers[].livenessProbe.tcpSocket.host",
        Enforced("the host to connect to, an address; the pod itself where it is not written"),
    ),
    ("spec.containers[].livenessProbe.tcpSocket.port", Enforced("the port; a connection is success")),
    (
        "spec.containers[].livenessProbe.terminationGracePeriodSeconds",
        Enforced("the grace period of a container that is stopped because of this probe"),
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

//! The life of the pod.

use super::Field;
use super::Rule::{Enforced, Group, Refused, Trivial};

const ACCOUNT: &str = "the name that the downward API and projected tokens tell; no account stands behind it";

/// The rows, in the order of their paths.
pub(super) const POD: &[Field] = &[
    ("spec", Group),
    (
        "spec.activeDeadlineSeconds",
        Enforced("the pod is stopped and fails with DeadlineExceeded when it has been active for so long"),
    ),
    (
        "spec.automountServiceAccountToken",
        Enforced("no token is mounted by itself, for there is no API server; true is reported"),
    ),
    ("spec.containers", Group),
    (
        "spec.ephemeralContainers",
        Refused("they are added to a running pod, as podling debug does, and never written in its YAML"),
    ),
    ("spec.imagePullSecrets", Group),
    ("spec.imagePullSecrets[]", Group),
    (
        "spec.imagePullSecrets[].name",
        Enforced(
            "images are pulled with the Secret's logins; one that the input lacks is said and left out, as the kubelet does",
        ),
    ),
    (
        "spec.initContainers",
        Enforced("run to success one after the other, sidecars beside those that follow, before the containers start"),
    ),
    ("spec.initContainers[]", Group),
    (
        "spec.restartPolicy",
        Enforced(
            "decides whether a container that has ended starts again, with the kubelet's back-off; Always where it is not written",
        ),
    ),
    ("spec.serviceAccount", Enforced(ACCOUNT)),
    ("spec.serviceAccountName", Enforced(ACCOUNT)),
    ("spec.shareProcessNamespace", Enforced("true gives the containers one pid namespace, in which pause is PID 1")),
    (
        "spec.terminationGracePeriodSeconds",
        Enforced(
            "the time until SIGKILL, from the beginning of the preStop hook, or else from the stop signal; 30 where it is not written",
        ),
    ),
    ("status", Trivial("it says how the pod was elsewhere; podling inspect says how it is here")),
];

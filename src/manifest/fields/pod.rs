//! The life of the pod.

use super::Field;
use super::Rule::{Enforced, Group, Refused, Trivial};

/// The rows, in the order of their paths.
pub(super) const POD: &[Field] = &[
    ("spec", Group),
    (
        "spec.activeDeadlineSeconds",
        Enforced("the pod is stopped and fails with DeadlineExceeded when the time is over"),
    ),
    ("spec.automountServiceAccountToken", Trivial("there is no API server, so no token is mounted")),
    ("spec.containers", Group),
    ("spec.ephemeralContainers", Refused("they are added to a running pod, never written in its YAML")),
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
    ("spec.restartPolicy", Enforced("ended containers start again by it, with the kubelet's back-off")),
    ("spec.serviceAccount", Trivial("there is no API server to be known to")),
    ("spec.serviceAccountName", Trivial("there is no API server to be known to")),
    ("spec.shareProcessNamespace", Enforced("true gives the containers one pid namespace")),
    (
        "spec.terminationGracePeriodSeconds",
        Enforced("the time between the stop signal and SIGKILL; 30 where it is not written"),
    ),
    ("status", Trivial("it is what another system last saw")),
];

//! The life of the pod.

use super::Field;
use super::Rule::{Enforced, Group, Refused, Trivial};

/// The rows, in the order of their paths.
pub(super) const POD: &[Field] = &[
    ("spec", Group),
    ("spec.activeDeadlineSeconds", Enforced("")),
    ("spec.automountServiceAccountToken", Trivial("there is no API server, so no token is mounted")),
    ("spec.containers", Group),
    ("spec.ephemeralContainers", Refused("they are added to a running pod, never written in its YAML")),
    ("spec.imagePullSecrets", Group),
    ("spec.imagePullSecrets[]", Group),
    ("spec.imagePullSecrets[].name", Enforced("")),
    ("spec.initContainers", Enforced("")),
    ("spec.initContainers[]", Group),
    ("spec.restartPolicy", Enforced("")),
    ("spec.serviceAccount", Trivial("there is no API server to be known to")),
    ("spec.serviceAccountName", Trivial("there is no API server to be known to")),
    ("spec.shareProcessNamespace", Enforced("")),
    ("spec.terminationGracePeriodSeconds", Enforced("")),
    ("status", Trivial("it is what another system last saw")),
];

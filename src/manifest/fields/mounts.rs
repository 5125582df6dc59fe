//! Where a container sees the pod's volumes.

use super::Rule::{Enforced, Group, Only, Refused};
use super::{Field, Rule};

const YET: Rule = Refused("podling does not honour it yet");

/// The rows, in the order of their paths.
pub(super) const MOUNTS: &[Field] = &[
    ("spec.containers[].volumeDevices", Refused("podling does not hand out block devices")),
    ("spec.containers[].volumeMounts", Group),
    ("spec.containers[].volumeMounts[]", Group),
    ("spec.containers[].volumeMounts[].bindMountOptions", YET),
    ("spec.containers[].volumeMounts[].mountPath", Enforced("")),
    ("spec.containers[].volumeMounts[].mountPropagation", Only(&["None"], "podling propagates no mounts")),
    ("spec.containers[].volumeMounts[].name", Enforced("")),
    ("spec.containers[].volumeMounts[].readOnly", Enforced("")),
    ("spec.containers[].volumeMounts[].recursiveReadOnly", Only(&["Disabled"], "podling does not honour it yet")),
    ("spec.containers[].volumeMounts[].subPath", YET),
    ("spec.containers[].volumeMounts[].subPathExpr", YET),
];

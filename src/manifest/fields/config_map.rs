//! A ConfigMap's own fields.

use super::Field;
use super::Rule::{Enforced, Group, Trivial};

/// The rows, in the order of their paths.
pub(super) const CONFIG_MAP: &[Field] = &[
    ("binaryData", Enforced("")),
    ("binaryData.*", Group),
    ("data", Enforced("")),
    ("data.*", Group),
    ("immutable", Trivial("a pod's copy never changes")),
];

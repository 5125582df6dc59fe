//! A ConfigMap's own fields.

use super::Field;
use super::Rule::{Enforced, Group, Trivial};

/// The rows, in the order of their paths.
pub(super) const CONFIG_MAP: &[Field] = &[
    ("binaryData", Enforced("bytes, in base64, for volumes; no variable is made of them")),
    ("binaryData.*", Group),
    ("data", Enforced("texts, for variables and volumes")),
    ("data.*", Group),
    ("immutable", Trivial("a pod's copy never changes")),
];

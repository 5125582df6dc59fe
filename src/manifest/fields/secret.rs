//! A Secret's own fields.

use super::Field;
use super::Rule::{Enforced, Group, Trivial};

/// The rows, in the order of their paths.
pub(super) const SECRET: &[Field] = &[
    ("data", Enforced("")),
    ("data.*", Group),
    ("immutable", Trivial("a pod's copy never changes")),
    ("stringData", Enforced("")),
    ("stringData.*", Group),
    ("type", Enforced("")),
];

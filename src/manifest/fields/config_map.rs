//! A ConfigMap's own fields.

use super::Field;
use super::Rule::{Enforced, Group};

/// The rows, in the order of their paths.
pub(super) const CONFIG_MAP: &[Field] = &[
    ("binaryData", Enforced("bytes, in base64, for volumes; no variable is made of them")),
    ("binaryData.*", Group),
    ("data", Enforced("texts, for volumes, which follow the file, and variables, which do not")),
    ("data.*", Group),
    ("immutable", Enforced("volumes of a running pod do not follow its file")),
];

//! A Secret's own fields.

use super::Field;
use super::Rule::{Enforced, Group};

/// The rows, in the order of their paths.
pub(super) const SECRET: &[Field] = &[
    ("data", Enforced("bytes, in base64, for variables, volumes and logins; never written to the disk")),
    ("data.*", Group),
    ("immutable", Enforced("volumes of a running pod do not follow its file")),
    ("stringData", Enforced("plain texts, which go over those of data")),
    ("stringData.*", Group),
    ("type", Enforced("what the Secret is for: the keys that Kubernetes' own types demand must be there")),
];

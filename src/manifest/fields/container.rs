//! What a container runs, and how it starts again.

use super::Field;
use super::Rule::{Enforced, Group, Only};

/// The rows, in the order of their paths.
pub(super) const CONTAINER: &[Field] = &[
    ("spec.containers[]", Group),
    ("spec.containers[].args", Enforced("")),
    ("spec.containers[].args[]", Group),
    ("spec.containers[].command", Enforced("")),
    ("spec.containers[].command[]", Group),
    ("spec.containers[].image", Enforced("")),
    ("spec.containers[].imagePullPolicy", Enforced("")),
    ("spec.containers[].name", Enforced("")),
    ("spec.containers[].restartPolicy", Enforced("")),
    ("spec.containers[].restartPolicyRules", Group),
    ("spec.containers[].restartPolicyRules[]", Group),
    (
        "spec.containers[].restartPolicyRules[].action",
        Only(&["Restart"], "podling restarts the container that ended, and no other"),
    ),
    ("spec.containers[].restartPolicyRules[].exitCodes", Group),
    ("spec.containers[].restartPolicyRules[].exitCodes.operator", Enforced("")),
    ("spec.containers[].restartPolicyRules[].exitCodes.values", Enforced("")),
    ("spec.containers[].restartPolicyRules[].exitCodes.values[]", Group),
    ("spec.containers[].stdin", Enforced("")),
    ("spec.containers[].stdinOnce", Enforced("")),
    ("spec.containers[].terminationMessagePath", Enforced("")),
    ("spec.containers[].terminationMessagePolicy", Enforced("")),
    ("spec.containers[].tty", Enforced("")),
    ("spec.containers[].workingDir", Enforced("")),
];

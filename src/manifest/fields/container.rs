//! What a container runs, and how it starts again.

use super::Field;
use super::Rule::{Enforced, Group, Only};

/// The rows, in the order of their paths.
pub(super) const CONTAINER: &[Field] = &[
    ("spec.containers[]", Group),
    ("spec.containers[].args", Enforced("the arguments, with $(NAME) replaced; instead of the image's Cmd")),
    ("spec.containers[].args[]", Group),
    (
        "spec.containers[].command",
        Enforced("the command, with $(NAME) replaced; instead of the image's Entrypoint and Cmd"),
    ),
    ("spec.containers[].command[]", Group),
    (
        "spec.containers[].image",
        Enforced("its layers become the container's root, and its configuration says what the pod does not"),
    ),
    (
        "spec.containers[].imagePullPolicy",
        Enforced(
            "when the registry is asked; where it is not written, Always for the tag latest and IfNotPresent for others, but then an image that was loaded here, or whose registry is out of reach, runs as it is",
        ),
    ),
    ("spec.containers[].name", Enforced("names the container to podling's verbs, in its logs and in its record")),
    ("spec.containers[].restartPolicy", Enforced("goes before the pod's; Always makes an init container a sidecar")),
    ("spec.containers[].restartPolicyRules", Group),
    ("spec.containers[].restartPolicyRules[]", Group),
    (
        "spec.containers[].restartPolicyRules[].action",
        Only(&["Restart"], "podling restarts the container that ended, and no other"),
    ),
    ("spec.containers[].restartPolicyRules[].exitCodes", Group),
    (
        "spec.containers[].restartPolicyRules[].exitCodes.operator",
        Enforced("In restarts for the codes of values, NotIn for all others"),
    ),
    (
        "spec.containers[].restartPolicyRules[].exitCodes.values",
        Enforced("the exit codes that the rule restarts for, or all but which"),
    ),
    ("spec.containers[].restartPolicyRules[].exitCodes.values[]", Group),
    (
        "spec.containers[].stdin",
        Enforced("true keeps a pipe open that podling attach writes into; otherwise reading ends at once"),
    ),
    ("spec.containers[].stdinOnce", Enforced("true ends the input when the first client that was attached has gone")),
    (
        "spec.containers[].terminationMessagePath",
        Enforced(
            "what the container writes there becomes its last message; /dev/termination-log where it is not written",
        ),
    ),
    (
        "spec.containers[].terminationMessagePolicy",
        Enforced("FallbackToLogsOnError takes the end of the log where a failed container left no message"),
    ),
    ("spec.containers[].tty", Enforced("true gives the container a terminal of its own as its streams")),
    (
        "spec.containers[].workingDir",
        Enforced("the directory the command starts in, made where the image lacks it; instead of the image's"),
    ),
];

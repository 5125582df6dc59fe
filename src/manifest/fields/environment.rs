//! Where a container's variables come from.

use super::Field;
use super::Rule::{Enforced, Group};

/// The rows, in the order of their paths.
pub(super) const ENVIRONMENT: &[Field] = &[
    ("spec.containers[].env", Group),
    ("spec.containers[].envFrom", Group),
    ("spec.containers[].envFrom[]", Group),
    ("spec.containers[].envFrom[].configMapRef", Group),
    ("spec.containers[].envFrom[].configMapRef.name", Enforced("each key of the input's ConfigMap becomes a variable")),
    (
        "spec.containers[].envFrom[].configMapRef.optional",
        Enforced("a ConfigMap that is not in the input gives no variables"),
    ),
    (
        "spec.containers[].envFrom[].prefix",
        Enforced("is put before each key; what is no name then is skipped and reported"),
    ),
    ("spec.containers[].envFrom[].secretRef", Group),
    ("spec.containers[].envFrom[].secretRef.name", Enforced("each key of the input's Secret becomes a variable")),
    (
        "spec.containers[].envFrom[].secretRef.optional",
        Enforced("a Secret that is not in the input gives no variables"),
    ),
    ("spec.containers[].env[]", Group),
    (
        "spec.containers[].env[].name",
        Enforced("the variable's name; the last entry of a name wins, and over envFrom and the image"),
    ),
    (
        "spec.containers[].env[].value",
        Enforced("the variable's value, with $(NAME) replaced by what earlier entries and envFrom set, and $$ by $"),
    ),
    ("spec.containers[].env[].valueFrom", Group),
    ("spec.containers[].env[].valueFrom.configMapKeyRef", Group),
    ("spec.containers[].env[].valueFrom.configMapKeyRef.key", Enforced("the variable is this key's value")),
    ("spec.containers[].env[].valueFrom.configMapKeyRef.name", Enforced("the ConfigMap is looked for in the input")),
    (
        "spec.containers[].env[].valueFrom.configMapKeyRef.optional",
        Enforced("without the ConfigMap or the key the variable is not set"),
    ),
    ("spec.containers[].env[].valueFrom.fieldRef", Group),
    ("spec.containers[].env[].valueFrom.fieldRef.apiVersion", Enforced("v1, as the API server has it")),
    (
        "spec.containers[].env[].valueFrom.fieldRef.fieldPath",
        Enforced(
            "every field of the downward API, known before the pod starts; the report says which are otherwise in a cluster",
        ),
    ),
    ("spec.containers[].env[].valueFrom.fileKeyRef", Group),
    (
        "spec.containers[].env[].valueFrom.fileKeyRef.key",
        Enforced("the variable is this key's value when the container starts"),
    ),
    (
        "spec.containers[].env[].valueFrom.fileKeyRef.optional",
        Enforced(
            "without the file or the key the variable is not set; else the container cannot start, and the pod has failed",
        ),
    ),
    (
        "spec.containers[].env[].valueFrom.fileKeyRef.path",
        Enforced(
            "the file, of at most 1 MiB, is read at each start of the container; links in the volume lead nowhere else",
        ),
    ),
    (
        "spec.containers[].env[].valueFrom.fileKeyRef.volumeName",
        Enforced("an emptyDir volume, which the container need not mount"),
    ),
    ("spec.containers[].env[].valueFrom.resourceFieldRef", Group),
    (
        "spec.containers[].env[].valueFrom.resourceFieldRef.containerName",
        Enforced("whose resource it is; without it the container's own"),
    ),
    ("spec.containers[].env[].valueFrom.resourceFieldRef.divisor", Enforced("the value is in units of it, rounded up")),
    (
        "spec.containers[].env[].valueFrom.resourceFieldRef.resource",
        Enforced("what is written; without a limit what this machine has, which the report says"),
    ),
    ("spec.containers[].env[].valueFrom.secretKeyRef", Group),
    (
        "spec.containers[].env[].valueFrom.secretKeyRef.key",
        Enforced("the variable is this key's value, which must be text"),
    ),
    ("spec.containers[].env[].valueFrom.secretKeyRef.name", Enforced("the Secret is looked for in the input")),
    (
        "spec.containers[].env[].valueFrom.secretKeyRef.optional",
        Enforced("without the Secret or the key the variable is not set"),
    ),
];

//! Where a container's variables come from.

use super::Rule::{Enforced, Group, Refused};
use super::{Field, Rule};

const YET: Rule = Refused("podling does not honour it yet");

/// The rows, in the order of their paths.
pub(super) const ENVIRONMENT: &[Field] = &[
    ("spec.containers[].env", Group),
    ("spec.containers[].envFrom", Group),
    ("spec.containers[].envFrom[]", Group),
    ("spec.containers[].envFrom[].configMapRef", Group),
    ("spec.containers[].envFrom[].configMapRef.name", Enforced("")),
    ("spec.containers[].envFrom[].configMapRef.optional", Enforced("")),
    ("spec.containers[].envFrom[].prefix", Enforced("")),
    ("spec.containers[].envFrom[].secretRef", Group),
    ("spec.containers[].envFrom[].secretRef.name", Enforced("")),
    ("spec.containers[].envFrom[].secretRef.optional", Enforced("")),
    ("spec.containers[].env[]", Group),
    ("spec.containers[].env[].name", Enforced("")),
    ("spec.containers[].env[].value", Enforced("")),
    ("spec.containers[].env[].valueFrom", Group),
    ("spec.containers[].env[].valueFrom.configMapKeyRef", Group),
    ("spec.containers[].env[].valueFrom.configMapKeyRef.key", Enforced("")),
    ("spec.containers[].env[].valueFrom.configMapKeyRef.name", Enforced("")),
    ("spec.containers[].env[].valueFrom.configMapKeyRef.optional", Enforced("")),
    ("spec.containers[].env[].valueFrom.fieldRef", YET),
    ("spec.containers[].env[].valueFrom.fileKeyRef", YET),
    ("spec.containers[].env[].valueFrom.resourceFieldRef", YET),
    ("spec.containers[].env[].valueFrom.secretKeyRef", Group),
    ("spec.containers[].env[].valueFrom.secretKeyRef.key", Enforced("")),
    ("spec.containers[].env[].valueFrom.secretKeyRef.name", Enforced("")),
    ("spec.containers[].env[].valueFrom.secretKeyRef.optional", Enforced("")),
];

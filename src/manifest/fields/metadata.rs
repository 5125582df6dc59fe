//! The fields that objects of every kind have.

use super::Rule::{Enforced, Group, Trivial};
use super::{Field, Rule};

const EXPORTED: Rule = Trivial("the API server's own bookkeeping");

/// The rows, in the order of their paths.
pub(super) const METADATA: &[Field] = &[
    ("", Group),
    ("apiVersion", Enforced("")),
    ("kind", Enforced("")),
    ("metadata", Group),
    ("metadata.annotations", Enforced("")),
    ("metadata.annotations.*", Group),
    ("metadata.creationTimestamp", EXPORTED),
    ("metadata.deletionGracePeriodSeconds", EXPORTED),
    ("metadata.deletionTimestamp", EXPORTED),
    ("metadata.finalizers", EXPORTED),
    ("metadata.generateName", Trivial("metadata.name is what counts")),
    ("metadata.generation", EXPORTED),
    ("metadata.labels", Enforced("")),
    ("metadata.labels.*", Group),
    ("metadata.managedFields", EXPORTED),
    ("metadata.name", Enforced("")),
    ("metadata.namespace", Enforced("")),
    ("metadata.ownerReferences", EXPORTED),
    ("metadata.resourceVersion", EXPORTED),
    ("metadata.selfLink", EXPORTED),
    ("metadata.uid", EXPORTED),
];

//! The fields that objects of every kind have.

use super::Rule::{Enforced, Group, Trivial};
use super::{Field, Rule};

const EXPORTED: Rule = Trivial("the API server's own bookkeeping");

/// The rows, in the order of their paths.
pub(super) const METADATA: &[Field] = &[
    ("", Group),
    ("apiVersion", Enforced("v1, or batch/v1 for a Job")),
    ("kind", Enforced("what the object is")),
    ("metadata", Group),
    ("metadata.annotations", Enforced("kept and shown; the downward API tells them")),
    ("metadata.annotations.*", Group),
    ("metadata.creationTimestamp", Trivial("a pod is as old as its start here")),
    ("metadata.deletionGracePeriodSeconds", EXPORTED),
    ("metadata.deletionTimestamp", EXPORTED),
    ("metadata.finalizers", EXPORTED),
    ("metadata.generateName", Trivial("only an API server makes up names; metadata.name is what counts")),
    ("metadata.generation", EXPORTED),
    (
        "metadata.labels",
        Enforced("kept and shown; the downward API tells them, and the pod's own affinity is judged by them"),
    ),
    ("metadata.labels.*", Group),
    ("metadata.managedFields", EXPORTED),
    ("metadata.name", Enforced("names the object to others, and a pod to podling's verbs; --name replaces a pod's")),
    (
        "metadata.namespace",
        Enforced(
            "a pod sees the ConfigMaps and Secrets of its own; default where it is not written; podling's verbs know a pod by its name alone",
        ),
    ),
    ("metadata.ownerReferences", EXPORTED),
    ("metadata.resourceVersion", EXPORTED),
    ("metadata.selfLink", EXPORTED),
    ("metadata.uid", Trivial("every start of a pod has a uid of its own")),
];

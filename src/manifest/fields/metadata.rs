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
    ("metadata.creationTimestamp", EXPORTED),
    ("metadata.deletionGracePeriodSeconds", EXPORTED),
    ("metadata.deletionTimestamp", EXPORTED),
    ("metadata.finalizers", EXPORTED),
    ("metadata.generateName", Trivial("metadata.name is what counts")),
    ("metadata.generation", EXPORTED),
    ("metadata.labels", Enforced("kept and shown; the downward API and selectors read them")),
    ("metadata.labels.*", Group),
    ("metadata.managedFields", EXPORTED),
    ("metadata.name", Enforced("names the pod to podling's verbs; --name replaces it")),
    (
        "metadata.namespace",
        Enforced(
            "tells objects of one name apart, and decides which ConfigMaps and Secrets a pod sees; default where it is not written",
        ),
    ),
    ("metadata.ownerReferences", EXPORTED),
    ("metadata.resourceVersion", EXPORTED),
    ("metadata.selfLink", EXPORTED),
    ("metadata.uid", EXPORTED),
];

//! What containers ask of the machine.

use super::Rule::{Group, Refused, Trivial};
use super::{Field, Rule};

const LIMITS: Rule =
    Refused("limits need control groups, which podling does not make, so nothing would hold a container to its limit");
const NO_CLUSTER: Rule =
    Refused("devices are handed out by a cluster's dynamic resource allocation, which podling does not have");
const SHARE: Rule = Trivial("what it gets at least: nothing of this machine is set aside, and nothing kept from it");

/// The rows, in the order of their paths.
pub(super) const RESOURCES: &[Field] = &[
    ("spec.containers[].resizePolicy", Trivial("nothing resizes a container while it runs")),
    ("spec.containers[].resources", Group),
    ("spec.containers[].resources.claims", NO_CLUSTER),
    ("spec.containers[].resources.limits", Group),
    ("spec.containers[].resources.limits.*", LIMITS),
    ("spec.containers[].resources.requests", Group),
    ("spec.containers[].resources.requests.*", Refused("this machine offers cpu, memory and ephemeral-storage only")),
    ("spec.containers[].resources.requests.cpu", SHARE),
    ("spec.containers[].resources.requests.ephemeral-storage", SHARE),
    ("spec.containers[].resources.requests.memory", SHARE),
    ("spec.overhead", Group),
    ("spec.overhead.*", Refused("only a RuntimeClass has an overhead, and podling is the only runtime here")),
    ("spec.resourceClaims", Refused("there are no drivers of devices to claim from")),
    ("spec.resources", Group),
    ("spec.resources.claims", NO_CLUSTER),
    ("spec.resources.limits", Group),
    ("spec.resources.limits.*", LIMITS),
    ("spec.resources.requests", Group),
    (
        "spec.resources.requests.*",
        Refused("a pod's own requests are of cpu and memory, and no huge pages are handed out here"),
    ),
    ("spec.resources.requests.cpu", SHARE),
    ("spec.resources.requests.memory", SHARE),
];

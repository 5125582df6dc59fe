//! What containers ask of the machine.

use super::Rule::{Enforced, Group, Refused, Trivial};
use super::{Field, Rule};

const LIMIT: Rule = Refused(
    "a limit needs control groups, which podling does not make, so nothing would hold a container to it; leave limits out here: \
     requests may stay",
);
const DISK_LIMIT: Rule =
    Refused("nothing here measures what a container writes; leave limits out here: requests may stay");
const OFFERED: Rule = Refused("this machine offers cpu, memory and ephemeral-storage only");
const HUGE_PAGES: Rule = Refused("a pod's own resources are cpu and memory, and no huge pages are handed out here");
const NO_CLUSTER: Rule =
    Refused("devices are handed out by a cluster's dynamic resource allocation, which podling does not have");
const SHARE: Rule = Enforced(
    "what it gets at least, where this machine has it: nothing is set aside, and nothing kept from it; more than it has is reported",
);

/// The rows, in the order of their paths.
pub(super) const RESOURCES: &[Field] = &[
    ("spec.containers[].resizePolicy", Trivial("nothing resizes a container while it runs")),
    ("spec.containers[].resources", Group),
    ("spec.containers[].resources.claims", NO_CLUSTER),
    ("spec.containers[].resources.limits", Group),
    ("spec.containers[].resources.limits.*", OFFERED),
    ("spec.containers[].resources.limits.cpu", LIMIT),
    ("spec.containers[].resources.limits.ephemeral-storage", DISK_LIMIT),
    ("spec.containers[].resources.limits.memory", LIMIT),
    ("spec.containers[].resources.requests", Group),
    ("spec.containers[].resources.requests.*", OFFERED),
    ("spec.containers[].resources.requests.cpu", SHARE),
    ("spec.containers[].resources.requests.ephemeral-storage", SHARE),
    ("spec.containers[].resources.requests.memory", SHARE),
    ("spec.overhead", Group),
    ("spec.overhead.*", Refused("only a RuntimeClass has an overhead, and podling is the only runtime here")),
    ("spec.resourceClaims", Refused("there are no drivers of devices to claim from")),
    ("spec.resources", Group),
    ("spec.resources.claims", NO_CLUSTER),
    ("spec.resources.limits", Group),
    ("spec.resources.limits.*", HUGE_PAGES),
    ("spec.resources.limits.cpu", LIMIT),
    ("spec.resources.limits.memory", LIMIT),
    ("spec.resources.requests", Group),
    ("spec.resources.requests.*", HUGE_PAGES),
    ("spec.resources.requests.cpu", SHARE),
    ("spec.resources.requests.memory", SHARE),
];

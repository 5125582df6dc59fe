//! What a cluster's scheduler decides by.

use super::Rule::{Emulated, Group, Only, Refused, Trivial};
use super::{Field, Rule};

const NODE_CHOICE: Rule = Refused("podling does not check the labels of this machine, its only node");
const NO_CLUSTER: Rule = Refused("it needs a cluster");
const ONE_NODE: Rule = Trivial("there is one node, this machine");
const OTHER_PODS: Rule = Refused("podling does not place pods by other pods");

/// The rows, in the order of their paths.
pub(super) const PLACEMENT: &[Field] = &[
    ("spec.affinity", Group),
    ("spec.affinity.nodeAffinity", Group),
    ("spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution", ONE_NODE),
    ("spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution", NODE_CHOICE),
    ("spec.affinity.podAffinity", Group),
    ("spec.affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution", ONE_NODE),
    ("spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution", OTHER_PODS),
    ("spec.affinity.podAntiAffinity", Group),
    ("spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution", ONE_NODE),
    ("spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution", OTHER_PODS),
    ("spec.evictionResponders", NO_CLUSTER),
    ("spec.nodeName", Emulated("podling runs the pod on this machine, whatever node is named")),
    ("spec.nodeSelector", Group),
    ("spec.nodeSelector.*", NODE_CHOICE),
    ("spec.nodeSelector[kubernetes.io/os]", Only(&["linux"], "podling runs Linux containers")),
    ("spec.os", Group),
    ("spec.os.name", Only(&["linux"], "podling runs Linux containers")),
    ("spec.preemptionPolicy", Trivial("no other pod is ever displaced")),
    ("spec.priority", Trivial("no other pod is ever displaced")),
    ("spec.priorityClassName", Trivial("no other pod is ever displaced")),
    ("spec.readinessGates", Refused("there is nobody to set the condition, so the pod would never be ready")),
    ("spec.runtimeClassName", Refused("podling is the runtime")),
    ("spec.schedulerName", ONE_NODE),
    ("spec.schedulingGates", NO_CLUSTER),
    ("spec.schedulingGroup", NO_CLUSTER),
    ("spec.tolerations", ONE_NODE),
    ("spec.topologySpreadConstraints", ONE_NODE),
];

//! What a cluster's scheduler decides by. `plan/placement` decides what depends on values and on this host.

use super::Rule::{Emulated, Enforced, Group, Only, Refused, Trivial};
use super::{Field, Rule};

const APART: Rule = Emulated(
    "the pods of the same input are looked at, and not what else runs on this host; a cluster keeps the pod away from both",
);
const BESIDE: Rule =
    Enforced("another pod of the same input has to be meant, or the pod itself, which is then the first of its group");
const EVEN: Rule = Trivial("this host is the only domain, so the pods on it are spread evenly");
const NAMESPACES: Rule =
    Enforced("pods of these namespaces are meant; the only label of a namespace is kubernetes.io/metadata.name");
const NODE_FIELD: Rule =
    Enforced("metadata.name is the name of this host, or its label kubernetes.io/hostname of --node-label");
const NODE_LABEL: Rule = Enforced("this host has to have such a label, by itself or by --node-label");
const OTHERS: Rule = Enforced("pods with such labels are meant");
const PREFERENCE: Rule = Trivial("a preference, and this host is the only choice");
const RANK: Rule = Trivial("no other pod is ever displaced");
const TOPOLOGY: Rule = Enforced("this host has to have the label, by itself or by --node-label");

/// The rows, in the order of their paths.
pub(super) const PLACEMENT: &[Field] = &[
    ("spec.affinity", Group),
    ("spec.affinity.nodeAffinity", Group),
    ("spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution", PREFERENCE),
    ("spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution", Group),
    (
        "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms",
        Enforced("this host has to meet one of the terms, by its own labels and those of --node-label"),
    ),
    ("spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[]", Group),
    (
        "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[].matchExpressions",
        Group,
    ),
    (
        "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[].matchExpressions[]",
        Group,
    ),
    (
        "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[].matchExpressions[].key",
        NODE_LABEL,
    ),
    (
        "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[].matchExpressions[].operator",
        NODE_LABEL,
    ),
    (
        "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[].matchExpressions[].values",
        NODE_LABEL,
    ),
    (
        "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[].matchExpressions[].values[]",
        NODE_LABEL,
    ),
    (
        "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[].matchFields",
        Group,
    ),
    (
        "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[].matchFields[]",
        Group,
    ),
    (
        "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[].matchFields[].key",
        NODE_FIELD,
    ),
    (
        "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[].matchFields[].operator",
        NODE_FIELD,
    ),
    (
        "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[].matchFields[].values",
        NODE_FIELD,
    ),
    (
        "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[].matchFields[].values[]",
        NODE_FIELD,
    ),
    ("spec.affinity.podAffinity", Group),
    ("spec.affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution", PREFERENCE),
    ("spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution", BESIDE),
    ("spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[]", Group),
    ("spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[].labelSelector", OTHERS),
    (
        "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[].labelSelector.matchExpressions",
        Group,
    ),
    (
        "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[].labelSelector.matchExpressions[]",
        Group,
    ),
    (
        "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[].labelSelector.matchExpressions[].key",
        OTHERS,
    ),
    (
        "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[].labelSelector.matchExpressions[].operator",
        OTHERS,
    ),
    (
        "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[].labelSelector.matchExpressions[].values",
        OTHERS,
    ),
    (
        "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[].labelSelector.matchExpressions[].values[]",
        OTHERS,
    ),
    ("spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[].labelSelector.matchLabels", Group),
    ("spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[].labelSelector.matchLabels.*", OTHERS),
    ("spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[].matchLabelKeys", OTHERS),
    ("spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[].matchLabelKeys[]", OTHERS),
    ("spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[].mismatchLabelKeys", OTHERS),
    ("spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[].mismatchLabelKeys[]", OTHERS),
    ("spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[].namespaceSelector", NAMESPACES),
    (
        "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[].namespaceSelector.matchExpressions",
        Group,
    ),
    (
        "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[].namespaceSelector.matchExpressions[]",
        Group,
    ),
    (
        "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[].namespaceSelector.matchExpressions[].key",
        NAMESPACES,
    ),
    (
        "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[].namespaceSelector.matchExpressions[].operator",
        NAMESPACES,
    ),
    (
        "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[].namespaceSelector.matchExpressions[].values",
        NAMESPACES,
    ),
    (
        "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[].namespaceSelector.matchExpressions[].values[]",
        NAMESPACES,
    ),
    ("spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[].namespaceSelector.matchLabels", Group),
    (
        "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[].namespaceSelector.matchLabels.*",
        NAMESPACES,
    ),
    ("spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[].namespaces", NAMESPACES),
    ("spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[].namespaces[]", NAMESPACES),
    ("spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[].topologyKey", TOPOLOGY),
    ("spec.affinity.podAntiAffinity", Group),
    ("spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution", PREFERENCE),
    ("spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution", APART),
    ("spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[]", Group),
    ("spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[].labelSelector", OTHERS),
    (
        "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[].labelSelector.matchExpressions",
        Group,
    ),
    (
        "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[].labelSelector.matchExpressions[]",
        Group,
    ),
    (
        "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[].labelSelector.matchExpressions[].key",
        OTHERS,
    ),
    (
        "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[].labelSelector.matchExpressions[].operator",
        OTHERS,
    ),
    (
        "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[].labelSelector.matchExpressions[].values",
        OTHERS,
    ),
    (
        "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[].labelSelector.matchExpressions[].values[]",
        OTHERS,
    ),
    ("spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[].labelSelector.matchLabels", Group),
    (
        "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[].labelSelector.matchLabels.*",
        OTHERS,
    ),
    ("spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[].matchLabelKeys", OTHERS),
    ("spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[].matchLabelKeys[]", OTHERS),
    ("spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[].mismatchLabelKeys", OTHERS),
    ("spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[].mismatchLabelKeys[]", OTHERS),
    ("spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[].namespaceSelector", NAMESPACES),
    (
        "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[].namespaceSelector.matchExpressions",
        Group,
    ),
    (
        "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[].namespaceSelector.matchExpressions[]",
        Group,
    ),
    (
        "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[].namespaceSelector.matchExpressions[].key",
        NAMESPACES,
    ),
    (
        "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[].namespaceSelector.matchExpressions[].operator",
        NAMESPACES,
    ),
    (
        "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[].namespaceSelector.matchExpressions[].values",
        NAMESPACES,
    ),
    (
        "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[].namespaceSelector.matchExpressions[].values[]",
        NAMESPACES,
    ),
    (
        "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[].namespaceSelector.matchLabels",
        Group,
    ),
    (
        "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[].namespaceSelector.matchLabels.*",
        NAMESPACES,
    ),
    ("spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[].namespaces", NAMESPACES),
    ("spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[].namespaces[]", NAMESPACES),
    (
        "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[].topologyKey",
        Enforced("a host without the label is in no group, so nothing is kept apart on it"),
    ),
    ("spec.evictionResponders", Refused("they answer evictions, and nobody evicts a pod from this host")),
    ("spec.nodeName", Enforced("it is the name of this host; with any other, podling runs the pod here and says so")),
    ("spec.nodeSelector", Group),
    ("spec.nodeSelector.*", Enforced("this host has to have the label, by itself or by --node-label")),
    ("spec.os", Group),
    ("spec.os.name", Only(&["linux"], "podling runs Linux containers")),
    ("spec.preemptionPolicy", RANK),
    ("spec.priority", RANK),
    ("spec.priorityClassName", RANK),
    ("spec.readinessGates", Refused("there is nobody to set the condition, so the pod would never be ready")),
    ("spec.runtimeClassName", Refused("podling is the runtime, and there are no classes to choose from")),
    (
        "spec.schedulerName",
        Enforced("it is default-scheduler; with any other, podling starts the pod itself and says so"),
    ),
    ("spec.schedulingGates", Refused("there is nobody to take them away, so the pod would stay pending")),
    ("spec.schedulingGroup", Refused("podling starts each pod by itself, and there are no groups to start with")),
    ("spec.tolerations", Trivial("this host has no taints to tolerate")),
    ("spec.topologySpreadConstraints", Group),
    ("spec.topologySpreadConstraints[]", Group),
    ("spec.topologySpreadConstraints[].labelSelector", EVEN),
    ("spec.topologySpreadConstraints[].matchLabelKeys", EVEN),
    ("spec.topologySpreadConstraints[].maxSkew", EVEN),
    (
        "spec.topologySpreadConstraints[].minDomains",
        Enforced("one domain is enough where one is asked for; with more, podling says so"),
    ),
    ("spec.topologySpreadConstraints[].nodeAffinityPolicy", EVEN),
    ("spec.topologySpreadConstraints[].nodeTaintsPolicy", EVEN),
    (
        "spec.topologySpreadConstraints[].topologyKey",
        Enforced(
            "this host has to have the label, by itself or by --node-label, where whenUnsatisfiable is DoNotSchedule",
        ),
    ),
    (
        "spec.topologySpreadConstraints[].whenUnsatisfiable",
        Enforced("DoNotSchedule requires the label of topologyKey, and ScheduleAnyway requires nothing"),
    ),
];

//! A Job's own fields. Below `spec.template` the rows of a Pod apply, but for those that stand here.

use super::Field;
use super::Rule;
use super::Rule::{Enforced, Group, Only, Refused, Trivial};

const NAMED_BY_JOB: Rule = Trivial("the Job names its pods, in its own namespace");

/// The rows, in the order of their paths.
pub(super) const JOB: &[Field] = &[
    ("spec", Group),
    ("spec.activeDeadlineSeconds", Enforced("the Job's pods are stopped then, and it fails with DeadlineExceeded")),
    (
        "spec.backoffLimit",
        Enforced("one more failed pod, or so many restarts of containers, fail the Job with BackoffLimitExceeded"),
    ),
    ("spec.backoffLimitPerIndex", Enforced("one more failed pod of an index fails that index, and the others go on")),
    (
        "spec.completionMode",
        Enforced("Indexed: each pod has its index in its name, host name, label, annotation and JOB_COMPLETION_INDEX"),
    ),
    ("spec.completions", Enforced("so many pods must succeed; without it, one, and those beside it are waited for")),
    (
        "spec.managedBy",
        Only(
            &["kubernetes.io/job-controller"],
            "podling runs a Job as the Job controller does, and no other controller is here",
        ),
    ),
    (
        "spec.manualSelector",
        Enforced("true: the pods get no labels of the Job's own, and spec.selector must fit the template's"),
    ),
    ("spec.maxFailedIndexes", Enforced("one more failed index stops the Job with MaxFailedIndexesExceeded")),
    ("spec.parallelism", Enforced("so many pods run at once, and an ended one is replaced")),
    ("spec.podFailurePolicy", Group),
    ("spec.podFailurePolicy.rules", Group),
    ("spec.podFailurePolicy.rules[]", Group),
    (
        "spec.podFailurePolicy.rules[].action",
        Enforced("the first rule that a failed pod fits decides what its failure means"),
    ),
    ("spec.podFailurePolicy.rules[].onExitCodes", Group),
    ("spec.podFailurePolicy.rules[].onExitCodes.containerName", Enforced("only this container's code counts")),
    ("spec.podFailurePolicy.rules[].onExitCodes.operator", Enforced("In or NotIn, for every code that is not 0")),
    ("spec.podFailurePolicy.rules[].onExitCodes.values", Enforced("compared with the codes of the pod's containers")),
    ("spec.podFailurePolicy.rules[].onExitCodes.values[]", Group),
    ("spec.podFailurePolicy.rules[].onPodConditions", Group),
    ("spec.podFailurePolicy.rules[].onPodConditions[]", Group),
    ("spec.podFailurePolicy.rules[].onPodConditions[].status", Enforced("compared with the failed pod's condition")),
    (
        "spec.podFailurePolicy.rules[].onPodConditions[].type",
        Enforced(
            "of a failed pod the conditions PodScheduled, Initialized, Ready, ContainersReady and PodReadyToStartContainers are known; DisruptionTarget never holds, for nothing evicts a pod here",
        ),
    ),
    ("spec.podReplacementPolicy", Enforced("a pod is replaced when it has ended")),
    (
        "spec.scheduling",
        Refused(
            "it is for a cluster's scheduler, which places groups of pods on nodes; here is one host and no scheduler",
        ),
    ),
    ("spec.selector", Enforced("checked against the labels of the template; podling knows a Job's pods without it")),
    ("spec.selector.matchExpressions", Group),
    ("spec.selector.matchExpressions[]", Group),
    ("spec.selector.matchExpressions[].key", Group),
    ("spec.selector.matchExpressions[].operator", Group),
    ("spec.selector.matchExpressions[].values", Group),
    ("spec.selector.matchExpressions[].values[]", Group),
    ("spec.selector.matchLabels", Group),
    ("spec.selector.matchLabels.*", Group),
    ("spec.successPolicy", Group),
    ("spec.successPolicy.rules", Group),
    ("spec.successPolicy.rules[]", Group),
    (
        "spec.successPolicy.rules[].succeededCount",
        Enforced("so many succeeded indexes end the Job as Complete, and the other pods are stopped"),
    ),
    (
        "spec.successPolicy.rules[].succeededIndexes",
        Enforced("these indexes must have succeeded, or as many of them as succeededCount says"),
    ),
    (
        "spec.suspend",
        Enforced("true: nothing of the Job is started, and podling says so; detached, it is recorded as suspended"),
    ),
    ("spec.template", Group),
    ("spec.template.metadata", Group),
    ("spec.template.metadata.generateName", NAMED_BY_JOB),
    ("spec.template.metadata.name", NAMED_BY_JOB),
    ("spec.template.metadata.namespace", NAMED_BY_JOB),
    ("spec.template.spec", Group),
    (
        "spec.ttlSecondsAfterFinished",
        Enforced(
            "of a detached Job, what is kept of it and of its pods is removed so long after its end; of one in the foreground nothing is kept",
        ),
    ),
    ("status", Trivial("it is what another system last saw")),
];

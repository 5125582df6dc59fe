//! The plan of a Job: how many pods, which of their failures mean what, and the Pod that each of them is made of.

use std::ops::RangeInclusive;
use std::time::Duration;

use k8s_openapi::api::batch::v1::{JobSpec, PodFailurePolicyRule};
use k8s_openapi::api::core::v1::{EnvVar, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::{Emulation, Operator, Options, RestartPolicy, placement};
use crate::error::Result;
use crate::host::HostFacts;
use crate::manifest::{Said, SaidJob, parse_indexes};

/// Everything that is decided about a Job before the first of its pods.
#[derive(Debug, Clone, PartialEq)]
pub struct JobPlan {
    /// The Job's `metadata.name` (or `--name`).
    pub name: String,
    /// `metadata.uid`, made by podling.
    pub uid: String,
    /// `spec.completions`; `None` where any pod's success is the Job's.
    pub completions: Option<u32>,
    /// How many pods run at once.
    pub parallelism: u32,
    /// Whether its pods have indexes.
    pub mode: CompletionMode,
    /// `spec.backoffLimit`.
    pub backoff_limit: u32,
    /// `spec.backoffLimitPerIndex`.
    pub backoff_limit_per_index: Option<u32>,
    /// `spec.maxFailedIndexes`.
    pub max_failed_indexes: Option<u32>,
    /// `spec.podFailurePolicy.rules`, in their order.
    pub failure_rules: Vec<FailureRule>,
    /// `spec.successPolicy.rules`.
    pub success_rules: Vec<SuccessRule>,
    /// `spec.activeDeadlineSeconds`.
    pub active_deadline: Option<Duration>,
    /// `spec.suspend`.
    pub start: JobStart,
    /// Whether a pod starts its failed containers again: `OnFailure`, else `Never`.
    pub restart_policy: RestartPolicy,
    /// Whether the pods get labels of the Job's own.
    pub selector: Selector,
    /// What is emulated of the Job's own fields: the path, and how.
    pub emulated: Vec<(String, String)>,
}

/// `spec.completionMode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompletionMode {
    /// Its pods are all alike.
    NonIndexed,
    /// Each has an index.
    Indexed,
}

/// Whether a Job begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobStart {
    /// At once.
    Now,
    /// Not: where it is said, and how.
    Suspended(String),
}

/// Whose the labels are that a Job's pods are known by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selector {
    /// The Job makes them.
    Generated,
    /// The user does (`spec.manualSelector`).
    Manual,
}

/// One of `spec.podFailurePolicy.rules`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureRule {
    /// What becomes of a pod that it fits.
    pub action: FailureAction,
    /// Which pods it fits.
    pub requirement: Requirement,
}

/// What the failure of a pod means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureAction {
    /// It counts.
    Count,
    /// Its index has failed.
    FailIndex,
    /// The Job has failed.
    FailJob,
    /// It does not count.
    Ignore,
}

/// Which failed pods a rule fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requirement {
    /// One of its containers ended with such a code.
    ExitCodes {
        /// Only this container's code counts.
        container: Option<String>,
        /// Whether the code must be among `values`.
        operator: Operator,
        /// The codes.
        values: Vec<i32>,
    },
    /// It has one of these conditions with this status (`True`, `False`, `Unknown`).
    Conditions(Vec<(String, String)>),
}

/// One of `spec.successPolicy.rules`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuccessRule {
    /// The indexes that count; `None` for all.
    pub indexes: Option<Vec<RangeInclusive<u32>>>,
    /// How many of them must have succeeded; `None` for all.
    pub count: Option<u32>,
}

/// One pod of a Job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobPod {
    /// Its name.
    pub name: String,
    /// Its index, in an Indexed Job.
    pub index: Option<u32>,
    /// How many pods of its index have failed before.
    pub failures: u32,
}

const INDEX: &str = "batch.kubernetes.io/job-completion-index";
const FAILURES: &str = "batch.kubernetes.io/job-index-failure-count";
const INDEX_VARIABLE: &str = "JOB_COMPLETION_INDEX";

/// The kubelet's default for the most pods of a node (`maxPods`).
const MOST_AT_ONCE: u32 = 110;

/// Decides everything about a Job but its pods. `uid` is to be its `metadata.uid`.
///
/// # Errors
/// What `--strict` refuses, with its file and line.
pub fn job(job: &SaidJob, uid: String, host: &HostFacts, options: &Options) -> Result<JobPlan> {
    let plan = decide_job(job, uid, host, options);
    if options.emulation == Emulation::Refused {
        job.said.source.refuse(plan.emulated.iter().map(|(path, how)| super::strictly(path, how)).collect())?;
    }
    Ok(plan)
}

/// As [`job`], whatever `--strict` has against it.
pub fn decide_job(job: &SaidJob, uid: String, host: &HostFacts, options: &Options) -> JobPlan {
    let source = &job.said.source;
    let none = JobSpec::default();
    let spec = job.said.object.spec.as_ref().unwrap_or(&none);
    let number = |value: Option<i32>| value.and_then(|value| u32::try_from(value).ok());
    let name = options.name.as_ref().or(job.said.object.metadata.name.as_ref()).cloned().unwrap_or_default();
    // Where neither is written, both are 1.
    let completions = number(spec.completions.or(if spec.parallelism.is_none() { Some(1) } else { None }));
    let wanted = number(spec.parallelism).unwrap_or(1);
    // What is below the template is told by the plan of its Pod.
    let own = source.emulated().iter().filter(|(path, _)| !path.starts_with("spec.template"));
    let mut emulated: Vec<(String, String)> = own.map(|(path, how)| (path.clone(), (*how).to_owned())).collect();
    if completions.unwrap_or(u32::MAX).min(wanted) > MOST_AT_ONCE {
        let how = format!("no more than {MOST_AT_ONCE} of its pods run at once, as on one node of a cluster");
        emulated.push(("spec.parallelism".to_owned(), how));
    }
    if spec.pod_replacement_policy.as_deref() == Some("TerminatingOrFailed") {
        let how = "a pod that somebody stops is replaced when it has ended, not before".to_owned();
        emulated.push(("spec.podReplacementPolicy".to_owned(), how));
    }
    let suspended = if spec.suspend == Some(true) {
        Some("spec.suspend")
    } else if wanted == 0 && completions != Some(0) {
        Some("spec.parallelism")
    } else {
        None
    };
    let per_index = number(spec.backoff_limit_per_index);
    let unlimited = if per_index.is_some() { i32::MAX.unsigned_abs() } else { 6 };
    let pod = spec.template.spec.as_ref();
    let rules = spec.pod_failure_policy.iter().flat_map(|policy| &policy.rules);
    let success = spec.success_policy.iter().flat_map(|policy| &policy.rules);
    let mut plan = JobPlan {
        name,
        uid,
        completions,
        parallelism: wanted.min(MOST_AT_ONCE),
        mode: match spec.completion_mode.as_deref() {
            Some("Indexed") => CompletionMode::Indexed,
            _ => CompletionMode::NonIndexed,
        },
        backoff_limit: number(spec.backoff_limit).unwrap_or(unlimited),
        backoff_limit_per_index: per_index,
        max_failed_indexes: number(spec.max_failed_indexes),
        failure_rules: rules.filter_map(failure_rule).collect(),
        success_rules: success
            .map(|rule| SuccessRule {
                // An empty text lists nothing, and nothing is never enough.
                indexes: rule
                    .succeeded_indexes
                    .as_deref()
                    .map(|text| parse_indexes(text, completions.unwrap_or(0)).unwrap_or_default()),
                count: number(rule.succeeded_count),
            })
            .collect(),
        active_deadline: spec.active_deadline_seconds.and_then(|s| u64::try_from(s).ok()).map(Duration::from_secs),
        start: match suspended {
            Some(path) => JobStart::Suspended(format!("{}: {}", source.at(path), source.full_path(path))),
            None => JobStart::Now,
        },
        restart_policy: match pod.and_then(|pod| pod.restart_policy.as_deref()) {
            Some("OnFailure") => RestartPolicy::OnFailure,
            _ => RestartPolicy::Never,
        },
        selector: if spec.manual_selector == Some(true) { Selector::Manual } else { Selector::Generated },
        emulated,
    };
    let index = (plan.mode == CompletionMode::Indexed).then_some(0);
    let pod = job_pod(job, &plan, &JobPod { name: plan.name.clone(), index, failures: 0 });
    if completions.unwrap_or(u32::MAX).min(wanted) > 1 && placement::keeps_apart(&pod.object, host, options) {
        let how = "its required podAntiAffinity keeps its pods away from each other, so one of them runs at a time, as on the only node \
                   of a cluster";
        plan.emulated.push(("spec.parallelism".to_owned(), how.to_owned()));
        plan.parallelism = 1;
    }
    plan
}

fn failure_rule(rule: &PodFailurePolicyRule) -> Option<FailureRule> {
    let action = match rule.action.as_str() {
        "Count" => FailureAction::Count,
        "FailIndex" => FailureAction::FailIndex,
        "FailJob" => FailureAction::FailJob,
        "Ignore" => FailureAction::Ignore,
        _ => return None,
    };
    let requirement = match &rule.on_exit_codes {
        Some(codes) => Requirement::ExitCodes {
            container: codes.container_name.clone(),
            operator: if codes.operator == "In" { Operator::In } else { Operator::NotIn },
            values: codes.values.clone(),
        },
        None => {
            let patterns = rule.on_pod_conditions.iter().flatten();
            let status = |status: &Option<String>| status.clone().unwrap_or_else(|| "True".to_owned());
            Requirement::Conditions(patterns.map(|p| (p.type_.clone(), status(&p.status))).collect())
        }
    };
    Some(FailureRule { action, requirement })
}

/// The Pod that `pod` of the Job `plan` is.
pub fn job_pod(job: &SaidJob, plan: &JobPlan, pod: &JobPod) -> Said<Pod> {
    let mut said = job.template.clone();
    let metadata = &mut said.object.metadata;
    metadata.name = Some(pod.name.clone());
    metadata.owner_references = Some(vec![OwnerReference {
        api_version: "batch/v1".to_owned(),
        kind: "Job".to_owned(),
        name: plan.name.clone(),
        uid: plan.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }]);
    let labels = metadata.labels.get_or_insert_default();
    if plan.selector == Selector::Generated {
        for (name, value) in [("controller-uid", &plan.uid), ("job-name", &plan.name)] {
            labels.insert(name.to_owned(), value.clone());
            labels.insert(format!("batch.kubernetes.io/{name}"), value.clone());
        }
    }
    let Some(index) = pod.index else { return said };
    labels.insert(INDEX.to_owned(), index.to_string());
    let annotations = metadata.annotations.get_or_insert_default();
    annotations.insert(INDEX.to_owned(), index.to_string());
    if plan.backoff_limit_per_index.is_some() {
        annotations.insert(FAILURES.to_owned(), pod.failures.to_string());
    }
    let Some(spec) = &mut said.object.spec else { return said };
    spec.hostname = Some(format!("{}-{index}", plan.name));
    for container in spec.init_containers.iter_mut().flatten().chain(&mut spec.containers) {
        let variables = container.env.get_or_insert_default();
        if !variables.iter().any(|variable| variable.name == INDEX_VARIABLE) {
            let value = Some(index.to_string());
            variables.push(EnvVar { name: INDEX_VARIABLE.to_owned(), value, value_from: None });
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{IdExtent, IdMap};
    use crate::manifest::{Input, read};

    /// The only Job of an input whose spec has these lines.
    fn said(spec: &str) -> SaidJob {
        let spec: String = spec.lines().map(|line| format!("  {line}\n")).collect();
        let text = format!(
            "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: j, namespace: ns}}\nspec:\n{spec}  template:\n    metadata: {{labels: {{app: x}}}}\n    spec:\n      restartPolicy: Never\n      initContainers: [{{name: i, image: b, env: [{{name: JOB_COMPLETION_INDEX, value: mine}}]}}]\n      containers: [{{name: c, image: b}}]\n"
        );
        let mut bundle = read(&[Input { name: "job.yaml".to_owned(), bytes: text.into_bytes(), path: None }]).unwrap();
        bundle.jobs.remove(0)
    }

    fn plan(spec: &str) -> JobPlan {
        let extent = vec![IdExtent { inside: 0, outside: 1000, count: 1 }];
        let host = HostFacts::sample(IdMap { uids: extent.clone(), gids: extent });
        job(&said(spec), "u-1".to_owned(), &host, &Options::default()).unwrap()
    }

    #[test]
    fn numbers_and_their_defaults() {
        let of = |spec: &str| {
            let plan = plan(spec);
            (plan.completions, plan.parallelism, plan.backoff_limit, plan.backoff_limit_per_index)
        };
        let most = i32::MAX.unsigned_abs();
        for (spec, numbers) in [
            ("suspend: false", (Some(1), 1, 6, None)),
            ("parallelism: 3", (None, 3, 6, None)),
            ("completions: 3", (Some(3), 1, 6, None)),
            ("completions: 200\nparallelism: 200\nbackoffLimit: 0", (Some(200), 110, 0, None)),
            ("completionMode: Indexed\ncompletions: 2\nbackoffLimitPerIndex: 1", (Some(2), 1, most, Some(1))),
            (
                "completionMode: Indexed\ncompletions: 2\nbackoffLimitPerIndex: 1\nbackoffLimit: 4",
                (Some(2), 1, 4, Some(1)),
            ),
        ] {
            assert_eq!(of(spec), numbers, "{spec}");
        }
    }

    #[test]
    fn whether_it_begins() {
        let suspended = |at: &str| JobStart::Suspended(at.to_owned());
        assert_eq!(plan("suspend: true").start, suspended("job.yaml:5: spec.suspend"));
        assert_eq!(plan("parallelism: 0").start, suspended("job.yaml:5: spec.parallelism"));
        assert_eq!(plan("parallelism: 0\ncompletions: 0").start, JobStart::Now);
        assert_eq!(plan("suspend: false").start, JobStart::Now);
    }

    #[test]
    fn policies() {
        let plan = plan(
            "completionMode: Indexed\ncompletions: 5\nsuccessPolicy: {rules: [{succeededIndexes: '0,2-3'}, {succeededCount: 4}]}\n\
             podFailurePolicy: {rules: [{action: FailJob, onExitCodes: {operator: NotIn, values: [1]}}, {action: Ignore, onPodConditions: [{type: Ready}]}]}",
        );
        let exit_codes = Requirement::ExitCodes { container: None, operator: Operator::NotIn, values: vec![1] };
        let conditions = Requirement::Conditions(vec![("Ready".to_owned(), "True".to_owned())]);
        assert_eq!(
            plan.failure_rules,
            [
                FailureRule { action: FailureAction::FailJob, requirement: exit_codes },
                FailureRule { action: FailureAction::Ignore, requirement: conditions },
            ]
        );
        assert_eq!(
            plan.success_rules,
            [
                SuccessRule { indexes: Some(vec![0..=0, 2..=3]), count: None },
                SuccessRule { indexes: None, count: Some(4) },
            ]
        );
    }

    #[test]
    fn a_pod_is_the_template_with_what_the_job_gives_it() {
        let spec = "completionMode: Indexed\ncompletions: 3\nbackoffLimitPerIndex: 1";
        let pod =
            job_pod(&said(spec), &plan(spec), &JobPod { name: "j-2-abcde".to_owned(), index: Some(2), failures: 1 });
        let pod = serde_json::to_value(&pod.object).unwrap();
        assert_eq!(pod["metadata"]["name"], "j-2-abcde");
        assert_eq!(pod["metadata"]["namespace"], "ns");
        let labels = serde_json::json!({
            "app": "x",
            "batch.kubernetes.io/controller-uid": "u-1",
            "batch.kubernetes.io/job-completion-index": "2",
            "batch.kubernetes.io/job-name": "j",
            "controller-uid": "u-1",
            "job-name": "j",
        });
        assert_eq!(pod["metadata"]["labels"], labels);
        let annotations = serde_json::json!({
            "batch.kubernetes.io/job-completion-index": "2",
            "batch.kubernetes.io/job-index-failure-count": "1",
        });
        assert_eq!(pod["metadata"]["annotations"], annotations);
        let owner = &pod["metadata"]["ownerReferences"][0];
        assert_eq!((&owner["kind"], &owner["name"], &owner["uid"]), (&"Job".into(), &"j".into(), &"u-1".into()));
        assert_eq!(pod["spec"]["hostname"], "j-2");
        assert_eq!(
            pod["spec"]["containers"][0]["env"][0],
            serde_json::json!({ "name": "JOB_COMPLETION_INDEX", "value": "2" })
        );
        // What the user wrote stays.
        assert_eq!(pod["spec"]["initContainers"][0]["env"].as_array().map(Vec::len), Some(1));
        let plain = job_pod(
            &said(""),
            &plan("suspend: false"),
            &JobPod { name: "j-abcde".to_owned(), index: None, failures: 0 },
        );
        let plain = serde_json::to_value(&plain.object).unwrap();
        assert!(plain["metadata"].get("annotations").is_none() && plain["spec"].get("hostname").is_none(), "{plain}");
    }
}

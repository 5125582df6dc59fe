//! A Job: its numbers, and that its policies fit together (pkg/apis/batch/validation of Kubernetes).

use std::collections::BTreeSet;

use k8s_openapi::api::batch::v1::{
    Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement, PodFailurePolicyRule, SuccessPolicyRule,
};

use super::Check;
use super::pod::containers;
use crate::manifest::{names, parse_indexes};

const MOST_INDEXES: i32 = 100_000;
/// With more completions than [`MOST_INDEXES`] and a limit for each index.
const MOST_OF_MANY: i32 = 10_000;
const MOST_RULES: usize = 20;
const MOST_PATTERNS: usize = 20;
const MOST_CODES: usize = 255;
const LONGEST_MANAGER: usize = 63;
const LONGEST_INDEXES: usize = 64 << 10;

impl Check<'_> {
    /// A Job without its template's Pod, which is checked where that was written.
    pub(super) fn job(&mut self, job: &Job) {
        let Some(spec) = &job.spec else {
            self.problem("spec", "required");
            return;
        };
        self.job_name(job, spec);
        for (field, value) in [
            ("activeDeadlineSeconds", spec.active_deadline_seconds),
            ("backoffLimit", spec.backoff_limit.map(i64::from)),
            ("backoffLimitPerIndex", spec.backoff_limit_per_index.map(i64::from)),
            ("completions", spec.completions.map(i64::from)),
            ("maxFailedIndexes", spec.max_failed_indexes.map(i64::from)),
            ("parallelism", spec.parallelism.map(i64::from)),
            ("ttlSecondsAfterFinished", spec.ttl_seconds_after_finished.map(i64::from)),
        ] {
            if let Some(value) = value.filter(|&value| value < 0) {
                self.problem(&format!("spec.{field}"), format!("{value} must not be negative"));
            }
        }
        if spec.max_failed_indexes.is_some() && spec.backoff_limit_per_index.is_none() {
            self.problem("spec.backoffLimitPerIndex", "required beside maxFailedIndexes");
        }
        if let Some(manager) = &spec.managed_by {
            self.manager(manager);
        }
        self.one_of("spec.completionMode", spec.completion_mode.as_deref(), &["NonIndexed", "Indexed"]);
        if is_indexed(spec) {
            self.indexed(spec)
        } else {
            self.not_indexed(spec)
        }
        let is_strict = spec.pod_failure_policy.is_some();
        if let Some(policy) = &spec.pod_failure_policy {
            self.failure_policy(spec, policy);
        }
        let replacing: &[&str] = if is_strict { &["Failed"] } else { &["Failed", "TerminatingOrFailed"] };
        self.one_of("spec.podReplacementPolicy", spec.pod_replacement_policy.as_deref(), replacing);
        self.job_restarts(spec);
        self.job_selector(job, spec);
    }

    fn job_name(&mut self, job: &Job, spec: &JobSpec) {
        let Some(name) = job.metadata.name.as_deref().filter(|name| names::dns_subdomain(name).is_ok()) else { return };
        match spec.completions.filter(|&completions| completions > 0 && is_indexed(spec)) {
            Some(completions) => {
                let last = format!("{name}-{}", completions - 1);
                if names::dns_label(&last).is_err() {
                    let why = format!(
                        "the pod of the last index would have the host name {last:?}, which is no DNS label: lower-case letters, digits \
                         and \"-\", at most 63 characters"
                    );
                    self.problem("metadata.name", why);
                }
            }
            // It becomes the value of a label.
            None if name.len() > 63 => {
                let why = format!("{} characters; the label job-name of its pods can hold 63", name.len());
                self.problem("metadata.name", why);
            }
            None => {}
        }
    }

    fn manager(&mut self, manager: &str) {
        let path = "spec.managedBy";
        if manager.len() > LONGEST_MANAGER {
            self.problem(path, format!("{} characters; at most {LONGEST_MANAGER}", manager.len()));
        }
        let parts =
            manager.split_once('/').filter(|(domain, rest)| names::dns_subdomain(domain).is_ok() && !rest.is_empty());
        if parts.is_none() {
            self.problem(path, format!("{manager:?} is no path behind a domain, as \"example.com/controller\""));
        }
    }

    fn indexed(&mut self, spec: &JobSpec) {
        let completions = spec.completions;
        if completions.is_none() {
            self.problem("spec.completions", "required where completionMode is Indexed");
        }
        let per_index = spec.backoff_limit_per_index.is_some();
        let many = per_index && completions.is_some_and(|completions| completions > MOST_INDEXES);
        let most = if many { MOST_OF_MANY } else { MOST_INDEXES };
        let behind = if many { format!(" with more than {MOST_INDEXES} completions") } else { String::new() };
        if let Some(parallelism) = spec.parallelism.filter(|&parallelism| parallelism > most) {
            self.problem(
                "spec.parallelism",
                format!("{parallelism} is more than {most}, the most of an Indexed Job{behind}"),
            );
        }
        match spec.max_failed_indexes {
            Some(failed) if completions.is_some_and(|completions| failed > completions) => {
                self.problem("spec.maxFailedIndexes", format!("{failed} is more than completions"));
            }
            Some(failed) if failed > most => {
                self.problem("spec.maxFailedIndexes", format!("{failed} is more than {most}{behind}"));
            }
            None if many => {
                self.problem("spec.maxFailedIndexes", format!("required{behind}"));
            }
            _ => {}
        }
        if let (Some(policy), Some(completions)) = (&spec.success_policy, completions) {
            let path = "spec.successPolicy.rules";
            if policy.rules.is_empty() {
                self.problem(path, "required: at least one rule");
            }
            self.at_most(path, policy.rules.len(), MOST_RULES);
            for (at, rule) in policy.rules.iter().enumerate() {
                self.success_rule(&format!("{path}[{at}]"), rule, completions);
            }
        }
    }

    fn not_indexed(&mut self, spec: &JobSpec) {
        let needs = [
            ("backoffLimitPerIndex", spec.backoff_limit_per_index.is_some()),
            ("maxFailedIndexes", spec.max_failed_indexes.is_some()),
            ("successPolicy", spec.success_policy.is_some()),
        ];
        for (field, _) in needs.iter().filter(|(_, there)| *there) {
            self.problem(&format!("spec.{field}"), "needs completionMode: Indexed");
        }
    }

    fn success_rule(&mut self, path: &str, rule: &SuccessPolicyRule, completions: i32) {
        let (count, indexes) = (rule.succeeded_count, rule.succeeded_indexes.as_deref());
        if count.is_none() && indexes.is_none() {
            self.problem(path, "one of succeededCount and succeededIndexes is required");
        }
        let mut listed = None;
        if let Some(indexes) = indexes {
            let path = format!("{path}.succeededIndexes");
            if indexes.len() > LONGEST_INDEXES {
                self.problem(&path, format!("{} characters; at most {LONGEST_INDEXES}", indexes.len()));
            }
            match parse_indexes(indexes, u32::try_from(completions).unwrap_or(0)) {
                Ok(ranges) => {
                    listed = Some(ranges.iter().map(|range| i64::from(range.end() - range.start()) + 1).sum::<i64>())
                }
                Err(why) => {
                    self.problem(&path, why);
                }
            }
        }
        let Some(count) = count.map(i64::from) else { return };
        let path = format!("{path}.succeededCount");
        if count < 0 {
            self.problem(&path, format!("{count} must not be negative"));
        } else if count > i64::from(completions) {
            self.problem(&path, format!("{count} is more than completions, {completions}"));
        } else if let Some(listed) = listed.filter(|&listed| count > listed) {
            self.problem(&path, format!("{count} is more than succeededIndexes lists, {listed}"));
        }
    }

    fn failure_policy(&mut self, spec: &JobSpec, policy: &PodFailurePolicy) {
        let path = "spec.podFailurePolicy.rules";
        self.at_most(path, policy.rules.len(), MOST_RULES);
        let names: BTreeSet<&str> =
            spec.template.spec.iter().flat_map(containers).map(|(_, container)| container.name.as_str()).collect();
        for (at, rule) in policy.rules.iter().enumerate() {
            self.failure_rule(&format!("{path}[{at}]"), rule, spec, &names);
        }
    }

    fn failure_rule(&mut self, path: &str, rule: &PodFailurePolicyRule, spec: &JobSpec, names: &BTreeSet<&str>) {
        let action = format!("{path}.action");
        self.required(&action, &rule.action);
        if !rule.action.is_empty() {
            self.one_of(&action, Some(&rule.action), &["Count", "FailIndex", "FailJob", "Ignore"]);
        }
        if rule.action == "FailIndex" && spec.backoff_limit_per_index.is_none() {
            self.problem(&action, "FailIndex needs backoffLimitPerIndex");
        }
        let patterns = rule.on_pod_conditions.as_deref().unwrap_or_default();
        match (&rule.on_exit_codes, patterns.is_empty()) {
            (Some(_), false) => {
                self.problem(path, "a rule has one of onExitCodes and onPodConditions, found both");
            }
            (None, true) => {
                self.problem(path, "a rule has one of onExitCodes and onPodConditions, found none");
            }
            _ => {}
        }
        if let Some(codes) = &rule.on_exit_codes {
            self.exit_codes(&format!("{path}.onExitCodes"), codes, names);
        }
        let path = format!("{path}.onPodConditions");
        self.at_most(&path, patterns.len(), MOST_PATTERNS);
        for (at, pattern) in patterns.iter().enumerate() {
            self.grammar(&format!("{path}[{at}].type"), super::names::qualified_name(&pattern.type_));
            // The API server writes True where nothing is written.
            self.one_of(&format!("{path}[{at}].status"), pattern.status.as_deref(), &["False", "True", "Unknown"]);
        }
    }

    fn exit_codes(&mut self, path: &str, codes: &PodFailurePolicyOnExitCodesRequirement, names: &BTreeSet<&str>) {
        let operator = format!("{path}.operator");
        self.required(&operator, &codes.operator);
        if !codes.operator.is_empty() {
            self.one_of(&operator, Some(&codes.operator), &["In", "NotIn"]);
        }
        if let Some(name) = codes.container_name.as_deref().filter(|name| !names.contains(name)) {
            let problem =
                self.problem(&format!("{path}.containerName"), format!("the template has no container {name:?}"));
            if let Some(meant) = crate::manifest::nearest(name, names.iter().copied()) {
                problem.mend(format!("did you mean {meant:?}?"));
            }
        }
        let path = format!("{path}.values");
        if codes.values.is_empty() {
            self.problem(&path, "required: at least one exit code");
        }
        self.at_most(&path, codes.values.len(), MOST_CODES);
        let mut seen = BTreeSet::new();
        for (at, &code) in codes.values.iter().enumerate() {
            let path = format!("{path}[{at}]");
            if code == 0 && codes.operator == "In" {
                self.problem(&path, "a container that ended with 0 has not failed, so In cannot have it");
            }
            if !seen.insert(code) {
                self.problem(&path, format!("{code} is there already"));
            }
        }
        if !codes.values.is_sorted() {
            let sorted: Vec<String> = seen.iter().map(i32::to_string).collect();
            self.problem(&path, "the codes must be in their order").mend(format!("write [{}]", sorted.join(", ")));
        }
    }

    fn job_restarts(&mut self, spec: &JobSpec) {
        let path = "spec.template.spec.restartPolicy";
        let Some(pod) = &spec.template.spec else {
            self.problem("spec.template.spec", "required");
            return;
        };
        match pod.restart_policy.as_deref() {
            None | Some("" | "Always") => {
                self.problem(path, "a Job's pods need restartPolicy: Never or OnFailure").mend(
                    "Never starts another pod for a failed one, OnFailure its container again; the default is Always, which never ends",
                );
            }
            Some("OnFailure") if spec.pod_failure_policy.is_some() => {
                self.problem(path, "podFailurePolicy needs restartPolicy: Never");
            }
            // Anything else is reported with the template's Pod.
            Some(_) => {}
        }
    }

    fn at_most(&mut self, path: &str, there: usize, most: usize) {
        if there > most {
            self.problem(path, format!("{there} items; at most {most}"));
        }
    }
}

/// Whether the Job's pods have indexes.
fn is_indexed(spec: &JobSpec) -> bool {
    spec.completion_mode.as_deref() == Some("Indexed")
}

//! A Job's selector, which must fit the labels of its template.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement};

use super::{Check, key_path};

/// The labels that a Job gives its pods: its name's, and its uid's.
const OF_NAME: [&str; 2] = ["batch.kubernetes.io/job-name", "job-name"];
const OF_UID: [&str; 2] = ["batch.kubernetes.io/controller-uid", "controller-uid"];

impl Check<'_> {
    pub(super) fn job_selector(&mut self, job: &Job, spec: &JobSpec) {
        let labels = spec.template.metadata.as_ref().and_then(|metadata| metadata.labels.clone()).unwrap_or_default();
        self.selector("spec.selector", spec.selector.as_ref());
        if spec.manual_selector == Some(true) {
            match &spec.selector {
                None => {
                    self.problem("spec.selector", "required beside manualSelector: true");
                }
                Some(selector) if !matches(selector, &labels) => {
                    self.problem("spec.template.metadata.labels", "they do not fit spec.selector");
                }
                Some(_) => {}
            }
            return;
        }
        let (name, uid) = (job.metadata.name.as_deref().unwrap_or_default(), job.metadata.uid.as_deref());
        // An exported Job names its uid, and has what the API server made of it.
        let generated = |key: &str, value: &str| match key {
            _ if OF_NAME.contains(&key) => Some(value == name),
            _ if OF_UID.contains(&key) => Some(Some(value) == uid),
            _ => None,
        };
        for (key, value) in labels.iter().filter(|(key, value)| generated(key, value) == Some(false)) {
            let path = key_path("spec.template.metadata.labels", key);
            self.problem(&path, format!("the Job gives its pods this label, with another value than {value:?}"))
                .mend("leave it out");
        }
        let Some(selector) = &spec.selector else { return };
        let written = selector.match_labels.iter().flatten();
        let is_generated = written.clone().all(|(key, value)| generated(key, value) == Some(true))
            && selector.match_expressions.as_ref().is_none_or(Vec::is_empty);
        if !is_generated {
            self.problem("spec.selector", "a Job makes its selector itself, and this is another")
                .mend("leave it out, or write manualSelector: true");
        }
    }
}

/// Whether `labels` fit `selector`.
fn matches(selector: &LabelSelector, labels: &BTreeMap<String, String>) -> bool {
    let fits = |requirement: &LabelSelectorRequirement| {
        let value = labels.get(&requirement.key);
        let is_listed = || value.is_some_and(|value| requirement.values.iter().flatten().any(|listed| listed == value));
        match requirement.operator.as_str() {
            "In" => is_listed(),
            "NotIn" => !is_listed(),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            _ => false,
        }
    };
    selector.match_labels.iter().flatten().all(|(key, value)| labels.get(key) == Some(value))
        && selector.match_expressions.iter().flatten().all(fits)
}

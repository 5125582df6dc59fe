//! Placement: what a scheduler would decide about the pod in a cluster whose only node is this host, before anything else runs on it.
//!
//! Preferences, tolerations and priorities are satisfied by any placement, so nothing here looks at them. What only a cluster can do is
//! refused by the field table. What is left is what the pod requires of its node and of the pods beside it.

mod capacity;
mod node;
mod pods;
mod selector;
mod spread;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;

use super::scope::Scope;
use super::{Options, Verdict};
use crate::host::HostFacts;
use crate::manifest::{Bundle, Objection, Said};
use node::Node;

/// The name of the scheduler that a pod has unless it names another.
const DEFAULT_SCHEDULER: &str = "default-scheduler";

/// What `pod` requires of its node, or of the pods beside it, and does not get on this host.
pub(super) fn objections(pod: &Said<Pod>, bundle: &Bundle, host: &HostFacts, options: &Options) -> Vec<Objection> {
    let Some(spec) = &pod.object.spec else { return Vec::new() };
    let node = Node::of(host, options);
    let mut objections = node::selector(&node, spec);
    objections.extend(node::affinity(&node, spec));
    objections.extend(pods::affinity(&node, pod, bundle));
    objections.extend(pods::anti_affinity(&node, pod, bundle));
    objections.extend(spread::constraints(&node, spec));
    objections
}

/// Whether pods like this one keep away from each other, so that only one of them can be on a node.
pub(super) fn keeps_apart(pod: &Pod, host: &HostFacts, options: &Options) -> bool {
    pods::keeps_apart(&Node::of(host, options), pod)
}

/// What is satisfied here otherwise than in a cluster.
pub(super) fn verdicts(scope: &Scope) -> Vec<Verdict> {
    let spec = scope.spec;
    let mut verdicts = Vec::new();
    let here = node_name(scope.host, scope.options);
    if let Some(name) = spec.node_name.as_deref().filter(|name| !name.is_empty() && *name != here) {
        let how = format!(
            "podling runs the pod on this host, {here:?}; a cluster runs it on the node {name:?} and nowhere else"
        );
        verdicts.push(scope.verdict("spec.nodeName", how));
    }
    let scheduler = spec.scheduler_name.as_deref().filter(|name| !matches!(*name, "" | DEFAULT_SCHEDULER));
    if let Some(name) = scheduler {
        let how = format!("podling starts the pod at once; a cluster leaves it to the scheduler {name:?}");
        verdicts.push(scope.verdict("spec.schedulerName", how));
    }
    verdicts.extend(spread::verdicts(scope));
    verdicts.extend(capacity::verdicts(scope));
    verdicts
}

/// The name that a cluster would know this host by: what `--node-label kubernetes.io/hostname=…` says, else its host name.
pub(super) fn node_name(host: &HostFacts, options: &Options) -> String {
    Node::of(host, options).name
}

/// Labels as a text, `a=b, c=d`.
fn shown(labels: &BTreeMap<String, String>) -> String {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;

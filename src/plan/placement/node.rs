//! This host as a node, and what a pod requires of it: `nodeSelector` and the required part of `nodeAffinity`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm, PodSpec};

use super::{Options, shown};
use crate::host::HostFacts;
use crate::manifest::{Objection, key_path};

const HOSTNAME: &str = "kubernetes.io/hostname";
const OS: &str = "kubernetes.io/os";
const ARCH: &str = "kubernetes.io/arch";
/// What the two were called before Kubernetes 1.14; nodes still have them.
const BETA_OS: &str = "beta.kubernetes.io/os";
const BETA_ARCH: &str = "beta.kubernetes.io/arch";

/// This host as a node of a cluster.
pub(super) struct Node {
    /// Its name, which is also the value of its label `kubernetes.io/hostname`.
    pub name: String,
    /// All its labels.
    pub labels: BTreeMap<String, String>,
    /// Those that the command line gave it.
    given: BTreeMap<String, String>,
}

impl Node {
    /// The labels that a kubelet gives its node, and those of `--node-label`, which go before them.
    pub fn of(host: &HostFacts, options: &Options) -> Node {
        let own = [
            (HOSTNAME, host.name.as_str()),
            (OS, "linux"),
            (ARCH, &host.arch),
            (BETA_OS, "linux"),
            (BETA_ARCH, &host.arch),
        ];
        let own = own.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned()));
        let labels: BTreeMap<_, _> = own.chain(options.node_labels.clone()).collect();
        let name = labels.get(HOSTNAME).cloned().unwrap_or_default();
        Node { name, labels, given: options.node_labels.clone() }
    }

    /// Its labels for a message, without the old names.
    fn shown(&self) -> String {
        let is_new = |key: &str| !matches!(key, BETA_OS | BETA_ARCH) || self.given.contains_key(key);
        shown(&self.labels.iter().filter(|(key, _)| is_new(key)).map(|(k, v)| (k.clone(), v.clone())).collect())
    }

    /// What there is at `key`, as the end of a sentence.
    fn has(&self, key: &str) -> String {
        match self.labels.get(key) {
            Some(value) => format!("this host has {key}={value}"),
            None => format!("this host has no label {key}"),
        }
    }

    /// The objection that a label is missing by which nodes are grouped.
    pub fn lacks(&self, path: String, key: &str) -> Option<Objection> {
        let missing = !self.labels.contains_key(key);
        missing.then(|| Objection {
            path,
            why: format!("a scheduler groups nodes by it, and {}; its labels: {}", self.has(key), self.shown()),
            mend: Some(format!("--node-label {key}=VALUE gives it one")),
        })
    }
}

/// One requirement that this host does not meet.
struct Miss {
    path: String,
    /// What is wanted, and what there is.
    why: String,
    mend: Mend,
}

/// How a requirement could be met.
enum Mend {
    /// By this label.
    Give(String, String),
    /// By leaving out the label that the command line gave.
    Leave(String),
    Nothing,
}

impl Miss {
    fn objection(&self, node: &Node) -> Objection {
        let mend = match &self.mend {
            Mend::Give(key, value) => Some(format!("--node-label {key}={value} gives it that label")),
            Mend::Leave(label) => Some(format!("leave out --node-label {label}")),
            Mend::Nothing => None,
        };
        Objection { path: self.path.clone(), why: format!("{}; its labels: {}", self.why, node.shown()), mend }
    }
}

/// The labels of `spec.nodeSelector` that this host does not have.
pub(super) fn selector(node: &Node, spec: &PodSpec) -> Vec<Objection> {
    let wanted = spec.node_selector.iter().flatten();
    let missing = wanted.filter(|(key, value)| node.labels.get(*key) != Some(*value));
    let miss = |(key, value): (&String, &String)| Miss {
        path: key_path("spec.nodeSelector", key),
        why: format!("it wants {key}={value}, and {}", node.has(key)),
        mend: give(key, value),
    };
    missing.map(|entry| miss(entry).objection(node)).collect()
}

/// The required node affinity, where this host meets none of its terms.
pub(super) fn affinity(node: &Node, spec: &PodSpec) -> Vec<Objection> {
    const PATH: &str = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
    let said = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let said = said.and_then(|said| said.required_during_scheduling_ignored_during_execution.as_ref());
    let Some(required) = said else { return Vec::new() };
    let terms = required.node_selector_terms.iter().enumerate();
    let misses: Vec<Vec<Miss>> = terms.map(|(at, term)| missed(node, term, &format!("{PATH}[{at}]"))).collect();
    // A node has to meet one term.
    if misses.iter().any(Vec::is_empty) {
        return Vec::new();
    }
    if let [only] = misses.as_slice() {
        return only.iter().map(|miss| miss.objection(node)).collect();
    }
    let whys = |misses: &Vec<Miss>| misses.iter().map(|miss| miss.why.as_str()).collect::<Vec<_>>().join(", ");
    let told: Vec<String> = misses.iter().enumerate().map(|(at, term)| format!("[{at}] {}", whys(term))).collect();
    vec![Objection {
        path: PATH.to_owned(),
        why: format!("this host meets none of the terms: {}; its labels: {}", told.join("; "), node.shown()),
        mend: misses.iter().find_map(|term| labels_for(term)),
    }]
}

/// The requirements of `term` that this host does not meet.
fn missed(node: &Node, term: &NodeSelectorTerm, path: &str) -> Vec<Miss> {
    let labels = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    if labels.is_empty() && fields.is_empty() {
        let why = "an empty term is met by no node".to_owned();
        return vec![Miss { path: path.to_owned(), why, mend: Mend::Nothing }];
    }
    let labels = labels.iter().enumerate().filter_map(|(at, said)| {
        let mend = unmet(node.labels.get(&said.key), said)?;
        let mend = match mend {
            Mend::Leave(key) => node.given.get(&key).map_or(Mend::Nothing, |v| Mend::Leave(format!("{key}={v}"))),
            other => other,
        };
        let why = format!("it wants {}, and {}", wanted(said), node.has(&said.key));
        Some(Miss { path: format!("{path}.matchExpressions[{at}]"), why, mend })
    });
    let fields = fields.iter().enumerate().filter_map(|(at, said)| {
        // The API server takes no other field than metadata.name.
        let mend = match unmet(Some(&node.name), said)? {
            Mend::Give(_, name) => give(HOSTNAME, &name),
            _ => Mend::Nothing,
        };
        let why = format!("it wants {}, and this host is called {}", wanted(said), node.name);
        Some(Miss { path: format!("{path}.matchFields[{at}]"), why, mend })
    });
    labels.chain(fields).collect()
}

/// How `said` could be met, where `value`, of its label, does not meet it.
fn unmet(value: Option<&String>, said: &NodeSelectorRequirement) -> Option<Mend> {
    let values = said.values.as_deref().unwrap_or_default();
    let is_listed = value.is_some_and(|value| values.contains(value));
    let number = |text: &str| text.parse::<i64>().ok();
    let (limit, has) = (values.first().and_then(|limit| number(limit)), value.and_then(|value| number(value)));
    let with = |value: Option<String>| value.map_or(Mend::Nothing, |value| give(&said.key, &value));
    match said.operator.as_str() {
        "In" => (!is_listed).then(|| with(values.first().cloned())),
        "NotIn" => is_listed.then(|| Mend::Leave(said.key.clone())),
        "Exists" => value.is_none().then(|| with(Some("VALUE".to_owned()))),
        "DoesNotExist" => value.is_some().then(|| Mend::Leave(said.key.clone())),
        "Gt" => (has.zip(limit).is_none_or(|(has, limit)| has <= limit))
            .then(|| with(limit.and_then(|limit| limit.checked_add(1)).map(|value| value.to_string()))),
        "Lt" => (has.zip(limit).is_none_or(|(has, limit)| has >= limit))
            .then(|| with(limit.and_then(|limit| limit.checked_sub(1)).map(|value| value.to_string()))),
        // The API server takes no other.
        _ => Some(Mend::Nothing),
    }
}

/// The requirement as `kubectl get -l` writes it.
fn wanted(said: &NodeSelectorRequirement) -> String {
    let values = said.values.as_deref().unwrap_or_default().join(", ");
    let key = &said.key;
    match said.operator.as_str() {
        "In" => format!("{key} in ({values})"),
        "NotIn" => format!("{key} not in ({values})"),
        "Exists" => format!("a label {key}"),
        "DoesNotExist" => format!("no label {key}"),
        "Gt" | "Lt" => {
            let than = if said.operator == "Gt" { "greater" } else { "less" };
            let note = if values.parse::<i64>().is_ok() { "" } else { ", which is no whole number" };
            format!("{key} {than} than {values}{note}")
        }
        other => format!("{key} {other} ({values})"),
    }
}

/// The label as a mend; podling does not propose to call this host what it is not.
fn give(key: &str, value: &str) -> Mend {
    match key {
        OS | ARCH | BETA_OS | BETA_ARCH => Mend::Nothing,
        _ => Mend::Give(key.to_owned(), value.to_owned()),
    }
}

/// The labels with which this host would meet the term.
fn labels_for(term: &[Miss]) -> Option<String> {
    let label = |miss: &Miss| match &miss.mend {
        Mend::Give(key, value) => Some(format!("--node-label {key}={value}")),
        _ => None,
    };
    let labels: Option<Vec<String>> = term.iter().map(label).collect();
    labels.map(|labels| format!("{} would meet one", labels.join(" ")))
}

//! What a pod requires of the pods beside it: the required parts of `podAffinity` and `podAntiAffinity`.
//!
//! The pods beside it are those of the same input, which all run on this host. A plan does not know what else runs here.

use k8s_openapi::api::core::v1::{Pod, PodAffinityTerm};

use super::node::Node;
use super::selector::{means, namespace};
use super::{Bundle, Objection, Said};

const AFFINITY: &str = "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution";
const ANTI_AFFINITY: &str = "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution";

/// A required affinity that no pod of the input meets, nor the pod itself: kube-scheduler takes the first pod of those that want to be
/// together, if its own labels are what it asks for.
pub(super) fn affinity(node: &Node, pod: &Said<Pod>, bundle: &Bundle) -> Vec<Objection> {
    let affinity = pod.object.spec.as_ref().and_then(|spec| spec.affinity.as_ref()?.pod_affinity.as_ref());
    let terms = affinity.and_then(|said| said.required_during_scheduling_ignored_during_execution.as_deref());
    let terms = terms.unwrap_or_default();
    let mut objections: Vec<Objection> = terms
        .iter()
        .enumerate()
        .filter_map(|(at, term)| node.lacks(format!("{AFFINITY}[{at}].topologyKey"), &term.topology_key))
        .collect();
    let meets_all = |other: &Pod| terms.iter().all(|term| means(term, &pod.object, other));
    let mut candidates = others(pod, bundle).map(|other| &other.object).chain([&pod.object]);
    if !terms.is_empty() && !candidates.any(meets_all) {
        objections.push(Objection {
            path: if terms.len() == 1 { format!("{AFFINITY}[0]") } else { AFFINITY.to_owned() },
            why: "no pod of the input meets it, nor does the pod itself, so a scheduler would leave it pending"
                .to_owned(),
            mend: Some("give podling the pod that it belongs beside in the same input".to_owned()),
        });
    }
    objections
}

/// Each required anti-affinity to a pod of the same input, because both would run on this host.
pub(super) fn anti_affinity(node: &Node, pod: &Said<Pod>, bundle: &Bundle) -> Vec<Objection> {
    let clash = |(at, term): (usize, &PodAffinityTerm)| {
        // Nodes without the label are in no group, so nothing is kept apart there.
        node.labels.get(&term.topology_key)?;
        let other = others(pod, bundle).find(|other| means(term, &pod.object, &other.object))?;
        let name = other.object.metadata.name.as_deref().unwrap_or_default();
        let place = other.source.at("metadata.name");
        Some(Objection {
            path: format!("{ANTI_AFFINITY}[{at}]"),
            why: format!("it keeps the pod away from the pod {name:?} ({place}), and both would run on this host"),
            mend: Some("give podling one of them".to_owned()),
        })
    };
    anti_terms(&pod.object).iter().enumerate().filter_map(clash).collect()
}

/// Whether a required anti-affinity of the pod means pods like itself.
pub(super) fn keeps_apart(node: &Node, pod: &Pod) -> bool {
    anti_terms(pod).iter().any(|term| node.labels.contains_key(&term.topology_key) && means(term, pod, pod))
}

fn anti_terms(pod: &Pod) -> &[PodAffinityTerm] {
    let said = pod.spec.as_ref().and_then(|spec| spec.affinity.as_ref()?.pod_anti_affinity.as_ref());
    said.and_then(|said| said.required_during_scheduling_ignored_during_execution.as_deref()).unwrap_or_default()
}

/// The other pods of the input.
fn others<'a>(pod: &'a Said<Pod>, bundle: &'a Bundle) -> impl Iterator<Item = &'a Said<Pod>> {
    let key = |pod: &'a Said<Pod>| (namespace(&pod.object.metadata), pod.object.metadata.name.as_deref());
    bundle.pods.iter().chain(&bundle.neighbours).filter(move |other| key(other) != key(pod))
}

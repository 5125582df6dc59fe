//! Label selectors, and which pods a term of a pod affinity means.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, PodAffinityTerm};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, LabelSelectorRequirement, ObjectMeta};

/// The label by which a namespace can be selected; a cluster gives it to each.
const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

type Labels = BTreeMap<String, String>;

/// Whether the `term` of `owner` means `other`.
pub(super) fn means(term: &PodAffinityTerm, owner: &Pod, other: &Pod) -> bool {
    let none = Labels::new();
    let owners = owner.metadata.labels.as_ref().unwrap_or(&none);
    let others = other.metadata.labels.as_ref().unwrap_or(&none);
    // No selector means no pod; an empty one means all.
    let selected = term.label_selector.as_ref().is_some_and(|selector| matches(selector, others));
    // The values are the owner's own, and keys that it does not have are passed over.
    let same = |key: &String| owners.get(key).is_none_or(|value| others.get(key) == Some(value));
    let differs = |key: &String| owners.get(key).is_none_or(|value| others.get(key) != Some(value));
    selected
        && term.match_label_keys.iter().flatten().all(same)
        && term.mismatch_label_keys.iter().flatten().all(differs)
        && means_namespace(term, namespace(&owner.metadata), namespace(&other.metadata))
}

/// The namespace of an object.
pub(super) fn namespace(metadata: &ObjectMeta) -> &str {
    metadata.namespace.as_deref().filter(|namespace| !namespace.is_empty()).unwrap_or("default")
}

fn means_namespace(term: &PodAffinityTerm, own: &str, other: &str) -> bool {
    let listed = term.namespaces.as_deref().unwrap_or_default();
    match &term.namespace_selector {
        None if listed.is_empty() => own == other,
        None => listed.iter().any(|name| name == other),
        Some(selector) => {
            let labels = Labels::from([(NAMESPACE_NAME.to_owned(), other.to_owned())]);
            matches(selector, &labels) || listed.iter().any(|name| name == other)
        }
    }
}

/// Whether `labels` are what `selector` asks for.
fn matches(selector: &LabelSelector, labels: &Labels) -> bool {
    let meets = |said: &LabelSelectorRequirement| {
        let value = labels.get(&said.key);
        let is_listed = value.is_some_and(|value| said.values.iter().flatten().any(|listed| listed == value));
        match said.operator.as_str() {
            "In" => is_listed,
            "NotIn" => !is_listed,
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            // The API server takes no other.
            _ => false,
        }
    };
    let equal = |(key, value): (&String, &String)| labels.get(key) == Some(value);
    selector.match_labels.iter().flatten().all(equal) && selector.match_expressions.iter().flatten().all(meets)
}

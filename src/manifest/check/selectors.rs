//! Label selectors, and the requirements that they share with node selectors.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::{Check, key_path, names};

/// What the values of a requirement may be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Values {
    /// Values that a label can have.
    OfLabels,
    /// Whatever: a preference for a value that no label can have is met by no node, and harms nobody.
    Any,
}

impl Check<'_> {
    pub(super) fn selector(&mut self, path: &str, selector: Option<&LabelSelector>) {
        let Some(selector) = selector else { return };
        for (key, value) in selector.match_labels.iter().flatten() {
            let path = key_path(&format!("{path}.matchLabels"), key);
            self.grammar(&path, names::qualified_name(key));
            self.grammar(&path, names::label_value(value));
        }
        for (at, said) in selector.match_expressions.iter().flatten().enumerate() {
            let path = format!("{path}.matchExpressions[{at}]");
            self.grammar(&format!("{path}.key"), names::qualified_name(&said.key));
            let values = said.values.as_deref().unwrap_or_default();
            self.requirement(
                &path,
                &said.operator,
                values,
                &["In", "NotIn", "Exists", "DoesNotExist"],
                Values::OfLabels,
            );
        }
    }

    /// That the `labelSelector` at `path` says nothing about the `matchLabelKeys` beside it. An API server first adds to the selector what
    /// they mean, and takes none that then says two things about one of them; a key that the pod has no label for means nothing.
    pub(super) fn selected_once(
        &mut self,
        path: &str,
        keys: &[String],
        selector: Option<&LabelSelector>,
        labels: &BTreeMap<String, String>,
    ) {
        let Some(selector) = selector else { return };
        for (at, key) in keys.iter().enumerate() {
            let said = places(&format!("{path}.labelSelector"), selector, key);
            let meant = if labels.contains_key(key) {
                keys.iter().take(at + 1).filter(|other| *other == key).count()
            } else {
                0
            };
            if said.len() + meant < 2 {
                continue;
            }
            let why = match said.first() {
                Some(first) => format!("{key:?} is in the labelSelector, too, at {}", self.source.at(first)),
                None => format!("{key:?} is written twice"),
            };
            self.problem(&format!("{path}.matchLabelKeys[{at}]"), why).mend("remove one of them");
        }
    }

    /// One of `operators`, with the values that it takes.
    pub(super) fn requirement(
        &mut self,
        path: &str,
        operator: &str,
        values: &[String],
        operators: &[&str],
        kind: Values,
    ) {
        self.one_of(&format!("{path}.operator"), Some(operator), operators);
        match operator {
            "In" | "NotIn" if values.is_empty() => {
                self.problem(&format!("{path}.values"), format!("required where the operator is {operator}"));
            }
            "Gt" | "Lt" if values.len() != 1 => {
                let why = format!("{operator} takes exactly one value, found {}", values.len());
                self.problem(&format!("{path}.values"), why);
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                self.problem(
                    &format!("{path}.values"),
                    format!("must not be written where the operator is {operator}"),
                );
            }
            _ => {}
        }
        for (at, value) in values.iter().enumerate().filter(|_| kind == Values::OfLabels) {
            self.grammar(&format!("{path}.values[{at}]"), names::label_value(value));
        }
    }
}

/// Where the `selector` at `path` says something about the label `key`.
fn places(path: &str, selector: &LabelSelector, key: &str) -> Vec<String> {
    let equal = selector.match_labels.iter().flatten().filter(|(label, _)| *label == key);
    let equal = equal.map(|(label, _)| key_path(&format!("{path}.matchLabels"), label));
    let expressions = selector.match_expressions.iter().flatten().enumerate().filter(|(_, said)| said.key == key);
    equal.chain(expressions.map(|(at, _)| format!("{path}.matchExpressions[{at}].key"))).collect()
}

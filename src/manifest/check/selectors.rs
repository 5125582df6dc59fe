//! Label selectors, and the requirements that they share with node selectors.

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

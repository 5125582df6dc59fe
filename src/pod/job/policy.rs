//! What the failure of a pod means to its Job: `podFailurePolicy`, rule by rule.

use crate::plan::{FailureAction, FailureRule, Operator, Requirement};

/// How a pod has ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::pod) struct PodEnd {
    /// Its exit code; 0 is success.
    pub code: u8,
    /// The codes of its containers that have ended: of the init containers and of the others.
    pub init: Vec<(String, u8)>,
    /// See `init`.
    pub containers: Vec<(String, u8)>,
    /// Whether its condition `Initialized` holds.
    pub initialized: bool,
}

impl PodEnd {
    /// The conditions of a pod that has ended, in the order of its status.
    fn conditions(&self) -> [(&'static str, &'static str); 5] {
        let initialized = if self.initialized { "True" } else { "False" };
        [
            ("PodReadyToStartContainers", "False"),
            ("Initialized", initialized),
            ("Ready", "False"),
            ("ContainersReady", "False"),
            ("PodScheduled", "True"),
        ]
    }
}

/// What a rule says of a failed pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    pub action: FailureAction,
    /// Why, as the Job controller words it.
    pub why: String,
}

/// The verdict of the first rule that fits the failed pod `name` (`NAMESPACE/NAME`); without one its failure counts.
pub(super) fn judge(rules: &[FailureRule], name: &str, end: &PodEnd) -> Verdict {
    for (n, FailureRule { action, requirement }) in rules.iter().enumerate() {
        let fits = match requirement {
            Requirement::ExitCodes { container, operator, values } => {
                // The controller asks the containers before the init containers.
                let codes = end.containers.iter().chain(&end.init);
                let mut codes = codes.filter(|(name, _)| container.as_ref().is_none_or(|only| only == name));
                let is_listed = |code: u8| values.contains(&i32::from(code)) == (*operator == Operator::In);
                codes.find(|(_, code)| *code != 0 && is_listed(*code)).map(|(container, code)| {
                    format!("Container {container} for pod {name} failed with exit code {code} matching {action:?} rule at index {n}")
                })
            }
            Requirement::Conditions(patterns) => {
                let is_wanted = |(kind, status): &(&str, &str)| patterns.iter().any(|(k, s)| k == kind && s == status);
                end.conditions().into_iter().find(is_wanted).map(|(condition, _)| {
                    format!("Pod {name} has condition {condition} matching {action:?} rule at index {n}")
                })
            }
        };
        if let Some(why) = fits {
            return Verdict { action: *action, why };
        }
    }
    Verdict { action: FailureAction::Count, why: String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(action: FailureAction, container: Option<&str>, operator: Operator, values: &[i32]) -> FailureRule {
        let container = container.map(str::to_owned);
        FailureRule { action, requirement: Requirement::ExitCodes { container, operator, values: values.to_vec() } }
    }

    fn conditions(action: FailureAction, patterns: &[(&str, &str)]) -> FailureRule {
        let patterns = patterns.iter().map(|(kind, status)| ((*kind).to_owned(), (*status).to_owned())).collect();
        FailureRule { action, requirement: Requirement::Conditions(patterns) }
    }

    #[test]
    fn the_first_rule_that_fits_decides() {
        use FailureAction::{Count, FailIndex, FailJob, Ignore};
        let list = |list: &[(&str, u8)]| list.iter().map(|(name, code)| ((*name).to_owned(), *code)).collect();
        let end = |init: &[(&str, u8)], containers: &[(&str, u8)]| PodEnd {
            code: 1,
            init: list(init),
            containers: list(containers),
            initialized: init.iter().all(|(_, code)| *code == 0),
        };
        let plain = end(&[("i", 0)], &[("a", 0), ("b", 42)]);
        let rows = [
            (vec![], plain.clone(), Count, ""),
            (
                vec![codes(FailJob, None, Operator::In, &[42])],
                plain.clone(),
                FailJob,
                "Container b for pod d/p failed with exit code 42 matching FailJob rule at index 0",
            ),
            (vec![codes(FailJob, Some("a"), Operator::In, &[42])], plain.clone(), Count, ""),
            (vec![codes(FailJob, Some("b"), Operator::In, &[42])], plain.clone(), FailJob, "Container b"),
            // 0 is no failure, so NotIn does not see it.
            (vec![codes(FailJob, None, Operator::NotIn, &[42])], plain.clone(), Count, ""),
            (vec![codes(Ignore, None, Operator::NotIn, &[1, 2])], plain.clone(), Ignore, "exit code 42"),
            (
                vec![
                    codes(FailJob, None, Operator::In, &[7]),
                    codes(Ignore, None, Operator::In, &[42]),
                    codes(FailJob, None, Operator::In, &[42]),
                ],
                plain.clone(),
                Ignore,
                "at index 1",
            ),
            (vec![codes(FailIndex, None, Operator::In, &[3])], end(&[("i", 3)], &[]), FailIndex, "Container i"),
            (vec![conditions(Ignore, &[("DisruptionTarget", "True")])], plain.clone(), Count, ""),
            (
                vec![conditions(Ignore, &[("Other", "True"), ("Ready", "False")])],
                plain.clone(),
                Ignore,
                "Pod d/p has condition Ready matching Ignore rule at index 0",
            ),
            (
                vec![conditions(FailJob, &[("Initialized", "False")])],
                end(&[("i", 3)], &[]),
                FailJob,
                "condition Initialized",
            ),
            (vec![conditions(FailJob, &[("Initialized", "False")])], plain.clone(), Count, ""),
            (vec![conditions(FailJob, &[("PodScheduled", "True")])], plain, FailJob, "condition PodScheduled"),
        ];
        for (rules, end, action, why) in rows {
            let verdict = judge(&rules, "d/p", &end);
            assert_eq!(verdict.action, action, "{rules:?}");
            assert!(verdict.why.contains(why) && verdict.why.is_empty() == why.is_empty(), "{verdict:?}");
        }
    }
}

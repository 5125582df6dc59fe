//! What a container is to its pod, and when it starts again.

use k8s_openapi::api::core::v1::{Container, ContainerRestartRule};

use super::scope::{Scope, Subject};
use super::{Operator, Restart, RestartPolicy, RestartRule, Role};
use crate::error::Result;

/// The role of an init container: its own `restartPolicy: Always` makes a sidecar of it.
pub(super) fn init_role(container: &Container) -> Role {
    if container.restart_policy.as_deref() == Some("Always") { Role::Sidecar } else { Role::Init }
}

/// When the container starts again.
///
/// # Errors
/// For words that are none of the API's, and for rules without a policy.
pub(super) fn restart(subject: &Subject) -> Result<Restart> {
    let rules = subject.container.restart_policy_rules.as_deref().unwrap_or_default();
    if subject.role == Role::Ephemeral {
        // Nobody waits for an ephemeral container, and the kubelet starts none again.
        return Ok(Restart { rules: Vec::new(), policy: RestartPolicy::Never });
    }
    let policy = match subject.container.restart_policy.as_deref() {
        Some(said) => word(said).ok_or_else(|| subject.error("restartPolicy", unknown(said)))?,
        None if !rules.is_empty() => {
            return Err(subject.error("restartPolicyRules", "needs a restartPolicy beside it"));
        }
        None => match (pods_policy(subject.scope)?, subject.role) {
            (RestartPolicy::Always, Role::Init) => RestartPolicy::OnFailure,
            (policy, _) => policy,
        },
    };
    let rules = rules.iter().enumerate().map(|(i, said)| rule(subject, &format!("restartPolicyRules[{i}]"), said));
    Ok(Restart { rules: rules.collect::<Result<_>>()?, policy })
}

/// `spec.restartPolicy`.
///
/// # Errors
/// For a word that is none of the API's.
pub(super) fn pods_policy(scope: &Scope) -> Result<RestartPolicy> {
    match scope.spec.restart_policy.as_deref() {
        None | Some("") => Ok(RestartPolicy::Always),
        Some(said) => word(said).ok_or_else(|| scope.error("spec.restartPolicy", unknown(said))),
    }
}

fn rule(subject: &Subject, field: &str, said: &ContainerRestartRule) -> Result<RestartRule> {
    if said.action != "Restart" {
        let why = format!("{:?} is not honoured, only \"Restart\"", said.action);
        return Err(subject.error(&format!("{field}.action"), why));
    }
    let Some(codes) = &said.exit_codes else {
        return Err(subject.error(&format!("{field}.exitCodes"), "is missing"));
    };
    let operator = match codes.operator.as_str() {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        other => {
            let why = format!("{other:?} is neither In nor NotIn");
            return Err(subject.error(&format!("{field}.exitCodes.operator"), why));
        }
    };
    Ok(RestartRule { operator, codes: codes.values.clone().unwrap_or_default() })
}

fn word(said: &str) -> Option<RestartPolicy> {
    match said {
        "Always" => Some(RestartPolicy::Always),
        "OnFailure" => Some(RestartPolicy::OnFailure),
        "Never" => Some(RestartPolicy::Never),
        _ => None,
    }
}

fn unknown(said: &str) -> String {
    format!("{said:?} is none of Always, OnFailure and Never")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::plan::fixture::Fixture;
    use crate::plan::{ContainerPlan, Operator, RestartPolicy, RestartRule, Role};

    /// The plans of an init container and a regular one, both with `fields`, in a pod with `policy`.
    fn plans(policy: &str, fields: Value) -> (ContainerPlan, ContainerPlan) {
        let mut fixture = Fixture::container(fields.clone());
        let mut init = fixture.pod["spec"]["containers"][0].clone();
        init["name"] = json!("first");
        fixture.pod["spec"]["initContainers"] = json!([init]);
        fixture.pod["spec"]["restartPolicy"] = json!(policy);
        let mut plan = fixture.plan().unwrap();
        (plan.init_containers.remove(0), plan.containers.remove(0))
    }

    #[test]
    fn roles_and_policies() {
        use RestartPolicy::{Always, Never, OnFailure};
        for (pods, own, init, regular) in [
            ("Always", None, (Role::Init, OnFailure), Always),
            ("OnFailure", None, (Role::Init, OnFailure), OnFailure),
            ("Never", None, (Role::Init, Never), Never),
            ("Never", Some("Always"), (Role::Sidecar, Always), Always),
            ("Always", Some("OnFailure"), (Role::Init, OnFailure), OnFailure),
            ("Always", Some("Never"), (Role::Init, Never), Never),
        ] {
            let fields = own.map_or(json!({}), |own| json!({ "restartPolicy": own }));
            let (first, main) = plans(pods, fields);
            assert_eq!((first.role, first.restart.policy), init, "{pods} {own:?}");
            assert_eq!((main.role, main.restart.policy), (Role::Regular, regular), "{pods} {own:?}");
        }
    }

    #[test]
    fn rules_keep_their_order() {
        let rule = |operator: &str, values: Value| json!({ "action": "Restart", "exitCodes": { "operator": operator, "values": values } });
        let rules = json!([rule("In", json!([42, 0])), rule("NotIn", json!([1]))]);
        let (first, main) = plans("Never", json!({ "restartPolicy": "Never", "restartPolicyRules": rules }));
        let expected = [
            RestartRule { operator: Operator::In, codes: vec![42, 0] },
            RestartRule { operator: Operator::NotIn, codes: vec![1] },
        ];
        assert_eq!(first.restart.rules, expected);
        assert_eq!(main.restart.rules, expected);
    }

    #[test]
    fn impossible_rules() {
        let good = json!({ "action": "Restart", "exitCodes": { "operator": "In", "values": [1] } });
        for (fields, expected) in [
            (json!({ "restartPolicy": "always" }), "restartPolicy: \"always\""),
            (json!({ "restartPolicyRules": [good] }), "restartPolicyRules: needs a restartPolicy"),
            (
                json!({ "restartPolicy": "Never", "restartPolicyRules": [{ "action": "RestartAllContainers" }] }),
                "restartPolicyRules[0].action: \"RestartAllContainers\"",
            ),
            (
                json!({ "restartPolicy": "Never", "restartPolicyRules": [{ "action": "Restart" }] }),
                "restartPolicyRules[0].exitCodes: is missing",
            ),
            (
                json!({ "restartPolicy": "Never",
                    "restartPolicyRules": [{ "action": "Restart", "exitCodes": { "operator": "Is" } }] }),
                "exitCodes.operator: \"Is\"",
            ),
        ] {
            let refusal = Fixture::container(fields).refusal();
            assert!(refusal.contains(expected), "{refusal}");
        }
    }
}

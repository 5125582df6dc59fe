//! What the end of a container means, and whose turn it is: the rules of a pod's life, without a clock or a process.
//!
//! Sources: Kubernetes, "Pod Lifecycle", "Init Containers", "Sidecar Containers".

use crate::plan::{Operator, Restart, RestartPolicy, Role};

/// Why a container's process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// By itself or by a signal, whoever sent it: the code of the end says it all. That holds after a failed postStart hook, too, where
    /// the kubelet kills the container and looks at its code like at any other's (kuberuntime_container.go, `startContainer`).
    Own,
    /// Its liveness or startup probe failed: the kubelet has decided to start it again before it kills it, unless the policy is `Never`
    /// (kuberuntime_manager.go, `computePodActions`).
    Unwell,
}

/// Whether a container that has ended with `code` starts again.
pub(super) fn starts_again(role: Role, restart: &Restart, code: u8, cause: Cause) -> bool {
    match role {
        Role::Sidecar => return true,
        // One that has succeeded is done, whatever a policy or rule says: the kubelet asks them about failed ones alone.
        Role::Init if code == 0 => return false,
        _ => {}
    }
    let code = i32::from(code);
    let applies = |codes: &[i32], operator| codes.contains(&code) == (operator == Operator::In);
    if restart.rules.iter().any(|rule| applies(&rule.codes, rule.operator)) {
        return true;
    }
    match restart.policy {
        RestartPolicy::Always => true,
        RestartPolicy::OnFailure => code != 0 || cause == Cause::Unwell,
        RestartPolicy::Never => false,
    }
}

/// How far a container has come, as far as others depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stand {
    /// It was never started.
    New,
    /// It was started, but those after it still wait: for its end, its startup probe or its postStart hook.
    Busy,
    /// Those after it may start.
    Passed,
}

/// Who is to be started now, by their numbers. `containers` are the init containers and sidecars in their order, then the others.
pub(super) fn turn(containers: &[(Role, Stand)]) -> Vec<usize> {
    let mut starts = Vec::new();
    for (n, &(role, stand)) in containers.iter().enumerate() {
        match (role, stand) {
            (Role::Ephemeral, _) | (_, Stand::Passed) => {}
            (_, Stand::Busy) => break,
            // Nobody knows yet whether those after it have to wait for it.
            (Role::Init | Role::Sidecar, Stand::New) => {
                starts.push(n);
                break;
            }
            (Role::Regular, Stand::New) => starts.push(n),
        }
    }
    starts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::RestartRule;

    fn again(role: Role, policy: RestartPolicy, code: u8) -> bool {
        starts_again(role, &Restart { rules: Vec::new(), policy }, code, Cause::Own)
    }

    #[test]
    fn policies() {
        use RestartPolicy::{Always, Never, OnFailure};
        for (role, policy, code, expected) in [
            (Role::Regular, Always, 0, true),
            (Role::Regular, Always, 1, true),
            (Role::Regular, OnFailure, 0, false),
            (Role::Regular, OnFailure, 1, true),
            (Role::Regular, Never, 1, false),
            (Role::Init, Always, 0, false),
            (Role::Init, Always, 1, true),
            (Role::Init, OnFailure, 1, true),
            (Role::Init, Never, 1, false),
            (Role::Sidecar, Never, 0, true),
            (Role::Sidecar, Never, 137, true),
        ] {
            assert_eq!(again(role, policy, code), expected, "{role:?} {policy:?} {code}");
        }
        let on_failure = Restart { rules: Vec::new(), policy: OnFailure };
        assert!(starts_again(Role::Regular, &on_failure, 0, Cause::Unwell));
    }

    #[test]
    fn the_first_rule_that_matches_restarts_and_else_the_policy_decides() {
        let rule = |operator, codes: &[i32]| RestartRule { operator, codes: codes.to_vec() };
        let restart = Restart { rules: vec![rule(Operator::In, &[42, 43])], policy: RestartPolicy::Never };
        for (code, expected) in [(42, true), (43, true), (1, false), (0, false)] {
            assert_eq!(starts_again(Role::Regular, &restart, code, Cause::Own), expected, "{code}");
            assert_eq!(starts_again(Role::Init, &restart, code, Cause::Own), expected, "{code}");
        }
        let restart = Restart { rules: vec![rule(Operator::NotIn, &[0, 7])], policy: RestartPolicy::Never };
        assert_eq!([0, 7, 8].map(|code| starts_again(Role::Regular, &restart, code, Cause::Own)), [false, false, true]);
        let restart = Restart { rules: vec![rule(Operator::In, &[0])], policy: RestartPolicy::Never };
        assert!(starts_again(Role::Regular, &restart, 0, Cause::Own));
        assert!(!starts_again(Role::Init, &restart, 0, Cause::Own));
    }

    #[test]
    fn init_containers_go_one_after_the_other_and_the_others_follow() {
        use Role::{Init, Regular, Sidecar};
        use Stand::{Busy, New, Passed};
        for (containers, expected) in [
            (vec![(Init, New), (Init, New), (Regular, New)], vec![0]),
            (vec![(Init, Busy), (Init, New), (Regular, New)], vec![]),
            (vec![(Init, Passed), (Init, New), (Regular, New)], vec![1]),
            (vec![(Init, Passed), (Regular, New), (Regular, New)], vec![1, 2]),
            (vec![(Sidecar, New), (Sidecar, New), (Regular, New)], vec![0]),
            (vec![(Sidecar, Busy), (Sidecar, New), (Regular, New)], vec![]),
            (vec![(Sidecar, Passed), (Init, New), (Regular, New)], vec![1]),
            // The first one's postStart hook keeps the second.
            (vec![(Regular, Busy), (Regular, New)], vec![]),
            (vec![(Regular, Passed), (Regular, New)], vec![1]),
        ] {
            assert_eq!(turn(&containers), expected, "{containers:?}");
        }
    }
}

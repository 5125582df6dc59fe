//! What a container may do beyond its capabilities: privileges that it has or may gain, its root, and what the policy lets it ask for.

use super::Verdict;
use super::scope::{Scope, Subject};

/// `securityContext.privileged`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Privilege {
    /// As every container.
    Usual,
    /// All that the pod's root can have.
    Privileged,
}

/// Whether the container is privileged.
pub(super) fn privilege(subject: &Subject) -> Privilege {
    let said = subject.container.security_context.as_ref().and_then(|c| c.privileged);
    if said == Some(true) { Privilege::Privileged } else { Privilege::Usual }
}

/// `no_new_privs`: on unless `allowPrivilegeEscalation: true` is written, or what the API counts as that: a privileged container, or
/// CAP_SYS_ADMIN.
pub(super) fn no_new_privileges(subject: &Subject) -> bool {
    let context = subject.container.security_context.as_ref();
    let added = context.and_then(|c| c.capabilities.as_ref()).and_then(|c| c.add.as_ref());
    let admin = added.into_iter().flatten().any(|name| ["ALL", "SYS_ADMIN"].contains(&bare(name).as_str()));
    match context.and_then(|c| c.allow_privilege_escalation) {
        Some(said) => !said,
        None => privilege(subject) == Privilege::Usual && !admin,
    }
}

/// Whether the container's root is read-only.
pub(super) fn read_only_root(subject: &Subject) -> bool {
    subject.container.security_context.as_ref().and_then(|c| c.read_only_root_filesystem) == Some(true)
}

/// Whether paths of /proc and /sys are hidden and kept from writing: not where the YAML says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Masks {
    /// On both.
    All,
    /// `procMount: Unmasked`.
    SysOnly,
    /// A privileged container's.
    None,
}

/// Which masks the container has.
pub(super) fn masks(subject: &Subject) -> Masks {
    let unmasked =
        subject.container.security_context.as_ref().and_then(|c| c.proc_mount.as_deref()) == Some("Unmasked");
    match privilege(subject) {
        Privilege::Privileged => Masks::None,
        Privilege::Usual if unmasked => Masks::SysOnly,
        Privilege::Usual => Masks::All,
    }
}

/// What being privileged means here.
pub(super) fn report_privilege(subject: &Subject, report: &mut Vec<Verdict>) {
    if privilege(subject) == Privilege::Privileged {
        let how = "it has every capability over the pod's own namespaces and none over the host: it runs as the pod's root without a user namespace of \
                   its own (the last wall), seccomp or masked paths, and with those of the host's devices that the caller may open; \
                   what of /proc and /sys belongs to the host's root stays read-only";
        report.push(subject.verdict("securityContext.privileged", how));
    }
}

/// What `spec.hostUsers: true` means here.
pub(super) fn report_host_users(scope: &Scope, report: &mut Vec<Verdict>) {
    if scope.spec.host_users == Some(true) {
        let how = "a pod always has a user namespace, in which its root is the caller and every other user one of the caller's \
                   subordinate ids (of real root: a range that no user of the host has)";
        report.push(scope.verdict("spec.hostUsers", how));
    }
}

/// A capability's name as Kubernetes writes it: upper case, without `CAP_`.
pub(super) fn bare(name: &str) -> String {
    let upper = name.to_ascii_uppercase();
    upper.strip_prefix("CAP_").map(str::to_owned).unwrap_or(upper)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::plan::fixture::Fixture;
    use crate::plan::{Allow, SandboxOwner};

    fn with(context: Value) -> Fixture {
        Fixture::container(json!({ "securityContext": context }))
    }

    #[test]
    fn switches() {
        let said = json!({ "allowPrivilegeEscalation": true, "readOnlyRootFilesystem": true, "privileged": false,
                           "seccompProfile": { "type": "RuntimeDefault" } });
        let spec = with(said).spec();
        assert_eq!((&spec["process"]["noNewPrivileges"], &spec["root"]["readonly"]), (&json!(false), &json!(true)));
        let spec = with(json!({ "allowPrivilegeEscalation": false })).spec();
        assert_eq!((&spec["process"]["noNewPrivileges"], &spec["root"]["readonly"]), (&json!(true), &json!(false)));
        for (said, expected) in [
            (json!({ "privileged": true }), false),
            (json!({ "capabilities": { "add": ["SYS_ADMIN"] } }), false),
            (json!({ "capabilities": { "add": ["SYS_ADMIN"] }, "allowPrivilegeEscalation": false }), true),
            (json!({ "capabilities": { "add": ["NET_ADMIN"] } }), true),
        ] {
            assert_eq!(with(said.clone()).spec()["process"]["noNewPrivileges"], json!(expected), "{said}");
        }
    }

    #[test]
    fn a_privileged_container_has_no_wall_no_filter_and_no_masks() {
        let mut fixture = with(json!({ "privileged": true }));
        fixture.host.details.devices = ["/dev/kvm", "/dev/net/tun", "/dev/null"].map(Into::into).to_vec();
        let spec = fixture.spec();
        let linux = &spec["linux"];
        for field in ["seccomp", "maskedPaths", "readonlyPaths", "uidMappings"] {
            assert_eq!(linux.get(field), None, "{field}: {linux}");
        }
        let users = json!({ "type": "user", "path": "/run/pod/ns/user" });
        assert!(linux["namespaces"].as_array().unwrap().contains(&users));
        assert_eq!(fixture.plan().unwrap().sandbox.owner, SandboxOwner::Containers { pids: 2048 });
        let mounts = spec["mounts"].as_array().unwrap();
        let options = |path: &str| mounts.iter().find(|m| m["destination"] == path).map(|m| m["options"].to_string());
        assert!(!options("/sys").unwrap().contains("\"ro\""));
        assert!(options("/dev/kvm").is_some() && options("/dev/net/tun").is_some());
        assert_eq!(options("/dev/null"), None, "it is among the default ones");
        assert!(fixture.plan().unwrap().report[0].how.contains("none over the host"));
    }

    #[test]
    fn masks_stay_where_they_are_not_taken_away() {
        let paths = |fixture: &Fixture| {
            let linux = fixture.spec()["linux"].clone();
            let list = |field: &str| linux[field].as_array().cloned().unwrap_or_default();
            (list("maskedPaths").len(), list("readonlyPaths").len())
        };
        assert_eq!(paths(&with(json!({ "procMount": "Default" }))), (12, 5));
        let mut unmasked = with(json!({ "procMount": "Unmasked" }));
        unmasked.pod["spec"]["hostUsers"] = json!(false);
        assert_eq!(paths(&unmasked), (2, 0));
        assert_eq!(unmasked.plan().unwrap().report, []);
    }

    #[test]
    fn each_is_allowed_by_its_name() {
        for (field, said, allow) in [
            ("privileged", json!({ "privileged": true }), Allow::Privileged),
            ("procMount", json!({ "procMount": "Unmasked" }), Allow::ProcMount),
            ("seccompProfile.type", json!({ "seccompProfile": { "type": "Unconfined" } }), Allow::SeccompProfile),
            ("capabilities.add[0]", json!({ "capabilities": { "add": ["SYS_PTRACE"] } }), Allow::Capabilities),
        ] {
            let mut fixture = with(said);
            fixture.options.policy = None;
            let refusal = fixture.refusal();
            assert!(refusal.contains(&format!("spec.containers[0].securityContext.{field}: ")), "{refusal}");
            fixture.options.allow = vec![allow];
            fixture.plan().unwrap();
        }
    }

    #[test]
    fn host_users_are_never_the_hosts() {
        let mut fixture = with(json!({}));
        fixture.pod["spec"]["hostUsers"] = json!(true);
        assert_eq!(fixture.plan().unwrap().report[0].path, "spec.hostUsers");
        fixture.pod["spec"]["hostUsers"] = json!(false);
        assert_eq!(fixture.plan().unwrap().report, []);
    }
}

//! What a container may do: capabilities, `no_new_privs`, seccomp, and the fields that would ask for more.

use std::str::FromStr;

use oci_spec::runtime::{Capabilities, Capability, LinuxCapabilities};

use super::scope::Subject;
use crate::error::{Error, Result};

/// podman's default set.
const DEFAULT: [Capability; 11] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::NetBindService,
    Capability::Setfcap,
    Capability::Setgid,
    Capability::Setpcap,
    Capability::Setuid,
    Capability::SysChroot,
];

/// What may be added because the container's own user namespace governs it: its files and its processes.
const ADDABLE: [Capability; 2] = [Capability::DacReadSearch, Capability::SysPtrace];

/// What the kernel checks against the owner of the pod's network, ipc, uts, pid and mount namespaces.
const POD_OWNED: [Capability; 8] = [
    Capability::CheckpointRestore,
    Capability::IpcOwner,
    Capability::NetAdmin,
    Capability::NetBroadcast,
    Capability::NetRaw,
    Capability::SysAdmin,
    Capability::SysBoot,
    Capability::SysPacct,
];

/// A container's capabilities as sets of the OCI spec; inheritable and ambient stay empty.
pub(super) fn sets(held: &Capabilities) -> LinuxCapabilities {
    let mut sets = LinuxCapabilities::default();
    sets.set_bounding(Some(held.clone()))
        .set_permitted(Some(held.clone()))
        .set_effective(Some(held.clone()))
        .set_inheritable(Some(Capabilities::new()))
        .set_ambient(Some(Capabilities::new()));
    sets
}

/// The default set with `securityContext.capabilities` applied: `drop: [ALL]` first, then what is added, then what is
/// dropped by name, as containerd does.
///
/// # Errors
/// For an unknown name, and for an added capability that does nothing behind the last wall.
pub(super) fn capabilities(subject: &Subject) -> Result<Capabilities> {
    let mut held = Capabilities::from(DEFAULT);
    let said = subject.container.security_context.as_ref().and_then(|c| c.capabilities.as_ref());
    let Some(said) = said else { return Ok(held) };
    let drop: Vec<_> = said.drop.iter().flatten().map(|name| bare(name)).collect();
    if drop.iter().any(|name| name == "ALL") {
        held.clear();
    }
    for (i, name) in said.add.iter().flatten().enumerate() {
        held.insert(added(subject, &format!("securityContext.capabilities.add[{i}]"), name)?);
    }
    for (i, name) in drop.iter().enumerate().filter(|(_, name)| *name != "ALL") {
        held.remove(&known(subject, &format!("securityContext.capabilities.drop[{i}]"), name)?);
    }
    Ok(held)
}

/// `no_new_privs`: on unless `allowPrivilegeEscalation: true` is written.
pub(super) fn no_new_privileges(subject: &Subject) -> bool {
    subject.container.security_context.as_ref().and_then(|c| c.allow_privilege_escalation) != Some(true)
}

/// Whether the container's root is read-only.
pub(super) fn read_only_root(subject: &Subject) -> bool {
    subject.container.security_context.as_ref().and_then(|c| c.read_only_root_filesystem) == Some(true)
}

/// Refuses what asks for more than a plan can give: `privileged`, and seccomp profiles other than RuntimeDefault.
pub(super) fn check(subject: &Subject) -> Result<()> {
    let own = subject.container.security_context.as_ref();
    if own.and_then(|c| c.privileged) == Some(true) {
        let why = "podling keeps every container behind a user namespace of its own (the last wall) yet, so none is privileged";
        return Err(subject.error("securityContext.privileged", why));
    }
    let pod = subject.scope.spec.security_context.as_ref().and_then(|p| p.seccomp_profile.as_ref());
    let (path, profile) = match own.and_then(|c| c.seccomp_profile.as_ref()) {
        Some(profile) => (format!("{}.securityContext.seccompProfile.type", subject.path), Some(profile)),
        None => ("spec.securityContext.seccompProfile.type".to_owned(), pod),
    };
    match profile.map(|profile| profile.type_.as_str()) {
        None | Some("RuntimeDefault") => Ok(()),
        Some(other) => {
            Err(subject.scope.error(&path, format!("{other:?} is not honoured yet, only \"RuntimeDefault\"")))
        }
    }
}

fn added(subject: &Subject, field: &str, name: &str) -> Result<Capability> {
    if bare(name) == "ALL" {
        let why = "podling keeps every container behind a user namespace of its own (the last wall) yet, so not all capabilities can be given";
        return Err(refused(subject, field, why));
    }
    let capability = known(subject, field, name)?;
    if DEFAULT.contains(&capability) || ADDABLE.contains(&capability) {
        return Ok(capability);
    }
    let governs = if POD_OWNED.contains(&capability) {
        "it governs the pod's own namespaces, and podling keeps every container behind a user namespace of its own (the last wall) yet"
    } else {
        "the kernel honours it only for the host's own root, and podling keeps every container behind a user namespace of its own (the last wall) yet"
    };
    Err(refused(subject, field, &format!("CAP_{} cannot be given: {governs}", bare(name))))
}

fn refused(subject: &Subject, field: &str, why: &str) -> Error {
    subject.error(field, why).mend("remove it; binding ports below 1024 and ping work without it")
}

fn known(subject: &Subject, field: &str, name: &str) -> Result<Capability> {
    Capability::from_str(&bare(name)).map_err(|_| {
        subject
            .error(field, format!("{name:?} is not a capability"))
            .mend("capabilities(7) lists them, as in NET_BIND_SERVICE")
    })
}

/// A capability's name as Kubernetes writes it: upper case, without `CAP_`.
fn bare(name: &str) -> String {
    let upper = name.to_ascii_uppercase();
    upper.strip_prefix("CAP_").map(str::to_owned).unwrap_or(upper)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::plan::fixture::Fixture;

    fn with(capabilities: Value) -> Fixture {
        Fixture::container(json!({ "securityContext": { "capabilities": capabilities } }))
    }

    #[test]
    fn add_and_drop() {
        for (said, expected) in [
            (json!({ "drop": ["ALL"] }), vec![]),
            (json!({ "drop": ["all"], "add": ["CAP_CHOWN", "kill"] }), vec!["CAP_CHOWN", "CAP_KILL"]),
            (json!({ "drop": ["ALL", "KILL"], "add": ["CHOWN", "KILL"] }), vec!["CAP_CHOWN"]),
            (json!({ "drop": ["ALL"], "add": ["SYS_PTRACE"] }), vec!["CAP_SYS_PTRACE"]),
        ] {
            let sets = &with(said.clone()).spec()["process"]["capabilities"];
            for set in ["bounding", "permitted", "effective"] {
                assert_eq!(sets[set], json!(expected), "{said}");
            }
            assert_eq!((&sets["inheritable"], &sets["ambient"]), (&json!([]), &json!([])));
        }
        let kept = with(json!({ "drop": ["NET_ADMIN", "MKNOD", "CHOWN"] })).spec();
        assert_eq!(kept["process"]["capabilities"]["bounding"].as_array().unwrap().len(), 10);
    }

    #[test]
    fn what_needs_the_last_wall_gone_is_refused_by_name() {
        for name in
            ["NET_ADMIN", "SYS_ADMIN", "CAP_SYS_TIME", "sys_module", "SYS_BOOT", "SYS_RAWIO", "MKNOD", "NET_RAW", "ALL"]
        {
            let refusal = with(json!({ "add": [name] })).refusal();
            assert!(refusal.contains("last wall") && refusal.contains("capabilities.add[0]"), "{refusal}");
        }
        assert!(with(json!({ "add": ["KILL", "FLY"] })).refusal().contains("add[1]: \"FLY\" is not a capability"));
        assert!(with(json!({ "drop": ["FLY"] })).refusal().contains("drop[0]"));
        for said in [json!({ "privileged": true }), json!({ "seccompProfile": { "type": "Unconfined" } })] {
            assert!(Fixture::container(json!({ "securityContext": said })).plan().is_err());
        }
    }

    #[test]
    fn switches() {
        let said = json!({ "allowPrivilegeEscalation": true, "readOnlyRootFilesystem": true, "privileged": false,
                           "seccompProfile": { "type": "RuntimeDefault" } });
        let spec = Fixture::container(json!({ "securityContext": said })).spec();
        assert_eq!((&spec["process"]["noNewPrivileges"], &spec["root"]["readonly"]), (&json!(false), &json!(true)));
        let spec = Fixture::container(json!({ "securityContext": { "allowPrivilegeEscalation": false } })).spec();
        assert_eq!((&spec["process"]["noNewPrivileges"], &spec["root"]["readonly"]), (&json!(true), &json!(false)));
    }
}

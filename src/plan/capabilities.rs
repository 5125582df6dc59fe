//! A container's capabilities, and whether the last wall can stand around them.

use std::str::FromStr;

use oci_spec::runtime::{Capabilities, Capability, LinuxCapabilities};

use super::scope::Subject;
use super::security::bare;
use super::{Namespace, Verdict, sandbox, security};
use crate::error::Result;

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

/// The last user namespace of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wall {
    /// It is around the container, whose capabilities govern its own files and processes.
    Stands,
    /// The container is in the user namespace that owns the pod's other namespaces, and its capabilities govern those, too.
    Gone,
}

/// What a container holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Held {
    pub capabilities: Capabilities,
    pub wall: Wall,
}

/// Where the kernel looks for a capability, and so what it is good for (capabilities(7), user_namespaces(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Governs {
    /// The user namespace that the container's files and processes belong to.
    Container,
    /// The owner of the pod's network, ipc and uts namespaces and of the container's mounts.
    Pod,
    /// The host's user namespace only.
    Host,
}

impl Held {
    /// The capabilities as sets of the OCI spec; inheritable and ambient stay empty.
    pub fn sets(&self) -> LinuxCapabilities {
        let mut sets = LinuxCapabilities::default();
        sets.set_bounding(Some(self.capabilities.clone()))
            .set_permitted(Some(self.capabilities.clone()))
            .set_effective(Some(self.capabilities.clone()))
            .set_inheritable(Some(Capabilities::new()))
            .set_ambient(Some(Capabilities::new()));
        sets
    }
}

/// The default set with `securityContext.capabilities` applied: what `ALL` adds and drops first, then what is added, then what is
/// dropped by name, as containerd does. A privileged container has all.
///
/// # Errors
/// For an unknown name.
pub(super) fn held(subject: &Subject, report: &mut Vec<Verdict>) -> Result<Held> {
    if security::privilege(subject) == security::Privilege::Privileged {
        return Ok(Held { capabilities: all(), wall: Wall::Gone });
    }
    let mut held = Capabilities::from(DEFAULT);
    let said = subject.container.security_context.as_ref().and_then(|c| c.capabilities.as_ref());
    let names = |list: Option<&Vec<String>>| list.into_iter().flatten().map(|name| bare(name)).collect::<Vec<_>>();
    let (add, drop) = (names(said.and_then(|s| s.add.as_ref())), names(said.and_then(|s| s.drop.as_ref())));
    let is_all = |name: &String| name == "ALL";
    if add.iter().any(is_all) {
        held = all();
    }
    if drop.iter().any(is_all) {
        held.clear();
    }
    for (i, name) in add.iter().enumerate().filter(|(_, name)| !is_all(name)) {
        held.insert(known(subject, &format!("securityContext.capabilities.add[{i}]"), name)?);
    }
    for (i, name) in drop.iter().enumerate().filter(|(_, name)| !is_all(name)) {
        held.remove(&known(subject, &format!("securityContext.capabilities.drop[{i}]"), name)?);
    }
    for (i, name) in add.iter().enumerate() {
        let capability = Capability::from_str(name).ok();
        let how = match capability.map(|capability| (held.contains(&capability), governs(subject, capability))) {
            Some((false, _) | (true, Governs::Container)) => continue,
            Some((true, Governs::Pod)) => format!(
                "CAP_{name} governs the pod's own namespaces and nothing of the host, so the container runs without a user namespace of its own (the last wall)"
            ),
            Some((true, Governs::Host)) => {
                format!("CAP_{name} is held, but the kernel honours it only for the host's root")
            }
            None if held.is_empty() => continue,
            None => "the capabilities govern the pod's own namespaces and nothing of the host, so the container runs without a user namespace of its own (the last wall)".to_owned(),
        };
        report.push(subject.verdict(&format!("securityContext.capabilities.add[{i}]"), how));
    }
    let wall = if held.iter().any(|held| governs(subject, *held) == Governs::Pod) { Wall::Gone } else { Wall::Stands };
    Ok(Held { capabilities: held, wall })
}

fn governs(subject: &Subject, capability: Capability) -> Governs {
    use Capability::{DacReadSearch, IpcOwner, Mknod, NetAdmin, NetBroadcast, NetRaw, SysAdmin, SysPtrace};
    let owner = |whose: Namespace| if whose == Namespace::Own { Governs::Pod } else { Governs::Host };
    match capability {
        SysAdmin => Governs::Pod,
        NetAdmin | NetBroadcast | NetRaw => owner(sandbox::network(subject.scope.spec)),
        IpcOwner => owner(sandbox::ipc(subject.scope.spec)),
        DacReadSearch | SysPtrace => Governs::Container,
        // No device can be made, but the whiteouts of an overlay can.
        Mknod => Governs::Host,
        other if DEFAULT.contains(&other) => Governs::Container,
        _ => Governs::Host,
    }
}

fn all() -> Capabilities {
    caps::all().iter().filter_map(|c| Capability::from_str(&bare(&c.to_string())).ok()).collect()
}

fn known(subject: &Subject, field: &str, name: &str) -> Result<Capability> {
    Capability::from_str(name).map_err(|_| {
        subject
            .error(field, format!("{name:?} is not a capability"))
            .mend("capabilities(7) lists them, as in NET_BIND_SERVICE")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::plan::fixture::Fixture;

    fn with(capabilities: Value) -> Fixture {
        Fixture::container(json!({ "securityContext": { "capabilities": capabilities } }))
    }

    fn has_wall(spec: &Value) -> bool {
        spec["linux"]["namespaces"].as_array().unwrap().contains(&json!({ "type": "user" }))
    }

    #[test]
    fn add_and_drop() {
        for (said, expected) in [
            (json!({ "drop": ["ALL"] }), vec![]),
            (json!({ "drop": ["all"], "add": ["CAP_CHOWN", "kill"] }), vec!["CAP_CHOWN", "CAP_KILL"]),
            (json!({ "drop": ["ALL", "KILL"], "add": ["CHOWN", "KILL"] }), vec!["CAP_CHOWN"]),
            (json!({ "drop": ["ALL"], "add": ["ALL", "KILL"] }), vec!["CAP_KILL"]),
            (json!({ "drop": ["ALL"], "add": ["SYS_PTRACE"] }), vec!["CAP_SYS_PTRACE"]),
        ] {
            let spec = with(said.clone()).spec();
            let sets = &spec["process"]["capabilities"];
            for set in ["bounding", "permitted", "effective"] {
                assert_eq!(sets[set], json!(expected), "{said}");
            }
            assert_eq!((&sets["inheritable"], &sets["ambient"]), (&json!([]), &json!([])));
            assert!(has_wall(&spec));
        }
        let kept = with(json!({ "drop": ["NET_ADMIN", "MKNOD", "CHOWN"] })).spec();
        assert_eq!(kept["process"]["capabilities"]["bounding"].as_array().unwrap().len(), 10);
    }

    #[test]
    fn what_governs_the_pods_namespaces_takes_the_wall_away_and_says_so() {
        for name in ["NET_ADMIN", "sys_admin", "CAP_NET_RAW", "IPC_OWNER", "ALL"] {
            let fixture = with(json!({ "add": [name] }));
            let spec = fixture.spec();
            assert!(!has_wall(&spec), "{name}");
            assert_eq!(spec["linux"].get("uidMappings"), None, "{name}");
            let report = fixture.plan().unwrap().report;
            assert!(report[0].how.contains("last wall") && report[0].path.ends_with("capabilities.add[0]"), "{name}");
        }
        let all = with(json!({ "add": ["all"] })).spec();
        assert_eq!(all["process"]["capabilities"]["effective"].as_array().unwrap().len(), 41);
        let dropped = with(json!({ "add": ["NET_ADMIN"], "drop": ["NET_ADMIN"] }));
        assert!(has_wall(&dropped.spec()) && dropped.plan().unwrap().report.is_empty());
    }

    #[test]
    fn what_only_the_hosts_root_has_is_held_to_no_effect() {
        for name in ["SYS_TIME", "SYS_BOOT", "sys_module", "SYS_RAWIO", "MKNOD", "AUDIT_WRITE"] {
            let fixture = with(json!({ "add": [name] }));
            assert!(has_wall(&fixture.spec()), "{name}");
            let report = fixture.plan().unwrap().report;
            assert!(report[0].how.contains("only for the host's root"), "{name}: {report:?}");
        }
        // In the host's network the pod owns nothing.
        let mut host = with(json!({ "add": ["NET_ADMIN"] }));
        host.pod["spec"]["hostNetwork"] = json!(true);
        assert!(has_wall(&host.spec()));
    }

    #[test]
    fn what_is_not_allowed_and_what_is_unknown_is_refused() {
        let mut fixture = with(json!({ "add": ["KILL", "NET_ADMIN"] }));
        fixture.options.policy = None;
        let refusal = fixture.refusal();
        assert!(refusal.contains("capabilities.add[1]"), "{refusal}");
        assert!(with(json!({ "add": ["KILL", "FLY"] })).refusal().contains("add[1]: \"FLY\" is not a capability"));
        assert!(with(json!({ "drop": ["FLY"] })).refusal().contains("drop[0]"));
    }
}

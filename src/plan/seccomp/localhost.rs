//! Seccomp profiles of the host (`type: Localhost`): files as OCI's runtime spec has them, or as docker and podman write them, which name
//! architectures, capabilities and kernels that a rule is for.

use std::collections::BTreeMap;

use oci_spec::runtime::{
    Capabilities, Capability, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompArgBuilder,
    LinuxSeccompOperator, LinuxSyscall,
};
use serde::Deserialize;

use super::{CHANGE_OWNER, architecture, value};
use crate::error::Result;
use crate::host::HostFacts;
use crate::plan::Verdict;
use crate::plan::scope::Subject;
use crate::plan::security::bare;

/// The profile `name`, for a container that holds `capabilities`.
///
/// # Errors
/// A profile that cannot be read or is none, and what a filter of podling's cannot do, at the field `path`.
pub(super) fn profile(
    subject: &Subject,
    path: &str,
    name: &str,
    capabilities: &Capabilities,
    report: &mut Vec<Verdict>,
) -> Result<LinuxSeccomp> {
    let scope = subject.scope;
    let refuse = |why: String| scope.error(path, format!("seccomp profile {name:?}: {why}"));
    let text = match scope.host.details.seccomp_profiles.get(name) {
        Some(Ok(text)) => text,
        Some(Err(why)) => return Err(refuse(why.clone())),
        None => return Err(refuse("it was not read".to_owned())),
    };
    let written: Profile = serde_json::from_str(text).map_err(|e| refuse(e.to_string()))?;
    let (profile, foreign) = translate(written, capabilities, scope.host).map_err(refuse)?;
    // What no filter can express is said here, with the field, and not when the pod starts.
    crate::runtime::seccomp::compile(&profile).map_err(|e| refuse(e.what().to_owned()))?;
    if foreign {
        let how = format!("calls of programs for another architecture than {} end the process", scope.host.arch);
        report.push(scope.verdict(path, how));
    }
    Ok(profile)
}

/// A profile as written.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Profile {
    default_action: LinuxSeccompAction,
    default_errno_ret: Option<u32>,
    default_errno: Option<String>,
    #[serde(default)]
    architectures: Option<Vec<String>>,
    #[serde(default)]
    arch_map: Option<Vec<ArchitectureMap>>,
    #[serde(default)]
    flags: Option<Vec<String>>,
    listener_path: Option<String>,
    listener_metadata: Option<String>,
    #[serde(default)]
    syscalls: Option<Vec<Rule>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ArchitectureMap {
    architecture: String,
    #[serde(default)]
    sub_architectures: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    #[serde(default)]
    names: Option<Vec<String>>,
    name: Option<String>,
    action: LinuxSeccompAction,
    errno_ret: Option<u32>,
    errno: Option<String>,
    #[serde(default)]
    args: Option<Vec<Argument>>,
    #[serde(default, rename = "comment")]
    _comment: Option<String>,
    #[serde(default)]
    includes: Option<Condition>,
    #[serde(default)]
    excludes: Option<Condition>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Argument {
    index: usize,
    value: u64,
    value_two: Option<u64>,
    op: LinuxSeccompOperator,
}

/// What a rule is for, or not for.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Condition {
    #[serde(default)]
    arches: Option<Vec<String>>,
    #[serde(default)]
    caps: Option<Vec<String>>,
    min_kernel: Option<String>,
}

/// The same as the runtime takes it, and whether it is about other architectures, too.
fn translate(
    written: Profile,
    capabilities: &Capabilities,
    host: &HostFacts,
) -> std::result::Result<(LinuxSeccomp, bool), String> {
    if written.listener_path.is_some() || written.listener_metadata.is_some() {
        return Err("podling has no process that would answer for calls (listenerPath)".to_owned());
    }
    // All of podling's containers are started by processes of one thread, so TSYNC has nothing to do.
    if let Some(flag) = written.flags.iter().flatten().find(|flag| *flag != "SECCOMP_FILTER_FLAG_TSYNC") {
        return Err(format!("the flag {flag:?} is not honoured"));
    }
    let own = architecture(&host.arch).map(|arch| arch.to_string()).unwrap_or_default();
    let mapped = written.arch_map.iter().flatten();
    let mapped = mapped.filter(|map| map.architecture == own).flat_map(|map| &map.sub_architectures);
    let named: Vec<&String> = written.architectures.iter().flatten().chain(mapped.flatten()).collect();
    let foreign = named.iter().any(|arch| **arch != own);
    let mut rules = Vec::new();
    for rule in written.syscalls.into_iter().flatten() {
        if applies(&rule, capabilities, host)? {
            rules.push(syscall(rule)?);
        }
    }
    let mut profile = LinuxSeccomp::default();
    profile
        .set_default_action(written.default_action)
        .set_default_errno_ret(errno(written.default_errno_ret, written.default_errno.as_deref())?)
        .set_architectures(architecture(&host.arch).map(|arch| vec![arch]))
        .set_syscalls(Some(rules));
    if host.ids.is_single() {
        answer_changes_of_owner(&mut profile);
    }
    Ok((profile, foreign))
}

/// Whether a rule is for a container with `capabilities` on this host.
fn applies(rule: &Rule, capabilities: &Capabilities, host: &HostFacts) -> std::result::Result<bool, String> {
    let held = |name: &String| {
        let known = bare(name).parse::<Capability>().map_err(|_| format!("{name:?} is not a capability"))?;
        Ok::<bool, String>(capabilities.contains(&known))
    };
    let here = |arch: &String| *arch == host.arch;
    let reached = |version: &str| {
        let mut numbers = version.split('.').map(str::parse::<u32>);
        match (numbers.next(), numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor)), None) => Ok(host.details.kernel >= (major, minor)),
            _ => Err(format!("{version:?} is not the version of a kernel, as in 4.8")),
        }
    };
    if let Some(condition) = &rule.includes {
        let arches = condition.arches.as_deref().unwrap_or_default();
        let caps = condition.caps.iter().flatten().map(held).collect::<std::result::Result<Vec<_>, _>>()?;
        let kernel = condition.min_kernel.as_deref().map(reached).transpose()?;
        if (!arches.is_empty() && !arches.iter().any(here)) || caps.contains(&false) || kernel == Some(false) {
            return Ok(false);
        }
    }
    if let Some(condition) = &rule.excludes {
        let caps = condition.caps.iter().flatten().map(held).collect::<std::result::Result<Vec<_>, _>>()?;
        let kernel = condition.min_kernel.as_deref().map(reached).transpose()?;
        if condition.arches.iter().flatten().any(here) || caps.contains(&true) || kernel == Some(true) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn syscall(rule: Rule) -> std::result::Result<LinuxSyscall, String> {
    let names: Vec<String> = rule.names.into_iter().flatten().chain(rule.name).collect();
    if names.is_empty() {
        return Err("a rule names no system call".to_owned());
    }
    let args = rule.args.into_iter().flatten().map(argument).collect::<std::result::Result<Vec<_>, _>>()?;
    let mut syscall = LinuxSyscall::default();
    syscall
        .set_names(names)
        .set_action(rule.action)
        .set_errno_ret(errno(rule.errno_ret, rule.errno.as_deref())?)
        .set_args(Some(args).filter(|args| !args.is_empty()));
    Ok(syscall)
}

fn argument(said: Argument) -> std::result::Result<LinuxSeccompArg, String> {
    let builder = LinuxSeccompArgBuilder::default().index(said.index).op(said.op).value(said.value);
    let builder = if let Some(two) = said.value_two { builder.value_two(two) } else { builder };
    builder.build().map_err(|e| e.to_string())
}

/// An errno by its number, or, as podman's profiles have it besides, by its name.
fn errno(number: Option<u32>, name: Option<&str>) -> std::result::Result<Option<u32>, String> {
    let Some(name) = name.filter(|name| !name.is_empty() && number.is_none()) else { return Ok(number) };
    let known = BTreeMap::from([
        ("EPERM", libc::EPERM),
        ("ENOENT", libc::ENOENT),
        ("EACCES", libc::EACCES),
        ("EINVAL", libc::EINVAL),
        ("ENOSYS", libc::ENOSYS),
        ("EOPNOTSUPP", libc::EOPNOTSUPP),
        ("EAFNOSUPPORT", libc::EAFNOSUPPORT),
    ]);
    let unknown = || format!("the error {name:?} is not known; write its number (errnoRet)");
    known.get(name).and_then(|n| u32::try_from(*n).ok()).map(Some).ok_or_else(unknown)
}

/// With one id a change of owner can only be an illusion; where the profile allows it, it is answered with success.
fn answer_changes_of_owner(profile: &mut LinuxSeccomp) {
    let allow = LinuxSeccompAction::ScmpActAllow;
    let is_owner = |name: &String| CHANGE_OWNER.contains(&name.as_str());
    let mut answered = Vec::new();
    let mut named = Vec::new();
    for rule in profile.syscalls().iter().flatten() {
        let (owner, other): (Vec<String>, Vec<String>) = rule.names().iter().cloned().partition(is_owner);
        named.extend(owner.iter().cloned());
        if rule.action() != allow || owner.is_empty() {
            answered.push(rule.clone());
            continue;
        }
        let mut success = rule.clone();
        success.set_names(owner).set_action(LinuxSeccompAction::ScmpActErrno).set_errno_ret(Some(value::SUCCESS));
        answered.push(success);
        if !other.is_empty() {
            let mut rest = rule.clone();
            rest.set_names(other);
            answered.push(rest);
        }
    }
    if profile.default_action() == allow {
        let rest = CHANGE_OWNER.iter().filter(|name| !named.iter().any(|named| named == *name)).copied();
        let rest: Vec<&str> = rest.collect();
        if !rest.is_empty() {
            answered.push(super::errno(&rest, value::SUCCESS));
        }
    }
    profile.set_syscalls(Some(answered));
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::plan::fixture::Fixture;
    use crate::runtime::seccomp::interpret::{ALLOW, EPERM, call};

    const SUCCESS: u32 = 0x0005_0000;

    fn fixture(profile: &Value) -> Fixture {
        let said = json!({ "type": "Localhost", "localhostProfile": "p.json" });
        let mut fixture = Fixture::container(json!({ "securityContext": { "seccompProfile": said } }));
        fixture.host.arch = crate::host::architecture().to_owned();
        fixture.host.details.kernel = (5, 10);
        fixture.host.details.seccomp_profiles.insert("p.json".to_owned(), Ok(profile.to_string()));
        fixture
    }

    fn answer(fixture: &Fixture, name: &str, args: [u64; 6]) -> u32 {
        let profile = serde_json::from_value(fixture.spec()["linux"]["seccomp"].clone()).unwrap();
        call(&profile, name, args)
    }

    #[test]
    fn rules_with_arguments_errors_and_actions() {
        let profile = fixture(&json!({
            "defaultAction": "SCMP_ACT_ERRNO",
            "defaultErrnoRet": 1,
            "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"],
            "syscalls": [
                { "names": ["read", "write", "msync"], "action": "SCMP_ACT_ALLOW" },
                { "names": ["personality"], "action": "SCMP_ACT_ALLOW",
                  "args": [{ "index": 0, "value": 8, "valueTwo": 0, "op": "SCMP_CMP_EQ" }] },
                { "name": "ptrace", "action": "SCMP_ACT_ERRNO", "errnoRet": 2, "args": null },
                { "names": ["getcwd"], "action": "SCMP_ACT_LOG" },
                { "names": ["chroot"], "action": "SCMP_ACT_KILL_PROCESS" },
                { "names": ["acct"], "action": "SCMP_ACT_TRACE", "errnoRet": 7 },
                { "names": ["capset"], "action": "SCMP_ACT_TRAP" },
                { "names": ["mount"], "action": "SCMP_ACT_ERRNO", "errno": "ENOSYS" },
                // Beyond every other number, so that all of these are in the profile's time.
                { "names": ["mseal"], "action": "SCMP_ACT_ALLOW" },
            ],
        }));
        for (name, first, expected) in [
            ("read", 0, ALLOW),
            ("personality", 8, ALLOW),
            ("personality", 9, EPERM),
            ("ptrace", 0, 0x0005_0002),
            ("getcwd", 0, 0x7ffc_0000),
            ("chroot", 0, 0x8000_0000),
            ("acct", 0, 0x7ff0_0007),
            ("capset", 0, 0x0003_0000),
            ("mount", 0, 0x0005_0026),
            ("kcmp", 0, EPERM),
        ] {
            assert_eq!(answer(&profile, name, [first, 0, 0, 0, 0, 0]), expected, "{name}({first})");
        }
    }

    #[test]
    fn conditions_of_dockers_form() {
        let rule = |name: &str, field: &str, condition: Value| json!({ "names": [name], "action": "SCMP_ACT_ALLOW", "comment": "", "includes": {}, field: condition });
        let profile = fixture(&json!({
            "defaultAction": "SCMP_ACT_ERRNO",
            "archMap": [],
            "syscalls": [
                rule("read", "includes", json!({ "arches": ["amd64", "arm64"] })),
                rule("readv", "includes", json!({ "arches": ["s390x"] })),
                rule("write", "includes", json!({ "caps": ["CAP_CHOWN"] })),
                rule("writev", "includes", json!({ "caps": ["CAP_SYS_ADMIN"] })),
                rule("ptrace", "includes", json!({ "minKernel": "4.8" })),
                rule("acct", "includes", json!({ "minKernel": "5.11" })),
                rule("getcwd", "excludes", json!({ "caps": ["CAP_SYS_ADMIN"], "arches": ["s390x"], "minKernel": "6.0" })),
                rule("capget", "excludes", json!({ "caps": ["CAP_CHOWN"] })),
                rule("mseal", "excludes", json!({})),
            ],
        }));
        for (name, expected) in [
            ("read", ALLOW),
            ("readv", EPERM),
            ("write", ALLOW),
            ("writev", EPERM),
            ("ptrace", ALLOW),
            ("acct", EPERM),
            ("getcwd", ALLOW),
            ("capget", EPERM),
        ] {
            assert_eq!(answer(&profile, name, [0; 6]), expected, "{name}");
        }
        let own = fixture(
            &json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": [if cfg!(target_arch = "x86_64") { "SCMP_ARCH_X86_64" } else { "SCMP_ARCH_AARCH64" }] }),
        );
        assert!(own.plan().unwrap().report.is_empty());
        let foreign = fixture(
            &json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"] }),
        );
        assert!(foreign.plan().unwrap().report[0].how.contains("another architecture"));
    }

    #[test]
    fn with_one_id_what_is_allowed_of_owners_is_answered() {
        let allow = fixture(&json!({ "defaultAction": "SCMP_ACT_ALLOW" })).single_id();
        assert_eq!((answer(&allow, "fchown", [0; 6]), answer(&allow, "read", [0; 6])), (SUCCESS, ALLOW));
        let rules = json!([{ "names": ["fchown", "read"], "action": "SCMP_ACT_ALLOW" }, { "names": ["mseal"], "action": "SCMP_ACT_ALLOW" }]);
        let listed = fixture(&json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules })).single_id();
        assert_eq!((answer(&listed, "fchown", [0; 6]), answer(&listed, "read", [0; 6])), (SUCCESS, ALLOW));
        assert_eq!(answer(&listed, "fchownat", [0; 6]), EPERM);
    }

    #[test]
    fn what_is_no_profile_or_cannot_be_done_is_refused_at_its_field() {
        let allow = |fields: Value| {
            let mut profile = json!({ "defaultAction": "SCMP_ACT_ALLOW" });
            profile.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
            profile
        };
        for (profile, expected) in [
            (json!("x"), "invalid type"),
            (json!({ "syscalls": [] }), "defaultAction"),
            (allow(json!({ "sycalls": [] })), "unknown field `sycalls`"),
            (allow(json!({ "listenerPath": "/run/x" })), "listenerPath"),
            (allow(json!({ "flags": ["SECCOMP_FILTER_FLAG_LOG"] })), "FILTER_FLAG_LOG"),
            (allow(json!({ "syscalls": [{ "names": ["read"], "action": "SCMP_ACT_NOTIFY" }] })), "SCMP_ACT_NOTIFY"),
            (
                allow(json!({ "syscalls": [{ "names": ["read"], "action": "SCMP_ACT_ERRNO", "errno": "EODD" }] })),
                "EODD",
            ),
            (allow(json!({ "syscalls": [{ "names": ["read"], "action": "SCMP_ACT_MAYBE" }] })), "SCMP_ACT_MAYBE"),
            (allow(json!({ "syscalls": [{ "action": "SCMP_ACT_ALLOW" }] })), "names no system call"),
            (
                allow(
                    json!({ "syscalls": [{ "names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{ "index": 6, "value": 0, "op": "SCMP_CMP_EQ" }] }] }),
                ),
                "calls have six",
            ),
            (
                allow(
                    json!({ "syscalls": [{ "names": ["read"], "action": "SCMP_ACT_ALLOW", "includes": { "minKernel": "new" } }] }),
                ),
                "\"new\" is not the version",
            ),
        ] {
            let refusal = fixture(&profile).refusal();
            assert!(refusal.contains("seccompProfile.localhostProfile: ") && refusal.contains(expected), "{refusal}");
        }
        let mut missing = fixture(&json!({}));
        missing.host.details.seccomp_profiles.insert("p.json".to_owned(), Err("cannot read it".to_owned()));
        assert!(missing.refusal().contains("cannot read it"));
    }
}

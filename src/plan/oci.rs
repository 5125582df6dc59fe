//! One container as an OCI runtime spec.

use std::path::PathBuf;

use oci_spec::runtime::{
    Capabilities, Linux, LinuxNamespace, LinuxNamespaceType, PosixRlimitBuilder, PosixRlimitType, Process, Root, Spec,
    User,
};

use super::scope::Subject;
use super::user::Identity;
use super::{Late, Processes, SecretStrings, Verdict, command, env, mounts, seccomp, security};
use crate::error::{Error, Result};

/// Processes and threads of one pod at any time.
const PIDS: u64 = 2048;

/// The spec of a container that runs as `identity`, which of its strings hold values of Secrets, and which are known only later.
pub(super) fn spec(
    subject: &Subject,
    identity: &Identity,
    report: &mut Vec<Verdict>,
) -> Result<(Spec, SecretStrings, Late)> {
    let held = security::capabilities(subject)?;
    let mut root = Root::default();
    root.set_path(subject.scope.paths.run_dir.join("rootfs").join(&subject.container.name))
        .set_readonly(Some(security::read_only_root(subject)));
    let (process, secret, late) = process(subject, identity, &held, report)?;
    let mut spec = Spec::default();
    spec.set_version("1.1.0".to_owned())
        .set_root(Some(root))
        .set_mounts(Some(mounts::mounts(subject)?))
        .set_hostname(None)
        .set_annotations(None)
        .set_process(Some(process))
        .set_linux(Some(linux(subject, identity, &held)?));
    Ok((spec, secret, late))
}

fn process(
    subject: &Subject,
    identity: &Identity,
    held: &Capabilities,
    report: &mut Vec<Verdict>,
) -> Result<(Process, SecretStrings, Late)> {
    let said = env::said_variables(subject, report)?;
    let env = env::environment(subject, &said, &identity.home)?;
    let args = command::arguments(subject, &said)?;
    let secret = SecretStrings {
        env: env.secret_names(),
        args: args.iter().enumerate().filter(|(_, arg)| arg.secret).map(|(i, _)| i).collect(),
    };
    let late = env.late(&args);
    let mut user = User::default();
    user.set_uid(identity.uid)
        .set_gid(identity.gid)
        .set_umask(Some(0o022))
        .set_additional_gids(Some(identity.groups.clone()).filter(|groups| !groups.is_empty()));
    // The kernel counts RLIMIT_NPROC for each user namespace and its descendants (since 5.14), so set before the
    // container's last user namespace is made, it bounds the whole pod.
    let pids = PosixRlimitBuilder::default().typ(PosixRlimitType::RlimitNproc).hard(PIDS).soft(PIDS).build();
    let pids = pids.map_err(|e| Error::new(e.to_string()))?;
    let mut process = Process::default();
    process
        .set_terminal((subject.container.tty == Some(true)).then_some(true))
        .set_user(user)
        .set_args(Some(args.into_iter().map(|arg| arg.value).collect()))
        .set_env(Some(env.strings()))
        .set_cwd(command::working_dir(subject)?)
        .set_capabilities(Some(security::sets(held)))
        .set_rlimits(Some(vec![pids]))
        .set_no_new_privileges(Some(security::no_new_privileges(subject)));
    Ok((process, secret, late))
}

fn linux(subject: &Subject, identity: &Identity, held: &Capabilities) -> Result<Linux> {
    let mut linux = Linux::default();
    linux
        .set_namespaces(Some(namespaces(subject)))
        .set_uid_mappings(Some(identity.uid_mappings.clone()))
        .set_gid_mappings(Some(identity.gid_mappings.clone()))
        .set_masked_paths(Some(mounts::masked_paths()))
        .set_readonly_paths(Some(mounts::read_only_paths()))
        .set_resources(None)
        .set_devices(None)
        .set_seccomp(Some(seccomp::runtime_default(held, subject.scope.host)?));
    Ok(linux)
}

/// New mount and cgroup namespaces, a pid namespace that is new or the pod's, the pod's net, ipc and uts, and the last wall: one
/// more user namespace.
fn namespaces(subject: &Subject) -> Vec<LinuxNamespace> {
    let namespace = |typ: LinuxNamespaceType, path: Option<PathBuf>| {
        let mut namespace = LinuxNamespace::default();
        namespace.set_typ(typ).set_path(path);
        namespace
    };
    let pods = |name: &str| Some(subject.scope.paths.run_dir.join("ns").join(name));
    let pid = match subject.scope.processes() {
        Processes::Apart => None,
        Processes::Shared => pods("pid"),
    };
    vec![
        namespace(LinuxNamespaceType::Pid, pid),
        namespace(LinuxNamespaceType::Mount, None),
        namespace(LinuxNamespaceType::Cgroup, None),
        namespace(LinuxNamespaceType::Network, pods("net")),
        namespace(LinuxNamespaceType::Ipc, pods("ipc")),
        namespace(LinuxNamespaceType::Uts, pods("uts")),
        namespace(LinuxNamespaceType::User, None),
    ]
}

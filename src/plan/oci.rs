//! One container as an OCI runtime spec.

use std::path::PathBuf;

use oci_spec::runtime::{
    Linux, LinuxNamespace, LinuxNamespaceType, PosixRlimitBuilder, PosixRlimitType, Process, Root, Spec, User,
};

use super::capabilities::{Held, Wall};
use super::labels::{Labels, labels};
use super::scope::Subject;
use super::text::Vars;
use super::user::Identity;
use super::{Late, Namespace, Processes, SecretStrings, Verdict, command, env, mounts, sandbox, seccomp, security};
use crate::error::{Error, Result};

/// The spec of a container that runs as `identity` and holds `held`, which of its strings hold values of Secrets, and which are known
/// only later.
pub(super) fn spec(
    subject: &Subject,
    identity: &Identity,
    held: &Held,
    report: &mut Vec<Verdict>,
) -> Result<(Spec, SecretStrings, Late)> {
    let labels = labels(subject, report)?;
    let mut root = Root::default();
    root.set_path(subject.scope.paths.run_dir.join("rootfs").join(&subject.container.name))
        .set_readonly(Some(security::read_only_root(subject)));
    let said = env::said_variables(subject, report)?;
    let (process, mut secret, late) = process(subject, identity, held, &labels, &said)?;
    let (mounts, with_secrets) = mounts::mounts(subject, &said, report)?;
    secret.mounts = with_secrets;
    let mut spec = Spec::default();
    spec.set_version("1.1.0".to_owned())
        .set_root(Some(root))
        .set_mounts(Some(mounts))
        .set_hostname(None)
        .set_annotations(None)
        .set_process(Some(process))
        .set_linux(Some(linux(subject, identity, held, labels, report)?));
    Ok((spec, secret, late))
}

fn process(
    subject: &Subject,
    identity: &Identity,
    held: &Held,
    labels: &Labels,
    said: &Vars,
) -> Result<(Process, SecretStrings, Late)> {
    let env = env::environment(subject, said, &identity.home)?;
    let args = command::arguments(subject, said)?;
    let secret = SecretStrings {
        env: env.secret_names(),
        args: args.iter().enumerate().filter(|(_, arg)| arg.secret).map(|(i, _)| i).collect(),
        mounts: Vec::new(),
    };
    let late = env.late(&args);
    let mut user = User::default();
    user.set_uid(identity.uid)
        .set_gid(identity.gid)
        .set_umask(Some(0o022))
        .set_additional_gids(Some(identity.groups.clone()).filter(|groups| !groups.is_empty()));
    // The kernel counts RLIMIT_NPROC for each user namespace and its descendants (since 5.14), so set before the
    // container's last user namespace is made, it bounds the whole pod.
    let pids =
        PosixRlimitBuilder::default().typ(PosixRlimitType::RlimitNproc).hard(sandbox::PIDS).soft(sandbox::PIDS).build();
    let pids = pids.map_err(|e| Error::new(e.to_string()))?;
    let mut process = Process::default();
    process
        .set_terminal((subject.container.tty == Some(true)).then_some(true))
        .set_user(user)
        .set_args(Some(args.into_iter().map(|arg| arg.value).collect()))
        .set_env(Some(env.strings()))
        .set_cwd(command::working_dir(subject)?)
        .set_capabilities(Some(held.sets()))
        .set_apparmor_profile(labels.apparmor.clone())
        .set_selinux_label(labels.selinux.clone())
        .set_rlimits(Some(vec![pids]))
        .set_no_new_privileges(Some(security::no_new_privileges(subject)));
    Ok((process, secret, late))
}

fn linux(
    subject: &Subject,
    identity: &Identity,
    held: &Held,
    labels: Labels,
    report: &mut Vec<Verdict>,
) -> Result<Linux> {
    let listed = |paths: Vec<String>| Some(paths).filter(|paths| !paths.is_empty());
    let mut linux = Linux::default();
    linux
        .set_namespaces(Some(namespaces(subject, held.wall)))
        .set_masked_paths(listed(mounts::masked_paths(subject)))
        .set_readonly_paths(listed(mounts::read_only_paths(subject)))
        .set_resources(None)
        .set_devices(None)
        .set_mount_label(labels.mount)
        .set_seccomp(seccomp::profile(subject, &held.capabilities, report)?);
    if held.wall == Wall::Stands {
        linux
            .set_uid_mappings(Some(identity.uid_mappings.clone()))
            .set_gid_mappings(Some(identity.gid_mappings.clone()));
    }
    Ok(linux)
}

/// New mount and cgroup namespaces, a pid namespace that is new or the pod's, the pod's net, ipc and uts, except where those are the host's, and the
/// last wall: one more user namespace, or the one that owns net, ipc and uts.
fn namespaces(subject: &Subject, wall: Wall) -> Vec<LinuxNamespace> {
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
    let mut namespaces = vec![
        namespace(LinuxNamespaceType::Pid, pid),
        namespace(LinuxNamespaceType::Mount, None),
        namespace(LinuxNamespaceType::Cgroup, None),
    ];
    if sandbox::network(subject.scope.spec) == Namespace::Own {
        namespaces.push(namespace(LinuxNamespaceType::Network, pods("net")));
    }
    if sandbox::ipc(subject.scope.spec) == Namespace::Own {
        namespaces.push(namespace(LinuxNamespaceType::Ipc, pods("ipc")));
    }
    namespaces.push(namespace(LinuxNamespaceType::Uts, pods("uts")));
    namespaces.push(match wall {
        Wall::Stands => namespace(LinuxNamespaceType::User, None),
        Wall::Gone => namespace(LinuxNamespaceType::User, pods("user")),
    });
    namespaces
}

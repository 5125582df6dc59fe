//! The plan of a pod: every decision put together.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use oci_spec::runtime::{
    Capabilities, Linux, LinuxNamespace, LinuxNamespaceType, PosixRlimitBuilder, PosixRlimitType, Process, Root, Spec,
    User,
};

use super::scope::{Scope, Subject, plain_name};
use super::user::Identity;
use super::{
    ContainerPlan, Options, PodPaths, PodPlan, RestartPolicy, Verdict, command, env, mounts, seccomp, security, signal,
    user, volumes,
};
use crate::error::{Error, Result};
use crate::host::HostFacts;
use crate::image::Image;
use crate::manifest::{Bundle, Said};

/// Processes and threads of one pod at any time.
const PIDS: u64 = 2048;

/// Decides everything about one pod: pure, so the same input always gives the same plan.
///
/// `images` holds the image of each container by the string that the YAML writes.
///
/// # Errors
/// For a field that cannot be honoured here, with its file and line, and for an image that is not among `images`.
pub fn plan(
    pod: &Said<Pod>,
    bundle: &Bundle,
    images: &BTreeMap<String, Image>,
    host: &HostFacts,
    paths: &PodPaths,
    options: &Options,
) -> Result<PodPlan> {
    let Some(spec) = &pod.object.spec else { return Err(pod.source.error("spec", "is missing")) };
    let name = options.name.as_ref().or(pod.object.metadata.name.as_ref()).filter(|name| !name.is_empty());
    let Some(name) = name else {
        return Err(pod.source.error("metadata.name", "is missing").mend("write a name, or give one with --name"));
    };
    let hostname = hostname(spec, name);
    let scope = Scope { said: pod, spec, bundle, host, ids: &host.ids, paths, options, hostname: &hostname };
    let mut report = Vec::new();
    let volumes = volumes::volumes(&scope, &mut report)?;
    let mut container_plans = |list: &[Container], path: &str| -> Result<Vec<ContainerPlan>> {
        let one = |(i, said): (usize, &Container)| container(&scope, images, said, format!("{path}[{i}]"), &mut report);
        list.iter().enumerate().map(one).collect()
    };
    let init_containers = container_plans(spec.init_containers.as_deref().unwrap_or_default(), "spec.initContainers")?;
    let containers = container_plans(&spec.containers, "spec.containers")?;
    if host.ids.is_single() {
        let how = "the caller has no subordinate ids: files of every owner appear as the container's own user's, \
                   and changing a file's owner is answered with success and does nothing";
        report.push(scope.verdict("spec.containers", how));
    }
    Ok(PodPlan {
        name: name.clone(),
        ids: host.ids.clone(),
        restart_policy: restart_policy(&scope)?,
        grace_period: grace_period(&scope)?,
        run_dir: paths.run_dir.clone(),
        volumes,
        init_containers,
        containers,
        report,
        hostname,
    })
}

fn container(
    scope: &Scope,
    images: &BTreeMap<String, Image>,
    said: &Container,
    path: String,
    report: &mut Vec<Verdict>,
) -> Result<ContainerPlan> {
    let name = plain_name(scope, &format!("{path}.name"), &said.name)?;
    let image = said.image.as_deref().unwrap_or_default();
    let Some(image) = images.get(image) else {
        return Err(scope.error(&format!("{path}.image"), format!("image {image:?} is not in the store")));
    };
    let subject = Subject { scope, container: said, image, path };
    security::check(&subject)?;
    let identity = user::identity(&subject, report)?;
    let state = scope.paths.state_dir.join(name);
    Ok(ContainerPlan {
        name: name.to_owned(),
        image: image.reference.clone(),
        layers: image.layers.clone(),
        upper: state.join("upper"),
        work: state.join("work"),
        stop_signal: stop_signal(&subject)?,
        spec: container_spec(&subject, &identity, report)?,
    })
}

fn container_spec(subject: &Subject, identity: &Identity, report: &mut Vec<Verdict>) -> Result<Spec> {
    let held = security::capabilities(subject)?;
    let mut root = Root::default();
    root.set_path(subject.scope.paths.run_dir.join("rootfs").join(&subject.container.name))
        .set_readonly(Some(security::read_only_root(subject)));
    let mut spec = Spec::default();
    spec.set_version("1.2.0".to_owned())
        .set_root(Some(root))
        .set_mounts(Some(mounts::mounts(subject)?))
        .set_hostname(None)
        .set_annotations(None)
        .set_process(Some(process(subject, identity, &held, report)?))
        .set_linux(Some(linux(subject, identity, &held)?));
    Ok(spec)
}

fn process(subject: &Subject, identity: &Identity, held: &Capabilities, report: &mut Vec<Verdict>) -> Result<Process> {
    let said = env::said_variables(subject, report)?;
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
        .set_terminal(None)
        .set_user(user)
        .set_args(Some(command::arguments(subject, &said)?))
        .set_env(Some(env::environment(subject, &said, &identity.home)?.strings()))
        .set_cwd(command::working_dir(subject)?)
        .set_capabilities(Some(security::sets(held)))
        .set_rlimits(Some(vec![pids]))
        .set_no_new_privileges(Some(security::no_new_privileges(subject)));
    Ok(process)
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

/// New pid, mount and cgroup namespaces, the pod's net, ipc and uts, and the last wall: one more user namespace.
fn namespaces(subject: &Subject) -> Vec<LinuxNamespace> {
    let namespace = |typ: LinuxNamespaceType, path: Option<PathBuf>| {
        let mut namespace = LinuxNamespace::default();
        namespace.set_typ(typ).set_path(path);
        namespace
    };
    let pods = |name: &str| Some(subject.scope.paths.run_dir.join("ns").join(name));
    vec![
        namespace(LinuxNamespaceType::Pid, None),
        namespace(LinuxNamespaceType::Mount, None),
        namespace(LinuxNamespaceType::Cgroup, None),
        namespace(LinuxNamespaceType::Network, pods("net")),
        namespace(LinuxNamespaceType::Ipc, pods("ipc")),
        namespace(LinuxNamespaceType::Uts, pods("uts")),
        namespace(LinuxNamespaceType::User, None),
    ]
}

/// `spec.hostname`, else the pod's name, cut to the 63 bytes that a host name may have.
fn hostname(spec: &PodSpec, name: &str) -> String {
    let said = spec.hostname.as_deref().filter(|hostname| !hostname.is_empty()).unwrap_or(name);
    let mut end = said.len().min(63);
    while !said.is_char_boundary(end) {
        end -= 1;
    }
    said.get(..end).unwrap_or(said).trim_end_matches(['-', '.']).to_owned()
}

fn restart_policy(scope: &Scope) -> Result<RestartPolicy> {
    match scope.spec.restart_policy.as_deref() {
        None | Some("" | "Always") => Ok(RestartPolicy::Always),
        Some("OnFailure") => Ok(RestartPolicy::OnFailure),
        Some("Never") => Ok(RestartPolicy::Never),
        Some(other) => {
            Err(scope.error("spec.restartPolicy", format!("{other:?} is none of Always, OnFailure and Never")))
        }
    }
}

fn grace_period(scope: &Scope) -> Result<Duration> {
    let seconds = scope.spec.termination_grace_period_seconds.unwrap_or(30);
    let why = |_| scope.error("spec.terminationGracePeriodSeconds", format!("{seconds} is negative"));
    u64::try_from(seconds).map(Duration::from_secs).map_err(why)
}

fn stop_signal(subject: &Subject) -> Result<i32> {
    let Some(name) = subject.config().and_then(|c| c.stop_signal().as_deref()).filter(|name| !name.is_empty()) else {
        return Ok(libc::SIGTERM);
    };
    let unknown = || -> Error {
        let why =
            format!("image {:?} asks to be stopped with {name:?}, which is not a signal", subject.image.reference);
        subject.error("image", why)
    };
    signal::number(name).ok_or_else(unknown)
}

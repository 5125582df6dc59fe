//! What the pod's containers share: whose network and ipc namespaces, and the kernel's settings in them; and which details of the host
//! the plan of a pod depends on.

use k8s_openapi::api::core::v1::{Container, Pod, PodSpec, Sysctl};
use nix::errno::Errno;
use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType};

use super::scope::Scope;
use super::{ContainerPlan, Namespace, SandboxOwner, SandboxPlan, Sysfs, Verdict};
use crate::error::Result;
use crate::host::sysctl::why_not;
use crate::host::{Detail, HostFacts};
use crate::manifest::{Objection, Said};

/// Processes and threads of one pod at any time.
pub(super) const PIDS: u64 = 2048;

/// What a plan of `pod` has to know about the host besides what every plan does.
pub(super) fn wanted(pod: &Pod) -> Vec<Detail> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let mut wanted = Vec::new();
    let mut want = |detail: Detail| {
        if !wanted.contains(&detail) {
            wanted.push(detail);
        }
    };
    if ipc(spec) == Namespace::Hosts {
        want(Detail::Ipc);
    }
    let pods = spec.security_context.as_ref();
    let containers = || spec.init_containers.iter().flatten().chain(&spec.containers);
    let own = || containers().filter_map(|container| container.security_context.as_ref());
    if own().any(|context| context.privileged == Some(true)) {
        want(Detail::Devices);
    }
    let profiles = own().map(|c| c.seccomp_profile.as_ref()).chain([pods.and_then(|c| c.seccomp_profile.as_ref())]);
    for name in profiles.flatten().filter_map(|profile| profile.localhost_profile.as_ref()) {
        want(Detail::SeccompProfile(name.clone()));
    }
    let labelled = own().any(|c| c.app_armor_profile.is_some() || c.se_linux_options.is_some());
    if labelled || pods.is_some_and(|c| c.app_armor_profile.is_some() || c.se_linux_options.is_some()) {
        want(Detail::SecurityModules);
    }
    let sysctls: Vec<String> =
        sysctls(spec).filter(|(_, name)| is_own(spec, name)).map(|(_, name)| file(name)).collect();
    if !sysctls.is_empty() {
        want(Detail::Sysctls(sysctls));
    }
    wanted
}

/// The settings among the pod's that its kernel refuses to a pod.
pub(super) fn objections(pod: &Said<Pod>, host: &HostFacts) -> Vec<Objection> {
    let refused = |(i, name): (usize, &str)| {
        let errno = *host.details.refused_sysctls.get(&file(name))?;
        let why = why_not(errno).unwrap_or("the kernel refuses it");
        let mend = match errno {
            Errno::ENOENT => "leave it out, or load the module of the kernel that it is one of",
            _ => "leave it out",
        };
        let path = format!("spec.securityContext.sysctls[{i}].name");
        Some(Objection { path, why: format!("{name:?}: {why}"), mend: Some(mend.to_owned()) })
    };
    pod.object.spec.iter().flat_map(sysctls).filter_map(refused).collect()
}

/// The names of the pod's sysctls, with their places in the list.
fn sysctls(spec: &PodSpec) -> impl Iterator<Item = (usize, &str)> {
    let said = spec.security_context.as_ref().and_then(|context| context.sysctls.as_ref());
    said.into_iter().flatten().map(|sysctl| sysctl.name.as_str()).enumerate()
}

/// Whether a sysctl is of a namespace that is the pod's own.
fn is_own(spec: &PodSpec, name: &str) -> bool {
    match namespaced(name) {
        Some(Kind::Network) => network(spec) == Namespace::Own,
        Some(Kind::Ipc) => ipc(spec) == Namespace::Own,
        None => false,
    }
}

/// Whose network namespace the containers are in.
pub(super) fn network(spec: &PodSpec) -> Namespace {
    if spec.host_network == Some(true) { Namespace::Hosts } else { Namespace::Own }
}

/// Whose ipc namespace they are in.
pub(super) fn ipc(spec: &PodSpec) -> Namespace {
    if spec.host_ipc == Some(true) { Namespace::Hosts } else { Namespace::Own }
}

/// Decides what the containers share.
///
/// # Errors
/// For a sysctl that is not of the pod's own namespaces.
pub(super) fn sandbox(scope: &Scope, report: &mut Vec<Verdict>) -> Result<SandboxPlan> {
    let (network, ipc) = (network(scope.spec), ipc(scope.spec));
    if network == Namespace::Hosts {
        let how = "the pod's root owns nothing in the host's network: what needs the host's root there, as ports below the host's \
                   net.ipv4.ip_unprivileged_port_start or raw sockets, is refused by the kernel; /sys is the host's, read-only";
        report.push(scope.verdict("spec.hostNetwork", how));
    }
    let said = scope.spec.security_context.as_ref().and_then(|context| context.sysctls.as_ref());
    let of = |(i, sysctl): (usize, &Sysctl)| {
        let path = format!("spec.securityContext.sysctls[{i}].name");
        match namespaced(&sysctl.name) {
            Some(Kind::Network) if network == Namespace::Hosts => {
                Err(scope.error(&path, format!("{:?} would be the host's, since hostNetwork is true", sysctl.name)))
            }
            Some(Kind::Ipc) if ipc == Namespace::Hosts => {
                Err(scope.error(&path, format!("{:?} would be the host's, since hostIPC is true", sysctl.name)))
            }
            Some(_) => Ok((file(&sysctl.name), sysctl.value.clone())),
            None => Err(scope
                .error(&path, format!("{:?} is one setting of the whole machine, not of a namespace", sysctl.name))
                .mend(OF_A_POD)),
        }
    };
    let sysctls = said.into_iter().flatten().enumerate().map(of).collect::<Result<_>>()?;
    let privileged = |(_, container): (String, &Container)| {
        container.security_context.as_ref().and_then(|context| context.privileged) == Some(true)
    };
    let sysfs = if scope.containers().any(privileged) { Sysfs::Writable } else { Sysfs::ReadOnly };
    Ok(SandboxPlan { network, ipc, sysctls, owner: SandboxOwner::Supervisor, sysfs })
}

/// Who must own what the `containers` share: a user namespace of theirs where one of them governs it.
pub(super) fn owner<'a>(containers: impl IntoIterator<Item = &'a ContainerPlan>) -> SandboxOwner {
    let joins = |namespace: &LinuxNamespace| namespace.typ() == LinuxNamespaceType::User && namespace.path().is_some();
    let namespaces =
        containers.into_iter().filter_map(|container| container.spec.linux().as_ref()?.namespaces().as_ref());
    match namespaces.flatten().any(joins) {
        true => SandboxOwner::Containers { pids: PIDS },
        false => SandboxOwner::Supervisor,
    }
}

/// Which sysctls can be set at all.
pub(super) const OF_A_POD: &str = "those of a pod begin with net., kernel.shm, kernel.msg, kernel.sem or fs.mqueue.";

/// Whether a sysctl is of a pod's namespaces, and not one setting of the whole machine.
pub(super) fn is_of_a_pod(name: &str) -> bool {
    namespaced(name).is_some()
}

/// Which of a pod's namespaces has a sysctl.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Network,
    Ipc,
}

/// The namespace of a sysctl, as the kubelet tells it.
fn namespaced(name: &str) -> Option<Kind> {
    let name = dotted(name);
    let ipc = name == "kernel.sem" || ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|p| name.starts_with(p));
    if ipc { Some(Kind::Ipc) } else { name.starts_with("net.").then_some(Kind::Network) }
}

/// The path of a sysctl below /proc/sys.
fn file(name: &str) -> String {
    swap(&dotted(name))
}

/// Its name with dots between the parts. Where the first separator is a slash, slashes stand between them and a dot is part of a name, as in
/// `net/ipv4/conf/eth0.1/forwarding` (sysctl.d(5)).
fn dotted(name: &str) -> String {
    let first = name.find(['.', '/']).and_then(|at| name.get(at..=at));
    if first == Some("/") { swap(name) } else { name.to_owned() }
}

fn swap(name: &str) -> String {
    let other = |c| match c {
        '/' => '.',
        '.' => '/',
        c => c,
    };
    name.chars().map(other).collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::{Value, json};

    use super::*;
    use crate::plan::fixture::Fixture;

    fn sysctl(name: &str) -> Value {
        json!({ "sysctls": [{ "name": name, "value": "1" }] })
    }

    #[test]
    fn sysctls_of_the_pods_namespaces() {
        for (name, expected) in [
            ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
            ("net/ipv4/ip_forward", "net/ipv4/ip_forward"),
            ("net.ipv4.conf.eth0/1.forwarding", "net/ipv4/conf/eth0.1/forwarding"),
            ("net/ipv4/conf/eth0.1/forwarding", "net/ipv4/conf/eth0.1/forwarding"),
            ("kernel.shm_rmid_forced", "kernel/shm_rmid_forced"),
            ("kernel.msgmax", "kernel/msgmax"),
            ("kernel.sem", "kernel/sem"),
            ("fs.mqueue.msg_max", "fs/mqueue/msg_max"),
        ] {
            let plan = Fixture::pod_with(json!({ "securityContext": sysctl(name) })).plan().unwrap();
            assert_eq!(plan.sandbox.sysctls, [(expected.to_owned(), "1".to_owned())]);
        }
        for name in
            ["vm.swappiness", "kernel.semaphores", "fs.file-max", "kernel.pid_max", "kernel/hostname", "network"]
        {
            let refusal = Fixture::pod_with(json!({ "securityContext": sysctl(name) })).refusal();
            assert!(refusal.contains("sysctls[0].name") && refusal.contains("whole machine"), "{refusal}");
        }
    }

    #[test]
    fn the_hosts_namespaces_are_joined_by_nobody_and_changed_by_nobody() {
        let both = json!({ "hostNetwork": true, "hostIPC": true });
        let plan = Fixture::pod_with(both.clone()).plan().unwrap();
        assert_eq!((plan.sandbox.network, plan.sandbox.ipc), (Namespace::Hosts, Namespace::Hosts));
        assert_eq!(plan.report[0].path, "spec.hostNetwork");
        let spec = Fixture::pod_with(both).spec();
        let kinds: Vec<_> = spec["linux"]["namespaces"].as_array().unwrap().iter().map(|n| n["type"].clone()).collect();
        assert_eq!(kinds, ["pid", "mount", "cgroup", "uts", "user"]);
        let mount = |path: &str| spec["mounts"].as_array().unwrap().iter().find(|m| m["destination"] == path).cloned();
        assert_eq!(mount("/sys").unwrap()["options"], json!(["rbind", "nosuid", "noexec", "nodev", "ro"]));
        assert_eq!(mount("/dev/shm").unwrap()["source"], "/dev/shm");
        assert_eq!(mount("/dev/mqueue"), None);
        for (host, name) in [("hostNetwork", "net.ipv4.ip_forward"), ("hostIPC", "kernel.sem")] {
            let refusal = Fixture::pod_with(json!({ host: true, "securityContext": sysctl(name) })).refusal();
            assert!(refusal.contains(host), "{refusal}");
        }
    }

    #[test]
    fn a_host_network_has_the_hosts_name_and_files() {
        let mut fixture = Fixture::pod_with(json!({ "hostNetwork": true, "hostname": "mine" }));
        fixture.host.name = "node-1".to_owned();
        fixture.host.node.hosts = "127.0.0.1 localhost\n".to_owned();
        fixture.host.node.resolv_conf = "nameserver 192.0.2.1\n".to_owned();
        let plan = fixture.plan().unwrap();
        assert_eq!(plan.hostname, "node-1");
        let file = |name: &str| {
            let file = plan.volumes[0].files.iter().find(|f| f.path.ends_with(name)).unwrap();
            String::from_utf8(file.content.clone()).unwrap()
        };
        assert!(file("hosts").ends_with("127.0.0.1 localhost\n"), "{}", file("hosts"));
        assert_eq!((file("resolv.conf").as_str(), file("hostname").as_str()), ("nameserver 192.0.2.1\n", "node-1\n"));
    }

    #[test]
    fn details_are_wanted_only_where_they_matter() {
        let of = |fixture: Fixture| wanted(&serde_json::from_value::<Pod>(fixture.pod).unwrap());
        assert_eq!(of(Fixture::pod_with(json!({}))), []);
        let localhost = json!({ "seccompProfile": { "type": "Localhost", "localhostProfile": "a.json" } });
        let pod = json!({ "hostNetwork": true, "hostIPC": true, "securityContext": localhost,
            "initContainers": [{ "name": "i", "securityContext": { "privileged": true, "seLinuxOptions": {} } }] });
        let expected =
            [Detail::Ipc, Detail::Devices, Detail::SeccompProfile("a.json".to_owned()), Detail::SecurityModules];
        assert_eq!(of(Fixture::pod_with(pod)), expected);
        let names =
            ["net.ipv4.ip_forward", "vm.swappiness", "kernel.sem"].map(|name| json!({ "name": name, "value": "1" }));
        let sysctls = json!({ "sysctls": names });
        let wanted = |paths: &[&str]| [Detail::Sysctls(paths.iter().map(|path| (*path).to_owned()).collect())];
        assert_eq!(
            of(Fixture::pod_with(json!({ "securityContext": sysctls }))),
            wanted(&["net/ipv4/ip_forward", "kernel/sem"])
        );
        // Of the host's namespaces none is set.
        assert_eq!(
            of(Fixture::pod_with(json!({ "hostNetwork": true, "securityContext": sysctls }))),
            wanted(&["kernel/sem"])
        );
    }

    #[test]
    fn what_the_kernel_refuses_to_pods_is_told_before_the_start() {
        for (errno, expected) in [
            (Errno::ENOENT, "this kernel has no such setting in a pod's namespaces"),
            (Errno::EACCES, "the kernel lets only the host's root change it"),
        ] {
            let mut fixture = Fixture::pod_with(json!({ "securityContext": sysctl("net/core/rmem_max") }));
            fixture.host.details.refused_sysctls.insert("net/core/rmem_max".to_owned(), errno);
            let refusal = fixture.refusal();
            assert!(refusal.contains("spec.securityContext.sysctls[0].name: \"net/core/rmem_max\": "), "{refusal}");
            assert!(refusal.contains(expected) && refusal.contains("leave it out"), "{refusal}");
            // A policy that forbids it, too, has no mend for that.
            fixture.options.policy = None;
            let refusal = fixture.refusal();
            assert!(refusal.contains("policy forbids") && !refusal.contains("--allow"), "{refusal}");
        }
    }
}

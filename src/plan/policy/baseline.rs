//! The level baseline: what is known to lead out of a container is forbidden. Three of its controls are stricter at the level
//! restricted, which takes their place there.

use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::Volume;

use super::parts::{Found, Part, Subject};
use super::{Allow, Control, PolicyLevel, Remedy, profiles};
use crate::plan::sandbox::{OF_A_POD, is_of_a_pod};

/// The capabilities that a container may add.
const CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// The sysctls of the pod's own namespaces that harm nobody else.
pub(super) const SYSCTLS: [&str; 14] = [
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.ping_group_range",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_notsent_lowat",
    "net.ipv4.tcp_rmem",
    "net.ipv4.tcp_slow_start_after_idle",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.tcp_wmem",
];

/// All controls of the level.
pub(super) fn check(subject: &Subject, found: &mut Found) {
    host_process(subject, found);
    host_namespaces(subject, found);
    privileged(subject, found);
    if subject.level == PolicyLevel::Baseline {
        capabilities(subject, found, "baseline", &CAPABILITIES);
    }
    host_paths(subject, found);
    host_ports(subject, found);
    host_probes(subject, found);
    profiles::app_armor(subject, found);
    profiles::se_linux(subject, found);
    proc_mount(subject, found);
    profiles::seccomp(subject, found);
    sysctls(subject, found);
}

/// Refuses to add capabilities other than `allowed`; the standard takes their names exactly as they are there.
pub(super) fn capabilities(subject: &Subject, found: &mut Found, level: &str, allowed: &[&str]) {
    for part in &subject.containers {
        let added = part.capabilities().and_then(|capabilities| capabilities.add.as_ref());
        for (at, name) in added.into_iter().flatten().enumerate() {
            let path = part.at(&format!("capabilities.add[{at}]"));
            let upper = name.to_ascii_uppercase();
            let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
            if allowed.contains(&name.as_str()) {
                continue;
            }
            if allowed.contains(&bare) {
                let why = format!("the {level} policy forbids the capability {name:?}, which it knows as {bare:?}");
                let remedy = Remedy::Change("write it without CAP_, in capital letters");
                found.add(Control::CapabilitySpelling, path, why, remedy);
            } else {
                let why = format!("the {level} policy forbids to add the capability {name:?}");
                found.add(Control::Capabilities, path, why, Remedy::Allow(Allow::Capabilities));
            }
        }
    }
}

fn host_process(subject: &Subject, found: &mut Found) {
    let said = subject.everywhere(
        "windowsOptions.hostProcess",
        |pod| pod.windows_options.as_ref()?.host_process,
        |container| container.windows_options.as_ref()?.host_process,
    );
    for (path, _) in said.into_iter().filter(|(_, on)| *on) {
        let why = "the baseline policy forbids processes of the host";
        found.add(Control::HostProcess, path, why, Remedy::Change("remove it: podling runs Linux containers"));
    }
}

fn host_namespaces(subject: &Subject, found: &mut Found) {
    for (field, said, what, allow) in [
        ("hostNetwork", subject.spec.host_network, "network", Allow::HostNetwork),
        ("hostPID", subject.spec.host_pid, "processes", Allow::HostPid),
        ("hostIPC", subject.spec.host_ipc, "inter-process communication", Allow::HostIpc),
    ] {
        if said == Some(true) {
            let why = format!("the baseline policy forbids a pod in the host's {what}");
            found.add(Control::HostNamespaces, format!("spec.{field}"), why, Remedy::Allow(allow));
        }
    }
}

fn privileged(subject: &Subject, found: &mut Found) {
    for part in &subject.containers {
        if part.security.and_then(|security| security.privileged) == Some(true) {
            let why = "the baseline policy forbids privileged containers";
            found.add(Control::Privileged, part.at("privileged"), why, Remedy::Allow(Allow::Privileged));
        }
    }
}

/// At the level restricted, the control of volume types says it.
fn host_paths(subject: &Subject, found: &mut Found) {
    if subject.level != PolicyLevel::Baseline {
        return;
    }
    for (at, volume) in subject.spec.volumes.iter().flatten().enumerate() {
        if let Some(remedy) = host_path_remedy(volume) {
            let why = "the baseline policy forbids volumes of the host's own files";
            found.add(Control::HostPath, format!("spec.volumes[{at}].hostPath"), why, remedy);
        }
    }
}

/// What allows a `hostPath` volume. A path that is relative or climbs cannot be compared with an allowed directory as it is written.
pub(super) fn host_path_remedy(volume: &Volume) -> Option<Remedy> {
    let path = Path::new(&volume.host_path.as_ref()?.path);
    let is_plain = path.is_absolute() && !path.components().any(|part| part == Component::ParentDir);
    let clean: Option<PathBuf> = is_plain.then(|| path.components().collect());
    Some(Remedy::Allow(Allow::HostPath(clean)))
}

fn host_ports(subject: &Subject, found: &mut Found) {
    for part in &subject.containers {
        for (at, port) in part.ports.iter().enumerate().filter(|(_, port)| port.host_port.unwrap_or(0) != 0) {
            let path = format!("{}.ports[{at}].hostPort", part.path);
            let why = format!("the baseline policy forbids ports of the host ({})", port.host_port.unwrap_or(0));
            let remedy = Remedy::Change("leave out --policy: podling's default is baseline with host ports");
            found.add(Control::HostPorts, path, why, remedy);
        }
    }
}

/// Probes and hooks that could make podling, or a kubelet, speak to somebody else than the pod.
fn host_probes(subject: &Subject, found: &mut Found) {
    for part in &subject.containers {
        for (path, host) in hosts(part) {
            let why = format!("the baseline policy forbids probes and hooks that name a host ({host:?})");
            found.add(Control::HostProbes, path, why, Remedy::Allow(Allow::ProbeHosts));
        }
    }
}

/// Every host that the container's probes and hooks name, with its path.
fn hosts(part: &Part) -> Vec<(String, String)> {
    let mut actions = Vec::new();
    for (name, probe) in part.probes {
        let Some(probe) = probe else { continue };
        actions.push((name.to_owned(), probe.http_get.as_ref(), probe.tcp_socket.as_ref()));
    }
    for (name, hook) in [
        ("postStart", part.lifecycle.and_then(|lifecycle| lifecycle.post_start.as_ref())),
        ("preStop", part.lifecycle.and_then(|lifecycle| lifecycle.pre_stop.as_ref())),
    ] {
        let Some(hook) = hook else { continue };
        actions.push((format!("lifecycle.{name}"), hook.http_get.as_ref(), hook.tcp_socket.as_ref()));
    }
    let mut hosts = Vec::new();
    for (name, http, tcp) in actions {
        let named = [
            ("httpGet", http.and_then(|action| action.host.as_ref())),
            ("tcpSocket", tcp.and_then(|action| action.host.as_ref())),
        ];
        for (action, host) in named {
            let host = host.filter(|host| !host.is_empty());
            hosts.extend(host.map(|host| (format!("{}.{name}.{action}.host", part.path), host.clone())));
        }
    }
    hosts
}

/// Anything but the default mount of /proc is forbidden, at the level baseline only outside a user namespace.
fn proc_mount(subject: &Subject, found: &mut Found) {
    let level = match subject.level {
        PolicyLevel::Restricted => "restricted",
        _ if subject.has_user_namespace() => return,
        _ => "baseline",
    };
    for part in &subject.containers {
        let said = part.security.and_then(|security| security.proc_mount.as_deref());
        if let Some(said) = said.filter(|said| *said != "Default") {
            let why = format!("the {level} policy forbids the procMount {said:?}");
            found.add(Control::ProcMount, part.at("procMount"), why, Remedy::Allow(Allow::ProcMount));
        }
    }
}

fn sysctls(subject: &Subject, found: &mut Found) {
    let said = subject.security().and_then(|pod| pod.sysctls.as_ref());
    for (at, sysctl) in said.into_iter().flatten().enumerate() {
        if !SYSCTLS.contains(&sysctl.name.as_str()) {
            let path = format!("spec.securityContext.sysctls[{at}].name");
            let why = format!("the baseline policy forbids to set {:?}", sysctl.name);
            // What is the whole machine's no --allow makes a pod's.
            let (why, remedy) = match is_of_a_pod(&sysctl.name) {
                true => (why, Remedy::Allow(Allow::Sysctls)),
                false => (format!("{why}, which is one setting of the whole machine"), Remedy::Change(OF_A_POD)),
            };
            found.add(Control::Sysctls, path, why, remedy);
        }
    }
}

//! Security contexts: ids, capabilities, profiles, sysctls, and the namespaces of the host.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use k8s_openapi::api::core::v1::{
    AppArmorProfile, PodSecurityContext, PodSpec, SeccompProfile, SecurityContext, Sysctl,
};

use super::pod::containers;
use super::{Check, names};
use crate::manifest::mistakes::nearest;

/// The longest name of a sysctl, in bytes.
const LONGEST_SYSCTL: usize = 253;

/// The longest name of an AppArmor profile, in bytes: a path's.
const LONGEST_PROFILE: usize = 4095;

impl Check<'_> {
    /// What the pod says for all its containers.
    pub(super) fn pod_security(&mut self, spec: &PodSpec) {
        if let Some(context) = &spec.security_context {
            self.pod_context("spec.securityContext", context, spec);
        }
        if spec.host_pid == Some(true) && spec.share_process_namespace == Some(true) {
            self.problem("spec.shareProcessNamespace", "hostPID and shareProcessNamespace cannot both be true");
        }
        let own_users = spec.host_users == Some(false);
        for (field, said) in [("hostPID", spec.host_pid), ("hostIPC", spec.host_ipc)] {
            if own_users && said == Some(true) {
                self.problem(&format!("spec.{field}"), "forbidden where hostUsers is false");
            }
        }
        self.non_root(spec);
    }

    fn pod_context(&mut self, path: &str, context: &PodSecurityContext, spec: &PodSpec) {
        self.id(&format!("{path}.runAsUser"), context.run_as_user);
        self.id(&format!("{path}.runAsGroup"), context.run_as_group);
        self.seccomp(&format!("{path}.seccompProfile"), context.seccomp_profile.as_ref());
        self.apparmor(&format!("{path}.appArmorProfile"), context.app_armor_profile.as_ref());
        let policy = context.se_linux_change_policy.as_deref();
        self.one_of(&format!("{path}.seLinuxChangePolicy"), policy, &["MountOption", "Recursive"]);
        self.sysctls(&format!("{path}.sysctls"), context.sysctls.as_deref().unwrap_or_default(), spec);
    }

    /// What one container says for itself.
    pub(super) fn security(&mut self, path: &str, context: &SecurityContext, spec: &PodSpec) {
        self.id(&format!("{path}.runAsUser"), context.run_as_user);
        self.id(&format!("{path}.runAsGroup"), context.run_as_group);
        self.seccomp(&format!("{path}.seccompProfile"), context.seccomp_profile.as_ref());
        self.apparmor(&format!("{path}.appArmorProfile"), context.app_armor_profile.as_ref());
        let mount = context.proc_mount.as_deref();
        self.one_of(&format!("{path}.procMount"), mount, &["Default", "Unmasked"]);
        if mount == Some("Unmasked") && spec.host_users != Some(false) {
            self.problem(&format!("{path}.procMount"), "hostUsers must be false to use Unmasked")
                .mend("write hostUsers: false in the pod's spec");
        }
        let no_escalation = context.allow_privilege_escalation == Some(false);
        if context.privileged == Some(true) && no_escalation {
            self.problem(&format!("{path}.allowPrivilegeEscalation"), "cannot be false where privileged is true");
        }
        let Some(capabilities) = &context.capabilities else { return };
        for (list, names) in [("add", &capabilities.add), ("drop", &capabilities.drop)] {
            for (at, name) in names.iter().flatten().enumerate() {
                self.capability(&format!("{path}.capabilities.{list}[{at}]"), name);
                // The API server knows the name in this form only.
                if list == "add" && name == "CAP_SYS_ADMIN" && no_escalation {
                    let why = "contradicts allowPrivilegeEscalation: false";
                    self.problem(&format!("{path}.capabilities.{list}[{at}]"), why);
                }
            }
        }
    }

    /// `runAsNonRoot` beside `runAsUser: 0`, which an API server takes and the kubelet refuses when it starts the container. A container's
    /// own values go before the pod's.
    fn non_root(&mut self, spec: &PodSpec) {
        let pod = spec.security_context.as_ref();
        let mut paths = BTreeSet::new();
        for (path, container) in containers(spec) {
            let own = container.security_context.as_ref();
            let non_root = own.and_then(|own| own.run_as_non_root).or(pod.and_then(|pod| pod.run_as_non_root));
            let own_user = own.and_then(|own| own.run_as_user);
            if non_root == Some(true) && own_user.or(pod.and_then(|pod| pod.run_as_user)) == Some(0) {
                let path = if own_user.is_some() { path } else { "spec".to_owned() };
                paths.insert(format!("{path}.securityContext.runAsUser"));
            }
        }
        for path in paths {
            let why = "container's runAsUser breaks non-root policy: 0 is root, and runAsNonRoot is true";
            self.refuse(&path, why);
        }
    }

    /// Kubernetes hands on whatever it does not know; no capability of another name exists, so one is a slip.
    fn capability(&mut self, path: &str, name: &str) {
        let upper = name.to_ascii_uppercase();
        let bare = upper.strip_prefix("CAP_").unwrap_or(&upper);
        if bare == "ALL" || caps::Capability::from_str(&format!("CAP_{bare}")).is_ok() {
            return;
        }
        let known: Vec<String> =
            caps::all().iter().map(|c| c.to_string().trim_start_matches("CAP_").to_owned()).collect();
        let meant = nearest(bare, known.iter().map(String::as_str)).map(str::to_owned);
        let problem = self.refuse(path, format!("{name:?} is not a capability"));
        if let Some(meant) = meant {
            problem.mend(format!("did you mean {meant:?}?"));
        }
    }

    pub(super) fn id(&mut self, path: &str, id: Option<i64>) {
        if let Some(id) = id.filter(|id| !(0..=i64::from(i32::MAX)).contains(id)) {
            self.problem(path, format!("{id} is outside 0 to {}", i32::MAX));
        }
    }

    fn seccomp(&mut self, path: &str, profile: Option<&SeccompProfile>) {
        let Some(profile) = profile else { return };
        self.profile_type(path, &profile.type_);
        let at = format!("{path}.localhostProfile");
        match (profile.type_ == "Localhost", profile.localhost_profile.as_deref()) {
            (true, None | Some("")) => {
                self.problem(&at, "required where the type is Localhost");
            }
            (true, Some(name)) => self.grammar(&at, names::descending_path(name)),
            (false, Some(_)) => {
                self.problem(&at, "may be there only where the type is Localhost");
            }
            (false, None) => {}
        }
    }

    fn apparmor(&mut self, path: &str, profile: Option<&AppArmorProfile>) {
        let Some(profile) = profile else { return };
        self.profile_type(path, &profile.type_);
        let at = format!("{path}.localhostProfile");
        let name = profile.localhost_profile.as_deref();
        match (profile.type_ == "Localhost", name) {
            (true, None) => {
                self.problem(&at, "required where the type is Localhost");
            }
            (true, Some(name)) if name.trim().is_empty() => {
                self.problem(&at, "required where the type is Localhost");
            }
            (true, Some(name)) if name.trim() != name => {
                self.problem(&at, format!("{name:?} must not begin or end with a space"));
            }
            (true, Some(name)) if name.len() > LONGEST_PROFILE => {
                self.problem(&at, format!("{} bytes; Kubernetes takes {LONGEST_PROFILE}", name.len()));
            }
            (false, Some(_)) => {
                self.problem(&at, "may be there only where the type is Localhost");
            }
            _ => {}
        }
    }

    fn profile_type(&mut self, path: &str, kind: &str) {
        let path = format!("{path}.type");
        self.required(&path, kind);
        let said = Some(kind).filter(|kind| !kind.is_empty());
        self.one_of(&path, said, &["Localhost", "RuntimeDefault", "Unconfined"]);
    }

    fn sysctls(&mut self, path: &str, sysctls: &[Sysctl], spec: &PodSpec) {
        let mut seen: BTreeMap<&str, String> = BTreeMap::new();
        for (at, sysctl) in sysctls.iter().enumerate() {
            let path = format!("{path}[{at}].name");
            if sysctl.name.is_empty() {
                self.problem(&path, "required");
                continue;
            }
            self.grammar(&path, sysctl_name(&sysctl.name));
            if let Some(first) = seen.insert(&sysctl.name, path.clone()) {
                let first = self.source.at(&first);
                self.problem(&path, format!("{:?} is already set at {first}", sysctl.name));
            }
            let dotted = sysctl.name.replace('/', ".");
            let ipc = ["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|prefix| dotted.starts_with(prefix));
            if spec.host_network == Some(true) && dotted.starts_with("net.") {
                self.problem(&path, "may not be there where hostNetwork is true");
            }
            if spec.host_ipc == Some(true) && (ipc || dotted == "kernel.sem") {
                self.problem(&path, "may not be there where hostIPC is true");
            }
        }
    }
}

/// Segments of lower case letters, digits, `-` and `_`, with dots or slashes between them.
fn sysctl_name(name: &str) -> Result<(), String> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let segment = |part: &str| {
        let bytes = part.as_bytes();
        let ends = bytes.first().is_some_and(|b| plain(*b)) && bytes.last().is_some_and(|b| plain(*b));
        ends && bytes.iter().all(|b| plain(*b) || matches!(b, b'-' | b'_'))
    };
    if name.len() > LONGEST_SYSCTL || !name.split(['.', '/']).all(segment) {
        return Err(format!(
            "{name:?} is not the name of a sysctl: lower case letters, digits, '-' and '_' between dots"
        ));
    }
    Ok(())
}

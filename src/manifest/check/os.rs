//! What only a pod of one operating system can have.

use k8s_openapi::api::core::v1::{PodSecurityContext, PodSpec, SecurityContext};

use super::Check;
use super::pod::containers;

impl Check<'_> {
    pub(super) fn operating_system(&mut self, spec: &PodSpec) {
        match spec.os.as_ref().map(|os| os.name.as_str()) {
            Some("linux") => self.linux(spec),
            Some("windows") => self.windows(spec),
            _ => {}
        }
    }

    fn linux(&mut self, spec: &PodSpec) {
        let pods = spec.security_context.as_ref().is_some_and(|context| context.windows_options.is_some());
        let own = containers(spec)
            .filter(|(_, container)| container.security_context.as_ref().is_some_and(|c| c.windows_options.is_some()));
        let paths = own.map(|(path, _)| path).chain(pods.then(|| "spec".to_owned()));
        for path in paths {
            self.problem(&format!("{path}.securityContext.windowsOptions"), "a Linux pod has none");
        }
    }

    fn windows(&mut self, spec: &PodSpec) {
        let fields = [
            ("hostIPC", spec.host_ipc == Some(true)),
            ("hostPID", spec.host_pid == Some(true)),
            ("hostUsers", spec.host_users.is_some()),
            ("resources", spec.resources.is_some()),
            ("shareProcessNamespace", spec.share_process_namespace.is_some()),
        ];
        self.none_of("spec", &fields);
        if let Some(context) = &spec.security_context {
            self.none_of("spec.securityContext", &of_pod(context));
        }
        for (path, container) in containers(spec) {
            if let Some(context) = &container.security_context {
                self.none_of(&format!("{path}.securityContext"), &of_container(context));
            }
        }
    }

    fn none_of(&mut self, path: &str, fields: &[(&str, bool)]) {
        for (field, _) in fields.iter().filter(|(_, there)| *there) {
            self.problem(&format!("{path}.{field}"), "a Windows pod has none");
        }
    }
}

/// What of a pod's security context is of Linux only, and whether it is there.
fn of_pod(context: &PodSecurityContext) -> [(&'static str, bool); 11] {
    [
        ("appArmorProfile", context.app_armor_profile.is_some()),
        ("fsGroup", context.fs_group.is_some()),
        ("fsGroupChangePolicy", context.fs_group_change_policy.is_some()),
        ("runAsGroup", context.run_as_group.is_some()),
        ("runAsUser", context.run_as_user.is_some()),
        ("seLinuxChangePolicy", context.se_linux_change_policy.is_some()),
        ("seLinuxOptions", context.se_linux_options.is_some()),
        ("seccompProfile", context.seccomp_profile.is_some()),
        ("supplementalGroups", context.supplemental_groups.is_some()),
        ("supplementalGroupsPolicy", context.supplemental_groups_policy.is_some()),
        ("sysctls", context.sysctls.as_ref().is_some_and(|sysctls| !sysctls.is_empty())),
    ]
}

/// What of a container's security context is of Linux only, and whether it is there.
fn of_container(context: &SecurityContext) -> [(&'static str, bool); 10] {
    [
        ("allowPrivilegeEscalation", context.allow_privilege_escalation.is_some()),
        ("appArmorProfile", context.app_armor_profile.is_some()),
        ("capabilities", context.capabilities.is_some()),
        ("privileged", context.privileged.is_some()),
        ("procMount", context.proc_mount.is_some()),
        ("readOnlyRootFilesystem", context.read_only_root_filesystem.is_some()),
        ("runAsGroup", context.run_as_group.is_some()),
        ("runAsUser", context.run_as_user.is_some()),
        ("seLinuxOptions", context.se_linux_options.is_some()),
        ("seccompProfile", context.seccomp_profile.is_some()),
    ]
}

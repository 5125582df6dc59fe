//! The kernel's own fences around a container, which the level baseline forbids to take down: AppArmor, SELinux, seccomp.

use super::parts::{Found, Subject};
use super::{Allow, Control, PolicyLevel, Remedy};
use crate::manifest::key_path;

/// The annotation that named a container's AppArmor profile before there was a field; the standard still looks at it.
const APP_ARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";

/// The SELinux types of containers.
const SE_LINUX_TYPES: [&str; 5] = ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"];

/// AppArmor profiles: the runtime's, or one of the host's.
pub(super) fn app_armor(subject: &Subject, found: &mut Found) {
    let said = subject.everywhere(
        "appArmorProfile.type",
        |pod| pod.app_armor_profile.as_ref(),
        |container| container.app_armor_profile.as_ref(),
    );
    for (path, profile) in said {
        if !matches!(profile.type_.as_str(), "RuntimeDefault" | "Localhost") {
            let why = format!("the baseline policy forbids the AppArmor profile {:?}", profile.type_);
            found.add(Control::AppArmor, path, why, Remedy::Allow(Allow::AppArmorProfile));
        }
    }
    for (key, value) in subject.metadata.annotations.iter().flatten() {
        let allowed = value.is_empty() || value == "runtime/default" || value.starts_with("localhost/");
        if key.starts_with(APP_ARMOR_ANNOTATION) && !allowed {
            let why = format!("the baseline policy forbids the AppArmor profile {value:?}");
            let path = key_path("metadata.annotations", key);
            found.add(Control::AppArmor, path, why, Remedy::Allow(Allow::AppArmorProfile));
        }
    }
}

/// SELinux: a type of containers, and neither a user nor a role.
pub(super) fn se_linux(subject: &Subject, found: &mut Found) {
    let said = subject.everywhere(
        "seLinuxOptions",
        |pod| pod.se_linux_options.as_ref(),
        |container| container.se_linux_options.as_ref(),
    );
    for (path, options) in said {
        let mut forbid = |field: &str, why: String| {
            let remedy = Remedy::Allow(Allow::SeLinuxOptions);
            found.add(Control::SeLinux, format!("{path}.{field}"), why, remedy);
        };
        let type_ = options.type_.as_deref().unwrap_or_default();
        if !SE_LINUX_TYPES.contains(&type_) {
            forbid("type", format!("the baseline policy forbids the SELinux type {type_:?}"));
        }
        for (field, value) in [("user", &options.user), ("role", &options.role)] {
            if value.as_ref().is_some_and(|value| !value.is_empty()) {
                forbid(field, format!("the baseline policy forbids to set the SELinux {field}"));
            }
        }
    }
}

/// Seccomp profiles: the runtime's, or one of the host's. The level restricted requires that one of them is written, except for Windows,
/// where the field cannot be set and nothing is looked at.
pub(super) fn seccomp(subject: &Subject, found: &mut Found) {
    if subject.level == PolicyLevel::Restricted && subject.is_windows() {
        return;
    }
    let level = if subject.level == PolicyLevel::Restricted { "restricted" } else { "baseline" };
    let said = subject.everywhere(
        "seccompProfile.type",
        |pod| pod.seccomp_profile.as_ref(),
        |container| container.seccomp_profile.as_ref(),
    );
    for (path, profile) in said {
        if !matches!(profile.type_.as_str(), "RuntimeDefault" | "Localhost") {
            let why = format!("the {level} policy forbids the seccomp profile {:?}", profile.type_);
            found.add(Control::Seccomp, path, why, Remedy::Allow(Allow::SeccompProfile));
        }
    }
    let is_said_for_all = subject.security().is_some_and(|pod| pod.seccomp_profile.is_some());
    if subject.level != PolicyLevel::Restricted || is_said_for_all {
        return;
    }
    for part in &subject.containers {
        if part.security.is_none_or(|security| security.seccomp_profile.is_none()) {
            let why = "the restricted policy requires the seccomp profile RuntimeDefault or Localhost";
            let remedy = Remedy::Change("write securityContext: {seccompProfile: {type: RuntimeDefault}} in spec");
            found.add(Control::Seccomp, part.at("seccompProfile"), why, remedy);
        }
    }
}

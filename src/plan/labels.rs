//! The labels of Linux security modules: AppArmor profiles and SELinux contexts, where the host has the module.

use k8s_openapi::api::core::v1::{AppArmorProfile, SELinuxOptions};

use super::Verdict;
use super::scope::Subject;
use crate::error::Result;
use crate::host::Module;

/// What a container is labelled with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Labels {
    /// `process.apparmorProfile`.
    pub apparmor: Option<String>,
    /// `process.selinuxLabel`.
    pub selinux: Option<String>,
    /// `linux.mountLabel`.
    pub mount: Option<String>,
}

/// Decides the labels of a container; its own profile and options go before the pod's.
///
/// # Errors
/// For what a module would have to do that this host does not have.
pub(super) fn labels(subject: &Subject, report: &mut Vec<Verdict>) -> Result<Labels> {
    let own = subject.container.security_context.as_ref();
    let pods = subject.scope.spec.security_context.as_ref();
    let container = |field: &str| format!("{}.securityContext.{field}", subject.path);
    let pod = |field: &str| format!("spec.securityContext.{field}");
    let profile = match own.and_then(|c| c.app_armor_profile.as_ref()) {
        Some(profile) => Some((container("appArmorProfile"), profile)),
        None => pods.and_then(|c| c.app_armor_profile.as_ref()).map(|profile| (pod("appArmorProfile"), profile)),
    };
    let options = match own.and_then(|c| c.se_linux_options.as_ref()) {
        Some(options) => Some((container("seLinuxOptions"), options)),
        None => pods.and_then(|c| c.se_linux_options.as_ref()).map(|options| (pod("seLinuxOptions"), options)),
    };
    let apparmor = profile.map(|(path, profile)| apparmor(subject, &path, profile, report)).transpose()?.flatten();
    let (selinux, mount) =
        options.map(|(path, options)| selinux(subject, &path, options, report)).transpose()?.flatten().unzip();
    Ok(Labels { apparmor, selinux, mount })
}

/// The profile to change to at the program's start, where there is one.
fn apparmor(
    subject: &Subject,
    path: &str,
    profile: &AppArmorProfile,
    report: &mut Vec<Verdict>,
) -> Result<Option<String>> {
    let scope = subject.scope;
    if profile.type_ == "Unconfined" {
        return Ok(None);
    }
    if scope.host.details.apparmor == Module::Absent {
        // The kubelet rejects such a pod, too.
        let why = format!("{:?} cannot be enforced: AppArmor is not enabled on this host", profile.type_);
        return Err(scope.error(&format!("{path}.type"), why).mend("write Unconfined, or nothing"));
    }
    if profile.type_ == "Localhost" {
        return Ok(profile.localhost_profile.clone());
    }
    let how = "podling loads no AppArmor profile, which only the host's root may do: what a container may do is bounded by the last wall, \
               its seccomp filter and its masked paths";
    report.push(scope.verdict(format!("{path}.type"), how));
    Ok(None)
}

/// The contexts of the container's processes and of the files that its own mounts make.
fn selinux(
    subject: &Subject,
    path: &str,
    options: &SELinuxOptions,
    report: &mut Vec<Verdict>,
) -> Result<Option<(String, String)>> {
    let scope = subject.scope;
    let said = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let parts = [&options.user, &options.role, &options.type_, &options.level].map(said);
    if parts.iter().all(Option::is_none) {
        return Ok(None);
    }
    if scope.host.details.selinux == Module::Absent {
        let why = "a label cannot be enforced: SELinux is not enabled on this host";
        return Err(scope.error(path, why).mend("remove it, or run the pod on a host that has SELinux"));
    }
    let [user, role, kind, level] = parts;
    let or = |part: Option<String>, default: &str| part.unwrap_or_else(|| default.to_owned());
    let (user, level) = (or(user, "system_u"), or(level, "s0"));
    let process = format!("{user}:{}:{}:{level}", or(role, "system_r"), or(kind, "container_t"));
    let how = "the container's processes, its root and its own mounts get the label; volumes keep theirs";
    report.push(scope.verdict(path, how));
    Ok(Some((process, format!("{user}:object_r:container_file_t:{level}"))))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Module;
    use crate::plan::fixture::Fixture;

    fn with(pod: Value, container: Value) -> Fixture {
        let mut fixture = Fixture::container(json!({ "securityContext": container }));
        fixture.pod["spec"]["securityContext"] = pod;
        fixture
    }

    fn apparmor(kind: &str) -> Value {
        let profile = if kind == "Localhost" {
            json!({ "type": kind, "localhostProfile": "mine" })
        } else {
            json!({ "type": kind })
        };
        json!({ "appArmorProfile": profile })
    }

    #[test]
    fn without_the_module_a_profile_or_label_is_refused() {
        for kind in ["RuntimeDefault", "Localhost"] {
            let refusal = with(json!({}), apparmor(kind)).refusal();
            assert!(refusal.contains("spec.containers[0].securityContext.appArmorProfile.type"), "{refusal}");
            let refusal = with(apparmor(kind), json!({})).refusal();
            assert!(refusal.contains("spec.securityContext.appArmorProfile.type"), "{refusal}");
            assert!(with(apparmor(kind), apparmor("Unconfined")).plan().unwrap().report.is_empty());
        }
        let options = json!({ "seLinuxOptions": { "level": "s0:c1,c2" } });
        assert!(with(json!({}), options.clone()).refusal().contains("SELinux is not enabled"));
        assert!(with(options, json!({ "seLinuxOptions": {} })).plan().unwrap().report.is_empty());
    }

    #[test]
    fn with_the_module_they_are_in_the_spec() {
        let mut fixture = with(apparmor("RuntimeDefault"), apparmor("Localhost"));
        fixture.host.details.apparmor = Module::Enabled;
        assert_eq!(fixture.spec()["process"]["apparmorProfile"], "mine");
        fixture.pod["spec"]["containers"][0]["securityContext"] = json!({});
        assert_eq!(fixture.spec()["process"].get("apparmorProfile"), None);
        assert!(fixture.plan().unwrap().report[0].how.contains("loads no AppArmor profile"));
        let mut fixture = with(json!({}), json!({ "seLinuxOptions": { "level": "s0:c1,c2", "type": "spc_t" } }));
        fixture.host.details.selinux = Module::Enabled;
        let spec = fixture.spec();
        assert_eq!(spec["process"]["selinuxLabel"], "system_u:system_r:spc_t:s0:c1,c2");
        assert_eq!(spec["linux"]["mountLabel"], "system_u:object_r:container_file_t:s0:c1,c2");
    }
}

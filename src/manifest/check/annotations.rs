//! The annotations of a Pod that an API server reads: most are older ways to write what has a field now.

use k8s_openapi::api::core::v1::{AppArmorProfile, PodSpec, SeccompProfile, Toleration};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::pod::containers;
use super::{Check, key_path, names};

const APPARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
const DELETION_COST: &str = "controller.kubernetes.io/pod-deletion-cost";
const LOCALHOST: &str = "localhost/";
const MIRROR: &str = "kubernetes.io/config.mirror";
const SECCOMP: &str = "container.seccomp.security.alpha.kubernetes.io/";
const SECCOMP_OF_POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const TOLERATIONS: &str = "scheduler.alpha.kubernetes.io/tolerations";

/// A profile as its field says it: the type, and the name of one on the host.
type Profile<'a> = (&'a str, Option<&'a str>);

impl Check<'_> {
    pub(super) fn annotations(&mut self, metadata: &ObjectMeta, spec: &PodSpec) {
        for (key, value) in metadata.annotations.iter().flatten() {
            let path = key_path("metadata.annotations", key);
            match key.as_str() {
                MIRROR if spec.node_name.as_deref().is_none_or(str::is_empty) => {
                    self.problem(&path, "a mirror pod has a spec.nodeName");
                }
                DELETION_COST if !is_cost(value) => {
                    self.problem(&path, format!("{value:?} is no whole number of 32 bits"));
                }
                TOLERATIONS if !value.is_empty() => self.tolerations(&path, value),
                SECCOMP_OF_POD => {
                    self.grammar(&path, seccomp(value));
                    let field = spec.security_context.as_ref().and_then(|context| context.seccomp_profile.as_ref());
                    self.same_profile(&path, value, "spec", field.map(of_seccomp));
                }
                _ => {}
            }
            if key.starts_with(SECCOMP) {
                self.grammar(&path, seccomp(value));
            }
            if let Some(name) = key.strip_prefix(APPARMOR) {
                self.grammar(&path, apparmor(value));
                if !containers(spec).any(|(_, container)| container.name == name) {
                    self.problem(&path, format!("the pod has no container {name:?}"));
                }
            }
        }
        self.profiles(metadata, spec);
    }

    /// An annotation and a field say the same of a container's profile.
    fn profiles(&mut self, metadata: &ObjectMeta, spec: &PodSpec) {
        let said = |prefix: &str, name: &str| {
            let key = format!("{prefix}{name}");
            let value = metadata.annotations.as_ref()?.get(&key)?;
            Some((key_path("metadata.annotations", &key), value))
        };
        let pods = spec.security_context.as_ref().and_then(|context| context.app_armor_profile.as_ref());
        for (path, container) in containers(spec) {
            let own = container.security_context.as_ref();
            if let Some((at, value)) = said(SECCOMP, &container.name) {
                let field = own.and_then(|context| context.seccomp_profile.as_ref());
                self.same_profile(&at, value, &path, field.map(of_seccomp));
            }
            if let Some((at, value)) = said(APPARMOR, &container.name) {
                let field = own.and_then(|context| context.app_armor_profile.as_ref()).or(pods);
                self.same_profile(&at, value, &path, field.map(of_apparmor));
            }
        }
    }

    fn same_profile(&mut self, at: &str, value: &str, owner: &str, field: Option<Profile<'_>>) {
        let Some((kind, name)) = field else { return };
        let same = match kind {
            "Unconfined" => value == "unconfined",
            "RuntimeDefault" => matches!(value, "runtime/default" | "docker/default"),
            "Localhost" => value.strip_prefix(LOCALHOST).is_some_and(|said| Some(said) == name),
            // What else the type is, is reported at the type.
            _ => true,
        };
        if !same {
            self.problem(at, format!("{value:?} is not what the securityContext of {owner} says"));
        }
    }

    fn tolerations(&mut self, path: &str, value: &str) {
        match serde_json::from_str::<Option<Vec<Toleration>>>(value) {
            Ok(tolerations) => {
                for (at, toleration) in tolerations.iter().flatten().enumerate() {
                    self.toleration(&format!("{path}[{at}]"), toleration);
                }
            }
            Err(e) => {
                self.problem(path, format!("not a list of tolerations in JSON: {e}"));
            }
        }
    }
}

fn of_seccomp(profile: &SeccompProfile) -> Profile<'_> {
    (&profile.type_, profile.localhost_profile.as_deref())
}

fn of_apparmor(profile: &AppArmorProfile) -> Profile<'_> {
    (&profile.type_, profile.localhost_profile.as_deref())
}

fn seccomp(value: &str) -> Result<(), String> {
    if let Some(path) = value.strip_prefix(LOCALHOST) {
        return names::descending_path(path);
    }
    if matches!(value, "runtime/default" | "docker/default" | "unconfined") {
        return Ok(());
    }
    Err(format!("{value:?} is none of runtime/default, unconfined and localhost/PATH"))
}

fn apparmor(value: &str) -> Result<(), String> {
    if matches!(value, "" | "runtime/default" | "unconfined") || value.starts_with(LOCALHOST) {
        return Ok(());
    }
    Err(format!("{value:?} is none of runtime/default, unconfined and localhost/NAME"))
}

/// A number of 32 bits, without a plus or zeros before it.
fn is_cost(value: &str) -> bool {
    let first = value.as_bytes().first().is_some_and(|first| matches!(first, b'-' | b'1'..=b'9'));
    (first || value == "0") && value.parse::<i32>().is_ok()
}

//! The Pod Security Standards: what a level forbids or requires of a pod, as <https://kubernetes.io/docs/concepts/security/pod-security-standards/>
//! defines the levels for Kubernetes 1.37, the newest version.
//!
//! [`violations`] is the standard and nothing else. What podling adds is in [`objections`]: the level that holds where none is named, and
//! what `--allow` lifts.

mod baseline;
mod parts;
mod profiles;
mod restricted;
#[cfg(test)]
mod tests;

use k8s_openapi::api::core::v1::{Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Allow, Options, PolicyLevel};
use crate::manifest::Objection;
use parts::{Found, Subject};

/// One thing about a pod that a level forbids, or requires and misses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Violation {
    /// Which control of the standard it breaks.
    pub control: Control,
    /// The field's path, `spec.containers[0].securityContext.privileged`; where a field is missing, the one that it would have.
    pub path: String,
    /// What is forbidden or required by which level.
    pub why: String,
    /// What lifts it.
    pub remedy: Remedy,
}

/// What lifts a violation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Remedy {
    /// A value of `--allow`.
    Allow(Allow),
    /// Nothing but another YAML: what to do to it.
    Change(&'static str),
}

/// The controls of the standard. Where podling's own default treats a part of one otherwise, the part has a name of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Control {
    HostProcess,
    HostNamespaces,
    Privileged,
    Capabilities,
    /// A capability that the level allows, written otherwise than the standard writes it.
    CapabilitySpelling,
    HostPath,
    HostPorts,
    HostProbes,
    AppArmor,
    SeLinux,
    ProcMount,
    Seccomp,
    Sysctls,
    VolumeTypes,
    PrivilegeEscalation,
    NonRoot,
    User,
}

/// Everything about a pod that `level` forbids or misses, control by control.
pub(super) fn violations(metadata: &ObjectMeta, spec: &PodSpec, level: PolicyLevel) -> Vec<Violation> {
    let mut found = Found::default();
    let subject = Subject::new(metadata, spec, level);
    if level != PolicyLevel::Privileged {
        baseline::check(&subject, &mut found);
    }
    if level == PolicyLevel::Restricted {
        restricted::check(&subject, &mut found);
    }
    found.0
}

/// What the policy of `options` has against `pod`, without what `--allow` lifts: the one answer that `check`, `plan` and `run` share.
///
/// Where no `--policy` is given, podling's own default holds, which is the level baseline with two exceptions: host ports are
/// allowed, because publishing a port is what people run a pod on their own machine for, and a capability may be written as the
/// kernel and podman write it (`CAP_CHOWN`, `chown`), which podling reads as `CHOWN`.
pub fn objections(pod: &Pod, options: &Options) -> Vec<Objection> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let found = violations(&pod.metadata, spec, options.policy.unwrap_or(PolicyLevel::Baseline));
    let is_exception = |control| matches!(control, Control::HostPorts | Control::CapabilitySpelling);
    found
        .into_iter()
        .filter(|violation| options.policy.is_some() || !is_exception(violation.control))
        .filter_map(|violation| objection(violation, &options.allow))
        .collect()
}

/// The violation as an objection, unless it is allowed.
fn objection(violation: Violation, allowed: &[Allow]) -> Option<Objection> {
    let mend = match violation.remedy {
        Remedy::Allow(needed) if allowed.iter().any(|given| covers(given, &needed)) => return None,
        Remedy::Allow(needed) => format!("--allow {needed} lets this pod do it"),
        Remedy::Change(mend) => mend.to_owned(),
    };
    Some(Objection { path: violation.path, why: violation.why, mend: Some(mend) })
}

/// Whether `given` on the command line lifts what needs `needed`: a directory lifts the paths in it.
fn covers(given: &Allow, needed: &Allow) -> bool {
    match (given, needed) {
        (Allow::HostPath(None), Allow::HostPath(_)) => true,
        (Allow::HostPath(Some(directory)), Allow::HostPath(Some(path))) => path.starts_with(directory),
        (given, needed) => given == needed,
    }
}

//! A pod as the controls look at it: its containers of all three sorts in one list.

use k8s_openapi::api::core::v1::{
    Capabilities, Container, ContainerPort, EphemeralContainer, Lifecycle, PodSecurityContext, PodSpec, Probe,
    SecurityContext,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Control, PolicyLevel, Remedy, Violation};

/// The pod, and the level it is held to.
pub(super) struct Subject<'a> {
    pub metadata: &'a ObjectMeta,
    pub spec: &'a PodSpec,
    pub level: PolicyLevel,
    pub containers: Vec<Part<'a>>,
}

/// What was found so far.
#[derive(Default)]
pub(super) struct Found(pub Vec<Violation>);

/// One container of any sort.
pub(super) struct Part<'a> {
    /// `spec.initContainers[0]`.
    pub path: String,
    pub security: Option<&'a SecurityContext>,
    pub ports: &'a [ContainerPort],
    /// Each probe with the name of its field.
    pub probes: [(&'static str, Option<&'a Probe>); 3],
    pub lifecycle: Option<&'a Lifecycle>,
}

impl<'a> Subject<'a> {
    pub fn new(metadata: &'a ObjectMeta, spec: &'a PodSpec, level: PolicyLevel) -> Self {
        let of = |list: &'a [Container], field: &'static str| {
            list.iter().enumerate().map(move |(at, container)| Part::of(format!("spec.{field}[{at}]"), container))
        };
        let ephemeral = spec.ephemeral_containers.iter().flatten().enumerate();
        let ephemeral = ephemeral.map(|(at, one)| Part::of_ephemeral(format!("spec.ephemeralContainers[{at}]"), one));
        let init = of(spec.init_containers.as_deref().unwrap_or_default(), "initContainers");
        let containers = init.chain(of(&spec.containers, "containers")).chain(ephemeral).collect();
        Subject { metadata, spec, level, containers }
    }

    /// The pod's own security context.
    pub fn security(&self) -> Option<&'a PodSecurityContext> {
        self.spec.security_context.as_ref()
    }

    /// Whether `spec.hostUsers: false` gives the pod a user namespace, for which some controls are relaxed since 1.35. podling gives
    /// every pod one, but a policy judges what would happen in a cluster.
    pub fn has_user_namespace(&self) -> bool {
        self.spec.host_users == Some(false)
    }

    /// Whether the pod says that it is for Windows, where some fields cannot be set.
    pub fn is_windows(&self) -> bool {
        self.spec.os.as_ref().is_some_and(|os| os.name == "windows")
    }

    /// `value` of the pod and of each container where it is set, with its path: `field` is below a `securityContext`.
    pub fn everywhere<T>(
        &self,
        field: &str,
        of_pod: impl FnOnce(&'a PodSecurityContext) -> Option<T>,
        of_container: impl Fn(&'a SecurityContext) -> Option<T>,
    ) -> Vec<(String, T)> {
        let pod = self.security().and_then(of_pod).map(|value| (format!("spec.securityContext.{field}"), value));
        let containers = self.containers.iter().filter_map(|part| {
            let value = part.security.and_then(&of_container)?;
            Some((part.at(field), value))
        });
        pod.into_iter().chain(containers).collect()
    }
}

impl Found {
    /// Notes what a level says about the field at `path`.
    pub fn add(&mut self, control: Control, path: String, why: impl Into<String>, remedy: Remedy) {
        self.0.push(Violation { control, path, why: why.into(), remedy });
    }
}

impl<'a> Part<'a> {
    /// The path of a field of its security context.
    pub fn at(&self, field: &str) -> String {
        format!("{}.securityContext.{field}", self.path)
    }

    pub fn capabilities(&self) -> Option<&'a Capabilities> {
        self.security.and_then(|security| security.capabilities.as_ref())
    }

    fn of(path: String, container: &'a Container) -> Self {
        let probes = [&container.liveness_probe, &container.readiness_probe, &container.startup_probe];
        Part::new(path, &container.security_context, &container.ports, probes, &container.lifecycle)
    }

    fn of_ephemeral(path: String, container: &'a EphemeralContainer) -> Self {
        let probes = [&container.liveness_probe, &container.readiness_probe, &container.startup_probe];
        Part::new(path, &container.security_context, &container.ports, probes, &container.lifecycle)
    }

    fn new(
        path: String,
        security: &'a Option<SecurityContext>,
        ports: &'a Option<Vec<ContainerPort>>,
        [liveness, readiness, startup]: [&'a Option<Probe>; 3],
        lifecycle: &'a Option<Lifecycle>,
    ) -> Self {
        Part {
            path,
            security: security.as_ref(),
            ports: ports.as_deref().unwrap_or_default(),
            probes: [
                ("livenessProbe", liveness.as_ref()),
                ("readinessProbe", readiness.as_ref()),
                ("startupProbe", startup.as_ref()),
            ],
            lifecycle: lifecycle.as_ref(),
        }
    }
}

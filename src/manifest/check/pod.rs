//! A Pod: its policies, its volumes, and that its containers fit together.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod, PodSecurityContext, PodSpec, Volume};

use super::{Check, names};

impl Check<'_> {
    pub(super) fn pod(&mut self, pod: &Pod) {
        let Some(spec) = &pod.spec else {
            self.problem("spec", "required");
            return;
        };
        self.annotations(&pod.metadata, spec);
        let policy = spec.restart_policy.as_deref().filter(|policy| !policy.is_empty());
        self.one_of("spec.restartPolicy", policy, &["Always", "OnFailure", "Never"]);
        if let Some(seconds) = spec.termination_grace_period_seconds.filter(|&seconds| seconds < 0) {
            self.problem("spec.terminationGracePeriodSeconds", format!("{seconds} must not be negative"));
        }
        if let Some(seconds) = spec.active_deadline_seconds.filter(|s| !(1..=i64::from(i32::MAX)).contains(s)) {
            self.problem("spec.activeDeadlineSeconds", format!("{seconds} is outside 1 to {}", i32::MAX));
        }
        self.network(spec);
        self.pod_security(spec);
        if let Some(context) = &spec.security_context {
            self.groups("spec.securityContext", context);
        }
        for (path, name) in
            [("spec.serviceAccount", &spec.service_account), ("spec.serviceAccountName", &spec.service_account_name)]
        {
            if let Some(name) = name.as_deref().filter(|name| !name.is_empty()) {
                self.grammar(path, names::dns_subdomain(name));
            }
        }
        if let Some(resources) = &spec.resources {
            self.resources("spec.resources", resources);
        }
        self.placement(spec, pod.metadata.labels.as_ref().unwrap_or(&BTreeMap::new()));
        self.volumes(spec, pod.metadata.name.as_deref().unwrap_or_default());
        if spec.containers.is_empty() {
            self.problem("spec.containers", "required: a Pod has at least one container");
        }
        if spec.ephemeral_containers.as_ref().is_some_and(|them| !them.is_empty()) {
            self.problem("spec.ephemeralContainers", "they are added to a running pod, never written in its YAML");
        }
        for (path, container) in containers(spec) {
            self.container(&path, container, spec);
        }
        self.unique_containers(spec);
        self.unique_ports(spec);
        self.demands(spec);
        self.operating_system(spec);
    }

    fn groups(&mut self, path: &str, context: &PodSecurityContext) {
        self.id(&format!("{path}.fsGroup"), context.fs_group);
        for (at, group) in context.supplemental_groups.iter().flatten().enumerate() {
            self.id(&format!("{path}.supplementalGroups[{at}]"), Some(*group));
        }
        let policy = context.fs_group_change_policy.as_deref();
        self.one_of(&format!("{path}.fsGroupChangePolicy"), policy, &["Always", "OnRootMismatch"]);
        let policy = context.supplemental_groups_policy.as_deref();
        self.one_of(&format!("{path}.supplementalGroupsPolicy"), policy, &["Merge", "Strict"]);
    }

    fn volumes(&mut self, spec: &PodSpec, pod: &str) {
        let mut seen: BTreeMap<&str, String> = BTreeMap::new();
        for (at, volume) in spec.volumes.iter().flatten().enumerate() {
            let path = format!("spec.volumes[{at}]");
            self.label(&format!("{path}.name"), &volume.name);
            if let Some(first) = seen.insert(&volume.name, format!("{path}.name")).filter(|_| !volume.name.is_empty()) {
                let first = self.source.at(&first);
                self.problem(
                    &format!("{path}.name"),
                    format!("the volume {:?} is already defined at {first}", volume.name),
                );
            }
            self.storage(&path, volume, pod);
            self.generated(&path, volume, spec);
            self.others_claim(&path, volume, spec, pod);
        }
    }

    /// The claim of an `ephemeral` volume is made for this pod, so that a volume that names it means another by the same name. A Job's pods
    /// get their names when they start.
    fn others_claim(&mut self, path: &str, volume: &Volume, spec: &PodSpec, pod: &str) {
        let Some(claim) = volume.persistent_volume_claim.as_ref().filter(|_| !pod.is_empty()) else { return };
        let made = |other: &&Volume| other.ephemeral.is_some() && claim.claim_name == format!("{pod}-{}", other.name);
        if let Some(other) = spec.volumes.iter().flatten().find(made) {
            let why = format!("{:?} is the claim that the ephemeral volume {:?} makes", claim.claim_name, other.name);
            self.problem(&format!("{path}.persistentVolumeClaim.claimName"), why);
        }
    }

    fn unique_containers(&mut self, spec: &PodSpec) {
        let mut seen: BTreeMap<&str, String> = BTreeMap::new();
        for (path, container) in containers(spec).filter(|(_, container)| !container.name.is_empty()) {
            let path = format!("{path}.name");
            match seen.get(container.name.as_str()) {
                Some(first) => {
                    let first = self.source.at(first);
                    self.problem(&path, format!("the container {:?} is already defined at {first}", container.name));
                }
                None => {
                    seen.insert(&container.name, path);
                }
            }
        }
    }
}

/// All containers with their paths, in the order in which they start.
pub(in crate::manifest) fn containers(spec: &PodSpec) -> impl Iterator<Item = (String, &Container)> {
    let init =
        spec.init_containers.iter().flatten().enumerate().map(|(at, c)| (format!("spec.initContainers[{at}]"), c));
    init.chain(spec.containers.iter().enumerate().map(|(at, c)| (format!("spec.containers[{at}]"), c)))
}

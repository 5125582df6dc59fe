//! One container: its image, environment, ports, mounts and security.

use std::collections::BTreeMap;
use std::str::FromStr;

use k8s_openapi::api::core::v1::{Container, ContainerPort, PodSpec, SeccompProfile, SecurityContext, VolumeMount};

use super::{Check, names};
use crate::manifest::mistakes::nearest;

impl Check<'_> {
    pub(super) fn container(&mut self, path: &str, container: &Container, spec: &PodSpec) {
        self.label(&format!("{path}.name"), &container.name);
        match container.image.as_deref().unwrap_or_default() {
            "" => {
                self.problem(&format!("{path}.image"), "required");
            }
            image if image.trim() != image => {
                self.problem(&format!("{path}.image"), format!("{image:?} must not begin or end with a space"));
            }
            _ => {}
        }
        let pull = container.image_pull_policy.as_deref().filter(|policy| !policy.is_empty());
        self.one_of(&format!("{path}.imagePullPolicy"), pull, &["Always", "IfNotPresent", "Never"]);
        if let Some(dir) = container.working_dir.as_deref().filter(|dir| !dir.is_empty() && !dir.starts_with('/')) {
            self.refuse(&format!("{path}.workingDir"), format!("{dir:?} is not an absolute path"));
        }
        for (at, variable) in container.env.iter().flatten().enumerate() {
            self.variable(&format!("{path}.env[{at}]"), variable, spec);
        }
        for (at, source) in container.env_from.iter().flatten().enumerate() {
            self.env_from(&format!("{path}.envFrom[{at}]"), source);
        }
        self.ports(path, container.ports.as_deref().unwrap_or_default());
        self.mounts(path, container.volume_mounts.as_deref().unwrap_or_default(), spec);
        if let Some(resources) = &container.resources {
            self.resources(&format!("{path}.resources"), resources);
        }
        if let Some(context) = &container.security_context {
            self.security(&format!("{path}.securityContext"), context);
        }
        self.life(path, container, spec);
    }

    fn ports(&mut self, path: &str, ports: &[ContainerPort]) {
        let mut seen: BTreeMap<&str, String> = BTreeMap::new();
        for (at, port) in ports.iter().enumerate() {
            let path = format!("{path}.ports[{at}]");
            match port.container_port {
                1..=65535 => {}
                0 => {
                    self.problem(&format!("{path}.containerPort"), "required, 1 to 65535");
                }
                other => {
                    self.problem(&format!("{path}.containerPort"), format!("{other} is outside 1 to 65535"));
                }
            }
            let protocol = port.protocol.as_deref().filter(|protocol| !protocol.is_empty());
            self.one_of(&format!("{path}.protocol"), protocol, &["TCP", "UDP", "SCTP"]);
            let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) else { continue };
            let name_path = format!("{path}.name");
            self.grammar(&name_path, names::port_name(name));
            if let Some(first) = seen.insert(name, name_path.clone()) {
                let first = self.source.at(&first);
                self.problem(&name_path, format!("the port name {name:?} is already used at {first}"));
            }
        }
    }

    fn mounts(&mut self, path: &str, mounts: &[VolumeMount], spec: &PodSpec) {
        let volumes: Vec<&str> = spec.volumes.iter().flatten().map(|volume| volume.name.as_str()).collect();
        let mut seen: BTreeMap<&str, String> = BTreeMap::new();
        for (at, mount) in mounts.iter().enumerate() {
            let path = format!("{path}.volumeMounts[{at}]");
            let name_path = format!("{path}.name");
            if mount.name.is_empty() {
                self.problem(&name_path, "required");
            } else if !volumes.contains(&mount.name.as_str()) {
                let problem = self.problem(&name_path, format!("spec.volumes has no volume {:?}", mount.name));
                if let Some(meant) = nearest(&mount.name, volumes.iter().copied()) {
                    problem.mend(format!("did you mean {meant:?}?"));
                } else if volumes.is_empty() {
                    problem.mend("the pod has no volumes: write them under spec.volumes");
                } else {
                    problem.mend(format!("it has {}", volumes.join(", ")));
                }
            }
            let mount_path = format!("{path}.mountPath");
            if mount.mount_path.is_empty() {
                self.problem(&mount_path, "required");
                continue;
            }
            if mount.mount_path.contains(':') {
                self.problem(&mount_path, format!("{:?} must not contain \":\"", mount.mount_path));
            }
            if let Some(first) = seen.insert(&mount.mount_path, mount_path.clone()) {
                let first = self.source.at(&first);
                self.problem(&mount_path, format!("{:?} is already mounted at {first}", mount.mount_path));
            }
        }
    }

    fn security(&mut self, path: &str, context: &SecurityContext) {
        self.id(&format!("{path}.runAsUser"), context.run_as_user);
        self.id(&format!("{path}.runAsGroup"), context.run_as_group);
        self.seccomp(&format!("{path}.seccompProfile"), context.seccomp_profile.as_ref());
        let Some(capabilities) = &context.capabilities else { return };
        for (list, names) in [("add", &capabilities.add), ("drop", &capabilities.drop)] {
            for (at, name) in names.iter().flatten().enumerate() {
                self.capability(&format!("{path}.capabilities.{list}[{at}]"), name);
                let admin = list == "add" && name.trim_start_matches("CAP_") == "SYS_ADMIN";
                if admin && context.allow_privilege_escalation == Some(false) {
                    let why = "contradicts allowPrivilegeEscalation: false";
                    self.problem(&format!("{path}.capabilities.{list}[{at}]"), why);
                }
            }
        }
    }

    fn capability(&mut self, path: &str, name: &str) {
        let full = if name.starts_with("CAP_") { name.to_owned() } else { format!("CAP_{name}") };
        if name == "ALL" || caps::Capability::from_str(&full).is_ok() {
            return;
        }
        let known: Vec<String> =
            caps::all().iter().map(|c| c.to_string().trim_start_matches("CAP_").to_owned()).collect();
        let meant = nearest(full.trim_start_matches("CAP_"), known.iter().map(String::as_str)).map(str::to_owned);
        let problem = self.problem(path, format!("{name:?} is not a capability"));
        if let Some(meant) = meant {
            problem.mend(format!("did you mean {meant:?}?"));
        }
    }

    pub(super) fn id(&mut self, path: &str, id: Option<i64>) {
        if let Some(id) = id.filter(|id| !(0..=i64::from(i32::MAX)).contains(id)) {
            self.problem(path, format!("{id} is outside 0 to {}", i32::MAX));
        }
    }

    pub(super) fn seccomp(&mut self, path: &str, profile: Option<&SeccompProfile>) {
        if let Some(profile) = profile {
            self.required(&format!("{path}.type"), &profile.type_);
        }
    }
}

//! One container: its image, environment, ports, mounts and security.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, ContainerPort, PodSpec};

use super::{Check, names};
use crate::manifest::mistakes::nearest;

const NOT_PUBLISHED: &str = "podling publishes no port of a pod's own network";
/// What leads to a program in the pod instead.
const REACHED: &str =
    "podling port-forward reaches the pod's ports from this host; with hostNetwork: true they are the host's";

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
        self.ports(path, container.ports.as_deref().unwrap_or_default(), spec);
        self.mounts(path, container, spec);
        if let Some(resources) = &container.resources {
            self.resources(&format!("{path}.resources"), resources);
        }
        if let Some(context) = &container.security_context {
            self.security(&format!("{path}.securityContext"), context, spec);
        }
        self.life(path, container, spec);
    }

    fn ports(&mut self, path: &str, ports: &[ContainerPort], spec: &PodSpec) {
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
            self.host_port(&path, port, spec);
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

    /// In the host's network the container's port is the host's, at whatever address its program listens.
    fn host_port(&mut self, path: &str, port: &ContainerPort, spec: &PodSpec) {
        let is_hosts = spec.host_network == Some(true);
        if !is_hosts && port.host_ip.as_deref().is_some_and(|ip| !ip.is_empty()) {
            self.refuse(&format!("{path}.hostIP"), NOT_PUBLISHED).mend(REACHED);
        }
        let Some(number) = port.host_port.filter(|number| *number != 0) else { return };
        if !(1..=65535).contains(&number) {
            self.problem(&format!("{path}.hostPort"), format!("{number} is outside 1 to 65535"));
        } else if !is_hosts {
            self.refuse(&format!("{path}.hostPort"), NOT_PUBLISHED).mend(REACHED);
        } else if number != port.container_port {
            self.problem(&format!("{path}.containerPort"), "must be the hostPort where hostNetwork is true");
        }
    }

    fn mounts(&mut self, path: &str, container: &Container, spec: &PodSpec) {
        let mounts = container.volume_mounts.as_deref().unwrap_or_default();
        let volumes: Vec<&str> = spec.volumes.iter().flatten().map(|volume| volume.name.as_str()).collect();
        let mut seen: BTreeMap<&str, String> = BTreeMap::new();
        for (at, mount) in mounts.iter().enumerate() {
            let path = format!("{path}.volumeMounts[{at}]");
            let name_path = format!("{path}.name");
            self.mount(&path, mount, container, spec);
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
}

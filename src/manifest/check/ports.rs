//! That the ports of a pod's containers do not collide: on the host, and in the network that they share.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, ContainerPort, PodSpec};

use super::Check;
use super::pod::containers;

impl Check<'_> {
    pub(super) fn unique_ports(&mut self, spec: &PodSpec) {
        self.host_ports(spec);
        self.pod_ports(spec);
    }

    /// A port of the host is one container's. Init containers run one after the other, so each is looked at by itself.
    fn host_ports(&mut self, spec: &PodSpec) {
        let mut taken: BTreeMap<(&str, &str, i32), String> = BTreeMap::new();
        for (path, container) in containers(spec) {
            if path.starts_with("spec.initContainers") || path == "spec.containers[0]" {
                taken.clear();
            }
            for (at, port) in container.ports.iter().flatten().enumerate() {
                let own = if spec.host_network == Some(true) { port.container_port } else { 0 };
                let number = port.host_port.filter(|&number| number != 0).unwrap_or(own);
                if number == 0 {
                    continue;
                }
                let path = format!("{path}.ports[{at}].hostPort");
                let address = port.host_ip.as_deref().unwrap_or_default();
                if let Some(first) = taken.insert((protocol(port), address, number), path.clone()) {
                    let first = self.source.at(&first);
                    self.problem(
                        &path,
                        format!("{} port {number} of the host is already taken at {first}", protocol(port)),
                    );
                }
            }
        }
    }

    /// The containers of a pod share one network, so only one of them can listen on a port. An API server does not look at it. Plain
    /// init containers are gone when the others run. One container may give a port of its own several names.
    fn pod_ports(&mut self, spec: &PodSpec) {
        let mut seen: BTreeMap<(i32, &str), (String, String)> = BTreeMap::new();
        let stays = |path: &str, c: &Container| {
            path.starts_with("spec.containers") || c.restart_policy.as_deref() == Some("Always")
        };
        for (own, container) in containers(spec).filter(|(path, container)| stays(path, container)) {
            for (at, port) in container.ports.iter().flatten().enumerate() {
                let path = format!("{own}.ports[{at}].containerPort");
                let protocol = protocol(port);
                match seen.get(&(port.container_port, protocol)) {
                    Some((whose, _)) if *whose == own => {}
                    Some((_, first)) => {
                        let first = self.source.at(first);
                        let why = format!("{protocol} port {} is already taken at {first}", port.container_port);
                        self.refuse(&path, why)
                            .mend("the containers of a pod share one network: let one of them listen on another port");
                    }
                    None => {
                        seen.insert((port.container_port, protocol), (own.clone(), path));
                    }
                }
            }
        }
    }
}

/// The port's protocol, TCP where none is written.
fn protocol(port: &ContainerPort) -> &str {
    port.protocol.as_deref().filter(|protocol| !protocol.is_empty()).unwrap_or("TCP")
}

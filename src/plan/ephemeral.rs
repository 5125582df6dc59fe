//! One more container in a pod that runs: `podling debug`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Pod};

use super::scope::Scope;
use super::{ContainerPlan, Options, PodPaths, Role, decide, names};
use crate::error::{Error, Result};
use crate::host::HostFacts;
use crate::image::Image;
use crate::manifest::{Bundle, Said};

/// The plan of `container` as an ephemeral container of `pod`, which runs with the same `paths` and `options`.
///
/// It may mount the pod's volumes, and is never started again. The pod's own plan does not know it, so its `message.file` (empty,
/// mode 0666) has to be made in the running pod's `etc` before it starts.
///
/// # Errors
/// For what an ephemeral container cannot have (probes, hooks, ports, resources, a restart policy), for a name that one of the
/// pod's containers has, and for whatever [`super::plan()`] would refuse in a container.
pub fn ephemeral(
    pod: &Said<Pod>,
    container: &Container,
    bundle: &Bundle,
    images: &BTreeMap<String, Image>,
    host: &HostFacts,
    paths: &PodPaths,
    options: &Options,
) -> Result<ContainerPlan> {
    let Some(spec) = &pod.object.spec else { return Err(pod.source.error("spec", "is missing")) };
    let name = options.name.as_ref().or(pod.object.metadata.name.as_ref()).map_or("", String::as_str);
    let names = names::names(pod, spec, name, host)?;
    let scope = Scope { said: pod, spec, bundle, host, ids: &host.ids, paths, options, name, names: &names };
    let whose = |e: Error| e.context(format_args!("the ephemeral container {:?}", container.name));
    let refused = |field: &str, why: &str| whose(Error::new(format!("{field}: {why}")));
    if let Some((path, _)) = scope.containers().find(|(_, other)| other.name == container.name) {
        let taken = format!("the pod has a container of this name at {}", pod.source.at(&format!("{path}.name")));
        return Err(refused("name", &taken).mend("choose another name"));
    }
    for (field, there) in [
        ("lifecycle", container.lifecycle.is_some()),
        ("livenessProbe", container.liveness_probe.is_some()),
        ("ports", container.ports.is_some()),
        ("readinessProbe", container.readiness_probe.is_some()),
        ("resources", container.resources.is_some()),
        ("restartPolicy", container.restart_policy.is_some()),
        ("restartPolicyRules", container.restart_policy_rules.is_some()),
        ("startupProbe", container.startup_probe.is_some()),
    ] {
        if there {
            return Err(refused(field, "an ephemeral container has none"));
        }
    }
    let mounts = container.volume_mounts.iter().flatten();
    if mounts.flat_map(|mount| [&mount.sub_path, &mount.sub_path_expr]).flatten().any(|path| !path.is_empty()) {
        return Err(refused("volumeMounts", "an ephemeral container has no subPath"));
    }
    let path = "spec.ephemeralContainers[0]".to_owned();
    decide::container(&scope, images, container, Role::Ephemeral, path, &mut Vec::new()).map_err(whose)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Container;
    use serde_json::{Value, json};

    use crate::error::Result;
    use crate::plan::fixture::Fixture;
    use crate::plan::{ContainerPlan, Hooks, Probes, RestartPolicy, Role, StdinPlan, Terminal};

    fn fixture() -> Fixture {
        let mut fixture = Fixture::container(json!({}));
        fixture.pod["spec"]["volumes"] = json!([{ "name": "data", "emptyDir": {} }]);
        fixture
    }

    fn planned(fields: Value) -> Result<ContainerPlan> {
        let mut container = json!({ "name": "debugger", "image": "web" });
        container.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let container: Container = serde_json::from_value(container).unwrap();
        fixture().ephemeral(&container)
    }

    #[test]
    fn it_joins_the_pod_and_never_starts_again() {
        let mounts = json!([{ "name": "data", "mountPath": "/data" }]);
        let plan = planned(json!({ "stdin": true, "tty": true, "command": ["sh"], "volumeMounts": mounts })).unwrap();
        assert_eq!((plan.name.as_str(), plan.role), ("debugger", Role::Ephemeral));
        assert_eq!((plan.restart.policy, plan.restart.rules.len()), (RestartPolicy::Never, 0));
        assert_eq!((plan.probes, plan.hooks), (Probes::default(), Hooks::default()));
        assert_eq!((plan.stdin, plan.terminal), (StdinPlan::Open, Terminal::Own));
        assert_eq!(plan.message.file.to_str(), Some("/run/pod/etc/termination-debugger"));
        let mounts = plan.spec.mounts().as_ref().unwrap();
        let data = mounts.iter().find(|mount| mount.destination().to_str() == Some("/data")).unwrap();
        assert_eq!(data.source().as_ref().unwrap().to_str(), Some("/run/pod/volumes/data"));
        let namespaces = plan.spec.linux().as_ref().unwrap().namespaces().as_ref().unwrap();
        assert!(namespaces.iter().any(|n| n.path().as_ref().is_some_and(|path| path.ends_with("ns/net"))));
    }

    #[test]
    fn what_it_cannot_have() {
        let probe = json!({ "tcpSocket": { "port": 1 } });
        for (fields, expected) in [
            (json!({ "name": "main" }), "name: the pod has a container of this name"),
            (json!({ "livenessProbe": probe }), "livenessProbe: an ephemeral container has none"),
            (json!({ "lifecycle": {} }), "lifecycle: an ephemeral container has none"),
            (json!({ "ports": [] }), "ports: an ephemeral container has none"),
            (json!({ "restartPolicy": "Always" }), "restartPolicy: an ephemeral container has none"),
            (json!({ "image": "absent" }), "image \"absent\" is not in the store"),
            (json!({ "name": "../x" }), "cannot be a directory's name"),
            (json!({ "volumeMounts": [{ "name": "none", "mountPath": "/x" }] }), "no volume \"none\""),
            (json!({ "volumeMounts": [{ "name": "data", "mountPath": "/x", "subPath": "y" }] }), "subPath"),
        ] {
            let refusal = planned(fields).unwrap_err().to_string();
            assert!(refusal.contains("the ephemeral container") && refusal.contains(expected), "{refusal}");
        }
    }
}

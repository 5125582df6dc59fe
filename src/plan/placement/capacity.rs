//! Requests: a scheduler looks for a node that has at least what a pod asks for, and podling starts the pod on this host in any case.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;

use super::{Scope, Verdict};
use crate::manifest::Quantity;

/// The requests that are for more than this host has in all.
pub(super) fn verdicts(scope: &Scope) -> Vec<Verdict> {
    let of_pod = scope.spec.resources.as_ref().map(|said| ("spec.resources".to_owned(), said));
    let of_containers =
        scope.containers().filter_map(|(path, c)| Some((format!("{path}.resources"), c.resources.as_ref()?)));
    let lists =
        of_pod.into_iter().chain(of_containers).filter_map(|(path, said)| Some((path, said.requests.as_ref()?)));
    lists.flat_map(|(path, requests)| beyond(scope, &path, requests)).collect()
}

fn beyond(scope: &Scope, path: &str, requests: &BTreeMap<String, Text>) -> Vec<Verdict> {
    let node = &scope.host.node;
    let verdict = |(name, text): (&String, &Text)| {
        let asked = Quantity::parse(&text.0).ok()?;
        // What this host has, in the unit that is compared, and as a text.
        let (asked, has, said) = match name.as_str() {
            "cpu" => (asked.millis(), node.cpu_millis, format!("{}m of cpu", node.cpu_millis)),
            "memory" => (asked.units(), node.memory, format!("{} MiB of memory", node.memory >> 20)),
            "ephemeral-storage" => (asked.units(), node.storage, format!("a disk of {} MiB", node.storage >> 20)),
            _ => return None,
        };
        // Zero is a host that was not looked at, where only the pod's own fields count.
        (has > 0 && asked > has).then(|| {
            let how = format!(
                "this host has {said}, and podling starts the pod on it; a cluster would find no node for it here"
            );
            scope.verdict(format!("{path}.requests.{name}"), how)
        })
    };
    requests.iter().filter_map(verdict).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::plan::fixture::Fixture;

    fn told(container: Value, pod: Value) -> Vec<String> {
        let mut fixture = Fixture::container(json!({ "resources": { "requests": container } }));
        fixture.pod["spec"]["resources"] = json!({ "requests": pod });
        fixture.host.node.cpu_millis = 2500;
        fixture.host.node.memory = 1 << 30;
        fixture.host.node.storage = 1 << 40;
        let report = fixture.plan().unwrap().report;
        report.into_iter().filter(|v| v.path.contains(".requests.")).map(|v| format!("{}: {}", v.path, v.how)).collect()
    }

    #[test]
    fn what_is_more_than_the_host_has_is_told() {
        assert!(
            told(json!({ "cpu": "2.5", "memory": "1Gi", "ephemeral-storage": "1Ti" }), json!({ "cpu": 2 })).is_empty()
        );
        let told = told(
            json!({ "cpu": "2501m", "memory": "1.1Gi", "ephemeral-storage": "2T" }),
            json!({ "cpu": 3, "memory": "1Mi" }),
        );
        let starts: Vec<&str> = told.iter().filter_map(|line| line.split(", and").next()).collect();
        assert_eq!(
            starts,
            [
                "spec.resources.requests.cpu: this host has 2500m of cpu",
                "spec.containers[0].resources.requests.cpu: this host has 2500m of cpu",
                "spec.containers[0].resources.requests.ephemeral-storage: this host has a disk of 1048576 MiB",
                "spec.containers[0].resources.requests.memory: this host has 1024 MiB of memory",
            ]
        );
    }

    #[test]
    fn a_host_that_was_not_looked_at_is_not_judged() {
        let fixture = Fixture::container(json!({ "resources": { "requests": { "cpu": "1000" } } }));
        assert!(fixture.plan().unwrap().report.iter().all(|v| !v.path.contains(".requests.")));
    }
}

//! The downward API: fields of the pod and resources of its containers as text (Kubernetes, "Downward API").

use std::collections::BTreeMap;
use std::fmt::Write;

use k8s_openapi::api::core::v1::{Container, ObjectFieldSelector, ResourceFieldSelector, ResourceRequirements};

use super::scope::Scope;
use super::{POD_IP, Verdict, placement};
use crate::error::Result;
use crate::manifest::{Quantity, subscripted};

/// The value of the field that `said`, at `at`, selects.
///
/// # Errors
/// A path that is none of the downward API's.
pub(super) fn field(scope: &Scope, at: &str, said: &ObjectFieldSelector, report: &mut Vec<Verdict>) -> Result<String> {
    let metadata = &scope.said.object.metadata;
    let path = said.field_path.as_str();
    if let Some((map, key)) = subscripted(path) {
        let map = match map {
            "metadata.labels" => &metadata.labels,
            "metadata.annotations" => &metadata.annotations,
            _ => return Err(scope.error(&format!("{at}.fieldPath"), format!("{map} has no entries to select from"))),
        };
        return Ok(map.as_ref().and_then(|map| map.get(key)).cloned().unwrap_or_default());
    }
    let named = |name: &Option<String>| name.clone().filter(|name| !name.is_empty());
    Ok(match path {
        "metadata.name" => scope.name.to_owned(),
        "metadata.namespace" => scope.namespace().to_owned(),
        "metadata.uid" => scope.paths.uid.clone(),
        // The second one is what the first was called in old versions of the API, which the API server still takes.
        "spec.nodeName" | "spec.host" => {
            named(&scope.spec.node_name).unwrap_or_else(|| placement::node_name(scope.host, scope.options))
        }
        "spec.serviceAccountName" => named(&scope.spec.service_account_name)
            .or_else(|| named(&scope.spec.service_account))
            .unwrap_or_else(|| "default".to_owned()),
        "status.podIP" | "status.podIPs" | "status.hostIP" | "status.hostIPs" => {
            let how = if scope.spec.host_network == Some(true) {
                format!("{path} is {POD_IP}, where this host reaches itself; a cluster has the node's address")
            } else {
                let whose = if path.starts_with("status.pod") { "the pod's" } else { "the node's" };
                format!(
                    "{path} is {POD_IP}: the pod has a loopback interface and no other, where a cluster has {whose} address"
                )
            };
            report.push(scope.verdict(format!("{at}.fieldPath"), how));
            POD_IP.to_owned()
        }
        _ => {
            return Err(scope.error(&format!("{at}.fieldPath"), format!("{path:?} is not a field of the downward API")));
        }
    })
}

/// The value for a file: besides the fields of variables, all labels or all annotations, a line for each.
///
/// # Errors
/// Those of [`field`].
pub(super) fn in_file(
    scope: &Scope,
    at: &str,
    said: &ObjectFieldSelector,
    report: &mut Vec<Verdict>,
) -> Result<String> {
    let metadata = &scope.said.object.metadata;
    match said.field_path.as_str() {
        "metadata.labels" => Ok(lines(metadata.labels.as_ref())),
        "metadata.annotations" => Ok(lines(metadata.annotations.as_ref())),
        _ => field(scope, at, said, report),
    }
}

/// The value of the resource that `said`, at `at`, selects, in units of its divisor, rounded up. `own` is the container that says so.
///
/// # Errors
/// A container, a resource or a divisor that does not exist.
pub(super) fn resource(
    scope: &Scope,
    at: &str,
    said: &ResourceFieldSelector,
    own: &Container,
    report: &mut Vec<Verdict>,
) -> Result<String> {
    let container = match said.container_name.as_deref().filter(|name| !name.is_empty()) {
        None => own,
        Some(name) => {
            scope.containers().map(|(_, container)| container).find(|c| c.name == name).ok_or_else(|| {
                scope.error(&format!("{at}.containerName"), format!("the pod has no container {name:?}"))
            })?
        }
    };
    let Some((list, name)) = said.resource.split_once('.').filter(|(list, _)| matches!(*list, "limits" | "requests"))
    else {
        return Err(scope.error(&format!("{at}.resource"), format!("{:?} is not a resource", said.resource)));
    };
    let quantity = |path: &str, text: &str| Quantity::parse(text).map_err(|why| scope.error(path, why));
    let divisor = match &said.divisor {
        Some(divisor) => quantity(&format!("{at}.divisor"), &divisor.0)?,
        None => Quantity::default(),
    };
    let amount = amount(container, list, name).map(|text| quantity(at, text)).transpose()?;
    let amount = amount.filter(|amount| amount.millis() > 0);
    // CPUs are counted in thousandths, everything else in whole units.
    let of = |quantity: Quantity| if name == "cpu" { quantity.millis() } else { quantity.units() };
    let value = match amount {
        Some(amount) => of(amount),
        None if list == "limits" => allowed(scope, at, name, report)?,
        None => 0,
    };
    let divisor = match of(divisor) {
        0 if name == "cpu" => 1000,
        0 => 1,
        divisor => divisor,
    };
    Ok(value.div_ceil(divisor).to_string())
}

/// What is written; a request that is not is the limit, as the API server has it.
fn amount<'a>(container: &'a Container, list: &str, name: &str) -> Option<&'a str> {
    let resources = container.resources.as_ref()?;
    let limit = || Some(resources.limits.as_ref()?.get(name)?.0.as_str());
    if list == "limits" {
        return limit();
    }
    let request = resources.requests.as_ref().and_then(|requests| requests.get(name));
    request.map(|quantity| quantity.0.as_str()).or_else(limit)
}

/// What a container without a limit may use: the pod's limit, else what the node has.
fn allowed(scope: &Scope, at: &str, name: &str, report: &mut Vec<Verdict>) -> Result<u64> {
    let of_pod = |resources: &ResourceRequirements| Some(resources.limits.as_ref()?.get(name)?.0.clone());
    if let Some(text) = scope.spec.resources.as_ref().and_then(of_pod) {
        let quantity =
            Quantity::parse(&text).map_err(|why| scope.error(&format!("spec.resources.limits.{name}"), why))?;
        return Ok(if name == "cpu" { quantity.millis() } else { quantity.units() });
    }
    let node = &scope.host.node;
    let (value, what) = match name {
        "cpu" => (node.cpu_millis, "the CPUs that podling may use"),
        "memory" => (node.memory, "the machine's memory"),
        "ephemeral-storage" => (node.storage, "the size of the file system that podling's data is on"),
        _ => return Ok(0),
    };
    let how = format!("without a limit limits.{name} is {what}; a cluster takes off what a node keeps for itself");
    report.push(scope.verdict(format!("{at}.resource"), how));
    Ok(value)
}

/// One line for each entry, `key="value"`, in the order of the keys; the last has no line feed (the kubelet's `FormatMap`).
fn lines(map: Option<&BTreeMap<String, String>>) -> String {
    let lines: Vec<String> = map.into_iter().flatten().map(|(key, value)| format!("{key}={}", quoted(value))).collect();
    lines.join("\n")
}

/// `text` in double quotes as Go's `strconv.Quote` writes it.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\x07' => quoted.push_str("\\a"),
            '\x08' => quoted.push_str("\\b"),
            '\x0c' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\x0b' => quoted.push_str("\\v"),
            c if is_printable(c) => quoted.push(c),
            // Writing to a String cannot fail.
            c if c.is_ascii() => drop(write!(quoted, "\\x{:02x}", u32::from(c))),
            c if u32::from(c) < 0x10000 => drop(write!(quoted, "\\u{:04x}", u32::from(c))),
            c => drop(write!(quoted, "\\U{:08x}", u32::from(c))),
        }
    }
    quoted.push('"');
    quoted
}

/// Letters, marks, numbers, punctuation, symbols and the space. `escape_debug` knows them; it leaves marks alone only behind another
/// character, and the single quote never.
fn is_printable(c: char) -> bool {
    c == '\'' || format!("a{c}").escape_debug().count() == 2
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::plan::fixture::Fixture;

    #[test]
    fn whole_maps_as_the_kubelet_formats_them() {
        let map = |entries: &[(&str, &str)]| {
            entries
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect::<std::collections::BTreeMap<_, _>>()
        };
        assert_eq!(super::lines(Some(&map(&[("b", "2"), ("a", "1")]))), "a=\"1\"\nb=\"2\"");
        assert_eq!(
            super::lines(Some(&map(&[("k/x", "say \"hi\"\n\u{e4}\u{200b}\u{7f}'")]))),
            "k/x=\"say \\\"hi\\\"\\n\u{e4}\\u200b\\x7f'\""
        );
        assert_eq!(super::lines(None), "");
    }

    fn variable(fixture: &Fixture) -> String {
        let env = fixture.spec()["process"]["env"].clone();
        let all = env.as_array().unwrap().iter().filter_map(Value::as_str);
        all.filter_map(|entry| entry.strip_prefix("V=")).next().unwrap().to_owned()
    }

    fn from_field(path: &str) -> Fixture {
        let mut fixture =
            Fixture::container(json!({ "env": [{ "name": "V", "valueFrom": { "fieldRef": { "fieldPath": path } } }] }));
        fixture.pod["metadata"] = json!({
            "name": "pod",
            "labels": { "app": "web", "example.com/tier": "front" },
            "annotations": { "Example.com/Note": "two\nlines", "a']": "odd" },
        });
        fixture
    }

    #[test]
    fn fields_of_the_pod() {
        for (path, expected) in [
            ("metadata.name", "pod"),
            ("metadata.namespace", "default"),
            ("metadata.uid", crate::plan::NO_UID),
            ("metadata.labels['app']", "web"),
            ("metadata.labels['example.com/tier']", "front"),
            ("metadata.labels['none']", ""),
            ("metadata.annotations['Example.com/Note']", "two\nlines"),
            ("metadata.annotations['a']']", "odd"),
            ("spec.nodeName", "here"),
            ("spec.host", "here"),
            ("spec.serviceAccountName", "default"),
            ("status.podIP", "127.0.0.1"),
            ("status.podIPs", "127.0.0.1"),
            ("status.hostIP", "127.0.0.1"),
            ("status.hostIPs", "127.0.0.1"),
        ] {
            let fixture = from_field(path);
            assert_eq!(variable(&fixture), expected, "{path}");
            let said = fixture
                .plan()
                .unwrap()
                .report
                .iter()
                .any(|v| v.path == "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath");
            assert_eq!(said, path.starts_with("status."), "{path}");
        }
        let mut other = from_field("spec.serviceAccountName");
        other.pod["spec"]["serviceAccount"] = json!("robot");
        assert_eq!(variable(&other), "robot");
        other.pod["spec"]["serviceAccountName"] = json!("human");
        assert_eq!(variable(&other), "human");
        let mut renamed = from_field("metadata.name");
        renamed.options.name = Some("two".to_owned());
        assert_eq!(variable(&renamed), "two");
    }

    #[test]
    fn other_paths_are_refused_and_no_panic() {
        for path in [
            "",
            "metadata",
            "metadata.labels",
            "spec.restartPolicy",
            "['x']",
            "metadata.name['x']",
            "metadata.labels['x'",
            "']",
        ] {
            let refusal = from_field(path).refusal();
            assert!(refusal.contains("spec.containers[0].env[0].valueFrom.fieldRef.fieldPath"), "{path}: {refusal}");
        }
        let mut nul = from_field("metadata.annotations['n']");
        nul.pod["metadata"]["annotations"]["n"] = json!("a\0b");
        assert!(nul.refusal().contains("NUL"));
    }

    fn from_resource(said: Value, resources: Value) -> Fixture {
        let mut fixture = Fixture::container(
            json!({ "env": [{ "name": "V", "valueFrom": { "resourceFieldRef": said } }], "resources": resources }),
        );
        fixture.pod["spec"]["initContainers"] =
            json!([{ "name": "first", "image": "busybox", "resources": { "limits": { "cpu": "7" } } }]);
        fixture.host.node.cpu_millis = 4000;
        fixture.host.node.memory = 8 << 30;
        fixture.host.node.storage = 100 << 30;
        fixture
    }

    #[test]
    fn resources_in_units_of_their_divisor() {
        let resources = json!({
            "limits": { "cpu": "1500m", "memory": "100Mi", "hugepages-2Mi": "4Mi" },
            "requests": { "cpu": "0.2501", "ephemeral-storage": "1G" },
        });
        for (name, divisor, expected) in [
            ("limits.cpu", "0", "2"),
            ("limits.cpu", "1m", "1500"),
            ("requests.cpu", "1", "1"),
            ("requests.cpu", "1m", "251"),
            ("limits.memory", "1Mi", "100"),
            ("limits.memory", "1M", "105"),
            ("limits.memory", "1Ei", "1"),
            ("requests.memory", "1", "104857600"),
            ("requests.ephemeral-storage", "1k", "1000000"),
            ("limits.ephemeral-storage", "1Gi", "100"),
            ("limits.hugepages-2Mi", "1Mi", "4"),
            ("requests.hugepages-2Mi", "1Ki", "4096"),
            ("requests.hugepages-1Gi", "1", "0"),
        ] {
            let fixture = from_resource(json!({ "resource": name, "divisor": divisor }), resources.clone());
            assert_eq!(variable(&fixture), expected, "{name} {divisor}");
        }
        let other = from_resource(json!({ "resource": "limits.cpu", "containerName": "first" }), json!({}));
        assert_eq!(variable(&other), "7");
    }

    #[test]
    fn without_a_limit_the_nodes_counts_and_that_is_said() {
        for (name, expected) in [("cpu", "4"), ("memory", "8589934592"), ("ephemeral-storage", "107374182400")] {
            for limits in [json!({}), json!({ "limits": { name: "0" } })] {
                let fixture = from_resource(json!({ "resource": format!("limits.{name}") }), limits);
                assert_eq!(variable(&fixture), expected);
                let report = fixture.plan().unwrap().report;
                assert!(report.iter().any(|v| v.path.ends_with("env[0].valueFrom.resourceFieldRef.resource")
                    && v.how.contains("without a limit")));
            }
            let fixture = from_resource(json!({ "resource": format!("requests.{name}") }), json!({}));
            assert_eq!(variable(&fixture), "0");
        }
        let mut pods = from_resource(json!({ "resource": "limits.cpu" }), json!({}));
        pods.pod["spec"]["resources"] = json!({ "limits": { "cpu": "3" } });
        assert_eq!(variable(&pods), "3");
    }

    #[test]
    fn impossible_resources() {
        for (said, expected) in [
            (json!({ "resource": "limits.cpu", "containerName": "none" }), "resourceFieldRef.containerName"),
            (json!({ "resource": "cpu" }), "resourceFieldRef.resource"),
            (json!({ "resource": "limits.cpu", "divisor": "x" }), "resourceFieldRef.divisor"),
        ] {
            let refusal = from_resource(said, json!({})).refusal();
            assert!(refusal.contains(expected), "{refusal}");
        }
    }
}

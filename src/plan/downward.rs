//! The downward API: what a pod is told about itself, in variables and in files.

use std::collections::BTreeMap;
use std::fmt::Write;

use k8s_openapi::api::core::v1::Container;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as SaidQuantity;

use super::scope::Scope;
use crate::manifest::Quantity;

/// The pod's address: its containers reach each other on the loopback interface that they share, and nothing else is there.
pub const POD_IP: &str = "127.0.0.1";

/// The account of a pod that names none, as the API server's admission has it.
const DEFAULT_ACCOUNT: &str = "default";

/// The label that names a node.
const HOSTNAME_LABEL: &str = "kubernetes.io/hostname";

/// The value of the pod's field at `path`: `metadata.name`, `metadata.labels['app']`, `status.podIP` … A label or annotation that the
/// pod does not have is empty (Kubernetes, "Downward API", "Available fields").
///
/// # Errors
/// Why there is no such value, to be put after the path of the `fieldPath` that asks for it.
pub(super) fn field(scope: &Scope, path: &str) -> Result<String, String> {
    let metadata = &scope.said.object.metadata;
    let owned = |text: &Option<String>| text.clone().unwrap_or_default();
    if let Some((map, key)) = subscript(path) {
        let map = match map {
            "metadata.labels" => &metadata.labels,
            "metadata.annotations" => &metadata.annotations,
            _ => return Err(format!("{path:?}: only metadata.labels and metadata.annotations take a key")),
        };
        return Ok(map.as_ref().and_then(|map| map.get(key)).cloned().unwrap_or_default());
    }
    Ok(match path {
        "metadata.name" => scope.options.name.clone().unwrap_or_else(|| owned(&metadata.name)),
        "metadata.namespace" => {
            metadata.namespace.clone().filter(|namespace| !namespace.is_empty()).unwrap_or_else(|| "default".to_owned())
        }
        "metadata.uid" => owned(&metadata.uid),
        "metadata.labels" => lines(metadata.labels.as_ref()),
        "metadata.annotations" => lines(metadata.annotations.as_ref()),
        "spec.nodeName" => node_name(scope),
        "spec.serviceAccountName" => {
            let said = [&scope.spec.service_account_name, &scope.spec.service_account].into_iter().flatten();
            said.filter(|name| !name.is_empty()).map(String::as_str).next().unwrap_or(DEFAULT_ACCOUNT).to_owned()
        }
        "status.hostIP" | "status.hostIPs" | "status.podIP" | "status.podIPs" => POD_IP.to_owned(),
        _ => return Err(format!("{path:?} is not a field that the downward API tells")),
    })
}

/// The amount of `resource` (`limits.cpu`, `requests.memory`, `limits.hugepages-2Mi` …) that `container` has, in units of `divisor`
/// and rounded up. What is not limited is all that the pod may have, or else all that this host has; a request that is not written is
/// the limit, and without one 0.
///
/// # Errors
/// Why there is no such amount, to be put after the path of the `resource` that asks for it.
pub(super) fn resource(
    scope: &Scope,
    container: &Container,
    resource: &str,
    divisor: Option<&SaidQuantity>,
) -> Result<String, String> {
    let unknown = || format!("{resource:?} is not a resource that the downward API tells");
    let (of, name) = resource.split_once('.').ok_or_else(unknown)?;
    if !matches!(name, "cpu" | "memory" | "ephemeral-storage") && !name.starts_with("hugepages-") {
        return Err(unknown());
    }
    let written = |map: Option<&BTreeMap<String, SaidQuantity>>| -> Result<Option<Quantity>, String> {
        map.and_then(|map| map.get(name)).map(|quantity| Quantity::parse(&quantity.0)).transpose()
    };
    let resources = container.resources.as_ref();
    let limit = written(resources.and_then(|resources| resources.limits.as_ref()))?;
    let amount = match of {
        "limits" => match limit.filter(|limit| *limit > Quantity::default()) {
            Some(limit) => limit,
            None => whole(scope, name, written)?,
        },
        "requests" => {
            written(resources.and_then(|resources| resources.requests.as_ref()))?.or(limit).unwrap_or_default()
        }
        _ => return Err(unknown()),
    };
    let divisor = divisor.map(|divisor| Quantity::parse(&divisor.0)).transpose()?.unwrap_or_default();
    let divisor = if divisor > Quantity::default() { divisor } else { Quantity::of_units(1) };
    // The kubelet counts CPUs in thousandths and everything else in whole units.
    let of = |quantity: Quantity| if name == "cpu" { quantity.millis() } else { quantity.units() };
    Ok(of(amount).div_ceil(of(divisor).max(1)).to_string())
}

/// All of a resource that a container without a limit may use: the pod's own limit where that is less than what this host has.
fn whole(
    scope: &Scope,
    name: &str,
    written: impl Fn(Option<&BTreeMap<String, SaidQuantity>>) -> Result<Option<Quantity>, String>,
) -> Result<Quantity, String> {
    let capacity = &scope.host.capacity;
    let host = Quantity::of_units(match name {
        "cpu" => capacity.cpus,
        "memory" => capacity.memory,
        "ephemeral-storage" => capacity.storage,
        _ => 0,
    });
    // Kubernetes knows no limit of a whole pod for this one.
    if name == "ephemeral-storage" {
        return Ok(host);
    }
    let pods = written(scope.spec.resources.as_ref().and_then(|resources| resources.limits.as_ref()))?;
    Ok(pods.map_or(host, |pods| pods.min(host)))
}

/// The map and the key of `metadata.labels['key']`.
fn subscript(path: &str) -> Option<(&str, &str)> {
    path.strip_suffix("']")?.split_once("['")
}

/// What is written as `spec.nodeName`, else this host's label of that meaning, else its name.
fn node_name(scope: &Scope) -> String {
    let said = scope.spec.node_name.as_ref().filter(|name| !name.is_empty());
    said.or_else(|| scope.options.node_labels.get(HOSTNAME_LABEL)).unwrap_or(&scope.host.name).clone()
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

    use super::*;
    use crate::plan::fixture::Fixture;

    fn told(fixture: &Fixture, path: &str) -> Result<String, String> {
        fixture.with_scope(|scope| field(scope, path))
    }

    #[test]
    fn fields_of_the_pod() {
        let mut fixture = Fixture::container(json!({}));
        fixture.pod["metadata"] = json!({
            "name": "pod", "namespace": "shop", "uid": "0-1",
            "labels": { "b": "2", "a": "1" },
            "annotations": { "k/x": "say \"hi\"\nä\u{200b}\u{7f}'" },
        });
        for (path, value) in [
            ("metadata.name", "pod"),
            ("metadata.namespace", "shop"),
            ("metadata.uid", "0-1"),
            ("metadata.labels", "a=\"1\"\nb=\"2\""),
            ("metadata.annotations", "k/x=\"say \\\"hi\\\"\\nä\\u200b\\x7f'\""),
            ("metadata.labels['a']", "1"),
            ("metadata.labels['none']", ""),
            ("metadata.annotations['k/x']", "say \"hi\"\nä\u{200b}\u{7f}'"),
            ("spec.nodeName", "here"),
            ("spec.serviceAccountName", "default"),
            ("status.hostIP", "127.0.0.1"),
            ("status.hostIPs", "127.0.0.1"),
            ("status.podIP", "127.0.0.1"),
            ("status.podIPs", "127.0.0.1"),
        ] {
            assert_eq!(told(&fixture, path), Ok(value.to_owned()), "{path}");
        }
        for path in ["metadata.generateName", "spec.hostname", "metadata.name['a']", "metadata.labels[a]", ""] {
            assert!(told(&fixture, path).is_err(), "{path}");
        }
        fixture.options.name = Some("other".into());
        fixture.options.node_labels.insert("kubernetes.io/hostname".into(), "n1".into());
        fixture.pod["spec"]["serviceAccountName"] = json!("robot");
        assert_eq!(told(&fixture, "metadata.name"), Ok("other".into()));
        assert_eq!(told(&fixture, "spec.nodeName"), Ok("n1".into()));
        assert_eq!(told(&fixture, "spec.serviceAccountName"), Ok("robot".into()));
        fixture.pod["spec"]["nodeName"] = json!("n2");
        assert_eq!(told(&fixture, "spec.nodeName"), Ok("n2".into()));
    }

    #[test]
    fn amounts_of_resources() {
        let amount = |resources: Value, pods: Value, what: &str, divisor: &str| {
            let mut fixture = Fixture::container(json!({ "resources": resources }));
            fixture.pod["spec"]["resources"] = json!({ "limits": pods });
            let divisor = SaidQuantity(divisor.to_owned());
            fixture.with_scope(|scope| resource(scope, &scope.spec.containers[0], what, Some(&divisor)))
        };
        let limits = || json!({ "limits": { "cpu": "1500m", "memory": "64Mi", "hugepages-2Mi": "4Mi" } });
        let both = || json!({ "limits": { "cpu": "2" }, "requests": { "cpu": "250m" } });
        let none = || json!({});
        for (resources, pods, what, divisor, expected) in [
            (limits(), none(), "limits.cpu", "0", "2"),
            (limits(), none(), "limits.cpu", "1", "2"),
            (limits(), none(), "limits.cpu", "1m", "1500"),
            (limits(), none(), "limits.memory", "1Mi", "64"),
            (limits(), none(), "limits.memory", "1M", "68"),
            (limits(), none(), "requests.memory", "1", "67108864"),
            (limits(), none(), "limits.hugepages-2Mi", "1Mi", "4"),
            (both(), none(), "requests.cpu", "1m", "250"),
            (none(), none(), "requests.cpu", "1m", "0"),
            (none(), none(), "limits.cpu", "1", "4"),
            (none(), none(), "limits.memory", "1Gi", "8"),
            (none(), none(), "limits.ephemeral-storage", "1Gi", "100"),
            (none(), none(), "requests.ephemeral-storage", "1Gi", "0"),
            (none(), none(), "limits.hugepages-2Mi", "1", "0"),
            (none(), json!({ "cpu": "500m" }), "limits.cpu", "1m", "500"),
            (none(), json!({ "memory": "800Gi" }), "limits.memory", "1Gi", "8"),
        ] {
            assert_eq!(amount(resources, pods, what, divisor), Ok(expected.to_owned()), "{what} / {divisor}");
        }
        for what in ["limits", "limits.gpu", "uses.cpu", ""] {
            assert!(amount(none(), none(), what, "1").is_err(), "{what}");
        }
    }
}

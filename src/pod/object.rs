//! The Pod as a Kubernetes object: what was said, and what podling knows of it.

use serde_json::{Map, Value, json};

use crate::error::{Error, Result};
use crate::image::timestamp;
use crate::manifest::Quantity;

/// Which pod it is.
#[derive(Debug)]
pub(super) struct Identity<'a> {
    pub(super) name: &'a str,
    pub(super) namespace: &'a str,
    pub(super) uid: &'a str,
    /// Seconds since 1970.
    pub(super) started_at: i64,
    pub(super) time_scale: f64,
}

/// The object that `said` is as JSON text, with its identity and `status`.
///
/// # Errors
/// `said` is not JSON.
pub(super) fn complete(said: &str, identity: &Identity, mut status: Value) -> Result<Value> {
    let mut object: Value = serde_json::from_str(said).map_err(|e| Error::new(format!("the pod's object: {e}")))?;
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.insert("name".into(), json!(identity.name));
        metadata.insert("namespace".into(), json!(identity.namespace));
        metadata.insert("uid".into(), json!(identity.uid));
        metadata.insert("creationTimestamp".into(), json!(timestamp::format(identity.started_at)));
        if identity.time_scale != 1.0
            && let Some(annotations) = metadata.entry("annotations").or_insert_with(|| json!({})).as_object_mut()
        {
            annotations.insert("podling.dev/time-scale".into(), json!(identity.time_scale.to_string()));
        }
        if metadata.get("annotations").and_then(Value::as_object).is_some_and(Map::is_empty) {
            metadata.remove("annotations");
        }
    }
    status["qosClass"] = json!(quality_of_service(&object["spec"]));
    object["status"] = status;
    Ok(object)
}

/// `imageID` as the kubelet writes it: `docker.io/library/busybox@sha256:…`; only the digest where the image has no name.
pub(super) fn image_id(reference: &str, digest: &str) -> String {
    let name = reference.split('@').next().unwrap_or(reference);
    // A colon before the last slash is that of a port.
    let path = name.rfind('/').map_or(0, |slash| slash + 1);
    let repository = match name.get(path..).and_then(|last| last.find(':')) {
        Some(colon) => name.get(..path + colon).unwrap_or(name),
        None => name,
    };
    if reference.starts_with("sha256:") || repository.is_empty() {
        return digest.to_owned();
    }
    format!("{repository}@{digest}")
}

/// `qosClass` (Kubernetes, "Pod Quality of Service Classes"): by the cpu and memory of containers and init containers.
fn quality_of_service(spec: &Value) -> &'static str {
    let of = |list: &str| spec[list].as_array().map(Vec::as_slice).unwrap_or_default();
    let containers: Vec<&Value> = of("initContainers").iter().chain(of("containers")).collect();
    let amount = |container: &Value, field: &str, resource: &str| -> Option<u64> {
        let written = &container["resources"][field][resource];
        let quantity = Quantity::parse(written.as_str()?).ok()?;
        Some(quantity.millis()).filter(|millis| *millis > 0)
    };
    let resources = ["cpu", "memory"];
    let any =
        |c: &&&Value| resources.iter().any(|r| amount(c, "requests", r).is_some() || amount(c, "limits", r).is_some());
    if !containers.iter().any(|c| any(&c)) {
        return "BestEffort";
    }
    // A request that is not written is the limit.
    let guaranteed = |c: &&Value| {
        resources.iter().all(|r| {
            let limit = amount(c, "limits", r);
            limit.is_some() && amount(c, "requests", r).or(limit) == limit
        })
    };
    if containers.iter().all(guaranteed) { "Guaranteed" } else { "Burstable" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_ids() {
        for (reference, id) in [
            ("docker.io/library/busybox:latest", "docker.io/library/busybox@sha256:1"),
            ("localhost:5000/a/b", "localhost:5000/a/b@sha256:1"),
            ("localhost:5000/a/b:tag@sha256:1", "localhost:5000/a/b@sha256:1"),
            ("sha256:1", "sha256:1"),
        ] {
            assert_eq!(image_id(reference, "sha256:1"), id);
        }
    }

    #[test]
    fn classes_of_quality() {
        let container = |resources: Value| json!({ "resources": resources });
        let full = json!({ "limits": { "cpu": "1", "memory": "1Gi" }, "requests": { "cpu": "1000m" } });
        for (containers, class) in [
            (json!([{}, container(json!({ "limits": {} }))]), "BestEffort"),
            (json!([container(full.clone())]), "Guaranteed"),
            (json!([container(full.clone()), {}]), "Burstable"),
            (json!([container(json!({ "requests": { "cpu": "1" } }))]), "Burstable"),
            (
                json!([container(json!({ "limits": { "cpu": "2", "memory": "1" }, "requests": { "cpu": "1" } }))]),
                "Burstable",
            ),
        ] {
            assert_eq!(quality_of_service(&json!({ "containers": containers })), class, "{containers}");
        }
    }
}

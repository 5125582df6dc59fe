//! What `podling plan` prints: the plan as JSON, without the content of volumes and without any value of a Secret.

use serde_json::{Value, json};

use super::{ContainerPlan, PodPlan, RestartPolicy, SecretStrings, Verdict, VolumePlan};
use crate::error::{Error, Result};
use crate::host::IdExtent;

/// The plan as one JSON object, the same for the same plan.
///
/// # Errors
/// Only where a path of the plan is not UTF-8, which JSON cannot hold.
pub fn render(plan: &PodPlan) -> Result<Value> {
    Ok(json!({
        "name": plan.name,
        "hostname": plan.hostname,
        "restartPolicy": match plan.restart_policy {
            RestartPolicy::Always => "Always",
            RestartPolicy::OnFailure => "OnFailure",
            RestartPolicy::Never => "Never",
        },
        "terminationGracePeriodSeconds": plan.grace_period.as_secs(),
        "idMappings": { "uids": extents(&plan.ids.uids), "gids": extents(&plan.ids.gids) },
        "volumes": plan.volumes.iter().map(volume).collect::<Vec<_>>(),
        "initContainers": plan.init_containers.iter().map(container).collect::<Result<Vec<_>>>()?,
        "containers": plan.containers.iter().map(container).collect::<Result<Vec<_>>>()?,
        "report": plan.report.iter().map(verdict).collect::<Vec<_>>(),
    }))
}

fn extents(extents: &[IdExtent]) -> Vec<Value> {
    let extent = |e: &IdExtent| json!({ "containerID": e.inside, "hostID": e.outside, "size": e.count });
    extents.iter().map(extent).collect()
}

fn volume(volume: &VolumePlan) -> Value {
    let file = |file: &super::FilePlan| json!({ "path": file.path.to_string_lossy(), "mode": octal(file.mode), "bytes": file.content.len() });
    json!({
        "name": volume.name,
        "path": volume.path.to_string_lossy(),
        "mode": octal(volume.mode),
        "sizeLimit": volume.size_limit,
        "directories": volume.directories.iter().map(|path| path.to_string_lossy()).collect::<Vec<_>>(),
        "files": volume.files.iter().map(file).collect::<Vec<_>>(),
    })
}

fn container(container: &ContainerPlan) -> Result<Value> {
    let mut spec = serde_json::to_value(&container.spec)
        .map_err(|e| Error::new(e.to_string()).context(format_args!("printing container {:?}", container.name)))?;
    sort_capabilities(&mut spec);
    hide_secrets(&mut spec, &container.secret);
    Ok(json!({
        "name": container.name,
        "image": container.image,
        "overlay": {
            "lowerdir": container.layers.iter().map(|layer| layer.to_string_lossy()).collect::<Vec<_>>(),
            "upperdir": container.upper.to_string_lossy(),
            "workdir": container.work.to_string_lossy(),
        },
        "stopSignal": container.stop_signal,
        "spec": spec,
    }))
}

/// oci-spec holds capabilities in hash sets, whose order differs from run to run.
fn sort_capabilities(spec: &mut Value) {
    let sets = spec.pointer_mut("/process/capabilities").and_then(Value::as_object_mut);
    for set in sets.into_iter().flat_map(|sets| sets.values_mut()).filter_map(Value::as_array_mut) {
        set.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
    }
}

/// Puts the length in the place of each value that comes from a Secret.
fn hide_secrets(spec: &mut Value, secret: &SecretStrings) {
    let hidden = |length: usize| format!("<{length} bytes with a Secret>");
    for entry in spec.pointer_mut("/process/env").and_then(Value::as_array_mut).into_iter().flatten() {
        let Some((name, value)) = entry.as_str().and_then(|entry| entry.split_once('=')) else { continue };
        if secret.env.iter().any(|n| n == name) {
            *entry = Value::String(format!("{name}={}", hidden(value.len())));
        }
    }
    let args = spec.pointer_mut("/process/args").and_then(Value::as_array_mut);
    for arg in args.into_iter().flatten().enumerate().filter(|(i, _)| secret.args.contains(i)).map(|(_, arg)| arg) {
        *arg = Value::String(hidden(arg.as_str().map_or(0, str::len)));
    }
}

fn verdict(verdict: &Verdict) -> Value {
    json!({ "at": verdict.at, "path": verdict.path, "how": verdict.how })
}

fn octal(mode: u32) -> String {
    format!("{mode:04o}")
}

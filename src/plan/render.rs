//! What `podling plan` prints: the plan as JSON, without the content of volumes and without any value of a Secret.

use serde_json::{Value, json};

use super::profiles::{self, Profiles};
use super::{
    Action, ContainerPlan, FilePlan, Layout, MessagePolicy, Namespace, NetAction, Operator, PodPlan, ProbePlan, Probes,
    Processes, RestartPolicy, RestartRule, SecretStrings, StdinPlan, Terminal, Verdict, VolumePlan,
};
use crate::error::{Error, Result};
use crate::host::IdExtent;

/// The plan as one JSON object, the same for the same plan.
///
/// # Errors
/// Only where a path of the plan is not UTF-8, which JSON cannot hold.
pub fn render(plan: &PodPlan) -> Result<Value> {
    pod(plan, &mut |container| serde_json::to_value(&container.spec))
}

/// The same with digests in the place of seccomp profiles: what is kept of a pod that runs, to be compared with others.
///
/// # Errors
/// Those of [`render`].
pub fn render_kept(plan: &PodPlan) -> Result<Value> {
    let mut profiles = Profiles::default();
    pod(plan, &mut |container| {
        let mut spec = container.spec.clone();
        let digest = profiles.take(&mut spec)?;
        let mut value = serde_json::to_value(&spec)?;
        profiles::put(&mut value, digest);
        Ok(value)
    })
}

/// A container's Spec as JSON.
type Spec<'a> = dyn FnMut(&ContainerPlan) -> serde_json::Result<Value> + 'a;

fn pod(plan: &PodPlan, spec: &mut Spec) -> Result<Value> {
    let mut list = |containers: &[ContainerPlan]| -> Result<Vec<Value>> {
        containers.iter().map(|plan| container(plan, spec)).collect()
    };
    let (init_containers, containers) = (list(&plan.init_containers)?, list(&plan.containers)?);
    let mut value = json!({
        "name": plan.name,
        "hostname": plan.hostname,
        "restartPolicy": policy(plan.restart_policy),
        "terminationGracePeriodSeconds": plan.grace_period.as_secs(),
        "idMappings": { "uids": extents(&plan.ids.uids), "gids": extents(&plan.ids.gids) },
        "volumes": plan.volumes.iter().map(volume).collect::<Vec<_>>(),
        "initContainers": init_containers,
        "containers": containers,
        "report": plan.report.iter().map(verdict).collect::<Vec<_>>(),
    });
    if let Some(deadline) = plan.active_deadline {
        value["activeDeadlineSeconds"] = json!(deadline.as_secs());
    }
    if plan.processes == Processes::Shared {
        value["shareProcessNamespace"] = json!(true);
    }
    for (field, whose) in [("hostNetwork", plan.sandbox.network), ("hostIPC", plan.sandbox.ipc)] {
        if whose == Namespace::Hosts {
            value[field] = json!(true);
        }
    }
    if !plan.sandbox.sysctls.is_empty() {
        value["sysctls"] = plan.sandbox.sysctls.iter().map(|(name, text)| (name.clone(), json!(text))).collect();
    }
    Ok(value)
}

/// The API's word for `policy`.
pub(super) fn policy(policy: RestartPolicy) -> &'static str {
    match policy {
        RestartPolicy::Always => "Always",
        RestartPolicy::OnFailure => "OnFailure",
        RestartPolicy::Never => "Never",
    }
}

fn extents(extents: &[IdExtent]) -> Vec<Value> {
    let extent = |e: &IdExtent| json!({ "containerID": e.inside, "hostID": e.outside, "size": e.count });
    extents.iter().map(extent).collect()
}

fn volume(volume: &VolumePlan) -> Value {
    let mut value = json!({
        "name": volume.name,
        "path": volume.path.to_string_lossy(),
        "mode": octal(volume.mode),
        "source": volume.source,
        "directories": volume.directories.iter().map(|path| path.to_string_lossy()).collect::<Vec<_>>(),
        "files": volume.files.iter().map(file).collect::<Vec<_>>(),
    });
    if let Some(group) = volume.group {
        value["group"] = json!(group);
    }
    if volume.layout == Layout::Atomic {
        value["layout"] = json!("atomic");
    }
    value
}

fn file(file: &FilePlan) -> Value {
    let FilePlan { path, mode, owner, content, lifetime } = file;
    let mut value = json!({ "path": path.to_string_lossy(), "mode": octal(*mode), "bytes": content.len() });
    if let Some(owner) = owner {
        value["owner"] = json!(owner);
    }
    if let Some(seconds) = lifetime {
        value["expirationSeconds"] = json!(seconds);
    }
    value
}

fn container(container: &ContainerPlan, spec: &mut Spec) -> Result<Value> {
    let mut spec = spec(container)
        .map_err(|e| Error::new(e.to_string()).context(format_args!("printing container {:?}", container.name)))?;
    sort_capabilities(&mut spec);
    hide_secrets(&mut spec, &container.secret);
    let mut value = json!({
        "name": container.name,
        "image": container.image,
        "overlay": {
            "lowerdir": container.layers.iter().map(|layer| layer.to_string_lossy()).collect::<Vec<_>>(),
            "upperdir": container.upper.to_string_lossy(),
            "workdir": container.work.to_string_lossy(),
        },
        "restartPolicy": policy(container.restart.policy),
        "stopSignal": container.stop_signal,
        "terminationMessagePolicy": match container.message.policy {
            MessagePolicy::File => "File",
            MessagePolicy::FallbackToLogsOnError => "FallbackToLogsOnError",
        },
        "spec": spec,
    });
    for (field, said) in life(container) {
        value[field] = said;
    }
    Ok(value)
}

/// The parts of a container's life that most containers do not have.
fn life(container: &ContainerPlan) -> Vec<(&'static str, Value)> {
    let Probes { startup, liveness, readiness } = &container.probes;
    let probes = [("startupProbe", startup), ("livenessProbe", liveness), ("readinessProbe", readiness)];
    let mut life: Vec<_> =
        probes.into_iter().filter_map(|(field, plan)| Some((field, probe(plan.as_ref()?)))).collect();
    let hooks = [("postStart", &container.hooks.post_start), ("preStop", &container.hooks.pre_stop)];
    let hooks = hooks.into_iter().filter_map(|(field, hook)| Some((field.to_owned(), action(hook.as_ref()?))));
    let hooks: serde_json::Map<String, Value> = hooks.collect();
    if !hooks.is_empty() {
        life.push(("lifecycle", Value::Object(hooks)));
    }
    if !container.restart.rules.is_empty() {
        life.push(("restartPolicyRules", container.restart.rules.iter().map(rule).collect()));
    }
    match container.stdin {
        StdinPlan::Empty => {}
        StdinPlan::Open => life.push(("stdin", json!(true))),
        StdinPlan::Once => life.extend([("stdin", json!(true)), ("stdinOnce", json!(true))]),
    }
    if container.terminal == Terminal::Own {
        life.push(("tty", json!(true)));
    }
    life
}

fn rule(rule: &RestartRule) -> Value {
    let operator = match rule.operator {
        Operator::In => "In",
        Operator::NotIn => "NotIn",
    };
    json!({ "action": "Restart", "exitCodes": { "operator": operator, "values": rule.codes } })
}

fn probe(plan: &ProbePlan) -> Value {
    let mut value = action(&plan.action);
    value["initialDelaySeconds"] = json!(plan.initial_delay.as_secs());
    value["periodSeconds"] = json!(plan.period.as_secs());
    value["timeoutSeconds"] = json!(plan.timeout.as_secs());
    value["successThreshold"] = json!(plan.success_threshold);
    value["failureThreshold"] = json!(plan.failure_threshold);
    if let Some(grace) = plan.grace_period {
        value["terminationGracePeriodSeconds"] = json!(grace.as_secs());
    }
    value
}

fn action(action: &Action) -> Value {
    match action {
        Action::Exec(command) => json!({ "exec": { "command": command } }),
        Action::Sleep(time) => json!({ "sleep": { "seconds": time.as_secs() } }),
        Action::Net(NetAction::Tcp { host, port }) => json!({ "tcpSocket": { "host": host, "port": port } }),
        Action::Net(NetAction::Grpc { port, service, tls }) => {
            json!({ "grpc": { "port": port, "service": service, "mode": if *tls { "TLS" } else { "Plaintext" } } })
        }
        Action::Net(NetAction::Http(get)) => {
            let header = |(name, value): &(String, String)| json!({ "name": name, "value": value });
            json!({ "httpGet": {
                "scheme": if get.tls { "HTTPS" } else { "HTTP" },
                "host": get.host,
                "port": get.port,
                "path": get.path,
                "httpHeaders": get.headers.iter().map(header).collect::<Vec<_>>(),
            } })
        }
    }
}

/// oci-spec holds capabilities in hash sets, whose order differs from run to run.
pub(super) fn sort_capabilities(spec: &mut Value) {
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
    for n in &secret.mounts {
        for option in
            spec.pointer_mut(&format!("/mounts/{n}/options")).and_then(Value::as_array_mut).into_iter().flatten()
        {
            let Some((word, path)) = option.as_str().and_then(|option| option.split_once('=')) else { continue };
            *option = Value::String(format!("{word}={}", hidden(path.len())));
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

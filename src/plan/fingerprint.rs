//! Telling two plans apart: whether a running pod is still what its YAML says.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::profiles::{self, Profiles};
use super::render::{policy, sort_capabilities};
use super::{ContainerPlan, FilePlan, Layout, PodPlan, Processes, SandboxPlan, VolumePlan, VolumeSource};
use crate::error::{Error, Result};

/// Everything of a plan that a running pod depends on. Its report is left out: it follows from the rest, and names lines, which
/// a comment moves; so is its uid, which is new each time, wherever the downward API tells it.
#[derive(Serialize)]
struct Everything<'a> {
    name: &'a str,
    hostname: &'a str,
    uids: Vec<[u32; 3]>,
    gids: Vec<[u32; 3]>,
    restart_policy: &'static str,
    grace_period: Duration,
    active_deadline: Option<Duration>,
    processes: Processes,
    sandbox: &'a SandboxPlan,
    run_dir: &'a Path,
    volumes: Vec<Volume<'a>>,
    init_containers: Vec<Value>,
    containers: Vec<Value>,
}

#[derive(Serialize)]
struct Volume<'a> {
    name: &'a str,
    path: &'a Path,
    source: &'a VolumeSource,
    mode: u32,
    group: Option<u32>,
    layout: Layout,
    directories: &'a [PathBuf],
    files: Vec<File<'a>>,
}

#[derive(Serialize)]
struct File<'a> {
    path: &'a Path,
    mode: u32,
    owner: Option<u32>,
    lifetime: Option<u64>,
    /// The content may be long.
    digest: String,
}

/// The SHA-256, in hexadecimal, of everything that makes two plans different: what is in the volumes, values of Secrets and the
/// layers of the images included.
///
/// The same input on the same host, with the same store, gives the same fingerprint, wherever in the file it stands. Whoever
/// reads it can try guesses at a short Secret against it, so it belongs where only the pod's owner can read.
///
/// # Errors
/// Only where a path of the plan is not UTF-8.
pub fn fingerprint(plan: &PodPlan) -> Result<String> {
    // Without `..`, so that whoever adds a field to the plan decides about it here.
    let PodPlan {
        name,
        // Each start has another.
        uid: _,
        hostname,
        ids,
        restart_policy,
        grace_period,
        active_deadline,
        processes,
        sandbox,
        run_dir,
        volumes,
        init_containers,
        containers,
        report: _,
    } = plan;
    let extents = |extents: &[crate::host::IdExtent]| extents.iter().map(|e| [e.inside, e.outside, e.count]).collect();
    let failed = |e: serde_json::Error| Error::new(e.to_string()).context(format_args!("comparing the pod {name:?}"));
    let mut profiles = Profiles::default();
    let mut list = |plans: &[ContainerPlan]| -> Result<Vec<Value>> {
        plans.iter().map(|plan| container(plan, &mut profiles).map_err(failed)).collect()
    };
    let everything = Everything {
        name,
        hostname,
        uids: extents(&ids.uids),
        gids: extents(&ids.gids),
        restart_policy: policy(*restart_policy),
        grace_period: *grace_period,
        active_deadline: *active_deadline,
        processes: *processes,
        sandbox,
        run_dir,
        volumes: volumes.iter().map(volume).collect(),
        init_containers: list(init_containers)?,
        containers: list(containers)?,
    };
    Ok(profiles::hex(&serde_json::to_vec(&everything).map_err(failed)?))
}

fn container(plan: &ContainerPlan, profiles: &mut Profiles) -> serde_json::Result<Value> {
    let mut plan = plan.clone();
    let digest = profiles.take(&mut plan.spec)?;
    let mut value = serde_json::to_value(plan)?;
    sort_capabilities(&mut value["spec"]);
    profiles::put(&mut value["spec"], digest);
    Ok(value)
}

fn volume(plan: &VolumePlan) -> Volume<'_> {
    let VolumePlan { name, path, source, mode, group, layout, directories, files } = plan;
    let file = |file| {
        let FilePlan { path, mode, owner, content, lifetime }: &FilePlan = file;
        File { path, mode: *mode, owner: *owner, lifetime: *lifetime, digest: profiles::hex(content) }
    };
    let files = files.iter().map(file).collect();
    Volume { name, path, source, mode: *mode, group: *group, layout: *layout, directories, files }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use serde_json::{Value, json};

    use super::fingerprint;
    use crate::plan::fixture::Fixture;

    fn pod() -> Value {
        json!({
            "metadata": { "name": "p" },
            "spec": {
                "terminationGracePeriodSeconds": 5,
                "volumes": [{ "name": "s", "secret": { "secretName": "s" } }, { "name": "e", "emptyDir": {} }],
                "initContainers": [{ "name": "i", "image": "busybox" }],
                "containers": [{
                    "name": "c",
                    "image": "busybox",
                    "ports": [{ "name": "web", "containerPort": 80 }],
                    "livenessProbe": { "httpGet": { "port": "web" } },
                    "lifecycle": { "preStop": { "sleep": { "seconds": 1 } } },
                    "volumeMounts": [{ "name": "e", "mountPath": "/e" }],
                }],
            },
        })
    }

    fn with(pod: Value, secret: &str) -> Fixture {
        Fixture::new(pod).secret(json!({ "metadata": { "name": "s" }, "data": { "k": secret } }))
    }

    fn of(fixture: &Fixture) -> String {
        fingerprint(&fixture.plan().unwrap()).unwrap()
    }

    #[test]
    fn the_same_input_gives_the_same_fingerprint() {
        let one = of(&with(pod(), "YQ=="));
        // Each plan has hash sets of its own, whose order differs.
        for _ in 0..8 {
            assert_eq!(one, of(&with(pod(), "YQ==")));
        }
        assert!(one.len() == 64 && one.bytes().all(|b| b.is_ascii_hexdigit()), "{one}");
    }

    #[test]
    fn every_change_changes_it() {
        let mut seen = BTreeMap::from([(of(&with(pod(), "YQ==")), "nothing".to_owned())]);
        let mut add = |what: &str, fingerprint: String| {
            if let Some(other) = seen.insert(fingerprint, what.to_owned()) {
                panic!("{what} and {other} have the same fingerprint");
            }
        };
        for (at, value) in [
            ("/metadata/name", json!("q")),
            ("/spec/hostname", json!("h")),
            ("/spec/restartPolicy", json!("Never")),
            ("/spec/activeDeadlineSeconds", json!(9)),
            ("/spec/terminationGracePeriodSeconds", json!(6)),
            ("/spec/shareProcessNamespace", json!(true)),
            ("/spec/volumes/0/secret/defaultMode", json!(0o400)),
            ("/spec/volumes/1/emptyDir", json!({ "sizeLimit": "1Mi" })),
            ("/spec/initContainers/0/restartPolicy", json!("Always")),
            ("/spec/initContainers/0/restartPolicy", json!("Never")),
            ("/spec/containers/0/image", json!("web")),
            ("/spec/containers/0/command", json!(["x"])),
            ("/spec/containers/0/env", json!([{ "name": "A", "value": "x" }])),
            ("/spec/containers/0/ports/0/containerPort", json!(81)),
            ("/spec/containers/0/livenessProbe/periodSeconds", json!(9)),
            ("/spec/containers/0/livenessProbe/httpGet/path", json!("/x")),
            ("/spec/containers/0/readinessProbe", json!({ "grpc": { "port": 1 } })),
            ("/spec/containers/0/lifecycle/preStop/sleep/seconds", json!(2)),
            ("/spec/containers/0/lifecycle/stopSignal", json!("SIGINT")),
            ("/spec/containers/0/stdin", json!(true)),
            ("/spec/containers/0/tty", json!(true)),
            ("/spec/containers/0/terminationMessagePath", json!("/tmp/x")),
            ("/spec/containers/0/terminationMessagePolicy", json!("FallbackToLogsOnError")),
            ("/spec/containers/0/volumeMounts/0/readOnly", json!(true)),
            ("/spec/containers/0/securityContext", json!({ "capabilities": { "drop": ["CHOWN"] } })),
        ] {
            let mut changed = pod();
            let (parent, name) = at.rsplit_once('/').unwrap();
            changed.pointer_mut(parent).unwrap()[name] = value.clone();
            add(&format!("{at}: {value}"), of(&with(changed, "YQ==")));
        }
        add("the Secret's value", of(&with(pod(), "Yg==")));
        add("one id", of(&with(pod(), "YQ==").single_id()));
        let mut image = with(pod(), "YQ==");
        image.images.get_mut("busybox").unwrap().layers.push(PathBuf::from("/layers/newer"));
        add("a newer image", of(&image));
        let mut option = with(pod(), "YQ==");
        option.options.env = vec![("A".to_owned(), "b".to_owned())];
        add("-e A=b", of(&option));
    }

    #[test]
    fn the_report_does_not_count() {
        let mut plan = with(pod(), "YQ==").plan().unwrap();
        let one = fingerprint(&plan).unwrap();
        assert!(!plan.report.is_empty());
        plan.report.clear();
        assert_eq!(one, fingerprint(&plan).unwrap());
    }
}

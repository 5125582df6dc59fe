//! What can truly be said of a pod whose supervisor could not say how it ended: it was killed, or the machine stopped.

use serde_json::{Value, json};

use super::object::{self, Identity};
use super::record::{First, boot_id};
use super::status::{ContainerKind, ContainerState, ContainerSummary, Phase, Summary};
use crate::error::Result;
use crate::image::timestamp;
use crate::plan::POD_IP;

/// How a container ended whose end nobody saw, in the kubelet's words.
const REASON: &str = "ContainerStatusUnknown";
const MESSAGE: &str = "The container could not be located when the pod was terminated";

/// What the kernel's SIGKILL gives, which the containers got when their supervisor died.
const KILLED: u8 = 137;

/// The pod's state in short.
pub fn summary(first: &First) -> Summary {
    let (reason, message) = why(first);
    let said: Value = serde_json::from_str(&first.object).unwrap_or_default();
    let container = |(kind, said): (ContainerKind, &Value)| ContainerSummary {
        name: said["name"].as_str().unwrap_or_default().to_owned(),
        kind,
        image: said["image"].as_str().unwrap_or_default().to_owned(),
        state: ContainerState::Terminated { exit_code: KILLED, reason: REASON.to_owned() },
        restarts: 0,
        last_ended_at: None,
        ready: false,
        started: false,
        stdin: said["stdin"] == json!(true),
        tty: said["tty"] == json!(true),
    };
    Summary {
        name: first.name.clone(),
        namespace: first.namespace.clone(),
        uid: first.uid.clone(),
        phase: Phase::Failed,
        state: reason.to_owned(),
        initialized: false,
        ready: false,
        started_at: first.started_at,
        ended_at: None,
        exit_code: Some(KILLED),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
        detached: true,
        time_scale: first.time_scale.parse().unwrap_or(1.0),
        containers: containers(&said).map(container).collect(),
        trace: Vec::new(),
    }
}

/// The Pod as a Kubernetes object: failed, with what is not known called unknown.
///
/// # Errors
/// The record's object is damaged.
pub fn object(first: &First) -> Result<Value> {
    let (reason, message) = why(first);
    let said: Value = serde_json::from_str(&first.object).unwrap_or_default();
    let statuses = |init: bool| -> Vec<Value> {
        let chosen = containers(&said).filter(|(kind, _)| (*kind != ContainerKind::Regular) == init);
        chosen.map(|(_, said)| container_status(said)).collect()
    };
    let condition = |name: &str, status: &str| {
        let mut condition = json!({
            "type": name,
            "status": status,
            "lastProbeTime": null,
            "lastTransitionTime": timestamp::format(first.started_at),
        });
        if status != "True" {
            condition["reason"] = json!("PodFailed");
        }
        condition
    };
    let mut status = json!({
        "phase": "Failed",
        "reason": reason,
        "message": message,
        "conditions": [
            condition("PodReadyToStartContainers", "False"),
            // Nobody saw how far it had come.
            condition("Initialized", "Unknown"),
            condition("Ready", "False"),
            condition("ContainersReady", "False"),
            condition("PodScheduled", "True"),
        ],
        "hostIP": POD_IP,
        "hostIPs": [{ "ip": POD_IP }],
        "startTime": timestamp::format(first.started_at),
        "containerStatuses": statuses(false),
    });
    let init = statuses(true);
    if !init.is_empty() {
        status["initContainerStatuses"] = json!(init);
    }
    let identity = Identity {
        name: &first.name,
        namespace: &first.namespace,
        uid: &first.uid,
        started_at: first.started_at,
        time_scale: first.time_scale.parse().unwrap_or(1.0),
    };
    object::complete(&first.object, &identity, status)
}

/// `status.reason` and `status.message`.
fn why(first: &First) -> (&'static str, &'static str) {
    if first.boot_id.is_empty() {
        (
            "RecordDamaged",
            "what was kept of the pod cannot be read, and nothing of it runs; podling rm removes the rest",
        )
    } else if first.boot_id == boot_id() {
        ("SupervisorKilled", "the pod's supervisor was killed, and the kernel killed all containers with it")
    } else {
        ("NodeRebooted", "the machine was started anew since")
    }
}

/// The containers that the YAML has, init containers first.
fn containers(said: &Value) -> impl Iterator<Item = (ContainerKind, &Value)> {
    let of = |list: &str| said["spec"][list].as_array().map(Vec::as_slice).unwrap_or_default();
    let init = of("initContainers").iter().map(|said| {
        let is_sidecar = said["restartPolicy"] == json!("Always");
        (if is_sidecar { ContainerKind::Sidecar } else { ContainerKind::Init }, said)
    });
    init.chain(of("containers").iter().map(|said| (ContainerKind::Regular, said)))
}

/// One of `status.containerStatuses`. Times and earlier runs are left out: nobody knows them.
fn container_status(said: &Value) -> Value {
    let end = json!({
        "exitCode": KILLED,
        "reason": REASON,
        "message": MESSAGE,
        "startedAt": null,
        "finishedAt": null,
    });
    json!({
        "name": said["name"],
        "state": { "terminated": end },
        "lastState": {},
        "ready": false,
        "restartCount": 0,
        "image": said["image"],
        "imageID": "",
        "started": false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(boot_id: &str) -> First {
        let object = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "said" }, "spec": {
            "initContainers": [{ "name": "i", "image": "a" }, { "name": "s", "image": "a", "restartPolicy": "Always" }],
            "containers": [{ "name": "c", "image": "b", "tty": true }],
        } });
        First {
            boot_id: boot_id.to_owned(),
            name: "p".to_owned(),
            namespace: "default".to_owned(),
            uid: "u".to_owned(),
            started_at: 951_825_600,
            fingerprint: String::new(),
            whole_fingerprint: String::new(),
            followed_in: Vec::new(),
            plan: String::new(),
            object: object.to_string(),
            inputs: Vec::new(),
            options: crate::plan::Options { name: Some("p".to_owned()), ..Default::default() },
            time_scale: "0.01".to_owned(),
            containers: vec!["i".to_owned(), "s".to_owned(), "c".to_owned()],
        }
    }

    #[test]
    fn a_killed_supervisor_and_a_reboot_are_told_apart() {
        let killed = summary(&first(&boot_id()));
        assert_eq!((killed.state.as_str(), killed.phase), ("SupervisorKilled", Phase::Failed));
        assert_eq!(summary(&first("another")).state, "NodeRebooted");
        let kinds: Vec<_> = killed.containers.iter().map(|c| c.kind).collect();
        assert_eq!(kinds, [ContainerKind::Init, ContainerKind::Sidecar, ContainerKind::Regular]);
        assert!(killed.containers.iter().all(|c| !c.ready));
    }

    #[test]
    fn the_object_has_a_status() {
        let object = object(&first("another")).unwrap();
        assert_eq!(object["metadata"]["name"], "p");
        assert_eq!(object["metadata"]["creationTimestamp"], "2000-02-29T12:00:00Z");
        assert_eq!(object["metadata"]["annotations"]["podling.dev/time-scale"], "0.01");
        let status = &object["status"];
        assert_eq!((&status["phase"], &status["reason"]), (&json!("Failed"), &json!("NodeRebooted")));
        assert_eq!(status["initContainerStatuses"].as_array().unwrap().len(), 2);
        assert_eq!(status["containerStatuses"][0]["state"]["terminated"]["exitCode"], 137);
        assert_eq!(status["qosClass"], "BestEffort");
    }
}

//! How the pod is: in short, as a Kubernetes object, and on disk when it has ended.

use std::time::Instant;

use serde_json::{Value, json};

use super::{Client, Keep, Supervisor, Tells};
use crate::error::Result;
use crate::image::timestamp;
use crate::plan::{POD_IP, Role, StdinPlan, Terminal};
use crate::pod::clock::now;
use crate::pod::container::{Container, State, Terminated};
use crate::pod::control::Reply;
use crate::pod::control::server::Sent;
use crate::pod::link::{Ended, Fact, mention, tell};
use crate::pod::object;
use crate::pod::record;
use crate::pod::status::{ContainerKind, ContainerState, ContainerSummary, Phase, Summary};

use super::ending::Why;

impl Supervisor<'_> {
    fn phase(&self) -> Phase {
        if self.ended_at.is_some() || self.is_over() {
            return if self.exit_code() == 0 { Phase::Succeeded } else { Phase::Failed };
        }
        // A container that is being started again has run before.
        let begun = |c: &Container| c.plan.role != Role::Regular || c.was_started;
        if self.containers.iter().all(begun) { Phase::Running } else { Phase::Pending }
    }

    pub(super) fn is_initialized(&self) -> bool {
        // Once one of the others has started, the pod has been initialized for good (the kubelet's status/generate.go).
        let begun = |c: &Container| c.plan.role == Role::Regular && !matches!(c.state, State::Planned);
        self.containers.iter().any(begun) || self.containers.iter().all(is_initialized)
    }

    /// Ready are the containers and sidecars, all of them; one that has succeeded for good counts as ready for nobody.
    pub(super) fn are_containers_ready(&self) -> bool {
        self.ended_at.is_none()
            && self.containers.iter().all(|c| match c.plan.role {
                Role::Regular | Role::Sidecar => is_ready(c),
                Role::Init | Role::Ephemeral => true,
            })
            && self.is_initialized()
    }

    pub(super) fn summary(&self) -> Summary {
        let phase = self.phase();
        let verdict = self.verdict.as_ref();
        Summary {
            name: self.plan.name.clone(),
            namespace: self.about.namespace.clone(),
            uid: self.about.uid.clone(),
            phase,
            state: self.state(phase),
            initialized: self.is_initialized(),
            ready: self.are_containers_ready(),
            started_at: self.started_at,
            ended_at: self.ended_at,
            exit_code: self.ended_at.map(|_| self.exit_code()),
            reason: verdict.map(|(reason, _)| (*reason).to_owned()),
            message: verdict.map(|(_, message)| message.clone()),
            detached: self.about.keep == Keep::Record,
            time_scale: self.about.time_scale,
            containers: self.containers.iter().map(|c| container_summary(c, self.unstarted())).collect(),
            trace: self.about.trace.clone(),
        }
    }

    /// What kubectl's STATUS column would show (its printers' `printPod`).
    fn state(&self, phase: Phase) -> String {
        if self.ended_at.is_none() && self.ending.as_ref().is_some_and(|ending| ending.why != Why::Completed) {
            return "Terminating".to_owned();
        }
        if let Some((reason, _)) = self.verdict.as_ref().filter(|_| phase == Phase::Failed) {
            return (*reason).to_owned();
        }
        let mut state = phase.to_string();
        let inits = || self.containers.iter().filter(|c| matches!(c.plan.role, Role::Init | Role::Sidecar));
        let total = inits().count();
        let is_done = |c: &Container| is_initialized(c) || is_over(c) && c.ended.as_ref().is_some_and(|e| e.code == 0);
        if let Some((done, container)) = inits().enumerate().find(|(_, c)| !is_done(c)) {
            state = match (&container.state, &container.ended) {
                (State::Ended, Some(end)) => format!("Init:{}", end.reason),
                (State::BackingOff(_), _) => "Init:CrashLoopBackOff".to_owned(),
                _ => format!("Init:{done}/{total}"),
            };
            if !self.is_initialized() {
                return state;
            }
        }
        let mut running = false;
        for container in self.containers.iter().filter(|c| c.plan.role == Role::Regular).rev() {
            match container.api_state(self.unstarted()) {
                ContainerState::Waiting { reason } => state = reason,
                ContainerState::Terminated { reason, .. } => state = reason,
                ContainerState::Running { .. } => running |= container.ready,
            }
        }
        if state == "Completed" && running {
            state = if self.are_containers_ready() { "Running" } else { "NotReady" }.to_owned();
        }
        state
    }

    /// The Pod as said, with its status, as JSON text.
    pub(super) fn object(&mut self) -> Result<String> {
        let status = self.status();
        let mut object = object::complete(
            &self.about.object,
            &object::Identity {
                name: &self.plan.name,
                namespace: &self.about.namespace,
                uid: &self.about.uid,
                started_at: self.started_at,
                time_scale: self.about.time_scale,
            },
            status,
        )?;
        if self.ended_at.is_none()
            && let Some(ending) = self.ending.as_ref().filter(|ending| ending.why == Why::Asked)
        {
            // As the API server has it: when the grace period is over.
            let left = ending.until.saturating_duration_since(Instant::now()).as_secs();
            let at = now().saturating_add(i64::try_from(left).unwrap_or(i64::MAX));
            object["metadata"]["deletionTimestamp"] = json!(timestamp::format(at));
        }
        serde_json::to_string(&object).map_err(|e| crate::error::Error::new(format!("the pod's object: {e}")))
    }

    fn status(&mut self) -> Value {
        let phase = self.phase();
        self.note_conditions();
        let of = |roles: &[Role]| -> Vec<Value> {
            self.containers.iter().filter(|c| roles.contains(&c.plan.role)).map(|c| self.container_status(c)).collect()
        };
        let conditions: Vec<Value> = self.conditions.iter().map(|c| self.condition(c)).collect();
        let mut status = json!({
            "phase": phase.to_string(),
            "conditions": conditions,
            "hostIP": POD_IP,
            "hostIPs": [{ "ip": POD_IP }],
            "podIP": POD_IP,
            "podIPs": [{ "ip": POD_IP }],
            "startTime": timestamp::format(self.started_at),
            "containerStatuses": of(&[Role::Regular]),
        });
        for (field, roles) in [
            ("initContainerStatuses", [Role::Init, Role::Sidecar].as_slice()),
            ("ephemeralContainerStatuses", &[Role::Ephemeral]),
        ] {
            let statuses = of(roles);
            if !statuses.is_empty() {
                status[field] = json!(statuses);
            }
        }
        if let Some((reason, message)) = &self.verdict {
            status["reason"] = json!(reason);
            status["message"] = json!(message);
        }
        status
    }

    /// Keeps the time at which each condition changed last.
    fn note_conditions(&mut self) {
        let now = now();
        let ready = self.are_containers_ready();
        let present = [
            ("PodReadyToStartContainers", self.ended_at.is_none()),
            ("Initialized", self.is_initialized()),
            ("Ready", ready),
            ("ContainersReady", ready),
            ("PodScheduled", true),
        ];
        for (name, holds) in present {
            match self.conditions.iter_mut().find(|(known, ..)| *known == name) {
                Some((_, before, at)) if *before != holds => (*before, *at) = (holds, now),
                Some(_) => {}
                None => {
                    let at = if holds { now } else { self.started_at };
                    self.conditions.push((name, holds, at));
                }
            }
        }
    }

    fn condition(&self, (name, holds, at): &(&'static str, bool, i64)) -> Value {
        let mut condition = json!({
            "type": name,
            "status": if *holds { "True" } else { "False" },
            "lastProbeTime": null,
            "lastTransitionTime": timestamp::format(*at),
        });
        if *holds {
            if *name == "Initialized" && self.phase() == Phase::Succeeded {
                condition["reason"] = json!("PodCompleted");
            }
            return condition;
        }
        // As the kubelet words them.
        let (reason, roles, what): (_, &[Role], _) = match *name {
            "Initialized" => ("ContainersNotInitialized", &[Role::Init, Role::Sidecar], "incomplete"),
            "Ready" | "ContainersReady" => ("ContainersNotReady", &[Role::Regular, Role::Sidecar], "unready"),
            _ => return condition,
        };
        let names = self.containers.iter().filter(|c| roles.contains(&c.plan.role));
        let lacking = names.filter(|c| if what == "incomplete" { !is_initialized(c) } else { !is_ready(c) });
        let lacking: Vec<&str> = lacking.map(|c| c.plan.name.as_str()).collect();
        match self.phase() {
            Phase::Succeeded => condition["reason"] = json!("PodCompleted"),
            Phase::Failed => condition["reason"] = json!("PodFailed"),
            _ => {
                condition["reason"] = json!(reason);
                let kind = if what == "incomplete" { "incomplete status" } else { "unready status" };
                condition["message"] = json!(format!("containers with {kind}: [{}]", lacking.join(" ")));
            }
        }
        condition
    }

    /// How the containers have ended, for whoever wants to know; one that never ran says nothing.
    pub(super) fn tell_of_containers(&self) {
        if self.about.tells == Tells::PodsEnd || self.client != Client::There {
            return;
        }
        for container in &self.containers {
            let kind = match container.plan.role {
                Role::Init | Role::Sidecar => Ended::Init,
                Role::Regular => Ended::Regular,
                Role::Ephemeral => continue,
            };
            if let Some(end) = &container.ended {
                let _ = tell(&self.link, &Fact::ContainerEnded(kind, end.code, container.plan.name.clone()));
            }
        }
        if self.is_initialized() {
            let _ = tell(&self.link, &Fact::PodInitialized);
        }
    }

    /// Container `n` was started again.
    pub(super) fn tell_of_restart(&self, n: usize) {
        if self.about.tells == Tells::ContainersEnds && self.client == Client::There {
            let restarts = self.containers.iter().filter(|c| c.plan.role != Role::Ephemeral).map(|c| c.run).sum();
            let code = self.containers.get(n).and_then(|c| c.before.as_ref()).map_or(0, |end| end.code);
            mention(&self.link, &Fact::ContainersRestarted(restarts, code));
        }
    }

    /// Tells those who watch what has changed.
    pub(super) fn publish(&mut self) -> Result<()> {
        if self.changed {
            self.changed = false;
            self.note_conditions();
            self.control.watchers().for_each(|peer| peer.behind = true);
        }
        if !self.control.watchers().any(|peer| peer.behind) {
            return Ok(());
        }
        let summary = Reply::Summary(Box::new(self.summary()));
        for peer in self.control.watchers().filter(|peer| peer.behind) {
            let after = peer.watching.unwrap_or(0);
            let events = self.happenings.after(after);
            let mut sent = Sent::Yes;
            if !events.is_empty() {
                sent = peer.send(&Reply::Events(events), &[]);
                if sent == Sent::Yes {
                    peer.watching = Some(self.happenings.latest());
                }
            }
            if sent == Sent::Yes {
                sent = peer.send(&summary, &[]);
            }
            // One that is gone is noticed by the end of its connection.
            peer.behind = sent == Sent::Later;
            let wait = peer.behind;
            peer.wait_for_room(wait, &self.events)?;
        }
        Ok(())
    }

    /// Writes the pod's last state to its directory, where it is kept.
    pub(super) fn leave_record(&mut self) -> Result<()> {
        if self.about.keep == Keep::Nothing {
            return Ok(());
        }
        let last = record::Last { summary: self.summary(), object: self.object()?, events: self.happenings.after(0) };
        match record::write_last(&self.dir, &last) {
            // How the pod ended matters more than the oldest of what it said.
            Err(_) if record::remove_rotated_logs(&self.dir) => record::write_last(&self.dir, &last),
            written => written,
        }
    }

    /// Removes what is not kept of the pod's directory, and, where no client will, the directory.
    pub(super) fn clear(&mut self) {
        record::remove_socket(&self.dir);
        if self.about.keep == Keep::Record {
            return;
        }
        record::remove_files(&self.dir);
        if self.client != Client::There {
            // What the client would have done with its last breath.
            let _ = std::fs::remove_dir(self.path);
        }
    }
}

fn is_ready(container: &Container) -> bool {
    container.running().is_some() && container.settled && container.started && container.ready
}

/// Whether one of the init containers lets those after it start, now.
fn is_initialized(container: &Container) -> bool {
    match container.plan.role {
        Role::Init => container.was_started,
        Role::Sidecar => container.running().is_some() && container.started,
        Role::Regular | Role::Ephemeral => true,
    }
}

fn is_over(container: &Container) -> bool {
    matches!(container.state, State::Ended)
}

fn container_summary(container: &Container, unstarted: &str) -> ContainerSummary {
    ContainerSummary {
        name: container.plan.name.clone(),
        kind: match container.plan.role {
            Role::Init => ContainerKind::Init,
            Role::Sidecar => ContainerKind::Sidecar,
            Role::Regular => ContainerKind::Regular,
            Role::Ephemeral => ContainerKind::Ephemeral,
        },
        image: container.plan.image.clone(),
        state: container.api_state(unstarted),
        restarts: container.run,
        last_ended_at: last_end(container).map(|(end, _)| end.finished_at),
        ready: is_ready(container),
        started: container.started,
        stdin: container.plan.stdin != StdinPlan::Empty,
        tty: container.plan.terminal == Terminal::Own,
    }
}

/// What is over of a container beside its present state, and the run's number: between two runs the last one is what came before; while
/// one runs, or has ended for good, it is the one before that.
fn last_end(container: &Container) -> Option<(&Terminated, u32)> {
    match (&container.state, &container.ended) {
        (State::Ended, _) | (_, None) => container.before.as_ref().map(|end| (end, container.run.saturating_sub(1))),
        (_, Some(end)) => Some((end, container.run)),
    }
}

impl Supervisor<'_> {
    /// Why a container whose turn has not come waits, as the kubelet calls it.
    fn unstarted(&self) -> &'static str {
        let has_inits = self.containers.iter().any(|c| matches!(c.plan.role, Role::Init | Role::Sidecar));
        if has_inits { "PodInitializing" } else { "ContainerCreating" }
    }

    /// As kuberuntime_manager.go, `doBackOff`, says it.
    fn backing_off(&self, container: &Container) -> String {
        let (wait, name) = (go_duration(container.backoff.wait()), &container.plan.name);
        format!("back-off {wait} restarting failed container={name} pod={}", self.full_name())
    }

    /// One of `status.containerStatuses`.
    fn container_status(&self, container: &Container) -> Value {
        let uid = &self.about.uid;
        let id = |run: u32| format!("podling://{uid}/{}/{run}", container.plan.name);
        let terminated = |end: &Terminated, run: u32| {
            let mut state = json!({
                "exitCode": end.code,
                "reason": end.reason,
                "startedAt": timestamp::format(end.started_at),
                "finishedAt": timestamp::format(end.finished_at),
                "containerID": id(run),
            });
            if !end.message.is_empty() {
                state["message"] = json!(end.message);
            }
            json!({ "terminated": state })
        };
        let state = match (&container.state, &container.ended) {
            (State::Ended, Some(end)) => terminated(end, container.run),
            _ => match container.api_state(self.unstarted()) {
                ContainerState::Running { started_at } => {
                    json!({ "running": { "startedAt": timestamp::format(started_at) } })
                }
                ContainerState::Waiting { reason } => {
                    let mut waiting = json!({ "reason": reason });
                    if let State::BackingOff(_) = container.state {
                        waiting["message"] = json!(self.backing_off(container));
                    }
                    json!({ "waiting": waiting })
                }
                ContainerState::Terminated { .. } => json!({}),
            },
        };
        let last = last_end(container).map(|(end, run)| terminated(end, run));
        let was_made = container.ended.is_some() || !matches!(container.state, State::Planned);
        json!({
            "name": container.plan.name,
            "state": state,
            "lastState": last.unwrap_or_else(|| json!({})),
            "ready": match container.plan.role {
                // A plain init container is ready when it has succeeded.
                Role::Init => container.was_started,
                _ => is_ready(container),
            },
            "restartCount": container.run,
            "image": container.plan.image,
            "imageID": object::image_id(&container.plan.image, &container.plan.image_digest),
            "containerID": if was_made { id(container.run) } else { String::new() },
            "started": container.running().is_some() && container.started,
        })
    }
}

/// Whole seconds as Go writes a duration: 40s, 1m20s, 5m0s.
fn go_duration(wait: std::time::Duration) -> String {
    match wait.as_secs() {
        seconds @ ..60 => format!("{seconds}s"),
        seconds => format!("{}m{}s", seconds / 60, seconds % 60),
    }
}

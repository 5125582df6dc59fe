//! Containers start, run and end, and what that means for the pod.

use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use super::ending::Why;
use super::{Supervisor, hooks};
use crate::error::{Context, Error, Result};
use crate::plan::{MessagePolicy, Role, StdinPlan};
use crate::pod::backoff::EndedBy;
use crate::pod::clock::now;
use crate::pod::container::{Container, End, Place, Since, State, Terminated};
use crate::pod::control::Reply;
use crate::pod::events::Source;
use crate::pod::log::{Options, Source as LogSource, Timestamps, print};
use crate::pod::processes::{kill_in_mount_namespace, mount_namespace};
use crate::pod::rules::{Cause, Stand, starts_again, turn};
use crate::pod::status::EventKind;
use crate::runtime::{Joined, Progress, SharedProcesses};
use crate::sys::clone::Exit;

/// A longer last message is cut to its end (Kubernetes API, `terminationMessagePolicy`), in bytes.
const LONGEST_MESSAGE: usize = 4096;

/// What all last messages of a pod have together at most (Kubernetes, "Determine the Reason for Pod Failure"), in bytes.
const ALL_MESSAGES: usize = 12 * 1024;

/// What of a log stands in for a last message.
const LOG_LINES: usize = 80;
const LOG_BYTES: usize = 2048;

/// How much a pipe can hold, in bytes: an ended container's last words are no more (pipe(7), `pipe-max-size`).
const LAST_WORDS: usize = 1024 * 1024;

impl Supervisor<'_> {
    /// Starts whoever's turn it is, and begins the pod's end when nothing is left to wait for.
    pub(super) fn advance(&mut self) -> Result<()> {
        if self.ending.is_some() {
            return Ok(());
        }
        let stands: Vec<(Role, Stand)> = self.containers.iter().map(|c| (c.plan.role, stand(c))).collect();
        for n in turn(&stands) {
            if let Some(Err(error)) = self.containers.get_mut(n).map(Container::complete) {
                return self.could_not_start(n, error);
            }
            self.start(n)?;
            if self.containers.get(n).is_some_and(|c| c.plan.hooks.post_start.is_some()) {
                break;
            }
        }
        let done = |c: &Container| c.plan.role != Role::Regular || matches!(c.state, State::Ended);
        if self.containers.iter().all(done) { self.stop(Why::Completed, None) } else { Ok(()) }
    }

    /// Container `n` does not even get a process, for the sake of a file that another container was to write. The kubelet would try for
    /// ever; but who could write it has ended, or had its time.
    fn could_not_start(&mut self, n: usize, error: Error) -> Result<()> {
        if let Some(container) = self.containers.get_mut(n) {
            container.state = State::Ended;
        }
        let exit = Exit::Code(error.exit_code().into());
        self.ended(n, End { exit, failure: Some(error), since: Since::now() })
    }

    fn start(&mut self, n: usize) -> Result<()> {
        self.start_beside(n, None)
    }

    /// Starts container `n`, in the pid namespace of container `beside` if there is one.
    pub(super) fn start_beside(&mut self, n: usize, beside: Option<usize>) -> Result<()> {
        let target = beside.and_then(|n| Some(self.containers.get(n)?.running()?.as_fd().try_clone_to_owned()));
        let target = target.transpose().context(|| "dup(pidfd)")?;
        let Some(container) = self.containers.get_mut(n) else { return Ok(()) };
        let processes = match (&target, &self.pause) {
            (Some(target), _) => Some(SharedProcesses::Of(target.as_fd())),
            (None, Some(pause)) => Some(SharedProcesses::Pause(pause)),
            (None, None) => None,
        };
        let joined = Joined { processes, ..self.sandbox.joined() };
        let place = Place { dir: &self.dir, joined, stdin: &self.stdin, events: &self.events };
        let name = container.plan.name.clone();
        container.start(n, &place).context(|| format!("container {name:?}"))?;
        self.trace(n, "clone");
        self.happened(EventKind::Normal, "Created", Some(n), &format!("Created container {name}"));
        Ok(())
    }

    /// Starts container `n` again. What the host lacks at this moment it may have later, so a failure is one more reason to wait.
    pub(super) fn restart(&mut self, n: usize) {
        let complete = self.containers.get_mut(n).map_or(Ok(()), Container::complete);
        let Err(error) = complete.and_then(|()| self.start(n)) else { return self.tell_of_restart(n) };
        let scale = self.about.time_scale;
        let Some(container) = self.containers.get_mut(n) else { return };
        let (at, wait) = container.backoff.restart(Instant::now(), EndedBy::Itself, scale);
        // A first restart at once would fail for the same reason.
        let at = if wait.is_zero() { at + Duration::from_secs(1) } else { at };
        container.state = State::BackingOff(at);
        self.happened(EventKind::Warning, "Failed", Some(n), error.what());
        self.say(&format!("{}; it is tried again in {} s", error.what(), wait.as_secs().max(1)));
    }

    /// A container on its way to its program has something to say.
    pub(super) fn proceed(&mut self, n: usize) -> Result<()> {
        let Some(container) = self.containers.get_mut(n) else { return Ok(()) };
        let State::Starting(child, starting, _) = &container.state else { return Ok(()) };
        let progress = match starting.proceed(child, &container.prepared) {
            Ok(Progress::Waiting) => return Ok(()),
            Ok(Progress::Terminal(master)) => return self.terminal_opened(n, master),
            Ok(progress) => progress,
            Err(error) => {
                // Its process may just have been killed; if not, it waits in vain.
                container.signal(libc::SIGKILL)?;
                Progress::Failed(error)
            }
        };
        let State::Starting(child, starting, since) = std::mem::replace(&mut container.state, State::Ended) else {
            return Ok(());
        };
        self.events.forget(&starting);
        match progress {
            Progress::Failed(error) => {
                self.events.forget(&child);
                let exit = child.wait()?;
                // A start that the pod's own end has cut short failed for no reason of its own.
                let failure = self.ending.is_none().then_some(error);
                self.ended(n, End { exit, failure, since })
            }
            _ => {
                container.state = State::Running(child, since);
                self.runs(n)
            }
        }
    }

    /// The program of container `n` runs.
    fn runs(&mut self, n: usize) -> Result<()> {
        let Some(container) = self.containers.get(n) else { return Ok(()) };
        let name = container.plan.name.clone();
        let pid = container.running().map(crate::sys::clone::Child::pid);
        let is_beside = self.pause.is_some() || self.containers.get(n).is_some_and(|c| c.plan.role == Role::Ephemeral);
        if let (true, Some(pid)) = (is_beside, pid) {
            let mounts = mount_namespace(pid);
            if let Some(container) = self.containers.get_mut(n) {
                container.mounts = mounts;
            }
        }
        if let Some(connection) = self.containers.get(n).and_then(|c| c.client) {
            self.control.answer(connection, &Reply::Running, &[]);
        }
        self.happened(EventKind::Normal, "Started", Some(n), &format!("Started container {name}"));
        self.trace(n, "mounts, exec");
        if self.ending.is_some() {
            return Ok(());
        }
        match self.containers.get(n).and_then(|c| c.plan.hooks.post_start.clone()) {
            Some(action) => self.begin_hook(n, hooks::Which::PostStart, &action),
            None => self.settle(n),
        }
    }

    /// The postStart hook of container `n` is over, or there is none.
    pub(super) fn settle(&mut self, n: usize) -> Result<()> {
        let Some(container) = self.containers.get_mut(n) else { return Ok(()) };
        container.settled = true;
        container.was_started |= container.plan.role == Role::Regular;
        self.changed = true;
        self.begin_probes(n);
        Ok(())
    }

    /// The terminal of container `n` is there.
    fn terminal_opened(&mut self, n: usize, master: OwnedFd) -> Result<()> {
        let Some(container) = self.containers.get_mut(n) else { return Ok(()) };
        match container.client {
            // It is the client's who brought the container.
            Some(connection) => {
                self.control.answer(connection, &Reply::Started, &[master.as_fd()]);
                Ok(())
            }
            None => container.take_terminal(n, master, &self.events),
        }
    }

    /// The process of container `n` has ended.
    pub(super) fn reap(&mut self, n: usize) -> Result<()> {
        let Some(container) = self.containers.get_mut(n) else { return Ok(()) };
        let Some(end) = container.reap()? else { return Ok(()) };
        let mut ran = false;
        match std::mem::replace(&mut container.state, State::Ended) {
            State::Starting(child, starting, _) => {
                self.events.forget(&starting);
                self.events.forget(&child);
                ran = end.failure.is_none();
            }
            State::Running(child, _) => self.events.forget(&child),
            State::Planned | State::BackingOff(..) | State::Ended => {}
        }
        if ran && self.ending.is_none() {
            // It was quicker than the word that its program runs.
            let name = self.containers.get(n).map(|c| c.plan.name.clone()).unwrap_or_default();
            self.happened(EventKind::Normal, "Started", Some(n), &format!("Started container {name}"));
        }
        self.ended(n, end)
    }

    /// Decides what the end of container `n` means for the pod (Kubernetes, "Pod Lifecycle", "Container restart policy").
    fn ended(&mut self, n: usize, mut end: End) -> Result<()> {
        if let Some(container) = self.containers.get(n) {
            end.failure = end.failure.map(|error| container.plan.untold(error));
        }
        // All that it wrote is in the pipes by now, and comes before what is said of its end.
        self.pump(n, Source::ContainerStdout(n), LAST_WORDS)?;
        self.pump(n, Source::ContainerStderr(n), LAST_WORDS)?;
        self.finish_output(n);
        self.end_leftovers(n)?;
        self.end_errands_of(n)?;
        let code = match &end.failure {
            Some(error) => error.exit_code(),
            None => end.exit.shell_code(),
        };
        let message = self.last_message(n, &end, code);
        let scale = self.about.time_scale;
        let Some(container) = self.containers.get_mut(n) else { return Ok(()) };
        let name = container.plan.name.clone();
        let reason = match (&end.failure, code) {
            (Some(_), _) => "StartError",
            (None, 0) => "Completed",
            (None, _) => "Error",
        };
        container.ended = Some(Terminated { code, reason, message, started_at: end.since.time, finished_at: now() });
        container.started = false;
        container.ready = false;
        container.stdin = None;
        container.probes.clear();
        let cause = container.leaving.take().map_or(Cause::Own, |leaving| leaving.cause);
        let role = container.plan.role;
        let restarts = starts_again(role, &container.plan.restart, code, cause);
        // Those after it in the order of the YAML wait for a container of the pod's no longer, however it ended.
        container.was_started |= role == Role::Regular || (role == Role::Init && code == 0);
        self.changed = true;
        self.tell_attached(n, code);
        if role == Role::Ephemeral {
            return self.ephemeral_ended(n, code, end.failure);
        }
        if let Some(error) = end.failure {
            // A command that cannot be started cannot be started the next time either: its image does not change.
            self.failure.get_or_insert(error.exit_code());
            let error = error.context(format!("container {:?}", self.called(n)));
            self.happened(EventKind::Warning, "Failed", Some(n), &format!("Error: {}", error.what()));
            self.verdict.get_or_insert(("StartError", error.to_string()));
            self.say(&error.to_string());
            return self.stop(Why::Failed, None);
        }
        if self.ending.is_none() && restarts {
            let Some(container) = self.containers.get_mut(n) else { return Ok(()) };
            let by = if cause == Cause::Unwell { EndedBy::Probe } else { EndedBy::Itself };
            let (at, wait) = container.backoff.restart(Instant::now(), by, scale);
            container.state = State::BackingOff(at);
            let called = self.called(n);
            if wait.is_zero() {
                self.notice(&format!("container {called:?} ended with code {code}; it starts again"));
            } else {
                // As kuberuntime_manager.go, `doBackOff`, says it.
                let message = format!("Back-off restarting failed container {name} in pod {}", self.full_name());
                self.happened(EventKind::Warning, "BackOff", Some(n), &message);
                let wait = seconds(wait);
                self.notice(&format!("container {called:?} ended with code {code}; it starts again in {wait} s"));
            }
            return Ok(());
        }
        // The others go on meanwhile, so this costs the pod's end nothing; what is left now is tried again then.
        if let Some(container) = self.containers.get(n) {
            let _ = container.remove_directories(self.dir.as_fd());
        }
        if code != 0 && role != Role::Sidecar {
            self.failure.get_or_insert(code);
        }
        if self.ending.is_some() {
            return self.next_to_leave();
        }
        if role == Role::Init && code != 0 {
            let called = self.called(n);
            self.notice(&format!(
                "init container {called:?} failed with code {code}, so the pod's containers do not start"
            ));
            return self.stop(Why::Failed, None);
        }
        Ok(())
    }

    /// The message of a container that has ended, as `terminationMessagePolicy` has it.
    fn last_message(&mut self, n: usize, end: &End, code: u8) -> String {
        if let Some(error) = &end.failure {
            return error.what().to_owned();
        }
        let Some(container) = self.containers.get(n) else { return String::new() };
        let mut message = read_end(&container.plan.message.file, LONGEST_MESSAGE);
        if message.is_empty() && code != 0 && container.plan.message.policy == MessagePolicy::FallbackToLogsOnError {
            message = self.end_of_log(n);
        }
        // Each container's share; the beginning stays (the kubelet's status_manager.go, `normalizeStatus`).
        let mut share = ALL_MESSAGES / self.containers.len().max(1);
        while !message.is_char_boundary(share.min(message.len())) {
            share -= 1;
        }
        message.truncate(share);
        message
    }

    /// The end of what the present run of container `n` has printed.
    fn end_of_log(&self, n: usize) -> String {
        let Some(container) = self.containers.get(n) else { return String::new() };
        let (pod, name) = (self.plan.name.clone(), container.plan.name.clone());
        let source = LogSource { pod, container: name, run: container.run, prefix: String::new() };
        let options = Options { tail: Some(LOG_LINES), since: None, timestamps: Timestamps::Hidden };
        let mut text = Vec::new();
        let _ = print(self.path, &[source], &options, &mut text);
        let end = text.get(text.len().saturating_sub(LOG_BYTES)..).unwrap_or_default();
        String::from_utf8_lossy(end).into_owned()
    }

    /// As the kubelet writes a pod in its messages: name, namespace, uid.
    pub(super) fn full_name(&self) -> String {
        format!("{}_{}({})", self.plan.name, self.about.namespace, self.about.uid)
    }

    /// How container `n` is called where a person reads it.
    pub(super) fn called(&self, n: usize) -> String {
        let label = self.front.as_ref().and_then(|front| front.labels.get(n)).map(|label| label.name.clone());
        label.or_else(|| self.containers.get(n).map(|c| c.plan.name.clone())).unwrap_or_default()
    }

    /// Whoever was attached has gone: a standard input that is for one client only ends with it.
    pub(super) fn end_stdin(&mut self, n: usize) {
        if let Some(container) = self.containers.get_mut(n)
            && container.plan.stdin == StdinPlan::Once
        {
            container.stdin = None;
        }
    }

    /// In a pid namespace of others a container's other processes outlive its first one, as orphans of that namespace's.
    fn end_leftovers(&self, n: usize) -> Result<()> {
        let Some(namespace) = self.containers.get(n).and_then(|c| c.mounts) else { return Ok(()) };
        kill_in_mount_namespace(namespace)
    }
}

fn seconds(wait: Duration) -> String {
    if wait < Duration::from_secs(1) { format!("{:.2}", wait.as_secs_f64()) } else { wait.as_secs().to_string() }
}

/// How far a container has come for those after it.
fn stand(container: &Container) -> Stand {
    let past = match container.plan.role {
        Role::Init => matches!(container.state, State::Ended) && container.was_started,
        _ => container.was_started,
    };
    match &container.state {
        _ if past => Stand::Passed,
        State::Planned => Stand::New,
        _ => Stand::Busy,
    }
}

/// The last `most` bytes of a file, as text.
fn read_end(path: &std::path::Path, most: usize) -> String {
    use std::io::{Read, Seek, SeekFrom};
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(most as u64)))?;
        let mut bytes = Vec::new();
        file.take(most as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    read().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

//! The supervisor's life: PID 1 of the pod's pid namespace, from its birth in the user namespace to the pod's end.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::fcntl::{OFlag, open};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::Mode;

use super::container::{Container, End, Place, Reading, State};
use super::events::{Events, Source};
use super::link::{Fact, hear, tell};
use super::output::Label;
use super::root::mount_root;
use super::sandbox::{self, Sandbox};
use super::stream::{Flow, Reader, Sink};
use super::volumes;
use crate::error::{Context, Result};
use crate::host::confine::{Tree, become_root};
use crate::plan::{PodPlan, RestartPolicy};
use crate::runtime::{Prepared, Progress};
use crate::sys::Named;
use crate::sys::process::is_ignored;

/// What the supervisor inherits from the client.
#[derive(Debug)]
pub(super) struct Inheritance<'a> {
    pub(super) plan: &'a PodPlan,
    /// The init containers, then the others, each made ready.
    pub(super) prepared: &'a [Prepared],
    pub(super) data: &'a Tree,
    /// The pod's directory on disk.
    pub(super) dir: &'a Path,
    pub(super) link: OwnedFd,
    pub(super) stdin: File,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
    /// How each container is called, in the order of `prepared`.
    pub(super) labels: &'a [Label],
    pub(super) notices: Notices,
}

/// Whether podling says what the user may like to know, beside errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notices {
    Said,
    LeftOut,
}

/// The signals that ask the supervisor to end its pod.
///
/// One that the caller has podling ignore, as nohup(1) does, stays ignored.
pub(super) fn stop_signals() -> SigSet {
    let signals = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];
    signals.into_iter().filter(|signal| !is_ignored(*signal as i32)).collect()
}

/// How much a pipe can hold, in bytes: an ended container's last words are no more (pipe(7), `pipe-max-size`).
const LAST_WORDS: usize = 1024 * 1024;

/// A stop that takes longer than this is explained.
const PATIENCE: Duration = Duration::from_secs(2);

/// Longer than any machine runs; the clock cannot add much more.
const LONGEST_GRACE: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// What the shell reports of a process that SIGTERM ended, for a pod whose containers were never started.
const STOPPED_BEFORE_START: u8 = 143;

/// How much is read from one container before the others get their turn, in bytes.
const TURN: usize = 64 * 1024;

/// Lives until the pod has ended; the client learns how on the link.
pub(super) fn live(inheritance: Inheritance) -> i32 {
    // The stop that the terminal sends goes to the client, which forwards it; a process of the terminal's session would get it twice.
    let _ = nix::unistd::setsid();
    let _ = nix::sys::prctl::set_name(c"podling-pod");
    let link = match inheritance.link.try_clone() {
        Ok(link) => link,
        Err(_) => return 125,
    };
    let fact = match Supervisor::new(inheritance).and_then(Supervisor::run) {
        Ok(code) => Fact::PodEnded(code),
        Err(e) => Fact::PodFailed(e),
    };
    i32::from(tell(link, &fact).is_err())
}

struct Supervisor<'a> {
    plan: &'a PodPlan,
    dir: OwnedFd,
    path: &'a Path,
    client: Client,
    sandbox: Sandbox,
    containers: Vec<Container<'a>>,
    labels: &'a [Label],
    events: Events,
    link: OwnedFd,
    signals: SignalFd,
    stdin: File,
    stdout: Sink,
    stderr: Sink,
    notices: Notices,
    reading: Reading,
    stopping: Option<Stopping>,
    /// When the user is told why the end takes so long.
    reminder: Option<Instant>,
    failure: Option<u8>,
}

/// Whether anybody waits for the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Client {
    There,
    Gone,
}

/// The pod is on its way out.
#[derive(Debug, Clone, Copy)]
enum Stopping {
    /// The stop signal was sent; SIGKILL follows at this time.
    Until(Instant),
    /// SIGKILL was sent.
    Killed,
}

impl<'a> Supervisor<'a> {
    fn new(inheritance: Inheritance<'a>) -> Result<Self> {
        let Inheritance { plan, prepared, data, dir, link, stdin, stdout, stderr, labels, notices } = inheritance;
        let sandbox = build(plan, data)?;
        let containers: Vec<_> = plan
            .init_containers
            .iter()
            .chain(&plan.containers)
            .zip(prepared)
            .map(|(p, r)| Container::new(p, r))
            .collect();
        let events = Events::new()?;
        let signals = SignalFd::with_flags(&stop_signals(), SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            .named(|| "signalfd()")?;
        events.watch(&link, Source::Client)?;
        events.watch(&signals, Source::Signals)?;
        Ok(Supervisor {
            plan,
            dir: open(dir, OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()).named(|| format!("open({dir:?})"))?,
            path: dir,
            client: Client::There,
            sandbox,
            labels,
            containers,
            events,
            link,
            signals,
            stdin,
            stdout: Sink::new(stdout, Source::Stdout)?,
            stderr: Sink::new(stderr, Source::Stderr)?,
            notices,
            reading: Reading::Now,
            stopping: None,
            reminder: None,
            failure: None,
        })
    }

    /// The pod's exit code: 0, or the code of the container that failed first.
    fn run(mut self) -> Result<u8> {
        let outcome = self.watch_over();
        // Dropping the containers kills and reaps whatever an error left running; then nobody writes below their directories.
        self.containers.iter_mut().for_each(Container::give_up);
        let cleared = self.containers.iter().try_for_each(|c| c.remove_directories(self.dir.as_fd()));
        let drained = self.drain_output();
        if self.client == Client::Gone {
            // What the client would have done with its last breath.
            let _ = std::fs::remove_dir(self.path);
        }
        // What ended the pod comes first; lost output or a directory left behind may only follow from it.
        outcome?;
        cleared?;
        drained?;
        let never_started = self.stopping.is_some() && self.containers.iter().any(|c| c.was_never_started());
        Ok(self.failure.unwrap_or(if never_started { STOPPED_BEFORE_START } else { 0 }))
    }

    fn watch_over(&mut self) -> Result<()> {
        self.start_next()?;
        while !self.is_over() {
            for source in self.events.wait(self.deadline())? {
                self.handle(source)?;
            }
            self.handle_time()?;
            self.flush()?;
        }
        Ok(())
    }

    /// Over when nothing runs and nothing will: all containers ended, or a stop left nothing alive.
    fn is_over(&self) -> bool {
        match self.stopping {
            Some(_) => !self.containers.iter().any(Container::has_process),
            None => self.containers.iter().all(|c| matches!(c.state, State::Ended)),
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match self.stopping {
            Some(Stopping::Until(at)) => Some(self.reminder.map_or(at, |reminder| at.min(reminder))),
            Some(Stopping::Killed) => None,
            None => self
                .containers
                .iter()
                .filter_map(|c| if let State::BackingOff(_, at) = c.state { Some(at) } else { None })
                .min(),
        }
    }

    fn handle(&mut self, source: Source) -> Result<()> {
        match source {
            Source::Client => self.obey(),
            Source::Signals => {
                while let Ok(Some(_)) = self.signals.read_signal() {
                    if self.stopping.is_none() { self.stop()? } else { self.kill()? }
                }
                Ok(())
            }
            Source::Stdout | Source::Stderr => Ok(()),
            Source::Start(n) => self.proceed(n),
            Source::Process(n) => self.reap(n),
            Source::ContainerStdout(n) | Source::ContainerStderr(n) => self.pump(n, source, TURN),
        }
    }

    /// Does what the client asks.
    fn obey(&mut self) -> Result<()> {
        match hear(&self.link)? {
            Some(Fact::StopRequested) => self.stop(),
            Some(Fact::KillRequested) => self.kill(),
            // The client is gone, and with it everybody who waits for this pod.
            _ => {
                self.events.forget(&self.link);
                self.client = Client::Gone;
                self.kill()
            }
        }
    }

    fn handle_time(&mut self) -> Result<()> {
        let now = Instant::now();
        if let Some(Stopping::Until(at)) = self.stopping {
            if self.reminder.is_some_and(|reminder| now >= reminder) {
                self.reminder = None;
                self.remind(at.saturating_duration_since(now));
            }
            return if now >= at { self.kill() } else { Ok(()) };
        }
        for n in 0..self.containers.len() {
            let due = self.containers.get(n).is_some_and(|c| matches!(c.state, State::BackingOff(_, at) if now >= at));
            if due && self.stopping.is_none() {
                self.restart(n);
            }
        }
        Ok(())
    }

    /// Starts the next init container, or, when all have succeeded, every container of the pod.
    fn start_next(&mut self) -> Result<()> {
        let inits = self.plan.init_containers.len();
        let next = self.containers.iter().take(inits).position(|c| matches!(c.state, State::Planned));
        match next {
            Some(n) => self.start(n),
            None => (inits..self.containers.len()).try_for_each(|n| self.start(n)),
        }
    }

    fn start(&mut self, n: usize) -> Result<()> {
        let Some(container) = self.containers.get_mut(n) else { return Ok(()) };
        let place = Place {
            dir: self.dir.as_fd(),
            joined: self.sandbox.joined(),
            stdin: &self.stdin,
            events: &self.events,
            reading: self.reading,
        };
        let name = self.labels.get(n).map(|label| label.name.as_str()).unwrap_or_default();
        container.start(n, &place).context(|| format!("container {name:?}"))
    }

    /// Starts container `n` again. What the host lacks at this moment it may have later, so a failure is one more reason to wait.
    fn restart(&mut self, n: usize) {
        let Err(error) = self.start(n) else { return };
        let Some(container) = self.containers.get_mut(n) else { return };
        let wait = container.backoff.next(Duration::ZERO);
        container.state = State::BackingOff(error.exit_code(), Instant::now() + wait);
        self.say(&format!("{}; it is tried again in {} s", error.what(), wait.as_secs()));
    }

    fn proceed(&mut self, n: usize) -> Result<()> {
        let Some(container) = self.containers.get_mut(n) else { return Ok(()) };
        let State::Starting(child, starting, _) = &container.state else { return Ok(()) };
        let progress = match starting.proceed(child, container.prepared) {
            Ok(Progress::Waiting) => return Ok(()),
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
            Progress::Waiting | Progress::Started => {
                container.state = State::Running(child, since);
                Ok(())
            }
            Progress::Failed(error) => {
                self.events.forget(&child);
                let exit = child.wait()?;
                // A start that the pod's own end has cut short failed for no reason of its own.
                let failure = self.stopping.is_none().then_some(error);
                self.ended(n, End { exit, failure, since })
            }
        }
    }

    fn reap(&mut self, n: usize) -> Result<()> {
        let Some(container) = self.containers.get_mut(n) else { return Ok(()) };
        match container.reap()? {
            Some(end) => {
                match std::mem::replace(&mut container.state, State::Ended) {
                    State::Starting(child, starting, _) => {
                        self.events.forget(&starting);
                        self.events.forget(&child);
                    }
                    State::Running(child, _) => self.events.forget(&child),
                    State::Planned | State::BackingOff(..) | State::Ended => {}
                }
                self.ended(n, end)
            }
            None => Ok(()),
        }
    }

    /// Decides what the end of container `n` means for the pod (Kubernetes, "Pod Lifecycle", "Container restart policy").
    fn ended(&mut self, n: usize, end: End) -> Result<()> {
        // All that it wrote is in the pipes by now, and comes before what is said of its end.
        self.pump(n, Source::ContainerStdout(n), LAST_WORDS)?;
        self.pump(n, Source::ContainerStderr(n), LAST_WORDS)?;
        let is_init = n < self.plan.init_containers.len();
        let Some(container) = self.containers.get_mut(n) else { return Ok(()) };
        for stream in [container.stdout.take(), container.stderr.take()].into_iter().flatten() {
            self.events.forget(&stream);
        }
        let name = self.labels.get(n).map(|label| label.name.as_str()).unwrap_or_default();
        if let Some(error) = end.failure {
            // A command that cannot be started cannot be started the next time either: its image does not change.
            self.failure.get_or_insert(error.exit_code());
            self.say(&error.context(format!("container {name:?}")).to_string());
            return self.stop();
        }
        let code = end.exit.shell_code();
        let restarts = match self.plan.restart_policy {
            RestartPolicy::Always => !is_init || code != 0,
            RestartPolicy::OnFailure => code != 0,
            RestartPolicy::Never => false,
        };
        if self.stopping.is_none() && restarts {
            let wait = container.backoff.next(end.since.elapsed());
            container.state = State::BackingOff(code, Instant::now() + wait);
            self.notice(&format!("container {name:?} ended with code {code}; it starts again in {} s", wait.as_secs()));
            return Ok(());
        }
        // The others go on meanwhile, so this costs the pod's end nothing; what is left now is tried again then.
        let _ = container.remove_directories(self.dir.as_fd());
        if code != 0 {
            self.failure.get_or_insert(code);
        }
        match (self.stopping, is_init, code) {
            (Some(_), ..) => Ok(()),
            (None, true, 0) => self.start_next(),
            (None, true, _) => {
                self.notice(&format!(
                    "init container {name:?} failed with code {code}, so the pod's containers do not start"
                ));
                self.stop()
            }
            (None, false, _) => Ok(()),
        }
    }

    /// Asks every container to end, once.
    fn stop(&mut self) -> Result<()> {
        if self.stopping.is_some() {
            return Ok(());
        }
        let now = Instant::now();
        self.stopping = Some(Stopping::Until(now + self.plan.grace_period.min(LONGEST_GRACE)));
        self.reminder = Some(now + PATIENCE);
        for container in &mut self.containers {
            match container.state {
                // It has no program yet that could have asked for a graceful end.
                State::Starting(..) => container.signal(libc::SIGKILL)?,
                State::BackingOff(code, _) if code != 0 => {
                    self.failure.get_or_insert(code);
                }
                _ => container.signal(container.plan.stop_signal)?,
            }
        }
        if self.plan.grace_period == Duration::ZERO { self.kill() } else { Ok(()) }
    }

    /// Says whom the end waits for.
    fn remind(&mut self, left: Duration) {
        let running = self.containers.iter().zip(self.labels).filter(|(c, _)| c.has_process());
        let names: Vec<&str> = running.map(|(_, label)| label.name.as_str()).collect();
        self.notice(&format!(
            "waiting up to {} s more for {} to end; Ctrl-C again does not wait",
            left.as_secs() + 1,
            names.join(", ")
        ));
    }

    fn kill(&mut self) -> Result<()> {
        self.stopping = Some(Stopping::Killed);
        self.containers.iter().try_for_each(|c| c.signal(libc::SIGKILL))
    }

    /// Moves what container `n` has written to podling's own output.
    fn pump(&mut self, n: usize, source: Source, most: usize) -> Result<()> {
        let Some(container) = self.containers.get_mut(n) else { return Ok(()) };
        let Some(label) = self.labels.get(n) else { return Ok(()) };
        let (slot, sink, prefix) = match source {
            Source::ContainerStderr(_) => (&mut container.stderr, &mut self.stderr, label.stderr.as_bytes()),
            _ => (&mut container.stdout, &mut self.stdout, label.stdout.as_bytes()),
        };
        let Some(stream) = slot else { return Ok(()) };
        if stream.pump(most, |line| sink.push(&[prefix, line, b"\n"])) == Flow::Ended {
            self.events.forget(&*stream);
            *slot = None;
        }
        Ok(())
    }

    /// Writes what can be written, and lets the containers wait while nobody takes it.
    fn flush(&mut self) -> Result<()> {
        self.stderr.flush(&self.events)?;
        if self.stdout.flush(&self.events)? == Reader::Gone && self.stopping.is_none() {
            self.stop()?;
        }
        let reading = if self.stdout.is_full() || self.stderr.is_full() { Reading::Later } else { Reading::Now };
        if reading != self.reading {
            self.reading = reading;
            for (n, container) in self.containers.iter().enumerate() {
                let streams =
                    [(&container.stdout, Source::ContainerStdout(n)), (&container.stderr, Source::ContainerStderr(n))];
                for (stream, source) in streams.into_iter().filter_map(|(s, source)| Some((s.as_ref()?, source))) {
                    match reading {
                        Reading::Later => self.events.forget(stream),
                        Reading::Now => self.events.watch(stream, source)?,
                    }
                }
            }
        }
        Ok(())
    }

    /// At the end: waits until all that was written is taken, unless the user will not wait or is gone.
    fn drain_output(&mut self) -> Result<()> {
        let asked_before = matches!(self.stopping, Some(Stopping::Killed));
        while self.client == Client::There && !asked_before {
            self.stderr.flush(&self.events)?;
            self.stdout.flush(&self.events)?;
            if self.stdout.is_empty() && self.stderr.is_empty() {
                break;
            }
            for source in self.events.wait(None)? {
                match source {
                    Source::Client if hear(&self.link)?.is_none() => {
                        self.events.forget(&self.link);
                        self.client = Client::Gone;
                    }
                    // Nothing runs any more, so a wish to stop can only mean the waiting.
                    Source::Client => return Ok(()),
                    Source::Signals => return Ok(()),
                    _ => {}
                }
            }
        }
        self.stdout.complaint().or(self.stderr.complaint()).map_or(Ok(()), Err)
    }

    fn notice(&mut self, text: &str) {
        if self.notices == Notices::Said {
            self.say(text);
        }
    }

    fn say(&mut self, text: &str) {
        self.stderr.push(&[b"podling: ", text.as_bytes(), b"\n"]);
    }
}

/// Makes everything that the containers share: the supervisor's root, the sandbox, the volumes.
fn build(plan: &PodPlan, data: &Tree) -> Result<Sandbox> {
    mount_root(data).context(|| "building the pod's root")?;
    let making = sandbox::make(&plan.hostname, plan.ids.max_gid())?;
    // The files' modes are the plan's; the caller's umask says nothing about them.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    for volume in &plan.volumes {
        volumes::make(Path::new("."), volume)?;
    }
    for container in plan.init_containers.iter().chain(&plan.containers) {
        if let Some(root) = container.spec.root() {
            let at = root.path().strip_prefix("/").unwrap_or(root.path());
            std::fs::create_dir_all(at).named(|| format!("mkdir({at:?})"))?;
        }
    }
    let sandbox = making.finish()?;
    become_root()?;
    Ok(sandbox)
}

//! One container of a running pod: what it is doing now, and how its next start is made.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::pipe2;

use super::backoff::Backoff;
use super::clock::now;
use super::env_file::value;
use super::events::{Events, Source};
use super::leaving::Leaving;
use super::log::{Limits, Writer, forget_before};
use super::probing::{ProbeKind, Probing};
use super::status::ContainerState;
use super::stream::{Lines, Stream};
use crate::error::{Context, Error, Result};
use crate::image::layer::remove_tree::remove_tree;
use crate::plan::{ContainerPlan, ProbePlan, Role, StdinPlan};
use crate::runtime::{Joined, Prepared, Starting, Stdio, Streams, Terminal, start};
use crate::sys::Named;
use crate::sys::clone::{Child, Exit};

/// A container and its present state.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) plan: Rc<ContainerPlan>,
    pub(super) prepared: Rc<Prepared>,
    pub(super) state: State,
    /// How often it was started again: the number of its present or last run.
    pub(super) run: u32,
    /// How its last run ended.
    pub(super) ended: Option<Terminated>,
    /// How the run before its present one ended.
    pub(super) before: Option<Terminated>,
    pub(super) output: Output,
    /// What its present run writes to its log.
    pub(super) log: Option<Writer>,
    /// The writing end of its standard input, or its terminal.
    pub(super) stdin: Option<OwnedFd>,
    pub(super) backoff: Backoff,
    /// Whether its postStart hook is over, or there is none.
    pub(super) settled: bool,
    /// Whether its startup probe has succeeded, or there is none.
    pub(super) started: bool,
    /// Whether it was ever started in this pod: those that come after it wait for that once only.
    pub(super) was_started: bool,
    /// Whether its readiness probe says so, or there is none.
    pub(super) ready: bool,
    pub(super) probes: Vec<(ProbeKind, Probing)>,
    /// Its way out, once podling ends it.
    pub(super) leaving: Option<Leaving>,
    pub(super) reading: Reading,
    /// The connection of the client that brought it (`podling debug`), and the streams that came along.
    pub(super) client: Option<usize>,
    pub(super) given: Option<[OwnedFd; 3]>,
    /// Its mount namespace, which tells its processes in a shared pid namespace.
    pub(super) mounts: Option<u64>,
}

/// What comes out of a container.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// Its standard output, or all that it writes to its terminal.
    pub(super) stdout: Option<Stream>,
    pub(super) stderr: Option<Stream>,
    /// The lines of both as the foreground's client sees them.
    pub(super) stdout_lines: Lines,
    pub(super) stderr_lines: Lines,
}

/// What a start needs of the pod.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) dir: &'a Rc<OwnedFd>,
    pub(super) joined: Joined<'a>,
    pub(super) stdin: &'a File,
    pub(super) events: &'a Events,
}

/// Whether the container's output is being read: not while nobody takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    Now,
    Later,
}

/// What a container is doing.
#[derive(Debug)]
pub(super) enum State {
    /// Its turn has not come.
    Planned,
    /// Cloned, and on its way to its program.
    Starting(Child, Starting, Since),
    /// The program runs.
    Running(Child, Since),
    /// It ended, and starts again at that time.
    BackingOff(Instant),
    /// It ended for good.
    Ended,
}

/// A moment, by both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Since {
    pub(super) instant: Instant,
    /// Seconds since 1970.
    pub(super) time: i64,
}

impl Since {
    pub(super) fn now() -> Since {
        Since { instant: Instant::now(), time: now() }
    }
}

/// How a run ended (`ContainerStateTerminated`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Terminated {
    pub(super) code: u8,
    /// `Completed`, `Error` or `StartError`.
    pub(super) reason: &'static str,
    pub(super) message: String,
    /// Seconds since 1970.
    pub(super) started_at: i64,
    pub(super) finished_at: i64,
}

impl Container {
    pub(super) fn new(plan: Rc<ContainerPlan>, prepared: Rc<Prepared>) -> Self {
        Container {
            plan,
            prepared,
            state: State::Planned,
            run: 0,
            ended: None,
            before: None,
            output: Output::default(),
            log: None,
            stdin: None,
            backoff: Backoff::default(),
            settled: false,
            started: false,
            was_started: false,
            ready: false,
            probes: Vec::new(),
            leaving: None,
            reading: Reading::Now,
            client: None,
            given: None,
            mounts: None,
        }
    }

    /// Starts it, as container number `n`, with an upper directory that nothing was written to.
    pub(super) fn start(&mut self, n: usize, place: &Place) -> Result<()> {
        if self.ended.is_some() {
            self.run += 1;
            self.before = self.ended.take();
        }
        self.fresh_directories(place.dir.as_fd())?;
        self.forget_message();
        self.settled = false;
        self.started = false;
        self.ready = false;
        self.probes.clear();
        self.leaving = None;
        let log = Writer::new(Rc::clone(place.dir), &self.plan.name, self.run, Limits::default());
        if self.run > 1 {
            // The kubelet keeps the present run's and the one's before it.
            let _ = forget_before(place.dir, &self.plan.name, self.run - 1);
        }
        let Place { events, joined, stdin, .. } = *place;
        let (child, starting) = match (self.prepared.terminal(), &self.given) {
            (Terminal::Own(size), _) => start(&self.prepared, joined, Streams::Terminal(size))?,
            (Terminal::None, Some([stdin, stdout, stderr])) => {
                let stdio = Stdio { stdin: stdin.as_fd(), stdout: stdout.as_fd(), stderr: stderr.as_fd() };
                start(&self.prepared, joined, Streams::Given(stdio))?
            }
            (Terminal::None, None) => {
                let (stdout, stdout_end) = Stream::new()?;
                let (stderr, stderr_end) = Stream::new()?;
                let open = match self.plan.stdin {
                    StdinPlan::Empty => None,
                    StdinPlan::Open | StdinPlan::Once => Some(pipe2(OFlag::O_CLOEXEC).named(|| "pipe2()")?),
                };
                let (stdin_end, writer) = open.unzip();
                for end in [Some(&stdout_end), Some(&stderr_end), stdin_end.as_ref()].into_iter().flatten() {
                    self.give(end)?;
                }
                let stdio = Stdio {
                    stdin: stdin_end.as_ref().map_or(stdin.as_fd(), AsFd::as_fd),
                    stdout: stdout_end.as_fd(),
                    stderr: stderr_end.as_fd(),
                };
                let started = start(&self.prepared, joined, Streams::Given(stdio))?;
                events.watch(&stdout, Source::ContainerStdout(n))?;
                events.watch(&stderr, Source::ContainerStderr(n))?;
                self.output = Output { stdout: Some(stdout), stderr: Some(stderr), ..Output::default() };
                self.stdin = writer;
                started
            }
        };
        events.watch(&child, Source::Process(n))?;
        events.watch(&starting, Source::Start(n))?;
        self.reading = Reading::Now;
        self.log = Some(log);
        self.state = State::Starting(child, starting, Since::now());
        Ok(())
    }

    /// Takes from files what of its program and environment is known only when it starts, each time anew.
    ///
    /// # Errors
    /// A file that is not one of variables, or that lacks one.
    pub(super) fn complete(&mut self) -> Result<()> {
        let late = &self.plan.late;
        let Some(process) = self.plan.spec.process().as_ref().filter(|_| !late.is_empty()) else { return Ok(()) };
        let process = late.complete(process, &mut value)?;
        self.prepared = Rc::new(self.prepared.with_program(&process)?);
        Ok(())
    }

    /// Its terminal is there: what it writes comes out of `master`, and what is typed goes in.
    pub(super) fn take_terminal(&mut self, n: usize, master: OwnedFd, events: &Events) -> Result<()> {
        if self.plan.stdin != StdinPlan::Empty {
            self.stdin = Some(master.try_clone().named(|| "dup(terminal)")?);
        }
        let stream = Stream::of_terminal(master);
        events.watch(&stream, Source::ContainerStdout(n))?;
        self.output = Output { stdout: Some(stream), ..Output::default() };
        Ok(())
    }

    fn fresh_directories(&self, pod_dir: BorrowedFd) -> Result<()> {
        for dir in [&self.plan.upper, &self.plan.work] {
            match fs::create_dir(dir) {
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                    self.remove_directories(pod_dir)?;
                    return self.fresh_directories(pod_dir);
                }
                made => made.named(|| format!("mkdir({dir:?})"))?,
            }
        }
        Ok(())
    }

    /// Lets the container's user open its standard streams by name, as `/dev/stdout`: with one id the pipe is its own already.
    fn give(&self, pipe: &OwnedFd) -> Result<()> {
        let Some(process) = self.plan.spec.process() else { return Ok(()) };
        let user = process.user();
        match nix::unistd::fchown(pipe, Some(user.uid().into()), Some(user.gid().into())) {
            Err(Errno::EINVAL | Errno::EPERM) => Ok(()),
            given => Ok(given.named(|| format!("fchown(pipe, {}, {})", user.uid(), user.gid()))?),
        }
    }

    /// Removes everything that the container wrote, below the pod's directory.
    pub(super) fn remove_directories(&self, pod_dir: BorrowedFd) -> Result<()> {
        for dir in [&self.plan.upper, &self.plan.work] {
            let Some(name) = dir.file_name() else { continue };
            if dir.exists() {
                remove_tree(pod_dir, Path::new(name)).context(|| format!("removing {dir:?}"))?;
            }
        }
        Ok(())
    }

    /// Empties the file of its last message, which the run before may have written.
    fn forget_message(&self) {
        let _ = File::options().write(true).truncate(true).open(&self.plan.message.file);
    }

    /// Kills and reaps what still runs of it.
    pub(super) fn give_up(&mut self) {
        if !matches!(self.state, State::Planned) {
            self.state = State::Ended;
        }
    }

    /// Whether its turn never came.
    pub(super) fn was_never_started(&self) -> bool {
        matches!(self.state, State::Planned) && self.plan.role != Role::Ephemeral
    }

    /// Sends a signal to its first process, if there is one.
    pub(super) fn signal(&self, signal: i32) -> Result<()> {
        match &self.state {
            State::Starting(child, ..) | State::Running(child, _) => Ok(child.signal(signal)?),
            State::Planned | State::BackingOff(..) | State::Ended => Ok(()),
        }
    }

    pub(super) fn has_process(&self) -> bool {
        matches!(self.state, State::Starting(..) | State::Running(..))
    }

    /// Its first process, once its program runs.
    pub(super) fn running(&self) -> Option<&Child> {
        match &self.state {
            State::Running(child, _) => Some(child),
            _ => None,
        }
    }

    /// When its present run was started.
    pub(super) fn since(&self) -> Option<Instant> {
        match &self.state {
            State::Running(_, since) | State::Starting(_, _, since) => Some(since.instant),
            _ => None,
        }
    }

    /// The plan of one of its probes.
    pub(super) fn probe(&self, kind: ProbeKind) -> Option<&ProbePlan> {
        let probes = &self.plan.probes;
        match kind {
            ProbeKind::Startup => probes.startup.as_ref(),
            ProbeKind::Liveness => probes.liveness.as_ref(),
            ProbeKind::Readiness => probes.readiness.as_ref(),
        }
    }

    /// Reaps its process if that has ended.
    pub(super) fn reap(&mut self) -> Result<Option<End>> {
        let (child, since, starting) = match &mut self.state {
            State::Starting(child, starting, since) => (child, *since, Some(&*starting)),
            State::Running(child, since) => (child, *since, None),
            _ => return Ok(None),
        };
        let Some(exit) = child.try_wait()? else { return Ok(None) };
        // The process may have told why it failed and ended before anybody listened.
        let failure = match starting.map(|s| s.proceed(child, &self.prepared)) {
            Some(Ok(crate::runtime::Progress::Failed(error))) => Some(error),
            _ => None,
        };
        Ok(Some(End { exit, failure, since }))
    }

    /// What it is doing, as the API says it.
    ///
    /// `unstarted` is the reason of one whose turn has not come.
    pub(super) fn api_state(&self, unstarted: &str) -> ContainerState {
        match (&self.state, &self.ended) {
            // Until its postStart hook has ended it "cannot reach a running state" (Kubernetes, "Container Lifecycle Hooks").
            (State::Running(..), _) if !self.settled && self.leaving.is_none() => {
                ContainerState::Waiting { reason: "ContainerCreating".to_owned() }
            }
            (State::Running(_, since), _) => ContainerState::Running { started_at: since.time },
            (State::Starting(..), _) => ContainerState::Waiting { reason: "ContainerCreating".to_owned() },
            (State::Planned, _) => ContainerState::Waiting { reason: unstarted.to_owned() },
            (State::BackingOff(..), _) => ContainerState::Waiting { reason: "CrashLoopBackOff".to_owned() },
            (State::Ended, Some(end)) => {
                ContainerState::Terminated { exit_code: end.code, reason: end.reason.to_owned() }
            }
            (State::Ended, None) => ContainerState::Waiting { reason: "ContainerCreating".to_owned() },
        }
    }
}

/// How a container's process ended.
#[derive(Debug)]
pub(super) struct End {
    pub(super) exit: Exit,
    /// Why its program could not even be started.
    pub(super) failure: Option<Error>,
    /// When it was started.
    pub(super) since: Since,
}

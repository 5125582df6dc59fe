//! One container of a running pod: what it is doing now, and how its next start is made.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Instant;

use nix::errno::Errno;

use super::backoff::Backoff;
use super::events::{Events, Source};
use super::stream::Stream;
use crate::error::{Context, Error, Result};
use crate::image::layer::remove_tree::remove_tree;
use crate::plan::ContainerPlan;
use crate::runtime::{Joined, Prepared, Starting, Stdio, start};
use crate::sys::Named;
use crate::sys::clone::{Child, Exit};

/// A container and its present state.
#[derive(Debug)]
pub(super) struct Container<'a> {
    pub(super) plan: &'a ContainerPlan,
    pub(super) prepared: &'a Prepared,
    pub(super) state: State,
    pub(super) stdout: Option<Stream>,
    pub(super) stderr: Option<Stream>,
    pub(super) backoff: Backoff,
}

/// What a start needs of the pod.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) dir: BorrowedFd<'a>,
    pub(super) joined: Joined<'a>,
    pub(super) stdin: &'a File,
    pub(super) events: &'a Events,
    pub(super) reading: Reading,
}

/// Whether the containers' output is being read: not while nobody takes podling's own.
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
    Starting(Child, Starting, Instant),
    /// The program runs.
    Running(Child, Instant),
    /// It ended with this code, and starts again at that time.
    BackingOff(u8, Instant),
    /// It ended for good.
    Ended,
}

impl<'a> Container<'a> {
    pub(super) fn new(plan: &'a ContainerPlan, prepared: &'a Prepared) -> Self {
        Container { plan, prepared, state: State::Planned, stdout: None, stderr: None, backoff: Backoff::default() }
    }

    /// Starts it, as container number `n`, with an upper directory that nothing was written to.
    pub(super) fn start(&mut self, n: usize, place: &Place) -> Result<()> {
        self.fresh_directories(place.dir)?;
        let (stdout, stdout_end) = Stream::new()?;
        let (stderr, stderr_end) = Stream::new()?;
        for end in [&stdout_end, &stderr_end] {
            self.give(end)?;
        }
        let Place { events, joined, stdin, reading, .. } = *place;
        let stdio = Stdio { stdin: stdin.as_fd(), stdout: stdout_end.as_fd(), stderr: stderr_end.as_fd() };
        let (child, starting) = start(self.prepared, joined, stdio)?;
        if reading == Reading::Now {
            events.watch(&stdout, Source::ContainerStdout(n))?;
            events.watch(&stderr, Source::ContainerStderr(n))?;
        }
        events.watch(&child, Source::Process(n))?;
        events.watch(&starting, Source::Start(n))?;
        self.stdout = Some(stdout);
        self.stderr = Some(stderr);
        self.state = State::Starting(child, starting, Instant::now());
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

    /// Lets the container's user open its standard output by name, as `/dev/stdout`: with one id the pipe is its own already.
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

    /// Kills and reaps what still runs of it.
    pub(super) fn give_up(&mut self) {
        if !matches!(self.state, State::Planned) {
            self.state = State::Ended;
        }
    }

    /// Whether its turn never came.
    pub(super) fn was_never_started(&self) -> bool {
        matches!(self.state, State::Planned)
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

    /// Reaps its process if that has ended.
    pub(super) fn reap(&mut self) -> Result<Option<End>> {
        let (child, since, starting) = match &mut self.state {
            State::Starting(child, starting, since) => (child, *since, Some(&*starting)),
            State::Running(child, since) => (child, *since, None),
            _ => return Ok(None),
        };
        let Some(exit) = child.try_wait()? else { return Ok(None) };
        // The process may have told why it failed and ended before anybody listened.
        let failure = match starting.map(|s| s.proceed(child, self.prepared)) {
            Some(Ok(crate::runtime::Progress::Failed(error))) => Some(error),
            _ => None,
        };
        Ok(Some(End { exit, failure, since }))
    }
}

/// How a container's process ended.
#[derive(Debug)]
pub(super) struct End {
    pub(super) exit: Exit,
    /// Why its program could not even be started.
    pub(super) failure: Option<Error>,
    /// When it was started.
    pub(super) since: Instant,
}

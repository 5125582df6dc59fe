//! One container of a running pod: what it is doing now, and how its next start is made.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::time::Instant;

use super::backoff::Backoff;
use super::events::{Events, Source};
use super::stream::Stream;
use crate::error::{Error, Result};
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
    pub(super) fn start(&mut self, n: usize, joined: Joined, stdin: &File, events: &Events) -> Result<()> {
        self.fresh_directories()?;
        let (stdout, stdout_end) = Stream::new()?;
        let (stderr, stderr_end) = Stream::new()?;
        let stdio = Stdio { stdin: stdin.as_fd(), stdout: stdout_end.as_fd(), stderr: stderr_end.as_fd() };
        let (child, starting) = start(self.prepared, joined, stdio)?;
        events.watch(&stdout, Source::ContainerStdout(n))?;
        events.watch(&stderr, Source::ContainerStderr(n))?;
        events.watch(&child, Source::Process(n))?;
        events.watch(&starting, Source::Start(n))?;
        self.stdout = Some(stdout);
        self.stderr = Some(stderr);
        self.state = State::Starting(child, starting, Instant::now());
        Ok(())
    }

    fn fresh_directories(&self) -> Result<()> {
        for dir in [&self.plan.upper, &self.plan.work] {
            match fs::create_dir(dir) {
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                    self.remove_directories()?;
                    return self.fresh_directories();
                }
                made => made.named(|| format!("mkdir({dir:?})"))?,
            }
        }
        Ok(())
    }

    /// Removes everything that the container wrote.
    pub(super) fn remove_directories(&self) -> Result<()> {
        for dir in [&self.plan.upper, &self.plan.work] {
            match fs::remove_dir_all(dir) {
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                removed => removed.named(|| format!("unlink({dir:?})"))?,
            }
        }
        Ok(())
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

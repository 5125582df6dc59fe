//! The keeper of a detached Job: the process that stays when the client has left, and whose life this is. Its loop is the client's.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sched::CloneFlags;
use nix::sys::signalfd::SignalFd;
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};

use super::attend::{attend, until_then};
use super::desk::{Desk, Wish};
use super::{Pod, Run};
use crate::error::{Error, Result};
use crate::pod::job::{Crew, JobClaim, Notices, StartJob, remove_pods};
use crate::pod::link::{Fact, tell};
use crate::pod::supervisor::ShowTrace;
use crate::sys::clone::{Child, spawn};
use crate::sys::process::close_numbers;
use crate::sys::{Named, packet};

/// A keeper, as its client sees it.
pub(super) struct Keeper {
    /// The Job's name.
    pub(super) name: String,
    pub(super) child: Child,
    /// Where it says that the Job has begun.
    pub(super) link: OwnedFd,
}

/// Makes the keeper of `job`, which must not hold the descriptors `others`.
pub(super) fn start(job: StartJob, others: &[RawFd], signals: &SignalFd, run: &Run) -> Result<Keeper> {
    let StartJob { plan, namespace, template, record } = job;
    let name = plan.name.clone();
    let (claim, first) = record.ok_or_else(|| Error::new("a detached Job lacks its record"))?;
    // First, so that whoever finds the record finds the keeper.
    let listener = claim.listen()?;
    claim.write_first(&first)?;
    let null = File::open("/dev/null").named(|| "open(\"/dev/null\")")?;
    let (ours, theirs) = packet::pair()?;
    let mut ours = Some(ours);
    // What is moved into the keeper is closed here.
    let child = spawn(CloneFlags::empty(), || {
        ours.take();
        close_numbers(others);
        // It leaves the terminal, whose signals are for those who sit there. The working directory stays: paths may begin there.
        let _ = nix::unistd::setsid();
        let _ = nix::sys::prctl::set_name(c"podling-job");
        // A limit on the size of files is a full disk for the record, and no reason to die.
        crate::sys::process::ignore(libc::SIGXFSZ);
        let streams = [dup2_stdin(&null), dup2_stdout(&null), dup2_stderr(&null)];
        if streams.iter().any(|done| done.is_err()) {
            return 125;
        }
        let ttl = first.ttl_seconds.map(|seconds| Duration::from_secs(seconds).mul_f64(run.time_scale));
        let desk = Desk::new(claim, listener, theirs, &first);
        let job = StartJob { plan, namespace, template, record: None };
        i32::from(keep(job, desk, ttl, signals, run).is_err())
    })?;
    let link = ours.ok_or_else(|| Error::new("the link to the Job's keeper is gone"))?;
    Ok(Keeper { name, child, link })
}

/// Runs the Job to its end; where it has a time to live after that, waits for it, and removes what is kept.
fn keep(job: StartJob, mut desk: Desk, ttl: Option<Duration>, signals: &SignalFd, run: &Run) -> Result<()> {
    let run = Run {
        pods: Vec::new(),
        jobs: Vec::new(),
        facts: run.facts,
        data: run.data,
        style: run.style.clone(),
        mode: run.mode,
        time_scale: run.time_scale,
        begun: run.begun,
        trace: run.trace.clone(),
        show_trace: ShowTrace::No,
    };
    let mut crew = Crew::new(vec![job], run.time_scale, Notices::LeftOut);
    let mut pods: Vec<Pod> = Vec::new();
    let attended = attend(&mut pods, &mut crew, signals, &run, Some(&mut desk));
    // What has never begun is kept nowhere: the client, which still waits, says why.
    if let Some(client) = desk.waiting_client() {
        let why = attended.as_ref().err().or(crew.error());
        let why = why.map_or_else(|| Error::new("the Job was stopped before it began"), |e| Error::decode(&e.encode()));
        let removed = remove(desk, &run);
        let _ = tell(client, &Fact::PodFailed(why));
        return removed.and(attended);
    }
    attended?;
    desk.finish();
    match ttl {
        Some(ttl) if wait(&mut desk, signals, Instant::now().checked_add(ttl))? == Left::Late => remove(desk, &run),
        _ => desk.into_claim().remove_socket(),
    }
}

/// Why a keeper does not wait any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Left {
    /// Somebody wants to remove the Job.
    Asked,
    /// Its time is over.
    Late,
}

/// Waits until that time, and answers those who ask meanwhile.
fn wait(desk: &mut Desk, signals: &SignalFd, until: Option<Instant>) -> Result<Left> {
    loop {
        if until.is_some_and(|until| Instant::now() >= until) {
            return Ok(Left::Late);
        }
        let mut fds = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        fds.extend(desk.polled());
        match poll(&mut fds, until_then(until)) {
            Err(Errno::EINTR) => continue,
            polled => polled.named(|| "poll()")?,
        };
        let ready: Vec<bool> = fds.iter().map(|f| f.any() == Some(true)).collect();
        drop(fds);
        if ready.first() == Some(&true) || desk.serve(ready.get(1..).unwrap_or_default()) != Wish::Nothing {
            return Ok(Left::Asked);
        }
    }
}

/// Removes what is kept of the Job and of its pods.
fn remove(desk: Desk, run: &Run) -> Result<()> {
    let uid = desk.uid().to_owned();
    let claim: JobClaim = desk.into_claim();
    remove_pods(run.data, &uid, run.facts)?;
    claim.remove()
}

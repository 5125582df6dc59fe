//! A start that does not wait for the pods' end.

use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::signalfd::SignalFd;

use super::attend::{attend, until_then};
use super::keeper::{self, Keeper};
use super::{Pod, Run, State, Until, all_descriptors, finish, worse};
use crate::error::{Error, Result};
use crate::pod::control::{Connection, Reply, Request, connect};
use crate::pod::job::{Crew, JobClaim, Notices, STOPPED, StartJob, find_job, is_finished, remove_pods};
use crate::pod::link::{Fact, hear};
use crate::pod::state::pod_dir;
use crate::pod::status::{ContainerKind, ContainerState, Phase, Summary};
use crate::sys::Named;

/// Makes the Jobs' keepers, waits until each pod has come far enough, those that the Jobs begin with included, and leaves.
pub(super) fn detach(
    mut pods: Vec<Pod>,
    jobs: Vec<StartJob>,
    signals: &SignalFd,
    until: Until,
    deadline: Option<Instant>,
    run: &Run,
) -> Result<u8> {
    let facts = run.facts;
    let mut crew = Crew::new(Vec::new(), run.time_scale, Notices::LeftOut);
    let mut watches = Vec::new();
    let mut keepers = Vec::new();
    let begun = match begin(jobs, &pods, &mut keepers, signals, run) {
        Ok(begun) => begun,
        Err(error) => {
            pods.iter().for_each(|pod| pod.request(&Fact::KillRequested));
            ask(&keepers)?;
            attend(&mut pods, &mut crew, signals, run, None)?;
            return abandon(keepers, signals, run).and(finish(pods, facts)).and(Err(error));
        }
    };
    let dirs = pods.iter().map(|pod| pod.claim.dir().to_owned()).chain(begun.iter().map(|pod| pod_dir(run.data, pod)));
    for dir in dirs {
        // A pod of a Job that has ended already is there no more to be asked, and was started.
        let watch = connect(&dir)?;
        if let Some(watch) = &watch {
            watch.ask(&Request::Watch, &[])?;
        }
        watches.push((watch, None::<Summary>));
    }
    let far = |summary: &Summary| match until {
        Until::Running => summary.phase != Phase::Pending,
        Until::Ready => summary.ready || summary.ended_at.is_some(),
    };
    let mut late = false;
    while watches.iter().any(|(watch, last)| watch.is_some() && !last.as_ref().is_some_and(far)) {
        let mut fds = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        let waiting: Vec<usize> =
            watches.iter().enumerate().filter(|(_, (watch, _))| watch.is_some()).map(|(n, _)| n).collect();
        fds.extend(
            watches.iter().filter_map(|(watch, _)| Some(PollFd::new(watch.as_ref()?.as_fd(), PollFlags::POLLIN))),
        );
        match poll(&mut fds, until_then(deadline)) {
            Err(Errno::EINTR) => continue,
            polled => polled.named(|| "poll()")?,
        };
        let ready: Vec<bool> = fds.iter().map(|f| f.any() == Some(true)).collect();
        drop(fds);
        if ready.first() == Some(&true) {
            // Whoever interrupts the start does not want the pods.
            ask(&keepers)?;
            if pods.is_empty() {
                // Else it is heard for the pods.
                while let Ok(Some(_)) = signals.read_signal() {}
            }
            attend(&mut pods, &mut crew, signals, run, None)?;
            let code = if pods.is_empty() { STOPPED } else { 0 };
            return abandon(keepers, signals, run).and(finish(pods, facts)).map(|of_pods| of_pods.max(code));
        }
        if deadline.is_some_and(|at| Instant::now() >= at) {
            late = true;
            break;
        }
        for (n, _) in waiting.iter().zip(&ready[1..]).filter(|(_, ready)| **ready) {
            let Some((watch, last)) = watches.get_mut(*n) else { continue };
            match watch.as_ref().map(Connection::answer).transpose()?.flatten() {
                Some((Reply::Summary(summary), _)) => *last = Some(*summary),
                Some(_) => {}
                None => *watch = None,
            }
        }
    }
    let last: Vec<Option<Summary>> = watches.into_iter().map(|(_, last)| last).collect();
    for pod in &mut pods {
        pod.request(&Fact::LeaveRequested);
        while matches!(&pod.state, State::Running { left: false, .. }) {
            pod.advance(&mut crew)?;
        }
    }
    keepers.into_iter().for_each(|keeper| keeper.child.let_go());
    let mut code = Ok(0);
    for (pod, last) in pods.into_iter().zip(&last) {
        let outcome = match pod.state {
            State::Running { child, .. } => {
                child.let_go();
                continue;
            }
            // Its record says the rest. One that came far enough and has ended since was started, however it ended.
            State::Ended(outcome) => {
                let came = last.as_ref().is_some_and(|last| match until {
                    Until::Running => has_run(last),
                    Until::Ready => last.ready,
                });
                pod.claim.keep(facts).and(outcome).map(|code| if came { 0 } else { code })
            }
        };
        code = worse(code, outcome, "pod", &pod.name);
    }
    let code = code?;
    if late {
        return Err(Error::new("not every pod came far enough in the time that --timeout gives; they go on")
            .mend("see why with: podling describe POD"));
    }
    Ok(code)
}

/// Makes the keepers, and waits until each has started the first pods of its Job: their names.
fn begin(
    jobs: Vec<StartJob>,
    pods: &[Pod],
    keepers: &mut Vec<Keeper>,
    signals: &SignalFd,
    run: &Run,
) -> Result<Vec<String>> {
    let records: Vec<Option<RawFd>> =
        jobs.iter().map(|job| job.record.as_ref().map(|(claim, _)| claim.descriptor())).collect();
    for (n, job) in jobs.into_iter().enumerate() {
        // Those of the Jobs before have moved into their keepers, and those of the Jobs behind are for theirs.
        let later = records.iter().skip(n + 1).flatten().copied();
        let links = keepers.iter().map(|keeper| keeper.link.as_raw_fd());
        let others = all_descriptors(pods, &later.chain(links).collect::<Vec<_>>());
        let name = job.plan.name.clone();
        match keeper::start(job, &others, signals, run) {
            Ok(keeper) => keepers.push(keeper),
            Err(error) => {
                remove_kept(&name, run)?;
                return Err(error.context(format!("job {name:?}")));
            }
        }
    }
    let mut begun = Vec::new();
    for keeper in keepers.iter() {
        let error = match hear(&keeper.link)? {
            Some(Fact::JobBegun(names)) => {
                begun.extend(names);
                continue;
            }
            Some(Fact::PodFailed(error)) => error,
            _ => Error::new("its keeper was killed before the Job began"),
        };
        return Err(error.context(format!("job {:?}", keeper.name)));
    }
    Ok(begun)
}

/// How often it is looked at whether an abandoned Job has ended: nothing tells of that.
const LOOK: Duration = Duration::from_millis(20);

/// Asks the keepers to end their Jobs.
fn ask(keepers: &[Keeper]) -> Result<()> {
    Ok(keepers.iter().try_for_each(|keeper| keeper.child.signal(libc::SIGTERM))?)
}

/// Waits until the keepers, to which the user's signals are forwarded, have ended their Jobs, and removes what is kept of those and of their
/// pods.
fn abandon(mut keepers: Vec<Keeper>, signals: &SignalFd, run: &Run) -> Result<()> {
    let mut ended = Vec::new();
    while !keepers.is_empty() {
        let mut fds = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        fds.extend(keepers.iter().map(|keeper| PollFd::new(keeper.child.as_fd(), PollFlags::POLLIN)));
        match poll(&mut fds, until_then(Some(Instant::now() + LOOK))) {
            Err(Errno::EINTR) => continue,
            polled => polled.named(|| "poll()")?,
        };
        // One whose Job has ended, and which has it live on for its time, is told that nobody wants it.
        let waits = |keeper: &&Keeper| {
            find_job(run.data, &keeper.name).is_ok_and(|found| found.is_some_and(|job| is_finished(&job.status)))
        };
        keepers.iter().filter(waits).try_for_each(|keeper| keeper.child.signal(libc::SIGTERM))?;
        while let Ok(Some(_)) = signals.read_signal() {
            ask(&keepers)?;
        }
        let mut left = Vec::new();
        for mut keeper in keepers {
            let list = if keeper.child.try_wait()?.is_some() { &mut ended } else { &mut left };
            list.push(keeper);
        }
        keepers = left;
    }
    ended.iter().try_for_each(|keeper| remove_kept(&keeper.name, run))
}

/// Removes what is kept of a Job that has no keeper any more.
fn remove_kept(name: &str, run: &Run) -> Result<()> {
    let Some(found) = find_job(run.data, name)? else { return Ok(()) };
    remove_pods(run.data, &found.first.uid, run.facts)?;
    JobClaim::of_ended(&found.dir)?.map_or(Ok(()), JobClaim::remove)
}

/// Whether the program of one of the pod's containers has run.
fn has_run(summary: &Summary) -> bool {
    summary.containers.iter().filter(|c| c.kind == ContainerKind::Regular).any(|c| match &c.state {
        ContainerState::Running { .. } => true,
        ContainerState::Waiting { .. } => c.restarts > 0,
        ContainerState::Terminated { reason, .. } => reason != "StartError",
    })
}

//! A start that does not wait for the pods' end.

use std::os::fd::AsFd;
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, poll};
use nix::sys::signalfd::SignalFd;

use super::attend::{attend, until_then};
use super::{Pod, Run, State, Until, finish, worse};
use crate::error::{Error, Result};
use crate::pod::control::{Connection, Reply, Request, connect};
use crate::pod::job::{Crew, Notices};
use crate::pod::link::Fact;
use crate::pod::status::{ContainerKind, ContainerState, Phase, Summary};
use crate::sys::Named;

/// Waits until each pod has come far enough, and leaves.
pub(super) fn detach(
    mut pods: Vec<Pod>,
    signals: &SignalFd,
    until: Until,
    deadline: Option<Instant>,
    run: &Run,
) -> Result<u8> {
    let facts = run.facts;
    let mut crew = Crew::new(Vec::new(), run.time_scale, Notices::LeftOut);
    let mut watches = Vec::new();
    for pod in &pods {
        let watch = connect(pod.claim.dir())?;
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
            attend(&mut pods, &mut crew, signals, run)?;
            return finish(pods, facts);
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

/// Whether the program of one of the pod's containers has run.
fn has_run(summary: &Summary) -> bool {
    summary.containers.iter().filter(|c| c.kind == ContainerKind::Regular).any(|c| match &c.state {
        ContainerState::Running { .. } => true,
        ContainerState::Waiting { .. } => c.restarts > 0,
        ContainerState::Terminated { reason, .. } => reason != "StartError",
    })
}

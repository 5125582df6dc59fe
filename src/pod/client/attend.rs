//! The client's loop: it waits for its pods' ends, does what its Jobs want, and forwards the user's wish to stop.

use std::os::fd::{AsFd, RawFd};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signalfd::SignalFd;

use super::desk::{Desk, Wish};
use super::{Mode, Pod, Run, State, others};
use crate::error::Result;
use crate::pod::job::{Crew, Order, PodEnd};
use crate::pod::link::Fact;
use crate::pod::output::labels;

use crate::sys::Named;

/// Waits until every supervisor has ended and every Job, does what the Jobs want, and forwards the user's signals: the first asks, the
/// second insists, and a third does not depend on the supervisors' answer. A keeper is asked at its `desk`, too.
pub(super) fn attend(
    pods: &mut Vec<Pod>,
    crew: &mut Crew,
    signals: &SignalFd,
    run: &Run,
    mut desk: Option<&mut Desk>,
) -> Result<()> {
    let mut asked = 0;
    loop {
        take_leave(pods, crew, run);
        let private = desk.as_ref().map(|desk| desk.descriptors()).unwrap_or_default();
        let mut obeyed = Obeyed::Nothing;
        while obey(pods, crew, &private, run) == Obeyed::Something {
            obeyed = Obeyed::Something;
            // What could not even be started has ended, too.
            take_leave(pods, crew, run);
        }
        if let Some(desk) = &desk
            && obeyed == Obeyed::Something
        {
            desk.pods_started();
        }
        if let Some(desk) = &mut desk
            && let wish @ (Wish::Stop | Wish::Kill) = desk.note(crew, pods)
        {
            asked = asked.max(wish as usize);
            insist(asked, pods, crew);
        }
        let running: Vec<usize> =
            pods.iter().enumerate().filter(|(_, p)| matches!(p.state, State::Running { .. })).map(|(n, _)| n).collect();
        if running.is_empty() && crew.is_over() {
            return Ok(());
        }
        let mut fds = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        for pod in pods.iter() {
            if let State::Running { link, .. } = &pod.state {
                fds.push(PollFd::new(link.as_fd(), PollFlags::POLLIN));
            }
        }
        // No events are asked for, but the end of whoever reads is told. A keeper's pods are read in their logs.
        let stdout = std::io::stdout();
        let watched = desk.is_none() && crew.may_start();
        fds.extend(watched.then(|| PollFd::new(stdout.as_fd(), PollFlags::empty())));
        fds.extend(desk.iter().flat_map(|desk| desk.polled()));
        match poll(&mut fds, until_then(crew.due())) {
            Err(Errno::EINTR) => continue,
            polled => polled.named(|| "poll()")?,
        };
        let ready: Vec<bool> = fds.iter().map(|f| f.any() == Some(true)).collect();
        drop(fds);
        if ready.first() == Some(&true) {
            while let Ok(Some(_)) = signals.read_signal() {
                asked += 1;
                insist(asked, pods, crew);
            }
        }
        let (of_pods, others) = ready.get(1..).and_then(|r| r.split_at_checked(running.len())).unwrap_or_default();
        if watched && others.first() == Some(&true) {
            crew.abandon();
        }
        if let Some(desk) = &mut desk {
            let wish = desk.serve(others) as usize;
            if wish > asked {
                asked = wish;
                insist(asked, pods, crew);
            }
        }
        for (n, _) in running.iter().zip(of_pods).filter(|(_, ready)| **ready) {
            if let Some(pod) = pods.get_mut(*n) {
                pod.advance(crew)?;
            }
        }
    }
}

/// Asks all pods to end, for the `asked`th time.
fn insist(asked: usize, pods: &[Pod], crew: &mut Crew) {
    crew.interrupt();
    match asked {
        1 => pods.iter().for_each(|p| p.request(&Fact::StopRequested)),
        2 => pods.iter().for_each(|p| p.request(&Fact::KillRequested)),
        _ => pods.iter().for_each(Pod::kill),
    }
}

/// Whether the Jobs wanted something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Obeyed {
    Nothing,
    Something,
}

/// Does what the Jobs want now; no supervisor may hold the descriptors `private`.
fn obey(pods: &mut Vec<Pod>, crew: &mut Crew, private: &[RawFd], run: &Run) -> Obeyed {
    let orders = crew.orders();
    if orders.is_empty() {
        return Obeyed::Nothing;
    }
    let locks: Vec<RawFd> = orders.iter().flat_map(Order::locks).collect();
    for order in orders {
        match order {
            Order::Stop(of) => {
                let pod = pods.iter().find(|pod| pod.of.as_ref().is_some_and(|(own, _)| *own == of));
                pod.into_iter().for_each(|pod| pod.request(&Fact::StopRequested));
            }
            Order::Start(of, start) => {
                let plans = start.plan.init_containers.iter().chain(&start.plan.containers);
                let names = plans.map(|c| format!("{}/{}", start.plan.name, c.name)).collect();
                let labels = labels(names, &run.style, of.number());
                let others = others(pods, &[&locks, private].concat(), &start.locks());
                pods.push(Pod::start(*start, labels, &others, Some(of), run));
            }
        }
    }
    Obeyed::Something
}

/// Tells the Jobs which of their pods have ended, and clears up after those.
fn take_leave(pods: &mut Vec<Pod>, crew: &mut Crew, run: &Run) {
    let is_left = |pod: &mut Pod| pod.of.is_some() && matches!(pod.state, State::Ended(_));
    for pod in pods.extract_if(.., is_left) {
        let (Some((of, end)), State::Ended(outcome)) = (pod.of, pod.state) else { continue };
        let cleared = match run.mode {
            Mode::Foreground => pod.claim.release(run.facts),
            Mode::Detached(..) => pod.claim.keep(run.facts),
        };
        let end = outcome.and_then(|code| cleared.map(|()| PodEnd { code, ..end }));
        crew.ended(of, &pod.name, end);
    }
}

/// How long poll(2) waits for that time; for ever where there is none.
pub(super) fn until_then(at: Option<Instant>) -> PollTimeout {
    let Some(at) = at else { return PollTimeout::NONE };
    // It counts milliseconds, and must not come back before the time.
    let left = at.saturating_duration_since(Instant::now()) + Duration::from_micros(999);
    PollTimeout::try_from(left.min(Duration::from_secs(3600))).unwrap_or(PollTimeout::ZERO)
}

//! The pod's way out, and each container's (Kubernetes, "Pod Lifecycle", "Termination of Pods").

use std::time::{Duration, Instant};

use super::{Supervisor, hooks};
use crate::error::Result;
use crate::plan::Role;
use crate::pod::container::{Container, State};
use crate::pod::errand::{Errand, Purpose};
use crate::pod::leaving::{LAST_CHANCE, Leaving, Stage};
use crate::pod::rules::Cause;
use crate::pod::status::EventKind;

/// The pod is on its way out.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) why: Why,
    /// When the pod's grace period is over.
    pub(super) until: Instant,
    /// Whether everything was killed.
    pub(super) killed: bool,
    /// When the user is told why the end takes so long.
    pub(super) reminder: Option<Instant>,
}

/// What ends the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// Its containers have ended; what is left are sidecars.
    Completed,
    /// Somebody asked for it.
    Asked,
    /// A container failed for good before the pod ran, or the pod's time is over.
    Failed,
}

/// A stop that takes longer than this is explained.
const PATIENCE: Duration = Duration::from_secs(2);

/// Longer than any machine runs; the clock cannot add much more.
const LONGEST_GRACE: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// What a pod ends with whose time is over, and none of whose containers failed: timeout(1) says the same.
const TIMED_OUT: u8 = 124;

impl Supervisor<'_> {
    /// Asks every container to end, once; later wishes can only shorten the time. `grace` replaces the pod's own period.
    pub(super) fn stop(&mut self, why: Why, grace: Option<Duration>) -> Result<()> {
        let now = Instant::now();
        let grace = grace.unwrap_or_else(|| self.scaled(self.plan.grace_period)).min(LONGEST_GRACE);
        if let Some(ending) = &mut self.ending {
            ending.until = ending.until.min(now + grace);
            for container in &mut self.containers {
                if let Some(leaving) = &mut container.leaving {
                    leaving.until = leaving.until.min(now + grace);
                    if let Stage::Asked(kill) = &mut leaving.stage {
                        *kill = (*kill).min(now + grace);
                    }
                }
            }
            return if grace.is_zero() { self.kill_all() } else { Ok(()) };
        }
        self.ending = Some(Ending { why, until: now + grace, killed: false, reminder: Some(now + PATIENCE) });
        self.changed = true;
        for container in &mut self.containers {
            if let State::BackingOff(_) = container.state {
                let code = container.ended.as_ref().map_or(0, |end| end.code);
                if code != 0 && container.plan.role != Role::Sidecar {
                    self.failure.get_or_insert(code);
                }
                container.state = State::Ended;
            }
            // It has no program yet that could have asked for a graceful end.
            if let State::Starting(..) = container.state {
                container.signal(libc::SIGKILL)?;
            }
        }
        for n in 0..self.containers.len() {
            if self.containers.get(n).is_some_and(|c| c.running().is_some()) {
                self.leave(n, grace, Cause::Own, "")?;
            }
        }
        Ok(())
    }

    /// Ends container `n` within `grace`; `why` is told to the user where the pod goes on.
    pub(super) fn leave(&mut self, n: usize, grace: Duration, cause: Cause, why: &str) -> Result<()> {
        let until = Instant::now() + grace.min(LONGEST_GRACE);
        let Some(container) = self.containers.get_mut(n) else { return Ok(()) };
        if let Some(leaving) = &mut container.leaving {
            leaving.until = leaving.until.min(until);
            if let Stage::Asked(kill) = &mut leaving.stage {
                *kill = (*kill).min(until);
            }
            return Ok(());
        }
        container.leaving = Some(Leaving { stage: Stage::Hook, cause, until });
        let name = container.plan.name.clone();
        let hook = container.plan.hooks.pre_stop.clone();
        // A container that leaves is neither alive nor well by its probes any more; whether it is ready is still asked.
        container.probes.retain(|(kind, _)| *kind == crate::pod::probing::ProbeKind::Readiness);
        let message = if why.is_empty() { format!("Stopping container {name}") } else { why.to_owned() };
        self.happened(EventKind::Normal, "Killing", Some(n), &message);
        if grace.is_zero() {
            return self.kill_container(n);
        }
        // Two hooks at once would meet each other; the kubelet's context of a start is cancelled, too, when its pod is to end.
        let starts = |purpose| matches!(purpose, Purpose::PostStart { container, .. } if container == n);
        self.errands.iter().filter(|e| starts(e.purpose)).try_for_each(Errand::kill)?;
        match hook {
            Some(action) => self.begin_hook(n, hooks::Which::PreStop, &action),
            None => self.ask(n),
        }
    }

    /// The preStop hook of container `n` is over, or there is none: the stop signal, when its turn has come.
    pub(super) fn ask(&mut self, n: usize) -> Result<()> {
        let must_wait = self.ending.is_some() && self.is_needed(n);
        let chance = self.scaled(LAST_CHANCE);
        let Some(container) = self.containers.get_mut(n) else { return Ok(()) };
        let Some(leaving) = &mut container.leaving else { return Ok(()) };
        let now = Instant::now();
        if must_wait && now < leaving.until {
            leaving.stage = Stage::Turn;
            return Ok(());
        }
        // What came before may have used the period up, and the period may be shorter: the kubelet always leaves this much
        // (kuberuntime_container.go, `minimumGracePeriodInSeconds`).
        leaving.stage = Stage::Asked(leaving.until.max(now + chance));
        container.signal(container.plan.stop_signal)
    }

    /// Whether container `n` is a sidecar that others still need: those of the pod, and the sidecars after it.
    fn is_needed(&self, n: usize) -> bool {
        let is_sidecar = |c: &Container| c.plan.role == Role::Sidecar;
        self.containers.get(n).is_some_and(is_sidecar)
            && self.containers.iter().enumerate().any(|(other, c)| c.has_process() && (!is_sidecar(c) || other > n))
    }

    /// A container has ended while the pod is ending: the turn of a sidecar may have come.
    pub(super) fn next_to_leave(&mut self) -> Result<()> {
        for n in (0..self.containers.len()).rev() {
            let waits = |c: &Container| c.leaving.is_some_and(|leaving| leaving.stage == Stage::Turn);
            if self.containers.get(n).is_some_and(waits) && !self.is_needed(n) {
                self.ask(n)?;
            }
        }
        Ok(())
    }

    /// Does what is due of the containers that leave.
    pub(super) fn due_departures(&mut self, now: Instant) -> Result<()> {
        for n in 0..self.containers.len() {
            let Some(leaving) = self.containers.get(n).and_then(|c| c.leaving) else { continue };
            match leaving.stage {
                Stage::Turn if now >= leaving.until => self.ask(n)?,
                Stage::Asked(kill) if now >= kill => self.kill_container(n)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn kill_container(&mut self, n: usize) -> Result<()> {
        let Some(container) = self.containers.get_mut(n) else { return Ok(()) };
        if let Some(leaving) = &mut container.leaving {
            leaving.stage = Stage::Killed;
        }
        container.signal(libc::SIGKILL)
    }

    pub(super) fn kill_all(&mut self) -> Result<()> {
        if let Some(ending) = &mut self.ending {
            ending.killed = true;
        }
        (0..self.containers.len()).try_for_each(|n| self.kill_container(n))
    }

    /// The pod has run for as long as it may.
    pub(super) fn exceed_deadline(&mut self) -> Result<()> {
        self.active_until = None;
        let message = "Pod was active on the node longer than the specified deadline".to_owned();
        self.happened(EventKind::Normal, "DeadlineExceeded", None, &message);
        self.say(&format!("the pod was active for longer than its activeDeadlineSeconds, {} s", {
            self.plan.active_deadline.unwrap_or_default().as_secs()
        }));
        self.verdict.get_or_insert(("DeadlineExceeded", message));
        self.failure.get_or_insert(TIMED_OUT);
        self.stop(Why::Failed, None)
    }

    /// Says whom the end waits for.
    pub(super) fn remind(&mut self, now: Instant) {
        let Some(ending) = &self.ending else { return };
        let left = ending.until.saturating_duration_since(now).as_secs() + 1;
        let running =
            (0..self.containers.len()).filter(|n| self.containers.get(*n).is_some_and(Container::has_process));
        let names: Vec<String> = running.map(|n| self.called(n)).collect();
        let names = names.join(", ");
        self.notice(&format!("waiting up to {left} s more for {names} to end; Ctrl-C again does not wait"));
    }
}

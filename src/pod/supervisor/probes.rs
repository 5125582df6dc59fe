//! When probes are made, and what their results mean for their containers.

use std::time::Instant;

use super::Supervisor;
use crate::error::Result;
use crate::plan::{RestartPolicy, Role};
use crate::pod::errand::Purpose;
use crate::pod::probe::Outcome;
use crate::pod::probing::{Found, ProbeKind, Probing};
use crate::pod::processes::is_ending;
use crate::pod::rules::Cause;
use crate::pod::status::EventKind;

impl Supervisor<'_> {
    /// Container `n` runs, and its postStart hook is over: its startup probe begins, or, without one, the others.
    pub(super) fn begin_probes(&mut self, n: usize) {
        let scale = self.about.time_scale;
        let Some(container) = self.containers.get_mut(n) else { return };
        let Some(since) = container.since() else { return };
        if let Some(plan) = container.probe(ProbeKind::Startup) {
            let now = Instant::now();
            container.probes = vec![(ProbeKind::Startup, Probing::new(plan, since, now, scale))];
        } else {
            self.has_started(n);
        }
    }

    /// The startup probe of container `n` has succeeded, or there is none.
    fn has_started(&mut self, n: usize) {
        let scale = self.about.time_scale;
        let now = Instant::now();
        let Some(container) = self.containers.get_mut(n) else { return };
        let Some(since) = container.since() else { return };
        container.started = true;
        container.was_started |= container.plan.role == Role::Sidecar;
        container.ready = container.probe(ProbeKind::Readiness).is_none();
        let kinds = [ProbeKind::Liveness, ProbeKind::Readiness].into_iter();
        container.probes =
            kinds.filter_map(|kind| Some((kind, Probing::new(container.probe(kind)?, since, now, scale)))).collect();
        self.changed = true;
    }

    /// Makes every attempt that is due.
    pub(super) fn due_probes(&mut self, now: Instant) -> Result<()> {
        for n in 0..self.containers.len() {
            let Some(container) = self.containers.get_mut(n) else { continue };
            if container.running().is_none() {
                continue;
            }
            let run = container.run;
            let due: Vec<ProbeKind> = container
                .probes
                .iter_mut()
                .filter(|(_, probing)| probing.due().is_some_and(|at| now >= at))
                .map(|(kind, probing)| {
                    probing.begin(now);
                    *kind
                })
                .collect();
            for kind in due {
                let Some(plan) = self.containers.get(n).and_then(|c| c.probe(kind)) else { continue };
                // A timeout is a bound and not a wait, so the scale of time does not shorten it: the machine is as fast as ever.
                let (action, deadline) = (plan.action.clone(), now + plan.timeout);
                let purpose = Purpose::Probe { container: n, run, kind };
                if let Err(e) = self.begin_action(purpose, &action, Some(deadline)) {
                    self.probed(n, run, kind, &Outcome::Failure(e.what().to_owned()))?;
                }
            }
        }
        Ok(())
    }

    /// An attempt has ended.
    pub(super) fn probed(&mut self, n: usize, run: u32, kind: ProbeKind, outcome: &Outcome) -> Result<()> {
        let now = Instant::now();
        let Some(container) = self.containers.get_mut(n).filter(|c| c.run == run && c.running().is_some()) else {
            return Ok(());
        };
        let is_ending = container.running().is_some_and(|child| is_ending(child.pid()));
        let Some((_, probing)) = container.probes.iter_mut().find(|(k, _)| *k == kind) else { return Ok(()) };
        if is_ending && matches!(outcome, Outcome::Failure(_)) {
            // The kernel has killed the attempt together with the container, whose own end is about to be heard: nothing was found.
            probing.give_up();
            return Ok(());
        }
        let found = if matches!(outcome, Outcome::Failure(_)) { Found::Failure } else { Found::Success };
        let decided = probing.end(found, now);
        let name = container.plan.name.clone();
        let grace = container.probe(kind).and_then(|plan| plan.grace_period).unwrap_or(self.plan.grace_period);
        match outcome {
            Outcome::Success(_) => {}
            Outcome::Warning(text) => {
                self.happened(
                    EventKind::Warning,
                    "ProbeWarning",
                    Some(n),
                    &format!("{} probe warning: {text}", kind.name()),
                );
            }
            Outcome::Failure(text) => {
                let message = format!("{} probe failed: {text}", kind.name());
                self.happened(EventKind::Warning, "Unhealthy", Some(n), &message);
            }
        }
        match (kind, decided) {
            (_, None) => Ok(()),
            (ProbeKind::Startup, Some(Found::Success)) => {
                self.has_started(n);
                self.trace(n, "startup probe");
                Ok(())
            }
            (ProbeKind::Liveness, Some(Found::Success)) => Ok(()),
            (ProbeKind::Readiness, Some(found)) => {
                if let Some(container) = self.containers.get_mut(n) {
                    container.ready = found == Found::Success;
                }
                if found == Found::Success {
                    self.trace(n, "readiness probe");
                }
                self.changed = true;
                Ok(())
            }
            (ProbeKind::Startup | ProbeKind::Liveness, Some(Found::Failure)) => {
                let what = kind.name().to_lowercase();
                let called = self.called(n);
                let text = if let Outcome::Failure(text) = outcome { text.as_str() } else { "" };
                self.notice(&format!("container {called:?}: its {what} probe failed: {text}"));
                let grace = self.scaled(grace);
                let why = match self.containers.get(n).map(|c| (c.plan.role, c.plan.restart.policy)) {
                    Some((Role::Sidecar, _)) => format!("Init container {name} failed {what} probe"),
                    Some((_, RestartPolicy::Never)) => format!("Container {name} failed {what} probe"),
                    _ => format!("Container {name} failed {what} probe, will be restarted"),
                };
                self.leave(n, grace, Cause::Unwell, &why)
            }
        }
    }
}

//! The counting of one probe of one run of a container: when it is next, and what its results amount to.
//!
//! Source: Kubernetes, "Liveness, Readiness, and Startup Probes", and the kubelet's prober.

use std::time::{Duration, Instant};

use crate::plan::ProbePlan;

/// Which probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProbeKind {
    Startup,
    Liveness,
    Readiness,
}

impl ProbeKind {
    /// As the kubelet's events call it.
    pub(super) fn name(self) -> &'static str {
        match self {
            ProbeKind::Startup => "Startup",
            ProbeKind::Liveness => "Liveness",
            ProbeKind::Readiness => "Readiness",
        }
    }
}

/// What one attempt found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Success,
    Failure,
}

/// One probe's state.
#[derive(Debug, Clone)]
pub(super) struct Probing {
    period: Duration,
    success_threshold: u32,
    failure_threshold: u32,
    next: Instant,
    /// Whether an attempt is being made.
    pub(super) busy: bool,
    last: Option<Found>,
    in_a_row: u32,
    decided: Option<Found>,
}

impl Probing {
    /// The probe `plan` of a container that was started at `since`, or whose startup probe has succeeded only at `from`.
    pub(super) fn new(plan: &ProbePlan, since: Instant, from: Instant, scale: f64) -> Probing {
        Probing {
            period: plan.period.mul_f64(scale),
            success_threshold: plan.success_threshold.max(1),
            failure_threshold: plan.failure_threshold.max(1),
            next: (since + plan.initial_delay.mul_f64(scale)).max(from),
            busy: false,
            last: None,
            in_a_row: 0,
            decided: None,
        }
    }

    /// When the next attempt is due; `None` while one is being made.
    pub(super) fn due(&self) -> Option<Instant> {
        (!self.busy).then_some(self.next)
    }

    /// An attempt begins at `now`.
    pub(super) fn begin(&mut self, now: Instant) {
        self.busy = true;
        // The kubelet probes on a ticker, which an attempt that takes long does not shift; it makes up for no tick that was missed.
        self.next += self.period;
        if self.next < now {
            self.next = now + self.period;
        }
    }

    /// An attempt found nothing.
    pub(super) fn give_up(&mut self) {
        self.busy = false;
    }

    /// An attempt found `found`. Whether that changes what the probe has decided.
    pub(super) fn end(&mut self, found: Found, now: Instant) -> Option<Found> {
        self.busy = false;
        self.next = self.next.max(now);
        self.in_a_row = if self.last == Some(found) { self.in_a_row.saturating_add(1) } else { 1 };
        self.last = Some(found);
        let threshold = match found {
            Found::Success => self.success_threshold,
            Found::Failure => self.failure_threshold,
        };
        if self.in_a_row < threshold || self.decided == Some(found) {
            return None;
        }
        self.decided = Some(found);
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Action;

    fn probing(success: u32, failure: u32) -> Probing {
        let plan = ProbePlan {
            action: Action::Exec(vec!["true".to_owned()]),
            initial_delay: Duration::from_secs(5),
            period: Duration::from_secs(10),
            timeout: Duration::from_secs(1),
            success_threshold: success,
            failure_threshold: failure,
            grace_period: None,
        };
        let now = Instant::now();
        Probing::new(&plan, now, now, 1.0)
    }

    fn run(probing: &mut Probing, found: &[Found]) -> Vec<Option<Found>> {
        let now = Instant::now();
        found
            .iter()
            .map(|f| {
                probing.begin(now);
                assert_eq!(probing.due(), None);
                probing.end(*f, now)
            })
            .collect()
    }

    #[test]
    fn thresholds_count_results_in_a_row() {
        use Found::{Failure, Success};
        let mut p = probing(2, 3);
        assert_eq!(
            run(&mut p, &[Success, Failure, Success, Success, Success, Failure, Failure, Success, Failure]),
            [None, None, None, Some(Success), None, None, None, None, None]
        );
        assert_eq!(run(&mut p, &[Failure, Failure, Failure]), [None, Some(Failure), None]);
    }

    #[test]
    fn the_first_attempt_waits_for_the_delay_and_the_next_for_the_period() {
        let mut p = probing(1, 1);
        let first = p.due().unwrap();
        p.begin(first);
        p.end(Found::Success, first + Duration::from_secs(3));
        assert_eq!(p.due().unwrap(), first + Duration::from_secs(10));
        p.begin(first + Duration::from_secs(10));
        // An attempt that took longer than the period is followed by the next at once, and not by two.
        p.end(Found::Success, first + Duration::from_secs(25));
        assert_eq!(p.due().unwrap(), first + Duration::from_secs(25));
    }
}

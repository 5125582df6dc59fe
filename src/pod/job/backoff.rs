//! How long a Job waits before it replaces a failed pod (Kubernetes, "Jobs", "Pod backoff failure policy"; backoff_utils.go): 10 s after
//! the first failure, twice as long after each further one, and ten minutes at most; a success forgets them all.

use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(600);

/// The failures of a Job's pods, or of one index's, since the last success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Backoff {
    failures: u32,
    last: Option<Instant>,
}

impl Backoff {
    /// A pod failed at `now`.
    pub(super) fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        self.last = Some(now);
    }

    /// A pod succeeded.
    pub(super) fn succeeded(&mut self) {
        *self = Backoff::default();
    }

    /// The wait before the next pod, on a clock that `scale` stretches.
    pub(super) fn wait(&self, scale: f64) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(16);
        if self.failures == 0 { Duration::ZERO } else { (FIRST * 2u32.pow(doublings)).min(LONGEST).mul_f64(scale) }
    }

    /// When the next pod may start; `None` for now.
    pub(super) fn until(&self, now: Instant, scale: f64) -> Option<Instant> {
        let until = self.last? + self.wait(scale);
        (until > now).then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_ten_minutes_and_a_success_forgets_them() {
        let start = Instant::now();
        let mut backoff = Backoff::default();
        assert_eq!(backoff.until(start, 1.0), None);
        for seconds in [10, 20, 40, 80, 160, 320, 600, 600] {
            backoff.failed(start);
            assert_eq!(backoff.wait(1.0), Duration::from_secs(seconds));
            assert_eq!(backoff.until(start, 1.0), Some(start + Duration::from_secs(seconds)));
        }
        assert_eq!(backoff.wait(0.01), Duration::from_secs(6));
        assert_eq!(backoff.until(start + Duration::from_secs(600), 1.0), None);
        backoff.succeeded();
        assert_eq!(backoff.until(start, 1.0), None);
    }
}

//! The kubelet's restart back-off: 10 s, doubling to 300 s, forgotten after ten minutes of running
//! (Kubernetes, "Pod Lifecycle", "How Pods handle problems with containers").

use std::time::Duration;

const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(300);
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);

/// How long one container's next restart waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backoff {
    last: Option<Duration>,
}

impl Backoff {
    /// The wait before the next start of a container that has just ended after running for `ran`.
    pub fn next(&mut self, ran: Duration) -> Duration {
        let wait = match self.last {
            Some(last) if ran < FORGOTTEN_AFTER => (last * 2).min(LONGEST),
            _ => FIRST,
        };
        self.last = Some(wait);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_five_minutes_and_start_again_after_a_long_run() {
        let mut backoff = Backoff::default();
        let short = Duration::from_secs(1);
        let waits: Vec<u64> = (0..7).map(|_| backoff.next(short).as_secs()).collect();
        assert_eq!(waits, [10, 20, 40, 80, 160, 300, 300]);
        assert_eq!(backoff.next(Duration::from_secs(600)), FIRST);
        assert_eq!(backoff.next(Duration::from_secs(599)).as_secs(), 20);
    }
}

//! The kubelet's restart back-off (Kubernetes, "Pod Lifecycle", "How Pods handle problems with containers"): the first restart is made
//! at once, the next ones after 10 s, 20 s and so on to 300 s, counted from the container's end; ten minutes without a start forget it.

use std::time::{Duration, Instant};

const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(300);

/// How long one container's next restart waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backoff {
    /// The wait of the next restart, and when it was decided.
    next: Option<(Duration, Instant)>,
}

impl Backoff {
    /// When a container that ended at `ended` starts again, and how long that is from then on; zero is at once. `scale` stretches the
    /// clock (`--time-scale`).
    pub fn restart(&mut self, ended: Instant, scale: f64) -> (Instant, Duration) {
        let forgotten = (2 * LONGEST).mul_f64(scale);
        let recent = self.next.filter(|(_, decided)| ended.saturating_duration_since(*decided) <= forgotten);
        let (wait, at) = match recent {
            // The kubelet has no entry at the first end, so it starts the container at once, and makes one.
            None => (Duration::ZERO, ended),
            Some((wait, _)) => {
                let wait = wait.mul_f64(scale);
                (wait, ended + wait)
            }
        };
        let next = recent.map_or(FIRST, |(last, _)| (last * 2).min(LONGEST));
        self.next = Some((next, at));
        (at, wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_restart_is_at_once_and_the_waits_double_to_five_minutes() {
        let mut backoff = Backoff::default();
        let mut now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..8 {
            let (at, wait) = backoff.restart(now, 1.0);
            waits.push(wait.as_secs());
            now = at + Duration::from_secs(1);
        }
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
    }

    #[test]
    fn ten_minutes_of_running_forget_it() {
        let mut backoff = Backoff::default();
        let start = Instant::now();
        backoff.restart(start, 1.0);
        assert_eq!(backoff.restart(start + Duration::from_secs(600), 1.0).1, FIRST);
        let later = start + Duration::from_secs(610);
        assert_eq!(backoff.restart(later + Duration::from_secs(601), 1.0).1, Duration::ZERO);
    }

    #[test]
    fn a_scale_shortens_the_waits_and_the_memory() {
        let mut backoff = Backoff::default();
        let start = Instant::now();
        backoff.restart(start, 0.01);
        assert_eq!(backoff.restart(start, 0.01).1, Duration::from_millis(100));
        assert_eq!(backoff.restart(start + Duration::from_secs(7), 0.01).1, Duration::ZERO);
    }
}

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
    /// The wait that was decided last, before it was stretched.
    wait: Duration,
    /// When the run before the last ended.
    last_end: Option<Instant>,
}

/// What ended a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndedBy {
    /// The container itself, or somebody's signal.
    Itself,
    /// A failed liveness or startup probe.
    Probe,
}

impl Backoff {
    /// When a container that ended at `ended` starts again, and how long that is from then on; zero is at once. `scale` stretches the
    /// clock (`--time-scale`).
    pub fn restart(&mut self, ended: Instant, by: EndedBy, scale: f64) -> (Instant, Duration) {
        let forgotten = (2 * LONGEST).mul_f64(scale);
        let before = self.last_end.replace(ended);
        if by == EndedBy::Probe {
            // The kubelet kills such a container and starts it in one go; all that it knows then is the end of the run before
            // (kuberuntime_manager.go, `doBackOff`). One that lived for longer than its wait therefore does not wait.
            let Some(before) = before else { return (ended, Duration::ZERO) };
            let recent = self.next.filter(|(_, decided)| before.saturating_duration_since(*decided) <= forgotten);
            let next = match recent {
                None => Some(FIRST),
                Some((wait, _)) if ended.saturating_duration_since(before) >= wait.mul_f64(scale) => {
                    Some((wait * 2).min(LONGEST))
                }
                Some(_) => None,
            };
            if let Some(next) = next {
                self.next = Some((next, ended));
                return (ended, Duration::ZERO);
            }
        }
        let recent = self.next.filter(|(_, decided)| ended.saturating_duration_since(*decided) <= forgotten);
        let (wait, at) = match recent {
            // The kubelet has no entry at the first end, so it starts the container at once, and makes one.
            None => (Duration::ZERO, ended),
            Some((wait, _)) => {
                self.wait = wait;
                let wait = wait.mul_f64(scale);
                (wait, ended + wait)
            }
        };
        let next = recent.map_or(FIRST, |(last, _)| (last * 2).min(LONGEST));
        self.next = Some((next, at));
        (at, wait)
    }

    /// The wait that was decided last, on a clock that is not stretched.
    pub fn wait(&self) -> Duration {
        self.wait
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
            let (at, wait) = backoff.restart(now, EndedBy::Itself, 1.0);
            waits.push(wait.as_secs());
            now = at + Duration::from_secs(1);
        }
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
    }

    #[test]
    fn ten_minutes_of_running_forget_it() {
        let mut backoff = Backoff::default();
        let start = Instant::now();
        backoff.restart(start, EndedBy::Itself, 1.0);
        assert_eq!(backoff.restart(start + Duration::from_secs(600), EndedBy::Itself, 1.0).1, FIRST);
        let later = start + Duration::from_secs(610);
        assert_eq!(backoff.restart(later + Duration::from_secs(601), EndedBy::Itself, 1.0).1, Duration::ZERO);
    }

    #[test]
    fn a_scale_shortens_the_waits_and_the_memory() {
        let mut backoff = Backoff::default();
        let start = Instant::now();
        backoff.restart(start, EndedBy::Itself, 0.01);
        assert_eq!(backoff.restart(start, EndedBy::Itself, 0.01).1, Duration::from_millis(100));
        assert_eq!(backoff.restart(start + Duration::from_secs(7), EndedBy::Itself, 0.01).1, Duration::ZERO);
    }

    #[test]
    fn a_failed_probe_restarts_at_once_what_has_lived_longer_than_its_wait() {
        let mut backoff = Backoff::default();
        let mut now = Instant::now();
        let mut waits = Vec::new();
        for lived in [30, 30, 30, 30, 30, 30, 100] {
            now += Duration::from_secs(lived);
            let (at, wait) = backoff.restart(now, EndedBy::Probe, 1.0);
            waits.push(wait.as_secs());
            now = at;
        }
        // The waits so far: none, 10, 20, 40 (30 s are too few), 80 (70 s since the end before are too few), 160 (180 s are enough).
        assert_eq!(waits, [0, 0, 0, 0, 40, 80, 0]);
    }
}

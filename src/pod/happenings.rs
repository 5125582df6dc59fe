//! The events of a pod, as `kubectl get events` would show them: repeated ones are counted, and the oldest go when there are many.

use super::status::{Event, EventKind};

/// How many are kept. A pod whose containers crash for weeks must not fill its supervisor's memory.
const MOST: usize = 200;

/// A longer message is cut; those of probes hold what a container has printed.
const LONGEST_MESSAGE: usize = 1024;

/// The events so far.
#[derive(Debug, Default)]
pub(super) struct Happenings {
    events: Vec<Event>,
    sequence: u64,
}

impl Happenings {
    /// Something happened at `now`, in seconds since 1970.
    pub(super) fn add(&mut self, now: i64, kind: EventKind, reason: &str, container: Option<&str>, message: &str) {
        self.sequence += 1;
        let message = cut(message);
        let same = |e: &Event| e.reason == reason && e.container.as_deref() == container && e.message == message;
        if let Some(at) = self.events.iter().position(same) {
            let mut event = self.events.remove(at);
            event.count = event.count.saturating_add(1);
            event.last_at = now;
            event.sequence = self.sequence;
            self.events.push(event);
            return;
        }
        if self.events.len() >= MOST {
            self.events.remove(0);
        }
        self.events.push(Event {
            sequence: self.sequence,
            first_at: now,
            last_at: now,
            count: 1,
            kind,
            reason: reason.to_owned(),
            container: container.map(str::to_owned),
            message: message.to_owned(),
        });
    }

    /// Those after the one with number `after`, oldest first.
    pub(super) fn after(&self, after: u64) -> Vec<Event> {
        self.events.iter().filter(|e| e.sequence > after).cloned().collect()
    }

    /// The number of the latest.
    pub(super) fn latest(&self) -> u64 {
        self.sequence
    }
}

fn cut(message: &str) -> &str {
    let mut end = message.len().min(LONGEST_MESSAGE);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    message.get(..end).unwrap_or_default().trim_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_repeats_is_counted_and_comes_last() {
        let mut happenings = Happenings::default();
        happenings.add(1, EventKind::Normal, "Started", Some("c"), "Started container c");
        happenings.add(2, EventKind::Normal, "Created", Some("c"), "Created container c");
        happenings.add(3, EventKind::Normal, "Started", Some("c"), "Started container c");
        let events = happenings.after(0);
        assert_eq!(events.iter().map(|e| e.reason.as_str()).collect::<Vec<_>>(), ["Created", "Started"]);
        assert_eq!((events[1].count, events[1].first_at, events[1].last_at), (2, 1, 3));
        assert_eq!(happenings.after(2).len(), 1);
        assert_eq!(happenings.latest(), 3);
    }

    #[test]
    fn memory_is_bounded() {
        let mut happenings = Happenings::default();
        for n in 0..1000 {
            happenings.add(n, EventKind::Warning, "Unhealthy", None, &format!("{n}{}", "ä".repeat(5000)));
        }
        let events = happenings.after(0);
        assert_eq!(events.len(), MOST);
        assert!(events.iter().all(|e| e.message.len() <= LONGEST_MESSAGE));
    }
}

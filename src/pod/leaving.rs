//! A container's way out, once podling ends it: its preStop hook, its turn, the stop signal, SIGKILL.

use std::time::{Duration, Instant};

use super::rules::Cause;

/// What is left of a grace period at least when the stop signal is sent, whatever a hook or the wait for others has used up: the kubelet's
/// minimum.
pub(super) const LAST_CHANCE: Duration = Duration::from_secs(2);

/// How far a container is on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Leaving {
    pub(super) stage: Stage,
    pub(super) cause: Cause,
    /// When its grace period is over.
    pub(super) until: Instant,
}

/// The steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its preStop hook runs.
    Hook,
    /// A sidecar waits until those that need it have ended.
    Turn,
    /// The stop signal was sent; SIGKILL follows at that time.
    Asked(Instant),
    /// SIGKILL was sent.
    Killed,
}

impl Leaving {
    /// When something is to be done, where nothing else happens before.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.stage {
            // The hook's process has its own deadline.
            Stage::Hook | Stage::Killed => None,
            Stage::Turn => Some(self.until),
            Stage::Asked(kill) => Some(kill),
        }
    }
}

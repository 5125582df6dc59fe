//! Signals to podling as a descriptor, for verbs that pass them on or have something to restore before they end.

use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::error::Result;
use crate::sys::Named;
use crate::sys::process::is_ignored;

/// What asks a process to end, and the word that a terminal has another size.
const WATCHED: [Signal; 5] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT, Signal::SIGWINCH];

/// The signals that ask podling to end, and SIGWINCH, which from now on do nothing by themselves.
#[derive(Debug)]
pub struct Signals(SignalFd);

impl Signals {
    /// Begins to watch. Signals that this process was started to ignore, as `nohup` and the background of a script do, stay so.
    ///
    /// # Errors
    /// The failed call.
    pub fn watch() -> Result<Signals> {
        let set: SigSet = WATCHED.into_iter().filter(|signal| !is_ignored(*signal as i32)).collect();
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None).named(|| "sigprocmask(SIG_BLOCK)")?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Signals(SignalFd::with_flags(&set, flags).named(|| "signalfd()")?))
    }

    /// The next one that has come.
    pub fn next(&self) -> Option<Signal> {
        let info = self.0.read_signal().ok().flatten()?;
        Signal::try_from(i32::try_from(info.ssi_signo).ok()?).ok()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The exit code of a process that `signal` has ended, as a shell says it.
pub fn exit_code(signal: Signal) -> u8 {
    u8::try_from(signal as i32).map_or(255, |n| 128_u8.saturating_add(n))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_a_shells() {
        assert_eq!((exit_code(Signal::SIGINT), exit_code(Signal::SIGTERM)), (130, 143));
    }
}

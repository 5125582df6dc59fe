//! Signals to podling as a descriptor, for verbs that pass them on or have something to restore before they end.

use std::os::fd::{AsFd, BorrowedFd};

use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::error::Result;
use crate::sys::Named;

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
        let ignored = ignored(&std::fs::read_to_string("/proc/self/status").unwrap_or_default());
        let set: SigSet = WATCHED.into_iter().filter(|s| ignored & (1 << (*s as i32 - 1)) == 0).collect();
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

/// The set of ignored signals in `/proc/PID/status` (proc_pid_status(5), `SigIgn`): bit n - 1 is signal n.
fn ignored(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_read_from_the_mask() {
        let set = ignored("Name:\tx\nSigIgn:\t0000000000001001\n");
        assert_eq!(set, 1 << (Signal::SIGHUP as i32 - 1) | 1 << (Signal::SIGPIPE as i32 - 1));
        assert_eq!(ignored(""), 0);
    }

    #[test]
    fn codes_are_a_shells() {
        assert_eq!((exit_code(Signal::SIGINT), exit_code(Signal::SIGTERM)), (130, 143));
    }
}

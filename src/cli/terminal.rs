//! The user's terminal while it is connected to one in a pod: raw, of the same size, and restored however that ends.

use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

use crate::error::{Context, Error, Result};
use crate::sys::Named;
use crate::sys::terminal::{set_window_size, window_size};

/// Standard input as a raw terminal; dropping it restores what was.
#[derive(Debug)]
pub struct Raw {
    before: Termios,
}

impl Raw {
    /// Makes the terminal raw: every key goes to the pod, Ctrl-C included.
    ///
    /// # Errors
    /// Standard input is no terminal.
    pub fn enter() -> Result<Raw> {
        let stdin = std::io::stdin();
        let before = tcgetattr(&stdin).map_err(|_| {
            Error::new("standard input is not a terminal").mend("leave -t out: a terminal needs one at this end, too")
        })?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(&stdin, SetArg::TCSADRAIN, &raw).named(|| "tcsetattr(standard input)")?;
        Ok(Raw { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), SetArg::TCSADRAIN, &self.before);
    }
}

/// SIGWINCH as a descriptor.
///
/// # Errors
/// The failed call.
pub fn window_changes() -> Result<SignalFd> {
    let set: SigSet = [Signal::SIGWINCH].into_iter().collect();
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None).named(|| "sigprocmask(SIG_BLOCK)")?;
    Ok(SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).named(|| "signalfd()")?)
}

/// Gives the terminal at `master` the size of the user's.
pub fn copy_size(master: &OwnedFd) {
    if let Some(size) = window_size(std::io::stdout()).or_else(|| window_size(std::io::stdin())) {
        let _ = set_window_size(master, size);
    }
}

/// Whether the user's keys reach the terminal in the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// They do.
    Sent,
    /// They do not.
    LeftOut,
}

/// How [`connect`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// `until` has something to say.
    Told,
    /// The user typed the keys that detach.
    Detached,
}

/// The keys that leave a terminal without ending what runs on it, as docker's and podman's: Ctrl-P, Ctrl-Q.
const DETACH: [u8; 2] = [0x10, 0x11];

/// Copies between the user's terminal and the one at `master`, or, where `output` is another descriptor, shows what comes there, until
/// `until` is readable or the user detaches. What the terminal still holds then is shown.
///
/// # Errors
/// The failed call.
pub fn connect(master: &OwnedFd, keys: Keys, detachable: bool, until: BorrowedFd) -> Result<End> {
    let changes = window_changes()?;
    copy_size(master);
    let mut stdin = std::io::stdin();
    let (mut typed, mut open, mut held) = (Vec::new(), keys == Keys::Sent, false);
    let mut bytes = vec![0; 32 * 1024];
    loop {
        let wants = if typed.is_empty() { PollFlags::POLLIN } else { PollFlags::POLLIN | PollFlags::POLLOUT };
        let mut fds = vec![
            PollFd::new(master.as_fd(), wants),
            PollFd::new(until, PollFlags::POLLIN),
            PollFd::new(changes.as_fd(), PollFlags::POLLIN),
        ];
        // While the other side takes nothing, nothing more is read from the user.
        if open && typed.len() < 4096 {
            fds.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            polled => polled.named(|| "poll()")?,
        };
        let ready: Vec<PollFlags> = fds.iter().map(|f| f.revents().unwrap_or(PollFlags::empty())).collect();
        let is = |n: usize, flags: PollFlags| ready.get(n).is_some_and(|r| r.intersects(flags));
        let any = PollFlags::POLLIN | PollFlags::POLLHUP | PollFlags::POLLERR;
        if is(2, any) {
            while let Ok(Some(_)) = changes.read_signal() {}
            copy_size(master);
        }
        if is(0, any) && !show(master, &mut bytes)? {
            // Its last user is gone; the word of the end follows.
            return wait(until).map(|()| End::Told);
        }
        if is(0, PollFlags::POLLOUT) && !typed.is_empty() {
            match nix::unistd::write(master, &typed) {
                Ok(n) => drop(typed.drain(..n)),
                Err(Errno::EAGAIN | Errno::EINTR) => {}
                Err(_) => typed.clear(),
            }
        }
        if is(3, any) {
            let n = stdin.read(&mut bytes).context(|| "reading standard input")?;
            open = n > 0;
            for byte in bytes.get(..n).unwrap_or_default() {
                match (detachable, held, *byte) {
                    (true, true, key) if key == DETACH[1] => return Ok(End::Detached),
                    (true, false, key) if key == DETACH[0] => held = true,
                    (_, was_held, key) => {
                        if was_held {
                            typed.push(DETACH[0]);
                        }
                        held = detachable && was_held && key == DETACH[0];
                        if !held {
                            typed.push(key);
                        }
                    }
                }
            }
        }
        if is(1, any) {
            while show(master, &mut bytes)? && more(master) {}
            return Ok(End::Told);
        }
    }
}

/// Shows what `from` has; `false` at its end.
fn show(from: &OwnedFd, bytes: &mut [u8]) -> Result<bool> {
    match nix::unistd::read(from, bytes) {
        Ok(0) => Ok(false),
        Ok(n) => {
            let mut out = std::io::stdout().lock();
            out.write_all(bytes.get(..n).unwrap_or_default()).and_then(|()| out.flush())?;
            Ok(true)
        }
        Err(Errno::EAGAIN | Errno::EINTR) => Ok(true),
        // A terminal that nobody has open any more.
        Err(_) => Ok(false),
    }
}

fn more(from: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(from.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|n| n > 0)
}

fn wait(until: BorrowedFd) -> Result<()> {
    let mut fds = [PollFd::new(until, PollFlags::POLLIN)];
    loop {
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => {}
            polled => return Ok(polled.map(drop).named(|| "poll()")?),
        }
    }
}

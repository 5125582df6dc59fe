//! Pseudo-terminals (pty(7)): a pair in the devpts of this process's root, and what is set on them.

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::{Mode, fstat, major, minor};
use serde::{Deserialize, Serialize};

use super::{Named, SysError};

/// Columns and rows of a terminal; zero stands for what is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSize {
    /// Columns, in characters.
    pub columns: u16,
    /// Rows, in characters.
    pub rows: u16,
}

/// Both ends of a new pseudo-terminal: the master, and the terminal itself.
///
/// # Errors
/// The failed call; `ENXIO` where `/dev/ptmx` is something else than the multiplexer, as a container can make it.
pub fn open_pair() -> Result<(OwnedFd, OwnedFd), SysError> {
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let master = open("/dev/ptmx", flags, Mode::empty()).named(|| "open(\"/dev/ptmx\")")?;
    let stat = fstat(&master).named(|| "fstat(\"/dev/ptmx\")")?;
    // Documentation/admin-guide/devices.txt: 5:2 is /dev/ptmx, and devpts gives its own the same number.
    if stat.st_mode & libc::S_IFMT != libc::S_IFCHR || (major(stat.st_rdev), minor(stat.st_rdev)) != (5, 2) {
        return Err(SysError::new("open(\"/dev/ptmx\"), which is not the terminal multiplexer here", Errno::ENXIO));
    }
    let unlocked: libc::c_int = 0;
    // SAFETY: TIOCSPTLCK reads one int, which lives through the call.
    let r = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlocked) };
    Errno::result(r).map_err(|errno| SysError::new("ioctl(TIOCSPTLCK)", errno))?;
    // Its path would be looked up in a tree that somebody else may write; this call needs none (ioctl_tty(2)).
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    // SAFETY: TIOCGPTPEER takes its flags by value.
    let r = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags) };
    let fd = Errno::result(r).map_err(|errno| SysError::new("ioctl(TIOCGPTPEER)", errno))?;
    // SAFETY: the kernel has just made this descriptor, and nothing else owns it.
    Ok((master, unsafe { OwnedFd::from_raw_fd(fd) }))
}

/// Makes `terminal` the controlling terminal of this process's session, which must have none (ioctl_tty(2), `TIOCSCTTY`).
///
/// # Errors
/// The failed call.
pub fn take_control(terminal: impl AsFd) -> Result<(), SysError> {
    // SAFETY: TIOCSCTTY takes its argument by value.
    let r = unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCSCTTY, 0) };
    Errno::result(r).map(drop).map_err(|errno| SysError::new("ioctl(TIOCSCTTY)", errno))
}

/// The size of `terminal`; `None` where it is no terminal.
pub fn window_size(terminal: impl AsFd) -> Option<WindowSize> {
    // SAFETY: an all-zero winsize is valid.
    let mut size: libc::winsize = unsafe { std::mem::zeroed() };
    // SAFETY: TIOCGWINSZ writes one winsize, which lives through the call.
    let r = unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    (r == 0).then_some(WindowSize { columns: size.ws_col, rows: size.ws_row })
}

/// Sets the size of `terminal`; the kernel tells its foreground processes by SIGWINCH.
///
/// # Errors
/// The failed call.
pub fn set_window_size(terminal: impl AsFd, size: WindowSize) -> Result<(), SysError> {
    let size = libc::winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCSWINSZ reads one winsize, which lives through the call.
    let r = unsafe { libc::ioctl(terminal.as_fd().as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
    Errno::result(r).map(drop).map_err(|errno| SysError::new("ioctl(TIOCSWINSZ)", errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_has_one_size() {
        let (master, terminal) = open_pair().unwrap();
        let size = WindowSize { columns: 132, rows: 43 };
        set_window_size(&master, size).unwrap();
        assert_eq!(window_size(&terminal), Some(size));
        assert_eq!(window_size(std::fs::File::open("/dev/null").unwrap()), None);
    }
}

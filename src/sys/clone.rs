//! clone3(2) as a fork that takes a closure, and the child it makes, held by a pidfd.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sched::CloneFlags;
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};

use super::SysError;

/// A child process that has not been waited for yet.
///
/// Dropping it unwaited kills and reaps it, so that no error path leaves a process behind.
#[derive(Debug)]
pub struct Child {
    pid: i32,
    pidfd: OwnedFd,
    reaped: bool,
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It called exit(2) with this status.
    Code(i32),
    /// This signal killed it.
    Signal(i32),
}

impl Exit {
    /// The status a shell would report: the exit code, or 128 + the signal's number.
    pub fn shell_code(self) -> u8 {
        match self {
            Exit::Code(code) => (code & 0xff) as u8,
            Exit::Signal(signal) => ((128 + signal) & 0xff) as u8,
        }
    }
}

/// Makes a child in the new namespaces of `flags` and runs `body` in it; the child exits with the status that `body` returns.
///
/// Signal handlers are reset in the child; the signal mask is inherited. A panic in `body` ends the child with status 101 and
/// never reaches the caller's code.
///
/// # Errors
/// The failed clone3 call; `ENOSPC` and `EPERM` mean that a namespace is forbidden or its limit reached (clone(2)).
pub fn spawn(flags: CloneFlags, body: impl FnOnce() -> i32) -> Result<Child, SysError> {
    let mut pidfd: i32 = -1;
    // SAFETY: an all-zero clone_args is valid (clone(2)): no stack, no TLS, no parent/child tid.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = flags.bits() as u32 as u64 | libc::CLONE_PIDFD as u64 | CLONE_CLEAR_SIGHAND;
    args.pidfd = &raw mut pidfd as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    // SAFETY: without CLONE_VM the child runs on a copy of this process's memory, as after fork(2). podling's processes have one
    // thread whenever they clone, so no lock can be held by a thread that the child lacks.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>()) };
    match pid {
        -1 => Err(SysError::new(format!("clone3({flags:?})"), Errno::last())),
        0 => {
            let status = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).unwrap_or(101);
            exit_now(status)
        }
        pid => {
            // SAFETY: the kernel has just stored a new descriptor there (CLONE_PIDFD), which nothing else owns.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Child { pid: pid as i32, pidfd, reaped: false })
        }
    }
}

/// Ends this process at once: no destructors, no `atexit` handlers, which belong to the parent's image.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: _exit(2) has no preconditions.
    unsafe { libc::_exit(status) }
}

/// Not in libc's `CloneFlags` type, which is 32 bits wide.
const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;

impl Child {
    /// The child's pid in the caller's pid namespace.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Sends `signal` (pidfd_send_signal(2)); a child that is already gone is not an error.
    ///
    /// # Errors
    /// The failed call.
    pub fn signal(&self, signal: i32) -> Result<(), SysError> {
        // SAFETY: the descriptor is an open pidfd, and a null siginfo asks for the one kill(2) would send.
        let r = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                self.pidfd.as_raw_fd(),
                signal,
                std::ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
        match Errno::result(r) {
            Ok(_) | Err(Errno::ESRCH) => Ok(()),
            Err(errno) => Err(SysError::new(format!("pidfd_send_signal({}, {signal})", self.pid), errno)),
        }
    }

    /// Waits until the child ends, and reaps it.
    ///
    /// # Errors
    /// The failed waitid(2) call.
    pub fn wait(mut self) -> Result<Exit, SysError> {
        loop {
            if let Some(exit) = self.reap(WaitPidFlag::WEXITED)? {
                return Ok(exit);
            }
        }
    }

    /// Lets the child go on when this process ends.
    pub fn let_go(mut self) {
        self.reaped = true;
    }

    /// Reaps the child if it has ended.
    ///
    /// # Errors
    /// The failed waitid(2) call.
    pub fn try_wait(&mut self) -> Result<Option<Exit>, SysError> {
        self.reap(WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG)
    }

    fn reap(&mut self, flags: WaitPidFlag) -> Result<Option<Exit>, SysError> {
        let exit = match waitid(Id::PIDFd(self.pidfd.as_fd()), flags) {
            Ok(WaitStatus::Exited(_, code)) => Exit::Code(code),
            Ok(WaitStatus::Signaled(_, signal, _)) => Exit::Signal(signal as i32),
            Ok(_) | Err(Errno::EINTR) => return Ok(None),
            // nix has no names for real-time signals; the child is reaped all the same.
            Err(Errno::EINVAL) => Exit::Signal(libc::SIGRTMIN()),
            Err(errno) => return Err(SysError::new(format!("waitid({})", self.pid), errno)),
        };
        self.reaped = true;
        Ok(Some(exit))
    }
}

impl AsFd for Child {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if !self.reaped {
            let _ = self.signal(Signal::SIGKILL as i32);
            let _ = self.reap(WaitPidFlag::WEXITED);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_child_exits_with_what_its_body_returns() {
        let child = spawn(CloneFlags::empty(), || 7).unwrap();
        assert_eq!(child.wait().unwrap(), Exit::Code(7));
    }

    #[test]
    fn a_signalled_child_says_which_signal() {
        let child = spawn(CloneFlags::empty(), || {
            loop {
                nix::unistd::pause();
            }
        })
        .unwrap();
        child.signal(libc::SIGKILL).unwrap();
        assert_eq!(child.wait().unwrap(), Exit::Signal(libc::SIGKILL));
        assert_eq!(Exit::Signal(9).shell_code(), 137);
    }
}

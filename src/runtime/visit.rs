//! Children that are born into another pid namespace below the caller's.

use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::sys::prctl;

use crate::error::{Error, Result};
use crate::sys::clone::{Child, spawn};
use crate::sys::{Named, SysError};

/// Whether those among whom a child is born may look into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// They are in other user namespaces, which is enough: it starts outside, and says for itself when it goes in.
    Open,
    /// Its memory and descriptors are podling's, and out of everybody's reach: a process that is not dumpable can be looked into only
    /// by the root of the host's user namespace, in which podling's program was executed (ptrace(2), "Ptrace access mode checking").
    Closed,
}

/// As [`spawn`], in the pid namespace of the process that `target`, a pidfd, refers to.
///
/// setns(2) moves only the children of its caller there, so the caller stays where it is and has one more call to make: a parent
/// process between the two, as runc needs, is not needed.
///
/// # Errors
/// The failed call; `ESRCH` where the target has ended.
pub(super) fn spawn_beside(
    target: impl AsFd,
    flags: CloneFlags,
    reach: Reach,
    body: impl FnOnce() -> i32,
) -> Result<Child> {
    let own = std::fs::File::open("/proc/self/ns/pid").named(|| "open(\"/proc/self/ns/pid\")")?;
    setns(target, CloneFlags::CLONE_NEWPID).named(|| "setns(pidfd, CLONE_NEWPID)").map_err(ended)?;
    // A child has it from its parent: set by itself it would come a moment too late.
    if reach == Reach::Closed {
        prctl::set_dumpable(false).named(|| "prctl(PR_SET_DUMPABLE, 0)")?;
    }
    let child = spawn(flags, body);
    if reach == Reach::Closed {
        prctl::set_dumpable(true).named(|| "prctl(PR_SET_DUMPABLE, 1)")?;
    }
    setns(&own, CloneFlags::CLONE_NEWPID).named(|| "setns(CLONE_NEWPID)")?;
    // A pid namespace whose first process has just ended takes no more (pid_namespaces(7)).
    child.map_err(|e| if e.errno == Errno::ENOMEM { SysError::new(e.call, Errno::ESRCH) } else { e }).map_err(ended)
}

/// Says of a target that is gone what it was.
pub(super) fn ended(e: SysError) -> Error {
    match e.errno {
        Errno::ESRCH => Error::new("the container has ended"),
        _ => e.into(),
    }
}

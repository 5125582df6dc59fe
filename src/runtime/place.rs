//! Where a container's process finds itself: the namespaces that it joins, and its standard streams.

use std::os::fd::BorrowedFd;

use super::pause::Pause;
use crate::sys::terminal::WindowSize;

/// The pod's namespaces, which every container joins.
#[derive(Debug, Clone, Copy)]
pub struct Joined<'a> {
    /// The network namespace; `None` where that is the host's, in which podling is itself.
    pub network: Option<BorrowedFd<'a>>,
    /// The ipc namespace, likewise.
    pub ipc: Option<BorrowedFd<'a>>,
    /// The user namespace that owns these, where the pod has containers that govern them.
    pub users: Option<BorrowedFd<'a>>,
    /// The uts namespace.
    pub uts: BorrowedFd<'a>,
    /// Whose pid namespace it is born into, where it has none of its own.
    pub processes: Option<SharedProcesses<'a>>,
}

/// Whose processes a container sees beside its own.
#[derive(Debug, Clone, Copy)]
pub enum SharedProcesses<'a> {
    /// All of a pod whose containers share one pid namespace.
    Pause(&'a Pause),
    /// Those of the container whose first process this pidfd refers to.
    Of(BorrowedFd<'a>),
}

impl SharedProcesses<'_> {
    /// What setns(2) finds their pid namespace by.
    pub(super) fn pid_namespace(&self) -> BorrowedFd<'_> {
        match self {
            SharedProcesses::Pause(pause) => pause.pid_namespace(),
            SharedProcesses::Of(process) => *process,
        }
    }

    /// What setns(2) finds their last user namespace by.
    pub(super) fn user_namespace(&self) -> BorrowedFd<'_> {
        match self {
            SharedProcesses::Pause(pause) => pause.user_namespace(),
            SharedProcesses::Of(process) => *process,
        }
    }
}

/// What a container's first process has as standard streams.
#[derive(Debug, Clone, Copy)]
pub enum Streams<'a> {
    /// These.
    Given(Stdio<'a>),
    /// A terminal of the container's own of this size, whose master comes back from the start.
    Terminal(WindowSize),
}

/// The container's standard streams.
#[derive(Debug, Clone, Copy)]
pub struct Stdio<'a> {
    /// Standard input.
    pub stdin: BorrowedFd<'a>,
    /// Standard output.
    pub stdout: BorrowedFd<'a>,
    /// Standard error.
    pub stderr: BorrowedFd<'a>,
}

//! Where a container's process finds itself: the namespaces that it joins, and its standard streams.

use std::os::fd::BorrowedFd;

use super::pause::Pause;

/// The pod's namespaces, which every container joins.
#[derive(Debug, Clone, Copy)]
pub struct Joined<'a> {
    /// The network namespace.
    pub network: BorrowedFd<'a>,
    /// The ipc namespace.
    pub ipc: BorrowedFd<'a>,
    /// The uts namespace.
    pub uts: BorrowedFd<'a>,
    /// Who holds the pid namespace, where a Spec joins one.
    pub processes: Option<&'a Pause>,
}

/// What a container's first process has as standard streams.
#[derive(Debug, Clone, Copy)]
pub enum Streams<'a> {
    /// These.
    Given(Stdio<'a>),
    /// A terminal of the container's own, whose master comes back from the start.
    Terminal,
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

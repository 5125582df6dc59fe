//! Where a container's process finds itself: the namespaces that it joins, and its standard streams.

use std::os::fd::BorrowedFd;

/// The pod's namespaces, which every container joins.
#[derive(Debug, Clone, Copy)]
pub struct Joined<'a> {
    /// The network namespace.
    pub network: BorrowedFd<'a>,
    /// The ipc namespace.
    pub ipc: BorrowedFd<'a>,
    /// The uts namespace.
    pub uts: BorrowedFd<'a>,
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

//! The epoll loop's plumbing: which descriptor of the supervisor became ready.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::sys::{Named, SysError};

/// What a watched descriptor stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The link to the client.
    Client,
    /// The signalfd.
    Signals,
    /// The supervisor's own standard output can take more.
    Stdout,
    /// The supervisor's own standard error can take more.
    Stderr,
    /// Container number n: its start channel.
    Start(usize),
    /// Container number n: its process ended.
    Process(usize),
    /// Container number n: its standard output.
    ContainerStdout(usize),
    /// Container number n: its standard error.
    ContainerStderr(usize),
    /// The control socket: somebody connects.
    Control,
    /// Connection number n: a request, its end, or room for more.
    Connection(usize),
    /// Errand number n: its process ended.
    Errand(usize),
    /// Errand number n: its start channel.
    ErrandStart(usize),
    /// Errand number n: its output.
    ErrandOutput(usize),
    /// The output of the client that is attached by connection number n can take more.
    Attached(usize),
    /// The first process of the shared pid namespace ended.
    Pause,
    /// Something happened where the input's files are.
    Files,
}

impl Source {
    fn pack(self) -> u64 {
        let (kind, n) = match self {
            Source::Client => (0, 0),
            Source::Signals => (1, 0),
            Source::Stdout => (2, 0),
            Source::Stderr => (3, 0),
            Source::Start(n) => (4, n),
            Source::Process(n) => (5, n),
            Source::ContainerStdout(n) => (6, n),
            Source::ContainerStderr(n) => (7, n),
            Source::Control => (8, 0),
            Source::Connection(n) => (9, n),
            Source::Errand(n) => (10, n),
            Source::ErrandStart(n) => (11, n),
            Source::ErrandOutput(n) => (12, n),
            Source::Attached(n) => (13, n),
            Source::Pause => (14, 0),
            Source::Files => (15, 0),
        };
        (n as u64) << 8 | kind
    }

    fn unpack(packed: u64) -> Source {
        let n = (packed >> 8) as usize;
        match packed & 0xff {
            0 => Source::Client,
            1 => Source::Signals,
            2 => Source::Stdout,
            3 => Source::Stderr,
            4 => Source::Start(n),
            5 => Source::Process(n),
            6 => Source::ContainerStdout(n),
            7 => Source::ContainerStderr(n),
            8 => Source::Control,
            9 => Source::Connection(n),
            10 => Source::Errand(n),
            11 => Source::ErrandStart(n),
            12 => Source::ErrandOutput(n),
            13 => Source::Attached(n),
            14 => Source::Pause,
            _ => Source::Files,
        }
    }
}

/// The descriptors that the supervisor waits for.
///
/// A closed descriptor does not leave by itself while a container that is being started still has its copy: it must be forgotten.
#[derive(Debug)]
pub(super) struct Events(Epoll);

impl Events {
    pub(super) fn new() -> Result<Events, SysError> {
        Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).map(Events).named(|| "epoll_create1()")
    }

    /// Reports `source` whenever `fd` has something to read.
    pub(super) fn watch(&self, fd: impl AsFd, source: Source) -> Result<(), SysError> {
        self.add(fd, source, EpollFlags::EPOLLIN).named(|| format!("epoll_ctl(ADD, {source:?})"))
    }

    /// Reports `source` whenever `fd` takes something; `false` where the kernel says that it always does (a regular file).
    pub(super) fn watch_writable(&self, fd: impl AsFd, source: Source) -> Result<bool, SysError> {
        match self.add(fd, source, EpollFlags::EPOLLOUT) {
            Err(Errno::EPERM) => Ok(false),
            added => added.named(|| format!("epoll_ctl(ADD, {source:?})")).map(|()| true),
        }
    }

    /// Whether `source`, which is watched already, is reported when `fd` takes something, too.
    pub(super) fn watch_both(&self, fd: impl AsFd, source: Source, writable: bool) -> Result<(), SysError> {
        let flags = if writable { EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT } else { EpollFlags::EPOLLIN };
        self.0.modify(fd, &mut EpollEvent::new(flags, source.pack())).named(|| format!("epoll_ctl(MOD, {source:?})"))
    }

    pub(super) fn forget(&self, fd: impl AsFd) {
        let _ = self.0.delete(fd);
    }

    fn add(&self, fd: impl AsFd, source: Source, flags: EpollFlags) -> nix::Result<()> {
        self.0.add(fd, EpollEvent::new(flags, source.pack()))
    }

    /// Waits until something is ready or `deadline` has come.
    pub(super) fn wait(&self, deadline: Option<Instant>) -> Result<Vec<Source>, SysError> {
        let timeout = match deadline {
            None => EpollTimeout::NONE,
            Some(at) => {
                // Rounded up, so that the loop does not spin through the last millisecond.
                let left = at.saturating_duration_since(Instant::now()) + Duration::from_micros(999);
                EpollTimeout::try_from(left.min(Duration::from_secs(3600))).unwrap_or(EpollTimeout::ZERO)
            }
        };
        let mut ready = [EpollEvent::empty(); 32];
        let n = match self.0.wait(&mut ready, timeout) {
            Err(Errno::EINTR) => 0,
            waited => waited.named(|| "epoll_wait()")?,
        };
        Ok(ready.iter().take(n).map(|e| Source::unpack(e.data())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_survive_the_kernel() {
        for source in [
            Source::Client,
            Source::Signals,
            Source::Stdout,
            Source::Stderr,
            Source::Start(0),
            Source::Process(3),
            Source::ContainerStdout(200),
            Source::ContainerStderr(7),
            Source::Control,
            Source::Connection(1),
            Source::Errand(2),
            Source::ErrandStart(3),
            Source::ErrandOutput(4),
            Source::Attached(5),
            Source::Pause,
            Source::Files,
        ] {
            assert_eq!(Source::unpack(source.pack()), source);
        }
    }
}

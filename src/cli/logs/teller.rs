//! What tells a reader of a container's log that it was started again, or has ended.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::error::{Context, Result};
use crate::pod::log::{Progress, Source, Watch};
use crate::pod::status::{ContainerState, Summary};
use crate::pod::{Connection, Reply, Request, connect};
use crate::sys::Named;

/// The logs that are shown of a pod, each with what tells of its container.
///
/// # Errors
/// The pod cannot be asked.
pub(super) fn tellers(dir: &Path, sources: Vec<Source>) -> Result<Vec<(Source, Teller)>> {
    let one = |source: Source| Teller::new(dir, &source).map(|teller| (source, teller));
    sources.into_iter().map(one).collect()
}

/// The pod's supervisor, asked about one container.
#[derive(Debug)]
pub(super) struct Teller {
    connection: Option<Connection>,
    /// What stands in for a connection that has ended: always readable.
    ended: File,
    container: String,
    last: Progress,
}

impl Teller {
    fn new(dir: &Path, source: &Source) -> Result<Teller> {
        let connection = connect(dir)?;
        if let Some(connection) = &connection {
            // One that has just ended shows so when it is read.
            let _ = connection.ask(&Request::Watch, &[]);
        }
        let ended = File::open("/dev/null").context(|| "open(\"/dev/null\")")?;
        Ok(Teller {
            connection,
            ended,
            container: source.container.clone(),
            last: Progress::Running { run: source.run },
        })
    }

    fn take(&mut self, summary: &Summary) {
        let Some(container) = summary.containers.iter().find(|c| c.name == self.container) else { return };
        let run = container.restarts;
        let over = matches!(container.state, ContainerState::Terminated { .. }) || summary.ended_at.is_some();
        self.last = if over { Progress::Ended { run } } else { Progress::Running { run } };
    }
}

impl Watch for Teller {
    fn fd(&self) -> BorrowedFd<'_> {
        self.connection.as_ref().map_or(self.ended.as_fd(), |connection| connection.as_fd())
    }

    fn state(&mut self) -> Result<Progress> {
        while let Some(connection) = &self.connection {
            let mut fds = [PollFd::new(connection.as_fd(), PollFlags::POLLIN)];
            if poll(&mut fds, PollTimeout::ZERO).named(|| "poll()")? == 0 {
                return Ok(self.last);
            }
            match connection.answer() {
                Ok(Some((Reply::Summary(summary), _))) => self.take(&summary),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => self.connection = None,
            }
        }
        let (Progress::Running { run } | Progress::Ended { run }) = self.last;
        Ok(Progress::Ended { run })
    }
}

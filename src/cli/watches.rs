//! Several pods watched at once: what each says, in the order in which it comes.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::error::Result;
use crate::pod::status::{Event, Summary};
use crate::pod::{Connection, Reply, Request};
use crate::sys::Named;

/// What a watched pod says.
#[derive(Debug)]
pub enum News {
    /// How it is.
    Summary(Box<Summary>),
    /// Events; one that is repeated comes again with its new count.
    Events(Vec<Event>),
    /// It has ended, and says nothing more.
    End,
}

/// Connections to pods, each with the caller's number for it.
#[derive(Debug, Default)]
pub struct Watches(Vec<(usize, Connection)>);

impl Watches {
    /// Watches the pod with number `n`, too.
    pub fn add(&mut self, n: usize, connection: Connection) {
        // That of a pod which has just ended shows its end when it is read.
        let _ = connection.ask(&Request::Watch, &[]);
        self.0.push((n, connection));
    }

    /// Watches the pod with number `n` no longer.
    pub fn forget(&mut self, n: usize) {
        self.0.retain(|(watched, _)| *watched != n);
    }

    /// Whether nobody is watched.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next that any of them says; `None` when `deadline` has come. The deadline also bounds the wait where nobody is watched.
    ///
    /// # Errors
    /// The failed call, or a supervisor that answers what nobody can read.
    pub fn next(&mut self, deadline: Option<Instant>) -> Result<Option<(usize, News)>> {
        loop {
            let mut fds: Vec<PollFd> = self.0.iter().map(|(_, c)| PollFd::new(c.as_fd(), PollFlags::POLLIN)).collect();
            match poll(&mut fds, timeout(deadline)) {
                Err(Errno::EINTR) => continue,
                polled => polled.named(|| "poll()")?,
            };
            let Some(at) = fds.iter().position(|fd| fd.any() == Some(true)) else {
                if deadline.is_some_and(|at| Instant::now() >= at) {
                    return Ok(None);
                }
                continue;
            };
            let Some((n, connection)) = self.0.get(at) else { continue };
            let n = *n;
            match connection.answer()? {
                Some((Reply::Summary(summary), _)) => return Ok(Some((n, News::Summary(summary)))),
                Some((Reply::Events(events), _)) => return Ok(Some((n, News::Events(events)))),
                Some(_) => {}
                None => {
                    self.0.remove(at);
                    return Ok(Some((n, News::End)));
                }
            }
        }
    }
}

fn timeout(deadline: Option<Instant>) -> PollTimeout {
    let Some(at) = deadline else { return PollTimeout::NONE };
    // Rounded up, so that no one spins through the last millisecond.
    let left = at.saturating_duration_since(Instant::now()) + Duration::from_micros(999);
    PollTimeout::try_from(left.min(Duration::from_secs(3600))).unwrap_or(PollTimeout::ZERO)
}

//! The supervisor's side of a container's start.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sched::CloneFlags;

use super::channel::{Fact, hear, tell};
use super::child::live;
use super::place::{Joined, Streams};
use super::prepare::Prepared;
use super::visit::{Reach, spawn_beside};
use crate::error::{Error, Result};
use crate::sys::clone::{Child, spawn};
use crate::sys::packet;

/// A container between its clone and its program. Its descriptor becomes readable when [`Starting::proceed`] has something to do.
#[derive(Debug)]
pub struct Starting {
    channel: OwnedFd,
}

/// How far a start has come.
#[derive(Debug)]
pub enum Progress {
    /// Not there yet.
    Waiting,
    /// Not there yet; this is the master of the container's terminal.
    Terminal(OwnedFd),
    /// The program runs (or its process was killed, which its pidfd tells).
    Started,
    /// The start failed, and the process is ending.
    Failed(Error),
}

/// Clones a container's process; it becomes the Spec's program while the caller goes on.
///
/// # Errors
/// The clone's; whatever goes wrong later comes out of [`Starting::proceed`].
pub fn start(prepared: &Prepared, joined: Joined, streams: Streams) -> Result<(Child, Starting)> {
    let (ours, theirs) = packet::pair()?;
    let mut ours = Some(ours);
    let life = || {
        // The child must not hold the other end, or it would not see the supervisor's death.
        ours.take();
        live(prepared, joined, streams, &theirs)
    };
    let child = match joined.processes {
        Some(shared) => {
            spawn_beside(shared.pid_namespace(), prepared.namespaces - CloneFlags::CLONE_NEWPID, Reach::Open, life)?
        }
        None => spawn(prepared.namespaces, life)?,
    };
    let channel = ours.ok_or_else(|| Error::new("the start channel is gone"))?;
    Ok((child, Starting { channel }))
}

impl Starting {
    pub(super) fn new(channel: OwnedFd) -> Starting {
        Starting { channel }
    }

    /// Does the next step of the start of `child`, whose Spec is `prepared`.
    ///
    /// # Errors
    /// The channel broke, or the maps of the last user namespace could not be written.
    pub fn proceed(&self, child: &Child, prepared: &Prepared) -> Result<Progress> {
        match hear(&self.channel)? {
            None | Some(Fact::MapsWritten) => Ok(Progress::Started),
            Some(Fact::StartFailed(error)) => Ok(Progress::Failed(error)),
            Some(Fact::TerminalOpened(master)) => Ok(Progress::Terminal(master)),
            Some(Fact::WallEntered) => {
                if let Some(wall) = &prepared.identity.wall {
                    wall.write_maps(child.pid())?;
                }
                tell(&self.channel, &Fact::MapsWritten)?;
                Ok(Progress::Waiting)
            }
        }
    }
}

impl AsFd for Starting {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

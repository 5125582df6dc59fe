//! The first process of a pid namespace that containers share: it reaps what they leave to it, and holds their last user namespace.

use std::convert::Infallible;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sched::CloneFlags;
use nix::sys::prctl;

use super::channel::{Fact, hear, tell};
use super::prepare::Prepared;
use super::wall::{Wall, Writer};
use crate::error::{Error, Result};
use crate::sys::clone::{Child, spawn};
use crate::sys::process::{close_all_but, default_signals, reap_by_itself};
use crate::sys::{Named, SysError, packet};

/// A running one. Its end is the end of every process in the namespace (pid_namespaces(7)).
#[derive(Debug)]
pub struct Pause {
    child: Child,
    wall: Option<Wall>,
    pid_namespace: File,
    user_namespace: File,
}

impl Pause {
    /// Makes the pid namespace, and in it the user namespace that the first of `containers` would have for itself: processes can
    /// look into each other, as in a cluster's pod, only inside one user namespace.
    ///
    /// # Errors
    /// What could not be made.
    pub fn new<'a>(containers: impl IntoIterator<Item = &'a Prepared>) -> Result<Pause> {
        // One that joins the pod's own has none for the others.
        let wall = containers.into_iter().find_map(|container| container.identity.wall.clone());
        let (ours, theirs) = packet::pair()?;
        let mut ours = Some(ours);
        let child = spawn(CloneFlags::CLONE_NEWPID, || {
            ours.take();
            let Err(error) = live(wall.as_ref(), &theirs);
            let _ = tell(&theirs, &Fact::StartFailed(error));
            1
        })?;
        // Only the other side may hold it: the channel's end is what tells that all is done.
        drop(theirs);
        let channel = ours.ok_or_else(|| Error::new("the start channel is gone"))?;
        let mut namespaces = None;
        loop {
            match hear(&channel)? {
                Some(Fact::WallEntered) => {
                    // Later it does not let itself be looked into any more (ptrace(2), "Ptrace access mode checking"), by its pidfd neither.
                    namespaces = Some((namespace(&child, "pid")?, namespace(&child, "user")?));
                    if let Some(wall) = wall.as_ref().filter(|wall| wall.writer == Writer::Supervisor) {
                        wall.write_maps(child.pid())?;
                    }
                    tell(&channel, &Fact::MapsWritten)?;
                }
                Some(Fact::StartFailed(error)) => return Err(error),
                // Its end of the channel is closed when everything is done.
                _ => {
                    let ended = || Error::new("the first process of the pod's pid namespace has ended");
                    let (pid_namespace, user_namespace) = namespaces.ok_or_else(ended)?;
                    return Ok(Pause { child, wall, pid_namespace, user_namespace });
                }
            }
        }
    }

    /// Whether a container with this last user namespace can share the one that is here.
    pub(super) fn has(&self, wall: &Wall) -> bool {
        self.wall.as_ref() == Some(wall)
    }

    pub(super) fn pid_namespace(&self) -> BorrowedFd<'_> {
        self.pid_namespace.as_fd()
    }

    pub(super) fn user_namespace(&self) -> BorrowedFd<'_> {
        self.user_namespace.as_fd()
    }

    /// The process.
    pub fn child(&self) -> &Child {
        &self.child
    }
}

impl AsFd for Pause {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.child.as_fd()
    }
}

fn namespace(child: &Child, kind: &str) -> std::result::Result<File, SysError> {
    let path = format!("/proc/{}/ns/{kind}", child.pid());
    File::open(&path).named(|| format!("open({path:?})"))
}

fn live(wall: Option<&Wall>, channel: &OwnedFd) -> Result<Infallible> {
    let proc = File::open("/proc").named(|| "open(\"/proc\")")?;
    close_all_but(&[channel.as_fd(), proc.as_fd()])?;
    nix::unistd::setsid().named(|| "setsid()")?;
    if let Some(wall) = wall {
        wall.enter(proc.as_fd())?;
    }
    tell(channel, &Fact::WallEntered)?;
    if !matches!(hear(channel)?, Some(Fact::MapsWritten)) {
        return Err(Error::new("the supervisor went away during the pod's start"));
    }
    become_harmless()?;
    // The closed channel says that all is done.
    close_all_but(&[])?;
    loop {
        nix::unistd::pause();
    }
}

/// What the containers see of this process must not lead to what it has inherited.
fn become_harmless() -> std::result::Result<(), SysError> {
    prctl::set_dumpable(false).named(|| "prctl(PR_SET_DUMPABLE, 0)")?;
    let _ = prctl::set_name(c"pause");
    let failed = |e: caps::errors::CapsError| SysError::new(format!("capset(): {e}"), nix::errno::Errno::last());
    for set in [caps::CapSet::Effective, caps::CapSet::Permitted, caps::CapSet::Inheritable] {
        caps::clear(None, set).map_err(failed)?;
    }
    default_signals();
    reap_by_itself();
    for fd in 0..=2 {
        let _ = nix::unistd::close(fd);
    }
    Ok(())
}

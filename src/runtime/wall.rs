//! The last wall: the user namespace around one container, and who writes its maps.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{OFlag, openat};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;
use nix::unistd::write;
use oci_spec::runtime::LinuxIdMapping;

use super::channel::{Fact, hear, tell};
use crate::error::{Error, Result};
use crate::host::IdExtent;
use crate::host::userns::{map_text, write_file};
use crate::sys::clone::spawn;
use crate::sys::process::close_all_but;
use crate::sys::{Named, SysError, packet};

/// The user namespace around one container: mounts, hostname and network belong to the one outside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wall {
    /// Text of its uid_map.
    pub(super) uid_map: String,
    /// Text of its gid_map.
    pub(super) gid_map: String,
    /// Who is allowed to write these maps.
    pub(super) writer: Writer,
}

/// user_namespaces(7): one id, the writer's own, needs no privilege over the parent namespace; more ids need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writer {
    /// The process that enters.
    Itself,
    /// The supervisor.
    Supervisor,
}

impl Wall {
    pub(super) fn new(uids: &Option<Vec<LinuxIdMapping>>, gids: &Option<Vec<LinuxIdMapping>>) -> Result<Wall> {
        let extents = |list: &Option<Vec<LinuxIdMapping>>| -> Vec<IdExtent> {
            list.iter()
                .flatten()
                .map(|m| IdExtent { inside: m.container_id(), outside: m.host_id(), count: m.size() })
                .collect()
        };
        let (uids, gids) = (extents(uids), extents(gids));
        if uids.is_empty() || gids.is_empty() {
            return Err(Error::new("a user namespace needs uidMappings and gidMappings"));
        }
        let single = |extents: &[IdExtent]| matches!(extents, [IdExtent { outside: 0, count: 1, .. }]);
        let writer = if single(&uids) && single(&gids) { Writer::Itself } else { Writer::Supervisor };
        Ok(Wall { uid_map: map_text(&uids), gid_map: map_text(&gids), writer })
    }

    /// Leaves the pod's user namespace for this one; the maps follow.
    ///
    /// `proc` is a procfs that shows this process.
    pub(super) fn enter(&self, proc: BorrowedFd) -> std::result::Result<(), SysError> {
        unshare(CloneFlags::CLONE_NEWUSER).named(|| "unshare(CLONE_NEWUSER)")?;
        if self.writer == Writer::Itself {
            // setgroups(2) was denied for good in the pod's one-id namespace, and this one inherits that.
            write_map(proc, "self/uid_map", &self.uid_map)?;
            write_map(proc, "self/gid_map", &self.gid_map)?;
        }
        Ok(())
    }

    /// Makes it by a process that nothing of the pod sees and that is gone then.
    ///
    /// A process that could be looked into by others must not be dumpable, and then nobody can write its maps (proc_pid(5)); so it
    /// joins one that is there already.
    ///
    /// # Errors
    /// What could not be made.
    pub(super) fn make(&self) -> Result<File> {
        let (ours, theirs) = packet::pair()?;
        let mut ours = Some(ours);
        let child = spawn(CloneFlags::empty(), || {
            ours.take();
            i32::from(self.hold(&theirs).is_err_and(|e| tell(&theirs, &Fact::StartFailed(e)).is_ok()))
        })?;
        drop(theirs);
        let channel = ours.ok_or_else(|| Error::new("the start channel is gone"))?;
        match hear(&channel)? {
            Some(Fact::WallEntered) => {
                if self.writer == Writer::Supervisor {
                    self.write_maps(child.pid())?;
                }
                let path = format!("/proc/{}/ns/user", child.pid());
                Ok(File::open(&path).named(|| format!("open({path:?})"))?)
            }
            Some(Fact::StartFailed(error)) => Err(error),
            _ => Err(Error::new("the process that makes a container's user namespace has ended")),
        }
    }

    /// Enters, says so, and waits until it is told to go or killed.
    fn hold(&self, channel: &OwnedFd) -> Result<()> {
        let proc = File::open("/proc").named(|| "open(\"/proc\")")?;
        close_all_but(&[channel.as_fd(), proc.as_fd()])?;
        self.enter(proc.as_fd())?;
        tell(channel, &Fact::WallEntered)?;
        Ok(hear(channel).map(drop)?)
    }

    /// Writes the maps of process `pid`, which has entered; the caller's procfs must show it.
    pub(super) fn write_maps(&self, pid: i32) -> std::result::Result<(), SysError> {
        write_file(&format!("/proc/{pid}/uid_map"), self.uid_map.as_bytes())?;
        write_file(&format!("/proc/{pid}/gid_map"), self.gid_map.as_bytes())
    }
}

fn write_map(proc: BorrowedFd, name: &str, map: &str) -> std::result::Result<(), SysError> {
    let file = openat(proc, name, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())
        .named(|| format!("open(\"/proc/{name}\", O_WRONLY)"))?;
    write(file, map.as_bytes()).map(drop).named(|| format!("write(\"/proc/{name}\", {:?})", map.trim_end()))
}

//! The last wall: the user namespace around one container, and who writes its maps.

use std::os::fd::BorrowedFd;

use nix::fcntl::{OFlag, openat};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::Mode;
use nix::unistd::write;
use oci_spec::runtime::LinuxIdMapping;

use crate::error::{Error, Result};
use crate::host::IdExtent;
use crate::host::userns::{map_text, write_file};
use crate::sys::{Named, SysError};

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

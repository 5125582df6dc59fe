//! Who a container's process is behind the last wall, or without it: its ids, limits and capabilities.

use std::collections::HashSet;

use caps::{CapSet, Capability};
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use oci_spec::runtime::{Capabilities, LinuxNamespaceType, PosixRlimitType, Process, Spec};

use super::wall::Wall;
use crate::error::{Error, Result};
use crate::sys::{Named, SysError};

/// Who a container's process is.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    /// The last user namespace, where the Spec has one.
    pub(super) wall: Option<Wall>,
    uid: u32,
    gid: u32,
    groups: Option<Vec<Gid>>,
    umask: Mode,
    bounding: HashSet<Capability>,
    permitted: HashSet<Capability>,
    pub(super) no_new_privileges: bool,
    rlimits: Vec<(Resource, u64, u64)>,
}

impl Identity {
    pub(super) fn new(spec: &Spec, process: &Process) -> Result<Identity> {
        let user = process.user();
        let linux = spec.linux().as_ref();
        let has_wall = linux
            .and_then(|l| l.namespaces().as_ref())
            .is_some_and(|all| all.iter().any(|n| n.typ() == LinuxNamespaceType::User && n.path().is_none()));
        let wall = match linux {
            Some(linux) if has_wall => Some(Wall::new(linux.uid_mappings(), linux.gid_mappings())?),
            _ => None,
        };
        let empty = Capabilities::default();
        let caps = process.capabilities().as_ref();
        let set = |list: Option<&Capabilities>| capabilities(list.unwrap_or(&empty));
        if caps
            .is_some_and(|c| [c.inheritable(), c.ambient()].iter().any(|s| s.as_ref().is_some_and(|s| !s.is_empty())))
        {
            return Err(Error::new("inheritable and ambient capabilities are not supported yet"));
        }
        Ok(Identity {
            uid: user.uid(),
            gid: user.gid(),
            groups: user.additional_gids().as_ref().map(|list| list.iter().copied().map(Gid::from_raw).collect()),
            umask: Mode::from_bits_truncate(user.umask().unwrap_or(0o022)),
            bounding: set(caps.and_then(|c| c.bounding().as_ref()))?,
            permitted: set(caps.and_then(|c| c.permitted().as_ref()))?,
            no_new_privileges: process.no_new_privileges() == Some(true),
            rlimits: process
                .rlimits()
                .iter()
                .flatten()
                .map(|r| Ok((resource(r.typ())?, r.soft(), r.hard())))
                .collect::<Result<_>>()?,
            wall,
        })
    }

    /// Limits are set outside the wall: the kernel takes the process limit of the user namespace from its maker's (since 5.14), and
    /// so bounds all processes of the pod, whatever their ids.
    pub(super) fn set_limits(&self) -> std::result::Result<(), SysError> {
        for &(resource, soft, hard) in &self.rlimits {
            setrlimit(resource, soft, hard).named(|| format!("setrlimit({resource:?}, {soft}, {hard})"))?;
        }
        Ok(())
    }

    /// Becomes the container's user, with no capability beyond the Spec's.
    pub(super) fn assume(&self) -> std::result::Result<(), SysError> {
        umask(self.umask);
        for capability in caps::all() {
            if !self.bounding.contains(&capability) {
                // A capability that this kernel does not know is one that nothing can have.
                let _ = caps::drop(None, CapSet::Bounding, capability);
            }
        }
        if let Some(groups) = &self.groups {
            setgroups(groups).named(|| match groups.len() {
                0..=16 => format!("setgroups({groups:?})"),
                many => format!("setgroups() of {many} groups"),
            })?;
        }
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        setresgid(gid, gid, gid).named(|| format!("setresgid({gid})"))?;
        setresuid(uid, uid, uid).named(|| format!("setresuid({uid})"))
    }

    /// The last privileged act. A program that is not root's gets none at its execve(2) anyway (capabilities(7)).
    pub(super) fn drop_capabilities(&self) -> std::result::Result<(), SysError> {
        let none = HashSet::new();
        let kept = if self.uid == 0 { &self.permitted } else { &none };
        let failed =
            |e: caps::errors::CapsError| SysError::new(format!("capset({kept:?}): {e}"), nix::errno::Errno::last());
        caps::set(None, CapSet::Inheritable, &none).map_err(failed)?;
        caps::set(None, CapSet::Effective, kept).map_err(failed)?;
        caps::set(None, CapSet::Permitted, kept).map_err(failed)
    }

    pub(super) fn forbid_new_privileges(&self) -> std::result::Result<(), SysError> {
        if self.no_new_privileges {
            prctl::set_no_new_privs().named(|| "prctl(PR_SET_NO_NEW_PRIVS)")?;
        }
        Ok(())
    }
}

fn capabilities(list: &Capabilities) -> Result<HashSet<Capability>> {
    list.iter()
        .map(|c| {
            let name = format!("CAP_{}", c.to_string().trim_start_matches("CAP_"));
            name.parse().map_err(|_| Error::new(format!("capability {name} is not known here")))
        })
        .collect()
}

fn resource(typ: PosixRlimitType) -> Result<Resource> {
    Ok(match typ {
        PosixRlimitType::RlimitNproc => Resource::RLIMIT_NPROC,
        PosixRlimitType::RlimitNofile => Resource::RLIMIT_NOFILE,
        PosixRlimitType::RlimitCore => Resource::RLIMIT_CORE,
        PosixRlimitType::RlimitFsize => Resource::RLIMIT_FSIZE,
        PosixRlimitType::RlimitStack => Resource::RLIMIT_STACK,
        PosixRlimitType::RlimitCpu => Resource::RLIMIT_CPU,
        PosixRlimitType::RlimitAs => Resource::RLIMIT_AS,
        PosixRlimitType::RlimitMemlock => Resource::RLIMIT_MEMLOCK,
        other => return Err(Error::new(format!("resource limit {other:?} is not supported yet"))),
    })
}

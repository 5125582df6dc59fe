//! The supervisor's own root: a small tmpfs that holds what containers are built from, and nothing else of the host.
//!
//! Each container's mount namespace begins as a copy of the supervisor's, so a small tree makes every start cheaper; and a
//! process that has not pivoted yet has no host file in reach.

use std::fs;

use nix::mount::{MsFlags, mount};
use nix::unistd::chdir;

use crate::host::confine::{Tree, place};
use crate::sys::{Named, SysError};

/// Mounts the new root and enters it with the working directory; [`crate::host::confine::become_root`] makes it the root.
///
/// The store appears at its own path, so that the plan's paths are true in here, too.
///
/// # Errors
/// The failed call.
pub(super) fn mount_root(data: &Tree) -> Result<(), SysError> {
    // The path may lie below the place that the new root covers, so it is opened before.
    let store = data.find()?;
    let place = place();
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), place, Some("tmpfs"), flags, Some("mode=755"))
        .named(|| format!("mount(\"tmpfs\", {place:?})"))?;
    chdir(place).named(|| format!("chdir({place:?})"))?;
    for dir in ["proc", "sys", "dev"] {
        fs::create_dir(dir).named(|| format!("mkdir({dir:?})"))?;
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "proc", Some("proc"), flags, None::<&str>).named(|| "mount(\"proc\", the pod's /proc)")?;
    mount(Some("/dev"), "dev", None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)
        .named(|| "mount(\"/dev\", MS_BIND)")?;
    let at = data.path().strip_prefix("/").unwrap_or(data.path());
    fs::create_dir_all(at).named(|| format!("mkdir({at:?})"))?;
    store.attach(at)
}

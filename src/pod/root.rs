//! The supervisor's own root: a small tmpfs that holds what containers are built from, and nothing else of the host.
//!
//! Each container's mount namespace begins as a copy of the supervisor's, so a small tree makes every start cheaper; and a
//! process that has not pivoted yet has no host file in reach.

use std::ffi::CString;
use std::fs;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStringExt;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, open};
use nix::mount::{MsFlags, mount};
use nix::sys::stat::Mode;
use nix::unistd::chdir;

use crate::host::confine::{Tree, place};
use crate::sys::mount::{Depth, clone_tree, set_attributes};
use crate::sys::{Named, SysError, executable};

/// Mounts the new root and enters it with the working directory; [`crate::host::confine::become_root`] makes it the root.
///
/// The store appears at its own path, so that the plan's paths are true in here, too.
///
/// # Errors
/// The failed call.
pub(super) fn mount_root(data: &Tree) -> Result<(), SysError> {
    // Where this kernel cannot do it, a podling that root has installed is still out of the pod's reach.
    let _ = protect_program();
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

/// Makes the program that this process and its children execute one of a read-only mount. Until its own program runs, a container's
/// process executes podling's, and one that executes `/proc/self/exe` goes on to: through `/proc/PID/exe` the container's root could change
/// the file's mode, or write it once nobody executes it any more, if it belongs to the pod's owner.
fn protect_program() -> Result<(), SysError> {
    let path = fs::read_link("/proc/self/exe").named(|| "readlink(\"/proc/self/exe\")")?;
    let path =
        CString::new(path.into_os_string().into_vec()).map_err(|_| SysError::new("podling's path", Errno::EINVAL))?;
    let mount = clone_tree(AT_FDCWD, &path)?;
    set_attributes(&mount, Depth::This, libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID, c"podling's own file")?;
    let file = open(
        format!("/proc/self/fd/{}", mount.as_raw_fd()).as_str(),
        OFlag::O_RDONLY | OFlag::O_CLOEXEC,
        Mode::empty(),
    )
    .named(|| "open(podling's own file)")?;
    executable::move_to(file.as_fd())
}

//! The mount API of Linux 5.12, which nix lacks: trees as descriptors (open_tree(2), move_mount(2), mount_setattr(2)).

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

use super::SysError;

/// A detached copy of the mounts at and below `path` (open_tree(2) with `OPEN_TREE_CLONE` and `AT_RECURSIVE`).
///
/// # Errors
/// The failed call: `ENOENT` where nothing is at `path`.
pub fn clone_tree(dir: impl AsFd, path: &CStr) -> Result<OwnedFd, SysError> {
    let flags =
        libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC | libc::AT_RECURSIVE as u32 | libc::AT_EMPTY_PATH as u32;
    // SAFETY: `path` is NUL-terminated and lives across the call.
    let fd = unsafe { libc::syscall(libc::SYS_open_tree, dir.as_fd().as_raw_fd(), path.as_ptr(), flags) };
    match Errno::result(fd) {
        // SAFETY: the kernel has just made this descriptor, and nothing else owns it.
        Ok(fd) => Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) }),
        Err(errno) => Err(SysError::new(format!("open_tree({path:?}, OPEN_TREE_CLONE)"), errno)),
    }
}

/// Attaches the detached tree at the directory or file that `target` refers to (move_mount(2)).
///
/// # Errors
/// The failed call; `what` names the target in it.
pub fn attach(tree: impl AsFd, target: impl AsFd, what: &CStr) -> Result<(), SysError> {
    let flags = libc::MOVE_MOUNT_F_EMPTY_PATH | libc::MOVE_MOUNT_T_EMPTY_PATH;
    // SAFETY: both paths are empty NUL-terminated strings; the descriptors are open.
    let r = unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            tree.as_fd().as_raw_fd(),
            c"".as_ptr(),
            target.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
        )
    };
    Errno::result(r).map(drop).map_err(|errno| SysError::new(format!("move_mount({what:?})"), errno))
}

/// Whether an attribute change covers the mounts below, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// This mount only.
    This,
    /// This mount and all below it.
    Recursive,
}

/// Where mounts go that are made at or below another copy of a mount (mount_namespaces(7), "Shared subtrees").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// Neither here nor there.
    Private,
    /// Those that are made at what it was copied from appear here, too.
    Slave,
}

/// Sets the propagation of the mount that `mount` refers to, and of all below it (mount_setattr(2)).
///
/// # Errors
/// The failed call; `what` names the mount in it.
pub fn set_propagation(mount: impl AsFd, propagation: Propagation, what: &CStr) -> Result<(), SysError> {
    let propagation = match propagation {
        Propagation::Private => libc::MS_PRIVATE,
        Propagation::Slave => libc::MS_SLAVE,
    };
    let attr = libc::mount_attr { attr_set: 0, attr_clr: 0, propagation, userns_fd: 0 };
    set_attr(mount, Depth::Recursive, &attr)
        .map_err(|errno| SysError::new(format!("mount_setattr({what:?}, propagation {propagation:#x})"), errno))
}

/// Sets the mount attributes `set` (`MOUNT_ATTR_RDONLY`, `MOUNT_ATTR_NOSUID` …) on the mount that `mount` refers to (mount_setattr(2)).
///
/// # Errors
/// The failed call; `what` names the mount in it.
pub fn set_attributes(mount: impl AsFd, depth: Depth, set: u64, what: &CStr) -> Result<(), SysError> {
    let attr = libc::mount_attr { attr_set: set, attr_clr: 0, propagation: 0, userns_fd: 0 };
    set_attr(mount, depth, &attr).map_err(|errno| SysError::new(format!("mount_setattr({what:?}, {set:#x})"), errno))
}

fn set_attr(mount: impl AsFd, depth: Depth, attr: &libc::mount_attr) -> Result<(), Errno> {
    let flags = libc::AT_EMPTY_PATH | if depth == Depth::Recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is an empty NUL-terminated string and `attr` is a whole mount_attr of the size given.
    let r = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const *attr,
            size_of::<libc::mount_attr>(),
        )
    };
    Errno::result(r).map(drop)
}

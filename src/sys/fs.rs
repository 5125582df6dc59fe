//! Opening below a directory without leaving it, and cloning whole files.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::Mode;

use super::{Named, SysError};

/// openat2(2) with `RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS`: a symlink on the way may be followed as long as it stays
/// below `dir`; an absolute one, or one that climbs out, is `EXDEV`.
///
/// The last component is followed unless `flags` has `O_NOFOLLOW`. Descriptors are close-on-exec.
pub fn open_beneath(dir: impl AsFd, path: &Path, flags: OFlag, mode: u32) -> Result<OwnedFd, SysError> {
    resolve(dir, path, flags, mode, ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_MAGICLINKS)
}

/// openat2(2) with `RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS`: symlinks resolve as if `dir` were `/`, as they will in a container.
pub fn open_in_root(dir: impl AsFd, path: &Path, flags: OFlag) -> Result<OwnedFd, SysError> {
    resolve(dir, path, flags, 0, ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_MAGICLINKS)
}

/// openat2(2) with `RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS`: a symlink anywhere on the way is `ELOOP`.
///
/// # Errors
/// The failed call.
pub fn open_in_root_exactly(dir: impl AsFd, path: &Path, flags: OFlag) -> Result<OwnedFd, SysError> {
    resolve(dir, path, flags, 0, ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_SYMLINKS)
}

fn resolve(dir: impl AsFd, path: &Path, flags: OFlag, mode: u32, how: ResolveFlag) -> Result<OwnedFd, SysError> {
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).mode(Mode::from_bits_truncate(mode)).resolve(how);
    loop {
        match openat2(dir.as_fd(), path, how) {
            // EAGAIN: a rename elsewhere raced with a `..` of a symlink's target; the man page says to try again.
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Err(errno) => return Err(SysError::new(format!("openat2({:?})", path.display().to_string()), errno)),
            Ok(fd) => return Ok(fd),
        }
    }
}

/// renameat2(2) with `RENAME_EXCHANGE`: both names stay, each with what the other had. `EINVAL` where the file system cannot.
pub fn exchange(one: &Path, other: &Path) -> Result<(), SysError> {
    let call = || format!("renameat2({one:?}, {other:?}, RENAME_EXCHANGE)");
    let c_path =
        |path: &Path| CString::new(path.as_os_str().as_bytes()).map_err(|_| SysError::new(call(), Errno::EINVAL));
    let (from, to) = (c_path(one)?, c_path(other)?);
    let (here, flags) = (libc::AT_FDCWD, libc::RENAME_EXCHANGE);
    // SAFETY: both pointers are to C strings that live until the call returns, and the kernel only reads them.
    let done = unsafe { libc::syscall(libc::SYS_renameat2, here, from.as_ptr(), here, to.as_ptr(), flags) };
    Errno::result(done).map(drop).named(call)
}

/// ioctl_ficlone(2): makes `to` share the blocks of `from` until either is written. `false` where the file system cannot.
pub fn clone_file(from: impl AsFd, to: impl AsFd) -> bool {
    // SAFETY: FICLONE takes an integer argument, so the kernel reads or writes none of our memory.
    unsafe { libc::ioctl(to.as_fd().as_raw_fd(), libc::FICLONE, from.as_fd().as_raw_fd()) == 0 }
}

//! Opening below a directory without leaving it, and cloning whole files.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::Mode;

use super::SysError;

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

/// How often, and how long apart, what the kernel could not open just now is tried again.
const TRIES: u32 = 128;
const BETWEEN_TRIES: Duration = Duration::from_millis(1);

fn resolve(dir: impl AsFd, path: &Path, flags: OFlag, mode: u32, how: ResolveFlag) -> Result<OwnedFd, SysError> {
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).mode(Mode::from_bits_truncate(mode)).resolve(how);
    let mut refused = 0;
    loop {
        let error = match openat2(dir.as_fd(), path, how) {
            Ok(fd) => return Ok(fd),
            Err(Errno::EINTR) => continue,
            // A rename or a mount raced with a `..` on the way (openat2(2)), which a stranger can keep up for ever; or, with O_NONBLOCK,
            // somebody holds a lease on the file (fcntl(2)).
            Err(Errno::EAGAIN) if refused < TRIES => {
                refused += 1;
                std::thread::sleep(BETWEEN_TRIES);
                continue;
            }
            Err(Errno::EAGAIN) => {
                let why = "another process holds a lease on it, or renames directories all the time";
                SysError::new(format!("{why}: openat2({:?})", path.display().to_string()), Errno::EAGAIN)
            }
            Err(errno) => SysError::new(format!("openat2({:?})", path.display().to_string()), errno),
        };
        return Err(error);
    }
}

/// ioctl_ficlone(2): makes `to` share the blocks of `from` until either is written. `false` where the file system cannot.
pub fn clone_file(from: impl AsFd, to: impl AsFd) -> bool {
    // SAFETY: FICLONE takes an integer argument, so the kernel reads or writes none of our memory.
    unsafe { libc::ioctl(to.as_fd().as_raw_fd(), libc::FICLONE, from.as_fd().as_raw_fd()) == 0 }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    /// fcntl(2)'s F_SETSIG, which libc lacks.
    const F_SETSIG: i32 = 10;

    #[test]
    fn a_file_that_stays_leased_is_an_error_and_not_waited_for() {
        let place = tempfile::tempdir().unwrap();
        let dir = File::open(place.path()).unwrap();
        let file = File::options().write(true).create_new(true).open(place.path().join("leased")).unwrap();
        // SAFETY: both commands take an integer. The signal that tells of a breaker is one that is ignored.
        let leased = unsafe {
            libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_WRLCK) == 0
                && libc::fcntl(file.as_raw_fd(), F_SETSIG, libc::SIGURG) == 0
        };
        assert!(leased, "{}", Errno::last());
        let error = open_beneath(&dir, Path::new("leased"), OFlag::O_RDONLY | OFlag::O_NONBLOCK, 0).unwrap_err();
        assert_eq!(error.errno, Errno::EAGAIN);
        assert!(error.to_string().contains("lease"), "{error}");
        // As a place it is in nobody's way.
        open_beneath(&dir, Path::new("leased"), OFlag::O_PATH, 0).unwrap();
        drop(file);
        open_beneath(&dir, Path::new("leased"), OFlag::O_RDONLY | OFlag::O_NONBLOCK, 0).unwrap();
    }
}

//! Paths below a directory that strangers may change while they are looked up: found by the kernel's own rules, and kept as open
//! descriptors, so that no second lookup can lead elsewhere.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{Mode, fstatat, mkdirat};

use crate::sys::fs::open_beneath;
use crate::sys::{Named, SysError};

/// Opens `path` below `base` as a place (`O_PATH`), whatever it is. Links are followed as long as they stay below `base`; directories
/// that are missing are made with the permission bits of `base`, as the kubelet makes those of a `subPath`.
///
/// The umask takes bits away, so a caller who means the mode exactly has none. (A chmod(2) afterwards could hit what another has put in
/// the directory's place meanwhile.)
///
/// # Errors
/// The failed call; `EXDEV` where the path leads out, `ENOTDIR` where a link leads to nothing.
pub fn open_or_make(base: impl AsFd, path: &Path) -> Result<OwnedFd, SysError> {
    let stat = fstatat(base.as_fd(), "", AtFlags::AT_EMPTY_PATH).named(|| "fstatat(\"\", AT_EMPTY_PATH)")?;
    open_or_make_with(base, path, Mode::from_bits_truncate(stat.st_mode & 0o777))
}

/// The same with `mode` for the directories that are made.
///
/// # Errors
/// As [`open_or_make`].
pub fn open_or_make_with(base: impl AsFd, path: &Path, mode: Mode) -> Result<OwnedFd, SysError> {
    match open(&base, path, OFlag::O_PATH) {
        Err(e) if e.errno == Errno::ENOENT => make(base, path, mode),
        found => found,
    }
}

fn make(base: impl AsFd, path: &Path, mode: Mode) -> Result<OwnedFd, SysError> {
    let mut here = open(&base, Path::new("."), OFlag::O_PATH | OFlag::O_DIRECTORY)?;
    let mut done = PathBuf::new();
    let mut made = false;
    for component in path.components() {
        let name = match component {
            Component::Normal(name) => name,
            Component::CurDir => continue,
            _ => return Err(out(path)),
        };
        done.push(name);
        if !made {
            // From the base, since a link on the way may climb, though not out.
            match open(&base, &done, OFlag::O_PATH | OFlag::O_DIRECTORY) {
                Ok(found) => {
                    here = found;
                    continue;
                }
                Err(e) if e.errno == Errno::ENOENT => made = true,
                Err(e) => return Err(e),
            }
        }
        match mkdirat(&here, name, mode) {
            // Another container of the pod was quicker, or it is a link that leads to nothing.
            Ok(()) | Err(Errno::EEXIST) => {}
            Err(errno) => return Err(SysError::new(format!("mkdirat({done:?})"), errno)),
        }
        here = open(&here, Path::new(name), OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW).map_err(|e| {
            let what = format!("{done:?} is a link that leads to nothing: {}", e.call);
            if e.errno == Errno::ENOTDIR { SysError::new(what, e.errno) } else { e }
        })?;
    }
    Ok(here)
}

fn open(base: impl AsFd, path: &Path, flags: OFlag) -> Result<OwnedFd, SysError> {
    open_beneath(base, path, flags, 0).map_err(|e| if e.errno == Errno::EXDEV { out(path) } else { e })
}

/// What EXDEV means here, which its own text hides.
fn out(path: &Path) -> SysError {
    SysError::new(format!("{path:?} leads out of the directory: openat2(RESOLVE_BENEATH)"), Errno::EXDEV)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn base() -> (tempfile::TempDir, OwnedFd) {
        let dir = tempfile::tempdir().unwrap();
        let fd = nix::fcntl::open(dir.path(), OFlag::O_PATH | OFlag::O_DIRECTORY, Mode::empty()).unwrap();
        (dir, fd)
    }

    fn inode(fd: &OwnedFd) -> u64 {
        fstatat(fd, "", AtFlags::AT_EMPTY_PATH).unwrap().st_ino
    }

    #[test]
    fn what_is_missing_is_made_with_the_bases_mode() {
        let (dir, fd) = base();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o710)).unwrap();
        let found = open_or_make(&fd, Path::new("a/./b")).unwrap();
        for name in ["a", "a/b"] {
            assert_eq!(fs::metadata(dir.path().join(name)).unwrap().mode() & 0o7777, 0o710, "{name}");
        }
        assert_eq!(inode(&found), fs::metadata(dir.path().join("a/b")).unwrap().ino());
        let again = open_or_make_with(&fd, Path::new("a/c"), Mode::from_bits_truncate(0o700)).unwrap();
        assert_eq!(fs::metadata(dir.path().join("a/c")).unwrap().mode() & 0o7777, 0o700);
        assert_eq!(inode(&again), inode(&open_or_make(&fd, Path::new("a/c")).unwrap()));
    }

    #[test]
    fn files_and_links_inside_are_found() {
        let (dir, fd) = base();
        fs::create_dir_all(dir.path().join("..2026/sub")).unwrap();
        fs::write(dir.path().join("..2026/key"), "x").unwrap();
        symlink("..2026", dir.path().join("..data")).unwrap();
        symlink("..data/key", dir.path().join("key")).unwrap();
        symlink("../key", dir.path().join("..2026/up")).unwrap();
        let key = fs::metadata(dir.path().join("key")).unwrap().ino();
        for path in ["key", "..data/key", "..data/up"] {
            assert_eq!(inode(&open_or_make(&fd, Path::new(path)).unwrap()), key, "{path}");
        }
        open_or_make(&fd, Path::new("..data/sub/new")).unwrap();
        assert!(dir.path().join("..2026/sub/new").is_dir());
    }

    #[test]
    fn nothing_leads_out() {
        let (dir, fd) = base();
        let outside = tempfile::tempdir().unwrap();
        symlink(outside.path(), dir.path().join("absolute")).unwrap();
        symlink("../..", dir.path().join("climbing")).unwrap();
        symlink("/proc/self/fd", dir.path().join("magic")).unwrap();
        for path in ["absolute", "absolute/new", "climbing", "climbing/new", "magic/0", "../x", "a/../../x", "/etc"] {
            let error = open_or_make(&fd, Path::new(path)).unwrap_err();
            assert_eq!(error.errno, Errno::EXDEV, "{path}: {error}");
        }
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_link_to_nothing_and_a_file_on_the_way_are_errors() {
        let (dir, fd) = base();
        symlink("nowhere", dir.path().join("dangling")).unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        for path in ["dangling", "dangling/x", "file/x"] {
            assert_eq!(open_or_make(&fd, Path::new(path)).unwrap_err().errno, Errno::ENOTDIR, "{path}");
        }
        assert!(!dir.path().join("nowhere").exists());
    }
}

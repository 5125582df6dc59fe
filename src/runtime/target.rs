//! Finding, or making, the place of a mount inside a root file system that is not to be trusted.
//!
//! Every lookup is confined by openat2(2)'s `RESOLVE_IN_ROOT`: a link of the image leads to where it would lead in the running
//! container, never to the host.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, readlinkat};
use nix::sys::stat::{Mode, mkdirat};

use crate::sys::fs::{open_in_root, open_in_root_exactly};
use crate::sys::{Named, SysError};

/// What must be at the place, so that it can be made where it is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
}

/// Opens `path` below `root` as a place, if no link is on the way.
///
/// What podling mounts for the kernel's sake must be where its path says: were /proc a link of the image's, its masks would miss it.
///
/// # Errors
/// The failed call; `ENOENT` where nothing is there, `ELOOP` where a link is.
pub(super) fn find_exactly(root: BorrowedFd, path: &Path) -> Result<OwnedFd, SysError> {
    open_in_root_exactly(root, path, OFlag::O_PATH)
}

/// Opens `path` below `root` as a place (`O_PATH`), as a process whose root is `root` would find it.
///
/// # Errors
/// The failed call; `ENOENT` where nothing is there.
pub(super) fn find(root: BorrowedFd, path: &Path) -> Result<OwnedFd, SysError> {
    open_in_root(root, path, OFlag::O_PATH)
}

/// As [`find_exactly`], making the directories that are missing.
///
/// # Errors
/// The failed call, with the path.
pub(super) fn find_exactly_or_make(root: BorrowedFd, path: &Path) -> Result<OwnedFd, SysError> {
    match find_exactly(root, path) {
        Err(e) if e.errno == Errno::ENOENT => {
            make(root, path, Kind::Directory)?;
            find_exactly(root, path)
        }
        found => found,
    }
}

/// As [`find`], making what is missing on the way: directories with mode 0755, the last component as `kind` says.
///
/// # Errors
/// The failed call, with the path.
pub(super) fn find_or_make(root: BorrowedFd, path: &Path, kind: Kind) -> Result<OwnedFd, SysError> {
    match find(root, path) {
        Err(e) if e.errno == Errno::ENOENT => make(root, path, kind),
        found => found,
    }
}

fn make(root: BorrowedFd, path: &Path, kind: Kind) -> Result<OwnedFd, SysError> {
    // Mostly only the last name is missing.
    if let (Some(parent), Some(name)) = (path.parent(), path.file_name())
        && let Ok(parent) = find(root, parent)
        && create(parent.as_fd(), &name.to_owned(), kind).is_ok()
    {
        return find(root, path);
    }
    let mut rest: Vec<OsString> = components(path);
    rest.reverse();
    let mut done = PathBuf::from("/");
    // Each dangling link on the way is followed by hand, since the directory it names may have to be made; 40 is the kernel's bound.
    let mut links = 0;
    while let Some(name) = rest.pop() {
        let next = done.join(&name);
        match find(root, &next) {
            Ok(_) => {
                done = next;
                continue;
            }
            Err(e) if e.errno == Errno::ENOENT => {}
            Err(e) => return Err(e),
        }
        let parent = find(root, &done)?;
        let wanted = if rest.is_empty() { kind } else { Kind::Directory };
        match create(parent.as_fd(), &name, wanted) {
            Ok(()) => done = next,
            Err(Errno::EEXIST) => {
                let link = readlinkat(parent.as_fd(), name.as_os_str()).named(|| format!("readlink({next:?})"))?;
                links += 1;
                if links > 40 {
                    return Err(SysError::new(format!("open({path:?})"), Errno::ELOOP));
                }
                let link = PathBuf::from(link);
                if link.is_absolute() {
                    done = PathBuf::from("/");
                }
                rest.extend(components(&link).into_iter().rev());
            }
            Err(errno) => return Err(SysError::new(format!("create({next:?}) for a mount"), errno)),
        }
    }
    find(root, &done)
}

fn create(parent: BorrowedFd, name: &OsString, kind: Kind) -> nix::Result<()> {
    match kind {
        Kind::Directory => mkdirat(parent, name.as_os_str(), Mode::from_bits_truncate(0o755)),
        Kind::File => {
            let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
            openat(parent, name.as_os_str(), flags, Mode::from_bits_truncate(0o644)).map(drop)
        }
    }
}

/// The names of a path; `..` stays, and the confined lookup gives it its meaning.
fn components(path: &Path) -> Vec<OsString> {
    path.components()
        .filter_map(|c| match c {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn root() -> (tempfile::TempDir, OwnedFd) {
        let dir = tempfile::tempdir().unwrap();
        let fd = nix::fcntl::open(dir.path(), OFlag::O_PATH | OFlag::O_DIRECTORY, Mode::empty()).unwrap();
        (dir, fd)
    }

    #[test]
    fn missing_directories_and_files_are_made() {
        let (dir, fd) = root();
        find_or_make(fd.as_fd(), Path::new("/a/b/c"), Kind::Directory).unwrap();
        find_or_make(fd.as_fd(), Path::new("/a/hosts"), Kind::File).unwrap();
        assert!(dir.path().join("a/b/c").is_dir() && dir.path().join("a/hosts").is_file());
    }

    #[test]
    fn an_absolute_link_leads_inside_the_root() {
        let (dir, fd) = root();
        symlink("/elsewhere/deep", dir.path().join("var")).unwrap();
        find_or_make(fd.as_fd(), Path::new("/var/log"), Kind::Directory).unwrap();
        assert!(dir.path().join("elsewhere/deep/log").is_dir());
        assert!(!Path::new("/elsewhere").exists());
    }

    #[test]
    fn a_climbing_dangling_link_stays_inside() {
        let (dir, fd) = root();
        fs::create_dir(dir.path().join("etc")).unwrap();
        symlink("../../../../run/resolv.conf", dir.path().join("etc/resolv.conf")).unwrap();
        find_or_make(fd.as_fd(), Path::new("/etc/resolv.conf"), Kind::File).unwrap();
        assert!(dir.path().join("run/resolv.conf").is_file());
    }

    #[test]
    fn what_must_be_exact_follows_no_link() {
        let (dir, fd) = root();
        fs::create_dir(dir.path().join("real")).unwrap();
        symlink("real", dir.path().join("proc")).unwrap();
        symlink("nowhere", dir.path().join("sys")).unwrap();
        for name in ["/proc", "/sys", "/proc/x"] {
            assert_eq!(find_exactly_or_make(fd.as_fd(), Path::new(name)).unwrap_err().errno, Errno::ELOOP, "{name}");
        }
        find_exactly_or_make(fd.as_fd(), Path::new("/dev/pts")).unwrap();
        assert!(dir.path().join("dev/pts").is_dir());
    }

    #[test]
    fn a_link_to_itself_is_an_error() {
        let (dir, fd) = root();
        symlink("loop", dir.path().join("loop")).unwrap();
        assert_eq!(find_or_make(fd.as_fd(), Path::new("/loop"), Kind::File).unwrap_err().errno, Errno::ELOOP);
    }
}

//! What is at a path of the host, found without opening what is there.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open};
use nix::sys::stat::{Mode, fstatat};

use crate::sys::fs::open_beneath;
use crate::sys::{Named, SysError};

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A directory.
    Directory,
    /// A regular file.
    Regular,
    /// A UNIX socket.
    Socket,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
    /// A FIFO.
    Fifo,
}

/// What is at `path`, which is absolute or relative to `beneath`, out of which it must not lead; `None` where nothing is.
///
/// # Errors
/// Those of [`open_base`] and [`open_place`].
pub fn look(beneath: Option<&Path>, path: &Path) -> Result<Option<FileKind>, SysError> {
    let base = beneath.map(open_base).transpose()?;
    match open_place(base.as_ref(), path) {
        Err(e) if e.errno == Errno::ENOENT => Ok(None),
        found => kind(found?).map(Some),
    }
}

/// Opens a directory as a place that others are looked for beneath.
///
/// # Errors
/// The failed call.
pub fn open_base(path: &Path) -> Result<OwnedFd, SysError> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    open(path, flags, Mode::empty()).named(|| format!("open({path:?}, O_PATH)"))
}

/// Opens `path`, whatever it is, as a place (`O_PATH`), which does nothing to it; links are followed, with a `base` as long as they stay
/// below that.
///
/// # Errors
/// The failed call; `EXDEV` where the path leads out of `base`.
pub fn open_place(base: Option<&OwnedFd>, path: &Path) -> Result<OwnedFd, SysError> {
    match base {
        Some(base) => open_beneath(base, path, OFlag::O_PATH, 0),
        None => open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).named(|| format!("open({path:?}, O_PATH)")),
    }
}

/// What has been opened.
///
/// # Errors
/// The failed call.
pub fn kind(place: impl AsFd) -> Result<FileKind, SysError> {
    let stat = fstatat(place, "", AtFlags::AT_EMPTY_PATH).named(|| "fstatat(\"\", AT_EMPTY_PATH)")?;
    Ok(match stat.st_mode & libc::S_IFMT {
        libc::S_IFDIR => FileKind::Directory,
        libc::S_IFSOCK => FileKind::Socket,
        libc::S_IFCHR => FileKind::CharDevice,
        libc::S_IFBLK => FileKind::BlockDevice,
        libc::S_IFIFO => FileKind::Fifo,
        _ => FileKind::Regular,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn whatever_is_there_is_told_apart_and_not_opened() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        nix::unistd::mkfifo(&dir.path().join("fifo"), Mode::empty()).unwrap();
        let _socket = UnixListener::bind(dir.path().join("socket")).unwrap();
        symlink("file", dir.path().join("link")).unwrap();
        symlink("nowhere", dir.path().join("dangling")).unwrap();
        for (name, expected) in [
            (".", Some(FileKind::Directory)),
            ("file", Some(FileKind::Regular)),
            ("link", Some(FileKind::Regular)),
            ("fifo", Some(FileKind::Fifo)),
            ("socket", Some(FileKind::Socket)),
            ("none", None),
            ("dangling", None),
        ] {
            assert_eq!(look(None, &dir.path().join(name)), Ok(expected), "{name}");
            assert_eq!(look(Some(dir.path()), Path::new(name)), Ok(expected), "{name}");
        }
        assert_eq!(look(None, Path::new("/dev/null")), Ok(Some(FileKind::CharDevice)));
    }

    #[test]
    fn where_no_path_leads_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        symlink("/etc", dir.path().join("out")).unwrap();
        let errno = |beneath: Option<&Path>, path: &Path| look(beneath, path).unwrap_err().errno;
        assert_eq!(errno(Some(dir.path()), Path::new("out")), Errno::EXDEV);
        assert_eq!(errno(Some(&dir.path().join("none")), Path::new(".")), Errno::ENOENT);
        assert_eq!(errno(None, &dir.path().join("file/x")), Errno::ENOTDIR);
    }
}

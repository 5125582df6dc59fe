//! Paths below a layer's root, as bytes, and the kernel's answers about them.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::{FileStat, SFlag, fstatat};

use crate::error::Error;
use crate::image::layer::tar_entry::quote;
use crate::sys::{SysError, fs};

/// Opens the directory at `path`, which may go through symlinks that stay below `root`.
pub fn open_directory(root: impl AsFd, path: &[u8]) -> std::result::Result<OwnedFd, SysError> {
    fs::open_beneath(root, relative(path), OFlag::O_PATH | OFlag::O_DIRECTORY, 0)
}

/// The layer's root is the empty path here and `.` for the kernel.
pub fn relative(path: &[u8]) -> &Path {
    if path.is_empty() { Path::new(".") } else { Path::new(OsStr::from_bytes(path)) }
}

/// One component as a path.
pub fn name_of(name: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(name))
}

/// Directory and last component.
pub fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(slash) => (path.get(..slash).unwrap_or_default(), path.get(slash + 1..).unwrap_or_default()),
        None => (b"", path),
    }
}

/// The other way round.
pub fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    if parent.is_empty() { name.to_vec() } else { [parent, name].join(&b'/') }
}

/// The file type bits.
pub fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT
}

/// Whether it is overlayfs's whiteout, the character device 0:0.
pub fn is_whiteout(stat: &FileStat) -> bool {
    kind(stat) == SFlag::S_IFCHR && stat.st_rdev == 0
}

/// The same of the name in `dir`.
pub fn is_whiteout_at(dir: BorrowedFd<'_>, name: &[u8]) -> bool {
    fstatat(dir, name_of(name), AtFlags::AT_SYMLINK_NOFOLLOW).is_ok_and(|stat| is_whiteout(&stat))
}

/// Why an entry's directory cannot be opened.
pub fn through(error: SysError, path: &[u8]) -> Error {
    let path = quote(path);
    match error.errno {
        Errno::EXDEV => Error::new(format!("its directory {path} goes through a symlink that leaves the layer")),
        Errno::ELOOP => Error::new(format!("its directory {path} goes through a loop of symlinks")),
        Errno::ENOTDIR => Error::new(format!("its directory {path} is not a directory")),
        _ => error.into(),
    }
}

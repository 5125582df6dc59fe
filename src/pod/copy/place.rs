//! Where a copy goes, decided by what there is: the table of `docker cp`'s reference page.
//!
//! | source | destination | becomes |
//! | --- | --- | --- |
//! | file `f` | does not exist, its directory does | a file of that name |
//! | file `f` | does not exist and ends with `/` | an error |
//! | file `f` | a file | it is replaced |
//! | file `f` | a directory | `DEST/f` |
//! | directory `d` | does not exist, its directory does | a directory of that name with what is in `d` |
//! | directory `d` | a file | an error |
//! | directory `d` | a directory | `DEST/d` |
//! | `d/.` | a directory | what is in `d` is put into it |
//! | an archive | a directory | it is unpacked there |
//!
//! A destination that is a symbolic link to a directory is that directory, as the user wrote it. One that is any other symbolic link
//! is replaced and never written through: it may be what an earlier copy brought along.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::fstatat;

use super::Shape;
use super::base::{Base, Top, says_directory, trim};
use crate::error::{Error, Result};
use crate::image::layer::below::split;
use crate::image::layer::tar_entry::quote;
use crate::sys::SysError;

/// Where a copy goes.
#[derive(Debug)]
pub(super) struct Place {
    /// The directory that nothing of the copy may leave, opened with `O_PATH`.
    pub(super) root: OwnedFd,
    /// The directory as the user knows it.
    pub(super) shown: Vec<u8>,
    /// The name that the source gets in it; empty where its content goes into the directory itself.
    pub(super) top: Vec<u8>,
}

/// What the source is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// A directory.
    Directory,
    /// A file, a link, a FIFO.
    Other,
}

/// Finds the place of a `source` of this shape at `path`.
///
/// # Errors
/// What the table above calls an error, and paths that cannot be opened; nothing has been changed then.
pub(super) fn find(base: &Base, path: &Path, shape: &Shape, source: Source) -> Result<Place> {
    let shown = path.as_os_str().as_bytes();
    if shown.is_empty() {
        return Err(Error::new("the destination is an empty path").mend("write `.` for the directory you are in"));
    }
    match (base.open(path, OFlag::O_PATH | OFlag::O_DIRECTORY), shape) {
        (Ok(root), Shape::Copy(Top::Named(name))) => {
            Ok(Place { root, shown: shown.to_vec(), top: name.as_bytes().to_vec() })
        }
        (Ok(root), Shape::Copy(Top::Content) | Shape::Archive | Shape::Volume) => {
            Ok(Place { root, shown: shown.to_vec(), top: Vec::new() })
        }
        (Err(e), Shape::Archive | Shape::Volume) => Err(match e.errno {
            Errno::ENOENT => {
                Error::new(format!("{} does not exist, and an archive is unpacked into a directory", quote(shown)))
                    .mend("make the directory first")
            }
            Errno::ENOTDIR => Error::new(format!("{} is not a directory to unpack an archive into", quote(shown))),
            _ => e.into(),
        }),
        (Err(e), Shape::Copy(_)) if matches!(e.errno, Errno::ENOENT | Errno::ENOTDIR) => beside(base, path, source),
        (Err(e), Shape::Copy(_)) => Err(e.into()),
    }
}

/// A destination that is no directory: its own directory must be one.
fn beside(base: &Base, path: &Path, source: Source) -> Result<Place> {
    let shown = path.as_os_str().as_bytes();
    let mut name = trim(shown);
    while let Some(rest) = name.strip_suffix(b"/.") {
        name = trim(rest);
    }
    let (parent, name) = split(name);
    let parent: &[u8] = match parent {
        b"" if shown.starts_with(b"/") => b"/",
        b"" => b".",
        parent => parent,
    };
    let root = base.open(Path::new(OsStr::from_bytes(parent)), OFlag::O_PATH | OFlag::O_DIRECTORY);
    let root = root.map_err(|e| parent_failed(parent, shown, &e))?;
    if matches!(name, b"" | b"." | b"..") {
        return Err(Error::new(format!("{} does not exist", quote(shown))));
    }
    match (fstatat(&root, OsStr::from_bytes(name), AtFlags::AT_SYMLINK_NOFOLLOW), source) {
        (Ok(_), Source::Directory) => {
            return Err(Error::new(format!("{} is not a directory, and a directory cannot replace it", quote(shown)))
                .mend("name another destination, or remove it first"));
        }
        (Ok(_), Source::Other) if says_directory(path) => {
            return Err(
                Error::new(format!("{} is not a directory", quote(shown))).mend("leave out the slash at its end")
            );
        }
        (Err(Errno::ENOENT), Source::Other) if says_directory(path) => {
            return Err(Error::new(format!("the directory {} does not exist", quote(shown)))
                .mend("make it first, or leave out the slash at its end to give the copy that name"));
        }
        (Ok(_) | Err(Errno::ENOENT), _) => {}
        (Err(errno), _) => return Err(SysError::new(format!("fstatat({})", quote(shown)), errno).into()),
    }
    Ok(Place { root, shown: parent.to_vec(), top: name.to_vec() })
}

fn parent_failed(parent: &[u8], shown: &[u8], error: &SysError) -> Error {
    let (parent, shown) = (quote(parent), quote(shown));
    match error.errno {
        Errno::ENOENT => Error::new(format!("cannot copy to {shown}: the directory {parent} does not exist"))
            .mend("make it first: directories above the destination are not made"),
        Errno::ENOTDIR => Error::new(format!("cannot copy to {shown}: {parent} is not a directory")),
        _ => Error::new(error.to_string()).context(format!("cannot copy to {shown}")),
    }
}

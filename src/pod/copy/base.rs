//! Where a path that the user wrote begins, and what its last component says.

use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;

use crate::error::Result;
use crate::sys::{Named, SysError, fs};

/// Where paths begin, and how their links are followed. A path that the user wrote is followed as every program follows it.
#[derive(Debug)]
pub(in crate::pod) enum Base {
    /// On the host: the caller's working directory for relative paths.
    WorkingDirectory,
    /// In a container: its root for all paths, and no magic link is followed. They could lead to what this process has open.
    Root(OwnedFd),
}

impl Base {
    /// This process's root, which must be the container's.
    pub(in crate::pod) fn root() -> Result<Base> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        Ok(Base::Root(open("/", flags, Mode::empty()).named(|| "open(\"/\")")?))
    }

    /// Opens `path`; its last component is followed unless `flags` has `O_NOFOLLOW`.
    pub(super) fn open(&self, path: &Path, flags: OFlag) -> std::result::Result<OwnedFd, SysError> {
        match self {
            Base::WorkingDirectory => open(path, flags | OFlag::O_CLOEXEC, Mode::empty())
                .named(|| format!("open({:?})", path.display().to_string())),
            Base::Root(root) => fs::open_in_root(root, path, flags),
        }
    }
}

/// What a source is called at its destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Top {
    /// By its own name.
    Named(OsString),
    /// By none: `dir/.`, `/` and `..` stand for what is in the directory.
    Content,
}

impl Top {
    /// What the source `path` is called. With [`Links::Follow`](super::Links::Follow), too, it is the link's name and not the target's.
    pub fn of(path: &Path) -> Top {
        match trim(path.as_os_str().as_bytes()).rsplit(|b| *b == b'/').next() {
            None | Some(b"" | b"." | b"..") => Top::Content,
            Some(name) => Top::Named(OsStr::from_bytes(name).to_owned()),
        }
    }

    /// The name that stands for it in the stream.
    pub(super) fn in_stream(&self) -> &[u8] {
        match self {
            Top::Named(name) => name.as_bytes(),
            Top::Content => b".",
        }
    }
}

/// Whether a path says that it is a directory's: it ends with `/`, `/.` or `/..`.
pub(super) fn says_directory(path: &Path) -> bool {
    let last = path.as_os_str().as_bytes().rsplit(|b| *b == b'/').next();
    matches!(last, Some(b"" | b"." | b".."))
}

/// Without slashes at the end.
pub(super) fn trim(mut path: &[u8]) -> &[u8] {
    while let Some(rest) = path.strip_suffix(b"/") {
        path = rest;
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_component_names_the_copy() {
        let named = |name: &str| Top::Named(name.into());
        for (path, top, directory) in [
            ("/srv/www", named("www"), false),
            ("www", named("www"), false),
            ("/srv/www//", named("www"), true),
            ("/srv/www/.", Top::Content, true),
            ("www/./", Top::Content, true),
            (".", Top::Content, true),
            ("a/..", Top::Content, true),
            ("/", Top::Content, true),
            ("/srv/.hidden", named(".hidden"), false),
            ("/srv/...", named("..."), false),
        ] {
            assert_eq!(Top::of(Path::new(path)), top, "{path}");
            assert_eq!(says_directory(Path::new(path)), directory, "{path}");
        }
    }
}

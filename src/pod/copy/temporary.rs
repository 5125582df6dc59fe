//! A file under a name of its own until it is whole.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::errno::Errno;
use nix::fcntl::renameat;
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::error::{Error, Result};
use crate::image::layer::below::name_of;
use crate::sys::SysError;

/// How many names are tried: someone who makes them all before us means harm.
const TRIES: u64 = 1000;

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A name that was made, removed when it is dropped before [`Temporary::become_named`].
#[derive(Debug)]
pub(super) struct Temporary {
    dir: Rc<OwnedFd>,
    name: PathBuf,
    renamed: bool,
}

impl Temporary {
    /// Makes something with `make`, which must fail with `EEXIST` where the name is taken.
    pub(super) fn make<T>(
        dir: &Rc<OwnedFd>,
        make: impl Fn(BorrowedFd<'_>, &Path) -> nix::Result<T>,
    ) -> Result<(Temporary, T)> {
        for _ in 0..TRIES {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let name = PathBuf::from(format!(".podling-cp-{}-{number}", std::process::id()));
            match make(dir.as_fd(), &name) {
                Ok(made) => return Ok((Temporary { dir: Rc::clone(dir), name, renamed: false }, made)),
                Err(Errno::EEXIST) => {}
                Err(errno) => return Err(write_failed(SysError::new("making it", errno))),
            }
        }
        Err(Error::new(format!("{TRIES} temporary names are all taken")).mend("remove the files .podling-cp-* there"))
    }

    /// The name in its directory.
    pub(super) fn name(&self) -> &Path {
        &self.name
    }

    /// Renames it, over whatever has the name now, which must not be the same file: rename(2) would leave both names.
    pub(super) fn become_named(mut self, name: &[u8]) -> Result<()> {
        match renameat(self.dir.as_fd(), self.name(), self.dir.as_fd(), name_of(name)) {
            Ok(()) => {
                self.renamed = true;
                Ok(())
            }
            Err(Errno::EBUSY) => Err(Error::new("something is mounted there by itself, so it cannot be replaced")
                .mend("write into it from inside: podling exec")),
            Err(errno) => Err(write_failed(SysError::new("renameat()", errno))),
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.renamed {
            let _ = unlinkat(self.dir.as_fd(), self.name(), UnlinkatFlags::NoRemoveDir);
        }
    }
}

/// A failed write, with the mend where the disk or the quota is full.
pub(super) fn write_failed(error: SysError) -> Error {
    let full = matches!(error.errno, Errno::ENOSPC | Errno::EDQUOT);
    let error = Error::from(error);
    if full { error.mend("make room on that file system, or copy to another") } else { error }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::symlink;

    use nix::fcntl::{OFlag, openat};
    use nix::sys::stat::Mode;

    use super::*;

    fn make(dir: &Rc<OwnedFd>) -> Result<Temporary> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        Temporary::make(dir, |dir, name| openat(dir, name, flags, Mode::S_IRWXU)).map(|(temporary, _)| temporary)
    }

    #[test]
    fn names_that_somebody_has_taken_are_passed_over() {
        let base = tempfile::tempdir().unwrap();
        let dir = Rc::new(OwnedFd::from(File::open(base.path()).unwrap()));
        fs::write(base.path().join("precious"), "old").unwrap();
        // Whoever may write there can guess them. Other tests count, too, so that there must be many.
        let next = NEXT.load(Ordering::Relaxed);
        for number in next..next + 500 {
            symlink("precious", base.path().join(format!(".podling-cp-{}-{number}", std::process::id()))).unwrap();
        }
        let temporary = make(&dir).unwrap();
        assert!(!base.path().join(temporary.name()).is_symlink());
        temporary.become_named(b"new").unwrap();
        assert_eq!(fs::read(base.path().join("new")).unwrap(), b"");
        assert_eq!(fs::read_to_string(base.path().join("precious")).unwrap(), "old");
    }

    #[test]
    fn what_is_given_up_is_gone() {
        let base = tempfile::tempdir().unwrap();
        let dir = Rc::new(OwnedFd::from(File::open(base.path()).unwrap()));
        let temporary = make(&dir).unwrap();
        assert_eq!(fs::read_dir(base.path()).unwrap().count(), 1);
        drop(temporary);
        assert_eq!(fs::read_dir(base.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_full_disk_says_what_to_do() {
        let base = tempfile::tempdir().unwrap();
        let dir = Rc::new(OwnedFd::from(File::open(base.path()).unwrap()));
        let full = |_: BorrowedFd<'_>, _: &Path| Err::<(), _>(Errno::ENOSPC);
        let error = Temporary::make(&dir, full).unwrap_err();
        assert!(error.hint().unwrap().contains("make room"), "{error}");
    }
}

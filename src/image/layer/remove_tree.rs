//! Removes a directory tree whose shape was chosen by someone else.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::{Mode, fchmod};
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::error::Result;
use crate::sys::{Named, SysError};

/// One descriptor is open for each level; trees that are deeper are cut and their lower parts hung up at the top.
const DEPTH: usize = 100;

/// Removes the directory `name` of `parent` and everything in it; symlinks are removed, never followed.
pub fn remove_tree(parent: BorrowedFd<'_>, name: &Path) -> Result<()> {
    let top = open(parent, name)?;
    empty(top.as_fd())?;
    drop(top);
    unlinkat(parent, name, UnlinkatFlags::RemoveDir).named(|| format!("unlinkat({:?})", name.display().to_string()))?;
    Ok(())
}

/// Removes everything in `top`, but not `top`.
pub fn empty(top: BorrowedFd<'_>) -> Result<()> {
    let mut cut = 0u64;
    // Each round removes all that is at most DEPTH levels deep, so this ends.
    loop {
        let before = cut;
        empty_level(top, top, 0, &mut cut)?;
        if cut == before {
            return Ok(());
        }
    }
}

fn empty_level(top: BorrowedFd<'_>, dir: BorrowedFd<'_>, depth: usize, cut: &mut u64) -> Result<()> {
    let clone = openat(dir, ".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
        .named(|| "openat(\".\")")?;
    // Modes like 0555 would stop us where we are not root of the files' user namespace.
    let _ = fchmod(&clone, Mode::S_IRWXU);
    let names: Vec<_> = Dir::from_fd(clone)
        .named(|| "fdopendir")?
        .iter()
        .map(|entry| entry.map(|e| e.file_name().to_owned()).named(|| "readdir"))
        .collect::<std::result::Result<_, SysError>>()?;
    for name in names.iter().filter(|name| !matches!(name.to_bytes(), b"." | b"..")) {
        match unlinkat(dir, name.as_c_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => continue,
            Err(Errno::EISDIR | Errno::EPERM) => {}
            Err(errno) => return Err(SysError::new(format!("unlinkat({name:?})"), errno).into()),
        }
        if depth >= DEPTH {
            *cut += 1;
            let aside = format!(".podling-removing-{cut}");
            renameat(dir, name.as_c_str(), top, aside.as_str()).named(|| format!("renameat({name:?})"))?;
            continue;
        }
        let below = open(dir, name.as_c_str())?;
        empty_level(top, below.as_fd(), depth + 1, cut)?;
        drop(below);
        unlinkat(dir, name.as_c_str(), UnlinkatFlags::RemoveDir).named(|| format!("unlinkat({name:?})"))?;
    }
    Ok(())
}

fn open<P: ?Sized + nix::NixPath>(dir: BorrowedFd<'_>, name: &P) -> Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    match openat(dir, name, flags, Mode::empty()) {
        Err(Errno::EACCES) => {
            // A directory that its owner may not read; chmod needs no permission but ownership.
            let mode = Mode::S_IRWXU;
            let _ = nix::sys::stat::fchmodat(dir, name, mode, nix::sys::stat::FchmodatFlags::NoFollowSymlink);
            Ok(openat(dir, name, flags, Mode::empty()).named(|| "openat(directory to remove)")?)
        }
        other => Ok(other.named(|| "openat(directory to remove)")?),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    #[test]
    fn deep_trees_and_links_go_and_what_links_point_to_stays() {
        let base = tempfile::tempdir().unwrap();
        let outside = base.path().join("outside");
        fs::write(&outside, "stays").unwrap();
        let mut deep = base.path().join("tree");
        fs::create_dir(&deep).unwrap();
        std::os::unix::fs::symlink(base.path(), deep.join("link")).unwrap();
        for _ in 0..350 {
            deep.push("d");
            fs::create_dir(&deep).unwrap();
            fs::write(deep.join("f"), "x").unwrap();
        }
        let parent = File::open(base.path()).unwrap();
        remove_tree(parent.as_fd(), Path::new("tree")).unwrap();
        assert!(!base.path().join("tree").exists());
        assert_eq!(fs::read_to_string(outside).unwrap(), "stays");
    }
}

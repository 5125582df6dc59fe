//! Giving a volume that outlives pods to a pod's `fsGroup`.

use std::ffi::OsStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fchmodat, fstatat};
use nix::unistd::{Gid, fchownat};

use crate::plan::GroupChange;
use crate::sys::fs::open_in_root_exactly;
use crate::sys::{Named, SysError};

/// What the group may do with everything, and with directories besides.
const BITS: u32 = 0o660;
const DIRECTORY_BITS: u32 = 0o2110;

/// Gives everything in the directory `root` to `group`, who may read and write it from then on, and everything that is made in its directories
/// (the kubelet's `SetVolumeOwnership`). With [`GroupChange::OnRootMismatch`] nothing is done where the root is so already.
///
/// Other pods may be changing the tree meanwhile: no link is followed, and what vanishes is no failure.
///
/// # Errors
/// The failed call, or a path that is longer than the kernel takes.
pub(super) fn give(root: &OwnedFd, group: u32, change: GroupChange) -> Result<(), SysError> {
    let about = fstatat(root, "", AtFlags::AT_EMPTY_PATH).named(|| "fstatat(a volume's root)")?;
    let wanted = BITS | DIRECTORY_BITS;
    if change == GroupChange::OnRootMismatch && about.st_gid == group && about.st_mode & wanted == wanted {
        return Ok(());
    }
    // By their paths, since a descriptor for each level of a tree would run out.
    let mut left = vec![PathBuf::from(".")];
    while let Some(path) = left.pop() {
        directory(root, &path, group, &mut left)?;
    }
    // The root comes last, so that one which is right says that everything is.
    one(root.as_fd(), Path::new("."), &about, group)
}

/// Gives what is in the directory at `path` below `root`, and adds the directories among it to `left`.
fn directory(root: &OwnedFd, path: &Path, group: u32, left: &mut Vec<PathBuf>) -> Result<(), SysError> {
    use nix::errno::Errno::{ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR};
    let here = match open_in_root_exactly(root, path, OFlag::O_RDONLY | OFlag::O_DIRECTORY) {
        // It has vanished, or is something else by now.
        Err(e) if matches!(e.errno, ENOENT | ENOTDIR | ELOOP) => return Ok(()),
        Err(e) if e.errno == ENAMETOOLONG => {
            return Err(SysError::new(
                "giving a volume to fsGroup: opening a directory in it, whose path is too long",
                e.errno,
            ));
        }
        opened => opened?,
    };
    let at = here.try_clone().named(|| "dup(a directory of a volume)")?;
    let mut listing = Dir::from_fd(here).named(|| "fdopendir(a directory of a volume)")?;
    for entry in listing.iter() {
        let entry = entry.named(|| "readdir(a directory of a volume)")?;
        let name = Path::new(OsStr::from_bytes(entry.file_name().to_bytes()));
        if name == Path::new(".") || name == Path::new("..") {
            continue;
        }
        let Ok(about) = fstatat(&at, name, AtFlags::AT_SYMLINK_NOFOLLOW) else { continue };
        if kind(&about) == SFlag::S_IFDIR {
            left.push(path.join(name));
        }
        one(at.as_fd(), name, &about, group)?;
    }
    Ok(())
}

fn one(at: BorrowedFd, name: &Path, about: &FileStat, group: u32) -> Result<(), SysError> {
    use nix::errno::Errno::ENOENT;
    let flags = AtFlags::AT_SYMLINK_NOFOLLOW;
    match fchownat(at, name, None, Some(Gid::from_raw(group)), flags) {
        Err(ENOENT) => return Ok(()),
        given => given.named(|| format!("fchownat({name:?}, {group})"))?,
    }
    let bits = match kind(about) {
        // A link has no mode of its own.
        SFlag::S_IFLNK => return Ok(()),
        SFlag::S_IFDIR => BITS | DIRECTORY_BITS,
        _ => BITS,
    };
    let mode = Mode::from_bits_truncate(about.st_mode & 0o7777 | bits);
    // What is a file now may be a link in a moment, which must not be followed: the descriptor is that of the file itself.
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let Ok(file) = openat(at, name, flags, Mode::empty()) else { return Ok(()) };
    let now = fstatat(&file, "", AtFlags::AT_EMPTY_PATH).named(|| format!("fstatat({name:?})"))?;
    if (now.st_dev, now.st_ino) != (about.st_dev, about.st_ino) {
        return Ok(());
    }
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    fchmodat(nix::fcntl::AT_FDCWD, path.as_str(), mode, nix::sys::stat::FchmodatFlags::FollowSymlink)
        .named(|| format!("chmod({name:?}, {:o})", mode.bits()))
}

fn kind(about: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(about.st_mode & SFlag::S_IFMT.bits())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn open(path: &Path) -> OwnedFd {
        fs::File::open(path).unwrap().into()
    }

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().mode() & 0o7777
    }

    #[test]
    fn everything_is_the_groups_and_no_link_is_followed() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("d/e")).unwrap();
        fs::write(at("d/e/file"), "x").unwrap();
        fs::write(other.path().join("far"), "x").unwrap();
        for path in [at("d/e/file"), other.path().join("far")] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        symlink(other.path().join("far"), at("link")).unwrap();
        symlink(other.path(), at("d/up")).unwrap();
        // Its own group is the only one that every tester may give.
        let group = nix::unistd::getegid().as_raw();
        give(&open(dir.path()), group, GroupChange::Always).unwrap();
        assert_eq!((mode(&at("d/e")), mode(&at("d/e/file"))), (0o2775, 0o660));
        assert_eq!(mode(dir.path()) & 0o2770, 0o2770);
        assert_eq!(mode(&other.path().join("far")), 0o600);
        assert_eq!(mode(other.path()) & 0o2000, 0);
        // The root says that nothing is to be done.
        fs::set_permissions(at("d/e/file"), fs::Permissions::from_mode(0o600)).unwrap();
        give(&open(dir.path()), group, GroupChange::OnRootMismatch).unwrap();
        assert_eq!(mode(&at("d/e/file")), 0o600);
        give(&open(dir.path()), group, GroupChange::Always).unwrap();
        assert_eq!(mode(&at("d/e/file")), 0o660);
    }

    #[test]
    fn a_tree_is_given_however_deep_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let deepest = dir.path().join(["d"; 900].join("/"));
        fs::create_dir_all(&deepest).unwrap();
        let group = nix::unistd::getegid().as_raw();
        give(&open(dir.path()), group, GroupChange::Always).unwrap();
        assert_eq!(mode(&deepest), 0o2775);
    }
}

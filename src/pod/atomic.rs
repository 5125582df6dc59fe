//! Generated files as the kubelet's atomic writer lays them out, so that all of them change in one moment.
//!
//! They are in a directory that is named after the time. The link `..data` leads there, and what stands at a file's path is a link that
//! goes by way of `..data`: to the file itself or, where nothing else is in it, to a directory above it. New files come in a new directory,
//! and one rename(2) of `..data` shows them. A mount point in the volume is a directory of its own, and stays where it is.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, readlinkat, renameat};
use nix::sys::stat::{Mode, SFlag, fchmod, fstatat, mkdirat};
use nix::unistd::{Uid, UnlinkatFlags, fchown, symlinkat, unlinkat};

use crate::error;
use crate::image::layer::remove_tree::remove_tree;
use crate::image::timestamp;
use crate::plan::FilePlan;
use crate::sys::{Named, SysError};

const DATA: &str = "..data";
const NEW_DATA: &str = "..data_tmp";

/// Writes the first files of the volume whose root is `root`. Directories that are there already are mount points.
///
/// # Errors
/// The failed call.
pub(super) fn write(root: BorrowedFd, files: &[FilePlan]) -> Result<(), SysError> {
    let directory = fill(root, files)?;
    symlinkat(Path::new(&directory), root, DATA).named(|| format!("symlinkat({directory:?}, {DATA:?})"))?;
    show(root, files).map(drop)
}

/// Replaces all files of the volume at `path` by `files`.
///
/// # Errors
/// The failed call; the old files stay then.
pub(super) fn replace(path: &Path, files: &[FilePlan]) -> error::Result<()> {
    let root = open_directory(path)?;
    let old = readlinkat(&root, DATA).named(|| format!("readlinkat({DATA:?})"))?;
    let old_files: Vec<PathBuf> = present(path)?.into_keys().collect();
    let new = fill(root.as_fd(), files)?;
    let _ = unlinkat(&root, NEW_DATA, UnlinkatFlags::NoRemoveDir);
    let swapped = symlinkat(Path::new(&new), &root, NEW_DATA)
        .and_then(|()| renameat(&root, NEW_DATA, &root, DATA))
        .named(|| format!("renameat({NEW_DATA:?}, {DATA:?})"));
    if let Err(e) = swapped {
        let _ = remove_tree(root.as_fd(), Path::new(&new));
        return Err(e.into());
    }
    let shown = show(root.as_fd(), files)?;
    for file in old_files {
        if let Some(link) = link_of(root.as_fd(), &file)
            && !shown.contains(&link)
        {
            unlinkat(&root, &link, UnlinkatFlags::NoRemoveDir).named(|| format!("unlinkat({link:?})"))?;
        }
    }
    remove_tree(root.as_fd(), Path::new(&old))
}

/// A file that a volume has.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Present {
    /// Permission bits.
    pub(super) mode: u32,
    /// The user that owns it.
    pub(super) owner: u32,
    /// What is in it.
    pub(super) content: Vec<u8>,
}

/// The generated files that the volume at `path` has now.
///
/// # Errors
/// The failed call.
pub(super) fn present(path: &Path) -> Result<BTreeMap<PathBuf, Present>, SysError> {
    let top = path.join(DATA);
    let mut files = BTreeMap::new();
    let mut directories = vec![PathBuf::new()];
    while let Some(directory) = directories.pop() {
        let here = top.join(&directory);
        for entry in fs::read_dir(&here).named(|| format!("readdir({here:?})"))?.flatten() {
            let (below, path) = (directory.join(entry.file_name()), entry.path());
            let about = entry.metadata().named(|| format!("stat({path:?})"))?;
            if about.is_dir() {
                directories.push(below);
                continue;
            }
            let content = fs::read(&path).named(|| format!("read({path:?})"))?;
            files.insert(below, Present { mode: about.mode() & 0o7777, owner: about.uid(), content });
        }
    }
    Ok(files)
}

/// Makes a directory for `files` and writes them; what has been written of them goes when it fails.
fn fill(root: BorrowedFd, files: &[FilePlan]) -> Result<String, SysError> {
    let (name, directory) = new_directory(root)?;
    match fill_directory(directory.as_fd(), files) {
        Ok(()) => Ok(name),
        Err(e) => {
            let _ = remove_tree(root, Path::new(&name));
            Err(e)
        }
    }
}

fn fill_directory(directory: BorrowedFd, files: &[FilePlan]) -> Result<(), SysError> {
    let mut made = BTreeSet::new();
    for file in files {
        let above: Vec<&Path> = file.path.ancestors().skip(1).filter(|path| !path.as_os_str().is_empty()).collect();
        for parent in above.into_iter().rev().filter(|parent| made.insert(*parent)) {
            mkdirat(directory, parent, mode(0o755)).named(|| format!("mkdirat({parent:?})"))?;
        }
        let path = &file.path;
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = openat(directory, path, flags, mode(file.mode)).named(|| format!("openat({path:?}, O_CREAT)"))?;
        // The umask, 022, must not take bits away that the YAML asks for.
        if file.mode & 0o022 != 0 {
            fchmod(&fd, mode(file.mode)).named(|| format!("fchmod({path:?}, {:o})", file.mode))?;
        }
        let mut open = File::from(fd);
        open.write_all(&text(file)).named(|| format!("write({path:?})"))?;
        if let Some(owner) = file.owner {
            fchown(&open, Some(Uid::from_raw(owner)), None).named(|| format!("fchown({path:?}, {owner})"))?;
        }
    }
    Ok(())
}

/// A new directory of the volume, with its name: the time as the kubelet writes it, and the nanoseconds in the place of its random digits.
fn new_directory(root: BorrowedFd) -> Result<(String, OwnedFd), SysError> {
    let mut tries = 0;
    loop {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let seconds = timestamp::format(i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
        let time = seconds.trim_end_matches('Z').replace(['-', ':', 'T'], "_");
        let name = format!("..{time}.{:09}", now.subsec_nanos());
        match mkdirat(root, name.as_str(), mode(0o755)) {
            Err(Errno::EEXIST) if tries < 100 => tries += 1,
            made => {
                made.named(|| format!("mkdirat({name:?})"))?;
                let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                let fd = openat(root, name.as_str(), flags, Mode::empty()).named(|| format!("openat({name:?})"))?;
                return Ok((name, fd));
            }
        }
    }
}

/// Makes the links that lead to `files`, where they are not there yet, and says which they are.
fn show(root: BorrowedFd, files: &[FilePlan]) -> Result<BTreeSet<PathBuf>, SysError> {
    let mut links = BTreeSet::new();
    for file in files {
        let mut up = PathBuf::new();
        let mut here = PathBuf::new();
        for component in names(&file.path) {
            here.push(component);
            if links.contains(&here) {
                break;
            }
            let target = up.join(DATA).join(&here);
            match symlinkat(&target, root, &here) {
                Ok(()) => {}
                Err(Errno::EEXIST) if is_directory(root, &here) => {
                    if here == file.path {
                        let call = format!("symlinkat({target:?}, {here:?}), where a volume is mounted");
                        return Err(SysError::new(call, Errno::EISDIR));
                    }
                    up.push("..");
                    continue;
                }
                Err(Errno::EEXIST) => {}
                Err(errno) => return Err(SysError::new(format!("symlinkat({target:?}, {here:?})"), errno)),
            }
            links.insert(here);
            break;
        }
    }
    Ok(links)
}

/// The link by which the file at `path` is shown.
fn link_of(root: BorrowedFd, path: &Path) -> Option<PathBuf> {
    let mut here = PathBuf::new();
    for component in names(path) {
        here.push(component);
        let about = fstatat(root, &here, AtFlags::AT_SYMLINK_NOFOLLOW).ok()?;
        match SFlag::from_bits_truncate(about.st_mode & SFlag::S_IFMT.bits()) {
            SFlag::S_IFLNK => return Some(here),
            SFlag::S_IFDIR => {}
            _ => return None,
        }
    }
    None
}

fn names(path: &Path) -> impl Iterator<Item = &OsStr> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name),
        _ => None,
    })
}

fn is_directory(root: BorrowedFd, path: &Path) -> bool {
    let about = fstatat(root, path, AtFlags::AT_SYMLINK_NOFOLLOW);
    about.is_ok_and(|about| SFlag::from_bits_truncate(about.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFDIR)
}

/// What is in the file: of a token its three parts, of which the last, the signature, is empty (RFC 7515, "alg": "none").
fn text(file: &FilePlan) -> Cow<'_, [u8]> {
    let Some(lifetime) = file.lifetime else { return Cow::Borrowed(&file.content) };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut claims: serde_json::Value = serde_json::from_slice(&file.content).unwrap_or_default();
    if let Some(claims) = claims.as_object_mut() {
        for (name, time) in [("iat", now), ("nbf", now), ("exp", now.saturating_add(lifetime))] {
            claims.insert(name.to_owned(), time.into());
        }
    }
    let part = |json: String| BASE64_URL_SAFE_NO_PAD.encode(json);
    let header = part(serde_json::json!({ "alg": "none", "typ": "JWT" }).to_string());
    Cow::Owned(format!("{header}.{}.", part(claims.to_string())).into_bytes())
}

/// The root of a volume.
///
/// # Errors
/// The failed call.
pub(super) fn open_directory(path: &Path) -> Result<OwnedFd, SysError> {
    open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
        .named(|| format!("open({path:?}, O_PATH)"))
}

fn mode(bits: u32) -> Mode {
    Mode::from_bits_truncate(bits)
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    fn file(path: &str, content: &str) -> FilePlan {
        FilePlan::new(path, 0o640, content)
    }

    fn seen(root: &Path, path: &str) -> String {
        fs::read_to_string(root.join(path)).unwrap_or_default()
    }

    fn entries(root: &Path) -> Vec<String> {
        let names = fs::read_dir(root).unwrap().flatten().map(|entry| entry.file_name().into_string().unwrap());
        let mut names: Vec<String> = names.filter(|name| !name.starts_with("..2")).collect();
        names.sort();
        names
    }

    fn directories(root: &Path) -> usize {
        fs::read_dir(root).unwrap().flatten().filter(|e| e.file_name().as_bytes().starts_with(b"..2")).count()
    }

    #[test]
    fn files_change_together_and_old_ones_go() {
        let root = tempfile::tempdir().unwrap();
        let at = root.path();
        write(open_directory(at).unwrap().as_fd(), &[file("a", "1"), file("d/b", "1"), file("d/e/c", "1")]).unwrap();
        assert_eq!(entries(at), ["..data", "a", "d"]);
        assert_eq!(fs::read_link(at.join("a")).unwrap(), Path::new("..data/a"));
        assert_eq!(fs::read_link(at.join("d")).unwrap(), Path::new("..data/d"));
        let first = fs::read_link(at.join("..data")).unwrap();
        replace(at, &[file("a", "2"), file("d/e/c", "2"), file("f", "2")]).unwrap();
        assert_ne!(fs::read_link(at.join("..data")).unwrap(), first);
        assert_eq!(["a", "d/b", "d/e/c", "f"].map(|path| seen(at, path)), ["2", "", "2", "2"]);
        replace(at, &[file("f", "3")]).unwrap();
        assert_eq!(entries(at), ["..data", "f"]);
        assert_eq!(directories(at), 1);
        assert_eq!(fs::metadata(at.join("f")).unwrap().mode() & 0o7777, 0o640);
        replace(at, &[]).unwrap();
        assert_eq!(entries(at), ["..data"]);
    }

    #[test]
    fn mount_points_stay_where_they_are() {
        let root = tempfile::tempdir().unwrap();
        let at = root.path();
        fs::create_dir_all(at.join("d/point")).unwrap();
        write(open_directory(at).unwrap().as_fd(), &[file("d/a", "1"), file("d/e/b", "1"), file("c", "1")]).unwrap();
        assert_eq!(fs::read_link(at.join("d/a")).unwrap(), Path::new("../..data/d/a"));
        assert_eq!(fs::read_link(at.join("d/e")).unwrap(), Path::new("../..data/d/e"));
        replace(at, &[file("d/e/b", "2"), file("d/f", "2")]).unwrap();
        assert_eq!(["d/a", "d/e/b", "d/f"].map(|path| seen(at, path)), ["", "2", "2"]);
        assert!(at.join("d/point").is_dir());
        assert_eq!(entries(&at.join("d")), ["e", "f", "point"]);
        let refused = replace(at, &[file("d/point", "3")]).unwrap_err().to_string();
        assert!(refused.contains("where a volume is mounted"), "{refused}");
    }

    #[test]
    fn what_cannot_be_written_leaves_the_old_files() {
        let root = tempfile::tempdir().unwrap();
        let at = root.path();
        write(open_directory(at).unwrap().as_fd(), &[file("a", "1")]).unwrap();
        // A file cannot be a directory, too.
        assert!(replace(at, &[file("x", "2"), file("x/y", "2")]).is_err());
        assert_eq!((seen(at, "a"), directories(at)), ("1".to_owned(), 1));
    }

    #[test]
    fn a_token_is_three_parts_without_a_signature() {
        let file = FilePlan { lifetime: Some(600), ..FilePlan::new("t", 0o600, r#"{"aud":["me"]}"#) };
        let text = String::from_utf8(text(&file).into_owned()).unwrap();
        let parts: Vec<&str> = text.split('.').collect();
        let json = |part: &str| -> serde_json::Value {
            serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
        };
        assert_eq!((parts.len(), parts[2]), (3, ""));
        assert_eq!(json(parts[0])["alg"], "none");
        let claims = json(parts[1]);
        assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 600);
        assert_eq!(claims["aud"][0], "me");
    }
}

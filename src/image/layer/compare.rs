//! Whether two directory trees are the same: names, types, modes, owners, times, links, attributes and contents.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::SystemTime;

use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstatat};

use crate::error::Result;
use crate::image::layer::below::{join, kind, name_of, relative};
use crate::image::layer::tar_entry::quote;
use crate::sys::{Named, fs, xattr};

/// More differences than these say nothing more.
const ENOUGH: usize = 5;

/// How `found` differs from `expected`, which was made since `made`: a few sentences, none where they are the same.
///
/// The times of directories that the archive only implies are those of their making, and so are those of whiteouts: they are not
/// compared.
pub fn compare(expected: &OwnedFd, found: &OwnedFd, made: SystemTime) -> Result<Vec<String>> {
    // A file's time comes from the kernel's coarse clock, which may be a tick, and so a second, behind.
    let made = made.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs().cast_signed() - 1);
    let mut comparison = Comparison { expected, found, made, differences: Vec::new() };
    let mut left = vec![Vec::new()];
    while let Some(path) = left.pop() {
        comparison.directory(&path, &mut left)?;
        if comparison.differences.len() >= ENOUGH {
            break;
        }
    }
    Ok(comparison.differences)
}

struct Comparison<'a> {
    expected: &'a OwnedFd,
    found: &'a OwnedFd,
    made: i64,
    differences: Vec<String>,
}

impl Comparison<'_> {
    fn directory(&mut self, path: &[u8], left: &mut Vec<Vec<u8>>) -> Result<()> {
        let (expected, found) = (open(self.expected, path)?, open(self.found, path)?);
        if path.is_empty() {
            let [a, b] = [&expected, &found].map(|dir| nix::sys::stat::fstat(dir).named(|| "fstat"));
            self.metadata(path, &a?, &b?);
        }
        self.attributes(path, expected.as_fd(), found.as_fd())?;
        let (expected, found) = (names(expected)?, names(found)?);
        for name in expected.1.symmetric_difference(&found.1) {
            let what = if found.1.contains(name) { "is too much" } else { "is missing" };
            self.say(&join(path, name), what);
        }
        for name in expected.1.intersection(&found.1) {
            let below = join(path, name);
            let (a, b) = (stat(expected.0.as_fd(), name)?, stat(found.0.as_fd(), name)?);
            if kind(&a) != kind(&b) {
                self.say(&below, "is of another type");
                continue;
            }
            self.metadata(&below, &a, &b);
            match kind(&a) {
                SFlag::S_IFDIR => left.push(below),
                SFlag::S_IFREG => self.file(&below, name, expected.0.as_fd(), found.0.as_fd())?,
                SFlag::S_IFLNK => {
                    let target = |dir: BorrowedFd<'_>| readlinkat(dir, name_of(name)).named(|| "readlinkat");
                    if target(expected.0.as_fd())? != target(found.0.as_fd())? {
                        self.say(&below, "is a link to something else");
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn metadata(&mut self, path: &[u8], a: &FileStat, b: &FileStat) {
        let is_dir = kind(a) == SFlag::S_IFDIR;
        let is_whiteout = kind(a) == SFlag::S_IFCHR && a.st_rdev == 0;
        let is_of_its_making = (is_dir || is_whiteout) && a.st_mtime >= self.made;
        for (differs, what) in [
            (a.st_mode != b.st_mode, "has another mode"),
            ((a.st_uid, a.st_gid) != (b.st_uid, b.st_gid), "has another owner"),
            (!is_dir && a.st_size != b.st_size, "has another size"),
            (!is_dir && a.st_nlink != b.st_nlink, "has another number of names"),
            (a.st_rdev != b.st_rdev, "is another device"),
            (
                !is_of_its_making && (a.st_mtime, a.st_mtime_nsec) != (b.st_mtime, b.st_mtime_nsec),
                "has another modification time",
            ),
        ] {
            if differs {
                self.say(path, what);
            }
        }
    }

    fn file(&mut self, path: &[u8], name: &[u8], a: BorrowedFd<'_>, b: BorrowedFd<'_>) -> Result<()> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let open = |dir| openat(dir, name_of(name), flags, Mode::empty()).named(|| format!("openat({})", quote(path)));
        let (a, b) = (open(a)?, open(b)?);
        self.attributes(path, a.as_fd(), b.as_fd())?;
        if !same_content(&mut File::from(a), &mut File::from(b))? {
            self.say(path, "has another content");
        }
        Ok(())
    }

    fn attributes(&mut self, path: &[u8], a: BorrowedFd<'_>, b: BorrowedFd<'_>) -> Result<()> {
        let all = |file: BorrowedFd<'_>| -> Result<BTreeSet<_>> {
            let with_value = |name: std::ffi::CString| Ok((xattr::get(file, &name)?, name));
            xattr::list(file)?.into_iter().map(with_value).collect()
        };
        if all(a)? != all(b)? {
            self.say(path, "has other extended attributes");
        }
        Ok(())
    }

    fn say(&mut self, path: &[u8], what: &str) {
        if self.differences.len() < ENOUGH {
            let path = if path.is_empty() { b"." } else { path };
            self.differences.push(format!("{} {what}", quote(path)));
        }
    }
}

fn open(top: &OwnedFd, path: &[u8]) -> Result<OwnedFd> {
    Ok(fs::open_beneath(top, relative(path), OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW, 0)?)
}

fn names(dir: OwnedFd) -> Result<(Dir, BTreeSet<Vec<u8>>)> {
    let mut dir = Dir::from_fd(dir).named(|| "fdopendir")?;
    let mut names = BTreeSet::new();
    for entry in dir.iter() {
        names.insert(entry.named(|| "readdir")?.file_name().to_bytes().to_vec());
    }
    names.remove(b".".as_slice());
    names.remove(b"..".as_slice());
    Ok((dir, names))
}

fn stat(dir: BorrowedFd<'_>, name: &[u8]) -> Result<FileStat> {
    Ok(fstatat(dir, name_of(name), AtFlags::AT_SYMLINK_NOFOLLOW).named(|| format!("fstatat({})", quote(name)))?)
}

fn same_content(a: &mut File, b: &mut File) -> Result<bool> {
    let (mut left, mut right) = (vec![0; 64 << 10], vec![0; 64 << 10]);
    loop {
        let count = a.read(&mut left)?;
        let Some(right) = right.get_mut(..count) else { return Ok(false) };
        if count == 0 {
            return Ok(b.read(&mut left)? == 0);
        }
        if b.read_exact(right).is_err() || left.get(..count) != Some(&*right) {
            return Ok(false);
        }
    }
}

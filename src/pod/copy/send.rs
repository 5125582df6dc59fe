//! Packs a file or a tree as a tar stream.
//!
//! The tree may change while it is read, in a container by someone who means harm: every file is opened by its name in an open
//! directory, without following links and without blocking, and its type is asked for again once it is open. In a container only
//! the container's own files can be reached by any swap; on the host, only what the caller may read.

use std::collections::HashMap;
use std::ffi::{CString, OsStr};
use std::fs::{File, Metadata};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, readlinkat};
use nix::sys::stat::Mode;
use nix::sys::statfs::{
    CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, DEBUGFS_MAGIC, FsType, PROC_SUPER_MAGIC, SYSFS_MAGIC, TRACEFS_MAGIC,
    fstatfs,
};
use tar::EntryType;

use super::Links;
use super::archive::{Archive, Meta};
use super::base::{Base, Top, says_directory};
use super::notes::Notes;
use crate::error::{Context, Error, Result};
use crate::image::layer::tar_entry::quote;
use crate::sys::{Named, SysError};

const BUFFER: usize = 128 << 10;
/// What the kernel takes as one path (PATH_MAX without the NUL), and what the receiving end accepts as a name.
const LONGEST: usize = 4095;
/// The kernel's own files have no length, so they are read before their header is written.
const KERNEL_FILE: u64 = 16 << 20;

/// What was sent.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// What was left out, one sentence for each reason.
    pub(super) warnings: Vec<String>,
}

/// Writes `source` to `out` as a tar archive whose entries begin with the source's own name, or with `.` for a directory's content.
///
/// # Errors
/// A source that is not there, cannot be read, or is a socket or device; a file that becomes shorter while it is read; a write to
/// `out` that fails. Files in a directory that may not be read do not end the copy: the archive is complete without them, and then
/// the error says how many there are.
pub(super) fn send(base: &Base, source: &Path, out: impl Write, links: Links) -> Result<Sent> {
    let shown = source.as_os_str().as_bytes();
    if shown.is_empty() {
        return Err(Error::new("the source is an empty path").mend("write `.` for the directory you are in"));
    }
    let top = Top::of(source);
    let mut sender = Sender {
        archive: Archive::new(out),
        source: shown,
        buffer: vec![0; BUFFER],
        links: HashMap::new(),
        kernels: HashMap::new(),
        notes: Notes::default(),
        unreadable: None,
    };
    let follow = links == Links::Follow || says_directory(source);
    let nofollow = if follow { OFlag::empty() } else { OFlag::O_NOFOLLOW };
    let open = |flags| base.open(source, flags | nofollow);
    let handle = File::from(open(OFlag::O_PATH).map_err(|e| not_found(shown, &e, follow))?);
    let stat = handle.metadata()?;
    let kind = stat.file_type();
    if kind.is_socket() || kind.is_char_device() || kind.is_block_device() {
        let what = if kind.is_socket() { "a socket" } else { "a device" };
        return Err(Error::new(format!("{} is {what}, which has no content to copy", quote(shown))));
    }
    if says_directory(source) && !kind.is_dir() {
        return Err(Error::new(format!("{} is not a directory", quote(shown))).mend("leave out the slash at its end"));
    }
    let node = Node { handle, stat, open: &open };
    sender.node(node, top.in_stream()).map_err(|stop| stop.into_error(shown))?;
    sender.finish()
}

fn not_found(shown: &[u8], error: &SysError, follow: bool) -> Error {
    let shown = quote(shown);
    match error.errno {
        Errno::ENOENT => Error::new(format!("{shown} does not exist")),
        Errno::ENOTDIR => Error::new(format!("{shown} goes through a file, or is one and ends with a slash")),
        Errno::ELOOP if follow => Error::new(format!("{shown} leads through a loop of symbolic links")),
        _ => Error::new(error.to_string()).context(shown),
    }
}

struct Sender<'a, W> {
    archive: Archive<W>,
    /// As the user wrote it, for errors.
    source: &'a [u8],
    buffer: Vec<u8>,
    /// The first name of each file that has several.
    links: HashMap<(u64, u64), Vec<u8>>,
    /// Whether the file system of this device number is one of the kernel's own.
    kernels: HashMap<u64, bool>,
    notes: Notes,
    /// The first that could not be read, why, and how many there are.
    unreadable: Option<(String, Errno, u64)>,
}

type Open<'a> = dyn Fn(OFlag) -> std::result::Result<OwnedFd, SysError> + 'a;

/// Something that was found, and how to open it.
struct Node<'a> {
    /// Opened with `O_PATH`.
    handle: File,
    stat: Metadata,
    open: &'a Open<'a>,
}

/// Why an entry was not sent.
enum Stop {
    /// It alone could not be opened.
    Unopened(Errno),
    /// The copy cannot go on.
    Failed(Error),
}

impl Stop {
    fn into_error(self, path: &[u8]) -> Error {
        match self {
            Stop::Unopened(errno) => Error::new(format!("cannot read {}: {}", quote(path), errno.desc())),
            Stop::Failed(e) => e,
        }
    }
}

impl From<Error> for Stop {
    fn from(e: Error) -> Stop {
        Stop::Failed(e)
    }
}

impl<W: Write> Sender<'_, W> {
    fn finish(self) -> Result<Sent> {
        self.archive.finish().map_err(broken)?;
        match self.unreadable {
            None => Ok(Sent { warnings: self.notes.into_sentences() }),
            Some((first, errno, count)) => {
                let count = if count == 1 { "1 file".to_owned() } else { format!("{count} files, the first of them") };
                Err(Error::new(format!("cannot read {count} {first}: {}", errno.desc()))
                    .mend("everything else was copied"))
            }
        }
    }

    /// Sends what is called `name` in the archive, and all that is in it.
    fn node(&mut self, node: Node<'_>, name: &[u8]) -> std::result::Result<(), Stop> {
        let kind = node.stat.file_type();
        if name.len() > LONGEST {
            return Err(self.failed(name, "its path is longer than 4095 bytes").into());
        }
        if kind.is_dir() {
            return self.directory(node, name);
        }
        if kind.is_socket() || kind.is_char_device() || kind.is_block_device() {
            self.notes.add("sockets and devices are left out", name);
            return Ok(());
        }
        let stat = &node.stat;
        let identity = (stat.dev(), stat.ino());
        if stat.nlink() > 1
            && let Some(first) = self.links.get(&identity)
        {
            let first = first.clone();
            return Ok(self.entry(EntryType::Link, name, &first, stat, 0)?);
        }
        if kind.is_symlink() {
            // The handle is the link itself, so its target cannot be another's.
            let target = readlinkat(&node.handle, "").map_err(Stop::Unopened)?;
            self.entry(EntryType::Symlink, name, target.as_bytes(), stat, 0)?;
        } else if kind.is_fifo() {
            self.entry(EntryType::Fifo, name, b"", stat, 0)?;
        } else {
            self.file(node.open, name)?;
        }
        if stat.nlink() > 1 {
            self.links.insert(identity, name.to_vec());
        }
        Ok(())
    }

    fn directory(&mut self, node: Node<'_>, name: &[u8]) -> std::result::Result<(), Stop> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOCTTY | OFlag::O_NONBLOCK;
        let Node { handle, stat, open } = node;
        // Each level of the tree costs one descriptor as it is.
        drop(handle);
        let dir = open(flags).map_err(|e| Stop::Unopened(e.errno))?;
        self.entry(EntryType::Directory, &[name, b"/"].concat(), b"", &stat, 0)?;
        let listed = list(&dir).map_err(|e| self.failed(name, e))?;
        let here = self.is_kernels(stat.dev(), &dir);
        for child in listed {
            let path = [name, b"/", child.as_bytes()].concat();
            match self.child(&dir, &child, &path, here) {
                Err(Stop::Unopened(Errno::ENOENT)) => {
                    self.notes.add("files that went away while they were copied are left out", &path);
                }
                Err(Stop::Unopened(errno)) if concerns_one(errno) => {
                    let shown = self.shown(&path);
                    self.unreadable.get_or_insert((shown, errno, 0)).2 += 1;
                }
                Err(Stop::Unopened(errno)) => return Err(self.failed(&path, errno.desc()).into()),
                done => done?,
            }
        }
        Ok(())
    }

    fn child(&mut self, dir: &OwnedFd, name: &CString, path: &[u8], kernels: bool) -> std::result::Result<(), Stop> {
        let name = OsStr::from_bytes(name.as_bytes());
        let open = |flags| {
            openat(dir, name, flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())
                .named(|| format!("openat({:?})", name.display().to_string()))
        };
        // O_PATH opens everything, links and FIFOs included, and does nothing to it.
        let handle = File::from(open(OFlag::O_PATH).map_err(|e| Stop::Unopened(e.errno))?);
        let stat = handle.metadata().map_err(|e| self.failed(path, e))?;
        if !kernels && stat.is_dir() && self.is_kernels(stat.dev(), &handle) {
            self.notes.add("the kernel's own file systems (/proc, /sys) are left out", path);
            return Ok(());
        }
        self.node(Node { handle, stat, open: &open }, path)
    }

    fn file(&mut self, open: &Open<'_>, name: &[u8]) -> std::result::Result<(), Stop> {
        // Another may have put a FIFO or a device in its place, which must neither block nor become our terminal.
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        let mut file = File::from(open(flags).map_err(|e| Stop::Unopened(e.errno))?);
        let stat = file.metadata().map_err(|e| self.failed(name, e))?;
        if !stat.is_file() {
            return Err(self.failed(name, "it became something else while it was copied").into());
        }
        if self.is_kernels(stat.dev(), &file) {
            let mut content = Vec::new();
            file.take(KERNEL_FILE).read_to_end(&mut content).map_err(|e| self.failed(name, e))?;
            let size = content.len() as u64;
            self.entry(EntryType::Regular, name, b"", &stat, size)?;
            self.archive.content(&content).map_err(broken)?;
            return Ok(self.archive.pad(size).map_err(broken)?);
        }
        // What is appended from now on is left out, so that the size in the header is true.
        let mut left = stat.len();
        self.entry(EntryType::Regular, name, b"", &stat, left)?;
        while left > 0 {
            let wanted = left.min(BUFFER as u64) as usize;
            let count = match file.read(self.buffer.get_mut(..wanted).unwrap_or_default()) {
                Ok(0) => return Err(self.failed(name, "it became shorter while it was copied").into()),
                Ok(count) => count,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(self.failed(name, e).into()),
            };
            self.archive.content(self.buffer.get(..count).unwrap_or_default()).map_err(broken)?;
            left -= count as u64;
        }
        Ok(self.archive.pad(stat.len()).map_err(broken)?)
    }

    fn entry(&mut self, kind: EntryType, name: &[u8], link: &[u8], stat: &Metadata, size: u64) -> Result<()> {
        let meta = Meta {
            mode: stat.mode() & 0o7777,
            uid: stat.uid(),
            gid: stat.gid(),
            mtime: (stat.mtime(), stat.mtime_nsec()),
            size,
        };
        self.archive.entry(kind, name, link, &meta).map_err(broken)
    }

    /// Whether a file system is made by the kernel as it is read: endless, without lengths, and never what the user means.
    fn is_kernels(&mut self, device: u64, file: &(impl AsFd + AsRawFd)) -> bool {
        const KERNELS: [FsType; 6] =
            [PROC_SUPER_MAGIC, SYSFS_MAGIC, CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, DEBUGFS_MAGIC, TRACEFS_MAGIC];
        *self
            .kernels
            .entry(device)
            .or_insert_with(|| fstatfs(file.as_fd()).is_ok_and(|fs| KERNELS.contains(&fs.filesystem_type())))
    }

    fn failed(&self, name: &[u8], why: impl std::fmt::Display) -> Error {
        Error::new(format!("cannot read {}: {why}", self.shown(name)))
    }

    /// A name in the archive as the path that the user knows: it begins with the source's own name, or with `.`.
    fn shown(&self, name: &[u8]) -> String {
        let below = name.iter().position(|b| *b == b'/').and_then(|slash| name.get(slash..)).unwrap_or_default();
        let source = super::base::trim(self.source);
        quote(&[source.strip_suffix(b"/.").unwrap_or(source), below].concat())
    }
}

/// Names in order, so that the same tree makes the same archive.
fn list(dir: &OwnedFd) -> Result<Vec<CString>> {
    let clone = dir.try_clone().context(|| "dup()")?;
    let mut names = Vec::new();
    for entry in Dir::from_fd(clone).named(|| "fdopendir()")?.iter() {
        let entry = entry.named(|| "readdir()")?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Whether an errno of open(2) says something about the one file, so that the rest can be copied.
fn concerns_one(errno: Errno) -> bool {
    // ELOOP and what follows: it became a link, a file, a FIFO, a device after it had been looked at.
    matches!(
        errno,
        Errno::EACCES
            | Errno::EPERM
            | Errno::EWOULDBLOCK
            | Errno::ELOOP
            | Errno::ENOTDIR
            | Errno::ENXIO
            | Errno::ENODEV
    )
}

fn broken(e: io::Error) -> Error {
    Error::from(e).context("sending the copy")
}

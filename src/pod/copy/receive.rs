//! Unpacks a tar stream at a destination, and believes nothing that it says.
//!
//! - Names that are absolute or climb are refused, and so is every name outside the source that was asked for.
//! - Every directory on the way is opened by openat2 below the destination with no link followed, whoever made the link.
//! - Everything but directories is made under a temporary name in its own directory (`.podling-cp-…`) and renamed when it is whole:
//!   whoever looks sees the old file or the new one. A failure removes the temporary file; only SIGKILL leaves one.
//! - A directory that exists keeps its owner, mode and time. A directory replaces nothing else, and nothing else replaces a directory.
//! - A hard link may only lead to a file that this copy made itself.
//! - Permission bits are the source's whatever the umask. Set-user-id and set-group-id bits are dropped unless the caller trusts the
//!   stream and keeps the owners; the sticky bit stays on directories, where it only forbids, and goes elsewhere.
//! - Devices are left out, and so are extended attributes.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::rc::Rc;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, UtimensatFlags, fchmod, fstat, fstatat, futimens, mkdirat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, LinkatFlags, Uid, fchown, fchownat, linkat, mkfifoat, symlinkat};

use super::base::{Base, Top};
use super::notes::Notes;
use super::place::{self, Place, Source};
use super::temporary::{Temporary, write_failed};
use super::{Copied, Owner, Shape};
use crate::error::{Error, Result};
use crate::image::layer::below::{join, kind, name_of, relative, split};
use crate::image::layer::tar_entry::{Kind, TarEntry, normalize, quote};
use crate::image::layer::tar_reader::{Input, TarReader};
use crate::sys::{Named, SysError, fs};

/// What the receiving end makes of the stream.
#[derive(Debug, Clone)]
pub(super) struct How {
    /// What the stream holds.
    pub(super) shape: Shape,
    /// Who owns what it makes.
    pub(super) owner: Owner,
    /// What becomes of set-user-id and set-group-id bits.
    pub(super) special: SpecialBits,
}

/// What becomes of set-user-id and set-group-id bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SpecialBits {
    /// They are dropped, with a warning.
    Drop,
    /// They are kept: the stream is the caller's own, and so are its owners.
    Keep,
}

/// Unpacks the archive in `input` at `destination`.
///
/// # Errors
/// A destination that does not fit, a stream that is no honest archive or ends early, a file that cannot be written; each names its
/// path. What was complete by then stays, directories with their modes.
pub(super) fn receive(base: &Base, destination: &Path, input: impl Read, how: &How) -> Result<Copied> {
    let mut archive = TarReader::new(Stream(BufReader::with_capacity(128 << 10, input)));
    let first = archive.next_entry()?;
    let source = match &first {
        Some(entry) if entry.kind != Kind::Directory => Source::Other,
        Some(_) => Source::Directory,
        None if matches!(how.shape, Shape::Archive | Shape::Volume) => Source::Directory,
        None => return Err(Error::new("the other end of the copy sent nothing")),
    };
    let place = place::find(base, destination, &how.shape, source)?;
    let mut writer = Writer {
        place,
        how,
        parent: None,
        directories: HashMap::new(),
        made: HashMap::new(),
        notes: Notes::default(),
        copied: Copied::default(),
    };
    let unpacked = writer.unpack(first, &mut archive);
    // Directories were made for us alone, and must not stay so even when the copy ends early.
    let finished = writer.finish_directories();
    unpacked.and(finished)?;
    Ok(Copied { warnings: writer.notes.into_sentences(), ..writer.copied })
}

struct Stream<R>(BufReader<R>);

impl<R: Read> Read for Stream<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<R: Read> BufRead for Stream<R> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        self.0.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.0.consume(count);
    }
}

impl<R: Read> Input for Stream<R> {}

struct Writer<'a> {
    place: Place,
    how: &'a How,
    /// The directory of the entry before, which is mostly that of the next, too.
    parent: Option<(Vec<u8>, Rc<OwnedFd>)>,
    /// What the directories that were made here get at the end.
    directories: HashMap<Vec<u8>, TarEntry>,
    /// Device and inode of everything else that was made here: what hard links may lead to.
    made: HashMap<Vec<u8>, (u64, u64)>,
    notes: Notes,
    copied: Copied,
}

impl Writer<'_> {
    fn unpack(&mut self, first: Option<TarEntry>, archive: &mut TarReader<impl Input>) -> Result<()> {
        let mut next = first;
        while let Some(entry) = next {
            let path = self.path_of(&entry.name).map_err(|e| e.context(format!("entry {}", entry.quoted())))?;
            self.write(&entry, &path, archive).map_err(|e| e.context(self.shown(&path)))?;
            self.copied.bytes = self.copied.bytes.saturating_add(entry.size);
            next = archive.next_entry()?;
        }
        Ok(())
    }

    /// Where in the place an entry goes: the source's own name in the stream gives way to the one that it has here.
    fn path_of(&self, name: &[u8]) -> Result<Vec<u8>> {
        let path = normalize(name).map_err(Error::new)?;
        let Shape::Copy(Top::Named(asked)) = &self.how.shape else {
            return Ok(join_below(&self.place.top, &path));
        };
        let asked = asked.as_bytes();
        match path.strip_prefix(asked) {
            Some(b"") => Ok(self.place.top.clone()),
            Some([b'/', below @ ..]) => Ok(join_below(&self.place.top, below)),
            _ => Err(Error::new(format!("only {} and what is in it was asked for", quote(asked)))),
        }
    }

    fn write(&mut self, entry: &TarEntry, path: &[u8], archive: &mut TarReader<impl Input>) -> Result<()> {
        if path.is_empty() {
            // The destination itself: it exists, and so it stays as it is, unless it is part of what is made.
            return match entry.kind {
                Kind::Directory => {
                    if self.how.shape == Shape::Volume {
                        self.directories.insert(Vec::new(), entry.clone());
                    }
                    Ok(())
                }
                _ => Err(Error::new("only a directory can stand for the whole destination")),
            };
        }
        if entry.kind == Kind::Device {
            self.notes.add("devices are left out", path);
            return Ok(());
        }
        let (dir, name) = split(path);
        let parent = self.parent_of(dir)?;
        let existing = stat_of(&parent, name)?;
        self.copied.entries += 1;
        if entry.kind == Kind::Directory {
            return match existing {
                None => self.make_directory(&parent, path, entry),
                Some(stat) if kind(&stat) == SFlag::S_IFDIR => {
                    // The stream may name its own directory twice; the last one counts, as with tar.
                    if let Some(end) = self.directories.get_mut(path) {
                        *end = entry.clone();
                    }
                    Ok(())
                }
                Some(_) => Err(Error::new("it exists and is not a directory, and a directory cannot replace it")
                    .mend("remove it first, or name another destination")),
            };
        }
        if existing.is_some_and(|stat| kind(&stat) == SFlag::S_IFDIR) {
            return Err(Error::new("it exists and is a directory, which only a directory can be copied over")
                .mend("remove it first, or name another destination"));
        }
        let made = match entry.kind {
            Kind::File => self.write_file(&parent, name, path, entry, archive)?,
            Kind::HardLink => self.write_hard_link(&parent, name, entry)?,
            _ => self.write_node(&parent, name, path, entry)?,
        };
        self.made.insert(path.to_vec(), made);
        Ok(())
    }

    fn write_file(
        &mut self,
        parent: &Rc<OwnedFd>,
        name: &[u8],
        path: &[u8],
        entry: &TarEntry,
        archive: &mut TarReader<impl Input>,
    ) -> Result<(u64, u64)> {
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let (temporary, file) = Temporary::make(parent, |dir, name| openat(dir, name, flags, mode))?;
        let file = File::from(file);
        let mut at = 0u64;
        archive.read_content(|piece| {
            // Zeros become a hole: a sparse file that says to be huge must not fill the disk.
            if piece.iter().any(|b| *b != 0) {
                file.write_all_at(piece, at).named(|| "write()").map_err(write_failed)?;
            }
            at += piece.len() as u64;
            Ok(())
        })?;
        file.set_len(at).named(|| "ftruncate()").map_err(write_failed)?;
        if let Some((uid, gid)) = self.owner(entry)? {
            fchown(&file, Some(uid), Some(gid)).map_err(chown_failed)?;
        }
        // After chown, which takes set-user-id bits away.
        fchmod(&file, self.mode(entry, path)).named(|| "fchmod()")?;
        futimens(&file, &TimeSpec::UTIME_OMIT, &entry.mtime).named(|| "futimens()")?;
        let stat = fstat(&file).named(|| "fstat()")?;
        temporary.become_named(name)?;
        Ok((stat.st_dev, stat.st_ino))
    }

    fn write_node(&mut self, parent: &Rc<OwnedFd>, name: &[u8], path: &[u8], entry: &TarEntry) -> Result<(u64, u64)> {
        let target = OsStr::from_bytes(&entry.link);
        if entry.kind == Kind::Symlink && (entry.link.is_empty() || entry.link.contains(&0)) {
            return Err(Error::new("its target is empty or contains a NUL byte"));
        }
        if entry.kind == Kind::Symlink && path == self.place.top {
            self.notes.add("the source is a symbolic link and was copied as one (-L copies what it points to)", path);
        }
        let (temporary, ()) = Temporary::make(parent, |dir, name| match entry.kind {
            Kind::Fifo => mkfifoat(dir, name, Mode::S_IRUSR),
            _ => symlinkat(target, dir, name),
        })?;
        let here = temporary.name();
        // Opened while it is still ours; to change a mode by its name without following a link needs a /proc or Linux 6.6.
        let fifo = match entry.kind {
            Kind::Fifo => {
                let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
                Some(openat(parent, here, flags, Mode::empty()).named(|| "openat(O_NONBLOCK)")?)
            }
            _ => None,
        };
        if let Some((uid, gid)) = self.owner(entry)? {
            fchownat(parent.as_fd(), here, Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW).map_err(chown_failed)?;
        }
        if let Some(fifo) = fifo {
            fchmod(&fifo, self.mode(entry, path)).named(|| "fchmod()")?;
        }
        utimensat(parent.as_fd(), here, &TimeSpec::UTIME_OMIT, &entry.mtime, UtimensatFlags::NoFollowSymlink)
            .named(|| "utimensat()")?;
        let stat = fstatat(parent.as_fd(), here, AtFlags::AT_SYMLINK_NOFOLLOW).named(|| "fstatat()")?;
        temporary.become_named(name)?;
        Ok((stat.st_dev, stat.st_ino))
    }

    fn write_hard_link(&mut self, parent: &Rc<OwnedFd>, name: &[u8], entry: &TarEntry) -> Result<(u64, u64)> {
        let wrong = |why: &str| Error::new(format!("it is a hard link to {}, {why}", quote(&entry.link)));
        let target = self.path_of(&entry.link).map_err(|e| wrong(e.what()))?;
        let stranger = "which this copy did not make";
        let made = *self.made.get(&target).ok_or_else(|| wrong(stranger))?;
        let (dir, target) = split(&target);
        let dir = self.open_directory(dir)?;
        let (temporary, ()) =
            Temporary::make(parent, |here, new| linkat(&dir, name_of(target), here, new, LinkatFlags::empty()))?;
        // Asked of the new name, which nobody knows: the target's may be another file by now.
        let stat = fstatat(parent.as_fd(), temporary.name(), AtFlags::AT_SYMLINK_NOFOLLOW).named(|| "fstatat()")?;
        if (stat.st_dev, stat.st_ino) != made {
            return Err(wrong(stranger));
        }
        // A file that is to have its own name again keeps it.
        let known = stat_of(parent, name)?.is_some_and(|stat| (stat.st_dev, stat.st_ino) == made);
        if !known {
            temporary.become_named(name)?;
        }
        Ok(made)
    }

    /// For us alone until the end: its own mode may forbid writing even to its owner.
    fn make_directory(&mut self, parent: &OwnedFd, path: &[u8], entry: &TarEntry) -> Result<()> {
        let (_, name) = split(path);
        mkdirat(parent, name_of(name), Mode::S_IRWXU).named(|| "mkdirat()").map_err(write_failed)?;
        self.directories.insert(path.to_vec(), entry.clone());
        Ok(())
    }

    /// Opens the directory of an entry. Foreign archives may leave out directories, which then are made with mode 0755.
    fn parent_of(&mut self, path: &[u8]) -> Result<Rc<OwnedFd>> {
        if let Some((_, fd)) = self.parent.as_ref().filter(|(known, _)| known == path) {
            return Ok(Rc::clone(fd));
        }
        let makes = matches!(self.how.shape, Shape::Archive | Shape::Volume);
        // A deep directory is looked for from the top once, and not at each of its levels, unless it has to be made.
        if makes && self.find_directory(path).is_err_and(|e| e.errno == Errno::ENOENT) {
            let ends = path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at);
            for end in ends.chain((!path.is_empty()).then_some(path.len())) {
                self.make_implied(path.get(..end).unwrap_or_default())?;
            }
        }
        let fd = Rc::new(self.open_directory(path)?);
        self.parent = Some((path.to_vec(), Rc::clone(&fd)));
        Ok(fd)
    }

    fn make_implied(&mut self, path: &[u8]) -> Result<()> {
        let (dir, name) = split(path);
        let parent = self.open_directory(dir)?;
        if stat_of(&parent, name)?.is_some() {
            return Ok(());
        }
        let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let entry = TarEntry {
            name: path.to_vec(),
            kind: Kind::Directory,
            size: 0,
            mode: 0o755,
            uid: uid.into(),
            gid: gid.into(),
            mtime: TimeSpec::from_duration(now),
            link: Vec::new(),
            xattrs: Vec::new(),
        };
        self.make_directory(&parent, path, &entry)
    }

    /// No link is followed, and there is no `..` in `path`, so this stays below.
    fn find_directory(&self, path: &[u8]) -> std::result::Result<OwnedFd, SysError> {
        fs::open_in_root_exactly(&self.place.root, relative(path), OFlag::O_PATH | OFlag::O_DIRECTORY)
    }

    fn open_directory(&self, path: &[u8]) -> Result<OwnedFd> {
        self.find_directory(path).map_err(|e| {
            let why = match e.errno {
                Errno::ELOOP => "there is a symbolic link on the way, and none is followed",
                Errno::ENOTDIR => "there is something on the way that is not a directory",
                Errno::ENOENT => "the directory was not copied before what is in it",
                _ => return e.into(),
            };
            Error::new(format!("cannot enter the directory {}: {why}", self.shown(path)))
        })
    }

    /// Deepest first, so that no directory is closed before those below it are done.
    fn finish_directories(&mut self) -> Result<()> {
        self.parent = None;
        let mut directories: Vec<_> = self.directories.drain().collect();
        directories.sort_unstable_by(|(a, _), (b, _)| b.cmp(a));
        let mut outcome = Ok(());
        for (path, entry) in directories {
            let finished = self.finish_directory(&path, &entry).map_err(|e| e.context(self.shown(&path)));
            outcome = outcome.and(finished);
        }
        outcome
    }

    fn finish_directory(&mut self, path: &[u8], entry: &TarEntry) -> Result<()> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
        let dir = fs::open_in_root_exactly(&self.place.root, relative(path), flags)?;
        if let Some((uid, gid)) = self.owner(entry)? {
            fchown(&dir, Some(uid), Some(gid)).map_err(chown_failed)?;
        }
        fchmod(&dir, self.mode(entry, path)).named(|| "fchmod()")?;
        futimens(&dir, &TimeSpec::UTIME_OMIT, &entry.mtime).named(|| "futimens()")?;
        Ok(())
    }

    fn mode(&mut self, entry: &TarEntry, path: &[u8]) -> Mode {
        let sticky = if entry.kind == Kind::Directory { 0o1000 } else { 0 };
        let mode = match self.how.special {
            SpecialBits::Keep => entry.mode & 0o7777,
            SpecialBits::Drop => {
                if entry.mode & 0o6000 != 0 {
                    self.notes.add("set-user-id and set-group-id bits are dropped", path);
                }
                entry.mode & (0o777 | sticky)
            }
        };
        Mode::from_bits_truncate(mode)
    }

    fn owner(&self, entry: &TarEntry) -> Result<Option<(Uid, Gid)>> {
        // (uid_t)-1 means "no change" to chown(2), so it is nobody's id.
        let id = |id: u64| u32::try_from(id).ok().filter(|id| *id != u32::MAX);
        match self.how.owner {
            Owner::Receiver => Ok(None),
            Owner::Of { uid, gid } => Ok(Some((Uid::from_raw(uid), Gid::from_raw(gid)))),
            Owner::Kept => match (id(entry.uid), id(entry.gid)) {
                (Some(uid), Some(gid)) => Ok(Some((Uid::from_raw(uid), Gid::from_raw(gid)))),
                _ => Err(Error::new("its owner's id is larger than any that Linux has")),
            },
        }
    }

    /// A path in the place as the user knows it.
    fn shown(&self, path: &[u8]) -> String {
        match (self.place.shown.as_slice(), path) {
            (dir, b"") => quote(dir),
            (b".", path) => quote(path),
            (dir, path) if dir.ends_with(b"/") => quote(&[dir, path].concat()),
            (dir, path) => quote(&[dir, b"/", path].concat()),
        }
    }
}

fn join_below(top: &[u8], path: &[u8]) -> Vec<u8> {
    if path.is_empty() { top.to_vec() } else { join(top, path) }
}

fn stat_of(dir: &OwnedFd, name: &[u8]) -> Result<Option<FileStat>> {
    match fstatat(dir, name_of(name), AtFlags::AT_SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::ENOENT) => Ok(None),
        Err(errno) => Err(SysError::new("fstatat()", errno).into()),
    }
}

fn chown_failed(errno: Errno) -> Error {
    let error = Error::from(SysError::new("chown()", errno));
    match errno {
        Errno::EPERM | Errno::EINVAL => error
            .mend("its owner has no place here: leave the owners out (cp without -a, volume import with --no-owners)"),
        _ => error,
    }
}

//! Writes one layer's entries below a directory that they cannot leave.
//!
//! Every path is walked by openat2 with `RESOLVE_BENEATH`: an entry may go through a symlink that its own layer made, as long as
//! that stays in the layer; one that is absolute or climbs out is refused. (Builders walk a tree to make a layer, so their
//! entries never go through symlinks at all.) The last component is always a plain name below an open directory.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, SFlag, UtimensatFlags};
use nix::sys::stat::{fchmod, fchmodat, fstatat, futimens, mkdirat, mknodat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, LinkatFlags, Uid, UnlinkatFlags, fchown, fchownat, linkat, mkfifoat, symlinkat, unlinkat};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::host::IdMap;
use crate::image::layer::below::{
    is_whiteout, is_whiteout_at, join, kind, name_of, open_directory, relative, split, through,
};
use crate::image::layer::limits::{Budget, check_space, write_failed};
use crate::image::layer::remove_tree::remove_tree;
use crate::image::layer::tar_entry::{Kind, TarEntry, normalize, quote};
use crate::image::layer::tar_reader::{End, Input, TarReader, in_entry};
use crate::image::layer::warnings::Warnings;
use crate::image::layer::whiteout::{self, Mark};
use crate::image::layer::xattrs;
use crate::image::namespace::Workplace;
use crate::sys::{Named, SysError, fs, xattr};

/// What unpacking a layer came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerStats {
    /// Entries of the archive.
    pub entries: u64,
    /// Bytes of all files' contents.
    pub bytes: u64,
    /// What was left out, one sentence each.
    pub warnings: Vec<String>,
    /// Whether the archive had the end that the format prescribes.
    pub end_marked: bool,
}

/// Unpacks the tar archive `input` into the empty directory of `dest`.
///
/// Runs inside the user namespace of `ids`, as its root. With a single id everything belongs to the caller, whatever the
/// archive says: the container's last user namespace shows it as the user it runs as. On failure `dest` is left half written,
/// for the caller to remove.
pub fn unpack(input: impl Input, dest: &Workplace, limits: &Budget, ids: &IdMap) -> Result<LayerStats> {
    let mut archive = TarReader::limited(input, limits.limits.header_size);
    let mut layer = Layer::new(dest, ids)?;
    while let Some(entry) = archive.next_entry()? {
        // Checked before the entry is written, and headers counted too: a million empty files are a bomb as well.
        limits.check(archive.position().saturating_add(entry.size)).map_err(|e| in_entry(&entry.name, e))?;
        limits.check_entry(&entry, layer.stats.entries + 1).map_err(|e| in_entry(&entry.name, e))?;
        layer.write(&entry, &mut archive).map_err(|e| in_entry(&entry.name, e))?;
        layer.stats.entries += 1;
    }
    layer.finish_directories()?;
    layer.stats.end_marked = archive.end() == End::Marked;
    layer.stats.warnings = layer.warnings.into_sentences();
    Ok(layer.stats)
}

/// Mode and time of a directory, which are set when nothing more is written into it.
struct DirectoryEnd {
    mode: u32,
    mtime: TimeSpec,
}

struct Layer<'a> {
    root: BorrowedFd<'a>,
    ids: &'a IdMap,
    /// The directory that the last entry was written to: neighbours mostly share it.
    parent: Option<(Vec<u8>, OwnedFd)>,
    directories: HashMap<Vec<u8>, DirectoryEnd>,
    umask: u32,
    stats: LayerStats,
    warnings: Warnings,
}

impl<'a> Layer<'a> {
    fn new(dest: &'a Workplace, ids: &'a IdMap) -> Result<Self> {
        let root = dest.dir.as_fd();
        // No setgid bit may reach new entries from the store's directory.
        fchmod(root, Mode::from_bits_truncate(0o755)).named(|| "fchmod(layer root)")?;
        let warnings = Warnings::default();
        Ok(Layer {
            root,
            ids,
            parent: None,
            directories: HashMap::new(),
            umask: dest.umask,
            stats: LayerStats::default(),
            warnings,
        })
    }

    fn write(&mut self, entry: &TarEntry, archive: &mut TarReader<impl Input>) -> Result<()> {
        let path = normalize(&entry.name).map_err(Error::new)?;
        let (parent, name) = split(&path);
        if parent.split(|b| *b == b'/').any(|part| whiteout::mark(part) == Mark::Bookkeeping) {
            return self.skip_bookkeeping(entry);
        }
        if parent.split(|b| *b == b'/').any(|part| whiteout::mark(part) != Mark::None) {
            return Err(Error::new("a whiteout cannot be a directory"));
        }
        match whiteout::mark(name) {
            Mark::None => {}
            Mark::Climbs => return Err(Error::new("the whiteout climbs out of its directory")),
            Mark::Bookkeeping => return self.skip_bookkeeping(entry),
            Mark::Opaque => return self.make_opaque(parent),
            Mark::Hide(hidden) => {
                self.open_parent(parent)?;
                return self.hide(hidden, &join(parent, hidden));
            }
        }
        self.check_owner(entry)?;
        if name.is_empty() {
            return self.write_root(entry);
        }
        self.open_parent(parent)?;
        match entry.kind {
            Kind::File => self.write_file(entry, &path, archive),
            Kind::Directory => self.write_directory(entry, &path),
            Kind::Symlink => self.write_symlink(entry, &path),
            Kind::HardLink => self.write_hard_link(entry, &path),
            Kind::Fifo => self.write_fifo(entry, &path),
            // No user namespace may make devices; podling's /dev does not come from the image anyway.
            Kind::Device => {
                self.warnings
                    .add("device nodes are left out, as in every rootless container: /dev is podling's own", entry);
                Ok(())
            }
        }
    }

    fn skip_bookkeeping(&mut self, entry: &TarEntry) -> Result<()> {
        self.warnings.add("aufs's own bookkeeping files (.wh..wh.*) are left out", entry);
        Ok(())
    }

    fn check_owner(&self, entry: &TarEntry) -> Result<()> {
        // (uid_t)-1 means "no change" to chown(2), so it is nobody's id.
        if let Some(id) = [entry.uid, entry.gid].into_iter().find(|id| *id >= u64::from(u32::MAX)) {
            return Err(Error::new(format!("its owner's id {id} is larger than any that Linux has")));
        }
        if self.ids.is_single() {
            return Ok(());
        }
        let has = |id: u64, has: &dyn Fn(u32) -> bool| u32::try_from(id).is_ok_and(has);
        let (what, id, file) = if !has(entry.uid, &|id| self.ids.has_uid(id)) {
            ("user", entry.uid, "/etc/subuid")
        } else if !has(entry.gid, &|id| self.ids.has_gid(id)) {
            ("group", entry.gid, "/etc/subgid")
        } else {
            return Ok(());
        };
        Err(Error::new(format!("it belongs to {what} id {id}, which the pod's id map does not have"))
            .mend(format!("give yourself a larger range in {file}, or make the image with ids below 65536")))
    }

    fn write_root(&mut self, entry: &TarEntry) -> Result<()> {
        if entry.kind != Kind::Directory {
            return Err(Error::new("the layer's root is not a directory"));
        }
        if let Some((uid, gid)) = self.owner(entry) {
            fchown(self.root, Some(uid), Some(gid)).named(|| "fchown(layer root)")?;
        }
        xattrs::set_all(self.root, entry, &mut self.warnings)?;
        self.directories.insert(Vec::new(), DirectoryEnd { mode: entry.mode, mtime: entry.mtime });
        Ok(())
    }

    fn write_file(&mut self, entry: &TarEntry, path: &[u8], archive: &mut TarReader<impl Input>) -> Result<()> {
        self.stats.bytes = self.stats.bytes.saturating_add(entry.size);
        if entry.size > 64 << 20 {
            check_space(self.root, entry.size)?;
        }
        let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let owner = self.owner(entry);
        // Most files can be made with their final mode, which saves a system call for each; chown would take setuid bits away,
        // attributes need a writable file, and the umask must not matter.
        let at_once = owner.is_none() && entry.xattrs.is_empty() && entry.mode & (self.umask | 0o7000) == 0;
        let first_mode = if at_once { mode(entry) } else { Mode::S_IRUSR | Mode::S_IWUSR };
        let file = self.create(path, |parent, name| openat(parent, name, flags, first_mode))?;
        archive.read_content(|piece| write_all(file.as_fd(), piece))?;
        if let Some((uid, gid)) = owner {
            fchown(&file, Some(uid), Some(gid)).named(|| format!("fchown({uid}, {gid})"))?;
        }
        if !at_once {
            // After chown, which takes file capabilities away as well.
            xattrs::set_all(file.as_fd(), entry, &mut self.warnings)?;
            fchmod(&file, mode(entry)).named(|| format!("fchmod({:#o})", entry.mode))?;
        }
        futimens(&file, &TimeSpec::UTIME_OMIT, &entry.mtime).named(|| "futimens")?;
        Ok(())
    }

    fn write_directory(&mut self, entry: &TarEntry, path: &[u8]) -> Result<()> {
        let (_, name) = split(path);
        let existing = self.stat(name)?;
        let is_dir = existing.is_some_and(|stat| kind(&stat) == SFlag::S_IFDIR);
        if !is_dir {
            // Until the end only we may enter: its mode may forbid writing even to its owner, and carry setgid.
            self.create(path, |parent, name| mkdirat(parent, name, Mode::S_IRWXU))?;
        }
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let needs_descriptor = !entry.xattrs.is_empty() || existing.is_some_and(|stat| is_whiteout(&stat));
        if needs_descriptor {
            let dir = openat(self.parent_fd()?, name_of(name), flags, Mode::empty()).named(|| "openat(directory)")?;
            if existing.is_some_and(|stat| is_whiteout(&stat)) {
                xattr::set(&dir, whiteout::OPAQUE, b"y")?;
            }
            xattrs::set_all(dir.as_fd(), entry, &mut self.warnings)?;
        }
        if let Some((uid, gid)) = self.owner(entry) {
            self.chown_at(name, uid, gid)?;
        } else if is_dir && !self.ids.is_single() {
            self.chown_at(name, Uid::from_raw(0), Gid::from_raw(0))?;
        }
        self.directories.insert(path.to_vec(), DirectoryEnd { mode: entry.mode, mtime: entry.mtime });
        Ok(())
    }

    fn write_symlink(&mut self, entry: &TarEntry, path: &[u8]) -> Result<()> {
        if entry.link.is_empty() || entry.link.contains(&0) {
            return Err(Error::new("its symlink target is empty or contains a NUL byte"));
        }
        let target = OsStr::from_bytes(&entry.link);
        self.create(path, |parent, name| symlinkat(target, parent, name))?;
        self.finish_node(entry, path)
    }

    fn write_fifo(&mut self, entry: &TarEntry, path: &[u8]) -> Result<()> {
        self.create(path, |parent, name| mkfifoat(parent, name, Mode::S_IRUSR))?;
        self.finish_node(entry, path)?;
        let (_, name) = split(path);
        // The name is the FIFO that was just made, so there is no symlink to follow.
        fchmodat(self.parent_fd()?, name_of(name), mode(entry), FchmodatFlags::FollowSymlink).named(|| "fchmodat")?;
        Ok(())
    }

    fn write_hard_link(&mut self, entry: &TarEntry, path: &[u8]) -> Result<()> {
        let wrong = |why: &str| Error::new(format!("its hard link target {} {why}", quote(&entry.link)));
        let target =
            normalize(&entry.link).map_err(|why| Error::new(format!("hard link to {}: {why}", quote(&entry.link))))?;
        if target == path {
            return Ok(());
        }
        let (dir, name) = split(&target);
        let missing = || wrong("is not an earlier entry of this layer");
        let dir = open_directory(self.root, dir).map_err(|e| match e.errno {
            Errno::ENOENT | Errno::ENOTDIR => missing(),
            Errno::EXDEV | Errno::ELOOP => wrong("leads out of the layer"),
            _ => e.into(),
        })?;
        let stat = match fstatat(&dir, name_of(name), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::ENOENT) => return Err(missing()),
            Err(errno) => return Err(SysError::new("fstatat(hard link target)", errno).into()),
        };
        if kind(&stat) == SFlag::S_IFDIR || is_whiteout(&stat) {
            return Err(wrong("is a directory or a whiteout"));
        }
        self.create(path, |parent, new| linkat(&dir, name_of(name), parent, new, LinkatFlags::empty()))
    }

    /// Owner and time of what has no descriptor; the name is never followed.
    fn finish_node(&mut self, entry: &TarEntry, path: &[u8]) -> Result<()> {
        let (_, name) = split(path);
        if let Some((uid, gid)) = self.owner(entry) {
            self.chown_at(name, uid, gid)?;
        }
        for (attribute, _) in &entry.xattrs {
            self.warnings.add_attribute(
                "are left out, since only files and directories can have them",
                attribute,
                entry,
            );
        }
        let parent = self.parent_fd()?;
        utimensat(parent, name_of(name), &TimeSpec::UTIME_OMIT, &entry.mtime, UtimensatFlags::NoFollowSymlink)
            .named(|| "utimensat")?;
        Ok(())
    }

    /// `.wh.NAME`. Below, NAME is gone; what this very layer has there stays, whichever entry came first.
    fn hide(&mut self, hidden: &[u8], path: &[u8]) -> Result<()> {
        match self.stat(hidden)? {
            None => {
                mknodat(self.parent_fd()?, name_of(hidden), SFlag::S_IFCHR, Mode::empty(), 0)
                    .named(|| format!("mknodat({:?}, whiteout)", String::from_utf8_lossy(hidden)))?;
                Ok(())
            }
            Some(stat) if kind(&stat) == SFlag::S_IFDIR => self.make_opaque(path),
            Some(_) => Ok(()),
        }
    }

    fn make_opaque(&mut self, path: &[u8]) -> Result<()> {
        self.open_parent(path)?;
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let dir = openat(self.parent_fd()?, ".", flags, Mode::empty()).named(|| "openat(\".\")")?;
        xattr::set(&dir, whiteout::OPAQUE, b"y")?;
        Ok(())
    }

    /// Makes the last component of `path`; what an earlier entry made there gives way, as with GNU tar.
    fn create<T>(&mut self, path: &[u8], make: impl Fn(BorrowedFd<'_>, &Path) -> nix::Result<T>) -> Result<T> {
        let (_, name) = split(path);
        match make(self.parent_fd()?, name_of(name)) {
            Err(Errno::EEXIST) => self.replace(path)?,
            Err(errno) => return Err(creation_failed(errno)),
            Ok(made) => return Ok(made),
        }
        make(self.parent_fd()?, name_of(name)).map_err(creation_failed)
    }

    fn replace(&mut self, path: &[u8]) -> Result<()> {
        let (_, name) = split(path);
        let parent = self.parent_fd()?;
        match unlinkat(parent, name_of(name), UnlinkatFlags::NoRemoveDir) {
            Ok(()) => Ok(()),
            Err(Errno::EISDIR | Errno::EPERM) => {
                remove_tree(parent, name_of(name))?;
                let below = join(path, b"");
                self.directories.retain(|dir, _| dir != path && !dir.starts_with(&below));
                Ok(())
            }
            Err(errno) => Err(SysError::new("unlinkat(earlier entry)", errno).into()),
        }
    }

    fn parent_fd(&self) -> Result<BorrowedFd<'_>> {
        let (_, fd) = self.parent.as_ref().ok_or_else(|| Error::new("no directory is open"))?;
        Ok(fd.as_fd())
    }

    /// Opens the directory of an entry, making those that the archive did not mention.
    fn open_parent(&mut self, path: &[u8]) -> Result<()> {
        if self.parent.as_ref().is_some_and(|(known, _)| known == path) {
            return Ok(());
        }
        self.parent = None;
        let fd = match open_directory(self.root, path) {
            Ok(fd) => fd,
            Err(e) if matches!(e.errno, Errno::ENOENT | Errno::ENOTDIR) => self.make_directories(path)?,
            Err(e) => return Err(through(e, path)),
        };
        self.parent = Some((path.to_vec(), fd));
        Ok(())
    }

    /// Missing directories become root's with mode 0755, as container engines agree.
    fn make_directories(&mut self, path: &[u8]) -> Result<OwnedFd> {
        let mut above = open_directory(self.root, b"").map_err(|e| through(e, b""))?;
        let ends = path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(at, _)| at).chain([path.len()]);
        for end in ends {
            let here = path.get(..end).unwrap_or_default();
            let (_, name) = split(here);
            above = match open_directory(self.root, here) {
                Ok(fd) => fd,
                Err(e) if e.errno == Errno::ENOENT => self
                    .make_directory(above.as_fd(), name)
                    .map_err(|e| e.context(format!("directory {}", quote(here))))?,
                Err(e) if e.errno == Errno::ENOTDIR && is_whiteout_at(above.as_fd(), name) => {
                    unlinkat(&above, name_of(name), UnlinkatFlags::NoRemoveDir).named(|| "unlinkat(whiteout)")?;
                    let fd = self.make_directory(above.as_fd(), name)?;
                    let dir = openat(&fd, ".", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
                        .named(|| "openat(\".\")")?;
                    xattr::set(&dir, whiteout::OPAQUE, b"y")?;
                    fd
                }
                Err(e) => return Err(through(e, here)),
            };
        }
        Ok(above)
    }

    fn make_directory(&self, above: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd> {
        mkdirat(above, name_of(name), Mode::S_IRWXU).map_err(|errno| match errno {
            Errno::EEXIST => Error::new("it is a symlink that leads nowhere in this layer"),
            _ => creation_failed(errno),
        })?;
        let mode = Mode::from_bits_truncate(0o755);
        fchmodat(above, name_of(name), mode, FchmodatFlags::FollowSymlink).named(|| "fchmodat")?;
        Ok(open_directory(above, name)?)
    }

    /// Deepest first, so that no directory is closed before those below it are done.
    fn finish_directories(&mut self) -> Result<()> {
        self.parent = None;
        let mut directories: Vec<_> = self.directories.drain().collect();
        directories.sort_unstable_by(|(a, _), (b, _)| b.cmp(a));
        for (path, end) in directories {
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
            let dir = match fs::open_beneath(self.root, relative(&path), flags, 0) {
                // A later entry took its place under another of its names.
                Err(e) if matches!(e.errno, Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP) => continue,
                other => other.map_err(|e| in_entry(&path, e.into()))?,
            };
            fchmod(&dir, Mode::from_bits_truncate(end.mode))
                .named(|| "fchmod")
                .map_err(|e| in_entry(&path, e.into()))?;
            futimens(&dir, &TimeSpec::UTIME_OMIT, &end.mtime)
                .named(|| "futimens")
                .map_err(|e| in_entry(&path, e.into()))?;
        }
        Ok(())
    }

    /// Whom to give an entry to; nobody where root, who makes it, is right already.
    fn owner(&self, entry: &TarEntry) -> Option<(Uid, Gid)> {
        if self.ids.is_single() || (entry.uid == 0 && entry.gid == 0) {
            return None;
        }
        // The map was asked before, so both fit 32 bits.
        Some((Uid::from_raw(u32::try_from(entry.uid).ok()?), Gid::from_raw(u32::try_from(entry.gid).ok()?)))
    }

    fn chown_at(&self, name: &[u8], uid: Uid, gid: Gid) -> Result<()> {
        fchownat(self.parent_fd()?, name_of(name), Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)
            .named(|| format!("fchownat({uid}, {gid})"))?;
        Ok(())
    }

    fn stat(&self, name: &[u8]) -> Result<Option<FileStat>> {
        match fstatat(self.parent_fd()?, name_of(name), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(SysError::new("fstatat", errno).into()),
        }
    }
}

fn mode(entry: &TarEntry) -> Mode {
    Mode::from_bits_truncate(entry.mode)
}

fn creation_failed(errno: Errno) -> Error {
    write_failed("it cannot be created", errno)
}

fn write_all(file: BorrowedFd<'_>, mut piece: &[u8]) -> Result<()> {
    while !piece.is_empty() {
        match nix::unistd::write(file, piece) {
            Ok(count) => piece = piece.get(count..).unwrap_or_default(),
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(write_failed("it cannot be written", errno)),
        }
    }
    Ok(())
}

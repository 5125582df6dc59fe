//! Writes a directory as a tar archive, owners as the pod's id map shows them.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Metadata};
use std::io::{BufWriter, Write};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, openat, readlinkat};
use nix::sys::stat::Mode;
use tar::{Builder, EntryType, Header};

use crate::error::{Context, Error, Result};
use crate::host::{IdExtent, IdMap};
use crate::image::layer::tar_entry::attribute_record;
use crate::sys::{Named, xattr};

/// Writes all that is in `root` to `output`, in the order of names, and says what it left out.
///
/// Owners are the host's; the image gets those that `ids` shows for them inside the pod, so that the caller's own files become
/// root's. The real root, who may read everything, gets them as they are.
pub fn pack(root: &File, output: &File, ids: &IdMap) -> Result<Vec<String>> {
    let owners = if nix::unistd::geteuid().is_root() { Owners::AsTheyAre } else { Owners::Inside(ids) };
    let device = root.metadata()?.dev();
    let mut packer = Packer {
        archive: Builder::new(BufWriter::with_capacity(256 << 10, output)),
        owners,
        device,
        links: HashMap::new(),
        warnings: Vec::new(),
    };
    packer.directory(root, Path::new("."))?;
    let mut output = packer.archive.into_inner()?;
    output.flush().context(|| "cannot write the archive")?;
    Ok(packer.warnings)
}

enum Owners<'a> {
    AsTheyAre,
    Inside(&'a IdMap),
}

struct Packer<'a> {
    archive: Builder<BufWriter<&'a File>>,
    owners: Owners<'a>,
    device: u64,
    /// The first name of each file that has several.
    links: HashMap<u64, PathBuf>,
    warnings: Vec<String>,
}

impl Packer<'_> {
    fn directory(&mut self, dir: &File, path: &Path) -> Result<()> {
        let stat = dir.metadata()?;
        let attributes = attributes(dir).context(|| path.display().to_string())?;
        self.entry(path, &stat, EntryType::Directory, None, &attributes, None)?;
        // Through /proc, since the directory was opened without following links and must stay the same one.
        let listing = fs::read_dir(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(dir)));
        let mut names: Vec<OsString> = listing
            .and_then(|names| names.map(|name| Ok(name?.file_name())).collect())
            .context(|| path.display().to_string())?;
        names.sort_unstable();
        for name in names {
            self.child(dir, &name, &path.join(&name)).context(|| path.join(&name).display().to_string())?;
        }
        Ok(())
    }

    fn child(&mut self, dir: &File, name: &OsStr, path: &Path) -> Result<()> {
        // O_PATH opens everything, links and FIFOs included, and does nothing to it.
        let handle = openat(dir, name, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())
            .named(|| "openat")?;
        let stat = File::from(handle).metadata()?;
        let kind = stat.file_type();
        if stat.dev() != self.device {
            self.warnings.push(format!("another file system is mounted there, which is left out: {}", path.display()));
            return Ok(());
        }
        if kind.is_socket() || kind.is_char_device() || kind.is_block_device() {
            self.warnings.push(format!("sockets and devices are left out: {}", path.display()));
            return Ok(());
        }
        if stat.nlink() > 1 && !kind.is_dir() {
            if let Some(first) = self.links.get(&stat.ino()) {
                let first = first.clone();
                return self.entry(path, &stat, EntryType::Link, Some(first.as_os_str()), &[], None);
            }
            self.links.insert(stat.ino(), path.to_owned());
        }
        if kind.is_symlink() {
            let target = readlinkat(dir, name).named(|| "readlinkat")?;
            return self.entry(path, &stat, EntryType::Symlink, Some(&target), &[], None);
        }
        if kind.is_fifo() {
            return self.entry(path, &stat, EntryType::Fifo, None, &[], None);
        }
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let file = File::from(openat(dir, name, flags, Mode::empty()).named(|| "openat")?);
        // Another may have put a FIFO or a device in its place.
        if file.metadata()?.file_type() != kind {
            return Err(Error::new("it became something else while it was read"));
        }
        if kind.is_dir() {
            return self.directory(&file, path);
        }
        let attributes = attributes(&file)?;
        self.entry(path, &file.metadata()?, EntryType::Regular, None, &attributes, Some(&file))
    }

    fn entry(
        &mut self,
        path: &Path,
        stat: &Metadata,
        kind: EntryType,
        link: Option<&OsStr>,
        attributes: &[(String, Vec<u8>)],
        content: Option<&File>,
    ) -> Result<()> {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(stat.mode() & 0o7777);
        header.set_uid(u64::from(self.owner(stat.uid(), "user", |ids| &ids.uids)?));
        header.set_gid(u64::from(self.owner(stat.gid(), "group", |ids| &ids.gids)?));
        header.set_mtime(stat.mtime().max(0).cast_unsigned());
        header.set_size(if content.is_some() { stat.len() } else { 0 });
        // Names go into PAX records, which have no length limit and keep every byte; the header's own are only for show.
        let name = path.as_os_str().as_bytes();
        let mut records = vec![("path".to_owned(), name.strip_prefix(b"./").unwrap_or(name).to_vec())];
        if let Some(link) = link {
            let target = link.as_bytes();
            let target = if kind == EntryType::Link { target.strip_prefix(b"./").unwrap_or(target) } else { target };
            records.push(("linkpath".to_owned(), target.to_vec()));
        }
        if stat.mtime() < 0 || stat.mtime_nsec() != 0 {
            records.push(("mtime".to_owned(), pax_time(stat.mtime(), stat.mtime_nsec()).into_bytes()));
        }
        records.extend(attributes.iter().cloned());
        let records = records.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
        self.archive.append_pax_extensions(records)?;
        header.set_cksum();
        match content {
            Some(file) => self.archive.append(&header, Exactly { file, left: stat.len() })?,
            None => self.archive.append(&header, std::io::empty())?,
        }
        Ok(())
    }

    fn owner(&self, outside: u32, what: &str, extents: impl Fn(&IdMap) -> &[IdExtent]) -> Result<u32> {
        let ids = match self.owners {
            Owners::AsTheyAre => return Ok(outside),
            // With one id everything is the caller's, and the image's owners say so.
            Owners::Inside(ids) if ids.is_single() => return Ok(0),
            Owners::Inside(ids) => ids,
        };
        let extent = extents(ids).iter().find(|e| outside >= e.outside && outside - e.outside < e.count);
        extent.map(|e| e.inside + (outside - e.outside)).ok_or_else(|| {
            Error::new(format!("it belongs to {what} id {outside}, which the pod's id map does not have"))
                .mend("import a tar archive of it instead: `sudo tar -C DIR -cf root.tar .`")
        })
    }
}

/// The kernel counts nanoseconds upwards from the second below, PAX writes a decimal number: -2 s + 0.75 s is `-1.25`.
pub fn pax_time(seconds: i64, nanos: i64) -> String {
    match seconds < 0 && nanos > 0 {
        true => format!("-{}.{:09}", -(seconds + 1), 1_000_000_000 - nanos),
        false => format!("{seconds}.{nanos:09}"),
    }
}

/// A file's content in the length that its header promised, whatever happens to the file meanwhile.
struct Exactly<'a> {
    file: &'a File,
    left: u64,
}

impl std::io::Read for Exactly<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let wanted = self.left.min(buffer.len() as u64) as usize;
        let Some(buffer) = buffer.get_mut(..wanted).filter(|buffer| !buffer.is_empty()) else { return Ok(0) };
        let count = self.file.read(buffer)?;
        if count == 0 {
            return Err(std::io::Error::other("it became shorter while it was read"));
        }
        self.left -= count as u64;
        Ok(count)
    }
}

/// The attributes that images may have, as PAX records.
fn attributes(file: &File) -> Result<Vec<(String, Vec<u8>)>> {
    let mut records = Vec::new();
    for name in xattr::list(file.as_fd())? {
        let text = name.to_string_lossy();
        let wanted = (text.starts_with("user.") && !text.contains(".overlay.")) || text == "security.capability";
        if let (true, Some(value)) = (wanted, xattr::get(file.as_fd(), &name)?) {
            records.push((attribute_record(&text), value));
        }
    }
    Ok(records)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_are_decimal_numbers() {
        for (seconds, nanos, text) in [
            (5, 1, "5.000000001"),
            (-2, 750_000_000, "-1.250000000"),
            (-1, 500_000_000, "-0.500000000"),
            (-3, 0, "-3.000000000"),
        ] {
            assert_eq!(pax_time(seconds, nanos), text);
        }
    }
}

//! Archives of images: read where they lie, or, where they are compressed or come through a pipe, taken apart on the way.

use std::cell::Cell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::rc::Rc;

use nix::errno::Errno;

use crate::error::{Context, Error, Result};
use crate::image::compression::Compression;
use crate::image::extent::Extent;
use crate::image::layer::limits::{Limits, check_space, write_failed};
use crate::image::layer::tar_entry::{Kind, TarEntry, normalize, quote};
use crate::image::layer::tar_reader::{Input, Seekable, TarReader, in_entry};

/// An archive of images has a few files for each layer; far more than this is something else.
const MEMBER_LIMIT: usize = 100_000;

/// The members of a tar archive.
#[derive(Default)]
pub struct Archive {
    members: HashMap<Vec<u8>, Member>,
}

enum Member {
    File(Extent),
    /// A hard or symbolic link to another member: docker stores equal layers once.
    Link(Vec<u8>),
}

impl Archive {
    /// Reads the headers of a plain archive; its files stay where they are.
    pub fn index(content: &Extent) -> Result<Archive> {
        let mut reader = TarReader::new(Seekable::new(content.reader(), content.length()));
        let mut archive = Archive::default();
        while let Some(entry) = reader.next_entry()? {
            let truncated = || in_entry(&entry.name, Error::new("the archive is truncated"));
            let file = || content.part(reader.position(), entry.size).ok_or_else(truncated);
            archive.add(&entry, file)?;
        }
        Ok(archive)
    }

    /// Reads an archive that cannot be read twice. Each of its files becomes one in the directory `scratch`, from where the store
    /// takes it: nothing is copied twice.
    pub fn take_apart(input: impl Read, limits: &Limits, scratch: &Path) -> Result<Archive> {
        let consumed = Rc::new(Cell::new(0));
        let mut input = BufReader::with_capacity(256 << 10, Counting { input, count: consumed.clone() });
        let compression = Compression::sniff(input.fill_buf()?)?;
        let decompressed = Decompressed { decoder: compression.decoder(input)?, compression };
        let mut reader = TarReader::new(BufReader::with_capacity(256 << 10, decompressed));
        let mut archive = Archive::default();
        let mut written = 0;
        while let Some(entry) = reader.next_entry()? {
            let number = archive.members.len();
            archive.add(&entry, || {
                let path = scratch.join(format!("member-{number}"));
                let failed = || format!("cannot make {}", path.display());
                let mut file =
                    File::options().read(true).write(true).create_new(true).mode(0o600).open(&path).context(failed)?;
                check_space(file.as_fd(), entry.size)?;
                reader.read_content(|piece| {
                    written += piece.len() as u64;
                    limits.of_blob(consumed.get()).check(written)?;
                    file.write_all(piece).map_err(|e| {
                        let errno = e.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
                        write_failed("it cannot be written to the store", errno)
                    })
                })?;
                Extent::made(file, &path)
            })?;
        }
        Ok(archive)
    }

    fn add(&mut self, entry: &TarEntry, file: impl FnOnce() -> Result<Extent>) -> Result<()> {
        let in_this = |e| in_entry(&entry.name, e);
        let path = normalize(&entry.name).map_err(|why| in_this(Error::new(why)))?;
        let member = match entry.kind {
            Kind::File => Member::File(file().map_err(in_this)?),
            Kind::HardLink => Member::Link(entry.link.clone()),
            Kind::Symlink => Member::Link(beside(&path, &entry.link)),
            _ => return Ok(()),
        };
        self.members.insert(path, member);
        if self.members.len() > MEMBER_LIMIT {
            return Err(Error::new(format!("it has more than {MEMBER_LIMIT} members, so it is no archive of images")));
        }
        Ok(())
    }

    /// The member at `path`, links followed within the archive.
    pub fn get(&self, path: &str) -> Result<Option<Extent>> {
        let mut path = path.as_bytes().to_vec();
        for _ in 0..8 {
            let Some(member) = resolve_dots(&path).and_then(|path| self.members.get(&path)) else { return Ok(None) };
            match member {
                Member::Link(target) => path.clone_from(target),
                Member::File(content) => return Ok(Some(content.clone())),
            }
        }
        Err(Error::new(format!("{} is a loop of links", quote(&path))))
    }
}

/// The target of a symlink, as seen from the archive's root.
fn beside(path: &[u8], target: &[u8]) -> Vec<u8> {
    match path.iter().rposition(|b| *b == b'/') {
        Some(slash) => [path.get(..slash).unwrap_or_default(), target].join(&b'/'),
        None => target.to_vec(),
    }
}

/// Takes `a/../b` to `b`; `None` for what climbs out of the archive.
fn resolve_dots(path: &[u8]) -> Option<Vec<u8>> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()?),
            _ => parts.push(part),
        }
    }
    Some(parts.join(&b'/'))
}

/// Counts what passes.
struct Counting<R> {
    input: R,
    count: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.count.set(self.count.get() + count as u64);
        Ok(count)
    }
}

/// Says what is wrong where decompressing fails.
struct Decompressed<R> {
    decoder: R,
    compression: Compression,
}

impl<R: Read> Read for Decompressed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let name = self.compression.name();
        let corrupt = |e| io::Error::other(format!("its {name} data is truncated or corrupt: {e}"));
        self.decoder.read(buffer).map_err(|e| if self.compression == Compression::None { e } else { corrupt(e) })
    }
}

impl<R: Read> Input for BufReader<R> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bomb_in_a_compressed_archive_is_named() {
        let mut header = tar::Header::new_gnu();
        header.set_path("layer.tar").unwrap();
        header.set_size(1 << 30);
        header.set_cksum();
        let zeros = vec![0u8; 8 << 20];
        let packed = zstd::encode_all([header.as_bytes().as_slice(), &zeros].concat().as_slice(), 1).unwrap();
        let scratch = tempfile::tempdir().unwrap();
        let limits = Limits { free_of_ratio: 1 << 20, ..Limits::default() };
        let error = Archive::take_apart(packed.as_slice(), &limits, scratch.path()).err().unwrap();
        assert!(error.what().contains("entry \"layer.tar\"") && error.what().contains("bomb"), "{error}");
    }

    #[test]
    fn dots_are_resolved_inside_the_archive() {
        assert_eq!(resolve_dots(b"a/../b/./c").unwrap(), b"b/c");
        assert_eq!(resolve_dots(b"a/../../b"), None);
        assert_eq!(beside(b"x/link", b"../y/layer.tar"), b"x/../y/layer.tar");
    }
}

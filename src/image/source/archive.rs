//! An archive that is read where it lies: an index of its members, and their bytes by offset.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::Path;

use nix::errno::Errno;

use crate::error::{Context, Error, Result};
use crate::image::compression::Compression;
use crate::image::extent::Extent;
use crate::image::layer::limits::{Limits, write_failed};
use crate::image::layer::tar_entry::{Kind, normalize, quote};
use crate::image::layer::tar_reader::{Seekable, TarReader, in_entry};

/// An archive of images has a few files for each layer; far more than this is something else.
const MEMBER_LIMIT: usize = 100_000;

/// A seekable tar archive and where its members are.
pub struct Archive {
    content: Extent,
    members: HashMap<Vec<u8>, Member>,
}

enum Member {
    File {
        offset: u64,
        length: u64,
    },
    /// A hard or symbolic link to another member: docker stores equal layers once.
    Link(Vec<u8>),
}

impl Archive {
    /// Reads the headers of all members.
    pub fn open(content: Extent) -> Result<Archive> {
        let mut reader = TarReader::new(Seekable::new(content.reader(), content.length()));
        let mut members = HashMap::new();
        while let Some(entry) = reader.next_entry()? {
            let path = normalize(&entry.name).map_err(|why| in_entry(&entry.name, Error::new(why)))?;
            let member = match entry.kind {
                Kind::File => Member::File { offset: reader.position(), length: entry.size },
                Kind::HardLink => Member::Link(entry.link),
                Kind::Symlink => Member::Link(beside(&path, &entry.link)),
                _ => continue,
            };
            members.insert(path, member);
            if members.len() > MEMBER_LIMIT {
                return Err(Error::new(format!(
                    "it has more than {MEMBER_LIMIT} members, so it is no archive of images"
                )));
            }
        }
        Ok(Archive { content, members })
    }

    /// The member at `path`, links followed within the archive.
    pub fn get(&self, path: &str) -> Result<Option<Extent>> {
        let mut path = path.as_bytes().to_vec();
        for _ in 0..8 {
            let Some(member) = resolve_dots(&path).and_then(|path| self.members.get(&path)) else { return Ok(None) };
            match member {
                Member::Link(target) => path.clone_from(target),
                Member::File { offset, length } => {
                    let truncated = || in_entry(&path, Error::new("the archive is truncated"));
                    return self.content.part(*offset, *length).ok_or_else(truncated).map(Some);
                }
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

/// Decompresses a whole archive into an unnamed file in `scratch`, which vanishes with its last descriptor.
pub fn decompress(archive: &Extent, compression: Compression, limits: &Limits, scratch: &Path) -> Result<Extent> {
    let mut file = tempfile::tempfile_in(scratch).context(|| "cannot make a temporary file in the store")?;
    let mut decoder = compression.decoder(BufReader::with_capacity(256 << 10, archive.reader()))?;
    let mut buffer = vec![0u8; 256 << 10];
    let mut total = 0u64;
    loop {
        let read = decoder.read(&mut buffer);
        let count =
            read.map_err(|e| Error::new(format!("its {} data is truncated or corrupt: {e}", compression.name())))?;
        if count == 0 {
            break;
        }
        total += count as u64;
        limits.check(total).map_err(|e| in_last_entry(&file, e))?;
        file.write_all(buffer.get(..count).unwrap_or_default()).map_err(|e| {
            let errno = e.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
            write_failed("cannot decompress it into the store", errno)
        })?;
    }
    Extent::whole(file)
}

/// Names the member that an archive had reached when it became too large.
fn in_last_entry(so_far: &File, error: Error) -> Error {
    let Ok(content) = so_far.try_clone().map_err(Error::from).and_then(Extent::whole) else { return error };
    let mut reader = TarReader::new(Seekable::new(content.reader(), content.length()));
    let mut last = None;
    while let Ok(Some(entry)) = reader.next_entry() {
        last = Some(entry.name);
    }
    match last {
        Some(name) => in_entry(&name, error),
        None => error,
    }
}

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
        std::fs::write(scratch.path().join("bomb"), &packed).unwrap();
        let archive = Extent::open(&scratch.path().join("bomb")).unwrap();
        let limits = Limits { free_of_ratio: 1 << 20, ..Limits::of_blob(archive.length()) };
        let error = decompress(&archive, Compression::Zstd, &limits, scratch.path()).unwrap_err();
        assert!(error.what().contains("entry \"layer.tar\"") && error.what().contains("bomb"), "{error}");
    }

    #[test]
    fn dots_are_resolved_inside_the_archive() {
        assert_eq!(resolve_dots(b"a/../b/./c").unwrap(), b"b/c");
        assert_eq!(resolve_dots(b"a/../../b"), None);
        assert_eq!(beside(b"x/link", b"../y/layer.tar"), b"x/../y/layer.tar");
    }
}

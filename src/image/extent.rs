//! A piece of an open file: a blob of its own, or a member of an archive that is read where it lies.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use crate::error::{Context, Error, Result};

/// `length` bytes of a file from `offset` on. Reading leaves the file's own position alone, so extents may share it.
#[derive(Debug, Clone)]
pub struct Extent {
    file: Arc<File>,
    offset: u64,
    length: u64,
    staged: Option<Arc<Path>>,
}

impl Extent {
    /// The whole of the regular file at `path`.
    pub fn open(path: &Path) -> Result<Extent> {
        // O_NONBLOCK: a FIFO must be refused, not waited for.
        let open = File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
        let file = open.context(|| format!("cannot open {}", path.display()))?;
        let stat = file.metadata().context(|| format!("cannot stat {}", path.display()))?;
        if !stat.is_file() {
            return Err(Error::new(format!("{} is not a regular file", path.display())));
        }
        Ok(Extent { file: Arc::new(file), offset: 0, length: stat.len(), staged: None })
    }

    /// The whole of an open file.
    pub fn whole(file: File) -> Result<Extent> {
        let length = file.metadata()?.len();
        Ok(Extent { file: Arc::new(file), offset: 0, length, staged: None })
    }

    /// The whole of a file that was made in the store's staging directory, at `path`: it may be moved to where it belongs.
    pub fn made(file: File, path: &Path) -> Result<Extent> {
        Ok(Extent { staged: Some(path.into()), ..Extent::whole(file)? })
    }

    /// Where the file is that has these bytes and no others, if it is ours to move.
    pub fn staged(&self) -> Option<&Path> {
        self.staged.as_deref()
    }

    /// Where in its file it begins.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// A part of this extent; `None` where it reaches beyond the end.
    pub fn part(&self, offset: u64, length: u64) -> Option<Extent> {
        let end = offset.checked_add(length)?;
        (end <= self.length).then(|| Extent {
            file: self.file.clone(),
            offset: self.offset + offset,
            length,
            staged: None,
        })
    }

    /// How many bytes there are.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Reads from the beginning.
    pub fn reader(&self) -> ExtentReader {
        ExtentReader { extent: self.clone(), position: 0 }
    }

    /// The whole content, refused where it is longer than `limit`.
    pub fn read_all(&self, limit: u64) -> Result<Vec<u8>> {
        if self.length > limit {
            let what = format!("it has {} bytes, more than the {limit} that are reasonable", self.length);
            return Err(
                Error::new(what).mend("if it is to be trusted, raise --limit manifest-size=… or --limit config-size=…")
            );
        }
        let mut content = Vec::new();
        self.reader().read_to_end(&mut content)?;
        if content.len() as u64 != self.length {
            return Err(Error::new("it became shorter while it was read"));
        }
        Ok(content)
    }
}

impl AsFd for Extent {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Reads an extent from its beginning to its end.
#[derive(Debug)]
pub struct ExtentReader {
    extent: Extent,
    position: u64,
}

impl Read for ExtentReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.extent.length - self.position;
        let wanted = left.min(buffer.len() as u64) as usize;
        let count = match buffer.get_mut(..wanted) {
            Some(buffer) => self.extent.file.read_at(buffer, self.extent.offset + self.position)?,
            None => 0,
        };
        self.position += count as u64;
        Ok(count)
    }
}

impl io::Seek for ExtentReader {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        let target = match to {
            io::SeekFrom::Start(at) => Some(at),
            io::SeekFrom::End(by) => self.extent.length.checked_add_signed(by),
            io::SeekFrom::Current(by) => self.position.checked_add_signed(by),
        };
        let target = target.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        self.position = target.min(self.extent.length);
        Ok(target)
    }
}

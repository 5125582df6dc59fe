//! Reads a tar archive as a stream, entry by entry, and believes nothing that it says.
//!
//! The tar crate knows where a header's fields are; reading them and walking from one header to the next is done here, because names
//! and PAX headers must have a size limit, sparse files must be noticed, and truncation and trailing garbage told from a proper end.
//!
//! Where GNU tar, bsdtar and what builds images read the same bytes as different files, a layer could show one thing to whoever
//! looks into it and another to whoever runs it. Such entries are refused: they have two names, or a size where none belongs.

use std::io::{self, BufRead, BufReader, Read, Seek};

use nix::sys::time::TimeSpec;
use tar::{EntryType, Header};

use crate::error::{Error, Result};
use crate::image::layer::limits::beyond;
use crate::image::layer::tar_entry::{
    Kind, Records, TarEntry, apply_records, field_number, is_heeded, name_in, parse_records, quote, record, sparse,
};

const BLOCK: u64 = 512;
/// PAX headers and long names are read into memory; the largest honest ones carry a few xattrs of at most 64 KiB each.
const HEADER_LIMIT: u64 = 1 << 20;

/// Where an archive's bytes come from.
pub trait Input: BufRead {
    /// Goes past `count` bytes; fewer when the input ends before.
    fn skip(&mut self, mut count: u64) -> io::Result<u64> {
        let wanted = count;
        while count > 0 {
            let here = self.fill_buf()?.len();
            if here == 0 {
                break;
            }
            let step = count.min(here as u64);
            self.consume(step as usize);
            count -= step;
        }
        Ok(wanted - count)
    }
}

impl Input for &[u8] {}

/// A seekable archive of known length: contents that nobody wants are not read.
pub struct Seekable<R> {
    reader: BufReader<R>,
    left: u64,
}

impl<R: Read + Seek> Seekable<R> {
    /// An archive of `length` bytes that starts where `reader` stands.
    pub fn new(reader: R, length: u64) -> Self {
        Seekable { reader: BufReader::new(reader), left: length }
    }
}

impl<R: Read> Read for Seekable<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.left = self.left.saturating_sub(count as u64);
        Ok(count)
    }
}

impl<R: Read> BufRead for Seekable<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.reader.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.reader.consume(count);
        self.left = self.left.saturating_sub(count as u64);
    }
}

impl<R: Read + Seek> Input for Seekable<R> {
    fn skip(&mut self, count: u64) -> io::Result<u64> {
        let step = count.min(self.left);
        self.reader.seek_relative(i64::try_from(step).map_err(io::Error::other)?)?;
        self.left -= step;
        Ok(step)
    }
}

/// Reads the entries of one archive. After the last one, the whole input has been read and found to be nothing but padding.
pub struct TarReader<I> {
    input: I,
    /// Bytes of the archive that were read or skipped.
    position: u64,
    /// Content of the current entry that was not read yet, and the padding after it.
    content: u64,
    padding: u64,
    last: Option<String>,
    end: End,
    header_limit: u64,
}

/// How an archive ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It has not yet.
    NotYet,
    /// With the block of zeros that the format prescribes.
    Marked,
    /// Without it, after a whole entry.
    Unmarked,
}

impl<I: Input> TarReader<I> {
    /// Reads from `input`, which must stand at the archive's first byte.
    pub fn new(input: I) -> Self {
        Self::limited(input, HEADER_LIMIT)
    }

    /// The same, with extended headers of at most `header_limit` bytes.
    pub fn limited(input: I, header_limit: u64) -> Self {
        TarReader { input, position: 0, content: 0, padding: 0, last: None, end: End::NotYet, header_limit }
    }

    /// How many bytes of the archive were passed: after [`TarReader::next_entry`], where the entry's content starts.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// How the archive ended, once it has.
    pub fn end(&self) -> End {
        self.end
    }

    /// The next entry, or `None` at the end; what was left of the entry before is skipped.
    pub fn next_entry(&mut self) -> Result<Option<TarEntry>> {
        self.skip_content()?;
        let mut local: Option<Records> = None;
        let (mut long_name, mut long_link) = (None, None);
        loop {
            let Some(header) = self.read_header()? else {
                return match (local.is_some(), long_name.is_some() || long_link.is_some()) {
                    (false, false) => Ok(None),
                    _ => Err(self.broken("the archive ends where an entry should follow its extended header")),
                };
            };
            let kind = header.entry_type();
            let name = name_in(&header).map_err(|e| self.broken(e.what()))?;
            let size = field_number(&header.as_old().size).and_then(|size| u64::try_from(size).ok());
            let size = size.ok_or_else(|| in_entry(&name, self.broken("its size is not a number")))?;
            match kind {
                EntryType::XHeader => {
                    if local.is_some() {
                        return Err(self.broken("two PAX headers follow each other"));
                    }
                    local = Some(parse_records(&self.metadata(size)?).map_err(|e| in_entry(&name, e))?)
                }
                EntryType::XGlobalHeader => {
                    // GNU tar obeys them, bsdtar and docker do not; what they mostly hold is git's comment.
                    let records = parse_records(&self.metadata(size)?).map_err(|e| in_entry(&name, e))?;
                    if let Some((key, _)) = records.iter().find(|(key, _)| is_heeded(key)) {
                        let what = format!("a global PAX header sets {} for all entries that follow", quote(key));
                        return Err(self.broken(&what));
                    }
                }
                EntryType::GNULongName => long_name = Some(c_string(self.metadata(size)?)),
                EntryType::GNULongLink => long_link = Some(c_string(self.metadata(size)?)),
                // A volume label: one reader takes it for an entry, to the other it is nothing.
                other if other.as_byte() == b'V' => {
                    if size > 0 || local.is_some() || long_name.is_some() || long_link.is_some() {
                        return Err(self.broken("a volume label has content or an extended header"));
                    }
                }
                _ => {
                    let records = local.as_deref().unwrap_or_default();
                    for (key, long) in [("path", &long_name), ("linkpath", &long_link)] {
                        if let (Some(pax), Some(long)) = (record(records, key), long)
                            && pax != long.as_slice()
                        {
                            let what = format!("it has two names, {} and {}", quote(pax), quote(long));
                            return Err(in_entry(pax, self.broken(&what)));
                        }
                    }
                    let name = long_name.unwrap_or(name);
                    let link = match long_link {
                        Some(link) => link,
                        None => header.link_name_bytes().map(|link| link.into_owned()).unwrap_or_default(),
                    };
                    let entry = self.assemble(&header, name.clone(), link, size, records);
                    return entry.map(Some).map_err(|e| in_entry(&name, e));
                }
            }
        }
    }

    /// Hands the rest of the current entry's content to `sink`, piece by piece.
    pub fn read_content(&mut self, mut sink: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        while self.content > 0 {
            let piece = self.input.fill_buf()?;
            if piece.is_empty() {
                return Err(self.truncated());
            }
            let count = (piece.len() as u64).min(self.content);
            sink(piece.get(..count as usize).unwrap_or_default())?;
            self.input.consume(count as usize);
            self.position += count;
            self.content -= count;
        }
        Ok(())
    }

    fn assemble(
        &mut self,
        header: &Header,
        name: Vec<u8>,
        link: Vec<u8>,
        size: u64,
        records: &[(Vec<u8>, Vec<u8>)],
    ) -> Result<TarEntry> {
        let fields = header.as_old();
        let number = |what: &str, field: &[u8]| {
            field_number(field).ok_or_else(|| Error::new(format!("its {what} is not a number")))
        };
        let id = |what: &str, field: &[u8]| {
            u64::try_from(number(what, field)?).map_err(|_| Error::new(format!("its {what}'s id is negative")))
        };
        let kind = match header.entry_type() {
            EntryType::Regular | EntryType::Continuous => Kind::File,
            EntryType::Link => Kind::HardLink,
            EntryType::Symlink => Kind::Symlink,
            EntryType::Directory => Kind::Directory,
            EntryType::Fifo => Kind::Fifo,
            EntryType::Char | EntryType::Block => Kind::Device,
            EntryType::GNUSparse => return Err(sparse()),
            other => {
                return Err(Error::new(format!(
                    "its type {:?} is none that a layer may have",
                    char::from(other.as_byte())
                )));
            }
        };
        let mut entry = TarEntry {
            name,
            kind,
            size,
            mode: u32::try_from(number("mode", &fields.mode)? & 0o7777).unwrap_or(0),
            uid: id("owner", &fields.uid)?,
            gid: id("group", &fields.gid)?,
            mtime: TimeSpec::new(number("modification time", &fields.mtime)?, 0),
            link,
            xattrs: Vec::new(),
        };
        apply_records(&mut entry, records)?;
        // Before POSIX, a trailing slash was all that told a directory from a file. A name that a PAX record made longer counts
        // as a whole: cut off in the header, it may end with a slash by chance.
        if header.entry_type() == EntryType::Regular && entry.name.ends_with(b"/") {
            entry.kind = Kind::Directory;
        }
        if entry.kind != Kind::File {
            // All agree that a directory's own size says nothing; of any other some take it for the length of a content.
            let says_nothing = header.entry_type() == EntryType::Directory && record(records, "size").is_none();
            if entry.size > 0 && !says_nothing {
                let what = format!("it has a size of {} bytes, which only files may have", entry.size);
                return Err(Error::new(what));
            }
            entry.size = 0;
        }
        self.content = entry.size;
        self.padding = (BLOCK - entry.size % BLOCK) % BLOCK;
        self.last = Some(entry.quoted());
        Ok(entry)
    }

    fn read_header(&mut self) -> Result<Option<Header>> {
        let mut header = Header::new_old();
        let got = self.read_block(header.as_mut_bytes())?;
        if got == 0 && self.position > 0 {
            self.end = End::Unmarked;
            return Ok(None);
        }
        let not_tar = self.position <= BLOCK;
        if got < BLOCK as usize {
            return Err(if not_tar { self.not_a_tar() } else { self.truncated() });
        }
        if header.as_bytes().iter().all(|b| *b == 0) {
            self.expect_padding()?;
            self.end = End::Marked;
            return Ok(None);
        }
        if !checksum_holds(&header) {
            return Err(if not_tar { self.not_a_tar() } else { self.broken("the next header's checksum is wrong") });
        }
        Ok(Some(header))
    }

    fn read_block(&mut self, block: &mut [u8]) -> Result<usize> {
        let mut filled = 0;
        while let Some(rest) = block.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            let count = self.input.read(rest)?;
            if count == 0 {
                break;
            }
            filled += count;
        }
        self.position += filled as u64;
        Ok(filled)
    }

    /// Everything after the end marker must be zeros: GNU tar fills its last record with them.
    fn expect_padding(&mut self) -> Result<()> {
        loop {
            let piece = self.input.fill_buf()?;
            if piece.is_empty() {
                return Ok(());
            }
            if piece.iter().any(|b| *b != 0) {
                return Err(self.broken("garbage follows the archive's end"));
            }
            let count = piece.len();
            self.position += count as u64;
            self.input.consume(count);
        }
    }

    fn metadata(&mut self, size: u64) -> Result<Vec<u8>> {
        if size > self.header_limit {
            let what = format!("an extended header of {size} bytes follows, more than {}", self.header_limit);
            return Err(beyond("header-size", self.broken(&what).what().to_owned()));
        }
        let mut content = vec![0u8; usize::try_from(size).unwrap_or(usize::MAX)];
        if self.read_block(&mut content)? < content.len() {
            return Err(self.truncated());
        }
        self.skip_exactly((BLOCK - size % BLOCK) % BLOCK)?;
        Ok(content)
    }

    fn skip_content(&mut self) -> Result<()> {
        let rest = self.content.saturating_add(self.padding);
        self.skip_exactly(rest)?;
        (self.content, self.padding) = (0, 0);
        Ok(())
    }

    fn skip_exactly(&mut self, count: u64) -> Result<()> {
        let skipped = self.input.skip(count)?;
        self.position += skipped;
        if skipped < count { Err(self.truncated()) } else { Ok(()) }
    }

    fn not_a_tar(&self) -> Error {
        Error::new("it is not a tar archive")
    }

    fn truncated(&self) -> Error {
        self.broken("the archive is truncated")
    }

    fn broken(&self, why: &str) -> Error {
        match &self.last {
            Some(last) => Error::new(format!("{why}, in or after entry {last}")),
            None => Error::new(why),
        }
    }
}

/// Names the entry that an error is about.
pub fn in_entry(name: &[u8], error: Error) -> Error {
    error.context(format!("entry {}", quote(name)))
}

/// The header's checksum counts its own field as spaces; some old tars added the bytes as signed numbers.
fn checksum_holds(header: &Header) -> bool {
    let Some(expected) = field_number(&header.as_old().cksum) else { return false };
    let bytes = || header.as_bytes().iter().enumerate().map(|(at, b)| if (148..156).contains(&at) { b' ' } else { *b });
    let unsigned: u32 = bytes().map(u32::from).sum();
    let signed: i32 = bytes().map(|b| i32::from(b.cast_signed())).sum();
    expected == i64::from(unsigned) || expected == i64::from(signed)
}

/// GNU long names end with a NUL, which is not part of them.
fn c_string(mut name: Vec<u8>) -> Vec<u8> {
    while name.last() == Some(&0) {
        name.pop();
    }
    name
}

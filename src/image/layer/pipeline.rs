//! From a blob to a layer in one pass: one thread reads, copies and decompresses, one hashes what comes out, and the caller's writes the tree.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use crate::error::{Error, Result};
use crate::image::compression::Compression;
use crate::image::digest::{Digest, Hasher};
use crate::image::extent::Extent;
use crate::image::layer::limits::{Budget, write_failed};
use crate::image::layer::tar_reader::Input;

/// Large enough that handing over costs nothing, small enough that a few of them stay in the processor's cache.
const BUFFER: usize = 256 << 10;
/// Decompressed buffers that may wait for the next thread: the bound on memory, and the slack between the threads.
const WAITING: usize = 8;

/// A layer's blob and what it must turn out to be.
#[derive(Debug, Clone)]
pub struct LayerBlob {
    /// Where its bytes are.
    pub content: Content,
    /// Its digest, where something promises one; a docker archive does not.
    pub digest: Option<Digest>,
    /// The digest of the tar archive in it, where something promises one; for a root file system nothing does.
    pub diff_id: Option<Digest>,
    /// The compression that its media type promises.
    pub compression: Option<Compression>,
}

/// Where a blob's bytes are.
#[derive(Debug, Clone)]
pub enum Content {
    /// In a file.
    Here(Extent),
    /// In a registry, as so many bytes; whoever fetches them checks the digest.
    Remote(u64),
}

impl Content {
    /// How many bytes there are.
    pub fn length(&self) -> u64 {
        match self {
            Content::Here(extent) => extent.length(),
            Content::Remote(length) => *length,
        }
    }
}

/// What a blob must turn out to be, and who finds out.
#[derive(Debug, Clone, Copy)]
pub struct Promise {
    /// The blob's digest.
    pub digest: BlobDigest,
    /// As in [`LayerBlob`].
    pub diff_id: Option<Digest>,
    /// As in [`LayerBlob`].
    pub compression: Option<Compression>,
}

/// Who finds out a blob's digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlobDigest {
    /// The pipeline, and it must be this one if there is one.
    Check(Option<Digest>),
    /// Whoever brings the bytes.
    CheckedElsewhere(Digest),
}

/// What a blob turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digests {
    /// The blob's digest.
    pub blob: Digest,
    /// The blob's length in bytes.
    pub length: u64,
    /// The digest of the tar archive in it.
    pub diff_id: Digest,
    /// The blob's compression.
    pub compression: Compression,
}

/// Reads the blob from `input`, gives the decompressed layer to `sink`, writes the blob to `copy`, and checks the digests.
///
/// Where the blob itself is corrupt, that is the error, not what `sink` made of it.
pub fn run<T>(
    mut input: impl Read + Send,
    promise: &Promise,
    copy: Option<&File>,
    limits: &Budget,
    sink: impl FnOnce(Decompressed) -> Result<T>,
) -> Result<(T, Digests)> {
    let mut head = Vec::with_capacity(8);
    input.by_ref().take(8).read_to_end(&mut head)?;
    let compression = compression_of(&head, promise)?;
    let input = io::Cursor::new(head).chain(input);
    let (full, filled) = sync_channel(WAITING);
    let (give_back, empty) = channel();
    let (read, hash, written) = thread::scope(|scope| {
        let reader = scope.spawn(move || read_blob(input, promise, compression, copy, limits, &full, &empty));
        // The hash of what is not compressed is the blob's own.
        let (hasher, filled) = if compression == Compression::None {
            (None, filled)
        } else {
            let (hashed, ready) = sync_channel(WAITING);
            (Some(scope.spawn(move || hash_pieces(&filled, &hashed))), ready)
        };
        let written = sink(Decompressed { filled, give_back, buffer: Vec::new(), position: 0, ended: false });
        let read = reader.join().unwrap_or_else(|_| Err(Error::new("the thread that reads the layer failed")));
        (read, hasher.and_then(|hasher| hasher.join().ok().flatten()), written)
    });
    // A corrupt blob is the reason for whatever the writer made of it.
    let read = read?;
    let value = written?;
    let Ended::Complete { blob: found, length } = read else {
        return Err(Error::new("the layer was not read to its end"));
    };
    let diff_id = if compression == Compression::None { Some(found) } else { hash };
    let diff_id = diff_id.ok_or_else(|| Error::new("the layer was not read to its end"))?;
    if let Some(promised) = promise.diff_id.filter(|promised| *promised != diff_id) {
        return Err(Error::new(format!(
            "its content is not what the image's config promises: its diffID should be {promised} and is {diff_id}"
        )));
    }
    Ok((value, Digests { blob: found, length, diff_id, compression }))
}

/// The compression that the content has, which must be the one that the media type promises.
fn compression_of(head: &[u8], promise: &Promise) -> Result<Compression> {
    let found = Compression::sniff(head)?;
    match promise.compression.filter(|promised| *promised != found) {
        None => Ok(found),
        Some(promised) => {
            let (promised, found) = (promised.name(), found.name());
            Err(Error::new(format!("its media type promises {promised}, but it has {found}")))
        }
    }
}

/// What the reading thread came to.
enum Ended {
    /// All was read and the blob's digest holds.
    Complete { blob: Digest, length: u64 },
    /// The writer gave up, and the blob is not to blame.
    Abandoned,
}

type Piece = io::Result<Vec<u8>>;

fn read_blob(
    input: impl Read,
    promise: &Promise,
    compression: Compression,
    copy: Option<&File>,
    limits: &Budget,
    full: &SyncSender<Piece>,
    empty: &Receiver<Vec<u8>>,
) -> Result<Ended> {
    let known = match promise.digest {
        BlobDigest::CheckedElsewhere(digest) => Some(digest),
        BlobDigest::Check(_) => None,
    };
    let hasher = known.is_none().then(Hasher::default);
    let mut tee = BufReader::with_capacity(BUFFER, Tee { input, copy, copied: Ok(()), length: 0, hasher });
    let decompressed = decompress(&mut tee, compression, limits, full, empty);
    if !matches!(decompressed, Ok(Flow::Complete)) {
        tee.get_mut().copy = None;
    }
    // What is left of a blob whose layer failed decides whether the blob is corrupt or its maker meant harm.
    io::copy(&mut tee, &mut io::sink())?;
    let tee = tee.into_inner();
    tee.copied?;
    let length = tee.length;
    let found = tee.hasher.map(Hasher::finish).or(known).ok_or_else(|| Error::new("the layer has no digest"))?;
    let promised = match promise.digest {
        BlobDigest::Check(promised) => promised.or(promise.diff_id.filter(|_| compression == Compression::None)),
        BlobDigest::CheckedElsewhere(_) => None,
    };
    if let Some(promised) = promised.filter(|promised| *promised != found) {
        return Err(Error::new(format!("its content is corrupt: its digest should be {promised} and is {found}")));
    }
    Ok(match decompressed? {
        Flow::Abandoned => Ended::Abandoned,
        Flow::Complete => Ended::Complete { blob: found, length },
    })
}

enum Flow {
    Complete,
    Abandoned,
}

fn decompress(
    input: impl BufRead,
    compression: Compression,
    limits: &Budget,
    full: &SyncSender<Piece>,
    empty: &Receiver<Vec<u8>>,
) -> Result<Flow> {
    let corrupt = |e: io::Error| Error::new(format!("its {} data is truncated or corrupt: {e}", compression.name()));
    let mut decoder = compression.decoder(input)?;
    let mut total = 0u64;
    loop {
        let mut buffer = empty.try_recv().unwrap_or_default();
        buffer.resize(BUFFER, 0);
        let count = match fill(&mut decoder, &mut buffer) {
            Ok(count) => count,
            Err(error) => {
                let _ = full.send(Err(io::Error::other("the layer's data is corrupt")));
                return Err(corrupt(error));
            }
        };
        if count == 0 {
            return Ok(Flow::Complete);
        }
        buffer.truncate(count);
        total += count as u64;
        // The writer names the entry that is too large; what it does not look at, like padding, ends here. The slack lets
        // it come first.
        limits.check(total.saturating_sub((BUFFER * (2 * WAITING + 3)) as u64))?;
        if full.send(Ok(buffer)).is_err() {
            return Ok(Flow::Abandoned);
        }
    }
}

fn fill(decoder: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match decoder.read(rest) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

/// The digest of all pieces on their way to the writer; none if they ended with an error, or if the writer gave up.
///
/// In a thread of its own: decompressing and writing files take about as long as one another, and twice as long as this.
fn hash_pieces(filled: &Receiver<Piece>, hashed: &SyncSender<Piece>) -> Option<Digest> {
    let mut hasher = Hasher::default();
    let mut whole = true;
    for piece in filled {
        match &piece {
            Ok(piece) => hasher.update(piece),
            Err(_) => whole = false,
        }
        hashed.send(piece).ok()?;
    }
    whole.then(|| hasher.finish())
}

/// Hashes and copies what passes.
struct Tee<'a, R> {
    input: R,
    copy: Option<&'a File>,
    /// Kept apart from the errors of reading, which say something about the blob.
    copied: Result<()>,
    length: u64,
    hasher: Option<Hasher>,
}

impl<R: Read> Read for Tee<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        let piece = buffer.get(..count).unwrap_or_default();
        self.length += count as u64;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(piece);
        }
        if let Some(mut copy) = self.copy {
            copy.write_all(piece).map_err(|e| {
                self.copy = None;
                let errno = e.raw_os_error().map_or(nix::errno::Errno::EIO, nix::errno::Errno::from_raw);
                self.copied = Err(write_failed("cannot copy it to the store", errno));
                io::Error::from(e.kind())
            })?;
        }
        Ok(count)
    }
}

/// The writer's end: the decompressed layer as a buffered input that copies nothing.
pub struct Decompressed {
    filled: Receiver<Piece>,
    give_back: Sender<Vec<u8>>,
    buffer: Vec<u8>,
    position: usize,
    ended: bool,
}

impl BufRead for Decompressed {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.position >= self.buffer.len() && !self.ended {
            match self.filled.recv() {
                Ok(piece) => {
                    let used = std::mem::replace(&mut self.buffer, piece?);
                    self.position = 0;
                    // The reader may have ended already and need it no more.
                    let _ = self.give_back.send(used);
                }
                Err(_) => self.ended = true,
            }
        }
        Ok(self.buffer.get(self.position..).unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.position += count;
    }
}

impl Read for Decompressed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}

impl Input for Decompressed {}

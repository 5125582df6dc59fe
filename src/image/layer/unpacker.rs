//! Layers are unpacked in a process of their own, several at a time: inside the pod's user namespace, with nothing in reach but the
//! directory that they are made in.
//!
//! The parent sends orders, each with the blob's descriptor and a socket on which the answer comes back. A blob may still be growing
//! while it is unpacked: the parent then says on the same socket that there is more of it, and at last that it is complete.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::socket::{MsgFlags, send};
use nix::sys::stat::Mode;
use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Result};
use crate::host::IdMap;
use crate::image::compression::Compression;
use crate::image::digest::Digest;
use crate::image::layer::limits::Limits;
use crate::image::layer::pipeline::{self, BlobDigest, Decompressed, Digests, Promise};
use crate::image::layer::unpack::{LayerStats, unpack};
use crate::image::namespace::{InUserNamespace, Serving, Workplace};
use crate::sys::{Named, packet};

/// More at once would compete for the memory and for the disk.
const AT_ONCE: usize = 4;
const MORE: &[u8] = b"+";
const COMPLETE: &[u8] = b".";

/// The parent's side of the unpacking process.
#[derive(Debug)]
pub struct Unpacker {
    orders: Option<OwnedFd>,
    serving: Option<Serving>,
}

/// What is to be done with a blob.
#[derive(Debug, Serialize, Deserialize)]
pub struct Order {
    /// The directory to unpack into, relative to the directory that layers are made in; without one the layer is only checked.
    pub tree: Option<PathBuf>,
    /// Where the blob begins in its file, in bytes.
    pub offset: u64,
    /// How many bytes it has.
    pub length: u64,
    /// Whether they are all there.
    pub complete: bool,
    promise: Promised,
}

/// [`Promise`] as it travels.
#[derive(Debug, Serialize, Deserialize)]
struct Promised {
    check: bool,
    digest: Option<String>,
    diff_id: Option<String>,
    compression: Option<String>,
}

/// One layer that is being unpacked. Dropping it gives it up.
#[derive(Debug)]
pub struct Job {
    socket: UnixStream,
}

impl Order {
    /// What to do with a blob of `length` bytes that starts at `offset` of its file.
    pub fn new(tree: Option<PathBuf>, offset: u64, length: u64, complete: bool, promise: &Promise) -> Order {
        let (check, digest) = match promise.digest {
            BlobDigest::Check(digest) => (true, digest),
            BlobDigest::CheckedElsewhere(digest) => (false, Some(digest)),
        };
        let promise = Promised {
            check,
            digest: digest.map(|d| d.to_string()),
            diff_id: promise.diff_id.map(|d| d.to_string()),
            compression: promise.compression.map(|c| c.media_type().to_owned()),
        };
        Order { tree, offset, length, complete, promise }
    }
}

impl Promised {
    fn read(&self) -> Result<Promise> {
        let digest = self.digest.as_deref().map(Digest::parse).transpose()?;
        let digest = match (self.check, digest) {
            (false, Some(digest)) => BlobDigest::CheckedElsewhere(digest),
            _ => BlobDigest::Check(digest),
        };
        let diff_id = self.diff_id.as_deref().map(Digest::parse).transpose()?;
        let compression = self.compression.as_deref().and_then(Compression::of_media_type);
        Ok(Promise { digest, diff_id, compression })
    }
}

impl Unpacker {
    /// Starts the process, which can write below `layers` and nowhere else. The caller must have one thread only.
    pub fn start(layers: &Path, limits: Limits, ids: &IdMap, namespace: &dyn InUserNamespace) -> Result<Unpacker> {
        let (ours, theirs) = packet::pair()?;
        let ids = ids.clone();
        // The number of processors is in files that the process cannot reach.
        let at_once = thread::available_parallelism().map_or(1, |n| n.get().min(AT_ONCE));
        let server = move |orders, root| serve(&orders, &root, &limits, &ids, at_once);
        let serving = namespace.serve(layers, theirs, Box::new(server))?;
        Ok(Unpacker { orders: Some(ours), serving: Some(serving) })
    }

    /// Orders a blob to be unpacked, and copied to `copy`.
    pub fn begin(&self, order: &Order, blob: BorrowedFd<'_>, copy: Option<BorrowedFd<'_>>) -> Result<Job> {
        let (ours, theirs) = UnixStream::pair().context(|| "socketpair()")?;
        let text = serde_json::to_vec(order).map_err(|e| Error::new(e.to_string()))?;
        let mut fds = vec![theirs.as_raw_fd(), blob.as_raw_fd()];
        fds.extend(copy.map(|copy| copy.as_raw_fd()));
        let orders = self.orders.as_ref().ok_or_else(died)?;
        packet::send(orders, &text, &fds).map_err(|e| if e.errno == Errno::EPIPE { died() } else { e.into() })?;
        Ok(Job { socket: ours })
    }
}

impl Drop for Unpacker {
    /// The end of its orders ends the process; it has nothing left to do but what was given up.
    fn drop(&mut self) {
        self.orders = None;
        match self.serving.take() {
            Some(Serving::Process(child)) => drop(child),
            Some(Serving::Thread(thread)) => drop(thread.join()),
            None => {}
        }
    }
}

impl Job {
    /// Says that there is more of the blob.
    pub fn more(&self) {
        // Where it cannot be sent, words of the same kind wait to be read.
        let _ = send(self.socket.as_raw_fd(), MORE, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL);
    }

    /// Says that the blob is complete, and waits for what became of it.
    pub fn finish(mut self) -> Result<(Digests, LayerStats)> {
        let mut answer = Vec::new();
        let told = send(self.socket.as_raw_fd(), COMPLETE, MsgFlags::MSG_NOSIGNAL);
        self.socket.read_to_end(&mut answer).context(|| "reading the unpacking process's answer")?;
        match answer.split_first() {
            Some((b'+', report)) => Report::decode(report),
            Some((_, failure)) => Err(Error::decode(failure)),
            None => Err(told.named(|| "send()").err().map_or_else(died, |e| died().context(e))),
        }
    }
}

fn died() -> Error {
    Error::new("the process that unpacks layers died")
        .mend("if the machine is short of memory, free some and try again; `dmesg` says whether the kernel killed it")
}

/// The process's life: it takes orders until the parent closes the socket.
fn serve(orders: &OwnedFd, root: &Result<Workplace>, limits: &Limits, ids: &IdMap, at_once: usize) {
    let places = Places::new(at_once);
    thread::scope(|scope| {
        let mut packet = vec![0; 64 << 10];
        while let Ok((length @ 1.., fds)) = packet::receive(orders, &mut packet) {
            let order = serde_json::from_slice::<Order>(packet.get(..length).unwrap_or_default());
            let mut fds = fds.into_iter();
            let (Ok(order), Some(socket), Some(blob)) = (order, fds.next(), fds.next()) else { break };
            let (copy, places) = (fds.next().map(File::from), &places);
            scope.spawn(move || {
                let mut socket = UnixStream::from(socket);
                let place = places.take();
                let made = root
                    .as_ref()
                    .map_err(Clone::clone)
                    .and_then(|root| obey(&order, root, File::from(blob), &socket, copy, limits, ids));
                let answer = match made {
                    Ok(report) => [b"+".as_slice(), &report.encode()].concat(),
                    Err(e) => [b"-".as_slice(), &e.encode()].concat(),
                };
                drop(place);
                // Where nobody listens any more, nobody needs it. A socket that is closed with something unread takes back what it sent.
                let _ = socket.write_all(&answer).and_then(|()| socket.shutdown(Shutdown::Write));
                let _ = io::copy(&mut socket, &mut io::sink());
            });
        }
    });
}

fn obey(
    order: &Order,
    root: &Workplace,
    blob: File,
    socket: &UnixStream,
    copy: Option<File>,
    limits: &Limits,
    ids: &IdMap,
) -> Result<Report> {
    let promise = order.promise.read()?;
    let limits = limits.of_blob(order.length);
    let input = Growing { blob, at: order.offset, left: order.length, complete: order.complete, socket };
    let (stats, digests) = match &order.tree {
        None => pipeline::run(input, &promise, copy.as_ref(), &limits, drain)?,
        Some(path) => {
            let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let tree = openat(&root.dir, path, flags, Mode::empty()).named(|| format!("openat({path:?})"))?;
            let tree = Workplace { dir: tree, umask: root.umask };
            pipeline::run(input, &promise, copy.as_ref(), &limits, |input| unpack(input, &tree, &limits, ids))?
        }
    };
    Ok(Report::of(&digests, stats))
}

/// Reads a layer only for its digests.
fn drain(mut input: Decompressed) -> Result<LayerStats> {
    io::copy(&mut input, &mut io::sink())?;
    Ok(LayerStats::default())
}

/// A blob whose file another process may still be writing.
struct Growing<'a> {
    blob: File,
    at: u64,
    left: u64,
    complete: bool,
    socket: &'a UnixStream,
}

impl Read for Growing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = self.left.min(buffer.len() as u64) as usize;
        let Some(buffer) = buffer.get_mut(..wanted).filter(|buffer| !buffer.is_empty()) else { return Ok(0) };
        loop {
            let count = self.blob.read_at(buffer, self.at)?;
            if count > 0 || self.complete {
                self.at += count as u64;
                self.left -= count as u64;
                return Ok(count);
            }
            let mut words = [0; 256];
            let count = (&mut &*self.socket).read(&mut words)?;
            if count == 0 {
                return Err(io::Error::other("its download was given up"));
            }
            self.complete = words.get(..count).unwrap_or_default().ends_with(COMPLETE);
        }
    }
}

/// So many may work at a time.
struct Places {
    free: Mutex<usize>,
    freed: Condvar,
}

struct Place<'a>(&'a Places);

impl Places {
    fn new(count: usize) -> Places {
        Places { free: Mutex::new(count), freed: Condvar::new() }
    }

    fn take(&self) -> Place<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self.freed.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Place(self)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

/// What comes back from the user namespace.
#[derive(Serialize, Deserialize)]
struct Report {
    blob: String,
    length: u64,
    diff_id: String,
    compression: String,
    stats: LayerStats,
}

impl Report {
    fn of(digests: &Digests, stats: LayerStats) -> Report {
        Report {
            blob: digests.blob.to_string(),
            length: digests.length,
            diff_id: digests.diff_id.to_string(),
            compression: digests.compression.media_type().to_owned(),
            stats,
        }
    }

    fn encode(&self) -> Vec<u8> {
        serde_json::json!(self).to_string().into_bytes()
    }

    fn decode(content: &[u8]) -> Result<(Digests, LayerStats)> {
        let report: Report = serde_json::from_slice(content)
            .map_err(|e| Error::new(format!("the unpacking process sent an unreadable report: {e}")))?;
        let compression = Compression::of_media_type(&report.compression).unwrap_or(Compression::None);
        let (blob, diff_id) = (Digest::parse(&report.blob)?, Digest::parse(&report.diff_id)?);
        Ok((Digests { blob, length: report.length, diff_id, compression }, report.stats))
    }
}

//! The two ends of `podling cp`: one packs files as a tar stream, the other unpacks it, and either may be in the container.
//!
//! The end in the container is a process of podling's own that has joined the container's namespaces, so no tar and no shell of
//! the image is needed, and no path of the container is ever looked up on the host. What it sends is as hostile as the container
//! can make it. The rules about names are those of `docker cp` and `podman cp` (see [`place`]).
//!
//! What is copied: regular files (sparse ones as their content), directories, symbolic links as links, hard links between copied
//! files, FIFOs; permission bits, modification times to the nanosecond, numeric owners. What is not: sockets, devices and the
//! kernel's own file systems, each with a warning, and extended attributes, of which file capabilities would be the dangerous ones.
//!
//! Both ends speak over one stream socket in [`frames`]: `send` fills it, `receive` empties it, and the receiving end's outcome goes
//! back the other way. [`fetch`] and [`deliver`] are the client's ends, [`give`] and [`take`] the container's.

mod archive;
mod base;
mod frames;
mod job;
mod notes;
mod place;
mod receive;
mod send;
mod temporary;
#[cfg(test)]
mod tests;

use std::io::{self, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;

pub(super) use base::Base;
pub use base::Top;
pub use job::Job;
pub(super) use job::serve;

use frames::{FrameReader, FrameWriter, read_outcome, write_outcome};
use receive::{How, receive};
use send::send;

use crate::error::{Context, Error, Result};
use crate::image::compression::Compression;

/// What becomes of a source that is itself a symbolic link; links below a directory are always copied as links.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// It is copied as a link.
    Keep,
    /// What it points to is copied, under the link's name.
    Follow,
}

/// Who owns what was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// Whoever makes the files: the receiving process.
    Receiver,
    /// This user and group.
    Of {
        /// Numeric user id, as the receiving process sees it.
        uid: u32,
        /// Numeric group id, likewise.
        gid: u32,
    },
    /// The numbers at the source.
    Kept,
}

/// What the stream holds, and so what its first entry means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// What the sending end made of one source, whose name was this.
    Copy(Top),
    /// Any tar archive, to be unpacked into an existing directory.
    Archive,
    /// The same, into an empty directory that gets the owner and mode that the archive has for it.
    Volume,
}

/// What was copied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Copied {
    /// Entries that were made: files, directories, links.
    pub entries: u64,
    /// Bytes of content.
    pub bytes: u64,
    /// What was left out or changed, one sentence for each reason; from strangers, in part.
    pub warnings: Vec<String>,
}

/// The container's end of a copy out of it: packs `source` and sends it, then the outcome.
///
/// # Errors
/// Only that of telling the outcome; the client hears of all others.
pub(super) fn give(socket: &UnixStream, source: &Path, links: Links) -> Result<()> {
    give_when(Ok(()), socket, source, links)
}

/// The same where this process may have failed to become `ready`: then the client hears of that.
///
/// # Errors
/// As [`give`].
pub(super) fn give_when(ready: Result<()>, socket: &UnixStream, source: &Path, links: Links) -> Result<()> {
    let mut out = FrameWriter::new(socket);
    let sent = ready.and_then(|()| Base::root()).and_then(|base| send(&base, source, &mut out, links));
    out.finish(&sent.map(|sent| sent.warnings))
}

/// The client's end of a copy out of a container: unpacks what comes to `destination`, a path on this host.
///
/// Set-user-id and set-group-id bits are dropped whatever the owner.
///
/// # Errors
/// What failed at either end, once. Where the other end could not read some files, the rest has been copied all the same.
pub fn fetch(socket: &UnixStream, destination: &Path, top: &Top, owner: Owner) -> Result<Copied> {
    let mut input = FrameReader::new(socket);
    let how = How { shape: Shape::Copy(top.clone()), owner, special: receive::SpecialBits::Drop };
    let received = receive(&Base::WorkingDirectory, destination, &mut input, &how);
    reconcile(received, input)
}

/// The client's end of a copy out of a container to `-`: the tar archive as it comes.
///
/// # Errors
/// What failed at either end.
pub fn fetch_archive(socket: &UnixStream, mut out: impl Write) -> Result<Copied> {
    let mut input = FrameReader::new(socket);
    let copied = io::copy(&mut input, &mut out).and_then(|bytes| out.flush().map(|()| bytes));
    let received = copied.map(|bytes| Copied { bytes, ..Copied::default() }).context(|| "writing the archive");
    reconcile(received, input)
}

/// The sender's failure explains the receiver's; a failure of the receiver's own comes before the sender was done.
fn reconcile(received: Result<Copied>, input: FrameReader<&UnixStream>) -> Result<Copied> {
    let ended = input.has_ended();
    let socket = input.get_ref();
    if received.is_err() && !ended {
        // The sender must not go on for an end that does not listen; whether it can be told does not matter.
        let _ = socket.shutdown(Shutdown::Both);
    }
    match (received, ended) {
        (Err(ours), false) => Err(ours),
        (received, _) => {
            let theirs = input.outcome()?;
            let mut copied = received?;
            copied.warnings.extend(theirs);
            Ok(copied)
        }
    }
}

/// The client's end of a copy into a container: packs `source`, a path on this host, and waits for the outcome.
///
/// # Errors
/// What failed at either end, once.
pub fn deliver(socket: &UnixStream, source: &Path, links: Links) -> Result<Copied> {
    deliver_with(socket, |out| {
        let sent = send(&Base::WorkingDirectory, source, out, links)?;
        Ok(sent.warnings)
    })
}

/// The client's end of a copy of `-` into a container: a tar archive as it comes, decompressed where gzip or zstd is.
///
/// # Errors
/// What failed at either end, once.
pub fn deliver_archive(socket: &UnixStream, archive: impl Read) -> Result<Copied> {
    let mut archive = BufReader::new(archive);
    let mut head = Vec::with_capacity(8);
    archive.by_ref().take(8).read_to_end(&mut head).context(|| "reading the archive")?;
    let compression = Compression::sniff(&head).map_err(|_| {
        Error::new("the archive has a compression that podling does not read")
            .mend("decompress it first, `xz -dc FILE | podling cp - …`; gzip and zstd are read as they are")
    })?;
    let mut archive = compression.decoder(io::Cursor::new(head).chain(archive))?;
    deliver_with(socket, |out| {
        io::copy(&mut archive, out).context(|| "sending the archive")?;
        Ok(Vec::new())
    })
}

fn deliver_with(
    socket: &UnixStream,
    fill: impl FnOnce(&mut FrameWriter<&UnixStream>) -> Result<Vec<String>>,
) -> Result<Copied> {
    let mut out = FrameWriter::new(socket);
    let sent = fill(&mut out);
    let broken = out.is_broken();
    let told = out.finish(&sent);
    let answer = read_outcome(socket);
    match (sent, answer) {
        // Where the stream broke, the other end knows why.
        (Err(_), Err(answer)) if broken => Err(answer),
        (Err(ours), _) => Err(ours),
        (Ok(_), Err(answer)) => Err(answer),
        (Ok(warnings), Ok(mut copied)) => {
            told?;
            copied.warnings.extend(warnings);
            Ok(copied)
        }
    }
}

/// The container's end of a copy into it: unpacks what comes to `destination`, and sends the outcome back.
///
/// # Errors
/// Only that of telling the outcome; the client hears of all others.
pub(super) fn take(socket: &UnixStream, destination: &Path, shape: Shape, owner: Owner) -> Result<()> {
    take_when(Ok(()), socket, destination, shape, owner)
}

/// The same where this process may have failed to become `ready`: then the client hears of that.
///
/// # Errors
/// As [`take`].
pub(super) fn take_when(
    ready: Result<()>,
    socket: &UnixStream,
    destination: &Path,
    shape: Shape,
    owner: Owner,
) -> Result<()> {
    let mut input = FrameReader::new(socket);
    // No program of a volume gets rights by them: volumes are mounted nosuid.
    let keeps = owner == Owner::Kept || shape == Shape::Volume;
    let special = if keeps { receive::SpecialBits::Keep } else { receive::SpecialBits::Drop };
    let how = How { shape, owner, special };
    let received = ready.and_then(|()| Base::root()).and_then(|base| receive(&base, destination, &mut input, &how));
    // A client that is still sending learns from EPIPE to stop and to listen.
    let _ = socket.shutdown(Shutdown::Read);
    write_outcome(socket, &received)
}

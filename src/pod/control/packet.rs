//! Values as packets: JSON behind the protocol's version; what is too long for a packet comes in a memory file beside it.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::memfd::{MFdFlags, memfd_create};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::message::VERSION;
use crate::error::{Error, Result};
use crate::sys::{Named, packet};

/// What fits into a packet with certainty: the kernel's default for a socket's buffer is 208 KiB (socket(7), `wmem_default`).
const LONGEST: usize = 32 * 1024;

/// What a peer may send in a memory file, in bytes.
const LONGEST_FILE: u64 = 64 << 20;

/// The second byte of a packet: where the JSON is.
const HERE: u8 = b'h';
const IN_FILE: u8 = b'f';

/// Whether a packet went out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pod) enum Sent {
    /// It is on its way.
    Yes,
    /// The peer's queue is full, and the socket does not wait.
    Later,
    /// The peer is gone.
    Gone,
}

/// Sends `value` with `fds` beside it.
///
/// # Errors
/// The failed call, but for what [`Sent`] says.
pub(in crate::pod) fn send(to: impl AsFd, value: &impl Serialize, fds: &[BorrowedFd]) -> Result<Sent> {
    let json = serde_json::to_vec(value).map_err(|e| Error::new(format!("a message of the control socket: {e}")))?;
    let mut raw: Vec<_> = fds.iter().map(|fd| fd.as_raw_fd()).collect();
    let sent = if json.len() <= LONGEST {
        let bytes = [[VERSION, HERE].as_slice(), &json].concat();
        packet::send(to, &bytes, &raw)
    } else {
        let mut file = File::from(memfd_create(c"podling", MFdFlags::MFD_CLOEXEC).named(|| "memfd_create()")?);
        file.write_all(&json).named(|| "write(memfd)")?;
        raw.push(file.as_raw_fd());
        packet::send(to, &[VERSION, IN_FILE], &raw)
    };
    match sent {
        Ok(()) => Ok(Sent::Yes),
        Err(e) if e.errno == Errno::EAGAIN => Ok(Sent::Later),
        Err(e) if matches!(e.errno, Errno::EPIPE | Errno::ECONNRESET) => Ok(Sent::Gone),
        Err(e) => Err(e.into()),
    }
}

/// What came: a value with its descriptors, or the end of the connection.
#[derive(Debug)]
pub(in crate::pod) enum Received<T> {
    /// A value.
    Value(T, Vec<OwnedFd>),
    /// There is nothing now, and the socket does not wait.
    Nothing,
    /// The peer is gone.
    End,
}

/// Receives the next value.
///
/// # Errors
/// The failed call, another version of the protocol, or what cannot be read.
pub(in crate::pod) fn receive<T: DeserializeOwned>(from: impl AsFd) -> Result<Received<T>> {
    let mut bytes = vec![0; LONGEST + 2];
    let (length, mut fds) = match packet::receive(from, &mut bytes) {
        Err(e) if e.errno == Errno::EAGAIN => return Ok(Received::Nothing),
        received => received?,
    };
    let json = match bytes.get(..length).unwrap_or_default() {
        [] => return Ok(Received::End),
        [VERSION, HERE, json @ ..] => json.to_vec(),
        [VERSION, IN_FILE, ..] => read_file(fds.pop())?,
        [version, ..] => {
            let why = format!(
                "the other side speaks version {version} of the control protocol, and this podling version {VERSION}"
            );
            return Err(Error::new(why).mend(
                "use the podling that the pod was started with, or end the pod with kill -TERM of its podling-pod process",
            ));
        }
    };
    let value = serde_json::from_slice(&json)
        .map_err(|e| Error::new(format!("a message of the control socket cannot be read: {e}")))?;
    Ok(Received::Value(value, fds))
}

fn read_file(file: Option<OwnedFd>) -> Result<Vec<u8>> {
    let Some(file) = file else { return Err(Error::new("a message of the control socket lacks its file")) };
    let mut file = File::from(file);
    file.seek(SeekFrom::Start(0)).named(|| "lseek(memfd)")?;
    let mut json = Vec::new();
    file.take(LONGEST_FILE).read_to_end(&mut json).named(|| "read(memfd)")?;
    Ok(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_any_length_arrive_with_their_descriptors() {
        let (a, b) = packet::pair().unwrap();
        for length in [0, 100, LONGEST, 3 << 20] {
            let value = "x".repeat(length);
            send(&a, &value, &[a.as_fd()]).unwrap();
            let Received::Value(got, fds) = receive::<String>(&b).unwrap() else { panic!("the end") };
            assert_eq!((got, fds.len()), (value, 1));
        }
        drop(a);
        assert!(matches!(receive::<String>(&b).unwrap(), Received::End));
    }

    #[test]
    fn another_version_and_nonsense_are_errors() {
        let (a, b) = packet::pair().unwrap();
        for (bytes, expected) in
            [(b"\x09h{}".as_slice(), "version 9"), (b"\x01h{", "cannot be read"), (b"\x01f", "lacks its file")]
        {
            packet::send(&a, bytes, &[]).unwrap();
            let error = receive::<String>(&b).unwrap_err();
            assert!(error.what().contains(expected), "{error}");
        }
    }
}

//! Bytes on their way: from a container's pipe, in whole lines where a person reads them, and out through a descriptor of podling's
//! or a client's without ever blocking the supervisor.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};
use nix::sys::stat::{Mode, fstat};
use nix::unistd::{pipe2, write};

use super::events::{Events, Source};
use crate::error::Error;
use crate::sys::{Named, SysError};

/// A line longer than this is shown in pieces, so that a container cannot make the supervisor hold it all.
const LONGEST_LINE: usize = 16 * 1024;

/// What waits to be written at most; beyond it the containers wait in turn.
const HIGH_WATER: usize = 256 * 1024;

/// How much a pipe takes without blocking once poll(2) calls it writable (pipe(7), `PIPE_BUF`).
const CHUNK: usize = 4096;

/// The reading end of a container's standard output or error, or of its terminal.
#[derive(Debug)]
pub(super) struct Stream {
    pipe: File,
    size: usize,
}

/// What a read found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// That many bytes, and perhaps more later; zero where none is there now.
    Open(usize),
    /// Every writer is gone.
    Ended,
}

/// What a pipe holds unless it is told otherwise (pipe(7)).
const PIPE_SIZE: usize = 64 * 1024;

/// What a pipe may hold without privileges (`pipe-max-size`).
const LARGE_PIPE: i32 = 1024 * 1024;

impl Stream {
    /// The stream, and the end that the container writes.
    pub(super) fn new() -> Result<(Stream, OwnedFd), SysError> {
        let (read, write) = pipe2(OFlag::O_CLOEXEC).named(|| "pipe2()")?;
        // Only this end: the container's programs expect theirs to block.
        fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).named(|| "fcntl(F_SETFL, O_NONBLOCK)")?;
        Ok((Stream { pipe: File::from(read), size: PIPE_SIZE }, write))
    }

    /// What is written to a terminal, out of its master, which does not block.
    pub(super) fn of_terminal(master: OwnedFd) -> Stream {
        Stream { pipe: File::from(master), size: usize::MAX }
    }

    /// Reads what is there, as much as fits into `bytes`.
    pub(super) fn read(&mut self, bytes: &mut [u8]) -> Flow {
        loop {
            return match self.pipe.read(bytes) {
                Ok(0) => Flow::Ended,
                Ok(n) => {
                    self.widen(n);
                    Flow::Open(n)
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                Err(e) if e.kind() == ErrorKind::WouldBlock => Flow::Open(0),
                Err(_) => Flow::Ended,
            };
        }
    }

    /// Who writes much gets a larger pipe, and with it fewer changes between the two processes. The kernel may refuse: all pipes of a
    /// user have a limit together.
    fn widen(&mut self, found: usize) {
        if found >= PIPE_SIZE && self.size == PIPE_SIZE {
            let _ = fcntl(&self.pipe, FcntlArg::F_SETPIPE_SZ(LARGE_PIPE));
            self.size = usize::MAX;
        }
    }
}

/// Bytes that become lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// Hands each whole line, without its end, to `line`.
    pub(super) fn split(&mut self, bytes: &[u8], mut line: impl FnMut(&[u8])) {
        for piece in bytes.split_inclusive(|b| *b == b'\n') {
            match piece.strip_suffix(b"\n") {
                Some(end) if self.partial.is_empty() => line(end),
                Some(end) => {
                    self.partial.extend_from_slice(end);
                    line(&std::mem::take(&mut self.partial));
                }
                None => {
                    self.partial.extend_from_slice(piece);
                    if self.partial.len() >= LONGEST_LINE {
                        line(&std::mem::take(&mut self.partial));
                    }
                }
            }
        }
    }

    /// Hands over what is left at the end.
    pub(super) fn finish(&mut self, line: impl FnOnce(&[u8])) {
        if !self.partial.is_empty() {
            line(&std::mem::take(&mut self.partial));
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// podling's own standard output or error, or a client's that is attached.
#[derive(Debug)]
pub(super) struct Sink {
    out: Out,
    source: Source,
    waiting: VecDeque<u8>,
    watched: bool,
    state: Reader,
    failure: Option<Errno>,
}

/// How bytes leave without ever blocking. The caller's own file description is never made non-blocking: others share it.
#[derive(Debug)]
enum Out {
    /// A description of podling's own, opened anew: a pipe, a terminal.
    Own(OwnedFd),
    /// A socket, where each call says that it must not block.
    Socket(OwnedFd),
    /// The caller's description: a regular file, which takes everything, or something that cannot be opened anew, which may.
    Shared(OwnedFd),
}

/// Whether anybody reads what podling writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    /// As far as is known.
    There,
    /// The pipe's reader has gone, as `head` does, or the write failed.
    Gone,
}

impl Out {
    fn new(fd: OwnedFd) -> Result<Out, SysError> {
        let kind = fstat(&fd).named(|| "fstat(standard output)")?.st_mode & libc::S_IFMT;
        Ok(match kind {
            libc::S_IFSOCK => Out::Socket(fd),
            libc::S_IFIFO | libc::S_IFCHR => {
                let flags = OFlag::O_WRONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
                match open(format!("/proc/self/fd/{}", fd.as_raw_fd()).as_str(), flags, Mode::empty()) {
                    Ok(own) => Out::Own(own),
                    // Another user's terminal, as after su(1).
                    Err(_) => Out::Shared(fd),
                }
            }
            _ => Out::Shared(fd),
        })
    }

    fn fd(&self) -> &OwnedFd {
        let (Out::Own(fd) | Out::Socket(fd) | Out::Shared(fd)) = self;
        fd
    }

    fn write(&self, bytes: &[u8]) -> nix::Result<usize> {
        match self {
            Out::Own(fd) => write(fd, bytes),
            Out::Socket(fd) => send(fd.as_raw_fd(), bytes, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL),
            Out::Shared(fd) => {
                let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLOUT)];
                match poll(&mut fds, PollTimeout::ZERO)? {
                    0 => Err(Errno::EAGAIN),
                    _ => write(fd, bytes.get(..bytes.len().min(CHUNK)).unwrap_or_default()),
                }
            }
        }
    }
}

impl Sink {
    pub(super) fn new(fd: OwnedFd, source: Source) -> Result<Sink, SysError> {
        let out = Out::new(fd)?;
        Ok(Sink { out, source, waiting: VecDeque::new(), watched: false, state: Reader::There, failure: None })
    }

    pub(super) fn push(&mut self, parts: &[&[u8]]) {
        if self.state == Reader::There {
            parts.iter().for_each(|part| self.waiting.extend(*part));
        }
    }

    /// Whether containers must wait before more is read from them.
    pub(super) fn is_full(&self) -> bool {
        self.waiting.len() >= HIGH_WATER
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Why output was lost, unless its reader went away by itself, as `head` does and a closed terminal.
    pub(super) fn complaint(&self) -> Option<Error> {
        let errno = self.failure.filter(|errno| !matches!(errno, Errno::EPIPE | Errno::EIO | Errno::ECONNRESET))?;
        let name = if self.source == Source::Stdout { "standard output" } else { "standard error" };
        Some(SysError::new(format!("write({name})"), errno).into())
    }

    /// Waits no longer for the descriptor.
    pub(super) fn leave(&self, events: &Events) {
        if self.watched {
            events.forget(self.out.fd());
        }
    }

    /// Writes as much as is taken without blocking; the rest waits for the descriptor to become writable.
    pub(super) fn flush(&mut self, events: &Events) -> Result<Reader, SysError> {
        while !self.waiting.is_empty() {
            let (front, _) = self.waiting.as_slices();
            match self.out.write(front) {
                Ok(n) => drop(self.waiting.drain(..n)),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break,
                Err(errno) => {
                    self.failure = Some(errno);
                    self.state = Reader::Gone;
                    self.waiting.clear();
                }
            }
        }
        if self.waiting.is_empty() && self.watched {
            events.forget(self.out.fd());
            self.watched = false;
        } else if !self.waiting.is_empty() && !self.watched {
            self.watched = events.watch_writable(self.out.fd(), self.source)?;
        }
        Ok(self.state)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn lines(writes: &[&[u8]]) -> Vec<Vec<u8>> {
        let (mut stream, end) = Stream::new().unwrap();
        let mut end = File::from(end);
        let mut lines = Lines::default();
        let mut found = Vec::new();
        let mut bytes = [0; 7000];
        for written in writes {
            end.write_all(written).unwrap();
            loop {
                match stream.read(&mut bytes) {
                    Flow::Open(0) => break,
                    Flow::Open(n) => lines.split(&bytes[..n], |l| found.push(l.to_vec())),
                    Flow::Ended => panic!("the writer is there"),
                }
            }
        }
        drop(end);
        assert_eq!(stream.read(&mut bytes), Flow::Ended);
        lines.finish(|l| found.push(l.to_vec()));
        found
    }

    #[test]
    fn lines_are_whole_however_they_were_written() {
        assert_eq!(lines(&[b"a\nb", b"c\n\nd"]), [b"a".to_vec(), b"bc".to_vec(), b"".to_vec(), b"d".to_vec()]);
    }

    #[test]
    fn a_line_without_an_end_comes_in_bounded_pieces() {
        let long = vec![b'x'; 3 * LONGEST_LINE];
        let pieces = lines(&[&long]);
        assert!(pieces.len() >= 2 && pieces.iter().all(|p| p.len() < 2 * LONGEST_LINE));
        assert_eq!(pieces.concat(), long);
    }
}

//! Bytes on their way from one descriptor to another, one step whenever one of the two is ready.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{Shutdown, shutdown};
use nix::unistd::{read, write};

use super::detach::{DetachKeys, Typed};

/// How much is read at once, in bytes.
const MOST: usize = 64 * 1024;

/// A write after poll(2) has promised room blocks no longer than this many bytes fit in: a pipe's promise is one page (pipe(7)).
const ROOM: usize = 4096;

/// What ends an endless drain, in bytes: pipes and terminals hold no more (pipe(7), `pipe-max-size`).
const HELD: usize = 1024 * 1024;

/// One direction of copying.
#[derive(Debug)]
pub struct Pump {
    from: Option<Rc<OwnedFd>>,
    to: Option<Rc<OwnedFd>>,
    waiting: Vec<u8>,
    end: AtEnd,
    detach: Option<DetachKeys>,
    state: Flow,
}

/// What the end of the source means for where it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtEnd {
    /// This side's descriptor is closed.
    Close,
    /// The socket learns that no more comes; it may go on talking.
    Shutdown,
}

/// How far a pump is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// It copies.
    Open,
    /// The source has ended, and everything has arrived.
    Ended,
    /// Nobody takes it any more.
    Broken,
    /// The user typed the keys that detach.
    Detached,
}

impl Pump {
    /// A pump that has copied nothing yet.
    pub fn new(from: Rc<OwnedFd>, to: Rc<OwnedFd>, end: AtEnd) -> Pump {
        Pump { from: Some(from), to: Some(to), waiting: Vec::new(), end, detach: None, state: Flow::Open }
    }

    /// The same for what a user types, who may type these keys.
    pub fn detachable(self, keys: DetachKeys) -> Pump {
        Pump { detach: Some(keys), ..self }
    }

    /// How far it is.
    pub fn flow(&self) -> Flow {
        self.state
    }

    /// What the next step waits for; nothing where there is none.
    pub fn waits_for(&self) -> Option<PollFd<'_>> {
        match (&self.from, &self.to) {
            (_, Some(to)) if !self.waiting.is_empty() => Some(PollFd::new(to.as_fd(), PollFlags::POLLOUT)),
            (Some(from), Some(_)) => Some(PollFd::new(from.as_fd(), PollFlags::POLLIN)),
            _ => None,
        }
    }

    /// Does the step that was waited for; `buffer` is for the moment only.
    pub fn step(&mut self, buffer: &mut Buffer) {
        if self.waiting.is_empty() { self.take(buffer) } else { self.put() }
    }

    fn take(&mut self, buffer: &mut Buffer) {
        let Some(from) = &self.from else { return };
        match read(from, &mut buffer.0) {
            Ok(0) => self.finish(Flow::Ended),
            Ok(n) => {
                let bytes = buffer.0.get(..n).unwrap_or_default();
                let Some(keys) = &mut self.detach else { return self.waiting.extend_from_slice(bytes) };
                if keys.filter(bytes, &mut self.waiting) == Typed::Detached {
                    self.state = Flow::Detached;
                }
            }
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            // A terminal that nobody has open any more (EIO), a reset connection.
            Err(_) => self.finish(Flow::Ended),
        }
    }

    fn put(&mut self) {
        let Some(to) = &self.to else { return };
        // Sockets are non-blocking here, and take what they can.
        let most = if self.end == AtEnd::Shutdown { self.waiting.len() } else { self.waiting.len().min(ROOM) };
        match write(to, self.waiting.get(..most).unwrap_or_default()) {
            Ok(n) => drop(self.waiting.drain(..n)),
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(_) => self.finish(Flow::Broken),
        }
    }

    fn finish(&mut self, state: Flow) {
        self.state = state;
        self.waiting.clear();
        self.from = None;
        if let Some(to) = self.to.take()
            && self.end == AtEnd::Shutdown
        {
            let _ = shutdown(to.as_raw_fd(), Shutdown::Write);
        }
    }

    /// Copies what the source holds already, and waits for no more.
    pub fn drain(&mut self, buffer: &mut Buffer) {
        let mut left = HELD + MOST;
        while left > 0 && self.state == Flow::Open {
            let timeout = if self.waiting.is_empty() { PollTimeout::ZERO } else { PollTimeout::NONE };
            let Some(fd) = self.waits_for() else { return };
            match poll(&mut [fd], timeout) {
                Ok(0) => return,
                Err(Errno::EINTR) => continue,
                Err(_) => return,
                Ok(_) => {}
            }
            let before = self.waiting.len();
            self.step(buffer);
            left = left.saturating_sub(self.waiting.len().saturating_sub(before));
        }
    }
}

/// Room for what one step reads: every pump of a loop uses the same.
#[derive(Debug)]
pub struct Buffer(Vec<u8>);

impl Buffer {
    /// An empty one.
    pub fn new() -> Buffer {
        Buffer(vec![0; MOST])
    }
}

/// Waits until a pump can go on or one of `others` has something to say, and lets the pumps that can do a step. Tells which of the others
/// have something to say.
///
/// # Errors
/// poll(2)'s.
pub fn turn(pumps: &mut [&mut Pump], others: &[BorrowedFd], buffer: &mut Buffer) -> nix::Result<Vec<bool>> {
    let mut fds: Vec<PollFd> = others.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
    let mut whose = Vec::with_capacity(pumps.len());
    for (n, pump) in pumps.iter().enumerate() {
        if let Some(fd) = pump.waits_for() {
            fds.push(fd);
            whose.push(n);
        }
    }
    match poll(&mut fds, PollTimeout::NONE) {
        Ok(_) => {}
        Err(Errno::EINTR) => return Ok(vec![false; others.len()]),
        Err(errno) => return Err(errno),
    }
    let mut ready: Vec<bool> = fds.iter().map(|fd| fd.any() == Some(true)).collect();
    drop(fds);
    let pumps_ready = ready.split_off(others.len());
    for (n, _) in whose.into_iter().zip(pumps_ready).filter(|(_, ready)| *ready) {
        if let Some(pump) = pumps.get_mut(n) {
            pump.step(buffer);
        }
    }
    Ok(ready)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Read, Write};

    use nix::unistd::pipe;

    use super::*;

    #[test]
    fn everything_arrives_and_the_end_too() {
        let (from, mut source) = pipe().map(|(r, w)| (r, File::from(w))).unwrap();
        let (mut sink, to) = pipe().map(|(r, w)| (File::from(r), w)).unwrap();
        let bytes: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
        let sent = bytes.clone();
        let writer = std::thread::spawn(move || source.write_all(&sent).unwrap());
        let reader = std::thread::spawn(move || {
            let mut got = Vec::new();
            sink.read_to_end(&mut got).unwrap();
            got
        });
        let mut pump = Pump::new(Rc::new(from), Rc::new(to), AtEnd::Close);
        let mut buffer = Buffer::new();
        while pump.flow() == Flow::Open {
            turn(&mut [&mut pump], &[], &mut buffer).unwrap();
        }
        assert_eq!(pump.flow(), Flow::Ended);
        writer.join().unwrap();
        assert_eq!(reader.join().unwrap(), bytes);
    }

    #[test]
    fn a_reader_that_is_gone_ends_it() {
        let (from, mut source) = pipe().map(|(r, w)| (r, File::from(w))).unwrap();
        let (sink, to) = pipe().unwrap();
        drop(sink);
        source.write_all(b"x").unwrap();
        let mut pump = Pump::new(Rc::new(from), Rc::new(to), AtEnd::Close);
        pump.drain(&mut Buffer::new());
        assert_eq!(pump.flow(), Flow::Broken);
    }
}

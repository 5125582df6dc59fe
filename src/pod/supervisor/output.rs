//! What containers print, on its way: to their logs, to the foreground's client, and to those who are attached.

use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use super::ending::Why;
use super::{Client, Supervisor};
use crate::error::Result;
use crate::pod::container::Reading;
use crate::pod::control::Reply;
use crate::pod::events::Source;
use crate::pod::link::hear;
use crate::pod::log::{LogStream, Trouble, Writer};
use crate::pod::output::Label;
use crate::pod::status::EventKind;
use crate::pod::stream::{Flow, Reader, Sink};

/// How long the pod's end waits for a client that is attached and takes nothing.
const PATIENCE: Duration = Duration::from_secs(2);

/// A client that sees what one container prints.
pub(super) struct Attached {
    pub(super) connection: usize,
    pub(super) container: usize,
    stdout: Sink,
    stderr: Sink,
    /// How the container has ended: told when all that it wrote is taken.
    ended: Option<u8>,
}

impl Attached {
    pub(super) fn new(connection: usize, container: usize, stdout: OwnedFd, stderr: OwnedFd) -> Result<Attached> {
        let source = Source::Attached(connection);
        let (stdout, stderr) = (Sink::new(stdout, source)?, Sink::new(stderr, source)?);
        Ok(Attached { connection, container, stdout, stderr, ended: None })
    }
}

impl Supervisor<'_> {
    /// Moves what container `n` has written on its way, `most` bytes at least if there are so many.
    pub(super) fn pump(&mut self, n: usize, source: Source, most: usize) -> Result<()> {
        let mut taken = 0;
        while taken < most {
            let Some(container) = self.containers.get_mut(n) else { return Ok(()) };
            let is_error = matches!(source, Source::ContainerStderr(_));
            let slot = if is_error { &mut container.output.stderr } else { &mut container.output.stdout };
            let Some(stream) = slot else { return Ok(()) };
            let length = match stream.read(&mut self.buffer) {
                Flow::Open(0) => return Ok(()),
                Flow::Open(length) => length,
                Flow::Ended => {
                    self.events.forget(&*stream);
                    *slot = None;
                    return Ok(());
                }
            };
            taken += length;
            let bytes = self.buffer.get(..length).unwrap_or_default();
            let (lines, name) = if is_error {
                (&mut container.output.stderr_lines, LogStream::Stderr)
            } else {
                (&mut container.output.stdout_lines, LogStream::Stdout)
            };
            let mut trouble = None;
            if let Some(log) = &mut container.log {
                log.write_with(&mut self.batch, name, bytes);
                trouble = log.trouble();
            }
            for attached in self.attached.iter_mut().filter(|a| a.container == n) {
                let sink = if is_error { &mut attached.stderr } else { &mut attached.stdout };
                sink.push(&[bytes]);
            }
            if let Some(front) = &mut self.front
                && let Some(label) = front.labels.get(n)
            {
                let (sink, prefix) = side(&mut front.stdout, &mut front.stderr, label, is_error);
                lines.split(bytes, |line| sink.push(&[prefix, line, b"\n"]));
            }
            if let Some(trouble) = trouble {
                self.log_trouble(n, &trouble);
            }
        }
        Ok(())
    }

    /// A part of the log of container `n` could not be written: the container goes on, and the user learns why.
    fn log_trouble(&mut self, n: usize, trouble: &Trouble) {
        let text = match trouble {
            Trouble::Began { why, .. } => format!("its log cannot be written: {why}; the container goes on"),
            Trouble::Ended { lost, why } => format!("its log lacks {lost} bytes that could not be written: {why}"),
        };
        self.happened(EventKind::Warning, "FailedLogging", Some(n), &text);
        self.notice(&format!("container {:?}: {text}", self.called(n)));
    }

    /// Container `n` has ended, and what it wrote was read: the last line, even without its end, and the log's end.
    pub(super) fn finish_output(&mut self, n: usize) {
        let Some(container) = self.containers.get_mut(n) else { return };
        if let (Some(front), output) = (&mut self.front, &mut container.output)
            && let Some(label) = front.labels.get(n)
        {
            for (lines, is_error) in [(&mut output.stdout_lines, false), (&mut output.stderr_lines, true)] {
                let (sink, prefix) = side(&mut front.stdout, &mut front.stderr, label, is_error);
                lines.finish(|line| sink.push(&[prefix, line, b"\n"]));
            }
        }
        for stream in [container.output.stdout.take(), container.output.stderr.take()].into_iter().flatten() {
            self.events.forget(&stream);
        }
        if let Some(trouble) = container.log.take().and_then(Writer::finish) {
            self.log_trouble(n, &trouble);
        }
    }

    /// Writes what can be written, and lets the containers wait while nobody takes it.
    pub(super) fn flush(&mut self) -> Result<()> {
        let mut full = false;
        if let Some(front) = &mut self.front {
            front.stderr.flush(&self.events)?;
            let gone = front.stdout.flush(&self.events)? == Reader::Gone;
            full = front.stdout.is_full() || front.stderr.is_full();
            if gone && self.ending.is_none() {
                self.stop(Why::Asked, None)?;
            }
        }
        for attached in &mut self.attached {
            // Whatever is wrong with a client's descriptors is its own affair.
            let _ = attached.stderr.flush(&self.events);
            let _ = attached.stdout.flush(&self.events);
            if attached.stderr.is_empty()
                && attached.stdout.is_empty()
                && let Some(code) = attached.ended.take()
            {
                self.control.answer(attached.connection, &Reply::Exited(code), &[]);
            }
        }
        for (n, container) in self.containers.iter_mut().enumerate() {
            let waits =
                full || self.attached.iter().any(|a| a.container == n && (a.stdout.is_full() || a.stderr.is_full()));
            let reading = if waits { Reading::Later } else { Reading::Now };
            if reading == container.reading {
                continue;
            }
            container.reading = reading;
            let output = &container.output;
            let streams = [(&output.stdout, Source::ContainerStdout(n)), (&output.stderr, Source::ContainerStderr(n))];
            for (stream, source) in streams.into_iter().filter_map(|(s, source)| Some((s.as_ref()?, source))) {
                match reading {
                    Reading::Later => self.events.forget(stream),
                    Reading::Now => self.events.watch(stream, source)?,
                }
            }
        }
        Ok(())
    }

    /// Container `n` has ended with `code`: those who are attached to it are told, behind its last words, by [`Supervisor::flush`].
    pub(super) fn tell_attached(&mut self, n: usize, code: u8) {
        self.attached.iter_mut().filter(|a| a.container == n).for_each(|attached| attached.ended = Some(code));
    }

    /// The client of `connection` has no more input for the container that it is attached to.
    pub(super) fn end_input(&mut self, connection: usize) {
        if let Some(n) = self.attached.iter().find(|a| a.connection == connection).map(|a| a.container) {
            self.end_stdin(n);
        }
    }

    /// At the pod's end: those who are attached get the last words, if they take them soon.
    fn drain_attached(&mut self) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            self.flush()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || self.attached.iter().all(|a| a.stdout.is_empty() && a.stderr.is_empty()) {
                return Ok(());
            }
            for source in self.events.wait(Some(until))? {
                match source {
                    Source::Control => self.accept()?,
                    Source::Connection(id) => self.attend(id)?,
                    Source::Signals => return Ok(()),
                    _ => {}
                }
            }
        }
    }

    /// The client of `connection` is attached no more.
    pub(super) fn detach(&mut self, connection: usize) {
        let Some(at) = self.attached.iter().position(|a| a.connection == connection) else { return };
        let attached = self.attached.swap_remove(at);
        attached.stdout.leave(&self.events);
        attached.stderr.leave(&self.events);
        self.end_stdin(attached.container);
    }

    /// At the end: waits until all that was written is taken, unless the user will not wait or is gone.
    pub(super) fn drain_output(&mut self) -> Result<()> {
        self.drain_attached()?;
        let killed = self.ending.as_ref().is_some_and(|ending| ending.killed);
        loop {
            let Some(front) = &mut self.front else { return Ok(()) };
            if self.client != Client::There || killed {
                break;
            }
            front.stderr.flush(&self.events)?;
            front.stdout.flush(&self.events)?;
            if front.stdout.is_empty() && front.stderr.is_empty() {
                break;
            }
            for source in self.events.wait(None)? {
                match source {
                    Source::Client if hear(&self.link)?.is_none() => {
                        self.events.forget(&self.link);
                        self.client = Client::Gone;
                    }
                    // Nothing runs any more, so a wish to stop can only mean the waiting.
                    Source::Client => return Ok(()),
                    Source::Signals => return Ok(()),
                    Source::Control => self.accept()?,
                    Source::Connection(id) => self.attend(id)?,
                    _ => {}
                }
            }
        }
        let complaint = self.front.as_ref().and_then(|front| front.stdout.complaint().or(front.stderr.complaint()));
        complaint.map_or(Ok(()), Err)
    }

    pub(super) fn notice(&mut self, text: &str) {
        if self.notices == super::Notices::Said {
            self.say(text);
        }
    }

    pub(super) fn say(&mut self, text: &str) {
        if let Some(front) = &mut self.front {
            front.stderr.push(&[b"podling: ", text.as_bytes(), b"\n"]);
        }
    }
}

/// The sink of one of the two streams, and what a line of it begins with.
fn side<'s>(stdout: &'s mut Sink, stderr: &'s mut Sink, label: &'s Label, is_error: bool) -> (&'s mut Sink, &'s [u8]) {
    if is_error { (stderr, label.stderr.as_bytes()) } else { (stdout, label.stdout.as_bytes()) }
}

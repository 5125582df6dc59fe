//! Printing logs: what there is, and, while it grows, what comes.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

use super::cri::Header;
use super::files::runs;
use super::printer::Printer;
use super::reader::{Fill, RunLog};
use super::sources::{Arrival, Arrivals, Lost, Options, Outcome, Progress, Source, Watch};
use super::stamp::Stamp;
use super::tail::skip_to_tail;
use crate::error::{Error, Result};
use crate::sys::{Named, SysError};

/// How often files are looked at where the kernel has no inotify instance to spare (`fs.inotify.max_user_instances`).
const LOOK_EVERY_MILLISECONDS: u8 = 100;

/// How many logs are read at once at most where pods come and go; each takes some descriptors, of which 1024 are the usual limit. Others wait until
/// some have ended.
const MOST_AT_ONCE: usize = 200;

/// How often, and how long apart, an entry that is just being written is read again before a piece of it is printed.
const TRIES: u32 = 20;
const BETWEEN_TRIES: Duration = Duration::from_millis(1);

/// Prints what the logs in the pod's directory `dir` hold now, merged by time; both streams of a container go to `out`.
///
/// # Errors
/// A file could not be read, or `out` not be written for another reason than that its reader is gone.
pub fn print(dir: &Path, sources: &[Source], options: &Options, out: &mut dyn Write) -> Result<Outcome> {
    let sources = sources.iter().map(|source| (source.clone(), None::<Never>)).collect();
    let mut lost = |_: &Source, _| {};
    let mut session = Session::new(None, None, options, out, &mut lost);
    outcome(session.open(dir, sources, options.tail).and_then(|()| session.run()))
}

/// Prints the logs, and what is written to them, until all containers have ended.
///
/// A container that restarts is followed into its next run, as docker does; kubectl would end. What was lost because files were removed
/// before they could be read is told to `lost`.
///
/// # Errors
/// As [`print`], or a watch failed.
pub fn follow<W: Watch>(
    dir: &Path,
    sources: Vec<(Source, W)>,
    options: &Options,
    out: &mut dyn Write,
    lost: &mut dyn FnMut(&Source, Lost),
) -> Result<Outcome> {
    let sources = sources.into_iter().map(|(source, watch)| (source, Some(watch))).collect();
    let mut session = Session::new(None, inotify(), options, out, lost);
    outcome(session.open(dir, sources, options.tail).and_then(|()| session.run()))
}

/// Prints the logs of the pods that `arrivals` names, and what is written to them, until all have ended and no other comes. Each says for itself how
/// much of its end is shown; what is printed at the same time is merged by time.
///
/// # Errors
/// As [`follow`], or no more can be heard of arrivals.
pub fn follow_arrivals<W: Watch>(
    arrivals: &mut dyn Arrivals<W>,
    options: &Options,
    out: &mut dyn Write,
    lost: &mut dyn FnMut(&Source, Lost),
) -> Result<Outcome> {
    outcome(Session::new(Some(arrivals), inotify(), options, out, lost).run())
}

/// The watch of a log that is not followed.
enum Never {}

impl Watch for Never {
    fn fd(&self) -> BorrowedFd<'_> {
        match *self {}
    }

    fn state(&mut self) -> Result<Progress> {
        match *self {}
    }
}

/// Why printing stops early.
enum Stop {
    ReaderGone,
    Failed(Error),
}

impl From<io::Error> for Stop {
    /// Only what is printed is written by [`io`].
    fn from(e: io::Error) -> Stop {
        if e.kind() == ErrorKind::BrokenPipe { Stop::ReaderGone } else { Stop::Failed(e.into()) }
    }
}

impl From<SysError> for Stop {
    fn from(e: SysError) -> Stop {
        Stop::Failed(e.into())
    }
}

impl From<Error> for Stop {
    fn from(e: Error) -> Stop {
        Stop::Failed(e)
    }
}

fn outcome(stopped: std::result::Result<(), Stop>) -> Result<Outcome> {
    match stopped {
        Ok(()) => Ok(Outcome::Complete),
        Err(Stop::ReaderGone) => Ok(Outcome::ReaderGone),
        Err(Stop::Failed(e)) => Err(e),
    }
}

struct Session<'a, W> {
    readings: Vec<Reading<W>>,
    printer: Printer<'a>,
    arrivals: Option<&'a mut dyn Arrivals<W>>,
    /// Tells of changes in the directories; `None` where nothing is followed, or where the kernel has none to spare.
    changes: Option<Inotify>,
    lost: &'a mut dyn FnMut(&Source, Lost),
}

/// One container's log while it is read.
struct Reading<W> {
    source: Source,
    /// Its number for the printer.
    number: usize,
    dir: Rc<OwnedFd>,
    /// What tells of changes in the directory, which the pod's containers have in common.
    changes: Option<WatchDescriptor>,
    log: RunLog,
    watch: Option<W>,
    /// The latest run that is known.
    latest: u32,
    life: Life,
}

/// Whether more may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Goes,
    /// Everything was written.
    Ended,
    /// And read.
    Read,
}

impl<W: Watch> Reading<W> {
    fn ask(&mut self) -> Result<()> {
        if let Some(watch) = &mut self.watch {
            let run = match watch.state()? {
                Progress::Running { run } => run,
                Progress::Ended { run } => {
                    self.life = Life::Ended;
                    run
                }
            };
            self.latest = self.latest.max(run);
        }
        Ok(())
    }
}

impl<'a, W: Watch> Session<'a, W> {
    fn new(
        arrivals: Option<&'a mut dyn Arrivals<W>>,
        changes: Option<Inotify>,
        options: &Options,
        out: &'a mut dyn Write,
        lost: &'a mut dyn FnMut(&Source, Lost),
    ) -> Self {
        let printer = Printer::new(out, options.timestamps, options.since);
        Session { readings: Vec::new(), printer, arrivals, changes, lost }
    }

    /// Begins to read a pod's logs.
    fn open(
        &mut self,
        dir: &Path,
        sources: Vec<(Source, Option<W>)>,
        tail: Option<usize>,
    ) -> std::result::Result<(), Stop> {
        // Before the first look at the files, so that no change falls between.
        let changes = self.watch_changes(dir);
        let dir = Rc::new(OwnedFd::from(File::open(dir).named(|| format!("open({dir:?})"))?));
        for (source, watch) in sources {
            let life = if watch.is_some() { Life::Goes } else { Life::Ended };
            let log = RunLog::new(&dir, &source.container, source.run);
            let (number, latest) = (self.printer.add(source.prefix.clone()), source.run);
            let dir = Rc::clone(&dir);
            let mut reading = Reading { source, number, dir, changes, log, watch, latest, life };
            // Asked before the files are opened: what it says was written is in them.
            reading.ask()?;
            reading.log.open_oldest()?;
            if let Some(lines) = tail {
                skip_to_tail(&mut reading.log, lines)?;
            }
            self.readings.push(reading);
        }
        self.refresh_followed()
    }

    /// Has changes in the directory told. Where the kernel does not watch one more, all are looked at every now and then.
    fn watch_changes(&mut self, dir: &Path) -> Option<WatchDescriptor> {
        let flags = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_ONLYDIR;
        let watched = self.changes.as_ref()?.add_watch(dir, flags).ok();
        if watched.is_none() {
            self.changes = None;
        }
        watched
    }

    fn run(&mut self) -> std::result::Result<(), Stop> {
        loop {
            self.admit()?;
            self.drain()?;
            self.printer.idle()?;
            if self.close() && self.arrivals.is_some() {
                // There is room for others.
                continue;
            }
            if self.readings.is_empty() && self.arrivals.as_ref().is_none_or(|arrivals| arrivals.fd().is_none()) {
                return Ok(());
            }
            self.wait()?;
        }
    }

    /// Begins to read the logs of pods that have come, as far as there is room for them.
    fn admit(&mut self) -> std::result::Result<(), Stop> {
        while self.has_room()
            && let Some(arrivals) = &mut self.arrivals
            && let Some(Arrival { dir, sources, tail }) = arrivals.next()?
        {
            let sources = sources.into_iter().map(|(source, watch)| (source, Some(watch))).collect();
            match self.open(&dir, sources, tail) {
                // One that was removed meanwhile does not end the others'.
                Err(_) if !dir.exists() => {}
                opened => opened?,
            }
        }
        Ok(())
    }

    fn has_room(&self) -> bool {
        self.readings.len() < MOST_AT_ONCE
    }

    /// Lets go of what was read to its end; whether there was any.
    fn close(&mut self) -> bool {
        let closed: Vec<Reading<W>> = self.readings.extract_if(.., |reading| reading.life == Life::Read).collect();
        for descriptor in closed.iter().filter_map(|reading| reading.changes) {
            if let Some(changes) = &self.changes
                && !self.readings.iter().any(|reading| reading.changes == Some(descriptor))
            {
                // The pod may have been removed, and its directory with it.
                let _ = changes.rm_watch(descriptor);
            }
        }
        !closed.is_empty()
    }

    /// Prints all there is, the earliest entry of all logs first.
    fn drain(&mut self) -> std::result::Result<(), Stop> {
        loop {
            let mut has_read = false;
            for n in 0..self.readings.len() {
                has_read |= self.fill(n)?;
            }
            if has_read {
                // New files are opened while old ones are read, before they are removed.
                self.look()?;
            }
            let Some((n, until)) = self.earliest() else { return Ok(()) };
            let Some(reading) = self.readings.get_mut(n) else { return Ok(()) };
            let used = self.printer.print(reading.number, reading.log.entries(), until.as_ref())?;
            reading.log.consume(used);
        }
    }

    /// Which log's next entry is the earliest, and up to which time its entries go before those of the others.
    fn earliest(&self) -> Option<(usize, Option<Stamp>)> {
        let mut first: Option<(Stamp, usize)> = None;
        let mut second: Option<Stamp> = None;
        for (n, reading) in self.readings.iter().enumerate().filter(|(_, r)| !r.log.entries().is_empty()) {
            // What is no entry has no time and waits for nothing.
            let stamp = Header::read(reading.log.entries()).map_or(Stamp::EARLIEST, |header| header.stamp);
            match first {
                Some((least, _)) if least <= stamp => second = Some(second.map_or(stamp, |s| s.min(stamp))),
                _ => {
                    second = first.map(|(least, _)| least).or(second);
                    first = Some((stamp, n));
                }
            }
        }
        first.map(|(_, n)| (n, second))
    }

    /// Reads on in log number `n` if all its entries are used; whether it did.
    fn fill(&mut self, n: usize) -> std::result::Result<bool, Stop> {
        let mut tries = 0;
        loop {
            let Some(reading) = self.readings.get_mut(n) else { return Ok(false) };
            if reading.life == Life::Read || !reading.log.entries().is_empty() {
                return Ok(false);
            }
            if reading.log.is_behind() {
                self.refresh(n)?;
            }
            let Some(reading) = self.readings.get_mut(n) else { return Ok(false) };
            match reading.log.fill()? {
                Fill::Entries => return Ok(true),
                Fill::Piece => self.printer.print_piece(reading.number, reading.log.piece())?,
                Fill::End if reading.log.is_behind() => {}
                Fill::End if reading.log.run() < reading.latest => self.next_run(n)?,
                Fill::End if reading.life == Life::Goes => return Ok(false),
                Fill::End if reading.log.piece().is_empty() => reading.life = Life::Read,
                Fill::End if tries < TRIES => {
                    tries += 1;
                    std::thread::sleep(BETWEEN_TRIES);
                }
                Fill::End => {
                    self.printer.print_piece(reading.number, reading.log.piece())?;
                    reading.life = Life::Read;
                }
            }
        }
    }

    /// Goes on with the run after the one that was read to its end.
    fn next_run(&mut self, n: usize) -> std::result::Result<(), Stop> {
        let Some(reading) = self.readings.get_mut(n) else { return Ok(()) };
        let (read, latest) = (reading.log.run(), reading.latest);
        let there = runs(&reading.dir, &reading.source.container)?;
        let next = there.into_iter().find(|run| (read + 1..=latest).contains(run)).unwrap_or(latest);
        // The one before the latest is kept; if it has no file it said nothing.
        let last_forgotten = (next - 1).min(latest.saturating_sub(2));
        if last_forgotten > read {
            (self.lost)(&reading.source, Lost::Runs { first: read + 1, last: last_forgotten });
        }
        reading.log = RunLog::new(&reading.dir, &reading.source.container, next);
        self.printer.restart(reading.number)?;
        self.refresh(n)
    }

    fn refresh(&mut self, n: usize) -> std::result::Result<(), Stop> {
        let Some(reading) = self.readings.get_mut(n) else { return Ok(()) };
        let count = reading.log.refresh()?;
        if count > 0 {
            (self.lost)(&reading.source, Lost::Files { run: reading.log.run(), count });
        }
        Ok(())
    }

    fn refresh_followed(&mut self) -> std::result::Result<(), Stop> {
        for n in 0..self.readings.len() {
            if self.readings.get(n).is_some_and(|reading| reading.watch.is_some() && reading.life != Life::Read) {
                self.refresh(n)?;
            }
        }
        Ok(())
    }

    /// Opens the files that came into being, if the kernel tells of any.
    fn look(&mut self) -> std::result::Result<(), Stop> {
        let mut is_new = false;
        if let Some(changes) = &self.changes {
            // Other changes only wake the reader.
            let new = AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_Q_OVERFLOW;
            loop {
                match changes.read_events() {
                    Ok(events) => is_new |= events.iter().any(|event| event.mask.intersects(new)),
                    Err(Errno::EINTR) => {}
                    Err(Errno::EAGAIN) => break,
                    Err(errno) => return Err(SysError::new("read(inotify)", errno).into()),
                }
            }
        } else {
            is_new = true;
        }
        if is_new { self.refresh_followed() } else { Ok(()) }
    }

    /// Waits until something is written, a watch has something to tell, or a pod has come that there is room for.
    fn wait(&mut self) -> std::result::Result<(), Stop> {
        let watched: Vec<usize> = (0..self.readings.len())
            .filter(|n| self.readings.get(*n).is_some_and(|reading| reading.life == Life::Goes))
            .collect();
        let fds = watched.iter().filter_map(|n| self.readings.get(*n)?.watch.as_ref().map(Watch::fd));
        let mut fds: Vec<PollFd> = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        fds.extend(self.changes.iter().map(|changes| PollFd::new(changes.as_fd(), PollFlags::POLLIN)));
        let arrivals = self.arrivals.as_ref().filter(|_| self.has_room()).and_then(|arrivals| arrivals.fd());
        fds.extend(arrivals.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        let timeout =
            if self.changes.is_some() { PollTimeout::NONE } else { PollTimeout::from(LOOK_EVERY_MILLISECONDS) };
        match poll(&mut fds, timeout) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(SysError::new("poll()", errno).into()),
        }
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any() == Some(true)).collect();
        for (n, _) in watched.iter().zip(ready).filter(|(_, ready)| *ready) {
            if let Some(reading) = self.readings.get_mut(*n) {
                reading.ask()?;
            }
            self.refresh(*n)?;
        }
        self.look()
    }
}

/// An inotify instance, if there is one to be had.
fn inotify() -> Option<Inotify> {
    Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).ok()
}

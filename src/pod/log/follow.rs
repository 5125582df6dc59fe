//! Printing logs: what there is, and, while it grows, what comes.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::cri::Header;
use super::files::runs;
use super::printer::{Printer, Timestamps};
use super::reader::{Fill, RunLog};
use super::stamp::Stamp;
use super::tail::skip_to_tail;
use crate::error::{Error, Result};
use crate::sys::{Named, SysError};

/// One container's log.
#[derive(Debug, Clone)]
pub struct Source {
    /// The container's name.
    pub container: String,
    /// The run to read, or to begin with.
    pub run: u32,
    /// What each line begins with.
    pub prefix: String,
}

/// What is shown of logs.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Only so many of each container's last lines.
    pub tail: Option<usize>,
    /// Only lines that began at this time or later.
    pub since: Option<Stamp>,
    /// Whether each line begins with its time.
    pub timestamps: Timestamps,
}

/// How printing ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything was printed.
    Complete,
    /// Whoever read what was printed is gone (EPIPE).
    ReaderGone,
}

/// How far a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Run `run` is written, or will be; what earlier runs wrote is in their files.
    Running {
        /// The container's restart count.
        run: u32,
    },
    /// No other run will come; what `run` wrote is in its files.
    Ended {
        /// The container's restart count.
        run: u32,
    },
}

/// What tells of a container's restarts and end.
pub trait Watch {
    /// Becomes readable when there is something new, also when the teller is gone.
    fn fd(&self) -> BorrowedFd<'_>;

    /// How far the container is. It is asked for once at first and whenever the descriptor is readable, never waits, and takes away what
    /// made the descriptor readable. A teller that is gone means `Ended`.
    ///
    /// # Errors
    /// Ends the following.
    fn state(&mut self) -> Result<Progress>;
}

/// What was removed before it could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// Files of one run, because they were written faster than they were read.
    Files {
        /// The restart count.
        run: u32,
        /// How many.
        count: u32,
    },
    /// Everything that these runs wrote, because more than one followed.
    Runs {
        /// The first restart count.
        first: u32,
        /// The last one.
        last: u32,
    },
}

/// How often files are looked at where the kernel has no inotify instance to spare (`fs.inotify.max_user_instances`).
const LOOK_EVERY_MILLISECONDS: u8 = 100;

/// How often, and how long apart, an entry that is just being written is read again before a piece of it is printed.
const TRIES: u32 = 20;
const BETWEEN_TRIES: Duration = Duration::from_millis(1);

/// Prints what the logs in the pod's directory `dir` hold now, merged by time; both streams of a container go to `out`.
///
/// # Errors
/// A file could not be read, or `out` not be written for another reason than that its reader is gone.
pub fn print(dir: &Path, sources: &[Source], options: &Options, out: &mut dyn Write) -> Result<Outcome> {
    let sources = sources.iter().map(|source| (source.clone(), None::<Never>)).collect();
    outcome(Session::new(dir, sources, options, out, &mut |_, _| {}).and_then(Session::run))
}

/// Prints the logs, and what is written to them, until all containers have ended.
///
/// A container that restarts is followed into its next run, as docker does; kubectl would end. What was lost because files were removed
/// before they could be read is told to `lost`, with the container's name.
///
/// # Errors
/// As [`print`], or a watch failed.
pub fn follow<W: Watch>(
    dir: &Path,
    sources: Vec<(Source, W)>,
    options: &Options,
    out: &mut dyn Write,
    lost: &mut dyn FnMut(&str, Lost),
) -> Result<Outcome> {
    let sources = sources.into_iter().map(|(source, watch)| (source, Some(watch))).collect();
    outcome(Session::new(dir, sources, options, out, lost).and_then(Session::run))
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
    dir: Rc<OwnedFd>,
    readings: Vec<Reading<W>>,
    printer: Printer<'a>,
    /// Tells of changes in the directory; `None` where nothing is followed, or where the kernel has none to spare.
    changes: Option<Inotify>,
    lost: &'a mut dyn FnMut(&str, Lost),
}

/// One container's log while it is read.
struct Reading<W> {
    container: String,
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
        dir: &Path,
        sources: Vec<(Source, Option<W>)>,
        options: &Options,
        out: &'a mut dyn Write,
        lost: &'a mut dyn FnMut(&str, Lost),
    ) -> std::result::Result<Self, Stop> {
        // Before the first look at the files, so that no change falls between.
        let changes = sources.iter().any(|(_, watch)| watch.is_some()).then(|| watch_changes(dir)).flatten();
        let dir = Rc::new(OwnedFd::from(File::open(dir).named(|| format!("open({dir:?})"))?));
        let prefixes = sources.iter().map(|(source, _)| source.prefix.clone()).collect();
        let printer = Printer::new(out, prefixes, options.timestamps, options.since);
        let mut readings = Vec::new();
        for (Source { container, run, .. }, watch) in sources {
            let life = if watch.is_some() { Life::Goes } else { Life::Ended };
            let mut reading = Reading { log: RunLog::new(&dir, &container, run), container, watch, latest: run, life };
            // Asked before the files are opened: what it says was written is in them.
            reading.ask()?;
            reading.log.open_oldest()?;
            if let Some(lines) = options.tail {
                skip_to_tail(&mut reading.log, lines)?;
            }
            readings.push(reading);
        }
        let mut session = Session { dir, readings, printer, changes, lost };
        session.refresh_followed()?;
        Ok(session)
    }

    fn run(mut self) -> std::result::Result<(), Stop> {
        loop {
            self.drain()?;
            self.printer.idle()?;
            if self.readings.iter().all(|reading| reading.life == Life::Read) {
                return Ok(());
            }
            self.wait()?;
        }
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
            let used = self.printer.print(n, reading.log.entries(), until.as_ref())?;
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
                Fill::Piece => self.printer.print_piece(n, reading.log.piece())?,
                Fill::End if reading.log.is_behind() => {}
                Fill::End if reading.log.run() < reading.latest => self.next_run(n)?,
                Fill::End if reading.life == Life::Goes => return Ok(false),
                Fill::End if reading.log.piece().is_empty() => reading.life = Life::Read,
                Fill::End if tries < TRIES => {
                    tries += 1;
                    std::thread::sleep(BETWEEN_TRIES);
                }
                Fill::End => {
                    self.printer.print_piece(n, reading.log.piece())?;
                    reading.life = Life::Read;
                }
            }
        }
    }

    /// Goes on with the run after the one that was read to its end.
    fn next_run(&mut self, n: usize) -> std::result::Result<(), Stop> {
        let Some(reading) = self.readings.get_mut(n) else { return Ok(()) };
        let (read, latest) = (reading.log.run(), reading.latest);
        let there = runs(&self.dir, &reading.container)?;
        let next = there.into_iter().find(|run| (read + 1..=latest).contains(run)).unwrap_or(latest);
        // The one before the latest is kept; if it has no file it said nothing.
        let last_forgotten = (next - 1).min(latest.saturating_sub(2));
        if last_forgotten > read {
            (self.lost)(&reading.container, Lost::Runs { first: read + 1, last: last_forgotten });
        }
        reading.log = RunLog::new(&self.dir, &reading.container, next);
        self.printer.restart(n)?;
        self.refresh(n)
    }

    fn refresh(&mut self, n: usize) -> std::result::Result<(), Stop> {
        let Some(reading) = self.readings.get_mut(n) else { return Ok(()) };
        let count = reading.log.refresh()?;
        if count > 0 {
            (self.lost)(&reading.container, Lost::Files { run: reading.log.run(), count });
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

    /// Waits until something is written, or a watch has something to tell.
    fn wait(&mut self) -> std::result::Result<(), Stop> {
        let watched: Vec<usize> = (0..self.readings.len())
            .filter(|n| self.readings.get(*n).is_some_and(|reading| reading.life == Life::Goes))
            .collect();
        let fds = watched.iter().filter_map(|n| self.readings.get(*n)?.watch.as_ref().map(Watch::fd));
        let mut fds: Vec<PollFd> = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        fds.extend(self.changes.iter().map(|changes| PollFd::new(changes.as_fd(), PollFlags::POLLIN)));
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

/// An inotify instance for the directory, if there is one to be had.
fn watch_changes(dir: &Path) -> Option<Inotify> {
    let changes = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).ok()?;
    let flags =
        AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_ONLYDIR;
    changes.add_watch(dir, flags).ok()?;
    Some(changes)
}

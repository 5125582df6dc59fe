//! What is read, what tells of it, and what is shown of it.

use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use super::printer::Timestamps;
use super::stamp::Stamp;
use crate::error::Result;

/// One container's log.
#[derive(Debug, Clone)]
pub struct Source {
    /// The pod's name, for messages.
    pub pod: String,
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

/// What tells of pods whose logs are to be followed, too.
pub trait Arrivals<W> {
    /// Becomes readable when there may be another; `None` once none will come.
    fn fd(&self) -> Option<BorrowedFd<'_>>;

    /// The next of those that have come, `None` where there is none now. It is asked for at first, whenever the descriptor is readable and whenever
    /// there is room for more, never waits for a pod to come, and takes away what made the descriptor readable.
    ///
    /// # Errors
    /// Ends the following.
    fn next(&mut self) -> Result<Option<Arrival<W>>>;
}

/// A pod whose logs are to be followed.
#[derive(Debug)]
pub struct Arrival<W> {
    /// The pod's directory.
    pub dir: PathBuf,
    /// Its containers, each with what tells of its restarts and end.
    pub sources: Vec<(Source, W)>,
    /// Only so many of each container's last lines.
    pub tail: Option<usize>,
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

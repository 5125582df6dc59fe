//! The user's terminal while it is connected to one in a pod: raw, of the same size, and restored however that ends.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

use nix::sys::signal::Signal;
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};

use super::pump::{Buffer, Flow, Pump, turn};
use super::signals::Signals;
use crate::error::{Error, Result};
use crate::sys::Named;
use crate::sys::terminal::{WindowSize, set_window_size, window_size};

/// Standard input as a raw terminal; dropping it restores what was.
#[derive(Debug)]
pub struct Raw {
    before: Termios,
}

impl Raw {
    /// Makes the terminal raw: every key goes to the pod, Ctrl-C included. The signals that would end podling must be watched by then, or
    /// the terminal would stay raw.
    ///
    /// # Errors
    /// Standard input is no terminal.
    pub fn enter(_watched: &Signals) -> Result<Raw> {
        let stdin = std::io::stdin();
        let before = tcgetattr(&stdin).map_err(|_| {
            Error::new("standard input is not a terminal").mend("leave -t out: a terminal needs one at this end, too")
        })?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(&stdin, SetArg::TCSADRAIN, &raw).named(|| "tcsetattr(standard input)")?;
        Ok(Raw { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(std::io::stdin(), SetArg::TCSADRAIN, &self.before);
    }
}

/// The size of the user's terminal; zeros where there is none.
pub fn user_size() -> WindowSize {
    window_size(std::io::stdout()).or_else(|| window_size(std::io::stdin())).unwrap_or_default()
}

/// Gives the terminal at `master` the size of the user's.
pub fn copy_size(master: &OwnedFd) {
    let size = user_size();
    if size != WindowSize::default() {
        let _ = set_window_size(master, size);
    }
}

/// A descriptor of podling's own that a pump may hold, as standard input and output.
///
/// # Errors
/// The failed call.
pub fn own(fd: impl AsFd) -> Result<Rc<OwnedFd>> {
    Ok(Rc::new(fd.as_fd().try_clone_to_owned()?))
}

/// Whether the user's keys reach the terminal in the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keys {
    /// They do.
    Sent,
    /// They do not.
    LeftOut,
}

/// What ends [`relay`] for the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// `until` has something to say.
    Told,
    /// A signal came that would have ended podling.
    Signal(Signal),
    /// The user typed the keys that detach.
    Detached,
    /// Nobody reads standard output any more.
    Broken,
    /// The user's input has ended.
    InputEnded,
}

/// What else is looked at while bytes are copied.
#[derive(Debug, Clone, Copy)]
pub struct Watched<'a> {
    /// Where the word of the end comes.
    pub until: BorrowedFd<'a>,
    /// Signals to podling.
    pub signals: &'a Signals,
    /// The terminal that has the size of the user's.
    pub master: Option<&'a OwnedFd>,
}

/// Copies until something happens. Pumps that have ended are taken away. Where `until` has something to say, all that the outputs hold by
/// then is shown before.
///
/// # Errors
/// The failed call.
pub fn relay(input: &mut Option<Pump>, outputs: &mut Vec<Pump>, watched: Watched) -> Result<Event> {
    let mut buffer = Buffer::new();
    loop {
        let mut pumps: Vec<&mut Pump> = input.iter_mut().chain(outputs.iter_mut()).collect();
        let ready =
            turn(&mut pumps, &[watched.until, watched.signals.as_fd()], &mut buffer).named(|| "poll(the session)")?;
        if ready.get(1) == Some(&true) {
            while let Some(signal) = watched.signals.next() {
                match (signal, watched.master) {
                    (Signal::SIGWINCH, Some(master)) => copy_size(master),
                    (Signal::SIGWINCH, None) => {}
                    (signal, _) => return Ok(Event::Signal(signal)),
                }
            }
        }
        match input.as_ref().map(Pump::flow) {
            Some(Flow::Detached) => return Ok(Event::Detached),
            Some(Flow::Ended | Flow::Broken) => {
                *input = None;
                return Ok(Event::InputEnded);
            }
            Some(Flow::Open) | None => {}
        }
        if outputs.iter().any(|pump| pump.flow() == Flow::Broken) {
            outputs.retain(|pump| pump.flow() == Flow::Open);
            return Ok(Event::Broken);
        }
        outputs.retain(|pump| pump.flow() == Flow::Open);
        if ready.first() == Some(&true) {
            outputs.iter_mut().for_each(|pump| pump.drain(&mut buffer));
            return Ok(Event::Told);
        }
    }
}

//! The work of `podling cp`: the client's end of a copy.

use std::io::IsTerminal;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;

use super::asking::container_or_default;
use super::cp::{Args, Copy, Direction, InPod, Local, Ownership, Report};
use super::signals::{Signals, exit_code};
use super::{data, say};
use crate::error::{Error, Result};
use crate::host::HostFacts;
use crate::pod::{
    Copied, Job, Links, Owner, Reply, Request, Top, deliver, deliver_archive, fetch, fetch_archive, list,
};

/// Runs the verb.
///
/// # Errors
/// What failed at either end of the copy.
pub fn run(args: &Args) -> Result<u8> {
    let copy = args.copy()?;
    if matches!(copy.direction, Direction::Out { to: Local::Stream, .. }) && std::io::stdout().is_terminal() {
        return Err(Error::new("a tar archive is not written to a terminal")
            .mend("redirect it, as in: podling cp POD:PATH - | tar tv"));
    }
    let data = data::directory(&HostFacts::gather())?;
    let (Direction::Out { from: side, .. } | Direction::In { to: side, .. }) = &copy.direction;
    let (found, connection) = list::live(&data, &side.pod)?;
    let container = container_or_default(&found, copy.container.as_deref())?;

    let (ours, theirs) = UnixStream::pair().map_err(|e| Error::new(format!("socketpair() = {e}")))?;
    let signals = Signals::watch()?;
    let cleanup = match copy.direction {
        Direction::Out { to: Local::Path(_), .. } => Cleanup::Here,
        _ => Cleanup::InPod,
    };
    let ended = end_on_signals(signals, ours.try_clone()?, cleanup);
    match connection.call(&Request::Copy { container, job: job(&copy) }, &[theirs.as_fd()])? {
        Some((Reply::Started, _)) => {}
        _ => return Err(super::session::gone()),
    }
    drop(theirs);
    let copied = transfer(&copy, &ours);
    // What a signal has cut short ends with the signal's code, its cleanup done; the failure that it caused is no news.
    if let Some(signal) = ended.lock().ok().and_then(|signal| *signal) {
        return Ok(exit_code(signal));
    }
    report(&copy, &copied?);
    Ok(0)
}

/// Where a copy that is cut short leaves something to clear away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cleanup {
    /// On this host, in this process.
    Here,
    /// In the container, by its end of the copy, when the stream ends; this one may be waiting for a pipe for ever.
    InPod,
}

/// Ends the copy when podling is asked to end, so that no half-written file stays.
fn end_on_signals(signals: Signals, socket: UnixStream, cleanup: Cleanup) -> Arc<Mutex<Option<Signal>>> {
    let ended = Arc::new(Mutex::new(None));
    let told = Arc::clone(&ended);
    std::thread::spawn(move || {
        loop {
            let mut fds = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut fds, PollTimeout::NONE);
            let Some(signal) = signals.next().filter(|signal| *signal != Signal::SIGWINCH) else { continue };
            if let Ok(mut told) = told.lock() {
                *told = Some(signal);
            }
            let _ = socket.shutdown(Shutdown::Both);
            if cleanup == Cleanup::InPod {
                std::process::exit(i32::from(exit_code(signal)));
            }
        }
    });
    ended
}

/// What the container's end does.
fn job(copy: &Copy) -> Job {
    let bytes = |path: &Path| path.as_os_str().as_bytes().to_vec();
    match &copy.direction {
        Direction::Out { from, .. } => Job::Give { source: bytes(&from.path), follow: copy.links == Links::Follow },
        Direction::In { from, to } => Job::Take {
            destination: bytes(&to.path),
            source: match from {
                Local::Path(path) => Some(bytes(path)),
                Local::Stream => None,
            },
            keep_owners: copy.ownership == Ownership::Source,
        },
    }
}

fn transfer(copy: &Copy, socket: &UnixStream) -> Result<Copied> {
    match &copy.direction {
        Direction::Out { from, to: Local::Path(to) } => fetch(socket, to, &Top::of(&from.path), owner(copy.ownership)),
        Direction::Out { to: Local::Stream, .. } => fetch_archive(socket, std::io::stdout().lock()),
        Direction::In { from: Local::Path(from), .. } => deliver(socket, from, copy.links),
        Direction::In { from: Local::Stream, .. } => deliver_archive(socket, std::io::stdin().lock()),
    }
}

/// Whose the copies on this host are. Only root can give files away.
fn owner(ownership: Ownership) -> Owner {
    match ownership {
        Ownership::Destination => Owner::Receiver,
        Ownership::Source if nix::unistd::geteuid().is_root() => Owner::Kept,
        Ownership::Source => {
            say("--archive: only root can give files to other users here; the copies are yours");
            Owner::Receiver
        }
    }
}

fn report(copy: &Copy, copied: &Copied) {
    copied.warnings.iter().for_each(|warning| say(format_args!("warning: {warning}")));
    if copy.report == Report::Quiet {
        return;
    }
    let in_pod = |side: &InPod| format!("{}:{}", side.pod, side.path.display());
    let local = |side: &Local| match side {
        Local::Path(path) => path.display().to_string(),
        Local::Stream => "-".to_owned(),
    };
    let (from, to) = match &copy.direction {
        Direction::Out { from, to } => (in_pod(from), local(to)),
        Direction::In { from, to } => (local(from), in_pod(to)),
    };
    let entries = match (&copy.direction, copied.entries) {
        // The archive passes through as it is.
        (Direction::Out { to: Local::Stream, .. }, _) => String::new(),
        (_, 1) => "1 file or directory, ".to_owned(),
        (_, n) => format!("{n} files and directories, "),
    };
    say(format_args!("copied {entries}{} bytes from {from} to {to}", copied.bytes));
}

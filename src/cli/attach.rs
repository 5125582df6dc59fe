//! `podling attach`: the streams of a container that runs.

use std::io::IsTerminal;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::unistd::pipe2;

use super::asking::{container_or_default, summary};
use super::detach::DetachKeys;
use super::pump::{AtEnd, Pump};
use super::session::gone;
use super::signals::{Signals, exit_code};
use super::terminal::{Event, Raw, Watched, copy_size, own, relay};
use super::{data, say};
use crate::error::Result;
use crate::host::HostFacts;
use crate::pod::{Connection, Reply, Request, list};
use crate::sys::Named;

/// Connect to what runs in a container: see what it prints from now on, and type to it if its YAML says `stdin: true`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The container goes on when podling attach ends, be it by Ctrl-C or, on a terminal, by the keys that detach; with
`stdinOnce: true` its standard input ends then. When the container ends first, its exit code is podling's.

Examples:
  podling attach web
  podling attach shell -c busybox
  podling attach --detach-keys ctrl-a,d shell
  echo 'select 1' | podling attach db"
)]
pub struct Args {
    /// The pod
    #[arg(value_name = "POD", add = super::complete::pods())]
    pod: String,

    /// The container; without it the pod's first, or the one that the annotation
    /// kubectl.kubernetes.io/default-container names
    #[arg(short, long, value_name = "NAME", add = super::complete::containers())]
    container: Option<String>,

    /// Only show what the container prints
    #[arg(long)]
    no_stdin: bool,

    /// The keys that leave a container's terminal, with commas between; '' for none
    #[arg(long, value_name = "KEYS", default_value = "ctrl-p,ctrl-q")]
    detach_keys: DetachKeys,
}

/// Runs the verb; the exit code is the container's, or 0 where the user left before.
///
/// # Errors
/// There is no such container, or it does not run.
pub fn run(args: &Args) -> Result<u8> {
    let data = data::directory(&HostFacts::gather())?;
    let (found, connection) = list::live(&data, &args.pod)?;
    let name = container_or_default(&found, args.container.as_deref())?;
    let container = summary(&found)?.containers.into_iter().find(|c| c.name == name);
    let is_terminal = container.is_some_and(|c| c.tty);

    let signals = Signals::watch()?;
    let (stdout, stdout_end) = pipe2(OFlag::O_CLOEXEC).named(|| "pipe2()")?;
    let (stderr, stderr_end) = pipe2(OFlag::O_CLOEXEC).named(|| "pipe2()")?;
    connection.ask(&Request::Attach { container: name.clone() }, &[stdout_end.as_fd(), stderr_end.as_fd()])?;
    drop((stdout_end, stderr_end));
    let stdin = match connection.answer()? {
        Some((_, mut fds)) => fds.pop().map(Rc::new),
        None => return Err(gone()),
    };
    let mut outputs = vec![
        Pump::new(Rc::new(stdout), own(std::io::stdout())?, AtEnd::Close),
        Pump::new(Rc::new(stderr), own(std::io::stderr())?, AtEnd::Close),
    ];
    let stdin = if args.no_stdin { None } else { stdin.or_else(|| no_input(&name)) };
    let from_user = std::io::stdin().is_terminal();
    let raw = if stdin.is_some() && is_terminal && from_user { Some(Raw::enter(&signals)?) } else { None };
    if raw.is_some() {
        say("if there is no prompt, press Enter\r");
    }
    let master = stdin.clone().filter(|_| is_terminal);
    if let Some(master) = &master {
        copy_size(master);
    }
    let mut input =
        stdin.map(|stdin| own(std::io::stdin()).map(|own| Pump::new(own, stdin, AtEnd::Close))).transpose()?;
    if raw.is_some() {
        input = input.map(|pump| pump.detachable(args.detach_keys.clone()));
    }
    let outcome = follow(&connection, &signals, master.as_deref(), input, &mut outputs);
    let was_raw = raw.is_some();
    drop(raw);
    if was_raw && matches!(outcome, Ok(Left::Detached)) {
        eprintln!();
    }
    outcome.map(|left| match left {
        Left::Exited(code) => code,
        Left::Detached => 0,
        Left::Signal(signal) => exit_code(signal),
    })
}

/// Says, as kubectl does, that nothing can be typed.
fn no_input(name: &str) -> Option<Rc<OwnedFd>> {
    say(format_args!(
        "container {name:?} takes no input, since its YAML does not say `stdin: true`: only its output is shown"
    ));
    None
}

/// How the session ended.
enum Left {
    Exited(u8),
    Detached,
    Signal(Signal),
}

fn follow(
    connection: &Connection,
    signals: &Signals,
    master: Option<&OwnedFd>,
    mut input: Option<Pump>,
    outputs: &mut Vec<Pump>,
) -> Result<Left> {
    loop {
        match relay(&mut input, outputs, Watched { until: connection.as_fd(), signals, master })? {
            Event::Told => match connection.answer()? {
                Some((Reply::Exited(code), _)) => return Ok(Left::Exited(code)),
                Some(_) => {}
                None => return Err(gone()),
            },
            Event::Signal(signal) => return Ok(Left::Signal(signal)),
            Event::Detached => return Ok(Left::Detached),
            Event::Broken => return Ok(Left::Signal(Signal::SIGPIPE)),
            // A terminal is not closed by one of those who type there.
            Event::InputEnded if master.is_none() => {
                let _ = connection.ask(&Request::EndOfInput, &[]);
            }
            Event::InputEnded => {}
        }
    }
}

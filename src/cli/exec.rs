//! `podling exec`: a command in a running container.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};

use super::asking::container_or_default;
use super::data;
use super::terminal::{End, Keys, Raw, connect};
use crate::error::{Error, Kind, Result};
use crate::host::HostFacts;
use crate::pod::list;
use crate::pod::{Connection, Reply, Request};
use crate::sys::Named;

/// Run a command in a running container
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The command gets the container's environment, user, capabilities, seccomp filter and limits. It is killed when podling exec is; the exit code is the command's, 128 + n where signal n killed it.

Examples:
  podling exec web -- ls /srv
  podling exec -it web -c nginx -- sh
  echo select 1 | podling exec -i db -- psql"
)]
pub struct Args {
    /// The pod
    #[arg(value_name = "POD", add = super::complete::pods())]
    pod: String,

    /// The container; without it the pod's first, or the one that the annotation
    /// kubectl.kubernetes.io/default-container names
    #[arg(short, long, value_name = "NAME", add = super::complete::containers())]
    container: Option<String>,

    /// Give the command podling's standard input
    #[arg(short, long = "stdin", visible_alias = "interactive")]
    interactive: bool,

    /// Give the command a terminal
    #[arg(short, long)]
    tty: bool,

    /// Set a variable for the command
    #[arg(short, long = "env", value_name = "NAME=VALUE")]
    env: Vec<String>,

    /// The command and its arguments
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// Runs the verb; the exit code is the command's.
///
/// # Errors
/// There is no such container, or the command cannot be started.
pub fn run(args: &Args) -> Result<u8> {
    let data = data::directory(&HostFacts::gather())?;
    let (found, connection) = list::live(&data, &args.pod)?;
    let container = container_or_default(&found, args.container.as_deref())?;
    let env = args.env.iter().map(|word| variable(word)).collect::<Result<Vec<_>>>()?;
    let request = Request::Exec { container, argv: args.command.clone(), env, terminal: args.tty };
    let streams = if args.tty { Streams::Terminal } else { Streams::Own };
    session(&connection, &request, streams, if args.interactive { Keys::Sent } else { Keys::LeftOut })
}

fn variable(word: &str) -> Result<(String, String)> {
    match word.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(Error::new(format!("--env {word:?}: a variable needs a name and a value")).mend("write NAME=VALUE")),
    }
}

/// What the command's streams are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Streams {
    /// podling's own descriptors.
    Own,
    /// A terminal in the container.
    Terminal,
}

/// Makes a request that runs something for as long as this process stays, and connects it to podling's own streams. Returns its exit code.
///
/// # Errors
/// What the supervisor refuses.
pub fn session(connection: &Connection, request: &Request, streams: Streams, keys: Keys) -> Result<u8> {
    match streams {
        Streams::Own => {
            let null = OwnedFd::from(File::open("/dev/null").named(|| "open(\"/dev/null\")")?);
            let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
            let stdin = if keys == Keys::Sent { stdin.as_fd() } else { null.as_fd() };
            connection.ask(request, &[stdin, stdout.as_fd(), stderr.as_fd()])?;
            code(connection)
        }
        Streams::Terminal => {
            // Before anything runs, so that nothing is begun that cannot be shown.
            let raw = if keys == Keys::Sent { Some(Raw::enter()?) } else { None };
            connection.ask(request, &[])?;
            let master = loop {
                match connection.answer()? {
                    Some((Reply::Started, mut fds)) if !fds.is_empty() => break fds.pop(),
                    Some((Reply::Exited(code), _)) => return Ok(code),
                    Some(_) => {}
                    None => return Err(gone()),
                }
            };
            let Some(master) = master else { return Err(gone()) };
            let code = loop {
                if connect(&master, keys, false, connection.as_fd())? == End::Detached {
                    return Ok(0);
                }
                match connection.answer() {
                    Ok(Some((Reply::Exited(code), _))) => break Ok(code),
                    Ok(Some(_)) => {}
                    Ok(None) => break Err(gone()),
                    Err(e) => break Err(e),
                }
            };
            drop(raw);
            code
        }
    }
}

fn code(connection: &Connection) -> Result<u8> {
    loop {
        match connection.answer()? {
            Some((Reply::Exited(code), _)) => return Ok(code),
            Some(_) => {}
            None => return Err(gone()),
        }
    }
}

/// The pod ended, and took whatever ran in it along.
pub fn gone() -> Error {
    Error::new("the pod has ended, and the command with it").kind(Kind::Podling)
}

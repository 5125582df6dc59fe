//! What `exec` and `debug` share: something runs in a pod for as long as podling stays, on podling's own streams or on a terminal.

use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use nix::fcntl::OFlag;
use nix::sys::signal::Signal;
use nix::sys::stat::{SFlag, fstat};
use nix::unistd::pipe2;

use super::pump::{AtEnd, Pump};
use super::signals::{Signals, exit_code};
use super::terminal::{Event, Keys, Raw, Watched, copy_size, own, relay};
use crate::error::{Error, Kind, Result};
use crate::pod::{Connection, Reply, Request};
use crate::sys::Named;

/// What the command line says of a command that runs in a pod.
#[derive(Debug, clap::Args)]
pub struct CommandArgs {
    /// Give the command podling's standard input
    #[arg(short, long = "stdin", visible_alias = "interactive")]
    pub interactive: bool,

    /// Give the command a terminal
    #[arg(short, long)]
    pub tty: bool,

    /// Set a variable for the command
    #[arg(short, long = "env", value_name = "NAME=VALUE")]
    env: Vec<String>,
}

impl CommandArgs {
    /// What `--env` says.
    ///
    /// # Errors
    /// What is no variable.
    pub fn variables(&self) -> Result<Vec<(String, String)>> {
        let variable = |word: &String| match word.split_once('=') {
            Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
            _ => {
                Err(Error::new(format!("--env {word:?}: a variable needs a name and a value")).mend("write NAME=VALUE"))
            }
        };
        self.env.iter().map(variable).collect()
    }

    fn keys(&self) -> Keys {
        if self.interactive { Keys::Sent } else { Keys::LeftOut }
    }

    fn streams(&self) -> Streams {
        if self.tty { Streams::Terminal } else { Streams::Own }
    }
}

/// What the command's streams are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Streams {
    /// podling's own.
    Own,
    /// A terminal in the container.
    Terminal,
}

/// What becomes of a signal that asks podling to end, unless the terminal is raw, where it does end podling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnSignal {
    /// The command gets it, and decides.
    Forward,
    /// The same once; the second one ends podling, and the command with it: the first process of a container ignores a signal that it
    /// does not handle (pid_namespaces(7)).
    ForwardOnce,
}

/// Makes a request that runs something for as long as this process stays, and connects it to podling's own streams. Returns its exit code.
///
/// # Errors
/// What the supervisor refuses.
pub fn session(connection: &Connection, request: &Request, command: &CommandArgs, on_signal: OnSignal) -> Result<u8> {
    let (streams, keys) = (command.streams(), command.keys());
    let signals = Signals::watch()?;
    let (mut input, mut outputs) = (None, Vec::new());
    // Before anything runs, so that nothing is begun that cannot be shown.
    let raw = if streams == Streams::Terminal && keys == Keys::Sent { Some(Raw::enter(&signals)?) } else { None };
    match streams {
        Streams::Own => {
            let given = Given::new(keys)?;
            connection.ask(request, &[given.stdin.as_fd(), given.stdout.as_fd(), given.stderr.as_fd()])?;
            (input, outputs) = (given.input, given.outputs);
        }
        Streams::Terminal => connection.ask(request, &[])?,
    }
    let mut master: Option<Rc<OwnedFd>> = None;
    let mut forwarded: Option<Signal> = None;
    loop {
        let watched = Watched { until: connection.as_fd(), signals: &signals, master: master.as_deref() };
        match relay(&mut input, &mut outputs, watched)? {
            Event::Told => match connection.answer()? {
                Some((Reply::Exited(code), _)) => return Ok(code),
                Some((Reply::Started, mut fds)) => {
                    let Some(terminal) = fds.pop().map(Rc::new) else { continue };
                    // It may have changed since the request.
                    copy_size(&terminal);
                    outputs.push(Pump::new(Rc::clone(&terminal), own(std::io::stdout())?, AtEnd::Close));
                    if keys == Keys::Sent {
                        input = Some(Pump::new(own(std::io::stdin())?, Rc::clone(&terminal), AtEnd::Close));
                    }
                    master = Some(terminal);
                }
                Some(_) => {}
                None => return Err(gone()),
            },
            Event::Signal(signal) => {
                if raw.is_some() || (on_signal == OnSignal::ForwardOnce && forwarded.is_some()) {
                    return Ok(exit_code(signal));
                }
                forwarded = Some(signal);
                // A supervisor that has just ended says so on the connection.
                let _ = connection.ask(&Request::Signal { signal: signal as i32 }, &[]);
            }
            // With the pipe's reading end closed the command learns it as any other; a terminal has no such word.
            Event::Broken if streams == Streams::Terminal => return Ok(exit_code(Signal::SIGPIPE)),
            Event::Broken | Event::InputEnded | Event::Detached => {}
        }
    }
}

/// The three descriptors that the command gets.
struct Given {
    stdin: OwnedFd,
    stdout: OwnedFd,
    stderr: OwnedFd,
    input: Option<Pump>,
    outputs: Vec<Pump>,
}

impl Given {
    fn new(keys: Keys) -> Result<Given> {
        let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
        let mut input = None;
        let mut outputs = Vec::new();
        let given_stdin = if keys == Keys::LeftOut {
            OwnedFd::from(File::open("/dev/null").named(|| "open(\"/dev/null\")")?)
        } else if may_be_given(&stdin)? {
            stdin.as_fd().try_clone_to_owned()?
        } else {
            let (read, write) = pipe2(OFlag::O_CLOEXEC).named(|| "pipe2()")?;
            input = Some(Pump::new(own(&stdin)?, Rc::new(write), AtEnd::Close));
            read
        };
        let mut output = |fd: &dyn AsFd| -> Result<OwnedFd> {
            if may_be_given(fd.as_fd())? {
                return Ok(fd.as_fd().try_clone_to_owned()?);
            }
            let (read, write) = pipe2(OFlag::O_CLOEXEC).named(|| "pipe2()")?;
            outputs.push(Pump::new(Rc::new(read), own(fd.as_fd())?, AtEnd::Close));
            Ok(write)
        };
        let (given_stdout, given_stderr) = (output(&stdout)?, output(&stderr)?);
        Ok(Given { stdin: given_stdin, stdout: given_stdout, stderr: given_stderr, input, outputs })
    }
}

/// Whether a descriptor may be given to a stranger as it is: a pipe, a socket, `/dev/null`. Who has the user's terminal could read what is
/// typed there later; who has a file that was opened for reading could open it again for writing (proc_pid_fd(5)), or change its mode.
/// What goes there or comes from there is copied.
fn may_be_given(fd: impl AsFd) -> Result<bool> {
    let mode = fstat(fd.as_fd()).named(|| "fstat(a standard stream)")?.st_mode;
    let kind = SFlag::from_bits_truncate(mode & SFlag::S_IFMT.bits());
    Ok(match kind {
        SFlag::S_IFIFO | SFlag::S_IFSOCK => true,
        SFlag::S_IFCHR => !fd.as_fd().is_terminal(),
        SFlag::S_IFDIR => {
            return Err(Error::new("one of the standard streams is a directory").mend("redirect it elsewhere"));
        }
        _ => false,
    })
}

/// The pod ended, and took whatever ran in it along.
pub fn gone() -> Error {
    Error::new("the pod has ended, and the command with it").kind(Kind::Podling)
}

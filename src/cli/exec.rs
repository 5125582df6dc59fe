//! `podling exec`: a command in a running container.

use super::asking::container_or_default;
use super::data;
use super::session::{OnSignal, Streams, session};
use super::terminal::{Keys, user_size};
use crate::error::{Error, Result};
use crate::host::HostFacts;
use crate::pod::{Request, list};

/// Run a command in a running container
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The command gets the container's environment, user, capabilities, seccomp filter and limits. It is killed when
podling exec is; SIGINT, SIGTERM, SIGHUP and SIGQUIT are passed on to it. The exit code is the command's,
128 + n where signal n killed it, 126 where it cannot be executed, 127 where it was not found.

Examples:
  podling exec web -- ls /srv
  podling exec -it web -c nginx -- sh
  podling exec -w /srv -e LEVEL=debug web -- ./check
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

    /// The command's working directory
    #[arg(short, long, value_name = "PATH")]
    workdir: Option<String>,

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
    let (argv, workdir) = (args.command.clone(), args.workdir.clone());
    let request = Request::Exec { container, argv, env, workdir, terminal: args.tty.then(user_size) };
    let streams = if args.tty { Streams::Terminal } else { Streams::Own };
    let keys = if args.interactive { Keys::Sent } else { Keys::LeftOut };
    session(&connection, &request, streams, keys, OnSignal::Forward)
}

/// `NAME=VALUE`.
pub(super) fn variable(word: &str) -> Result<(String, String)> {
    match word.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(Error::new(format!("--env {word:?}: a variable needs a name and a value")).mend("write NAME=VALUE")),
    }
}

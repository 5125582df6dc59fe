//! `podling exec`: a command in a running container.

use super::asking::container_or_default;
use super::data;
use super::session::{CommandArgs, OnSignal, session};
use super::terminal::user_size;
use crate::error::Result;
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

    #[command(flatten)]
    given: CommandArgs,

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
    let (argv, workdir) = (args.command.clone(), args.workdir.clone());
    let env = args.given.variables()?;
    let request = Request::Exec { container, argv, env, workdir, terminal: args.given.tty.then(user_size) };
    session(&connection, &request, &args.given, OnSignal::Forward)
}

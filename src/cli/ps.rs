//! `podling ps`: which pods there are.

use std::io::Write;

use super::data;
use super::stdout::Stdout;
use crate::error::Result;
use crate::host::HostFacts;
use crate::pod::list;
use crate::pod::status::{ContainerKind, Summary};

/// List the pods that run
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  podling ps
  podling ps -a                    those that have ended, too
  podling ps -q                    names only, for scripts")]
pub struct Args {
    /// Show those that have ended, too
    #[arg(short, long)]
    all: bool,

    /// Print names only
    #[arg(short, long)]
    quiet: bool,
}

/// Runs the verb.
///
/// # Errors
/// A pod that cannot be asked.
pub fn run(args: &Args) -> Result<u8> {
    let data = data::directory(&HostFacts::gather())?;
    let mut pods = list::summaries(&data)?;
    pods.retain(|pod| args.all || (pod.ended_at.is_none() && pod.exit_code.is_none()));
    let mut out = Stdout::lock();
    if args.quiet {
        for pod in &pods {
            writeln!(out, "{}", pod.name)?;
        }
        return Ok(0);
    }
    writeln!(out, "{:<30} {:<7} {:<20} RESTARTS", "NAME", "READY", "STATUS")?;
    for pod in &pods {
        let (ready, total) = ready(pod);
        let restarts: u32 = pod.containers.iter().map(|c| c.restarts).sum();
        writeln!(out, "{:<30} {:<7} {:<20} {restarts}", pod.name, format!("{ready}/{total}"), pod.state)?;
    }
    Ok(0)
}

fn ready(pod: &Summary) -> (usize, usize) {
    let counted =
        || pod.containers.iter().filter(|c| matches!(c.kind, ContainerKind::Regular | ContainerKind::Sidecar));
    (counted().filter(|c| c.ready).count(), counted().count())
}

//! `podling volume rm`.

use std::io::Write;
use std::path::Path;

use super::NamespaceArgs;
use crate::cli::stdout::Stdout;
use crate::cli::{complete, say};
use crate::error::{Error, Result};
use crate::host::HostFacts;
use crate::pod::local;

/// Arguments of `podling volume rm`.
#[derive(Debug, clap::Args)]
#[command(after_help = "A volume that a running pod uses is not removed.

Examples:
  podling volume rm data
  podling volume rm -n team-a --all")]
pub struct Args {
    /// Volumes
    #[arg(required_unless_present = "all", value_name = "VOLUME", add = complete::volumes())]
    volumes: Vec<String>,

    /// All of the namespace
    #[arg(short, long, conflicts_with = "volumes")]
    all: bool,

    /// It is no mistake if there is no such volume
    #[arg(short, long)]
    ignore: bool,

    #[command(flatten)]
    namespace: NamespaceArgs,
}

/// Runs the verb: after a failure the others are removed all the same.
pub fn run(args: &Args, data: &Path, facts: &HostFacts) -> Result<()> {
    let names = if args.all {
        let all = local::all(data)?.into_iter().filter(|volume| volume.key.namespace == args.namespace.namespace);
        all.map(|volume| volume.key.name).collect()
    } else {
        args.volumes.clone()
    };
    let mut first: Option<Error> = None;
    for name in &names {
        match remove(args, name, data, facts) {
            Ok(()) => {}
            Err(e) if first.is_none() => first = Some(e),
            Err(e) => say(&e),
        }
    }
    first.map_or(Ok(()), Err)
}

fn remove(args: &Args, name: &str, data: &Path, facts: &HostFacts) -> Result<()> {
    let key = args.namespace.key(name);
    let volume = match local::find(data, &key)? {
        None if args.ignore || args.all => return Ok(()),
        None => local::get(data, &key)?,
        Some(volume) => volume,
    };
    local::remove(data, &volume, facts)?;
    Ok(writeln!(Stdout::lock(), "{name}")?)
}

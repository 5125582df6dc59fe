//! `podling push`: images go to registries.

use std::io::Write;

use super::progress::Shown;
use super::registry::RegistryArgs;
use super::say;
use super::stdout::Stdout;
use crate::error::{Context, Error, Result};
use crate::image::{Reference, Store};

/// Arguments of `podling push`.
#[derive(Debug, clap::Args)]
#[command(after_help = "The image arrives as it is, with the digest that it has here, which is printed.

Examples:
  podling push quay.io/me/app:1.0
  podling push app:dev localhost:5000/app:dev --tls-verify=false")]
pub struct Args {
    /// Name, id or digest of an image of the store
    #[arg(add = super::complete::images())]
    image: String,
    /// Where to push it to, where that is not its name
    destination: Option<String>,
    /// Print only the digest
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// Runs the verb.
pub fn run(args: &Args, store: &Store) -> Result<()> {
    let written = args.destination.as_deref().unwrap_or(&args.image);
    if args.destination.is_none() && written.starts_with("sha256:") {
        return Err(Error::new("an image that is given by its digest needs a destination").mend("add HOST/NAME:TAG"));
    }
    let destination = Reference::parse(written)?;
    if destination.digest().is_some() {
        return Err(
            Error::new(format!("{written:?}: the digest of what is pushed is the image's own")).mend("leave it out")
        );
    }
    let registries = args.registry.registries(Vec::new())?;
    registries.warnings().iter().for_each(say);
    let repository = registries.repository(&destination)?;
    let progress = Shown::new(args.quiet, "pushed");
    let pushed = store.push(&args.image, &destination, &repository, &progress);
    drop(progress);
    let digest = pushed.context(|| format!("cannot push {destination}"))?;
    let mut out = Stdout::lock();
    writeln!(out, "{digest}")?;
    Ok(out.flush()?)
}

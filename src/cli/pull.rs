//! `podling pull`: images from registries.

use std::io::Write;

use super::limits::LimitArgs;
use super::progress::Shown;
use super::registry::{Lazily, RegistryArgs};
use super::say;
use super::stdout::Stdout;
use crate::error::{Error, Result};
use crate::host::HostFacts;
use crate::image::Store;
use crate::image::platform::Target;
use crate::image::store::acquire::Source;

/// Arguments of `podling pull`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub struct Args {
    /// Names as in a pod's YAML: busybox, quay.io/a/b:1.2, ghcr.io/a/b@sha256:…
    #[arg(required = true, value_name = "IMAGE", add = super::complete::images())]
    images: Vec<String>,

    /// Pull the image for this platform, not for this machine's
    #[arg(long, value_name = "linux/ARCH[/VARIANT]")]
    platform: Option<String>,

    /// Print only the digests
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    registry: RegistryArgs,

    #[command(flatten)]
    limits: LimitArgs,
}

const AFTER: &str =
    "Only what the store lacks is fetched. Standard output gets the digest that each name means at its registry today;
NAME@DIGEST in a pod's YAML runs just that image.

Mirrors, insecure registries, short names: containers-registries.conf(5). Logins: `podman login`, `skopeo login` or
`docker login` write the files that are read here.

Examples:
  podling pull busybox
  podling pull --platform linux/arm64 quay.io/prometheus/prometheus:v3.0.0
  podling pull --tls-verify=false localhost:5000/app:dev";

/// Runs the verb.
pub fn run(args: &Args, store: Store, facts: &HostFacts) -> Result<()> {
    let store = args.limits.apply(store)?;
    let target = args.platform.as_deref().map(Target::parse).transpose()?.unwrap_or_else(Target::host);
    let registries = Lazily::new(|| args.registry.registries(Vec::new()));
    let mut out = Stdout::lock();
    let mut failed = 0;
    for written in &args.images {
        let progress = Shown::new(args.quiet, "pulled");
        let get = || registries.get();
        let source = Source { registries: &get, target: target.clone(), namespace: facts, progress: &progress };
        let pulled = registries.get().and_then(|known| known.candidates(written));
        let pulled = match pulled.and_then(|names| store.pull_first(&names, &source)) {
            Ok(pulled) => pulled,
            Err(e) if args.images.len() == 1 => return Err(e),
            // One that cannot be pulled does not keep the others from it.
            Err(e) => {
                failed += 1;
                say(crate::host::explain(e));
                continue;
            }
        };
        drop(progress);
        let name = pulled.reference.familiar();
        pulled.warnings.iter().for_each(|warning| say(format_args!("warning: {name}: {warning}")));
        if !args.quiet {
            let how = if pulled.was_present { "is up to date" } else { "pulled" };
            say(format_args!("{name}: {how}"));
        }
        writeln!(out, "{}", pulled.digest)?;
    }
    out.flush()?;
    match failed {
        0 => Ok(()),
        _ => Err(Error::new(format!("{failed} of {} images were not pulled", args.images.len()))),
    }
}

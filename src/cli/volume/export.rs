//! `podling volume export`.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use super::NamespaceArgs;
use crate::cli::{complete, say};
use crate::error::{Context, Error, Result};
use crate::host::HostFacts;
use crate::plan::Sharing;
use crate::pod::local;

/// Arguments of `podling volume export`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Owners are the numbers that a pod sees. What a pod changes meanwhile may be in the archive or not: stop it first for
a copy of one moment. Sockets, devices and extended attributes are left out.

Examples:
  podling volume export data -o data.tar
  podling volume export data | gzip > data.tar.gz
  podling volume export data | ssh there podling volume import data -"
)]
pub struct Args {
    /// The volume
    #[arg(value_name = "VOLUME", add = complete::volumes())]
    volume: String,

    /// Write to FILE and not to standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    #[command(flatten)]
    namespace: NamespaceArgs,
}

/// Runs the verb. A file appears under its name when it is whole, and is its owner's alone, as the volume is.
pub fn run(args: &Args, data: &Path, facts: &HostFacts) -> Result<()> {
    let volume = local::get(data, &args.namespace.key(&args.volume))?;
    // Beside a pod that has it for itself, too: reading takes nothing from it. What it must not be is removed meanwhile.
    let _held = local::hold(&volume, Sharing::Pods, facts).ok();
    let copied = match &args.output {
        None => {
            if std::io::stdout().is_terminal() {
                return Err(Error::new("a tar archive is not written to a terminal")
                    .mend("say -o FILE, or redirect it: podling volume export VOLUME > FILE"));
            }
            local::export(&volume.files(), std::io::stdout().lock(), facts)?
        }
        Some(path) => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let shown = || format!("cannot write {}", path.display());
            let mut file = tempfile::Builder::new().prefix(".podling-").tempfile_in(parent).context(shown)?;
            let copied = local::export(&volume.files(), file.as_file_mut(), facts)?;
            keep(file, path).context(shown)?;
            copied
        }
    };
    copied.warnings.iter().for_each(|warning| say(format_args!("warning: {warning}")));
    Ok(())
}

fn keep(mut file: tempfile::NamedTempFile, path: &Path) -> Result<()> {
    file.flush()?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}

//! `podling volume import`.

use std::fs::File;
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use super::NamespaceArgs;
use crate::cli::stdout::Stdout;
use crate::cli::{complete, say};
use crate::error::{Context, Error, Result};
use crate::host::HostFacts;
use crate::manifest::{ObjectKey, check_claim_name, check_namespace};
use crate::pod::local::{self, About, New, Owners};

/// Arguments of `podling volume import`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The volume appears when the whole archive is in it. Owners are the numbers that a pod sees; with one id everything is that id's. gzip and zstd are read as they are.

Examples:
  podling volume import data data.tar
  podling volume import --replace data data.tar.gz
  tar c -C ./site . | podling volume import --no-owners site -"
)]
pub struct Args {
    /// The volume to make
    #[arg(value_name = "VOLUME", add = complete::volumes())]
    volume: String,

    /// A tar archive; `-` is standard input
    #[arg(value_name = "FILE")]
    archive: PathBuf,

    /// Remove the volume of that name, if there is one that no pod uses
    #[arg(long)]
    replace: bool,

    /// Give everything to the pod's root, whatever owners the archive has
    #[arg(long)]
    no_owners: bool,

    #[command(flatten)]
    namespace: NamespaceArgs,
}

/// Runs the verb.
pub fn run(args: &Args, data: &Path, facts: &HostFacts) -> Result<()> {
    let key = args.namespace.key(&args.volume);
    check(&key)?;
    let old = local::find(data, &key)?;
    if let Some(old) = old.as_ref().filter(|_| !args.replace) {
        return Err(Error::new(format!("there is a volume {} already", old.shown()))
            .mend("remove it first with podling volume rm, or say --replace"));
    }
    let about = old.as_ref().map_or_else(|| About::new(None, facts), |old| About::again(&old.about, facts));
    let new = New::begin(data, &about, facts)?;
    let owners = if args.no_owners { Owners::Root } else { Owners::Kept };
    let copied = match open(&args.archive).and_then(|archive| local::import(&new.files(), archive, owners, facts)) {
        Ok(copied) => copied,
        Err(e) => {
            // What keeps it from being removed, too, is the sweep's to tell.
            let _ = new.discard(data, facts);
            return Err(e.context(format_args!("importing {}", args.archive.display())));
        }
    };
    copied.warnings.iter().for_each(|warning| say(format_args!("warning: {warning}")));
    match &old {
        Some(old) => new.replace(data, old, facts)?,
        None if new.publish(data, &key, facts)? => {}
        None => {
            return Err(Error::new(format!("another podling has made a volume {:?} meanwhile", key.name))
                .mend("say --replace to have this one instead"));
        }
    }
    Ok(writeln!(Stdout::lock(), "{}", key.name)?)
}

fn open(path: &Path) -> Result<Box<dyn Read>> {
    if path == Path::new("-") {
        if std::io::stdin().is_terminal() {
            return Err(Error::new("standard input is a terminal, and a tar archive is expected there"));
        }
        return Ok(Box::new(std::io::stdin().lock()));
    }
    Ok(Box::new(File::open(path).context(|| format!("cannot open {}", path.display()))?))
}

fn check(key: &ObjectKey) -> Result<()> {
    check_namespace(&key.namespace).map_err(|why| Error::new(format!("--namespace {:?}: {why}", key.namespace)))?;
    check_claim_name(&key.name).map_err(|why| Error::new(format!("no claim can be called {:?}: {why}", key.name)))
}

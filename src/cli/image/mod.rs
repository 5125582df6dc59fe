//! `podling image …` and `podling images`.

mod names;
mod save;

pub use names::{HistoryArgs, TagArgs, UntagArgs};
pub use save::Args as SaveArgs;

use std::io::Write;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};

use super::limits::LimitArgs;
use super::stdout::Stdout;
use super::table::table;
use super::{complete, pull, push};
use crate::error::{Error, Result};
use crate::host::HostFacts;
use crate::image::layer::limits::human;
use crate::image::store::import::Change;
use crate::image::store::listing::Listing;
use crate::image::store::publish::Loaded;
use crate::image::store::remove::SeveralNames;
use crate::image::{InUserNamespace, Store, timestamp};

/// The verbs of `podling image`.
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// Load images from a docker archive, an OCI archive or an OCI layout directory
    Load(LoadArgs),
    /// Make an image of a root file system: a tar archive or a directory
    Import(ImportArgs),
    /// List the images in the store
    #[command(visible_alias = "list")]
    Ls(LsArgs),
    /// Show everything about images, as JSON
    Inspect(InspectArgs),
    /// Pull images from registries
    Pull(pull::Args),
    /// Push an image to a registry
    Push(push::Args),
    /// Write images to an archive or a directory
    Save(save::Args),
    /// Give an image further names
    Tag(names::TagArgs),
    /// Take names away; the images stay
    Untag(names::UntagArgs),
    /// Show how an image was made
    History(names::HistoryArgs),
    /// Remove the images that nothing uses
    Prune(names::PruneArgs),
    /// Remove images, or one of their names
    #[command(visible_alias = "remove")]
    Rm(RmArgs),
}

/// Arguments of `podling image load`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  podling image load app.tar
  podling image load --name app:dev app.oci/
  docker save app | podling image load -")]
pub struct LoadArgs {
    /// An archive made by `docker save`, `podman save` or skopeo, or an OCI layout directory; `-` is standard input
    #[arg(required = true, value_name = "FILE|DIR")]
    pub sources: Vec<PathBuf>,
    /// Call the image NAME[:TAG], whatever its archive calls it
    #[arg(short, long, value_name = "NAME")]
    pub name: Option<String>,
    /// Print only the names, or the digests of nameless images
    #[arg(short, long)]
    pub quiet: bool,

    #[command(flatten)]
    pub limits: LimitArgs,
}

/// Arguments of `podling image import`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  podling image import rootfs.tar.gz base:1
  podling image import -c 'CMD [\"/bin/sh\"]' -c 'ENV LANG=C' ./rootfs base:1")]
pub struct ImportArgs {
    /// A tar archive (plain, gzip or zstd) or a directory
    #[arg(value_name = "TAR|DIR")]
    pub source: PathBuf,
    /// What to call the image
    pub name: String,
    /// Set part of the image's config with a line of Dockerfile: CMD, ENTRYPOINT, ENV, LABEL, STOPSIGNAL, USER or WORKDIR
    #[arg(short, long = "change", value_name = "INSTRUCTION")]
    pub changes: Vec<String>,

    #[command(flatten)]
    pub limits: LimitArgs,
}

/// Arguments of `podling images`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  podling images
  podling images -q --no-trunc         ids only, for scripts")]
pub struct LsArgs {
    /// Print only the images' ids
    #[arg(short, long)]
    pub quiet: bool,
    /// Show the digests of the manifests
    #[arg(long)]
    pub digests: bool,
    /// Do not shorten ids
    #[arg(long)]
    pub no_trunc: bool,
}

/// Arguments of `podling image inspect`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  podling image inspect busybox
  podling image inspect busybox | jq '.[0]'")]
pub struct InspectArgs {
    /// Names, ids or digests
    #[arg(required = true, value_name = "IMAGE", add = complete::images())]
    pub images: Vec<String>,
}

/// Arguments of `podling image rm`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  podling image rm app:dev
  podling image rm --force 0b5a1c8f4d2e    by its id, whatever its names")]
pub struct RmArgs {
    /// Names, ids or digests
    #[arg(required = true, value_name = "IMAGE", add = complete::images())]
    pub images: Vec<String>,
    /// Remove an image given by its id even if it has several names
    #[arg(short, long)]
    pub force: bool,
}

/// Runs one verb.
pub fn run(command: &ImageCommand, store: &Store, facts: &HostFacts) -> Result<()> {
    // These write to standard output in their own way.
    match command {
        ImageCommand::Pull(args) => return pull::run(args, store.clone(), facts),
        ImageCommand::Push(args) => return push::run(args, store),
        ImageCommand::Save(args) => return save::run(args, store),
        _ => {}
    }
    let mut out = Stdout::lock();
    verb(command, store, facts, &mut out)?;
    // What is still in the buffer would be lost without a word.
    Ok(out.flush()?)
}

fn verb(command: &ImageCommand, store: &Store, namespace: &dyn InUserNamespace, out: &mut Stdout) -> Result<()> {
    match command {
        ImageCommand::Load(args) => load(args, store, namespace, out),
        ImageCommand::Import(args) => import(args, store, namespace, out),
        ImageCommand::Ls(args) => list(args, store, out),
        ImageCommand::Inspect(args) => inspect(args, store, out),
        ImageCommand::Tag(args) => names::tag(args, store),
        ImageCommand::Untag(args) => names::untag(args, store, out),
        ImageCommand::History(args) => names::history(args, store, out),
        ImageCommand::Prune(args) => names::prune(args, store, namespace, out),
        ImageCommand::Pull(_) | ImageCommand::Push(_) | ImageCommand::Save(_) => Ok(()),
        ImageCommand::Rm(args) => remove(args, store, namespace, out),
    }
}

fn load(args: &LoadArgs, store: &Store, namespace: &dyn InUserNamespace, out: &mut impl Write) -> Result<()> {
    if args.name.is_some() && args.sources.len() > 1 {
        return Err(Error::new("several archives cannot all have the same name").mend("load them one by one"));
    }
    let store = args.limits.apply(store.clone())?;
    for source in &args.sources {
        for loaded in store.load(source, args.name.as_deref(), namespace)? {
            report(&loaded, "loaded", args.quiet, out)?;
        }
    }
    Ok(())
}

fn import(args: &ImportArgs, store: &Store, namespace: &dyn InUserNamespace, out: &mut impl Write) -> Result<()> {
    let changes = args.changes.iter().map(|text| Change::parse(text)).collect::<Result<Vec<_>>>()?;
    let store = args.limits.apply(store.clone())?;
    let imported = store.import(&args.source, &args.name, &changes, namespace)?;
    report(&imported, "imported", false, out)
}

fn report(loaded: &Loaded, verb: &str, quiet: bool, out: &mut impl Write) -> Result<()> {
    let name = loaded.reference.as_ref().map_or_else(|| loaded.digest.to_string(), |name| name.familiar());
    for warning in &loaded.warnings {
        super::say(format_args!("warning: {name}: {warning}"));
    }
    if quiet {
        return Ok(writeln!(out, "{name}")?);
    }
    let nameless =
        if loaded.reference.is_none() { " (it has no name; load it with --name to give it one)" } else { "" };
    Ok(writeln!(out, "{verb} {name}{nameless}")?)
}

fn list(args: &LsArgs, store: &Store, out: &mut impl Write) -> Result<()> {
    let images = store.list()?;
    let id = |image: &Listing| if args.no_trunc { image.id.to_string() } else { image.id.short() };
    if args.quiet {
        let mut ids: Vec<String> = images.iter().map(id).collect();
        ids.dedup();
        return ids.iter().try_for_each(|id| Ok(writeln!(out, "{id}")?));
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs().cast_signed());
    let mut header = vec!["REPOSITORY", "TAG", "DIGEST", "IMAGE ID", "CREATED", "SIZE"];
    let mut rows = vec![];
    for image in &images {
        let none = || "<none>".to_owned();
        let mut row = vec![
            image.name.as_ref().map_or_else(none, |name| name.familiar_repository()),
            image.name.as_ref().and_then(|name| name.tag().map(str::to_owned)).unwrap_or_else(none),
            image.digest.to_string(),
            id(image),
            image.created.map_or_else(|| "unknown".to_owned(), |created| timestamp::age(now - created)),
            human(image.size),
        ];
        if !args.digests {
            row.remove(2);
        }
        rows.push(row);
    }
    if !args.digests {
        header.remove(2);
    }
    rows.insert(0, header.into_iter().map(str::to_owned).collect());
    Ok(out.write_all(table(&rows).as_bytes())?)
}

fn inspect(args: &InspectArgs, store: &Store, out: &mut impl Write) -> Result<()> {
    let images = args.images.iter().map(|image| store.inspect(image)).collect::<Result<Vec<_>>>()?;
    let text = serde_json::to_string_pretty(&images).map_err(|e| Error::new(e.to_string()))?;
    Ok(writeln!(out, "{text}")?)
}

fn remove(args: &RmArgs, store: &Store, namespace: &dyn InUserNamespace, out: &mut impl Write) -> Result<()> {
    let several = if args.force { SeveralNames::Remove } else { SeveralNames::Refuse };
    for image in &args.images {
        let removed = store.remove(image, several, namespace)?;
        for name in &removed.untagged {
            writeln!(out, "untagged {name}")?;
        }
        if let Some(digest) = removed.deleted {
            writeln!(out, "deleted {digest}")?;
        }
    }
    Ok(())
}

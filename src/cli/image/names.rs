//! `podling image tag`, `untag`, `history` and `prune`.

use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::cli::complete;
use crate::cli::stdout::Format;
use crate::cli::table::table;
use crate::error::{Error, Result};
use crate::image::layer::limits::human;
use crate::image::store::prune::Prune;
use crate::image::{InUserNamespace, Store, timestamp};

/// Arguments of `podling image tag`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  podling image tag app:dev app:1.0 quay.io/me/app:1.0")]
pub struct TagArgs {
    /// Name, id or digest of an image of the store
    #[arg(add = complete::images())]
    source: String,
    /// Its further names
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
}

/// Arguments of `podling image untag`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  podling image untag app:dev")]
pub struct UntagArgs {
    /// Names to take away; the images stay
    #[arg(required = true, value_name = "NAME", add = complete::images())]
    names: Vec<String>,
}

/// Arguments of `podling image history`.
#[derive(Debug, clap::Args)]
#[command(after_help = "SIZE is that of the layer as it is stored and travels. A step without a layer has none.

Examples:
  podling image history busybox
  podling image history --no-trunc --format json busybox")]
pub struct HistoryArgs {
    /// Name, id or digest of an image of the store
    #[arg(add = complete::images())]
    image: String,
    /// Do not cut what made a layer
    #[arg(long)]
    no_trunc: bool,
    /// `json` for programs
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// Arguments of `podling image prune`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  podling image prune
  podling image prune --all --force    all that no running pod uses, without asking")]
pub struct PruneArgs {
    /// Remove all images that no running pod uses, not only those without a name
    #[arg(short, long)]
    all: bool,
    /// Do not ask
    #[arg(short, long)]
    force: bool,
}

/// Gives an image names.
pub fn tag(args: &TagArgs, store: &Store) -> Result<()> {
    store.tag(&args.source, &args.names).map(drop)
}

/// Takes names away.
pub fn untag(args: &UntagArgs, store: &Store, out: &mut impl Write) -> Result<()> {
    store.untag(&args.names)?.iter().try_for_each(|name| Ok(writeln!(out, "untagged {name}")?))
}

/// Shows how an image was made, the last step first.
pub fn history(args: &HistoryArgs, store: &Store, out: &mut impl Write) -> Result<()> {
    let record = store.find_record(&args.image)?;
    let steps = record.config.history().as_deref().unwrap_or_default();
    let mut sizes = record.manifest.layers().iter().map(|layer| layer.size());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs().cast_signed());
    let mut rows = Vec::new();
    for step in steps {
        let size = if step.empty_layer() == Some(true) { Some(0) } else { sizes.next() };
        rows.push((step.created().clone(), step.created_by().clone(), size, step.comment().clone()));
    }
    // A config may say less than there is.
    rows.extend(sizes.map(|size| (None, None, Some(size), None)));
    rows.reverse();
    if args.format == Format::Json {
        let row = |(created, by, size, comment)| json!({"created": created, "createdBy": by, "size": size, "comment": comment});
        let rows: Vec<_> = rows.into_iter().map(row).collect();
        let text = serde_json::to_string_pretty(&rows).map_err(|e| Error::new(e.to_string()))?;
        return Ok(writeln!(out, "{text}")?);
    }
    let mut cells = vec![["CREATED", "CREATED BY", "SIZE", "COMMENT"].map(str::to_owned).to_vec()];
    for (created, by, size, comment) in rows {
        let created = created.as_deref().and_then(timestamp::parse);
        let by = visible(&by.unwrap_or_default());
        let short = !args.no_trunc && by.chars().count() > 45;
        cells.push(vec![
            created.map_or_else(|| "unknown".to_owned(), |created| timestamp::age(now - created)),
            if short { by.chars().take(44).chain(['…']).collect() } else { by },
            size.map_or_else(String::new, human),
            visible(&comment.unwrap_or_default()),
        ]);
    }
    Ok(out.write_all(table(&cells).as_bytes())?)
}

/// A stranger's text on one line.
fn visible(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Removes what nothing uses.
pub fn prune(args: &PruneArgs, store: &Store, namespace: &dyn InUserNamespace, out: &mut impl Write) -> Result<()> {
    let which = if args.all { Prune::Unused } else { Prune::Nameless };
    if !args.force && !confirmed(args.all)? {
        super::super::say("nothing was removed; --force does not ask");
        return Ok(());
    }
    let pruned = store.prune(which, namespace)?;
    for name in &pruned.untagged {
        writeln!(out, "untagged {name}")?;
    }
    for digest in &pruned.deleted {
        writeln!(out, "deleted {digest}")?;
    }
    Ok(writeln!(out, "reclaimed {}", human(pruned.reclaimed))?)
}

fn confirmed(all: bool) -> Result<bool> {
    let what = if all { "all images that no running pod uses" } else { "all images without a name" };
    let mut err = io::stderr().lock();
    write!(err, "podling: this removes {what}. Go on? [y/N] ")?;
    err.flush()?;
    let mut answer = String::new();
    // The end of the input is a no, as docker and podman have it.
    if io::stdin().read_line(&mut answer)? == 0 {
        writeln!(err)?;
    }
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

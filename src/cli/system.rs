//! `podling system`: the store as a whole.

use std::io::{IsTerminal, Write};

use serde_json::json;

use super::say;
use super::stdout::{Format, Stdout};
use super::table::table;
use crate::error::{Error, Result};
use crate::host::HostFacts;
use crate::image::Store;
use crate::image::layer::limits::human;
use crate::image::store::usage::{ImageUsage, Usage};

/// The verbs of `podling system`.
#[derive(Debug, clap::Subcommand)]
pub enum SystemCommand {
    /// Show how much room podling's data takes, and how much of it can be reclaimed
    Df(DfArgs),
    /// Prove that all images are whole: hash every blob, unpack every layer again and compare
    Check(CheckArgs),
}

/// Arguments of `podling system df`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Images are their blobs, layers their unpacked trees; sizes are those on disk. `podling image prune -a` reclaims.

Examples:
  podling system df
  podling system df --format json"
)]
pub struct DfArgs {
    /// Show each image
    #[arg(short, long)]
    verbose: bool,
    /// `json` for programs
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// Arguments of `podling system check`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code: 0 when everything is whole, 1 when something is damaged, 125 for podling's own errors.

Examples:
  podling system check
  podling system check --repair"
)]
pub struct CheckArgs {
    /// Remove what is damaged, so that it can be pulled, loaded or unpacked again
    #[arg(long)]
    repair: bool,
    /// Print only what is wrong
    #[arg(short, long)]
    quiet: bool,
}

/// Runs one verb; the exit code tells whether all is well.
pub fn run(command: &SystemCommand, store: &Store, facts: &HostFacts) -> Result<u8> {
    let mut out = Stdout::lock();
    let code = match command {
        SystemCommand::Df(args) => df(args, store, facts, &mut out).map(|()| 0)?,
        SystemCommand::Check(args) => check(args, store, facts, &mut out)?,
    };
    out.flush()?;
    Ok(code)
}

fn df(args: &DfArgs, store: &Store, facts: &HostFacts, out: &mut Stdout) -> Result<()> {
    let (usages, images) = store.usage(facts)?;
    if args.format == Format::Json {
        let usage = |u: &Usage| json!({"type": u.what, "total": u.total, "active": u.active, "size": u.size, "reclaimable": u.reclaimable});
        let image =
            |i: &ImageUsage| json!({"name": i.name, "blobs": i.blobs, "unpacked": i.unpacked, "active": i.active});
        let all = json!({
            "usage": usages.iter().map(usage).collect::<Vec<_>>(),
            "images": images.iter().map(image).collect::<Vec<_>>(),
        });
        let text = serde_json::to_string_pretty(&all).map_err(|e| Error::new(e.to_string()))?;
        return Ok(writeln!(out, "{text}")?);
    }
    let mut rows = vec![["TYPE", "TOTAL", "ACTIVE", "SIZE", "RECLAIMABLE"].map(str::to_owned).to_vec()];
    for usage in &usages {
        let share = (usage.reclaimable * 100).checked_div(usage.size).map(|share| format!(" ({share}%)"));
        let reclaimable = format!("{}{}", human(usage.reclaimable), share.unwrap_or_default());
        rows.push(vec![
            usage.what.to_owned(),
            usage.total.to_string(),
            usage.active.to_string(),
            human(usage.size),
            reclaimable,
        ]);
    }
    out.write_all(table(&rows).as_bytes())?;
    if args.verbose {
        let mut rows = vec![["IMAGE", "BLOBS", "UNPACKED", "USED"].map(str::to_owned).to_vec()];
        for image in &images {
            let used = if image.active { "yes" } else { "no" };
            rows.push(vec![image.name.clone(), human(image.blobs), human(image.unpacked), used.to_owned()]);
        }
        write!(out, "\n{}", table(&rows))?;
    }
    Ok(())
}

fn check(args: &CheckArgs, store: &Store, facts: &HostFacts, out: &mut Stdout) -> Result<u8> {
    let shows = !args.quiet && std::io::stderr().is_terminal();
    let progress = |what: &str| {
        if shows {
            let _ = write!(std::io::stderr(), "\r\x1b[Kpodling: checking {what}");
        }
    };
    let checked = store.check(facts, &progress);
    if shows {
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    }
    let findings = checked?;
    for damage in &findings.damage {
        writeln!(out, "{damage}")?;
    }
    if !args.quiet {
        findings.notes.iter().for_each(say);
        let [images, blobs, layers] = findings.looked_at;
        let found = match findings.damage.len() {
            0 => "all whole".to_owned(),
            count => format!("{count} damaged"),
        };
        say(format_args!("{images} images, {blobs} blobs and {layers} unpacked layers: {found}"));
    }
    if findings.damage.is_empty() {
        return Ok(0);
    }
    if args.repair {
        for done in store.repair(&findings, facts)? {
            writeln!(out, "{done}")?;
        }
    } else if !args.quiet {
        say("`podling system check --repair` removes what is damaged");
    }
    Ok(1)
}

//! `podling volume ls`.

use std::io::Write;
use std::path::Path;

use serde_json::json;

use super::users;
use crate::cli::stdout::{Format, Stdout};
use crate::cli::table::{lasting, row, table};
use crate::error::{Error, Result};
use crate::host::HostFacts;
use crate::image::layer::limits::human;
use crate::image::store::usage::tree_size;
use crate::image::timestamp;
use crate::pod::{local, now};

/// Arguments of `podling volume ls`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Sizes are those on disk.

Examples:
  podling volume ls
  podling volume ls -n team-a
  podling volume ls -q                 names only, for scripts")]
pub struct Args {
    /// Only those of this namespace
    #[arg(short, long, value_name = "NAMESPACE")]
    namespace: Option<String>,

    /// Print only names; those of other namespaces than `default` as NAMESPACE/NAME
    #[arg(short, long)]
    quiet: bool,

    /// `json` for programs
    #[arg(long, value_enum, default_value_t = Format::Table, conflicts_with = "quiet")]
    format: Format,
}

/// Runs the verb.
pub fn run(args: &Args, data: &Path, facts: &HostFacts) -> Result<()> {
    let mut volumes = local::all(data)?;
    volumes.retain(|volume| args.namespace.as_ref().is_none_or(|namespace| *namespace == volume.key.namespace));
    let mut out = Stdout::lock();
    if args.quiet {
        for volume in &volumes {
            let prefix = if volume.key.namespace == "default" { "" } else { &format!("{}/", volume.key.namespace) };
            writeln!(out, "{prefix}{}", volume.key.name)?;
        }
        return Ok(out.flush()?);
    }
    let users = users(data, &volumes)?;
    let sizes = volumes.iter().map(|volume| tree_size(&volume.files(), facts)).collect::<Result<Vec<_>>>()?;
    let all = volumes.iter().zip(users).zip(sizes);
    let text = if args.format == Format::Json {
        let json = |((volume, users), size): ((&local::Volume, Vec<String>), u64)| {
            json!({
                "namespace": volume.key.namespace,
                "name": volume.key.name,
                "size": size,
                "createdAt": timestamp::format(volume.about.created_at),
                "usedBy": users,
            })
        };
        serde_json::to_string_pretty(&all.map(json).collect::<Vec<_>>()).map_err(|e| Error::new(e.to_string()))? + "\n"
    } else {
        let mut rows = vec![row(["NAMESPACE", "NAME", "SIZE", "AGE", "USED BY"])];
        rows.extend(all.map(|((volume, users), size)| {
            let age = lasting(now() - volume.about.created_at);
            let users = if users.is_empty() { "<none>".to_owned() } else { users.join(",") };
            vec![volume.key.namespace.clone(), volume.key.name.clone(), human(size), age, users]
        }));
        table(&rows)
    };
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

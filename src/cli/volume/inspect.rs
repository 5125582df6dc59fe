//! `podling volume inspect`.

use std::io::Write;
use std::path::Path;

use serde_json::json;

use super::{NamespaceArgs, users};
use crate::cli::complete;
use crate::cli::stdout::Stdout;
use crate::error::{Error, Result};
use crate::host::HostFacts;
use crate::image::store::usage::tree_size;
use crate::image::timestamp;
use crate::pod::local;

/// Arguments of `podling volume inspect`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  podling volume inspect data
  podling volume inspect -n team-a data | jq -r '.[0].path'")]
pub struct Args {
    /// Volumes
    #[arg(required = true, value_name = "VOLUME", add = complete::volumes())]
    volumes: Vec<String>,

    #[command(flatten)]
    namespace: NamespaceArgs,
}

/// Runs the verb.
pub fn run(args: &Args, data: &Path, facts: &HostFacts) -> Result<()> {
    let named = args.volumes.iter().map(|name| local::get(data, &args.namespace.key(name)));
    let volumes = named.collect::<Result<Vec<_>>>()?;
    let mut all = Vec::new();
    for (volume, users) in volumes.iter().zip(users(data, &volumes)?) {
        all.push(json!({
            "namespace": volume.key.namespace,
            "name": volume.key.name,
            "path": volume.files().to_string_lossy(),
            "size": tree_size(&volume.files(), facts)?,
            "createdAt": timestamp::format(volume.about.created_at),
            "accessModes": volume.about.access_modes,
            "requestedStorage": volume.about.requested,
            "storageClassName": volume.about.storage_class,
            "usedBy": users,
        }));
    }
    let text = serde_json::to_string_pretty(&all).map_err(|e| Error::new(e.to_string()))?;
    let mut out = Stdout::lock();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

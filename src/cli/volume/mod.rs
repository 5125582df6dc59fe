//! `podling volume …`: the named local volumes that PersistentVolumeClaims become.

mod export;
mod import;
mod inspect;
mod ls;
mod rm;

use std::path::Path;

use serde_json::Value;

use super::asking::object;
use super::data;
use crate::error::Result;
use crate::host::HostFacts;
use crate::manifest::ObjectKey;
use crate::pod::list::{self, Life};
use crate::pod::local::Volume;

/// The verbs of `podling volume`.
#[derive(Debug, clap::Subcommand)]
pub enum VolumeCommand {
    /// List the volumes, and the pods that use them
    #[command(visible_alias = "list")]
    Ls(ls::Args),
    /// Show everything about volumes, as JSON
    Inspect(inspect::Args),
    /// Remove volumes and their files
    #[command(visible_alias = "remove")]
    Rm(rm::Args),
    /// Write a volume's files to a tar archive
    Export(export::Args),
    /// Make a volume of a tar archive
    Import(import::Args),
}

/// Runs one verb.
///
/// # Errors
/// A volume that is not there, or what the verb cannot do.
pub fn run(command: &VolumeCommand) -> Result<u8> {
    let facts = HostFacts::gather();
    let data = data::directory(&facts)?;
    match command {
        VolumeCommand::Ls(args) => ls::run(args, &data, &facts),
        VolumeCommand::Inspect(args) => inspect::run(args, &data, &facts),
        VolumeCommand::Rm(args) => rm::run(args, &data, &facts),
        VolumeCommand::Export(args) => export::run(args, &data, &facts),
        VolumeCommand::Import(args) => import::run(args, &data, &facts),
    }
    .map(|()| 0)
}

/// Where the volume is that a word names.
#[derive(Debug, clap::Args)]
struct NamespaceArgs {
    /// The namespace of the claim
    #[arg(short, long, value_name = "NAMESPACE", default_value = "default")]
    namespace: String,
}

impl NamespaceArgs {
    /// `name` in this namespace.
    fn key(&self, name: &str) -> ObjectKey {
        ObjectKey { namespace: self.namespace.clone(), name: name.to_owned() }
    }
}

/// The running pods that use each of `volumes`, in the same order.
fn users(data: &Path, volumes: &[Volume]) -> Result<Vec<Vec<String>>> {
    let mut users = vec![Vec::new(); volumes.len()];
    if volumes.is_empty() {
        return Ok(users);
    }
    for pod in list::all(data)?.into_iter().filter(|pod| matches!(pod.life, Life::Live(_))) {
        // One that has just ended uses nothing.
        let Ok(object) = object(&pod) else { continue };
        for (volume, users) in volumes.iter().zip(&mut users) {
            if claims(&object, &volume.key) {
                users.push(pod.name.clone());
            }
        }
    }
    Ok(users)
}

/// Whether a pod mounts the volume of the claim `key`.
fn claims(pod: &Value, key: &ObjectKey) -> bool {
    let namespace = pod["metadata"]["namespace"].as_str().filter(|name| !name.is_empty()).unwrap_or("default");
    let volumes = pod["spec"]["volumes"].as_array();
    namespace == key.namespace
        && volumes
            .into_iter()
            .flatten()
            .any(|volume| volume["persistentVolumeClaim"]["claimName"].as_str() == Some(&key.name))
}

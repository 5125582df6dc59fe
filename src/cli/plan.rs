//! `podling plan`: what `run` would do, as JSON.

use std::io::Write;

use super::data;
use super::images::{Having, have};
use super::input::{PodArgs, plan_pod};
use super::registry::RegistryArgs;
use super::stdout::Stdout;
use crate::error::{Error, Result};
use crate::host::HostFacts;
use crate::image::Store;
use crate::image::store::acquire::PullPolicy;

/// Print what `run` would do: each container's OCI runtime spec and the mounts around it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Nothing is started, changed or pulled.

Examples:
  podling plan pod.yaml
  podling plan pod.yaml config.yaml | less")]
pub struct Args {
    #[command(flatten)]
    pod: PodArgs,
}

/// Runs the verb. Several pods become a JSON array.
pub fn run(args: &Args) -> Result<()> {
    let given = args.pod.read()?;
    let facts = HostFacts::gather();
    let data = data::directory(&facts)?;
    let store = Store::open(&data, &facts.ids)?;
    // A plan changes nothing, so it pulls nothing.
    let having = Having { registry: &RegistryArgs::default(), policy: Some(PullPolicy::Never), quiet: true };
    let images = have(&given.bundle, &store, &facts, &having)?;
    let mut plans = Vec::new();
    for pod in &given.bundle.pods {
        plans.push(crate::plan::render(&plan_pod(pod, &given, &images, &facts, &data)?)?);
    }
    let value = if plans.len() == 1 { plans.swap_remove(0) } else { serde_json::Value::Array(plans) };
    let text = serde_json::to_string_pretty(&value).map_err(|e| Error::new(format!("printing the plan: {e}")))?;
    Ok(writeln!(Stdout::lock(), "{text}")?)
}

//! `podling plan`: what `run` would do, as JSON.

use super::data;
use super::input::{PodArgs, plan_pod};
use crate::error::{Error, Result};
use crate::host::HostFacts;
use crate::image::Store;

/// Print what `run` would do: each container's OCI runtime spec and the mounts around it.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pod: PodArgs,
}

/// Runs the verb. Several pods become a JSON array.
pub fn run(args: &Args) -> Result<()> {
    let bundle = args.pod.read()?;
    let options = args.pod.options()?;
    let facts = HostFacts::gather();
    let data = data::directory(&facts)?;
    let store = Store::open(&data, &facts.ids)?;
    let images = super::run::resolve(&bundle, &store, &facts)?;
    let mut plans = Vec::new();
    for pod in &bundle.pods {
        plans.push(crate::plan::render(&plan_pod(pod, &bundle, &images, &facts, &data, &options)?)?);
    }
    let value = if plans.len() == 1 { plans.swap_remove(0) } else { serde_json::Value::Array(plans) };
    let text = serde_json::to_string_pretty(&value).map_err(|e| Error::new(format!("printing the plan: {e}")))?;
    use std::io::Write;
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(e.into()),
        _ => Ok(()),
    }
}

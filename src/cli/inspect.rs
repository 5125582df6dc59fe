//! `podling inspect`: pods as Kubernetes objects.

use super::objects::{self, Format};
use super::{asking, data};
use crate::error::Result;
use crate::pod::list;

/// Show pods as Kubernetes objects, with their status, as `kubectl get pod -o yaml` does
#[derive(Debug, clap::Args)]
#[command(after_help = "One pod is printed as it is, several as a v1 List.

Examples:
  podling inspect web
  podling inspect web -o json | jq .status.containerStatuses")]
pub struct Args {
    /// Pods
    #[arg(value_name = "POD", required = true, add = super::complete::pods())]
    pods: Vec<String>,

    /// How they are written
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t = Format::Yaml)]
    output: Format,
}

/// Runs the verb.
///
/// # Errors
/// A pod that is not there, or cannot be asked.
pub fn run(args: &Args) -> Result<u8> {
    let data = data::of_pods()?;
    let objects = args.pods.iter().map(|name| asking::object(&list::get(&data, name)?));
    let mut objects = objects.collect::<Result<Vec<_>>>()?;
    let object = if objects.len() == 1 { objects.swap_remove(0) } else { objects::list(objects) };
    objects::print(&object, args.output)?;
    Ok(0)
}

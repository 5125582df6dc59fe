//! `podling inspect`: pods as Kubernetes objects.

use super::objects::{self, Format};
use super::{asking, data};
use crate::error::Result;
use crate::pod::job::{get_job, job_in};
use crate::pod::list;

/// Show pods or Jobs as Kubernetes objects, with their status, as `kubectl get pod -o yaml` does
#[derive(Debug, clap::Args)]
#[command(after_help = "One pod is printed as it is, several as a v1 List.

Examples:
  podling inspect web
  podling inspect job/import
  podling inspect web -o json | jq .status.containerStatuses")]
pub struct Args {
    /// Pods, or Jobs as job/NAME
    #[arg(value_name = "POD|job/NAME", required = true, add = super::complete::pods_or_jobs())]
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
    let objects = args.pods.iter().map(|name| match job_in(name) {
        Some(job) => get_job(&data, job)?.object(),
        None => asking::object(&list::get(&data, name)?),
    });
    let mut objects = objects.collect::<Result<Vec<_>>>()?;
    let object = if objects.len() == 1 { objects.swap_remove(0) } else { objects::list(objects) };
    objects::print(&object, args.output)?;
    Ok(0)
}

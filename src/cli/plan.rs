//! `podling plan`: what `run` would do, as JSON.

use std::io::Write;
use std::path::Path;

use super::data;
use super::images::{Having, have};
use super::input::PodArgs;
use super::plan_diff::{Hidden, diff};
use super::planner::{Planner, first_pod};
use super::registry::RegistryArgs;
use super::stdout::Stdout;
use crate::error::{Error, Result};
use crate::host::HostFacts;
use crate::image::Store;
use crate::image::store::acquire::PullPolicy;
use crate::plan::{NO_UID, PodPlan};
use crate::pod::list::{self, Life};
use crate::pod::record::read_first;

/// Print what `run` would do: each container's OCI runtime spec and the mounts around it.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Nothing is started, changed or pulled. Of a Job it is a pod as the first one would be. What is made at the start, as a uid, is zeros here.

Exit code with --diff: 0 when nothing differs, 1 when something does.

Examples:
  podling plan pod.yaml
  podling plan pod.yaml config.yaml | less
  podling plan --diff pod.yaml"
)]
pub struct Args {
    #[command(flatten)]
    pod: PodArgs,

    /// Print only in what the running pods of these names differ from it
    #[arg(long)]
    diff: bool,
}

/// Runs the verb. Several pods become a JSON array.
///
/// # Errors
/// What is wrong with the input, an image that is not in the store, or a pod that does not run in the background.
pub fn run(args: &Args) -> Result<u8> {
    let given = args.pod.read()?;
    let facts = HostFacts::gather();
    let data = data::directory(&facts)?;
    let store = Store::open(&data, &facts.ids)?;
    // A plan changes nothing, so it pulls nothing.
    let having = Having { registry: &RegistryArgs::default(), policy: Some(PullPolicy::Never), quiet: true };
    let images = have(&given.bundle, &store, &facts, &having)?;
    let planner = Planner::new(&given, images, &facts, &data)?;
    let mut plans = Vec::new();
    for pod in &given.bundle.pods {
        // What runs was planned at another time, and is compared by what lasts.
        plans.push(if args.diff { planner.lasting(pod)? } else { planner.trial(pod)? });
    }
    if args.diff {
        if let Some(job) = given.bundle.jobs.first() {
            let why = "--diff is about running pods, and of a Job's pods each is another";
            return Err(job.said.source.error("kind", why).mend("leave the Job out, or --diff"));
        }
        return differences(&plans, &data);
    }
    for job in &given.bundle.jobs {
        let plan = crate::plan::job(job, NO_UID.to_owned(), &facts, &given.options)?;
        plans.push(planner.trial(&first_pod(job, &plan))?);
    }
    let mut plans = plans.iter().map(crate::plan::render).collect::<Result<Vec<_>>>()?;
    let value = if plans.len() == 1 { plans.swap_remove(0) } else { serde_json::Value::Array(plans) };
    let text = serde_json::to_string_pretty(&value).map_err(|e| Error::new(format!("printing the plan: {e}")))?;
    writeln!(Stdout::lock(), "{text}")?;
    Ok(0)
}

fn differences(plans: &[PodPlan], data: &Path) -> Result<u8> {
    let mut code = 0;
    for plan in plans {
        let name = &plan.name;
        let found = list::get(data, name)?;
        let first = read_first(&found.dir)?.filter(|first| !first.plan.is_empty());
        let Some(first) = first.filter(|_| matches!(found.life, Life::Live(_))) else {
            return Err(Error::new(format!("pod {name:?} does not run in the background, so its plan is not kept"))
                .mend(format!(
                    "`podling up` starts pods in the background; `podling ps --all` shows what there is of {name:?}"
                )));
        };
        let same = first.fingerprint == crate::plan::fingerprint(plan)?;
        let hidden = if same { Hidden::Same } else { Hidden::Different };
        let text = diff(name, &first.plan, &crate::plan::render_kept(plan)?, hidden)?;
        Stdout::lock().write_all(text.as_bytes())?;
        code = code.max(u8::from(!text.is_empty()));
    }
    Ok(code)
}

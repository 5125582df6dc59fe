//! `podling up` and `restart`: pods as files describe them, and pods anew.

use std::io::Write;

use super::data;
use super::ending::remove_if_there;
use super::first::{LifeArgs, WaitArgs};
use super::images::{Having, ImageArgs};
use super::input::{Given, PodArgs};
use super::launch::{Launch, Trace};
use super::launch_job::is_same_job;
use super::registry::RegistryArgs;
use super::run::started;
use super::stdout::Stdout;
use crate::error::{Error, Result};
use crate::host::{HostFacts, protect};
use crate::image::Store;
use crate::image::store::acquire::PullPolicy;
use crate::pod::job::{find_job, owner};
use crate::pod::list::{self, Life};
use crate::pod::record::read_first;
use crate::pod::{Kept, Style};

/// Make the pods that run be those that files describe: start what is missing, replace what has changed, leave the rest alone
#[derive(Debug, clap::Args)]
#[command(after_help = "A pod whose plan is the same keeps running. `podling plan FILE` shows what is compared.
A Job that is the same is left alone, whether it runs, is complete or has failed; one that has changed is stopped and started anew, and one that
was stopped or lost its keeper is started anew, too.

Examples:
  podling up pod.yaml config.yaml
  podling up --wait --timeout 1m pod.yaml
  podling up --force pod.yaml")]
pub struct UpArgs {
    #[command(flatten)]
    pod: PodArgs,

    /// Replace pods that have not changed, too
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    wait: WaitArgs,

    #[command(flatten)]
    life: LifeArgs,

    /// Print errors only
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    images: ImageArgs,
}

/// Stop detached pods and start them anew, from what they were started from
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The pod is another one afterwards: its emptyDir volumes and its logs are new. A tag of an image is looked up again.

Examples:
  podling restart web
  podling restart --all"
)]
pub struct RestartArgs {
    /// Pods
    #[arg(value_name = "POD", required_unless_present = "all", add = super::complete::pods())]
    pods: Vec<String>,

    /// All pods
    #[arg(short, long, conflicts_with = "pods")]
    all: bool,

    #[command(flatten)]
    wait: WaitArgs,

    /// Print errors only
    #[arg(short, long)]
    quiet: bool,
}

/// Runs `podling up`.
///
/// # Errors
/// What is wrong with the input, or a pod that cannot be started.
pub fn up(args: &UpArgs) -> Result<u8> {
    let mut trace = Trace::begin();
    let facts = HostFacts::gather();
    // Before standard input is read: this may begin the command anew.
    protect(&facts)?;
    let given = args.pod.read()?;
    trace.step("read");
    let data = data::directory(&facts)?;
    let store = args.images.store(&data, &facts)?;
    let mut launch = Launch {
        facts: &facts,
        data: &data,
        store: &store,
        having: args.images.having(args.quiet),
        style: Style::of_terminal(args.quiet),
        life: &args.life,
        trace,
    };
    // Images first: a tag that leads elsewhere now is a change like any other.
    let mut planned = launch.plan(&given)?;
    let mut words = Vec::new();
    for plan in &planned.plans {
        let word = match list::find(&data, &plan.name)? {
            None => "created",
            Some(found) if !matches!(found.life, Life::Live(_)) => "started",
            Some(found) => match read_first(&found.dir)? {
                None => {
                    return Err(Error::new(format!("a pod named {:?} runs in the foreground", plan.name))
                        .mend("end it first, or give this one another name with --name"));
                }
                Some(first) => {
                    let planner = &planned.planner;
                    let lasting = planner.lasting(planner.said(plan)?)?;
                    let same = first.fingerprint == crate::plan::fingerprint(&lasting)?
                        && first.time_scale == args.life.time_scale.to_string();
                    if same && !args.force { "unchanged" } else { "replaced" }
                }
            },
        };
        words.push((plan.name.clone(), word));
    }
    let mut jobs = Vec::new();
    for (n, plan) in &planned.jobs {
        let word = match find_job(&data, &plan.name)? {
            None => "created",
            Some(found) => {
                let same = is_same_job(&planned.planner, *n, plan, &found.first, &args.life)?;
                match same && !args.force {
                    true if found.was_cut_short() => "started",
                    true => "unchanged",
                    false => "replaced",
                }
            }
        };
        jobs.push((plan.name.clone(), word));
    }
    for (name, _) in jobs.iter().filter(|(_, word)| matches!(*word, "replaced" | "started")) {
        super::jobs::end_and_remove(&data, &facts, name, None)?;
    }
    for (name, _) in words.iter().filter(|(_, word)| matches!(*word, "replaced" | "started")) {
        remove_if_there(&data, &facts, name)?;
    }
    let changed: Vec<String> = words.iter().filter(|(_, word)| *word != "unchanged").map(|(n, _)| n.clone()).collect();
    planned.plans.retain(|plan| changed.contains(&plan.name));
    let new_jobs: Vec<String> = jobs.iter().filter(|(_, word)| *word != "unchanged").map(|(n, _)| n.clone()).collect();
    planned.jobs.retain(|(_, plan)| new_jobs.contains(&plan.name));
    let code = if changed.is_empty() && new_jobs.is_empty() {
        0
    } else {
        launch.run(planned, args.wait.mode(), Kept::Goes)?
    };
    if !args.quiet && code == 0 {
        let mut out = Stdout::lock();
        for (name, word) in &words {
            writeln!(out, "pod/{name} {word}")?;
        }
        for (name, word) in &jobs {
            writeln!(out, "job/{name} {word}")?;
        }
    }
    if code == 0 {
        super::jobs::started(&data, &new_jobs, true)?;
    }
    started(&data, &changed, args.life.trace, true, code)
}

/// Runs `podling restart`.
///
/// # Errors
/// A pod that is not there, or whose input is not valid any more.
pub fn restart(args: &RestartArgs) -> Result<u8> {
    let facts = HostFacts::gather();
    protect(&facts)?;
    let data = data::directory(&facts)?;
    let store = Store::open(&data, &facts.ids)?;
    let names = if args.all { list::names(&data) } else { args.pods.clone() };
    for name in &names {
        let found = list::get(&data, name)?;
        let Some(first) = read_first(&found.dir)? else {
            return Err(Error::new(format!("pod {:?} runs in the foreground", found.name))
                .mend("end it with Ctrl-C where it was started, and start it again there"));
        };
        if let Some((job, _)) = owner(&first.object) {
            return Err(Error::new(format!(
                "pod {:?} is one of the Job {job:?}, which alone starts its pods",
                found.name
            ))
            .mend(format!(
                "`podling stop {}` has the Job start another in its place, where it needs one",
                found.name
            )));
        }
        let given = Given::recorded(&first)?;
        let life = LifeArgs { time_scale: first.time_scale.parse().unwrap_or(1.0), trace: false };
        let registry = RegistryArgs::default();
        let having = Having { registry: &registry, policy: Some(PullPolicy::IfNotPresent), quiet: args.quiet };
        let mut launch = Launch {
            facts: &facts,
            data: &data,
            store: &store,
            having,
            style: Style::of_terminal(args.quiet),
            life: &life,
            trace: Trace::begin(),
        };
        // What cannot be started again is not stopped.
        let planned = launch.plan(&given)?;
        remove_if_there(&data, &facts, &found.name)?;
        let code = launch.run(planned, args.wait.mode(), Kept::Goes)?;
        if started(&data, &[found.name], false, args.quiet, code)? != 0 {
            return Ok(code);
        }
    }
    Ok(0)
}

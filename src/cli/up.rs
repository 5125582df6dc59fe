//! `podling up` and `restart`: pods as files describe them, and pods anew.

use std::io::Write;

use super::data;
use super::down::remove_if_there;
use super::images::{Having, have};
use super::input::{Given, PodArgs, plan_pod};
use super::launch::{Launch, LifeArgs, Trace, WaitArgs};
use super::limits::LimitArgs;
use super::registry::RegistryArgs;
use super::run::{Pull, started};
use super::stdout::Stdout;
use crate::error::{Error, Result};
use crate::host::{HostFacts, protect};
use crate::image::Store;
use crate::image::store::acquire::PullPolicy;
use crate::pod::list::{self, Life};
use crate::pod::record::read_first;
use crate::pod::{Kept, Style};

/// Make the pods that run be those that files describe: start what is missing, replace what has changed, leave the rest alone
#[derive(Debug, clap::Args)]
#[command(after_help = "A pod whose plan is the same keeps running. `podling plan FILE` shows what is compared.

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

    /// When to pull images, whatever the YAML says
    #[arg(long, value_enum, value_name = "WHEN")]
    pull: Option<Pull>,

    /// Print errors only
    #[arg(short, long)]
    quiet: bool,

    #[command(flatten)]
    registry: RegistryArgs,

    #[command(flatten)]
    limits: LimitArgs,
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
    let mut given = args.pod.read()?;
    trace.step("read");
    let data = data::directory(&facts)?;
    let store = args.limits.apply(Store::open(&data, &facts.ids)?)?;
    let style = Style::of_terminal(args.quiet);
    let policy = args.pull.map(Pull::policy);
    // Images first: a tag that leads elsewhere now is a change like any other.
    let having = Having { registry: &args.registry, policy, quiet: args.quiet };
    let images = have(&given.bundle, &store, &facts, &having)?;
    let mut words = Vec::new();
    let mut keep = Vec::new();
    for pod in &given.bundle.pods {
        let plan = plan_pod(pod, &given.bundle, &images, &facts, &data, &given.options)?;
        let fingerprint = crate::plan::fingerprint(&plan)?;
        let found = list::find(&data, &plan.name)?;
        let word = match found {
            None => "created",
            Some(found) if !matches!(found.life, Life::Live(_)) => "started",
            Some(found) => match read_first(&found.dir)? {
                None => {
                    return Err(Error::new(format!("a pod named {:?} runs in the foreground", plan.name))
                        .mend("end it first, or give this one another name with --name"));
                }
                Some(first) => {
                    let scale = args.life.time_scale.to_string();
                    let same = first.fingerprint == fingerprint && first.time_scale == scale && !args.force;
                    if same { "unchanged" } else { "replaced" }
                }
            },
        };
        keep.push(word != "unchanged");
        words.push((plan.name, word));
    }
    for (name, word) in &words {
        if matches!(*word, "replaced" | "started") {
            remove_if_there(&data, &facts, name)?;
        }
    }
    let mut keeps = keep.into_iter();
    given.bundle.pods.retain(|_| keeps.next().unwrap_or(true));
    let mut launch = Launch {
        facts: &facts,
        data: &data,
        store: &store,
        registry: &args.registry,
        policy,
        style,
        life: &args.life,
        trace,
    };
    if !given.bundle.pods.is_empty() {
        let planned = launch.plan(&given)?;
        launch.run(&given, planned, args.wait.mode(), Kept::Goes)?;
    }
    if !args.quiet {
        let mut out = Stdout::lock();
        for (name, word) in &words {
            writeln!(out, "pod/{name} {word}")?;
        }
    }
    if args.life.trace {
        let names: Vec<String> =
            words.iter().filter(|(_, word)| *word != "unchanged").map(|(n, _)| n.clone()).collect();
        started(&data, &names, true, true)?;
    }
    Ok(0)
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
        let given = Given::recorded(&first)?;
        let life = LifeArgs { time_scale: first.time_scale.parse().unwrap_or(1.0), trace: false };
        let registry = RegistryArgs::default();
        let mut launch = Launch {
            facts: &facts,
            data: &data,
            store: &store,
            registry: &registry,
            policy: Some(PullPolicy::IfNotPresent),
            style: Style::of_terminal(args.quiet),
            life: &life,
            trace: Trace::begin(),
        };
        // What cannot be started again is not stopped.
        let planned = launch.plan(&given)?;
        remove_if_there(&data, &facts, &found.name)?;
        launch.run(&given, planned, args.wait.mode(), Kept::Goes)?;
        if !args.quiet {
            writeln!(Stdout::lock(), "{}", found.name)?;
        }
    }
    Ok(0)
}

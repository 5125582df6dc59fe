//! `podling run`: pods in the foreground.

use super::data;
use super::images::{Having, have};
use super::input::{PodArgs, plan_pod};
use super::limits::LimitArgs;
use super::registry::RegistryArgs;
use super::say;
use crate::error::Result;
use crate::host::HostFacts;
use crate::image::Store;
use crate::image::store::acquire::PullPolicy;
use crate::pod::{Claim, Run, Style, make_base_layer, sweep};

/// Run pods in the foreground until they have ended.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub struct Args {
    #[command(flatten)]
    pod: PodArgs,

    /// Print only what the containers print
    #[arg(short, long)]
    quiet: bool,

    /// The pod's network: `none` is a loopback interface that its containers share
    #[arg(long, value_enum, default_value_t = Network::None)]
    network: Network,

    /// When to pull images, whatever the YAML says
    #[arg(long, value_enum, value_name = "WHEN")]
    pull: Option<Pull>,

    #[command(flatten)]
    registry: RegistryArgs,

    #[command(flatten)]
    limits: LimitArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Pull {
    Always,
    Missing,
    Never,
}

impl Pull {
    fn policy(self) -> PullPolicy {
        match self {
            Pull::Always => PullPolicy::Always,
            Pull::Missing => PullPolicy::IfNotPresent,
            Pull::Never => PullPolicy::Never,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Network {
    None,
}

const AFTER: &str = "Ctrl-C asks the containers to end and waits for the pod's grace period; a second one kills them.

Exit code: 0 when every container succeeded, else the code of the first that failed;
125 for podling's own errors, 126 for a command that cannot be executed, 127 for one
that was not found.

Examples:
  podling run examples/hello.yaml
  podling run -e LEVEL=debug --name two pod.yaml config.yaml
  generate-pod | podling run -";

/// Runs the verb; the exit code is the pod's.
pub fn run(args: &Args) -> Result<u8> {
    let Network::None = args.network;
    let bundle = args.pod.read()?;
    let options = args.pod.options()?;
    let facts = HostFacts::gather();
    let data = data::directory(&facts)?;
    let store = args.limits.apply(Store::open(&data, &facts.ids)?)?;
    let having = Having { registry: &args.registry, policy: args.pull.map(Pull::policy), quiet: args.quiet };
    let images = have(&bundle, &store, &facts, &having)?;
    // Everything is decided before anything is created.
    let mut plans = Vec::new();
    for pod in &bundle.pods {
        plans.push(plan_pod(pod, &bundle, &images, &facts, &data, &options)?);
    }
    let style = Style::of_terminal(args.quiet);
    if !style.quiet {
        facts.notices.iter().for_each(say);
        for verdict in plans.iter().flat_map(|plan| &plan.report) {
            say(format_args!("{}: {}: emulated: {}", verdict.at, verdict.path, verdict.how));
        }
    }
    for left in sweep(&data, &facts) {
        say(left);
    }
    if let Err(left) = store.sweep(&facts) {
        say(&left);
    }
    make_base_layer(&data, &facts)?;
    let holds = images.values().map(|image| store.hold(image)).collect::<Result<Vec<_>>>()?;
    let pods = plans
        .into_iter()
        .map(|plan| Ok((Claim::new(&data, &plan.name, &facts)?, plan)).map(|(claim, plan)| (plan, claim)))
        .collect::<Result<Vec<_>>>()?;
    let code = crate::pod::run(Run { pods, facts: &facts, data: &data, style });
    drop(holds);
    code
}

//! `podling run`: pods in the foreground.

use std::io::Write;

use super::data;
use super::input::PodArgs;
use super::launch::{Launch, LifeArgs, Trace, WaitArgs};
use super::limits::LimitArgs;
use super::registry::RegistryArgs;
use super::stdout::Stdout;
use crate::error::{Error, Result};
use crate::host::{HostFacts, protect};
use crate::image::Store;
use crate::image::store::acquire::PullPolicy;
use crate::pod::list::{self, Asked};
use crate::pod::status::trace_table;
use crate::pod::{Kept, Mode, Style};

/// Run pods, in the foreground until they have ended or detached
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER)]
pub struct Args {
    #[command(flatten)]
    pod: PodArgs,

    /// Return when the pods run, and let them go on alone
    #[arg(short, long)]
    detach: bool,

    #[command(flatten)]
    wait: WaitArgs,

    /// Take the name of an ended pod whose logs are kept, and of a running one, too, which is stopped
    #[arg(long)]
    replace: bool,

    #[command(flatten)]
    life: LifeArgs,

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

/// When images are pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Pull {
    /// Each time.
    Always,
    /// If the store lacks it.
    Missing,
    /// Never.
    Never,
}

impl Pull {
    /// As the store knows it.
    pub fn policy(self) -> PullPolicy {
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
  podling run -d --wait pod.yaml
  podling run -e LEVEL=debug --name two pod.yaml config.yaml
  generate-pod | podling run -";

/// Runs the verb; the exit code is the pod's.
pub fn run(args: &Args) -> Result<u8> {
    let Network::None = args.network;
    let mut trace = Trace::begin();
    if !args.detach && (args.wait.wait || args.wait.timeout.is_some()) {
        return Err(Error::new("--wait and --timeout are about detached pods").mend("add -d, or leave them out"));
    }
    let facts = HostFacts::gather();
    // Before standard input is read: this may begin the command anew.
    protect(&facts)?;
    let given = args.pod.read()?;
    trace.step("read");
    let data = data::directory(&facts)?;
    let store = args.limits.apply(Store::open(&data, &facts.ids)?)?;
    let mut launch = Launch {
        facts: &facts,
        data: &data,
        store: &store,
        registry: &args.registry,
        policy: args.pull.map(Pull::policy),
        style: Style::of_terminal(args.quiet),
        life: &args.life,
        trace,
    };
    let planned = launch.plan(&given)?;
    let names: Vec<String> = planned.plans.iter().map(|plan| plan.name.clone()).collect();
    if args.replace {
        for name in &names {
            super::down::remove_if_there(&data, &facts, name)?;
        }
    }
    let mode = if args.detach { args.wait.mode() } else { Mode::Foreground };
    let outcome = launch.run(&given, planned, mode, if args.replace { Kept::Goes } else { Kept::Stays });
    if args.detach && outcome.is_ok() {
        started(&data, &names, args.life.trace, args.quiet)?;
    }
    outcome
}

/// Says which pods run on, and where their start-up time went.
pub fn started(data: &std::path::Path, names: &[String], trace: bool, quiet: bool) -> Result<()> {
    let mut out = Stdout::lock();
    for name in names {
        if !quiet {
            writeln!(out, "{name}")?;
        }
        if trace && let Some(summary) = list::summary(&list::get(data, name)?, Asked::No)? {
            super::say(trace_table(name, &summary.trace));
        }
    }
    Ok(())
}

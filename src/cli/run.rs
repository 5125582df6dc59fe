//! `podling run`: pods in the foreground.

use std::io::Write;
use std::path::Path;

use super::data;
use super::first::{LifeArgs, WaitArgs};
use super::images::ImageArgs;
use super::input::PodArgs;
use super::launch::{Launch, Trace};
use super::stdout::Stdout;
use crate::error::{Error, Result};
use crate::host::{HostFacts, protect};
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

    #[command(flatten)]
    images: ImageArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Network {
    None,
}

const AFTER: &str = "Ctrl-C asks the containers to end and waits for the pod's grace period; a second one kills them.

A Job runs until it is complete or has failed, and starts its pods one after another. With -d it goes on alone once the pods
that it begins with run (with --wait: are ready), and is named job/NAME: podling wait --for=complete job/NAME.

Exit code: 0 when every container succeeded and every Job is complete, else the code of the first that failed; 125 for podling's own errors, 126 for a command that cannot be executed, 127 for one that was not found.

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
    let planned = launch.plan(&given)?;
    let names: Vec<String> = planned.plans.iter().map(|plan| plan.name.clone()).collect();
    let jobs: Vec<String> = planned.jobs.iter().map(|(_, plan)| plan.name.clone()).filter(|_| args.detach).collect();
    if args.replace {
        for name in &names {
            super::ending::remove_if_there(&data, &facts, name)?;
        }
        for name in &jobs {
            super::jobs::end_and_remove(&data, &facts, name, None)?;
        }
    }
    let mode = if args.detach { args.wait.mode() } else { Mode::Foreground };
    let code = launch.run(planned, mode, if args.replace { Kept::Goes } else { Kept::Stays })?;
    if !args.detach {
        return Ok(code);
    }
    let code = started(&data, &names, args.life.trace, args.quiet, code)?;
    // Where a pod has failed no Job was started.
    if code == 0 {
        super::jobs::started(&data, &jobs, args.quiet)?;
    }
    Ok(code)
}

/// Says which pods run on, and where their start-up time went; or, where `code` says that one failed before it came so far, why. The exit
/// code is `code`.
pub fn started(data: &Path, names: &[String], trace: bool, quiet: bool, code: u8) -> Result<u8> {
    let mut out = Stdout::lock();
    for name in names {
        let summary = if trace || code != 0 { list::summary(&list::get(data, name)?, Asked::No)? } else { None };
        let failed = summary.as_ref().filter(|summary| summary.exit_code.is_some_and(|code| code != 0));
        if let Some(summary) = failed {
            let why = summary.message.as_deref().unwrap_or(&summary.state);
            super::say(format_args!(
                "pod {name:?} failed at its start: {why}\n  what is kept of it: podling describe {name}; podling rm {name} removes it"
            ));
        } else if !quiet {
            writeln!(out, "{name}")?;
        }
        if trace && let Some(summary) = &summary {
            super::say(trace_table(name, &summary.trace));
        }
    }
    Ok(code)
}

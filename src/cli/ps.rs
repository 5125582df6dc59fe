//! `podling ps`: which pods there are.

use std::io::Write;
use std::path::Path;

use super::stdout::Stdout;
use super::table::{lasting, row, table};
use super::{asking, data, objects};
use crate::error::Result;
use crate::pod::job::{FoundJob, jobs};
use crate::pod::list::{self, Asked, Found};
use crate::pod::status::{ContainerKind, ContainerSummary, Summary};

/// List pods: those that run, or those that are named
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  podling ps
  podling ps -a -o wide
  podling ps --jobs
  podling ps -o json | jq '.items[].status.phase'
  podling rm $(podling ps -aq)")]
pub struct Args {
    /// Only these pods, whether they run or not
    #[arg(value_name = "POD", add = super::complete::pods())]
    pods: Vec<String>,

    /// Show those that have ended, too
    #[arg(short, long)]
    all: bool,

    /// List Jobs instead of pods, those that have ended, too
    #[arg(long, conflicts_with = "pods")]
    jobs: bool,

    /// Print names only
    #[arg(short, long, conflicts_with = "output")]
    quiet: bool,

    /// What is printed: more columns, a v1 List of Pods, or pod/NAME
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    output: Option<Output>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Wide,
    Json,
    Yaml,
    Name,
}

/// Runs the verb.
///
/// # Errors
/// A pod that is not there, or cannot be asked.
pub fn run(args: &Args) -> Result<u8> {
    let data = data::of_pods()?;
    if args.jobs {
        return print_jobs(args, &data);
    }
    match args.output {
        Some(Output::Json) => print_objects(args, &data, objects::Format::Json),
        Some(Output::Yaml) => print_objects(args, &data, objects::Format::Yaml),
        other => print_summaries(args, &summaries(args, &data)?, other),
    }
}

fn print_jobs(args: &Args, data: &Path) -> Result<u8> {
    let jobs = jobs(data)?;
    let format = match args.output {
        Some(Output::Json) => objects::Format::Json,
        Some(Output::Yaml) => objects::Format::Yaml,
        other => {
            let text = if args.quiet || other == Some(Output::Name) {
                // They are words of other verbs as they are.
                jobs.iter().map(|job| format!("job/{}\n", job.name)).collect()
            } else if jobs.is_empty() {
                super::say("no Jobs found; those in the foreground are not kept");
                String::new()
            } else {
                super::jobs::listing(&jobs)
            };
            Stdout::lock().write_all(text.as_bytes())?;
            return Ok(0);
        }
    };
    let items = jobs.iter().map(FoundJob::object).collect::<Result<Vec<_>>>()?;
    objects::print(&objects::list(items), format)?;
    Ok(0)
}

/// Whether a pod has not ended yet.
fn runs(pod: &Summary) -> bool {
    pod.ended_at.is_none() && pod.exit_code.is_none()
}

fn summaries(args: &Args, data: &Path) -> Result<Vec<Summary>> {
    if args.pods.is_empty() {
        let mut pods = list::summaries(data)?;
        pods.retain(|pod| args.all || runs(pod));
        return Ok(pods);
    }
    args.pods.iter().map(|name| asking::summary(&list::get(data, name)?)).collect()
}

fn print_summaries(args: &Args, pods: &[Summary], output: Option<Output>) -> Result<u8> {
    let mut text = String::new();
    if args.quiet || output == Some(Output::Name) {
        let prefix = if args.quiet { "" } else { "pod/" };
        pods.iter().for_each(|pod| text.extend([prefix, &pod.name, "\n"]));
    } else if pods.is_empty() {
        // As kubectl says it, and not to those who read the table.
        super::say(if args.all {
            "no pods found"
        } else {
            "no pods found that run; -a shows those that have ended, too"
        });
    } else {
        let now = crate::pod::now();
        let mut header = row(["NAME", "READY", "STATUS", "RESTARTS", "AGE"]);
        if output == Some(Output::Wide) {
            header.extend(row(["IP", "CONTAINERS", "IMAGES"]));
        }
        let rows = pods.iter().map(|pod| cells(pod, now, output));
        text = table(&[header].into_iter().chain(rows).collect::<Vec<_>>());
    }
    Stdout::lock().write_all(text.as_bytes())?;
    Ok(0)
}

fn cells(pod: &Summary, now: i64, output: Option<Output>) -> Vec<String> {
    let counted = || pod.containers.iter().filter(|c| is_counted(c));
    let ready = format!("{}/{}", counted().filter(|c| c.ready).count(), counted().count());
    let mut cells =
        vec![pod.name.clone(), ready, super::harmless(&pod.state), restarts(pod, now), lasting(now - pod.started_at)];
    if output == Some(Output::Wide) {
        let of = |what: fn(&ContainerSummary) -> &str| {
            let all: Vec<&str> = counted().map(what).collect();
            super::harmless(&all.join(","))
        };
        cells.push(if runs(pod) { crate::plan::POD_IP.to_owned() } else { "<none>".to_owned() });
        cells.extend([of(|c| &c.name), of(|c| &c.image)]);
    }
    cells
}

/// READY counts those that go on beside each other.
fn is_counted(container: &ContainerSummary) -> bool {
    matches!(container.kind, ContainerKind::Regular | ContainerKind::Sidecar)
}

/// As kubectl counts them (its printers' `printPod`): those of init containers only as long as these are what the pod waits for.
fn restarts(pod: &Summary, now: i64) -> String {
    let counted =
        || pod.containers.iter().filter(|c| is_counted(c) || (c.kind == ContainerKind::Init && !pod.initialized));
    let restarts: u32 = counted().map(|c| c.restarts).fold(0, u32::saturating_add);
    match counted().filter_map(|c| c.last_ended_at).max() {
        Some(at) if restarts > 0 => format!("{restarts} ({} ago)", lasting(now - at)),
        _ => restarts.to_string(),
    }
}

fn print_objects(args: &Args, data: &Path, format: objects::Format) -> Result<u8> {
    let found: Vec<Found> = if args.pods.is_empty() {
        let mut found = list::all(data)?;
        if !args.all {
            found.retain(|pod| matches!(pod.life, list::Life::Live(_)));
        }
        found
    } else {
        args.pods.iter().map(|name| list::get(data, name)).collect::<Result<_>>()?
    };
    let mut items = Vec::new();
    for pod in &found {
        // One that has just ended, and of which nothing is kept, is no pod any more.
        if args.pods.is_empty() && list::summary(pod, Asked::No)?.is_none() {
            continue;
        }
        items.push(asking::object(pod)?);
    }
    objects::print(&objects::list(items), format)?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::status::{ContainerState, Phase};

    fn container(kind: ContainerKind, restarts: u32, last_ended_at: Option<i64>, ready: bool) -> ContainerSummary {
        let state = ContainerState::Running { started_at: 0 };
        let (name, image) = ("c".to_owned(), "i".to_owned());
        ContainerSummary {
            name,
            kind,
            image,
            state,
            restarts,
            last_ended_at,
            ready,
            started: true,
            stdin: false,
            tty: false,
        }
    }

    fn pod(initialized: bool, containers: Vec<ContainerSummary>) -> Summary {
        Summary {
            name: "p".to_owned(),
            namespace: "default".to_owned(),
            uid: "u".to_owned(),
            phase: Phase::Running,
            state: "Running".to_owned(),
            initialized,
            ready: false,
            started_at: 1000,
            ended_at: None,
            exit_code: None,
            reason: None,
            message: None,
            detached: true,
            time_scale: 1.0,
            containers,
            trace: Vec::new(),
        }
    }

    #[test]
    fn rows_are_kubectl_s() {
        let init = container(ContainerKind::Init, 3, Some(1080), false);
        let sidecar = container(ContainerKind::Sidecar, 1, Some(1010), true);
        let regular = container(ContainerKind::Regular, 2, Some(1060), false);
        let debug = container(ContainerKind::Ephemeral, 0, None, true);
        let containers = vec![init, sidecar, regular, debug];
        let row = cells(&pod(true, containers.clone()), 1100, None);
        assert_eq!(row, ["p", "1/2", "Running", "3 (40s ago)", "100s"]);
        let row = cells(&pod(false, containers), 1100, Some(Output::Wide));
        assert_eq!(row, ["p", "1/2", "Running", "6 (20s ago)", "100s", "127.0.0.1", "c,c", "i,i"]);
        let fresh = pod(true, vec![container(ContainerKind::Regular, 0, Some(1), true)]);
        assert_eq!(cells(&fresh, 1100, None), ["p", "1/1", "Running", "0", "100s"]);
    }
}

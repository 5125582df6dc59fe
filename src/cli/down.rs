//! `podling down`, `stop`, `kill`, `rm`: pods end.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::data;
use super::ending::{Missing, end, remove, sought};
use super::jobs::{self, Which};
use super::stdout::Stdout;
use crate::error::{Error, Result};
use crate::host::HostFacts;
use crate::pod::job::job_in;
use crate::pod::list::{self, Found, Life};
use crate::pod::{Connection, Reply, Request};

/// Stop pods and Jobs, and remove what is kept of them
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  podling down web                 the pod called web
  podling down job/import          the Job called import, and its pods
  podling down pod.yaml            the pods that the file describes
  podling down --all")]
pub struct DownArgs {
    /// Pods, Jobs as job/NAME, or files that describe them
    #[arg(value_name = "POD|job/NAME|FILE", required_unless_present = "all", add = super::complete::pods_or_yaml_files())]
    pods: Vec<String>,

    /// All pods and Jobs
    #[arg(short, long, conflicts_with = "pods")]
    all: bool,

    #[command(flatten)]
    grace: GraceArgs,

    /// It is no mistake if there is no such pod
    #[arg(short, long)]
    ignore: bool,
}

/// Stop pods and Jobs; their logs and last state are kept
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  podling stop web
  podling stop -t 5 web            with five seconds to end by itself
  podling stop --all")]
pub struct StopArgs {
    /// Pods, or Jobs as job/NAME
    #[arg(value_name = "POD|job/NAME", required_unless_present = "all", add = super::complete::pods_or_jobs())]
    pods: Vec<String>,

    /// All pods and Jobs
    #[arg(short, long, conflicts_with = "pods")]
    all: bool,

    #[command(flatten)]
    grace: GraceArgs,
}

/// How much time a pod gets.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct GraceArgs {
    /// Seconds between the stop signal and SIGKILL, instead of the pod's own grace period; 0 kills at once
    #[arg(short = 't', long = "time", visible_alias = "grace-period", value_name = "SECONDS")]
    seconds: Option<u64>,
}

/// Send a signal to the containers of pods; without -s that is SIGKILL, and the pod ends or restarts by its policy
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  podling kill web
  podling kill -s HUP web -c nginx")]
pub struct KillArgs {
    /// Pods
    #[arg(value_name = "POD", required = true, add = super::complete::pods())]
    pods: Vec<String>,

    /// The signal: a name with or without SIG, or a number
    #[arg(short, long, default_value = "KILL", value_name = "SIGNAL")]
    signal: String,

    /// Only this container
    #[arg(short, long, value_name = "NAME", add = super::complete::containers())]
    container: Option<String>,
}

/// Remove what is kept of ended pods and Jobs
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  podling rm web
  podling rm --force web           stop it first if it runs
  podling rm --all                 all that have ended")]
pub struct RmArgs {
    /// Pods, or Jobs as job/NAME
    #[arg(value_name = "POD|job/NAME", required_unless_present = "all", add = super::complete::pods_or_jobs())]
    pods: Vec<String>,

    /// All pods and Jobs that have ended; with --force all
    #[arg(short, long, conflicts_with = "pods")]
    all: bool,

    /// Stop those that run, too
    #[arg(short, long)]
    force: bool,

    /// It is no mistake if there is no such pod
    #[arg(short, long)]
    ignore: bool,
}

/// Runs `podling down`.
///
/// # Errors
/// A pod that is not there, or that cannot be stopped or removed.
pub fn down(args: &DownArgs) -> Result<u8> {
    let facts = HostFacts::gather();
    let data = data::directory(&facts)?;
    let missing = Missing::of(args.ignore || args.all);
    let words = if args.all { Vec::new() } else { names(&args.pods)? };
    let (jobs, pods) = jobs::apart(&words);
    let jobs = if args.all { jobs::names(&data, Which::All)? } else { jobs };
    // All are asked before the first is removed.
    for job in jobs::stop(&data, &jobs, missing, args.grace.seconds)? {
        jobs::take_away(&data, &facts, &job)?;
        writeln!(Stdout::lock(), "job/{}", job.name)?;
    }
    let names = if args.all { list::names(&data) } else { pods };
    end_all(&data, &names, missing, args.grace.seconds, |found| remove(found, &facts))
}

/// Runs `podling stop`.
///
/// # Errors
/// A pod that is not there, or cannot be asked.
pub fn stop(args: &StopArgs) -> Result<u8> {
    let data = data::directory(&HostFacts::gather())?;
    let (jobs, pods) = jobs::apart(&args.pods);
    let jobs = if args.all { jobs::names(&data, Which::Running)? } else { jobs };
    for job in jobs::stop(&data, &jobs, Missing::of(args.all), args.grace.seconds)? {
        writeln!(Stdout::lock(), "job/{}", job.name)?;
    }
    let names = if args.all { running(&data)? } else { pods };
    end_all(&data, &names, Missing::Refused, args.grace.seconds, |_| Ok(()))
}

/// Runs `podling kill`.
///
/// # Errors
/// A pod that does not run, or no such signal or container.
pub fn kill(args: &KillArgs) -> Result<u8> {
    let signal = args.signal.parse::<i32>().ok().filter(|n| (1..=64).contains(n));
    let signal = signal.or_else(|| crate::plan::signal_number(&args.signal)).ok_or_else(|| {
        Error::new(format!("{:?} is not a signal", args.signal)).mend("signal(7) lists them, as in TERM, HUP or 15")
    })?;
    let data = data::directory(&HostFacts::gather())?;
    each(&args.pods, |name| {
        let (_, connection) = list::live(&data, name)?;
        let request = Request::Kill { signal, container: args.container.clone() };
        expect_done(&connection, &request)
    })
}

/// Runs `podling rm`.
///
/// # Errors
/// A pod that runs or is not there.
pub fn rm(args: &RmArgs) -> Result<u8> {
    let facts = HostFacts::gather();
    let data = data::directory(&facts)?;
    let (jobs, pods) = jobs::apart(&args.pods);
    let jobs = match (args.all, args.force) {
        (false, _) => jobs,
        (true, true) => jobs::names(&data, Which::All)?,
        (true, false) => jobs::names(&data, Which::Ended)?,
    };
    let of_jobs = each(&jobs, |name| {
        if jobs::rm(&data, &facts, name, Missing::of(args.ignore || args.all), args.force)? {
            writeln!(Stdout::lock(), "job/{name}")?;
        }
        Ok(())
    });
    let names = match (args.all, args.force) {
        (false, _) => pods,
        (true, true) => list::names(&data),
        (true, false) => {
            let ended = list::all(&data)?.into_iter().filter(|pod| !matches!(pod.life, Life::Live(_)));
            ended.map(|pod| pod.name).collect()
        }
    };
    let of_pods = each(&names, |name| {
        let Some(found) = sought(&data, name, Missing::of(args.ignore || args.all))? else { return Ok(()) };
        if let Life::Live(_) = found.life {
            if !args.force {
                return Err(Error::new(format!("pod {:?} is running", found.name))
                    .mend(format!("stop and remove it with: podling down {}", found.name)));
            }
            end(&found, Some(0))?;
        }
        remove(&found, &facts)?;
        writeln!(Stdout::lock(), "{}", found.name)?;
        Ok(())
    });
    of_jobs.and(of_pods)
}

/// Ends pods, and does `then` with each that has ended. All are asked before the first is waited for: their grace periods pass at the
/// same time.
fn end_all(
    data: &Path,
    names: &[String],
    missing: Missing,
    grace_seconds: Option<u64>,
    mut then: impl FnMut(&Found) -> Result<()>,
) -> Result<u8> {
    let ask = |name: &String| -> Result<Option<Found>> {
        let found = sought(data, name, missing)?;
        if let Some(Found { life: Life::Live(connection), .. }) = &found {
            connection.ask(&Request::Stop { grace_seconds }, &[])?;
        }
        Ok(found)
    };
    let mut asked = names.iter().map(ask).collect::<Vec<_>>().into_iter();
    each(names, |_| {
        let Some(found) = asked.next().transpose()?.flatten() else { return Ok(()) };
        if let Life::Live(connection) = &found.life {
            while connection.answer()?.is_some() {}
        }
        then(&found)?;
        writeln!(Stdout::lock(), "{}", found.name)?;
        Ok(())
    })
}

fn running(data: &Path) -> Result<Vec<String>> {
    let live = list::all(data)?.into_iter().filter(|pod| matches!(pod.life, Life::Live(_)));
    Ok(live.map(|pod| pod.name).collect())
}

fn expect_done(connection: &Connection, request: &Request) -> Result<()> {
    match connection.call(request, &[])? {
        Some((Reply::Done, _)) | None => Ok(()),
        Some(_) => Err(Error::new("the supervisor answered something else")),
    }
}

/// Does `what` for each name, and goes on after a failure; the first is the answer, the others are said.
fn each(names: &[String], mut what: impl FnMut(&str) -> Result<()>) -> Result<u8> {
    let mut first: Option<Error> = None;
    for name in names {
        if let Err(e) = what(name) {
            match &first {
                None => first = Some(e),
                Some(_) => super::say(&e),
            }
        }
    }
    first.map_or(Ok(0), Err)
}

/// The pods and Jobs that words mean: names, or files that describe some.
fn names(words: &[String]) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for word in words {
        let looks_like_file = word == "-" || word.contains('/') || Path::new(word).extension().is_some_and(is_yaml);
        if looks_like_file && !word.starts_with("pod/") && !word.starts_with("pods/") && job_in(word).is_none() {
            names.extend(super::input::names(&PathBuf::from(word))?);
        } else {
            names.push(word.clone());
        }
    }
    Ok(names)
}

fn is_yaml(extension: &std::ffi::OsStr) -> bool {
    ["yaml", "yml", "json"].iter().any(|known| extension == *known)
}

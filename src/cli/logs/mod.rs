//! `podling logs`: what containers have written.

mod choose;
mod job;
mod teller;

use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, SystemTime};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use self::choose::{Chosen, Logged, choose};
use self::teller::{Teller, tellers};
use super::{asking, data, duration, say};
use crate::error::{Context, Result};
use crate::host::HostFacts;
use crate::pod::job::job_in;
use crate::pod::list::{self, Found};
use crate::pod::log::{self, Lost, Neutral, Options, Source, Stamp, Timestamps};

/// Show what a pod's containers have written
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = AFTER)]
pub struct Args {
    /// The pod's name; job/NAME is all pods of that Job, in the order of their start, and with --follow those that are started later, too
    #[arg(add = super::complete::pods_or_jobs())]
    pub pod: String,

    /// The container; `-c` says the same
    #[arg(value_name = "CONTAINER", add = super::complete::containers(), conflicts_with_all = ["container", "all_containers"])]
    inline_container: Option<String>,

    /// The container [default: the one that the annotation kubectl.kubernetes.io/default-container names, else the first]
    #[arg(short, long, value_name = "NAME", conflicts_with = "all_containers", add = super::complete::containers())]
    container: Option<String>,

    /// All containers, init containers included, merged by time
    #[arg(long)]
    all_containers: bool,

    /// Go on with what is written from now on, over restarts, until the container has ended, or the Job
    #[arg(short, long)]
    follow: bool,

    /// Only so many of each container's last lines; -1 is all
    #[arg(long, value_name = "LINES", value_parser = tail, allow_negative_numbers = true, default_value = "-1")]
    tail: Tail,

    /// Only what was written within this time, such as 5s, 2m or 1h30m
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, conflicts_with = "since_time")]
    since: Option<Duration>,

    /// Only what was written at this time (RFC 3339) or later
    #[arg(long, value_name = "TIME", value_parser = time)]
    since_time: Option<Stamp>,

    /// Begin each line with its time
    #[arg(short, long)]
    timestamps: bool,

    /// Show the container's run before its last restart
    #[arg(short, long)]
    previous: bool,

    /// Begin each line with the names of its pod and container
    #[arg(long)]
    prefix: bool,

    /// Let control characters reach a terminal, colours and all
    #[arg(long)]
    raw: bool,
}

const AFTER: &str = "On a terminal control characters are shown as ^[ and the like, so that no container can play
tricks with it; --raw passes them. Into a file or a pipe everything goes as it was written.

Examples:
  podling logs web
  podling logs -f --tail 20 web
  podling logs --since 1h30m -t web -c proxy
  podling logs -p web                 what the run before the last restart wrote
  podling logs --all-containers --prefix web
  podling logs -f --prefix job/import";

/// How much of the end is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tail {
    All,
    Lines(usize),
}

/// Runs the verb.
///
/// # Errors
/// There is no such pod, container or run, or the logs cannot be read.
pub fn run(args: &Args) -> Result<u8> {
    let data = data::directory(&HostFacts::gather())?;
    match job_in(&args.pod) {
        Some(job) => job::show(args, &data, job)?,
        None => show(args, &data)?,
    }
    Ok(0)
}

/// Shows one pod's logs.
fn show(args: &Args, data: &Path) -> Result<()> {
    let found = list::get(data, &args.pod)?;
    let Chosen { sources, notes } = chosen(args, &found)?;
    notes.iter().for_each(|note| tell(note));
    let (options, mut out) = (args.options(), output(args)?);
    if args.goes_on() {
        let sources = tellers(&found.dir, sources)?;
        log::follow(&found.dir, sources, &options, &mut out, &mut |source, lost| say(loss(source, lost)))?;
    } else {
        log::print(&found.dir, &sources, &options, &mut out)?;
    }
    Ok(())
}

/// What is shown of a pod.
fn chosen(args: &Args, found: &Found) -> Result<Chosen> {
    let (summary, object) = (asking::summary(found)?, asking::object(found)?);
    let containers: Vec<Logged> = summary.containers.iter().map(Logged::of).collect();
    choose(args, &containers, asking::default_container(&object))
}

fn tell(note: &str) {
    let _ = writeln!(io::stderr().lock(), "{note}");
}

/// Where logs are printed.
fn output(args: &Args) -> Result<Box<dyn Write>> {
    let out = Out(File::from(io::stdout().as_fd().try_clone_to_owned().context(|| "dup(standard output)")?));
    let harmless = io::stdout().is_terminal() && !args.raw;
    Ok(if harmless { Box::new(Neutral::new(out)) } else { Box::new(out) })
}

impl Args {
    /// Whether more is waited for: a run that is over gets no more.
    fn goes_on(&self) -> bool {
        self.follow && !self.previous
    }

    fn options(&self) -> Options {
        // kubectl's `--since 0s` is no limit.
        let since = self.since.filter(|since| !since.is_zero());
        Options {
            tail: match self.tail {
                Tail::All => None,
                Tail::Lines(lines) => Some(lines),
            },
            since: self.since_time.or(since.and_then(|since| SystemTime::now().checked_sub(since)).map(Stamp::of)),
            timestamps: if self.timestamps { Timestamps::Shown } else { Timestamps::Hidden },
        }
    }

    fn source(&self, container: &Logged, run: u32) -> Source {
        let name = &container.name;
        let prefix = if self.prefix { format!("[pod/{}/{name}] ", self.pod) } else { String::new() };
        Source { pod: self.pod.clone(), container: name.clone(), run, prefix }
    }
}

fn loss(source: &Source, lost: Lost) -> String {
    let container = format!("container {:?} of pod {:?}", source.container, source.pod);
    match lost {
        Lost::Files { run, count } => {
            let (files, were) = if count == 1 { ("file", "was") } else { ("files", "were") };
            format!(
                "{container}: {count} log {files} of run {run} {were} rotated away before podling could read them: \
                 it writes faster than this output is read"
            )
        }
        Lost::Runs { first, last } if first == last => {
            format!("{container}: the log of run {first} was removed before it was read: two runs followed it")
        }
        Lost::Runs { first, last } => format!(
            "{container}: the logs of runs {first} to {last} were removed before they were read: others followed them"
        ),
    }
}

fn tail(text: &str) -> std::result::Result<Tail, String> {
    match text.parse::<i64>() {
        Ok(-1) => Ok(Tail::All),
        Ok(lines) => usize::try_from(lines).map(Tail::Lines).map_err(|_| "must be 0 or more, or -1 for all".into()),
        Err(_) => Err("must be a number of lines, or -1 for all".into()),
    }
}

fn time(text: &str) -> std::result::Result<Stamp, String> {
    Stamp::parse(text).ok_or_else(|| "must be a time of RFC 3339, such as 2026-11-22T19:06:50Z".into())
}

/// Standard output without the standard library's line buffer: logs come in large blocks, of which none needs to be searched for
/// its last newline.
struct Out(File);

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.0.write(bytes) {
                // The caller's description, which somebody else has made non-blocking.
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLOUT)], PollTimeout::NONE)?;
                }
                Err(e) => return Err(io::Error::new(e.kind(), format!("write(standard output): {e}"))),
                written => return written,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::plan::Role;

    #[derive(Debug, Parser)]
    pub(super) struct Line {
        #[command(flatten)]
        args: Args,
    }

    pub(super) fn args(line: &str) -> Args {
        Line::try_parse_from(["logs"].into_iter().chain(line.split_whitespace())).unwrap().args
    }

    #[test]
    fn the_command_line_is_kubectl_s() {
        let all = args("p --tail=-1 --since 0s").options();
        assert!(all.tail.is_none() && all.since.is_none() && all.timestamps == Timestamps::Hidden);
        let some = args("p -f -t --tail 5 --since-time 2016-10-06T00:17:09Z").options();
        assert_eq!((some.tail, some.since), (Some(5), Stamp::parse("2016-10-06T00:17:09Z")));
        assert!(args("p --since 1h").options().since.is_some_and(|since| since < Stamp::of(SystemTime::now())));
        let web = Logged { name: "web".to_owned(), role: Role::Regular, run: Some(2) };
        let prefix = args("p --prefix").source(&web, 0).prefix;
        assert_eq!(prefix, "[pod/p/web] ");
        for wrong in
            ["p web -c web", "p --all-containers web", "p --since 1h --since-time x", "p --tail=-2", "p --since 5"]
        {
            assert!(Line::try_parse_from(["logs"].into_iter().chain(wrong.split_whitespace())).is_err(), "{wrong}");
        }
    }
}

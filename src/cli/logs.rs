//! `podling logs`: what containers have written.

use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::{Duration, SystemTime};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{asking, data, duration, say};
use crate::error::{Context, Error, Result};
use crate::host::HostFacts;
use crate::plan::Role;
use crate::pod::job::{get_job, job_in, pod_names};
use crate::pod::list;
use crate::pod::log::{self, Lost, Neutral, Options, Progress, Source, Stamp, Timestamps, Watch};
use crate::pod::status::{ContainerKind, ContainerState, ContainerSummary, Summary};
use crate::pod::{Connection, Reply, Request, connect};
use crate::sys::Named;

/// Show what a pod's containers have written
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = AFTER)]
pub struct Args {
    /// The pod's name; job/NAME is all pods of that Job, in the order of their start
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

    /// Go on with what is written from now on, over restarts, until the container has ended
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
  podling logs --prefix job/import";

/// How much of the end is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tail {
    All,
    Lines(usize),
}

/// A container of the pod whose logs are shown.
#[derive(Debug, Clone)]
pub struct Logged {
    /// Its name.
    pub name: String,
    /// Init containers are marked where the containers are listed.
    pub role: Role,
    /// Its restart count; `None` if it has never started.
    pub run: Option<u32>,
}

/// The pod whose logs are shown.
#[derive(Debug, Clone, Copy)]
pub struct PodLogs<'a> {
    /// The pod's directory below podling's data.
    pub dir: &'a Path,
    /// Its containers in the order of the YAML.
    pub containers: &'a [Logged],
    /// What the annotation `kubectl.kubernetes.io/default-container` says.
    pub default_container: Option<&'a str>,
}

/// Runs the verb.
///
/// # Errors
/// There is no such pod, or those of [`show`].
pub fn run(args: &Args) -> Result<u8> {
    let data = data::directory(&HostFacts::gather())?;
    if let Some(job) = job_in(&args.pod) {
        return of_job(args, &data, job);
    }
    of_pod(args, &data)
}

/// Shows the logs of a Job's pods, one after the other.
fn of_job(args: &Args, data: &Path, name: &str) -> Result<u8> {
    let pods = pod_names(data, &get_job(data, name)?.first.uid);
    if args.follow {
        return Err(Error::new(format!("--follow follows one pod, and the Job {name:?} starts one after another"))
            .mend("name the pod: podling ps lists those that run"));
    }
    let mut shown = Err(Error::new(format!("the Job {name:?} has no pods whose logs are kept"))
        .mend(format!("see how it is with: podling inspect job/{name}")));
    for (n, pod) in pods.into_iter().enumerate() {
        // One that has not started yet, or is removed just now, does not hide the others.
        match (of_pod(&Args { pod, ..args.clone() }, data), &shown) {
            (Err(error), Ok(_)) => say(&error),
            (Err(error), Err(_)) if n == 0 => shown = Err(error),
            (Err(_), Err(_)) => {}
            (Ok(code), _) => shown = Ok(code),
        }
    }
    shown
}

fn of_pod(args: &Args, data: &Path) -> Result<u8> {
    let found = list::get(data, &args.pod)?;
    let summary = asking::summary(&found)?;
    let object = asking::object(&found)?;
    let containers: Vec<Logged> = summary.containers.iter().map(logged).collect();
    let pod =
        PodLogs { dir: &found.dir, containers: &containers, default_container: asking::default_container(&object) };
    let runs = |name: &str| summary.containers.iter().find(|c| c.name == name).map_or(0, |c| c.restarts);
    show(args, &pod, |container| Teller::new(&found.dir, container, runs(container)))?;
    Ok(0)
}

fn logged(container: &ContainerSummary) -> Logged {
    let role = match container.kind {
        ContainerKind::Init => Role::Init,
        ContainerKind::Sidecar => Role::Sidecar,
        ContainerKind::Regular => Role::Regular,
        ContainerKind::Ephemeral => Role::Ephemeral,
    };
    let waits = matches!(&container.state, ContainerState::Waiting { .. });
    let never = waits && container.restarts == 0 && container.last_ended_at.is_none();
    Logged { name: container.name.clone(), role, run: (!never).then_some(container.restarts) }
}

/// The pod's supervisor, asked about one container.
struct Teller {
    connection: Option<Connection>,
    /// What stands in for a connection that has ended: always readable.
    ended: File,
    container: String,
    last: Progress,
}

impl Teller {
    fn new(dir: &Path, container: &str, run: u32) -> Result<Teller> {
        let connection = connect(dir)?;
        if let Some(connection) = &connection {
            // One that has just ended shows so when it is read.
            let _ = connection.ask(&Request::Watch, &[]);
        }
        let ended = File::open("/dev/null").context(|| "open(\"/dev/null\")")?;
        Ok(Teller { connection, ended, container: container.to_owned(), last: Progress::Running { run } })
    }

    fn take(&mut self, summary: &Summary) {
        let Some(container) = summary.containers.iter().find(|c| c.name == self.container) else { return };
        let run = container.restarts;
        let over = matches!(container.state, ContainerState::Terminated { .. }) || summary.ended_at.is_some();
        self.last = if over { Progress::Ended { run } } else { Progress::Running { run } };
    }
}

impl Watch for Teller {
    fn fd(&self) -> BorrowedFd<'_> {
        self.connection.as_ref().map_or(self.ended.as_fd(), |connection| connection.as_fd())
    }

    fn state(&mut self) -> Result<Progress> {
        while let Some(connection) = &self.connection {
            let mut fds = [PollFd::new(connection.as_fd(), PollFlags::POLLIN)];
            if poll(&mut fds, PollTimeout::ZERO).named(|| "poll()")? == 0 {
                return Ok(self.last);
            }
            match connection.answer() {
                Ok(Some((Reply::Summary(summary), _))) => self.take(&summary),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => self.connection = None,
            }
        }
        let (Progress::Running { run } | Progress::Ended { run }) = self.last;
        Ok(Progress::Ended { run })
    }
}

/// Shows the logs; `watch` tells of one container's restarts and end, and is only called with `--follow`.
///
/// # Errors
/// There is no such container or run, or the logs could not be read.
pub fn show<W: Watch>(args: &Args, pod: &PodLogs<'_>, mut watch: impl FnMut(&str) -> Result<W>) -> Result<()> {
    let chosen = choose(args, pod)?;
    chosen.notes.iter().for_each(|note| drop(writeln!(io::stderr().lock(), "{note}")));
    let options = args.options();
    let terminal = io::stdout().is_terminal();
    let out = Out(File::from(io::stdout().as_fd().try_clone_to_owned().context(|| "dup(standard output)")?));
    let mut out: Box<dyn Write> = if terminal && !args.raw { Box::new(Neutral::new(out)) } else { Box::new(out) };
    // A run that is over gets no more.
    if args.follow && !args.previous {
        let sources = chosen.sources.into_iter().map(|source| Ok((watch(&source.container)?, source)));
        let sources: Vec<_> = sources.map(|both| both.map(|(w, s)| (s, w))).collect::<Result<_>>()?;
        log::follow(pod.dir, sources, &options, &mut out, &mut |container, lost| say(loss(container, lost)))?;
    } else {
        log::print(pod.dir, &chosen.sources, &options, &mut out)?;
    }
    Ok(())
}

impl Args {
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
        Source { container: name.clone(), run, prefix }
    }

    /// The run to show of a container; fails where there is none.
    fn run_of(&self, container: &Logged) -> Result<u32> {
        let (pod, name) = (&self.pod, &container.name);
        match container.run {
            None if self.follow && !self.previous => Ok(0),
            None => Err(Error::new(format!("container {name:?} of pod {pod:?} has not started yet"))
                .mend(format!("wait for it: podling logs -f {pod} -c {name}"))),
            Some(0) if self.previous => Err(Error::new(format!(
                "container {name:?} of pod {pod:?} has no previous run: it was never restarted"
            ))
            .mend(format!("see its only run: podling logs {pod} -c {name}"))),
            Some(run) => Ok(if self.previous { run - 1 } else { run }),
        }
    }
}

/// What is shown, and what is said about it before.
#[derive(Debug)]
struct Chosen {
    sources: Vec<Source>,
    notes: Vec<String>,
}

fn choose(args: &Args, pod: &PodLogs<'_>) -> Result<Chosen> {
    if args.all_containers {
        return choose_all(args, pod);
    }
    let find = |name: &str| pod.containers.iter().find(|container| container.name == name);
    let mut notes = Vec::new();
    let container = match args.container.as_deref().or(args.inline_container.as_deref()) {
        Some(name) => find(name).ok_or_else(|| {
            Error::new(format!("pod {:?} has no container {name:?}", args.pod))
                .mend(format!("it has: {}", names(pod.containers)))
        })?,
        None => match pod.default_container.and_then(find) {
            Some(container) => container,
            None => {
                let first = pod.containers.iter().find(|c| c.role == Role::Regular).or(pod.containers.first());
                let first = first.ok_or_else(|| Error::new(format!("pod {:?} has no containers", args.pod)))?;
                if pod.containers.len() > 1 {
                    notes.push(format!("Defaulted container {:?} out of: {}", first.name, names(pod.containers)));
                }
                first
            }
        },
    };
    Ok(Chosen { sources: vec![args.source(container, args.run_of(container)?)], notes })
}

/// All containers that have what is asked for; an error only if none has.
fn choose_all(args: &Args, pod: &PodLogs<'_>) -> Result<Chosen> {
    let mut chosen = Chosen { sources: Vec::new(), notes: Vec::new() };
    let mut first_error = None;
    for container in pod.containers {
        match args.run_of(container) {
            Ok(run) => chosen.sources.push(args.source(container, run)),
            Err(e) => {
                chosen.notes.push(format!("podling: {}", e.what()));
                first_error = first_error.or(Some(e));
            }
        }
    }
    match first_error {
        Some(e) if chosen.sources.is_empty() => Err(e),
        _ => Ok(chosen),
    }
}

/// The containers' names, as kubectl lists them: the regular ones first, the others marked.
fn names(containers: &[Logged]) -> String {
    let of = |role: Role, mark: &'static str| {
        let names = containers.iter().filter(move |container| container.role == role);
        names.map(move |container| format!("{}{mark}", container.name))
    };
    let init = containers.iter().filter(|container| matches!(container.role, Role::Init | Role::Sidecar));
    let init = init.map(|container| format!("{} (init)", container.name));
    of(Role::Regular, "").chain(init).chain(of(Role::Ephemeral, " (ephem)")).collect::<Vec<_>>().join(", ")
}

fn loss(container: &str, lost: Lost) -> String {
    match lost {
        Lost::Files { run, count } => {
            let (files, were) = if count == 1 { ("file", "was") } else { ("files", "were") };
            format!(
                "container {container:?}: {count} log {files} of run {run} {were} rotated away before podling could read them: \
                 it writes faster than this output is read"
            )
        }
        Lost::Runs { first, last } if first == last => {
            format!(
                "container {container:?}: the log of run {first} was removed before it was read: two runs followed it"
            )
        }
        Lost::Runs { first, last } => format!(
            "container {container:?}: the logs of runs {first} to {last} were removed before they were read: others followed them"
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

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn args(line: &str) -> Args {
        Line::try_parse_from(["logs"].into_iter().chain(line.split_whitespace())).unwrap().args
    }

    fn containers() -> Vec<Logged> {
        let one = |name: &str, role, run| Logged { name: name.to_owned(), role, run };
        vec![
            one("setup", Role::Init, Some(0)),
            one("web", Role::Regular, Some(2)),
            one("proxy", Role::Regular, None),
            one("shell", Role::Ephemeral, Some(0)),
        ]
    }

    /// Containers with their runs, and what is said about the choice.
    type Choice = (Vec<(String, u32)>, Vec<String>);

    fn chosen(line: &str, default_container: Option<&str>) -> Result<Choice> {
        let containers = containers();
        let pod = PodLogs { dir: Path::new("/"), containers: &containers, default_container };
        let chosen = choose(&args(line), &pod)?;
        Ok((chosen.sources.into_iter().map(|s| (s.container, s.run)).collect(), chosen.notes))
    }

    #[test]
    fn the_container_is_chosen_as_kubectl_does() {
        let web = vec![("web".to_owned(), 2)];
        let note = "Defaulted container \"web\" out of: web, proxy, setup (init), shell (ephem)";
        assert_eq!(chosen("p", None).unwrap(), (web.clone(), vec![note.to_owned()]));
        assert_eq!(chosen("p -c web", None).unwrap(), (web.clone(), vec![]));
        assert_eq!(chosen("p web", Some("shell")).unwrap(), (web, vec![]));
        assert_eq!(chosen("p", Some("shell")).unwrap(), (vec![("shell".to_owned(), 0)], vec![]));
        assert_eq!(chosen("p", Some("gone")).unwrap().0, [("web".to_owned(), 2)]);
    }

    #[test]
    fn what_there_is_not_is_refused_with_what_there_is() {
        for (line, what, mend) in [
            ("p -c wep", "pod \"p\" has no container \"wep\"", "it has: web, proxy, setup (init), shell (ephem)"),
            ("p proxy", "container \"proxy\" of pod \"p\" has not started yet", "podling logs -f p -c proxy"),
            ("p -p proxy", "has not started yet", "podling logs"),
            ("p -p setup", "has no previous run: it was never restarted", "podling logs p -c setup"),
        ] {
            let error = chosen(line, None).unwrap_err();
            assert!(error.what().contains(what) && error.hint().unwrap().contains(mend), "{line}: {error}");
        }
    }

    #[test]
    fn runs_are_the_last_or_the_one_before() {
        assert_eq!(chosen("p -p web", None).unwrap().0, [("web".to_owned(), 1)]);
        assert_eq!(chosen("p -f proxy", None).unwrap().0, [("proxy".to_owned(), 0)]);
        let (all, notes) = chosen("p --all-containers", None).unwrap();
        assert_eq!(all, [("setup".to_owned(), 0), ("web".to_owned(), 2), ("shell".to_owned(), 0)]);
        assert_eq!(notes, ["podling: container \"proxy\" of pod \"p\" has not started yet"]);
        assert_eq!(chosen("p --all-containers -p", None).unwrap().0, [("web".to_owned(), 1)]);
    }

    #[test]
    fn the_command_line_is_kubectl_s() {
        let all = args("p --tail=-1 --since 0s").options();
        assert!(all.tail.is_none() && all.since.is_none() && all.timestamps == Timestamps::Hidden);
        let some = args("p -f -t --tail 5 --since-time 2016-10-06T00:17:09Z").options();
        assert_eq!((some.tail, some.since), (Some(5), Stamp::parse("2016-10-06T00:17:09Z")));
        assert!(args("p --since 1h").options().since.is_some_and(|since| since < Stamp::of(SystemTime::now())));
        let prefix = args("p --prefix").source(&containers()[1], 0).prefix;
        assert_eq!(prefix, "[pod/p/web] ");
        for wrong in
            ["p web -c web", "p --all-containers web", "p --since 1h --since-time x", "p --tail=-2", "p --since 5"]
        {
            assert!(Line::try_parse_from(["logs"].into_iter().chain(wrong.split_whitespace())).is_err(), "{wrong}");
        }
    }
}

//! The client's life: it claims the pods' names, makes their supervisors, forwards the user's wish to stop, and clears up.

mod attend;
mod desk;
mod detach;
mod keeper;

use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::sys::signal::{SigmaskHow, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};

use self::attend::attend;
use self::detach::detach;
use super::control::server::Owner;
use super::follow::Follow;
use super::job::{self, Crew, Of, PodEnd, StartJob};
use super::link::{Ended, Fact, hear, tell};
use super::output::{Label, Style, labels};
use super::record::First;
use super::state::Claim;
use super::status::TracePoint;
use super::supervisor::{About, FrontDescriptors, Inheritance, Keep, Notices, ShowTrace, Tells, live, stop_signals};
use crate::error::{Context, Error, Result};
use crate::host::confine::Tree;
use crate::host::{Caller, HostFacts, userns::spawn_mapped};
use crate::plan::PodPlan;
use crate::runtime::seccomp::Compiled;
use crate::runtime::{Overlay, Prepared};
use crate::sys::clone::{Child, Exit};
use crate::sys::process::close_numbers;
use crate::sys::{Named, packet};

/// What [`run`] runs.
#[derive(Debug)]
pub struct Run<'a> {
    /// The pods, each with the claim on its name.
    pub pods: Vec<Start>,
    /// The Jobs. Each that is detached gets a keeper.
    pub jobs: Vec<StartJob<'a>>,
    /// This host.
    pub facts: &'a HostFacts,
    /// The directory of podling's data, an absolute path.
    pub data: &'a Path,
    /// How the output looks.
    pub style: Style,
    /// How long the caller waits.
    pub mode: Mode,
    /// By how much the waits of a pod's life are stretched (`--time-scale`), more than zero.
    pub time_scale: f64,
    /// When the command began, and where its time went so far.
    pub begun: Instant,
    /// The steps so far.
    pub trace: Vec<TracePoint>,
    /// Whether the foreground shows them.
    pub show_trace: ShowTrace,
}

/// One pod to be run.
#[derive(Debug)]
pub struct Start {
    /// What was decided.
    pub plan: PodPlan,
    /// The claim on its name.
    pub claim: Claim,
    /// How it is started, kept in its directory if it is detached.
    pub first: First,
    /// What its volumes follow, if they do.
    pub follow: Option<Follow>,
    /// What keeps its local volumes from being removed while it lives.
    pub volumes: Vec<File>,
}

impl Start {
    /// The descriptors that keep its name and its volumes for it.
    pub(super) fn locks(&self) -> Vec<RawFd> {
        locks(&self.claim, &self.volumes)
    }
}

fn locks(claim: &Claim, volumes: &[File]) -> Vec<RawFd> {
    volumes.iter().map(AsRawFd::as_raw_fd).chain([claim.descriptor()]).collect()
}

/// How long the caller waits for its pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Until they have ended, showing what they print; nothing of them is kept.
    Foreground,
    /// Until each has come so far, or this time is over; then they go on alone.
    Detached(Until, Option<Duration>),
}

/// What a detached start waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// A container runs, the init containers done.
    Running,
    /// All containers are ready.
    Ready,
}

/// Runs pods: in the foreground until all have ended, or detached until they have come far enough. Returns 0, or the code of the first pod that
/// failed; and what each pod said last, where it runs on.
///
/// # Errors
/// A pod could not be run; the other pods have ended then, too.
pub fn run(mut run: Run) -> Result<u8> {
    // Blocked before the first supervisor exists, so that no signal finds anybody unprepared.
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&stop_signals()), None).named(|| "sigprocmask(SIG_BLOCK)")?;
    let signals =
        SignalFd::with_flags(&stop_signals(), SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).named(|| "signalfd()")?;
    let mut pods: Vec<Pod> = Vec::new();
    let mut all_labels = labels(container_names(&run), &run.style, 0).into_iter();
    let records = run.jobs.iter().filter_map(|job| job.record.as_ref()).map(|(claim, _)| claim.descriptor());
    let locks: Vec<RawFd> = run.pods.iter().flat_map(Start::locks).chain(records).collect();
    for start in std::mem::take(&mut run.pods) {
        let own = all_labels.by_ref().take(start.plan.init_containers.len() + start.plan.containers.len()).collect();
        // Those that are still to be started are claimed already.
        let others = others(&pods, &locks, &start.locks());
        pods.push(Pod::start(start, own, &others, None, &run));
        if matches!(pods.last(), Some(Pod { state: State::Ended(Err(_)), .. })) {
            pods.iter().for_each(|p| p.request(&Fact::KillRequested));
            run.jobs.clear();
            break;
        }
    }
    if let Mode::Detached(until, timeout) = run.mode
        && pods.iter().all(|p| matches!(p.state, State::Running { .. }))
    {
        let timeout = timeout.map(|timeout| run.begun + timeout);
        let jobs = std::mem::take(&mut run.jobs);
        return detach(pods, jobs, &signals, until, timeout, &run);
    }
    let notices = if run.style.quiet { job::Notices::LeftOut } else { job::Notices::Said };
    let mut crew = Crew::new(std::mem::take(&mut run.jobs), run.time_scale, notices);
    attend(&mut pods, &mut crew, &signals, &run, None)?;
    let code = finish(pods, run.facts);
    crew.finish().into_iter().fold(code, |code, (name, outcome)| worse(code, outcome, "job", &name))
}

/// The descriptors that the supervisor of the pod `own` must not hold: it would tell the others' that their client lives, and keep their
/// names and volumes taken.
fn others(pods: &[Pod], locks: &[RawFd], own: &[RawFd]) -> Vec<RawFd> {
    let mut others = all_descriptors(pods, locks);
    others.retain(|fd| !own.contains(fd));
    others
}

/// What makes a process hold on to `pods`, and to `locks`.
fn all_descriptors(pods: &[Pod], locks: &[RawFd]) -> Vec<RawFd> {
    let links = pods.iter().filter_map(|p: &Pod| match &p.state {
        State::Running { link, .. } => Some(link.as_raw_fd()),
        State::Ended(_) => None,
    });
    let mut others: Vec<RawFd> = locks.iter().copied().chain(pods.iter().flat_map(Pod::locks)).chain(links).collect();
    others.sort_unstable();
    others.dedup();
    others
}

/// Takes the outcomes of pods that have ended, and clears up after them.
fn finish(pods: Vec<Pod>, facts: &HostFacts) -> Result<u8> {
    let mut code = Ok(0);
    for pod in pods {
        let outcome = match pod.state {
            State::Ended(outcome) => outcome,
            State::Running { .. } => Err(Error::new("the pod's supervisor was not waited for")),
        };
        let cleared = pod.claim.release(facts);
        code = worse(code, outcome.and_then(|c| cleared.map(|()| c)), "pod", &pod.name);
    }
    code
}

/// Of what came of pods so far and of one more: the first error, else the first code that is not 0.
fn worse(so_far: Result<u8>, next: Result<u8>, kind: &str, name: &str) -> Result<u8> {
    match (so_far, next) {
        (Ok(0), Ok(next)) => Ok(next),
        (Ok(_), Err(e)) => Err(e.context(format!("{kind} {name:?}"))),
        (first, _) => first,
    }
}

struct Pod {
    name: String,
    claim: Claim,
    /// What keeps its local volumes for it.
    volumes: Vec<File>,
    state: State,
    /// Whose it is, and what is known of its end.
    of: Option<(Of, PodEnd)>,
}

enum State {
    Running { child: Child, link: OwnedFd, said: Option<Result<u8>>, left: bool },
    Ended(Result<u8>),
}

impl From<Result<(Child, OwnedFd)>> for State {
    fn from(started: Result<(Child, OwnedFd)>) -> State {
        match started {
            Ok((child, link)) => State::Running { child, link, said: None, left: false },
            Err(e) => State::Ended(Err(e)),
        }
    }
}

impl Pod {
    /// Makes its supervisor.
    fn start(start: Start, labels: Vec<Label>, others: &[RawFd], of: Option<Of>, run: &Run) -> Pod {
        let Start { plan, claim, first, follow, volumes } = start;
        let name = plan.name.clone();
        let tells = if of.is_some() { Tells::ContainersEnds } else { Tells::PodsEnd };
        let started = supervise(plan, &claim, (first, follow), labels, others, tells, run);
        Pod { name, claim, volumes, state: State::from(started), of: of.map(|of| (of, PodEnd::default())) }
    }

    /// The descriptors that keep its name and its volumes for it.
    fn locks(&self) -> Vec<RawFd> {
        locks(&self.claim, &self.volumes)
    }

    fn request(&self, fact: &Fact) {
        if let State::Running { link, .. } = &self.state {
            // A supervisor that has just ended needs no telling.
            let _ = tell(link, fact);
        }
    }

    /// Kills the supervisor, and with it the pod.
    fn kill(&self) {
        if let State::Running { child, .. } = &self.state {
            let _ = child.signal(libc::SIGKILL);
        }
    }

    /// Takes the supervisor's last word, and its death.
    fn advance(&mut self, crew: &mut Crew) -> Result<()> {
        let State::Running { child, link, said, left } = &mut self.state else { return Ok(()) };
        match (hear(&*link)?, &mut self.of) {
            (Some(Fact::ContainersRestarted(times, code)), Some((of, _))) => crew.restarted(*of, times, code),
            (Some(Fact::ContainerEnded(kind, code, name)), Some((_, end))) => {
                let list = if kind == Ended::Init { &mut end.init } else { &mut end.containers };
                list.push((name, code));
            }
            (Some(Fact::PodInitialized), Some((_, end))) => end.initialized = true,
            (Some(Fact::PodEnded(code)), _) => *said = Some(Ok(code)),
            (Some(Fact::PodFailed(error)), _) => *said = Some(Err(error)),
            (Some(Fact::ClientLeft), _) => *left = true,
            (Some(_), _) => {}
            (None, _) => {
                let exit = wait(child)?;
                let outcome = said.take().unwrap_or_else(|| Err(died(exit)));
                self.state = State::Ended(outcome);
            }
        }
        Ok(())
    }
}

/// How every container is called in the output: with its pod's name where there are several.
fn container_names(run: &Run) -> Vec<String> {
    let name = |pod: &str, container: &str| match run.pods.as_slice() {
        [_] if run.jobs.is_empty() => container.to_owned(),
        _ => format!("{pod}/{container}"),
    };
    let of = |plan: &PodPlan| -> Vec<String> {
        plan.init_containers.iter().chain(&plan.containers).map(|c| name(&plan.name, &c.name)).collect()
    };
    run.pods.iter().flat_map(|start| of(&start.plan)).collect()
}

/// Makes one pod's supervisor.
fn supervise(
    plan: PodPlan,
    claim: &Claim,
    (first, follow): (First, Option<Follow>),
    labels: Vec<Label>,
    others: &[RawFd],
    tells: Tells,
    run: &Run,
) -> Result<(Child, OwnedFd)> {
    let Run { facts, data, style, mode, .. } = run;
    // A tree can be attached once, so each supervisor gets its own.
    let data = Tree::new(data, facts)?;
    let host_trees = match facts.caller {
        Caller::User => None,
        Caller::Root => Some(super::host_path::trees(&plan)?),
    };
    let mut filters = Compiled::default();
    let prepared: Vec<Prepared> = plan
        .init_containers
        .iter()
        .chain(&plan.containers)
        .map(|c| {
            let overlay = Overlay { lower: c.layers.clone(), upper: c.upper.clone(), work: c.work.clone() };
            Prepared::new(&c.spec, overlay, &mut filters).context(|| format!("container {:?}", c.name))
        })
        .collect::<Result<_>>()?;
    drop(filters);
    let (ours, theirs) = packet::pair()?;
    let listener = claim.listen()?;
    let stdin = File::open("/dev/null").named(|| "open(\"/dev/null\")")?;
    let keep = match mode {
        Mode::Foreground => Keep::Nothing,
        Mode::Detached(..) => Keep::Record,
    };
    let front = match mode {
        Mode::Detached(..) => None,
        Mode::Foreground => Some(FrontDescriptors {
            stdout: std::io::stdout().as_fd().try_clone_to_owned().named(|| "dup(stdout)")?,
            stderr: std::io::stderr().as_fd().try_clone_to_owned().named(|| "dup(stderr)")?,
            labels,
        }),
    };
    if keep == Keep::Record {
        claim.write_first(&first)?;
    }
    let owner = match facts.caller {
        Caller::User => Owner::PodRoot,
        Caller::Root => Owner::Unmapped,
    };
    let about = About {
        object: first.object,
        namespace: first.namespace,
        uid: first.uid,
        keep,
        tells,
        time_scale: run.time_scale,
        begun: run.begun,
        trace: run.trace.clone(),
        show_trace: run.show_trace,
    };
    let notices = if style.quiet { Notices::LeftOut } else { Notices::Said };
    let mut ours = Some(ours);
    let null = stdin.as_fd().try_clone_to_owned().named(|| "dup(/dev/null)")?;
    let child = spawn_mapped(facts, CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS, |entered| {
        // Only the client may hold this end, or the supervisor would never see the client's death.
        ours.take();
        close_numbers(others);
        if let Err(e) = entered {
            let _ = tell(&theirs, &Fact::PodFailed(e.into()));
            return 125;
        }
        if front.is_none() {
            // Whoever reads the client's output must not wait for a pod that goes on without it.
            let streams = [dup2_stdin(&null), dup2_stdout(&null), dup2_stderr(&null)];
            if streams.iter().any(|done| done.is_err()) {
                return 125;
            }
        }
        live(Inheritance {
            plan,
            prepared,
            data: &data,
            dir: claim.dir(),
            link: theirs,
            listener,
            owner,
            stdin,
            front,
            notices,
            about,
            follow,
            host_trees,
        })
    })?;
    let link = ours.ok_or_else(|| Error::new("the link to the supervisor is gone"))?;
    Ok((child, link))
}

fn wait(child: &mut Child) -> Result<Exit> {
    loop {
        let mut fds = [PollFd::new(child.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut fds, PollTimeout::NONE);
        if let Some(exit) = child.try_wait()? {
            return Ok(exit);
        }
    }
}

fn died(exit: Exit) -> Error {
    Error::new(match exit {
        Exit::Signal(signal) => {
            format!("signal {signal} killed the supervisor, and with it every container of the pod")
        }
        Exit::Code(code) => format!("the supervisor ended with status {code} and no word"),
    })
}

impl Style {
    /// The style for this process's terminal: colours where one is, unless `NO_COLOR` is set (no-color.org) or it is a dumb one.
    pub fn of_terminal(quiet: bool) -> Style {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
            && std::env::var_os("TERM").is_none_or(|v| v != "dumb");
        Style {
            colour_stdout: wanted && std::io::stdout().is_terminal(),
            colour_stderr: wanted && std::io::stderr().is_terminal(),
            quiet,
        }
    }
}

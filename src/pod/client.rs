//! The client's life: it claims the pods' names, makes their supervisors, forwards the user's wish to stop, and clears up.

use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::sys::signal::{SigmaskHow, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout};

use super::control::server::Owner;
use super::control::{Connection, Reply, Request, connect};
use super::follow::Follow;
use super::link::{Fact, hear, tell};
use super::output::{Label, Style, labels};
use super::record::First;
use super::state::Claim;
use super::status::{ContainerKind, ContainerState, Phase, Summary, TracePoint};
use super::supervisor::{About, FrontDescriptors, Inheritance, Keep, Notices, ShowTrace, live, stop_signals};
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
    let mut all_labels = labels(container_names(&run.pods), &run.style).into_iter();
    let locks = |start: &Start| -> Vec<RawFd> {
        let volumes = start.volumes.iter().map(AsRawFd::as_raw_fd);
        volumes.chain([start.claim.descriptor()]).collect()
    };
    let all_locks: Vec<RawFd> = run.pods.iter().flat_map(locks).collect();
    let mut held = Vec::new();
    for start in std::mem::take(&mut run.pods) {
        let own_locks = locks(&start);
        let Start { plan, claim, first, follow, volumes } = start;
        held.extend(volumes);
        // Held by this pod's supervisor, too, they would tell the others' that their client lives, and keep their names and volumes.
        let links = pods.iter().filter_map(|p: &Pod| match &p.state {
            State::Running { link, .. } => Some(link.as_raw_fd()),
            State::Ended(_) => None,
        });
        let others: Vec<RawFd> = all_locks.iter().copied().filter(|fd| !own_locks.contains(fd)).chain(links).collect();
        let own: Vec<Label> = all_labels.by_ref().take(plan.init_containers.len() + plan.containers.len()).collect();
        let name = plan.name.clone();
        let started = supervise(plan, &claim, (first, follow), own, &others, &run);
        pods.push(Pod { name, claim, state: State::from(started) });
        if matches!(pods.last(), Some(Pod { state: State::Ended(Err(_)), .. })) {
            pods.iter().for_each(|p| p.request(&Fact::KillRequested));
            break;
        }
    }
    if let Mode::Detached(until, timeout) = run.mode
        && pods.iter().all(|p| matches!(p.state, State::Running { .. }))
    {
        let timeout = timeout.map(|timeout| run.begun + timeout);
        return detach(pods, &signals, until, timeout, run.facts);
    }
    attend(&mut pods, &signals)?;
    finish(pods, run.facts)
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
        code = worse(code, outcome.and_then(|c| cleared.map(|()| c)), &pod.name);
    }
    code
}

/// Of what came of pods so far and of one more: the first error, else the first code that is not 0.
fn worse(so_far: Result<u8>, next: Result<u8>, name: &str) -> Result<u8> {
    match (so_far, next) {
        (Ok(0), Ok(next)) => Ok(next),
        (Ok(_), Err(e)) => Err(e.context(format!("pod {name:?}"))),
        (first, _) => first,
    }
}

struct Pod {
    name: String,
    claim: Claim,
    state: State,
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
    fn advance(&mut self) -> Result<()> {
        let State::Running { child, link, said, left } = &mut self.state else { return Ok(()) };
        match hear(&*link)? {
            Some(Fact::PodEnded(code)) => *said = Some(Ok(code)),
            Some(Fact::PodFailed(error)) => *said = Some(Err(error)),
            Some(Fact::ClientLeft) => *left = true,
            Some(_) => {}
            None => {
                let exit = wait(child)?;
                let outcome = said.take().unwrap_or_else(|| Err(died(exit)));
                self.state = State::Ended(outcome);
            }
        }
        Ok(())
    }
}

/// How every container is called in the output: with its pod's name where there are several.
fn container_names(pods: &[Start]) -> Vec<String> {
    let name = |pod: &str, container: &str| match pods {
        [_] => container.to_owned(),
        _ => format!("{pod}/{container}"),
    };
    let of = |plan: &PodPlan| -> Vec<String> {
        plan.init_containers.iter().chain(&plan.containers).map(|c| name(&plan.name, &c.name)).collect()
    };
    pods.iter().flat_map(|start| of(&start.plan)).collect()
}

/// Makes one pod's supervisor.
fn supervise(
    plan: PodPlan,
    claim: &Claim,
    (first, follow): (First, Option<Follow>),
    labels: Vec<Label>,
    others: &[RawFd],
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

/// Waits until each pod has come far enough, and leaves.
fn detach(
    mut pods: Vec<Pod>,
    signals: &SignalFd,
    until: Until,
    deadline: Option<Instant>,
    facts: &HostFacts,
) -> Result<u8> {
    let mut watches = Vec::new();
    for pod in &pods {
        let watch = connect(pod.claim.dir())?;
        if let Some(watch) = &watch {
            watch.ask(&Request::Watch, &[])?;
        }
        watches.push((watch, None::<Summary>));
    }
    let far = |summary: &Summary| match until {
        Until::Running => summary.phase != Phase::Pending,
        Until::Ready => summary.ready || summary.ended_at.is_some(),
    };
    let mut late = false;
    while watches.iter().any(|(watch, last)| watch.is_some() && !last.as_ref().is_some_and(far)) {
        let mut fds = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        let waiting: Vec<usize> =
            watches.iter().enumerate().filter(|(_, (watch, _))| watch.is_some()).map(|(n, _)| n).collect();
        fds.extend(
            watches.iter().filter_map(|(watch, _)| Some(PollFd::new(watch.as_ref()?.as_fd(), PollFlags::POLLIN))),
        );
        let timeout = match deadline {
            None => PollTimeout::NONE,
            Some(at) => {
                let left = at.saturating_duration_since(Instant::now()) + Duration::from_micros(999);
                PollTimeout::try_from(left.min(Duration::from_secs(3600))).unwrap_or(PollTimeout::ZERO)
            }
        };
        match poll(&mut fds, timeout) {
            Err(Errno::EINTR) => continue,
            polled => polled.named(|| "poll()")?,
        };
        let ready: Vec<bool> = fds.iter().map(|f| f.any() == Some(true)).collect();
        drop(fds);
        if ready.first() == Some(&true) {
            // Whoever interrupts the start does not want the pods.
            attend(&mut pods, signals)?;
            return finish(pods, facts);
        }
        if deadline.is_some_and(|at| Instant::now() >= at) {
            late = true;
            break;
        }
        for (n, _) in waiting.iter().zip(&ready[1..]).filter(|(_, ready)| **ready) {
            let Some((watch, last)) = watches.get_mut(*n) else { continue };
            match watch.as_ref().map(Connection::answer).transpose()?.flatten() {
                Some((Reply::Summary(summary), _)) => *last = Some(*summary),
                Some(_) => {}
                None => *watch = None,
            }
        }
    }
    let last: Vec<Option<Summary>> = watches.into_iter().map(|(_, last)| last).collect();
    for pod in &mut pods {
        pod.request(&Fact::LeaveRequested);
        while matches!(&pod.state, State::Running { left: false, .. }) {
            pod.advance()?;
        }
    }
    let mut code = Ok(0);
    for (pod, last) in pods.into_iter().zip(&last) {
        let outcome = match pod.state {
            State::Running { child, .. } => {
                child.let_go();
                continue;
            }
            // Its record says the rest. One that came far enough and has ended since was started, however it ended.
            State::Ended(outcome) => {
                let came = last.as_ref().is_some_and(|last| match until {
                    Until::Running => has_run(last),
                    Until::Ready => last.ready,
                });
                pod.claim.keep(facts).and(outcome).map(|code| if came { 0 } else { code })
            }
        };
        code = worse(code, outcome, &pod.name);
    }
    let code = code?;
    if late {
        return Err(Error::new("not every pod came far enough in the time that --timeout gives; they go on")
            .mend("see why with: podling describe POD"));
    }
    Ok(code)
}

/// Whether the program of one of the pod's containers has run.
fn has_run(summary: &Summary) -> bool {
    summary.containers.iter().filter(|c| c.kind == ContainerKind::Regular).any(|c| match &c.state {
        ContainerState::Running { .. } => true,
        ContainerState::Waiting { .. } => c.restarts > 0,
        ContainerState::Terminated { reason, .. } => reason != "StartError",
    })
}

/// Waits until every supervisor has ended, and forwards the user's signals: the first asks, the second insists, and a third does not
/// depend on the supervisors' answer.
fn attend(pods: &mut [Pod], signals: &SignalFd) -> Result<()> {
    let mut asked = 0;
    loop {
        let running: Vec<usize> =
            pods.iter().enumerate().filter(|(_, p)| matches!(p.state, State::Running { .. })).map(|(n, _)| n).collect();
        if running.is_empty() {
            return Ok(());
        }
        let mut fds = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        for pod in pods.iter() {
            if let State::Running { link, .. } = &pod.state {
                fds.push(PollFd::new(link.as_fd(), PollFlags::POLLIN));
            }
        }
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            polled => polled.named(|| "poll()")?,
        };
        let ready: Vec<bool> = fds.iter().map(|f| f.any() == Some(true)).collect();
        if ready.first() == Some(&true) {
            while let Ok(Some(_)) = signals.read_signal() {
                asked += 1;
                match asked {
                    1 => pods.iter().for_each(|p| p.request(&Fact::StopRequested)),
                    2 => pods.iter().for_each(|p| p.request(&Fact::KillRequested)),
                    _ => pods.iter().for_each(Pod::kill),
                }
            }
        }
        for (n, _) in running.iter().zip(&ready[1..]).filter(|(_, ready)| **ready) {
            if let Some(pod) = pods.get_mut(*n) {
                pod.advance()?;
            }
        }
    }
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

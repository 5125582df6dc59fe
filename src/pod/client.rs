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
use super::job::{self, Crew, Of, Order, PodEnd, StartJob};
use super::link::{Ended, Fact, hear, tell};
use super::output::{Label, Style, labels};
use super::record::First;
use super::state::Claim;
use super::status::{ContainerKind, ContainerState, Phase, Summary, TracePoint};
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
    /// The Jobs, which are for the foreground.
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
    let claims: Vec<RawFd> = run.pods.iter().map(|start| start.claim.descriptor()).collect();
    for start in std::mem::take(&mut run.pods) {
        let own = all_labels.by_ref().take(start.plan.init_containers.len() + start.plan.containers.len()).collect();
        // Those that are still to be started are claimed already.
        let others = others(&pods, &claims, &start.claim);
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
        return detach(pods, &signals, until, timeout, &run);
    }
    let notices = if run.style.quiet { job::Notices::LeftOut } else { job::Notices::Said };
    let mut crew = Crew::new(std::mem::take(&mut run.jobs), run.time_scale, notices);
    attend(&mut pods, &mut crew, &signals, &run)?;
    let code = finish(pods, run.facts);
    crew.finish().into_iter().fold(code, |code, (name, outcome)| worse(code, outcome, "job", &name))
}

/// The descriptors that the supervisor of the pod `own` must not hold: it would tell the others' that their client lives, and keep their
/// names taken.
fn others(pods: &[Pod], claims: &[RawFd], own: &Claim) -> Vec<RawFd> {
    let links = pods.iter().filter_map(|p: &Pod| match &p.state {
        State::Running { link, .. } => Some(link.as_raw_fd()),
        State::Ended(_) => None,
    });
    let mut others: Vec<RawFd> =
        claims.iter().copied().chain(pods.iter().map(|pod| pod.claim.descriptor())).chain(links).collect();
    others.sort_unstable();
    others.dedup();
    others.retain(|fd| *fd != own.descriptor());
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
        let Start { plan, claim, first } = start;
        let name = plan.name.clone();
        let tells = if of.is_some() { Tells::ContainersEnds } else { Tells::PodsEnd };
        let started = supervise(plan, &claim, first, labels, others, tells, run);
        Pod { name, claim, state: State::from(started), of: of.map(|of| (of, PodEnd::default())) }
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
    first: First,
    labels: Vec<Label>,
    others: &[RawFd],
    tells: Tells,
    run: &Run,
) -> Result<(Child, OwnedFd)> {
    let Run { facts, data, style, mode, .. } = run;
    // A tree can be attached once, so each supervisor gets its own.
    let data = Tree::new(data, facts)?;
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
        })
    })?;
    let link = ours.ok_or_else(|| Error::new("the link to the supervisor is gone"))?;
    Ok((child, link))
}

/// Waits until each pod has come far enough, and leaves.
fn detach(mut pods: Vec<Pod>, signals: &SignalFd, until: Until, deadline: Option<Instant>, run: &Run) -> Result<u8> {
    let facts = run.facts;
    let mut crew = Crew::new(Vec::new(), run.time_scale, job::Notices::LeftOut);
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
        match poll(&mut fds, until_then(deadline)) {
            Err(Errno::EINTR) => continue,
            polled => polled.named(|| "poll()")?,
        };
        let ready: Vec<bool> = fds.iter().map(|f| f.any() == Some(true)).collect();
        drop(fds);
        if ready.first() == Some(&true) {
            // Whoever interrupts the start does not want the pods.
            attend(&mut pods, &mut crew, signals, run)?;
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
            pod.advance(&mut crew)?;
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
        code = worse(code, outcome, "pod", &pod.name);
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

/// Waits until every supervisor has ended and every Job, does what the Jobs want, and forwards the user's signals: the first asks, the
/// second insists, and a third does not depend on the supervisors' answer.
fn attend(pods: &mut Vec<Pod>, crew: &mut Crew, signals: &SignalFd, run: &Run) -> Result<()> {
    let mut asked = 0;
    loop {
        take_leave(pods, crew, run);
        while obey(pods, crew, run) == Obeyed::Something {
            // What could not even be started has ended, too.
            take_leave(pods, crew, run);
        }
        let running: Vec<usize> =
            pods.iter().enumerate().filter(|(_, p)| matches!(p.state, State::Running { .. })).map(|(n, _)| n).collect();
        if running.is_empty() && crew.is_over() {
            return Ok(());
        }
        let mut fds = vec![PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        for pod in pods.iter() {
            if let State::Running { link, .. } = &pod.state {
                fds.push(PollFd::new(link.as_fd(), PollFlags::POLLIN));
            }
        }
        // No events are asked for, but the end of whoever reads is told.
        let stdout = std::io::stdout();
        let watched = crew.may_start().then(|| PollFd::new(stdout.as_fd(), PollFlags::empty()));
        fds.extend(watched.clone());
        match poll(&mut fds, until_then(crew.due())) {
            Err(Errno::EINTR) => continue,
            polled => polled.named(|| "poll()")?,
        };
        let ready: Vec<bool> = fds.iter().map(|f| f.any() == Some(true)).collect();
        if ready.first() == Some(&true) {
            while let Ok(Some(_)) = signals.read_signal() {
                asked += 1;
                crew.interrupt();
                match asked {
                    1 => pods.iter().for_each(|p| p.request(&Fact::StopRequested)),
                    2 => pods.iter().for_each(|p| p.request(&Fact::KillRequested)),
                    _ => pods.iter().for_each(Pod::kill),
                }
            }
        }
        if watched.is_some() && ready.last() == Some(&true) {
            crew.abandon();
        }
        for (n, _) in running.iter().zip(&ready[1..]).filter(|(_, ready)| **ready) {
            if let Some(pod) = pods.get_mut(*n) {
                pod.advance(crew)?;
            }
        }
    }
}

/// Whether the Jobs wanted something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Obeyed {
    Nothing,
    Something,
}

/// Does what the Jobs want now.
fn obey(pods: &mut Vec<Pod>, crew: &mut Crew, run: &Run) -> Obeyed {
    let orders = crew.orders();
    if orders.is_empty() {
        return Obeyed::Nothing;
    }
    let claims: Vec<RawFd> = orders.iter().filter_map(Order::claim).map(Claim::descriptor).collect();
    for order in orders {
        match order {
            Order::Stop(of) => {
                let pod = pods.iter().find(|pod| pod.of.as_ref().is_some_and(|(own, _)| *own == of));
                pod.into_iter().for_each(|pod| pod.request(&Fact::StopRequested));
            }
            Order::Start(of, start) => {
                let plans = start.plan.init_containers.iter().chain(&start.plan.containers);
                let names = plans.map(|c| format!("{}/{}", start.plan.name, c.name)).collect();
                let labels = labels(names, &run.style, of.number());
                let others = others(pods, &claims, &start.claim);
                pods.push(Pod::start(*start, labels, &others, Some(of), run));
            }
        }
    }
    Obeyed::Something
}

/// Tells the Jobs which of their pods have ended, and clears up after those.
fn take_leave(pods: &mut Vec<Pod>, crew: &mut Crew, run: &Run) {
    let is_left = |pod: &mut Pod| pod.of.is_some() && matches!(pod.state, State::Ended(_));
    for pod in pods.extract_if(.., is_left) {
        let (Some((of, end)), State::Ended(outcome)) = (pod.of, pod.state) else { continue };
        let cleared = pod.claim.release(run.facts);
        let end = outcome.and_then(|code| cleared.map(|()| PodEnd { code, ..end }));
        crew.ended(of, &pod.name, end);
    }
}

/// How long poll(2) waits for that time; for ever where there is none.
fn until_then(at: Option<Instant>) -> PollTimeout {
    let Some(at) = at else { return PollTimeout::NONE };
    // It counts milliseconds, and must not come back before the time.
    let left = at.saturating_duration_since(Instant::now()) + Duration::from_micros(999);
    PollTimeout::try_from(left.min(Duration::from_secs(3600))).unwrap_or(PollTimeout::ZERO)
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

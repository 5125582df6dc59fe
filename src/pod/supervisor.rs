//! The supervisor's life: PID 1 of the pod's pid namespace, from its birth in the user namespace to the pod's end.
//!
//! One epoll loop. What it does about each thing is in the files below: `lives` starts containers and sees them end, `ending` is the
//! pod's way out, `probes` and `hooks` look after what runs, `requests` answers clients, `output` moves bytes, `report` says how it is.

mod ending;
mod errands;
mod following;
mod hooks;
mod lives;
mod output;
mod probes;
mod report;
mod requests;

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use nix::fcntl::{OFlag, open};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::Mode;

use super::clock::now;
use super::container::{Container, State};
use super::control::server::{Owner, Server};
use super::errand::Errand;
use super::events::{Events, Source};
use super::follow::{Follow, Watched};
use super::happenings::Happenings;
use super::host_path::HostTrees;
use super::link::{Fact, hear, tell};
use super::output::Label;
use super::record;
use super::root::mount_root;
use super::sandbox::{self, Sandbox};
use super::status::{EventKind, TracePoint, trace_table};
use super::stream::Sink;
use super::{host_path, storage, volumes};
use crate::error::{Context, Result};
use crate::host::confine::{Tree, become_root};
use crate::plan::{PodPlan, Processes, Role};
use crate::runtime::{Pause, Prepared};
use crate::sys::process::{is_ignored, replace_arguments};
use crate::sys::{Named, SysError};

use ending::Ending;
use following::Following;
use output::Attached;

/// What the supervisor inherits from the client.
#[derive(Debug)]
pub(super) struct Inheritance<'a> {
    pub(super) plan: PodPlan,
    /// The init containers, then the others, each made ready.
    pub(super) prepared: Vec<Prepared>,
    pub(super) data: &'a Tree,
    /// The pod's directory on disk.
    pub(super) dir: &'a Path,
    pub(super) link: OwnedFd,
    /// The control socket.
    pub(super) listener: OwnedFd,
    pub(super) owner: Owner,
    pub(super) stdin: File,
    /// Where the containers' lines go, unless the pod is started detached.
    pub(super) front: Option<FrontDescriptors>,
    pub(super) notices: Notices,
    pub(super) about: About,
    /// What the volumes follow, if they do.
    pub(super) follow: Option<Follow>,
    /// The trees of `hostPath` volumes, where the client had to look for them: a pod of real root is nobody on the host.
    pub(super) host_trees: Option<HostTrees>,
}

/// The client's own streams, and how each container is called there, in the order of the plan.
#[derive(Debug)]
pub(super) struct FrontDescriptors {
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
    pub(super) labels: Vec<Label>,
}

/// What is known of the pod beside its plan.
#[derive(Debug)]
pub(super) struct About {
    /// The Pod as said, as JSON text.
    pub(super) object: String,
    pub(super) namespace: String,
    pub(super) uid: String,
    pub(super) keep: Keep,
    pub(super) tells: Tells,
    /// By how much waits are stretched.
    pub(super) time_scale: f64,
    /// When the command began.
    pub(super) begun: Instant,
    pub(super) trace: Vec<TracePoint>,
    /// Whether the foreground shows it.
    pub(super) show_trace: ShowTrace,
}

/// What the client learns beside the pod's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tells {
    /// Nothing.
    PodsEnd,
    /// How each container has ended, and their restarts: a Job decides by them.
    ContainersEnds,
}

/// Whether the user is shown where the start-up time went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShowTrace {
    /// Not, or not any more.
    No,
    /// Once the pod is ready, or has ended.
    Yes,
}

/// What stays of the pod when it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keep {
    /// Nothing.
    Nothing,
    /// Its last state and its logs, until `podling rm`.
    Record,
}

/// Whether podling says what the user may like to know, beside errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notices {
    Said,
    LeftOut,
}

/// The signals that ask the supervisor to end its pod.
///
/// One that the caller has podling ignore, as nohup(1) does, stays ignored.
pub(super) fn stop_signals() -> SigSet {
    let signals = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];
    signals.into_iter().filter(|signal| !is_ignored(*signal as i32)).collect()
}

/// What the shell reports of a process that SIGTERM ended, for a pod whose containers were never started.
const STOPPED_BEFORE_START: u8 = 143;

/// Lives until the pod has ended; the client learns how on the link.
pub(super) fn live(inheritance: Inheritance) -> i32 {
    // The stop that the terminal sends goes to the client, which forwards it; a process of the terminal's session would get it twice.
    let _ = nix::unistd::setsid();
    let _ = nix::sys::prctl::set_name(c"podling-pod");
    // A limit on the size of files (ulimit -f) is a full disk for the logs, and no reason to die.
    crate::sys::process::ignore(libc::SIGXFSZ);
    let link = match inheritance.link.try_clone() {
        Ok(link) => link,
        Err(_) => return 125,
    };
    // Containers see what visits them, and pause, with the command line that they have from here: the client's may hold a login.
    let titled = replace_arguments(&format!("podling-pod {}", inheritance.plan.name));
    let fact = match titled.map_err(Into::into).and_then(|()| Supervisor::new(inheritance)).and_then(Supervisor::run) {
        Ok(code) => Fact::PodEnded(code),
        Err(e) => Fact::PodFailed(e),
    };
    i32::from(tell(link, &fact).is_err())
}

struct Supervisor<'a> {
    plan: PodPlan,
    about: About,
    dir: Rc<OwnedFd>,
    path: &'a Path,
    client: Client,
    sandbox: Sandbox,
    pause: Option<Pause>,
    /// Init containers and sidecars, then the others, then what `podling debug` adds.
    containers: Vec<Container>,
    errands: Vec<Errand>,
    next_errand: usize,
    events: Events,
    link: OwnedFd,
    control: Server,
    signals: SignalFd,
    stdin: File,
    front: Option<Front>,
    attached: Vec<Attached>,
    notices: Notices,
    happenings: Happenings,
    following: Following,
    /// Seconds since 1970.
    started_at: i64,
    ended_at: Option<i64>,
    /// When the conditions of the status changed last, by their names.
    conditions: Vec<(&'static str, bool, i64)>,
    /// When `activeDeadlineSeconds` are over.
    active_until: Option<Instant>,
    ending: Option<Ending>,
    failure: Option<u8>,
    /// `status.reason` and `status.message`.
    verdict: Option<(&'static str, String)>,
    /// Whether watchers do not know the latest.
    changed: bool,
    /// For what is read from containers, one at a time.
    buffer: Vec<u8>,
    /// For what becomes of it in a log.
    batch: Vec<u8>,
}

/// Where the containers' lines go.
struct Front {
    stdout: Sink,
    stderr: Sink,
    labels: Vec<Label>,
}

/// Whether anybody waits for the pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Client {
    There,
    /// It let the pod go on without it.
    LetGo,
    Gone,
}

/// How much is read from one container before the others get their turn, in bytes.
const TURN: usize = 64 * 1024;

impl<'a> Supervisor<'a> {
    fn new(inheritance: Inheritance<'a>) -> Result<Self> {
        let Inheritance {
            mut plan,
            prepared,
            data,
            dir,
            link,
            listener,
            owner,
            stdin,
            front,
            notices,
            mut about,
            follow,
            host_trees,
        } = inheritance;
        trace(&mut about, "clone, id map");
        // What is followed is looked at before the host's files are out of sight.
        let (watched, unwatched) = match follow.map(watch).transpose() {
            Ok(watched) => (watched, None),
            Err(e) => (None, Some(e)),
        };
        let sandbox = build(&plan, data, host_trees)?;
        let following = Following::new(&mut plan, watched);
        trace(&mut about, "sandbox, volumes");
        let plans = std::mem::take(&mut plan.init_containers).into_iter().chain(std::mem::take(&mut plan.containers));
        let containers: Vec<_> = plans.zip(prepared).map(|(p, r)| Container::new(Rc::new(p), Rc::new(r))).collect();
        let pause = match plan.processes {
            Processes::Shared => Some(Pause::new(containers.iter().map(|container| &*container.prepared))?),
            Processes::Apart => None,
        };
        let events = Events::new()?;
        let signals = SignalFd::with_flags(&stop_signals(), SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            .named(|| "signalfd()")?;
        events.watch(&link, Source::Client)?;
        events.watch(&signals, Source::Signals)?;
        if let Some(pause) = &pause {
            events.watch(pause, Source::Pause)?;
        }
        let front = match front {
            None => None,
            Some(f) => Some(Front {
                stdout: Sink::new(f.stdout, Source::Stdout)?,
                stderr: Sink::new(f.stderr, Source::Stderr)?,
                labels: f.labels,
            }),
        };
        let control = Server::new(listener, owner, &events)?;
        let active_until = plan.active_deadline.map(|d| Instant::now() + d.mul_f64(about.time_scale));
        let started_at = now();
        let pod_dir =
            open(dir, OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()).named(|| format!("open({dir:?})"))?;
        if about.keep == Keep::Record {
            record::reserve_last(&pod_dir);
        }
        let mut supervisor = Supervisor {
            plan,
            about,
            dir: Rc::new(pod_dir),
            path: dir,
            client: Client::There,
            sandbox,
            pause,
            containers,
            errands: Vec::new(),
            next_errand: 0,
            events,
            link,
            control,
            signals,
            stdin,
            front,
            attached: Vec::new(),
            notices,
            happenings: Happenings::default(),
            following,
            started_at,
            ended_at: None,
            conditions: Vec::new(),
            active_until,
            ending: None,
            failure: None,
            verdict: None,
            changed: false,
            buffer: vec![0; TURN],
            batch: Vec::new(),
        };
        supervisor.begin_following()?;
        if let Some(e) = unwatched {
            let why = format!("the volumes will not follow their files: {e}");
            supervisor.happened(EventKind::Warning, "FailedUpdate", None, &why);
        }
        Ok(supervisor)
    }

    /// The pod's exit code: 0, or the code of the container that failed first.
    fn run(mut self) -> Result<u8> {
        let outcome = self.watch_over();
        // Dropping them kills and reaps whatever an error left running; then nobody writes below the containers' directories.
        self.errands.clear();
        self.containers.iter_mut().for_each(Container::give_up);
        let cleared = self.containers.iter().try_for_each(|c| c.remove_directories(self.dir.as_fd()));
        let cleared = cleared.and(self.plan.volumes.iter().try_for_each(|v| storage::remove(&*self.dir, v)));
        if let Err(e) = &outcome {
            self.verdict.get_or_insert(("SupervisorFailed", e.what().to_owned()));
            self.failure.get_or_insert(e.exit_code());
        }
        self.show_trace();
        let drained = self.drain_output();
        self.ended_at = Some(now());
        let code = self.exit_code();
        let recorded = self.leave_record();
        self.changed = true;
        // Whoever watches sees the end before the socket closes.
        let _ = self.publish();
        self.clear();
        // What ended the pod comes first; lost output or a directory left behind may only follow from it.
        outcome?;
        cleared?;
        recorded?;
        drained?;
        self.tell_of_containers();
        Ok(code)
    }

    /// 0, or the code of the container that failed first; what else failed the pod has a code of its own.
    fn exit_code(&self) -> u8 {
        let never_started = self.ending.is_some() && self.containers.iter().any(Container::was_never_started);
        self.failure.unwrap_or(if never_started { STOPPED_BEFORE_START } else { 0 })
    }

    fn watch_over(&mut self) -> Result<()> {
        self.advance()?;
        while !self.is_over() {
            for source in self.events.wait(self.deadline())? {
                self.handle(source)?;
            }
            self.handle_time()?;
            self.advance()?;
            if self.about.show_trace == ShowTrace::Yes && self.are_containers_ready() {
                self.show_trace();
            }
            self.flush()?;
            self.publish()?;
        }
        Ok(())
    }

    /// Over when nothing runs and nothing will.
    fn is_over(&self) -> bool {
        self.ending.is_some() && !self.containers.iter().any(Container::has_process)
    }

    /// When something is to be done though nothing else happens.
    fn deadline(&self) -> Option<Instant> {
        let containers = self.containers.iter().flat_map(|c| {
            let back = if let State::BackingOff(at) = c.state { Some(at) } else { None };
            let probes = c.probes.iter().filter_map(|(_, probing)| probing.due()).min();
            [back, probes, c.leaving.as_ref().and_then(|leaving| leaving.due())]
        });
        let errands = self.errands.iter().map(|e| e.deadline.filter(|_| !e.late));
        let ending = self.ending.as_ref().map_or(self.active_until, |ending| ending.reminder);
        containers.chain(errands).chain([ending, self.following.due()]).flatten().min()
    }

    fn handle(&mut self, source: Source) -> Result<()> {
        match source {
            Source::Client => self.obey(),
            Source::Signals => {
                while let Ok(Some(signal)) = self.signals.read_signal() {
                    // One with a pid was sent by a process of the pod, which has no say in this.
                    if signal.ssi_pid != 0 {
                        continue;
                    }
                    if self.ending.is_none() { self.stop(ending::Why::Asked, None)? } else { self.kill_all()? }
                }
                Ok(())
            }
            Source::Stdout | Source::Stderr | Source::Attached(_) => Ok(()),
            Source::Start(n) => self.proceed(n),
            Source::Process(n) => self.reap(n),
            Source::ContainerStdout(n) | Source::ContainerStderr(n) => self.pump(n, source, TURN),
            Source::Control => self.accept(),
            Source::Connection(id) => self.attend(id),
            Source::Errand(id) => self.errand_ended(id),
            Source::ErrandStart(id) => self.errand_proceeds(id),
            Source::ErrandOutput(id) => self.errand_printed(id),
            Source::Pause => self.lost_pause(),
            Source::Files => {
                self.files_changed();
                Ok(())
            }
        }
    }

    /// Does what the client asks.
    fn obey(&mut self) -> Result<()> {
        match hear(&self.link)? {
            Some(Fact::StopRequested) => self.stop(ending::Why::Asked, None),
            Some(Fact::KillRequested) => {
                self.stop(ending::Why::Asked, Some(Duration::ZERO))?;
                self.kill_all()
            }
            Some(Fact::LeaveRequested) => {
                self.events.forget(&self.link);
                self.client = Client::LetGo;
                self.front = None;
                // What the client had read and freed before the clone would be this process's for as long as the pod lives.
                crate::sys::process::give_memory_back();
                Ok(tell(&self.link, &Fact::ClientLeft)?)
            }
            // The client is gone, and with it everybody who waits for this pod.
            _ => {
                self.events.forget(&self.link);
                self.client = Client::Gone;
                // A pod that had not been let go is none yet; one of a detached Job is never let go, and what it wrote stays with the Job.
                if self.about.tells == Tells::PodsEnd {
                    self.about.keep = Keep::Nothing;
                }
                self.stop(ending::Why::Asked, Some(Duration::ZERO))?;
                self.kill_all()
            }
        }
    }

    fn handle_time(&mut self) -> Result<()> {
        let now = Instant::now();
        self.late_errands(now)?;
        self.due_departures(now)?;
        self.due_following(now)?;
        if let Some(ending) = &mut self.ending {
            if ending.reminder.is_some_and(|reminder| now >= reminder) {
                ending.reminder = None;
                self.remind(now);
            }
            self.due_probes(now)?;
            return Ok(());
        }
        if self.active_until.is_some_and(|until| now >= until) {
            return self.exceed_deadline();
        }
        for n in 0..self.containers.len() {
            if self.containers.get(n).is_some_and(|c| matches!(c.state, State::BackingOff(at) if now >= at)) {
                self.restart(n);
            }
        }
        self.due_probes(now)
    }

    /// The first process of the shared pid namespace has gone, and the kernel has killed all others of it.
    fn lost_pause(&mut self) -> Result<()> {
        if let Some(pause) = self.pause.take() {
            self.events.forget(&pause);
        }
        self.verdict
            .get_or_insert(("SandboxChanged", "the first process of the pod's pid namespace was killed".to_owned()));
        self.failure.get_or_insert(137);
        self.stop(ending::Why::Failed, Some(Duration::ZERO))
    }

    /// Something happened to container `n`, or to the pod.
    fn happened(&mut self, kind: EventKind, reason: &str, n: Option<usize>, message: &str) {
        let name = n.and_then(|n| self.containers.get(n)).map(|c| c.plan.name.clone());
        self.happenings.add(now(), kind, reason, name.as_deref(), message);
        self.changed = true;
    }

    fn scaled(&self, duration: Duration) -> Duration {
        duration.mul_f64(self.about.time_scale)
    }

    /// Shows where the time went, once, if the user wants to know.
    fn show_trace(&mut self) {
        if std::mem::replace(&mut self.about.show_trace, ShowTrace::No) == ShowTrace::Yes {
            let table = trace_table(&self.plan.name, &self.about.trace);
            self.say(&table);
        }
    }

    /// A step of the start of container `n` has ended.
    fn trace(&mut self, n: usize, step: &str) {
        let Some(plan) = self.containers.get(n).map(|c| Rc::clone(&c.plan)) else { return };
        // What is added to a running pod is no part of its start.
        if plan.role != Role::Ephemeral {
            trace(&mut self.about, &format!("{}: {step}", plan.name));
        }
    }
}

fn trace(about: &mut About, step: &str) {
    // Only the first time is the start's: containers may start again, and probes change their minds, for as long as the pod lives.
    if about.trace.iter().any(|point| point.step == step) {
        return;
    }
    let at_us = u64::try_from(about.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
    about.trace.push(TracePoint { step: step.to_owned(), at_us });
}

fn watch(follow: Follow) -> std::result::Result<(Watched, Follow), SysError> {
    Ok((Watched::new(&follow.files)?, follow))
}

/// Makes everything that the containers share: the supervisor's root, the sandbox, the volumes.
fn build(plan: &PodPlan, data: &Tree, host_trees: Option<HostTrees>) -> Result<Sandbox> {
    // Directories of the host are made with mode 0755, as the kubelet makes them; and the new root may cover what is looked for.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    let host_trees = host_trees.map_or_else(|| host_path::trees(plan), Ok)?;
    mount_root(data).context(|| "building the pod's root")?;
    let making = sandbox::make(&plan.hostname, &plan.ids, &plan.sandbox)?;
    for volume in &plan.volumes {
        storage::mount(Path::new("."), volume, &host_trees)?;
        volumes::make(Path::new("."), volume)?;
    }
    for container in plan.init_containers.iter().chain(&plan.containers) {
        make_root_directory(container, Path::new("."))?;
    }
    let sandbox = making.finish()?;
    become_root()?;
    Ok(sandbox)
}

/// Makes the directory below `base` that a container's root is mounted on.
fn make_root_directory(container: &crate::plan::ContainerPlan, base: &Path) -> Result<()> {
    if let Some(root) = container.spec.root() {
        let at = base.join(root.path().strip_prefix("/").unwrap_or(root.path()));
        std::fs::create_dir_all(&at).named(|| format!("mkdir({at:?})"))?;
    }
    Ok(())
}

//! The supervisor's life: PID 1 of the pod's pid namespace, from its birth in the user namespace to the pod's end.
//!
//! One epoll loop. What it does about each thing is in the files below: `inheritance` is what it has from the client, and `birth` what it
//! makes of that before it begins to watch; `lives` starts containers and sees them end, `ending` is the
//! pod's way out, `probes` and `hooks` look after what runs, `requests` answers clients, `output` moves bytes, `report` says how it is.

mod birth;
mod ending;
mod errands;
mod following;
mod hooks;
mod inheritance;
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

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::SignalFd;

use super::clock::now;
use super::container::{Container, State};
use super::control::server::Server;
use super::errand::Errand;
use super::events::{Events, Source};
use super::happenings::Happenings;
use super::link::{Fact, hear, tell};
use super::output::Label;
use super::sandbox::Sandbox;
use super::status::{EventKind, trace_table};
use super::storage;
use super::stream::Sink;
use crate::error::Result;
use crate::plan::{PodPlan, Role};
use crate::runtime::Pause;
use crate::sys::process::{is_ignored, replace_arguments};

use ending::Ending;
use following::Following;
pub use inheritance::ShowTrace;
pub(super) use inheritance::{About, FrontDescriptors, Inheritance, Keep, Notices, Tells};
use output::Attached;

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
            self.about.trace(&format!("{}: {step}", plan.name));
        }
    }
}

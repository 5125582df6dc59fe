//! Errands begin and end: probes' attempts, hooks, and what clients want done.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use super::Supervisor;
use super::hooks::Which;
use crate::error::{Error, Result};
use crate::plan::{Action, NetAction};
use crate::pod::control::Reply;
use crate::pod::errand::{Capture, Errand, Purpose, in_network};
use crate::pod::events::Source;
use crate::pod::probe::{self, Outcome};
use crate::pod::processes;
use crate::runtime::{Command, Progress, Starting, Stdio, Streams, exec};
use crate::sys::clone::{Child, Exit};
use crate::sys::packet;

/// The longest answer of a process without a program, in bytes.
const ANSWER: usize = 8 * 1024;

/// How long the container's end of a copy may take to clear up when its client is gone.
const CLEARING: Duration = Duration::from_secs(5);

/// What an errand is made of beside its process.
#[derive(Debug, Default)]
pub(super) struct Belongings {
    pub(super) starting: Option<Starting>,
    pub(super) answer: Option<OwnedFd>,
    pub(super) capture: Option<Capture>,
    pub(super) deadline: Option<Instant>,
}

impl Supervisor<'_> {
    /// Begins a probe's attempt or a hook.
    ///
    /// # Errors
    /// It could not even begin.
    pub(super) fn begin_action(&mut self, purpose: Purpose, action: &Action, deadline: Option<Instant>) -> Result<()> {
        let Some(n) = purpose.container() else { return Ok(()) };
        match action {
            Action::Exec(argv) => {
                let Some(container) = self.containers.get(n) else { return Ok(()) };
                let Some(target) = container.running() else { return Err(Error::new("the container has ended")) };
                let (capture, end) = Capture::new()?;
                let stdio = Stdio { stdin: self.stdin.as_fd(), stdout: end.as_fd(), stderr: end.as_fd() };
                let command = Command::new(&container.prepared, argv, &[], None)?;
                let (child, starting) = exec(&container.prepared, target, &command, Streams::Given(stdio))?;
                let belongings =
                    Belongings { starting: Some(starting), capture: Some(capture), deadline, ..Belongings::default() };
                self.add_errand(purpose, child, belongings)
            }
            Action::Net(action) => self.begin_attempt(purpose, action, deadline),
            Action::Sleep(duration) => {
                let wake = Instant::now() + self.scaled(*duration);
                let child = crate::sys::clone::spawn(nix::sched::CloneFlags::empty(), || sleep_until(wake))?;
                self.add_errand(purpose, child, Belongings { deadline, ..Belongings::default() })
            }
        }
    }

    fn begin_attempt(&mut self, purpose: Purpose, action: &NetAction, deadline: Option<Instant>) -> Result<()> {
        let is_hook = !matches!(purpose, Purpose::Probe { .. });
        // A postStart hook has no deadline of its own, but an attempt over the network must end some time: the kubelet's client has
        // no limit of its own either, and the pod's end kills the attempt.
        let timeout =
            deadline.map_or(Duration::from_secs(24 * 3600), |at| at.saturating_duration_since(Instant::now()));
        let (child, answer) = in_network(self.sandbox.joined().network, |socket| {
            let outcome = if is_hook { probe::attempt_hook(action, timeout) } else { probe::attempt(action, timeout) };
            let _ = packet::send(socket, &outcome.encode(), &[]);
        })?;
        // The process minds the time itself, and says what it was waiting for; this is for one that cannot.
        let deadline = deadline.map(|at| at + Duration::from_millis(500));
        self.add_errand(purpose, child, Belongings { answer: Some(answer), deadline, ..Belongings::default() })
    }

    /// Makes the two sockets of the pod's network for the client of `connection`.
    pub(super) fn begin_sockets(&mut self, connection: usize) -> Result<()> {
        let (child, answer) = in_network(self.sandbox.joined().network, |socket| {
            let made = tcp_sockets();
            let raw: Vec<_> = made.iter().map(|fd| fd.as_raw_fd()).collect();
            let _ = packet::send(socket, b"+", &raw);
        })?;
        let belongings = Belongings { answer: Some(answer), ..Belongings::default() };
        self.add_errand(Purpose::Sockets { connection }, child, belongings)
    }

    /// Watches over a process that was made for `purpose`.
    pub(super) fn add_errand(&mut self, purpose: Purpose, child: Child, belongings: Belongings) -> Result<()> {
        let id = self.next_errand;
        self.next_errand += 1;
        self.events.watch(&child, Source::Errand(id))?;
        if let Some(starting) = &belongings.starting {
            self.events.watch(starting, Source::ErrandStart(id))?;
        }
        if let Some(capture) = &belongings.capture {
            self.events.watch(capture, Source::ErrandOutput(id))?;
        }
        let Belongings { starting, answer, capture, deadline } = belongings;
        self.errands.push(Errand {
            id,
            purpose,
            child,
            starting,
            failure: None,
            answer,
            capture,
            deadline,
            late: false,
        });
        Ok(())
    }

    /// A command on its way has something to say.
    pub(super) fn errand_proceeds(&mut self, id: usize) -> Result<()> {
        let Some(errand) = self.errands.iter_mut().find(|e| e.id == id) else { return Ok(()) };
        let (Some(starting), Some(n)) = (&errand.starting, errand.purpose.container()) else { return Ok(()) };
        let Some(container) = self.containers.get(n) else { return Ok(()) };
        match starting.proceed(&errand.child, &container.prepared) {
            Ok(Progress::Waiting) => return Ok(()),
            Ok(Progress::Terminal(master)) => {
                if let Purpose::Session { connection, .. } = errand.purpose {
                    self.control.answer(connection, &Reply::Started, &[master.as_fd()]);
                }
                return Ok(());
            }
            Ok(Progress::Started) => {
                if let Purpose::Session { connection, .. } = errand.purpose {
                    self.control.answer(connection, &Reply::Running, &[]);
                }
            }
            Ok(Progress::Failed(error)) => errand.failure = Some(error),
            Err(error) => {
                errand.failure = Some(error);
                errand.kill()?;
            }
        }
        self.events.forget(starting);
        errand.starting = None;
        Ok(())
    }

    /// A command that is a probe or hook has printed something.
    pub(super) fn errand_printed(&mut self, id: usize) -> Result<()> {
        let Some(errand) = self.errands.iter_mut().find(|e| e.id == id) else { return Ok(()) };
        if let Some(capture) = &mut errand.capture
            && !capture.take()
        {
            self.events.forget(&*capture);
        }
        Ok(())
    }

    /// The process of errand `id` has ended.
    pub(super) fn errand_ended(&mut self, id: usize) -> Result<()> {
        // What it said before it ended may not have been heard yet.
        self.errand_proceeds(id)?;
        let Some(at) = self.errands.iter().position(|e| e.id == id) else { return Ok(()) };
        let Some(exit) = self.errands.get_mut(at).map(|e| e.child.try_wait()).transpose()?.flatten() else {
            return Ok(());
        };
        let mut errand = self.errands.swap_remove(at);
        self.events.forget(&errand.child);
        if let Some(starting) = &errand.starting {
            self.events.forget(starting);
        }
        if let Some(capture) = &mut errand.capture {
            capture.take();
            self.events.forget(&*capture);
        }
        match errand.purpose {
            Purpose::Probe { container, run, kind } => self.probed(container, run, kind, &outcome(&errand, exit)),
            Purpose::PostStart { container, run } => {
                self.hook_ended(container, run, Which::PostStart, hook_outcome(&errand, exit))
            }
            Purpose::PreStop { container, run } => {
                self.hook_ended(container, run, Which::PreStop, hook_outcome(&errand, exit))
            }
            Purpose::Session { connection, .. } => {
                match errand.failure {
                    Some(error) => self.control.refuse(connection, &error),
                    None => self.control.answer(connection, &Reply::Exited(exit.shell_code()), &[]),
                }
                Ok(())
            }
            Purpose::Copy { connection, .. } => {
                self.control.answer(connection, &Reply::Exited(exit.shell_code()), &[]);
                Ok(())
            }
            Purpose::Files => {
                let (said, _) = errand.answer.as_ref().map(answer).unwrap_or_default();
                self.files_written(&errand, &said, exit);
                Ok(())
            }
            Purpose::Sockets { connection } => {
                let (bytes, fds) = errand.answer.as_ref().map(answer).unwrap_or_default();
                if fds.is_empty() {
                    let why = String::from_utf8_lossy(&bytes).trim_start_matches(['!', '+']).to_owned();
                    self.control.refuse(connection, &Error::new(format!("no socket could be made in the pod: {why}")));
                } else {
                    let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
                    self.control.answer(connection, &Reply::Sockets, &fds);
                }
                Ok(())
            }
        }
    }

    /// Kills the errands whose time is over; their ends are told as any other.
    pub(super) fn late_errands(&mut self, now: Instant) -> Result<()> {
        for errand in &mut self.errands {
            if !errand.late && errand.deadline.is_some_and(|at| now >= at) {
                errand.late = true;
                errand.kill()?;
            }
        }
        Ok(())
    }

    /// Container `n` has ended, and the commands in it with it: in a pid namespace of its own the kernel sees to that.
    pub(super) fn end_errands_of(&mut self, n: usize) -> Result<()> {
        self.errands.iter().filter(|e| e.purpose.container() == Some(n)).try_for_each(Errand::kill)
    }

    /// The client of `connection` is gone, and with it whoever wants to know how its errands end.
    pub(super) fn end_errands_for(&mut self, gone: usize) -> Result<()> {
        let theirs = |purpose: Purpose| match purpose {
            Purpose::Session { connection, .. }
            | Purpose::Copy { connection, .. }
            | Purpose::Sockets { connection } => connection == gone,
            _ => false,
        };
        for errand in self.errands.iter_mut().filter(|e| theirs(e.purpose)) {
            match errand.purpose {
                // Its stream has ended, too, so it clears its half-written file away by itself.
                Purpose::Copy { .. } => errand.deadline = Some(Instant::now() + CLEARING),
                Purpose::Session { .. } => {
                    processes::kill_session(errand.child.pid());
                    errand.kill()?;
                }
                _ => errand.kill()?,
            }
        }
        Ok(())
    }

    /// Sends a signal to the command or container that the client of `connection` has started.
    pub(super) fn signal_session(&mut self, connection: usize, signal: i32) -> Result<()> {
        let theirs = |e: &&Errand| matches!(e.purpose, Purpose::Session { connection: c, .. } if c == connection);
        self.errands.iter().filter(theirs).try_for_each(|errand| errand.signal(signal))?;
        self.containers.iter().filter(|c| c.client == Some(connection)).try_for_each(|c| c.signal(signal))
    }
}

/// What the process of an errand has left on its socket.
fn answer(socket: &OwnedFd) -> (Vec<u8>, Vec<OwnedFd>) {
    let mut bytes = vec![0; ANSWER];
    match packet::receive(socket, &mut bytes) {
        Ok((length, fds)) => {
            bytes.truncate(length);
            (bytes, fds)
        }
        Err(_) => (Vec::new(), Vec::new()),
    }
}

/// What an attempt of a probe amounts to, in the kubelet's words.
fn outcome(errand: &Errand, exit: Exit) -> Outcome {
    if let Some(error) = &errand.failure {
        return Outcome::Failure(error.what().to_owned());
    }
    if let Some(socket) = &errand.answer {
        let (bytes, _) = answer(socket);
        return match bytes.first() {
            Some(b'!') => Outcome::Failure(String::from_utf8_lossy(bytes.get(1..).unwrap_or_default()).into_owned()),
            _ => Outcome::decode(&bytes).unwrap_or_else(|| Outcome::Failure("timed out".to_owned())),
        };
    }
    let said = errand.capture.as_ref().map(Capture::text).unwrap_or_default();
    match exit {
        _ if errand.late => Outcome::Failure("command timed out".to_owned()),
        Exit::Code(0) => Outcome::Success(said),
        _ if said.is_empty() => Outcome::Failure(format!("command exited with {}", exit.shell_code())),
        _ => Outcome::Failure(said),
    }
}

fn hook_outcome(errand: &Errand, exit: Exit) -> std::result::Result<(), String> {
    // A hook that sleeps has neither output nor answer.
    if errand.late {
        return Err("it did not end within the grace period".to_owned());
    }
    match outcome(errand, exit) {
        Outcome::Success(_) | Outcome::Warning(_) => Ok(()),
        Outcome::Failure(why) => Err(why),
    }
}

/// The life of the process that a sleeping hook is.
fn sleep_until(wake: Instant) -> i32 {
    // It needs nothing but the time.
    let _ = crate::sys::process::close_all_but(&[]);
    std::thread::sleep(wake.saturating_duration_since(Instant::now()));
    0
}

/// One socket for each family that the pod's network has.
fn tcp_sockets() -> Vec<OwnedFd> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};
    [AddressFamily::Inet, AddressFamily::Inet6]
        .into_iter()
        .filter_map(|family| socket(family, SockType::Stream, SockFlag::SOCK_CLOEXEC, None).ok())
        .collect()
}

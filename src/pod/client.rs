//! The client's life: it claims the pods' names, makes their supervisors, forwards the user's wish to stop, and clears up.

use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::path::Path;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::sys::signal::{SigmaskHow, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use super::link::{Fact, hear, tell};
use super::output::{Label, Style, labels};

use super::state::Claim;
use super::supervisor::{Inheritance, Notices, live, stop_signals};
use crate::error::{Context, Error, Result};
use crate::host::confine::Tree;
use crate::host::{HostFacts, userns::spawn_mapped};
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
    pub pods: Vec<(PodPlan, Claim)>,
    /// This host.
    pub facts: &'a HostFacts,
    /// The directory of podling's data, an absolute path.
    pub data: &'a Path,
    /// How the output looks.
    pub style: Style,
}

/// Runs pods in the foreground until all have ended. Returns 0, or the code of the first pod that failed.
///
/// # Errors
/// A pod could not be run; the other pods have ended then, too.
pub fn run(mut run: Run) -> Result<u8> {
    // Blocked before the first supervisor exists, so that no signal finds anybody unprepared.
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&stop_signals()), None).named(|| "sigprocmask(SIG_BLOCK)")?;
    let signals =
        SignalFd::with_flags(&stop_signals(), SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).named(|| "signalfd()")?;
    let mut pods = Vec::new();
    let mut all_labels = labels(container_names(&run.pods), &run.style).into_iter();
    let claims: Vec<RawFd> = run.pods.iter().map(|(_, claim)| claim.descriptor()).collect();
    for (plan, claim) in std::mem::take(&mut run.pods) {
        // Held by this pod's supervisor, too, they would tell the others' that their client lives, and keep their names taken.
        let links = pods.iter().filter_map(|p: &Pod| match &p.state {
            State::Running { link, .. } => Some(link.as_raw_fd()),
            State::Ended(_) => None,
        });
        let others: Vec<RawFd> = claims.iter().copied().filter(|fd| *fd != claim.descriptor()).chain(links).collect();
        let own: Vec<Label> = all_labels.by_ref().take(plan.init_containers.len() + plan.containers.len()).collect();
        let started = supervise(&plan, &claim, &own, &others, &run);
        pods.push(Pod { name: plan.name, claim, state: State::from(started) });
        if matches!(pods.last(), Some(Pod { state: State::Ended(Err(_)), .. })) {
            pods.iter().for_each(|p| p.request(&Fact::KillRequested));
            break;
        }
    }
    attend(&mut pods, &signals)?;
    let mut code = Ok(0);
    for pod in pods {
        let outcome = match pod.state {
            State::Ended(outcome) => outcome,
            State::Running { .. } => Err(Error::new("the pod's supervisor was not waited for")),
        };
        let cleared = pod.claim.release(run.facts);
        code = match (code, outcome.and_then(|c| cleared.map(|()| c))) {
            (Ok(0), Ok(new)) => Ok(new),
            (Ok(_), Err(e)) => Err(e.context(format!("pod {:?}", pod.name))),
            (first, _) => first,
        };
    }
    code
}

struct Pod {
    name: String,
    claim: Claim,
    state: State,
}

enum State {
    Running { child: Child, link: OwnedFd, said: Option<Result<u8>> },
    Ended(Result<u8>),
}

impl From<Result<(Child, OwnedFd)>> for State {
    fn from(started: Result<(Child, OwnedFd)>) -> State {
        match started {
            Ok((child, link)) => State::Running { child, link, said: None },
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
        let State::Running { child, link, said } = &mut self.state else { return Ok(()) };
        match hear(&*link)? {
            Some(Fact::PodEnded(code)) => *said = Some(Ok(code)),
            Some(Fact::PodFailed(error)) => *said = Some(Err(error)),
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
fn container_names(pods: &[(PodPlan, Claim)]) -> Vec<String> {
    let name = |pod: &str, container: &str| match pods {
        [_] => container.to_owned(),
        _ => format!("{pod}/{container}"),
    };
    let of = |plan: &PodPlan| -> Vec<String> {
        plan.init_containers.iter().chain(&plan.containers).map(|c| name(&plan.name, &c.name)).collect()
    };
    pods.iter().flat_map(|(plan, _)| of(plan)).collect()
}

/// Makes one pod's supervisor.
fn supervise(plan: &PodPlan, claim: &Claim, labels: &[Label], others: &[RawFd], run: &Run) -> Result<(Child, OwnedFd)> {
    let Run { facts, data, style, .. } = run;
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
    let (ours, theirs) = packet::pair()?;
    let stdin = File::open("/dev/null").named(|| "open(\"/dev/null\")")?;
    let stdout = std::io::stdout().as_fd().try_clone_to_owned().named(|| "dup(stdout)")?;
    let stderr = std::io::stderr().as_fd().try_clone_to_owned().named(|| "dup(stderr)")?;
    let mut ours = Some(ours);
    let child = spawn_mapped(facts, CloneFlags::CLONE_NEWPID | CloneFlags::CLONE_NEWNS, |entered| {
        // Only the client may hold this end, or the supervisor would never see the client's death.
        ours.take();
        close_numbers(others);
        if let Err(e) = entered {
            let _ = tell(&theirs, &Fact::PodFailed(e.into()));
            return 125;
        }
        live(Inheritance {
            plan,
            prepared: &prepared,
            data: &data,
            dir: claim.dir(),
            link: theirs,
            stdin,
            stdout,
            stderr,
            labels,
            notices: if style.quiet { Notices::LeftOut } else { Notices::Said },
        })
    })?;
    let link = ours.ok_or_else(|| Error::new("the link to the supervisor is gone"))?;
    Ok((child, link))
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

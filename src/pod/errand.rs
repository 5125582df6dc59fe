//! Errands: short-lived processes that do one thing for the supervisor or a client beside the containers' own: a command in a container,
//! a probe or hook over the pod's network, files in a container's view.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use caps::CapSet;
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sched::{CloneFlags, setns};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, killpg, sigprocmask};
use nix::unistd::{Pid, pipe2};

use super::probing::ProbeKind;
use crate::error::Result;
use crate::runtime::Starting;
use crate::sys::clone::{Child, spawn};
use crate::sys::process::close_all_but;
use crate::sys::{Named, SysError, packet};

/// How much of what a probe's command prints is kept, in bytes, as the kubelet does.
const KEPT: usize = 10 * 1024;

/// One errand.
#[derive(Debug)]
pub(super) struct Errand {
    pub(super) id: usize,
    pub(super) purpose: Purpose,
    pub(super) child: Child,
    /// Until its program runs, where it has one.
    pub(super) starting: Option<Starting>,
    /// Why its program could not be started.
    pub(super) failure: Option<crate::error::Error>,
    /// Where a process without a program leaves its answer.
    pub(super) answer: Option<OwnedFd>,
    /// What a probe's or hook's command prints.
    pub(super) capture: Option<Capture>,
    /// When it is killed.
    pub(super) deadline: Option<Instant>,
    /// Whether that has happened.
    pub(super) late: bool,
}

/// Whose errand it is. A container is meant in one of its runs; later ones are none of the errand's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A probe's attempt.
    Probe { container: usize, run: u32, kind: ProbeKind },
    /// A postStart hook.
    PostStart { container: usize, run: u32 },
    /// A preStop hook.
    PreStop { container: usize, run: u32 },
    /// A client's command.
    Session { connection: usize, container: usize },
    /// A client's copy.
    Copy { connection: usize, container: usize },
    /// A client's sockets.
    Sockets { connection: usize },
    /// The volumes' files are written anew.
    Files,
}

impl Purpose {
    /// The container in whose view the errand runs.
    pub(super) fn container(self) -> Option<usize> {
        match self {
            Purpose::Probe { container, .. }
            | Purpose::PostStart { container, .. }
            | Purpose::PreStop { container, .. }
            | Purpose::Session { container, .. }
            | Purpose::Copy { container, .. } => Some(container),
            Purpose::Sockets { .. } | Purpose::Files => None,
        }
    }
}

impl Errand {
    /// Sends a signal to the process group of its command, as a terminal does.
    pub(super) fn signal(&self, signal: i32) -> Result<()> {
        let number =
            Signal::try_from(signal).map_err(|_| crate::error::Error::new(format!("there is no signal {signal}")))?;
        match killpg(Pid::from_raw(self.child.pid()), number) {
            // It has not made itself the leader of a group yet, or has left that alone.
            Err(Errno::ESRCH | Errno::EPERM) => Ok(self.child.signal(signal)?),
            sent => Ok(sent.named(|| format!("kill(-{}, {signal})", self.child.pid()))?),
        }
    }

    /// Kills its process and those of its process group; the end is told by its pidfd as any other.
    pub(super) fn kill(&self) -> Result<()> {
        // It has made itself the leader of a session, unless it was hit before. Its pid is its own as long as nobody has reaped it.
        let _ = killpg(Pid::from_raw(self.child.pid()), Signal::SIGKILL);
        Ok(self.child.signal(libc::SIGKILL)?)
    }
}

/// Both output streams of a command, of which the beginning is kept.
#[derive(Debug)]
pub(super) struct Capture {
    pipe: File,
    kept: Vec<u8>,
}

impl Capture {
    /// The reading side, and the end for the command.
    pub(super) fn new() -> std::result::Result<(Capture, OwnedFd), SysError> {
        let (read, write) = pipe2(OFlag::O_CLOEXEC).named(|| "pipe2()")?;
        fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).named(|| "fcntl(F_SETFL, O_NONBLOCK)")?;
        Ok((Capture { pipe: File::from(read), kept: Vec::new() }, write))
    }

    /// Takes what is there; `false` when no writer is left.
    pub(super) fn take(&mut self) -> bool {
        let mut bytes = [0; 4096];
        // A command that floods its output gets no more of the supervisor's time than this at once.
        for _ in 0..16 {
            match self.pipe.read(&mut bytes) {
                Ok(0) => return false,
                Ok(n) => {
                    let room = KEPT.saturating_sub(self.kept.len());
                    self.kept.extend_from_slice(bytes.get(..n.min(room)).unwrap_or_default());
                }
                Err(e) => return e.raw_os_error() == Some(Errno::EAGAIN as i32),
            }
        }
        true
    }

    /// What was kept, as text.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.kept).trim().to_owned()
    }
}

impl AsFd for Capture {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// Runs `work` in a process of its own in the pod's network namespace, `None` for the host's, without any capability or descriptor but the socket that it
/// answers on. Returns the process and the other end of that socket.
///
/// # Errors
/// The clone's.
pub(super) fn in_network(network: Option<BorrowedFd>, work: impl FnOnce(&OwnedFd)) -> Result<(Child, OwnedFd)> {
    let (ours, theirs) = packet::pair()?;
    let mut ours = Some(ours);
    let child = spawn(CloneFlags::empty(), || {
        ours.take();
        if let Err(e) = confine(network, &theirs) {
            let _ = packet::send(&theirs, format!("!{e}").as_bytes(), &[]);
            return 1;
        }
        work(&theirs);
        0
    })?;
    let ours = ours.ok_or_else(|| crate::error::Error::new("the answer's socket is gone"))?;
    fcntl(&ours, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).named(|| "fcntl(F_SETFL, O_NONBLOCK)")?;
    Ok((child, ours))
}

/// It reads what containers answer, and must have nothing to lose.
fn confine(network: Option<BorrowedFd>, kept: &OwnedFd) -> std::result::Result<(), SysError> {
    nix::unistd::setsid().named(|| "setsid()")?;
    let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
    if let Some(network) = network {
        setns(network, CloneFlags::CLONE_NEWNET).named(|| "setns(net)")?;
    }
    close_all_but(&[kept.as_fd()])?;
    for set in [CapSet::Effective, CapSet::Permitted, CapSet::Inheritable] {
        caps::clear(None, set).map_err(|e| SysError::new(format!("capset(): {e}"), Errno::last()))?;
    }
    prctl::set_no_new_privs().named(|| "prctl(PR_SET_NO_NEW_PRIVS)")
}

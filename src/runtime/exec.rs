//! Processes that come into a running container later: commands (`exec`), and work of podling's own in the container's view.

use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sched::{CloneFlags, setns};
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, setsid};

use super::channel::{Fact, tell};
use super::child::{Standing, finish, kept};
use super::label::Label;
use super::place::Streams;
use super::prepare::Prepared;
use super::program::Program;
use super::start::Starting;
use super::visit::{Reach, ended, spawn_beside};
use crate::error::{Error, Result};
use crate::host::confine::keep_capabilities_over_files;
use crate::sys::clone::Child;
use crate::sys::process::{close_all_but, default_signals};
use crate::sys::{Named, packet};

/// A command made ready to run in a container.
#[derive(Debug)]
pub struct Command(Program);

impl Command {
    /// `argv` with the container's environment and working directory, as the container `prepared` was started with. `more` are
    /// variables besides, which win, and so does a `workdir`.
    ///
    /// # Errors
    /// No argument, a NUL byte in one, or a relative working directory.
    pub fn new(
        prepared: &Prepared,
        argv: &[String],
        more: &[(String, String)],
        workdir: Option<&str>,
    ) -> Result<Command> {
        Ok(Command(prepared.program.another(argv, more, workdir)?))
    }

    /// The same on a terminal: programs want to know of which kind it is.
    ///
    /// # Errors
    /// Those of [`Command::new`].
    pub fn on_terminal(
        prepared: &Prepared,
        argv: &[String],
        more: &[(String, String)],
        workdir: Option<&str>,
    ) -> Result<Command> {
        let known = prepared.program.has_variable("TERM") || more.iter().any(|(name, _)| name == "TERM");
        let term = (!known).then(|| ("TERM".to_owned(), "xterm".to_owned()));
        Command::new(prepared, argv, &more.iter().cloned().chain(term).collect::<Vec<_>>(), workdir)
    }
}

/// Runs `command` in the container whose first process is `target` (a pidfd) and which was started from `prepared`: the same
/// namespaces, identity, capabilities, seccomp filter and limits, and nothing of the caller's.
///
/// # Errors
/// The container has ended, or the clone's; what goes wrong later comes out of [`Starting::proceed`].
pub fn exec(prepared: &Prepared, target: impl AsFd, command: &Command, streams: Streams) -> Result<(Child, Starting)> {
    let (ours, theirs) = packet::pair()?;
    let mut ours = Some(ours);
    let target = target.as_fd();
    let child = spawn_beside(target, CloneFlags::empty(), Reach::Closed, || {
        ours.take();
        let Err(error) = become_command(prepared, target, command, streams, &theirs);
        let code = i32::from(error.exit_code());
        let _ = tell(&theirs, &Fact::StartFailed(error));
        code
    })?;
    let channel = ours.ok_or_else(|| Error::new("the start channel is gone"))?;
    Ok((child, Starting::new(channel)))
}

fn become_command(
    prepared: &Prepared,
    target: BorrowedFd,
    command: &Command,
    streams: Streams,
    channel: &OwnedFd,
) -> Result<Infallible> {
    setsid().named(|| "setsid()")?;
    if let Streams::Given(stdio) = streams {
        dup2_stdin(stdio.stdin).named(|| "dup2(stdin)")?;
        dup2_stdout(stdio.stdout).named(|| "dup2(stdout)")?;
        dup2_stderr(stdio.stderr).named(|| "dup2(stderr)")?;
    }
    // The limit on processes was set at the container's user namespace by its maker, and this sets it for this process, too.
    prepared.identity.set_limits()?;
    let labels = prepared.labels.iter().map(Label::open).collect::<std::result::Result<Vec<_>, _>>()?;
    enter(prepared, target)?;
    close_all_but(&kept(channel, &labels).collect::<Vec<_>>())?;
    finish(prepared, &command.0, Standing { streams, channel, labels: &labels })
}

/// Does `work` in the view of the container whose first process is `target`, started from `prepared`: its root, its processes, its ids, as its root with the
/// capabilities over files and no other, and with `kept` as the only descriptors.
///
/// # Errors
/// The container has ended, or the clone's.
pub fn visit(prepared: &Prepared, target: impl AsFd, kept: &[BorrowedFd], work: impl FnOnce() -> i32) -> Result<Child> {
    let target = target.as_fd();
    spawn_beside(target, CloneFlags::empty(), Reach::Closed, || {
        let entered =
            setsid().named(|| "setsid()").map(drop).map_err(Error::from).and_then(|()| enter(prepared, target));
        let ready = entered.is_ok()
            && close_all_but(kept).is_ok()
            && nix::unistd::chdir("/").is_ok()
            && keep_capabilities_over_files().is_ok();
        if !ready {
            return 125;
        }
        default_signals();
        work()
    })
}

/// Joins the namespaces of the container, its last user namespace at the end where it has one.
fn enter(prepared: &Prepared, target: BorrowedFd) -> Result<()> {
    // Those of the host that the container is in, this process is in, too, and nobody may join them.
    let own = prepared.namespaces & (CloneFlags::CLONE_NEWCGROUP | CloneFlags::CLONE_NEWNS);
    let users = CloneFlags::CLONE_NEWUSER;
    setns(target, (prepared.joins - users) | own)
        .named(|| "setns(pidfd, the container's namespaces)")
        .map_err(ended)?;
    setns(target, users).named(|| "setns(pidfd, CLONE_NEWUSER)").map_err(ended)
}

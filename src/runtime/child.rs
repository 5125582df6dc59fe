//! The life of a container's first process, from the clone to its program.

use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, MsFlags, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::prctl::set_dumpable;
use nix::sys::stat::Mode;
use nix::unistd::{dup2_stderr, dup2_stdin, dup2_stdout, fchdir, pivot_root, setsid};

use super::channel::{Fact, hear, tell};
use super::label::{Label, Opened};
use super::mounts::apply;
use super::place::{Joined, SharedProcesses, Streams};
use super::prepare::{Access, Prepared};
use super::program::Program;
use super::wall::{Wall, Writer};
use crate::error::Error;
use crate::host::explain;
use crate::sys::mount::{Depth, set_attributes};
use crate::sys::process::{close_all_but, default_signals, load_filter};
use crate::sys::terminal::{WindowSize, open_pair, set_window_size, take_control};
use crate::sys::{Named, SysError};

/// Runs the container's program; returns only when that failed, after saying so on the channel.
pub(super) fn live(prepared: &Prepared, joined: Joined, streams: Streams, channel: &OwnedFd) -> i32 {
    let Err(error) = become_program(prepared, joined, streams, channel);
    let code = i32::from(error.exit_code());
    let _ = tell(channel, &Fact::StartFailed(error));
    code
}

fn become_program(
    prepared: &Prepared,
    joined: Joined,
    streams: Streams,
    channel: &OwnedFd,
) -> Result<Infallible, Error> {
    take_places(joined, streams)?;
    // Nobody but the containers of a shared pid namespace would see this process; they are in other user namespaces until it joins theirs.
    let shared = joined.processes;
    let labels = prepared.labels.iter().map(Label::open).collect::<Result<Vec<_>, _>>()?;
    // A path of the container's, as its command or its working directory, may name /proc/self/fd/N: nothing of the host may be there.
    let walls = shared.iter().map(|shared| shared.user_namespace()).chain(joined.users);
    close_all_but(&walls.chain(kept(channel, &labels)).collect::<Vec<_>>())?;
    // The container's own /proc is not there yet, or not to be trusted.
    let proc = open("/proc", OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
        .named(|| "open(\"/proc\", O_PATH)")?;
    build_root(prepared).map_err(|e| explain(e.into()))?;
    let identity = &prepared.identity;
    identity.set_limits()?;
    if let Some(wall) = &identity.wall {
        join_wall(wall, shared, proc.as_fd(), channel)?;
    }
    if prepared.joins.contains(CloneFlags::CLONE_NEWUSER) {
        let users =
            joined.users.ok_or_else(|| Error::new("the pod has no user namespace for the container to join"))?;
        join_users(users)?;
    }
    drop(proc);
    close_all_but(&kept(channel, &labels).collect::<Vec<_>>())?;
    finish(prepared, &prepared.program, Standing { streams, channel, labels: &labels })
}

/// The descriptors that a process needs until its program runs.
pub(super) fn kept<'a>(channel: &'a OwnedFd, labels: &'a [Opened]) -> impl Iterator<Item = BorrowedFd<'a>> {
    [channel.as_fd()].into_iter().chain(labels.iter().map(AsFd::as_fd))
}

/// Enters the user namespace that owns the pod's other namespaces. The container's mounts are to be its own, too, and not those of the
/// user namespace in which podling made them: they are copied, and what was mounted so far cannot be taken away from over what is
/// below it (mount_namespaces(7), "Restrictions on mount namespaces").
fn join_users(users: BorrowedFd) -> Result<(), Error> {
    set_dumpable(false).named(|| "prctl(PR_SET_DUMPABLE, 0)")?;
    setns(users, CloneFlags::CLONE_NEWUSER).named(|| "setns(CLONE_NEWUSER)")?;
    Ok(unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWCGROUP).named(|| "unshare(CLONE_NEWNS)")?)
}

/// Enters the last user namespace: the one that those have whose processes are shared, since processes can look into each other only
/// inside one, or a new one.
fn join_wall(wall: &Wall, shared: Option<SharedProcesses>, proc: BorrowedFd, channel: &OwnedFd) -> Result<(), Error> {
    if let Some(shared) = shared.filter(|shared| is_wall_of(wall, shared)) {
        set_dumpable(false).named(|| "prctl(PR_SET_DUMPABLE, 0)")?;
        return Ok(setns(shared.user_namespace(), CloneFlags::CLONE_NEWUSER).named(|| "setns(CLONE_NEWUSER)")?);
    }
    wall.enter(proc)?;
    if wall.writer == Writer::Supervisor {
        tell(channel, &Fact::WallEntered)?;
        if !matches!(hear(channel)?, Some(Fact::MapsWritten)) {
            return Err(Error::new("the supervisor went away during the container's start"));
        }
    }
    Ok(())
}

/// Whether the last user namespace of those whose processes are shared has the same ids.
fn is_wall_of(wall: &Wall, shared: &SharedProcesses) -> bool {
    match shared {
        SharedProcesses::Pause(pause) => pause.has(wall),
        // With all the pod's ids every container's has the same.
        SharedProcesses::Of(_) => wall.writer == Writer::Supervisor,
    }
}

/// What a process still needs of podling when it is in its namespaces.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing<'a> {
    pub(super) streams: Streams<'a>,
    pub(super) channel: &'a OwnedFd,
    pub(super) labels: &'a [Opened<'a>],
}

/// Becomes the container's user behind the last wall, and then `program`.
pub(super) fn finish(prepared: &Prepared, program: &Program, standing: Standing) -> Result<Infallible, Error> {
    // Its program is still podling's own, and so is what it has in memory.
    set_dumpable(false).named(|| "prctl(PR_SET_DUMPABLE, 0)")?;
    let identity = &prepared.identity;
    identity.assume()?;
    if let Streams::Terminal(size) = standing.streams {
        take_terminal(size, standing.channel)?;
    }
    standing.labels.iter().try_for_each(Opened::take)?;
    // Without no_new_privs only CAP_SYS_ADMIN may load a filter (seccomp(2)), so the filter then comes before the capabilities go.
    if !identity.no_new_privileges {
        load_filters(prepared)?;
    }
    identity.drop_capabilities()?;
    identity.forbid_new_privileges()?;
    default_signals();
    if identity.no_new_privileges {
        load_filters(prepared)?;
    }
    Err(program.execute())
}

/// Opens a terminal in the container's own devpts, as the container's user, whose it then is; the supervisor gets the other end.
fn take_terminal(size: WindowSize, channel: &OwnedFd) -> Result<(), SysError> {
    let (master, terminal) = open_pair()?;
    // Before the program looks.
    set_window_size(&terminal, size)?;
    take_control(&terminal)?;
    dup2_stdin(&terminal).named(|| "dup2(stdin)")?;
    dup2_stdout(&terminal).named(|| "dup2(stdout)")?;
    dup2_stderr(&terminal).named(|| "dup2(stderr)")?;
    tell(channel, &Fact::TerminalOpened(master))
}

/// Joins the pod's namespaces and takes the container's standard streams, in a session of its own.
fn take_places(joined: Joined, streams: Streams) -> Result<(), SysError> {
    setsid().named(|| "setsid()")?;
    if let Some(network) = joined.network {
        setns(network, CloneFlags::CLONE_NEWNET).named(|| "setns(net)")?;
    }
    if let Some(ipc) = joined.ipc {
        setns(ipc, CloneFlags::CLONE_NEWIPC).named(|| "setns(ipc)")?;
    }
    setns(joined.uts, CloneFlags::CLONE_NEWUTS).named(|| "setns(uts)")?;
    if let Streams::Given(stdio) = streams {
        dup2_stdin(stdio.stdin).named(|| "dup2(stdin)")?;
        dup2_stdout(stdio.stdout).named(|| "dup2(stdout)")?;
        dup2_stderr(stdio.stderr).named(|| "dup2(stderr)")?;
    }
    Ok(())
}

/// Mounts everything at and below the container's root, and leaves nothing else in sight.
fn build_root(prepared: &Prepared) -> Result<(), SysError> {
    // A program whose file asks for a capability that the container lacks cannot be executed at all (execve(2), EPERM), though
    // ping, for one, works without. Where no privileges can be gained anyway, the mount lets the kernel overlook what files ask for.
    let flags = if prepared.identity.no_new_privileges { MsFlags::MS_NOSUID } else { MsFlags::empty() };
    prepared.overlay.mount(&prepared.root, flags, prepared.mount_label.as_deref())?;
    let root = open(&prepared.root, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
        .named(|| format!("open({:?}, O_PATH)", prepared.root))?;
    apply(root.as_fd(), &prepared.ops)?;
    if prepared.root_access == Access::ReadOnly {
        set_attributes(&root, Depth::This, libc::MOUNT_ATTR_RDONLY, c"the container's root")?;
    }
    fchdir(&root).named(|| format!("fchdir({:?})", prepared.root))?;
    // The old root ends up mounted over the new one, so that "." names it (pivot_root(2), "pivot_root(".", ".")").
    pivot_root(".", ".").named(|| "pivot_root(\".\", \".\")")?;
    umount2(".", MntFlags::MNT_DETACH).named(|| "umount2(\".\", MNT_DETACH)")?;
    nix::unistd::chdir("/").named(|| "chdir(\"/\")")
}

fn load_filters(prepared: &Prepared) -> Result<(), SysError> {
    for filter in prepared.filters.iter().flat_map(|filters| filters.iter()) {
        load_filter(filter)?;
    }
    Ok(())
}

//! Processes in a new user namespace whose id map is [`HostFacts::ids`]: how they are made, and jobs done in one.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

use nix::fcntl::OFlag;
use nix::sched::CloneFlags;
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::unistd::{Gid, Uid, pipe2, setgroups, setresgid, setresuid};

use super::{HostFacts, IdExtent, Mapper};
use crate::error::{Context, Error, Result};
use crate::sys::clone::{Child, Exit, spawn};
use crate::sys::{Named, SysError};

/// Makes a child in a new user namespace, and in the others of `flags`. `body` runs once the id map is written and the child has
/// become the root of that namespace, or learns why that failed.
///
/// # Errors
/// A forbidden namespace or an id map that could not be written, with the mend. The child is gone then.
pub fn spawn_mapped(
    facts: &HostFacts,
    flags: CloneFlags,
    body: impl FnOnce(std::result::Result<(), SysError>) -> i32,
) -> Result<Child> {
    let (wait_for_map, map_written) = pipe2(OFlag::O_CLOEXEC).named(|| "pipe2()")?;
    let mut map_written = Some(map_written);
    let child = spawn(flags | CloneFlags::CLONE_NEWUSER, || {
        // Only the parent may keep this end, or the child would never see the parent's death.
        map_written.take();
        body(enter(facts, wait_for_map))
    })?;
    if facts.mapper != Mapper::Itself {
        write_maps(facts, child.pid())?;
        if let Some(pipe) = map_written {
            std::fs::File::from(pipe).write_all(b"m").named(|| "write(pipe)")?;
        }
    }
    Ok(child)
}

/// What the child does before its `body`: gets its map, and becomes the root of its namespace.
fn enter(facts: &HostFacts, wait_for_map: OwnedFd) -> std::result::Result<(), SysError> {
    match facts.mapper {
        Mapper::Itself => {
            write_file("/proc/self/setgroups", b"deny")?;
            write_file("/proc/self/uid_map", map_text(&facts.ids.uids).as_bytes())?;
            write_file("/proc/self/gid_map", map_text(&facts.ids.gids).as_bytes())?;
        }
        Mapper::Client | Mapper::Helpers { .. } => {
            let mut byte = [0];
            // An end of file means that the parent failed or died: it reports, and nobody waits for this process's words.
            if !matches!(std::fs::File::from(wait_for_map).read(&mut byte), Ok(1)) {
                crate::sys::clone::exit_now(125);
            }
            // With one id setgroups(2) is denied for good, so the caller's groups stay there; elsewhere they are dropped.
            setgroups(&[]).named(|| "setgroups([])")?;
        }
    }
    let (uid, gid) = (Uid::from_raw(0), Gid::from_raw(0));
    setresgid(gid, gid, gid).named(|| "setresgid(0, 0, 0)")?;
    setresuid(uid, uid, uid).named(|| "setresuid(0, 0, 0)")?;
    // A change of ids makes a process's procfs files root's of the host (PR_SET_DUMPABLE(2const)); the supervisor writes its
    // children's id maps there as the pod's root.
    prctl::set_dumpable(true).named(|| "prctl(PR_SET_DUMPABLE)")
}

/// Writes the map of process `pid`'s new user namespace, both setuid helpers at once.
fn write_maps(facts: &HostFacts, pid: i32) -> Result<()> {
    match &facts.mapper {
        Mapper::Itself => Ok(()),
        Mapper::Client => {
            write_file(&format!("/proc/{pid}/uid_map"), map_text(&facts.ids.uids).as_bytes())?;
            write_file(&format!("/proc/{pid}/gid_map"), map_text(&facts.ids.gids).as_bytes())?;
            Ok(())
        }
        Mapper::Helpers { newuidmap, newgidmap } => {
            let start = |program: &std::path::Path, extents: &[IdExtent]| {
                Command::new(program)
                    .arg(pid.to_string())
                    .args(extents.iter().flat_map(|e| [e.inside, e.outside, e.count]).map(|n| n.to_string()))
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::piped())
                    .spawn()
                    .named(|| format!("execve({program:?})"))
            };
            let helpers =
                [("newuidmap", start(newuidmap, &facts.ids.uids)?), ("newgidmap", start(newgidmap, &facts.ids.gids)?)];
            for (name, helper) in helpers {
                let output = helper.wait_with_output().named(|| format!("wait({name})"))?;
                if !output.status.success() {
                    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                    return Err(Error::new(format!("{name} could not write the pod's id map: {said}")).mend(
                        "check /etc/subuid and /etc/subgid, and that newuidmap and newgidmap are setuid root \
                         (reinstall: sudo apt install --reinstall uidmap)",
                    ));
                }
            }
            Ok(())
        }
    }
}

/// Does `job` in a child that is root of a user namespace with the pod's id map, so that files get and lose any mapped owner,
/// and carries its bytes or its error back.
///
/// # Errors
/// The job's own error, a namespace that could not be made, or the child's death.
pub fn run_mapped(facts: &HostFacts, job: &mut dyn FnMut() -> Result<Vec<u8>>) -> Result<Vec<u8>> {
    let (answer, write_answer) = pipe2(OFlag::O_CLOEXEC).named(|| "pipe2()")?;
    let mut write_answer = Some(write_answer);
    let child = spawn_mapped(facts, CloneFlags::empty(), |entered| {
        let Some(write_answer) = write_answer.take() else { return 125 };
        // The client's death ends the job: it holds copies of the client's locks, and nobody waits for what it makes.
        let _ = prctl::set_pdeathsig(Signal::SIGKILL);
        // The client may have blocked signals for its own loop; this child must stay killable from the terminal.
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
        let (tag, bytes) = match entered.map_err(Error::from).and_then(|()| job()) {
            Ok(bytes) => (b'+', bytes),
            Err(e) => (b'-', e.encode()),
        };
        let mut pipe = std::fs::File::from(write_answer);
        i32::from(pipe.write_all(&[tag]).and_then(|()| pipe.write_all(&bytes)).is_err())
    })?;
    drop(write_answer);
    let mut said = Vec::new();
    std::fs::File::from(answer)
        .read_to_end(&mut said)
        .context(|| "reading the answer of a process in the user namespace")?;
    let exit = child.wait()?;
    match said.split_first() {
        Some((b'+', bytes)) => Ok(bytes.to_vec()),
        Some((_, failure)) => Err(Error::decode(failure)),
        None => Err(died(exit)),
    }
}

fn died(exit: Exit) -> Error {
    Error::new(match exit {
        Exit::Code(code) => format!("the process in the new user namespace ended with status {code} and no word"),
        Exit::Signal(signal) => format!("signal {signal} killed the process in the new user namespace"),
    })
}

/// The text of a `uid_map` or `gid_map` file.
pub fn map_text(extents: &[IdExtent]) -> String {
    let mut text = String::new();
    for e in extents {
        let _ = writeln!(text, "{} {} {}", e.inside, e.outside, e.count);
    }
    text
}

/// Writes `bytes` to a file of procfs in one write(2), as the kernel wants it.
///
/// # Errors
/// The failed open or write, with the path.
pub fn write_file(path: &str, bytes: &[u8]) -> std::result::Result<(), SysError> {
    let mut file = std::fs::OpenOptions::new().write(true).open(path).named(|| format!("open({path:?}, O_WRONLY)"))?;
    file.write_all(bytes).named(|| format!("write({path:?}, {:?})", String::from_utf8_lossy(bytes).trim_end()))?;
    Ok(())
}

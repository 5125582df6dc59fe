//! The pod's processes as its own /proc shows them (proc_pid_stat(5)).

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::error::Result;
use crate::sys::SysError;

/// One process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) parent: i32,
    /// The session's leader.
    pub(super) session: i32,
    /// Processor time, that of children it has waited for included, in clock ticks.
    pub(super) ticks: u64,
    /// Resident memory, in pages.
    pub(super) pages: u64,
}

/// All that there are, by their pids in the supervisor's namespace.
pub(super) fn all() -> BTreeMap<i32, Process> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return BTreeMap::new() };
    let pids = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| Some((pid, parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?))).collect()
}

/// The mount namespace of process `pid`.
pub(super) fn mount_namespace(pid: i32) -> Option<u64> {
    std::fs::metadata(format!("/proc/{pid}/ns/mnt")).ok().map(|m| m.ino())
}

/// Kills every process of a mount namespace, and those that they make meanwhile.
///
/// # Errors
/// A process that cannot be killed.
pub(super) fn kill_in_mount_namespace(namespace: u64) -> Result<()> {
    // Each round leaves only what was made during it, and what makes them is dead then; the bound is against what nobody has thought of.
    for _ in 0..1000 {
        let found: Vec<i32> =
            all().into_keys().filter(|pid| !is_dead(*pid) && mount_namespace(*pid) == Some(namespace)).collect();
        if found.is_empty() {
            return Ok(());
        }
        for pid in found {
            match kill(Pid::from_raw(pid), Signal::SIGKILL) {
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(errno) => return Err(SysError::new(format!("kill({pid}, SIGKILL)"), errno).into()),
            }
        }
    }
    Ok(())
}

/// Kills every process of the session that `leader` leads: its background jobs are in process groups of their own.
pub(super) fn kill_session(leader: i32) {
    // As above; a process that does not end was not killed for want of a permission, which nothing here can mend.
    for _ in 0..10 {
        let found: Vec<i32> =
            all().into_iter().filter(|(pid, p)| p.session == leader && !is_dead(*pid)).map(|(pid, _)| pid).collect();
        if found.is_empty() {
            return;
        }
        for pid in found {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// Whether it is a zombie, or on its way to be one.
fn is_dead(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with(['Z', 'X']))
}

/// A line of /proc/PID/stat. The name in parentheses may hold anything, so the fields are counted from behind it.
fn parse(stat: &str) -> Option<Process> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let number = |n: usize| -> Option<u64> { fields.get(n)?.parse().ok() };
    // The third field of the man page is the first here: 4 is the parent, 14 to 17 the times, 24 the resident pages.
    let ticks = (11..=14).map(number).sum::<Option<u64>>()?;
    let id = |n: usize| -> Option<i32> { fields.get(n)?.parse().ok() };
    Some(Process { parent: id(1)?, session: id(3)?, ticks, pages: number(21)? })
}

/// Whether a process is on its way out: one that is the first of a pid namespace ends only when all others of it have been reaped
/// (pid_namespaces(7)), the commands that podling has put there included.
pub(super) fn is_ending(pid: i32) -> bool {
    /// `PF_EXITING` of the kernel's linux/sched.h, in the field `flags` of proc_pid_stat(5).
    const EXITING: u64 = 0x4;
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return true };
    let flags = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(6)?.parse::<u64>().ok());
    flags.is_some_and(|flags| flags & EXITING != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_full_of_parentheses_and_spaces_confuses_nobody() {
        let line =
            "7 (a) 1 2 (b) S 3 7 7 0 -1 4194560 100 0 0 0 11 12 13 14 20 0 1 0 5000 8192000 21 18446744073709551615 1";
        assert_eq!(parse(line), Some(Process { parent: 3, session: 7, ticks: 50, pages: 21 }));
        assert_eq!(parse("7 (a"), None);
    }

    #[test]
    fn this_process_is_there() {
        let me = std::process::id().cast_signed();
        assert!(all().get(&me).is_some_and(|p| p.pages > 0));
        assert!(mount_namespace(me).is_some());
    }
}

//! The kernel's settings of a pod's own network and ipc namespaces: which of them this kernel has, and setting them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sched::CloneFlags;
use nix::sys::stat::Mode;
use nix::unistd::pipe2;

use super::userns::write_file;
use crate::error::{Error, Result};
use crate::sys::Named;
use crate::sys::clone::spawn;

/// Sets what a pod asks for, by its path below /proc/sys, from inside the pod's namespaces, and says why that cannot be.
///
/// # Errors
/// The failed call.
pub fn set(name: &str, value: &str) -> Result<()> {
    let Err(error) = write_file(&format!("proc/sys/{name}"), value.as_bytes()) else { return Ok(()) };
    match why_not(error.errno) {
        Some(why) => Err(Error::new(format!("sysctl {:?}: {why}: {error}", name.replace('/', ".")))),
        None => Err(error.into()),
    }
}

/// What the kernel means by refusing a setting.
pub fn why_not(errno: Errno) -> Option<&'static str> {
    match errno {
        Errno::ENOENT => Some("this kernel has no such setting in a pod's namespaces"),
        Errno::EACCES | Errno::EPERM => Some("the kernel lets only the host's root change it"),
        Errno::EINVAL | Errno::ERANGE => Some("the kernel does not take the value"),
        _ => None,
    }
}

/// Looks for settings, by their paths below /proc/sys, where new pods will have them, and tells of those that none can change.
///
/// What is at those paths depends on the namespaces of who looks, and the host's own network namespace has settings that no other
/// has. So a child looks, in new ones. Where it cannot be made nothing can be told; a pod cannot be made there either.
pub(super) fn look(names: &[String]) -> BTreeMap<String, Errno> {
    let refused = refused(names).unwrap_or_default();
    names.iter().cloned().zip(refused).filter_map(|(name, errno)| Some((name, errno?))).collect()
}

fn refused(names: &[String]) -> Result<Vec<Option<Errno>>> {
    let (answer, write_answer) = pipe2(OFlag::O_CLOEXEC).named(|| "pipe2()")?;
    let flags = CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC;
    let mut write_answer = Some(write_answer);
    let child = spawn(flags, || {
        let Some(pipe) = write_answer.take() else { return 1 };
        let found: Vec<u8> = names.iter().flat_map(|name| access(name).to_ne_bytes()).collect();
        i32::from(File::from(pipe).write_all(&found).is_err())
    })?;
    drop(write_answer);
    let mut found = Vec::new();
    File::from(answer).read_to_end(&mut found)?;
    child.wait()?;
    let (numbers, _) = found.as_chunks();
    Ok(numbers
        .iter()
        .map(|number| Some(i32::from_ne_bytes(*number)).filter(|n| *n != 0).map(Errno::from_raw))
        .collect())
}

/// The errno that the setting would be refused with, or 0 where that cannot be told. Nothing is written.
fn access(name: &str) -> i32 {
    // Who owns the settings of the ipc namespace is decided by the map of ids, which the child does not have. And access(2) would leave
    // out the capabilities that it has over its network namespace.
    let flags = if name.starts_with("net/") { OFlag::O_WRONLY } else { OFlag::O_PATH };
    match open(&Path::new("/proc/sys").join(name), flags | OFlag::O_CLOEXEC, Mode::empty()) {
        Err(Errno::ENOENT | Errno::ENOTDIR) => Errno::ENOENT as i32,
        Err(errno @ (Errno::EACCES | Errno::EPERM)) => errno as i32,
        // A pod has a /proc of its own, which can be written where the host's cannot.
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_pod_would_not_have_is_told() {
        let names = [
            "net/ipv4/ip_forward",
            "net/ipv4/no_such_thing",
            "kernel/shmmax",
            "fs/mqueue/none",
            "net/core/bpf_jit_enable",
            "net/core/rmem_max",
        ];
        let found = look(&names.map(str::to_owned));
        assert_eq!(found.get("net/ipv4/no_such_thing"), Some(&Errno::ENOENT), "{found:?}");
        assert_eq!(found.get("fs/mqueue/none"), Some(&Errno::ENOENT));
        // The host's own network namespace has it, wherever the kernel can compile BPF, and no other.
        assert_eq!(found.get("net/core/bpf_jit_enable"), Some(&Errno::ENOENT));
        // As far as a pod sees it at all, nobody there can change it.
        assert!(found.contains_key("net/core/rmem_max"), "{found:?}");
        assert_eq!((found.get("net/ipv4/ip_forward"), found.get("kernel/shmmax")), (None, None));
    }
}

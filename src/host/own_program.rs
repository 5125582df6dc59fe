//! podling's own program, out of the reach of the containers that it starts.
//!
//! Between the clone and the execve a container's process runs podling's program, so `command: [/proc/self/exe]`, or a script that begins with
//! `#!/proc/self/exe`, starts that program inside the container, and there `/proc/self/exe` is a way to the file on the host. Where the file belongs
//! to the caller, who is the pod's root, the container could write it or change its mode (CVE-2019-5736 is this in runc). The kernel
//! keeps the mount by which a program was executed, so podling executes itself once more by a read-only mount that nobody else has:
//! whatever leads to the file that way cannot change it. No copy is made, and nothing is held in memory.

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sched::CloneFlags;
use nix::sys::prctl;
use nix::sys::stat::{Mode, fstat};
use nix::sys::statvfs::{FsFlags, fstatvfs};
use nix::unistd::{AccessFlags, access};

use super::HostFacts;
use crate::error::{Context, Error, Result};
use crate::sys::clone::spawn;
use crate::sys::mount::{Depth, clone_tree, set_attributes};
use crate::sys::process::{StringList, execute};
use crate::sys::{Named, SysError, packet};

/// Makes sure that no container can change this program's file, executing it anew where that is needed. Returns in the process
/// whose program is safe.
///
/// # Errors
/// The kernel forbids what is needed.
pub fn protect(facts: &HostFacts) -> Result<()> {
    let exe = open("/proc/self/exe", OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())
        .named(|| "open(\"/proc/self/exe\", O_PATH)")?;
    if is_safe(&exe, facts)? {
        return Ok(());
    }
    let mount = read_only_mount(&exe).context(|| "keeping podling's program out of the containers' reach")?;
    let strings = |list: Vec<std::ffi::OsString>| -> StringList {
        StringList::new(list.into_iter().filter_map(|s| CString::new(s.as_bytes()).ok()).collect())
    };
    let argv = strings(std::env::args_os().collect());
    let envp = strings(
        std::env::vars_os()
            .map(|(name, value)| {
                let mut both = name;
                both.push("=");
                both.push(value);
                both
            })
            .collect(),
    );
    let errno = execute(&mount, &argv, &envp);
    Err(SysError::new("execveat(podling's own program)", errno).into())
}

/// Whether no id of the pod may change the file, or the way to it is read-only already.
fn is_safe(exe: &OwnedFd, facts: &HostFacts) -> Result<bool> {
    let flags = fstatvfs(exe).named(|| "fstatvfs(\"/proc/self/exe\")")?.flags();
    if flags.contains(FsFlags::ST_RDONLY) {
        // A program that is executed by a descriptor is called by the descriptor's number.
        let _ = prctl::set_name(c"podling");
        return Ok(true);
    }
    let file = std::fs::metadata("/proc/self/exe").context(|| "stat(\"/proc/self/exe\")")?;
    let outside = |uid: u32| facts.ids.uids.iter().any(|e| uid >= e.outside && uid - e.outside < e.count);
    let others_write = file.mode() & 0o022 != 0 && access("/proc/self/exe", AccessFlags::W_OK).is_ok();
    Ok(!outside(file.uid()) && !others_write)
}

/// A mount of the file alone, which is in no mount namespace: a process in new namespaces makes it, and only the descriptor remains.
fn read_only_mount(exe: &OwnedFd) -> Result<OwnedFd> {
    let path = std::fs::read_link("/proc/self/exe").context(|| "readlink(\"/proc/self/exe\")")?;
    let (ours, theirs) = packet::pair()?;
    let child = spawn(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS, || {
        // The descriptor's mount belongs to the caller's namespace; the path leads to its copy in this one.
        let found = open(&path, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())
            .named(|| format!("open({path:?}, O_PATH)"))
            .and_then(|found| if same(&found, exe) { Ok(found) } else { Err(replaced(&path)) });
        let made = found.and_then(|found| clone_tree(found, c"")).and_then(|tree| {
            set_attributes(
                &tree,
                Depth::This,
                libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID,
                c"podling's program",
            )?;
            packet::send(&theirs, b"+", &[tree.as_raw_fd()])
        });
        match made {
            Ok(()) => 0,
            Err(e) => {
                let _ = packet::send(&theirs, e.to_string().as_bytes(), &[]);
                1
            }
        }
    })?;
    let mut said = [0; 1024];
    child.wait()?;
    let (length, mut fds) = packet::receive(&ours, &mut said)?;
    fds.pop().ok_or_else(|| Error::new(String::from_utf8_lossy(said.get(..length).unwrap_or_default()).into_owned()))
}

/// Whether both are one file.
fn same(one: &OwnedFd, other: &OwnedFd) -> bool {
    let id = |fd: &OwnedFd| fstat(fd).map(|stat| (stat.st_dev, stat.st_ino));
    id(one).is_ok_and(|one| id(other) == Ok(one))
}

/// A file that was replaced while the program starts, as by an upgrade.
fn replaced(path: &Path) -> SysError {
    SysError::new(format!("open({path:?}), which is not the program that runs any more"), Errno::ESTALE)
}

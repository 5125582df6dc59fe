//! Taking the host's files out of a process's reach: a directory becomes its whole root.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use caps::{CapSet, Capability, CapsHashSet};
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::prctl;
use nix::sys::stat::Mode;
use nix::unistd::{chdir, pivot_root};

use super::{Caller, HostFacts};
use crate::sys::mount::{attach, clone_tree};
use crate::sys::{Named, SysError};

/// A directory for a process in mount and user namespaces of its own, which may not be able to reach it by its path.
#[derive(Debug)]
pub struct Tree {
    path: PathBuf,
    /// The pod's root of a pod of real root is nobody on the host: it gets the mount ready-made. An ordinary user's process has the
    /// user's own rights, and binds the path itself.
    detached: Option<OwnedFd>,
}

impl Tree {
    /// Looks at the directory as the caller.
    ///
    /// # Errors
    /// The failed call.
    pub fn new(path: &Path, facts: &HostFacts) -> Result<Tree, SysError> {
        let detached = match facts.caller {
            Caller::User => None,
            Caller::Root => Some(clone_tree(open_path(path)?, c"")?),
        };
        Ok(Tree { path: path.to_owned(), detached })
    }

    /// Its path on the host.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Finds the directory in this process's mount namespace, before another mount covers its path.
    ///
    /// # Errors
    /// The failed call.
    pub fn find(&self) -> Result<Found<'_>, SysError> {
        Ok(match &self.detached {
            Some(tree) => Found::Detached(tree),
            None => Found::Here(&self.path, open_path(&self.path)?),
        })
    }
}

/// A [`Tree`] that was found.
#[derive(Debug)]
pub enum Found<'a> {
    /// At its path.
    Here(&'a Path, OwnedFd),
    /// As a mount without a place.
    Detached(&'a OwnedFd),
}

impl Found<'_> {
    /// Mounts it at `target`.
    ///
    /// # Errors
    /// The failed call.
    pub fn attach(&self, target: &Path) -> Result<(), SysError> {
        match self {
            Found::Detached(tree) => attach(tree, open_path(target)?.as_fd(), c"a directory of podling's"),
            Found::Here(path, dir) => {
                let source = format!("/proc/self/fd/{}", dir.as_raw_fd());
                mount(Some(source.as_str()), target, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)
                    .named(|| format!("mount({path:?}, MS_BIND)"))
            }
        }
    }
}

/// A directory that exists everywhere, which a new root is mounted over for the moment before it becomes the root.
pub fn place() -> &'static str {
    ["/tmp", "/run", "/mnt", "/var"].into_iter().find(|p| Path::new(p).is_dir()).unwrap_or("/proc")
}

/// Makes the working directory, a mount point, the root of this process, and lets the host's mounts go.
///
/// # Errors
/// The failed call.
pub fn become_root() -> Result<(), SysError> {
    pivot_root(".", ".").named(|| "pivot_root(\".\", \".\")")?;
    umount2(".", MntFlags::MNT_DETACH).named(|| "umount2(\".\", MNT_DETACH)")?;
    chdir("/").named(|| "chdir(\"/\")")
}

/// Makes `tree` the root of this process, alone in its mount namespace.
///
/// # Errors
/// The failed call.
pub fn confine(tree: &Tree) -> Result<(), SysError> {
    let found = tree.find()?;
    // What is mounted here must not reach the host's mount namespace.
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .named(|| "mount(\"/\", MS_REC | MS_PRIVATE)")?;
    let place = place();
    found.attach(Path::new(place))?;
    chdir(place).named(|| format!("chdir({place:?})"))?;
    become_root()
}

/// Gives up every capability but those that write files of any owner, mode and attribute (capabilities(7)), for good.
///
/// # Errors
/// The failed call.
pub fn keep_capabilities_over_files() -> Result<(), SysError> {
    use Capability::{CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_MKNOD, CAP_SETFCAP};
    let kept: CapsHashSet =
        [CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_MKNOD, CAP_SETFCAP].into_iter().collect();
    for set in [CapSet::Effective, CapSet::Permitted] {
        caps::set(None, set, &kept).map_err(|e| SysError::new(format!("capset(): {e}"), Errno::last()))?;
    }
    prctl::set_no_new_privs().named(|| "prctl(PR_SET_NO_NEW_PRIVS)")
}

fn open_path(path: &Path) -> Result<OwnedFd, SysError> {
    open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
        .named(|| format!("open({path:?}, O_PATH)"))
}

//! The supervisor's own root: a small tmpfs that holds what containers are built from, and nothing else of the host.
//!
//! Each container's mount namespace begins as a copy of the supervisor's, so a small tree makes every start cheaper; and a
//! process that has not pivoted yet has no host file in reach.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::Mode;
use nix::unistd::{chdir, pivot_root};

use crate::host::{Caller, HostFacts};
use crate::sys::mount::{attach, clone_tree};
use crate::sys::{Named, SysError};

/// Where the store is, for a supervisor that may not be able to reach its path.
#[derive(Debug)]
pub(super) enum Data {
    /// An ordinary user's supervisor has the user's own rights, and binds the path itself.
    Path(PathBuf),
    /// The pod's root of a pod of real root is nobody on the host: it gets the tree ready-made.
    Tree(PathBuf, OwnedFd),
}

impl Data {
    /// Looks at the store's directory as the client.
    ///
    /// # Errors
    /// The failed call.
    pub(super) fn new(path: &Path, facts: &HostFacts) -> Result<Data, SysError> {
        Ok(match facts.caller {
            Caller::User => Data::Path(path.to_owned()),
            Caller::Root => {
                let dir = open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
                    .named(|| format!("open({path:?}, O_PATH)"))?;
                Data::Tree(path.to_owned(), clone_tree(dir, c"")?)
            }
        })
    }
}

/// Directories that exist everywhere, one of which the new root is mounted over for the moment before it becomes the root.
const PLACES: [&str; 4] = ["/tmp", "/run", "/mnt", "/var"];

/// Mounts the new root and enters it with the working directory; [`become_root`] makes it the root.
///
/// The store appears at its own path, so that the plan's paths are true in here, too.
///
/// # Errors
/// The failed call.
pub(super) fn mount_root(data: &Data) -> Result<(), SysError> {
    // The path may lie below the place that the new root covers, so it is opened before.
    let store = match data {
        Data::Path(path) => Some(
            open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
                .named(|| format!("open({path:?}, O_PATH)"))?,
        ),
        Data::Tree(..) => None,
    };
    let place = PLACES.iter().find(|p| Path::new(p).is_dir()).copied().unwrap_or("/proc");
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), place, Some("tmpfs"), flags, Some("mode=755"))
        .named(|| format!("mount(\"tmpfs\", {place:?})"))?;
    chdir(place).named(|| format!("chdir({place:?})"))?;
    for dir in ["proc", "sys", "dev"] {
        fs::create_dir(dir).named(|| format!("mkdir({dir:?})"))?;
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("proc"), "proc", Some("proc"), flags, None::<&str>).named(|| "mount(\"proc\", the pod's /proc)")?;
    mount(Some("/dev"), "dev", None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)
        .named(|| "mount(\"/dev\", MS_BIND)")?;
    let (Data::Path(path) | Data::Tree(path, _)) = data;
    let at = path.strip_prefix("/").unwrap_or(path);
    fs::create_dir_all(at).named(|| format!("mkdir({at:?})"))?;
    match (data, store) {
        (Data::Tree(_, tree), _) => {
            let at_fd = open(at, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).named(|| format!("open({at:?})"))?;
            attach(tree, at_fd.as_fd(), c"the store")
        }
        (Data::Path(_), Some(store)) => {
            let source = format!("/proc/self/fd/{}", store.as_raw_fd());
            mount(Some(source.as_str()), at, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)
                .named(|| format!("mount({path:?}, MS_BIND)"))
        }
        (Data::Path(_), None) => Ok(()),
    }
}

/// Makes the working directory the root of this process, and lets the host's mounts go.
///
/// # Errors
/// The failed call.
pub(super) fn become_root() -> Result<(), SysError> {
    pivot_root(".", ".").named(|| "pivot_root(\".\", \".\")")?;
    umount2(".", MntFlags::MNT_DETACH).named(|| "umount2(\".\", MNT_DETACH)")?;
    chdir("/").named(|| "chdir(\"/\")")
}

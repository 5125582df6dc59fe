//! Mounting the volumes that are no tmpfs: directories on the disk, paths of the host, images.

use std::ffi::CString;
use std::fs::{self, DirBuilder, File};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{AtFlags, OFlag, open};
use nix::mount::MsFlags;
use nix::sys::stat::{Mode, fstatat};

use super::host_path::HostTrees;
use super::ownership;
use crate::error::{Context, Error, Result};
use crate::image::layer::remove_tree::remove_tree;
use crate::plan::{VolumePlan, VolumeSource};
use crate::runtime::mount_read_only_overlay;
use crate::sys::mount::{Depth, Propagation, attach, clone_tree, set_attributes, set_propagation};
use crate::sys::{Named, SysError};

/// No volume brings devices, nor programs that run as somebody else.
const RESTRICTED: u64 = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;

/// Mounts `volume` below `root`, the supervisor's root to be and this process's working directory.
///
/// # Errors
/// The failed call.
pub(super) fn mount(root: &Path, volume: &VolumePlan, host: &HostTrees) -> Result<()> {
    match &volume.source {
        VolumeSource::Memory { .. } => Ok(()),
        VolumeSource::PodDirectory(directory) => {
            let directory = below(root, directory);
            DirBuilder::new().mode(0o700).create(&directory).named(|| format!("mkdir({directory:?})"))?;
            if let Some(group) = volume.group {
                std::os::unix::fs::chown(&directory, None, Some(group))
                    .named(|| format!("chown({directory:?}, {group})"))?;
            }
            // The umask must not take bits away.
            fs::set_permissions(&directory, fs::Permissions::from_mode(volume.mode))
                .named(|| format!("chmod({directory:?})"))?;
            bind(root, volume, clone_tree(nix::fcntl::AT_FDCWD, &c_path(&directory)?)?)
        }
        VolumeSource::Claim(claim) => {
            let directory = below(root, &claim.path);
            if let Some(group) = volume.group {
                let found = open(&directory, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty());
                ownership::give(&found.named(|| format!("open({directory:?}, O_PATH)"))?, group, claim.change)?;
            }
            bind(root, volume, clone_tree(nix::fcntl::AT_FDCWD, &c_path(&directory)?)?)
        }
        VolumeSource::HostPath(_) => {
            let tree = host.iter().find(|(name, _)| *name == volume.name).map(|(_, tree)| tree);
            let tree = tree.ok_or_else(|| Error::new(format!("volume {:?} was not looked for", volume.name)))?;
            // Mounts may come from the host, and none of the pod's goes there, whoever made the copy.
            set_propagation(tree, Propagation::Slave, &c_path(&volume.path)?)?;
            bind(root, volume, tree)
        }
        VolumeSource::Image { layers, .. } => {
            let at = below(root, &volume.path);
            fs::create_dir_all(&at).named(|| format!("mkdir({at:?})"))?;
            let mut lower: Vec<PathBuf> = layers.iter().map(|layer| below(root, layer)).collect();
            // An overlay without an upper directory has two lower ones at least.
            for n in lower.len()..2 {
                let empty = below(root, &Path::new(EMPTY).join(n.to_string()));
                fs::create_dir_all(&empty).named(|| format!("mkdir({empty:?})"))?;
                lower.insert(0, empty);
            }
            let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
            mount_read_only_overlay(&lower, &at, flags).context(|| format!("image volume {:?}", volume.name))
        }
    }
}

/// Directories with nothing in them.
const EMPTY: &str = "/pod/empty";

/// Removes the directory that `volume` has below the pod's own, if it has one.
///
/// # Errors
/// What could not be removed, by path.
pub(super) fn remove(pod_dir: impl AsFd, volume: &VolumePlan) -> Result<()> {
    let VolumeSource::PodDirectory(directory) = &volume.source else { return Ok(()) };
    let Some(name) = directory.file_name().filter(|_| directory.exists()) else { return Ok(()) };
    remove_tree(pod_dir.as_fd(), Path::new(name)).context(|| format!("removing {directory:?}"))
}

fn bind(root: &Path, volume: &VolumePlan, tree: impl AsFd) -> Result<()> {
    let at = below(root, &volume.path);
    let stat = fstatat(tree.as_fd(), "", AtFlags::AT_EMPTY_PATH).named(|| "fstatat(\"\", AT_EMPTY_PATH)")?;
    if stat.st_mode & libc::S_IFMT == libc::S_IFDIR {
        fs::create_dir_all(&at).named(|| format!("mkdir({at:?})"))?;
    } else {
        let parent = at.parent().unwrap_or(root);
        fs::create_dir_all(parent).named(|| format!("mkdir({parent:?})"))?;
        File::options().write(true).create_new(true).open(&at).named(|| format!("open({at:?}, O_CREAT)"))?;
    }
    let name = c_path(&volume.path)?;
    set_attributes(&tree, Depth::Recursive, RESTRICTED, &name)?;
    let place = open(&at, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).named(|| format!("open({at:?}, O_PATH)"))?;
    Ok(attach(tree, place, &name)?)
}

fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

fn c_path(path: &Path) -> std::result::Result<CString, SysError> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| SysError::new(format!("open({path:?})"), nix::errno::Errno::EINVAL))
}

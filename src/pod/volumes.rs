//! The pod's tmpfs mounts, filled with the files of the plan.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::Write;
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use nix::mount::{MsFlags, mount};

use super::atomic;
use crate::plan::{Layout, VolumePlan, VolumeSource};
use crate::sys::{Named, SysError};

/// Mounts one volume below `root` and writes its files.
pub(super) fn make(root: &Path, volume: &VolumePlan) -> Result<(), SysError> {
    // What else there is holds its files already.
    let VolumeSource::Memory { size_limit } = volume.source else { return Ok(()) };
    let at = root.join(volume.path.strip_prefix("/").unwrap_or(&volume.path));
    fs::create_dir_all(&at).named(|| format!("mkdir({at:?})"))?;
    let mut options = format!("mode={:o}", volume.mode);
    if let Some(bytes) = size_limit {
        options.push_str(&format!(",size={bytes}"));
    }
    if let Some(group) = volume.group {
        options.push_str(&format!(",gid={group}"));
    }
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), &at, Some("tmpfs"), flags, Some(options.as_str()))
        .named(|| format!("mount(\"tmpfs\", volume {:?}, {options:?})", volume.name))?;
    for directory in &volume.directories {
        make_dir(&at.join(directory))?;
    }
    if volume.layout == Layout::Atomic {
        return atomic::write(atomic::open_directory(&at)?.as_fd(), &volume.files);
    }
    for file in &volume.files {
        let path = at.join(&file.path);
        if let Some(parent) = path.parent() {
            make_dir(parent)?;
        }
        let mut open = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(file.mode)
            .open(&path)
            .named(|| format!("open({path:?}, O_CREAT | O_EXCL) for volume {:?}", volume.name))?;
        open.write_all(&file.content).named(|| format!("write({path:?})"))?;
        // The umask must not take bits away that the YAML asks for.
        open.set_permissions(fs::Permissions::from_mode(file.mode)).named(|| format!("chmod({path:?})"))?;
    }
    Ok(())
}

fn make_dir(path: &Path) -> Result<(), SysError> {
    DirBuilder::new().recursive(true).mode(0o755).create(path).named(|| format!("mkdir({path:?})"))
}

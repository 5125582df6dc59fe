//! The lowest layer of every container: the places of the mounts that every container has.
//!
//! An image may lack `/proc` or `/etc/hosts`. Made in each container's upper directory they would cost every start a dozen changes
//! of the disk, and every end as many again; so they are made once, below all layers of the image, which then have the last word.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::state::lock;
use crate::error::{Error, Result};
use crate::host::HostFacts;
use crate::sys::{Named, SysError};

const DIRECTORIES: [&str; 4] = ["dev", "proc", "sys", "etc"];
const FILES: [&str; 3] = ["etc/hostname", "etc/hosts", "etc/resolv.conf"];

/// Where the layer is, below podling's data.
pub fn base_layer(data: &Path) -> PathBuf {
    data.join("base")
}

/// Makes the layer, unless it is there.
///
/// # Errors
/// What could not be made, by path.
pub fn make_base_layer(data: &Path, facts: &HostFacts) -> Result<()> {
    let base = base_layer(data);
    if base.exists() {
        return Ok(());
    }
    // Made among the pods' directories, and locked as they are, so that what a killed podling leaves there is swept with them.
    let pods = data.join("pods");
    facts.ids.make_private_dir(data, &pods)?;
    let (made, _lock) = locked_directory(&pods)?;
    let open = |path: &Path| path.set_mode(0o755);
    open(made.path())?;
    facts.ids.give_to_root(made.path())?;
    for name in DIRECTORIES {
        let path = made.path().join(name);
        fs::DirBuilder::new().mode(0o755).create(&path).named(|| format!("mkdir({path:?})"))?;
        open(&path)?;
        facts.ids.give_to_root(&path)?;
    }
    for name in FILES {
        let path = made.path().join(name);
        File::options().write(true).create_new(true).mode(0o644).open(&path).named(|| format!("open({path:?})"))?;
        path.set_mode(0o644)?;
        facts.ids.give_to_root(&path)?;
    }
    let path = made.keep();
    match fs::rename(&path, &base) {
        // Another podling was quicker.
        Err(e) if matches!(e.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => {
            Ok(fs::remove_dir_all(&path).named(|| format!("unlink({path:?})"))?)
        }
        renamed => Ok(renamed.named(|| format!("rename({path:?}, {base:?})"))?),
    }
}

/// A new directory that no sweep of another podling takes away.
fn locked_directory(pods: &Path) -> Result<(TempDir, File)> {
    for _ in 0..16 {
        let made = tempfile::Builder::new().prefix(".base-").tempdir_in(pods).named(|| format!("mkdtemp({pods:?})"))?;
        // Between its making and its locking it may have looked like a dead pod's.
        if let Some(lock) = lock(made.path())? {
            return Ok((made, lock));
        }
    }
    Err(Error::new(format!("cannot lock a directory in {pods:?}")))
}

/// The mode that was asked for, whatever the caller's umask.
trait SetMode {
    fn set_mode(&self, mode: u32) -> std::result::Result<(), SysError>;
}

impl SetMode for Path {
    fn set_mode(&self, mode: u32) -> std::result::Result<(), SysError> {
        fs::set_permissions(self, fs::Permissions::from_mode(mode)).named(|| format!("chmod({self:?}, {mode:o})"))
    }
}

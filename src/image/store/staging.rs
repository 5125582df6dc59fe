//! Places where blobs and layers are made before the store has them.
//!
//! A staging directory belongs to whoever holds the flock on it. The kernel drops the lock with its holder, so a directory
//! that can be locked is an orphan: the next podling removes it.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use nix::sys::statvfs::fstatvfs;

use crate::error::{Context, Error, Result};
use crate::image::layer::remove_tree;
use crate::image::namespace::InUserNamespace;
use crate::sys::Named;

/// The name of the unpacked tree in a layer's own directory.
///
/// The tree's root has the owner and mode that the image gives it, and may be one that the caller can neither lock nor move;
/// the directory around it is always the caller's.
pub const TREE: &str = "tree";

/// Where a staging directory has the layers that are being made: all that the process that unpacks them can reach, and no blob among it.
const LAYERS: &str = "layers";

/// What is worth a trip to the disk, in bytes: tens of milliseconds of a fast one.
const A_LOT: u64 = 128 << 20;
/// How often it is looked whether there is so much.
const LOOK: Duration = Duration::from_millis(50);

/// A locked directory in the store's file system; removed, with all in it, by [`Staging::remove`] or by a later podling.
#[derive(Debug)]
pub struct Staging {
    path: PathBuf,
    lock: File,
}

impl Staging {
    /// Makes and locks a new directory in `parent`.
    pub fn new(parent: &Path) -> Result<Staging> {
        for _ in 0..16 {
            let made = tempfile::Builder::new()
                .prefix("load-")
                .permissions(fs::Permissions::from_mode(0o700))
                .tempdir_in(parent);
            let path = made.context(|| format!("cannot make a directory in {}", parent.display()))?.keep();
            // Between its making and its locking another podling may take it for an orphan.
            let lock = match File::open(&path) {
                Ok(lock) => lock,
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                Err(e) => return Err(Error::new(format!("cannot open {}: {e}", path.display()))),
            };
            if lock.try_lock().is_ok() && is_at(&lock, &path) {
                return Ok(Staging { path, lock });
            }
        }
        Err(Error::new(format!("cannot lock a directory in {}", parent.display())))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where its layers are made.
    pub fn layers(&self) -> PathBuf {
        self.path.join(LAYERS)
    }

    /// Waits until all that is in it is on disk.
    ///
    /// One syncfs(2) for a layer's tens of thousands of files, and for the blobs: to sync each by itself would cost a journal
    /// commit each. It comes before anything gets its name in the store, so that a power cut leaves no hollow layer.
    pub fn sync(&self) -> Result<()> {
        nix::unistd::syncfs(&self.lock).named(|| format!("syncfs({:?})", self.path.display().to_string()))?;
        Ok(())
    }

    /// Has the disk work while the processors do: whenever another [`A_LOT`] was written, it is brought to the disk, so that
    /// little is left for [`Staging::sync`]. Ends when the sender is dropped.
    pub fn write_back_until(&self, ended: Receiver<()>) {
        let mut on_disk = self.free().unwrap_or(0);
        while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(LOOK) {
            let Some(free) = self.free() else { return };
            if on_disk.saturating_sub(free) >= A_LOT {
                // It is done again at the end, and then an error counts.
                let _ = nix::unistd::syncfs(&self.lock);
                on_disk = self.free().unwrap_or(0);
            }
            on_disk = on_disk.max(free);
        }
    }

    /// How many bytes are free in the file system; what waits to be written does not count as free.
    fn free(&self) -> Option<u64> {
        let stat = fstatvfs(&self.lock).ok()?;
        Some(stat.blocks_free().saturating_mul(stat.fragment_size()))
    }

    /// Removes it and whatever is left in it.
    pub fn remove(self, namespace: &dyn InUserNamespace) -> Result<()> {
        remove_staged(&self.path, namespace)
    }
}

/// Removes the staging directories below `parent` whose makers are gone. Cheap where there is none.
pub fn sweep(parent: &Path, namespace: &dyn InUserNamespace) -> Result<()> {
    let entries = match fs::read_dir(parent) {
        Ok(entries) => entries,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(Error::new(format!("cannot read {}: {e}", parent.display()))),
    };
    for entry in entries {
        let path = entry?.path();
        let Ok(lock) = File::options().read(true).custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW).open(&path) else {
            continue;
        };
        if lock.try_lock().is_ok() && is_at(&lock, &path) {
            remove_staged(&path, namespace)?;
        }
    }
    Ok(())
}

/// Empties the trees inside the user namespace, where their owners are, and removes the rest, which is the caller's, outside.
fn remove_staged(path: &Path, namespace: &dyn InUserNamespace) -> Result<()> {
    let failed = || format!("cannot remove {}", path.display());
    for dir in [path, &path.join(LAYERS)] {
        let entries = match fs::read_dir(dir) {
            Err(e) if e.kind() == ErrorKind::NotFound && dir != path => break,
            entries => entries.context(failed)?,
        };
        for layer in entries {
            empty_tree(&layer?.path().join(TREE), namespace)?;
        }
    }
    fs::remove_dir_all(path).context(failed)
}

/// Removes a layer's directory that is no longer anybody's.
pub fn remove_layer(path: &Path, namespace: &dyn InUserNamespace) -> Result<()> {
    empty_tree(&path.join(TREE), namespace)?;
    fs::remove_dir_all(path).context(|| format!("cannot remove {}", path.display()))
}

fn empty_tree(tree: &Path, namespace: &dyn InUserNamespace) -> Result<()> {
    let open = File::options().custom_flags(libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW).read(true).open(tree);
    let dir = match open {
        Ok(dir) => dir,
        Err(e) if e.kind() == ErrorKind::NotFound || e.kind() == ErrorKind::NotADirectory => return Ok(()),
        Err(e) => return Err(Error::new(format!("cannot open {}: {e}", tree.display()))),
    };
    let mut job = || remove_tree::empty(dir.as_fd()).map(|()| Vec::new());
    namespace.run(&mut job).context(|| format!("cannot empty {}", tree.display()))?;
    // By name, since its own mode may keep even its owner from opening it.
    fs::remove_dir(tree).context(|| format!("cannot remove {}", tree.display()))
}

/// Whether `path` still is the directory that `file` was opened from.
pub fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(open), Ok(named)) => open.ino() == named.ino() && open.dev() == named.dev(),
        _ => false,
    }
}

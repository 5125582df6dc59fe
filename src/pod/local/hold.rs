//! Keeping a volume for as long as a pod uses it.

use std::fs::{self, File, TryLockError};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use super::{Volume, id_map, is_exclusive};
use crate::error::{Error, Result};
use crate::host::HostFacts;
use crate::plan::Sharing;
use crate::sys::Named;

/// How often, and how long apart, a lock is tried again that somebody may hold only for a moment, to see whether he can.
const TRIES: u32 = 20;
const BETWEEN_TRIES: Duration = Duration::from_millis(10);

/// Holds the volume, alone or beside other pods, until all copies of the file are closed.
///
/// # Errors
/// Another pod has it for itself, or uses it while this one wants it for itself; it was removed just now; its files' owners mean
/// something else here.
pub fn hold(volume: &Volume, sharing: Sharing, facts: &HostFacts) -> Result<File> {
    if volume.about.id_map != id_map(facts) {
        return Err(Error::new(format!(
            "volume {} was made when other subordinate ids were this user's, and its files' owners would be strangers here",
            volume.shown()
        ))
        .mend("give the user the old ranges in /etc/subuid and /etc/subgid again, or take another volume"));
    }
    for _ in 0..TRIES {
        if let Some(lock) = lock(&volume.dir, sharing)? {
            return Ok(lock);
        }
        if !volume.dir.exists() {
            return Err(Error::new(format!("volume {} was removed just now", volume.shown())).mend("try again"));
        }
        std::thread::sleep(BETWEEN_TRIES);
    }
    let why = match sharing {
        Sharing::Pods => "another pod has it for itself (ReadWriteOncePod)",
        Sharing::Nobody => "another pod uses it, and ReadWriteOncePod gives it to one pod only",
    };
    Err(Error::new(format!("volume {} is in use: {why}", volume.shown())).mend("podling volume ls shows which pod"))
}

/// Locks a volume's directory; `None` where somebody else's lock forbids that, or it has just been removed.
pub(super) fn lock(dir: &Path, sharing: Sharing) -> Result<Option<File>> {
    let file = match File::open(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        opened => opened.named(|| format!("open({dir:?})"))?,
    };
    let locked = if is_exclusive(sharing) { file.try_lock() } else { file.try_lock_shared() };
    match locked {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(e)) => Err(e).named(|| format!("flock({dir:?})"))?,
    }
    let still_there = fs::metadata(dir).is_ok_and(|now| file.metadata().is_ok_and(|held| held.ino() == now.ino()));
    Ok(still_there.then_some(file))
}

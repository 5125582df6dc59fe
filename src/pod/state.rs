//! A pod's directory on disk, claimed by a lock that the kernel drops with its holders, and the clearing of what dead pods left.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::OFlag;

use super::control::listen;
use super::record::{self, First};
use crate::error::{Context, Error, Result};
use crate::host::{Caller, HostFacts, userns::run_mapped};
use crate::image::layer::remove_tree::{empty, remove_tree};
use crate::sys::Named;

/// The directory `DATA/pods/NAME` of one live pod, which holds what its containers write. The lock on the directory itself lasts
/// as long as any process that inherited it: it is never taken off (nix's `Flock` would, when it is dropped, for all of them), only closed.
#[derive(Debug)]
pub struct Claim {
    dir: PathBuf,
    lock: File,
}

/// What becomes of what is kept of an ended pod, when another wants its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// It stays, and the name is taken.
    Stays,
    /// It goes.
    Goes,
}

/// How often, and how long apart, a lock that another podling holds for a moment (to clear up) is tried again.
const TRIES: u32 = 20;
const BETWEEN_TRIES: Duration = Duration::from_millis(10);

/// The directory of the pod called `name` below podling's data.
pub fn pod_dir(data: &Path, name: &str) -> PathBuf {
    data.join("pods").join(name)
}

impl Claim {
    /// Makes and locks the directory of the pod called `name`. What is kept of an ended pod of that name goes, if `kept` says so.
    ///
    /// # Errors
    /// A running pod has that name, or an ended one that is kept, or the directory cannot be made.
    pub fn new(data: &Path, name: &str, facts: &HostFacts, kept: Kept) -> Result<Claim> {
        let dir = pod_dir(data, name);
        for _ in 0..TRIES {
            match make_pod_dir(data, &dir, facts) {
                // Another podling that clears up took the new directory for a dead pod's, before it was locked.
                Err(_) if !dir.exists() && data.is_dir() => {
                    std::thread::sleep(BETWEEN_TRIES);
                    continue;
                }
                made => made?,
            }
            match lock(&dir)? {
                Some(lock) => {
                    if kept == Kept::Stays && record::is_kept(&dir) {
                        return Err(Error::new(format!("a pod named {name:?} has ended, and its logs are kept"))
                            .mend(format!("remove them with `podling rm {name}`, or say --replace")));
                    }
                    // A killed pod of the same name may have left files in it.
                    if fs::read_dir(&dir).named(|| format!("readdir({dir:?})"))?.next().is_some() {
                        clean(&lock, facts).context(|| format!("clearing {dir:?}"))?;
                    }
                    return Ok(Claim { dir, lock });
                }
                None => std::thread::sleep(BETWEEN_TRIES),
            }
        }
        // Where it cannot be made at all, this says why.
        make_pod_dir(data, &dir, facts)?;
        Err(Error::new(format!("a pod named {name:?} is already running"))
            .mend(format!("stop it first, or give this one another name: --name {name}-2")))
    }

    /// Locks the directory of an ended pod that is kept, to remove it; `None` where it runs or is not there.
    ///
    /// # Errors
    /// The failed call.
    pub fn of_ended(dir: &Path) -> Result<Option<Claim>> {
        Ok(lock(dir)?.map(|lock| Claim { dir: dir.to_owned(), lock }))
    }

    /// The pod's control socket, listening.
    ///
    /// # Errors
    /// The failed call.
    pub(super) fn listen(&self) -> Result<OwnedFd> {
        listen(self.lock.as_fd())
    }

    /// Keeps how the pod is started.
    ///
    /// # Errors
    /// The failed call.
    pub(super) fn write_first(&self, first: &First) -> Result<()> {
        record::write_first(self.lock.as_fd(), first)
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The lock's descriptor, for a process that must not hold it.
    pub(super) fn descriptor(&self) -> RawFd {
        self.lock.as_raw_fd()
    }

    /// Removes the directory; the supervisor has emptied it, unless it was killed.
    ///
    /// # Errors
    /// What could not be removed, by path.
    pub fn release(self, facts: &HostFacts) -> Result<()> {
        clear(&self.lock, &self.dir, facts)
    }

    /// Keeps what is kept of a pod that has ended: removes only what its containers wrote, if its supervisor could not.
    ///
    /// # Errors
    /// What could not be removed, by path.
    pub fn keep(self, facts: &HostFacts) -> Result<()> {
        clear_kept(&self.lock, &self.dir, facts)
    }
}

/// Removes what killed pods left below `data`: every pod directory whose lock nobody holds. What cannot be removed is left, and said
/// in the answer, one sentence each: another pod's remains are no reason not to run this one.
pub fn sweep(data: &Path, facts: &HostFacts) -> Vec<String> {
    let Ok(entries) = fs::read_dir(data.join("pods")) else { return Vec::new() };
    let mut left = Vec::new();
    for dir in entries.flatten().map(|e| e.path()) {
        // A directory that vanishes meanwhile belongs to a pod that has just ended.
        let Ok(Some(lock)) = lock(&dir) else { continue };
        if record::is_kept(&dir) {
            if let Err(e) = clear_kept(&lock, &dir, facts) {
                left.push(e.to_string());
            }
            continue;
        }
        // Its name is free at once, however long the clearing takes. No pod's name begins with a point.
        let aside = data.join("pods").join(format!(".dead-{}-{}", std::process::id(), left.len()));
        let dir = if fs::rename(&dir, &aside).is_ok() { aside } else { dir };
        if let Err(e) = clear(&lock, &dir, facts) {
            left.push(e.to_string());
        }
    }
    left
}

fn clear(lock: &File, dir: &Path, facts: &HostFacts) -> Result<()> {
    if remove_empty(dir)? {
        return Ok(());
    }
    // Files can be removed by whoever may write the directory, and often nothing else is left: a process in the pod's user namespace
    // costs more, and may be what could not be made.
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| !kind.is_dir()) {
            let _ = fs::remove_file(entry.path());
        }
    }
    if remove_empty(dir)? {
        return Ok(());
    }
    clean(lock, facts).context(|| format!("clearing {dir:?}"))?;
    Ok(fs::remove_dir(dir).named(|| format!("rmdir({dir:?})"))?)
}

/// Removes a directory unless something is in it; one that a supervisor whose client was gone has removed is no failure.
fn remove_empty(dir: &Path) -> Result<bool> {
    match fs::remove_dir(dir) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(true),
        Err(e) if e.kind() == ErrorKind::DirectoryNotEmpty => Ok(false),
        removed => Ok(removed.map(|()| true).named(|| format!("rmdir({dir:?})"))?),
    }
}

/// Removes the directories of a dead pod's containers, and nothing that is kept.
fn clear_kept(lock: &File, dir: &Path, facts: &HostFacts) -> Result<()> {
    let entries = fs::read_dir(dir).named(|| format!("readdir({dir:?})"))?.flatten();
    let trees: Vec<PathBuf> =
        entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| PathBuf::from(e.file_name())).collect();
    if trees.is_empty() {
        return Ok(());
    }
    let remove = || trees.iter().try_for_each(|name| remove_tree(lock.as_fd(), name)).map(|()| Vec::new());
    run_mapped(facts, &mut { remove }).map(drop).context(|| format!("clearing {dir:?}"))
}

/// Removes everything in a pod's directory as the pod's root, who owns what the caller does not.
fn clean(dir: &File, facts: &HostFacts) -> Result<()> {
    run_mapped(facts, &mut || empty(dir.as_fd()).map(|()| Vec::new())).map(drop)
}

/// Whether somebody holds the lock of a pod's directory.
pub(super) fn is_locked(dir: &Path) -> bool {
    // A shared lock is refused as long as an exclusive one is held. That it is held itself for a moment keeps nobody from the name:
    // who wants to claim it tries again.
    open_dir(dir).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Locks a pod directory; `None` where another process holds the lock, or has just removed the directory.
pub(super) fn lock(dir: &Path) -> Result<Option<File>> {
    let file = match open_dir(dir) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.named(|| format!("open({dir:?})"))?,
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(None),
        Err(TryLockError::Error(e)) => Err(e).named(|| format!("flock({dir:?})"))?,
    }
    // Whoever held it before may have removed the directory that is locked now.
    let still_there = fs::metadata(dir).is_ok_and(|now| file.metadata().is_ok_and(|held| held.ino() == now.ino()));
    Ok(still_there.then_some(file))
}

fn open_dir(dir: &Path) -> std::io::Result<File> {
    let flags = (OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW).bits();
    fs::OpenOptions::new().read(true).custom_flags(flags).open(dir)
}

fn make_pod_dir(data: &Path, dir: &Path, facts: &HostFacts) -> Result<()> {
    // As real root the directories above must be the pod's root's, and one whose maker was killed may not be yet.
    if facts.caller == Caller::Root {
        return facts.ids.make_private_dir(data, dir);
    }
    // Nearly always the directories above are there already, and one call does it.
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => facts.ids.give_to_root(dir),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(_) => facts.ids.make_private_dir(data, dir),
    }
}

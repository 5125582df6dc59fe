//! A pod's directory on disk, claimed by a lock that the kernel drops with its holders, and the clearing of what dead pods left.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::unistd::{Gid, Uid, chown};

use crate::error::{Context, Error, Result};
use crate::host::{Caller, HostFacts, userns::run_mapped};
use crate::sys::Named;

/// The directory `DATA/pods/NAME` of one live pod. The lock lasts as long as any process that inherited it.
#[derive(Debug)]
pub struct Claim {
    dir: PathBuf,
    lock: Flock<File>,
}

/// How often, and how long apart, a lock that another podling holds for a moment (to clear up) is tried again.
const TRIES: u32 = 20;
const BETWEEN_TRIES: Duration = Duration::from_millis(10);

impl Claim {
    /// Makes and locks the directory of the pod called `name`.
    ///
    /// # Errors
    /// A running pod has that name, or the directory cannot be made.
    pub fn new(data: &Path, name: &str, facts: &HostFacts) -> Result<Claim> {
        let pods = data.join("pods");
        let dir = pods.join(name);
        for _ in 0..TRIES {
            make_dir(&pods)?;
            make_dir(&dir)?;
            match lock(&dir)? {
                Some(lock) => {
                    let claim = Claim { dir, lock };
                    claim.make_containers_dir(facts)?;
                    return Ok(claim);
                }
                None => std::thread::sleep(BETWEEN_TRIES),
            }
        }
        Err(Error::new(format!("a pod named {name:?} is already running"))
            .mend(format!("stop it first, or give this one another name: --name {name}-2")))
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the containers' upper and work directories are made; it belongs to the pod's root.
    pub fn containers_dir(&self) -> PathBuf {
        self.dir.join("containers")
    }

    fn make_containers_dir(&self, facts: &HostFacts) -> Result<()> {
        let containers = self.containers_dir();
        match fs::create_dir(&containers) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                // A killed pod of the same name left it, with files of its own owners.
                remove_mapped(facts, std::slice::from_ref(&containers))?;
                fs::create_dir(&containers)
            }
            made => made,
        }
        .named(|| format!("mkdir({containers:?})"))?;
        if facts.caller == Caller::Root {
            let (uid, gid) = (facts.ids.uids.first(), facts.ids.gids.first());
            let (Some(uid), Some(gid)) = (uid, gid) else { return Ok(()) };
            chown(&containers, Some(Uid::from_raw(uid.outside)), Some(Gid::from_raw(gid.outside)))
                .named(|| format!("chown({containers:?})"))?;
        }
        Ok(())
    }

    /// Removes the directory; the supervisor has emptied it, unless it was killed.
    ///
    /// # Errors
    /// What could not be removed, by path.
    pub fn release(self, facts: &HostFacts) -> Result<()> {
        clear(&self.dir, facts)?;
        drop(self.lock);
        Ok(())
    }
}

/// Removes what killed pods left below `data`: every pod directory whose lock nobody holds.
///
/// # Errors
/// What could not be removed, by path.
pub fn sweep(data: &Path, facts: &HostFacts) -> Result<()> {
    let Ok(entries) = fs::read_dir(data.join("pods")) else { return Ok(()) };
    for dir in entries.flatten().map(|e| e.path()) {
        // A directory that vanishes meanwhile belongs to a pod that has just ended.
        if let Ok(Some(lock)) = lock(&dir) {
            clear(&dir, facts)?;
            drop(lock);
        }
    }
    Ok(())
}

fn clear(dir: &Path, facts: &HostFacts) -> Result<()> {
    let containers = dir.join("containers");
    match fs::remove_dir(&containers) {
        Ok(()) => {}
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(_) => remove_mapped(facts, &[containers])?,
    }
    fs::remove_dir_all(dir).named(|| format!("rmdir({dir:?})"))?;
    Ok(())
}

/// Removes trees that hold files of subordinate ids, which only the pod's root may remove.
fn remove_mapped(facts: &HostFacts, trees: &[PathBuf]) -> Result<()> {
    for tree in trees {
        // The tree's own directory stays: its parent belongs to the caller, who is not the pod's root when that is real root.
        let dir = File::open(tree).named(|| format!("open({tree:?})"))?;
        run_mapped(facts, &mut || {
            nix::unistd::fchdir(&dir).named(|| format!("fchdir({tree:?})"))?;
            for entry in fs::read_dir(".").named(|| format!("readdir({tree:?})"))?.flatten() {
                let path = entry.path();
                let is_dir = entry.file_type().is_ok_and(|t| t.is_dir());
                if is_dir { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }
                    .named(|| format!("unlink({:?})", tree.join(&path)))?;
            }
            Ok(Vec::new())
        })
        .context(|| "removing what a pod left behind")?;
        fs::remove_dir(tree).named(|| format!("rmdir({tree:?})"))?;
    }
    Ok(())
}

/// Locks a pod directory; `None` where another process holds the lock, or has just removed the directory.
fn lock(dir: &Path) -> Result<Option<Flock<File>>> {
    let path = dir.join("lock");
    let file = match OpenOptions::new().create(true).truncate(false).write(true).mode_0600().open(&path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.named(|| format!("open({path:?})"))?,
    };
    let lock = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => lock,
        Err((_, Errno::EWOULDBLOCK)) => return Ok(None),
        Err((_, errno)) => return Err(crate::sys::SysError::new(format!("flock({path:?})"), errno).into()),
    };
    // Whoever held it before may have removed the file that is locked now.
    let still_there = fs::metadata(&path).is_ok_and(|now| lock.metadata().is_ok_and(|held| held.ino() == now.ino()));
    Ok(still_there.then_some(lock))
}

trait Mode0600 {
    fn mode_0600(&mut self) -> &mut Self;
}

impl Mode0600 for OpenOptions {
    fn mode_0600(&mut self) -> &mut Self {
        std::os::unix::fs::OpenOptionsExt::mode(self, 0o600)
    }
}

fn make_dir(dir: &Path) -> Result<()> {
    match fs::create_dir(dir) {
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(e) if e.kind() == ErrorKind::NotFound => {
            fs::create_dir_all(dir).named(|| format!("mkdir({dir:?})")).map_err(Into::into)
        }
        made => {
            made.named(|| format!("mkdir({dir:?})"))?;
            fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).named(|| format!("chmod({dir:?})"))?;
            Ok(())
        }
    }
}

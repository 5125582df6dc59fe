//! A Job's directory, `jobs/NAME`: made, locked, written to and removed. Its keeper has it locked; the kernel drops the lock with it.

use std::fs::{self, DirBuilder, File};
use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::record::{FIRST, JobFirst, STATUS, job_dir};
use crate::error::{Error, Result};
use crate::pod::control::listen;
use crate::pod::record::{remove_files, remove_socket, reserve_last, write};
use crate::pod::state::{Kept, lock};
use crate::sys::Named;

/// The directory of one Job, locked.
#[derive(Debug)]
pub struct JobClaim {
    dir: PathBuf,
    lock: File,
}

/// How often, and how long apart, a lock that another podling may hold for a moment is tried again.
const TRIES: u32 = 20;
const BETWEEN_TRIES: Duration = Duration::from_millis(10);

impl Drop for JobClaim {
    /// A claim of which nothing has come leaves no directory.
    fn drop(&mut self) {
        if !self.dir.join(FIRST).exists() {
            let _ = fs::remove_dir(&self.dir);
        }
    }
}

impl JobClaim {
    /// Makes and locks the directory of the Job called `name`. What is kept of an ended one of that name goes, if `kept` says so.
    ///
    /// # Errors
    /// There is a Job of that name, or the directory cannot be made.
    pub fn new(data: &Path, name: &str, kept: Kept) -> Result<JobClaim> {
        let dir = job_dir(data, name);
        DirBuilder::new().mode(0o700).recursive(true).create(&dir).named(|| format!("mkdir({dir:?})"))?;
        let mut locked = lock(&dir)?;
        for _ in 0..TRIES {
            if locked.is_some() {
                break;
            }
            // Another podling may have looked whether anybody has it, or removed it just now.
            std::thread::sleep(BETWEEN_TRIES);
            DirBuilder::new().mode(0o700).recursive(true).create(&dir).named(|| format!("mkdir({dir:?})"))?;
            locked = lock(&dir)?;
        }
        let Some(lock) = locked else {
            return Err(Error::new(format!("a Job named {name:?} is already running"))
                .mend(format!("stop it first, or give this one another name: --name {name}-2")));
        };
        if kept == Kept::Stays && dir.join(FIRST).exists() {
            return Err(Error::new(format!("there is a Job named {name:?} already, and what it has done is kept"))
                .mend(format!("remove it with `podling rm job/{name}`, or say --replace")));
        }
        let claim = JobClaim { dir, lock };
        remove_files(&claim.descriptor_of_own()?);
        Ok(claim)
    }

    /// Locks what is kept of a Job that has no keeper; `None` where it has one, or is not there.
    ///
    /// # Errors
    /// The failed call.
    pub fn of_ended(dir: &Path) -> Result<Option<JobClaim>> {
        Ok(lock(dir)?.map(|lock| JobClaim { dir: dir.to_owned(), lock }))
    }

    /// The keeper's socket, listening.
    pub(in crate::pod) fn listen(&self) -> Result<OwnedFd> {
        listen(self.lock.as_fd())
    }

    /// Keeps how the Job is started.
    ///
    /// # Errors
    /// The failed call.
    pub fn write_first(&self, first: &JobFirst) -> Result<()> {
        write(self.lock.as_fd(), FIRST, first)
    }

    pub(in crate::pod) fn write_status(&self, status: &Value) -> Result<()> {
        let written = write(self.lock.as_fd(), STATUS, status);
        // Room for the next one: logs may have filled the disk by then.
        reserve_last(self.lock.as_fd());
        written
    }

    /// The lock's descriptor, for a process that must not hold it.
    pub(in crate::pod) fn descriptor(&self) -> RawFd {
        self.lock.as_raw_fd()
    }

    /// Nobody answers there any more.
    pub(in crate::pod) fn remove_socket(&self) -> Result<()> {
        remove_socket(&self.descriptor_of_own()?);
        Ok(())
    }

    /// Removes what is kept.
    ///
    /// # Errors
    /// The failed call.
    pub fn remove(self) -> Result<()> {
        remove_files(&self.descriptor_of_own()?);
        match fs::remove_dir(&self.dir) {
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
            removed => Ok(removed.named(|| format!("rmdir({:?})", self.dir))?),
        }
    }

    fn descriptor_of_own(&self) -> Result<OwnedFd> {
        Ok(self.lock.as_fd().try_clone_to_owned().named(|| format!("dup({:?})", self.dir))?)
    }
}

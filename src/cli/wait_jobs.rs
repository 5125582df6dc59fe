//! `podling wait` for Jobs: until they are complete, have failed, or are gone.

use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::Value;

use super::jobs::last_word;
use super::stdout::Stdout;
use crate::error::{Error, Result};
use crate::pod::job::{FoundJob, condition_of, find_job, get_job};
use crate::pod::{Connection, Request};
use crate::sys::Named;

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobCondition {
    /// `Complete`.
    Complete,
    /// `Failed`.
    Failed,
    /// Nothing is kept of it any more.
    Deleted,
}

/// How often somebody else's directory is looked at while a record is waited to go: nothing tells of that.
const LOOK: Duration = Duration::from_millis(50);

/// One Job that is waited for.
struct Waited {
    job: FoundJob,
    /// `None` once its keeper has said its last word.
    keeper: Option<Connection>,
    met: Option<bool>,
}

/// Waits for all of them; whether each came into the condition.
///
/// # Errors
/// A Job that is not there, or cannot be asked.
pub fn wait(data: &Path, names: &[String], condition: JobCondition, deadline: Option<Instant>) -> Result<bool> {
    let mut waited = Vec::new();
    for name in names {
        if condition == JobCondition::Deleted && find_job(data, name)?.is_none() {
            writeln!(Stdout::lock(), "job/{name} condition met")?;
            continue;
        }
        let mut job = get_job(data, name)?;
        let keeper = job.keeper.take();
        if let Some(keeper) = &keeper {
            keeper.ask(&Request::Watch, &[])?;
        }
        waited.push(Waited { job, keeper, met: None });
    }
    loop {
        for one in waited.iter_mut().filter(|one| one.met.is_none()) {
            one.judge(data, condition)?;
        }
        // One that cannot come into the condition decides the outcome.
        if waited.iter().any(|one| one.met == Some(false)) {
            return Ok(false);
        }
        if waited.iter().all(|one| one.met == Some(true)) {
            return Ok(true);
        }
        if deadline.is_some_and(|at| Instant::now() >= at) {
            for one in waited.iter().filter(|one| one.met.is_none()) {
                super::say(format_args!("timed out waiting for the condition on jobs/{}", one.job.name));
            }
            return Ok(false);
        }
        let look = (condition == JobCondition::Deleted).then(|| Instant::now() + LOOK);
        listen(&mut waited, [deadline, look].into_iter().flatten().min())?;
    }
}

/// Waits until a keeper says something, or until that time.
fn listen(waited: &mut [Waited], until: Option<Instant>) -> Result<()> {
    let timeout = until.map_or(PollTimeout::NONE, |at| {
        let left = at.saturating_duration_since(Instant::now()) + Duration::from_micros(999);
        PollTimeout::try_from(left.min(Duration::from_secs(3600))).unwrap_or(PollTimeout::ZERO)
    });
    let mut asked: Vec<&mut Waited> = waited.iter_mut().filter(|one| one.keeper.is_some()).collect();
    let keepers = asked.iter().filter_map(|one| one.keeper.as_ref());
    let mut fds: Vec<PollFd> = keepers.map(|keeper| PollFd::new(keeper.as_fd(), PollFlags::POLLIN)).collect();
    match poll(&mut fds, timeout) {
        Err(Errno::EINTR) => return Ok(()),
        polled => polled.named(|| "poll()")?,
    };
    let ready: Vec<bool> = fds.iter().map(|fd| fd.any() == Some(true)).collect();
    drop(fds);
    for (one, _) in asked.iter_mut().zip(ready).filter(|(_, ready)| *ready) {
        match one.keeper.as_ref().map(Connection::answer).transpose()?.flatten() {
            Some((reply, _)) => {
                if let Some(status) = last_word(&reply) {
                    one.job.status = status;
                    one.keeper = None;
                }
            }
            None => one.keeper = None,
        }
    }
    Ok(())
}

impl Waited {
    fn judge(&mut self, data: &Path, condition: JobCondition) -> Result<()> {
        let name = self.job.name.clone();
        let is = |status: &Value, kind: &str| condition_of(status, kind).is_some();
        let ended = |status: &Value| is(status, "Complete") || is(status, "Failed");
        if condition == JobCondition::Deleted {
            if find_job(data, &name)?.is_none_or(|now| now.first.uid != self.job.first.uid) {
                self.decide(true, "")?;
            }
            return Ok(());
        }
        // A keeper that has gone without a word was killed, as the record says now. Its socket may be there for a moment more than the
        // connection: then the new one will end, too.
        if self.keeper.is_none()
            && !ended(&self.job.status)
            && let Some(now) = find_job(data, &name)?.filter(|now| now.first.uid == self.job.first.uid)
        {
            self.job.status = now.status;
            if let Some(keeper) = now.keeper {
                keeper.ask(&Request::Watch, &[])?;
                self.keeper = Some(keeper);
            }
        }
        let status = &self.job.status;
        let (wanted, other) = match condition {
            JobCondition::Failed => ("Failed", "Complete"),
            _ => ("Complete", "Failed"),
        };
        if is(status, wanted) {
            return self.decide(true, "");
        }
        if let Some(other) = condition_of(status, other) {
            let text = |field: &str| other[field].as_str().unwrap_or_default().to_owned();
            let why = format!(" ({}: {}: {})", text("type"), text("reason"), text("message"));
            return self.decide(false, &why);
        }
        if self.keeper.is_none() {
            let why = if self.job.first.suspended { " (it is suspended)" } else { " (it was removed)" };
            return self.decide(false, why);
        }
        Ok(())
    }

    fn decide(&mut self, met: bool, why: &str) -> Result<()> {
        self.met = Some(met);
        let name = &self.job.name;
        if met {
            writeln!(Stdout::lock(), "job/{name} condition met")?;
        } else {
            let error = Error::new(format!("Job {name:?} does not run{why}: the condition cannot come any more"));
            super::say(error.mend(format!("see how it is with: podling inspect job/{name}")));
        }
        Ok(())
    }
}

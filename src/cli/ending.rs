//! The end of one pod: what `down`, `rm`, `up` and the verbs of Jobs share.

use std::path::Path;

use crate::error::{Error, Result};
use crate::host::HostFacts;
use crate::pod::list::{self, Found, Life, pauses};
use crate::pod::{Claim, Request};

/// Whether a pod or Job that is not there is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// It is.
    Refused,
    /// It is passed over.
    Passed,
}

impl Missing {
    /// Whether it is passed is what the command line says.
    pub fn of(ignore: bool) -> Missing {
        if ignore { Missing::Passed } else { Missing::Refused }
    }
}

/// The pod called `name`.
///
/// # Errors
/// It is not there, unless that is passed, or cannot be asked.
pub fn sought(data: &Path, name: &str, missing: Missing) -> Result<Option<Found>> {
    match missing {
        Missing::Passed => list::find(data, name),
        Missing::Refused => list::get(data, name).map(Some),
    }
}

/// Ends the pod called `name` and removes what is kept of it, if it is there.
///
/// # Errors
/// It cannot be asked, or not be removed.
pub fn remove_if_there(data: &Path, facts: &HostFacts, name: &str) -> Result<()> {
    let Some(found) = list::find(data, name)? else { return Ok(()) };
    end(&found, None)?;
    remove(&found, facts)
}

/// Asks a pod to end, and waits until it has.
///
/// # Errors
/// It cannot be asked.
pub fn end(found: &Found, grace_seconds: Option<u64>) -> Result<()> {
    let Life::Live(connection) = &found.life else { return Ok(()) };
    if connection.call(&Request::Stop { grace_seconds }, &[])?.is_none() {
        return Ok(());
    }
    while connection.answer()?.is_some() {}
    Ok(())
}

/// Removes what is kept of an ended pod.
///
/// # Errors
/// What could not be removed.
pub fn remove(found: &Found, facts: &HostFacts) -> Result<()> {
    // The supervisor closes its socket before its last breath, so its lock may be held for a moment more.
    for pause in pauses(500) {
        if let Some(claim) = Claim::of_ended(&found.dir)? {
            return claim.release(facts);
        }
        if !found.dir.exists() {
            return Ok(());
        }
        std::thread::sleep(pause);
    }
    Err(Error::new(format!("pod {:?} has ended, but something holds its directory {:?}", found.name, found.dir))
        .mend("another podling may be starting a pod of that name: look at podling ps -a"))
}

//! Which pods there are: those that run, and those of which something is kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::control::{Connection, Reply, Request, connect};
use super::job::{job_in, job_names};
use super::lost;
use super::record::{First, Last, read_first, read_last};
use super::state::{is_locked, pod_dir};
use super::status::Summary;
use crate::error::{Error, Result};

/// A pod, and how it can be asked.
#[derive(Debug)]
pub struct Found {
    /// Its name.
    pub name: String,
    /// Its directory.
    pub dir: PathBuf,
    /// Whether anybody answers for it.
    pub life: Life,
}

/// Whether anybody answers for a pod.
#[derive(Debug)]
pub enum Life {
    /// Its supervisor.
    Live(Connection),
    /// Its record, since it has ended.
    Ended(Box<Last>),
    /// Nobody: its supervisor was killed, or the machine stopped. All its processes are gone.
    Lost(Box<First>),
}

/// All pods, by name.
///
/// # Errors
/// A record that cannot be read, or a socket that cannot be connected to.
pub fn all(data: &Path) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for name in names(data) {
        found.extend(look(data, &name)?);
    }
    Ok(found)
}

/// The names of all pods: what a shell completes.
pub fn names(data: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(data.join("pods")) else { return Vec::new() };
    let mut names: Vec<String> = entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect();
    // What begins with a point is being made or cleared.
    names.retain(|name| !name.starts_with('.'));
    names.sort_unstable();
    names
}

/// The pod called `name`, if there is one; no other is looked at.
///
/// # Errors
/// As [`all`].
pub fn find(data: &Path, name: &str) -> Result<Option<Found>> {
    // What is asked for is looked up below `pods`, and nowhere else.
    let name = name.strip_prefix("pod/").or_else(|| name.strip_prefix("pods/")).unwrap_or(name);
    if name.contains('/') || name.starts_with('.') || name.is_empty() { Ok(None) } else { look(data, name) }
}

/// The pod called `name`.
///
/// # Errors
/// There is none, and which of the others may have been meant.
pub fn get(data: &Path, name: &str) -> Result<Found> {
    if let Some(found) = find(data, name)? {
        return Ok(found);
    }
    if let Some(job) = job_in(name) {
        return Err(Error::new(format!("{name:?} names a Job, and this verb is about pods")).mend(format!(
            "name one of its pods, which podling ps -a lists as {job}-…; Jobs have describe, inspect, logs, wait, stop, rm, down and ps --jobs"
        )));
    }
    let names = names(data);
    let error = Error::new(format!("there is no pod {name:?}"));
    if job_names(data).iter().any(|job| job == name) {
        return Err(error.mend(format!("a Job is called so: job/{name}")));
    }
    // One that is just being made or removed has its directory already, or still.
    Err(match crate::manifest::nearest(name, names.iter().map(String::as_str).filter(|other| *other != name)) {
        Some(meant) => error.mend(format!("did you mean {meant:?}?")),
        None if names.is_empty() => error.mend("no pod runs here; start one with: podling run -d FILE"),
        None => error.mend("podling ps -a lists them all"),
    })
}

/// The pod called `name`, which runs.
///
/// # Errors
/// There is none, or it has ended.
pub fn live(data: &Path, name: &str) -> Result<(Found, Connection)> {
    let found = get(data, name)?;
    match &found.life {
        // Whoever has more to ask of the pod while this one is in use connects anew.
        Life::Live(connection) => {
            let connection = connection.try_clone()?;
            Ok((found, connection))
        }
        _ => Err(Error::new(format!("pod {:?} has ended", found.name))
            .mend(format!("run it again with: podling restart {}", found.name))),
    }
}

fn look(data: &Path, name: &str) -> Result<Option<Found>> {
    look_into(&pod_dir(data, name), name)
}

fn look_into(dir: &Path, name: &str) -> Result<Option<Found>> {
    // Whoever cannot be read must not hide the others, and can be removed like them.
    let last = || read_last(dir).map_err(|_| ());
    let damaged = || Life::Lost(Box::new(First::damaged(name, dir)));
    let found = |life| Ok(Some(Found { name: name.to_owned(), dir: dir.to_owned(), life }));
    let mut pauses = pauses(LOOKS);
    loop {
        return match connect(dir)? {
            Some(connection) => found(Life::Live(connection)),
            None => match (last(), read_first(dir)) {
                (Ok(Some(last)), _) => found(Life::Ended(Box::new(last))),
                // Between its claim and its socket, or between its socket and its record, a pod is neither here nor there.
                (_, Ok(None)) => Ok(None),
                // A killed supervisor may hold the lock for a moment longer than its socket.
                _ if is_locked(dir) => match pauses.next() {
                    Some(pause) => {
                        std::thread::sleep(pause);
                        continue;
                    }
                    None => Ok(None),
                },
                (Err(()), _) | (_, Err(_)) => found(damaged()),
                (Ok(None), Ok(Some(first))) => match last() {
                    Ok(Some(last)) => found(Life::Ended(Box::new(last))),
                    Ok(None) => found(Life::Lost(Box::new(first))),
                    Err(()) => found(damaged()),
                },
            },
        };
    }
}

/// The pod with this directory and name, looked at once more, since its supervisor has closed its connection; `None` where nothing is kept of
/// it. It runs still, or again, only where somebody answers.
///
/// The kernel closes the descriptors of a killed process in no certain order, so that whoever has seen the end of a connection may still find
/// the socket of nobody for a moment.
///
/// # Errors
/// As [`all`].
pub fn again(dir: &Path, name: &str) -> Result<Option<Found>> {
    for pause in pauses(LOOKS) {
        let now = look_into(dir, name)?;
        match now.as_ref().map(|now| &now.life) {
            Some(Life::Live(connection)) if connection.call(&Request::Summary, &[])?.is_none() => {}
            _ => return Ok(now),
        }
        std::thread::sleep(pause);
    }
    Ok(None)
}

/// How often what lasts for a moment only is looked at: for a third of a second in all.
const LOOKS: usize = 40;

/// The pauses between so many looks at something that nobody tells of: short ones first, and none longer than 10 ms.
pub fn pauses(looks: usize) -> impl Iterator<Item = Duration> {
    let doubled = |pause: &Duration| Some((*pause * 2).min(Duration::from_millis(10)));
    std::iter::successors(Some(Duration::from_micros(200)), doubled).take(looks)
}

/// The summaries of all pods; those of running ones are asked for at the same time. A pod that ends meanwhile is left out if nothing is
/// kept of it.
///
/// # Errors
/// A supervisor that answers something else.
pub fn summaries(data: &Path) -> Result<Vec<Summary>> {
    let mut found = Vec::new();
    for name in names(data) {
        let Some(pod) = look(data, &name)? else { continue };
        if let Life::Live(connection) = &pod.life {
            // At once, so that its supervisor wakes once for both. One that has just ended shows so when the answer is read.
            let _ = connection.ask(&Request::Summary, &[]);
        }
        found.push(pod);
    }
    let mut summaries = Vec::new();
    for pod in &found {
        summaries.extend(summary(pod, Asked::Yes)?);
    }
    Ok(summaries)
}

/// Whether a running pod has been asked for its summary already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// The answer is on its way.
    Yes,
    /// Not yet.
    No,
}

/// The state of one pod in short; `None` where it has just ended and nothing is kept.
///
/// # Errors
/// A supervisor that answers something else.
pub fn summary(pod: &Found, asked: Asked) -> Result<Option<Summary>> {
    match &pod.life {
        Life::Live(connection) => {
            let reply = match asked {
                Asked::Yes => connection.answer()?,
                Asked::No => connection.call(&Request::Summary, &[])?,
            };
            match reply {
                Some((Reply::Summary(summary), _)) => Ok(Some(*summary)),
                Some(_) => Err(Error::new(format!("the supervisor of pod {:?} answered something else", pod.name))),
                None => again(&pod.dir, &pod.name)?.map_or(Ok(None), |now| summary(&now, Asked::No)),
            }
        }
        Life::Ended(last) => Ok(Some(last.summary.clone())),
        Life::Lost(first) => Ok(Some(lost::summary(first))),
    }
}

//! What verbs want to know of a pod that they were given the name of.

use serde_json::Value;

use crate::error::{Error, Result};
use crate::pod::list::{self, Asked, Found, Life};
use crate::pod::lost;
use crate::pod::status::{ContainerKind, Event, Summary};
use crate::pod::{Reply, Request, connect};

/// The pod as a Kubernetes object with its status.
///
/// # Errors
/// The pod has just ended, and nothing is kept of it.
pub fn object(found: &Found) -> Result<Value> {
    let text = match &found.life {
        Life::Live(_) => match connect(&found.dir)?.map(|c| c.call(&Request::Object, &[])).transpose()?.flatten() {
            Some((Reply::Object(text), _)) => text,
            Some(_) => {
                return Err(Error::new(format!("the supervisor of pod {:?} answered something else", found.name)));
            }
            None => return again(found)?.map_or_else(|| Err(gone(&found.name)), |now| object(&now)),
        },
        Life::Ended(last) => last.object.clone(),
        Life::Lost(first) => return lost::object(first),
    };
    serde_json::from_str(&text).map_err(|e| Error::new(format!("the object of pod {:?}: {e}", found.name)))
}

/// The pod's state in short.
///
/// # Errors
/// The pod has just ended, and nothing is kept of it.
pub fn summary(found: &Found) -> Result<Summary> {
    match &found.life {
        // A connection of its own: the other may be in the middle of something.
        Life::Live(_) => match connect(&found.dir)? {
            Some(connection) => {
                let found = Found { name: found.name.clone(), dir: found.dir.clone(), life: Life::Live(connection) };
                list::summary(&found, Asked::No)?.ok_or_else(|| gone(&found.name))
            }
            None => again(found)?.map_or_else(|| Err(gone(&found.name)), |now| summary(&now)),
        },
        _ => list::summary(found, Asked::No)?.ok_or_else(|| gone(&found.name)),
    }
}

/// The pod's events, oldest first. Nothing is known of those of a pod whose supervisor was killed.
///
/// # Errors
/// A supervisor that answers what nobody can read.
pub fn events(found: &Found) -> Result<Vec<Event>> {
    match &found.life {
        Life::Live(_) => {
            let Some(connection) = connect(&found.dir)? else { return last_events(found) };
            let mut reply = connection.call(&Request::Watch, &[])?;
            // The summary comes last, and alone where nothing has happened yet.
            let mut events = Vec::new();
            loop {
                match reply {
                    Some((Reply::Events(more), _)) => events.extend(more),
                    Some(_) => return Ok(events),
                    None => return last_events(found),
                }
                reply = connection.answer()?;
            }
        }
        Life::Ended(last) => Ok(last.events.clone()),
        Life::Lost(_) => Ok(Vec::new()),
    }
}

fn again(found: &Found) -> Result<Option<Found>> {
    list::again(&found.dir, &found.name)
}

fn last_events(found: &Found) -> Result<Vec<Event>> {
    Ok(crate::pod::record::read_last(&found.dir)?.map(|last| last.events).unwrap_or_default())
}

fn gone(name: &str) -> Error {
    Error::new(format!("pod {name:?} has just ended"))
}

/// What the annotation `kubectl.kubernetes.io/default-container` says.
pub fn default_container(object: &Value) -> Option<&str> {
    object["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"].as_str()
}

/// The container that is meant where none is named, said aloud where there are several, as kubectl does.
///
/// # Errors
/// The pod has just ended.
pub fn container_or_default(found: &Found, named: Option<&str>) -> Result<String> {
    if let Some(name) = named {
        return Ok(name.to_owned());
    }
    let summary = summary(found)?;
    let regular = summary.containers.iter().filter(|c| c.kind == ContainerKind::Regular);
    let names: Vec<&str> = regular.map(|c| c.name.as_str()).collect();
    let Some(first) = names.first() else { return Err(Error::new(format!("pod {:?} has no container", found.name))) };
    if names.len() == 1 {
        return Ok((*first).to_owned());
    }
    let object = object(found)?;
    match default_container(&object).filter(|name| names.contains(name)) {
        Some(name) => Ok(name.to_owned()),
        None => {
            super::say(format_args!("defaulted container {first:?} out of: {}", names.join(", ")));
            Ok((*first).to_owned())
        }
    }
}

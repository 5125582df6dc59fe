//! What a shell may put in the place of a word: names of pods and containers that are there now.

use std::ffi::OsStr;

use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};

use super::data;
use crate::pod::list;

/// Completes the names of pods.
pub fn pods() -> ArgValueCompleter {
    ArgValueCompleter::new(|word: &OsStr| {
        let word = word.to_string_lossy();
        let names = data::of_pods().map(|data| list::names(&data)).unwrap_or_default();
        candidates(names, &word)
    })
}

/// Completes the names of containers: those of all pods, since a shell does not tell which pod the line names.
pub fn containers() -> ArgValueCompleter {
    ArgValueCompleter::new(|word: &OsStr| {
        let word = word.to_string_lossy();
        let summaries = data::of_pods().and_then(|data| list::summaries(&data)).unwrap_or_default();
        let mut names: Vec<String> = summaries.into_iter().flat_map(|pod| pod.containers).map(|c| c.name).collect();
        names.sort_unstable();
        names.dedup();
        candidates(names, &word)
    })
}

fn candidates(names: Vec<String>, word: &str) -> Vec<CompletionCandidate> {
    names.into_iter().filter(|name| name.starts_with(word)).map(CompletionCandidate::new).collect()
}

//! What a shell may put in the place of a word: names of pods, containers, images and files that are there now.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter};

use super::data;
use crate::host::HostFacts;
use crate::image::Store;
use crate::plan::Allow;
use crate::pod::job::job_names;
use crate::pod::{list, local};

/// The words of the line before the one that is completed: a completer is only given that one.
static LINE: OnceLock<Vec<String>> = OnceLock::new();

/// Tells the completers of this process which words come before the one to complete.
pub fn remember_line(words: Vec<String>) {
    // There is one line in a process.
    let _ = LINE.set(words);
}

/// Completes the names of pods.
pub fn pods() -> ArgValueCompleter {
    ArgValueCompleter::new(|word: &OsStr| candidates(pod_names(), word))
}

/// Completes the names of pods, and those of Jobs as `job/NAME`.
pub fn pods_or_jobs() -> ArgValueCompleter {
    ArgValueCompleter::new(|word: &OsStr| candidates([pod_names(), words_of_jobs()].concat(), word))
}

/// Completes the names of containers: those of the pod that the line names, of all pods where it names none.
pub fn containers() -> ArgValueCompleter {
    ArgValueCompleter::new(|word: &OsStr| {
        let summaries = directory().and_then(|data| list::summaries(&data).ok()).unwrap_or_default();
        let line = LINE.get().map(Vec::as_slice).unwrap_or_default();
        let named = |pod: &str| line.iter().any(|word| pod_in(word) == pod);
        let one = summaries.iter().any(|pod| named(&pod.name));
        let mut names = Vec::new();
        for pod in summaries.into_iter().filter(|pod| !one || named(&pod.name)) {
            names.extend(pod.containers.into_iter().map(|container| container.name));
        }
        names.sort_unstable();
        names.dedup();
        candidates(names, word)
    })
}

/// Completes the names of the store's images.
pub fn images() -> ArgValueCompleter {
    ArgValueCompleter::new(|word: &OsStr| {
        let facts = HostFacts::gather();
        let store = directory().and_then(|data| Store::open(data, &facts.ids).ok());
        let images = store.and_then(|store| store.list().ok()).unwrap_or_default();
        let mut names: Vec<String> =
            images.iter().filter_map(|image| image.name.as_ref()).map(|n| n.familiar()).collect();
        names.sort_unstable();
        names.dedup();
        candidates(names, word)
    })
}

/// Completes the names of local volumes.
pub fn volumes() -> ArgValueCompleter {
    ArgValueCompleter::new(|word: &OsStr| {
        let volumes = directory().and_then(|data| local::all(&data).ok()).unwrap_or_default();
        let mut names: Vec<String> = volumes.into_iter().map(|volume| volume.key.name).collect();
        names.sort_unstable();
        names.dedup();
        candidates(names, word)
    })
}

/// Completes what `--allow` takes, the last of several behind commas.
pub fn allowed() -> ArgValueCompleter {
    ArgValueCompleter::new(|word: &OsStr| candidates(Allow::names().map(str::to_owned).collect(), word))
}

/// Completes files that may describe pods.
pub fn yaml_files() -> ArgValueCompleter {
    ArgValueCompleter::new(|word: &OsStr| manifests(word))
}

/// Completes names of pods and Jobs, and files that describe some.
pub fn pods_or_yaml_files() -> ArgValueCompleter {
    ArgValueCompleter::new(|word: &OsStr| {
        let mut found = candidates([pod_names(), words_of_jobs()].concat(), word);
        found.extend(manifests(word));
        found
    })
}

/// Completes an end of `podling cp`: a pod with a colon, or a file of this machine.
pub fn pods_or_files() -> ArgValueCompleter {
    ArgValueCompleter::new(|word: &OsStr| {
        let mut found = candidates(pod_names().into_iter().map(|name| format!("{name}:")).collect(), word);
        found.extend(PathCompleter::any().complete(word));
        found
    })
}

fn manifests(word: &OsStr) -> Vec<CompletionCandidate> {
    let is_manifest = |path: &Path| {
        path.extension().is_some_and(|end| ["yaml", "yml", "json"].iter().any(|known| end == *known)) && path.is_file()
    };
    PathCompleter::file().filter(is_manifest).complete(word)
}

fn pod_names() -> Vec<String> {
    directory().map(|data| list::names(&data)).unwrap_or_default()
}

fn words_of_jobs() -> Vec<String> {
    let names = directory().map(|data| job_names(&data)).unwrap_or_default();
    names.into_iter().map(|name| format!("job/{name}")).collect()
}

/// podling's data, if there is any: looking must not make it.
fn directory() -> Option<PathBuf> {
    data::of_pods().ok()
}

/// The pod that a word may name: `web`, `pod/web`, and `web` in `web:/srv`.
fn pod_in(word: &str) -> &str {
    let word = word.strip_prefix("pod/").or_else(|| word.strip_prefix("pods/")).unwrap_or(word);
    word.split_once(':').map_or(word, |(pod, _)| pod)
}

fn candidates(names: Vec<String>, word: &OsStr) -> Vec<CompletionCandidate> {
    let word = word.to_string_lossy();
    names.into_iter().filter(|name| name.starts_with(&*word)).map(CompletionCandidate::new).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_name_pods_in_several_ways() {
        for word in ["web", "pod/web", "pods/web", "web:/srv/a:b", "pod/web:x"] {
            assert_eq!(pod_in(word), "web", "{word}");
        }
    }
}

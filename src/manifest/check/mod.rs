//! The API server's rules for what an object may say, for all that podling honours.

mod annotations;
mod container;
mod data;
mod downward;
mod environment;
mod files;
mod job;
mod job_selector;
mod life;
mod metadata;
mod network;
mod os;
mod placement;
mod pod;
mod ports;
mod probes;
mod resources;
mod security;
mod selectors;
mod storage;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::names;
use super::problems::{Problem, Problems};
use super::quantity::Quantity;
use super::{Object, Source};

pub(super) use pod::containers;

/// How many bytes an object's annotations may have together.
const MAX_ANNOTATIONS: usize = 256 << 10;

/// Checks one object by itself.
pub(super) fn check(object: &Object, problems: &mut Problems) {
    match object {
        Object::Pod(said) => {
            let mut check = Check { source: &said.source, problems };
            check.metadata(&said.object.metadata);
            check.pod(&said.object);
        }
        Object::Job(job) => {
            let mut check = Check { source: &job.said.source, problems };
            check.metadata(&job.said.object.metadata);
            check.job(&job.said.object);
            let mut check = Check { source: &job.template.source, problems };
            check.labels_and_annotations("metadata", &job.template.object.metadata);
            if job.template.object.spec.is_some() {
                check.pod(&job.template.object);
            }
        }
        Object::ConfigMap(said) => {
            let mut check = Check { source: &said.source, problems };
            check.metadata(&said.object.metadata);
            check.config_map(&said.object);
        }
        Object::Claim(said) => {
            let mut check = Check { source: &said.source, problems };
            check.metadata(&said.object.metadata);
            check.claim(&said.object);
        }
        Object::Secret(said) => {
            let mut check = Check { source: &said.source, problems };
            check.metadata(&said.object.metadata);
            check.secret(&said.object);
        }
    }
}

/// Reports what is wrong with the fields of one object.
struct Check<'a> {
    source: &'a Source,
    problems: &'a mut Problems,
}

impl Check<'_> {
    fn problem(&mut self, path: &str, why: impl std::fmt::Display) -> &mut Problem {
        self.problems.add(self.source, path, why)
    }

    /// Reports what an API server takes, and podling cannot honour.
    fn refuse(&mut self, path: &str, why: impl std::fmt::Display) -> &mut Problem {
        self.problems.refuse(self.source, path, why)
    }

    /// Reports what one of the grammars of [`names`] says.
    fn grammar(&mut self, path: &str, verdict: Result<(), String>) {
        if let Err(why) = verdict {
            self.problem(path, why);
        }
    }

    /// A required name that is a DNS label.
    fn label(&mut self, path: &str, name: &str) {
        if name.is_empty() {
            self.problem(path, "required");
        } else if let Err(why) = names::dns_label(name) {
            let problem = self.problem(path, why);
            if let Some(like) = names::like_label(name) {
                problem.mend(format!("for example {like:?}"));
            }
        }
    }

    /// A field that must not be empty.
    fn required(&mut self, path: &str, value: &str) {
        if value.is_empty() {
            self.problem(path, "required");
        }
    }

    /// A field that takes one of a few words.
    fn one_of(&mut self, path: &str, value: Option<&str>, words: &[&str]) {
        let Some(value) = value.filter(|value| !words.contains(value)) else { return };
        let list = match words {
            [only] => (*only).to_owned(),
            [rest @ .., last] => format!("{} or {last}", rest.join(", ")),
            [] => String::new(),
        };
        let problem = self.problem(path, format!("expected {list}, found {value:?}"));
        if let Some(meant) = super::mistakes::nearest(value, words.iter().copied()) {
            problem.mend(format!("did you mean {meant:?}?"));
        }
    }

    fn quantity(&mut self, path: &str, text: &str) {
        match Quantity::parse(text) {
            Ok(quantity) if quantity.is_negative() => {
                self.problem(path, format!("{text:?} must not be negative"));
            }
            Ok(_) => {}
            Err(why) => {
                let problem = self.problem(path, why);
                if let Some(mend) = quantity_mend(text) {
                    problem.mend(mend);
                }
            }
        }
    }

    fn metadata(&mut self, metadata: &ObjectMeta) {
        match metadata.name.as_deref() {
            None | Some("") if metadata.generate_name.as_ref().is_some_and(|prefix| !prefix.is_empty()) => {
                self.refuse("metadata.name", "podling makes no name of generateName").mend("write metadata.name");
            }
            None | Some("") => {
                self.problem("metadata.name", "required");
            }
            Some(name) => self.grammar("metadata.name", names::dns_subdomain(name)),
        }
        self.bookkeeping(metadata);
        if let Some(namespace) = metadata.namespace.as_deref().filter(|namespace| !namespace.is_empty()) {
            self.label("metadata.namespace", namespace);
        }
        self.labels_and_annotations("metadata", metadata);
    }

    fn labels_and_annotations(&mut self, path: &str, metadata: &ObjectMeta) {
        for (key, value) in metadata.labels.iter().flatten() {
            let path = key_path(&format!("{path}.labels"), key);
            self.grammar(&path, names::qualified_name(key));
            self.grammar(&path, names::label_value(value));
        }
        let mut size = 0;
        for (key, value) in metadata.annotations.iter().flatten() {
            size += key.len() + value.len();
            let path = key_path(&format!("{path}.annotations"), key);
            self.grammar(&path, names::qualified_name(&key.to_lowercase()));
        }
        if size > MAX_ANNOTATIONS {
            self.problem(
                &format!("{path}.annotations"),
                format!("{size} bytes together; Kubernetes takes {MAX_ANNOTATIONS}"),
            );
        }
    }
}

/// The path of the entry `key` of the map at `path`: `data.a`, or `data[a.b]` where a dot would mislead.
pub fn key_path(path: &str, key: &str) -> String {
    let mut path = path.to_owned();
    super::kind::push_key(&mut path, key);
    path
}

/// The usual slips: `64MB`, `64mb`, `64 Mi`.
fn quantity_mend(text: &str) -> Option<String> {
    let compact: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let digits = compact.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let suffix = match compact.get(digits.len()..)?.to_lowercase().as_str() {
        "b" => "",
        "k" | "kb" => "k",
        "kib" | "ki" => "Ki",
        "mb" => "M",
        "mib" | "mi" => "Mi",
        "g" | "gb" => "G",
        "gib" | "gi" => "Gi",
        "t" | "tb" => "T",
        "tib" | "ti" => "Ti",
        _ => return None,
    };
    let meant = format!("{digits}{suffix}");
    Quantity::parse(&meant).ok().map(|_| format!("did you mean {meant}?"))
}

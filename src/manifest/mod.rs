//! Kubernetes objects as the user SAID them: strict decoding, validation, line numbers.
//!
//! The way of a file: `yaml` (text to nodes with lines) -> `decode` (nodes to objects; unknown, refused and mistyped fields)
//! -> `check` (the API server's rules) -> `references` (what objects say about each other). Every problem of a stage is
//! reported at once, and a later stage runs only on what the earlier ones accepted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret};

use crate::error::{Error, Result};

mod check;
mod decode;
mod examined;
mod fields;
mod job;
mod kind;
mod kinds;
mod mistakes;
mod names;
mod problems;
pub mod quantity;
mod references;
mod report;
mod scalar;
mod yaml;

pub use check::key_path;
pub use examined::{Examined, ExaminedObject, examine};
pub use job::{SaidJob, parse_indexes};
pub use mistakes::nearest;
pub use names::subscripted;
pub use problems::{Class, Objection, Problem};
pub use quantity::Quantity;
pub use report::{Answer, Verdict};
#[cfg(test)]
pub(crate) use yaml::value as yaml_value;

use decode::Object;
use problems::Problems;

/// One file (or standard input) to read objects from.
#[derive(Debug, Clone)]
pub struct Input {
    /// How the user named it; `standard input` for `-`.
    pub name: String,
    /// The whole content.
    pub bytes: Vec<u8>,
    /// The absolute path of the file; standard input has none.
    pub path: Option<PathBuf>,
}

/// Every object of the input, decoded and validated.
#[derive(Debug, Default)]
pub struct Bundle {
    /// The Pods, in the order of the input.
    pub pods: Vec<Said<Pod>>,
    /// The Jobs, in the order of the input.
    pub jobs: Vec<SaidJob>,
    /// Pods of the same input that are not meant now, but run beside those that are.
    pub neighbours: Vec<Said<Pod>>,
    /// ConfigMaps by namespace and name.
    pub config_maps: BTreeMap<ObjectKey, Said<ConfigMap>>,
    /// Secrets by namespace and name; `stringData` is already merged into `data`.
    pub secrets: BTreeMap<ObjectKey, Said<Secret>>,
    /// PersistentVolumeClaims by namespace and name.
    pub claims: BTreeMap<ObjectKey, Said<PersistentVolumeClaim>>,
}

/// Namespace and name of an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectKey {
    /// `metadata.namespace`, `default` where none is written.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

/// An object together with where each of its fields was written.
#[derive(Debug, Clone)]
pub struct Said<T> {
    /// The decoded object.
    pub object: T,
    /// Where it was written.
    pub source: Source,
}

/// Where the fields of one object were written.
#[derive(Debug, Clone, Default)]
pub struct Source {
    file: Arc<str>,
    /// The absolute path of that file.
    path: Option<Arc<Path>>,
    /// The position of the file in the input, to sort by.
    order: usize,
    /// The path of the object in its document: empty, or `items[0]` in a List.
    prefix: String,
    /// The line of each field that was written; the object itself is the empty path.
    lines: BTreeMap<String, usize>,
    /// Of a part of an object: where the whole begins.
    whole: Option<Place>,
    /// The object's name, as far as it could be read.
    name: String,
    /// The fields that are emulated whatever their value, and how.
    emulated: Vec<(String, &'static str)>,
}

/// Where an object begins: the number of its file in the input, and the line.
type Place = (usize, usize);

/// Reads the YAML or JSON documents of all `inputs` into one bundle.
///
/// Takes Pods, ConfigMaps, Secrets and Lists of them (apiVersion v1) and Jobs (batch/v1), and reads YAML as kubectl does.
///
/// # Errors
/// An input that is not YAML, a field that is unknown, of the wrong type, duplicate or not honoured, a value that the API server
/// would refuse, a reference to something that is not in the input: all of them (up to ten) in one error, each with its file,
/// line and path, in the order of the input.
pub fn read(inputs: &[Input]) -> Result<Bundle> {
    let mut problems = Problems::default();
    let (objects, _) = decode::decode(inputs, &mut problems);
    problems.into_result()?;

    let mut problems = Problems::default();
    for object in &objects {
        check::check(object, &mut problems);
    }
    let bundle = bundle(objects, &mut problems);
    references::check(&bundle, &mut problems);
    problems.into_result()?;
    if bundle.pods.is_empty() && bundle.jobs.is_empty() {
        let names: Vec<&str> = inputs.iter().map(|input| input.name.as_str()).collect();
        return Err(Error::new(format!("{}: no Pod or Job to run", names.join(", ")))
            .mend("at least one document must have `apiVersion: v1` and `kind: Pod`, or `batch/v1` and `Job`"));
    }
    Ok(bundle)
}

/// Reads the documents of `inputs` as [`read`] does, for their ConfigMaps and Secrets: they may lack Pods, and what Pods refer to.
///
/// # Errors
/// Everything that is wrong, in the order of the input.
pub fn read_data(inputs: &[Input]) -> std::result::Result<Bundle, Vec<Problem>> {
    let mut problems = Problems::default();
    let (objects, _) = decode::decode(inputs, &mut problems);
    for object in &objects {
        check::check(object, &mut problems);
    }
    let bundle = bundle(objects, &mut problems);
    let problems = problems.into_sorted();
    if problems.is_empty() { Ok(bundle) } else { Err(problems) }
}

/// Sorts the objects into a bundle; two of the same kind and name are a problem.
fn bundle(objects: Vec<Object>, problems: &mut Problems) -> Bundle {
    let mut bundle = Bundle::default();
    let mut pods: BTreeMap<ObjectKey, usize> = BTreeMap::new();
    for object in objects {
        match object {
            Object::Pod(pod) => {
                let key = ObjectKey::of(&pod.object);
                match pods.get(&key).and_then(|&at| bundle.pods.get(at)) {
                    Some(first) => twice("Pod", &key, &pod.source, &first.source, problems),
                    None => {
                        pods.insert(key, bundle.pods.len());
                        bundle.pods.push(*pod);
                    }
                }
            }
            Object::Job(job) => {
                let key = ObjectKey::of(&job.said.object);
                match bundle.jobs.iter().find(|first| ObjectKey::of(&first.said.object) == key) {
                    Some(first) => twice("Job", &key, &job.said.source, &first.said.source, problems),
                    None => bundle.jobs.push(*job),
                }
            }
            Object::ConfigMap(said) => insert("ConfigMap", &mut bundle.config_maps, said, problems),
            Object::Claim(said) => insert("PersistentVolumeClaim", &mut bundle.claims, *said, problems),
            Object::Secret(mut said) => {
                merge_string_data(&mut said.object);
                insert("Secret", &mut bundle.secrets, said, problems);
            }
        }
    }
    bundle
}

impl Bundle {
    /// Every Pod that is said: the Pods themselves, and what the Jobs make theirs of.
    pub fn templates(&self) -> impl Iterator<Item = &Said<Pod>> {
        self.pods.iter().chain(self.jobs.iter().map(|job| &job.template))
    }
}

/// `stringData` goes over `data`, as it does when the API server stores a Secret.
fn merge_string_data(secret: &mut Secret) {
    if let Some(texts) = secret.string_data.take() {
        let data = secret.data.get_or_insert_default();
        data.extend(texts.into_iter().map(|(key, text)| (key, ByteString(text.into_bytes()))));
    }
}

fn insert<T>(kind: &str, map: &mut BTreeMap<ObjectKey, Said<T>>, said: Said<T>, problems: &mut Problems)
where
    T: k8s_openapi::Metadata<Ty = k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta>,
{
    let key = ObjectKey::of(&said.object);
    match map.get(&key) {
        Some(first) => twice(kind, &key, &said.source, &first.source, problems),
        None => {
            map.insert(key, said);
        }
    }
}

fn twice(kind: &str, key: &ObjectKey, second: &Source, first: &Source, problems: &mut Problems) {
    if key.name.is_empty() {
        // The missing name is reported already.
        return;
    }
    let why = format!("{kind} {:?} is already defined at {}", key.name, first.at("metadata.name"));
    problems.add(second, "metadata.name", why).mend("rename one of them");
}

impl ObjectKey {
    /// The key of `object`.
    pub fn of<T>(object: &T) -> ObjectKey
    where
        T: k8s_openapi::Metadata<Ty = k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta>,
    {
        let metadata = object.metadata();
        let namespace = metadata.namespace.as_deref().filter(|namespace| !namespace.is_empty()).unwrap_or("default");
        ObjectKey { namespace: namespace.to_owned(), name: metadata.name.clone().unwrap_or_default() }
    }
}

/// Whether `name` can be a pod's `metadata.name`; the error says what is wrong with it.
///
/// # Errors
/// It is no DNS subdomain name (RFC 1123, as Kubernetes reads it).
pub fn check_pod_name(name: &str) -> std::result::Result<(), String> {
    names::dns_subdomain(name)
}

/// Whether `name` can be a PersistentVolumeClaim's `metadata.name`; the error says what is wrong with it.
///
/// # Errors
/// It is no DNS subdomain name.
pub fn check_claim_name(name: &str) -> std::result::Result<(), String> {
    names::dns_subdomain(name)
}

/// Whether `name` can be a namespace; the error says what is wrong with it.
///
/// # Errors
/// It is no DNS label.
pub fn check_namespace(name: &str) -> std::result::Result<(), String> {
    names::dns_label(name)
}

/// Whether `key` and `value` can be a label; the error says what is wrong with them.
///
/// # Errors
/// The key is no qualified name, or the value no label value.
pub fn check_label(key: &str, value: &str) -> std::result::Result<(), String> {
    names::qualified_name(key)?;
    names::label_value(value)
}

impl Source {
    /// `file:line` of the field at `path` (`spec.containers[0].image`), or of its nearest enclosing field that was written.
    pub fn at(&self, path: &str) -> String {
        format!("{}:{}", self.file, self.line(path))
    }

    /// That of an object in the file at the absolute path `path`, none of whose lines is known.
    #[cfg(test)]
    pub(crate) fn of_file(path: &Path) -> Source {
        Source { path: Some(path.into()), ..Source::default() }
    }

    /// The absolute path of the file; standard input has none.
    pub fn file_path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// An error about the field at `path`: `file:line: path: why`.
    pub fn error(&self, path: &str, why: impl std::fmt::Display) -> Error {
        let (at, path) = (self.at(path), self.full_path(path));
        Error::new(format!("{at}: {path}: {why}")).place(at, path)
    }

    /// The path in the object of the field that is at `full` in its document; the two differ in a List.
    pub fn within<'a>(&self, full: &'a str) -> &'a str {
        full.strip_prefix(self.prefix.as_str()).map_or(full, |rest| rest.trim_start_matches('.'))
    }

    /// The fields that are emulated whatever their value and the host, each with how.
    pub fn emulated(&self) -> &[(String, &'static str)] {
        &self.emulated
    }

    /// All `objections` as one error, in the order of the lines.
    ///
    /// # Errors
    /// Where there is any.
    pub fn refuse(&self, objections: Vec<Objection>) -> Result<()> {
        self.problems(objections).into_result()
    }

    /// An answer to the field at `path`.
    pub fn answer(&self, path: &str, verdict: Verdict, how: impl Into<String>) -> Answer {
        Answer { line: self.line(path), path: self.full_path(path), verdict, how: how.into() }
    }

    fn place(&self) -> Place {
        self.whole.unwrap_or_else(|| (self.order, self.line("")))
    }

    fn problems(&self, objections: Vec<Objection>) -> Problems {
        let mut problems = Problems::default();
        for Objection { path, why, mend } in objections {
            let problem = problems.refuse(self, &path, why);
            if let Some(mend) = mend {
                problem.mend(mend);
            }
        }
        problems
    }

    /// The line of `path`, or of its nearest enclosing field that was written.
    fn line(&self, path: &str) -> usize {
        let mut path = path;
        loop {
            if let Some(&line) = self.lines.get(path) {
                return line;
            }
            path = &path[..path.rfind(['.', '[']).unwrap_or(0)];
            if path.is_empty() {
                return self.lines.get("").copied().unwrap_or(1);
            }
        }
    }

    /// Where the fields of the object at `path` were written.
    fn below(&self, path: &str) -> Source {
        let own = |field: &str| {
            let rest = field.strip_prefix(path)?;
            (rest.is_empty() || rest.starts_with(['.', '['])).then(|| rest.trim_start_matches('.').to_owned())
        };
        Source {
            file: Arc::clone(&self.file),
            order: self.order,
            path: self.path.clone(),
            prefix: self.full_path(path),
            whole: Some(self.place()),
            name: self.name.clone(),
            lines: self.lines.iter().filter_map(|(field, &line)| Some((own(field)?, line))).collect(),
            emulated: self.emulated.iter().filter_map(|(field, how)| Some((own(field)?, *how))).collect(),
        }
    }

    /// The path of the object's field `path` in its document.
    pub(crate) fn full_path(&self, path: &str) -> String {
        match (self.prefix.as_str(), path) {
            ("", path) => path.to_owned(),
            (prefix, "") => prefix.to_owned(),
            (prefix, path) => format!("{prefix}.{path}"),
        }
    }
}

#[cfg(test)]
mod tests;

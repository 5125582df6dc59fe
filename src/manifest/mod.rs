//! Kubernetes objects as the user SAID them: strict decoding, validation, line numbers.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};

use crate::error::Error;

/// One file (or standard input) to read objects from.
#[derive(Debug, Clone)]
pub struct Input {
    /// How the user named it; `standard input` for `-`.
    pub name: String,
    /// The whole content.
    pub bytes: Vec<u8>,
}

/// Every object of the input, decoded and validated.
#[derive(Debug, Default)]
pub struct Bundle {
    /// The Pods, in the order of the input.
    pub pods: Vec<Said<Pod>>,
    /// ConfigMaps by namespace and name.
    pub config_maps: BTreeMap<ObjectKey, Said<ConfigMap>>,
    /// Secrets by namespace and name; `stringData` is already merged into `data`.
    pub secrets: BTreeMap<ObjectKey, Said<Secret>>,
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
    file: String,
    lines: BTreeMap<String, usize>,
}

impl Source {
    /// `file:line` of the field at `path` (`spec.containers[0].image`), or of its nearest enclosing field that was written.
    pub fn at(&self, path: &str) -> String {
        let mut path = path;
        loop {
            if let Some(line) = self.lines.get(path) {
                return format!("{}:{line}", self.file);
            }
            match path.rfind(['.', '[']) {
                Some(cut) => path = &path[..cut],
                None => return self.file.clone(),
            }
        }
    }

    /// An error about the field at `path`: `file:line: path: why`.
    pub fn error(&self, path: &str, why: impl std::fmt::Display) -> Error {
        Error::new(format!("{}: {path}: {why}", self.at(path)))
    }
}

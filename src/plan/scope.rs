//! What every decision looks at: the pod as said and the world around it, and one container of it.

use std::fmt::Display;
use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::{ConfigMap, Container, Pod, PodSpec, Secret};

use super::names::Names;
use super::{Options, PodPaths, Processes, Role, Verdict};
use crate::error::{Error, Result};
use crate::host::{HostFacts, IdMap};
use crate::image::Image;
use crate::manifest::{Bundle, ObjectKey, Said};

/// The pod as said, and what its plan depends on.
pub(super) struct Scope<'a> {
    pub said: &'a Said<Pod>,
    pub spec: &'a PodSpec,
    pub bundle: &'a Bundle,
    pub host: &'a HostFacts,
    pub ids: &'a IdMap,
    pub paths: &'a PodPaths,
    pub options: &'a Options,
    /// The pod's name, which may be another than its YAML's.
    pub name: &'a str,
    pub names: &'a Names,
}

impl Scope<'_> {
    /// An error about the field at `path`, with its file and line.
    pub fn error(&self, path: &str, why: impl Display) -> Error {
        self.said.source.error(path, why)
    }

    /// A verdict about the field at `path`, with its file and line.
    pub fn verdict(&self, path: impl Into<String>, how: impl Into<String>) -> Verdict {
        let path = path.into();
        Verdict { at: self.said.source.at(&path), path, how: how.into() }
    }

    /// Whether the pod's containers see each other's processes.
    pub fn processes(&self) -> Processes {
        if self.spec.share_process_namespace == Some(true) { Processes::Shared } else { Processes::Apart }
    }

    /// All containers with their paths, init containers first.
    pub fn containers(&self) -> impl Iterator<Item = (String, &Container)> {
        let init = self.spec.init_containers.iter().flatten().enumerate();
        let init = init.map(|(i, container)| (format!("spec.initContainers[{i}]"), container));
        let regular = self.spec.containers.iter().enumerate();
        init.chain(regular.map(|(i, container)| (format!("spec.containers[{i}]"), container)))
    }

    /// The ConfigMap `name` of the pod's namespace.
    pub fn config_map(&self, name: &str) -> Option<&ConfigMap> {
        self.bundle.config_maps.get(&self.key(name)).map(|said| &said.object)
    }

    /// The Secret `name` of the pod's namespace.
    pub fn secret(&self, name: &str) -> Option<&Secret> {
        self.bundle.secrets.get(&self.key(name)).map(|said| &said.object)
    }

    /// The pod's namespace.
    pub fn namespace(&self) -> &str {
        self.said.object.metadata.namespace.as_deref().filter(|n| !n.is_empty()).unwrap_or("default")
    }

    /// The object `name` of the pod's namespace.
    pub fn key(&self, name: &str) -> ObjectKey {
        ObjectKey { namespace: self.namespace().to_owned(), name: name.to_owned() }
    }
}

/// One container of the pod together with its image.
pub(super) struct Subject<'a> {
    pub scope: &'a Scope<'a>,
    pub container: &'a Container,
    pub image: &'a Image,
    pub role: Role,
    /// The container's own path, `spec.containers[0]`; for an ephemeral one, `spec.ephemeralContainers[0]`.
    pub path: String,
}

impl Subject<'_> {
    /// An error about the container's `field`, `securityContext.runAsUser`.
    pub fn error(&self, field: &str, why: impl Display) -> Error {
        self.scope.error(&self.at(field), why)
    }

    /// A verdict about the container's `field`.
    pub fn verdict(&self, field: &str, how: impl Into<String>) -> Verdict {
        self.scope.verdict(self.at(field), how)
    }

    /// The image's config, where it has one.
    pub fn config(&self) -> Option<&oci_spec::image::Config> {
        self.image.config.config().as_ref()
    }

    fn at(&self, field: &str) -> String {
        format!("{}.{field}", self.path)
    }
}

/// `name` where it is one plain component of a path; names of volumes and containers become directory names.
pub(super) fn plain_name<'a>(scope: &Scope, path: &str, name: &'a str) -> Result<&'a str> {
    let mut components = Path::new(name).components();
    match (components.next(), components.next()) {
        (Some(Component::Normal(only)), None) if only == name && !name.contains('\0') => Ok(name),
        _ => Err(scope
            .error(path, format!("{name:?} cannot be a directory's name"))
            .mend("use lower case letters, digits and '-'")),
    }
}

/// An absolute path without `.` and `..`, as the kubelet cleans it.
pub(super) fn cleaned(path: &str) -> PathBuf {
    let mut clean = PathBuf::from("/");
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    clean
}

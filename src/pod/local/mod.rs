//! Named local volumes: what a PersistentVolumeClaim is on one host. They outlive pods.
//!
//! `DATA/volumes/NAMESPACE/NAME/` has the files in `data` and what is known of the volume in `claim.json`. The directory itself is locked
//! (flock): shared by the pods that use the volume, exclusively by the one that has it for itself or by who removes it; the kernel drops
//! the lock with its holders. What begins with a point in `volumes` is being made or removed.

mod hold;
mod make;
mod transfer;

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{PersistentVolumeClaimSpec, Pod};
use serde::{Deserialize, Serialize};

use crate::error::{Context, Error, Result};
use crate::host::{HostFacts, IdExtent};
use crate::manifest::{ObjectKey, Said};
use crate::plan::{LocalVolumes, Sharing, sharing};

pub use hold::hold;
pub use make::{New, ensure, remove, sweep};
pub use transfer::{Owners, export, import};

const ABOUT: &str = "claim.json";
const FILES: &str = "data";

/// A named local volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// The namespace and the name of its claim.
    pub key: ObjectKey,
    /// Its directory.
    pub dir: PathBuf,
    /// What is known of it.
    pub about: About,
}

/// What is known of a volume.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct About {
    /// Seconds since 1970.
    pub created_at: i64,
    /// The id map that its files' owners mean something in.
    pub id_map: String,
    /// `spec.accessModes` of the claim that it was made for.
    #[serde(default)]
    pub access_modes: Vec<String>,
    /// `spec.resources.requests.storage` of that claim.
    #[serde(default)]
    pub requested: Option<String>,
    /// `spec.storageClassName` of that claim.
    #[serde(default)]
    pub storage_class: Option<String>,
}

impl About {
    /// A volume that is made now, for `claim` if there is one.
    pub fn new(claim: Option<&PersistentVolumeClaimSpec>, facts: &HostFacts) -> About {
        let requests = claim.and_then(|claim| claim.resources.as_ref()?.requests.as_ref());
        About {
            created_at: super::clock::now(),
            id_map: id_map(facts),
            access_modes: claim.and_then(|claim| claim.access_modes.clone()).unwrap_or_default(),
            requested: requests.and_then(|requests| requests.get("storage")).map(|quantity| quantity.0.clone()),
            storage_class: claim.and_then(|claim| claim.storage_class_name.clone()),
        }
    }

    /// A volume that is made now in the place of another.
    pub fn again(old: &About, facts: &HostFacts) -> About {
        About { created_at: super::clock::now(), id_map: id_map(facts), ..old.clone() }
    }
}

impl Volume {
    /// The directory with its files.
    pub fn files(&self) -> PathBuf {
        self.dir.join(FILES)
    }

    /// Its name for people: with the namespace, unless that is `default`.
    pub fn shown(&self) -> String {
        shown(&self.key)
    }
}

/// The directory of all volumes.
pub fn directory(data: &Path) -> PathBuf {
    data.join("volumes")
}

/// All volumes, by namespace and name.
///
/// # Errors
/// A directory or a record that cannot be read.
pub fn all(data: &Path) -> Result<Vec<Volume>> {
    let mut volumes = Vec::new();
    for namespace in names(&directory(data))? {
        for name in names(&directory(data).join(&namespace))? {
            // One that has just been removed is none.
            volumes.extend(find(data, &ObjectKey { namespace: namespace.clone(), name })?);
        }
    }
    Ok(volumes)
}

/// The volume called `key`, if there is one.
///
/// # Errors
/// Its record cannot be read.
pub fn find(data: &Path, key: &ObjectKey) -> Result<Option<Volume>> {
    let plain = |name: &str| !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0']);
    if !plain(&key.namespace) || !plain(&key.name) {
        return Ok(None);
    }
    let dir = directory(data).join(&key.namespace).join(&key.name);
    let text = match fs::read(dir.join(ABOUT)) {
        Ok(text) => text,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(e) => return Err(Error::new(format!("cannot read what is known of volume {}: {e}", shown(key)))),
    };
    let about =
        serde_json::from_slice(&text).map_err(|e| Error::new(format!("volume {}: {ABOUT}: {e}", shown(key))))?;
    Ok(Some(Volume { key: key.clone(), dir, about }))
}

/// The volume called `key`.
///
/// # Errors
/// There is none, and which of the others may have been meant.
pub fn get(data: &Path, key: &ObjectKey) -> Result<Volume> {
    if let Some(volume) = find(data, key)? {
        return Ok(volume);
    }
    let all = all(data)?;
    let error = Error::new(format!("there is no volume {:?} in the namespace {:?}", key.name, key.namespace));
    if let Some(other) = all.iter().find(|volume| volume.key.name == key.name) {
        return Err(error.mend(format!("there is one in the namespace {0:?}: say -n {0}", other.key.namespace)));
    }
    let names = all.iter().filter(|volume| volume.key.namespace == key.namespace).map(|v| v.key.name.as_str());
    Err(match crate::manifest::nearest(&key.name, names) {
        Some(meant) => error.mend(format!("did you mean {meant:?}?")),
        None => error.mend("podling volume ls lists them all"),
    })
}

/// Those volumes that `pod` names and that are there.
///
/// # Errors
/// A record that cannot be read.
pub fn known(data: &Path, pod: &Said<Pod>) -> Result<LocalVolumes> {
    let namespace = ObjectKey::of(&pod.object).namespace;
    let mut volumes = LocalVolumes { dir: directory(data), ..LocalVolumes::default() };
    let said = pod.object.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    for claim in said.filter_map(|volume| volume.persistent_volume_claim.as_ref()) {
        let key = ObjectKey { namespace: namespace.clone(), name: claim.claim_name.clone() };
        if let Some(volume) = find(data, &key)? {
            let spec = PersistentVolumeClaimSpec {
                access_modes: Some(volume.about.access_modes),
                ..PersistentVolumeClaimSpec::default()
            };
            volumes.known.insert(key, sharing(&spec));
        }
    }
    Ok(volumes)
}

fn shown(key: &ObjectKey) -> String {
    if key.namespace == "default" { format!("{:?}", key.name) } else { format!("\"{}/{}\"", key.namespace, key.name) }
}

/// Names in a directory, sorted, without those that begin with a point; none where it is not there.
fn names(dir: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(Vec::new()),
        Err(e) => return Err(Error::new(format!("cannot read {}: {e}", dir.display()))),
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.context(|| format!("reading {}", dir.display()))?.file_name().into_string().ok());
    }
    names.retain(|name| !name.starts_with('.'));
    names.sort_unstable();
    Ok(names)
}

/// The id map as a text to compare.
fn id_map(facts: &HostFacts) -> String {
    let extents = |extents: &[IdExtent]| {
        extents.iter().map(|e| format!("{}:{}:{}", e.inside, e.outside, e.count)).collect::<Vec<_>>().join(",")
    };
    format!("{} {}", extents(&facts.ids.uids), extents(&facts.ids.gids))
}

/// What a hold forbids others.
pub(super) fn is_exclusive(sharing: Sharing) -> bool {
    sharing == Sharing::Nobody
}

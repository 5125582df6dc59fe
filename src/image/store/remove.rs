//! Taking names from images, and collecting what no name leads to any more.

use std::collections::HashSet;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use oci_spec::image::Descriptor;

use crate::error::{Context, Error, Result};
use crate::image::digest::Digest;
use crate::image::namespace::InUserNamespace;
use crate::image::store::claims::Claims;
use crate::image::store::index::{Index, name_of};
use crate::image::store::usage::list;
use crate::image::store::{Record, Store};

/// How `image rm` treats an image that was named by its id and has several names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeveralNames {
    /// It is an error.
    Refuse,
    /// All of them go.
    Remove,
}

/// What `image rm` did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// Names that were taken away.
    pub untagged: Vec<String>,
    /// The manifest's digest, if the image itself is gone.
    pub deleted: Option<Digest>,
}

impl Store {
    /// Takes the name `text` from its image, and removes the image with its last name. Given an id, removes the image it names.
    ///
    /// An image whose layers a running pod holds ([`Store::hold`]) is not removed, unless other images need those layers anyway.
    pub fn remove(&self, text: &str, several: SeveralNames, namespace: &dyn InUserNamespace) -> Result<Removed> {
        let staging = self.new_staging()?;
        let removed = self.remove_into(text, several, staging.path());
        let emptied = staging.remove(namespace);
        let removed = removed?;
        emptied.map(|()| removed)
    }

    fn remove_into(&self, text: &str, several: SeveralNames, staging: &Path) -> Result<Removed> {
        let _lock = self.lock()?;
        let mut index = Index::read(&self.images())?;
        let image = self.lookup(&index, text)?.clone();
        let digest = image.digest().clone();
        let names: Vec<String> =
            index.images.iter().filter(|i| *i.digest() == digest).filter_map(name_of).map(str::to_owned).collect();
        let by_name = crate::image::Reference::parse(text).ok().and_then(|reference| index.find(&reference)).is_some();
        let untagged = match (by_name, name_of(&image)) {
            (true, Some(name)) => vec![name.to_owned()],
            _ if names.len() > 1 && several == SeveralNames::Refuse => {
                let what = format!("image {text:?} has several names: {}", names.join(", "));
                return Err(Error::new(what).mend("remove them by name, or all of them with --force"));
            }
            _ => names.clone(),
        };
        index
            .images
            .retain(|i| *i.digest() != digest || name_of(i).is_some_and(|name| !untagged.iter().any(|u| u == name)));
        let gone = index.images.iter().all(|i| *i.digest() != digest);
        let garbage = Garbage::of(self, &index)?;
        if gone && garbage.is_held()? {
            return Err(Error::new(format!("image {text:?} is used by a running pod"))
                .mend("stop the `podling run` that uses it first"));
        }
        index.write(&self.images())?;
        garbage.remove(self, staging)?;
        Ok(Removed { untagged, deleted: gone.then(|| Digest::parse(digest.as_ref())).transpose()? })
    }

    /// Removes the blobs and layers that no image of `index` needs, for a caller who holds the lock. Layers, whose files may be
    /// other users', are moved to the directory `staging`.
    /// Says how many bytes of blobs went.
    pub(super) fn collect_garbage(&self, index: &Index, staging: &Path) -> Result<u64> {
        Garbage::of(self, index)?.remove(self, staging)
    }
}

/// What no image needs.
struct Garbage {
    blobs: Vec<PathBuf>,
    layers: Vec<PathBuf>,
}

impl Garbage {
    fn of(store: &Store, index: &Index) -> Result<Garbage> {
        let needed = needed(store, &index.images)?;
        let garbage = |dir: &Path, needed: &HashSet<Digest>| -> Result<Vec<PathBuf>> {
            // What is not named by a digest is nobody's mistake of ours to remove.
            let is_garbage = |path: &PathBuf| digest_of(path).is_some_and(|digest| !needed.contains(&digest));
            Ok(list(dir)?.into_iter().filter(is_garbage).collect())
        };
        let blobs = garbage(&store.images().join("blobs/sha256"), &needed.blobs)?;
        let mut layers = Vec::new();
        for id_map in list(&store.layers())? {
            layers.extend(garbage(&id_map.join("sha256"), &needed.layers)?);
        }
        Ok(Garbage { blobs, layers })
    }

    /// Whether a running pod holds one of the layers.
    fn is_held(&self) -> Result<bool> {
        for layer in &self.layers {
            if lock(layer)?.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn remove(self, store: &Store, staging: &Path) -> Result<u64> {
        // What another podling has made or awaits has no name yet. While we remove something, nobody else claims it.
        let claims = Claims::new(store)?;
        let unclaimed = |path: &Path| match digest_of(path) {
            Some(digest) => claims.make(&digest),
            None => Ok(false),
        };
        for (number, layer) in self.layers.iter().enumerate() {
            if !unclaimed(layer)? {
                continue;
            }
            // A pod may hold a layer of an image that lost its name; it is collected once the pod is gone.
            let Some(_lock) = lock(layer)? else { continue };
            let aside = staging.join(format!("garbage-{number}"));
            fs::rename(layer, &aside).context(|| format!("cannot move {}", layer.display()))?;
        }
        let mut bytes = 0;
        for blob in &self.blobs {
            if !unclaimed(blob)? {
                continue;
            }
            bytes += fs::metadata(blob).map_or(0, |stat| stat.blocks() * 512);
            fs::remove_file(blob).context(|| format!("cannot remove {}", blob.display()))?;
        }
        Ok(bytes)
    }
}

/// What images need. The digest of a layer that is not compressed is its diffID, too, so each is counted where it is meant.
#[derive(Debug, Default)]
pub(super) struct Needed {
    pub blobs: HashSet<Digest>,
    pub layers: HashSet<Digest>,
}

impl Needed {
    /// Adds what an image needs.
    pub fn add(&mut self, record: &Record) -> Result<()> {
        self.blobs.insert(record.digest);
        self.blobs.insert(Digest::parse(record.manifest.config().digest().as_ref())?);
        for layer in record.manifest.layers() {
            self.blobs.insert(Digest::parse(layer.digest().as_ref())?);
        }
        self.layers.extend(&record.diff_ids);
        Ok(())
    }
}

/// Every digest that leads to a blob or a layer of `images`. An image that cannot be read makes this fail: nothing is
/// collected on a guess.
fn needed(store: &Store, images: &[Descriptor]) -> Result<Needed> {
    let mut needed = Needed::default();
    for image in images {
        needed.add(&store.record_of(image)?)?;
    }
    Ok(needed)
}

fn lock(layer: &Path) -> Result<Option<File>> {
    let file = File::open(layer).context(|| format!("cannot open {}", layer.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(e)) => Err(Error::new(format!("cannot lock {}: {e}", layer.display()))),
    }
}

fn digest_of(path: &Path) -> Option<Digest> {
    path.file_name().and_then(|name| name.to_str()).and_then(Digest::from_hex)
}

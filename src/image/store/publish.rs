//! Putting what was made into the store, in one step under its lock.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use oci_spec::image::Descriptor;

use crate::error::{Context, Error, Result};
use crate::image::digest::Digest;
use crate::image::documents::Origin;
use crate::image::reference::Reference;
use crate::image::store::Store;
use crate::image::store::index::Index;

/// An image that was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// Its full name, where it has one.
    pub reference: Option<Reference>,
    /// Its manifest's digest.
    pub digest: Digest,
    /// What was left out of its layers, one sentence each.
    pub warnings: Vec<String>,
}

/// A blob in a staging directory.
#[derive(Debug)]
pub struct StagedBlob {
    /// Where it is.
    pub path: PathBuf,
    /// What it is.
    pub digest: Digest,
}

/// A layer's directory in a staging directory.
#[derive(Debug)]
pub struct StagedLayer {
    /// Where it is.
    pub path: PathBuf,
    /// What it is.
    pub diff_id: Digest,
}

/// An image of which every part is in the store or staged.
#[derive(Debug)]
pub struct StagedImage {
    /// Its name to be.
    pub name: Option<Reference>,
    /// The descriptor of its manifest.
    pub descriptor: Descriptor,
    /// The manifest's digest.
    pub digest: Digest,
    /// The config's digest.
    pub config: Digest,
    /// diffID and blob of each layer.
    pub layers: Vec<(Digest, Digest)>,
    /// Where it came from.
    pub origin: Origin,
    /// What was left out.
    pub warnings: Vec<String>,
}

/// Everything that one load made.
#[derive(Debug)]
pub struct Made {
    /// Blobs that the store did not have.
    pub blobs: Vec<StagedBlob>,
    /// Layers that the store did not have.
    pub layers: Vec<StagedLayer>,
    /// The images.
    pub images: Vec<StagedImage>,
}

/// How publishing ended.
#[derive(Debug)]
pub enum Outcome {
    /// All is in the store.
    Published(Vec<Loaded>),
    /// Something that the store had when we looked was removed since; nothing was changed.
    Vanished,
}

impl Store {
    /// Moves everything to its place and then names the images, so that no name ever leads to something missing.
    pub(super) fn publish(&self, made: Made, staging: &Path) -> Result<Outcome> {
        let _lock = self.lock()?;
        if !self.is_complete(&made) {
            return Ok(Outcome::Vanished);
        }
        let mut index = Index::read(&self.images())?;
        let mut moves = Moves::default();
        moves.blobs(self, &made.blobs)?;
        moves.layers(self, &made.layers)?;
        if !made.images.is_empty() {
            self.make_layout()?;
            for image in &made.images {
                index.put(image.name.as_ref(), image.descriptor.clone(), &image.origin);
            }
            index.write(&self.images())?;
        }
        moves.keep();
        // What a podling left that was killed at this very point. All of ours is named by now; if some other image cannot be
        // read, its garbage waits, and `image rm` says why.
        let _ = self.collect_garbage(&index, staging);
        let loaded = made.images.into_iter();
        let loaded =
            loaded.map(|image| Loaded { reference: image.name, digest: image.digest, warnings: image.warnings });
        Ok(Outcome::Published(loaded.collect()))
    }

    fn is_complete(&self, made: &Made) -> bool {
        let has_blob =
            |digest: &Digest| made.blobs.iter().any(|blob| blob.digest == *digest) || self.blob_path(digest).is_file();
        let has_layer =
            |diff_id: &Digest| made.layers.iter().any(|layer| layer.diff_id == *diff_id) || self.has_layer(diff_id);
        made.images.iter().all(|image| {
            let documents = [image.digest, image.config];
            documents.iter().all(has_blob)
                && image.layers.iter().all(|(diff_id, blob)| has_layer(diff_id) && has_blob(blob))
        })
    }

    fn make_layout(&self) -> Result<()> {
        let path = self.images().join("oci-layout");
        if path.exists() {
            return Ok(());
        }
        self.make_directory(&self.images().join("blobs/sha256"))?;
        let temporary = self.images().join("oci-layout.new");
        fs::write(&temporary, "{\"imageLayoutVersion\":\"1.0.0\"}")
            .context(|| format!("cannot write {}", temporary.display()))?;
        fs::rename(&temporary, &path).context(|| format!("cannot write {}", path.display()))
    }
}

/// What was moved into the store and goes again unless it is kept.
#[derive(Default)]
struct Moves(Vec<(PathBuf, PathBuf)>);

impl Moves {
    fn blobs(&mut self, store: &Store, blobs: &[StagedBlob]) -> Result<()> {
        if blobs.is_empty() {
            return Ok(());
        }
        let dir = store.images().join("blobs/sha256");
        store.make_directory(&dir)?;
        for blob in blobs {
            self.go(&blob.path, &store.blob_path(&blob.digest))?;
        }
        sync_directory(&dir)
    }

    fn layers(&mut self, store: &Store, layers: &[StagedLayer]) -> Result<()> {
        for layer in layers {
            let place = store.layer_dir(&layer.diff_id);
            let Some(dir) = place.parent() else { continue };
            store.make_directory(dir)?;
            self.go(&layer.path, &place)?;
            sync_directory(dir)?;
        }
        Ok(())
    }

    /// Moves one thing, unless another podling made the same before us. A blob of another length is damaged, and replaced.
    fn go(&mut self, from: &Path, to: &Path) -> Result<()> {
        if let (Ok(ours), Ok(there)) = (fs::symlink_metadata(from), fs::symlink_metadata(to))
            && ours.file_type() == there.file_type()
            && (ours.is_dir() || ours.len() == there.len())
        {
            return Ok(());
        }
        match fs::rename(from, to) {
            Ok(()) => self.0.push((from.to_owned(), to.to_owned())),
            Err(e) if e.kind() == ErrorKind::NotFound && fs::symlink_metadata(to).is_ok() => {}
            Err(e) => return Err(Error::new(format!("cannot move {} to {}: {e}", from.display(), to.display()))),
        }
        Ok(())
    }

    fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for Moves {
    /// Back to staging, where all is removed; what cannot go back is unnamed and the next collection removes it.
    fn drop(&mut self) {
        for (from, to) in self.0.drain(..).rev() {
            let _ = fs::rename(to, from);
        }
    }
}

fn sync_directory(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|dir| dir.sync_all()).context(|| format!("cannot sync {}", dir.display()))
}

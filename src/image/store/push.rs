//! Pushing: an image goes to a registry, as it is.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::error::{Context, Error, Result};
use crate::image::digest::Digest;
use crate::image::documents::Origin;
use crate::image::extent::Extent;
use crate::image::progress::{Event, Progress, Silent};
use crate::image::reference::Reference;
use crate::image::registry::{Repository, Sent, Which};
use crate::image::store::Store;
use crate::image::store::index::Index;

/// How many blobs are on their way at once.
const AT_ONCE: usize = 4;

impl Store {
    /// Pushes the image that `source` names to `repository`, under the tag of `destination`. Blobs that the registry has are not sent.
    /// Answers with the manifest's digest, which is the one that the image has here.
    ///
    /// # Errors
    /// The image is not here or damaged, or what the registry did.
    pub fn push(
        &self,
        source: &str,
        destination: &Reference,
        repository: &Repository,
        progress: &dyn Progress,
    ) -> Result<Digest> {
        let index = Index::read(&self.images())?;
        let image = self.lookup(&index, source)?;
        let record = self.record_of(image)?;
        // Only within one registry can a blob be had from another repository.
        let from = Origin::of(image).pulled_from.and_then(|from| {
            let path = from.strip_prefix(&format!("{}/", destination.domain()))?;
            (path != destination.path()).then(|| path.to_owned())
        });
        let config = Digest::parse(record.manifest.config().digest().as_ref())?;
        let mut blobs = vec![config];
        for layer in record.manifest.layers() {
            let digest = Digest::parse(layer.digest().as_ref())?;
            if !blobs.contains(&digest) {
                blobs.push(digest);
            }
        }
        let send = |digest: &Digest| -> Result<()> {
            // What is shown are layers, and the config is none.
            let progress = if *digest == config { &Silent } else { progress };
            let content = Extent::open(&self.blob_path(digest)).context(|| format!("the store's blob {digest}"))?;
            progress.layer(digest, Event::Begins(content.length()));
            let told = |count| progress.layer(digest, Event::Bytes(count));
            let sent = repository.send_blob(digest, &content, from.as_deref(), &told)?;
            progress.layer(digest, if sent == Sent::Present { Event::Present } else { Event::Done });
            Ok(())
        };
        let (next, failed) = (AtomicUsize::new(0), Mutex::new(None));
        thread::scope(|scope| {
            for _ in 0..blobs.len().min(AT_ONCE) {
                scope.spawn(|| {
                    while let Some(digest) = blobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if let Err(e) = send(digest) {
                            next.store(blobs.len(), Ordering::Relaxed);
                            failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(e);
                        }
                    }
                });
            }
        });
        if let Some(e) = failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(e);
        }
        let manifest = Extent::open(&self.blob_path(&record.digest))?.read_all(crate::image::documents::JSON_LIMIT)?;
        if Digest::of(&manifest) != record.digest {
            return Err(Error::new(format!("the store's manifest {} is damaged", record.digest)));
        }
        let which = match destination.tag() {
            Some(tag) => Which::Tag(tag.to_owned()),
            None => Which::Digest(record.digest),
        };
        repository.put_manifest(&which, image.media_type().as_ref(), &manifest)?;
        Ok(record.digest)
    }
}

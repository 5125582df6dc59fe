//! Pulling: an image comes from a registry, and only what the store lacks of it.

use std::thread;

use oci_spec::image::{Descriptor, ImageConfiguration};
use serde_json::json;

use crate::error::{Error, Result};
use crate::image::digest::Digest;
use crate::image::documents::{Origin, parse};
use crate::image::extent::Extent;
use crate::image::layer::limits::human;
use crate::image::layer::pipeline::Content;
use crate::image::namespace::InUserNamespace;
use crate::image::platform::Target;
use crate::image::progress::Progress;
use crate::image::reference::Reference;
use crate::image::registry::{Document, Repository, Which};
use crate::image::source::oci::{self, Blobs};
use crate::image::source::{SourceImage, SourceName};
use crate::image::store::Store;
use crate::image::store::claims::Claims;
use crate::image::store::index::{Index, name_of};
use crate::image::store::publish::Loaded;
use crate::image::store::staging;
use crate::image::store::workshop::MOMENT;

/// An image that was asked for at its registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The name it has in the store now.
    pub reference: Reference,
    /// What the registry says the name means today: the digest of the manifest, or of the index that it was chosen from.
    pub digest: Digest,
    /// Whether the store had all of it, under this name.
    pub was_present: bool,
    /// What was left out of its layers, one sentence each.
    pub warnings: Vec<String>,
}

impl Store {
    /// Pulls the image that `reference` names from `repository`, which is that of the name or a mirror of it, for `target`.
    ///
    /// The name is resolved once: whatever the registry does meanwhile, the layers are those of one manifest. On failure the store is
    /// as it was.
    pub fn pull(
        &self,
        reference: &Reference,
        repository: &Repository,
        target: &Target,
        namespace: &dyn InUserNamespace,
        progress: &dyn Progress,
    ) -> Result<Pulled> {
        let which = match (reference.digest(), reference.tag()) {
            (Some(digest), _) => Which::Digest(digest),
            (None, tag) => Which::Tag(tag.unwrap_or("latest").to_owned()),
        };
        let document = repository.manifest(&which, self.limits().manifest_size)?;
        let digest = document.digest;
        let descriptor =
            json!({"mediaType": document.media_type, "digest": digest.to_string(), "size": document.content.len()});
        let descriptor: Descriptor = serde_json::from_value(descriptor).map_err(|e| Error::new(e.to_string()))?;
        let claims = Claims::of_documents(self)?;
        let blobs = RegistryBlobs { store: self, repository, first: &document, claims: &claims, progress };
        let mut source =
            oci::image(&blobs, &descriptor, SourceName::Reference(reference.clone()), target, self.limits())?;
        source.origin.pulled_from = Some(reference.repository());
        check_platform(&source, target)?;
        let pulled = |was_present, warnings| Pulled { reference: reference.clone(), digest, was_present, warnings };
        if self.has_all_of(reference, &source)? {
            // As every pull does, where a killed one left something.
            staging::sweep(&self.staging(), namespace)?;
            return Ok(pulled(true, Vec::new()));
        }
        let loaded = self.staged(namespace, progress, &|workshop| {
            let mut workshop = workshop.fetching_from(repository);
            let staged = workshop.images(std::slice::from_ref(&source), vec![Some(reference.clone())])?;
            Ok(workshop.finish(staged))
        })?;
        Ok(pulled(false, loaded.into_iter().flat_map(|loaded: Loaded| loaded.warnings).collect()))
    }

    /// Whether `reference` names just this image, and nothing of it is missing.
    fn has_all_of(&self, reference: &Reference, source: &SourceImage) -> Result<bool> {
        let Some(manifest) = &source.manifest else { return Ok(false) };
        let index = Index::read(&self.images())?;
        let named = index.find(reference).filter(|image| {
            let digest = image.digest().to_string();
            name_of(image).is_some() && digest == Digest::of(&manifest.content).to_string()
        });
        let Some(image) = named else { return Ok(false) };
        // An unreadable record is no reason to fail where a pull mends it.
        let Ok(record) = self.record_of(image) else { return Ok(false) };
        let whole = source.layers.iter().all(|layer| {
            layer.diff_id.is_some_and(|id| self.has_layer(&id))
                && layer.digest.is_some_and(|digest| self.has_blob(&digest, layer.content.length()))
        });
        Ok(whole && Origin::of(image) == source.origin && !record.diff_ids.is_empty())
    }
}

/// An image without an index is for one platform, which must be the one that was asked for. Where none was, the image is taken, and what
/// it is for is said (as docker and podman do).
fn check_platform(source: &SourceImage, target: &Target) -> Result<()> {
    let config: ImageConfiguration = parse(&source.config, "config")?;
    let (architecture, variant) = (config.architecture().to_string(), config.variant().as_deref());
    if *target == Target::host() || target.fits(&architecture, variant) {
        return Ok(());
    }
    Err(Error::new(format!("it has no image for {target}, only for {}/{architecture}", config.os())))
}

/// An image's documents and layers in a registry; what the store has is not asked for again.
struct RegistryBlobs<'a> {
    store: &'a Store,
    repository: &'a Repository,
    first: &'a Document,
    /// What this pull fetches is claimed until its end, when the store has it: others wait for that instead of fetching it, too.
    claims: &'a Claims,
    progress: &'a dyn Progress,
}

impl RegistryBlobs<'_> {
    /// The document if the store has it, whole.
    fn stored(&self, descriptor: &Descriptor, digest: &Digest, limit: u64) -> Option<Vec<u8>> {
        if !self.store.has_blob(digest, descriptor.size()) {
            return None;
        }
        let content = Extent::open(&self.store.blob_path(digest)).and_then(|blob| blob.read_all(limit)).ok()?;
        (Digest::of(&content) == *digest).then_some(content)
    }
}

impl Blobs for RegistryBlobs<'_> {
    fn document(&self, descriptor: &Descriptor, what: &str, limit: u64) -> Result<Vec<u8>> {
        let digest = Digest::parse(descriptor.digest().as_ref())?;
        if digest == self.first.digest {
            return Ok(self.first.content.clone());
        }
        if let Some(content) = self.stored(descriptor, &digest, limit) {
            return Ok(content);
        }
        // This comes before any layer is claimed, and always in the order of manifest and config, so nobody waits in a circle.
        if !self.claims.make(&digest)? {
            self.progress.waits();
            while !self.claims.make(&digest)? {
                self.claims.wait_for(&digest)?;
                self.claims.release(&digest)?;
                if let Some(content) = self.stored(descriptor, &digest, limit) {
                    return Ok(content);
                }
                thread::sleep(MOMENT);
            }
        }
        // Whoever made it may have ended between the first look and the claim.
        if let Some(content) = self.stored(descriptor, &digest, limit) {
            self.claims.release(&digest)?;
            return Ok(content);
        }
        let content = match what {
            "config" => self.repository.blob(&digest, limit)?,
            _ => self.repository.manifest(&Which::Digest(digest), limit)?.content,
        };
        if content.len() as u64 != descriptor.size() {
            let (found, promised) = (content.len(), descriptor.size());
            return Err(Error::new(format!(
                "{what} {digest} has {found} bytes, and not the {promised} that are promised"
            )));
        }
        Ok(content)
    }

    fn layer(&self, descriptor: &Descriptor) -> Result<Content> {
        // It is a part of what the layer may become, so it is bounded before it fills the disk.
        let (size, limit) = (descriptor.size(), self.store.limits().layer_size);
        if size > limit {
            let (size, limit) = (human(size), human(limit));
            return Err(Error::new(format!("layer {} has {size}, more than {limit}", descriptor.digest()))
                .mend("if it is meant to be so large, raise the limit: --limit layer-size=VALUE"));
        }
        Ok(Content::Remote(size))
    }
}

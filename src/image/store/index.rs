//! `index.json`: which images the store has, and under which names (OCI image-spec image-layout.md).

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;

use oci_spec::image::{Descriptor, ImageIndex};

use crate::error::{Context, Error, Result};
use crate::image::documents::{CONTAINERD_NAME, INDEX_DIGEST, Origin, PULLED_FROM, REF_NAME, annotation};
use crate::image::reference::Reference;

/// The store's index, as it stands on disk.
#[derive(Debug, Clone)]
pub struct Index {
    /// One descriptor for each name of an image, and one for each image without a name.
    pub images: Vec<Descriptor>,
}

impl Index {
    /// Reads the index of the layout at `dir`; a layout that is not there is empty.
    pub fn read(dir: &Path) -> Result<Index> {
        let path = dir.join("index.json");
        let content = match fs::read(&path) {
            Ok(content) => content,
            Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Index { images: Vec::new() }),
            Err(e) => return Err(Error::new(format!("cannot read {}: {e}", path.display()))),
        };
        let index: ImageIndex = serde_json::from_slice(&content).map_err(|e| {
            Error::new(format!("{} is damaged: {e}", path.display()))
                .mend("remove the directory and load its images again")
        })?;
        Ok(Index { images: index.manifests().clone() })
    }

    /// Replaces the index of the layout at `dir` in one step, on disk before it is seen.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let index = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": self.images,
        });
        let failed = || format!("cannot write {}", dir.join("index.json").display());
        let temporary = dir.join("index.json.new");
        let mut file = File::create(&temporary).context(failed)?;
        file.write_all(index.to_string().as_bytes()).context(failed)?;
        file.sync_all().context(failed)?;
        fs::rename(&temporary, dir.join("index.json")).context(failed)
    }

    /// Gives `name` to the image `descriptor`, taking it from whichever image had it: that one stays, without a name, unless
    /// it has others.
    pub fn put(&mut self, name: Option<&Reference>, mut descriptor: Descriptor, origin: &Origin) {
        let mut annotations = HashMap::new();
        if let Some(name) = name {
            annotations.insert(REF_NAME.to_owned(), name.to_string());
            annotations.insert(CONTAINERD_NAME.to_owned(), name.to_string());
            self.untag(&name.to_string());
        }
        if let Some(digest) = origin.index_digest {
            annotations.insert(INDEX_DIGEST.to_owned(), digest.to_string());
        }
        if let Some(repository) = &origin.pulled_from {
            annotations.insert(PULLED_FROM.to_owned(), repository.clone());
        }
        let digest = descriptor.digest().to_string();
        // An image that has a name needs no nameless entry beside it.
        self.images.retain(|known| name_of(known).is_some() || known.digest().to_string() != digest);
        if name.is_none() && self.images.iter().any(|known| known.digest().to_string() == digest) {
            return;
        }
        descriptor.set_annotations((!annotations.is_empty()).then_some(annotations));
        self.images.push(descriptor);
    }

    /// Takes `name` from its image.
    pub fn untag(&mut self, name: &str) {
        let Some(at) = self.images.iter().position(|known| name_of(known) == Some(name)) else { return };
        let mut nameless = self.images.remove(at);
        if self.images.iter().any(|other| other.digest() == nameless.digest()) {
            return;
        }
        let mut annotations = nameless.annotations().clone().unwrap_or_default();
        annotations.retain(|key, _| key != REF_NAME && key != CONTAINERD_NAME);
        nameless.set_annotations((!annotations.is_empty()).then_some(annotations));
        self.images.push(nameless);
    }

    /// The image that `reference` names: by its name, or for `name@sha256:…` by repository and digest.
    pub fn find(&self, reference: &Reference) -> Option<&Descriptor> {
        let Some(digest) = reference.digest() else {
            let name = reference.to_string();
            return self.images.iter().find(|image| name_of(image) == Some(&name));
        };
        // The digest says it all; a tag beside it is only a reminder, as docker has it.
        let digest = digest.to_string();
        let has_digest = |image: &Descriptor| {
            image.digest().to_string() == digest || annotation(image, INDEX_DIGEST).is_some_and(|index| index == digest)
        };
        let repository = reference.repository();
        let same_repository = |image: &Descriptor| {
            name_of(image)
                .and_then(|name| Reference::parse(name).ok())
                .is_some_and(|name| name.repository() == repository)
        };
        self.images.iter().find(|image| has_digest(image) && same_repository(image))
    }

    /// The names of all images.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.images.iter().filter_map(name_of)
    }
}

/// The full name that the store's index gives an image.
pub fn name_of(image: &Descriptor) -> Option<&str> {
    annotation(image, REF_NAME)
}

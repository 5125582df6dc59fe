//! What `podling images` and `podling image inspect` show.

use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::image::digest::Digest;
use crate::image::documents::{INDEX_DIGEST, annotation};
use crate::image::reference::Reference;
use crate::image::store::index::{Index, name_of};
use crate::image::store::staging::TREE;
use crate::image::store::{Record, Store};
use crate::image::timestamp;

/// One row of `podling images`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The name; `None` for an image that lost its own or never had one.
    pub name: Option<Reference>,
    /// The manifest's digest.
    pub digest: Digest,
    /// The config's digest, which docker calls the image's id.
    pub id: Digest,
    /// When it was built, in seconds since 1970.
    pub created: Option<i64>,
    /// Bytes of its layers' blobs, as they are stored and travel.
    pub size: u64,
}

impl Store {
    /// All images, the newest first.
    pub fn list(&self) -> Result<Vec<Listing>> {
        let index = Index::read(&self.images())?;
        let mut listings = Vec::with_capacity(index.images.len());
        for image in &index.images {
            let record = self.record_of(image)?;
            listings.push(Listing {
                name: name_of(image).map(Reference::parse).transpose()?,
                digest: record.digest,
                id: Digest::parse(record.manifest.config().digest().as_ref())?,
                created: record.config.created().as_deref().and_then(timestamp::parse),
                size: record.manifest.layers().iter().map(|layer| layer.size()).sum(),
            });
        }
        listings.sort_by(|a, b| {
            let names = |l: &Listing| l.name.as_ref().map(Reference::familiar);
            b.created.cmp(&a.created).then_with(|| names(a).cmp(&names(b)))
        });
        Ok(listings)
    }

    /// Everything about the image that `text` names, as JSON.
    pub fn inspect(&self, text: &str) -> Result<Value> {
        let index = Index::read(&self.images())?;
        let image = self.lookup(&index, text)?;
        let record = self.record_of(image)?;
        let same = || index.images.iter().filter(|other| other.digest() == image.digest());
        let names: Vec<&str> = same().filter_map(name_of).collect();
        let sources: Vec<&str> = same().filter_map(|image| annotation(image, INDEX_DIGEST)).collect();
        let config = serde_json::to_value(record.config.config()).map_err(|e| Error::new(e.to_string()))?;
        Ok(json!({
            "names": names,
            "id": record.manifest.config().digest().to_string(),
            "digest": record.digest.to_string(),
            "indexDigest": sources.first(),
            "mediaType": image.media_type().to_string(),
            "created": record.config.created(),
            "platform": platform_of(&record),
            "size": record.manifest.layers().iter().map(|layer| layer.size()).sum::<u64>(),
            "config": config,
            "layers": self.layers_of(&record),
            "history": record.config.history(),
        }))
    }

    fn layers_of(&self, record: &Record) -> Vec<Value> {
        let layer = |(layer, diff_id): (&oci_spec::image::Descriptor, &Digest)| {
            let unpacked = self.has_layer(diff_id).then(|| self.layer_dir(diff_id).join(TREE).display().to_string());
            json!({
                "digest": layer.digest().to_string(),
                "diffID": diff_id.to_string(),
                "mediaType": layer.media_type().to_string(),
                "size": layer.size(),
                "unpacked": unpacked,
            })
        };
        record.manifest.layers().iter().zip(&record.diff_ids).map(layer).collect()
    }
}

fn platform_of(record: &Record) -> String {
    let variant = record.config.variant().as_deref().map(|variant| format!("/{variant}")).unwrap_or_default();
    format!("{}/{}{variant}", record.config.os(), record.config.architecture())
}

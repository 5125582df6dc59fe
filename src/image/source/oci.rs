//! An image as its index, manifest and config describe it (OCI image-spec), wherever these are.

use oci_spec::image::{Descriptor, ImageConfiguration, ImageIndex, ImageManifest, MediaType};

use crate::error::{Context, Error, Result};
use crate::image::compression::Compression;
use crate::image::digest::Digest;
use crate::image::documents::{Kind, Origin, annotation, check_unambiguous, parse};
use crate::image::layer::limits::Limits;
use crate::image::layer::pipeline::{Content, LayerBlob};
use crate::image::platform::{self, Target};
use crate::image::source::{SourceImage, SourceManifest, SourceName};

/// Indexes may be nested; deeper than this they are somebody's joke.
const NESTING_LIMIT: usize = 4;

/// Where an image's documents and layers are.
pub trait Blobs {
    /// The document that `descriptor` leads to, `what` in errors; its length, at most `limit` bytes, and digest
    /// are what the descriptor says.
    fn document(&self, descriptor: &Descriptor, what: &str, limit: u64) -> Result<Vec<u8>>;

    /// Where a layer's bytes are, whose number is what the descriptor says.
    fn layer(&self, descriptor: &Descriptor) -> Result<Content>;
}

/// The image that `descriptor` leads to: its manifest, or through indexes the manifest for `target`.
pub fn image(
    blobs: &dyn Blobs,
    descriptor: &Descriptor,
    name: SourceName,
    target: &Target,
    limits: &Limits,
) -> Result<SourceImage> {
    let (descriptor, index_digest) = manifest_of(blobs, descriptor, target, limits)?;
    let digest = Digest::parse(descriptor.digest().as_ref())?;
    let content = blobs.document(&descriptor, "manifest", limits.manifest_size)?;
    check_unambiguous(&content, "manifest", Kind::Manifest).context(|| format!("image {digest}"))?;
    let manifest: ImageManifest = parse(&content, "manifest").context(|| format!("image {digest}"))?;
    if !matches!(manifest.config().media_type(), MediaType::ImageConfig)
        && manifest.config().media_type().to_string() != "application/vnd.docker.container.image.v1+json"
    {
        let what = format!("manifest {digest} is no container image, its config is {}", manifest.config().media_type());
        return Err(Error::new(what));
    }
    limits.check_layers(manifest.layers().len()).map_err(|e| e.context(format!("image {digest}")))?;
    let config =
        blobs.document(manifest.config(), "config", limits.config_size).context(|| format!("image {digest}"))?;
    check_unambiguous(&config, "config", Kind::Other).context(|| format!("image {digest}"))?;
    let parsed: ImageConfiguration = parse(&config, "config").context(|| format!("image {digest}"))?;
    let diff_ids = parsed.rootfs().diff_ids();
    if diff_ids.len() != manifest.layers().len() {
        let (layers, ids) = (manifest.layers().len(), diff_ids.len());
        return Err(Error::new(format!("image {digest} has {layers} layers, but its config lists {ids} diffIDs")));
    }
    let layers = manifest.layers().iter().zip(diff_ids);
    let layers = layers.map(|(layer, diff_id)| layer_blob(blobs, layer, diff_id)).collect::<Result<_>>();
    let media_type = descriptor.media_type().to_string();
    Ok(SourceImage {
        name,
        manifest: Some(SourceManifest { content, media_type }),
        origin: Origin { index_digest, pulled_from: None },
        config,
        layers: layers.context(|| format!("image {digest}"))?,
    })
}

/// Follows indexes down to the manifest for `target`; also says the digest of the outermost index.
fn manifest_of(
    blobs: &dyn Blobs,
    descriptor: &Descriptor,
    target: &Target,
    limits: &Limits,
) -> Result<(Descriptor, Option<Digest>)> {
    let mut here = descriptor.clone();
    let mut outermost = None;
    for _ in 0..NESTING_LIMIT {
        let media_type = here.media_type().to_string();
        if !is_index(&media_type) {
            return Ok((here, outermost));
        }
        let digest = Digest::parse(here.digest().as_ref())?;
        outermost = outermost.or(Some(digest));
        let content = blobs.document(&here, "index", limits.manifest_size)?;
        check_unambiguous(&content, "index", Kind::Index).context(|| format!("index {digest}"))?;
        let index: ImageIndex = parse(&content, "index").context(|| format!("index {digest}"))?;
        let images = index.manifests().iter().filter(|image| !is_attestation(image));
        here = target.choose(images).context(|| format!("index {digest}"))?.clone();
    }
    Err(Error::new(format!("indexes are nested more than {NESTING_LIMIT} deep")))
}

fn is_index(media_type: &str) -> bool {
    matches!(
        media_type,
        "application/vnd.oci.image.index.v1+json" | "application/vnd.docker.distribution.manifest.list.v2+json"
    )
}

/// buildkit puts signatures and provenance beside images, as manifests for no platform.
pub fn is_attestation(image: &Descriptor) -> bool {
    annotation(image, "vnd.docker.reference.type").is_some()
        || image.platform().as_ref().is_some_and(|platform| platform::describe(platform) == "unknown/unknown")
}

fn layer_blob(blobs: &dyn Blobs, layer: &Descriptor, diff_id: &str) -> Result<LayerBlob> {
    let media_type = layer.media_type().to_string();
    let digest = Digest::parse(layer.digest().as_ref())?;
    let compression = Compression::of_media_type(&media_type);
    if compression.is_none() {
        return Err(Error::new(format!("layer {digest} is of media type {media_type}, which podling cannot unpack")));
    }
    let content = blobs.layer(layer)?;
    Ok(LayerBlob { content, digest: Some(digest), diff_id: Some(Digest::parse(diff_id)?), compression })
}

//! OCI image layouts, as a directory or in an archive (OCI image-spec image-layout.md).

use std::collections::BTreeMap;

use oci_spec::image::{Descriptor, ImageConfiguration, ImageIndex, ImageManifest, MediaType};

use crate::error::{Context, Error, Result};
use crate::image::compression::Compression;
use crate::image::digest::Digest;
use crate::image::documents::{CONTAINERD_NAME, JSON_LIMIT, REF_NAME, annotation, parse};
use crate::image::layer::pipeline::LayerBlob;
use crate::image::platform;
use crate::image::reference::Reference;
use crate::image::source::{Files, SourceImage, SourceManifest, SourceName};

/// Indexes may be nested; deeper than this they are somebody's joke.
const NESTING_LIMIT: usize = 4;

/// All images of a layout, of each the one for this machine's platform.
pub fn images(files: &Files) -> Result<Vec<SourceImage>> {
    let content = files.need("index.json")?.read_all(JSON_LIMIT).context(|| "index.json")?;
    let index: ImageIndex = parse(&content, "index.json")?;
    // Several entries of one name, or several without a name, are one image for several platforms.
    let mut groups: BTreeMap<(usize, Option<String>), Vec<&Descriptor>> = BTreeMap::new();
    let mut order: Vec<Option<String>> = Vec::new();
    for image in index.manifests().iter().filter(|image| !is_attestation(image)) {
        let name = annotation(image, CONTAINERD_NAME).or(annotation(image, REF_NAME)).map(str::to_owned);
        // What has no name and no platform cannot be told apart: each is an image of its own.
        let known = if name.is_none() && image.platform().is_none() {
            None
        } else {
            order.iter().position(|known| *known == name)
        };
        let at = known.unwrap_or_else(|| {
            order.push(name.clone());
            order.len() - 1
        });
        groups.entry((at, name)).or_default().push(image);
    }
    let mut images = Vec::new();
    for group in groups.values() {
        let Some(first) = group.first() else { continue };
        let chosen = match group.as_slice() {
            [only] => *only,
            several => platform::choose(several.iter().copied())?,
        };
        images.push(image(files, chosen, name(first)?)?);
    }
    Ok(images)
}

/// What a descriptor's annotations call its image.
fn name(image: &Descriptor) -> Result<SourceName> {
    if let Some(name) = annotation(image, CONTAINERD_NAME) {
        return Reference::parse(name).map(SourceName::Reference);
    }
    match annotation(image, REF_NAME) {
        None => Ok(SourceName::Nameless),
        // The spec lets this be a whole reference or only its last part; a bare word is a tag to most tools that write one.
        Some(name) if name.contains(['/', ':', '@']) => Reference::parse(name).map(SourceName::Reference),
        Some(tag) => Ok(SourceName::Tag(tag.to_owned())),
    }
}

fn image(files: &Files, descriptor: &Descriptor, name: SourceName) -> Result<SourceImage> {
    let (descriptor, index_digest) = manifest_of(files, descriptor)?;
    let digest = Digest::parse(descriptor.digest().as_ref())?;
    let content = blob(files, &descriptor, "manifest")?;
    let manifest: ImageManifest = parse(&content, "manifest").context(|| format!("image {digest}"))?;
    if !matches!(manifest.config().media_type(), MediaType::ImageConfig)
        && manifest.config().media_type().to_string() != "application/vnd.docker.container.image.v1+json"
    {
        let what = format!("manifest {digest} is no container image, its config is {}", manifest.config().media_type());
        return Err(Error::new(what));
    }
    let config = blob(files, manifest.config(), "config").context(|| format!("image {digest}"))?;
    let parsed: ImageConfiguration = parse(&config, "config").context(|| format!("image {digest}"))?;
    let diff_ids = parsed.rootfs().diff_ids();
    if diff_ids.len() != manifest.layers().len() {
        let (layers, ids) = (manifest.layers().len(), diff_ids.len());
        return Err(Error::new(format!("image {digest} has {layers} layers, but its config lists {ids} diffIDs")));
    }
    let layers = manifest.layers().iter().zip(diff_ids);
    let layers = layers.map(|(layer, diff_id)| layer_blob(files, layer, diff_id)).collect::<Result<_>>();
    let media_type = descriptor.media_type().to_string();
    Ok(SourceImage {
        name,
        manifest: Some(SourceManifest { content, media_type }),
        index_digest,
        config,
        layers: layers.context(|| format!("image {digest}"))?,
    })
}

/// Follows indexes down to the manifest for this machine; also says the digest of the outermost index.
fn manifest_of(files: &Files, descriptor: &Descriptor) -> Result<(Descriptor, Option<Digest>)> {
    let mut here = descriptor.clone();
    let mut outermost = None;
    for _ in 0..NESTING_LIMIT {
        let media_type = here.media_type().to_string();
        if !is_index(&media_type) {
            return Ok((here, outermost));
        }
        let digest = Digest::parse(here.digest().as_ref())?;
        outermost = outermost.or(Some(digest));
        let content = blob(files, &here, "index")?;
        let index: ImageIndex = parse(&content, "index").context(|| format!("index {digest}"))?;
        let images = index.manifests().iter().filter(|image| !is_attestation(image));
        here = platform::choose(images).context(|| format!("index {digest}"))?.clone();
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
fn is_attestation(image: &Descriptor) -> bool {
    annotation(image, "vnd.docker.reference.type").is_some()
        || image.platform().as_ref().is_some_and(|platform| platform::describe(platform) == "unknown/unknown")
}

fn layer_blob(files: &Files, layer: &Descriptor, diff_id: &str) -> Result<LayerBlob> {
    let media_type = layer.media_type().to_string();
    let digest = Digest::parse(layer.digest().as_ref())?;
    let compression = Compression::of_media_type(&media_type);
    if compression.is_none() {
        return Err(Error::new(format!("layer {digest} is of media type {media_type}, which podling cannot unpack")));
    }
    let content = sized(files, layer, "layer")?;
    Ok(LayerBlob { content, digest: Some(digest), diff_id: Some(Digest::parse(diff_id)?), compression })
}

/// A small blob, its digest checked.
fn blob(files: &Files, descriptor: &Descriptor, what: &str) -> Result<Vec<u8>> {
    let digest = Digest::parse(descriptor.digest().as_ref())?;
    let content = sized(files, descriptor, what)?.read_all(JSON_LIMIT).context(|| format!("{what} {digest}"))?;
    let found = Digest::of(&content);
    if found != digest {
        return Err(Error::new(format!("{what} {digest} is corrupt: its content has the digest {found}")));
    }
    Ok(content)
}

fn sized(files: &Files, descriptor: &Descriptor, what: &str) -> Result<crate::image::extent::Extent> {
    let digest = Digest::parse(descriptor.digest().as_ref())?;
    let path = digest.blob_path().to_string_lossy().into_owned();
    let content = files.get(&path)?.ok_or_else(|| Error::new(format!("the blob of {what} {digest} is missing")))?;
    if content.length() != descriptor.size() {
        let (found, promised) = (content.length(), descriptor.size());
        let how = if found < promised { "truncated" } else { "too long" };
        return Err(Error::new(format!("the blob of {what} {digest} is {how}: it has {found} of {promised} bytes")));
    }
    Ok(content)
}

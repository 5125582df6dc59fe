//! OCI image layouts, as a directory or in an archive (OCI image-spec image-layout.md).

use std::collections::BTreeMap;

use oci_spec::image::{Descriptor, ImageIndex};

use crate::error::{Context, Error, Result};
use crate::image::digest::Digest;
use crate::image::documents::{CONTAINERD_NAME, Kind, REF_NAME, annotation, check_unambiguous, parse};
use crate::image::layer::limits::Limits;
use crate::image::layer::pipeline::Content;
use crate::image::platform::Target;
use crate::image::reference::Reference;
use crate::image::source::oci::{self, Blobs, is_attestation};
use crate::image::source::{Files, SourceImage, SourceName};

/// All images of a layout, of each the one for this machine's platform.
pub fn images(files: &Files, limits: &Limits) -> Result<Vec<SourceImage>> {
    let content = files.need("index.json")?.read_all(limits.manifest_size).context(|| "index.json")?;
    check_unambiguous(&content, "index.json", Kind::Index)?;
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
            several => Target::host().choose(several.iter().copied())?,
        };
        images.push(oci::image(files, chosen, name(first)?, &Target::host(), limits)?);
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

impl Blobs for Files {
    fn document(&self, descriptor: &Descriptor, what: &str, limit: u64) -> Result<Vec<u8>> {
        let digest = Digest::parse(descriptor.digest().as_ref())?;
        let content = sized(self, descriptor, what)?.read_all(limit).context(|| format!("{what} {digest}"))?;
        let found = Digest::of(&content);
        if found != digest {
            return Err(Error::new(format!("{what} {digest} is corrupt: its content has the digest {found}")));
        }
        Ok(content)
    }

    fn layer(&self, descriptor: &Descriptor) -> Result<Content> {
        sized(self, descriptor, "layer").map(Content::Here)
    }
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

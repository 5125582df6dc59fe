//! The JSON documents of images: how large they may be, how they are read, and the annotations that podling uses.

use oci_spec::image::Descriptor;
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::image::digest::Digest;

/// The annotation that names an image in a layout; skopeo looks images up by it.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// Where containerd and docker put the full name, since some tools put only the tag into [`REF_NAME`].
pub const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// The digest of the multi-platform index that the image was chosen from: `name@sha256:…` mostly means that one.
pub const INDEX_DIGEST: &str = "io.podling.index.digest";

/// The repository that the image was pulled from, `quay.io/a/b`; an image from an archive has none.
pub const PULLED_FROM: &str = "io.podling.pulled-from";

/// Where an image came from, beside its name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The multi-platform index that it was chosen from.
    pub index_digest: Option<Digest>,
    /// The repository that it was pulled from, where it was.
    pub pulled_from: Option<String>,
}

impl Origin {
    /// What the annotations of a store's descriptor say.
    pub fn of(image: &Descriptor) -> Origin {
        Origin {
            index_digest: annotation(image, INDEX_DIGEST).and_then(|digest| Digest::parse(digest).ok()),
            pulled_from: annotation(image, PULLED_FROM).map(str::to_owned),
        }
    }
}

/// What the store has was held to the limits of its time; it is read up to this size in bytes.
pub const JSON_LIMIT: u64 = 64 << 20;

/// One annotation of a descriptor.
pub fn annotation<'a>(image: &'a Descriptor, key: &str) -> Option<&'a str> {
    image.annotations().as_ref()?.get(key).map(String::as_str)
}

/// Reads a JSON document, naming the place of an error in it.
pub fn parse<T: serde::de::DeserializeOwned>(content: &[u8], what: &str) -> Result<T> {
    let mut json = serde_json::Deserializer::from_slice(content);
    serde_path_to_error::deserialize(&mut json).map_err(|e| {
        // The message may quote the document, whose bytes are a stranger's: none of them may play tricks on a terminal.
        let place = match e.path().to_string().as_str() {
            "." => String::new(),
            path => format!(" {path}:"),
        };
        let why: String = format!("{place} {}", e.inner()).chars().map(printable).collect();
        Error::new(format!("the {what} is malformed:{why}"))
    })
}

/// What a document is read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An image for one platform.
    Manifest,
    /// Images for several.
    Index,
    /// The config of an image, or the list of images in a docker archive.
    Other,
}

/// Fails if another reader could take the document for something else: for the other of manifest and index (CVE-2021-41190), or
/// for one with other fields, since Go's readers do not tell `Layers` from `layers`.
pub fn check_unambiguous(content: &[u8], what: &str, kind: Kind) -> Result<()> {
    let document: Value = parse(content, what)?;
    let refused = |why: String| Err(Error::new(format!("the {what} {why}")));
    if let Some(key) = key_in_two_cases(&document) {
        return refused(format!("has the key {key:?} in upper and in lower case"));
    }
    let (fields, types): (&[&str], &[&str]) = match kind {
        Kind::Manifest => (&["schemaVersion", "mediaType", "config", "layers"], &["image.manifest.v1", "manifest.v2"]),
        Kind::Index => (&["schemaVersion", "mediaType", "manifests"], &["image.index.v1", "manifest.list.v2"]),
        Kind::Other => return Ok(()),
    };
    let Value::Object(document) = document else { return Ok(()) };
    let foreign = ["config", "layers", "manifests", "fsLayers"].into_iter().filter(|name| !fields.contains(name));
    for (key, _) in &document {
        if let Some(field) = foreign.clone().find(|field| key.eq_ignore_ascii_case(field)) {
            return refused(format!("has {field:?}, so it could be taken for another kind of document"));
        }
        if let Some(field) = fields.iter().find(|field| key.eq_ignore_ascii_case(field) && key != *field) {
            return refused(format!("has the key {key:?}, which some read as {field:?}"));
        }
    }
    let media_type = document.get("mediaType").and_then(Value::as_str);
    match media_type.filter(|media_type| !types.iter().any(|known| media_type.contains(known))) {
        Some(media_type) => refused(format!("says that it is of media type {media_type:?}")),
        None => Ok(()),
    }
}

/// A key that an object has twice but for its case; in the maps that images fill as they like, case counts for everybody.
fn key_in_two_cases(document: &Value) -> Option<String> {
    let mut left = vec![document];
    while let Some(value) = left.pop() {
        match value {
            Value::Array(items) => left.extend(items),
            Value::Object(object) => {
                if let Some(key) = twice(object) {
                    return Some(key);
                }
                let free = ["annotations", "Labels", "Volumes", "ExposedPorts"];
                left.extend(object.iter().filter(|(key, _)| !free.contains(&key.as_str())).map(|(_, value)| value));
            }
            _ => {}
        }
    }
    None
}

fn twice(object: &Map<String, Value>) -> Option<String> {
    let mut keys: Vec<String> = object.keys().map(|key| key.to_ascii_lowercase()).collect();
    keys.sort_unstable();
    keys.windows(2).find(|pair| pair.first() == pair.get(1)).and_then(|pair| pair.first().cloned())
}

fn printable(c: char) -> char {
    if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }
}

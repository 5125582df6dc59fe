//! The JSON documents of images: how large they may be, how they are read, and the annotations that podling uses.

use oci_spec::image::Descriptor;

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

fn printable(c: char) -> char {
    if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }
}

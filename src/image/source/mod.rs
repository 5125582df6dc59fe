//! What an image's source says of it, and the files that it is read from.

pub mod archive;
pub mod docker_archive;
pub mod formats;
pub mod oci;
pub mod oci_layout;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::image::documents::Origin;
use crate::image::extent::Extent;
use crate::image::layer::pipeline::LayerBlob;
use crate::image::layer::tar_entry::{normalize, quote};
use crate::image::layer::tar_reader::in_entry;
use crate::image::reference::Reference;
use crate::image::source::archive::Archive;

/// One image, found but not read yet: its documents and where its layers are.
#[derive(Debug)]
pub struct SourceImage {
    /// What its source calls it.
    pub name: SourceName,
    /// Its manifest, where its source has one.
    pub manifest: Option<SourceManifest>,
    /// Where it came from.
    pub origin: Origin,
    /// Its config, as bytes, since they are what the digest is of.
    pub config: Vec<u8>,
    /// Its layers, bottom first.
    pub layers: Vec<LayerBlob>,
}

/// A manifest as its source has it, digest and bytes agreeing.
#[derive(Debug)]
pub struct SourceManifest {
    /// Its bytes.
    pub content: Vec<u8>,
    /// Its media type, OCI's or docker's.
    pub media_type: String,
}

/// What an image is called by its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceName {
    /// In full.
    Reference(Reference),
    /// Only a tag: OCI layouts often leave out the repository.
    Tag(String),
    /// Not at all.
    Nameless,
}

/// The files of a layout.
pub enum Files {
    /// In a directory.
    Directory(PathBuf),
    /// In a tar archive.
    Archive(Archive),
}

impl Files {
    /// The file at `path`, if there is one.
    pub fn get(&self, path: &str) -> Result<Option<Extent>> {
        match self {
            Files::Archive(archive) => archive.get(path),
            Files::Directory(dir) => {
                // Only the documents' own names are held to the directory. Its symlinks are not: build systems write layouts of
                // symlinks into their caches, and digests vouch for what those lead to.
                let inside = normalize(path.as_bytes()).map_err(|why| in_entry(path.as_bytes(), Error::new(why)))?;
                let path = dir.join(OsStr::from_bytes(&inside));
                if !path.exists() { Ok(None) } else { Extent::open(&path).map(Some) }
            }
        }
    }

    /// The file at `path`, whose absence is an error.
    pub fn need(&self, path: &str) -> Result<Extent> {
        self.get(path)?.ok_or_else(|| Error::new(format!("{} is missing", quote(path.as_bytes()))))
    }
}

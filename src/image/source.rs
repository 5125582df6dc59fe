//! Where images come from: an OCI layout or a docker archive, as a directory or in a tar archive.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::archive::Archive;
use super::compression::Compression;
use super::digest::Digest;
use super::extent::Extent;
use super::limits::Limits;
use super::pipeline::LayerBlob;
use super::reference::Reference;
use super::tar_entry::{normalize, quote};
use super::tar_reader::in_entry;
use super::{docker_archive, oci_layout};
use crate::error::{Error, Result};

/// One image, found but not read yet: its documents and where its layers are.
#[derive(Debug)]
pub struct SourceImage {
    /// What its source calls it.
    pub name: SourceName,
    /// Its manifest, where its source has one.
    pub manifest: Option<SourceManifest>,
    /// The multi-platform index that it was chosen from.
    pub index_digest: Option<Digest>,
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

/// All images in the file or directory `path`; a compressed archive is decompressed into the directory `scratch`.
pub fn images(path: &Path, scratch: &Path) -> Result<Vec<SourceImage>> {
    images_in(path, scratch).map_err(|e| e.context(path.display()))
}

fn images_in(path: &Path, scratch: &Path) -> Result<Vec<SourceImage>> {
    let files = match path.is_dir() {
        true => Files::Directory(path.to_owned()),
        false => Files::Archive(Archive::open(plain(Extent::open(path)?, scratch)?)?),
    };
    // Newer docker archives are OCI layouts as well, which say more.
    let images = if files.get("index.json")?.is_some() {
        oci_layout::images(&files)?
    } else if files.get("manifest.json")?.is_some() {
        docker_archive::images(&files)?
    } else {
        let import =
            format!("if it is a root file system, `podling image import {} NAME` makes an image of it", path.display());
        let what = "it is neither an OCI layout (no index.json) nor a docker archive (no manifest.json)";
        return Err(Error::new(what).mend(import));
    };
    if images.is_empty() { Err(Error::new("there is no image in it")) } else { Ok(images) }
}

/// A seekable, uncompressed form of an archive.
fn plain(archive: Extent, scratch: &Path) -> Result<Extent> {
    let mut head = Vec::new();
    std::io::Read::read_to_end(&mut std::io::Read::take(archive.reader(), 8), &mut head)?;
    let compression = Compression::sniff(&head)?;
    if compression == Compression::None {
        return Ok(archive);
    }
    super::archive::decompress(&archive, compression, &Limits::of_blob(archive.length()), scratch)
}

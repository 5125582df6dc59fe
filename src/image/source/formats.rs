//! Where images come from: an OCI layout or a docker archive, as a directory or in a tar archive.

use std::path::Path;

use crate::error::{Error, Result};
use crate::image::compression::Compression;
use crate::image::extent::Extent;
use crate::image::layer::limits::Limits;
use crate::image::source::archive::Archive;
use crate::image::source::{Files, SourceImage};
use crate::image::source::{docker_archive, oci_layout};

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
    crate::image::source::archive::decompress(&archive, compression, &Limits::of_blob(archive.length()), scratch)
}

//! Where images come from: an OCI layout or a docker archive, as a directory or in a tar archive.

use std::io::{IsTerminal, Read};
use std::path::Path;

use crate::error::{Error, Result};
use crate::image::compression::Compression;
use crate::image::extent::Extent;
use crate::image::layer::limits::Limits;
use crate::image::source::archive::Archive;
use crate::image::source::{Files, SourceImage};
use crate::image::source::{docker_archive, oci_layout};

/// All images in the file or directory `path`, or in the archive on standard input where it is `-`. What cannot be read where it lies
/// is taken apart into the directory `scratch`.
pub fn images(path: &Path, limits: &Limits, scratch: &Path) -> Result<Vec<SourceImage>> {
    images_in(path, limits, scratch).map_err(|e| e.context(title(path)))
}

/// A source in messages.
pub fn title(path: &Path) -> String {
    if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() }
}

fn images_in(path: &Path, limits: &Limits, scratch: &Path) -> Result<Vec<SourceImage>> {
    let files = files(path, limits, scratch)?;
    // Newer docker archives are OCI layouts as well, which say more.
    let images = if files.get("index.json")?.is_some() {
        oci_layout::images(&files, limits)?
    } else if files.get("manifest.json")?.is_some() {
        docker_archive::images(&files, limits)?
    } else {
        let import =
            format!("if it is a root file system, `podling image import {} NAME` makes an image of it", path.display());
        let what = "it is neither an OCI layout (no index.json) nor a docker archive (no manifest.json)";
        return Err(Error::new(what).mend(import));
    };
    if images.is_empty() { Err(Error::new("there is no image in it")) } else { Ok(images) }
}

fn files(path: &Path, limits: &Limits, scratch: &Path) -> Result<Files> {
    if path == Path::new("-") {
        let stdin = std::io::stdin();
        if stdin.is_terminal() {
            return Err(Error::new("it is a terminal").mend("send an archive into it, or name a file"));
        }
        return Archive::take_apart(stdin.lock(), limits, scratch).map(Files::Archive);
    }
    if path.is_dir() {
        return Ok(Files::Directory(path.to_owned()));
    }
    let content = Extent::open(path)?;
    let mut head = Vec::new();
    content.reader().take(8).read_to_end(&mut head)?;
    let archive = match Compression::sniff(&head)? {
        Compression::None => Archive::index(&content)?,
        _ => Archive::take_apart(content.reader(), limits, scratch)?,
    };
    Ok(Files::Archive(archive))
}

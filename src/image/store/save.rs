//! Images on their way out: an OCI layout, which in a tar archive is docker's format, too.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use oci_spec::image::Descriptor;
use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

use crate::error::{Context, Error, Result};
use crate::image::digest::{Digest, Hasher};
use crate::image::extent::Extent;
use crate::image::reference::Reference;
use crate::image::store::index::{Index, name_of};
use crate::image::store::{Record, Store};

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// What `docker save` writes: a tar archive that is an OCI layout and has docker's `manifest.json`.
    DockerArchive,
    /// An OCI layout in a tar archive.
    OciArchive,
}

/// Images that are about to be saved: their blobs are open, so that they cannot vanish.
#[derive(Debug)]
pub struct Saving {
    blobs: BTreeMap<Digest, Extent>,
    index: Value,
    manifest: Value,
}

impl Store {
    /// Opens everything that the images named by `names` consist of.
    ///
    /// # Errors
    /// A name that is not in the store, or a damaged image.
    pub fn saving(&self, names: &[String]) -> Result<Saving> {
        let _lock = self.lock()?;
        let index = Index::read(&self.images())?;
        let mut saving = Saving { blobs: BTreeMap::new(), index: Value::Null, manifest: Value::Null };
        let (mut descriptors, mut images) = (Vec::new(), Vec::<Value>::new());
        let mut tags: BTreeMap<Digest, (Record, BTreeSet<String>)> = BTreeMap::new();
        let mut order = Vec::new();
        for text in names {
            let image = self.lookup(&index, text)?;
            let record = self.record_of(image)?;
            let named = Reference::parse(text).ok().and_then(|name| index.find(&name)).is_some();
            let name = name_of(image).filter(|_| named).map(str::to_owned);
            let entry = descriptor(image, name.as_deref());
            if !descriptors.contains(&entry) {
                descriptors.push(entry);
            }
            let digest = record.digest;
            let (_, names) = tags.entry(digest).or_insert_with(|| {
                order.push(digest);
                (record, BTreeSet::new())
            });
            names.extend(name);
        }
        for digest in order {
            let Some((record, names)) = tags.remove(&digest) else { continue };
            let config = Digest::parse(record.manifest.config().digest().as_ref())?;
            let layers = record.manifest.layers().iter().map(|layer| Digest::parse(layer.digest().as_ref()));
            let layers = layers.collect::<Result<Vec<_>>>()?;
            for blob in [digest, config].iter().chain(&layers) {
                let missing = || format!("the store's blob {blob}");
                saving.blobs.insert(*blob, Extent::open(&self.blob_path(blob)).context(missing)?);
            }
            let path = |blob: &Digest| blob.blob_path().display().to_string();
            images.push(json!({
                "Config": path(&config),
                "RepoTags": names,
                "Layers": layers.iter().map(path).collect::<Vec<_>>(),
            }));
        }
        saving.index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": descriptors,
        });
        saving.manifest = json!(images);
        Ok(saving)
    }
}

/// The image's entry in the saved index: its name, and nothing of what only this store knows.
fn descriptor(image: &Descriptor, name: Option<&str>) -> Value {
    let mut entry = json!({
        "mediaType": image.media_type().to_string(),
        "digest": image.digest().to_string(),
        "size": image.size(),
    });
    if let Some(name) = name {
        use crate::image::documents::{CONTAINERD_NAME, REF_NAME};
        entry["annotations"] = json!({CONTAINERD_NAME: name, REF_NAME: name});
    }
    entry
}

const LAYOUT: &[u8] = b"{\"imageLayoutVersion\":\"1.0.0\"}";

impl Saving {
    /// Writes an archive, always the same bytes for the same images.
    ///
    /// # Errors
    /// A write that failed, or a blob whose content is not what its digest says: half an archive has been written then.
    pub fn archive(&self, format: Format, output: impl Write) -> Result<()> {
        let mut archive = Builder::new(BufWriter::with_capacity(256 << 10, output));
        for dir in ["blobs/", "blobs/sha256/"] {
            archive.append_data(&mut header(EntryType::Directory, 0), dir, io::empty()).context(|| WRITING)?;
        }
        for (digest, blob) in &self.blobs {
            let mut checked = Checked { input: blob.reader(), hasher: Hasher::default() };
            let path = digest.blob_path();
            archive
                .append_data(&mut header(EntryType::Regular, blob.length()), path, &mut checked)
                .context(|| WRITING)?;
            checked.finish(digest)?;
        }
        let mut document = |name: &str, content: &[u8]| {
            archive
                .append_data(&mut header(EntryType::Regular, content.len() as u64), name, content)
                .context(|| WRITING)
        };
        document("index.json", self.index.to_string().as_bytes())?;
        if format == Format::DockerArchive {
            document("manifest.json", self.manifest.to_string().as_bytes())?;
        }
        document("oci-layout", LAYOUT)?;
        archive.into_inner().and_then(|mut output| output.flush()).context(|| WRITING)
    }

    /// Writes an OCI layout into `dir`, which must be empty or absent.
    ///
    /// # Errors
    /// As [`Saving::archive`], or something is there already.
    pub fn directory(&self, dir: &Path) -> Result<()> {
        let failed = || format!("cannot write {}", dir.display());
        fs::create_dir_all(dir.join("blobs/sha256")).context(failed)?;
        for (digest, blob) in &self.blobs {
            let mut checked = Checked { input: blob.reader(), hasher: Hasher::default() };
            let mut file = File::create_new(dir.join(digest.blob_path())).context(failed)?;
            io::copy(&mut checked, &mut file).context(failed)?;
            checked.finish(digest)?;
        }
        fs::write(dir.join("oci-layout"), LAYOUT).context(failed)?;
        // Last, so that a layout that is not whole has no images.
        fs::write(dir.join("index.json"), self.index.to_string()).context(failed)
    }
}

const WRITING: &str = "cannot write the archive";

fn header(kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// Hashes what is saved: a damaged store must not spread.
struct Checked<R> {
    input: R,
    hasher: Hasher,
}

impl<R: Read> Read for Checked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.input.read(buffer)?;
        self.hasher.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

impl<R> Checked<R> {
    fn finish(self, digest: &Digest) -> Result<()> {
        let found = self.hasher.finish();
        if found == *digest {
            return Ok(());
        }
        Err(Error::new(format!("the store's blob {digest} is damaged: its digest is {found}"))
            .mend("`podling system check --repair` removes the image, so that it can be pulled or loaded again"))
    }
}

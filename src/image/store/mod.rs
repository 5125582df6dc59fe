//! The store: an OCI image layout with the blobs, and beside it the layers, unpacked.
//!
//! ```text
//! images/                             an OCI image layout, which skopeo reads as it is
//! layers/<id map>/sha256/<diffID>/    a layer's directory: whole or absent; a shared flock on it keeps it from removal
//!     tree/                           its unpacked tree, an overlayfs lower directory
//! staging/                            where both are made; each directory is locked by its maker
//! lock                                held exclusively while index.json, blobs and layers change
//! ```
//!
//! A layer's owners are on disk as the host's ids, so its tree is right for one id map only: each map has its own directory.
//! Under the lock nothing is made, only moved; so it is held for moments, and a load that fails has changed nothing.

pub mod acquire;
pub mod assemble;
pub mod check;
pub mod claims;
pub mod import;
pub mod index;
pub mod listing;
pub mod load;
pub mod prune;
pub mod publish;
pub mod pull;
pub mod push;
pub mod remove;
pub mod save;
pub mod staging;
pub mod tag;
pub mod usage;
pub mod workshop;

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use nix::fcntl::OFlag;
use oci_spec::image::{Descriptor, ImageConfiguration, ImageManifest};

use crate::error::{Context, Error, Result};
use crate::host::{IdExtent, IdMap};
use crate::image::digest::Digest;
use crate::image::documents::JSON_LIMIT;
use crate::image::extent::Extent;
use crate::image::layer::limits::Limits;
use crate::image::reference::Reference;
use crate::image::store::index::{Index, name_of};
use crate::image::store::staging::TREE;
use crate::image::{Image, accounts};
use crate::sys::xattr;

/// The image store of one user.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
    ids: IdMap,
    limits: Limits,
}

/// What the store has of an image.
#[derive(Debug)]
pub enum Found {
    /// Everything.
    Ready(Box<Image>),
    /// Its blobs; these layers are not unpacked for the current id map. [`Store::ensure_unpacked`] mends that.
    NotUnpacked(Box<Record>),
}

/// An image's own documents.
#[derive(Debug, Clone)]
pub struct Record {
    /// The name it was found by, or its digest.
    pub reference: String,
    /// The manifest's digest.
    pub digest: Digest,
    /// The manifest.
    pub manifest: ImageManifest,
    /// The config.
    pub config: ImageConfiguration,
    /// The layers' diffIDs, bottom first.
    pub diff_ids: Vec<Digest>,
}

/// Keeps the layers of an image from being removed, until it is dropped or its holder dies.
#[derive(Debug)]
pub struct Hold(#[expect(dead_code, reason = "held for its locks")] Vec<File>);

impl Store {
    /// The store at `dir` for pods with the id map `ids`. Nothing is made before something is loaded.
    pub fn open(dir: impl Into<PathBuf>, ids: &IdMap) -> Result<Store> {
        Ok(Store { dir: dir.into(), ids: ids.clone(), limits: Limits::default() })
    }

    /// The image that `reference` names, ready to run.
    ///
    /// An image whose layers are not unpacked for this id map is an error here; [`Store::find`] tells that case apart.
    pub fn resolve(&self, reference: &str) -> Result<Image> {
        match self.find(reference)? {
            Found::Ready(image) => Ok(*image),
            Found::NotUnpacked(record) => Err(Error::new(format!(
                "image {:?} is in the store, but its layers are not unpacked for the current user and group ids",
                record.reference
            ))
            .mend("load it again with `podling image load`")),
        }
    }

    /// The image that `reference` names: a short or full name, or `sha256:` and the digest of its manifest or config.
    pub fn find(&self, reference: &str) -> Result<Found> {
        let record = self.record(reference)?;
        let mut trees = Vec::with_capacity(record.diff_ids.len());
        // From the top, since a layer whose root is opaque hides all those below; overlayfs itself heeds the mark only in
        // directories below the root.
        for diff_id in record.diff_ids.iter().rev() {
            let path = self.layer_dir(diff_id).join(TREE);
            let open =
                File::options().read(true).custom_flags((OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW).bits()).open(&path);
            let tree = match open {
                Ok(tree) => OwnedFd::from(tree),
                Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Found::NotUnpacked(Box::new(record))),
                Err(e) => return Err(Error::new(format!("cannot open the layer {}: {e}", path.display()))),
            };
            let opaque = xattr::get(&tree, crate::image::layer::whiteout::OPAQUE)?.is_some_and(|value| value == b"y");
            trees.push((path, tree));
            if opaque {
                break;
            }
        }
        trees.reverse();
        let (layers, trees): (Vec<PathBuf>, Vec<OwnedFd>) = trees.into_iter().unzip();
        let accounts = accounts::read(&trees).context(|| format!("image {:?}", record.reference))?;
        let Record { reference, digest, config, .. } = record;
        Ok(Found::Ready(Box::new(Image { reference, digest: digest.to_string(), config, layers, accounts })))
    }

    /// The documents of the image that `reference` names, whether its layers are unpacked or not.
    pub fn record(&self, reference: &str) -> Result<Record> {
        let index = Index::read(&self.images())?;
        let image = self.exact(&index, reference)?;
        self.record_of(image)
    }

    /// The documents of the image that `text` names, which may be the beginning of its id.
    pub fn find_record(&self, text: &str) -> Result<Record> {
        let index = Index::read(&self.images())?;
        self.record_of(self.lookup(&index, text)?)
    }

    /// The documents of an image of the index. An error says which image it is.
    pub fn record_of(&self, image: &Descriptor) -> Result<Record> {
        let reference = name_of(image).map_or_else(|| image.digest().to_string(), str::to_owned);
        let read = || -> Result<Record> {
            let digest = Digest::parse(image.digest().as_ref())?;
            let manifest: ImageManifest = self.json_blob(&digest, "manifest")?;
            let config: ImageConfiguration =
                self.json_blob(&Digest::parse(manifest.config().digest().as_ref())?, "config")?;
            let diff_ids = config.rootfs().diff_ids().iter().map(|id| Digest::parse(id)).collect::<Result<_>>()?;
            Ok(Record { reference: reference.clone(), digest, manifest, config, diff_ids })
        };
        read().context(|| format!("image {reference:?}"))
    }

    /// Keeps the layers of `image` from removal. Fails if they were removed since the image was resolved.
    ///
    /// The lock is a shared flock on each layer's directory: it lives as long as a process has the descriptors open.
    pub fn hold(&self, image: &Image) -> Result<Hold> {
        let mut locks = Vec::with_capacity(image.layers.len());
        for dir in image.layers.iter().filter_map(|tree| tree.parent()) {
            let gone = || Error::new(format!("image {:?} was removed just now", image.reference)).mend("load it again");
            let lock = File::open(dir).map_err(|_| gone())?;
            lock.lock_shared().context(|| format!("cannot lock {}", dir.display()))?;
            if !staging::is_at(&lock, dir) {
                return Err(gone());
            }
            locks.push(lock);
        }
        Ok(Hold(locks))
    }

    /// Finds the image to run. A short id is none of its names: `cafe` must never mean whatever image's digest starts so.
    fn exact<'a>(&self, index: &'a Index, text: &str) -> Result<&'a Descriptor> {
        match text.strip_prefix("sha256:").filter(|hex| Digest::from_hex(hex).is_some()) {
            Some(hex) => self.by_id(index, hex)?.ok_or_else(|| no_such_id(text)),
            None => self.by_name(index, text),
        }
    }

    /// Finds an image by name, or by its id or the beginning of it.
    pub(super) fn lookup<'a>(&self, index: &'a Index, text: &str) -> Result<&'a Descriptor> {
        let named = self.by_name(index, text);
        let hex = text.strip_prefix("sha256:").unwrap_or(text);
        if named.is_ok()
            || !(4..=64).contains(&hex.len())
            || !hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        {
            return named;
        }
        match self.by_id(index, hex)? {
            Some(image) => Ok(image),
            None if text.starts_with("sha256:") || hex.len() == 64 => Err(no_such_id(text)),
            None => named,
        }
    }

    fn by_name<'a>(&self, index: &'a Index, text: &str) -> Result<&'a Descriptor> {
        let reference = Reference::parse(text)?;
        index.find(&reference).ok_or_else(|| not_found(index, &reference, text))
    }

    /// The image whose id starts with `hex`: the digest of its config, as docker shows it, or of its manifest.
    fn by_id<'a>(&self, index: &'a Index, hex: &str) -> Result<Option<&'a Descriptor>> {
        let mut found: Option<&Descriptor> = None;
        for image in &index.images {
            let manifest = Digest::parse(image.digest().as_ref())?;
            let matches = manifest.hex().starts_with(hex) || self.config_digest(&manifest)?.hex().starts_with(hex);
            if matches && found.is_some_and(|other| other.digest() != image.digest()) {
                let what = format!("the id {hex:?} fits several images");
                return Err(Error::new(what).mend(
                    "write a name, or the digest, which `podling images --digests` shows: images that differ only in how \
                     their layers are packed have one id",
                ));
            }
            if matches {
                found = found.or(Some(image));
            }
        }
        Ok(found)
    }

    fn config_digest(&self, manifest: &Digest) -> Result<Digest> {
        let manifest: ImageManifest = self.json_blob(manifest, "manifest")?;
        Digest::parse(manifest.config().digest().as_ref())
    }

    pub(super) fn json_blob<T: serde::de::DeserializeOwned>(&self, digest: &Digest, what: &str) -> Result<T> {
        let damaged = |why: String| {
            Error::new(format!("the store's {what} {digest} is damaged: {why}"))
                .mend("remove the image and load it again")
        };
        let path = self.blob_path(digest);
        let content =
            Extent::open(&path).and_then(|blob| blob.read_all(JSON_LIMIT)).map_err(|e| damaged(e.what().to_owned()))?;
        if Digest::of(&content) != *digest {
            return Err(damaged("its digest does not match".into()));
        }
        serde_json::from_slice(&content).map_err(|e| damaged(e.to_string()))
    }

    /// Makes a directory of the store, and those above it, for the caller and the pod's root alone.
    pub(super) fn make_directory(&self, path: &std::path::Path) -> Result<()> {
        self.ids.make_private_dir(&self.dir, path)
    }

    /// A new directory to stage things in, locked.
    pub(super) fn new_staging(&self) -> Result<staging::Staging> {
        self.make_directory(&self.staging())?;
        staging::Staging::new(&self.staging())
    }

    /// Takes the store's lock, waiting for whoever has it.
    pub(super) fn lock(&self) -> Result<File> {
        self.make_directory(&self.dir)?;
        let path = self.dir.join("lock");
        let failed = || format!("cannot lock {}", path.display());
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .context(failed)?;
        file.lock().context(failed)?;
        Ok(file)
    }

    /// The same store, whose new images are held to `limits`.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Store {
        Store { limits, ..self }
    }

    /// What images may ask of this machine.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The id map that layers are unpacked for.
    pub fn ids(&self) -> &IdMap {
        &self.ids
    }

    pub(super) fn dir(&self) -> &std::path::Path {
        &self.dir
    }

    pub(super) fn images(&self) -> PathBuf {
        self.dir.join("images")
    }

    pub(super) fn staging(&self) -> PathBuf {
        self.dir.join("staging")
    }

    pub(super) fn layers(&self) -> PathBuf {
        self.dir.join("layers")
    }

    pub(super) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.images().join(digest.blob_path())
    }

    /// The directory of a layer for the current id map; it exists if and only if the layer is whole.
    pub(super) fn layer_dir(&self, diff_id: &Digest) -> PathBuf {
        self.layers().join(map_key(&self.ids)).join("sha256").join(diff_id.hex())
    }

    pub(super) fn has_layer(&self, diff_id: &Digest) -> bool {
        self.layer_dir(diff_id).is_dir()
    }

    pub(super) fn has_blob(&self, digest: &Digest, length: u64) -> bool {
        fs::metadata(self.blob_path(digest)).is_ok_and(|stat| stat.is_file() && stat.len() == length)
    }
}

fn no_such_id(text: &str) -> Error {
    Error::new(format!("there is no image {text:?} in the store")).mend("`podling images` lists the images there are")
}

pub(super) fn not_found(index: &Index, reference: &Reference, text: &str) -> Error {
    let wanted = reference.familiar();
    let mut near: Vec<(f64, String)> = index
        .names()
        .filter_map(|name| Reference::parse(name).ok())
        .map(|name| (likeness(&wanted, &name), name.familiar()))
        .filter(|(likeness, _)| *likeness > 0.8)
        .collect();
    near.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let names: Vec<String> = near.into_iter().take(3).map(|(_, name)| format!("{name:?}")).collect();
    let meant = if names.is_empty() { String::new() } else { format!("; did you mean {}?", names.join(" or ")) };
    let full = reference.to_string();
    let what = if full == text { format!("{text:?}") } else { format!("{text:?} ({full})") };
    Error::new(format!("image {what} is not in the store{meant}"))
        .mend(format!(
        "`podling pull {text}` gets it from its registry, `podling image load FILE` from an archive; `podling images` lists what there is"
    ))
}

/// How alike two references are, 0 to 1: their last names, since tags and registries are alike anyway, and left out most.
fn likeness(wanted: &str, name: &Reference) -> f64 {
    let last = |text: &str| {
        let text = text.rsplit('/').next().unwrap_or(text);
        text.split(['@', ':']).next().unwrap_or(text).to_owned()
    };
    strsim::jaro_winkler(&last(wanted), &last(&name.familiar()))
}

/// Names an id map in the file system: `one-id`, or its extents as `inside-outside-count`, users' and groups'.
fn map_key(ids: &IdMap) -> String {
    if ids.is_single() {
        return "one-id".into();
    }
    let side = |extents: &[IdExtent]| {
        let mut sorted = extents.to_vec();
        sorted.sort_unstable_by_key(|e| e.inside);
        let words: Vec<String> = sorted.iter().map(|e| format!("{}-{}-{}", e.inside, e.outside, e.count)).collect();
        words.join("_")
    };
    let key = format!("u{}.g{}", side(&ids.uids), side(&ids.gids));
    // File names have at most 255 bytes, and overlayfs's options are not endless either.
    if key.len() <= 120 { key } else { format!("map-{}", Digest::of(key.as_bytes()).short()) }
}

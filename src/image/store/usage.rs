//! How much room the store takes, and for what.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::fcntl::{AtFlags, OFlag};
use nix::sys::stat::fstatat;

use crate::error::{Context, Error, Result};
use crate::image::digest::Digest;
use crate::image::layer::below::{join, kind, name_of as file_name, relative};
use crate::image::namespace::InUserNamespace;
use crate::image::store::index::Index;
use crate::image::store::{Record, Store};
use crate::sys::{Named, fs as sys_fs};

/// One kind of thing that takes room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// What it is.
    pub what: &'static str,
    /// How many there are.
    pub total: usize,
    /// How many a running pod uses.
    pub active: usize,
    /// Bytes on disk of all.
    pub size: u64,
    /// Bytes on disk of those that nothing uses.
    pub reclaimable: u64,
}

/// One image's share, for the long listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUsage {
    /// Its name, or its digest.
    pub name: String,
    /// Bytes of its blobs.
    pub blobs: u64,
    /// Bytes of its unpacked layers, shared ones included.
    pub unpacked: u64,
    /// Whether a running pod uses it.
    pub active: bool,
}

impl Store {
    /// What takes room: images (their blobs), unpacked layers, pods' writable directories, and what is being made.
    ///
    /// # Errors
    /// An image or a directory that cannot be read.
    pub fn usage(&self, namespace: &dyn InUserNamespace) -> Result<(Vec<Usage>, Vec<ImageUsage>)> {
        let index = Index::read(&self.images())?;
        let blobs = sizes_of_files(&self.images().join("blobs/sha256"))?;
        let layers = self.layer_sizes(namespace)?;
        let mut images: BTreeMap<Digest, ImageUsage> = BTreeMap::new();
        let (mut used_blobs, mut used_layers) = (HashSet::new(), HashSet::new());
        for image in &index.images {
            let record = self.record_of(image)?;
            let documents = [record.digest, Digest::parse(record.manifest.config().digest().as_ref())?];
            let layer_blobs = record.manifest.layers().iter().map(|layer| Digest::parse(layer.digest().as_ref()));
            let own: HashSet<Digest> =
                documents.into_iter().map(Ok).chain(layer_blobs).collect::<Result<HashSet<_>>>()?;
            let active = self.is_used(&record);
            if active {
                used_blobs.extend(own.iter().copied());
                used_layers.extend(record.diff_ids.iter().copied());
            }
            let of = |sizes: &BTreeMap<Digest, u64>, ids: &mut dyn Iterator<Item = &Digest>| {
                ids.filter_map(|id| sizes.get(id)).sum::<u64>()
            };
            let (blobs, unpacked) = (of(&blobs, &mut own.iter()), of(&layers, &mut record.diff_ids.iter()));
            images.insert(record.digest, ImageUsage { name: record.reference, blobs, unpacked, active });
        }
        let all = |sizes: &BTreeMap<Digest, u64>| sizes.values().sum::<u64>();
        let unused = |sizes: &BTreeMap<Digest, u64>, used: &HashSet<Digest>| {
            sizes.iter().filter(|(id, _)| !used.contains(id)).map(|(_, size)| size).sum::<u64>()
        };
        let (pods, pods_size) = self.directories(&self.dir().join("pods"), namespace)?;
        let (staging, staging_size) = self.directories(&self.staging(), namespace)?;
        let active_images = images.values().filter(|image| image.active).count();
        let row = |what, total, active, size, reclaimable| Usage { what, total, active, size, reclaimable };
        let rows = vec![
            row("Images", images.len(), active_images, all(&blobs), unused(&blobs, &used_blobs)),
            row("Layers", layers.len(), used_layers.len(), all(&layers), unused(&layers, &used_layers)),
            row("Pods", pods, pods, pods_size, 0),
            row("Staging", staging, staging, staging_size, 0),
        ];
        Ok((rows, images.into_values().collect()))
    }

    /// Whether a running pod uses an image. A pod holds the top layer of its image, whatever that hides; the layers below may be those
    /// of many images, which are not used because of that.
    pub(super) fn is_used(&self, record: &Record) -> bool {
        record.diff_ids.last().is_some_and(|top| self.is_layer_held(top))
    }

    /// Whether a running pod holds a layer.
    pub(super) fn is_layer_held(&self, diff_id: &Digest) -> bool {
        File::open(self.layer_dir(diff_id)).is_ok_and(|dir| matches!(dir.try_lock(), Err(fs::TryLockError::WouldBlock)))
    }

    /// Bytes on disk of each unpacked layer of the current id map.
    fn layer_sizes(&self, namespace: &dyn InUserNamespace) -> Result<BTreeMap<Digest, u64>> {
        let Some(dir) = self.layer_dir(&Digest::of(b"")).parent().map(Path::to_owned) else {
            return Ok(BTreeMap::new());
        };
        let mut sizes = BTreeMap::new();
        for path in list(&dir)? {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if let Some(digest) = Digest::from_hex(name) {
                sizes.insert(digest, tree_size(&path, namespace)?);
            }
        }
        Ok(sizes)
    }

    fn directories(&self, parent: &Path, namespace: &dyn InUserNamespace) -> Result<(usize, u64)> {
        let dirs = list(parent)?;
        let sizes = dirs.iter().map(|dir| tree_size(dir, namespace)).collect::<Result<Vec<_>>>()?;
        Ok((dirs.len(), sizes.iter().sum()))
    }
}

pub(super) fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    match fs::read_dir(dir) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(Error::new(format!("cannot read {}: {e}", dir.display()))),
    }
}

fn sizes_of_files(dir: &Path) -> Result<BTreeMap<Digest, u64>> {
    let mut sizes = BTreeMap::new();
    for path in list(dir)? {
        let digest = path.file_name().and_then(|name| name.to_str()).and_then(Digest::from_hex);
        // What vanishes meanwhile takes no room.
        if let (Some(digest), Ok(stat)) = (digest, fs::symlink_metadata(&path)) {
            sizes.insert(digest, stat.blocks() * 512);
        }
    }
    Ok(sizes)
}

/// Bytes on disk of all that is in a directory, which may be other users' and unreadable to the caller; 0 where it is gone.
pub fn tree_size(dir: &Path, namespace: &dyn InUserNamespace) -> Result<u64> {
    let open = File::options().read(true).custom_flags_path().open(dir);
    let top = match open {
        Ok(top) => OwnedFd::from(top),
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(0),
        Err(e) => return Err(Error::new(format!("cannot open {}: {e}", dir.display()))),
    };
    let mut job = || measure(&top).map(|size| size.to_le_bytes().to_vec());
    let answer = namespace.run(&mut job).context(|| format!("measuring {}", dir.display()))?;
    Ok(answer.try_into().map_or(0, u64::from_le_bytes))
}

/// Opens a directory that may not be readable, for lookups below it.
trait PathFlags {
    fn custom_flags_path(&mut self) -> &mut Self;
}

impl PathFlags for fs::OpenOptions {
    fn custom_flags_path(&mut self) -> &mut Self {
        use std::os::unix::fs::OpenOptionsExt;
        self.custom_flags(libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW)
    }
}

/// Sums the blocks of everything below `top`; a file with several names counts once. What vanishes meanwhile is left out.
fn measure(top: &OwnedFd) -> Result<u64> {
    let mut linked = HashSet::new();
    let mut left = vec![Vec::new()];
    let mut size = 0;
    while let Some(path) = left.pop() {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW;
        let Ok(dir) = sys_fs::open_beneath(top, relative(&path), flags, 0) else { continue };
        let mut entries = Dir::from_fd(dir).named(|| "fdopendir")?;
        let names: Vec<_> = entries.iter().filter_map(|e| Some(e.ok()?.file_name().to_bytes().to_vec())).collect();
        for name in names.iter().filter(|name| !matches!(name.as_slice(), b"." | b"..")) {
            let Ok(stat) = fstatat(entries.as_fd(), file_name(name), AtFlags::AT_SYMLINK_NOFOLLOW) else { continue };
            if kind(&stat) == nix::sys::stat::SFlag::S_IFDIR {
                left.push(join(&path, name));
            } else if stat.st_nlink > 1 && !linked.insert((stat.st_dev, stat.st_ino)) {
                continue;
            }
            size += stat.st_blocks.unsigned_abs() * 512;
        }
    }
    Ok(size)
}

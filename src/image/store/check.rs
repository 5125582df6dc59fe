//! Proving that the store is whole: every blob is hashed again, every layer unpacked again and compared.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use oci_spec::image::Descriptor;

use crate::error::{Context, Error, Result};
use crate::image::digest::{Digest, Hasher};
use crate::image::extent::Extent;
use crate::image::layer::compare::compare;
use crate::image::layer::pipeline::{BlobDigest, Promise};
use crate::image::layer::unpacker::{Order, Unpacker};
use crate::image::namespace::InUserNamespace;
use crate::image::store::Store;
use crate::image::store::index::{Index, name_of};
use crate::image::store::remove::Needed;
use crate::image::store::staging::{Staging, TREE};
use crate::image::store::usage::list;

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    /// What is wrong, one sentence each.
    pub damage: Vec<String>,
    /// What is not wrong but worth knowing.
    pub notes: Vec<String>,
    /// How many images, blobs and layers were looked at.
    pub looked_at: [usize; 3],
    /// Images that need a damaged or missing blob.
    broken_images: BTreeSet<String>,
    /// Blobs that are not what they are called.
    bad_blobs: BTreeSet<Digest>,
    /// Unpacked layers that are not what their blobs unpack to.
    bad_layers: BTreeSet<Digest>,
    /// Directories of the store that others can write.
    open_places: Vec<PathBuf>,
}

/// What was seen of one image.
#[derive(Debug, Default)]
struct Seen {
    damage: Vec<String>,
    needed: Needed,
    /// Its layers whose blobs are whole: diffID and blob.
    layers: Vec<(Digest, Digest)>,
}

impl Store {
    /// Checks everything; `progress` is told what is looked at.
    ///
    /// Other podlings may go on: what vanishes meanwhile is no damage.
    ///
    /// # Errors
    /// The check itself failed; damage is in the answer.
    pub fn check(&self, namespace: &dyn InUserNamespace, progress: &dyn Fn(&str)) -> Result<Findings> {
        let mut findings = Findings::default();
        let staging = self.new_staging()?;
        let result = self.check_with(&staging, namespace, progress, &mut findings);
        let emptied = staging.remove(namespace);
        result?;
        emptied.map(|()| findings)
    }

    fn check_with(
        &self,
        staging: &Staging,
        namespace: &dyn InUserNamespace,
        progress: &dyn Fn(&str),
        findings: &mut Findings,
    ) -> Result<()> {
        self.check_places(findings)?;
        let index = match Index::read(&self.images()) {
            Ok(index) => index,
            Err(e) => {
                findings.damage.push(e.what().to_owned());
                return Ok(());
            }
        };
        let blobs = self.check_blobs(progress, findings)?;
        let mut layers: BTreeMap<Digest, Digest> = BTreeMap::new();
        let mut needed = Needed::default();
        for image in &index.images {
            findings.looked_at[0] += 1;
            let mut seen = self.look_at(image, &blobs, &findings.bad_blobs)?;
            if !seen.damage.is_empty() {
                // It may have been removed meanwhile. While we hold the lock nothing is.
                let _lock = self.lock()?;
                let same = |other: &Descriptor| other.digest() == image.digest() && name_of(other) == name_of(image);
                if !Index::read(&self.images())?.images.iter().any(same) {
                    continue;
                }
                seen = self.look_at(image, &blobs, &findings.bad_blobs)?;
            }
            seen.damage.into_iter().for_each(|what| findings.broken(image.digest().as_ref(), what));
            needed.blobs.extend(seen.needed.blobs);
            needed.layers.extend(seen.needed.layers);
            layers.extend(seen.layers);
        }
        self.check_layers(&layers, staging, namespace, progress, findings)?;
        self.note_orphans(&blobs, &needed, findings)
    }

    /// Looks at an image's documents, and whether its layers' blobs are there.
    fn look_at(&self, image: &Descriptor, blobs: &BTreeMap<Digest, u64>, bad: &BTreeSet<Digest>) -> Result<Seen> {
        let mut seen = Seen::default();
        let record = match self.record_of(image) {
            Ok(record) => record,
            Err(e) => {
                seen.damage.push(e.what().to_owned());
                return Ok(seen);
            }
        };
        let name = name_of(image).map_or_else(|| image.digest().to_string(), str::to_owned);
        seen.needed.add(&record)?;
        for (layer, diff_id) in record.manifest.layers().iter().zip(&record.diff_ids) {
            let digest = Digest::parse(layer.digest().as_ref())?;
            let wrong = match blobs.get(&digest) {
                _ if bad.contains(&digest) => "is damaged".to_owned(),
                // It may have come since the blobs were looked at.
                None if self.has_blob(&digest, layer.size()) => continue,
                None => "is missing".to_owned(),
                Some(size) if *size != layer.size() => format!("has {size} bytes, not {}", layer.size()),
                Some(_) => {
                    seen.layers.push((*diff_id, digest));
                    continue;
                }
            };
            seen.damage.push(format!("image {name:?}: its blob {digest} {wrong}"));
        }
        Ok(seen)
    }

    /// The store's own directories are for nobody else.
    fn check_places(&self, findings: &mut Findings) -> Result<()> {
        for dir in [self.dir().to_owned(), self.images(), self.layers()] {
            let Ok(stat) = fs::symlink_metadata(&dir) else { continue };
            if !stat.is_dir() || stat.mode() & 0o022 != 0 {
                findings.damage.push(format!("{} is not a directory that only its owner can write", dir.display()));
            }
            if stat.is_dir() && stat.mode() & 0o022 != 0 {
                findings.open_places.push(dir);
            }
        }
        let held = |path: &Path| File::open(path).is_ok_and(|dir| dir.try_lock().is_err());
        let left = list(&self.staging())?.into_iter().filter(|path| !held(path)).count();
        if left > 0 {
            findings.notes.push(format!(
                "{left} staging directories are left of podlings that were killed; the next one removes them"
            ));
        }
        Ok(())
    }

    /// Hashes every blob; answers with their sizes in bytes.
    fn check_blobs(&self, progress: &dyn Fn(&str), findings: &mut Findings) -> Result<BTreeMap<Digest, u64>> {
        let mut sizes = BTreeMap::new();
        for path in list(&self.images().join("blobs/sha256"))? {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            let Some(digest) = Digest::from_hex(name) else {
                findings.notes.push(format!("{} is no blob of podling's", path.display()));
                continue;
            };
            progress(&format!("blob {}", digest.short()));
            let blob = match Extent::open(&path) {
                Ok(blob) => blob,
                Err(_) if !path.exists() => continue,
                Err(e) => {
                    findings.bad_blobs.insert(digest);
                    findings.damage.push(format!("blob {digest}: {}", e.what()));
                    continue;
                }
            };
            findings.looked_at[1] += 1;
            sizes.insert(digest, blob.length());
            let mut hasher = Hasher::default();
            std::io::copy(&mut blob.reader(), &mut hasher).context(|| format!("reading {}", path.display()))?;
            let found = hasher.finish();
            if found != digest {
                findings.bad_blobs.insert(digest);
                findings.damage.push(format!("blob {digest} is damaged: its digest is {found}"));
            }
        }
        Ok(sizes)
    }

    /// Unpacks each layer again beside the store, and compares.
    fn check_layers(
        &self,
        layers: &BTreeMap<Digest, Digest>,
        staging: &Staging,
        namespace: &dyn InUserNamespace,
        progress: &dyn Fn(&str),
        findings: &mut Findings,
    ) -> Result<()> {
        let unpacked: Vec<_> = layers.iter().filter(|(diff_id, _)| self.is_something(diff_id)).collect();
        if unpacked.is_empty() {
            return Ok(());
        }
        // A pod's root may be somebody else than the caller, whose staging directory is.
        let layers = staging.layers();
        self.make_directory(&layers)?;
        let unpacker = Unpacker::start(&layers, self.limits().for_what_was_accepted(), self.ids(), namespace)?;
        for (number, (diff_id, blob)) in unpacked.into_iter().enumerate() {
            progress(&format!("layer {}", diff_id.short()));
            findings.looked_at[2] += 1;
            let fresh = layers.join(format!("layer-{number}"));
            // It may be removed while we look.
            let Ok(content) = Extent::open(&self.blob_path(blob)) else { continue };
            let made = SystemTime::now();
            // The blob is whole, so where it cannot be unpacked the layer that is there is not to blame.
            self.unpack_again(&unpacker, diff_id, blob, &content, &fresh)
                .context(|| format!("cannot unpack layer {diff_id} to compare it"))?;
            match self.compare_layer(diff_id, &fresh, made, namespace) {
                Ok(differences) if differences.is_empty() => {}
                _ if !self.is_something(diff_id) => {}
                Ok(differences) => {
                    findings.bad_layers.insert(*diff_id);
                    findings.damage.push(format!("unpacked layer {diff_id} is damaged: {}", differences.join(", ")));
                }
                Err(e) => {
                    findings.bad_layers.insert(*diff_id);
                    findings.damage.push(format!("layer {diff_id}: {}", e.what()));
                }
            }
            crate::image::store::staging::remove_layer(&fresh, namespace)?;
        }
        Ok(())
    }

    /// Whether there is anything where a layer's directory belongs: what is no directory keeps the layer from being made.
    fn is_something(&self, diff_id: &Digest) -> bool {
        self.layer_dir(diff_id).symlink_metadata().is_ok()
    }

    /// Unpacks a layer's blob into the new directory `fresh`.
    fn unpack_again(
        &self,
        unpacker: &Unpacker,
        diff_id: &Digest,
        blob: &Digest,
        content: &Extent,
        fresh: &Path,
    ) -> Result<()> {
        let tree = fresh.join(TREE);
        let failed = || format!("cannot make {}", fresh.display());
        for dir in [fresh, &tree] {
            fs::DirBuilder::new().mode(0o700).create(dir).context(failed)?;
            self.ids().give_to_root(dir)?;
        }
        let promise = Promise { digest: BlobDigest::Check(Some(*blob)), diff_id: Some(*diff_id), compression: None };
        let name = fresh.file_name().map(|name| PathBuf::from(name).join(TREE));
        let order = Order::new(name, 0, content.length(), true, &promise);
        unpacker.begin(&order, content.as_fd(), None)?.finish().map(drop)
    }

    fn compare_layer(
        &self,
        diff_id: &Digest,
        fresh: &Path,
        made: SystemTime,
        namespace: &dyn InUserNamespace,
    ) -> Result<Vec<String>> {
        let open = |path: &Path| -> Result<OwnedFd> {
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            nix::fcntl::open(path, flags, Mode::empty())
                .map_err(|errno| Error::new(format!("cannot open {}: {}", path.display(), errno.desc())))
        };
        let (expected, found) = (open(&fresh.join(TREE))?, open(&self.layer_dir(diff_id).join(TREE))?);
        let mut job = || {
            let differences = compare(&expected, &found, made)?;
            serde_json::to_vec(&differences).map_err(|e| Error::new(e.to_string()))
        };
        serde_json::from_slice(&namespace.run(&mut job)?).map_err(|e| Error::new(e.to_string()))
    }

    fn note_orphans(&self, blobs: &BTreeMap<Digest, u64>, needed: &Needed, findings: &mut Findings) -> Result<()> {
        let mut orphans = blobs.keys().filter(|digest| !needed.blobs.contains(digest)).count();
        let own = self.layer_dir(&Digest::of(b""));
        for map in list(&self.layers())? {
            let layers = list(&map.join("sha256"))?;
            if !own.starts_with(&map) && !layers.is_empty() {
                let count = layers.len();
                findings.notes.push(format!("{count} layers of another id map, {}, were not compared", map.display()));
            }
            let name = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()).and_then(Digest::from_hex);
            orphans += layers.iter().filter_map(name).filter(|digest| !needed.layers.contains(digest)).count();
        }
        if orphans > 0 {
            findings
                .notes
                .push(format!("{orphans} blobs and layers belong to no image; `podling image prune` removes them"));
        }
        Ok(())
    }

    /// Removes what a check found damaged: unpacked layers, which are made again when they are needed, and images whose blobs are
    /// damaged or missing, which must be pulled or loaded again. Answers with what was done, one sentence each.
    ///
    /// # Errors
    /// Something could not be removed.
    pub fn repair(&self, findings: &Findings, namespace: &dyn InUserNamespace) -> Result<Vec<String>> {
        let staging = self.new_staging()?;
        let result = self.repair_into(findings, staging.path());
        let emptied = staging.remove(namespace);
        let done = result?;
        emptied.map(|()| done)
    }

    fn repair_into(&self, findings: &Findings, staging: &Path) -> Result<Vec<String>> {
        let _lock = self.lock()?;
        let mut done = Vec::new();
        let unreadable = Index::read(&self.images()).is_err();
        if unreadable {
            fs::remove_file(self.images().join("index.json")).context(|| "cannot remove index.json")?;
            done.push("removed index.json, and with it every image: pull or load them again".to_owned());
        }
        let mut index = Index::read(&self.images())?;
        let broken = |digest: &str| findings.broken_images.contains(digest);
        for image in index.images.iter().filter(|image| broken(image.digest().as_ref())) {
            let name = name_of(image).map_or_else(|| image.digest().to_string(), str::to_owned);
            done.push(format!("removed image {name}: pull or load it again"));
        }
        index.images.retain(|image| !broken(image.digest().as_ref()));
        if unreadable || !findings.broken_images.is_empty() {
            index.write(&self.images())?;
        }
        for diff_id in &findings.bad_layers {
            if self.is_layer_held(diff_id) {
                done.push(format!(
                    "layer {diff_id} stays, since a running pod uses it; repair again when the pod has ended"
                ));
                continue;
            }
            let aside = staging.join(format!("bad-{}", diff_id.short()));
            if fs::rename(self.layer_dir(diff_id), aside).is_ok() {
                done.push(format!("removed unpacked layer {diff_id}: it is unpacked again when it is needed"));
            }
        }
        for place in &findings.open_places {
            let mode = fs::symlink_metadata(place)?.mode() & 0o7777 & !0o022;
            fs::set_permissions(place, fs::Permissions::from_mode(mode))
                .context(|| format!("cannot change the mode of {}", place.display()))?;
            done.push(format!("took the right to write {} from others", place.display()));
        }
        for digest in &findings.bad_blobs {
            // Moved, not removed, since it may be anything, a directory even.
            if fs::rename(self.blob_path(digest), staging.join(format!("blob-{}", digest.short()))).is_ok() {
                done.push(format!("removed blob {digest}"));
            }
        }
        self.collect_garbage(&index, staging)?;
        Ok(done)
    }
}

impl Findings {
    fn broken(&mut self, image: &str, what: String) {
        self.broken_images.insert(image.to_owned());
        self.damage.push(what);
    }
}

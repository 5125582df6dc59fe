//! Making the layers and blobs that the store lacks, in a staging directory, several at a time.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::error::{Context, Error, Result};
use crate::image::compression::Compression;
use crate::image::digest::Digest;
use crate::image::extent::Extent;
use crate::image::layer::limits::human;
use crate::image::layer::pipeline::{BlobDigest, Content, Digests, LayerBlob, Promise};
use crate::image::layer::unpack::LayerStats;
use crate::image::layer::unpacker::{Job, Order, Unpacker};
use crate::image::namespace::InUserNamespace;
use crate::image::progress::{Event, Progress};
use crate::image::registry::{Repository, Sink};
use crate::image::store::Store;
use crate::image::store::claims::Claims;
use crate::image::store::publish::{Made, StagedBlob, StagedImage, StagedLayer};
use crate::image::store::staging::{Staging, TREE};

/// How many layers are on their way at once: podman's number.
const AT_ONCE: usize = 6;
/// How long to wait before asking again who is making a layer, where that changes just now.
pub(super) const MOMENT: Duration = Duration::from_millis(20);

/// Makes layers and blobs in a staging directory.
pub struct Workshop<'a> {
    store: &'a Store,
    staging: &'a Staging,
    claims: &'a Claims,
    namespace: &'a dyn InUserNamespace,
    progress: &'a dyn Progress,
    repository: Option<&'a Repository>,
    blobs: Vec<StagedBlob>,
    layers: Vec<StagedLayer>,
    /// What each layer turned out to be. Layers that images share are made once.
    known: HashMap<Key, (Digests, LayerStats)>,
    /// What this podling was the one to make, and has not said yet that it did.
    claimed: Vec<Digest>,
    numbers: AtomicUsize,
}

/// A layer as its image's documents name it: equal trees may be packed differently.
type Key = (Option<Digest>, Option<Digest>);

fn key(layer: &LayerBlob) -> Key {
    (layer.digest, layer.diff_id)
}

/// A layer to make: what the store has not of it.
struct Task<'a> {
    layer: &'a LayerBlob,
    needs_blob: bool,
    needs_tree: bool,
}

/// What was made of a layer.
struct Product {
    digests: Digests,
    stats: LayerStats,
    blob: Option<StagedBlob>,
    tree: Option<StagedLayer>,
}

/// What the store and the other podlings have of a layer.
enum Standing {
    Known(Digests),
    Missing {
        needs_blob: bool,
        needs_tree: bool,
    },
    /// Another podling is making it.
    Elsewhere,
}

impl<'a> Workshop<'a> {
    /// A workshop in `staging`, which holds on to `claims` until what it made is published.
    pub(super) fn new(
        store: &'a Store,
        staging: &'a Staging,
        claims: &'a Claims,
        namespace: &'a dyn InUserNamespace,
        progress: &'a dyn Progress,
    ) -> Self {
        Workshop {
            store,
            staging,
            claims,
            namespace,
            progress,
            repository: None,
            blobs: Vec::new(),
            layers: Vec::new(),
            known: HashMap::new(),
            claimed: Vec::new(),
            numbers: AtomicUsize::new(0),
        }
    }

    /// The same with a repository that layers come from.
    pub(super) fn fetching_from(mut self, repository: &'a Repository) -> Self {
        self.repository = Some(repository);
        self
    }

    /// Where temporary files go: the store's file system.
    pub fn scratch(&self) -> &Path {
        self.staging.path()
    }

    pub(super) fn finish(self, images: Vec<StagedImage>) -> Made {
        Made { blobs: self.blobs, layers: self.layers, images }
    }

    /// Keeps a document as a blob.
    pub fn document(&mut self, content: &[u8]) -> Result<Digest> {
        let digest = Digest::of(content);
        if !self.store.has_blob(&digest, content.len() as u64) && !self.blobs.iter().any(|blob| blob.digest == digest) {
            let (mut file, path) = self.new_blob()?;
            file.write_all(content)
                .and_then(|()| file.sync_all())
                .context(|| format!("cannot write {}", path.display()))?;
            self.blobs.push(StagedBlob { path, digest });
        }
        Ok(digest)
    }

    /// Makes whatever of the layers the store lacks: blobs, unpacked trees, or both in one pass.
    pub fn layers(&mut self, layers: &[&LayerBlob]) -> Result<Vec<(Digests, LayerStats)>> {
        let mut left: Vec<&LayerBlob> = Vec::new();
        for layer in layers {
            if !self.known.contains_key(&key(layer)) && !left.iter().any(|other| key(other) == key(layer)) {
                left.push(layer);
            }
        }
        while !left.is_empty() {
            let (mut tasks, mut elsewhere) = (Vec::new(), Vec::new());
            for layer in left {
                match self.standing(layer)? {
                    Standing::Known(digests) => {
                        self.progress.layer(&digests.blob, Event::Present);
                        self.known.insert(key(layer), (digests, LayerStats::default()));
                    }
                    Standing::Missing { needs_blob, needs_tree } => tasks.push(Task { layer, needs_blob, needs_tree }),
                    Standing::Elsewhere => elsewhere.push(layer),
                }
            }
            self.make(&tasks)?;
            if !elsewhere.is_empty() {
                // Nobody must wait for us while we wait.
                self.hand_over()?;
                elsewhere.iter().try_for_each(|layer| self.wait_for(layer))?;
            }
            left = elsewhere;
        }
        let missing = || Error::new("a layer was not made");
        layers.iter().map(|layer| self.known.get(&key(layer)).cloned().ok_or_else(missing)).collect()
    }

    /// Looks at what the store has of a layer, as the only podling that makes it, or after the one that did.
    fn standing(&mut self, layer: &LayerBlob) -> Result<Standing> {
        let digests: Vec<Digest> = [layer.diff_id, layer.digest].into_iter().flatten().collect();
        let mut ours = true;
        for digest in &digests {
            // What an earlier layer of this very image claimed is ours already.
            ours &= self.claims.make(digest)?;
        }
        if !ours {
            digests.iter().try_for_each(|digest| self.claims.release(digest))?;
            for digest in &digests {
                if !self.claims.need(digest)? {
                    return Ok(Standing::Elsewhere);
                }
            }
        }
        let needs_tree = !layer.diff_id.is_some_and(|diff_id| self.store.has_layer(&diff_id));
        let present = self.present(layer)?;
        if let (false, Some(found)) = (needs_tree, present) {
            digests.iter().try_for_each(|digest| self.claims.made(digest))?;
            return Ok(Standing::Known(found));
        }
        if !ours {
            // It was removed, or its maker failed, and others are about to find that out, too.
            digests.iter().try_for_each(|digest| self.claims.release(digest))?;
            thread::sleep(MOMENT);
            return Ok(Standing::Elsewhere);
        }
        self.claimed.extend(digests);
        Ok(Standing::Missing { needs_blob: present.is_none(), needs_tree })
    }

    fn wait_for(&self, layer: &LayerBlob) -> Result<()> {
        if let Some(digest) = layer.digest.or(layer.diff_id) {
            self.progress.layer(&digest, Event::Waits);
        }
        for digest in [layer.diff_id, layer.digest].into_iter().flatten() {
            self.claims.wait_for(&digest)?;
            // The standing is taken anew, which may make us the one who makes it.
            self.claims.release(&digest)?;
        }
        Ok(())
    }

    /// Puts what was made into the store, without a name yet, for those who wait for it.
    fn hand_over(&mut self) -> Result<()> {
        let made = Made {
            blobs: std::mem::take(&mut self.blobs),
            layers: std::mem::take(&mut self.layers),
            images: Vec::new(),
        };
        if !made.blobs.is_empty() || !made.layers.is_empty() {
            self.staging.sync()?;
            self.store.publish(made, self.staging.path())?;
        }
        self.claimed.drain(..).try_for_each(|digest| self.claims.made(&digest))
    }

    /// The digests of a layer whose blob the store has; it was checked when it came there.
    fn present(&self, layer: &LayerBlob) -> Result<Option<Digests>> {
        let length = layer.content.length();
        let compression = match &layer.content {
            Content::Remote(_) => layer.compression.unwrap_or(Compression::None),
            Content::Here(extent) => sniff(extent)?,
        };
        // What is not compressed has its diffID as digest.
        let blob = layer.digest.or(layer.diff_id.filter(|_| compression == Compression::None));
        Ok(match (blob, layer.diff_id) {
            (Some(blob), Some(diff_id)) if self.store.has_blob(&blob, length) => {
                Some(Digests { blob, length, diff_id, compression })
            }
            _ => None,
        })
    }

    /// Makes the layers of `tasks`, the largest first, so that none is left to be waited for alone.
    fn make(&mut self, tasks: &[Task<'_>]) -> Result<()> {
        if tasks.is_empty() {
            return Ok(());
        }
        let mut order: Vec<&Task<'_>> = tasks.iter().collect();
        order.sort_by_key(|task| std::cmp::Reverse(task.layer.content.length()));
        // Before any thread: podling clones with one thread only.
        let layers = self.staging.layers();
        self.store.make_directory(&layers)?;
        let unpacker = Unpacker::start(&layers, *self.store.limits(), self.store.ids(), self.namespace)?;
        let line = Line { workshop: self, unpacker: &unpacker, failed: AtomicBool::new(false) };
        let (next, made) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        thread::scope(|scope| {
            let (working, ended) = channel::<()>();
            scope.spawn(|| self.staging.write_back_until(ended));
            let work = || {
                while let Some(task) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if line.failed.load(Ordering::Relaxed) {
                        return;
                    }
                    let product = line.make(task).context(|| title(task.layer));
                    if product.is_err() {
                        line.failed.store(true, Ordering::Relaxed);
                    }
                    made.lock().unwrap_or_else(PoisonError::into_inner).push((key(task.layer), product));
                }
            };
            let workers: Vec<_> = (0..order.len().min(AT_ONCE)).map(|_| scope.spawn(work)).collect();
            // One that panicked leaves its layer unmade, which is found out below.
            workers.into_iter().for_each(|worker| drop(worker.join()));
            drop(working);
        });
        drop(unpacker);
        let mut given_up = None;
        for (key, product) in made.into_inner().unwrap_or_else(PoisonError::into_inner) {
            match product {
                Err(e) if e.what().ends_with(GIVEN_UP) => given_up = Some(e),
                Err(e) => return Err(e),
                Ok(product) => {
                    self.blobs.extend(product.blob);
                    self.layers.extend(product.tree);
                    self.known.insert(key, (product.digests, product.stats));
                }
            }
        }
        given_up.map_or(Ok(()), Err)
    }

    fn new_blob(&self) -> Result<(File, PathBuf)> {
        let path = self.new_path(self.staging.path(), "blob");
        let open = File::options().read(true).write(true).create_new(true).mode(0o600).open(&path);
        let file = open.context(|| format!("cannot make {}", path.display()))?;
        Ok((file, path))
    }

    fn new_path(&self, dir: &Path, what: &str) -> PathBuf {
        dir.join(format!("{what}-{}", self.numbers.fetch_add(1, Ordering::Relaxed)))
    }

    /// A new layer's directory.
    fn new_tree(&self) -> Result<PathBuf> {
        let path = self.new_path(&self.staging.layers(), "layer");
        let tree = path.join(TREE);
        let failed = || format!("cannot make {}", path.display());
        fs::DirBuilder::new().mode(0o700).create(&path).context(failed)?;
        fs::DirBuilder::new().mode(0o755).create(&tree).context(failed)?;
        // The layer's own directory is on the way of every pod's root, the tree is what it writes.
        self.store.ids().give_to_root(&path)?;
        self.store.ids().give_to_root(&tree)?;
        Ok(path)
    }
}

fn sniff(extent: &Extent) -> Result<Compression> {
    let mut head = Vec::new();
    extent.reader().take(8).read_to_end(&mut head)?;
    Compression::sniff(&head)
}

/// A layer in messages.
fn title(layer: &LayerBlob) -> String {
    let name = layer.digest.or(layer.diff_id).map_or_else(|| "of the archive".to_owned(), |digest| digest.to_string());
    format!("layer {name} ({})", human(layer.content.length()))
}

/// The end of the error of a layer that nobody waits for any more, since another one failed.
const GIVEN_UP: &str = "it was given up";

/// What the threads that make layers share.
struct Line<'a> {
    workshop: &'a Workshop<'a>,
    unpacker: &'a Unpacker,
    failed: AtomicBool,
}

impl Line<'_> {
    fn make(&self, task: &Task<'_>) -> Result<Product> {
        let tree = if task.needs_tree { Some(self.workshop.new_tree()?) } else { None };
        match (&task.layer.content, task.layer.digest) {
            (Content::Here(extent), _) => self.unpack(task, extent, tree),
            // The blob is there, for another id map.
            (Content::Remote(_), Some(digest)) if !task.needs_blob => {
                self.unpack(task, &Extent::open(&self.workshop.store.blob_path(&digest))?, tree)
            }
            (Content::Remote(length), Some(digest)) => self.fetch(task, digest, *length, tree),
            (Content::Remote(_), None) => Err(Error::new("it has no digest")),
        }
    }

    fn unpack(&self, task: &Task<'_>, extent: &Extent, tree: Option<PathBuf>) -> Result<Product> {
        let promise = promise(task.layer, BlobDigest::Check(task.layer.digest));
        let mut copy = None;
        // What lies in the staging directory already is moved, not copied.
        let mut path = extent.staged().map(Path::to_owned);
        if task.needs_blob && path.is_none() {
            let (file, at) = self.workshop.new_blob()?;
            (copy, path) = (Some(file), Some(at));
        }
        let order = Order::new(self.inside(tree.as_deref())?, extent.offset(), extent.length(), true, &promise);
        let job = self.unpacker.begin(&order, extent.as_fd(), copy.as_ref().map(AsFd::as_fd))?;
        let (digests, stats) = job.finish()?;
        self.workshop.progress.layer(&digests.blob, Event::Done);
        let blob = path.filter(|_| task.needs_blob).map(|path| StagedBlob { path, digest: digests.blob });
        let tree = tree.map(|path| StagedLayer { path, diff_id: digests.diff_id });
        Ok(Product { digests, stats, blob, tree })
    }

    fn fetch(&self, task: &Task<'_>, digest: Digest, length: u64, tree: Option<PathBuf>) -> Result<Product> {
        let repository = self.workshop.repository.ok_or_else(|| Error::new("there is no registry to fetch it from"))?;
        let (file, path) = self.workshop.new_blob()?;
        self.workshop.progress.layer(&digest, Event::Begins(length));
        let promise = promise(task.layer, BlobDigest::CheckedElsewhere(digest));
        let mut landing = Landing { line: self, digest, length, promise, file, path: &path, tree, job: None };
        landing.begin()?;
        repository.download(&digest, length, &mut landing)?;
        self.workshop.progress.layer(&digest, Event::Fetched);
        let job = landing.job.take().ok_or_else(|| Error::new(GIVEN_UP))?;
        let (digests, stats) = job.finish()?;
        self.workshop.progress.layer(&digest, Event::Done);
        let tree = landing.tree.take().map(|path| StagedLayer { path, diff_id: digests.diff_id });
        Ok(Product { digests, stats, blob: Some(StagedBlob { path, digest }), tree })
    }

    /// A layer's tree as the unpacking process sees it.
    fn inside(&self, layer: Option<&Path>) -> Result<Option<PathBuf>> {
        let inside = |layer: &Path| {
            let outside = || Error::new("the layer is not in the staging directory");
            Ok(layer.strip_prefix(self.workshop.staging.layers()).map_err(|_| outside())?.join(TREE))
        };
        layer.map(inside).transpose()
    }
}

fn promise(layer: &LayerBlob, digest: BlobDigest) -> Promise {
    Promise { digest, diff_id: layer.diff_id, compression: layer.compression }
}

/// Where a download lands: a file that is unpacked while it grows.
struct Landing<'a> {
    line: &'a Line<'a>,
    digest: Digest,
    length: u64,
    promise: Promise,
    file: File,
    path: &'a Path,
    tree: Option<PathBuf>,
    job: Option<Job>,
}

impl Landing<'_> {
    fn begin(&mut self) -> Result<()> {
        let tree = self.line.inside(self.tree.as_deref())?;
        let order = Order::new(tree, 0, self.length, false, &self.promise);
        // Its descriptor cannot write: what was hashed on its way stays what it was.
        let blob = File::open(self.path).context(|| format!("cannot open {}", self.path.display()))?;
        self.job = Some(self.line.unpacker.begin(&order, blob.as_fd(), None)?);
        Ok(())
    }
}

impl Sink for Landing<'_> {
    fn write(&mut self, piece: &[u8]) -> Result<()> {
        if self.line.failed.load(Ordering::Relaxed) {
            return Err(Error::new(GIVEN_UP));
        }
        self.file.write_all(piece).map_err(|e| {
            let errno = e.raw_os_error().map_or(nix::errno::Errno::EIO, nix::errno::Errno::from_raw);
            crate::image::layer::limits::write_failed("it cannot be written to the store", errno)
        })?;
        if let Some(job) = &self.job {
            job.more();
        }
        self.line.workshop.progress.layer(&self.digest, Event::Bytes(piece.len() as u64));
        Ok(())
    }

    fn restart(&mut self) -> Result<()> {
        self.line.workshop.progress.layer(&self.digest, Event::Again);
        self.job = None;
        let failed = || "cannot empty the blob's file";
        self.file.set_len(0).context(failed)?;
        std::io::Seek::rewind(&mut self.file).context(failed)?;
        // What the half blob became stays behind in the staging directory, and goes with it.
        if self.tree.is_some() {
            self.tree = Some(self.line.workshop.new_tree()?);
        }
        self.begin()
    }
}

//! Loading: everything is made in a staging directory, then put into the store in one step.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use oci_spec::image::{Descriptor, ImageConfiguration};
use serde_json::json;

use crate::error::{Context, Error, Result};
use crate::image::Image;
use crate::image::compression::Compression;
use crate::image::digest::Digest;
use crate::image::documents::parse;
use crate::image::layer::limits::{Limits, human};
use crate::image::layer::pipeline::{self, Decompressed, Digests, LayerBlob};
use crate::image::layer::unpack::{LayerStats, unpack};
use crate::image::namespace::InUserNamespace;
use crate::image::reference::Reference;
use crate::image::source::formats;
use crate::image::source::{SourceImage, SourceManifest, SourceName};
use crate::image::store::publish::{Loaded, Made, Outcome, StagedBlob, StagedImage, StagedLayer};
use crate::image::store::staging::{Staging, TREE, sweep};
use crate::image::store::{Found, Record, Store};

/// Another podling may remove a blob between our finding it and our naming it; that it happens again and again is not plausible.
const ATTEMPTS: usize = 3;

impl Store {
    /// Loads all images of the docker archive, OCI archive or OCI layout directory `path`.
    ///
    /// `name` is for sources that do not name their image, or only by a tag. On failure the store is as it was.
    pub fn load(&self, path: &Path, name: Option<&str>, namespace: &dyn InUserNamespace) -> Result<Vec<Loaded>> {
        self.staged(namespace, |staging| {
            let sources = formats::images(path, staging.path())?;
            let names = names(&sources, name)?;
            let mut workshop = Workshop::new(self, staging, namespace);
            let staged = sources
                .iter()
                .zip(names)
                .map(|(image, name)| workshop.image(image, name))
                .collect::<Result<Vec<_>>>()
                .context(|| path.display())?;
            Ok(workshop.finish(staged))
        })
    }

    /// Makes the image of one layer and a config, for [`Store::import`].
    pub(super) fn load_made(
        &self,
        namespace: &dyn InUserNamespace,
        make: &dyn Fn(&mut Workshop<'_>) -> Result<StagedImage>,
    ) -> Result<Loaded> {
        let loaded = self.staged(namespace, |staging| {
            let mut workshop = Workshop::new(self, staging, namespace);
            let image = make(&mut workshop)?;
            Ok(workshop.finish(vec![image]))
        })?;
        loaded.into_iter().next().ok_or_else(|| Error::new("nothing was imported"))
    }

    /// Unpacks the layers of an image that the store has the blobs of, for the current id map.
    pub fn ensure_unpacked(&self, record: &Record, namespace: &dyn InUserNamespace) -> Result<()> {
        self.staged(namespace, |staging| {
            let mut workshop = Workshop::new(self, staging, namespace);
            for (layer, diff_id) in record.manifest.layers().iter().zip(&record.diff_ids) {
                let digest = Digest::parse(layer.digest().as_ref())?;
                let content = crate::image::extent::Extent::open(&self.blob_path(&digest))?;
                workshop.layer(&LayerBlob {
                    content,
                    digest: Some(digest),
                    diff_id: Some(*diff_id),
                    compression: None,
                })?;
            }
            Ok(workshop.finish(Vec::new()))
        })
        .context(|| format!("image {:?}", record.reference))?;
        Ok(())
    }

    /// The image that `reference` names, its layers unpacked for the current id map if they were not yet.
    pub fn resolve_or_unpack(&self, reference: &str, namespace: &dyn InUserNamespace) -> Result<Image> {
        match self.find(reference)? {
            Found::Ready(image) => Ok(*image),
            Found::NotUnpacked(record) => {
                self.ensure_unpacked(&record, namespace)?;
                self.resolve(reference)
            }
        }
    }

    /// Removes what podlings that were killed left behind. Cheap where there is nothing.
    pub fn sweep(&self, namespace: &dyn InUserNamespace) -> Result<()> {
        sweep(&self.staging(), namespace)
    }

    fn staged(&self, namespace: &dyn InUserNamespace, make: impl Fn(&Staging) -> Result<Made>) -> Result<Vec<Loaded>> {
        // Somebody's orphan that cannot be removed, say because its id map is gone, must not keep us from loading.
        let _ = self.sweep(namespace);
        for _ in 0..ATTEMPTS {
            let staging = self.new_staging()?;
            let outcome = make(&staging).and_then(|made| {
                staging.sync()?;
                self.publish(made, staging.path())
            });
            let removed = staging.remove(namespace);
            match outcome? {
                Outcome::Vanished => removed?,
                Outcome::Published(loaded) => return removed.map(|()| loaded),
            }
        }
        Err(Error::new("parts of the image were removed from the store again and again while it was loaded"))
    }
}

/// What the images will be called: their own names, or those that `name` makes of them.
fn names(sources: &[SourceImage], name: Option<&str>) -> Result<Vec<Option<Reference>>> {
    let wanted = name.map(Reference::parse_untagged).transpose()?;
    if let Some(digest) = wanted.as_ref().and_then(Reference::digest) {
        return Err(Error::new(format!("an image cannot be given the digest {digest} as a name")));
    }
    if let ([_], Some(wanted), Some(name)) = (sources, &wanted, name) {
        let tag = match sources {
            [SourceImage { name: SourceName::Tag(tag), .. }] if wanted.tag().is_none() => Some(tag),
            _ => None,
        };
        return Ok(vec![Some(match tag {
            Some(tag) => wanted.with_tag(tag)?,
            None => Reference::parse(name)?,
        })]);
    }
    let named = |image: &SourceImage| match (&image.name, &wanted) {
        (SourceName::Reference(name), None) => Ok(Some(name.clone())),
        (SourceName::Nameless, None) => Ok(None),
        (SourceName::Tag(tag), Some(wanted)) if wanted.tag().is_none() => wanted.with_tag(tag).map(Some),
        (SourceName::Tag(tag), None) => Err(Error::new(format!("it names its image only by the tag {tag:?}"))
            .mend(format!("say the whole name: `podling image load --name NAME:{tag} …`"))),
        (_, Some(_)) => {
            Err(Error::new("it has several images, which cannot all have the same name").mend("leave --name out"))
        }
    };
    sources.iter().map(named).collect()
}

/// Makes layers and blobs in a staging directory.
pub struct Workshop<'a> {
    store: &'a Store,
    staging: &'a Staging,
    namespace: &'a dyn InUserNamespace,
    blobs: Vec<StagedBlob>,
    layers: Vec<StagedLayer>,
    /// Layers that images share are made once.
    known: HashMap<Digest, (Digests, LayerStats)>,
    made: usize,
}

impl<'a> Workshop<'a> {
    fn new(store: &'a Store, staging: &'a Staging, namespace: &'a dyn InUserNamespace) -> Self {
        Workshop { store, staging, namespace, blobs: Vec::new(), layers: Vec::new(), known: HashMap::new(), made: 0 }
    }

    /// Where temporary files go: the store's file system.
    pub fn scratch(&self) -> &Path {
        self.staging.path()
    }

    fn finish(self, images: Vec<StagedImage>) -> Made {
        Made { blobs: self.blobs, layers: self.layers, images }
    }

    fn image(&mut self, source: &SourceImage, name: Option<Reference>) -> Result<StagedImage> {
        let mut warnings = Vec::new();
        let config: ImageConfiguration = parse(&source.config, "config")?;
        if config.os().to_string() != "linux" {
            return Err(Error::new(format!("the image is for {}, not for linux", config.os())));
        }
        let architecture = config.architecture().to_string();
        if architecture != crate::host::architecture() {
            let host = crate::host::architecture();
            warnings
                .push(format!("the image is for {architecture}, so its programs will not run on this {host} machine"));
        }
        let mut layers = Vec::new();
        for layer in &source.layers {
            let (digests, stats) = self.layer(layer)?;
            let short = digests.diff_id.short();
            warnings.extend(stats.warnings.iter().map(|warning| format!("layer {short}: {warning}")));
            layers.push(digests);
        }
        self.documents(name, &source.config, source.manifest.as_ref(), source.index_digest, &layers, warnings)
    }

    /// Makes config and manifest, the latter from the layers where the source had none.
    pub fn documents(
        &mut self,
        name: Option<Reference>,
        config: &[u8],
        manifest: Option<&SourceManifest>,
        index_digest: Option<Digest>,
        layers: &[Digests],
        warnings: Vec<String>,
    ) -> Result<StagedImage> {
        const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
        let config_digest = self.small_blob(config)?;
        let made;
        let (content, media_type) = match manifest {
            Some(manifest) => (&manifest.content, manifest.media_type.as_str()),
            None => {
                let layers: Vec<_> = layers
                    .iter()
                    .map(|layer| json!({"mediaType": layer.compression.media_type(), "digest": layer.blob.to_string(), "size": layer.length}))
                    .collect();
                let config = json!({
                    "mediaType": "application/vnd.oci.image.config.v1+json",
                    "digest": config_digest.to_string(),
                    "size": config.len(),
                });
                let manifest =
                    json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers});
                made = manifest.to_string().into_bytes();
                (&made, OCI_MANIFEST)
            }
        };
        let digest = self.small_blob(content)?;
        let descriptor = json!({"mediaType": media_type, "digest": digest.to_string(), "size": content.len()});
        let descriptor: Descriptor = serde_json::from_value(descriptor).map_err(|e| Error::new(e.to_string()))?;
        let needs_layers = layers.iter().map(|layer| (layer.diff_id, layer.blob)).collect();
        Ok(StagedImage {
            name,
            descriptor,
            digest,
            config: config_digest,
            layers: needs_layers,
            index_digest,
            warnings,
        })
    }

    fn small_blob(&mut self, content: &[u8]) -> Result<Digest> {
        let digest = Digest::of(content);
        if !self.store.has_blob(&digest, content.len() as u64) {
            let (mut file, path) = self.new_blob()?;
            file.write_all(content)
                .and_then(|()| file.sync_all())
                .context(|| format!("cannot write {}", path.display()))?;
            self.blobs.push(StagedBlob { path, digest });
        }
        Ok(digest)
    }

    /// Makes whatever of a layer the store lacks: its blob, its unpacked tree, or both in one pass.
    pub fn layer(&mut self, layer: &LayerBlob) -> Result<(Digests, LayerStats)> {
        let known = layer.diff_id.and_then(|diff_id| self.known.get(&diff_id));
        // Equal trees may be packed differently; only the very same blob need not be looked at again.
        if let Some((digests, stats)) =
            known.filter(|(known, _)| layer.digest.is_none_or(|digest| digest == known.blob))
        {
            return Ok((*digests, stats.clone()));
        }
        let title =
            layer.digest.or(layer.diff_id).map_or_else(|| "of the archive".to_owned(), |digest| digest.to_string());
        let length = human(layer.content.length());
        let made = self.make_layer(layer).context(|| format!("layer {title} ({length})"))?;
        self.known.insert(made.0.diff_id, made.clone());
        Ok(made)
    }

    fn make_layer(&mut self, layer: &LayerBlob) -> Result<(Digests, LayerStats)> {
        let has_tree = layer.diff_id.is_some_and(|diff_id| self.store.has_layer(&diff_id));
        let present = self.present(layer)?;
        if let (true, Some(digests)) = (has_tree, present) {
            return Ok((digests, LayerStats::default()));
        }
        let copy = if present.is_none() { Some(self.new_blob()?) } else { None };
        let file = copy.as_ref().map(|(file, _)| file);
        let limits = Limits::of_blob(layer.content.length());
        let (digests, stats) = if has_tree {
            let (stats, digests) = pipeline::run(layer, file, &limits, drain)?;
            (digests, stats)
        } else {
            self.unpack(layer, file, &limits)?
        };
        if let Some((_, path)) = copy {
            self.blobs.push(StagedBlob { path, digest: digests.blob });
        }
        Ok((digests, stats))
    }

    /// The digests of a layer whose blob the store has; it was checked when it came there.
    fn present(&self, layer: &LayerBlob) -> Result<Option<Digests>> {
        let length = layer.content.length();
        let mut head = Vec::new();
        layer.content.reader().take(8).read_to_end(&mut head)?;
        let compression = Compression::sniff(&head)?;
        // What is not compressed has its diffID as digest.
        let blob = layer.digest.or(layer.diff_id.filter(|_| compression == Compression::None));
        Ok(match (blob, layer.diff_id) {
            (Some(blob), Some(diff_id)) if self.store.has_blob(&blob, length) => {
                Some(Digests { blob, length, diff_id, compression })
            }
            _ => None,
        })
    }

    fn unpack(&mut self, layer: &LayerBlob, copy: Option<&File>, limits: &Limits) -> Result<(Digests, LayerStats)> {
        let path = self.new_path("layer");
        let tree = path.join(TREE);
        let failed = || format!("cannot make {}", path.display());
        fs::DirBuilder::new().mode(0o700).create(&path).context(failed)?;
        fs::DirBuilder::new().mode(0o755).create(&tree).context(failed)?;
        let dest = File::open(&tree).context(failed)?;
        let ids = self.store.ids();
        // The layer's own directory is on the way of every pod's root, the tree is what it writes.
        ids.give_to_root(&path)?;
        ids.give_to_root(&tree)?;
        let mut job = || {
            let (stats, digests) =
                pipeline::run(layer, copy, limits, |input| unpack(input, dest.as_fd(), limits, ids))?;
            Ok(Report::of(&digests, stats).encode())
        };
        let report = Report::decode(&self.namespace.run(&mut job)?)?;
        let digests = report.digests()?;
        self.layers.push(StagedLayer { path, diff_id: digests.diff_id });
        Ok((digests, report.stats))
    }

    fn new_blob(&mut self) -> Result<(File, PathBuf)> {
        let path = self.new_path("blob");
        let open = File::options().read(true).write(true).create_new(true).mode(0o600).open(&path);
        let file = open.context(|| format!("cannot make {}", path.display()))?;
        Ok((file, path))
    }

    fn new_path(&mut self, what: &str) -> PathBuf {
        self.made += 1;
        self.staging.path().join(format!("{what}-{}", self.made))
    }
}

/// Reads a layer only for its digests.
fn drain(mut input: Decompressed) -> Result<LayerStats> {
    std::io::copy(&mut input, &mut std::io::sink())?;
    Ok(LayerStats::default())
}

/// What comes back from the user namespace.
#[derive(serde::Serialize, serde::Deserialize)]
struct Report {
    blob: String,
    length: u64,
    diff_id: String,
    compression: String,
    stats: LayerStats,
}

impl Report {
    fn of(digests: &Digests, stats: LayerStats) -> Report {
        Report {
            blob: digests.blob.to_string(),
            length: digests.length,
            diff_id: digests.diff_id.to_string(),
            compression: digests.compression.media_type().to_owned(),
            stats,
        }
    }

    fn encode(&self) -> Vec<u8> {
        json!(self).to_string().into_bytes()
    }

    fn decode(content: &[u8]) -> Result<Report> {
        serde_json::from_slice(content)
            .map_err(|e| Error::new(format!("the unpacking process sent an unreadable report: {e}")))
    }

    fn digests(&self) -> Result<Digests> {
        let compression = Compression::of_media_type(&self.compression).unwrap_or(Compression::None);
        let (blob, diff_id) = (Digest::parse(&self.blob)?, Digest::parse(&self.diff_id)?);
        Ok(Digests { blob, length: self.length, diff_id, compression })
    }
}

//! Loading: everything is made in a staging directory, then put into the store in one step.

use std::path::Path;

use crate::error::{Context, Error, Result};
use crate::image::Image;
use crate::image::digest::Digest;
use crate::image::extent::Extent;
use crate::image::layer::pipeline::{Content, LayerBlob};
use crate::image::namespace::InUserNamespace;
use crate::image::progress::{Progress, Silent};
use crate::image::reference::Reference;
use crate::image::source::{SourceImage, SourceName, formats};
use crate::image::store::claims::Claims;
use crate::image::store::publish::{Loaded, Made, Outcome, StagedImage};
use crate::image::store::staging::{Staging, sweep};
use crate::image::store::workshop::Workshop;
use crate::image::store::{Found, Record, Store};

/// Another podling may remove a blob between our finding it and our naming it; that it happens again and again is not plausible.
const ATTEMPTS: usize = 3;

impl Store {
    /// Loads all images of the docker archive, OCI archive or OCI layout directory `path`.
    ///
    /// `name` is for sources that do not name their image, or only by a tag. On failure the store is as it was.
    pub fn load(&self, path: &Path, name: Option<&str>, namespace: &dyn InUserNamespace) -> Result<Vec<Loaded>> {
        self.staged(namespace, &Silent, &|mut workshop| {
            let sources = formats::images(path, &self.limits, workshop.scratch())?;
            let names = names(&sources, name)?;
            let staged = workshop.images(&sources, names).context(|| formats::title(path))?;
            Ok(workshop.finish(staged))
        })
    }

    /// Makes the image of one layer and a config, for [`Store::import`].
    pub(super) fn load_made(
        &self,
        namespace: &dyn InUserNamespace,
        make: &dyn Fn(&mut Workshop<'_>) -> Result<StagedImage>,
    ) -> Result<Loaded> {
        let loaded = self.staged(namespace, &Silent, &|mut workshop| {
            let image = make(&mut workshop)?;
            Ok(workshop.finish(vec![image]))
        })?;
        loaded.into_iter().next().ok_or_else(|| Error::new("nothing was imported"))
    }

    /// Unpacks the layers of an image that the store has the blobs of, for the current id map.
    pub fn ensure_unpacked(&self, record: &Record, namespace: &dyn InUserNamespace) -> Result<()> {
        let layers = record.manifest.layers().iter().zip(&record.diff_ids).map(|(layer, diff_id)| {
            let digest = Digest::parse(layer.digest().as_ref())?;
            let content = Content::Here(Extent::open(&self.blob_path(&digest))?);
            Ok(LayerBlob { content, digest: Some(digest), diff_id: Some(*diff_id), compression: None })
        });
        let layers = layers.collect::<Result<Vec<_>>>()?;
        // Its blobs passed the limits of their time.
        let accepting = self.clone().with_limits(self.limits.for_what_was_accepted());
        accepting
            .staged(namespace, &Silent, &|mut workshop| {
                workshop.layers(&layers.iter().collect::<Vec<_>>())?;
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

    /// Makes something in a staging directory and publishes it; on failure the store is as it was.
    pub(super) fn staged(
        &self,
        namespace: &dyn InUserNamespace,
        progress: &dyn Progress,
        make: &dyn Fn(Workshop<'_>) -> Result<Made>,
    ) -> Result<Vec<Loaded>> {
        // Somebody's orphan that cannot be removed, say because its id map is gone, must not keep us from loading.
        let _ = self.sweep(namespace);
        for _ in 0..ATTEMPTS {
            let staging = self.new_staging()?;
            let outcome = self.stage(&staging, namespace, progress, make);
            let removed = staging.remove(namespace);
            match outcome? {
                Outcome::Vanished => removed?,
                Outcome::Published(loaded) => return removed.map(|()| loaded),
            }
        }
        Err(Error::new("parts of the image were removed from the store again and again while it was loaded"))
    }

    fn stage(
        &self,
        staging: &Staging,
        namespace: &dyn InUserNamespace,
        progress: &dyn Progress,
        make: &dyn Fn(Workshop<'_>) -> Result<Made>,
    ) -> Result<Outcome> {
        // Held until all is in its place, so that whoever waits for it finds it there.
        let claims = Claims::new(self)?;
        let made = make(Workshop::new(self, staging, &claims, namespace, progress))?;
        if !made.blobs.is_empty() || !made.layers.is_empty() {
            staging.sync()?;
        }
        self.publish(made, staging.path())
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

//! Archives of `docker save`: `manifest.json`, configs and layers (moby's image/spec v1.2).

use serde::Deserialize;

use crate::error::{Context, Error, Result};
use crate::image::digest::Digest;
use crate::image::documents::{Kind, Origin, check_unambiguous, parse};
use crate::image::layer::limits::Limits;
use crate::image::layer::pipeline::{Content, LayerBlob};
use crate::image::reference::Reference;
use crate::image::source::{Files, SourceImage, SourceName};

/// One image of `manifest.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// All images of the archive; one with several tags comes once for each.
pub fn images(files: &Files, limits: &Limits) -> Result<Vec<SourceImage>> {
    let content = files.need("manifest.json")?.read_all(limits.manifest_size).context(|| "manifest.json")?;
    check_unambiguous(&content, "manifest.json", Kind::Other)?;
    let entries: Vec<Entry> = parse(&content, "manifest.json")?;
    let mut images = Vec::new();
    for entry in entries {
        let tags = entry.repo_tags.as_deref().unwrap_or_default();
        let mut names =
            tags.iter().map(|tag| Reference::parse(tag).map(SourceName::Reference)).collect::<Result<Vec<_>>>()?;
        if names.is_empty() {
            names.push(SourceName::Nameless);
        }
        for name in names {
            images.push(image(files, &entry, name, limits).context(|| format!("image {:?}", entry.config))?);
        }
    }
    Ok(images)
}

fn image(files: &Files, entry: &Entry, name: SourceName, limits: &Limits) -> Result<SourceImage> {
    limits.check_layers(entry.layers.len())?;
    let config = files.need(&entry.config)?.read_all(limits.config_size).context(|| "config")?;
    check_config_name(&entry.config, &config)?;
    check_unambiguous(&config, "config", Kind::Other)?;
    let parsed: oci_spec::image::ImageConfiguration = parse(&config, "config")?;
    let diff_ids = parsed.rootfs().diff_ids();
    if diff_ids.len() != entry.layers.len() {
        let (layers, ids) = (entry.layers.len(), diff_ids.len());
        return Err(Error::new(format!("it has {layers} layers, but its config lists {ids} diffIDs")));
    }
    let layers = entry.layers.iter().zip(diff_ids).map(|(path, diff_id)| {
        let content = files.need(path)?;
        Ok(LayerBlob {
            content: Content::Here(content),
            digest: None,
            diff_id: Some(Digest::parse(diff_id)?),
            compression: None,
        })
    });
    let layers = layers.collect::<Result<_>>()?;
    Ok(SourceImage { name, manifest: None, origin: Origin::default(), config, layers })
}

/// The config is called after its digest, `<hex>.json` or `blobs/sha256/<hex>`, which checks it.
fn check_config_name(path: &str, config: &[u8]) -> Result<()> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let Some(promised) = Digest::from_hex(name.strip_suffix(".json").unwrap_or(name)) else { return Ok(()) };
    let found = Digest::of(config);
    if found == promised {
        return Ok(());
    }
    Err(Error::new(format!("the config is corrupt: its digest should be {promised} and is {found}")))
}

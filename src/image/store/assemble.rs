//! From an image's source to what the store keeps of it: its layers, its config and its manifest.

use oci_spec::image::{Descriptor, ImageConfiguration};
use serde_json::json;

use crate::error::{Error, Result};
use crate::image::documents::{Origin, parse};
use crate::image::layer::pipeline::{Digests, LayerBlob};
use crate::image::reference::Reference;
use crate::image::source::{SourceImage, SourceManifest};
use crate::image::store::publish::StagedImage;
use crate::image::store::workshop::Workshop;

impl Workshop<'_> {
    /// Makes the layers of all images at once, and then each image's documents.
    pub(super) fn images(
        &mut self,
        sources: &[SourceImage],
        names: Vec<Option<Reference>>,
    ) -> Result<Vec<StagedImage>> {
        let layers: Vec<&LayerBlob> = sources.iter().flat_map(|source| &source.layers).collect();
        for source in sources {
            check_system(source)?;
        }
        self.layers(&layers)?;
        sources.iter().zip(names).map(|(source, name)| self.image(source, name)).collect()
    }

    fn image(&mut self, source: &SourceImage, name: Option<Reference>) -> Result<StagedImage> {
        let mut warnings = Vec::new();
        let config: ImageConfiguration = parse(&source.config, "config")?;
        let architecture = config.architecture().to_string();
        if architecture != crate::host::architecture() {
            let host = crate::host::architecture();
            warnings
                .push(format!("the image is for {architecture}, so its programs will not run on this {host} machine"));
        }
        let mut layers = Vec::new();
        for (digests, stats) in self.layers(&source.layers.iter().collect::<Vec<_>>())? {
            let short = digests.diff_id.short();
            warnings.extend(stats.warnings.iter().map(|warning| format!("layer {short}: {warning}")));
            layers.push(digests);
        }
        self.documents(name, &source.config, source.manifest.as_ref(), &source.origin, &layers, warnings)
    }

    /// Makes config and manifest, the latter from the layers where the source had none.
    pub fn documents(
        &mut self,
        name: Option<Reference>,
        config: &[u8],
        manifest: Option<&SourceManifest>,
        origin: &Origin,
        layers: &[Digests],
        warnings: Vec<String>,
    ) -> Result<StagedImage> {
        const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
        let config_digest = self.document(config)?;
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
        let digest = self.document(content)?;
        let descriptor = json!({"mediaType": media_type, "digest": digest.to_string(), "size": content.len()});
        let descriptor: Descriptor = serde_json::from_value(descriptor).map_err(|e| Error::new(e.to_string()))?;
        let needs_layers = layers.iter().map(|layer| (layer.diff_id, layer.blob)).collect();
        Ok(StagedImage {
            name,
            descriptor,
            digest,
            config: config_digest,
            layers: needs_layers,
            origin: origin.clone(),
            warnings,
        })
    }
}

/// Refuses what cannot run here before anything of it is fetched or unpacked.
fn check_system(source: &SourceImage) -> Result<()> {
    let config: ImageConfiguration = parse(&source.config, "config")?;
    match config.os().to_string().as_str() {
        "linux" => Ok(()),
        other => Err(Error::new(format!("the image is for {other}, not for linux"))),
    }
}

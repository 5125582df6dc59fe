//! Images around layers: OCI layouts and docker archives as a map of files, so that a test can spoil any of them.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::tar::{Entry, archive};
use crate::support::images;

/// `sha256:` and the digits.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(bytes))
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// RFC 1952, one member.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The same, packed as tightly as it goes.
pub fn gzip_best(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// RFC 8878, one frame.
pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

/// A blob and what the image says of it.
#[derive(Debug, Clone)]
pub struct Layer {
    pub blob: Vec<u8>,
    pub digest: String,
    pub diff_id: String,
    pub media_type: &'static str,
}

impl Layer {
    pub fn plain(tar: &[u8]) -> Layer {
        Layer::of(tar, tar.to_vec(), "application/vnd.oci.image.layer.v1.tar")
    }

    pub fn gzip(tar: &[u8]) -> Layer {
        Layer::of(tar, gzip(tar), "application/vnd.oci.image.layer.v1.tar+gzip")
    }

    pub fn zstd(tar: &[u8]) -> Layer {
        Layer::of(tar, zstd(tar), "application/vnd.oci.image.layer.v1.tar+zstd")
    }

    /// The blob is replaced after its digest and diffID were promised; its own digest is corrected, the diffID is not.
    pub fn with_blob(mut self, blob: Vec<u8>) -> Layer {
        self.digest = digest(&blob);
        self.blob = blob;
        self
    }

    fn of(tar: &[u8], blob: Vec<u8>, media_type: &'static str) -> Layer {
        Layer { digest: digest(&blob), diff_id: digest(tar), blob, media_type }
    }
}

/// The files of an image source.
#[derive(Debug, Clone, Default)]
pub struct Files(pub BTreeMap<String, Vec<u8>>);

/// Where a layout keeps the blob with this digest.
pub fn blob_path(digest: &str) -> String {
    format!("blobs/{}", digest.replace(':', "/"))
}

/// The config of an image for this machine.
pub fn config(layers: &[Layer]) -> Value {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let diff_ids: Vec<&str> = layers.iter().map(|layer| layer.diff_id.as_str()).collect();
    json!({
        "architecture": architecture, "os": "linux",
        "config": {"Cmd": ["/bin/true"]},
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    })
}

impl Files {
    /// An OCI layout with one image, `name` being its whole reference.
    pub fn oci(name: &str, layers: &[Layer]) -> Files {
        let config = config(layers);
        Files::oci_with(name, layers, &config)
    }

    /// The same with another config.
    pub fn oci_with(name: &str, layers: &[Layer], config: &Value) -> Files {
        let mut files = Files::default();
        let manifest = files.add_manifest(layers, config);
        files.set_index(json!([with(manifest, "annotations", json!({"org.opencontainers.image.ref.name": name}))]));
        files
    }

    /// busybox's image of rootfs/ with more layers on it, so that it can run.
    pub fn on_busybox(name: &str, layers: &[Layer]) -> Files {
        let dir = images().join("busybox");
        let blob = |digest: &Value| fs::read(dir.join(blob_path(digest.as_str().unwrap()))).unwrap();
        let json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap();
        let index = json(&fs::read(dir.join("index.json")).unwrap());
        let mut manifest = json(&blob(&index["manifests"][0]["digest"]));
        let mut config = json(&blob(&manifest["config"]["digest"]));
        // It would have to tell of each layer.
        config.as_object_mut().unwrap().remove("history");
        let mut files = Files::default();
        for layer in manifest["layers"].as_array().unwrap() {
            files.0.insert(blob_path(layer["digest"].as_str().unwrap()), blob(&layer["digest"]));
        }
        for layer in layers {
            config["rootfs"]["diff_ids"].as_array_mut().unwrap().push(json!(layer.diff_id));
            let descriptor = files.add_blob(layer.media_type, &layer.blob);
            manifest["layers"].as_array_mut().unwrap().push(descriptor);
        }
        let media_type = "application/vnd.oci.image.config.v1+json";
        manifest["config"] = files.add_blob(media_type, config.to_string().as_bytes());
        let descriptor = files.add_blob("application/vnd.oci.image.manifest.v1+json", manifest.to_string().as_bytes());
        files.set_index(json!([with(descriptor, "annotations", json!({"org.opencontainers.image.ref.name": name}))]));
        files
    }

    /// Adds one image's blobs and returns the descriptor of its manifest.
    pub fn add_manifest(&mut self, layers: &[Layer], config: &Value) -> Value {
        for layer in layers {
            self.0.insert(blob_path(&layer.digest), layer.blob.clone());
        }
        let descriptors: Vec<Value> = layers
            .iter()
            .map(|layer| json!({"mediaType": layer.media_type, "digest": layer.digest, "size": layer.blob.len()}))
            .collect();
        let config = self.add_blob("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": descriptors});
        self.add_blob(media_type, manifest.to_string().as_bytes())
    }

    /// Adds a blob and returns its descriptor.
    pub fn add_blob(&mut self, media_type: &str, content: &[u8]) -> Value {
        let digest = digest(content);
        self.0.insert(blob_path(&digest), content.to_vec());
        json!({"mediaType": media_type, "digest": digest, "size": content.len()})
    }

    /// Makes `index.json` of descriptors.
    pub fn set_index(&mut self, manifests: Value) {
        let index = json!({"schemaVersion": 2, "manifests": manifests});
        self.0.insert("index.json".into(), index.to_string().into_bytes());
        self.0.insert("oci-layout".into(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec());
    }

    /// What `docker save` writes, with one image.
    pub fn docker(name: &str, layers: &[Layer]) -> Files {
        let mut files = Files::default();
        let config = config(layers).to_string().into_bytes();
        let config_path = format!("{}.json", hex(&config));
        files.0.insert(config_path.clone(), config);
        let paths: Vec<String> = layers.iter().map(|layer| format!("{}.tar", hex(&layer.blob))).collect();
        for (path, layer) in paths.iter().zip(layers) {
            files.0.insert(path.clone(), layer.blob.clone());
        }
        files.set_manifest(json!([{"Config": config_path, "RepoTags": [name], "Layers": paths}]));
        files
    }

    /// Makes `manifest.json`.
    pub fn set_manifest(&mut self, manifest: Value) {
        self.0.insert("manifest.json".into(), manifest.to_string().into_bytes());
    }

    /// Changes a JSON file.
    pub fn edit(mut self, path: &str, change: impl FnOnce(&mut Value)) -> Files {
        let mut value = serde_json::from_slice(&self.0[path]).unwrap();
        change(&mut value);
        self.0.insert(path.into(), value.to_string().into_bytes());
        self
    }

    /// The files as members of an archive.
    pub fn entries(&self) -> Vec<Entry> {
        self.0.iter().map(|(path, content)| Entry::file(path, content)).collect()
    }

    /// The files in an archive.
    pub fn to_tar(&self) -> Vec<u8> {
        archive(&self.entries())
    }

    /// The files in a directory.
    pub fn write_to(&self, dir: &Path) {
        for (path, content) in &self.0 {
            let path = dir.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
    }
}

/// The object with one more key.
pub fn with(mut object: Value, key: &str, value: Value) -> Value {
    object[key] = value;
    object
}

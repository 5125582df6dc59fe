//! Makes tar archives and OCI layouts, honest ones and others.

use std::fs;
use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};
use tar::{EntryType, Header};

use crate::host::{IdExtent, IdMap};
use crate::image::digest::Digest;

/// The id map of a caller without subordinate ids: every test runs as whoever runs it.
pub fn one_id() -> IdMap {
    let extent = IdExtent { inside: 0, outside: nix::unistd::geteuid().as_raw(), count: 1 };
    IdMap { uids: vec![extent], gids: vec![extent] }
}

/// A tar archive in the making; nothing is checked, since lying is what it is for.
#[derive(Default, Clone)]
pub struct Tar(pub Vec<u8>);

impl Tar {
    pub fn entry(self, kind: EntryType, name: &str, link: &str, content: &[u8]) -> Tar {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(1_000_000_000);
        header.set_size(content.len() as u64);
        let fields = header.as_gnu_mut().unwrap();
        fields.name[..name.len()].copy_from_slice(name.as_bytes());
        fields.linkname[..link.len()].copy_from_slice(link.as_bytes());
        self.header(header).content(content)
    }

    pub fn header(mut self, mut header: Header) -> Tar {
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self
    }

    fn content(mut self, content: &[u8]) -> Tar {
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub fn file(self, name: &str, content: &str) -> Tar {
        self.entry(EntryType::Regular, name, "", content.as_bytes())
    }

    pub fn dir(self, name: &str) -> Tar {
        self.entry(EntryType::Directory, name, "", b"")
    }

    pub fn symlink(self, name: &str, target: &str) -> Tar {
        self.entry(EntryType::Symlink, name, target, b"")
    }

    pub fn hard_link(self, name: &str, target: &str) -> Tar {
        self.entry(EntryType::Link, name, target, b"")
    }

    /// A PAX header for the entry that follows.
    pub fn pax(self, key: &str, value: &str) -> Tar {
        let rest = key.len() + value.len() + 3;
        let length =
            (1..).map(|digits| rest + digits).find(|length| length.to_string().len() + rest == *length).unwrap();
        self.entry(EntryType::XHeader, "pax", "", format!("{length} {key}={value}\n").as_bytes())
    }

    pub fn end(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        self.0
    }
}

pub fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

/// An OCI layout in a directory; the documents can be changed before they are written.
pub struct Layout<'a> {
    pub dir: &'a Path,
    pub manifests: Vec<Value>,
}

impl<'a> Layout<'a> {
    pub fn new(dir: &'a Path) -> Layout<'a> {
        fs::create_dir_all(dir.join("blobs/sha256")).unwrap();
        fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Layout { dir, manifests: Vec::new() }
    }

    pub fn blob(&self, media_type: &str, content: &[u8]) -> Value {
        let digest = Digest::of(content);
        fs::write(self.dir.join(digest.blob_path()), content).unwrap();
        json!({"mediaType": media_type, "digest": digest.to_string(), "size": content.len()})
    }

    /// An image for this machine with these layers, each gzipped.
    pub fn image(&self, layers: &[Vec<u8>]) -> Value {
        let diff_ids: Vec<String> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
        self.image_with(layers, &diff_ids, crate::host::architecture())
    }

    pub fn image_with(&self, layers: &[Vec<u8>], diff_ids: &[String], architecture: &str) -> Value {
        let gzipped = "application/vnd.oci.image.layer.v1.tar+gzip";
        let blobs: Vec<Value> = layers.iter().map(|layer| self.blob(gzipped, &gzip(layer))).collect();
        let config = json!({
            "architecture": architecture, "os": "linux", "config": {"Cmd": ["/bin/sh"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = self.blob("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": blobs});
        self.blob(media_type, manifest.to_string().as_bytes())
    }

    pub fn add(mut self, name: &str, mut descriptor: Value) -> Layout<'a> {
        descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": name});
        self.manifests.push(descriptor);
        self.finish();
        self
    }

    pub fn finish(&self) {
        let index = json!({"schemaVersion": 2, "manifests": self.manifests});
        fs::write(self.dir.join("index.json"), index.to_string()).unwrap();
    }
}

/// Every path below `dir` with kind, mode and content: equal snapshots mean that nothing was touched.
pub fn snapshot(dir: &Path) -> Vec<String> {
    use std::os::unix::fs::MetadataExt;
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(dir) else { return found };
    for entry in entries {
        let path = entry.unwrap().path();
        let stat = fs::symlink_metadata(&path).unwrap();
        let content = if stat.is_file() { Digest::of(&fs::read(&path).unwrap()).short() } else { String::new() };
        found.push(format!("{} {:o} {content}", path.display(), stat.mode()));
        if stat.is_dir() {
            found.extend(snapshot(&path));
        }
    }
    found.sort();
    found
}

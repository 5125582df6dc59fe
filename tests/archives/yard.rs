//! A place to show podling hostile things: a store with an honest image in it, and around it files that nothing may touch.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::image::{Files, Layer};
use super::snapshot;
use super::tar::{Entry, archive};

/// From a staged layer's root, `staging/load-XXXXXX/layer-N/tree` in the store, up to the yard.
pub const UP: &str = "../../../../../..";

/// A directory with a store and the canary: files that tell when somebody was there.
pub struct Yard {
    dir: tempfile::TempDir,
}

impl Yard {
    /// Makes the yard, with the image `honest` in its store.
    pub fn new() -> Yard {
        let yard = Yard { dir: tempfile::tempdir_in(scratch()).unwrap() };
        let canary = yard.canary();
        fs::create_dir_all(canary.join("dir")).unwrap();
        fs::write(canary.join("file"), "untouched").unwrap();
        fs::write(canary.join("dir/inside"), "untouched").unwrap();
        std::os::unix::fs::symlink("file", canary.join("link")).unwrap();
        let layer = Layer::gzip(&archive(&[Entry::dir("bin"), Entry::file("bin/true", "#!").mode(0o755)]));
        let loaded = yard.load(&Files::oci("honest:1", &[layer]).to_tar());
        assert!(loaded.status.success(), "{}", text(&loaded.stderr));
        yard
    }

    /// Where everything is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The files that nothing may touch.
    pub fn canary(&self) -> PathBuf {
        self.dir.path().join("canary")
    }

    /// The store.
    pub fn store(&self) -> PathBuf {
        self.dir.path().join("data/podling")
    }

    /// podling, with this yard's store.
    pub fn podling(&self) -> Command {
        self.through(&[])
    }

    /// podling run by another program, say `prlimit --as=…`.
    pub fn through(&self, wrapper: &[&str]) -> Command {
        let binary = binary();
        let mut words = wrapper.iter().map(OsStr::new).chain([binary.as_os_str()]);
        let mut command = Command::new(words.next().unwrap());
        command.args(words);
        command.env("XDG_DATA_HOME", self.dir.path().join("data"));
        command
    }

    /// `image load` of an archive with these bytes.
    pub fn load(&self, source: &[u8]) -> Output {
        let path = self.dir.path().join("source.tar");
        fs::write(&path, source).unwrap();
        self.load_path(&path)
    }

    /// `image load` of a file or directory.
    pub fn load_path(&self, path: &Path) -> Output {
        self.podling().args(["image", "load"]).arg(path).output().unwrap()
    }

    /// All that must stay the same while podling refuses something.
    pub fn snapshot(&self) -> Vec<String> {
        let skip = ["source.tar", "source", "data/podling/staging", "data/podling/lock"];
        snapshot::lines(self.dir.path(), &skip)
    }

    /// What is being made in the store, or was left there.
    pub fn staging(&self) -> Vec<PathBuf> {
        match fs::read_dir(self.store().join("staging")) {
            Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
            Err(_) => Vec::new(),
        }
    }

    /// Checks that `output` is a refusal with all of `fragments` in its message, and that nothing else came of it.
    pub fn assert_refused(&self, what: &str, output: &Output, before: &[String], fragments: &[&str]) {
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(125), "{what}: it was not refused: {message}");
        assert!(message.starts_with("podling: "), "{what}: {message}");
        assert!(!message.contains("panicked"), "{what}: {message}");
        for fragment in fragments {
            assert!(message.contains(fragment), "{what}: the message lacks {fragment:?}: {message}");
        }
        let unprintable = |c: char| c.is_control() && c != '\n';
        assert!(!message.contains(unprintable), "{what}: {message:?}");
        assert_eq!(self.snapshot(), before, "{what}: something was touched");
        assert_eq!(self.staging(), Vec::<PathBuf>::new(), "{what}: something was left behind");
    }

    /// Checks that the image `name` in `source` is loaded, and returns the tree of its only layer and what podling said.
    pub fn accept(&self, what: &str, source: &[u8], name: &str) -> (PathBuf, String) {
        let output = self.load(source);
        let message = text(&output.stderr);
        assert!(output.status.success(), "{what}: it was refused: {message}");
        assert_eq!(self.staging(), Vec::<PathBuf>::new(), "{what}: something was left behind");
        (self.trees(name).swap_remove(0), message)
    }

    /// The unpacked trees of an image, bottom layer first.
    pub fn trees(&self, image: &str) -> Vec<PathBuf> {
        let output = self.podling().args(["image", "inspect", image]).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        let images: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let layers = images[0]["layers"].as_array().unwrap();
        layers.iter().map(|layer| tree(Path::new(layer["unpacked"].as_str().unwrap()))).collect()
    }
}

/// The tree in a layer's directory.
pub fn tree(unpacked: &Path) -> PathBuf {
    if unpacked.ends_with("tree") { unpacked.to_owned() } else { unpacked.join("tree") }
}

/// Where tests keep their data: a file system with user attributes, which /tmp as a tmpfs may not have.
pub fn scratch() -> PathBuf {
    std::env::var_os("PODLING_TEST_SCRATCH").map_or_else(std::env::temp_dir, |dir| Path::new(&dir).join("data"))
}

/// The program under test.
pub fn binary() -> OsString {
    std::env::var_os("PODLING_TEST_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_podling").into())
}

/// Output as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

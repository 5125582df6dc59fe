//! A place to show podling hostile things: a store with an honest image in it, and around it files that nothing may touch.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::image::{Files, Layer};
use super::snapshot;
use super::tar::{Entry, archive};
use crate::support::running::output_of;
use crate::support::{Output, Place, binary};

/// From a staged layer's root, `staging/load-XXXXXX/layers/layer-N/tree` in the store, up to the yard.
pub const UP: &str = "../../../../../..";

/// A store, and beside it the canary: files that tell when somebody was there.
pub struct Yard {
    place: Place,
}

impl Yard {
    /// Makes the yard, with the image `honest:1` in its store.
    pub fn new() -> Yard {
        let yard = Yard { place: Place::with(&[]) };
        let canary = yard.canary();
        fs::create_dir_all(canary.join("dir")).unwrap();
        fs::write(canary.join("file"), "untouched").unwrap();
        fs::write(canary.join("dir/inside"), "untouched").unwrap();
        std::os::unix::fs::symlink("file", canary.join("link")).unwrap();
        let layer = Layer::gzip(&archive(&[Entry::dir("bin"), Entry::file("bin/true", "#!").mode(0o755)]));
        yard.load(&Files::oci("honest:1", &[layer]).to_tar()).expect_success();
        yard
    }

    /// Where everything is.
    pub fn path(&self) -> &Path {
        self.place.path()
    }

    /// The files that nothing may touch.
    pub fn canary(&self) -> PathBuf {
        self.path().join("canary")
    }

    /// podling, with this yard's store.
    pub fn podling(&self, args: &[&str]) -> Output {
        self.place.podling(args)
    }

    /// podling run by another program, say `prlimit --as=…`.
    pub fn podling_through(&self, wrapper: &[&str], args: &[&str]) -> Output {
        let mut command = Command::new(wrapper[0]);
        self.place.environment(&mut command).args(&wrapper[1..]).arg(binary()).args(args);
        output_of(&mut command)
    }

    /// Writes `source.tar`.
    pub fn write(&self, source: &[u8]) {
        fs::write(self.path().join("source.tar"), source).unwrap();
    }

    /// `image load` of an archive with these bytes.
    pub fn load(&self, source: &[u8]) -> Output {
        self.write(source);
        self.load_path(Path::new("source.tar"))
    }

    /// `image load` of a file or directory.
    pub fn load_path(&self, path: &Path) -> Output {
        self.podling(&["image", "load", path.to_str().unwrap()])
    }

    /// All that must stay the same while podling refuses something.
    pub fn snapshot(&self) -> Vec<String> {
        let skip = ["source.tar", "source", "podling/staging", "podling/lock"];
        snapshot::lines(self.path(), &skip)
    }

    /// All but podling's own directory: what it may never touch, whether it accepts something or not.
    pub fn outside(&self) -> Vec<String> {
        snapshot::lines(self.path(), &["source.tar", "source", "podling"])
    }

    /// The unpacked trees of an image, bottom layer first.
    pub fn trees(&self, image: &str) -> Vec<PathBuf> {
        trees(&self.place, image)
    }

    pub fn assert_nothing_staged(&self, what: &str) {
        let staging = self.place.data().join("staging");
        let left: Vec<_> = fs::read_dir(staging).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(left.is_empty(), "{what}: left in the staging directory: {left:?}");
    }

    /// Checks that `output` is a refusal with all of `fragments` in its message, and that nothing else came of it.
    #[track_caller]
    pub fn assert_refused(&self, what: &str, output: &Output, before: &[String], fragments: &[&str]) {
        let message = &output.stderr;
        assert_eq!(output.code, Some(125), "{what}: it was not refused: {output}");
        assert!(message.starts_with("podling: ") && !message.contains("panicked"), "{what}: {message}");
        for fragment in fragments {
            assert!(message.contains(fragment), "{what}: the message lacks {fragment:?}: {message}");
        }
        let unprintable = |c: char| c.is_control() && c != '\n';
        assert!(!message.contains(unprintable), "{what}: {message:?}");
        assert_eq!(self.snapshot(), before, "{what}: something was touched");
        self.assert_nothing_staged(what);
    }

    /// Checks that the image `name` in `source` is loaded, and returns the tree of its only layer and what podling said.
    #[track_caller]
    pub fn accept(&self, what: &str, source: &[u8], name: &str) -> (PathBuf, String) {
        let canary = snapshot::lines(&self.canary(), &[]);
        let output = self.load(source);
        assert_eq!(output.code, Some(0), "{what}: it was refused: {output}");
        assert_eq!(snapshot::lines(&self.canary(), &[]), canary, "{what}: the canary was touched");
        self.assert_nothing_staged(what);
        (trees(&self.place, name).swap_remove(0), output.stderr)
    }
}

/// The unpacked trees of an image, bottom layer first.
#[track_caller]
pub fn trees(place: &Place, image: &str) -> Vec<PathBuf> {
    let output = place.podling(&["image", "inspect", image]);
    let images: serde_json::Value = serde_json::from_str(&output.expect_success().stdout).unwrap();
    let layers = images[0]["layers"].as_array().unwrap();
    layers.iter().map(|layer| layer["unpacked"].as_str().unwrap().into()).collect()
}

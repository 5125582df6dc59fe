//! podling unpacks an image to the same tree as umoci does, whatever the image comes in.

mod archives;
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use archives::tree::{Tree, comparable, differences, in_namespace, of_directory, of_layers, unpack};
use support::running::output_of;
use support::{Feature, Place, archive, images, require, shell_with};

const IMAGES: [&str; 4] = ["busybox", "web", "db", "debian"];

/// Where umoci's tree is known to differ: image (or `*`), path, field, and why.
const KNOWN: &[(&str, &str, &str, &str)] = &[
    (
        "*",
        ".",
        "mtime",
        "no layer has an entry for the root: podling leaves the time of unpacking, umoci the year 1970",
    ),
    ("db", "./usr/local", "mtime", "no layer has an entry for this directory: both leave the time of unpacking"),
    ("db", "./usr/local/bin", "mtime", "no layer has an entry for this directory: both leave the time of unpacking"),
    (
        "db",
        "./var",
        "mtime",
        "the upper layer only implies this directory, so it is made anew in podling's tree of that layer",
    ),
    (
        "db",
        "./var/lib",
        "mtime",
        "the upper layer only implies this directory, so it is made anew in podling's tree of that layer",
    ),
    ("db", "./usr", "mtime", "umoci makes usr/local in it after it has set the time that the layer says"),
];

fn have_tools() -> bool {
    ["unshare", "skopeo", "umoci", "getfattr"].iter().all(|tool| require(Feature::Program(tool)))
        && require(Feature::UserNamespaces)
        && require(Feature::OrdinaryUser)
}

/// umoci's tree of a rootfs/ image. It reads no zstd, so skopeo packs the docker archive's plain layers as gzip.
fn umoci(place: &Path, image: &str) -> Tree {
    let bundle = unpack_with_umoci(place, image);
    let tree = of_directory(place, &bundle.join("rootfs"));
    output_of(in_namespace().args(["rm", "-rf"]).arg(&bundle)).expect_success();
    comparable(tree)
}

fn unpack_with_umoci(place: &Path, image: &str) -> PathBuf {
    let (layout, bundle) = (place.join("umoci-image"), place.join("umoci-bundle"));
    skopeo(&[&format!("docker-archive:{}", archive(image).display()), &format!("oci:{}:x", layout.display())]);
    unpack(&format!("{}:x", layout.display()), &bundle);
    bundle
}

/// podling's tree of what it has loaded as `name`.
fn podling(place: &Place, name: &str) -> Tree {
    comparable(of_layers(place.path(), &archives::yard::trees(place, name)))
}

#[track_caller]
fn assert_same(image: &str, what: &str, podling: &Tree, umoci: &Tree) {
    assert!(podling.len() > 100, "{image}: only {} files", podling.len());
    let known = |path: &str, field: &str| {
        KNOWN.iter().any(|(of, at, what, _)| (*of == "*" || *of == image) && *at == path && *what == field)
    };
    let different: Vec<_> =
        differences(podling, umoci).into_iter().filter(|(path, field, _)| !known(path, field)).collect();
    assert!(different.is_empty(), "{image}, {what}: podling's and umoci's trees differ: {different:#?}");
}

fn skopeo(words: &[&str]) {
    output_of(Command::new("skopeo").args(["--insecure-policy", "copy", "--quiet"]).args(words)).expect_success();
}

/// Loads `source`, compares and makes room for the next.
fn check(place: &Place, image: &str, source: &Path, umoci: &Tree) {
    let what = source.display().to_string();
    place.podling(&["image", "load", "--name", "it:1", &what]).expect_success();
    assert_same(image, &what, &podling(place, "it:1"), umoci);
    place.podling(&["image", "rm", "it:1"]).expect_success();
}

#[test]
fn images_of_rootfs_unpack_as_with_umoci() {
    if !have_tools() {
        return;
    }
    for image in IMAGES {
        let place = Place::with(&[]);
        let umoci = umoci(place.path(), image);
        check(&place, image, &images().join(image), &umoci);
        check(&place, image, &archive(image), &umoci);
    }
}

/// What a container sees of its image, by its own tools: names, types, modes, owners, times and targets, then contents.
const SEEN: &str = "LC_ALL=C; export LC_ALL; \
    find ./odd ./usr ./opt ./home -printf '%p|%y|%m|%U:%G|%T@|%l\\0' | sort -z | sha256sum; \
    find ./odd ./usr ./opt ./home -type f -print0 | sort -z | xargs -0 sha256sum -z | sha256sum";

#[test]
fn a_container_sees_the_tree_that_umoci_unpacks() {
    if !have_tools() {
        return;
    }
    let place = Place::with(&["debian"]);
    let bundle = unpack_with_umoci(place.path(), "debian");
    let script = format!("cd \"$0\" && {SEEN}");
    let theirs = output_of(in_namespace().args(["sh", "-c", &script]).arg(bundle.join("rootfs")));
    let ours = place.run(&shell_with("debian", &format!("cd / && {SEEN}"), "", ""));
    assert_eq!(ours.expect_success().said(), theirs.expect_success().stdout.trim_end());
    assert!(!ours.stderr.contains("find: "), "{ours}");
    output_of(in_namespace().args(["rm", "-rf"]).arg(&bundle)).expect_success();
}

#[test]
fn what_skopeo_makes_of_them_unpacks_the_same() {
    if !have_tools() {
        return;
    }
    let rows: [(&str, &str, &[&str]); 6] = [
        ("debian", "docker-archive:{}:docker.io/library/it:2", &[]),
        ("debian", "oci-archive:{}:it:2", &["--dest-compress-format", "zstd", "--dest-compress-level", "1"]),
        ("busybox", "oci-archive:{}:docker.io/library/it:2", &["--dest-compress-format", "gzip"]),
        ("busybox", "oci:{}:2", &["--dest-compress-format", "zstd:chunked"]),
        ("busybox", "oci:{}", &["--dest-compress-format", "zstd", "--dest-compress-level", "19"]),
        ("busybox", "oci:{}:it:2", &["--format", "v2s2"]),
    ];
    for image in ["busybox", "debian"] {
        let place = Place::with(&[]);
        let umoci = umoci(place.path(), image);
        let to = place.path().join("copy");
        let from = format!("docker-archive:{}", archive(image).display());
        for (_, transport, options) in rows.iter().filter(|row| row.0 == image) {
            skopeo(&[options, &[&from, &*transport.replace("{}", to.to_str().unwrap())][..]].concat());
            check(&place, image, &to, &umoci);
            let _ = std::fs::remove_file(&to);
            let _ = std::fs::remove_dir_all(&to);
        }
        // skopeo keeps the compression of an OCI layout's layers, so here all three kinds are in one archive.
        let layout = format!("oci:{}", images().join(image).display());
        skopeo(&[&layout, &format!("oci-archive:{}", to.display())]);
        check(&place, image, &to, &umoci);
        std::fs::remove_file(&to).unwrap();
    }
}

#[test]
fn what_podman_saves_unpacks_the_same() {
    if !have_tools() || !require(Feature::Program("podman")) || !require(Feature::SubordinateIds) {
        return;
    }
    let place = Place::with(&[]);
    let umoci = umoci(place.path(), "debian");
    // podman wants a short path for its runroot.
    let short = tempfile::tempdir_in("/tmp").unwrap();
    let podman = |words: &[&str]| {
        let mut command = Command::new("podman");
        command.arg("--root").arg(place.path().join("podman")).arg("--runroot").arg(short.path());
        output_of(command.args(["--storage-driver", "vfs"]).args(words))
    };
    podman(&["load", "--quiet", "--input", archive("debian").to_str().unwrap()]).expect_success();
    for format in ["docker-archive", "oci-archive"] {
        let saved = place.path().join(format);
        let output = ["save", "--quiet", "--format", format, "--output", saved.to_str().unwrap(), "debian"];
        podman(&output).expect_success();
        check(&place, "debian", &saved, &umoci);
    }
    output_of(in_namespace().args(["rm", "-rf"]).arg(place.path().join("podman"))).expect_success();
}

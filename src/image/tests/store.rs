//! The store: loading, finding, removing, and what a failure leaves behind.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::archives::{Layout, Tar, gzip, one_id, snapshot};
use crate::image::digest::Digest;
use crate::image::store::import::Change;
use crate::image::store::remove::SeveralNames;
use crate::image::{Found, InPlace, Store};

/// Makes a layout that must not load.
type Make = Box<dyn Fn(&Path)>;

struct Bench {
    base: tempfile::TempDir,
    store: Store,
}

impl Bench {
    fn new() -> Bench {
        let base = tempfile::tempdir().unwrap();
        let store = Store::open(base.path().join("store"), &one_id()).unwrap();
        Bench { base, store }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.base.path().join(name)
    }

    fn load(&self, path: &Path) -> crate::error::Result<Vec<crate::image::store::publish::Loaded>> {
        self.store.load(path, None, &InPlace)
    }

    fn snapshot(&self) -> Vec<String> {
        ["images", "layers", "staging"].iter().flat_map(|part| snapshot(&self.path("store").join(part))).collect()
    }
}

fn base_layer() -> Vec<u8> {
    Tar::default().dir("etc").file("etc/passwd", "root:x:0:0::/root:/bin/sh\n").file("bin/sh", "#!").end()
}

fn top_layer() -> Vec<u8> {
    Tar::default().file("etc/group", "adm:x:4:root\n").file(".wh.bin", "").end()
}

#[test]
fn a_layout_is_loaded_and_found() {
    let bench = Bench::new();
    let source = bench.path("source");
    let layout = Layout::new(&source);
    let image = layout.image(&[base_layer(), top_layer()]);
    layout.add("example.com/web:1", image);
    bench.load(&source).unwrap();
    let image = bench.store.resolve("example.com/web:1").unwrap();
    assert_eq!(image.layers.len(), 2);
    assert_eq!(image.accounts.users[0].name, "root");
    assert_eq!(image.accounts.groups[0].members, ["root"]);
    assert_eq!(fs::read_to_string(image.layers[0].join("bin/sh")).unwrap(), "#!");
    let again = bench.snapshot();
    bench.load(&source).unwrap();
    assert_eq!(bench.snapshot(), again);
    let pinned = format!("example.com/web@{}", image.digest);
    assert_eq!(bench.store.resolve(&pinned).unwrap().digest, image.digest);
    assert_eq!(bench.store.resolve(&image.digest).unwrap().digest, image.digest);
}

#[test]
fn an_absent_image_is_an_error_that_helps() {
    let bench = Bench::new();
    let source = bench.path("source");
    let layout = Layout::new(&source);
    let image = layout.image(&[base_layer()]);
    layout.add("docker.io/library/busybox:1.36", image);
    bench.load(&source).unwrap();
    let error = bench.store.resolve("busybox").unwrap_err();
    assert!(error.what().contains("docker.io/library/busybox:latest"), "{error}");
    assert!(error.what().contains("did you mean \"busybox:1.36\""), "{error}");
    assert!(error.hint().unwrap().contains("podling image load"), "{error}");
}

#[test]
fn a_failed_load_leaves_the_store_as_it_was() {
    let bench = Bench::new();
    let good = bench.path("good");
    let layout = Layout::new(&good);
    let image = layout.image(&[base_layer()]);
    layout.add("good:1", image);
    bench.load(&good).unwrap();
    let before = bench.snapshot();
    let diff_id = |layer: &[u8]| Digest::of(layer).to_string();
    let broken: Vec<(&str, &str, Make)> = vec![
        (
            "flipped",
            "corrupt",
            Box::new(|dir| {
                let layout = Layout::new(dir);
                let image = layout.image(&[base_layer(), top_layer()]);
                let blob = dir.join(Digest::of(&gzip(&top_layer())).blob_path());
                let mut content = fs::read(&blob).unwrap();
                let middle = content.len() / 2;
                content[middle] ^= 0x55;
                fs::write(&blob, content).unwrap();
                layout.add("bad:1", image);
            }),
        ),
        (
            "cut",
            "truncated",
            Box::new(|dir| {
                let layout = Layout::new(dir);
                let image = layout.image(&[top_layer()]);
                let blob = dir.join(Digest::of(&gzip(&top_layer())).blob_path());
                File::options().write(true).open(blob).unwrap().set_len(40).unwrap();
                layout.add("bad:1", image);
            }),
        ),
        (
            "other diffID",
            "diffID should be",
            Box::new(move |dir| {
                let layout = Layout::new(dir);
                let image = layout.image_with(&[top_layer()], &[diff_id(b"other")], crate::host::architecture());
                layout.add("bad:1", image);
            }),
        ),
        (
            "more diffIDs",
            "1 layers, but its config lists 2",
            Box::new(move |dir| {
                let layout = Layout::new(dir);
                let ids = [Digest::of(b"a").to_string(), Digest::of(b"b").to_string()];
                let image = layout.image_with(&[top_layer()], &ids, crate::host::architecture());
                layout.add("bad:1", image);
            }),
        ),
        (
            "no tar",
            "not a tar",
            Box::new(|dir| {
                let layout = Layout::new(dir);
                let image = layout.image(&[base_layer(), b"no tar at all".to_vec()]);
                layout.add("bad:1", image);
            }),
        ),
        (
            "evil",
            "entry \"../evil\"",
            Box::new(|dir| {
                let layout = Layout::new(dir);
                let image = layout.image(&[top_layer(), Tar::default().file("../evil", "x").end()]);
                layout.add("bad:1", image);
            }),
        ),
        (
            "missing",
            "missing",
            Box::new(|dir| {
                let layout = Layout::new(dir);
                let image = layout.image(&[top_layer()]);
                fs::remove_file(dir.join(Digest::of(&gzip(&top_layer())).blob_path())).unwrap();
                layout.add("bad:1", image);
            }),
        ),
        (
            "foreign",
            "only for windows/amd64",
            Box::new(|dir| {
                let layout = Layout::new(dir);
                let mut image = layout.image(&[top_layer()]);
                image["platform"] = json!({"os": "windows", "architecture": "amd64"});
                let index = json!({"schemaVersion": 2, "manifests": [image]}).to_string();
                let index = layout.blob("application/vnd.oci.image.index.v1+json", index.as_bytes());
                layout.add("bad:1", index);
            }),
        ),
    ];
    for (name, why, make) in broken {
        let dir = bench.path(name);
        make(&dir);
        let error = bench.load(&dir).expect_err(name);
        assert!(error.what().contains(why), "{name}: {error}");
        assert_eq!(bench.snapshot(), before, "{name}");
        assert!(bench.store.resolve("bad:1").is_err());
    }
    bench.store.resolve("good:1").unwrap();
}

#[test]
fn the_host_s_image_is_taken_out_of_nested_indexes() {
    let bench = Bench::new();
    let source = bench.path("source");
    let layout = Layout::new(&source);
    let host = crate::host::architecture();
    let mut ours = layout.image(&[base_layer()]);
    let digest = ours["digest"].as_str().unwrap().to_owned();
    ours["platform"] = json!({"os": "linux", "architecture": host});
    let mut theirs = layout.image_with(&[top_layer()], &[Digest::of(&top_layer()).to_string()], "s390x");
    theirs["platform"] = json!({"os": "linux", "architecture": "s390x"});
    let inner = json!({"schemaVersion": 2, "manifests": [theirs, ours]}).to_string();
    let inner = layout.blob("application/vnd.oci.image.index.v1+json", inner.as_bytes());
    let outer = json!({"schemaVersion": 2, "manifests": [inner]}).to_string();
    let outer = layout.blob("application/vnd.oci.image.index.v1+json", outer.as_bytes());
    let index_digest = outer["digest"].as_str().unwrap().to_owned();
    layout.add("multi:1", outer);
    bench.load(&source).unwrap();
    assert_eq!(bench.store.resolve("multi:1").unwrap().digest, digest);
    assert_eq!(bench.store.resolve(&format!("multi@{index_digest}")).unwrap().digest, digest);
}

#[test]
fn a_docker_archive_is_read_where_it_lies() {
    let bench = Bench::new();
    let (base, top) = (base_layer(), top_layer());
    let ids = [Digest::of(&base).to_string(), Digest::of(&top).to_string(), Digest::of(&base).to_string()];
    let host = crate::host::architecture();
    let config =
        json!({"architecture": host, "os": "linux", "rootfs": {"type": "layers", "diff_ids": ids}}).to_string();
    let name = format!("{}.json", Digest::of(config.as_bytes()).hex());
    let manifest =
        json!([{"Config": name, "RepoTags": ["a:1", "b:2"], "Layers": ["x/layer.tar", "y.tar", "z/layer.tar"]}]);
    let mut archive = tar::Builder::new(Vec::new());
    let mut add = |name: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, name, content).unwrap();
    };
    add("x/layer.tar", &base);
    add("y.tar", &gzip(&top));
    add(&name, config.as_bytes());
    add("manifest.json", manifest.to_string().as_bytes());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    archive.append_link(&mut header, "z/layer.tar", "../x/layer.tar").unwrap();
    let archive = archive.into_inner().unwrap();
    for (file, content) in [("plain.tar", archive.clone()), ("packed.tar.gz", gzip(&archive))] {
        fs::write(bench.path(file), content).unwrap();
        assert_eq!(bench.load(&bench.path(file)).unwrap().len(), 2, "{file}");
    }
    assert_eq!(bench.store.resolve("a:1").unwrap().digest, bench.store.resolve("b:2").unwrap().digest);
    assert_eq!(bench.store.resolve("a:1").unwrap().layers.len(), 3);
    fs::write(bench.path("cut.tar"), &archive[..archive.len() - 3000]).unwrap();
    assert!(bench.load(&bench.path("cut.tar")).is_err());
}

#[test]
fn two_may_load_the_same_image_at_once() {
    let bench = Bench::new();
    let source = bench.path("source");
    let layout = Layout::new(&source);
    let image = layout.image(&[base_layer(), top_layer()]);
    layout.add("web:1", image);
    std::thread::scope(|scope| {
        let loads: Vec<_> = (0..4).map(|_| scope.spawn(|| bench.load(&source))).collect();
        for load in loads {
            load.join().unwrap().unwrap();
        }
    });
    assert_eq!(bench.store.resolve("web:1").unwrap().layers.len(), 2);
    assert_eq!(bench.store.list().unwrap().len(), 1);
    assert_eq!(fs::read_dir(bench.path("store/staging")).unwrap().count(), 0);
}

#[test]
fn removal_respects_names_shared_layers_and_running_pods() {
    let bench = Bench::new();
    let source = bench.path("source");
    let layout = Layout::new(&source);
    let (one, two) = (layout.image(&[base_layer()]), layout.image(&[base_layer(), top_layer()]));
    layout.add("one:1", one.clone()).add("alias:1", one).add("two:1", two);
    bench.load(&source).unwrap();
    let image = bench.store.resolve("two:1").unwrap();
    let hold = bench.store.hold(&image).unwrap();
    let remove = |name: &str| bench.store.remove(name, SeveralNames::Refuse, &InPlace);
    assert!(remove("two:1").unwrap_err().what().contains("running pod"));
    drop(hold);
    assert!(remove("two:1").unwrap().deleted.is_some());
    assert!(bench.store.hold(&image).is_err());
    assert_eq!(bench.store.resolve("one:1").unwrap().layers.len(), 1);
    let id = bench.store.list().unwrap()[0].id.to_string();
    assert!(remove(&id).unwrap_err().what().contains("several names"));
    assert_eq!(remove("alias:1").unwrap().deleted, None);
    assert!(remove(&id[7..19]).unwrap().deleted.is_some());
    for part in ["images/blobs/sha256", "layers/one-id/sha256", "staging"] {
        assert_eq!(fs::read_dir(bench.path("store").join(part)).unwrap().count(), 0, "{part}");
    }
}

#[test]
fn orphans_are_swept_and_live_staging_is_not() {
    let bench = Bench::new();
    let staging = bench.path("store/staging");
    fs::create_dir_all(staging.join("load-dead/layer-1/tree/d")).unwrap();
    fs::write(staging.join("load-dead/blob-2"), "x").unwrap();
    let live = staging.join("load-live");
    fs::create_dir(&live).unwrap();
    let lock = File::open(&live).unwrap();
    lock.lock().unwrap();
    bench.store.sweep(&InPlace).unwrap();
    assert!(live.exists() && !staging.join("load-dead").exists());
}

#[test]
fn another_id_map_needs_its_own_tree() {
    let bench = Bench::new();
    let source = bench.path("source");
    let layout = Layout::new(&source);
    let image = layout.image(&[base_layer()]);
    layout.add("web:1", image);
    bench.load(&source).unwrap();
    fs::rename(bench.path("store/layers/one-id"), bench.path("elsewhere")).unwrap();
    assert!(matches!(bench.store.find("web:1").unwrap(), Found::NotUnpacked(_)));
    assert!(bench.store.resolve("web:1").unwrap_err().what().contains("not unpacked"));
    let image = bench.store.resolve_or_unpack("web:1", &InPlace).unwrap();
    assert!(image.layers[0].join("bin/sh").exists());
}

#[test]
fn a_root_file_system_becomes_an_image() {
    let bench = Bench::new();
    let root = bench.path("root");
    fs::create_dir_all(root.join("bin")).unwrap();
    fs::write(root.join("bin/sh"), "#!").unwrap();
    fs::hard_link(root.join("bin/sh"), root.join("bin/ash")).unwrap();
    std::os::unix::fs::symlink("/bin/sh", root.join("link")).unwrap();
    let changes = [Change::parse("CMD [\"/bin/sh\"]").unwrap(), Change::parse("USER 33").unwrap()];
    let long = root.join("n".repeat(150));
    fs::write(&long, "long").unwrap();
    bench.store.import(&root, "made:1", &changes, &InPlace).unwrap();
    let image = bench.store.resolve("made:1").unwrap();
    let config = image.config.config().clone().unwrap();
    assert_eq!(
        (config.cmd().clone().unwrap(), config.user().clone().unwrap()),
        (vec!["/bin/sh".to_owned()], "33".to_owned())
    );
    use std::os::unix::fs::MetadataExt;
    let tree = &image.layers[0];
    assert_eq!(fs::metadata(tree.join("bin/sh")).unwrap().ino(), fs::metadata(tree.join("bin/ash")).unwrap().ino());
    assert_eq!(fs::read_to_string(tree.join("n".repeat(150))).unwrap(), "long");
    let archive = base_layer();
    fs::write(bench.path("root.tar.gz"), gzip(&archive)).unwrap();
    bench.store.import(&bench.path("root.tar.gz"), "tar:1", &[], &InPlace).unwrap();
    assert!(bench.store.resolve("tar:1").unwrap().layers[0].join("bin/sh").exists());
    let before = bench.snapshot();
    fs::write(bench.path("cut.tar"), &archive[..archive.len() - 1024]).unwrap();
    assert!(
        bench.store.import(&bench.path("cut.tar"), "cut:1", &[], &InPlace).unwrap_err().what().contains("truncated")
    );
    assert_eq!(bench.snapshot(), before);
}

//! Archives and layouts whose documents mean harm or make no sense, and images that do so once they are in the store.

mod archives;
mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use archives::image::{Files, Layer, blob_path, config, with};
use archives::tar::{Entry, archive, without_end};
use archives::yard::{UP, Yard};
use serde_json::{Value, json};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn layer() -> Layer {
    Layer::gzip(&archive(&[Entry::dir("etc"), Entry::file("etc/hostname", "x")]))
}

fn refused(yard: &Yard, what: &str, source: &[u8], fragments: &[&str]) {
    let before = yard.snapshot();
    let output = yard.load(source);
    yard.assert_refused(what, &output, &before, fragments);
}

fn refused_dir(yard: &Yard, what: &str, files: &Files, fragments: &[&str]) {
    let before = yard.snapshot();
    let dir = yard.path().join("source");
    let _ = fs::remove_dir_all(&dir);
    files.write_to(&dir);
    let output = yard.load_path(&dir);
    yard.assert_refused(what, &output, &before, fragments);
}

#[test]
fn sources_that_are_no_images_are_refused() {
    let yard = Yard::new();
    refused(&yard, "nothing", b"", &["source.tar", "not a tar archive"]);
    refused(&yard, "text", &b"no archive\n".repeat(200), &["source.tar", "not a tar archive"]);
    refused(&yard, "an empty archive", &archive(&[]), &["neither", "index.json", "manifest.json"]);
    refused(&yard, "a root file system", &archive(&[Entry::file("etc/passwd", "x")]), &["podling image import"]);
    let before = yard.snapshot();
    for path in ["/dev/null", "/dev/zero", "/proc/self/mem", "/nowhere/at/all"] {
        let output = yard.load_path(Path::new(path));
        yard.assert_refused(path, &output, &before, &[path]);
    }
    let fifo = yard.path().join("source");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let output = yard.load_path(&fifo);
    yard.assert_refused("a FIFO", &output, &before, &["not a regular file"]);
}

#[test]
fn manifest_json_is_not_believed() {
    let yard = Yard::new();
    let good = Files::docker("hostile:1", &[layer()]);
    let members = |manifest: Entry| {
        let others = good.0.iter().filter(|(path, _)| *path != "manifest.json");
        let others = others.map(|(path, content)| Entry::file(path, content));
        archive(&others.chain([manifest]).collect::<Vec<_>>())
    };
    refused(&yard, "a directory", &members(Entry::dir("manifest.json")), &["manifest.json"]);
    refused(&yard, "a loop", &members(Entry::symlink("manifest.json", "manifest.json")), &["manifest.json", "loop"]);
    refused(&yard, "a link out", &members(Entry::symlink("manifest.json", "/etc/passwd")), &["manifest.json"]);
    refused(&yard, "huge", &members(Entry::file("manifest.json", vec![b' '; 5 << 20])), &["manifest.json", "bytes"]);
    for (what, content) in [
        ("not JSON", "etc/passwd"),
        ("cut", "[{\"Config\": "),
        ("an object", "{}"),
        ("without layers", "[{\"Config\": \"x\"}]"),
        ("of numbers", "[1, 2]"),
        ("null", "null"),
        ("empty", ""),
    ] {
        refused(&yard, what, &members(Entry::file("manifest.json", content)), &["manifest.json"]);
    }
    refused(&yard, "no image", &members(Entry::file("manifest.json", "[]")), &["no image"]);
    let nested = "[".repeat(100_000);
    refused(&yard, "deep", &members(Entry::file("manifest.json", nested)), &["manifest.json"]);
}

#[test]
fn docker_archives_name_only_their_own_members() {
    let yard = Yard::new();
    let canary = yard.canary();
    fs::write(canary.join("config.json"), config(&[layer()]).to_string()).unwrap();
    fs::write(canary.join("layer.tar"), &layer().blob).unwrap();
    let good = Files::docker("hostile:1", &[layer()]);
    let absolute = |name: &str| canary.join(name).display().to_string();
    for (what, key, value) in [
        ("absolute config", "Config", json!(absolute("config.json"))),
        ("climbing config", "Config", json!("../canary/config.json")),
        ("absolute layer", "Layers", json!([absolute("layer.tar")])),
        ("climbing layer", "Layers", json!(["../canary/layer.tar"])),
        ("layer climbing in the middle", "Layers", json!(["blobs/../../canary/layer.tar"])),
        ("missing layer", "Layers", json!(["no.tar"])),
        ("empty layer name", "Layers", json!([""])),
        ("NUL in a layer name", "Layers", json!(["a\0b"])),
        ("an escape in a layer name", "Layers", json!(["\u{1b}[31m"])),
        ("no layers", "Layers", json!([])),
        ("config that is a layer", "Config", json!("../canary/layer.tar")),
        ("bad tag", "RepoTags", json!(["../../x"])),
        ("tag with an escape", "RepoTags", json!(["x\u{1b}[31m"])),
    ] {
        let files = good.clone().edit("manifest.json", |manifest| manifest[0][key] = value);
        refused(&yard, what, &files.to_tar(), &["podling"]);
        refused_dir(&yard, what, &files, &["podling"]);
    }
    let mut swapped = good.clone();
    let path = good.0.keys().find(|path| path.ends_with(".json") && *path != "manifest.json").unwrap();
    swapped.0.insert(path.clone(), with(config(&[layer()]), "author", json!("another")).to_string().into_bytes());
    refused(&yard, "a config under another's digest", &swapped.to_tar(), &["config", "corrupt"]);
}

/// Build systems write layouts whose blobs are symlinks into their caches; digests vouch for what those lead to.
#[test]
fn a_layout_directory_may_have_symlinks() {
    let yard = Yard::new();
    let files = Files::oci("hostile:1", &[layer()]);
    let (dir, cache) = (yard.path().join("source"), yard.path().join("cache"));
    files.write_to(&dir);
    fs::create_dir(&cache).unwrap();
    for path in files.0.keys().filter(|path| path.starts_with("blobs/")) {
        let file = cache.join(path.rsplit('/').next().unwrap());
        fs::rename(dir.join(path), &file).unwrap();
        symlink(&file, dir.join(path)).unwrap();
    }
    yard.load_path(&dir).expect_success();
    let blob = cache.join(layer().digest.trim_start_matches("sha256:"));
    fs::write(&blob, Layer::gzip(&archive(&[Entry::file("another", "")])).blob).unwrap();
    yard.podling(&["image", "rm", "hostile:1"]).expect_success();
    let before = yard.snapshot();
    yard.assert_refused("another blob behind the symlink", &yard.load_path(&dir), &before, &[&layer().digest]);
}

#[test]
fn member_names_that_climb_are_refused() {
    let yard = Yard::new();
    let good = Files::docker("hostile:1", &[layer()]);
    for name in [format!("{UP}/canary/new"), "/etc/passwd".into(), "a/../../b".into(), "..".into()] {
        let members = [good.entries(), vec![Entry::file(&name, "x")]].concat();
        refused(&yard, &name, &archive(&members), &[&format!("{name:?}")]);
    }
    for link in [Entry::symlink("manifest.json", "../canary/file"), Entry::hard_link("manifest.json", "/etc/passwd")] {
        refused(&yard, "a link out", &archive(&[link]), &["manifest.json"]);
    }
}

/// As with tar itself, the last of two members of one name counts; the digests are checked against what is used.
#[test]
fn of_two_members_of_one_name_the_last_counts() {
    let yard = Yard::new();
    let good = Files::docker("hostile:1", &[layer()]);
    let path = good.0.keys().find(|path| path.ends_with(".tar")).unwrap();
    let other = Entry::file(path, Layer::gzip(&archive(&[Entry::file("other", "x")])).blob);
    let after = [good.entries(), vec![other.clone()]].concat();
    refused(&yard, "a second layer", &archive(&after), &["diffID"]);
    let before = [vec![other], good.entries()].concat();
    let (tree, _) = yard.accept("a first layer", &archive(&before), "hostile:1");
    assert!(tree.join("etc/hostname").exists());
}

#[test]
fn a_truncated_archive_is_refused_and_the_member_named() {
    let yard = Yard::new();
    let whole = without_end(&Files::docker("hostile:1", &[layer()]).entries());
    for cut in [100, 512, 700, whole.len() / 2, whole.len() - 513] {
        let what = format!("cut to {cut}");
        refused(&yard, &what, &whole[..cut], &["source.tar"]);
    }
    let gzipped = archives::image::gzip(&whole);
    refused(&yard, "a truncated gzip archive", &gzipped[..gzipped.len() - 9], &["gzip", "truncated"]);
}

#[test]
fn digests_are_no_paths() {
    let yard = Yard::new();
    let good = Files::oci("hostile:1", &[layer()]);
    let hex = "0".repeat(64);
    for bad in [
        format!("sha256:{UP}/canary/file"),
        "sha256:../../x".into(),
        "../../../canary/file".into(),
        "sha256:".into(),
        "sha256:0".into(),
        format!("sha256:{}", hex.to_uppercase().replace('0', "A")),
        format!("sha256:{hex}/../../x"),
        format!("sha256:{hex}\0"),
        format!("SHA256:{hex}"),
        format!("md5:{hex}"),
        format!("sha512:{hex}{hex}"),
        String::new(),
    ] {
        let what = format!("digest {bad:?}");
        let index = good.clone().edit("index.json", |index| index["manifests"][0]["digest"] = json!(bad));
        refused(&yard, &what, &index.to_tar(), &["digest"]);
        refused_dir(&yard, &what, &index, &["digest"]);
        let mut ids = config(&[layer()]);
        ids["rootfs"]["diff_ids"][0] = json!(bad);
        refused(&yard, &what, &Files::oci_with("hostile:1", &[layer()], &ids).to_tar(), &["digest"]);
    }
    let gone =
        good.clone().edit("index.json", |index| index["manifests"][0]["digest"] = json!(format!("sha256:{hex}")));
    refused(&yard, "a blob that is not there", &gone.to_tar(), &[&hex, "missing"]);
}

#[test]
fn indexes_are_not_believed() {
    let yard = Yard::new();
    let good = Files::oci("hostile:1", &[layer()]);
    for (what, content) in [
        ("not JSON", "x".to_owned()),
        ("empty", String::new()),
        ("without manifests", "{\"schemaVersion\": 2}".into()),
        ("deep", "[".repeat(100_000)),
    ] {
        let mut files = good.clone();
        files.0.insert("index.json".into(), content.into_bytes());
        refused(&yard, what, &files.to_tar(), &["index.json"]);
    }
    let mut empty = good.clone();
    empty.set_index(json!([]));
    refused(&yard, "no image", &empty.to_tar(), &["no image"]);

    // An index cannot contain its own digest, so a cycle shows as a wrong digest, or as a chain without an end.
    let mut cycle = good.clone();
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
        {"mediaType": INDEX, "digest": format!("sha256:{}", "1".repeat(64)), "size": 100}]});
    let mut descriptor = cycle.add_blob(INDEX, index.to_string().as_bytes());
    let content = cycle.0[&blob_path(descriptor["digest"].as_str().unwrap())].clone();
    cycle.0.insert(format!("blobs/sha256/{}", "1".repeat(64)), content[..100.min(content.len())].to_vec());
    cycle.set_index(json!([descriptor]));
    refused(&yard, "a cycle", &cycle.to_tar(), &["index", "corrupt"]);
    let mut chain = Files::default();
    descriptor = chain.add_manifest(&[layer()], &config(&[layer()]));
    for _ in 0..20 {
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [descriptor]});
        descriptor = chain.add_blob(INDEX, index.to_string().as_bytes());
    }
    chain.set_index(json!([descriptor]));
    refused(&yard, "a chain", &chain.to_tar(), &["nested"]);

    for media_type in ["application/vnd.cncf.helm.config.v1+json", "text/html"] {
        let mut files = Files::default();
        let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": [],
            "config": files.add_blob(media_type, b"{}")});
        let manifest = files.add_blob("application/vnd.oci.image.manifest.v1+json", manifest.to_string().as_bytes());
        files.set_index(json!([manifest]));
        refused(&yard, media_type, &files.to_tar(), &["no container image", media_type]);
    }
    for (key, value) in [("os", json!("windows")), ("rootfs", Value::Null), ("rootfs", json!([])), ("os", json!(7))] {
        let files = Files::oci_with("hostile:1", &[layer()], &with(config(&[layer()]), key, value.clone()));
        refused(&yard, &format!("config with {key} {value}"), &files.to_tar(), &["podling"]);
    }
}

/// One bad image among good ones: none of them is loaded.
#[test]
fn an_archive_is_loaded_as_a_whole_or_not_at_all() {
    let yard = Yard::new();
    let mut files = Files::default();
    let name = |name: &str| json!({"org.opencontainers.image.ref.name": name});
    let good = files.add_manifest(&[layer()], &config(&[layer()]));
    let bad = Layer::gzip(&archive(&[Entry::file("../out", "x")]));
    let bad = files.add_manifest(std::slice::from_ref(&bad), &config(std::slice::from_ref(&bad)));
    files.set_index(json!([with(good, "annotations", name("first:1")), with(bad, "annotations", name("second:1"))]));
    refused(&yard, "the second of two", &files.to_tar(), &["\"../out\""]);
}

/// `/etc/passwd` is read before each start, so an image cannot make that hang, eat memory or read the host's.
#[test]
fn account_files_are_not_trusted() {
    let yard = Yard::new();
    let host = fs::read_to_string("/etc/passwd").unwrap();
    let user = host.lines().filter_map(|line| line.split(':').next()).find(|name| *name != "root").unwrap().to_owned();
    let huge = "#".repeat(2 << 20);
    let root: &[Entry] = &[Entry::dir("etc"), Entry::file("bin/true", "#!").mode(0o755)];
    for (what, passwd, fragments) in [
        ("a FIFO", Entry::new(b'6', "etc/passwd"), vec![user.as_str()]),
        ("an absolute symlink", Entry::symlink("etc/passwd", "/proc/self/root/etc/passwd"), vec![&user]),
        ("a climbing symlink", Entry::symlink("etc/passwd", "../../../../../../../../../../etc/passwd"), vec![&user]),
        ("a loop", Entry::symlink("etc/passwd", "passwd"), vec![&user]),
        ("a directory", Entry::dir("etc/passwd"), vec![&user]),
        ("huge", Entry::file("etc/passwd", &huge), vec!["/etc/passwd", "larger"]),
    ] {
        let layer = Layer::gzip(&archive(&[root, &[passwd]].concat()));
        let image = with(config(std::slice::from_ref(&layer)), "config", json!({"Cmd": ["/bin/true"], "User": user}));
        yard.accept(what, &Files::oci_with("hostile:1", &[layer], &image).to_tar(), "hostile:1");
        let pod = yard.path().join("source");
        let _ = fs::remove_dir_all(&pod);
        fs::write(
            &pod,
            "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: a, image: 'hostile:1'}]}}",
        )
        .unwrap();
        yard.podling(&["plan", "source"]).expect_refusal(&fragments);
        fs::remove_file(&pod).unwrap();
    }
}

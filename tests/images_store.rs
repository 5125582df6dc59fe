//! The store: what other tools see in it, who may use it at once, and what a podling leaves that is killed over it.

mod archives;
mod support;

use std::fs;
use std::process::{Command, Stdio};

use archives::image::{Files, Layer, config, with};
use archives::tar::{Entry, archive as tar};
use archives::yard::trees;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use support::running::output_of;
use support::store::{assert_nothing_staged, inspect, names, parts};
use support::{Feature, Place, Running, archive, images, require, shell};

fn layer(name: &str, content: &str) -> Layer {
    Layer::gzip(&tar(&[Entry::dir("bin"), Entry::file(format!("bin/{name}"), content).mode(0o755)]))
}

/// Writes the archive and loads it.
fn load(place: &Place, files: &Files) -> support::Output {
    fs::write(place.path().join("source.tar"), files.to_tar()).unwrap();
    place.podling(&["image", "load", "source.tar"])
}

#[test]
fn skopeo_reads_the_store_as_it_is() {
    if !require(Feature::Program("skopeo")) {
        return;
    }
    let place = Place::with(&["busybox", "debian"]);
    for image in ["busybox", "debian"] {
        let name = format!("oci:{}:docker.io/library/{image}:latest", place.data().join("images").display());
        let seen = output_of(Command::new("skopeo").args(["inspect", &name]));
        let seen: Value = serde_json::from_str(&seen.expect_success().stdout).unwrap();
        let ours = inspect(&place, image);
        let digests = |layers: &Value, key: &str| {
            layers
                .as_array()
                .unwrap()
                .iter()
                .map(|layer| if key.is_empty() { layer } else { &layer[key] }.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(seen["Digest"], ours["digest"]);
        assert_eq!(digests(&seen["Layers"], ""), digests(&ours["layers"], "digest"));
        // A copy reads and checks every blob.
        let copy = format!("dir:{}", place.path().join(image).display());
        let copied = output_of(Command::new("skopeo").args(["--insecure-policy", "copy", "--quiet", &name, &copy]));
        copied.expect_success();
    }
}

#[test]
fn twenty_podlings_load_one_image_at_once() {
    let place = Place::with(&[]);
    let source = archive("debian").display().to_string();
    let all: Vec<Running> =
        (0..20).map(|_| Running::spawn(&place, place.command(&["image", "load", &source]))).collect();
    for one in all {
        one.finish().expect_success();
    }
    assert_eq!(names(&place), ["debian:latest"]);
    assert_nothing_staged(&place);
    let layers = inspect(&place, "debian")["layers"].as_array().unwrap().len();
    assert_eq!(parts(&place), (layers, layers + 2), "layers and blobs, with a manifest and a config");
}

#[test]
fn a_killed_load_leaves_nothing_that_the_next_does_not_clear() {
    let place = Place::with(&["busybox"]);
    let index = || fs::read_to_string(place.data().join("images/index.json")).unwrap();
    let before = (index(), parts(&place));
    let source = images().join("debian").display().to_string();
    let begun = std::time::Instant::now();
    Running::spawn(&place, place.command(&["image", "load", &source])).finish().expect_success();
    let whole = begun.elapsed();
    place.podling(&["image", "rm", "debian"]).expect_success();
    assert_eq!((index(), parts(&place)), before, "image rm leaves something");
    for step in 0..16u32 {
        let load = Running::spawn(&place, place.command(&["image", "load", &source]));
        std::thread::sleep(whole * step / 15);
        load.signal(Signal::SIGKILL);
        load.finish();
        match names(&place).as_slice() {
            [_] => assert_eq!(index(), before.0, "killed after {step}/15 of its time"),
            [_, _] => drop(place.podling(&["image", "rm", "debian"]).expect_success().code),
            other => panic!("{other:?}"),
        }
    }
    place.podling(&["image", "load", &source]).expect_success();
    assert_nothing_staged(&place);
    let layers = inspect(&place, "debian")["layers"].as_array().unwrap().len();
    assert_eq!(parts(&place), (before.1.0 + layers, before.1.1 + layers + 2));
    let said = place.run(&support::shell_with("debian", "id -un; cat /odd/changes/emptied/newest", "", ""));
    assert_eq!(said.expect_success().said(), "root\nnewest");
}

#[test]
fn images_are_listed_inspected_and_removed() {
    let place = Place::with(&[]);
    let (shared, own) = (layer("shared", "s"), layer("own", "o"));
    let mut files = Files::default();
    let named = |name: &str| json!({"org.opencontainers.image.ref.name": name});
    let small = std::slice::from_ref(&shared);
    let large = [shared.clone(), own];
    let small = with(files.add_manifest(small, &config(small)), "annotations", named("small:1"));
    let large = files.add_manifest(&large, &config(&large));
    let (large, again) = (
        with(large.clone(), "annotations", named("example.org/team/large:2")),
        with(large, "annotations", named("large:again")),
    );
    files.set_index(json!([small, large, again]));
    let said = load(&place, &files).expect_success().stdout.clone();
    assert_eq!(said, "loaded small:1\nloaded example.org/team/large:2\nloaded large:again\n");
    assert_eq!(names(&place), ["example.org/team/large:2", "large:again", "small:1"]);
    assert_eq!(parts(&place), (2, 6));
    let seen = inspect(&place, "large:again");
    assert_eq!(seen["names"], json!(["example.org/team/large:2", "docker.io/library/large:again"]));
    assert_eq!(seen["config"]["Cmd"], json!(["/bin/true"]));

    // By its id, or the beginning of it, an image with two names is only removed as a whole.
    let id = seen["id"].as_str().unwrap().trim_start_matches("sha256:")[..12].to_owned();
    place.podling(&["image", "rm", &id]).expect_refusal(&["large:again", "--force"]);
    place.podling(&["image", "rm", "large:again"]).expect_success();
    assert_eq!(parts(&place), (2, 6));
    place.podling(&["image", "rm", &id]).expect_success();
    assert_eq!(names(&place), ["small:1"]);
    assert_eq!(parts(&place), (1, 3), "the shared layer stays, and nothing else");
    place.podling(&["image", "rm", "large"]).expect_refusal(&["\"large\"", "not in the store"]);
    place.podling(&["image", "rm", "small:1"]).expect_success();
    assert_eq!((names(&place), parts(&place)), (vec![], (0, 0)));
}

#[test]
fn an_image_in_use_stays() {
    let place = Place::with(&["busybox"]);
    let pod = place.start(&shell("trap 'exit 0' TERM; echo ready; while true; do sleep 0.1; done"));
    pod.wait_for("ready");
    place.podling(&["image", "rm", "busybox"]).expect_refusal(&["busybox", "used by a running pod"]);
    // Its name may go to another image; its layers are kept for the pod.
    load(&place, &Files::oci("busybox:latest", &[layer("other", "o")])).expect_success();
    let kept = parts(&place);
    assert!(kept.0 >= 2, "{kept:?}");
    pod.stop();
    place.podling(&["image", "rm", "busybox"]).expect_success();
    place.assert_nothing_left();
}

#[test]
fn a_root_file_system_is_imported() {
    let place = Place::with(&["busybox"]);
    let root = place.path().join("root");
    let busybox = place.path().join("busybox");
    // A program to run: the one of rootfs/'s image.
    let tree = &trees(&place, "busybox")[0];
    fs::copy(tree.join("bin/busybox"), &busybox).unwrap();
    fs::create_dir_all(root.join("bin")).unwrap();
    fs::create_dir_all(root.join("tmp")).unwrap();
    fs::copy(&busybox, root.join("bin/busybox")).unwrap();
    for name in ["sh", "cat"] {
        fs::hard_link(root.join("bin/busybox"), root.join("bin").join(name)).unwrap();
    }
    fs::write(root.join("hello"), "from a directory\n").unwrap();
    let changes = ["--change", "CMD [\"/bin/cat\", \"/hello\"]", "--change", "ENV COLOUR=blue"];
    place.podling(&[&["image", "import", "root", "mine"][..], &changes].concat()).expect_success();
    assert_eq!(inspect(&place, "mine")["config"]["Cmd"], json!(["/bin/cat", "/hello"]));
    let pod = "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {restartPolicy: Never, containers: [{name: c, image: NAME}]}}";
    assert_eq!(place.run(&pod.replace("NAME", "mine")).expect_success().said(), "from a directory");

    fs::write(root.join("hello"), "from an archive\n").unwrap();
    for (name, option) in [("plain.tar", "-c"), ("gzip.tar.gz", "-cz")] {
        output_of(Command::new("tar").current_dir(&root).args([option, "-f"]).arg(place.path().join(name)).arg("."))
            .expect_success();
        place.podling(&[&["image", "import", name, "mine:2"][..], &changes].concat()).expect_success();
        assert_eq!(place.run(&pod.replace("NAME", "mine:2")).expect_success().said(), "from an archive");
    }
    let before = (names(&place), parts(&place));
    let plain = fs::read(place.path().join("plain.tar")).unwrap();
    fs::write(place.path().join("cut.tar"), &plain[..plain.len() / 1024 * 512]).unwrap();
    fs::create_dir(place.path().join("empty")).unwrap();
    fs::write(place.path().join("empty.tar"), [0u8; 1024]).unwrap();
    for (source, why) in [("cut.tar", "truncated"), ("empty.tar", "nothing in it"), ("no.tar", "cannot open")] {
        place.podling(&["image", "import", source, "bad"]).expect_refusal(&[source, why]);
    }
    assert_eq!((names(&place), parts(&place)), before);
    assert_nothing_staged(&place);
}

/// A multi-platform index with an image for each of `platforms`, `os/architecture[/variant]`.
fn index_of(platforms: &[&str]) -> Files {
    let mut files = Files::default();
    let mut images = vec![];
    for platform in platforms {
        let layers = [layer("platform", platform)];
        let mut words = platform.split('/');
        let (os, architecture, variant) = (words.next(), words.next(), words.next());
        let mut image_config = config(&layers);
        image_config["architecture"] = json!(architecture);
        image_config["os"] = json!(os);
        let mut says = json!({"os": os, "architecture": architecture});
        if let Some(variant) = variant {
            says["variant"] = json!(variant);
        }
        images.push(with(files.add_manifest(&layers, &image_config), "platform", says));
    }
    let media_type = "application/vnd.oci.image.index.v1+json";
    let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": images});
    let index = files.add_blob(media_type, index.to_string().as_bytes());
    files.set_index(json!([with(index, "annotations", json!({"org.opencontainers.image.ref.name": "multi:1"}))]));
    files
}

#[test]
fn of_several_platforms_the_hosts_is_chosen() {
    let place = Place::with(&[]);
    let host = config(&[])["architecture"].as_str().unwrap().to_owned();
    let ours = format!("linux/{host}");
    let windows = format!("windows/{host}");
    load(&place, &index_of(&[&windows, "linux/s390x", &ours, "linux/arm/v7"])).expect_success();
    let seen = inspect(&place, "multi:1");
    assert_eq!(seen["platform"].as_str().map(|p| p.starts_with(&ours)), Some(true), "{seen}");
    let tree = &trees(&place, "multi:1")[0];
    assert_eq!(fs::read_to_string(tree.join("bin/platform")).unwrap(), ours);

    let none = load(&place, &index_of(&["linux/s390x", "linux/mips64le", "windows/amd64"]));
    none.expect_refusal(&[&ours, "linux/s390x", "linux/mips64le", "windows/amd64"]);
}

#[test]
fn short_names_mean_what_they_mean_to_docker() {
    let place = Place::with(&[]);
    for (given, full, others) in [
        (
            "plain",
            "docker.io/library/plain:latest",
            &["plain:latest", "library/plain", "docker.io/plain", "index.docker.io/library/plain:latest"][..],
        ),
        ("tagged:1.2-rc_3", "docker.io/library/tagged:1.2-rc_3", &["docker.io/tagged:1.2-rc_3"]),
        ("user/x", "docker.io/user/x:latest", &["user/x:latest", "docker.io/user/x"]),
        ("localhost/x:1", "localhost/x:1", &[]),
        ("localhost:5000/a/b", "localhost:5000/a/b:latest", &["localhost:5000/a/b:latest"]),
        ("quay.io/a/b/c:v1", "quay.io/a/b/c:v1", &[]),
    ] {
        fs::write(place.path().join("source.tar"), Files::oci(full, &[layer("n", given)]).to_tar()).unwrap();
        place.podling(&["image", "load", "--name", given, "source.tar"]).expect_success();
        for name in others.iter().chain([&given, &full]) {
            assert_eq!(inspect(&place, name)["names"], json!([full]), "{name}");
        }
    }
    for bad in ["UPPER", "a//b", "a:", ":1", "http://x/y", "a b", "../x", "-a", "a@sha256:12"] {
        place.podling(&["image", "load", "--name", bad, "source.tar"]).expect_code(125);
    }
    place.podling(&["image", "inspect", "plian"]).expect_refusal(&["did you mean \"plain:latest\"?"]);
}

/// The same store is used with subordinate ids and without, say before and after `uidmap` is installed.
#[test]
fn one_store_serves_two_id_maps() {
    if !require(Feature::SubordinateIds) {
        return;
    }
    let place = Place::with(&["busybox"]);
    let hide = "mount --bind /dev/null /etc/subuid && mount --bind /dev/null /etc/subgid && exec setpriv --inh-caps=-all --ambient-caps=-all \"$@\"";
    let without = |words: &[&str]| {
        let mut command = Command::new("unshare");
        command
            .args(["--user", "--map-current-user", "--keep-caps", "--mount", "sh", "-c", hide, "sh"])
            .arg(support::binary());
        place.environment(&mut command).args(words).stdin(Stdio::null());
        output_of(&mut command)
    };
    place.write(&shell("stat -c %u:%g /bin/busybox; id -u"));
    assert_eq!(without(&["run", "pod.yaml"]).expect_success().said(), "0:0\n0");
    let maps = || fs::read_dir(place.data().join("layers")).unwrap().count();
    assert_eq!(maps(), 2, "each id map has layers of its own");
    assert_eq!(place.run(&shell("id -u")).expect_success().said(), "0");
    without(&["image", "rm", "busybox"]).expect_success();
    assert_eq!(parts(&place), (0, 0));
    assert_nothing_staged(&place);
}

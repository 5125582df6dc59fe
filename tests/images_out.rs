//! Images on their way out: what is saved and pushed is what other tools read, digest for digest; and names, history, pruning and the
//! room that all takes.

mod archives;
mod support;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use archives::image::{Files, Layer, config, with};
use archives::tar::{Entry, archive as tar};
use archives::tree::in_namespace;
use podling::image::layer::limits::human;
use serde_json::{Value, json};
use support::registry::{Access, Proxy, Registry};
use support::running::output_of;
use support::store::{assert_nothing_staged, inspect, names, parts};
use support::{Feature, Output, Place, archive, binary, images, require, shell};

const FORMATS: [&str; 3] = ["docker-archive", "oci-archive", "oci-dir"];

fn layer(name: &str, content: &str) -> Layer {
    let entries = [Entry::dir("srv"), Entry::file(format!("srv/{name}"), content).mode(0o644)];
    Layer::gzip(&tar(&entries))
}

/// The steps that `app:1` says it was made in, of which one made no layer, and one has what would upset a terminal.
fn history() -> Value {
    json!([
        {"created": "2024-05-06T07:08:09Z", "created_by": "COPY base /srv"},
        {"created": "2024-05-06T07:08:10Z", "created_by": "ENV COLOUR=blue", "empty_layer": true},
        {"created": "2024-05-06T07:08:11Z", "created_by": "RUN make a line that is longer than fifty of the letters there are", "comment": "top"},
    ])
}

fn load(place: &Place, files: &Files) {
    fs::write(place.path().join("source.tar"), files.to_tar()).unwrap();
    place.podling(&["image", "load", "source.tar"]).expect_success();
}

/// Loads `app:1`, of two layers, and `other:2`, which shares the lower one.
fn load_two(place: &Place) {
    let layers = [layer("base", "base"), layer("top", "top")];
    load(place, &Files::oci_with("app:1", &layers, &with(config(&layers), "history", history())));
    load(place, &Files::oci("other:2", &[layer("base", "base"), layer("other", "other")]));
}

/// What must be the same wherever an image goes.
fn identity(image: &Value) -> Value {
    let layers: Vec<_> = image["layers"].as_array().unwrap().iter().map(|l| [&l["digest"], &l["diffID"]]).collect();
    json!([image["digest"], image["id"], image["mediaType"], image["names"], layers, image["config"]])
}

fn of_layers(image: &Value, key: &str) -> Vec<String> {
    image["layers"].as_array().unwrap().iter().map(|layer| layer[key].as_str().unwrap().to_owned()).collect()
}

/// The bytes that the store has of a digest.
fn blob(place: &Place, digest: &Value) -> Vec<u8> {
    let hex = digest.as_str().unwrap().strip_prefix("sha256:").unwrap();
    fs::read(place.data().join("images/blobs/sha256").join(hex)).unwrap()
}

fn skopeo(args: &[&str]) -> Output {
    let output = output_of(Command::new("skopeo").arg("--insecure-policy").args(args));
    output.expect_success();
    output
}

fn json_of(output: &Output) -> Value {
    serde_json::from_str(&output.expect_success().stdout).unwrap()
}

/// A refusal that is one error, with nothing on standard output.
#[track_caller]
fn refused(output: &Output, parts: &[&str]) {
    output.expect_refusal(parts);
    let errors = output.stderr.lines().filter(|line| line.starts_with("podling: ")).count();
    assert_eq!((errors, output.stdout.as_str()), (1, ""), "{output}");
}

/// All that is in a directory.
fn entries(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn push_command(place: &Place, args: &[&str]) -> Output {
    place.podling(&[&["push", "--tls-verify=false"], args].concat())
}

fn pull(place: &Place, name: &str) -> Output {
    place.podling(&["pull", "--tls-verify=false", name])
}

#[test]
fn skopeo_reads_what_is_saved_in_each_format() {
    if !require(Feature::Program("skopeo")) {
        return;
    }
    let place = Place::with(&["busybox"]);
    load_two(&place);
    for format in FORMATS {
        let path = place.path().join(format);
        let path = path.to_str().unwrap();
        place.podling(&["image", "save", "--format", format, "-o", path, "busybox", "app:1"]).expect_success();
        // What docker reads is an OCI layout as well.
        let transports = match format {
            "docker-archive" => &["docker-archive", "oci-archive"][..],
            "oci-archive" => &["oci-archive"],
            _ => &["oci"],
        };
        for transport in transports {
            for name in ["busybox:latest", "app:1"] {
                let ours = inspect(&place, name);
                let from = format!("{transport}:{path}:docker.io/library/{name}");
                let seen = json_of(&skopeo(&["inspect", &from]));
                let config = skopeo(&["inspect", "--config", "--raw", &from]).stdout;
                assert_eq!(config.as_bytes(), blob(&place, &ours["id"]), "{from}");
                // docker's format knows layers only unpacked.
                let key = if *transport == "docker-archive" { "diffID" } else { "digest" };
                assert_eq!(seen["Layers"], json!(of_layers(&ours, key)), "{from}");
                let copy = place.path().join("copy");
                skopeo(&["copy", "--quiet", &from, &format!("dir:{}", copy.display())]);
                if *transport != "docker-archive" {
                    assert_eq!(seen["Digest"], ours["digest"], "{from}");
                    assert_eq!(fs::read(copy.join("manifest.json")).unwrap(), blob(&place, &ours["digest"]), "{from}");
                }
                fs::remove_dir_all(&copy).unwrap();
            }
        }
    }
}

/// podman in a user namespace of its own, where it takes itself for root's, so that it leaves no process behind.
struct Podman(PathBuf);

impl Podman {
    fn run(&self, args: &[&str]) -> Output {
        let dir = |name: &str| self.0.join(name).display().to_string();
        let mut command = in_namespace();
        // Its locks are in /dev/shm under one name for all who take themselves for root.
        command.args(["sh", "-c", "mount -t tmpfs tmpfs /dev/shm && exec podman \"$@\"", "sh"]);
        // podman wants a short path for --runroot.
        command.args(["--root", &dir("root"), "--runroot", "run", "--tmpdir", &dir("tmp")]);
        output_of(command.args(["--storage-driver", "vfs"]).args(args).current_dir(&self.0))
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        output_of(in_namespace().args(["rm", "-rf"]).arg(&self.0));
    }
}

#[test]
fn podman_loads_what_is_saved_in_each_format() {
    if !require(Feature::Program("podman")) || !require(Feature::UserNamespaces) {
        return;
    }
    let place = Place::with(&[]);
    load_two(&place);
    for format in FORMATS {
        let podman = Podman(place.path().join("podman"));
        fs::create_dir(&podman.0).unwrap();
        let path = podman.0.join(format);
        let path = path.to_str().unwrap();
        // podman loads the first image of an OCI source only.
        let images = if format == "docker-archive" { &["app:1", "other:2"][..] } else { &["app:1"] };
        place.podling(&[&["image", "save", "--format", format, "-o", path], images].concat()).expect_success();
        // The path becomes a part of the image's name, which may have no capital letters, so it is the last part only.
        podman.run(&["load", "--quiet", "-i", format]).expect_success();
        for image in images {
            let ours = inspect(&place, image);
            let id = ours["id"].as_str().unwrap().trim_start_matches("sha256:");
            let seen = json_of(&podman.run(&["image", "inspect", id]));
            assert_eq!(seen[0]["RootFS"]["Layers"], json!(of_layers(&ours, "diffID")), "{format} {image}");
            // podman gives an OCI directory a name of its own.
            if format != "oci-dir" {
                assert_eq!(seen[0]["RepoTags"], json!([format!("docker.io/library/{image}")]), "{format}");
            }
        }
        let id = inspect(&place, "app:1")["id"].as_str().unwrap()[7..].to_owned();
        let theirs = podman.run(&["history", "--no-trunc", "--format", "{{.CreatedBy}}", &id]);
        let ours = json_of(&place.podling(&["image", "history", "--format", "json", "app:1"]));
        let ours: Vec<&str> = ours.as_array().unwrap().iter().map(|step| step["createdBy"].as_str().unwrap()).collect();
        assert_eq!(theirs.expect_success().stdout.lines().collect::<Vec<_>>(), ours);
    }
}

#[test]
fn umoci_unpacks_what_is_saved() {
    if !require(Feature::Program("umoci")) || !require(Feature::OrdinaryUser) {
        return;
    }
    let place = Place::with(&[]);
    load_two(&place);
    place.podling(&["image", "save", "--format", "oci-dir", "-o", "layout", "app:1", "other:2"]).expect_success();
    for (image, content) in [("app:1", ["base", "top"]), ("other:2", ["base", "other"])] {
        let from = format!("{}:docker.io/library/{image}", place.path().join("layout").display());
        let bundle = place.path().join("bundle");
        output_of(Command::new("umoci").args(["unpack", "--rootless", "--image", &from]).arg(&bundle)).expect_success();
        assert_eq!(entries(&bundle.join("rootfs/srv")), content);
        for name in content {
            assert_eq!(fs::read_to_string(bundle.join("rootfs/srv").join(name)).unwrap(), name);
        }
        fs::remove_dir_all(&bundle).unwrap();
    }
}

#[test]
fn another_podling_loads_the_same_images_from_each_format_and_through_a_pipe() {
    let place = Place::with(&["busybox"]);
    load_two(&place);
    let images = ["busybox:latest", "app:1", "other:2"];
    let came = |there: &Place, how: &str| {
        for image in images {
            assert_eq!(identity(&inspect(there, image)), identity(&inspect(&place, image)), "{how}");
        }
        assert_eq!(parts(there), parts(&place), "{how}");
        assert_eq!(there.run(&shell("echo it runs")).expect_success().said(), "it runs");
        there.podling(&["system", "check"]).expect_success();
    };
    for format in FORMATS {
        let path = place.path().join(format);
        let path = path.to_str().unwrap();
        let save = ["image", "save", "--format", format, "-o", path];
        // An image that is named twice is saved once.
        let said = place.podling(&[&save[..], &images, &["app:1"]].concat());
        assert_eq!((said.expect_success().stdout.as_str(), said.stderr.as_str()), ("", ""));
        let there = Place::with(&[]);
        let said = there.podling(&["image", "load", path]).expect_success().stdout.clone();
        assert_eq!(said, "loaded busybox:latest\nloaded app:1\nloaded other:2\n", "{format}");
        came(&there, format);
    }
    for format in ["docker-archive", "oci-archive"] {
        let there = Place::with(&[]);
        let script =
            "set -o pipefail; \"$0\" image save --format \"$2\" \"${@:3}\" | XDG_DATA_HOME=$1 \"$0\" image load -";
        let mut command = Command::new("bash");
        place.environment(&mut command).args(["-c", script]).arg(binary()).arg(there.path()).arg(format).args(images);
        output_of(&mut command).expect_success();
        came(&there, "a pipe");
        // The same images are the same bytes, wherever they are saved.
        let path = there.path().join("again");
        let save = ["image", "save", "--format", format, "-o", path.to_str().unwrap()];
        there.podling(&[&save[..], &images].concat()).expect_success();
        assert!(fs::read(path).unwrap() == fs::read(place.path().join(format)).unwrap(), "{format} differs");
    }
}

#[test]
fn an_image_without_a_name_or_with_several_is_saved_with_those_that_were_asked_for() {
    let place = Place::with(&[]);
    load_two(&place);
    place.podling(&["image", "tag", "app:1", "example.org/app:2", "app:3"]).expect_success();
    let id = inspect(&place, "app:1")["id"].as_str().unwrap()[7..19].to_owned();
    for format in FORMATS {
        for (asked, arrived) in [
            (&["app:1", "example.org/app:2"][..], json!(["docker.io/library/app:1", "example.org/app:2"])),
            (&["app:3"], json!(["docker.io/library/app:3"])),
            (&[id.as_str()], json!([])),
        ] {
            let path = place.path().join(format!("{format}-{}", asked.len()));
            let path = path.to_str().unwrap();
            place.podling(&[&["image", "save", "--format", format, "-o", path], asked].concat()).expect_success();
            let there = Place::with(&[]);
            there.podling(&["image", "load", path]).expect_success();
            let seen = inspect(&there, &id);
            assert_eq!(seen["names"], arrived, "{format} {asked:?}");
            assert_eq!(seen["digest"], inspect(&place, "app:1")["digest"]);
            let _ = fs::remove_file(path).or_else(|_| fs::remove_dir_all(path));
        }
    }
}

#[test]
fn what_was_pulled_is_saved_with_the_very_bytes_of_the_registry() {
    if !["docker-registry", "skopeo"].iter().all(|tool| require(Feature::Program(tool))) {
        return;
    }
    let place = Place::with(&[]);
    let registry = Registry::start(place.path(), Access::Open, None);
    for format in ["oci", "v2s2"] {
        let name = format!("{}/t/busybox:{format}", registry.host());
        registry.push(&archive("busybox"), &format!("t/busybox:{format}"), &["--format", format]);
        let digest = pull(&place, &name).expect_success().stdout.trim().to_owned();
        let layout = place.path().join(format);
        place
            .podling(&["image", "save", "--format", "oci-dir", "-o", layout.to_str().unwrap(), &name])
            .expect_success();
        let manifest = skopeo(&["inspect", "--tls-verify=false", "--raw", &format!("docker://{name}")]).stdout;
        assert_eq!(archives::image::digest(manifest.as_bytes()), digest);
        let saved = |digest: &str| fs::read(layout.join(archives::image::blob_path(digest))).unwrap();
        assert_eq!(saved(&digest), manifest.as_bytes());
        // And every blob is what its digest says.
        let manifest: Value = serde_json::from_str(&manifest).unwrap();
        for part in manifest["layers"].as_array().unwrap().iter().chain([&manifest["config"]]) {
            let digest = part["digest"].as_str().unwrap();
            assert_eq!(archives::image::digest(&saved(digest)), digest);
        }
        let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
        assert_eq!(index["manifests"][0]["digest"], json!(digest));
        assert_eq!(index["manifests"][0]["mediaType"], manifest["mediaType"]);
    }
}

#[test]
fn an_archive_is_not_written_to_a_terminal() {
    if !require(Feature::Program("script")) {
        return;
    }
    let place = Place::with(&["busybox"]);
    for format in ["docker-archive", "oci-archive"] {
        let mut command = Command::new("script");
        let line = format!("{} image save --format {format} busybox", binary().display());
        place.environment(&mut command).args(["-qefc", &line, "/dev/null"]);
        let output = output_of(&mut command);
        output.expect_code(125);
        assert!(output.stdout.starts_with("podling: an archive would only confuse the terminal"), "{output}");
        assert!(output.stdout.len() < 400, "{output}");
    }
}

#[test]
fn a_saved_file_is_replaced_only_by_a_whole_one() {
    let place = Place::with(&[]);
    load_two(&place);
    let save = |path: &str| place.podling(&["image", "save", "-o", path, "app:1"]);
    save("whole.tar").expect_success();
    let whole = fs::read(place.path().join("whole.tar")).unwrap();
    let file = place.path().join("file.tar");
    fs::write(&file, vec![b'x'; whole.len() + 5000]).unwrap();
    save("file.tar").expect_success();
    assert!(fs::read(&file).unwrap() == whole, "the old file shines through");

    // A link stays, and what it leads to is replaced.
    let below = place.path().join("below");
    fs::create_dir(&below).unwrap();
    fs::write(below.join("real.tar"), vec![b'x'; whole.len() + 5000]).unwrap();
    std::os::unix::fs::symlink("below/real.tar", place.path().join("link.tar")).unwrap();
    save("link.tar").expect_success();
    assert!(place.path().join("link.tar").is_symlink());
    assert!(fs::read(below.join("real.tar")).unwrap() == whole, "behind the link is something else");
    assert_eq!(entries(&below), ["real.tar"]);

    // What is no file is written to.
    for device in ["/dev/null", "/dev/stdout"] {
        save(device).expect_success();
    }
    assert!(fs::metadata("/dev/null").unwrap().rdev() != 0, "/dev/null was replaced");

    // A damaged blob must not spread, and the old file stays.
    let damaged = of_layers(&inspect(&place, "app:1"), "digest").remove(0);
    let path = place.data().join("images").join(archives::image::blob_path(&damaged));
    let mut content = fs::read(&path).unwrap();
    content[20] ^= 1;
    fs::write(&path, content).unwrap();
    for format in FORMATS {
        let before = entries(place.path());
        let output = if format == "oci-dir" { "new" } else { "file.tar" };
        refused(
            &place.podling(&["image", "save", "--format", format, "-o", output, "app:1"]),
            &[&damaged, "is damaged", "podling system check --repair"],
        );
        assert_eq!(entries(place.path()), before, "{format}");
    }
    assert!(fs::read(&file).unwrap() == whole, "the file was touched");
}

#[test]
fn an_output_that_cannot_be_written_leaves_nothing_half_done() {
    let place = Place::with(&["busybox"]);
    let save = |format: &str, path: &str| place.podling(&["image", "save", "--format", format, "-o", path, "busybox"]);
    let before = || entries(place.path());
    fs::create_dir(place.path().join("used")).unwrap();
    fs::write(place.path().join("used/mine"), "mine").unwrap();
    fs::write(place.path().join("a-file"), "mine").unwrap();
    let all = before();
    for format in ["docker-archive", "oci-archive"] {
        refused(&save(format, "used"), &["cannot write", "used", "directory"]);
        refused(&save(format, "missing/x.tar"), &["cannot write missing/x.tar", "No such file or directory"]);
        refused(&save(format, "/proc/x.tar"), &["cannot write /proc/x.tar"]);
        refused(&save(format, "/dev/full"), &["cannot write /dev/full", "No space left on device"]);
        let full = fs::File::create("/dev/full").unwrap();
        let mut command = place.command(&["image", "save", "--format", format, "busybox"]);
        let output = command.stdout(full).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(125), "{said}");
        assert!(said.contains("No space left on device"), "{said}");
    }
    refused(&save("oci-dir", "used"), &["used is not empty", "name a directory that is not there yet"]);
    refused(&save("oci-dir", "a-file"), &["cannot write a-file", "Not a directory"]);
    refused(&save("oci-dir", "-"), &["a directory needs a name", "-o DIRECTORY"]);
    refused(&save("oci-dir", "/proc/layout"), &["cannot write /proc/layout"]);
    refused(&place.podling(&["image", "save", "-o", "x", "busybox", "nosuch"]), &["\"nosuch\"", "not in the store"]);
    assert_eq!(before(), all);
    assert_eq!(fs::read_to_string(place.path().join("a-file")).unwrap(), "mine");
    // An empty directory is as good as none.
    fs::create_dir(place.path().join("empty")).unwrap();
    save("oci-dir", "empty").expect_success();
    assert_eq!(entries(&place.path().join("empty")), ["blobs", "index.json", "oci-layout"]);

    if !require(Feature::UserNamespaces) {
        return;
    }
    // A file system that is full half way through.
    let disk = place.path().join("disk");
    fs::create_dir(&disk).unwrap();
    for (format, output, left) in [
        ("docker-archive", "x.tar", "old"),
        ("oci-archive", "old", "old"),
        ("oci-dir", "layout", "old"),
        ("oci-dir", "empty", "empty\nold"),
    ] {
        let script = "mount -t tmpfs -o size=1m tmpfs disk && echo mine > disk/old && if [ \"$3\" = empty ]; then mkdir disk/empty; fi
            \"$1\" image save --format \"$2\" -o \"disk/$3\" busybox
            code=$?; ls disk; cat disk/old; ls disk/empty 2>/dev/null; exit $code";
        let mut command = in_namespace();
        command.args(["sh", "-c", script, "sh"]).arg(binary()).args([format, output]);
        let output = output_of(place.environment(&mut command));
        output.expect_refusal(&["cannot write disk/", "No space left on device"]);
        assert_eq!(output.stdout, format!("{left}\nmine\n"), "{format}: {output}");
    }
}

#[test]
fn what_is_pushed_is_what_skopeo_and_another_podling_find() {
    if !["docker-registry", "skopeo"].iter().all(|tool| require(Feature::Program(tool))) {
        return;
    }
    let place = Place::with(&["busybox"]);
    load_two(&place);
    let registry = Registry::start(place.path(), Access::Open, None);
    let there = Place::with(&[]);
    for image in ["busybox", "app:1", "other:2"] {
        let ours = inspect(&place, image);
        let digest = ours["digest"].as_str().unwrap();
        let name = format!("{}/a/b/{image}", registry.host());
        let name = if image.contains(':') { name } else { format!("{name}:latest") };
        let pushed = push_command(&place, &[image, &name]);
        assert_eq!(pushed.expect_success().stdout, format!("{digest}\n"));
        let seen = json_of(&skopeo(&["inspect", "--tls-verify=false", &format!("docker://{name}")]));
        assert_eq!(seen["Digest"], ours["digest"]);
        assert_eq!(seen["Layers"], json!(of_layers(&ours, "digest")));
        assert_eq!(pull(&there, &name).expect_success().stdout, format!("{digest}\n"));
        let mut pulled = inspect(&there, &name);
        assert_eq!(pulled["names"], json!([name]));
        pulled["names"] = ours["names"].clone();
        assert_eq!(identity(&pulled), identity(&ours));
    }
    // Under its own name, by its id, and as what it was in a registry of docker's format.
    let own = format!("{}/own:7", registry.host());
    place.podling(&["image", "tag", "app:1", &own]).expect_success();
    let quiet = push_command(&place, &["--quiet", &own]);
    assert_eq!(
        (quiet.expect_success().stdout.trim(), quiet.stderr.as_str()),
        (inspect(&place, &own)["digest"].as_str().unwrap(), "")
    );
    registry.push(&archive("busybox"), "docker/busybox:1", &["--format", "v2s2"]);
    let name = format!("{}/docker/busybox:1", registry.host());
    let digest = pull(&place, &name).expect_success().stdout.clone();
    let id = inspect(&place, &name)["digest"].as_str().unwrap().to_owned();
    let copy = format!("{}/copy:1", registry.host());
    assert_eq!(push_command(&place, &[&id, &copy]).expect_success().stdout, digest);
    let raw = |name: &str| skopeo(&["inspect", "--tls-verify=false", "--raw", &format!("docker://{name}")]).stdout;
    assert_eq!(raw(&copy), raw(&name));
}

#[test]
fn blobs_that_the_registry_has_are_not_sent_again() {
    if !require(Feature::Program("docker-registry")) {
        return;
    }
    let place = Place::with(&[]);
    load_two(&place);
    let registry = Registry::start(place.path(), Access::Open, None);
    let proxy = Proxy::start(&registry.host());
    // How many uploads are begun, how many are sent, and how many manifests.
    let push_counted = |image: &str, to: &str| {
        proxy.forget();
        let output = push_command(&place, &[image, &format!("{}/{to}", proxy.host())]);
        output.expect_success();
        let count = |text: &str, part: &str| proxy.seen(text).iter().filter(|r| r.line.contains(part)).count();
        [count("POST ", "/blobs/uploads/"), count("PUT ", "/blobs/uploads/"), count("PUT ", "/manifests/")]
    };
    assert_eq!(push_counted("app:1", "one:1"), [3, 3, 1], "two layers and a config");
    assert_eq!(push_counted("app:1", "one:1"), [0, 0, 1], "all is there");
    assert_eq!(push_counted("app:1", "one:again"), [0, 0, 1], "under another tag");
    assert_eq!(push_counted("other:2", "one:2"), [2, 2, 1], "the lower layer is there");
    // What was pulled from a repository is mounted into another of the same registry.
    let pulled = format!("{}/one:1", proxy.host());
    pull(&place, &pulled).expect_success();
    assert_eq!(push_counted(&pulled, "two:1"), [3, 0, 1], "mounted");
    let there = Place::with(&[]);
    let digest = pull(&there, &format!("{}/two:1", registry.host())).expect_success().stdout.clone();
    assert_eq!(json!(digest.trim()), inspect(&place, "app:1")["digest"]);
}

#[test]
fn a_push_that_is_not_let_in_says_so() {
    if !["docker-registry", "htpasswd"].iter().all(|tool| require(Feature::Program(tool))) {
        return;
    }
    let place = Place::with(&[]);
    load_two(&place);
    let registry = Registry::start(place.path(), Access::Login, None);
    let name = format!("{}/team/app:1", registry.host());
    refused(&push_command(&place, &["--quiet", "app:1", &name]), &[&format!("cannot push {name}"), "log in", "401"]);
    let wrong = push_command(&place, &["--quiet", "--creds", "user:wrong", "app:1", &name]);
    refused(&wrong, &[&format!("cannot push {name}"), "log in"]);
    assert!(!wrong.stderr.contains("user:wrong"), "the password is shown: {wrong}");
    push_command(&place, &["--creds", "user:word", "app:1", &name]).expect_success();
    let there = Place::with(&[]);
    pull(&there, &name).expect_code(125);
    there.podling(&["pull", "--tls-verify=false", "--creds", "user:word", &name]).expect_success();
    assert_eq!(inspect(&there, &name)["digest"], inspect(&place, "app:1")["digest"]);
}

#[test]
fn a_push_that_makes_no_sense_is_one_error() {
    let place = Place::with(&[]);
    load_two(&place);
    let digest = inspect(&place, "app:1")["digest"].as_str().unwrap().to_owned();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = format!("localhost:{}/app:1", free.port());
    for (args, parts) in [
        (&["nosuch", &nobody][..], &["\"nosuch\"", "not in the store"][..]),
        (&[&digest], &["needs a destination", "HOST/NAME:TAG"]),
        (&["app:1", &format!("example.org/app@{digest}")], &["the digest of what is pushed is the image's own"]),
        (&["app:1", "UPPER"], &["UPPER"]),
        (&["app:1", &nobody], &["cannot push", &nobody]),
        (&["--creds", "user", "app:1", &nobody], &["--creds needs a user and a password"]),
        (&["--authfile", "missing.json", "app:1", &nobody], &["missing.json"]),
    ] {
        refused(&push_command(&place, &[&["--quiet"], args].concat()), parts);
    }
    // A damaged layer is not sent on.
    if !require(Feature::Program("docker-registry")) {
        return;
    }
    let registry = Registry::start(place.path(), Access::Open, None);
    let damaged = of_layers(&inspect(&place, "app:1"), "digest").remove(1);
    let path = place.data().join("images").join(archives::image::blob_path(&damaged));
    let mut content = fs::read(&path).unwrap();
    content[20] ^= 1;
    fs::write(&path, &content).unwrap();
    let name = format!("{}/app:1", registry.host());
    push_command(&place, &["app:1", &name]).expect_refusal(&["cannot push", &name]);
    pull(&Place::with(&[]), &name).expect_code(125);
}

#[test]
fn names_are_given_and_taken_and_the_image_stays() {
    let place = Place::with(&[]);
    load_two(&place);
    let whole = parts(&place);
    let id = inspect(&place, "app:1")["id"].as_str().unwrap().to_owned();
    let tag = |args: &[&str]| place.podling(&[&["image", "tag"], args].concat());
    let untag = |args: &[&str]| place.podling(&[&["image", "untag"], args].concat());
    assert_eq!(tag(&["app:1", "second", "example.org/third:3"]).expect_success().stdout, "");
    assert_eq!(names(&place), ["app:1", "example.org/third:3", "other:2", "second:latest"]);
    assert_eq!(inspect(&place, "example.org/third:3")["id"], json!(id));
    tag(&[&id[7..19], "by-id"]).expect_success();
    // The same name again changes nothing; the name of another image goes over.
    tag(&["app:1", "by-id"]).expect_success();
    tag(&["app:1", "other:2"]).expect_success();
    assert_eq!(inspect(&place, "other:2")["id"], json!(id));
    assert_eq!(
        names(&place),
        ["<none>:<none>", "app:1", "by-id:latest", "example.org/third:3", "other:2", "second:latest"]
    );

    let gone = ["second", "other:2", "by-id", "example.org/third:3"];
    let said = untag(&gone).expect_success().stdout.clone();
    let full = [
        "docker.io/library/second:latest",
        "docker.io/library/other:2",
        "docker.io/library/by-id:latest",
        "example.org/third:3",
    ];
    assert_eq!(said, full.map(|name| format!("untagged {name}\n")).concat());
    // The last name of an image: it stays, and is found by its id.
    untag(&["app:1"]).expect_success();
    assert_eq!(names(&place), ["<none>:<none>", "<none>:<none>"]);
    assert_eq!(inspect(&place, &id)["names"], json!([]));
    assert_eq!(parts(&place), whole);
    tag(&[&id, "app:1"]).expect_success();
    assert_eq!(names(&place), ["<none>:<none>", "app:1"]);
    assert_eq!(inspect(&place, "app:1")["id"], json!(id));

    let before = names(&place);
    let digest = inspect(&place, "app:1")["digest"].as_str().unwrap().to_owned();
    refused(&tag(&["nosuch", "x"]), &["\"nosuch\"", "not in the store"]);
    refused(&tag(&["app:1", "fine", "NOT"]), &["NOT"]);
    refused(&tag(&["app:1", &format!("x@{digest}")]), &["has a digest, which is no name"]);
    refused(&untag(&["app:1", "nosuch"]), &["\"nosuch:latest\"", "not in the store"]);
    refused(&untag(&["app:2"]), &["did you mean \"app:1\"?"]);
    refused(&untag(&[&format!("app@{digest}")]), &["has a digest, which is no name"]);
    assert_eq!(names(&place), before, "a command that failed did half of its work");
}

#[test]
fn history_is_what_the_config_says() {
    let place = Place::with(&[]);
    load_two(&place);
    let steps = json_of(&place.podling(&["image", "history", "--format", "json", "app:1"]));
    let image = inspect(&place, "app:1");
    let size = |layer: usize| image["layers"][layer]["size"].clone();
    let row = |step: usize, size: Value| {
        let history = history();
        json!({"created": history[step]["created"], "createdBy": history[step]["created_by"], "size": size, "comment": history[step]["comment"]})
    };
    assert_eq!(steps, json!([row(2, size(1)), row(1, json!(0)), row(0, size(0))]));

    let table = place.podling(&["image", "history", "app:1"]).expect_success().stdout.clone();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 4, "{table}");
    assert!(lines[0].starts_with("CREATED") && lines[1].contains("RUN make") && lines[1].ends_with("top"), "{table}");
    assert!(lines[1].contains('…') && lines[2].contains(" 0B"), "{table}");
    let whole = place.podling(&["image", "history", "--no-trunc", "app:1"]).expect_success().stdout.clone();
    assert!(whole.contains("longer than fifty of the letters there are"), "{whole}");

    // A config that says nothing of its layers, or what a terminal would obey.
    let steps = json_of(&place.podling(&["image", "history", "--format", "json", "other:2"]));
    assert_eq!(steps.as_array().map(Vec::len), Some(2));
    assert!(steps[0]["createdBy"].is_null() && steps[0]["size"].as_u64() > Some(0), "{steps}");
    let layers = [layer("base", "base")];
    let evil = json!([{"created": "yesterday", "created_by": "a\u{1b}[31mb\nc\u{9b}d", "comment": "e\tf"}]);
    load(&place, &Files::oci_with("evil:1", &layers, &with(config(&layers), "history", evil)));
    let table = place.podling(&["image", "history", "--no-trunc", "evil:1"]).expect_success().stdout.clone();
    assert_eq!(table.lines().count(), 2, "{table:?}");
    assert!(table.contains("unknown") && table.contains("a [31mb c d"), "{table:?}");
    assert!(!table.contains(|c: char| c.is_control() && c != '\n'), "{table:?}");
    refused(&place.podling(&["image", "history", "nosuch"]), &["\"nosuch\"", "not in the store"]);
    if !require(Feature::Program("skopeo")) {
        return;
    }
    let name = format!("oci:{}:docker.io/library/app:1", place.data().join("images").display());
    let theirs = json_of(&skopeo(&["inspect", "--config", &name]));
    let theirs = theirs["history"].as_array().unwrap().iter().rev().map(|step| step["created_by"].clone());
    let ours = json_of(&place.podling(&["image", "history", "--format", "json", "app:1"]));
    let ours = ours.as_array().unwrap().iter().map(|step| step["createdBy"].clone());
    assert_eq!(theirs.collect::<Vec<_>>(), ours.collect::<Vec<_>>());
}

#[test]
fn prune_removes_what_nothing_uses_and_nothing_else() {
    let place = Place::with(&["busybox"]);
    let before = parts(&place);
    load_two(&place);
    // An image on top of the one that will run.
    let base = Layer::plain(&blob(&place, &inspect(&place, "busybox")["layers"][0]["digest"]));
    load(&place, &Files::oci("derived:1", &[base, layer("derived", "d")]));
    let prune = |args: &[&str]| place.podling(&[&["image", "prune"], args].concat());
    let all = (names(&place), parts(&place));
    assert_eq!(prune(&["--force"]).expect_success().stdout, "reclaimed 0B\n", "all have names");
    assert_eq!((names(&place), parts(&place)), all);

    // Without a name: not used by a pod, and used by one.
    let other = inspect(&place, "other:2")["digest"].as_str().unwrap().to_owned();
    place.podling(&["image", "untag", "other:2"]).expect_success();
    let said = prune(&["--force"]).expect_success().stdout.clone();
    assert!(said.starts_with(&format!("deleted {other}\nreclaimed ")) && !said.contains(" 0B"), "{said}");
    assert_eq!(names(&place), ["app:1", "busybox:latest", "derived:1"]);
    assert_eq!(parts(&place), (all.1.0 - 1, all.1.1 - 3), "the layer that app:1 shares stays");
    let pod = place.start(&shell("trap 'exit 0' TERM; echo ready; while true; do sleep 0.1; done"));
    pod.wait_for("ready");
    let busybox = inspect(&place, "busybox")["id"].as_str().unwrap().to_owned();
    place.podling(&["image", "untag", "busybox"]).expect_success();
    assert_eq!(prune(&["--force"]).expect_success().stdout, "reclaimed 0B\n", "a pod uses it");
    place.podling(&["image", "tag", &busybox, "busybox"]).expect_success();

    let said = prune(&["--all", "--force"]).expect_success().stdout.clone();
    for name in ["app:1", "derived:1"] {
        assert!(said.contains(&format!("untagged docker.io/library/{name}\n")), "{said}");
    }
    assert!(!said.contains("busybox"), "{said}");
    assert_eq!((names(&place), parts(&place)), (vec!["busybox:latest".to_owned()], before));
    pod.stop().expect_success();
    assert_eq!(place.run(&shell("echo still here")).expect_success().said(), "still here");
    prune(&["-af"]).expect_success();
    assert_eq!((names(&place), parts(&place)), (vec![], (0, 0)));
    assert_eq!(prune(&["-af"]).expect_success().stdout, "reclaimed 0B\n");
    assert_nothing_staged(&place);
    place.assert_nothing_left();
}

#[test]
fn a_layer_that_is_kept_packed_needs_no_second_blob_of_it_unpacked() {
    let place = Place::with(&["busybox"]);
    let plain = inspect(&place, "busybox")["layers"][0]["digest"].as_str().unwrap()[7..].to_owned();
    let blob = place.data().join("images/blobs/sha256").join(&plain);
    assert!(blob.exists());
    // The same layer, compressed: its diffID is the digest of the blob that was there.
    place.podling(&["image", "load", images().join("busybox").to_str().unwrap()]).expect_success();
    assert_ne!(inspect(&place, "busybox")["layers"][0]["digest"].as_str().unwrap()[7..], plain);
    place.podling(&["image", "prune", "--force"]).expect_success();
    assert!(!blob.exists(), "no image has it");
    place.podling(&["system", "check"]).expect_success();
}

#[test]
fn prune_asks_on_a_terminal_and_takes_silence_for_no() {
    if !require(Feature::Program("script")) {
        return;
    }
    let place = Place::with(&[]);
    load_two(&place);
    let nobody = place.podling(&["image", "prune", "--all"]);
    assert!(nobody.expect_success().stderr.contains("nothing was removed; --force"), "{nobody}");
    assert!(!names(&place).is_empty());
    for (answer, stay) in [("n", true), ("", true), ("y", false)] {
        let mut command = Command::new("script");
        let line = format!("{} image prune --all", binary().display());
        place.environment(&mut command).args(["-qefc", &line, "/dev/null"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), format!("{answer}\n").as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("Go on? [y/N]"), "{said}");
        assert_eq!(names(&place).is_empty(), !stay, "{answer:?}: {said}");
    }
}

/// The rows of `system df`, by their type.
fn usage(place: &Place) -> impl Fn(&str) -> Value {
    let all = json_of(&place.podling(&["system", "df", "--format", "json"]));
    move |what| all["usage"].as_array().unwrap().iter().find(|row| row["type"] == what).unwrap().clone()
}

#[test]
fn the_room_that_is_taken_adds_up() {
    let place = Place::with(&["busybox"]);
    let of = usage(&place);
    let (images, layers) = (of("Images"), of("Layers"));
    // What the file system says.
    let blobs = fs::read_dir(place.data().join("images/blobs/sha256")).unwrap();
    let blobs: u64 = blobs.map(|entry| entry.unwrap().metadata().unwrap().blocks() * 512).sum();
    assert_eq!(images, json!({"type": "Images", "total": 1, "active": 0, "size": blobs, "reclaimable": blobs}));
    let tree = PathBuf::from(inspect(&place, "busybox")["layers"][0]["unpacked"].as_str().unwrap());
    let dir = tree.parent().unwrap();
    if require(Feature::UserNamespaces) {
        let du =
            output_of(in_namespace().args(["du", "-s", "--block-size=1"]).arg(dir)).expect_success().stdout.clone();
        let du: u64 = du.split_whitespace().next().unwrap().parse().unwrap();
        assert_eq!(layers["size"], json!(du - fs::metadata(dir).unwrap().blocks() * 512));
    }
    assert_eq!((&layers["total"], &layers["active"], &layers["reclaimable"]), (&json!(1), &json!(0), &layers["size"]));
    assert!(layers["size"].as_u64() > Some(1 << 20), "{layers}");

    let pod = place.start(&shell("trap 'exit 0' TERM; echo ready; while true; do sleep 0.1; done"));
    pod.wait_for("ready");
    let of = usage(&place);
    for what in ["Images", "Layers"] {
        let row = of(what);
        assert_eq!((&row["total"], &row["active"], &row["reclaimable"]), (&json!(1), &json!(1), &json!(0)), "{row}");
    }
    assert_eq!((of("Images")["size"].clone(), of("Layers")["size"].clone()), (json!(blobs), layers["size"].clone()));
    assert_eq!((of("Pods")["total"].clone(), of("Pods")["active"].clone()), (json!(1), json!(1)));

    // Others beside it: only theirs can be reclaimed, and the long listing has them all.
    load_two(&place);
    let of = usage(&place);
    assert_eq!(of("Images")["total"], json!(3));
    assert_eq!(of("Images")["reclaimable"].as_u64().unwrap(), of("Images")["size"].as_u64().unwrap() - blobs);
    assert_eq!(of("Layers")["total"], json!(4), "one of them is shared");
    let table = place.podling(&["system", "df", "--verbose"]).expect_success().stdout.clone();
    for (name, used) in [("busybox:latest", "yes"), ("app:1", "no"), ("other:2", "no")] {
        let line = table.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{name}: {table}"));
        assert!(line.ends_with(used), "{table}");
    }
    pod.stop().expect_success();

    // What can be reclaimed is what is reclaimed.
    let of = usage(&place);
    let sum = ["Images", "Layers"].map(|what| of(what)["reclaimable"].as_u64().unwrap()).iter().sum::<u64>();
    let said = place.podling(&["image", "prune", "--all", "--force"]).expect_success().stdout.clone();
    assert_eq!(said.lines().last(), Some(format!("reclaimed {}", human(sum)).as_str()));
    let of = usage(&place);
    for what in ["Images", "Layers", "Pods", "Staging"] {
        assert_eq!(of(what), json!({"type": what, "total": 0, "active": 0, "size": 0, "reclaimable": 0}));
    }
    place.podling(&["system", "df"]).expect_success();
}

#[test]
fn a_wrong_command_line_is_one_error_that_names_the_help() {
    let place = Place::with(&[]);
    for (args, part) in [
        (&["image", "save"][..], "<IMAGE>"),
        (&["image", "save", "--format", "zip", "x"], "docker-archive, oci-archive, oci-dir"),
        (&["push"], "<IMAGE>"),
        (&["push", "a", "b", "c"], "'c'"),
        (&["image", "tag", "app:1"], "<NAME>"),
        (&["image", "untag"], "<NAME>"),
        (&["image", "history"], "<IMAGE>"),
        (&["image", "history", "--format", "yaml", "x"], "json"),
        (&["image", "prune", "x"], "'x'"),
        (&["system", "df", "x"], "'x'"),
        (&["system", "check", "--mend"], "'--mend'"),
    ] {
        let output = place.podling(args);
        output.expect_refusal(&[part, "try '--help'"]);
        assert_eq!(output.stderr.matches("error:").count(), 1, "{output}");
        assert!(!place.data().join("images").exists());
    }
    // An empty store is no error, but it has no images.
    for (args, part) in [
        (&["image", "save", "-o", "x", "a"][..], "not in the store"),
        (&["image", "tag", "a", "b"], "not in the store"),
        (&["image", "untag", "a"], "not in the store"),
        (&["image", "history", "a"], "not in the store"),
    ] {
        refused(&place.podling(args), &["image \"a", part]);
    }
    place.podling(&["image", "prune", "--all", "--force"]).expect_success();
    place.podling(&["system", "df"]).expect_success();
    place.podling(&["system", "check"]).expect_success();
}

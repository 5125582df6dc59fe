//! `podling system check`: whatever is damaged in a store is found and named, repaired or removed, and can be had again.

mod archives;
mod support;

use std::fs;
use std::path::PathBuf;

use archives::image::{Files, Layer, blob_path};
use archives::tar::{Entry, archive as tar};
use archives::tree::{Tree, differences, in_namespace, of_directory};
use archives::yard::trees;
use serde_json::Value;
use support::running::output_of;
use support::store::{assert_nothing_staged, inspect, names, parts};
use support::{Feature, Ids, Output, Place, ids, require, shell};

/// A store with `app:1`, whose layers have something of every kind, and `other:1`, which shares the lower one.
struct Damaged {
    place: Place,
    image: Value,
    trees: Vec<Tree>,
}

fn lower() -> Layer {
    Layer::gzip(&tar(&[
        Entry::dir("srv").mode(0o750).uid(33).gid(33),
        Entry::file("srv/file", "content").mode(0o640).uid(33).pax("SCHILY.xattr.user.colour", "blue"),
        Entry::hard_link("srv/second", "srv/file"),
        Entry::file("srv/program", "#!").mode(0o4755),
        Entry::symlink("srv/link", "file"),
        Entry::dir("srv/deep"),
        Entry::dir("srv/deep/deeper"),
        Entry::file("srv/deep/deeper/still", "here"),
        Entry::dir("implied"),
        Entry::file("implied/by/nobody", "x"),
    ]))
}

fn upper() -> Layer {
    Layer::gzip(&tar(&[
        Entry::dir("srv").mode(0o750).uid(33).gid(33),
        Entry::file("srv/.wh.program", ""),
        Entry::dir("srv/deep"),
        Entry::file("srv/deep/.wh..wh..opq", ""),
        Entry::file("srv/new", "new"),
    ]))
}

/// The arguments of one damage: a shell script, in which `$store` is podling's directory, `$manifest`, `$config`, `$lower` and `$upper`
/// are blobs, and `$below` and `$above` the layers' trees.
fn script(damaged: &Damaged, text: &str) -> String {
    let image = &damaged.image;
    let store = damaged.place.data();
    let blob = |digest: &Value| store.join("images").join(blob_path(digest.as_str().unwrap())).display().to_string();
    let tree = |layer: usize| image["layers"][layer]["unpacked"].as_str().unwrap().to_owned();
    format!(
        "set -e\nstore={}\nmanifest={}\nconfig={}\nlower={}\nupper={}\nbelow={}\nabove={}\n{text}\n",
        store.display(),
        blob(&image["digest"]),
        blob(&image["id"]),
        blob(&image["layers"][0]["digest"]),
        blob(&image["layers"][1]["digest"]),
        tree(0),
        tree(1),
    )
}

impl Damaged {
    fn new() -> Damaged {
        let place = Place::with(&[]);
        let mut damaged = Damaged { place, image: Value::Null, trees: Vec::new() };
        fs::write(damaged.source(), Files::oci("app:1", &[lower(), upper()]).to_tar()).unwrap();
        let own = Layer::gzip(&tar(&[Entry::file("own", "own")]));
        fs::write(damaged.place.path().join("other.tar"), Files::oci("other:1", &[lower(), own]).to_tar()).unwrap();
        damaged.load();
        damaged.image = inspect(&damaged.place, "app:1");
        damaged.trees = damaged.look();
        damaged
    }

    fn source(&self) -> PathBuf {
        self.place.path().join("app.tar")
    }

    fn load(&self) {
        self.place.podling(&["image", "load", "app.tar", "other.tar"]).expect_success();
    }

    fn look(&self) -> Vec<Tree> {
        let mut trees: Vec<Tree> =
            trees(&self.place, "app:1").iter().map(|tree| of_directory(self.place.path(), tree)).collect();
        // The times of what no archive gives one.
        for (path, fields) in trees.iter_mut().flatten() {
            if path == "." || path == "./implied/by" || fields.get("type").is_some_and(|kind| kind == "c") {
                fields.remove("mtime");
            }
        }
        trees
    }

    /// Runs a script as the owner of all that is in the store.
    fn damage(&self, text: &str) {
        output_of(in_namespace().args(["bash", "-c", &script(self, text)])).expect_success();
    }

    fn check(&self, options: &[&str]) -> Output {
        self.place.podling(&[&["system", "check"], options].concat())
    }

    /// The check finds something, and says `parts`.
    #[track_caller]
    fn assert_found(&self, what: &str, parts: &[&str]) {
        let output = self.check(&[]);
        assert_eq!(output.code, Some(1), "{what} is not found: {output}");
        for part in parts {
            assert!(output.stdout.contains(part), "{what}: {part:?} is not said: {output}");
        }
        let count = output.stdout.lines().count();
        assert!(output.stderr.contains(&format!(": {count} damaged")), "{what}: {output}");
        assert!(output.stderr.contains("podling system check --repair"), "{what}: {output}");
        // To look is not to touch.
        let again = self.check(&["--quiet"]);
        assert_eq!((again.code, again.stdout.as_str(), again.stderr.as_str()), (Some(1), output.stdout.as_str(), ""));
    }

    #[track_caller]
    fn assert_clean(&self, what: &str) {
        let output = self.check(&[]);
        assert_eq!((output.code, output.stdout.as_str()), (Some(0), ""), "{what}: {output}");
        assert!(output.stderr.contains("all whole"), "{what}: {output}");
        let quiet = self.check(&["--quiet"]);
        assert_eq!((quiet.code, quiet.stdout.as_str(), quiet.stderr.as_str()), (Some(0), "", ""), "{what}");
        assert_nothing_staged(&self.place);
    }

    /// Repairs, and answers with what was said after the damage.
    #[track_caller]
    fn repair(&self, what: &str) -> String {
        let found = self.check(&["--quiet"]).stdout;
        let output = self.check(&["--repair", "--quiet"]);
        output.expect_code(1);
        let done = output.stdout.strip_prefix(&found).unwrap_or_else(|| panic!("{what}: {output}")).to_owned();
        assert!(!done.is_empty(), "{what}: nothing was done: {output}");
        done
    }

    /// All is again as it was before.
    #[track_caller]
    fn assert_whole(&self, what: &str) {
        assert_eq!(inspect(&self.place, "app:1"), self.image, "{what}");
        assert_eq!(parts(&self.place), (3, 7), "{what}");
        for (before, after) in self.trees.iter().zip(&self.look()) {
            let differences = differences(before, after);
            assert!(differences.is_empty(), "{what}: {differences:?}");
        }
        self.assert_clean(what);
    }

    /// The damage is found; the repair removes `gone`; and loading brings all back.
    #[track_caller]
    fn is_removed(&self, damage: &str, parts: &[&str], gone: &[&str]) {
        self.damage(damage);
        self.assert_found(damage, parts);
        let done = self.repair(damage);
        for name in gone {
            assert!(
                done.contains(&format!("removed image docker.io/library/{name}: pull or load it again")),
                "{damage}: {done}"
            );
        }
        self.assert_clean(damage);
        let left: Vec<&str> = ["app:1", "other:1"].into_iter().filter(|name| !gone.contains(name)).collect();
        assert_eq!(names(&self.place), left, "{damage}");
        self.load();
        self.assert_whole(damage);
    }

    /// The damage is found; the repair removes an unpacked layer, and no image; and a load unpacks the layer again.
    #[track_caller]
    fn is_mended(&self, damage: &str, parts: &[&str]) {
        self.damage(damage);
        self.assert_found(damage, parts);
        let done = self.repair(damage);
        assert!(done.contains("it is unpacked again when it is needed"), "{damage}: {done}");
        self.assert_clean(damage);
        assert_eq!(names(&self.place), ["app:1", "other:1"], "{damage}");
        self.load();
        self.assert_whole(damage);
    }
}

/// What is in the store and looked at is what was loaded, byte for byte and file for file, whatever it is.
#[test]
fn a_clean_store_is_clean() {
    let place = Place::with(&[]);
    let empty = place.podling(&["system", "check"]);
    assert_eq!(empty.expect_success().stdout, "");
    // Here are whiteouts, opaque directories, files of other owners, and names that nobody would choose.
    for image in ["busybox", "db", "debian"] {
        place.podling(&["image", "load", support::archive(image).to_str().unwrap()]).expect_success();
    }
    let output = place.podling(&["system", "check"]);
    assert_eq!(output.expect_success().stdout, "", "{output}");
    let (layers, blobs) = parts(&place);
    let counts = format!("3 images, {blobs} blobs and {layers} unpacked layers: all whole");
    assert!(output.stderr.contains(&counts), "{output}");
    assert_nothing_staged(&place);
    Damaged::new().assert_whole("just loaded");
}

#[test]
fn a_damaged_blob_is_found_and_its_images_can_be_loaded_again() {
    if !require(Feature::UserNamespaces) {
        return;
    }
    let damaged = Damaged::new();
    let digest = |at: &Value| at.as_str().unwrap().to_owned();
    let (lower, upper) = (digest(&damaged.image["layers"][0]["digest"]), digest(&damaged.image["layers"][1]["digest"]));
    let is_damaged = format!("blob {upper} is damaged: its digest is sha256:");
    let of_image = format!("image \"docker.io/library/app:1\": its blob {upper} is damaged");
    for damage in [
        "printf X | dd of=$upper bs=1 seek=30 conv=notrunc status=none",
        "truncate -s 30 $upper",
        "truncate -s 0 $upper",
        "echo more >> $upper",
    ] {
        damaged.is_removed(damage, &[&is_damaged, &of_image], &["app:1"]);
    }
    let is_missing = format!("image \"docker.io/library/app:1\": its blob {upper} is missing");
    damaged.is_removed("rm $upper", &[&is_missing], &["app:1"]);
    damaged.is_removed("rm $upper; ln -s nowhere $upper", &[&is_missing], &["app:1"]);
    for damage in ["rm $upper; mkfifo $upper", "rm $upper; mkdir -p $upper/full"] {
        damaged.is_removed(damage, &[&format!("blob {upper}: "), "is not a regular file"], &["app:1"]);
    }
    if require(Feature::OrdinaryUser) {
        damaged.is_removed("chmod 0 $upper", &[&format!("blob {upper}: "), "Permission denied"], &["app:1"]);
    }
    // What two images share is both's damage.
    let both =
        ["app:1", "other:1"].map(|name| format!("image \"docker.io/library/{name}\": its blob {lower} is damaged"));
    damaged.is_removed("truncate -s 30 $lower", &both.each_ref().map(String::as_str), &["app:1", "other:1"]);

    for (blob, what) in [("manifest", "digest"), ("config", "id")] {
        let digest = digest(&damaged.image[what]);
        let of_image = format!("image \"docker.io/library/app:1\": the store's {blob} {digest} is damaged");
        let is_damaged = format!("blob {digest} is damaged: its digest is sha256:");
        for damage in ["printf X | dd of=$it bs=1 seek=30 conv=notrunc status=none", "truncate -s 30 $it"] {
            damaged.is_removed(&damage.replace("$it", &format!("${blob}")), &[&is_damaged, &of_image], &["app:1"]);
        }
        damaged.is_removed(&format!("rm ${blob}"), &[&of_image], &["app:1"]);
    }
}

#[test]
fn a_changed_layer_is_found_and_unpacked_again() {
    if !["getfattr", "setfattr"].iter().all(|tool| require(Feature::Program(tool))) || !require(Feature::UserNamespaces)
    {
        return;
    }
    let damaged = Damaged::new();
    for (damage, part) in [
        // Size and time are what they were, so that nothing but the content tells.
        (
            "cp -p $below/srv/file $store/kept; printf CONTENT > $below/srv/file; touch -r $store/kept $below/srv/file; rm $store/kept",
            "\"srv/file\" has another content",
        ),
        ("printf longer >> $below/srv/file", "\"srv/file\" has another size"),
        ("touch $below/srv/file", "\"srv/file\" has another modification time"),
        ("touch $below/srv", "\"srv\" has another modification time"),
        ("touch -h $below/srv/link", "\"srv/link\" has another modification time"),
        ("rm $below/srv/link", "\"srv/link\" is missing"),
        ("rm -r $below/srv", "\"srv\" is missing"),
        ("rm $below/srv/deep/deeper/still", "\"srv/deep/deeper/still\" is missing"),
        ("echo x > $below/srv/extra", "\"srv/extra\" is too much"),
        ("mkdir $below/implied/by/extra", "\"implied/by/extra\" is too much"),
        ("echo x > $below/.hidden", "\".hidden\" is too much"),
        ("chmod 0755 $below/srv/program", "\"srv/program\" has another mode"),
        ("chmod 0777 $below/srv", "\"srv\" has another mode"),
        ("chmod 0700 $below", "\".\" has another mode"),
        ("ln -sfn elsewhere $below/srv/link", "\"srv/link\" is a link to something else"),
        ("rm $below/srv/link; mkdir $below/srv/link", "\"srv/link\" is of another type"),
        ("rm $below/srv/program; mkfifo $below/srv/program", "\"srv/program\" is of another type"),
        (
            "cp -a $below/srv/second $below/srv/third; mv $below/srv/third $below/srv/second",
            "\"srv/second\" has another number of names",
        ),
        ("ln $below/srv/program $below/srv/more", "\"srv/program\" has another number of names"),
        ("setfattr -n user.colour -v red $below/srv/file", "\"srv/file\" has other extended attributes"),
        ("setfattr -x user.colour $below/srv/file", "\"srv/file\" has other extended attributes"),
        ("setfattr -n user.more -v x $below/srv", "\"srv\" has other extended attributes"),
        ("setfattr -n user.more -v x $below", "\".\" has other extended attributes"),
        // What hides the layer below is part of a layer.
        ("rm $above/srv/program", "\"srv/program\" is missing"),
        ("setfattr -x user.overlay.opaque $above/srv/deep", "\"srv/deep\" has other extended attributes"),
        ("rm -r $below/*", "\"implied\" is missing"),
        ("rm -r $below", "cannot open"),
        ("rm -r $below; touch $below", "cannot open"),
        ("rm -r ${below%/tree}; echo x > ${below%/tree}", "cannot open"),
    ] {
        damaged.is_mended(damage, &["layer sha256:", part]);
    }
    if ids() != Ids::One {
        // To another of the image's ids: they begin with the owner of the tree.
        for (path, name) in [("-h $below/srv/link", "srv/link"), ("$below/srv/deep", "srv/deep")] {
            let damage = format!("chown $(($(stat -c %u $below) + 1)) {path}");
            damaged.is_mended(&damage, &[&format!("{name:?} has another owner")]);
        }
    }
    // A layer that is not there is not damaged: it is unpacked when it is needed.
    damaged.damage("rm -r ${below%/tree}");
    damaged.assert_clean("a layer that is not unpacked");
    damaged.load();
    damaged.assert_whole("unpacked again");
}

#[test]
fn a_pod_runs_after_the_repair_of_its_layer_and_keeps_its_layer_while_it_runs() {
    let place = Place::with(&["busybox"]);
    let check = |options: &[&str]| place.podling(&[&["system", "check", "--quiet"], options].concat());
    let tree = trees(&place, "busybox").remove(0);
    let spoil = || {
        output_of(in_namespace().arg("touch").arg(tree.join("too-much"))).expect_success();
    };
    let pod = place.start(&shell("trap 'exit 0' TERM; echo ready; while true; do sleep 0.1; done"));
    pod.wait_for("ready");
    assert_eq!(check(&[]).expect_code(0).stdout, "");
    spoil();
    let output = check(&["--repair"]);
    output.expect_code(1);
    assert!(
        output.stdout.contains("stays, since a running pod uses it; repair again when the pod has ended"),
        "{output}"
    );
    assert!(tree.join("bin/busybox").exists());
    pod.stop().expect_success();
    assert!(check(&["--repair"]).expect_code(1).stdout.contains("removed unpacked layer"));
    assert!(!tree.exists());
    check(&[]).expect_code(0);
    assert_eq!(place.run(&shell("ls /; echo mended")).expect_success().lines_of("c").last(), Some(&"mended"));
    assert!(tree.join("bin/busybox").exists() && !tree.join("too-much").exists());
    check(&[]).expect_code(0);
    place.assert_nothing_left();
}

#[test]
fn a_damaged_index_is_found_and_begun_anew() {
    if !require(Feature::UserNamespaces) {
        return;
    }
    let damaged = Damaged::new();
    for damage in [
        "truncate -s 40 $store/images/index.json",
        "truncate -s 0 $store/images/index.json",
        "echo '{\"schemaVersion\": 2, \"manifests\": [{\"digest\": 7}]}' > $store/images/index.json",
        "sed -i s/sha256:/sha256:zz/ $store/images/index.json",
    ] {
        damaged.damage(damage);
        damaged.assert_found(damage, &["index.json is damaged"]);
        let done = damaged.repair(damage);
        assert!(done.contains("removed index.json, and with it every image: pull or load them again"), "{done}");
        damaged.assert_clean(damage);
        assert_eq!((names(&damaged.place), parts(&damaged.place)), (vec![], (0, 0)));
        damaged.load();
        damaged.assert_whole(damage);
    }
    // Without an index there are no images, which is how a store begins.
    damaged.damage("rm $store/images/index.json");
    let output = damaged.check(&[]);
    assert_eq!(output.expect_code(0).stdout, "");
    assert!(
        output.stderr.contains("10 blobs and layers belong to no image; `podling image prune` removes them"),
        "{output}"
    );
    damaged.place.podling(&["image", "prune", "--force"]).expect_success();
    assert_eq!(parts(&damaged.place), (0, 0));
    damaged.load();
    damaged.assert_whole("after its index was lost");
}

#[test]
fn a_store_that_others_can_write_is_found_and_closed() {
    if !require(Feature::UserNamespaces) {
        return;
    }
    let damaged = Damaged::new();
    for (place, mode) in [("$store/images", "770"), ("$store/layers", "702")] {
        let damage = format!("chmod {mode} {place}");
        damaged.damage(&damage);
        damaged.assert_found(&damage, &["is not a directory that only its owner can write"]);
        let done = damaged.repair(&damage);
        assert!(done.contains("took the right to write") && done.lines().count() == 1, "{done}");
        damaged.assert_whole(&damage);
    }
    // In a directory that others can write, podling does nothing at all.
    damaged.damage("chmod 777 $store");
    damaged.check(&[]).expect_refusal(&["is not a directory that only its owner, this user, can write"]);
    damaged.damage("chmod 700 $store");
    damaged.assert_whole("after podling's own directory was open");
}

#[test]
fn what_is_left_over_is_noted_and_is_no_damage() {
    if !require(Feature::UserNamespaces) {
        return;
    }
    let damaged = Damaged::new();
    let noted = |part: &str| {
        let output = damaged.check(&[]);
        assert_eq!(output.expect_code(0).stdout, "");
        assert!(output.stderr.contains(part) && output.stderr.contains("all whole"), "{part:?} is not noted: {output}");
        let quiet = damaged.check(&["--quiet"]);
        assert_eq!((quiet.code, quiet.stdout.as_str(), quiet.stderr.as_str()), (Some(0), "", ""));
    };
    // Of a podling that was killed. The next one that makes something removes it.
    damaged.damage("mkdir -p $store/staging/load-dead/layers/layer-0/tree; echo x > $store/staging/load-dead/blob");
    noted("1 staging directories are left of podlings that were killed; the next one removes them");
    damaged.load();
    damaged.assert_whole("after the orphaned staging directory");

    damaged.damage("cd $store/images/blobs/sha256; echo orphan > o; mv o $(sha256sum o | cut -c-64)");
    damaged.damage("mkdir -p ${below%/*/tree}/$(echo orphan | sha256sum | cut -c-64)/tree");
    noted("2 blobs and layers belong to no image; `podling image prune` removes them");
    damaged.place.podling(&["image", "prune", "--force"]).expect_success();
    damaged.assert_whole("after the orphaned blob");

    // Nobody's blob can be damaged, too, and then nothing is lost with it.
    damaged.damage("cd $store/images/blobs/sha256; echo orphan > $(echo else | sha256sum | cut -c-64)");
    damaged.assert_found("an orphan", &["is damaged: its digest is"]);
    assert!(damaged.repair("an orphan").starts_with("removed blob sha256:"));
    damaged.assert_whole("after the damaged orphan");

    // What is not podling's stays.
    damaged.damage("echo mine > $store/images/blobs/sha256/notes");
    noted("notes is no blob of podling's");
    damaged.place.podling(&["image", "prune", "--force"]).expect_success();
    damaged.damage("rm $store/images/blobs/sha256/notes");

    damaged.damage("mkdir -p $store/layers/other-map/sha256; cp -r ${below%/tree} $store/layers/other-map/sha256/");
    noted("1 layers of another id map");
    damaged.damage("rm -r $store/layers/other-map");
    damaged.assert_whole("after the other id map");
}

/// Whoever reads a check's findings must be able to trust them, also while others pull and remove.
#[test]
fn what_comes_and_goes_meanwhile_is_no_damage() {
    let damaged = Damaged::new();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let ordering = std::sync::atomic::Ordering::Relaxed;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(ordering) {
                damaged.place.podling(&["image", "rm", "other:1", "app:1"]).expect_success();
                damaged.load();
            }
        });
        let outputs: Vec<Output> = (0..40).map(|_| damaged.check(&["--quiet"])).collect();
        stop.store(true, ordering);
        for output in outputs {
            assert_eq!((output.code, output.stdout.as_str(), output.stderr.as_str()), (Some(0), "", ""));
        }
    });
    damaged.assert_whole("after all");
}

#[test]
fn a_truncated_blob_is_replaced_by_a_load_even_before_a_check() {
    if !require(Feature::UserNamespaces) {
        return;
    }
    let damaged = Damaged::new();
    damaged.damage("truncate -s 30 $upper");
    damaged.load();
    damaged.assert_whole("loaded again");
    // What cannot be replaced is said, not passed over.
    damaged.damage("rm $upper; mkdir $upper");
    let again = damaged.place.podling(&["image", "load", "app.tar"]);
    again.expect_refusal(&["cannot move"]);
    damaged.repair("a directory");
    damaged.load();
    damaged.assert_whole("repaired and loaded again");
}

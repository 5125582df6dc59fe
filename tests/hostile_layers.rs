//! Layers that mean harm: each is refused with its entry named and nothing outside the staging directory touched, or it is
//! accepted and comes to what the row says.

mod archives;
mod support;

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use archives::image::{Files, Layer};
use archives::tar::{Entry, archive};
use archives::yard::{UP, Yard};

/// Loads a layer of `entries` and checks that it is refused, with all of `fragments` in the message.
fn refused(yard: &Yard, what: &str, entries: &[Entry], fragments: &[&str]) {
    let before = yard.snapshot();
    let source = Files::oci("hostile:1", &[Layer::gzip(&archive(entries))]).to_tar();
    let output = yard.load(&source);
    yard.assert_refused(what, &output, &before, fragments);
}

/// Loads a layer of `entries` and hands its tree and the warnings to `check`.
fn accepted(what: &str, entries: &[Entry], check: impl FnOnce(&Path, &str)) {
    let yard = Yard::new();
    let source = Files::oci("hostile:1", &[Layer::gzip(&archive(entries))]).to_tar();
    let (tree, message) = yard.accept(what, &source, "hostile:1");
    check(&tree, &message);
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap()
}

fn is_whiteout(path: impl AsRef<Path>) -> bool {
    fs::symlink_metadata(path).is_ok_and(|stat| stat.file_type().is_char_device() && stat.rdev() == 0)
}

fn is_opaque(path: impl AsRef<Path>) -> bool {
    let dir = fs::File::open(path).unwrap();
    podling::sys::xattr::get(&dir, c"user.overlay.opaque").unwrap().as_deref() == Some(b"y")
}

#[test]
fn names_that_leave_the_layer_are_refused() {
    let yard = Yard::new();
    let absolute = format!("{}/new", yard.canary().display());
    refused(&yard, "absolute name", &[Entry::file(&absolute, "x")], &["/new\"", "absolute"]);
    for (what, name) in [
        ("climbing at once", format!("{UP}/canary/new")),
        ("climbing in the middle", format!("a/../{UP}/canary/new")),
        ("climbing at the end", "a/b/..".to_owned()),
        ("only dots", "..".to_owned()),
        ("after a dot", format!("./{UP}/canary/file")),
        ("with doubled slashes", format!("a//..//{UP}//canary/file")),
    ] {
        let entry = format!("entry {name:?}");
        refused(&yard, what, &[Entry::dir("a"), Entry::file(&name, "x")], &[&entry, "climbs"]);
        refused(&yard, what, &[Entry::dir("a"), Entry::dir(&name)], &[&entry, "climbs"]);
    }
    let climbing = format!("{UP}/canary/new");
    let tricks = [
        ("a PAX path", Entry::file("harmless", "x").pax("path", &climbing)),
        ("the later of two PAX paths", Entry::file("harmless", "x").pax("path", "harmless").pax("path", &climbing)),
        ("a ustar prefix", Entry::file("canary/new", "x").raw(345, UP.as_bytes())),
    ];
    for (what, entry) in tricks {
        refused(&yard, what, &[entry], &[&format!("{climbing:?}"), "climbs"]);
    }
    let long = [Entry::new(b'L', "././@LongLink").content(format!("{climbing}\0")), Entry::file("harmless", "x")];
    refused(&yard, "a GNU long name", &long, &[&format!("{climbing:?}"), "climbs"]);
}

#[test]
fn names_that_no_file_system_has_are_refused() {
    let yard = Yard::new();
    let rows = [
        ("an empty name", Entry::file("", "x"), "empty"),
        ("a NUL in a PAX path", Entry::file("a", "x").pax("path", "etc/passwd\0.txt"), "NUL"),
        ("a component of 300 bytes", Entry::file("n".repeat(300), "x"), "255"),
        ("a path of 5000 bytes", Entry::file("d/".repeat(2500) + "f", "x"), "4095"),
        ("a NUL in a PAX link target", Entry::symlink("a", "b").pax("linkpath", "b\0c"), "NUL"),
        ("an empty link target", Entry::symlink("a", ""), "empty"),
        ("the root as a link", Entry::symlink("./", "x"), "root"),
    ];
    for (what, entry, why) in rows {
        refused(&yard, what, &[entry], &["entry", why]);
    }
    // Printed, these would turn a terminal red or forge a second line; assert_refused looks for such bytes.
    let forged = format!("{UP}/x\npodling: all is well\x1b[31m");
    refused(&yard, "a name with a newline", &[Entry::file(forged, "x")], &["climbs", "x\\npodling", "\\u{1b}"]);
}

#[test]
fn links_that_leave_the_layer_are_refused() {
    let yard = Yard::new();
    let canary = yard.canary();
    let (file, dir) = (format!("{}/file", canary.display()), format!("{}/dir", canary.display()));
    let up_dir = format!("{UP}/canary/dir");
    let up_from_d = format!("../{UP}/canary/dir");
    let rows: Vec<(&str, Vec<Entry>, &[&str])> = vec![
        ("hard link to an absolute path", vec![Entry::hard_link("h", &file)], &["entry \"h\"", "absolute"]),
        ("hard link that climbs", vec![Entry::hard_link("h", format!("{UP}/canary/file"))], &["entry \"h\"", "climbs"]),
        (
            "hard link in a PAX record",
            vec![Entry::file("a", ""), Entry::hard_link("h", "a").pax("linkpath", format!("{UP}/canary/file"))],
            &["entry \"h\"", "climbs"],
        ),
        (
            "hard link through a symlink",
            vec![Entry::symlink("d", &dir), Entry::hard_link("h", "d/inside")],
            &["entry \"h\"", "\"d/inside\"", "out of the layer"],
        ),
        (
            "hard link through a climbing symlink",
            vec![Entry::symlink("d", &up_dir), Entry::hard_link("h", "d/inside")],
            &["entry \"h\"", "out of the layer"],
        ),
        ("hard link to what is not there", vec![Entry::hard_link("h", "no")], &["entry \"h\"", "\"no\""]),
        (
            "hard link to a later file",
            vec![Entry::hard_link("h", "a"), Entry::file("a", "")],
            &["entry \"h\"", "\"a\""],
        ),
        ("hard link to a directory", vec![Entry::dir("a"), Entry::hard_link("h", "a")], &["entry \"h\"", "directory"]),
        ("hard link to the root", vec![Entry::hard_link("h", ".")], &["entry \"h\""]),
        (
            "file through an absolute symlink",
            vec![Entry::symlink("d", &dir), Entry::file("d/new", "x")],
            &["entry \"d/new\"", "symlink that leaves the layer"],
        ),
        (
            "file through a climbing symlink",
            vec![Entry::symlink("d", &up_dir), Entry::file("d/inside", "x")],
            &["entry \"d/inside\"", "symlink that leaves the layer"],
        ),
        (
            "file through a chain of two",
            vec![
                Entry::dir("d"),
                Entry::symlink("d/out", &up_from_d),
                Entry::symlink("e", "d/out"),
                Entry::file("e/new", "x"),
            ],
            &["entry \"e/new\"", "symlink that leaves the layer"],
        ),
        (
            "directory through a symlink",
            vec![Entry::symlink("d", &dir), Entry::dir("d/new")],
            &["entry \"d/new\"", "symlink that leaves the layer"],
        ),
        (
            "missing directory behind a symlink",
            vec![Entry::symlink("d", &dir), Entry::file("d/new/deeper/file", "x")],
            &["entry \"d/new/deeper/file\"", "symlink that leaves the layer"],
        ),
        (
            "symlink through a symlink",
            vec![Entry::symlink("d", &dir), Entry::symlink("d/new", "x")],
            &["entry \"d/new\"", "symlink that leaves the layer"],
        ),
        (
            "through the proc file system",
            vec![Entry::symlink("d", "/proc/self/cwd"), Entry::file("d/new", "x")],
            &["entry \"d/new\"", "symlink that leaves the layer"],
        ),
        ("a loop of symlinks", vec![Entry::symlink("d", "d"), Entry::file("d/new", "x")], &["entry \"d/new\"", "loop"]),
        (
            "a directory that became a symlink",
            vec![Entry::dir("d"), Entry::file("d/a", "x"), Entry::symlink("d", &dir), Entry::file("d/inside", "x")],
            &["entry \"d/inside\"", "symlink that leaves the layer"],
        ),
        (
            "a directory below a file",
            vec![Entry::file("f", "x"), Entry::file("f/below", "x")],
            &["entry \"f/below\"", "not a directory"],
        ),
    ];
    for (what, entries, fragments) in rows {
        refused(&yard, what, &entries, fragments);
    }
}

#[test]
fn whiteouts_that_climb_are_refused() {
    let yard = Yard::new();
    let climbing = format!("{UP}/canary/.wh.file");
    refused(&yard, "whiteout outside", &[Entry::file(&climbing, "")], &[&format!("{climbing:?}"), "climbs"]);
    for name in [".wh.", ".wh..", ".wh...", "a/.wh..."] {
        let entries = [Entry::dir("a"), Entry::file(name, "")];
        refused(&yard, name, &entries, &[&format!("entry {name:?}"), "climbs"]);
    }
    let dir = format!("{}/dir", yard.canary().display());
    for name in ["d/.wh.inside", "d/.wh..wh..opq"] {
        let entries = [Entry::symlink("d", &dir), Entry::file(name, "")];
        refused(&yard, name, &entries, &[&format!("entry {name:?}"), "symlink that leaves the layer"]);
    }
    let below = [Entry::dir(".wh.a"), Entry::file(".wh.a/b", "")];
    refused(&yard, "a file below a whiteout", &below, &["entry \".wh.a/b\"", "whiteout"]);
    let below = [Entry::dir("a/.wh..wh..opq"), Entry::file("a/.wh..wh..opq/b", "")];
    refused(&yard, "a file below an opaque mark", &below, &["entry \"a/.wh..wh..opq/b\"", "whiteout"]);
}

#[test]
fn whiteouts_are_the_kernels_own() {
    let entries = [
        Entry::file(".wh.gone", ""),
        Entry::file("d/.wh..hidden", ""),
        Entry::file("stays", "x"),
        Entry::file(".wh.stays", ""),
        Entry::dir("both"),
        Entry::file("both/inside", "x"),
        Entry::file(".wh.both", ""),
        Entry::file(".wh.later", ""),
        Entry::dir("later"),
        Entry::dir("o"),
        Entry::dir("o/.wh..wh..opq"),
        Entry::dir(".wh..wh.plnk"),
        Entry::file(".wh..wh.plnk/1", ""),
    ];
    accepted("whiteouts", &entries, |tree, message| {
        assert!(is_whiteout(tree.join("gone")) && is_whiteout(tree.join("d/.hidden")));
        // A whiteout is about the layers below, so what this layer has itself stays.
        assert_eq!(read(tree.join("stays")), "x");
        assert_eq!(read(tree.join("both/inside")), "x");
        assert!(is_opaque(tree.join("both")) && is_opaque(tree.join("later")));
        assert!(is_opaque(tree.join("o")) && !is_opaque(tree.join("d")));
        assert!(!tree.join(".wh..wh.plnk").exists() && message.contains("aufs"), "{message}");
    });
}

#[test]
fn devices_are_left_out_and_make_no_whiteout() {
    let entries = [
        Entry::device(b'3', "null", 1, 3),
        Entry::device(b'4', "sda", 8, 0),
        Entry::device(b'3', "fake-whiteout", 0, 0),
        Entry::new(b'6', "fifo").mode(0o620),
    ];
    accepted("devices", &entries, |tree, message| {
        let names: Vec<_> = fs::read_dir(tree).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["fifo"]);
        let fifo = fs::symlink_metadata(tree.join("fifo")).unwrap();
        assert!(fifo.file_type().is_fifo() && fifo.mode() & 0o7777 == 0o620);
        assert!(message.contains("\"null\" and 2 more"), "{message}");
    });
}

#[test]
fn only_attributes_of_the_image_are_kept() {
    let yard = Yard::new();
    for name in ["trusted.overlay.redirect", "trusted.overlay.opaque", "user.overlay.opaque", "user.overlay.redirect"] {
        let entry = Entry::dir("d").xattr(name, "/../..");
        refused(&yard, name, &[entry], &["entry \"d\"", name]);
    }
    let entries = [
        Entry::file("selinux", "x").xattr("security.selinux", "system_u:object_r:etc_t:s0"),
        Entry::file("capability", "x").xattr("security.capability", [1, 2, 3]),
        Entry::file("huge-capability", "x").xattr("security.capability", [0xff; 64]),
        Entry::file("kept", "x").xattr("user.note", "a\0b"),
    ];
    accepted("attributes", &entries, |tree, message| {
        let of = |name: &str| podling::sys::xattr::list(fs::File::open(tree.join(name)).unwrap()).unwrap();
        for name in ["selinux", "capability", "huge-capability"] {
            assert!(of(name).is_empty(), "{name}: {:?}", of(name));
        }
        let note = podling::sys::xattr::get(fs::File::open(tree.join("kept")).unwrap(), c"user.note").unwrap();
        assert_eq!(note.unwrap(), b"a\0b");
        for name in ["security.selinux", "security.capability"] {
            assert!(message.contains(name), "{message}");
        }
    });
}

#[test]
fn later_entries_replace_earlier_ones() {
    let entries = [
        Entry::file("a", "file"),
        Entry::dir("a"),
        Entry::file("a/inside", "x"),
        Entry::file("a", "file again"),
        Entry::dir("b"),
        Entry::file("b/inside", "x"),
        Entry::symlink("b", "c"),
        Entry::dir("c"),
        Entry::file("b/through", "in c"),
        Entry::file("original", "kept").mode(0o4755),
        Entry::hard_link("link", "original"),
        Entry::file("original", "another"),
        Entry::symlink("s", "/nowhere"),
        Entry::file("s", "no link"),
        Entry::file("t", "1"),
        Entry::file("./t", "2"),
    ];
    accepted("replacements", &entries, |tree, _| {
        assert_eq!(read(tree.join("a")), "file again");
        assert_eq!(fs::read_link(tree.join("b")).unwrap(), Path::new("c"));
        assert_eq!(read(tree.join("c/through")), "in c");
        assert_eq!((read(tree.join("link")), read(tree.join("original"))), ("kept".into(), "another".into()));
        assert_eq!(fs::symlink_metadata(tree.join("link")).unwrap().mode() & 0o7777, 0o4755);
        assert_eq!(read(tree.join("s")), "no link");
        assert_eq!(read(tree.join("t")), "2");
    });
}

#[test]
fn symlinks_may_point_anywhere_but_are_not_followed_out() {
    let entries = [
        Entry::symlink("absolute", "/etc/shadow"),
        Entry::symlink("climbing", format!("{UP}/canary/file")),
        Entry::hard_link("second", "absolute"),
        Entry::dir("inside"),
        Entry::symlink("within", "inside"),
        Entry::file("within/file", "x"),
    ];
    accepted("symlinks", &entries, |tree, _| {
        assert_eq!(fs::read_link(tree.join("absolute")).unwrap(), Path::new("/etc/shadow"));
        assert_eq!(fs::read_link(tree.join("second")).unwrap(), Path::new("/etc/shadow"));
        assert_eq!(read(tree.join("inside/file")), "x");
    });
}

#[test]
fn strange_but_honest_names_are_kept() {
    let deep = format!("{}f", "d/".repeat(2047));
    let entries = [
        Entry::file("new\nline", "x"),
        Entry::file("n".repeat(255), "x"),
        Entry::file(b"not utf-8 \xff\xfe", "x"),
        Entry::file("...", "x"),
        Entry::file("-rf *", "x"),
        Entry::file(deep, "x"),
    ];
    accepted("names", &entries, |tree, _| {
        for name in ["new\nline", &"n".repeat(255), "...", "-rf *"] {
            assert_eq!(read(tree.join(name)), "x", "{name}");
        }
        use std::os::unix::ffi::OsStrExt;
        assert_eq!(read(tree.join(std::ffi::OsStr::from_bytes(b"not utf-8 \xff\xfe"))), "x");
    });
}

#[test]
fn ids_that_cannot_be_are_refused() {
    let yard = Yard::new();
    for (what, entry) in [
        ("a user id of 33 bits", Entry::file("f", "x").uid(1 << 32)),
        ("the user id that means none", Entry::file("f", "x").uid(u64::from(u32::MAX))),
        ("a group id of 63 bits", Entry::file("f", "x").gid(u64::MAX >> 1)),
        ("a user id in a PAX record", Entry::file("f", "x").pax("uid", "4294967296")),
    ] {
        refused(&yard, what, &[entry], &["entry \"f\"", "id"]);
    }
    let words = Entry::file("f", "x").pax("gid", "-1");
    refused(&yard, "a negative group id", &[words], &["entry \"f\"", "not a number"]);
}

//! One table of hostile archives and images, each with its verdict: refused, with a reason, or harmless, which a check says.
//!
//! The other hostile_*.rs test what podling promises, one promise at a time. This is the list of tricks: those that other programs'
//! suites try, those that made their advisories, and every place where GNU tar, bsdtar and docker read the same bytes differently.

mod archives;
mod support;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use archives::image::{Files, Layer, blob_path, config, digest, gzip, gzip_best, with};
use archives::tar::{Entry, archive, gnu_long, pax_header, without_end};
use archives::yard::{UP, Yard};
use podling::sys::xattr;
use serde_json::{Value, json};
use support::{Feature, Ids, Output, ids, images, require, shell_with};

const NAME: &str = "hostile:1";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

struct Row {
    what: &'static str,
    /// What `image load` gets, and with which options.
    source: Vec<u8>,
    options: Vec<&'static str>,
    verdict: Verdict,
}

enum Verdict {
    /// Refused when it is loaded, with this in the message.
    Refused(String),
    /// Loaded, and what the check says holds.
    Harmless(Box<dyn Fn(&Loaded)>),
}

/// What became of an image that was loaded.
struct Loaded<'a> {
    yard: &'a Yard,
    trees: Vec<PathBuf>,
    /// What podling said about it.
    said: String,
}

impl Loaded<'_> {
    fn at(&self, name: impl AsRef<[u8]>) -> PathBuf {
        self.trees.last().unwrap().join(OsStr::from_bytes(name.as_ref()))
    }

    fn stat(&self, name: impl AsRef<[u8]>) -> fs::Metadata {
        let path = self.at(name);
        fs::symlink_metadata(&path).unwrap_or_else(|e| panic!("{path:?}: {e}"))
    }

    #[track_caller]
    fn has(&self, name: impl AsRef<[u8]>, content: &str) {
        let path = self.at(name);
        assert!(self.stat(path.as_os_str().as_bytes()).is_file(), "{path:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), content, "{path:?}");
    }

    #[track_caller]
    fn has_link(&self, name: &str, target: &str) {
        assert_eq!(fs::read_link(self.at(name)).unwrap(), Path::new(target));
    }

    /// These are all names in the layer's root.
    #[track_caller]
    fn has_only(&self, names: &[&str]) {
        let mut found: Vec<_> = fs::read_dir(self.at("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        found.sort();
        assert_eq!(found, names);
    }

    #[track_caller]
    fn attributes(&self, name: &str, expected: &[(&str, &[u8])]) {
        let file = fs::File::open(self.at(name)).unwrap();
        let mut found: Vec<_> = xattr::list(&file).unwrap().into_iter().collect();
        found.sort();
        let found: Vec<_> =
            found.iter().map(|name| (name.to_str().unwrap(), xattr::get(&file, name).unwrap())).collect();
        let expected: Vec<_> = expected.iter().map(|(name, value)| (*name, Some(value.to_vec()))).collect();
        assert_eq!(found, expected);
    }

    #[track_caller]
    fn hides(&self, name: &str) {
        let stat = self.stat(name);
        assert!(stat.file_type().is_char_device() && stat.rdev() == 0, "{name} is no whiteout");
    }

    #[track_caller]
    fn is_opaque(&self, name: &str) {
        let dir = fs::File::open(self.at(name)).unwrap();
        assert_eq!(xattr::get(&dir, c"user.overlay.opaque").unwrap().as_deref(), Some(&b"y"[..]), "{name}");
    }

    #[track_caller]
    fn warned(&self, part: &str) {
        assert!(self.said.contains(part), "{part:?} is not said: {}", self.said);
    }

    /// Runs a container of the image, to its end.
    fn run(&self, script: &str, container: &str) -> Output {
        fs::write(self.yard.path().join("source"), shell_with(NAME, script, container, "")).unwrap();
        let output = self.yard.podling(&["run", "source"]);
        fs::remove_file(self.yard.path().join("source")).unwrap();
        output
    }
}

#[derive(Default)]
struct Table(Vec<Row>);

impl Table {
    fn source(&mut self, what: &'static str, source: Vec<u8>, verdict: Verdict) {
        self.0.push(Row { what, source, options: Vec::new(), verdict });
    }

    fn layers(&mut self, what: &'static str, layers: &[Layer], verdict: Verdict) {
        self.source(what, Files::oci(NAME, layers).to_tar(), verdict);
    }

    fn tar(&mut self, what: &'static str, tar: &[u8], verdict: Verdict) {
        self.layers(what, &[Layer::gzip(tar)], verdict);
    }

    fn row(&mut self, what: &'static str, entries: &[Entry], verdict: Verdict) {
        self.tar(what, &archive(entries), verdict);
    }

    fn files(&mut self, what: &'static str, files: &Files, verdict: Verdict) {
        self.source(what, files.to_tar(), verdict);
    }
}

fn refused(why: impl Into<String>) -> Verdict {
    Verdict::Refused(why.into())
}

fn harmless(check: impl Fn(&Loaded) + 'static) -> Verdict {
    Verdict::Harmless(Box::new(check))
}

fn names(table: &mut Table, yard: &Yard) {
    let absolute = yard.canary().join("file").display().to_string();
    let climbing = format!("{UP}/canary/file");
    let file = |name: &str| Entry::file(name, "x");
    let piece = |length: usize| "n".repeat(length);
    table.row("an absolute name", &[file(&absolute)], refused("absolute"));
    table.row("an absolute name in a PAX record", &[file("a").pax("path", &absolute)], refused("absolute"));
    table.row("an absolute GNU long name", &[gnu_long(b'L', &absolute), file("a")], refused("absolute"));
    table.row("a name that starts with two slashes", &[file("//a")], refused("absolute"));
    table.row("a prefix that is a slash", &[file("etc/passwd").raw(345, b"/")], refused("absolute"));
    table.row("a name that climbs", &[file(&climbing)], refused("climbs"));
    table.row("a directory's name that climbs", &[Entry::dir(&climbing)], refused("climbs"));
    table.row("a name that climbs out of a directory", &[file(&format!("a/../{climbing}"))], refused("climbs"));
    table.row("a name that climbs and comes back", &[file("a/../b")], refused("climbs"));
    table.row("a name that ends with dots", &[Entry::dir("a"), Entry::dir("a/..")], refused("climbs"));
    table.row("a climbing PAX path", &[file("a").pax("path", &climbing)], refused("climbs"));
    table.row("a climbing GNU long name", &[gnu_long(b'L', &climbing), file("a")], refused("climbs"));
    table.row("a climbing prefix", &[file("canary/file").raw(345, UP.as_bytes())], refused("climbs"));
    table.row("dots beside backslashes are a name", &[file("..\\..\\a")], harmless(|it| it.has("..\\..\\a", "x")));
    table.row("more dots than two are a name", &[file(".../....")], harmless(|it| it.has(".../....", "x")));
    table.row("an empty name", &[file("")], refused("empty"));
    table.row("an empty GNU long name", &[gnu_long(b'L', ""), file("a")], refused("empty"));
    table.row("an empty PAX path", &[file("a").pax("path", "")], refused("\"path\" is empty"));
    table.row("NUL in a PAX path", &[file("a").pax("path", "passwd\0.txt")], refused("NUL"));
    table.row("NUL in a GNU long name", &[gnu_long(b'L', "passwd\0.txt"), file("a")], refused("NUL"));
    table.row(
        "a GNU long name with more NULs than one at its end",
        &[gnu_long(b'L', "a\0\0"), file("b")],
        harmless(|it| it.has_only(&["a"])),
    );
    let controls = "new\nline \x1b[31m\x07\x7f\t\r";
    table.row("control characters are kept", &[file(controls)], harmless(move |it| it.has(controls, "x")));
    let bytes = b"\xff\xfe\xc3\x28";
    table.row("a name that is no UTF-8 is kept", &[Entry::file(bytes, "x")], harmless(move |it| it.has(bytes, "x")));
    table.row(
        "a PAX path that is no UTF-8 is kept",
        &[Entry::file("a", "x").pax("path", bytes)],
        harmless(move |it| it.has(bytes, "x")),
    );
    table.row(
        "dots and doubled slashes mean nothing",
        &[Entry::dir("./"), Entry::dir("."), Entry::dir(".//./a//"), file("a/.//b")],
        harmless(|it| it.has("a/b", "x")),
    );
    table.row("the root as a symlink", &[Entry::symlink(".", "/"), file("etc/passwd")], refused("root"));
    table.row("the root as a hard link", &[file("a"), Entry::hard_link("./", "a")], refused("root"));
    table.row("the root as a file", &[Entry::file("./.", "").raw(156, b"0")], refused("root"));
    let long = piece(255);
    let kept = long.clone();
    table.row("a name of 255 bytes", &[file(&long)], harmless(move |it| it.has(&kept, "x")));
    table.row("a name of 256 bytes", &[file(&piece(256))], refused("255"));
    table.row("a path of 5000 bytes", &[file(&format!("{}f", "d/".repeat(2500)))], refused("4095"));
    table.row(
        "a directory 2000 deep",
        &[Entry::dir("d/".repeat(2000)), file("d/a")],
        harmless(|it| it.has("d/a", "x")),
    );
    table.row(
        "two names that differ by case or by Unicode's forms are two",
        &[Entry::file("File", "1"), Entry::file("file", "2"), Entry::file("\u{e9}", "3"), Entry::file("e\u{301}", "4")],
        harmless(|it| {
            for (name, content) in [("File", "1"), ("file", "2"), ("\u{e9}", "3"), ("e\u{301}", "4")] {
                it.has(name, content);
            }
        }),
    );
}

fn links(table: &mut Table, yard: &Yard) {
    let (outside, inside) =
        (yard.canary().display().to_string(), yard.canary().join("dir/inside").display().to_string());
    let climbing = format!("{UP}/canary");
    let file = |name: &str| Entry::file(name, "x");
    let leaves = "symlink that leaves the layer";
    for (what, target) in [
        ("a file through an absolute symlink", outside.as_str()),
        ("a file through a climbing symlink", &climbing),
        ("a file through a symlink to the root", "/"),
        ("a file through a symlink to the directory above", ".."),
        ("a file through a symlink into /proc", "/proc/self/cwd"),
    ] {
        table.row(what, &[Entry::symlink("d", target), file("d/file")], refused(leaves));
    }
    let through = |last: Entry| [Entry::symlink("d", &outside), last];
    table.row("a directory through a symlink", &through(Entry::dir("d/dir")), refused(leaves));
    table.row("a directory's mode through a symlink", &through(Entry::dir("d/dir").mode(0)), refused(leaves));
    table.row("a symlink through a symlink", &through(Entry::symlink("d/file", "x")), refused(leaves));
    table.row("a FIFO through a symlink", &through(Entry::new(b'6', "d/file")), refused(leaves));
    table.row("a whiteout through a symlink", &through(Entry::file("d/.wh.file", "")), refused(leaves));
    table.row("an opaque mark through a symlink", &through(Entry::file("d/dir/.wh..wh..opq", "")), refused(leaves));
    table.row(
        "a hard link made through a symlink",
        &[file("a"), Entry::symlink("d", &outside), Entry::hard_link("d/new", "a")],
        refused(leaves),
    );
    table.row(
        "a hard link to what is behind a symlink",
        &through(Entry::hard_link("h", "d/file")),
        refused("out of the layer"),
    );
    table.row(
        "a directory entry in place of a symlink",
        &[Entry::symlink("d", &outside), Entry::dir("d").mode(0o700), file("d/file")],
        harmless(|it| {
            it.has("d/file", "x");
            assert!(it.stat("d").is_dir());
        }),
    );
    table.row(
        "a directory that became a symlink and is filled",
        &[Entry::dir("d"), file("d/a"), Entry::symlink("d", &outside), file("d/file")],
        refused(leaves),
    );
    table.row(
        "a chain of symlinks",
        &[Entry::symlink("a", "b/c"), Entry::dir("b"), Entry::symlink("b/c", &climbing), file("a/file")],
        refused(leaves),
    );
    table.row(
        "a loop of symlinks",
        &[Entry::symlink("a", "b"), Entry::symlink("b", "a"), file("a/x")],
        refused("loop"),
    );
    table.row("a symlink to itself", &[Entry::symlink("a", "a"), file("a/x")], refused("loop"));
    table.row(
        "a symlink that stays inside",
        &[
            Entry::dir("d"),
            Entry::symlink("d/up", ".."),
            Entry::symlink("d/here", "."),
            file("d/up/a"),
            file("d/here/b"),
        ],
        harmless(|it| {
            it.has("a", "x");
            it.has("d/b", "x");
        }),
    );
    table.row("a dangling symlink as a directory", &[Entry::symlink("d", "no"), file("d/a")], refused("nowhere"));
    let target = outside.clone();
    table.row(
        "a symlink out is kept and not followed",
        &[Entry::symlink("a", &outside).mode(0o777).uid(0)],
        harmless(move |it| it.has_link("a", &target)),
    );
    let target = format!("{outside}/file");
    table.row(
        "a file in place of a symlink",
        &[Entry::symlink("a", &target), file("a")],
        harmless(|it| it.has("a", "x")),
    );
    let kept = target.clone();
    table.row(
        "a file in place of a hard link to a symlink",
        &[Entry::symlink("s", &target), Entry::hard_link("h", "s"), file("h")],
        harmless(move |it| {
            it.has("h", "x");
            it.has_link("s", &kept);
        }),
    );
    table.row("an empty symlink", &[Entry::symlink("a", "")], refused("empty"));
    table.row("a symlink of 5000 bytes", &[Entry::symlink("a", "t".repeat(5000))], refused("4095"));
    table.row("NUL in a symlink", &[Entry::symlink("a", "b").pax("linkpath", "/etc\0/x")], refused("NUL"));
    table.row("a hard link to an absolute name", &[Entry::hard_link("h", &inside)], refused("absolute"));
    table.row("a hard link that climbs", &[Entry::hard_link("h", format!("{climbing}/file"))], refused("climbs"));
    table.row(
        "a hard link that climbs in a PAX record",
        &[file("a"), Entry::hard_link("h", "a").pax("linkpath", format!("{climbing}/file"))],
        refused("climbs"),
    );
    table.row(
        "a hard link that climbs in a GNU long link",
        &[file("a"), gnu_long(b'K', format!("{climbing}/file")), Entry::hard_link("h", "a")],
        refused("climbs"),
    );
    table.row("a hard link to itself", &[file("a"), Entry::hard_link("a", "./a")], harmless(|it| it.has("a", "x")));
    table.row(
        "a hard link to itself alone",
        &[Entry::hard_link("a", "a"), file("b")],
        harmless(|it| it.has_only(&["b"])),
    );
    table.row("a hard link to nothing", &[Entry::hard_link("h", "no")], refused("not an earlier entry"));
    table.row("a hard link to a directory", &[Entry::dir("d"), Entry::hard_link("h", "d")], refused("directory"));
    table.row("a hard link to the root", &[Entry::hard_link("h", ".")], refused("not an earlier entry"));
    table.row(
        "a hard link to what a later entry removed",
        &[Entry::dir("d"), file("d/a"), Entry::file("d", ""), Entry::hard_link("h", "d/a")],
        refused("not an earlier entry"),
    );
    table.row(
        "a hard link to a whiteout",
        &[Entry::file(".wh.a", ""), Entry::hard_link("h", "a")],
        refused("whiteout"),
    );
    table.row(
        "a file in place of a hard link leaves the other name alone",
        &[Entry::file("a", "first").mode(0o4755), Entry::hard_link("b", "a"), file("b")],
        harmless(|it| {
            it.has("a", "first");
            it.has("b", "x");
            assert_eq!((it.stat("a").mode() & 0o7777, it.stat("b").mode() & 0o7777), (0o4755, 0o644));
        }),
    );
}

fn whiteouts(table: &mut Table, yard: &Yard) {
    for (what, name) in [
        ("a whiteout of nothing", ".wh."),
        ("a whiteout of its directory", "a/.wh.."),
        ("a whiteout of the directory above", "a/.wh..."),
        ("a whiteout of the root", "./.wh.."),
        ("a whiteout of what is above the root", ".wh..."),
        ("a whiteout that climbs", "a/../../.wh.b"),
    ] {
        table.row(what, &[Entry::dir("a"), Entry::file(name, "")], refused("climbs"));
    }
    table.row("a whiteout with a name below", &[Entry::file(".wh.a/b", "")], refused("whiteout cannot be a directory"));
    table.row("a nameless whiteout with a name below", &[Entry::file(".wh./a", "")], refused("whiteout cannot be"));
    table.row(
        "a name below an opaque mark",
        &[Entry::file("d/.wh..wh..opq/a", "x")],
        refused("whiteout cannot be a directory"),
    );
    table.row(
        "aufs's bookkeeping is left out",
        &[Entry::file(".wh..wh.aufs", "x"), Entry::dir(".wh..wh.plnk"), Entry::file(".wh..wh.plnk/1.2", "x")],
        harmless(|it| {
            it.has_only(&[]);
            it.warned("aufs");
        }),
    );
    table.row(
        "a hard link to aufs's bookkeeping",
        &[Entry::file(".wh..wh.plnk/1.2", "x"), Entry::hard_link("a", ".wh..wh.plnk/1.2")],
        refused("not an earlier entry"),
    );
    table.row(
        "an opaque mark in a directory that is not there",
        &[Entry::file("d/e/.wh..wh..opq", "")],
        harmless(|it| it.is_opaque("d/e")),
    );
    table.row("an opaque root", &[Entry::file(".wh..wh..opq", "")], harmless(|it| it.is_opaque("")));
    let out = yard.canary().join("file").display().to_string();
    table.row(
        "a whiteout is one whatever its type",
        &[
            Entry::symlink(".wh.a", &out),
            Entry::dir(".wh.b"),
            Entry::hard_link(".wh.c", &out),
            Entry::file(".wh.d", "x"),
        ],
        harmless(|it| {
            it.has_only(&["a", "b", "c", "d"]);
            for name in ["a", "b", "c", "d"] {
                it.hides(name);
            }
        }),
    );
    table.row(
        "a whiteout spares its own layer",
        &[
            Entry::file("a", "x"),
            Entry::file(".wh.a", ""),
            Entry::dir("d"),
            Entry::file("d/a", "x"),
            Entry::file(".wh.d", ""),
        ],
        harmless(|it| {
            it.has("a", "x");
            it.has("d/a", "x");
            it.is_opaque("d");
        }),
    );
    table.row(
        "a file in place of a whiteout",
        &[Entry::file(".wh.a", ""), Entry::file("a", "x"), Entry::file(".wh.d", ""), Entry::file("d/a", "x")],
        harmless(|it| {
            it.has("a", "x");
            it.has("d/a", "x");
            it.is_opaque("d");
        }),
    );
    let below = Layer::gzip(&archive(&[Entry::symlink("d", yard.canary().display().to_string()), Entry::dir("e")]));
    let above =
        Layer::gzip(&archive(&[Entry::file("d/file", "x"), Entry::file("d/.wh.dir", ""), Entry::file("e/.wh.d", "")]));
    table.layers(
        "a layer through the symlink of the layer below",
        &[below, above],
        harmless(|it| {
            it.has("d/file", "x");
            it.hides("d/dir");
            assert!(it.stat("d").is_dir());
        }),
    );
}

fn nodes_and_owners(table: &mut Table) {
    let file = |name: &str| Entry::file(name, "x");
    let bottom = Layer::gzip(&archive(&[Entry::file("etc/shadow", "x")]));
    let forged = [Entry::device(b'3', "etc/shadow", 0, 0), file("after")];
    table.layers(
        "a device 0:0 is no whiteout",
        &[bottom, Layer::gzip(&archive(&forged))],
        harmless(|it| {
            it.has_only(&["after", "etc"]);
            assert_eq!(fs::read_dir(it.at("etc")).unwrap().count(), 0);
            it.warned("device");
        }),
    );
    table.row(
        "devices are left out",
        &[Entry::device(b'3', "kmsg", 1, 11), Entry::device(b'4', "sda", 8, 0), file("after")],
        harmless(|it| it.has_only(&["after"])),
    );
    table.row(
        "a device whose numbers are none",
        &[Entry::device(b'3', "a", 1, 3).raw(329, b"zzzzzzz"), file("after")],
        harmless(|it| it.has_only(&["after"])),
    );
    table.row(
        "a FIFO in place of a file, and a file in place of a FIFO",
        &[file("a"), Entry::new(b'6', "a"), Entry::new(b'6', "b"), file("b")],
        harmless(|it| {
            assert!(it.stat("a").file_type().is_fifo());
            it.has("b", "x");
        }),
    );
    table.row(
        "a file in place of a full directory, and a directory in place of a file",
        &[file("a/b/c"), file("a"), file("d"), Entry::dir("d"), file("d/e")],
        harmless(|it| {
            it.has("a", "x");
            it.has("d/e", "x");
        }),
    );
    table.row("a file below a file", &[file("a"), file("a/b")], refused("not a directory"));
    table.row(
        "modes have twelve bits",
        &[file("a").mode(0o7777), Entry::dir("d").mode(0o7777), file("b").mode(0o140_644)],
        harmless(|it| {
            let mode = |name: &str| it.stat(name).mode();
            assert_eq!((mode("a"), mode("d"), mode("b")), (0o107_777, 0o047_777, 0o100_644));
        }),
    );
    table.row("a mode that is no number", &[file("a").raw(100, b"rwxr-xr")], refused("mode is not a number"));
    table.row("a user id of 33 bits", &[file("a").uid(1 << 32)], refused("larger than any"));
    table.row("a user id of 32 bits, all set", &[file("a").uid(0xffff_ffff)], refused("larger than any"));
    table.row(
        "a user id of 33 bits in a PAX record",
        &[file("a").pax("uid", "4294967296")],
        refused("larger than any"),
    );
    table.row("a negative user id", &[file("a").raw(108, &[0xff; 8])], refused("negative"));
    table.row("a negative group id in a PAX record", &[file("a").pax("gid", "-1")], refused("not a number"));
    table.row(
        "a user id that nobody here has",
        &[file("a").uid(4_000_000_000)],
        // With one id everything belongs to it.
        if ids() == Ids::One { harmless(|it| it.has("a", "x")) } else { refused("id map does not have") },
    );
    table.row("a time that is no number", &[file("a").pax("mtime", "nan")], refused("time is not a number"));
    table.row("an infinite time", &[file("a").pax("mtime", "inf")], refused("time is not a number"));
    table.row(
        "a time of 20 digits",
        &[file("a").pax("mtime", "99999999999999999999")],
        refused("time is not a number"),
    );
    table.row("a time with a sign", &[file("a").pax("mtime", "+5")], refused("time is not a number"));
    table.row(
        "times beyond what a disk keeps",
        &[
            file("a").pax("mtime", "9000000000000000000"),
            file("b").raw(136, &[0xff; 12]),
            Entry::dir("d").pax("mtime", "-9000000000000000000.5"),
        ],
        harmless(|it| {
            it.has("a", "x");
            assert_eq!(it.stat("b").mtime(), -1);
        }),
    );
}

fn attributes(table: &mut Table) {
    let file = || Entry::file("a", "x");
    for (what, name) in [
        ("user.overlay.opaque", "user.overlay.opaque"),
        ("user.overlay.redirect", "user.overlay.redirect"),
        ("user.overlay.metacopy", "user.overlay.metacopy"),
        ("user.overlay.whiteout", "user.overlay.whiteout"),
        ("trusted.overlay.opaque", "trusted.overlay.opaque"),
        ("an attribute that overlayfs would unescape", "user.overlay.overlay.opaque"),
        ("any attribute with .overlay. in its name", "user.a.overlay.b"),
    ] {
        table.row(what, &[Entry::dir("d").xattr(name, "y")], refused("overlayfs's own"));
    }
    // Version 2; owner, user 0 of the machine and others may write.
    let acl = [&[2, 0, 0, 0][..], &[1, 0, 6, 0, 255, 255, 255, 255], &[2, 0, 6, 0, 0, 0, 0, 0]].concat();
    for (name, value) in [
        ("security.selinux", &b"system_u:object_r:shadow_t:s0"[..]),
        ("security.ima", &[4; 20]),
        ("security.evm", &[2; 20]),
        ("security.capability", &[1, 0, 0, 2]),
        ("trusted.md5sum", b"x"),
        ("system.posix_acl_access", &acl),
        ("user.", b"x"),
        ("", b"x"),
    ] {
        let what: &'static str = format!("an attribute {name:?} is left out").leak();
        let entry = file().xattr(name, value);
        table.row(
            what,
            &[entry],
            harmless(move |it| {
                it.attributes("a", &[]);
                it.warned("left out");
            }),
        );
    }
    table.row("NUL in an attribute's name", &[file().xattr("user.a\0b", "x")], refused("NUL"));
    table.row(
        "an attribute of 300 KiB",
        &[file().xattr("user.a", vec![b'x'; 300 << 10])],
        refused("--limit xattr-size"),
    );
    table.row(
        "an attribute of a symlink is left out",
        &[Entry::symlink("s", "a").xattr("user.a", "x"), file()],
        harmless(|it| it.warned("only files and directories")),
    );
    table.row(
        "odd attributes are kept",
        &[file().xattr("user.a%3Db%25", "\0\n=").xattr("user.empty", "")],
        harmless(|it| it.attributes("a", &[("user.a=b%", b"\0\n="), ("user.empty", b"")])),
    );
    table.row(
        "the last of two attributes of one name counts",
        &[file().xattr("user.a", "1").xattr("user.a", "2")],
        harmless(|it| it.attributes("a", &[("user.a", b"2")])),
    );
    table.row(
        "bsdtar's second record of an attribute",
        &[file().xattr("user.a", "one").pax("LIBARCHIVE.xattr.user.a", "b25l")],
        harmless(|it| it.attributes("a", &[("user.a", b"one")])),
    );
    table.row(
        "an attribute that only bsdtar reads",
        &[file().pax("LIBARCHIVE.xattr.user.a", "b25l")],
        refused("not the same"),
    );
    table.row(
        "an attribute that bsdtar reads differently",
        &[file().xattr("user.a", "two").pax("LIBARCHIVE.xattr.user.a", "b25l")],
        refused("not the same"),
    );
}

fn dialects(table: &mut Table) {
    let file = |name: &str| Entry::file(name, "x");
    // What would be smuggled in where a reader believes a size and the next does not.
    let smuggled = without_end(&[Entry::file("smuggled", "evil")]);
    let sized = |kind: u8| Entry::new(kind, "e").raw(157, b"t").content(&smuggled);
    let in_pax = |kind: u8| sized(kind).size(0).pax("size", "1024");
    let only_files = "which only files may have";
    for (what, kind) in [
        ("a hard link with a size", b'1'),
        ("a symlink with a size", b'2'),
        ("a device with a size", b'3'),
        ("a FIFO with a size", b'6'),
    ] {
        table.row(what, &[file("t"), sized(kind), file("after")], refused(only_files));
    }
    for (what, kind) in [
        ("a hard link with a PAX size", b'1'),
        ("a symlink with a PAX size", b'2'),
        ("a directory with a PAX size", b'5'),
    ] {
        table.row(what, &[file("t"), in_pax(kind), file("after")], refused(only_files));
    }
    table.row(
        "a directory's size says nothing",
        &[Entry::dir("d").size(1024), file("one"), file("two")],
        harmless(|it| it.has_only(&["d", "one", "two"])),
    );
    table.row("a file called as a directory, with a size", &[Entry::file("d/", &smuggled)], refused(only_files));
    table.row("a file called as a directory", &[Entry::file("d/", "")], harmless(|it| assert!(it.stat("d").is_dir())));
    table.row(
        "a PAX size that hides entries",
        &[Entry::file("cover", &smuggled).size(0).pax("size", "1024"), file("after")],
        harmless(|it| it.has_only(&["after", "cover"])),
    );
    table.row(
        "a PAX size of 0 before a content",
        &[Entry::file("cover", &smuggled).pax("size", "0"), file("after")],
        harmless(|it| it.has_only(&["after", "cover", "smuggled"])),
    );
    for (what, size) in [
        ("a negative PAX size", "-1"),
        ("a PAX size with a sign", "+1"),
        ("a PAX size with a fraction", "1.5"),
        ("a PAX size with a blank", " 1"),
        ("a PAX size in hexadecimal", "0x1"),
        ("a PAX size of 20 digits", "99999999999999999999"),
    ] {
        table.row(what, &[file("a").pax("size", size)], refused("not a number"));
    }
    table.row("an empty PAX size", &[file("a").pax("size", "")], refused("is empty"));
    for (what, field) in [
        ("a size with a plus, GNU's old base 64", &b"+1         \0"[..]),
        ("a size with a minus", b"-1         \0"),
        ("a size with a digit 8", b"00000000018\0"),
        ("a size with a second number", b"1\x002000000000"),
        ("a size after a NUL", b"\x0000000000001"),
        ("a negative size in base 256", &[0xff; 12]),
        ("a size of more than 64 bits", &[0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1]),
        ("a size of 64 bits", &[0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ("a size in an unknown base", &[0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
    ] {
        table.row(what, &[file("a").raw(124, field), file("after")], refused("size is not a number"));
    }
    table.row(
        "a size of eight exbibytes",
        &[file("a").raw(124, &[&[0x80, 0, 0, 0, 0x7f][..], &[0xff; 7]].concat())],
        refused("grows beyond"),
    );

    table.row(
        "a PAX path and another GNU name",
        &[pax_header(&[("path", "pax")]), gnu_long(b'L', "gnu"), file("a")],
        refused("two names"),
    );
    table.row(
        "a GNU name and another PAX path",
        &[gnu_long(b'L', "gnu"), file("a").pax("path", "pax")],
        refused("two names"),
    );
    table.row(
        "a PAX and another GNU link target",
        &[gnu_long(b'K', "gnu"), Entry::symlink("s", "a").pax("linkpath", "pax")],
        refused("two names"),
    );
    table.row(
        "the same PAX and GNU name",
        &[gnu_long(b'L', "a"), file("b").pax("path", "a")],
        harmless(|it| it.has_only(&["a"])),
    );
    table.row(
        "of two GNU names the last",
        &[gnu_long(b'L', "a"), gnu_long(b'L', "b"), file("c")],
        harmless(|it| it.has_only(&["b"])),
    );
    table.row(
        "of two GNU link targets the last",
        &[gnu_long(b'K', "a"), gnu_long(b'K', "b"), Entry::symlink("s", "c")],
        harmless(|it| it.has_link("s", "b")),
    );
    table.row(
        "two PAX headers",
        &[pax_header(&[("path", "a")]), pax_header(&[("mtime", "1")]), file("b")],
        refused("two PAX headers"),
    );
    table.row(
        "of two PAX paths the last",
        &[file("a").pax("path", "b").pax("path", "c")],
        harmless(|it| it.has_only(&["c"])),
    );
    table.row("a GNU name without an entry", &[gnu_long(b'L', "a")], refused("extended header"));
    table.row("a PAX header without an entry", &[pax_header(&[("path", "a")])], refused("extended header"));
    for key in ["path", "linkpath", "size", "uid", "gid", "mtime", "SCHILY.xattr.user.a", "GNU.sparse.major"] {
        let what: &'static str = format!("a global {key}").leak();
        table.row(what, &[Entry::global(key, "1"), file("a")], refused("global PAX header"));
    }
    table.row(
        "a global comment",
        &[Entry::global("comment", "0123abcd"), file("a")],
        harmless(|it| it.has_only(&["a"])),
    );
    for (what, content) in [
        ("a PAX record that is too long", &b"99 path=abcd\n"[..]),
        ("a PAX record that is too short", b"9 path=abcd\n"),
        ("a PAX record of no length", b"0 path=abcd\n"),
        ("a PAX record of a negative length", b"-1 path=abcd\n"),
        ("a PAX record whose length has a sign", b"+13 path=abc\n"),
        ("a PAX record without a length", b"path=abcd\n"),
        ("a PAX record without an end", b"13 path=abcdX"),
        ("a PAX record without a value", b"8 path!\n"),
        ("a PAX record of 40 digits", b"0000000000000000000000000000000000000050 a=b\n"),
        ("a PAX header with zeros behind its records", b"12 path=abc\n\0\0\0\0"),
    ] {
        table.row(what, &[Entry::new(b'x', "p").content(content), file("a")], refused("PAX header is corrupt"));
    }
    table.row(
        "a PAX header of 2 MiB",
        &[file("a").pax("comment", vec![b'x'; 2 << 20])],
        refused("--limit header-size"),
    );
    table.row("a GNU name of 2 MiB", &[gnu_long(b'L', vec![b'x'; 2 << 20]), file("a")], refused("--limit header-size"));
    table.row(
        "a PAX header that says it has a gibibyte",
        &[Entry::new(b'x', "p").size(1 << 30)],
        refused("extended header"),
    );

    let sparse = |records: &[(&str, &str)]| records.iter().fold(file("a"), |entry, (key, value)| entry.pax(key, value));
    table.row("an old GNU sparse file", &[file("a").raw(156, b"S").raw(257, b"ustar  \0")], refused("sparse"));
    table.row(
        "a PAX 0.0 sparse file",
        &[sparse(&[("GNU.sparse.size", "9"), ("GNU.sparse.numblocks", "1"), ("GNU.sparse.offset", "8")])],
        refused("sparse"),
    );
    table.row(
        "a PAX 0.1 sparse file",
        &[sparse(&[("GNU.sparse.size", "9"), ("GNU.sparse.map", "8,1"), ("GNU.sparse.name", "/etc/passwd")])],
        refused("sparse"),
    );
    table.row(
        "a PAX 1.0 sparse file",
        &[sparse(&[
            ("GNU.sparse.major", "1"),
            ("GNU.sparse.minor", "0"),
            ("GNU.sparse.name", "b"),
            ("GNU.sparse.realsize", "9"),
        ])],
        refused("sparse"),
    );
    table.row("star's sparse file", &[sparse(&[("SCHILY.realsize", "4096")])], refused("sparse"));
    table.row("Solaris's sparse file", &[sparse(&[("SUN.holesdata", " 0 1 ")])], refused("sparse"));
    for (what, kind) in [
        ("a piece of another volume", b'M'),
        ("a listed directory", b'D'),
        ("a list of renamings", b'N'),
        ("a Solaris ACL", b'A'),
        ("a Solaris extended header", b'X'),
        ("an inode", b'I'),
        ("an unknown type", b'~'),
        ("a type that is no letter", 0xff),
    ] {
        table.row(what, &[file("a").raw(156, &[kind])], refused("none that a layer may have"));
    }
    table.row("a contiguous file is a file", &[file("a").raw(156, b"7")], harmless(|it| it.has("a", "x")));
    table.row("a volume label", &[Entry::new(b'V', "label"), file("a")], harmless(|it| it.has_only(&["a"])));
    table.row("a volume label with a size", &[Entry::new(b'V', "label").content(&smuggled)], refused("volume label"));
    table.row(
        "a volume label with a PAX header",
        &[Entry::new(b'V', "label").pax("path", "b"), file("a")],
        refused("volume label"),
    );
    table.row(
        "a prefix in a format that is nobody's",
        &[file("a").raw(257, b"ustar 00").raw(345, b"p")],
        refused("no known format"),
    );
    table.row(
        "a prefix in an odd version of POSIX's format",
        &[file("a").raw(263, b"\0\0").raw(345, b"p")],
        harmless(|it| it.has("p/a", "x")),
    );
    table.row(
        "where older formats have other things is no prefix",
        &[file("a").raw(257, &[0; 8]).raw(345, b"p")],
        harmless(|it| it.has_only(&["a"])),
    );
    table.row(
        "where GNU has other things is no prefix",
        &[file("a").raw(257, b"ustar  \0").raw(345, b"p")],
        harmless(|it| it.has_only(&["a"])),
    );

    let whole = without_end(&[file("a"), file("b")]);
    let cut = |length: usize| whole[..length].to_vec();
    table.tar("an archive cut in a header", &cut(1024 + 100), refused("truncated"));
    table.tar("an archive cut in a content", &cut(1024 + 512), refused("truncated"));
    table.tar("an archive cut in the padding", &cut(2048 - 1), refused("truncated"));
    let mut wrong = whole.clone();
    wrong[1024] ^= 1;
    table.tar("a wrong checksum", &wrong, refused("checksum"));
    table.tar("an entry after the end", &[archive(&[file("a")]), archive(&[file("b")])].concat(), refused("garbage"));
    table.tar(
        "an entry after one block of zeros",
        &[without_end(&[file("a")]), vec![0; 512], archive(&[file("b")])].concat(),
        refused("garbage"),
    );
    table.tar("one byte after the end", &[archive(&[file("a")]), b"x".to_vec()].concat(), refused("garbage"));
    table.tar(
        "zeros after the end",
        &[archive(&[file("a")]), vec![0; 10240]].concat(),
        harmless(|it| it.has_only(&["a"])),
    );
}

fn blobs(table: &mut Table) {
    let tar = archive(&[Entry::file("a", "x")]);
    let layer = Layer::gzip(&tar);
    let whole = layer.blob.clone();
    let blob = |blob: Vec<u8>| [layer.clone().with_blob(blob)];
    table.layers(
        "gzip with garbage behind it",
        &blob([&whole[..], b"garbage"].concat()),
        refused("gzip data is truncated or corrupt"),
    );
    table.layers(
        "gzip cut in its trailer",
        &blob(whole[..whole.len() - 3].to_vec()),
        refused("gzip data is truncated or corrupt"),
    );
    table.layers(
        "gzip of another checksum",
        &blob([&whole[..whole.len() - 8], &[0; 8]].concat()),
        refused("gzip data is truncated or corrupt"),
    );
    table.layers(
        "two gzip members",
        &blob([gzip(&tar[..700]), gzip(&tar[700..])].concat()),
        harmless(|it| it.has("a", "x")),
    );
    table.layers(
        "a second gzip member with an entry",
        &blob([whole.clone(), gzip(&archive(&[Entry::file("b", "x")]))].concat()),
        refused("garbage"),
    );
    // A frame header that asks for a window of 2^41 bytes, then one raw block (RFC 8878, 3.1.1.1.2).
    let zstd = [&[0x28, 0xb5, 0x2f, 0xfd, 0x00, 31 << 3, 0x01 | 1 << 3, 0, 0][..], b"x"].concat();
    let huge =
        Layer { media_type: "application/vnd.oci.image.layer.v1.tar+zstd", ..Layer::plain(&tar) }.with_blob(zstd);
    table.layers("zstd with a window of 2 TiB", &[huge], refused("zstd data is truncated or corrupt"));
    let header = without_end(&[Entry::file("zeros", "").size(3 << 30)]);
    let zeros = gzip_best(&vec![0; 64 << 20]);
    table.layers("a bomb", &blob([gzip(&header), zeros.repeat(48)].concat()), refused("decompression bomb"));
    table.layers(
        "a bomb behind the end",
        &blob([whole.clone(), zeros.repeat(20)].concat()),
        refused("decompression bomb"),
    );
    let many: Vec<Entry> = (0..101).map(|n| Entry::file(format!("f{n}"), "")).collect();
    table.row("more entries than allowed", &many, refused("--limit entries"));
    table.0.last_mut().unwrap().options = vec!["--limit", "entries=100"];
    table.layers("128 layers", &vec![layer.clone(); 128], refused("--limit layers"));
    let other = Layer { diff_id: digest(b"another"), ..layer.clone() };
    table.layers("a wrong diffID", std::slice::from_ref(&other), refused("its diffID should be"));
    table.files("a wrong diffID in a docker archive", &Files::docker(NAME, &[other]), refused("its diffID should be"));
    table.layers(
        "gzip that says it is zstd",
        &[Layer { media_type: "application/vnd.oci.image.layer.v1.tar+zstd", ..layer.clone() }],
        refused("promises zstd"),
    );
    table.layers(
        "a layer of an unknown kind",
        &[Layer { media_type: "application/vnd.in-toto+json", ..layer.clone() }],
        refused("cannot unpack"),
    );
    table.layers(
        "a layer that is no layer",
        &[Layer { media_type: CONFIG, ..layer.clone() }],
        refused("cannot unpack"),
    );
}

fn documents(table: &mut Table) {
    let layer = Layer::gzip(&archive(&[Entry::file("a", "x")]));
    let layers = std::slice::from_ref(&layer);
    let named =
        |manifest: Value| json!([with(manifest, "annotations", json!({"org.opencontainers.image.ref.name": NAME}))]);
    // A layout whose manifest is this text, under this media type.
    let manifest = |media_type: &str, change: &dyn Fn(&mut Value)| {
        let mut files = Files::default();
        files.0.insert(blob_path(&layer.digest), layer.blob.clone());
        let config = files.add_blob(CONFIG, config(layers).to_string().as_bytes());
        let mut document = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config,
            "layers": [{"mediaType": GZIP, "digest": layer.digest, "size": layer.blob.len()}]});
        change(&mut document);
        let text = document.to_string().replace("layers-again", "layers");
        let manifest = files.add_blob(media_type, text.as_bytes());
        files.set_index(named(manifest));
        files
    };
    let both = "could be taken for another kind of document";
    table.files(
        "a manifest with manifests (CVE-2021-41190)",
        &manifest(MANIFEST, &|m| m["manifests"] = json!([])),
        refused(both),
    );
    table.files("a manifest with MANIFESTS", &manifest(MANIFEST, &|m| m["MANIFESTS"] = json!([])), refused(both));
    table.files(
        "a manifest with schema 1's layers",
        &manifest(MANIFEST, &|m| m["fsLayers"] = json!([])),
        refused(both),
    );
    table.files("an index with layers", &manifest(INDEX, &|m| m["manifests"] = json!([])), refused(both));
    let index = Files::oci(NAME, layers).edit("index.json", |index| index["layers"] = json!([]));
    table.files("index.json with layers", &index, refused(both));
    let index = Files::oci(NAME, layers).edit("index.json", |index| index["mediaType"] = json!(MANIFEST));
    table.files("index.json that says it is a manifest", &index, refused("says that it is of media type"));
    table.files(
        "a manifest that says it is an index",
        &manifest(MANIFEST, &|m| m["mediaType"] = json!(INDEX)),
        refused("says that it is of media type"),
    );
    table.files("a manifest that is said to be an index", &manifest(INDEX, &|_| {}), refused("index"));
    table.files("layers twice", &manifest(MANIFEST, &|m| m["layers-again"] = json!([])), refused("duplicate field"));
    table.files(
        "layers and Layers",
        &manifest(MANIFEST, &|m| m["Layers"] = json!([])),
        refused("in upper and in lower case"),
    );
    table.files(
        "MediaType in place of mediaType",
        &manifest(MANIFEST, &|m| {
            m.as_object_mut().unwrap().remove("mediaType");
            m["MediaType"] = json!(INDEX);
        }),
        refused("which some read as"),
    );
    table.files(
        "a layer with digest and Digest",
        &manifest(MANIFEST, &|m| m["layers"][0]["Digest"] = json!("x")),
        refused("in upper and in lower case"),
    );
    let twice = |key: &str| with(config(layers), "config", json!({"User": "1000", key: "0"}));
    table.files(
        "a config with User and user",
        &Files::oci_with(NAME, layers, &twice("user")),
        refused("in upper and in lower case"),
    );
    table.files(
        "labels may differ by case",
        &Files::oci_with(
            NAME,
            layers,
            &with(config(layers), "config", json!({"Labels": {"a": "1", "A": "2"}, "Volumes": {"/a": {}, "/A": {}}})),
        ),
        harmless(|it| it.has("a", "x")),
    );
    for (what, digest) in [
        ("a layer's digest that is a path", "sha256:../../../../../../../../etc/passwd"),
        ("a layer's digest in capitals", &layer.digest.to_uppercase()),
        ("a layer's digest of another algorithm", "md5:d41d8cd98f00b204e9800998ecf8427e"),
        ("a layer's digest with a path behind it", &format!("{}/../x", layer.digest)),
        ("a layer's digest with NUL", &format!("{}\0", layer.digest)),
    ] {
        table.files(what, &manifest(MANIFEST, &|m| m["layers"][0]["digest"] = json!(digest)), refused("digest"));
    }
    table.files(
        "a config's digest that is a path",
        &manifest(MANIFEST, &|m| m["config"]["digest"] = json!("sha256:../../x")),
        refused("digest"),
    );
    let index =
        Files::oci(NAME, layers).edit("index.json", |i| i["manifests"][0]["digest"] = json!("sha256:../../index.json"));
    table.files("a manifest's digest that is a path", &index, refused("digest"));
    let mut ids = config(layers);
    ids["rootfs"]["diff_ids"][0] = json!("sha256:../../x");
    table.files("a diffID that is a path", &Files::oci_with(NAME, layers, &ids), refused("digest"));
    table.files(
        "more diffIDs than layers",
        &Files::oci_with(NAME, layers, &config(&[layer.clone(), layer.clone()])),
        refused("2 diffIDs"),
    );
    table.files("fewer diffIDs than layers", &Files::oci_with(NAME, layers, &config(&[])), refused("0 diffIDs"));
    for (what, size) in [
        ("a size that is too large", json!(1 << 20)),
        ("a size that is too small", json!(1)),
        ("a negative size", json!(-1)),
        ("a size with a fraction", json!(0.5)),
        ("a size of 2^63", json!(1u64 << 63)),
    ] {
        table.files(what, &manifest(MANIFEST, &|m| m["layers"][0]["size"] = size.clone()), refused("layer"));
    }
    let foreign = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
    let elsewhere = |m: &mut Value| {
        m["layers"][0]["mediaType"] = json!(foreign);
        m["layers"][0]["urls"] = json!(["http://127.0.0.1:9/layer", "file:///etc/passwd"]);
    };
    table.files("a foreign layer that is here", &manifest(MANIFEST, &elsewhere), harmless(|it| it.has("a", "x")));
    let mut files = manifest(MANIFEST, &elsewhere);
    files.0.remove(&blob_path(&layer.digest));
    table.files("a foreign layer that is elsewhere", &files, refused("missing"));
    for (what, name) in [
        ("a name that climbs", "../../x:1"),
        ("a name with an escape", "x/\u{1b}[31m:1"),
        ("a name of 5000 bytes", &format!("{}:1", "x/".repeat(2500))),
    ] {
        let annotations = json!({"org.opencontainers.image.ref.name": name});
        let index =
            Files::oci(NAME, layers).edit("index.json", |index| index["manifests"][0]["annotations"] = annotations);
        table.files(what, &index, refused("podling"));
    }
    let docker = || Files::docker(NAME, layers);
    for (what, key, value) in [
        ("a docker archive with a layer that climbs", "Layers", json!(["../../etc/passwd"])),
        ("a docker archive with an absolute layer", "Layers", json!(["/etc/passwd"])),
        ("a docker archive with a config that climbs", "Config", json!("../../../../../../etc/passwd")),
        ("a docker archive with a config that is a device", "Config", json!("/dev/zero")),
    ] {
        table.files(what, &docker().edit("manifest.json", |m| m[0][key] = value), refused("is missing"));
    }
    table.files(
        "a docker archive with Layers and layers",
        &docker().edit("manifest.json", |m| m[0]["layers"] = json!([])),
        refused("in upper and in lower case"),
    );
    for (what, link) in [
        ("a docker archive whose list is a symlink out", "/etc/passwd"),
        ("a docker archive whose list is a symlink up", "../../../../etc/passwd"),
    ] {
        table.source(
            what,
            archive(&[docker().entries(), vec![Entry::symlink("manifest.json", link)]].concat()),
            refused("manifest.json"),
        );
    }
    let path = docker().0.keys().find(|path| path.ends_with(".tar")).unwrap().clone();
    let linked = [docker().entries(), vec![Entry::symlink(&path, "../../../../../../etc/passwd")]].concat();
    table.source("a docker archive whose layer is a symlink out", archive(&linked), refused("is missing"));
    table.source(
        "a member that climbs",
        archive(&[docker().entries(), vec![Entry::file("../x", "x")]].concat()),
        refused("climbs"),
    );
}

/// What an image says about its containers. Each has busybox below it, so that it runs.
fn running(table: &mut Table) {
    let base = busybox();
    let layers = std::slice::from_ref(&base);
    let image = |config_: Value| Files::oci_with(NAME, layers, &with(config(layers), "config", config_));
    let refuses = |parts: &'static [&'static str]| {
        harmless(move |it| {
            it.run("echo it runs", "").expect_refusal(parts);
        })
    };
    table.files("NUL in a variable's value", &image(json!({"Env": ["PATH=/bin", "A=x\0B=y"]})), refuses(&["NUL"]));
    table.files("NUL in a variable's name", &image(json!({"Env": ["PATH=/bin", "A\0B=y"]})), refuses(&["A\\0B"]));
    table.files(
        "variables without a name or a value are none",
        &image(json!({"Env": ["PATH=/bin", "NOTHING", "=x", "", "==", "LD_PRELOAD"]})),
        harmless(|it| {
            let output = it.run("env | grep -c -e NOTHING -e LD_PRELOAD -e ^=; true", "");
            assert_eq!(output.expect_success().said(), "0");
        }),
    );
    for user in
        ["4294967295", "4294967296", "-1", "0x0", "root\0", "99999999999999999999", "0:4294967296", "nobody-at-all"]
    {
        let what: &'static str = format!("the user {user:?}").leak();
        table.files(what, &image(json!({"Env": ["PATH=/bin"], "User": user})), refuses(&["podling"]));
    }
    table.files(
        "labels and volumes command nothing",
        &image(json!({
            "Env": ["PATH=/bin"], "User": "65534:65534", "StopSignal": "SIGKILL", "OnBuild": ["RUN true"],
            "Volumes": {"/": {}, "/etc/../..": {}, "/proc": {}},
            "Labels": {
                "io.podman.annotations.privileged": "TRUE", "io.podman.annotations.userns": "host",
                "run": "podman run --privileged IMAGE", "io.containers.capabilities": "all",
                "io.kubernetes.cri-o.userns-mode": "host", "org.opencontainers.runc.privileged": "1",
            },
            "Healthcheck": {"Test": ["CMD-SHELL", "echo from the health check"]},
        })),
        harmless(|it| {
            let output = it.run("id -u; grep CapEff /proc/self/status; grep -c health /proc/self/cmdline; true", "");
            let said = output.expect_success().said();
            assert!(said.contains("65534") && said.contains("CapEff:\t0000000000000000"), "{output}");
            assert!(!output.stdout.contains("health check"), "{output}");
        }),
    );
    table.files(
        "a working directory that climbs",
        &image(json!({"Env": ["PATH=/bin"], "WorkingDir": "/../../../.."})),
        harmless(|it| {
            assert_eq!(it.run("pwd -P; ls -d bin", "").expect_success().said(), "/\nbin");
        }),
    );
    table.files(
        "a stop signal that is none",
        &image(json!({"Env": ["PATH=/bin"], "StopSignal": "SIG\u{1b}[31m"})),
        refuses(&["podling"]),
    );

    let asks_for = json!({"Env": ["PATH=/bin"], "User": "operator-of-the-host"});
    let passwd = |what: &'static str, entries: &[Entry], verdict: Verdict, table: &mut Table| {
        let both = [base.clone(), Layer::gzip(&archive(entries))];
        table.files(what, &Files::oci_with(NAME, &both, &with(config(&both), "config", asks_for.clone())), verdict);
    };
    let unknown = || refuses(&["does not know"]);
    passwd("passwd is a FIFO", &[Entry::new(b'6', "etc/passwd")], unknown(), table);
    passwd("passwd is a symlink out", &[Entry::symlink("etc/passwd", "/proc/self/root/etc/passwd")], unknown(), table);
    passwd(
        "passwd is a symlink that climbs",
        &[Entry::symlink("etc/passwd", format!("{UP}/canary/file"))],
        unknown(),
        table,
    );
    passwd("/etc is a symlink out", &[Entry::symlink("etc", "/proc/1/root/etc")], unknown(), table);
    passwd("passwd is a directory", &[Entry::dir("etc/passwd")], unknown(), table);
    passwd("passwd is hidden", &[Entry::file("etc/.wh.passwd", "")], unknown(), table);
    passwd(
        "passwd is huge",
        &[Entry::file("etc/passwd", vec![b'#'; 2 << 20])],
        refuses(&["/etc/passwd", "larger"]),
        table,
    );
    let forged =
        "operator-of-the-host:x:4294967296:0::/:\noperator-of-the-host:x:-1:0::/:\noperator-of-the-host\0:x:0:0::/:\n";
    passwd("passwd has ids that cannot be", &[Entry::file("etc/passwd", forged)], unknown(), table);
}

/// The layer of the image that rootfs/ makes.
fn busybox() -> Layer {
    let dir = images().join("busybox");
    let read = |path: &str| fs::read(dir.join(path)).unwrap_or_else(|e| panic!("{path} of {dir:?}: {e}"));
    let document = |descriptor: &Value| -> Value {
        serde_json::from_slice(&read(&blob_path(descriptor["digest"].as_str().unwrap()))).unwrap()
    };
    let index: Value = serde_json::from_slice(&read("index.json")).unwrap();
    let manifest = document(&index["manifests"][0]);
    let config = document(&manifest["config"]);
    let [layer] = manifest["layers"].as_array().unwrap().as_slice() else { panic!("busybox has one layer") };
    let media_type: String = layer["mediaType"].as_str().unwrap().to_owned();
    let digest = layer["digest"].as_str().unwrap().to_owned();
    let diff_id = config["rootfs"]["diff_ids"][0].as_str().unwrap().to_owned();
    Layer { blob: read(&blob_path(&digest)), digest, diff_id, media_type: media_type.leak() }
}

/// Loads the row's image and says what is wrong with its fate.
fn judge(yard: &Yard, row: &Row) {
    let (before, outside) = (yard.snapshot(), yard.outside());
    yard.write(&row.source);
    let output = yard.podling(&[&["image", "load"], &row.options[..], &["source.tar"]].concat());
    match &row.verdict {
        Verdict::Refused(why) => yard.assert_refused(row.what, &output, &before, &[why]),
        Verdict::Harmless(check) => {
            assert_eq!(output.code, Some(0), "it was refused: {output}");
            yard.assert_nothing_staged(row.what);
            let trees = yard.trees(NAME);
            check(&Loaded { yard, trees, said: output.stderr });
            yard.podling(&["image", "rm", NAME]).expect_success();
        }
    }
    assert_eq!(yard.outside(), outside, "something outside the store was touched");
    let names = yard.podling(&["images", "--quiet"]).expect_success().stdout.lines().count();
    assert_eq!(names, 1, "the honest image is not the only one");
}

#[test]
fn every_trick_of_the_table_comes_to_what_its_row_says() {
    if !require(Feature::UserNamespaces) {
        return;
    }
    let yard = Yard::new();
    let mut table = Table::default();
    names(&mut table, &yard);
    links(&mut table, &yard);
    whiteouts(&mut table, &yard);
    nodes_and_owners(&mut table);
    attributes(&mut table);
    dialects(&mut table);
    blobs(&mut table);
    documents(&mut table);
    running(&mut table);

    let mut failures = Vec::new();
    let mut refusals = 0;
    for row in &table.0 {
        refusals += usize::from(matches!(row.verdict, Verdict::Refused(_)));
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| judge(&yard, row))) {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            failures.push(format!("{}: {}", row.what, text.unwrap_or_default()));
            // The next row must not fail for this one.
            let _ = yard.podling(&["image", "rm", "--force", NAME]);
        }
    }
    let count = table.0.len();
    println!("{count} rows: {refusals} are refused, {} are harmless", count - refusals);
    assert!(count >= 60, "only {count} rows");
    assert!(failures.is_empty(), "{} of {count} rows failed:\n\n{}", failures.len(), failures.join("\n\n"));
}

//! Layers that mean harm, and layers that are only odd.

use std::fs::{self, File};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

use proptest::prelude::*;
use tar::{EntryType, Header};

use super::archives::{Tar, one_id, snapshot};
use crate::error::Result;
use crate::host::{IdExtent, IdMap};
use crate::image::layer::limits::Limits;
use crate::image::layer::unpack::{LayerStats, unpack};
use crate::image::namespace::Workplace;
use crate::sys::xattr;

struct Place {
    base: tempfile::TempDir,
}

impl Place {
    /// A directory to unpack into, and beside it one that must not be touched.
    fn new() -> Place {
        let base = tempfile::tempdir().unwrap();
        fs::create_dir_all(base.path().join("outside/dir")).unwrap();
        fs::write(base.path().join("outside/secret"), "secret").unwrap();
        fs::create_dir(base.path().join("layer")).unwrap();
        Place { base }
    }

    fn layer(&self) -> std::path::PathBuf {
        self.base.path().join("layer")
    }

    fn outside(&self) -> std::path::PathBuf {
        self.base.path().join("outside")
    }

    fn unpack(&self, archive: &[u8]) -> Result<LayerStats> {
        self.unpack_for(archive, &one_id())
    }

    fn unpack_for(&self, archive: &[u8], ids: &IdMap) -> Result<LayerStats> {
        let dest = File::open(self.layer()).unwrap();
        let dest = Workplace { dir: dest.into(), umask: 0o777 };
        unpack(archive, &dest, &Limits::default().of_blob(archive.len() as u64), ids)
    }
}

#[test]
fn harm_is_refused_and_the_entry_named() {
    let place = Place::new();
    let out = place.outside().display().to_string();
    let sparse = Tar::default().entry(EntryType::GNUSparse, "sparse", "", b"");
    let cases = [
        ("/etc/evil", "absolute", Tar::default().file("/etc/evil", "x")),
        ("../evil", "climbs", Tar::default().file("../evil", "x")),
        ("a/../../evil", "climbs", Tar::default().file("a/../../evil", "x")),
        ("out/evil", "leaves the layer", Tar::default().symlink("out", &out).file("out/evil", "x")),
        ("out/dir/evil", "leaves the layer", Tar::default().symlink("out", "../outside").file("out/dir/evil", "x")),
        ("out/new/evil", "leaves the layer", Tar::default().symlink("out", &out).file("out/new/evil", "x")),
        ("loop/evil", "loop", Tar::default().symlink("loop", "loop").file("loop/evil", "x")),
        ("gone/evil", "leads nowhere", Tar::default().symlink("gone", "nothing").file("gone/evil", "x")),
        ("link", "climbs", Tar::default().hard_link("link", "../outside/secret")),
        ("link", "absolute", Tar::default().hard_link("link", "/etc/passwd")),
        ("link", "leads out", Tar::default().symlink("out", &out).hard_link("link", "out/secret")),
        ("link", "earlier entry", Tar::default().hard_link("link", "missing")),
        ("link", "directory", Tar::default().dir("d").hard_link("link", "d")),
        ("link", "whiteout", Tar::default().file(".wh.w", "").hard_link("link", "w")),
        ("a/.wh...", "climbs", Tar::default().file("a/.wh...", "")),
        ("a/.wh..", "climbs", Tar::default().file("a/.wh..", "")),
        (".wh.", "climbs", Tar::default().file(".wh.", "")),
        (".wh.a/b", "whiteout", Tar::default().file(".wh.a/b", "")),
        ("out/.wh.secret", "leaves the layer", Tar::default().symlink("out", &out).file("out/.wh.secret", "")),
        ("out/.wh..wh..opq", "leaves the layer", Tar::default().symlink("out", &out).file("out/.wh..wh..opq", "")),
        ("f", "overlayfs", Tar::default().pax("SCHILY.xattr.user.overlay.redirect", "/x").file("f", "")),
        ("f", "overlayfs", Tar::default().pax("SCHILY.xattr.trusted.overlay.opaque", "y").dir("f")),
        ("sparse", "sparse", sparse),
        ("f", "sparse", Tar::default().pax("GNU.sparse.major", "1").file("f", "")),
        ("a\\0b", "NUL", Tar::default().pax("path", "a\0b").file("f", "")),
        ("f/below", "not a directory", Tar::default().file("f", "x").file("f/below", "x")),
        ("odd", "type", Tar::default().entry(EntryType::new(b'Z'), "odd", "", b"")),
        ("s", "empty", Tar::default().symlink("s", "")),
        (".", "root is not a directory", Tar::default().file(".", "x")),
    ];
    let before = snapshot(&place.outside());
    for (entry, why, archive) in cases {
        let fresh = Place { base: tempfile::tempdir_in(place.base.path()).unwrap() };
        fs::create_dir(fresh.layer()).unwrap();
        let error = fresh.unpack(&archive.end()).expect_err(entry);
        assert!(error.what().contains(&format!("entry \"{entry}\"")), "{entry}: {error}");
        assert!(error.what().contains(why), "{entry}: {error} does not say {why:?}");
    }
    assert_eq!(snapshot(&place.outside()), before);
}

#[test]
fn a_symlink_may_point_anywhere_and_be_used_inside() {
    let place = Place::new();
    let archive =
        Tar::default().dir("usr/lib").symlink("lib", "usr/lib").file("lib/f", "x").symlink("abs", "/etc/passwd");
    place.unpack(&archive.symlink("climb", "../../../../x").end()).unwrap();
    assert_eq!(fs::read_to_string(place.layer().join("usr/lib/f")).unwrap(), "x");
    assert_eq!(fs::read_link(place.layer().join("abs")).unwrap(), Path::new("/etc/passwd"));
}

#[test]
fn bombs_are_refused_before_they_are_written() {
    let place = Place::new();
    let mut header = Header::new_gnu();
    header.set_path("bomb").unwrap();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(10 << 30);
    let error = place.unpack(&Tar::default().header(header).end()).unwrap_err();
    assert!(error.what().contains("entry \"bomb\"") && error.what().contains("decompression bomb"), "{error}");
    assert!(!place.layer().join("bomb").exists());
}

#[test]
fn an_owner_outside_the_id_map_is_named() {
    let extent = IdExtent { inside: 0, outside: 0, count: 1000 };
    let ids = IdMap { uids: vec![extent], gids: vec![extent] };
    let mut header = Header::new_gnu();
    header.set_path("home/x").unwrap();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(70_000);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    let archive = Tar::default().header(header).end();
    let error = Place::new().unpack_for(&archive, &ids).unwrap_err();
    assert!(error.what().contains("\"home/x\"") && error.what().contains("user id 70000"), "{error}");
    assert!(error.hint().unwrap().contains("/etc/subuid"), "{error}");
    Place::new().unpack(&archive).unwrap();
}

#[test]
fn what_is_no_whole_tar_is_refused() {
    let good = Tar::default().dir("d").file("d/f", "content").end();
    for (archive, why) in [
        (b"hello, this is text and no archive".to_vec(), "not a tar"),
        (vec![], "not a tar"),
        (vec![b'x'; 4096], "not a tar"),
        (good[..1100].to_vec(), "truncated"),
        ([good.clone(), b"more".to_vec()].concat(), "garbage"),
        ([good[..1024].to_vec(), vec![b'x'; 1024]].concat(), "checksum"),
    ] {
        let error = Place::new().unpack(&archive).unwrap_err();
        assert!(error.what().contains(why), "{error} does not say {why:?}");
    }
    let stats = Place::new().unpack(&good[..good.len() - 1024]).unwrap();
    assert!(!stats.end_marked);
}

#[test]
fn the_last_of_several_entries_wins() {
    let place = Place::new();
    let archive = Tar::default()
        .file("a", "old")
        .hard_link("other", "a")
        .file("a", "new")
        .dir("d")
        .file("d/x", "x")
        .file("d", "now a file")
        .symlink("s", "a")
        .dir("s")
        .file("s/inner", "x");
    place.unpack(&archive.end()).unwrap();
    let read = |name: &str| fs::read_to_string(place.layer().join(name)).unwrap();
    assert_eq!([read("a"), read("other"), read("d"), read("s/inner")], ["new", "old", "now a file", "x"]);
}

#[test]
fn whiteouts_become_overlayfs_s_own() {
    let place = Place::new();
    let archive = Tar::default()
        .file("gone/.wh.f", "")
        .file("opaque/.wh..wh..opq", "")
        .file(".wh.back", "")
        .file("back/f", "a directory of this layer in place of what was there")
        .file("kept", "x")
        .file(".wh.kept", "")
        .file(".wh..wh.plnk", "");
    let stats = place.unpack(&archive.end()).unwrap();
    let whiteout = fs::symlink_metadata(place.layer().join("gone/f")).unwrap();
    assert!(whiteout.file_type().is_char_device() && whiteout.rdev() == 0);
    for opaque in ["opaque", "back"] {
        let dir = File::open(place.layer().join(opaque)).unwrap();
        assert_eq!(xattr::get(&dir, c"user.overlay.opaque").unwrap().unwrap(), b"y", "{opaque}");
    }
    assert_eq!(fs::read_to_string(place.layer().join("kept")).unwrap(), "x");
    assert_eq!(stats.warnings.len(), 1, "{:?}", stats.warnings);
}

#[test]
fn modes_times_and_attributes_are_kept() {
    let place = Place::new();
    let mut header = Header::new_gnu();
    header.set_path("su").unwrap();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(0o4555);
    header.set_uid(7);
    header.set_gid(7);
    header.set_mtime(5);
    header.set_size(0);
    let long = "n".repeat(200);
    let archive = Tar::default().header(header).pax("mtime", "-1.25").dir("d").file("d/f", "x");
    let archive = archive
        .pax("path", &format!("{long}/f"))
        .file("short", "y")
        .pax("SCHILY.xattr.user.note", "hi")
        .file("noted", "");
    let stats = place.unpack(&archive.pax("SCHILY.xattr.trusted.x", "1").file("trusted", "").end()).unwrap();
    let su = fs::metadata(place.layer().join("su")).unwrap();
    assert_eq!((su.permissions().mode() & 0o7777, su.mtime()), (0o4555, 5));
    let dir = fs::metadata(place.layer().join("d")).unwrap();
    assert_eq!((dir.mtime(), dir.mtime_nsec()), (-2, 750_000_000));
    assert_eq!(fs::read_to_string(place.layer().join(long).join("f")).unwrap(), "y");
    let noted = File::open(place.layer().join("noted")).unwrap();
    assert_eq!(xattr::get(&noted, c"user.note").unwrap().unwrap(), b"hi");
    assert!(stats.warnings[0].contains("trusted.x"), "{:?}", stats.warnings);
}

fn any_name() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("a"),
        Just("b"),
        Just(".."),
        Just("."),
        Just(".wh.a"),
        Just(".wh..wh..opq"),
        Just("out"),
        Just("")
    ];
    proptest::collection::vec(part, 1..4).prop_map(|parts| parts.join("/"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_archive_reaches_outside(entries in proptest::collection::vec((0..5u8, any_name(), any_name()), 1..8)) {
        let place = Place::new();
        let before = snapshot(&place.outside());
        let out = place.outside().display().to_string();
        let mut archive = Tar::default().symlink("out", &out);
        for (kind, name, link) in entries {
            archive = match kind {
                0 => archive.file(&name, "x"),
                1 => archive.dir(&name),
                2 => archive.symlink(&name, &link.replace("out", &out)),
                3 => archive.symlink(&name, "../outside"),
                _ => archive.hard_link(&name, &link),
            };
        }
        let _ = place.unpack(&archive.end());
        prop_assert_eq!(snapshot(&place.outside()), before);
        prop_assert_eq!(fs::read_dir(place.base.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_cut_archive_never_passes_for_whole(cut in 0usize..3584) {
        let archive = Tar::default().dir("d").pax("path", "d/f").file("f", "content").symlink("s", "d").end();
        if let Ok(stats) = Place::new().unpack(&archive[..cut]) {
            prop_assert!(!stats.end_marked || cut >= archive.len() - 512);
        }
    }
}

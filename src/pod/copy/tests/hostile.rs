//! Streams that no honest end sends.

use std::fs::{self, Permissions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use proptest::prelude::*;
use tar::EntryType;

use super::super::archive::{Archive, Meta};
use super::super::receive::{How, SpecialBits, receive};
use super::super::{Base, Copied, Owner, Shape};
use super::unpacked;
use crate::error::Result;

/// Kind, name, link target or content.
type Entry<'a> = (EntryType, &'a str, &'a str);

fn archive(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut archive = Archive::new(&mut bytes);
    for (kind, name, text) in entries {
        let size = if *kind == EntryType::Regular { text.len() as u64 } else { 0 };
        let meta = Meta { mode: 0o755, uid: 0, gid: 0, mtime: (0, 0), size };
        let link = if size > 0 { "" } else { text };
        archive.entry(*kind, name.as_bytes(), link.as_bytes(), &meta).unwrap();
        archive.content(text.get(..size as usize).unwrap().as_bytes()).unwrap();
        archive.pad(size).unwrap();
    }
    archive.finish().unwrap();
    bytes
}

/// A directory `to` beside a file and a directory that nothing may touch.
struct Scene(tempfile::TempDir);

impl Scene {
    fn new() -> Scene {
        let base = tempfile::tempdir().unwrap();
        for dir in ["to", "outside"] {
            fs::create_dir(base.path().join(dir)).unwrap();
        }
        fs::write(base.path().join("outside/file"), "precious").unwrap();
        Scene(base)
    }

    fn to(&self) -> std::path::PathBuf {
        self.0.path().join("to")
    }

    fn receive(&self, entries: &[Entry<'_>]) -> Result<Copied> {
        unpacked(&archive(entries), Path::new("t"), &self.to())
    }

    fn assert_untouched(&self, what: &str) {
        let file = self.0.path().join("outside/file");
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious", "{what}");
        assert_eq!(fs::metadata(&file).unwrap().nlink(), 1, "{what}");
        assert_eq!(fs::read_dir(self.0.path().join("outside")).unwrap().count(), 1, "{what}");
        assert_eq!(fs::read_dir(self.0.path()).unwrap().count(), 2, "{what}");
        self.assert_no_temporary(&self.to());
    }

    fn assert_no_temporary(&self, dir: &Path) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            assert!(!path.display().to_string().contains(".podling-cp-"), "{path:?}");
            if fs::symlink_metadata(&path).unwrap().is_dir() {
                self.assert_no_temporary(&path);
            }
        }
    }
}

use EntryType::{Block, Char, Directory, Fifo, Link, Regular, Symlink};

#[test]
fn nothing_outside_the_destination_is_touched() {
    let outside = "../../outside";
    let file = "../../outside/file";
    let cases: &[(&str, &[Entry<'_>])] = &[
        ("climbs", &[(Regular, "../outside/file", "x")]),
        ("climbs below its name", &[(Directory, "t/", ""), (Regular, "t/../../outside/file", "x")]),
        ("climbs and comes back", &[(Directory, "t/", ""), (Regular, "t/../t/a", "x")]),
        ("absolute", &[(Regular, "/tmp/podling-never", "x")]),
        ("another name", &[(Regular, ".bashrc", "x")]),
        ("a name that only begins alike", &[(Directory, "t/", ""), (Regular, "tt", "x")]),
        ("content where a name was asked for", &[(Directory, "./", ""), (Regular, "./a", "x")]),
        ("a link to nothing at all", &[(Directory, "t/", ""), (Symlink, "t/l", "")]),
        (
            "writes through its own link",
            &[(Directory, "t/", ""), (Symlink, "t/l", outside), (Regular, "t/l/file", "x")],
        ),
        (
            "makes a directory through a link",
            &[(Directory, "t/", ""), (Symlink, "t/l", outside), (Directory, "t/l/d", "")],
        ),
        ("a directory over its own link", &[(Directory, "t/", ""), (Symlink, "t/l", outside), (Directory, "t/l", "")]),
        ("the top is a link", &[(Symlink, "t", "../outside"), (Regular, "t/file", "x")]),
        ("hard link through a link", &[(Directory, "t/", ""), (Symlink, "t/l", outside), (Link, "t/h", "t/l/file")]),
        ("hard link that climbs", &[(Directory, "t/", ""), (Link, "t/h", "../outside/file")]),
        ("hard link that is absolute", &[(Directory, "t/", ""), (Link, "t/h", "/etc/passwd")]),
        ("hard link to what is not there", &[(Directory, "t/", ""), (Link, "t/h", "t/nothing")]),
        ("hard link to a directory", &[(Directory, "t/", ""), (Directory, "t/d", ""), (Link, "t/h", "t/d")]),
        ("hard link to itself", &[(Directory, "t/", ""), (Link, "t/h", "t/h")]),
        ("a file in a file", &[(Regular, "t", "x"), (Regular, "t/a", "x")]),
        ("a file over a directory", &[(Directory, "t/", ""), (Directory, "t/d", ""), (Regular, "t/d", "x")]),
        ("a link over a directory", &[(Directory, "t/", ""), (Directory, "t/d", ""), (Symlink, "t/d", outside)]),
        ("a directory that is missing", &[(Directory, "t/", ""), (Regular, "t/no/a", "x")]),
        ("a part that is too long", &[(Directory, "t/", ""), (Regular, &format!("t/{}", "n".repeat(256)), "x")]),
        ("nothing", &[]),
    ];
    for (what, entries) in cases {
        let scene = Scene::new();
        let outcome = scene.receive(entries);
        assert!(outcome.is_err(), "{what}: {outcome:?}");
        scene.assert_untouched(what);
    }
    // A link to a file is replaced, and a hard link to a link is one to the link.
    let scene = Scene::new();
    let entries = [
        (Directory, "t/", ""),
        (Symlink, "t/l", file),
        (Link, "t/h", "t/l"),
        (Regular, "t/l", "new"),
        (Regular, "t/h", "new"),
    ];
    scene.receive(&entries).unwrap();
    scene.assert_untouched("a file over its own link");
    assert_eq!(fs::read_to_string(scene.to().join("t/l")).unwrap(), "new");
}

#[test]
fn links_that_were_there_before_are_not_followed_either() {
    for (link, entries) in [
        ("t", &[(Directory, "t/", ""), (Regular, "t/file", "x")][..]),
        ("t/l", &[(Directory, "t/", ""), (Directory, "t/l/", ""), (Regular, "t/l/file", "x")]),
        ("t/l", &[(Directory, "t/", ""), (Regular, "t/l/file", "x")]),
    ] {
        let scene = Scene::new();
        if link.contains('/') {
            fs::create_dir(scene.to().join("t")).unwrap();
        }
        symlink(scene.0.path().join("outside"), scene.to().join(link)).unwrap();
        assert!(scene.receive(entries).is_err(), "{link}");
        scene.assert_untouched(link);
    }
}

#[test]
fn a_hard_link_leads_to_nothing_that_was_there_before() {
    let scene = Scene::new();
    fs::create_dir(scene.to().join("t")).unwrap();
    fs::write(scene.to().join("t/mine"), "mine").unwrap();
    let outcome = scene.receive(&[(Directory, "t/", ""), (Link, "t/h", "t/mine"), (Regular, "t/h", "x")]);
    assert!(outcome.unwrap_err().to_string().contains("which this copy did not make"));
    assert_eq!(fs::metadata(scene.to().join("t/mine")).unwrap().nlink(), 1);
}

#[test]
fn hard_links_of_the_copy_are_made_again_and_again() {
    let scene = Scene::new();
    let entries = [(Directory, "t/", ""), (Regular, "t/a", "A"), (Link, "t/b", "t/a"), (Link, "t/b", "t/a")];
    scene.receive(&entries).unwrap();
    scene.receive(&entries).unwrap();
    assert_eq!(fs::metadata(scene.to().join("t/a")).unwrap().nlink(), 2);
    scene.assert_untouched("hard links");
}

#[test]
fn no_device_and_no_bit_that_gives_rights_arrives() {
    let scene = Scene::new();
    let report =
        scene.receive(&[(Directory, "t/", ""), (Char, "t/c", ""), (Block, "t/b", ""), (Fifo, "t/f", "")]).unwrap();
    assert_eq!(report.warnings, ["devices are left out: \"t/c\" and 1 more"]);
    assert_eq!(fs::read_dir(scene.to().join("t")).unwrap().count(), 1);

    let mut bytes = Vec::new();
    let mut archive = Archive::new(&mut bytes);
    for (kind, name) in [(Directory, "t/"), (Regular, "t/f"), (Directory, "t/d/")] {
        let meta = Meta { mode: 0o7777, uid: 0, gid: 0, mtime: (0, 0), size: 0 };
        archive.entry(kind, name.as_bytes(), b"", &meta).unwrap();
    }
    archive.finish().unwrap();
    unpacked(&bytes, Path::new("t"), &scene.to().join("new")).unwrap();
    for (name, mode) in [("new/f", 0o777), ("new/d", 0o1777)] {
        assert_eq!(fs::metadata(scene.to().join(name)).unwrap().mode() & 0o7777, mode, "{name}");
    }
}

#[test]
fn the_destination_itself_and_what_exists_keep_their_modes() {
    let scene = Scene::new();
    fs::create_dir(scene.to().join("sub")).unwrap();
    for (path, mode) in [(scene.to(), 0o711), (scene.to().join("sub"), 0o710)] {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }
    let bytes = archive(&[(Directory, "./", ""), (Directory, "./sub/", ""), (Regular, "./a", "x")]);
    unpacked(&bytes, Path::new("t/."), &scene.to()).unwrap();
    assert_eq!(fs::metadata(scene.to()).unwrap().mode() & 0o7777, 0o711);
    assert_eq!(fs::metadata(scene.to().join("sub")).unwrap().mode() & 0o7777, 0o710);
}

#[test]
fn a_size_that_is_not_true_leaves_no_file() {
    for size in [100_u64, 1 << 40, u64::MAX >> 1] {
        let scene = Scene::new();
        fs::write(scene.to().join("t"), "old").unwrap();
        let mut bytes = Vec::new();
        let meta = Meta { mode: 0o644, uid: 0, gid: 0, mtime: (0, 0), size };
        let mut archive = Archive::new(&mut bytes);
        archive.entry(Regular, b"t", b"", &meta).unwrap();
        archive.content(b"half").unwrap();
        let error = unpacked(&bytes, Path::new("t"), &scene.to()).unwrap_err();
        assert!(error.to_string().contains("/to/t\": the archive is truncated"), "{error}");
        assert_eq!(fs::read_to_string(scene.to().join("t")).unwrap(), "old");
        scene.assert_untouched("a size");
    }
}

#[test]
fn a_stream_that_ends_anywhere_leaves_whole_files_only() {
    let bytes = archive(&[(Directory, "t/", ""), (Regular, "t/a", "whole"), (Regular, "t/b", "whole")]);
    for length in (0..bytes.len()).step_by(101) {
        let scene = Scene::new();
        // A tar reader takes a missing end mark for an end; the frames around the archive tell the difference.
        let _ = unpacked(&bytes[..length], Path::new("t"), &scene.to());
        scene.assert_untouched("truncated");
        for name in ["a", "b"] {
            if let Ok(content) = fs::read_to_string(scene.to().join("t").join(name)) {
                assert_eq!(content, "whole", "{length}");
            }
        }
        if let Ok(stat) = fs::metadata(scene.to().join("t")) {
            assert_eq!(stat.mode() & 0o7777, 0o755, "{length}");
        }
    }
}

#[test]
fn a_peer_that_goes_in_the_middle_of_a_file_leaves_the_old_one() {
    let scene = Scene::new();
    fs::write(scene.to().join("t"), "old").unwrap();
    let mut bytes = Vec::new();
    let meta = Meta { mode: 0o644, uid: 0, gid: 0, mtime: (0, 0), size: 1 << 62 };
    Archive::new(&mut bytes).entry(Regular, b"t", b"", &meta).unwrap();
    struct Gone(u64);
    impl Read for Gone {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.0 += buffer.len() as u64;
            buffer.fill(b'x');
            if self.0 > 2 << 20 { Err(std::io::Error::other("the other end has gone")) } else { Ok(buffer.len()) }
        }
    }
    let how = How { shape: Shape::Archive, owner: Owner::Receiver, special: SpecialBits::Drop };
    let error = receive(&Base::WorkingDirectory, &scene.to(), bytes.as_slice().chain(Gone(0)), &how).unwrap_err();
    assert!(error.to_string().contains("/to/t\": the other end has gone"), "{error}");
    assert_eq!(fs::read_to_string(scene.to().join("t")).unwrap(), "old");
    scene.assert_untouched("a peer that goes");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_stream_gets_out(
        entries in proptest::collection::vec((0..5usize, "t?(/?(\\.|\\.\\.|a|b|t|\\.\\./outside)){0,4}", "(\\.\\./){0,3}(outside|t|a|t/a|/etc)?"), 1..8)
    ) {
        let scene = Scene::new();
        let kinds = [Directory, Regular, Symlink, Link, Fifo];
        let entries: Vec<Entry<'_>> = [(Directory, "t/", "")].into_iter()
            .chain(entries.iter().map(|(kind, name, text)| (kinds[*kind], name.as_str(), text.as_str())))
            .collect();
        let _ = scene.receive(&entries);
        scene.assert_untouched(&format!("{entries:?}"));
    }

    #[test]
    fn any_bytes_are_refused_or_read(mut bytes in proptest::collection::vec(any::<u8>(), 0..3000), valid in any::<bool>()) {
        let scene = Scene::new();
        if valid {
            let mut whole = archive(&[(Directory, "t/", ""), (Regular, "t/a", "content")]);
            let at = bytes.len() % whole.len();
            if let Some(byte) = whole.get_mut(at) { *byte ^= 1 << (bytes.len() % 8); }
            bytes = whole;
        }
        let _ = unpacked(&bytes, Path::new("t"), &scene.to());
        scene.assert_untouched("bytes");
    }
}

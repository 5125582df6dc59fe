//! What comes out is what went in.

use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::super::receive::{How, SpecialBits, receive};
use super::super::{Base, Links, Owner, Shape, Top};
use super::{as_nobody, copied, packed, unpacked};

/// Everything below `dir` that a copy must keep.
fn facts(dir: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = vec![PathBuf::new()];
    while let Some(path) = waiting.pop() {
        let here = dir.join(&path);
        let stat = fs::symlink_metadata(&here).unwrap();
        let mode = if stat.is_symlink() { 0 } else { stat.mode() };
        let content = match stat.file_type() {
            kind if kind.is_dir() => {
                waiting.extend(fs::read_dir(&here).unwrap().map(|entry| path.join(entry.unwrap().file_name())));
                String::new()
            }
            kind if kind.is_symlink() => fs::read_link(&here).unwrap().display().to_string(),
            kind if kind.is_file() => fs::read(&here).unwrap().escape_ascii().to_string(),
            _ => String::new(),
        };
        let name = path.as_os_str().as_bytes().escape_ascii().to_string();
        let links = if stat.is_dir() { 0 } else { stat.nlink() };
        found.push(format!("{name:?} {mode:o} {}.{} {links} {content}", stat.mtime(), stat.mtime_nsec()));
    }
    found.sort();
    found
}

#[test]
fn a_tree_comes_back_as_it_was() {
    let base = tempfile::tempdir().unwrap();
    let tree = base.path().join("tree");
    let at = |name: &str| tree.join(name);
    let write = |path: &Path, content: &[u8], mode: u32| {
        fs::write(path, content).unwrap();
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    };
    let long = "n".repeat(255);
    let deep = format!("{}/{}/{}", "a".repeat(120), "b".repeat(120), "c".repeat(120));
    fs::create_dir_all(at(&deep)).unwrap();
    for directory in ["empty", "closed", "open", "sticky"] {
        fs::create_dir(at(directory)).unwrap();
    }
    write(&at("plain"), b"content", 0o640);
    write(&at("nothing"), b"", 0o444);
    write(&at("tool"), b"#!", 0o777);
    write(&at(&long), b"long", 0o600);
    write(&at(&format!("{deep}/{long}")), b"longer", 0o600);
    write(&tree.join(OsStr::from_bytes(b"not \xff text\n")), b"x", 0o600);
    write(&at("block"), &[b'x'; 512], 0o600);
    write(&at("large"), &(0..700_001u32).map(|n| n as u8).collect::<Vec<_>>(), 0o600);
    write(&at("closed/inside"), b"i", 0o400);
    fs::hard_link(at("plain"), at("zz-second")).unwrap();
    fs::hard_link(at("plain"), at("empty-second")).unwrap();
    symlink("../outside", at("link")).unwrap();
    symlink(OsStr::from_bytes(&[b'\xfe'; 300]), at("long-link")).unwrap();
    symlink("loop", at("loop")).unwrap();
    mkfifo(&at("fifo"), Mode::from_bits_truncate(0o622)).unwrap();
    fs::set_permissions(at("fifo"), Permissions::from_mode(0o622)).unwrap();
    for (name, when) in
        [("plain", Duration::new(1_000_000_000, 123_456_789)), ("tool", Duration::new(12_345_678_901, 0))]
    {
        File::open(at(name)).unwrap().set_modified(UNIX_EPOCH + when).unwrap();
    }
    File::open(at("block")).unwrap().set_modified(UNIX_EPOCH - Duration::new(1, 250_000_000)).unwrap();
    for (name, mode) in [("closed", 0o500), ("open", 0o777), ("sticky", 0o1777)] {
        fs::set_permissions(at(name), Permissions::from_mode(mode)).unwrap();
    }
    let before = facts(&tree);

    let report = copied(&tree, &base.path().join("copy")).unwrap();
    assert_eq!(facts(&base.path().join("copy")), before);
    assert_eq!(report.warnings, Vec::<String>::new());
    assert_eq!(report.entries, before.len() as u64);

    // Once more, over what is there.
    let closed = |name: &str, mode| {
        fs::set_permissions(base.path().join(name).join("closed"), Permissions::from_mode(mode)).unwrap();
    };
    closed("copy", 0o700);
    copied(&tree.join("."), &base.path().join("copy")).unwrap();
    closed("copy", 0o500);
    // Directories that exist keep their own time, which is now.
    let files = |dir: &Path| facts(dir).into_iter().filter(|fact| !fact.contains("\" 4")).collect::<Vec<_>>();
    assert_eq!(files(&base.path().join("copy")), files(&tree));
    // Else the temporary directory could not be removed.
    closed("copy", 0o700);
    closed("tree", 0o700);
}

#[test]
fn a_directory_that_nobody_may_write_into_is_filled_and_closed() {
    let base = tempfile::tempdir().unwrap();
    as_nobody(base.path(), || {
        let tree = base.path().join("tree");
        fs::create_dir_all(tree.join("sub")).unwrap();
        fs::write(tree.join("sub/file"), "f").unwrap();
        for dir in ["sub", "."] {
            fs::set_permissions(tree.join(dir), Permissions::from_mode(0o500)).unwrap();
        }
        let before = facts(&tree);
        copied(&tree, &base.path().join("copy")).unwrap();
        assert_eq!(facts(&base.path().join("copy")), before);
        // Else the temporary directory could not be removed.
        for path in ["tree", "copy", "tree/sub", "copy/sub"] {
            fs::set_permissions(base.path().join(path), Permissions::from_mode(0o700)).unwrap();
        }
    });
}

#[test]
fn what_may_not_be_read_is_named_and_the_rest_copied() {
    let base = tempfile::tempdir().unwrap();
    let failure = as_nobody(base.path(), || {
        let tree = base.path().join("tree");
        fs::create_dir_all(tree.join("dir")).unwrap();
        for (name, mode) in [("a", 0o000), ("b", 0o600), ("c", 0o000)] {
            fs::write(tree.join(name), name).unwrap();
            fs::set_permissions(tree.join(name), Permissions::from_mode(mode)).unwrap();
        }
        fs::set_permissions(tree.join("dir"), Permissions::from_mode(0o000)).unwrap();
        let mut archive = Vec::new();
        let failure = super::send(&Base::WorkingDirectory, &tree, &mut archive, Links::Keep).unwrap_err();
        unpacked(&archive, &tree, &base.path().join("copy")).unwrap();
        let top = super::send(&Base::WorkingDirectory, &tree.join("a"), &mut Vec::new(), Links::Keep).unwrap_err();
        assert!(top.to_string().contains("tree/a\": Permission denied"), "{top}");
        fs::set_permissions(tree.join("dir"), Permissions::from_mode(0o700)).unwrap();
        failure.to_string()
    });
    assert!(failure.contains("3 files") && failure.contains("tree/a\": Permission denied"), "{failure}");
    assert_eq!(fs::read_dir(base.path().join("copy")).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(base.path().join("copy/b")).unwrap(), "b");
}

#[test]
fn what_has_no_content_is_left_out_with_a_warning() {
    let base = tempfile::tempdir().unwrap();
    let tree = base.path().join("tree");
    fs::create_dir(&tree).unwrap();
    let _socket = UnixListener::bind(tree.join("socket")).unwrap();
    let sent = super::send(&Base::WorkingDirectory, &tree, &mut Vec::new(), Links::Keep).unwrap();
    assert_eq!(sent.warnings, ["sockets and devices are left out: \"tree/socket\""]);
    for source in [tree.join("socket"), "/dev/null".into()] {
        let error = super::send(&Base::WorkingDirectory, &source, &mut Vec::new(), Links::Keep).unwrap_err();
        assert!(error.to_string().contains("no content to copy"), "{error}");
    }
}

#[test]
fn the_kernels_files_are_copied_by_what_is_in_them() {
    let base = tempfile::tempdir().unwrap();
    copied(Path::new("/proc/self/cmdline"), &base.path().join("cmdline")).unwrap();
    assert_eq!(fs::read(base.path().join("cmdline")).unwrap(), fs::read("/proc/self/cmdline").unwrap());
}

#[test]
fn a_fifo_as_the_source_does_not_block() {
    let base = tempfile::tempdir().unwrap();
    mkfifo(&base.path().join("fifo"), Mode::S_IRWXU).unwrap();
    copied(&base.path().join("fifo"), &base.path().join("copy")).unwrap();
    assert_eq!(fs::symlink_metadata(base.path().join("copy")).unwrap().mode() & libc::S_IFMT, libc::S_IFIFO);
    symlink("fifo", base.path().join("link")).unwrap();
    packed(&base.path().join("link"), Links::Follow);
}

#[test]
fn a_loop_of_links_is_an_error_only_when_it_is_followed() {
    let base = tempfile::tempdir().unwrap();
    let link = base.path().join("loop");
    symlink("loop", &link).unwrap();
    copied(&link, &base.path().join("copy")).unwrap();
    let error = super::send(&Base::WorkingDirectory, &link, &mut Vec::new(), Links::Follow).unwrap_err();
    assert!(error.to_string().contains("loop of symbolic links"), "{error}");
}

#[test]
fn deep_trees_are_copied() {
    let base = tempfile::tempdir().unwrap();
    let mut path = base.path().join("tree");
    fs::create_dir(&path).unwrap();
    for _ in 0..300 {
        path.push("d");
        fs::create_dir(&path).unwrap();
    }
    fs::write(path.join("f"), "deep").unwrap();
    copied(&base.path().join("tree"), &base.path().join("copy")).unwrap();
    assert_eq!(facts(&base.path().join("copy")), facts(&base.path().join("tree")));
}

#[test]
fn holes_stay_holes() {
    let base = tempfile::tempdir().unwrap();
    let sparse = File::create(base.path().join("sparse")).unwrap();
    sparse.set_len(32 << 20).unwrap();
    copied(&base.path().join("sparse"), &base.path().join("copy")).unwrap();
    let stat = fs::metadata(base.path().join("copy")).unwrap();
    assert_eq!(stat.len(), 32 << 20);
    assert!(stat.blocks() * 512 < 1 << 20, "{} blocks", stat.blocks());
}

#[test]
fn a_file_that_shrinks_is_an_error_that_names_it() {
    let base = tempfile::tempdir().unwrap();
    let path = base.path().join("file");
    fs::write(&path, vec![b'x'; 1 << 20]).unwrap();
    struct Shrinks<'a>(&'a Path);
    impl std::io::Write for Shrinks<'_> {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            File::options().write(true).open(self.0).unwrap().set_len(10).unwrap();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let error = super::send(&Base::WorkingDirectory, &path, Shrinks(&path), Links::Keep).unwrap_err();
    assert!(error.to_string().contains("/file\": it became shorter"), "{error}");
}

#[test]
fn owners_are_given_kept_or_refused() {
    let base = tempfile::tempdir().unwrap();
    let source = base.path().join("file");
    fs::write(&source, "f").unwrap();
    fs::set_permissions(&source, Permissions::from_mode(0o4755)).unwrap();
    let me = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
    let archive = packed(&source, Links::Keep);
    let into = |name: &str, owner: Owner, special: SpecialBits| {
        let how = How { shape: Shape::Copy(Top::of(&source)), owner, special };
        let to = base.path().join(name);
        receive(&Base::WorkingDirectory, &to, archive.as_slice(), &how)
            .map(|report| (report, fs::metadata(to).unwrap()))
    };
    let (report, stat) = into("plain", Owner::Receiver, SpecialBits::Drop).unwrap();
    assert_eq!(((stat.uid(), stat.gid()), stat.mode() & 0o7777), (me, 0o755));
    assert!(report.warnings.iter().any(|warning| warning.contains("set-user-id")), "{report:?}");
    let (_, stat) = into("kept", Owner::Kept, SpecialBits::Keep).unwrap();
    assert_eq!(((stat.uid(), stat.gid()), stat.mode() & 0o7777), (me, 0o4755));
    let given = as_nobody(base.path(), || into("given", Owner::Of { uid: 1, gid: 1 }, SpecialBits::Drop));
    assert!(given.unwrap_err().to_string().contains("without -a"));
    if nix::unistd::geteuid().is_root() {
        let (_, stat) = into("given", Owner::Of { uid: 7, gid: 8 }, SpecialBits::Drop).unwrap();
        assert_eq!((stat.uid(), stat.gid()), (7, 8));
    }
}

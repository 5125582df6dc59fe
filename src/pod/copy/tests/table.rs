//! The table of docker's reference page, row by row.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::super::receive::{How, SpecialBits, receive};
use super::super::{Base, Links, Owner, Shape, Top};
use super::{copied, packed, unpacked};

/// What is in `dir`, as one line: directories end with a slash, links show their target, files their content.
fn listing(dir: &Path) -> String {
    let mut lines = Vec::new();
    walk(dir, dir, &mut lines);
    lines.sort();
    lines.join(" ")
}

fn walk(root: &Path, dir: &Path, lines: &mut Vec<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().display().to_string();
        if let Ok(target) = fs::read_link(&path) {
            lines.push(format!("{name}->{}", target.display()));
        } else if path.is_dir() {
            lines.push(format!("{name}/"));
            walk(root, &path, lines);
        } else {
            lines.push(format!("{name}={}", fs::read_to_string(&path).unwrap()));
        }
    }
}

/// `Ok` is what there is afterwards, `Err` a part of the error, after which there must be what there was.
type Row = (&'static str, &'static str, &'static [&'static str], Result<&'static str, &'static str>);

#[test]
fn names_are_what_docker_makes_them() {
    let rows: [Row; 30] = [
        // source, destination, what is there before (a slash at the end makes a directory), the outcome.
        ("f", "new", &[], Ok("new=F")),
        ("f", "new/", &[], Err("does not exist")),
        ("f", "new/.", &[], Err("does not exist")),
        ("f", "file", &["file"], Ok("file=F")),
        ("f", "file/", &["file"], Err("is not a directory")),
        ("f", "dir", &["dir/"], Ok("dir/ dir/f=F")),
        ("f", "dir/", &["dir/"], Ok("dir/ dir/f=F")),
        ("f", "dir", &["dir/", "dir/f"], Ok("dir/ dir/f=F")),
        ("f", "dir", &["dir/", "dir/f/"], Err("only a directory can be copied over")),
        ("f", "no/new", &[], Err("the directory")),
        ("f", "file/new", &["file"], Err("is not a directory")),
        ("f", ".", &[], Ok("f=F")),
        ("d", "new", &[], Ok("new/ new/a=A new/sub/ new/sub/b=B")),
        ("d", "new/", &[], Ok("new/ new/a=A new/sub/ new/sub/b=B")),
        ("d", "dir", &["dir/"], Ok("dir/ dir/d/ dir/d/a=A dir/d/sub/ dir/d/sub/b=B")),
        ("d/", "dir/", &["dir/"], Ok("dir/ dir/d/ dir/d/a=A dir/d/sub/ dir/d/sub/b=B")),
        (
            "d",
            "dir",
            &["dir/", "dir/d/", "dir/d/old"],
            Ok("dir/ dir/d/ dir/d/a=A dir/d/old=old dir/d/sub/ dir/d/sub/b=B"),
        ),
        ("d", "dir", &["dir/", "dir/d"], Err("a directory cannot replace it")),
        ("d", "file", &["file"], Err("a directory cannot replace it")),
        ("d", "no/new", &[], Err("the directory")),
        ("d/.", "dir", &["dir/"], Ok("dir/ dir/a=A dir/sub/ dir/sub/b=B")),
        ("d/.", "dir", &["dir/", "dir/a", "dir/old"], Ok("dir/ dir/a=A dir/old=old dir/sub/ dir/sub/b=B")),
        ("d/.", "dir", &["dir/", "dir/sub"], Err("a directory cannot replace it")),
        ("d/.", "new", &[], Ok("new/ new/a=A new/sub/ new/sub/b=B")),
        ("d/.", "file", &["file"], Err("a directory cannot replace it")),
        ("f/.", "new", &[], Err("ends with a slash")),
        ("f/", "new", &[], Err("ends with a slash")),
        ("no", "new", &[], Err("does not exist")),
        ("link", "new", &[], Ok("new->f")),
        ("link", "dir", &["dir/"], Ok("dir/ dir/link->f")),
    ];
    for (source, destination, before, outcome) in rows {
        let base = tempfile::tempdir().unwrap();
        let (from, to) = (base.path().join("from"), base.path().join("to"));
        fs::create_dir_all(from.join("d/sub")).unwrap();
        fs::create_dir(&to).unwrap();
        for (name, content) in [("f", "F"), ("d/a", "A"), ("d/sub/b", "B")] {
            fs::write(from.join(name), content).unwrap();
        }
        symlink("f", from.join("link")).unwrap();
        for name in before {
            match name.ends_with('/') {
                true => fs::create_dir(to.join(name)).unwrap(),
                false => fs::write(to.join(name), "old").unwrap(),
            }
        }
        // Joining would tidy the slashes up.
        let source_path = format!("{}/{source}", from.display());
        let destination_path = format!("{}/{destination}", to.display());
        let row = format!("{source} to {destination} with {before:?}");
        match (copied(Path::new(&source_path), Path::new(&destination_path)), outcome) {
            (Ok(_), Ok(after)) => assert_eq!(listing(&to), after, "{row}"),
            (Err(e), Err(words)) => {
                assert!(e.to_string().contains(words), "{row}: {e}");
                // One of them finds out when some has been copied.
                for name in before {
                    assert!(to.join(name).symlink_metadata().is_ok(), "{row}: {name} is gone");
                }
            }
            (found, _) => panic!("{row}: {found:?}"),
        }
    }
}

#[test]
fn a_link_is_followed_when_that_is_asked_for() {
    let base = tempfile::tempdir().unwrap();
    let at = |name: &str| base.path().join(name);
    fs::write(at("file"), "F").unwrap();
    symlink("file", at("link")).unwrap();
    unpacked(&packed(&at("link"), Links::Follow), &at("link"), &at("new")).unwrap();
    assert_eq!(fs::read_to_string(at("new")).unwrap(), "F");
    assert!(!at("new").is_symlink());

    let report = copied(&at("link"), &at("kept")).unwrap();
    assert!(at("kept").is_symlink());
    assert!(report.warnings.iter().any(|warning| warning.contains("-L")), "{report:?}");
}

#[test]
fn a_link_at_the_destination_is_entered_or_replaced_but_never_written_through() {
    let base = tempfile::tempdir().unwrap();
    let at = |name: &str| base.path().join(name);
    fs::write(at("f"), "new").unwrap();
    fs::write(at("precious"), "old").unwrap();
    fs::create_dir(at("dir")).unwrap();
    for (link, target) in [("to-file", "precious"), ("to-dir", "dir"), ("to-nothing", "missing")] {
        symlink(target, at(link)).unwrap();
    }
    for destination in ["to-file", "to-dir", "to-nothing"] {
        copied(&at("f"), &at(destination)).unwrap();
    }
    assert_eq!(fs::read_to_string(at("precious")).unwrap(), "old");
    assert_eq!(fs::read_to_string(at("to-file")).unwrap(), "new");
    assert_eq!(fs::read_to_string(at("dir/f")).unwrap(), "new");
    assert!(!at("missing").exists() && !at("to-nothing").is_symlink());
    assert!(copied(&base.path().join("dir"), &at("to-nothing")).is_err());
}

#[test]
fn an_archive_goes_into_an_existing_directory() {
    let base = tempfile::tempdir().unwrap();
    let at = |name: &str| base.path().join(name);
    fs::create_dir_all(at("d/sub")).unwrap();
    fs::create_dir(at("to")).unwrap();
    fs::write(at("d/sub/b"), "B").unwrap();
    let archive = packed(&at("d"), Links::Keep);
    let how = How { shape: Shape::Archive, owner: Owner::Receiver, special: SpecialBits::Drop };
    let into = |path: &Path, archive: &[u8]| receive(&Base::WorkingDirectory, path, archive, &how);
    into(&at("to"), &archive).unwrap();
    assert_eq!(listing(&at("to")), "d/ d/sub/ d/sub/b=B");
    for (path, words) in [(at("no"), "make the directory first"), (at("d/sub/b"), "not a directory")] {
        let error = into(&path, &archive).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn paths_in_a_container_begin_at_its_root() {
    let base = tempfile::tempdir().unwrap();
    let root = base.path().join("root");
    fs::create_dir_all(root.join("usr/bin")).unwrap();
    fs::write(base.path().join("precious"), "old").unwrap();
    // What a container can make: links that would lead out if they were followed on the host.
    symlink("/usr/bin", root.join("bin")).unwrap();
    symlink("../../precious", root.join("out")).unwrap();
    let inside = || Base::Root(fs::File::open(&root).unwrap().into());

    let archive = packed(&base.path().join("precious"), Links::Keep);
    let how = |top: &str| How {
        shape: Shape::Copy(Top::Named(top.into())),
        owner: Owner::Receiver,
        special: SpecialBits::Drop,
    };
    for destination in ["/bin", "bin/two", "../../bin/three"] {
        receive(&inside(), Path::new(destination), archive.as_slice(), &how("precious")).unwrap();
    }
    assert_eq!(listing(&root.join("usr")), "bin/ bin/precious=old bin/three=old bin/two=old");

    let mut archive = Vec::new();
    let read = super::send(&inside(), Path::new("/out"), &mut archive, Links::Follow);
    assert!(read.unwrap_err().to_string().contains("does not exist"));
    super::send(&inside(), Path::new("usr/bin/two"), &mut archive, Links::Keep).unwrap();
    assert!(archive.windows(3).any(|part| part == b"old"));
}

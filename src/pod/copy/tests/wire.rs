//! Both ends at their socket, as the client and the process in the container have it.

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;

use super::super::{Copied, Links, Owner, Shape, Top, deliver, deliver_archive, fetch, fetch_archive, give, take};
use crate::error::Result;

fn out(source: &Path, destination: &Path) -> Result<Copied> {
    let (ours, theirs) = UnixStream::pair().unwrap();
    thread::scope(|scope| {
        scope.spawn(move || give(&theirs, source, Links::Keep));
        fetch(&ours, destination, &Top::of(source), Owner::Receiver)
    })
}

fn into(source: &Path, destination: &Path) -> Result<Copied> {
    let (ours, theirs) = UnixStream::pair().unwrap();
    thread::scope(|scope| {
        let shape = Shape::Copy(Top::of(source));
        scope.spawn(move || take(&theirs, destination, shape, Owner::Receiver));
        deliver(&ours, source, Links::Keep)
    })
}

#[test]
fn both_ways_work() {
    let base = tempfile::tempdir().unwrap();
    let at = |name: &str| base.path().join(name);
    fs::create_dir(at("d")).unwrap();
    fs::write(at("d/large"), vec![b'x'; 3 << 20]).unwrap();
    for (copy, to) in [(out as fn(&Path, &Path) -> Result<Copied>, "out"), (into, "into")] {
        let copied = copy(&at("d"), &at(to)).unwrap();
        assert_eq!((copied.entries, copied.bytes), (2, 3 << 20), "{to}");
        assert_eq!(fs::read(at(to).join("large")).unwrap(), vec![b'x'; 3 << 20]);
    }
}

#[test]
fn the_end_that_knows_why_is_heard() {
    let base = tempfile::tempdir().unwrap();
    let at = |name: &str| base.path().join(name);
    fs::create_dir_all(at("d/large")).unwrap();
    fs::write(at("d/large/a"), vec![b'x'; 8 << 20]).unwrap();
    fs::create_dir_all(at("full/d/large/a")).unwrap();
    for copy in [out as fn(&Path, &Path) -> Result<Copied>, into] {
        let error = copy(&at("missing"), &at("new")).unwrap_err();
        assert!(error.to_string().contains("missing\" does not exist"), "{error}");
        let error = copy(&at("d"), &at("no/new")).unwrap_err();
        assert!(error.to_string().contains("/no\" does not exist"), "{error}");
        // In the middle of much that nobody reads any more.
        let error = copy(&at("d"), &at("full")).unwrap_err();
        assert!(error.to_string().contains("full/d/large/a\": it exists and is a directory"), "{error}");
        assert!(!at("new").exists());
    }
}

#[test]
fn an_end_that_vanishes_is_an_error() {
    let base = tempfile::tempdir().unwrap();
    let at = |name: &str| base.path().join(name);
    fs::write(at("f"), vec![b'x'; 1 << 20]).unwrap();

    // Out of a container: it sends half and dies.
    let (ours, theirs) = UnixStream::pair().unwrap();
    let (relay, end) = UnixStream::pair().unwrap();
    thread::scope(|scope| {
        let source = at("f");
        scope.spawn(move || give(&end, &source, Links::Keep));
        scope.spawn(move || {
            let mut half = vec![0; 500_000];
            (&relay).read_exact(&mut half).unwrap();
            (&theirs).write_all(&half).unwrap();
        });
        let error = fetch(&ours, &at("half"), &Top::of(&at("f")), Owner::Receiver).unwrap_err();
        assert!(error.to_string().contains("has gone before it was complete"), "{error}");
        assert!(error.to_string().contains("/half"), "{error}");
    });
    assert_eq!(fs::read_dir(base.path()).unwrap().count(), 1);

    // Into one: nobody listens.
    let (ours, theirs) = UnixStream::pair().unwrap();
    drop(theirs);
    let error = deliver(&ours, &at("f"), Links::Keep).unwrap_err();
    assert!(error.to_string().contains("has gone"), "{error}");
}

#[test]
fn archives_pass_through() {
    let base = tempfile::tempdir().unwrap();
    let at = |name: &str| base.path().join(name);
    fs::create_dir_all(at("d")).unwrap();
    fs::write(at("d/f"), "F").unwrap();
    let mut archive = Vec::new();
    let (ours, theirs) = UnixStream::pair().unwrap();
    thread::scope(|scope| {
        let source = at("d");
        scope.spawn(move || give(&theirs, &source, Links::Keep));
        fetch_archive(&ours, &mut archive).unwrap();
    });
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&archive).unwrap();
    for (name, bytes) in [("plain", archive.clone()), ("gzip", gzip.finish().unwrap())] {
        let to = at(name);
        fs::create_dir(&to).unwrap();
        let (ours, theirs) = UnixStream::pair().unwrap();
        thread::scope(|scope| {
            let to = &to;
            scope.spawn(move || take(&theirs, to, Shape::Archive, Owner::Receiver));
            deliver_archive(&ours, bytes.as_slice()).unwrap();
        });
        assert_eq!(fs::read_to_string(to.join("d/f")).unwrap(), "F", "{name}");
    }
    let (ours, _theirs) = UnixStream::pair().unwrap();
    assert!(deliver_archive(&ours, &b"BZh91AY&SY"[..]).unwrap_err().to_string().contains("compression"));
}

#[test]
fn a_client_that_stops_ends_the_sender() {
    let base = tempfile::tempdir().unwrap();
    let source = base.path().join("f");
    fs::write(&source, vec![b'x'; 4 << 20]).unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    thread::scope(|scope| {
        let sender = scope.spawn(|| give(&theirs, &source, Links::Keep));
        ours.shutdown(Shutdown::Both).unwrap();
        assert!(sender.join().unwrap().is_err());
    });
}

//! Writer and readers together, on real files.

use std::cell::RefCell;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::rc::Rc;

use nix::sys::eventfd::{EfdFlags, EventFd};
use proptest::prelude::*;

use super::cri::{HEADER, LONGEST_CONTENT};
use super::*;
use crate::error::Result;

const EVERYTHING: Options = Options { tail: None, since: None, timestamps: Timestamps::Hidden };

fn open_dir(dir: &Path) -> Rc<OwnedFd> {
    Rc::new(OwnedFd::from(File::open(dir).unwrap()))
}

fn writer(dir: &Path, container: &str, run: u32, max_size: u64, max_files: u32) -> Writer {
    Writer::new(open_dir(dir), container, run, Limits { max_size, max_files })
}

fn source(container: &str, run: u32) -> Source {
    Source { pod: "p".to_owned(), container: container.to_owned(), run, prefix: String::new() }
}

fn printed(dir: &Path, sources: &[Source], options: &Options) -> Vec<u8> {
    let mut out = Vec::new();
    assert_eq!(print(dir, sources, options, &mut out).unwrap(), Outcome::Complete);
    out
}

/// A container that the test ends and restarts.
#[derive(Clone)]
struct Told(Rc<(EventFd, RefCell<Progress>)>);

impl Told {
    fn new(progress: Progress) -> Told {
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        Told(Rc::new((EventFd::from_value_and_flags(0, flags).unwrap(), RefCell::new(progress))))
    }

    fn tell(&self, progress: Progress) {
        *self.0.1.borrow_mut() = progress;
        self.0.0.write(1).unwrap();
    }
}

impl Watch for Told {
    fn fd(&self) -> BorrowedFd<'_> {
        self.0.0.as_fd()
    }

    fn state(&mut self) -> Result<Progress> {
        let _ = self.0.0.read();
        Ok(*self.0.1.borrow())
    }
}

/// Takes what is printed, and does the test's next step whenever the reader has nothing more to print and is about to wait.
struct Steps<'a> {
    text: Vec<u8>,
    steps: Vec<Box<dyn FnMut() + 'a>>,
}

impl Write for Steps<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.steps.is_empty() {
            self.steps.remove(0)();
        }
        Ok(())
    }
}

/// What is printed while the steps happen, and what was lost.
fn followed<'a>(dir: &Path, told: &Told, options: &Options, steps: Vec<Box<dyn FnMut() + 'a>>) -> (String, Vec<Lost>) {
    let mut out = Steps { text: Vec::new(), steps };
    let mut all_lost = Vec::new();
    let sources = vec![(source("a", 0), told.clone())];
    let outcome = follow(dir, sources, options, &mut out, &mut |_, lost| all_lost.push(lost)).unwrap();
    assert_eq!(outcome, Outcome::Complete);
    (String::from_utf8(out.text).unwrap(), all_lost)
}

#[test]
fn following_sees_rotations_restarts_and_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let told = Told::new(Progress::Running { run: 0 });
    let log = RefCell::new(writer(dir.path(), "a", 0, 1, 3));
    log.borrow_mut().write(LogStream::Stdout, b"zero\n");
    let write = |text: &'static str| log.borrow_mut().write(LogStream::Stdout, text.as_bytes());
    // Every write makes a new file.
    let steps: Vec<Box<dyn FnMut()>> = vec![
        Box::new(|| write("one\n")),
        Box::new(|| ["two\n", "three\n"].map(write).into_iter().collect()),
        Box::new(|| write("unfinished")),
        Box::new(|| {
            *log.borrow_mut() = writer(dir.path(), "a", 1, 1, 3);
            write("again\n");
            told.tell(Progress::Running { run: 1 });
        }),
        Box::new(|| {
            write("last");
            told.tell(Progress::Ended { run: 1 });
        }),
    ];
    let (text, lost) = followed(dir.path(), &told, &EVERYTHING, steps);
    assert_eq!(text, "zero\none\ntwo\nthree\nunfinished\nagain\nlast");
    assert_eq!(lost, []);
}

/// Pods that the test lets come.
struct Coming<'a> {
    told: Told,
    last: Progress,
    pods: &'a RefCell<Vec<Option<Arrival<Told>>>>,
}

impl Arrivals<Told> for Coming<'_> {
    fn fd(&self) -> Option<BorrowedFd<'_>> {
        matches!(self.last, Progress::Running { .. }).then(|| self.told.fd())
    }

    fn next(&mut self) -> Result<Option<Arrival<Told>>> {
        self.last = self.told.state()?;
        Ok(self.pods.borrow_mut().pop().flatten())
    }
}

#[test]
fn pods_that_come_later_are_followed_too_until_the_last_has_ended() {
    let places: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let logs: Vec<_> = places.iter().map(|dir| RefCell::new(writer(dir.path(), "a", 0, 100, 3))).collect();
    let told: Vec<_> = places.iter().map(|_| Told::new(Progress::Running { run: 0 })).collect();
    let write = |n: usize, text: &str| logs[n].borrow_mut().write(LogStream::Stdout, text.as_bytes());
    let arrival = |n: usize, tail| {
        let source = Source { pod: format!("p{n}"), prefix: format!("[{n}] "), ..source("a", 0) };
        Some(Arrival { dir: places[n].path().to_owned(), sources: vec![(source, told[n].clone())], tail })
    };
    let keeper = Told::new(Progress::Running { run: 0 });
    write(0, "one\ntwo\n");
    let pods = RefCell::new(vec![arrival(0, Some(1))]);
    let come = |arrival| {
        pods.borrow_mut().push(arrival);
        keeper.tell(Progress::Running { run: 0 });
    };
    let ends = |n: usize| told[n].tell(Progress::Ended { run: 0 });
    let steps: Vec<Box<dyn FnMut()>> = vec![
        Box::new(|| {
            write(1, "early\n");
            come(arrival(1, None));
        }),
        Box::new(|| {
            write(0, "three\n");
            ends(0);
        }),
        // What has been removed is passed.
        Box::new(|| come(Some(Arrival { dir: "/nonexistent".into(), sources: Vec::new(), tail: None }))),
        // With nobody left the next is waited for, as long as any may come.
        Box::new(|| ends(1)),
        Box::new(|| {
            write(2, "last\n");
            ends(2);
            pods.borrow_mut().push(arrival(2, None));
            keeper.tell(Progress::Ended { run: 0 });
        }),
    ];
    // Whatever closes a log has the reader look for another, and so is a step of its own.
    let mut all: Vec<Box<dyn FnMut()>> = Vec::new();
    for (n, step) in steps.into_iter().enumerate() {
        all.push(step);
        if matches!(n, 1 | 3) {
            all.push(Box::new(|| {}));
        }
    }
    let mut out = Steps { text: Vec::new(), steps: all };
    let mut arrivals = Coming { told: keeper.clone(), last: Progress::Running { run: 0 }, pods: &pods };
    let outcome = follow_arrivals(&mut arrivals, &EVERYTHING, &mut out, &mut |_, _| {}).unwrap();
    assert_eq!(outcome, Outcome::Complete);
    assert_eq!(String::from_utf8(out.text).unwrap(), "[0] two\n[1] early\n[0] three\n[2] last\n");
}

#[test]
fn following_a_tail_shows_only_the_last_lines_and_all_that_come() {
    let dir = tempfile::tempdir().unwrap();
    let told = Told::new(Progress::Running { run: 0 });
    let log = RefCell::new(writer(dir.path(), "a", 0, 100, 9));
    let write = |text: &'static str| log.borrow_mut().write(LogStream::Stdout, text.as_bytes());
    ["1\n", "2\n", "3\n", "4\n", "5\n"].into_iter().for_each(write);
    let steps: Vec<Box<dyn FnMut()>> = vec![
        Box::new(|| ["6\n", "7\n", "8\n"].map(write).into_iter().collect()),
        Box::new(|| told.tell(Progress::Ended { run: 0 })),
    ];
    let (text, _) = followed(dir.path(), &told, &Options { tail: Some(2), ..EVERYTHING }, steps);
    assert_eq!(text, "4\n5\n6\n7\n8\n");
}

#[test]
fn what_vanished_before_it_was_read_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let told = Told::new(Progress::Running { run: 0 });
    let log = RefCell::new(writer(dir.path(), "a", 0, 1, 2));
    let write = |text: &'static str| log.borrow_mut().write(LogStream::Stdout, text.as_bytes());
    let steps: Vec<Box<dyn FnMut()>> = vec![
        Box::new(|| ["1\n", "2\n", "3\n", "4\n", "5\n"].map(write).into_iter().collect()),
        Box::new(|| ["6\n", "7\n", "8\n", "9\n"].map(write).into_iter().collect()),
        Box::new(|| {
            for run in 1..=4 {
                *log.borrow_mut() = writer(dir.path(), "a", run, 1, 2);
                forget_before(&*open_dir(dir.path()), "a", run - 1).unwrap();
                write("run\n");
            }
            told.tell(Progress::Running { run: 4 });
        }),
        Box::new(|| told.tell(Progress::Ended { run: 4 })),
    ];
    let (text, lost) = followed(dir.path(), &told, &EVERYTHING, steps);
    assert_eq!(text, "4\n5\n8\n9\nrun\nrun\n");
    let expected =
        [Lost::Files { run: 0, count: 3 }, Lost::Files { run: 0, count: 2 }, Lost::Runs { first: 1, last: 2 }];
    assert_eq!(lost, expected);
}

#[test]
fn logs_of_several_containers_are_merged_by_time() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, entries: &[(u32, &str)]| {
        let text: String =
            entries.iter().map(|(n, text)| format!("2016-10-06T00:17:09.00000000{n}Z {text}\n")).collect();
        fs::write(dir.path().join(name), text).unwrap();
    };
    file("a.0.log.1", &[(1, "stdout F a1"), (3, "stdout P a")]);
    file("a.0.log", &[(5, "stdout F 3"), (6, "stderr F a6")]);
    file("b.2.log", &[(2, "stdout F b2"), (4, "stderr F b4"), (6, "stdout F b6"), (7, "stdout F b7")]);
    let sources = [("a", 0), ("b", 2), ("silent", 0)]
        .map(|(name, run)| Source { prefix: format!("[{name}] "), ..source(name, run) });
    let text = String::from_utf8(printed(dir.path(), &sources, &EVERYTHING)).unwrap();
    assert_eq!(text, "[a] a1\n[b] b2\n[a] a3\n[b] b4\n[a] a6\n[b] b6\n[b] b7\n");
    let options = Options { tail: Some(1), ..EVERYTHING };
    let text = String::from_utf8(printed(dir.path(), &sources, &options)).unwrap();
    assert_eq!(text, "[a] a6\n[b] b7\n");
}

#[test]
fn a_reader_that_has_gone_ends_the_printing() {
    struct Gone;
    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let dir = tempfile::tempdir().unwrap();
    writer(dir.path(), "a", 0, 100, 2).write(LogStream::Stdout, b"text\n");
    let told = Told::new(Progress::Running { run: 0 });
    let outcome = follow(dir.path(), vec![(source("a", 0), told)], &EVERYTHING, &mut Gone, &mut |_, _| {});
    assert_eq!(outcome.unwrap(), Outcome::ReaderGone);
}

#[test]
fn an_entry_that_a_crash_cut_is_shown_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    writer(dir.path(), "a", 0, 1000, 2).write(LogStream::Stdout, b"whole\n");
    let file = dir.path().join("a.0.log");
    fs::write(&file, fs::read_to_string(&file).unwrap() + "2016-10-06T00:17").unwrap();
    assert_eq!(printed(dir.path(), &[source("a", 0)], &EVERYTHING), b"whole\n2016-10-06T00:17\n");
}

fn any_chunk() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![3 => Just(b'\n'), 5 => any::<u8>(), 5 => Just(b'x')];
    prop_oneof![
        8 => proptest::collection::vec(byte, 0..60),
        1 => (10_000usize..40_000).prop_map(|length| vec![b'y'; length]),
        1 => (1usize..20_000).prop_map(|length| b"line\n".repeat(length)),
    ]
}

/// A size of files at which these chunks fill no more than about twice as many as `parts`.
fn max_size(chunks: &[Vec<u8>], parts: u64) -> u64 {
    let lines = |chunk: &Vec<u8>| chunk.len() / LONGEST_CONTENT + chunk.iter().filter(|b| **b == b'\n').count() + 1;
    let bytes: usize = chunks.iter().map(|chunk| chunk.len() + lines(chunk) * (HEADER + 1)).sum();
    (bytes as u64 / parts).max(1)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn what_a_container_wrote_comes_out_as_it_went_in(
        chunks in proptest::collection::vec(any_chunk(), 0..20),
        parts in 1u64..30,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut log = writer(dir.path(), "a", 0, max_size(&chunks, parts), 64);
        chunks.iter().for_each(|chunk| log.write(LogStream::Stdout, chunk));
        prop_assert_eq!(log.finish(), None);
        prop_assert_eq!(printed(dir.path(), &[source("a", 0)], &EVERYTHING), chunks.concat());
    }

    #[test]
    fn lines_of_both_streams_stay_whole(
        chunks in proptest::collection::vec((any::<bool>(), any_chunk()), 0..20),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut log = writer(dir.path(), "a", 0, 1 << 30, 2);
        let mut streams = [Vec::new(), Vec::new()];
        let mut write = |stream: LogStream, chunk: &[u8]| {
            // Long enough to make the other stream break a line; the test above covers them.
            if chunk.len() < 1000 {
                log.write(stream, chunk);
                streams[stream.index()].extend_from_slice(chunk);
            }
        };
        for (is_error, chunk) in &chunks {
            write(if *is_error { LogStream::Stderr } else { LogStream::Stdout }, chunk);
        }
        [LogStream::Stdout, LogStream::Stderr].into_iter().for_each(|stream| write(stream, b"\n"));
        let out = printed(dir.path(), &[source("a", 0)], &EVERYTHING);
        let sorted = |bytes: &[u8]| {
            let mut lines: Vec<Vec<u8>> = bytes.split_inclusive(|b| *b == b'\n').map(<[u8]>::to_vec).collect();
            lines.sort();
            lines
        };
        prop_assert_eq!(sorted(&out), sorted(&streams.concat()));
    }

    #[test]
    fn a_tail_is_the_end_of_what_is_printed(
        chunks in proptest::collection::vec(any_chunk(), 0..10),
        parts in 1u64..30,
        tail in 0usize..50,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut log = writer(dir.path(), "a", 0, max_size(&chunks, parts), 64);
        chunks.iter().for_each(|chunk| log.write(LogStream::Stdout, chunk));
        let whole = chunks.concat();
        let lines: Vec<&[u8]> = whole.split_inclusive(|b| *b == b'\n').collect();
        let expected = lines[lines.len().saturating_sub(tail)..].concat();
        let options = Options { tail: Some(tail), ..EVERYTHING };
        prop_assert_eq!(printed(dir.path(), &[source("a", 0)], &options), expected);
    }
}

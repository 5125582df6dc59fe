//! Where the last lines of a log begin, found from its end.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;

use memchr::{memchr, memrchr};

use super::cri::{Header, Tag};
use super::reader::{RunLog, Segment};
use crate::sys::{Named, SysError};

/// What is read by one call.
const BLOCK: u64 = 64 * 1024;

/// Moves `log` to the first of its last `lines` lines. A line that goes on at the end counts.
///
/// Where a line of one stream goes on across the place that is found in the other, only its later part is shown.
///
/// # Errors
/// The failed call.
pub(super) fn skip_to_tail(log: &mut RunLog, lines: usize) -> Result<(), SysError> {
    let (files, offset) = find(log.files(), lines)?;
    log.skip_to(files, offset);
    Ok(())
}

fn find(files: &VecDeque<Segment>, lines: usize) -> Result<(usize, u64), SysError> {
    let mut count = Count { left: lines, streams_seen: [false; 2] };
    for (n, segment) in files.iter().enumerate().rev() {
        if let Some(offset) = find_in(segment, &mut count)? {
            return Ok((n, offset));
        }
    }
    Ok((0, 0))
}

/// Counts a log's lines from the end.
struct Count {
    left: usize,
    streams_seen: [bool; 2],
}

/// Whether another line fits.
#[derive(PartialEq, Eq)]
enum Room {
    Left,
    Used,
}

impl Count {
    /// Takes the entry before all that were taken.
    fn take(&mut self, entry: &[u8]) -> Room {
        // What is no entry is shown as a line.
        let (stream, ends_line) = match Header::read(entry) {
            Some(header) => (self.streams_seen.get_mut(header.stream.index()), header.tag == Tag::Full),
            None => (None, true),
        };
        let goes_on = stream.is_some_and(|seen| !std::mem::replace(seen, true));
        if !ends_line && !goes_on {
            return Room::Left;
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Room::Left
            }
            None => Room::Used,
        }
    }
}

/// The offset after the entry that does not fit any more; `None` where all of the file does.
fn find_in(segment: &Segment, count: &mut Count) -> Result<Option<u64>, SysError> {
    let mut start = segment.file.metadata().named(|| "fstat(log file)")?.len();
    let mut window: Vec<u8> = Vec::new();
    let mut size = BLOCK;
    while start > 0 {
        let step = size.min(start);
        start -= step;
        let mut block = vec![0; usize::try_from(step).unwrap_or(usize::MAX)];
        // A writer whose disk is full may have cut the end off meanwhile.
        let read = read_up_to(&segment.file, &mut block, start).named(|| "read(log file)")?;
        block.truncate(read);
        block.append(&mut window);
        window = block;
        // The first entry of a block may have begun before it.
        let first = if start == 0 { 0 } else { memchr(b'\n', &window).map_or(window.len(), |at| at + 1) };
        let mut end = window.len();
        while end > first {
            let before_newline = end - usize::from(window.get(end - 1) == Some(&b'\n'));
            let entry = memrchr(b'\n', window.get(first..before_newline).unwrap_or_default())
                .map_or(first, |at| first + at + 1);
            if count.take(window.get(entry..end).unwrap_or_default()) == Room::Used {
                return Ok(Some(start + end as u64));
            }
            end = entry;
        }
        // Longer and longer steps where there is no newline, so that the time stays in proportion to the file.
        size = if first == window.len() { size * 2 } else { BLOCK };
        window.truncate(first);
    }
    Ok(None)
}

/// Reads until `block` is full or the file ends.
fn read_up_to(file: &File, block: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(room) = block.get_mut(filled..).filter(|room| !room.is_empty()) {
        match file.read_at(room, offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::OwnedFd;
    use std::rc::Rc;

    use proptest::prelude::*;

    use super::super::reader::Fill;
    use super::*;

    /// What the last `lines` lines of these files, oldest first, are read as.
    fn tail(files: &[String], lines: usize) -> String {
        let dir = tempfile::tempdir().unwrap();
        for (n, text) in files.iter().enumerate() {
            let seq = if n + 1 == files.len() { String::new() } else { format!(".{}", n + 1) };
            fs::write(dir.path().join(format!("a.0.log{seq}")), text).unwrap();
        }
        let fd = Rc::new(OwnedFd::from(File::open(dir.path()).unwrap()));
        let mut log = RunLog::new(&fd, "a", 0);
        log.open_oldest().unwrap();
        skip_to_tail(&mut log, lines).unwrap();
        let mut text = Vec::new();
        while log.fill().unwrap() == Fill::Entries {
            text.extend_from_slice(log.entries());
        }
        String::from_utf8(text).unwrap()
    }

    fn entry(stream: &str, tag: char, content: &str) -> String {
        format!("2016-10-06T00:17:09.669794202Z {stream} {tag} {content}\n")
    }

    #[test]
    fn lines_are_counted_and_not_entries() {
        let first = entry("stdout", 'F', "one");
        let second = entry("stdout", 'P', "tw") + &entry("stderr", 'F', "error") + &entry("stdout", 'F', "o");
        let third = entry("stdout", 'P', "thr");
        let files = [first.clone() + &second, third.clone()];
        assert_eq!(tail(&files, 0), "");
        assert_eq!(tail(&files, 1), third);
        assert_eq!(tail(&files, 3), format!("{second}{third}"));
        assert_eq!(tail(&files, 4), format!("{first}{second}{third}"));
        assert_eq!(tail(&files, 100), format!("{first}{second}{third}"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn a_tail_is_the_end_of_the_whole(
            lengths in proptest::collection::vec(prop_oneof![0usize..100, 10_000usize..200_000], 1..30),
            cut in 0usize..30,
            lines in 0usize..35,
        ) {
            // Lines longer than podling writes them, so that blocks without a newline occur.
            let all: Vec<String> = lengths.iter().map(|length| entry("stdout", 'F', &"x".repeat(*length))).collect();
            let cut = cut.min(all.len());
            let files = [all[..cut].concat(), all[cut..].concat()];
            let expected = all[all.len().saturating_sub(lines)..].concat();
            prop_assert_eq!(tail(&files, lines), expected);
        }
    }
}

//! The files of one run in their order, held open so that a rotation takes nothing from a reader, and read in large blocks.

use std::collections::VecDeque;
use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::rc::Rc;

use memchr::memrchr;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::Mode;

use super::files::{Name, list};
use super::writer::MOST_FILES;
use crate::sys::{Named, SysError};

/// What is read by one call; many times the longest entry.
const BLOCK: usize = 256 * 1024;

/// How many files of one run are held open at most: all that there may be, and as many again that came while those were read. Each
/// may keep a whole file's room on the disk after its removal.
const MOST_HELD: usize = 2 * MOST_FILES as usize;

/// How often the files are listed anew because one was rotated meanwhile.
const TRIES: u32 = 100;

/// The log of one run, from its first file that is still there to its current end.
#[derive(Debug)]
pub(super) struct RunLog {
    dir: Rc<OwnedFd>,
    container: String,
    run: u32,
    files: VecDeque<Segment>,
    /// The number of the last of `files` after its rotation; 0 before there was one, `None` where the beginning may be gone already.
    newest: Option<u32>,
    /// Files were left unopened because `MOST_HELD` were open.
    behind: Behind,
    /// Where the next read of the first file begins: after the last whole entry that was read. A piece after it is read again,
    /// because its writer may finish it, or cut it off and begin anew.
    offset: u64,
    block: Vec<u8>,
    /// `block[from..whole]` are whole entries that wait for their reader; `block[whole..filled]` is a piece.
    from: usize,
    whole: usize,
    filled: usize,
}

/// One open file.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) file: File,
    id: (u64, u64),
}

/// Whether all files that there are were opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behind {
    No,
    Yes,
}

/// What was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fill {
    /// Whole entries: see [`RunLog::entries`].
    Entries,
    /// A piece that no entry ends: see [`RunLog::piece`].
    Piece,
    /// Nothing more at this time. What [`RunLog::piece`] returns may be the beginning of an entry that is being written.
    End,
}

impl RunLog {
    /// A run that has just begun: whatever of it is missing later was lost.
    pub(super) fn new(dir: &Rc<OwnedFd>, container: &str, run: u32) -> RunLog {
        RunLog {
            dir: Rc::clone(dir),
            container: container.to_owned(),
            run,
            files: VecDeque::new(),
            newest: Some(0),
            behind: Behind::No,
            offset: 0,
            block: Vec::new(),
            from: 0,
            whole: 0,
            filled: 0,
        }
    }

    /// Opens a run that may be old: it begins with the first file that is still there.
    ///
    /// # Errors
    /// As [`RunLog::refresh`].
    pub(super) fn open_oldest(&mut self) -> Result<(), SysError> {
        self.newest = None;
        self.refresh()?;
        // Before the first file of all nothing is missing.
        self.newest = self.newest.or(Some(0));
        Ok(())
    }

    pub(super) fn run(&self) -> u32 {
        self.run
    }

    /// The open files, of which the first is read from [`RunLog::skip_to`]'s offset.
    pub(super) fn files(&self) -> &VecDeque<Segment> {
        &self.files
    }

    /// Leaves out the first `files` files and the first `offset` bytes of the next.
    pub(super) fn skip_to(&mut self, files: usize, offset: u64) {
        self.files.drain(..files.min(self.files.len()));
        (self.offset, self.from, self.whole, self.filled) = (offset, 0, 0, 0);
    }

    /// Opens the files that came into being since; returns how many had vanished before they could be opened.
    ///
    /// # Errors
    /// The directory or a file could not be opened.
    pub(super) fn refresh(&mut self) -> Result<u32, SysError> {
        let mut lost = 0;
        self.behind = Behind::No;
        for _ in 0..TRIES {
            // Opened before the list is read: if it is not in the list, it is the one after all that are.
            let current = self.open_file(None)?;
            let mut rotated: Vec<u32> = list(&self.dir, &self.container)?
                .into_iter()
                .filter(|name| name.run == self.run)
                .filter_map(|name| name.seq)
                .filter(|seq| self.newest.is_none_or(|newest| *seq >= newest))
                .collect();
            rotated.sort_unstable();
            let mut last = self.newest.unwrap_or(0);
            let mut moved = false;
            for seq in rotated {
                last = seq;
                // One that is gone already shows as a gap before the next.
                let Some(file) = self.open_file(Some(seq))? else { continue };
                moved |= current.as_ref().is_some_and(|current| current.id == file.id);
                lost += self.push(seq, file);
            }
            match current {
                // It was rotated meanwhile, and there may be another.
                Some(_) if moved => {}
                Some(current) if self.files.back().is_some_and(|held| held.id == current.id) => return Ok(lost),
                Some(current) => return Ok(lost + self.push(last + 1, current)),
                None => return Ok(lost),
            }
        }
        self.behind = Behind::Yes;
        Ok(lost)
    }

    /// Whether files wait to be opened until others are read.
    pub(super) fn is_behind(&self) -> bool {
        self.behind == Behind::Yes && self.files.len() < MOST_HELD
    }

    /// Reads on once all entries are consumed.
    ///
    /// # Errors
    /// The failed read.
    pub(super) fn fill(&mut self) -> Result<Fill, SysError> {
        if self.block.is_empty() {
            self.block = vec![0; BLOCK];
        }
        (self.from, self.whole, self.filled) = (0, 0, 0);
        loop {
            let Some(first) = self.files.front() else { return Ok(Fill::End) };
            let room = self.block.get_mut(self.filled..).unwrap_or_default();
            if room.is_empty() {
                // No newline far and wide: no entry is that long.
                self.offset += self.filled as u64;
                return Ok(Fill::Piece);
            }
            let count = match first.file.read_at(room, self.offset + self.filled as u64) {
                Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                read => read.named(|| format!("read(the log of {:?})", self.container))?,
            };
            if let Some(at) = memrchr(b'\n', room.get(..count).unwrap_or_default()) {
                self.whole = self.filled + at + 1;
                self.filled = self.whole;
                self.offset += self.whole as u64;
                return Ok(Fill::Entries);
            }
            self.filled += count;
            if count > 0 {
                continue;
            }
            // The writer never returns to a file once there is another, and that was known before the read.
            if self.files.len() == 1 {
                return Ok(Fill::End);
            }
            self.files.pop_front();
            self.offset = 0;
            if self.filled > 0 {
                return Ok(Fill::Piece);
            }
        }
    }

    /// Whole entries, each with its newline.
    pub(super) fn entries(&self) -> &[u8] {
        self.block.get(self.from..self.whole).unwrap_or_default()
    }

    /// The first `count` bytes of the entries were used.
    pub(super) fn consume(&mut self, count: usize) {
        self.from = (self.from + count).min(self.whole);
    }

    /// What [`RunLog::fill`] found that no newline ends.
    pub(super) fn piece(&self) -> &[u8] {
        self.block.get(self.whole..self.filled).unwrap_or_default()
    }

    fn open_file(&self, seq: Option<u32>) -> Result<Option<Segment>, SysError> {
        let name = Name { run: self.run, seq }.of(&self.container);
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
        let file = match openat(self.dir.as_fd(), name.as_str(), flags, Mode::empty()) {
            Err(Errno::ENOENT) => return Ok(None),
            opened => File::from(opened.named(|| format!("openat({name:?})"))?),
        };
        let metadata = file.metadata().named(|| format!("fstat({name:?})"))?;
        Ok(Some(Segment { file, id: (metadata.dev(), metadata.ino()) }))
    }

    /// Adds the file numbered `seq`, unless it is the last one already; returns how many are missing before it.
    fn push(&mut self, seq: u32, file: Segment) -> u32 {
        if self.behind == Behind::Yes || self.files.back().is_some_and(|held| held.id == file.id) {
            return 0;
        }
        if self.files.len() >= MOST_HELD {
            self.behind = Behind::Yes;
            return 0;
        }
        let lost = self.newest.map_or(0, |newest| seq.saturating_sub(newest + 1));
        self.newest = Some(seq);
        self.files.push_back(file);
        lost
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::super::cri::LogStream;
    use super::super::writer::{Limits, Writer};
    use super::*;

    fn open_dir(dir: &Path) -> Rc<OwnedFd> {
        Rc::new(OwnedFd::from(File::open(dir).unwrap()))
    }

    fn drain(log: &mut RunLog) -> String {
        let mut text = Vec::new();
        loop {
            match log.fill().unwrap() {
                Fill::Entries => {
                    text.extend_from_slice(log.entries());
                    log.consume(usize::MAX / 2);
                }
                Fill::Piece => {
                    text.extend_from_slice(log.piece());
                    text.push(b'$');
                }
                Fill::End => return String::from_utf8(text).unwrap(),
            }
        }
    }

    #[test]
    fn rotated_files_come_in_the_order_of_their_numbers() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in
            [("a.0.log.9", "1\n"), ("a.0.log.10", "2\nhalf"), ("a.0.log.11", "3\n"), ("a.0.log", "4\n5")]
        {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let mut log = RunLog::new(&open_dir(dir.path()), "a", 0);
        log.open_oldest().unwrap();
        assert_eq!(drain(&mut log), "1\n2\nhalf$3\n4\n");
        assert_eq!(log.piece(), b"5");
        // The writer cuts off what it could not finish.
        fs::write(dir.path().join("a.0.log"), "4\n6\n").unwrap();
        assert_eq!(drain(&mut log), "6\n");
    }

    #[test]
    fn held_files_survive_their_removal_and_missing_ones_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        let fd = open_dir(dir.path());
        let mut writer = Writer::new(Rc::clone(&fd), "a", 0, Limits { max_size: 1, max_files: 2 });
        let mut log = RunLog::new(&fd, "a", 0);
        log.open_oldest().unwrap();
        let mut write = |text: &str| writer.write(LogStream::Stdout, text.as_bytes());
        // Each entry has a file of its own, and two files are kept.
        write("one\n");
        assert_eq!(log.refresh().unwrap(), 0);
        write("two\n");
        write("three\n");
        assert_eq!(log.refresh().unwrap(), 0);
        write("four\n");
        write("five\n");
        write("six\n");
        write("seven\n");
        assert_eq!(log.refresh().unwrap(), 2);
        let words: Vec<_> = drain(&mut log).lines().map(|l| l.rsplit(' ').next().unwrap().to_owned()).collect();
        assert_eq!(words, ["one", "two", "three", "six", "seven"]);
    }

    #[test]
    fn only_so_many_files_are_held_and_the_others_opened_later() {
        let dir = tempfile::tempdir().unwrap();
        let fd = open_dir(dir.path());
        let mut writer = Writer::new(Rc::clone(&fd), "a", 0, Limits { max_size: 1, max_files: MOST_FILES });
        let mut log = RunLog::new(&fd, "a", 0);
        let count = MOST_HELD + 72;
        for n in 0..count {
            writer.write(LogStream::Stdout, format!("{n}\n").as_bytes());
            assert_eq!(log.refresh().unwrap(), 0);
        }
        assert!(log.files.len() == MOST_HELD && !log.is_behind());
        let text = drain(&mut log);
        assert!(log.is_behind());
        assert_eq!(log.refresh().unwrap(), 8);
        let text = text + &drain(&mut log);
        assert_eq!(text.lines().count(), count - 8);
        assert!(text.ends_with(&format!(" {}\n", count - 1)));
    }

    #[test]
    fn text_without_a_newline_comes_in_bounded_pieces() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.0.log"), vec![b'x'; 2 * BLOCK + 5]).unwrap();
        let mut log = RunLog::new(&open_dir(dir.path()), "a", 0);
        log.open_oldest().unwrap();
        let text = drain(&mut log);
        assert_eq!(text.matches('$').count(), 2);
        assert_eq!(log.piece(), b"xxxxx");
    }
}

//! What writes a container's log: inside the supervisor's loop, so it holds nothing back, waits for nobody and never fails.

use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, ftruncate, unlinkat, write};

use super::cri::{LONGEST_ENTRY, LogStream, Tag};
use super::files::Name;
use super::lines::{Headers, content, whole};
use super::stamp::Clock;
use crate::sys::{Named, SysError};

/// How large one container's log may grow (a kubelet's `containerLogMaxSize` and `containerLogMaxFiles`).
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of one file; an entry is never cut, so a size smaller than an entry is exceeded by it.
    pub max_size: u64,
    /// Files of one run, the one that is written included. At least two, as the kubelet requires: by the numbers of the rotated
    /// files readers see what they have missed. At most 64, which a reader can hold open; other numbers count as the nearest.
    pub max_files: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { max_size: 10 << 20, max_files: 5 }
    }
}

/// Why a part of a log was lost. One episode lasts from the first failure to the first chunk that is written whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// An episode has begun.
    Began {
        /// The container's bytes that were lost so far.
        lost: u64,
        /// The call that failed.
        why: SysError,
    },
    /// It is over.
    Ended {
        /// The container's bytes that were lost in all of it.
        lost: u64,
        /// The call that failed first.
        why: SysError,
    },
}

/// The most files of one run.
pub(super) const MOST_FILES: u32 = 64;

/// The most that is written by one call, and what a busy log's buffer holds: a chunk of empty lines becomes 41 times as large,
/// which a supervisor must not hold.
const BATCH: usize = 128 * 1024;

/// The log of one run of one container.
///
/// What a container wrote without a newline at its end is a partial entry (`P`) at once, and the end of a stream needs none: a
/// kubelet prints a last partial entry without a newline, which is just what the container wrote.
///
/// `RLIMIT_FSIZE` counts as a full disk as long as SIGXFSZ is blocked or ignored.
#[derive(Debug)]
pub struct Writer {
    dir: Rc<OwnedFd>,
    container: String,
    run: u32,
    limits: Limits,
    file: Option<OwnedFd>,
    /// Bytes of the file.
    size: u64,
    /// The first rotated file that is still there, and the next one's number.
    oldest: u32,
    next: u32,
    clock: Clock,
    buffer: Vec<u8>,
    /// How each stream's last entry on disk ended.
    ends: [End; 2],
    half_entry: HalfEntry,
    episode: Option<Episode>,
    report: Option<Trouble>,
}

/// How a stream's last entry on disk ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// With its line.
    Line,
    /// Within a line that goes on.
    Open,
    /// Within a line whose rest was lost, so that what comes next does not belong to it.
    Torn,
}

/// Whether the file ends with a piece of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum HalfEntry {
    No,
    /// It could not be cut off; a newline keeps it apart from the next entry.
    Left,
}

#[derive(Debug)]
struct Episode {
    lost: u64,
    why: SysError,
}

impl Writer {
    /// The log of run `run` of `container` in the pod's directory `dir`. Nothing is created before the first byte.
    pub fn new(dir: Rc<OwnedFd>, container: &str, run: u32, limits: Limits) -> Writer {
        Writer {
            dir,
            container: container.to_owned(),
            run,
            limits: Limits { max_files: limits.max_files.clamp(2, MOST_FILES), ..limits },
            file: None,
            size: 0,
            oldest: 1,
            next: 1,
            clock: Clock::new(),
            buffer: Vec::new(),
            ends: [End::Line; 2],
            half_entry: HalfEntry::No,
            episode: None,
            report: None,
        }
    }

    /// Writes what was read from the container's `stream`. What cannot be written is counted, and lost.
    pub fn write(&mut self, stream: LogStream, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let headers = Headers::new(self.clock.now(), stream);
        let most = BATCH.min(usize::try_from(self.limits.max_size).unwrap_or(BATCH)).max(LONGEST_ENTRY);
        let mut rest = bytes;
        while !rest.is_empty() {
            let mend = self.begin_batch(&headers, stream);
            let taken = headers.append(&mut self.buffer, rest, most);
            if let Err((why, kept)) = self.put() {
                return self.fail(why, kept, mend, stream, rest.len() as u64);
            }
            self.half_entry = HalfEntry::No;
            let (done, after) = rest.split_at_checked(taken).unwrap_or((rest, &[]));
            self.set_end(stream, if done.ends_with(b"\n") { End::Line } else { End::Open });
            rest = after;
        }
        if let Some(Episode { lost, why }) = self.episode.take() {
            self.report = Some(Trouble::Ended { lost, why });
        }
    }

    /// What there is to tell of lost output since the last call: an episode's begin once, and its end once.
    pub fn trouble(&mut self) -> Option<Trouble> {
        self.report.take()
    }

    /// As [`Writer::write`], in a buffer that the logs of a pod share: each would hold on to its own for as long as its container lives.
    pub fn write_with(&mut self, buffer: &mut Vec<u8>, stream: LogStream, bytes: &[u8]) {
        std::mem::swap(&mut self.buffer, buffer);
        self.write(stream, bytes);
        std::mem::swap(&mut self.buffer, buffer);
    }

    /// The container has ended and its pipes were read to their end. Returns what is left to tell of lost output.
    pub fn finish(mut self) -> Option<Trouble> {
        match self.episode.take() {
            Some(Episode { lost, why }) => Some(Trouble::Ended { lost, why }),
            None => self.report.take(),
        }
    }

    fn end(&self, stream: LogStream) -> End {
        self.ends.get(stream.index()).copied().unwrap_or(End::Line)
    }

    fn set_end(&mut self, stream: LogStream, end: End) {
        if let Some(slot) = self.ends.get_mut(stream.index()) {
            *slot = end;
        }
    }

    /// Begins a batch with what an earlier failure made necessary, and returns its length.
    fn begin_batch(&mut self, headers: &Headers, stream: LogStream) -> usize {
        self.buffer.clear();
        if self.half_entry == HalfEntry::Left {
            self.buffer.push(b'\n');
        }
        if self.end(stream) == End::Torn {
            headers.append_end(&mut self.buffer);
        }
        self.buffer.len()
    }

    /// Writes the batch; fails with the cause and how many of its bytes are in the file and stay there, all of them whole entries.
    fn put(&mut self) -> Result<(), (SysError, usize)> {
        if self.size > 0 && self.size.saturating_add(self.buffer.len() as u64) > self.limits.max_size {
            self.rotate();
        }
        let file = match self.file.take() {
            Some(file) => file,
            None => self.open().map_err(|why| (why, 0))?,
        };
        let mut written = 0;
        let mut failure = None;
        while written < self.buffer.len() && failure.is_none() {
            match write(&file, self.buffer.get(written..).unwrap_or_default()) {
                // A regular file never takes nothing without a reason.
                Ok(0) => failure = Some(Errno::EIO),
                Ok(n) => written += n,
                Err(Errno::EINTR) => {}
                Err(errno) => failure = Some(errno),
            }
        }
        let mut outcome = Ok(());
        if let Some(errno) = failure {
            let kept = whole(&self.buffer, written);
            if kept < written && ftruncate(&file, (self.size + kept as u64).cast_signed()).is_err() {
                self.half_entry = HalfEntry::Left;
            } else {
                if kept > 0 {
                    self.half_entry = HalfEntry::No;
                }
                written = kept;
            }
            let name = Name { run: self.run, seq: None }.of(&self.container);
            outcome = Err((SysError::new(format!("write({name:?})"), errno), kept));
        }
        self.size += written as u64;
        self.file = Some(file);
        outcome
    }

    /// Accounts for a batch of which `kept` bytes are in the file and the rest is not; `bytes` is how much of the container's chunk
    /// was to be written by this batch and those that will not be tried after it.
    fn fail(&mut self, why: SysError, kept: usize, mend: usize, stream: LogStream, bytes: u64) {
        let (held, last) = content(self.buffer.get(mend..kept).unwrap_or_default());
        let before = match self.end(stream) {
            // The batch began with the end of that line.
            End::Torn if kept >= mend => End::Line,
            end => end,
        };
        self.set_end(
            stream,
            match (last, before) {
                (Some(Tag::Partial), _) | (None, End::Open | End::Torn) => End::Torn,
                (Some(Tag::Full), _) | (None, End::Line) => End::Line,
            },
        );
        let lost = bytes.saturating_sub(held);
        match &mut self.episode {
            Some(episode) => episode.lost += lost,
            None => {
                self.report = Some(Trouble::Began { lost, why: why.clone() });
                self.episode = Some(Episode { lost, why });
            }
        }
    }

    /// Sets the full file aside. Where that cannot be done, it grows on.
    fn rotate(&mut self) {
        let current = Name { run: self.run, seq: None }.of(&self.container);
        let aside = Name { run: self.run, seq: Some(self.next) }.of(&self.container);
        match renameat(&self.dir, current.as_str(), &self.dir, aside.as_str()) {
            Ok(()) => self.next += 1,
            // Somebody has removed it.
            Err(Errno::ENOENT) => {}
            Err(_) => return,
        }
        (self.file, self.size, self.half_entry) = (None, 0, HalfEntry::No);
        while self.next - self.oldest > self.limits.max_files - 1 {
            let oldest = Name { run: self.run, seq: Some(self.oldest) }.of(&self.container);
            match unlinkat(&self.dir, oldest.as_str(), UnlinkatFlags::NoRemoveDir) {
                Ok(()) | Err(Errno::ENOENT) => self.oldest += 1,
                Err(_) => return,
            }
        }
    }

    fn open(&mut self) -> Result<OwnedFd, SysError> {
        let name = Name { run: self.run, seq: None }.of(&self.container);
        let flags =
            OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_APPEND | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let open = || openat(self.dir.as_fd(), name.as_str(), flags, Mode::S_IRUSR | Mode::S_IWUSR);
        let file = match open() {
            // A run is never repeated, so this is not of this pod.
            Err(Errno::EEXIST) => {
                unlinkat(&self.dir, name.as_str(), UnlinkatFlags::NoRemoveDir)
                    .named(|| format!("unlinkat({name:?})"))?;
                open()
            }
            opened => opened,
        };
        self.size = 0;
        file.named(|| format!("openat({name:?})"))
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::path::Path;
    use std::process::Command;

    use nix::sys::resource::{Resource, setrlimit};
    use nix::sys::signal::{SigSet, Signal};

    use super::super::cri::HEADER;
    use super::*;

    fn open_dir(dir: &Path) -> Rc<OwnedFd> {
        Rc::new(OwnedFd::from(File::open(dir).unwrap()))
    }

    fn contents(path: &Path) -> Vec<String> {
        let text = fs::read_to_string(path).unwrap();
        text.lines().map(|line| line.get(HEADER - 2..).unwrap_or("cut").to_owned()).collect()
    }

    #[test]
    fn nothing_is_created_before_the_first_byte() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::new(open_dir(dir.path()), "web", 3, Limits::default());
        writer.write(LogStream::Stdout, b"");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        writer.write(LogStream::Stderr, b"a\nb");
        writer.write(LogStream::Stdout, b"c\n");
        assert_eq!(contents(&dir.path().join("web.3.log")), ["F a", "P b", "F c"]);
        assert_eq!(writer.finish(), None);
    }

    #[test]
    fn full_files_are_set_aside_and_the_oldest_removed() {
        let dir = tempfile::tempdir().unwrap();
        let entry = (HEADER + 10) as u64;
        let limits = Limits { max_size: 2 * entry, max_files: 3 };
        let mut writer = Writer::new(open_dir(dir.path()), "web", 0, limits);
        for n in 0..10 {
            writer.write(LogStream::Stdout, format!("line {n:04}\n").as_bytes());
        }
        let file = |name: &str| contents(&dir.path().join(name));
        assert_eq!(file("web.0.log"), ["F line 0008", "F line 0009"]);
        assert_eq!(file("web.0.log.4"), ["F line 0006", "F line 0007"]);
        assert_eq!(file("web.0.log.3"), ["F line 0004", "F line 0005"]);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    }

    #[test]
    fn a_large_chunk_is_spread_over_files_without_cutting_an_entry() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::new(open_dir(dir.path()), "web", 0, Limits { max_size: 100_000, max_files: 64 });
        let chunk = b"0123456789\n".repeat(50_000);
        writer.write(LogStream::Stdout, &chunk);
        let mut lines = 0;
        for entry in fs::read_dir(dir.path()).unwrap() {
            let path = entry.unwrap().path();
            assert!(fs::metadata(&path).unwrap().len() <= 100_000);
            let all = contents(&path);
            assert!(all.iter().all(|line| line == "F 0123456789"));
            lines += all.len();
        }
        assert_eq!(lines, 50_000);
    }

    #[test]
    fn a_directory_that_takes_no_file_costs_the_log_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("web.0.log");
        // It can neither be opened nor removed as a file.
        fs::create_dir(&file).unwrap();
        let mut writer = Writer::new(open_dir(dir.path()), "web", 0, Limits::default());
        writer.write(LogStream::Stdout, b"lost\n");
        let Some(Trouble::Began { lost: 5, why }) = writer.trouble() else { panic!("no trouble") };
        assert_eq!(why.errno, Errno::EISDIR);
        writer.write(LogStream::Stdout, b"too\n");
        assert_eq!(writer.trouble(), None);
        fs::remove_dir(&file).unwrap();
        writer.write(LogStream::Stdout, b"kept\n");
        assert_eq!(writer.trouble(), Some(Trouble::Ended { lost: 9, why }));
        assert_eq!(contents(&file), ["F kept"]);
    }

    const HELPER: &str = "PODLING_TEST_LOG_DIR";

    /// Runs in a process of its own, because a limit on the size of files holds for the whole process.
    #[test]
    fn helper_that_may_write_little() {
        let Some(dir) = std::env::var_os(HELPER) else { return };
        let dir = Path::new(&dir);
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGXFSZ);
        signals.thread_block().unwrap();
        let limit = |bytes: u64| setrlimit(Resource::RLIMIT_FSIZE, bytes, 1 << 40).unwrap();
        let file = dir.join("web.0.log");
        let mut writer = Writer::new(open_dir(dir), "web", 0, Limits::default());

        // Room for one entry, and a piece of the next.
        writer.write(LogStream::Stdout, b"one\nopen");
        let full = fs::metadata(&file).unwrap().len();
        limit(full + HEADER as u64 + 7);
        writer.write(LogStream::Stdout, b" end\nthis is lost\nand this");
        let Some(Trouble::Began { lost: 21, why }) = writer.trouble() else { panic!("no trouble") };
        assert_eq!(why.errno, Errno::EFBIG);
        assert_eq!(contents(&file), ["F one", "P open", "F  end"]);
        writer.write(LogStream::Stdout, b" too");
        assert_eq!(writer.trouble(), None);
        limit(1 << 30);
        writer.write(LogStream::Stdout, b"again");
        assert_eq!(writer.trouble(), Some(Trouble::Ended { lost: 25, why: why.clone() }));
        assert_eq!(contents(&file), ["F one", "P open", "F  end", "P again"]);

        // The rest of a line is lost: what follows does not belong to it.
        limit(fs::metadata(&file).unwrap().len());
        writer.write(LogStream::Stdout, b" rest\nx");
        limit(1 << 30);
        writer.write(LogStream::Stdout, b"next\n");
        assert_eq!(writer.trouble(), Some(Trouble::Ended { lost: 7, why: why.clone() }));
        assert_eq!(contents(&file)[3..], ["P again", "F ", "F next"]);

        // Several batches: the first is written, a later one in part.
        let before = fs::metadata(&file).unwrap().len();
        limit(before + 200_000);
        writer.write(LogStream::Stderr, &b"0123456789\n".repeat(10_000));
        limit(1 << 30);
        writer.write(LogStream::Stderr, b"whole\n");
        let Some(Trouble::Ended { lost, .. }) = writer.trouble() else { panic!("no trouble") };
        let lines = contents(&file);
        let kept = lines.iter().filter(|line| *line == "F 0123456789").count();
        assert_eq!(lost, 11 * (10_000 - kept) as u64);
        assert_eq!(lines[6..].len(), kept + 1);
        assert_eq!(lines.last().map(String::as_str), Some("F whole"));
        fs::write(dir.join("done"), "").unwrap();
    }

    #[test]
    fn a_full_disk_leaves_whole_entries_and_is_told_once() {
        let dir = tempfile::tempdir().unwrap();
        let helper = "pod::log::writer::tests::helper_that_may_write_little";
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", helper, "--nocapture", "--test-threads=1"])
            .env(HELPER, dir.path())
            .output()
            .unwrap();
        assert!(dir.path().join("done").exists(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

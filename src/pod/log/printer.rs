//! From entries to what a person reads: lines of several streams and containers, never mixed within a line.

use std::io::{self, Write};

use memchr::memchr;

use super::cri::{HEADER, Header, LogStream, Tag};
use super::stamp::Stamp;

/// Whether each line begins with its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timestamps {
    /// `2016-10-06T00:17:09.669794202Z text`.
    Shown,
    /// Only the text.
    Hidden,
}

/// What is gathered before it is written.
const FULL: usize = 128 * 1024;

/// How much waits for the end of another stream's line before that is broken.
const MOST_HELD: usize = 64 * 1024;

/// Prints the entries of some sources, each a container.
///
/// While a line goes on, entries of other streams wait for its end, until too many wait or there is nothing more to print for now;
/// then the line is broken by a newline.
pub(super) struct Printer<'a> {
    out: &'a mut dyn Write,
    waiting: Vec<u8>,
    timestamps: Timestamps,
    since: Option<Stamp>,
    sources: Vec<Source>,
    /// Whose line goes on at the end of what was printed.
    open: Option<(usize, LogStream)>,
    /// Entries with their newline, and of which source.
    held: Vec<(usize, Box<[u8]>)>,
    held_bytes: usize,
}

#[derive(Debug)]
struct Source {
    prefix: String,
    lines: [Line; 2],
}

/// Where a stream is in its lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// The next entry begins one.
    Begins,
    /// It goes on, and is shown.
    Shown,
    /// It goes on, and is not shown: it began too early.
    Hidden,
    /// It goes on, but something else was printed in between.
    Broken,
}

impl<'a> Printer<'a> {
    /// Prints to `out`. Lines that began before `since` are left out.
    pub(super) fn new(out: &'a mut dyn Write, timestamps: Timestamps, since: Option<Stamp>) -> Printer<'a> {
        let waiting = Vec::with_capacity(FULL);
        Printer { out, waiting, timestamps, since, sources: Vec::new(), open: None, held: Vec::new(), held_bytes: 0 }
    }

    /// One more source, each line of which is printed behind `prefix`: its number.
    pub(super) fn add(&mut self, prefix: String) -> usize {
        self.sources.push(Source { prefix, lines: [Line::Begins; 2] });
        self.sources.len() - 1
    }

    /// Prints entries, each with its newline, of source number `source`, up to the first that is later than `until`. Returns how many
    /// bytes of them were used. What is no entry is printed as it is.
    pub(super) fn print(&mut self, source: usize, entries: &[u8], until: Option<&Stamp>) -> io::Result<usize> {
        let plain = self.timestamps == Timestamps::Hidden
            && self.since.is_none()
            && self.sources.get(source).is_none_or(|s| s.prefix.is_empty());
        // All entries of one chunk have the same header, so that it is nearly always known.
        let mut known: Option<(&[u8; HEADER], Header)> = None;
        let mut rest = entries;
        while let Some(length) = Some(rest.len()).filter(|length| *length > 0) {
            let header = match (rest.first_chunk::<HEADER>(), &known) {
                (Some(bytes), Some((same, header))) if bytes == *same => Some(*header),
                (Some(bytes), _) => {
                    let header = Header::read(bytes);
                    known = header.map(|header| (bytes, header)).or(known);
                    header
                }
                (None, _) => None,
            };
            if let (Some(header), Some(until)) = (&header, until)
                && header.stamp > *until
            {
                break;
            }
            // No header has a newline, so the search may begin after it.
            let from = if header.is_some() { HEADER } else { 0 };
            let content = rest.get(from..).unwrap_or_default();
            let end = memchr(b'\n', content).map_or(length, |at| from + at + 1);
            let (entry, after) = rest.split_at_checked(end).unwrap_or((rest, &[]));
            match header {
                Some(header) if plain && header.tag == Tag::Full && self.is_between_lines(source, header.stream) => {
                    self.waiting.extend_from_slice(entry.get(HEADER..).unwrap_or_default());
                }
                _ => self.take(source, header.as_ref(), entry)?,
            }
            rest = after;
            if self.waiting.len() >= FULL {
                self.write_out()?;
            }
        }
        Ok(entries.len() - rest.len())
    }

    /// Prints what no newline ends as a line.
    pub(super) fn print_piece(&mut self, source: usize, piece: &[u8]) -> io::Result<()> {
        self.take(source, None, &[piece, b"\n"].concat())
    }

    /// There is nothing more to print for now: nothing waits for the end of a line any longer, and everything is written.
    pub(super) fn idle(&mut self) -> io::Result<()> {
        self.settle()?;
        self.write_out()?;
        self.out.flush()
    }

    /// The next run of a source begins: lines of the last one have ended.
    pub(super) fn restart(&mut self, source: usize) -> io::Result<()> {
        self.settle()?;
        if self.open.is_some_and(|(open, _)| open == source) {
            self.waiting.push(b'\n');
            self.open = None;
        }
        if let Some(source) = self.sources.get_mut(source) {
            source.lines = [Line::Begins; 2];
        }
        Ok(())
    }

    fn is_between_lines(&self, source: usize, stream: LogStream) -> bool {
        self.open.is_none() && self.line(source, stream) == Line::Begins
    }

    fn line(&self, source: usize, stream: LogStream) -> Line {
        self.sources.get(source).and_then(|s| s.lines.get(stream.index())).copied().unwrap_or(Line::Begins)
    }

    fn set_line(&mut self, source: usize, stream: LogStream, line: Line) {
        if let Some(slot) = self.sources.get_mut(source).and_then(|s| s.lines.get_mut(stream.index())) {
            *slot = line;
        }
    }

    /// Prints one entry, or what is none, or holds it until the line that goes on has ended.
    fn take(&mut self, source: usize, header: Option<&Header>, entry: &[u8]) -> io::Result<()> {
        let stream = header.map(|header| (source, header.stream));
        if self.open.is_some() && self.open != stream {
            self.held_bytes += entry.len();
            self.held.push((source, entry.into()));
            return if self.held_bytes > MOST_HELD { self.settle() } else { Ok(()) };
        }
        let Some(header) = header else {
            self.begin(source, None);
            self.waiting.extend_from_slice(entry);
            return Ok(());
        };
        let line = match self.line(source, header.stream) {
            Line::Begins if self.since.is_some_and(|since| header.stamp < since) => Line::Hidden,
            Line::Begins | Line::Broken => {
                self.begin(source, Some(&header.stamp));
                Line::Shown
            }
            goes_on => goes_on,
        };
        let end = if header.tag == Tag::Full { entry.len() } else { entry.len() - 1 };
        if line == Line::Shown {
            self.waiting.extend_from_slice(entry.get(HEADER..end).unwrap_or_default());
        }
        match header.tag {
            Tag::Partial => {
                self.set_line(source, header.stream, line);
                self.open = if line == Line::Shown { stream } else { self.open };
                Ok(())
            }
            Tag::Full => {
                self.set_line(source, header.stream, Line::Begins);
                self.open = None;
                self.release()
            }
        }
    }

    /// What a line begins with. The prefix comes first, as with kubectl, which puts it before what a kubelet sends.
    fn begin(&mut self, source: usize, stamp: Option<&Stamp>) {
        if let Some(source) = self.sources.get(source) {
            self.waiting.extend_from_slice(source.prefix.as_bytes());
        }
        if let Some(stamp) = stamp.filter(|_| self.timestamps == Timestamps::Shown) {
            self.waiting.extend_from_slice(stamp.bytes());
            self.waiting.push(b' ');
        }
    }

    /// Prints what was held, of which some may have to wait again. It nests no deeper than there are streams: what waits for the end of
    /// a stream's line is of other streams.
    fn release(&mut self) -> io::Result<()> {
        self.held_bytes = 0;
        for (source, entry) in std::mem::take(&mut self.held) {
            self.print(source, &entry, None)?;
        }
        Ok(())
    }

    /// Breaks lines that go on until nothing is held.
    fn settle(&mut self) -> io::Result<()> {
        while !self.held.is_empty() {
            if let Some((source, stream)) = self.open.take() {
                self.waiting.push(b'\n');
                self.set_line(source, stream, Line::Broken);
            }
            self.release()?;
        }
        Ok(())
    }

    fn write_out(&mut self) -> io::Result<()> {
        let written = self.out.write_all(&self.waiting);
        self.waiting.clear();
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "2016-10-06T00:17:09.669794202Z";
    const LATER: &str = "2016-10-06T00:17:09.669794203Z";

    fn entry(time: &str, stream: &str, tag: char, content: &str) -> String {
        format!("{time} {stream} {tag} {content}\n")
    }

    /// What is printed of these entries by source, with a prefix for each source where there are several.
    fn printed(timestamps: Timestamps, since: Option<&str>, entries: &[(usize, String)]) -> String {
        let several = entries.iter().any(|(source, _)| *source > 0);
        let prefixes = ["[a] ", "[b] "].map(|p| if several { p.to_owned() } else { String::new() });
        let mut out = Vec::new();
        let mut printer = Printer::new(&mut out, timestamps, since.and_then(Stamp::parse));
        for prefix in prefixes {
            printer.add(prefix);
        }
        for (source, text) in entries {
            assert_eq!(printer.print(*source, text.as_bytes(), None).unwrap(), text.len());
        }
        printer.idle().unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn pieces_are_joined_and_a_last_one_has_no_newline() {
        let entries = [
            (0, entry(TIME, "stdout", 'P', "one")),
            (0, entry(LATER, "stdout", 'P', " and")),
            (0, entry(LATER, "stdout", 'F', " two")),
            (0, entry(LATER, "stdout", 'F', "")),
            (0, entry(LATER, "stderr", 'P', "prompt: ")),
        ];
        assert_eq!(printed(Timestamps::Hidden, None, &entries), "one and two\n\nprompt: ");
        let stamped = format!("{TIME} one and two\n{LATER} \n{LATER} prompt: ");
        assert_eq!(printed(Timestamps::Shown, None, &entries), stamped);
    }

    #[test]
    fn streams_are_not_mixed_within_a_line() {
        let entries = [
            (0, entry(TIME, "stdout", 'P', "out")),
            (0, entry(TIME, "stderr", 'F', "error")),
            (1, entry(TIME, "stdout", 'P', "other")),
            (0, entry(TIME, "stderr", 'F', "another error")),
            (1, entry(TIME, "stdout", 'F', " container")),
            (0, entry(TIME, "stdout", 'F', "put")),
        ];
        let expected = "[a] output\n[a] error\n[b] other container\n[a] another error\n";
        assert_eq!(printed(Timestamps::Hidden, None, &entries), expected);
    }

    #[test]
    fn a_line_that_does_not_end_is_broken_before_others_wait_too_long() {
        let mut entries = vec![(0, entry(TIME, "stdout", 'P', "progress")), (0, entry(TIME, "stderr", 'F', "error"))];
        assert_eq!(printed(Timestamps::Hidden, None, &entries), "progress\nerror\n");
        let long = "x".repeat(10_000);
        entries.extend((0..10).map(|_| (0, entry(TIME, "stderr", 'F', &long))));
        entries.push((0, entry(TIME, "stdout", 'F', " done")));
        let text = printed(Timestamps::Hidden, None, &entries);
        assert_eq!(text.lines().count(), 13);
        assert_eq!(text.lines().last(), Some(" done"));
    }

    #[test]
    fn lines_that_began_before_a_time_are_left_out() {
        let entries = [
            (0, entry(TIME, "stdout", 'F', "early")),
            (0, entry(TIME, "stdout", 'P', "early")),
            (0, entry(LATER, "stderr", 'F', "late")),
            (0, entry(LATER, "stdout", 'F', " too")),
            (0, entry(LATER, "stdout", 'F', "later")),
        ];
        assert_eq!(printed(Timestamps::Hidden, Some(LATER), &entries), "late\nlater\n");
    }

    #[test]
    fn what_is_no_entry_is_printed_as_it_is() {
        let broken = format!("{TIME} stdo\n\nx\n");
        let entries = [(0, broken.clone()), (0, entry(TIME, "stdout", 'F', "a"))];
        assert_eq!(printed(Timestamps::Hidden, None, &entries), broken + "a\n");
    }

    #[test]
    fn printing_stops_at_a_time() {
        let text = entry(TIME, "stdout", 'F', "a") + "broken\n" + &entry(LATER, "stdout", 'F', "b");
        let mut out = Vec::new();
        let mut printer = Printer::new(&mut out, Timestamps::Hidden, None);
        printer.add(String::new());
        let used = printer.print(0, text.as_bytes(), Stamp::parse(TIME).as_ref()).unwrap();
        assert!(text[used..].starts_with(LATER));
    }
}

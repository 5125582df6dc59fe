//! From what a container wrote to entries, and back to how much of it some entries hold.

use memchr::{memchr_iter, memrchr};

use super::cri::{HEADER, Header, LONGEST_CONTENT, LONGEST_ENTRY, LogStream, Tag};
use super::stamp::Stamp;

/// The headers of all entries that are made of one chunk.
#[derive(Debug)]
pub(super) struct Headers {
    partial: [u8; HEADER],
    full: [u8; HEADER],
}

impl Headers {
    pub(super) fn new(stamp: Stamp, stream: LogStream) -> Headers {
        let bytes = |tag| Header { stamp, stream, tag }.bytes();
        Headers { partial: bytes(Tag::Partial), full: bytes(Tag::Full) }
    }

    /// Appends the entries of as many of `bytes` as there is room for until `buffer` holds `most`, one entry at least. Returns how
    /// many of `bytes` they hold.
    ///
    /// What does not end with a newline becomes a partial entry at once: nothing waits for the rest of a line.
    pub(super) fn append(&self, buffer: &mut Vec<u8>, bytes: &[u8], most: usize) -> usize {
        let start = buffer.len();
        let mut taken = 0;
        // One search through the whole chunk, which costs short lines much less than one for each.
        let mut ends = memchr_iter(b'\n', bytes);
        let mut end = ends.next();
        while taken < bytes.len() && (buffer.len() == start || buffer.len() + LONGEST_ENTRY <= most) {
            match end {
                Some(at) if at - taken <= LONGEST_CONTENT => {
                    buffer.extend_from_slice(&self.full);
                    buffer.extend_from_slice(bytes.get(taken..=at).unwrap_or_default());
                    taken = at + 1;
                    end = ends.next();
                }
                _ => {
                    let until = end.unwrap_or(bytes.len()).min(taken + LONGEST_CONTENT);
                    buffer.extend_from_slice(&self.partial);
                    buffer.extend_from_slice(bytes.get(taken..until).unwrap_or_default());
                    buffer.push(b'\n');
                    taken = until;
                }
            }
        }
        taken
    }

    /// Appends an entry that ends the line of the partial entry before it and adds nothing to it.
    pub(super) fn append_end(&self, buffer: &mut Vec<u8>) {
        buffer.extend_from_slice(&self.full);
        buffer.push(b'\n');
    }
}

/// How many of the first `written` bytes of a block belong to entries that are whole.
pub(super) fn whole(block: &[u8], written: usize) -> usize {
    let written = block.get(..written).unwrap_or(block);
    memrchr(b'\n', written).map_or(0, |at| at + 1)
}

/// How many bytes of a container's some whole entries hold, and whether the last leaves its line open.
pub(super) fn content(entries: &[u8]) -> (u64, Option<Tag>) {
    let mut held = 0;
    let mut last = None;
    for entry in entries.split_inclusive(|byte| *byte == b'\n') {
        let tag = Header::read(entry).map(|header| header.tag);
        // The newline after a partial entry is not the container's.
        held += entry.len().saturating_sub(HEADER + usize::from(tag == Some(Tag::Partial))) as u64;
        last = tag;
    }
    (held, last)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entries(bytes: &[u8]) -> Vec<(char, Vec<u8>)> {
        let headers = Headers::new(Stamp::EARLIEST, LogStream::Stdout);
        let mut buffer = Vec::new();
        assert_eq!(headers.append(&mut buffer, bytes, usize::MAX), bytes.len());
        let lines = buffer.split_inclusive(|b| *b == b'\n');
        lines
            .map(|line| {
                assert!(line.len() <= LONGEST_ENTRY);
                let header = Header::read(line).unwrap();
                (if header.tag == Tag::Full { 'F' } else { 'P' }, line[HEADER..line.len() - 1].to_vec())
            })
            .collect()
    }

    #[test]
    fn a_chunk_becomes_full_lines_and_a_partial_rest() {
        let text = |c: char, s: &str| (c, s.as_bytes().to_vec());
        assert_eq!(entries(b"a\n\nb"), [text('F', "a"), text('F', ""), text('P', "b")]);
        assert_eq!(entries(b"\n"), [text('F', "")]);
        assert_eq!(entries(b""), []);
    }

    #[test]
    fn long_lines_are_cut_where_an_entry_is_full() {
        for (length, end, cut) in [
            (LONGEST_CONTENT, "\n", vec![('F', LONGEST_CONTENT)]),
            (LONGEST_CONTENT, "", vec![('P', LONGEST_CONTENT)]),
            (LONGEST_CONTENT + 1, "\n", vec![('P', LONGEST_CONTENT), ('F', 1)]),
            (2 * LONGEST_CONTENT, "", vec![('P', LONGEST_CONTENT), ('P', LONGEST_CONTENT)]),
        ] {
            let bytes = [vec![b'x'; length], end.as_bytes().to_vec()].concat();
            let lengths: Vec<_> = entries(&bytes).into_iter().map(|(tag, content)| (tag, content.len())).collect();
            assert_eq!(lengths, cut, "{length} {end:?}");
        }
    }

    proptest! {
        #[test]
        fn what_entries_hold_is_counted(bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..400)) {
            let headers = Headers::new(Stamp::EARLIEST, LogStream::Stderr);
            let mut buffer = Vec::new();
            headers.append(&mut buffer, &bytes, usize::MAX);
            let (held, last) = content(&buffer);
            prop_assert_eq!(held, bytes.len() as u64);
            prop_assert_eq!(last, bytes.last().map(|b| if *b == b'\n' { Tag::Full } else { Tag::Partial }));
        }
    }
}

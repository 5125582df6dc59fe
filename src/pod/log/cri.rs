//! One entry: `TIME STREAM TAG CONTENT` and a newline. `P` is a piece of a line that goes on, `F` is a line or its last piece.
//!
//! Everything before the content has one width, because times have one and `stdout` and `stderr` are equally long.

use super::stamp::{Stamp, WIDTH};

/// The bytes before an entry's content.
pub(super) const HEADER: usize = WIDTH + " stdout F ".len();

/// No entry is longer, its newline included; readers of the format expect lines of a bounded length.
pub(super) const LONGEST_ENTRY: usize = 16 * 1024;

/// The most content of one entry.
pub(super) const LONGEST_CONTENT: usize = LONGEST_ENTRY - HEADER - 1;

/// Which of its streams a container wrote to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogStream {
    /// Its standard output.
    Stdout,
    /// Its standard error.
    Stderr,
}

impl LogStream {
    /// 0 or 1.
    pub(super) fn index(self) -> usize {
        self as usize
    }
}

/// Whether an entry ends a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    Partial,
    Full,
}

/// What an entry says of its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) stamp: Stamp,
    pub(super) stream: LogStream,
    pub(super) tag: Tag,
}

impl Header {
    /// The header's bytes, the space before the content included.
    pub(super) fn bytes(&self) -> [u8; HEADER] {
        let words: &[u8] = match (self.stream, self.tag) {
            (LogStream::Stdout, Tag::Partial) => b" stdout P ",
            (LogStream::Stdout, Tag::Full) => b" stdout F ",
            (LogStream::Stderr, Tag::Partial) => b" stderr P ",
            (LogStream::Stderr, Tag::Full) => b" stderr F ",
        };
        let mut bytes = [b' '; HEADER];
        bytes.iter_mut().zip(self.stamp.bytes().iter().chain(words)).for_each(|(to, from)| *to = *from);
        bytes
    }

    /// Reads the header that an entry begins with; `None` for anything that podling does not write.
    pub(super) fn read(entry: &[u8]) -> Option<Header> {
        let (stamp, rest) = entry.split_first_chunk::<WIDTH>()?;
        let words = rest.first_chunk::<{ HEADER - WIDTH }>()?;
        let (stream, tag) = match words {
            b" stdout P " => (LogStream::Stdout, Tag::Partial),
            b" stdout F " => (LogStream::Stdout, Tag::Full),
            b" stderr P " => (LogStream::Stderr, Tag::Partial),
            b" stderr F " => (LogStream::Stderr, Tag::Full),
            _ => return None,
        };
        Some(Header { stamp: Stamp::read(stamp)?, stream, tag })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_those_of_the_format() {
        let entry = b"2016-10-06T00:17:09.669794202Z stderr F The content of the log entry";
        let header = Header::read(entry).unwrap();
        assert_eq!((header.stream, header.tag), (LogStream::Stderr, Tag::Full));
        assert_eq!(header.bytes(), entry[..HEADER]);
        assert_eq!(&entry[HEADER..], b"The content of the log entry");
    }

    #[test]
    fn what_podling_does_not_write_is_no_entry() {
        for text in [
            "",
            "2016-10-06T00:17:09.669794202Z stdout F",
            "2016-10-06T00:17:09.669794202Z stdout X a",
            "2016-10-06T00:17:09.669794202Z stdxxx F a",
            "2016-10-06 00:17:09.669794202Z stdout F a",
            "2016-10-06T00:17:0x.669794202Z stdout F a",
        ] {
            assert_eq!(Header::read(text.as_bytes()), None, "{text}");
        }
    }
}

//! What containers print must not play tricks on a terminal: control characters are shown, not obeyed.

use std::io::{self, Write};

/// Makes control characters visible and harmless on their way to a terminal: `^[` for ESC and its like, U+FFFD for C1 controls, for
/// overrides of the direction of writing and for what is not UTF-8 (a lone byte 0x9b is ESC `[` to some terminals).
///
/// Newline and tab pass, and so does a carriage return right before a newline, as terminals inside containers end lines.
#[derive(Debug)]
pub struct Neutral<W: Write> {
    out: W,
    /// The beginning of a character, or a carriage return, whose meaning depends on what follows; at most three bytes.
    pending: Vec<u8>,
    shown: Vec<u8>,
}

/// What is checked at once for being plain; the compiler turns the check into a few vector instructions.
const STRIDE: usize = 64;

const REPLACEMENT: &[u8] = "\u{fffd}".as_bytes();

/// What stands at the beginning of some bytes.
enum Next {
    /// A harmless character of so many bytes.
    Plain(usize),
    /// A control character of ASCII, which has a caret form.
    Caret(u8),
    /// So many bytes that must not reach a terminal.
    Bad(usize),
    /// Not enough bytes to tell.
    Unknown,
}

impl<W: Write> Neutral<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> Neutral<W> {
        Neutral { out, pending: Vec::new(), shown: Vec::new() }
    }

    /// Appends the harmless form of `bytes`, and keeps what depends on more of them.
    fn show(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let plain = plain_prefix(rest);
            let (clean, after) = rest.split_at_checked(plain).unwrap_or((rest, &[]));
            self.shown.extend_from_slice(clean);
            rest = after;
            // Then one character at a time, up to where a stride may be plain again.
            let mut slow = STRIDE;
            while slow > 0 && !rest.is_empty() {
                let taken = match next(rest) {
                    Next::Plain(length) => {
                        self.shown.extend_from_slice(rest.get(..length).unwrap_or_default());
                        length
                    }
                    Next::Caret(byte) => {
                        self.shown.extend_from_slice(&[b'^', byte ^ 0x40]);
                        1
                    }
                    Next::Bad(length) => {
                        self.shown.extend_from_slice(REPLACEMENT);
                        length
                    }
                    Next::Unknown => {
                        self.pending.extend_from_slice(rest);
                        return;
                    }
                };
                rest = rest.get(taken..).unwrap_or_default();
                slow = slow.saturating_sub(taken);
            }
        }
    }
}

impl<W: Write> Write for Neutral<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.pending.is_empty() && plain_prefix(bytes) == bytes.len() {
            self.out.write_all(bytes)?;
            return Ok(bytes.len());
        }
        self.shown.clear();
        if self.pending.is_empty() {
            self.show(bytes);
        } else {
            let mut all = std::mem::take(&mut self.pending);
            all.extend_from_slice(bytes);
            self.show(&all);
        }
        self.out.write_all(&self.shown)?;
        Ok(bytes.len())
    }

    /// What could not be told yet stays: a character that a container has written half is not shown in pieces.
    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// How many bytes at the beginning are printable ASCII, newlines and tabs, rounded down to strides unless all are.
fn plain_prefix(bytes: &[u8]) -> usize {
    let is_plain = |byte: &u8| (0x20..0x7f).contains(byte) | (*byte == b'\n') | (*byte == b'\t');
    let mut strides = bytes.chunks_exact(STRIDE);
    // Without a way out in the middle, which would keep the compiler from using vectors.
    let plain =
        strides.by_ref().take_while(|stride| stride.iter().fold(true, |all, byte| all & is_plain(byte))).count();
    let done = plain * STRIDE;
    let tail = bytes.get(done..).unwrap_or_default();
    if tail.len() < STRIDE && tail.iter().all(is_plain) { bytes.len() } else { done }
}

fn next(bytes: &[u8]) -> Next {
    match bytes {
        [] => Next::Unknown,
        [b'\n' | b'\t' | 0x20..0x7f, ..] | [b'\r', b'\n', ..] => Next::Plain(1),
        [b'\r'] => Next::Unknown,
        [byte @ (..0x20 | 0x7f), ..] => Next::Caret(*byte),
        _ => {
            let most = bytes.get(..4).unwrap_or(bytes);
            let (valid, broken) = match std::str::from_utf8(most) {
                Ok(text) => (text, None),
                Err(e) => {
                    let valid = most.get(..e.valid_up_to()).unwrap_or_default();
                    (std::str::from_utf8(valid).unwrap_or_default(), Some(e.error_len()))
                }
            };
            match (valid.chars().next(), broken) {
                (Some(c), _) if is_trick(c) => Next::Bad(c.len_utf8()),
                (Some(c), _) => Next::Plain(c.len_utf8()),
                (None, Some(Some(length))) => Next::Bad(length),
                (None, _) => Next::Unknown,
            }
        }
    }
}

/// C1 controls, and Unicode's overrides of the direction of writing (UAX #9).
fn is_trick(c: char) -> bool {
    matches!(c, '\u{80}'..='\u{9f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(chunks: &[&[u8]]) -> String {
        let mut neutral = Neutral::new(Vec::new());
        chunks.iter().for_each(|chunk| neutral.write_all(chunk).unwrap());
        String::from_utf8(neutral.out).unwrap()
    }

    #[test]
    fn controls_are_shown_and_not_obeyed() {
        for (said, seen) in [
            (b"a\x1b[2Jb\x07\x00\x7f".as_slice(), "a^[[2Jb^G^@^?"),
            (b"tab\tline\nend\r\nback\rx", "tab\tline\nend\r\nback^Mx"),
            ("näme €ur😀".as_bytes(), "näme €ur😀"),
            ("\u{9b}2J\u{202e}x\u{2066}".as_bytes(), "\u{fffd}2J\u{fffd}x\u{fffd}"),
            (
                b"\x9b2J \xff\xfe \xc3( \xe2\x80x \xf0\x9f\x98x",
                "\u{fffd}2J \u{fffd}\u{fffd} \u{fffd}( \u{fffd}x \u{fffd}x",
            ),
        ] {
            assert_eq!(shown(&[said]), seen);
        }
    }

    #[test]
    fn a_plain_start_does_not_hide_what_follows() {
        let mut long = vec![b'x'; 3 * STRIDE + 7];
        long.push(0x1b);
        long.extend(vec![b'y'; 2 * STRIDE]);
        let expected = format!("{}^[{}", "x".repeat(3 * STRIDE + 7), "y".repeat(2 * STRIDE));
        assert_eq!(shown(&[&long]), expected);
    }

    proptest! {
        #[test]
        fn chunks_make_no_difference_and_no_trick_passes(
            text in proptest::collection::vec(prop_oneof![
                Just(b"\x1b[2J".to_vec()), Just("\u{202e}".as_bytes().to_vec()), Just("\u{9b}é€😀".as_bytes().to_vec()),
                Just(b"\r\n".to_vec()), Just(vec![b'x'; 100]), proptest::collection::vec(any::<u8>(), 1..5),
            ], 0..12),
            cut in 1usize..9,
        ) {
            let bytes = text.concat();
            let whole = shown(&[&bytes]);
            prop_assert_eq!(&shown(&bytes.chunks(cut).collect::<Vec<_>>()), &whole);
            let harmless = |c: char| matches!(c, '\n' | '\t' | '\r') || !c.is_control() && !is_trick(c);
            prop_assert!(whole.chars().all(harmless));
            prop_assert!(!whole.replace("\r\n", "").contains('\r'));
        }
    }
}

//! How a copy travels: the archive in pieces, then the sender's warnings and its outcome, so that an end is told from an interruption.
//!
//! Each frame is a letter, the payload's length (32 bits, little-endian), and the payload: `d` a piece of the archive, `w` a warning,
//! `n` the numbers of what was copied; and last of all `.` for success or `e` for an encoded [`Error`].

use std::io::{self, Read, Write};

use crate::error::{Error, Result};

use super::Copied;

/// Few system calls for large files, and little memory.
const PIECE: usize = 128 << 10;
/// Errors and warnings hold a path of at most 4 KiB, perhaps escaped.
const TEXT: u32 = 64 << 10;
/// There is one for each reason, and there are fewer reasons than this.
const WARNINGS: usize = 64;

/// Sends what is written to it as frames.
#[derive(Debug)]
pub(super) struct FrameWriter<W> {
    out: W,
    piece: Vec<u8>,
    broken: bool,
}

impl<W: Write> FrameWriter<W> {
    pub(super) fn new(out: W) -> FrameWriter<W> {
        FrameWriter { out, piece: Vec::with_capacity(PIECE), broken: false }
    }

    /// Whether the other end has gone, or has stopped to listen.
    pub(super) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Sends what is left, the warnings and the outcome.
    pub(super) fn finish(mut self, outcome: &Result<Vec<String>>) -> Result<()> {
        self.flush()?;
        match outcome {
            Ok(warnings) => {
                warnings.iter().try_for_each(|warning| frame(&mut self.out, b'w', cut(warning.as_bytes())))?;
                frame(&mut self.out, b'.', b"")?;
            }
            Err(e) => frame(&mut self.out, b'e', cut(&e.encode()))?,
        }
        Ok(self.out.flush()?)
    }

    fn send_piece(&mut self) -> io::Result<()> {
        let sent = frame(&mut self.out, b'd', &self.piece);
        self.broken |= sent.is_err();
        self.piece.clear();
        sent
    }
}

impl<W: Write> Write for FrameWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.piece.len() >= PIECE {
            self.send_piece()?;
        }
        let taken = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(bytes.get(..taken).unwrap_or_default());
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.piece.is_empty() {
            self.send_piece()?;
        }
        self.out.flush()
    }
}

/// The archive that a [`FrameWriter`] sent. It ends where the sender says that it ends; an interruption is an error.
#[derive(Debug)]
pub(super) struct FrameReader<R> {
    input: R,
    /// What is left of the current piece.
    left: usize,
    warnings: Vec<String>,
    outcome: Option<Result<()>>,
}

impl<R: Read> FrameReader<R> {
    pub(super) fn new(input: R) -> FrameReader<R> {
        FrameReader { input, left: 0, warnings: Vec::new(), outcome: None }
    }

    pub(super) fn get_ref(&self) -> &R {
        &self.input
    }

    /// Whether the sender's outcome is known.
    pub(super) fn has_ended(&self) -> bool {
        self.outcome.is_some()
    }

    /// The sender's outcome and its warnings. What it sent before that is passed over.
    pub(super) fn outcome(mut self) -> Result<Vec<String>> {
        io::copy(&mut self, &mut io::sink())?;
        self.outcome.unwrap_or_else(|| Err(gone()))?;
        Ok(self.warnings)
    }

    /// Reads frames up to the next piece of the archive, or to the end.
    fn advance(&mut self) -> io::Result<()> {
        while self.left == 0 && self.outcome.is_none() {
            let (letter, length) = head(&mut self.input)?;
            match letter {
                b'd' if length as usize <= PIECE => self.left = length as usize,
                b'w' => {
                    let warning = text(&mut self.input, length)?;
                    if self.warnings.len() < WARNINGS {
                        self.warnings.push(String::from_utf8_lossy(&warning).into_owned());
                    }
                }
                b'.' if length == 0 => self.outcome = Some(Ok(())),
                b'e' => self.outcome = Some(Err(Error::decode(&text(&mut self.input, length)?))),
                _ => return Err(nonsense()),
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for FrameReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.advance()?;
        let wanted = self.left.min(buffer.len());
        let Some(buffer) = buffer.get_mut(..wanted).filter(|buffer| !buffer.is_empty()) else { return Ok(0) };
        match self.input.read(buffer)? {
            0 => Err(io::Error::other(gone().what().to_owned())),
            count => {
                self.left -= count;
                Ok(count)
            }
        }
    }
}

/// Tells the other end what became of what it sent.
pub(super) fn write_outcome(mut out: impl Write, received: &Result<Copied>) -> Result<()> {
    match received {
        Ok(copied) => {
            let numbers = [copied.entries.to_le_bytes(), copied.bytes.to_le_bytes()].concat();
            frame(&mut out, b'n', &numbers)?;
            copied.warnings.iter().try_for_each(|warning| frame(&mut out, b'w', cut(warning.as_bytes())))?;
            frame(&mut out, b'.', b"")?;
        }
        Err(e) => frame(&mut out, b'e', cut(&e.encode()))?,
    }
    Ok(out.flush()?)
}

/// What [`write_outcome`] told.
pub(super) fn read_outcome(mut input: impl Read) -> Result<Copied> {
    let mut copied = Copied::default();
    loop {
        let (letter, length) = head(&mut input)?;
        match letter {
            b'n' if length == 16 => {
                let mut numbers = [[0; 8]; 2];
                input.read_exact(numbers.as_flattened_mut()).map_err(|_| gone())?;
                [copied.entries, copied.bytes] = numbers.map(u64::from_le_bytes);
            }
            b'w' => {
                let warning = text(&mut input, length)?;
                if copied.warnings.len() < WARNINGS {
                    copied.warnings.push(String::from_utf8_lossy(&warning).into_owned());
                }
            }
            b'.' if length == 0 => return Ok(copied),
            b'e' => return Err(Error::decode(&text(&mut input, length)?)),
            _ => return Err(nonsense().into()),
        }
    }
}

fn frame(out: &mut impl Write, letter: u8, payload: &[u8]) -> io::Result<()> {
    let length = u32::try_from(payload.len()).map_err(io::Error::other)?.to_le_bytes();
    let [a, b, c, d] = length;
    out.write_all(&[letter, a, b, c, d])?;
    out.write_all(payload)
}

fn head(input: &mut impl Read) -> io::Result<(u8, u32)> {
    let mut head = [0; 5];
    input.read_exact(&mut head).map_err(|e| match e.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => io::Error::other(gone().what().to_owned()),
        _ => e,
    })?;
    let [letter, length @ ..] = head;
    Ok((letter, u32::from_le_bytes(length)))
}

fn text(input: &mut impl Read, length: u32) -> io::Result<Vec<u8>> {
    if length > TEXT {
        return Err(nonsense());
    }
    let mut text = vec![0; length as usize];
    input.read_exact(&mut text).map_err(|_| io::Error::other(gone().what().to_owned()))?;
    Ok(text)
}

/// What fits into a text frame.
fn cut(text: &[u8]) -> &[u8] {
    text.get(..TEXT as usize).unwrap_or(text)
}

fn gone() -> Error {
    Error::new("the other end of the copy has gone before it was complete")
}

fn nonsense() -> io::Error {
    io::Error::other("the other end of the copy sent what is no part of one")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(content: &[u8], outcome: &Result<Vec<String>>) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut out = FrameWriter::new(&mut bytes);
        out.write_all(content).unwrap();
        out.finish(outcome).unwrap();
        bytes
    }

    #[test]
    fn content_and_outcome_arrive() {
        let content: Vec<u8> = (0..3 * PIECE + 7).map(|n| n as u8).collect();
        let failure = Error::new("a: b").mend("do c");
        for outcome in [Ok(vec![]), Ok(vec!["left out: x".to_owned()]), Err(failure)] {
            let bytes = sent(&content, &outcome);
            let mut reader = FrameReader::new(bytes.as_slice());
            let mut read = Vec::new();
            reader.read_to_end(&mut read).unwrap();
            assert!(read == content && reader.has_ended());
            assert_eq!(reader.outcome(), outcome);
        }
    }

    #[test]
    fn an_interruption_anywhere_is_an_error() {
        let bytes = sent(b"content", &Ok(vec!["w".to_owned()]));
        for length in 0..bytes.len() {
            let mut reader = FrameReader::new(&bytes[..length]);
            assert!(reader.read_to_end(&mut Vec::new()).is_err(), "{length}");
            assert!(reader.outcome().is_err(), "{length}");
        }
    }

    #[test]
    fn frames_that_no_sender_makes_are_refused() {
        for bad in [&b"x\0\0\0\0"[..], b"d\xff\xff\xff\xff", b"w\xff\xff\xff\x7f", b".\x01\0\0\0x", b"e\0\0\x02\0"] {
            assert!(FrameReader::new(bad).read_to_end(&mut Vec::new()).is_err(), "{}", bad.escape_ascii());
            assert!(read_outcome(bad).is_err(), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn outcomes_come_back_as_they_were() {
        let copied = Copied { entries: 3, bytes: 1 << 40, warnings: vec!["w: a".to_owned()] };
        for outcome in [Ok(copied), Err(Error::new("full").mend("make room"))] {
            let mut bytes = Vec::new();
            write_outcome(&mut bytes, &outcome).unwrap();
            assert_eq!(read_outcome(bytes.as_slice()), outcome);
        }
    }
}

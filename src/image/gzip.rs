//! gzip (RFC 1952), as a stream of all members.

use std::io::{self, BufRead, Read};

use flate2::{Decompress, FlushDecompress, Status};

/// Every member of a gzip file, one after the other (RFC 1952, section 2.2).
///
/// `flate2::bufread::MultiGzDecoder` does the same in a tenth more time: it sums the bytes in a second pass, where the inflater, given the
/// whole format, does so as it makes them.
pub struct Members<R> {
    input: R,
    /// The member that is being read; none between two.
    member: Option<Decompress>,
}

/// The largest window, 32 KiB.
const WINDOW_BITS: u8 = 15;

impl<R: BufRead> Members<R> {
    /// A reader of what `input` holds.
    pub fn of(input: R) -> Members<R> {
        // Nothing at all is not a gzip file.
        Members { input, member: Some(Decompress::new_gzip(WINDOW_BITS)) }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let input = self.input.fill_buf()?;
            let at_end = input.is_empty();
            if at_end && self.member.is_none() {
                return Ok(0);
            }
            let member = self.member.get_or_insert_with(|| Decompress::new_gzip(WINDOW_BITS));
            let (read, made) = (member.total_in(), member.total_out());
            let flush = if at_end { FlushDecompress::Finish } else { FlushDecompress::None };
            let status = member.decompress(input, buffer, flush)?;
            // Neither difference is larger than the slice it counts in.
            let (read, made) = ((member.total_in() - read) as usize, (member.total_out() - made) as usize);
            self.input.consume(read);
            if status == Status::StreamEnd {
                self.member = None;
            }
            if made > 0 {
                return Ok(made);
            }
            if at_end {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it ends in the middle"));
            }
            if read == 0 && status != Status::StreamEnd {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "corrupt deflate stream"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn gunzip(input: &[u8]) -> io::Result<Vec<u8>> {
        let mut output = Vec::new();
        // Small buffers meet every boundary.
        let mut members = Members::of(io::BufReader::with_capacity(7, input));
        let mut piece = [0; 5];
        loop {
            match members.read(&mut piece)? {
                0 => return Ok(output),
                count => output.extend_from_slice(&piece[..count]),
            }
        }
    }

    #[test]
    fn members_in_a_row_are_one_and_what_is_not_whole_is_an_error() {
        let two = [gzip(b"one, "), gzip(b""), gzip(b"two")].concat();
        assert_eq!(gunzip(&two).unwrap(), b"one, two");
        for cut in 1..two.len() {
            let whole = [gzip(b"one, ").len(), gzip(b"one, ").len() + gzip(b"").len()].contains(&cut);
            assert_eq!(gunzip(&two[..cut]).is_ok(), whole, "{cut} bytes of {}", two.len());
        }
        assert!(gunzip(b"").is_err());
        for tail in [&b"\0"[..], b"\0\0\0\0", b"\x1f", b"\x1f\x8b", b"tar"] {
            assert!(gunzip(&[&two, tail].concat()).is_err(), "{tail:?}");
        }
        for flipped in (two.len() - 8..two.len()).chain([12]) {
            let mut wrong = two.clone();
            wrong[flipped] ^= 1;
            assert!(gunzip(&wrong).is_err(), "byte {flipped}");
        }
    }

    proptest! {
        #[test]
        fn it_reads_what_the_encoder_writes(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..4)) {
            let file: Vec<u8> = parts.iter().flat_map(|part| gzip(part)).collect();
            prop_assert_eq!(gunzip(&file).unwrap(), parts.concat());
        }
    }
}

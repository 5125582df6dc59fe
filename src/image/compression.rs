//! Told by their first bytes: gzip, zstd and plain archives.

use std::io::{self, BufRead, Read};

use flate2::{Decompress, FlushDecompress, Status};

use crate::error::{Error, Result};

/// How a layer or an archive is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

impl Compression {
    /// Tells the compression of content that starts with `head`; formats that podling cannot read are refused by name.
    pub fn sniff(head: &[u8]) -> Result<Compression> {
        let unsupported = |name: &str| {
            Err(Error::new(format!("it is compressed with {name}, which images may not be"))
                .mend("compress it with gzip or zstd instead"))
        };
        match head {
            [0x1f, 0x8b, ..] => Ok(Compression::Gzip),
            // A zstd frame, or one of its skippable frames (seekable and chunked zstd start with one).
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Ok(Compression::Zstd),
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => unsupported("xz"),
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => unsupported("bzip2"),
            [0x04, 0x22, 0x4d, 0x18, ..] => unsupported("lz4"),
            _ => Ok(Compression::None),
        }
    }

    /// What a layer's media type says; `None` where it is no layer's or says nothing.
    pub fn of_media_type(media_type: &str) -> Option<Compression> {
        let layer = media_type.contains(".image.layer.") || media_type.contains(".image.rootfs.");
        match media_type {
            _ if !layer => None,
            _ if media_type.ends_with("+gzip") || media_type.ends_with(".gzip") => Some(Compression::Gzip),
            _ if media_type.ends_with("+zstd") || media_type.ends_with(".zstd") => Some(Compression::Zstd),
            _ if media_type.ends_with(".tar") => Some(Compression::None),
            _ => None,
        }
    }

    /// The OCI media type of a layer.
    pub fn media_type(self) -> &'static str {
        match self {
            Compression::None => "application/vnd.oci.image.layer.v1.tar",
            Compression::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Compression::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }

    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "no compression",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        }
    }

    /// Decompresses `input`; several members or frames in a row count as one, anything else after them is an error.
    pub fn decoder<'a, R: BufRead + 'a>(self, input: R) -> Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Compression::None => Box::new(input),
            Compression::Gzip => Box::new(Members::of(input)),
            Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(input)?),
        })
    }
}

/// Every member of a gzip file, one after the other (RFC 1952, section 2.2).
///
/// `flate2::bufread::MultiGzDecoder` does the same in a tenth more time: it sums the bytes in a second pass, where the inflater, given the
/// whole format, does so as it makes them.
struct Members<R> {
    input: R,
    /// The member that is being read; none between two.
    member: Option<Decompress>,
}

/// The largest window, 32 KiB.
const WINDOW_BITS: u8 = 15;

impl<R: BufRead> Members<R> {
    fn of(input: R) -> Members<R> {
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

    #[test]
    fn magic_tells_the_compression() {
        assert_eq!(Compression::sniff(&[0x1f, 0x8b, 8]).unwrap(), Compression::Gzip);
        assert_eq!(Compression::sniff(&[0x28, 0xb5, 0x2f, 0xfd]).unwrap(), Compression::Zstd);
        assert_eq!(Compression::sniff(b"etc/passwd").unwrap(), Compression::None);
        assert_eq!(Compression::sniff(b"").unwrap(), Compression::None);
        assert!(Compression::sniff(b"\xfd7zXZ\0").unwrap_err().what().contains("xz"));
        assert!(Compression::sniff(b"BZh91AY").unwrap_err().what().contains("bzip2"));
    }

    #[test]
    fn media_types_tell_it_too() {
        for (media_type, expected) in [
            ("application/vnd.oci.image.layer.v1.tar+gzip", Some(Compression::Gzip)),
            ("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", Some(Compression::Zstd)),
            ("application/vnd.docker.image.rootfs.diff.tar.gzip", Some(Compression::Gzip)),
            ("application/vnd.oci.image.layer.v1.tar", Some(Compression::None)),
            ("application/vnd.cncf.helm.chart", None),
        ] {
            assert_eq!(Compression::of_media_type(media_type), expected, "{media_type}");
        }
    }

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

//! Told by their first bytes: gzip, zstd and plain archives.

use std::io::{BufRead, Read};

use crate::error::{Error, Result};
use crate::image::gzip::Members;

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

#[cfg(test)]
mod tests {
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
}

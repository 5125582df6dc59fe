//! One entry of a tar archive, put together from its header, its PAX records and GNU's long names.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use nix::sys::time::TimeSpec;
use tar::Header;

use crate::error::{Error, Result};

/// What an entry makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file, its content following.
    File,
    /// Another name for an earlier entry.
    HardLink,
    /// A symbolic link.
    Symlink,
    /// A directory.
    Directory,
    /// A named pipe.
    Fifo,
    /// A character or block device.
    Device,
}

/// One entry; names and targets are bytes as the archive has them.
#[derive(Debug, Clone)]
pub struct TarEntry {
    /// Its name, not yet checked.
    pub name: Vec<u8>,
    /// What it makes.
    pub kind: Kind,
    /// Content length in bytes; 0 for everything but files.
    pub size: u64,
    /// Permission bits, 07777.
    pub mode: u32,
    /// Owner.
    pub uid: u64,
    /// Group.
    pub gid: u64,
    /// Modification time.
    pub mtime: TimeSpec,
    /// Target of a hard or symbolic link.
    pub link: Vec<u8>,
    /// Extended attributes, in the archive's order.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

impl TarEntry {
    /// The name as errors print it: quoted, with what is not printable escaped.
    pub fn quoted(&self) -> String {
        quote(&self.name)
    }
}

/// Quotes a name from an archive so that it cannot play tricks on a terminal.
pub fn quote(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    if text.chars().count() <= 300 {
        return format!("{text:?}");
    }
    format!("{:?}…", text.chars().take(300).collect::<String>())
}

/// Checks a name and takes it apart to a path below the layer's root, without `.` and doubled slashes; the root is empty.
pub fn normalize(name: &[u8]) -> std::result::Result<Vec<u8>, &'static str> {
    if name.is_empty() {
        return Err("its name is empty");
    }
    if name.contains(&0) {
        return Err("its name contains a NUL byte");
    }
    if name.starts_with(b"/") {
        return Err("its path is absolute");
    }
    let mut path = Vec::with_capacity(name.len());
    for part in name.split(|b| *b == b'/') {
        match part {
            b"" | b"." => continue,
            b".." => return Err("its path climbs with \"..\""),
            _ if part.len() > 255 => return Err("a part of its name is longer than 255 bytes"),
            _ => {}
        }
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(part);
    }
    // PATH_MAX counts the terminating NUL.
    if path.len() > 4095 { Err("its path is longer than 4095 bytes") } else { Ok(path) }
}

/// The records of one PAX header (pax(1), "pax Header Block"): key and value.
pub type Records = Vec<(Vec<u8>, Vec<u8>)>;

/// Takes a PAX header's content apart: `LENGTH KEY=VALUE\n`, again and again.
pub fn parse_records(mut content: &[u8]) -> Result<Records> {
    let mut records = Vec::new();
    let corrupt = || Error::new("its PAX header is corrupt");
    while !content.is_empty() {
        let space = content.iter().take(20).position(|b| *b == b' ').ok_or_else(corrupt)?;
        let (digits, _) = content.split_at(space);
        let length = decimal(digits).and_then(|length| usize::try_from(length).ok()).ok_or_else(corrupt)?;
        let record = content.get(space + 1..length).and_then(|r| r.strip_suffix(b"\n")).ok_or_else(corrupt)?;
        let equals = record.iter().position(|b| *b == b'=').ok_or_else(corrupt)?;
        let (key, value) = record.split_at(equals);
        records.push((key.to_vec(), value.get(1..).unwrap_or_default().to_vec()));
        content = content.get(length..).unwrap_or_default();
    }
    Ok(records)
}

/// The value of the last record of this name.
pub fn record<'a>(records: &'a [(Vec<u8>, Vec<u8>)], key: &str) -> Option<&'a [u8]> {
    records.iter().rev().find(|(known, _)| known == key.as_bytes()).map(|(_, value)| value.as_slice())
}

/// Whether a record of this name changes what its entry makes.
pub fn is_heeded(key: &[u8]) -> bool {
    let prefixes: [&[u8]; 4] = [XATTR, LIBARCHIVE_XATTR, b"GNU.sparse.", b"SUN.holesdata"];
    matches!(key, b"path" | b"linkpath" | b"size" | b"uid" | b"gid" | b"mtime" | b"SCHILY.realsize")
        || prefixes.iter().any(|prefix| key.starts_with(prefix))
}

const XATTR: &[u8] = b"SCHILY.xattr.";
const LIBARCHIVE_XATTR: &[u8] = b"LIBARCHIVE.xattr.";

/// Lays PAX records over what the header said.
///
/// An empty value takes a record back (pax(1)), but GNU tar reads it as an empty name, or not at all: only attributes may have one.
pub fn apply_records(entry: &mut TarEntry, records: &[(Vec<u8>, Vec<u8>)]) -> Result<()> {
    for (key, value) in records.iter().filter(|(key, _)| is_heeded(key)) {
        if let Some(name) = key.strip_prefix(XATTR) {
            let name = attribute_name(name);
            entry.xattrs.retain(|(known, _)| *known != name);
            entry.xattrs.push((name, value.clone()));
            continue;
        }
        if let Some(name) = key.strip_prefix(LIBARCHIVE_XATTR) {
            check_doubled(name, value, records)?;
            continue;
        }
        if value.is_empty() {
            return Err(Error::new(format!("its PAX record {} is empty", quote(key))));
        }
        match key.as_slice() {
            b"path" => entry.name = value.clone(),
            b"linkpath" => entry.link = value.clone(),
            b"size" => entry.size = number(key, value)?,
            b"uid" => entry.uid = number(key, value)?,
            b"gid" => entry.gid = number(key, value)?,
            b"mtime" => {
                entry.mtime = time(value).ok_or_else(|| Error::new("its PAX modification time is not a number"))?
            }
            _ => return Err(sparse()),
        }
    }
    Ok(())
}

/// GNU tar and bsdtar write `=` as `%3D`, since it ends a record's name, and so `%` as `%25`.
fn attribute_name(name: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((first, tail)) = rest.split_first() {
        let (byte, tail) = match rest {
            [b'%', b'3', b'D', tail @ ..] => (b'=', tail),
            [b'%', b'2', b'5', tail @ ..] => (b'%', tail),
            _ => (*first, tail),
        };
        out.push(byte);
        rest = tail;
    }
    out
}

/// What stands for an attribute's name in a record, see [`attribute_name`].
pub fn attribute_record(name: &str) -> String {
    format!("SCHILY.xattr.{}", name.replace('%', "%25").replace('=', "%3D"))
}

/// bsdtar writes each attribute twice, and reads what it calls its own; everybody else reads the other one.
fn check_doubled(name: &[u8], value: &[u8], records: &[(Vec<u8>, Vec<u8>)]) -> Result<()> {
    let value = STANDARD_NO_PAD.decode(value.trim_ascii_end()).ok();
    let common = [XATTR, name].concat();
    match records.iter().rev().find(|(key, _)| *key == common) {
        Some((_, known)) if Some(known) == value.as_ref() => Ok(()),
        _ => Err(Error::new(format!(
            "its extended attribute {} is not the same in the records LIBARCHIVE.xattr and SCHILY.xattr",
            quote(name)
        ))),
    }
}

/// The name in a header. Only POSIX's own headers have a prefix, see pax(1), "ustar Interchange Format".
pub fn name_in(header: &Header) -> Result<Vec<u8>> {
    let bytes = header.as_bytes();
    let text = |from: usize, to: usize| {
        let field = bytes.get(from..to).unwrap_or_default();
        field.split(|b| *b == 0).next().unwrap_or_default()
    };
    let (name, prefix) = (text(0, 100), text(345, 500));
    match bytes.get(257..265).unwrap_or_default() {
        _ if prefix.is_empty() => Ok(name.to_vec()),
        [b'u', b's', b't', b'a', b'r', 0, ..] => Ok([prefix, name].join(&b'/')),
        // GNU tar keeps other things there.
        b"ustar  \0" => Ok(name.to_vec()),
        [b'u', b's', b't', b'a', b'r', ..] => Err(Error::new("a header is in no known format")),
        _ => Ok(name.to_vec()),
    }
}

/// A number in a header: octal digits, padded with blanks on either side, or GNU's base 256, which starts with `0x80` or, below 0,
/// with `0xff`. Some writers leave fields blank that they find unimportant.
pub fn field_number(field: &[u8]) -> Option<i64> {
    if let [sign @ (0x80 | 0xff), rest @ ..] = field {
        let fill = if *sign == 0xff { 0xff } else { 0 };
        let (high, low) = rest.split_at(rest.len().saturating_sub(8));
        let mut bytes = [fill; 8];
        bytes.get_mut(8 - low.len()..)?.copy_from_slice(low);
        let value = i64::from_be_bytes(bytes);
        return (high.iter().all(|b| *b == fill) && (value < 0) == (fill != 0)).then_some(value);
    }
    let start = field.iter().position(|b| *b != b' ').unwrap_or(field.len());
    let digits = field.get(start..)?;
    let end = digits.iter().position(|b| !matches!(b, b'0'..=b'7')).unwrap_or(digits.len());
    let (digits, blank) = digits.split_at(end);
    if !blank.iter().all(|b| matches!(b, 0 | b' ')) {
        return None;
    }
    // At most 12 digits, which is 36 bits.
    Some(digits.iter().fold(0, |value, digit| value << 3 | i64::from(digit - b'0')))
}

/// Sparse files need a map that says where their pieces go; images do not use them.
pub fn sparse() -> Error {
    Error::new("it is stored as a sparse file, which layers may not have")
        .mend("make the archive without tar's --sparse")
}

fn number(key: &[u8], value: &[u8]) -> Result<u64> {
    decimal(value)
        .ok_or_else(|| Error::new(format!("its PAX record {} = {} is not a number", quote(key), quote(value))))
}

/// Digits only: `parse` alone would take a `+`.
fn decimal(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok().filter(|v| v.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()
}

/// Seconds since 1970 with an optional fraction, possibly negative.
fn time(value: &[u8]) -> Option<TimeSpec> {
    let text = std::str::from_utf8(value).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok().filter(|_| !whole.starts_with('+'))?;
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let nanos: i64 = format!("{:0<9}", fraction.get(..9).unwrap_or(fraction)).parse().ok()?;
    // The kernel wants nanoseconds counted upwards from the second below: -1.25 s is -2 s + 0.75 s.
    Some(match whole.starts_with('-') && nanos > 0 {
        true => TimeSpec::new(seconds.checked_sub(1)?, 1_000_000_000 - nanos),
        false => TimeSpec::new(seconds, nanos),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_normalized_or_refused() {
        for (name, path) in
            [("a/b", "a/b"), ("./a//b/", "a/b"), ("./", ""), (".", ""), ("a/./b", "a/b"), ("...", "...")]
        {
            assert_eq!(normalize(name.as_bytes()).unwrap(), path.as_bytes(), "{name}");
        }
        for bad in ["", "/", "/a", "..", "a/..", "../a", "a/../../b", "a\0b"] {
            assert!(normalize(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(normalize("a/".repeat(2100).as_bytes()).is_err());
        assert!(normalize("n".repeat(256).as_bytes()).is_err());
    }

    #[test]
    fn pax_times_keep_their_fraction() {
        for (text, seconds, nanos) in
            [("12", 12, 0), ("12.5", 12, 500_000_000), ("-1.25", -2, 750_000_000), ("1.1234567891", 1, 123_456_789)]
        {
            assert_eq!(time(text.as_bytes()), Some(TimeSpec::new(seconds, nanos)), "{text}");
        }
        assert_eq!(time(b"1.x"), None);
        for bad in ["", "+5", ".5", "nan", "1e5", "0x5", "-", "99999999999999999999"] {
            assert_eq!(time(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn numbers_of_headers_are_read_as_tar_reads_them() {
        for (field, number) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"000000000017", Some(0o17)),
            (b"    17 \0", Some(0o17)),
            (b"        ", Some(0)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"\x80\0\0\0\0\0\0\x01", Some(1)),
            (b"\x80\0\0\0\0\0\0\0\0\0\x01\x00", Some(256)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xfe", Some(-2)),
            (&[0xff; 12], Some(-1)),
            (b"\x80\0\0\x01\0\0\0\0\0\0\0\x01", None),
            (b"\x80\0\0\0\xff\0\0\0\0\0\0\x01", None),
            (b"\xc0\0\0\0\0\0\0\x01", None),
            (b"+1      ", None),
            (b"-1      ", None),
            (b"18      ", None),
            (b"1\x002    ", None),
            (b"\x0012    \0", None),
        ] {
            assert_eq!(field_number(field), number, "{}", field.escape_ascii());
        }
    }

    #[test]
    fn attributes_come_back_as_they_were_called() {
        for name in ["user.a", "user.a=b", "user.100%", "user.%3D", "user.%253D="] {
            let record = attribute_record(name);
            assert!(!record.contains('='), "{record}");
            assert_eq!(attribute_name(record.strip_prefix("SCHILY.xattr.").unwrap().as_bytes()), name.as_bytes());
        }
    }

    #[test]
    fn records_are_read_exactly() {
        let records = parse_records(b"12 path=abc\n10 a=\n=b\0\n").unwrap();
        assert_eq!(records[0], (b"path".to_vec(), b"abc".to_vec()));
        assert_eq!(records[1], (b"a".to_vec(), b"\n=b\0".to_vec()));
        for bad in
            [&b"12 path=abc"[..], b"99 path=abc\n", b"2 x\n", b"x a=b\n", b"0 a=b\n", b"8 noeq!\n", b"+12 path=ab\n"]
        {
            assert!(parse_records(bad).is_err(), "{}", bad.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn a_normalized_path_stays_below(name in proptest::collection::vec(prop_oneof![Just(b'/'), Just(b'.'), Just(b'a')], 0..30)) {
            if let Ok(path) = normalize(&name) {
                prop_assert!(path.is_empty() || path.split(|b| *b == b'/').all(|part| !matches!(part, b"" | b"." | b"..")));
            }
        }

        #[test]
        fn any_pax_header_is_read_or_refused(content in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_records(&content);
        }
    }
}

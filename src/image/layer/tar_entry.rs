//! One entry of a tar archive, put together from its header, its PAX records and GNU's long names.

use nix::sys::time::TimeSpec;

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
        let length: usize = std::str::from_utf8(digits).ok().and_then(|d| d.parse().ok()).ok_or_else(corrupt)?;
        let record = content.get(space + 1..length).and_then(|r| r.strip_suffix(b"\n")).ok_or_else(corrupt)?;
        let equals = record.iter().position(|b| *b == b'=').ok_or_else(corrupt)?;
        let (key, value) = record.split_at(equals);
        records.push((key.to_vec(), value.get(1..).unwrap_or_default().to_vec()));
        content = content.get(length..).unwrap_or_default();
    }
    Ok(records)
}

/// Lays PAX records over what the header said. An empty value takes a record back (pax(1)), so it changes nothing here.
pub fn apply_records(entry: &mut TarEntry, records: &Records) -> Result<()> {
    for (key, value) in records.iter().filter(|(_, value)| !value.is_empty()) {
        match key.as_slice() {
            b"path" => entry.name = value.clone(),
            b"linkpath" => entry.link = value.clone(),
            b"size" => entry.size = number(key, value)?,
            b"uid" => entry.uid = number(key, value)?,
            b"gid" => entry.gid = number(key, value)?,
            b"mtime" => {
                entry.mtime = time(value).ok_or_else(|| Error::new("its PAX modification time is not a number"))?
            }
            _ => {
                if key.starts_with(b"GNU.sparse.") {
                    return Err(sparse());
                }
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    entry.xattrs.retain(|(known, _)| known != name);
                    entry.xattrs.push((name.to_vec(), value.clone()));
                }
            }
        }
    }
    Ok(())
}

/// Sparse files need a map that says where their pieces go; images do not use them.
pub fn sparse() -> Error {
    Error::new("it is stored as a sparse file, which layers may not have")
        .mend("make the archive without tar's --sparse")
}

fn number(key: &[u8], value: &[u8]) -> Result<u64> {
    let digits = std::str::from_utf8(value).ok().filter(|v| v.bytes().all(|b| b.is_ascii_digit()));
    digits
        .and_then(|v| v.parse().ok())
        .ok_or_else(|| Error::new(format!("its PAX record {} = {} is not a number", quote(key), quote(value))))
}

/// Seconds since 1970 with an optional fraction, possibly negative.
fn time(value: &[u8]) -> Option<TimeSpec> {
    let text = std::str::from_utf8(value).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
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
        assert_eq!(time(b""), None);
    }

    #[test]
    fn records_are_read_exactly() {
        let records = parse_records(b"12 path=abc\n10 a=\n=b\0\n").unwrap();
        assert_eq!(records[0], (b"path".to_vec(), b"abc".to_vec()));
        assert_eq!(records[1], (b"a".to_vec(), b"\n=b\0".to_vec()));
        for bad in [&b"12 path=abc"[..], b"99 path=abc\n", b"2 x\n", b"x a=b\n", b"0 a=b\n", b"8 noeq!\n"] {
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

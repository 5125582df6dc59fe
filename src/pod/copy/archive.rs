//! Writes a tar archive that every tar reads: POSIX headers, with PAX records for what does not fit into them (pax(1)).

use std::io::{self, Write};

use tar::{EntryType, Header};

use crate::image::layer::pack::pax_time;

const BLOCK: u64 = 512;
/// What seven and eleven octal digits hold: the fields of ids and of sizes.
const LARGEST_ID: u32 = 0o7_777_777;
const LARGEST_SIZE: u64 = 0o77_777_777_777;

/// What an entry says of its file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Meta {
    /// Permission bits, 07777.
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Modification time: seconds since 1970, and nanoseconds counted upwards from there.
    pub(super) mtime: (i64, i64),
    /// Bytes of content that follow.
    pub(super) size: u64,
}

/// An archive that is being written. A content of the promised size must follow each header.
#[derive(Debug)]
pub(super) struct Archive<W> {
    out: W,
}

impl<W: Write> Archive<W> {
    pub(super) fn new(out: W) -> Archive<W> {
        Archive { out }
    }

    /// Begins an entry.
    pub(super) fn entry(&mut self, kind: EntryType, name: &[u8], link: &[u8], meta: &Meta) -> io::Result<()> {
        let (mut header, mut records) = (Header::new_ustar(), Vec::new());
        header.set_entry_type(kind);
        header.set_mode(meta.mode & 0o7777);
        // Numbers that do not fit are written in GNU's base 256 as well, for readers that know no PAX.
        header.set_uid(u64::from(meta.uid));
        header.set_gid(u64::from(meta.gid));
        header.set_size(meta.size);
        header.set_mtime(meta.mtime.0.max(0).cast_unsigned());
        let fields = header.as_old_mut();
        fit(name, &mut fields.name, "path", &mut records);
        fit(link, &mut fields.linkname, "linkpath", &mut records);
        if meta.mtime.0 < 0 || meta.mtime.1 != 0 {
            record(&mut records, "mtime", pax_time(meta.mtime.0, meta.mtime.1).as_bytes());
        }
        for (key, id) in [("uid", meta.uid), ("gid", meta.gid)] {
            if id > LARGEST_ID {
                record(&mut records, key, id.to_string().as_bytes());
            }
        }
        if meta.size > LARGEST_SIZE {
            record(&mut records, "size", meta.size.to_string().as_bytes());
        }
        header.set_cksum();
        if !records.is_empty() {
            self.records(&records)?;
        }
        self.out.write_all(header.as_bytes())
    }

    /// A piece of the current entry's content.
    pub(super) fn content(&mut self, piece: &[u8]) -> io::Result<()> {
        self.out.write_all(piece)
    }

    /// Fills the last block of a content of `size` bytes.
    pub(super) fn pad(&mut self, size: u64) -> io::Result<()> {
        let zeros = [0; BLOCK as usize];
        let count = (BLOCK - size % BLOCK) % BLOCK;
        self.out.write_all(zeros.get(..count as usize).unwrap_or_default())
    }

    /// Marks the archive's end.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.out.write_all(&[0; 2 * BLOCK as usize])?;
        self.out.flush()
    }

    fn records(&mut self, records: &[u8]) -> io::Result<()> {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::XHeader);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(records.len() as u64);
        let name = b"./PaxHeaders/entry";
        if let Some(field) = header.as_old_mut().name.get_mut(..name.len()) {
            field.copy_from_slice(name);
        }
        header.set_cksum();
        self.out.write_all(header.as_bytes())?;
        self.out.write_all(records)?;
        self.pad(records.len() as u64)
    }
}

/// Puts `text` into a header's field, or its beginning there and all of it into a record.
fn fit(text: &[u8], field: &mut [u8], key: &str, records: &mut Vec<u8>) {
    if text.len() > field.len() {
        record(records, key, text);
    }
    for (to, from) in field.iter_mut().zip(text) {
        *to = *from;
    }
}

/// `LENGTH KEY=VALUE\n`, where the length counts its own digits.
fn record(records: &mut Vec<u8>, key: &str, value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    records.extend_from_slice(format!("{length} {key}=").as_bytes());
    records.extend_from_slice(value);
    records.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::layer::tar_entry::{Kind, parse_records};
    use crate::image::layer::tar_reader::TarReader;

    #[test]
    fn records_count_their_own_length() {
        for length in [1, 5, 90, 91, 92, 93, 94, 980, 990, 991, 992, 993, 5000] {
            let (mut records, value) = (Vec::new(), vec![b'v'; length]);
            record(&mut records, "path", &value);
            assert_eq!(parse_records(&records).unwrap(), [(b"path".to_vec(), value)]);
        }
    }

    #[test]
    fn what_does_not_fit_into_a_header_comes_back_whole() {
        let name = [&b"\xff\xfe"[..], &[b'n'; 250], b"/", &[b'm'; 250]].concat();
        for size in [0o77_777_777_777, 0o77_777_777_777 + 1, 1 << 40] {
            let meta = Meta { mode: 0o640, uid: 3_000_000_000, gid: 2_097_152, mtime: (-2, 750_000_000), size };
            let mut bytes = Vec::new();
            Archive::new(&mut bytes).entry(EntryType::Regular, &name, b"", &meta).unwrap();
            let entry = TarReader::new(bytes.as_slice()).next_entry().unwrap().unwrap();
            assert_eq!((entry.name, entry.kind, entry.size), (name.clone(), Kind::File, size));
            assert_eq!((entry.uid, entry.gid, entry.mode), (3_000_000_000, 2_097_152, 0o640));
            assert_eq!((entry.mtime.tv_sec(), entry.mtime.tv_nsec()), (-2, 750_000_000));
        }
    }
}

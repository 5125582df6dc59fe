//! A tar writer that believes its caller: every field of a header can be set to anything, and names go out as they are.
//!
//! The format is POSIX ustar with PAX records (pax(1), "ustar Interchange Format"), and GNU's own types where a test wants them.

const BLOCK: usize = 512;

/// One member: a header, the records before it and the content behind it.
#[derive(Debug, Clone)]
pub struct Entry {
    header: [u8; BLOCK],
    records: Vec<(Vec<u8>, Vec<u8>)>,
    global: bool,
    content: Vec<u8>,
}

impl Entry {
    /// A member of any type; a name or a target that does not fit its field goes into a PAX record.
    pub fn new(kind: u8, name: impl AsRef<[u8]>) -> Entry {
        let mut header = [0; BLOCK];
        header[257..265].copy_from_slice(b"ustar\x0000");
        header[156] = kind;
        let entry = Entry { header, records: Vec::new(), global: false, content: Vec::new() };
        let mode = if kind == b'5' { 0o755 } else { 0o644 };
        entry.name(name.as_ref()).mode(mode).uid(0).gid(0).size(0).mtime(1_600_000_000)
    }

    /// A regular file.
    pub fn file(name: impl AsRef<[u8]>, content: impl AsRef<[u8]>) -> Entry {
        Entry::new(b'0', name).content(content)
    }

    /// A directory.
    pub fn dir(name: impl AsRef<[u8]>) -> Entry {
        Entry::new(b'5', name)
    }

    /// A symbolic link.
    pub fn symlink(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Entry {
        Entry::new(b'2', name).link(target.as_ref())
    }

    /// A hard link.
    pub fn hard_link(name: impl AsRef<[u8]>, target: impl AsRef<[u8]>) -> Entry {
        Entry::new(b'1', name).link(target.as_ref())
    }

    /// A character (`3`) or block (`4`) device.
    pub fn device(kind: u8, name: &str, major: u64, minor: u64) -> Entry {
        Entry::new(kind, name).field(329, 8, major).field(337, 8, minor)
    }

    /// A PAX header for all members that follow.
    pub fn global(key: &str, value: impl AsRef<[u8]>) -> Entry {
        let mut entry = Entry::new(b'g', "pax_global").pax(key, value);
        entry.global = true;
        entry
    }

    pub fn mode(self, mode: u64) -> Entry {
        self.field(100, 8, mode)
    }

    pub fn uid(self, uid: u64) -> Entry {
        self.field(108, 8, uid)
    }

    pub fn gid(self, gid: u64) -> Entry {
        self.field(116, 8, gid)
    }

    /// The size that the header claims, whatever the content.
    pub fn size(self, size: u64) -> Entry {
        self.field(124, 12, size)
    }

    pub fn mtime(self, mtime: u64) -> Entry {
        self.field(136, 12, mtime)
    }

    /// The content, and its true length.
    pub fn content(mut self, content: impl AsRef<[u8]>) -> Entry {
        self.content = content.as_ref().to_vec();
        let size = self.content.len() as u64;
        self.size(size)
    }

    /// A PAX record before this member.
    pub fn pax(mut self, key: &str, value: impl AsRef<[u8]>) -> Entry {
        self.records.push((key.as_bytes().to_vec(), value.as_ref().to_vec()));
        self
    }

    /// An extended attribute.
    pub fn xattr(self, name: &str, value: impl AsRef<[u8]>) -> Entry {
        self.pax(&format!("SCHILY.xattr.{name}"), value)
    }

    /// Bytes of the header as they are; the checksum is made to fit afterwards.
    pub fn raw(mut self, at: usize, bytes: &[u8]) -> Entry {
        self.header[at..at + bytes.len()].copy_from_slice(bytes);
        self
    }

    fn name(self, name: &[u8]) -> Entry {
        let this = self.raw(0, &name[..name.len().min(100)]);
        if name.len() > 100 || name.contains(&0) { this.pax("path", name) } else { this }
    }

    fn link(self, target: &[u8]) -> Entry {
        let this = self.raw(157, &target[..target.len().min(100)]);
        if target.len() > 100 { this.pax("linkpath", target) } else { this }
    }

    /// Octal digits where they fit, else GNU's base 256.
    fn field(self, at: usize, width: usize, value: u64) -> Entry {
        let digits = format!("{value:0width$o}", width = width - 1);
        if digits.len() < width {
            return self.raw(at, digits.as_bytes()).raw(at + width - 1, &[0]);
        }
        let mut bytes = vec![0; width];
        bytes[width - 8..].copy_from_slice(&value.to_be_bytes());
        bytes[0] |= 0x80;
        self.raw(at, &bytes)
    }

    fn write(&self, out: &mut Vec<u8>) {
        let records: Vec<u8> = self.records.iter().flat_map(|(key, value)| record(key, value)).collect();
        if self.global {
            return Entry { records: Vec::new(), global: false, ..self.clone() }.content(records).write(out);
        }
        if !records.is_empty() {
            Entry::new(b'x', "PaxHeaders/0").content(records).write(out);
        }
        let mut header = self.header;
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        out.extend(header);
        out.extend(&self.content);
        out.resize(out.len().next_multiple_of(BLOCK), 0);
    }
}

/// GNU's long name (`L`) or long link target (`K`) for the next member.
pub fn gnu_long(kind: u8, name: impl AsRef<[u8]>) -> Entry {
    Entry::new(kind, "././@LongLink").raw(257, b"ustar  \0").content([name.as_ref(), b"\0"].concat())
}

/// A PAX header by itself, with these records.
pub fn pax_header(records: &[(&str, &str)]) -> Entry {
    let records: Vec<u8> = records.iter().flat_map(|(key, value)| record(key.as_bytes(), value.as_bytes())).collect();
    Entry::new(b'x', "PaxHeaders/0").content(records)
}

/// `LENGTH KEY=VALUE\n`, the length counting its own digits.
fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let length = (1..20).map(|digits| rest + digits).find(|n| n.to_string().len() + rest == *n).unwrap();
    [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

/// The members and the end marker.
pub fn archive(entries: &[Entry]) -> Vec<u8> {
    let mut out = without_end(entries);
    out.resize(out.len() + 2 * BLOCK, 0);
    out
}

/// The members alone.
pub fn without_end(entries: &[Entry]) -> Vec<u8> {
    let mut out = Vec::new();
    for entry in entries {
        entry.write(&mut out);
    }
    out
}

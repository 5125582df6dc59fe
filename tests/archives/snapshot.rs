//! What a directory holds, in lines that can be compared.

use std::collections::HashMap;
use std::fmt::Write;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use podling::sys::xattr;

use super::image::digest;

/// One line for each file below `dir`, in the order of names: type, mode, owner, time, content. `skip` leaves subtrees out.
pub fn lines(dir: &Path, skip: &[&str]) -> Vec<String> {
    let mut out = Vec::new();
    let mut links = HashMap::new();
    walk(dir, Path::new(""), skip, &mut links, &mut out);
    out
}

fn walk(dir: &Path, path: &Path, skip: &[&str], links: &mut HashMap<u64, String>, out: &mut Vec<String>) {
    let here = dir.join(path);
    let mut names: Vec<_> = fs::read_dir(&here).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort_unstable();
    for name in names {
        let path = path.join(name);
        if skip.iter().any(|skipped| path == Path::new(skipped)) {
            continue;
        }
        let stat = fs::symlink_metadata(dir.join(&path)).unwrap();
        out.push(line(dir, &path, &stat, links));
        if stat.is_dir() {
            walk(dir, &path, skip, links, out);
        }
    }
}

/// One file's line. Hard links are told by the first of their names.
pub fn line(dir: &Path, path: &Path, stat: &fs::Metadata, links: &mut HashMap<u64, String>) -> String {
    let full = dir.join(path);
    let kind = stat.file_type();
    let name = path.as_os_str().as_bytes().escape_ascii().to_string();
    let mut line =
        format!("{name} {:o} {}:{} {}.{:09}", stat.mode(), stat.uid(), stat.gid(), stat.mtime(), stat.mtime_nsec());
    if kind.is_symlink() {
        let target = fs::read_link(&full).unwrap();
        let _ = write!(line, " -> {}", target.as_os_str().as_bytes().escape_ascii());
    } else if kind.is_file() {
        let _ = match fs::read(&full) {
            Ok(content) => write!(line, " {} bytes {}", content.len(), digest(&content)),
            Err(e) => write!(line, " {} bytes, {e}", stat.len()),
        };
    } else if kind.is_char_device() || kind.is_block_device() {
        let _ = write!(line, " device {:x}", stat.rdev());
    }
    if stat.nlink() > 1 && !kind.is_dir() {
        let first = links.entry(stat.ino()).or_insert_with(|| name.clone());
        if *first != name {
            let _ = write!(line, " = {first}");
        }
    }
    let attributes = if kind.is_file() || kind.is_dir() { xattrs(&full) } else { Vec::new() };
    for (name, value) in attributes {
        let _ = write!(line, " {name}={}", value.escape_ascii());
    }
    line
}

/// The extended attributes that this process may see.
fn xattrs(path: &Path) -> Vec<(String, Vec<u8>)> {
    let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_NOCTTY;
    let Ok(file) = fs::File::options().read(true).custom_flags(flags).open(path) else { return Vec::new() };
    let mut found: Vec<_> = xattr::list(&file)
        .unwrap()
        .into_iter()
        .filter_map(|name| Some((name.to_str().unwrap().to_owned(), xattr::get(&file, &name).unwrap()?)))
        .collect();
    found.sort();
    found
}

//! The image's own `/etc/passwd` and `/etc/group`, read out of its layers without mounting them.

use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{SFlag, fstat};

use crate::error::{Error, Result};
use crate::image::layer::whiteout;
use crate::image::{Accounts, Group, User};
use crate::sys::{SysError, fs, xattr};

/// Larger account files are refused: no real image comes near, and the whole file is read into memory before each start.
const SIZE_LIMIT: u64 = 1 << 20;

/// Reads both files from the topmost of `layers` (bottom first) that has them, whiteouts and opaque directories considered.
pub fn read(layers: &[OwnedFd]) -> Result<Accounts> {
    let passwd = topmost(layers, "etc/passwd")?;
    let group = topmost(layers, "etc/group")?;
    Ok(Accounts { users: parse_passwd(&passwd), groups: parse_group(&group) })
}

/// The entries of a passwd(5) file. A malformed line, or one whose ids do not fit 32 bits, is no entry, as in the C library.
pub fn parse_passwd(content: &[u8]) -> Vec<User> {
    lines(content)
        .filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next().filter(|name| !name.is_empty())?;
            fields.next()?;
            let uid = id(fields.next()?)?;
            let gid = id(fields.next()?)?;
            fields.next()?;
            let home = fields.next()?;
            Some(User { name: name.into(), uid, gid, home: home.into() })
        })
        .collect()
}

/// The entries of a group(5) file, malformed lines left out.
pub fn parse_group(content: &[u8]) -> Vec<Group> {
    lines(content)
        .filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next().filter(|name| !name.is_empty())?;
            fields.next()?;
            let gid = id(fields.next()?)?;
            let members = fields.next().unwrap_or("").split(',').map(str::trim).filter(|member| !member.is_empty());
            Some(Group { name: name.into(), gid, members: members.map(str::to_owned).collect() })
        })
        .collect()
}

fn lines(content: &[u8]) -> impl Iterator<Item = &str> {
    content
        .split(|byte| *byte == b'\n')
        .filter_map(|line| std::str::from_utf8(line).ok())
        .map(|line| line.strip_suffix('\r').unwrap_or(line))
        .filter(|line| !line.starts_with('#') && !line.contains('\0'))
}

/// Digits only: `parse` alone would take a `+`. (uid_t)-1 means "no change" to chown(2) and is nobody's id.
fn id(field: &str) -> Option<u32> {
    let digits = !field.is_empty() && field.bytes().all(|b| b.is_ascii_digit());
    if digits { field.parse().ok().filter(|id| *id != u32::MAX) } else { None }
}

/// The content of the regular file at `path` in the overlay of `layers`; empty where there is none.
fn topmost(layers: &[OwnedFd], path: &str) -> Result<Vec<u8>> {
    for layer in layers.iter().rev() {
        match look(layer.as_fd(), Path::new(path)).map_err(|e| e.context(format!("cannot read the image's /{path}")))? {
            Found::File(content) => return Ok(content),
            Found::Hidden => break,
            Found::Nothing => {}
        }
    }
    Ok(Vec::new())
}

enum Found {
    /// The layer has the file.
    File(Vec<u8>),
    /// The layer hides whatever lies below.
    Hidden,
    /// The layers below decide.
    Nothing,
}

fn look(layer: BorrowedFd<'_>, path: &Path) -> Result<Found> {
    // O_NONBLOCK: a FIFO in place of the file must not make us wait for a writer.
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    match fs::open_in_root(layer, path, flags) {
        Ok(file) if is(&file, SFlag::S_IFREG)? => Ok(Found::File(read_limited(file)?)),
        Ok(_) => Ok(Found::Hidden),
        Err(e) if e.errno == Errno::ENOENT => absent(layer, path),
        Err(e) => unreadable(layer, path, e),
    }
}

/// Not in this layer; but an opaque or non-directory parent, or a dangling symlink, still hides the layers below.
fn absent(layer: BorrowedFd<'_>, path: &Path) -> Result<Found> {
    let nofollow = OFlag::O_PATH | OFlag::O_NOFOLLOW;
    if fs::open_in_root(layer, path, nofollow).is_ok() {
        return Ok(Found::Hidden);
    }
    let Some(parent) = path.parent() else { return Ok(Found::Nothing) };
    match fs::open_in_root(layer, parent, OFlag::O_RDONLY | OFlag::O_DIRECTORY) {
        Ok(dir) if xattr::get(&dir, whiteout::OPAQUE)?.as_deref() == Some(b"y") => Ok(Found::Hidden),
        Ok(_) => Ok(Found::Nothing),
        Err(e) if e.errno == Errno::ENOENT => Ok(Found::Nothing),
        Err(_) => Ok(Found::Hidden),
    }
}

/// A whiteout (char 0:0) cannot be opened: `EACCES` or `ENXIO`. Anything else that cannot be is an error worth naming.
fn unreadable(layer: BorrowedFd<'_>, path: &Path, error: SysError) -> Result<Found> {
    if matches!(error.errno, Errno::ENOTDIR | Errno::ELOOP | Errno::EXDEV) {
        return Ok(Found::Hidden);
    }
    match fs::open_in_root(layer, path, OFlag::O_PATH) {
        Ok(file) if is(&file, SFlag::S_IFREG)? => Err(error.into()),
        Ok(_) => Ok(Found::Hidden),
        Err(_) => Err(error.into()),
    }
}

fn is(file: &OwnedFd, kind: SFlag) -> Result<bool> {
    let stat = fstat(file).map_err(|errno| SysError::new("fstat", errno))?;
    Ok(SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT == kind)
}

fn read_limited(file: OwnedFd) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    File::from(file).take(SIZE_LIMIT + 1).read_to_end(&mut content)?;
    if content.len() as u64 > SIZE_LIMIT {
        return Err(Error::new(format!("it is larger than {SIZE_LIMIT} bytes")));
    }
    Ok(content)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use proptest::prelude::*;

    use super::*;

    fn user(name: &str, uid: u32, gid: u32, home: &str) -> User {
        User { name: name.into(), uid, gid, home: home.into() }
    }

    fn layers(dirs: &[&Path]) -> Vec<OwnedFd> {
        dirs.iter().map(|dir| File::open(dir).unwrap().into()).collect()
    }

    fn layer(passwd: Option<&str>) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        if let Some(passwd) = passwd {
            std::fs::create_dir(dir.path().join("etc")).unwrap();
            std::fs::write(dir.path().join("etc/passwd"), passwd).unwrap();
        }
        dir
    }

    #[test]
    fn malformed_lines_are_no_entries() {
        let content = b"root:x:0:0:root:/root:/bin/sh\n#c:x:1:1::/:\nnouid:x::0::/:\n\
            big:x:4294967296:0::/:\nminus:x:-1:0::/:\nplus:x:+1:0::/:\nshort:x:1\n:x:5:5::/:\n\xff:x:6:6::/:\n\
            none:x:4294967295:0::/:\nw:x:33:33:w:/var/www:/bin/sh\r\nlast:x:7:7::/l";
        let expected = [user("root", 0, 0, "/root"), user("w", 33, 33, "/var/www"), user("last", 7, 7, "/l")];
        assert_eq!(parse_passwd(content), expected);
    }

    #[test]
    fn groups_list_their_members() {
        let groups = parse_group(b"adm:x:4:root, syslog,\nempty:x:5:\nbare:x:6\nbad:x:y:z\n");
        let names: Vec<_> = groups.iter().map(|g| (g.name.as_str(), g.gid, g.members.join("+"))).collect();
        assert_eq!(
            names,
            [("adm", 4, "root+syslog".to_owned()), ("empty", 5, String::new()), ("bare", 6, String::new())]
        );
    }

    #[test]
    fn the_topmost_file_counts() {
        let (bottom, top) = (layer(Some("a:x:1:1::/a:\n")), layer(Some("b:x:2:2::/b:\n")));
        let both = read(&layers(&[bottom.path(), top.path()])).unwrap();
        assert_eq!(both.users, [user("b", 2, 2, "/b")]);
        let below = read(&layers(&[bottom.path(), layer(None).path()])).unwrap();
        assert_eq!(below.users, [user("a", 1, 1, "/a")]);
    }

    #[test]
    fn an_opaque_directory_hides_the_layers_below() {
        let (bottom, top) = (layer(Some("a:x:1:1::/a:\n")), layer(None));
        std::fs::create_dir(top.path().join("etc")).unwrap();
        let etc = File::open(top.path().join("etc")).unwrap();
        xattr::set(&etc, whiteout::OPAQUE, b"y").unwrap();
        assert_eq!(read(&layers(&[bottom.path(), top.path()])).unwrap(), Accounts::default());
    }

    #[test]
    fn links_stay_in_the_layer_and_a_fifo_is_not_waited_for() {
        let bottom = layer(Some("a:x:1:1::/a:\n"));
        for make in [
            (|etc: &Path| symlink("/proc/self/environ", etc.join("passwd")).unwrap()) as fn(&Path),
            |etc| symlink("../../../../../../../../etc/passwd", etc.join("passwd")).unwrap(),
            |etc| nix::unistd::mkfifo(&etc.join("passwd"), nix::sys::stat::Mode::S_IRWXU).unwrap(),
            |etc| std::fs::create_dir(etc.join("passwd")).unwrap(),
        ] {
            let top = layer(None);
            std::fs::create_dir(top.path().join("etc")).unwrap();
            make(&top.path().join("etc"));
            assert_eq!(read(&layers(&[bottom.path(), top.path()])).unwrap(), Accounts::default());
        }
    }

    #[test]
    fn a_huge_file_is_refused() {
        let top = layer(Some(&"#".repeat(SIZE_LIMIT as usize + 1)));
        let error = read(&layers(&[top.path()])).unwrap_err();
        assert!(error.what().contains("/etc/passwd"), "{error}");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(content in proptest::collection::vec(any::<u8>(), 0..400)) {
            parse_passwd(&content);
            parse_group(&content);
        }
    }
}

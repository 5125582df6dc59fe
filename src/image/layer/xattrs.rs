//! Which extended attributes of an entry reach the disk.

use std::ffi::CString;
use std::os::fd::BorrowedFd;

use crate::error::{Error, Result};
use crate::image::layer::tar_entry::{TarEntry, quote};
use crate::image::layer::warnings::Warnings;
use crate::sys::xattr;

const CAPABILITY: &[u8] = b"security.capability";

/// What is done with an attribute of this name and value.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Keep,
    LeaveOut(&'static str),
    Refuse(&'static str),
}

/// Sets the attributes of `entry` on `file`.
///
/// `user.*` is kept. overlayfs's own are refused: with `userxattr` they could make a layer redirect into another. File capabilities
/// are kept when they are well formed. What else there is belongs to the machine that made the archive: it is left out, with a warning.
pub fn set_all(file: BorrowedFd<'_>, entry: &TarEntry, warnings: &mut Warnings) -> Result<()> {
    for (name, value) in &entry.xattrs {
        match verdict(name, value) {
            Verdict::Keep => {}
            Verdict::LeaveOut(why) => {
                warnings.add_attribute(why, name, entry);
                continue;
            }
            Verdict::Refuse(why) => return Err(Error::new(format!("its extended attribute {} {why}", quote(name)))),
        }
        let Ok(c_name) = CString::new(name.as_slice()) else {
            return Err(Error::new(format!("its extended attribute {} has a NUL byte in its name", quote(name))));
        };
        match xattr::set(file, &c_name, value) {
            Ok(()) => {}
            Err(e)
                if name == CAPABILITY
                    && matches!(e.errno, nix::errno::Errno::EPERM | nix::errno::Errno::EOPNOTSUPP) =>
            {
                warnings.add_attribute("are left out, since the kernel does not permit them here", name, entry);
            }
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

fn verdict(name: &[u8], value: &[u8]) -> Verdict {
    if name.windows(9).any(|part| part == b".overlay.") {
        return Verdict::Refuse("is overlayfs's own, which no layer may set");
    }
    if name == CAPABILITY {
        return match is_capability(value) {
            true => Verdict::Keep,
            false => Verdict::LeaveOut("are left out, since they are no file capabilities of revision 2 or 3"),
        };
    }
    match name.split(|b| *b == b'.').next() {
        Some(b"user") if name.len() > 5 => Verdict::Keep,
        _ => Verdict::LeaveOut("are left out: they belong to the machine that made the archive"),
    }
}

/// `struct vfs_cap_data` of revision 2 (20 bytes) or 3 (24 bytes, with the root's id), linux/capability.h; little-endian.
fn is_capability(value: &[u8]) -> bool {
    const REVISION_MASK: u32 = 0xff00_0000;
    const EFFECTIVE: u32 = 1;
    let Some(Ok(magic)) = value.get(..4).map(<[u8; 4]>::try_from) else { return false };
    let magic = u32::from_le_bytes(magic);
    let length = match magic & REVISION_MASK {
        0x0200_0000 => 20,
        0x0300_0000 => 24,
        _ => return false,
    };
    value.len() == length && magic & !REVISION_MASK & !EFFECTIVE == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_kept_left_out_or_refused() {
        let v2 = [&[1, 0, 0, 2][..], &[0; 16]].concat();
        let v3 = [&[0, 0, 0, 3][..], &[0; 20]].concat();
        for (name, value, kept) in [
            ("user.note", &b"x"[..], true),
            ("security.capability", &v2, true),
            ("security.capability", &v3, true),
            ("security.capability", &v2[..19], false),
            ("security.capability", &[0, 0, 0, 1], false),
            ("security.selinux", b"x", false),
            ("trusted.x", b"x", false),
            ("system.posix_acl_access", b"x", false),
            ("user.", b"x", false),
            ("user", b"x", false),
        ] {
            assert_eq!(verdict(name.as_bytes(), value) == Verdict::Keep, kept, "{name}");
        }
        for name in ["user.overlay.opaque", "trusted.overlay.redirect", "user.fuse.overlay.x"] {
            assert!(matches!(verdict(name.as_bytes(), b"y"), Verdict::Refuse(_)), "{name}");
        }
    }
}

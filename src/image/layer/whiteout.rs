//! Whiteouts: how a layer says "what the layers below have here is gone" (OCI image-spec layer.md, "Whiteouts").

use std::ffi::CStr;

/// The attribute that makes a directory hide the one below it, where overlayfs is mounted with `userxattr` (overlayfs.rst).
pub const OPAQUE: &CStr = c"user.overlay.opaque";

const PREFIX: &[u8] = b".wh.";
const META_PREFIX: &[u8] = b".wh..wh.";
const OPAQUE_MARK: &[u8] = b".wh..wh..opq";

/// What the last component of an entry's name means.
#[derive(Debug, PartialEq, Eq)]
pub enum Mark<'a> {
    /// An ordinary name.
    None,
    /// `.wh.NAME`: NAME is gone.
    Hide(&'a [u8]),
    /// `.wh..wh..opq`: everything that the directory has below is gone.
    Opaque,
    /// `.wh..wh.NAME`: aufs's own bookkeeping, no part of the image.
    Bookkeeping,
    /// A whiteout that names nothing, the directory itself or its parent.
    Climbs,
}

/// Reads the meaning of a path component.
pub fn mark(name: &[u8]) -> Mark<'_> {
    if name == OPAQUE_MARK {
        return Mark::Opaque;
    }
    if name.starts_with(META_PREFIX) {
        return Mark::Bookkeeping;
    }
    match name.strip_prefix(PREFIX) {
        None => Mark::None,
        Some(b"" | b"." | b"..") => Mark::Climbs,
        Some(hidden) => Mark::Hide(hidden),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_told_apart() {
        for (name, expected) in [
            (&b"a"[..], Mark::None),
            (b"wh.a", Mark::None),
            (b".wh", Mark::None),
            (b".wh.a", Mark::Hide(b"a")),
            (b".wh..hidden", Mark::Hide(b".hidden")),
            (b".wh....", Mark::Hide(b"...")),
            (b".wh..wh..opq", Mark::Opaque),
            (b".wh..wh.plnk", Mark::Bookkeeping),
            (b".wh.", Mark::Climbs),
            (b".wh..", Mark::Climbs),
            (b".wh...", Mark::Climbs),
        ] {
            assert_eq!(mark(name), expected, "{}", name.escape_ascii());
        }
    }
}

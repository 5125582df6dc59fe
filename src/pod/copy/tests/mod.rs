//! Both ends, on real directories.

mod hostile;
mod table;
mod trees;
mod wire;

use std::path::Path;

use super::receive::{How, SpecialBits, receive};
use super::send::send;
use super::{Base, Copied, Links, Owner, Shape, Top};
use crate::error::Result;

/// The archive of `source`.
fn packed(source: &Path, links: Links) -> Vec<u8> {
    let mut archive = Vec::new();
    send(&Base::WorkingDirectory, source, &mut archive, links).unwrap();
    archive
}

/// Unpacks what a stranger sent as a copy of `top`.
fn unpacked(archive: &[u8], top: &Path, destination: &Path) -> Result<Copied> {
    let how = How { shape: Shape::Copy(Top::of(top)), owner: Owner::Receiver, special: SpecialBits::Drop };
    receive(&Base::WorkingDirectory, destination, archive, &how)
}

/// From one path of this host to another.
fn copied(source: &Path, destination: &Path) -> Result<Copied> {
    let mut archive = Vec::new();
    send(&Base::WorkingDirectory, source, &mut archive, Links::Keep)?;
    unpacked(&archive, source, destination)
}

/// Runs `body` as somebody who is not root, where this is root: whose modes nobody overrides.
fn as_nobody<T: Send>(dir: &Path, body: impl FnOnce() -> T + Send) -> T {
    use nix::unistd::{Gid, Uid, chown, geteuid, setfsgid, setfsuid};
    let nobody = geteuid().is_root();
    if nobody {
        chown(dir, Some(Uid::from_raw(65534)), Some(Gid::from_raw(65534))).unwrap();
    }
    std::thread::scope(|scope| {
        let thread = scope.spawn(move || {
            // Of this thread only; with it go the capabilities over files.
            if nobody {
                setfsgid(Gid::from_raw(65534));
                setfsuid(Uid::from_raw(65534));
            }
            body()
        });
        thread.join().unwrap()
    })
}

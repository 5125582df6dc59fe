//! A volume's files as a tar archive, out of it and into a new one.
//!
//! Whatever is in a volume, and in an archive, is a stranger's. The end that touches the files is a process in the pod's user namespace
//! whose whole file system is that volume; it speaks with this one as the container's end of `podling cp` does.

use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::sched::CloneFlags;
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};

use crate::error::{Context, Error, Result};
use crate::host::HostFacts;
use crate::host::confine::{Tree, confine, keep_capabilities_over_files};
use crate::host::userns::spawn_mapped;
use crate::pod::copy::{Copied, Links, Owner, Shape, deliver_archive, fetch_archive, give_when, take_when};
use crate::sys::process::close_all_but;

/// Whose the files of an archive become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owners {
    /// Those that the archive names.
    Kept,
    /// The pod's root.
    Root,
}

/// Writes the files in the directory `files` of a volume to `out`.
///
/// # Errors
/// What failed at either end.
pub fn export(files: &Path, out: impl Write, facts: &HostFacts) -> Result<Copied> {
    let pack = |ready, socket: &UnixStream| give_when(ready, socket, Path::new("/."), Links::Keep);
    beside(files, facts, pack, |socket| fetch_archive(socket, out))
}

/// Unpacks `archive`, decompressed where gzip or zstd is, into the directory `files` of a new volume.
///
/// # Errors
/// What failed at either end: an archive that is none, or that leads out of the volume, a full disk. What was unpacked by then stays.
pub fn import(files: &Path, archive: impl Read, owners: Owners, facts: &HostFacts) -> Result<Copied> {
    let owner = match owners {
        // With one id everything is that id's.
        Owners::Kept if !facts.ids.is_single() => Owner::Kept,
        _ => Owner::Receiver,
    };
    let unpack = |ready, socket: &UnixStream| take_when(ready, socket, Path::new("/."), Shape::Volume, owner);
    beside(files, facts, unpack, |socket| deliver_archive(socket, archive))
}

/// Does `theirs` in a process that has nothing but the directory, and `ours` here, at the two ends of a socket.
fn beside<T>(
    files: &Path,
    facts: &HostFacts,
    theirs: impl FnOnce(Result<()>, &UnixStream) -> Result<()>,
    ours: impl FnOnce(&UnixStream) -> Result<T>,
) -> Result<T> {
    let tree = Tree::new(files, facts)?;
    let (near, far) = UnixStream::pair().context(|| "socketpair()")?;
    let mut parts = Some((OwnedFd::from(far), theirs));
    let child = spawn_mapped(facts, CloneFlags::CLONE_NEWNS, |entered| {
        let Some((socket, theirs)) = parts.take() else { return 125 };
        let _ = prctl::set_pdeathsig(Signal::SIGKILL);
        let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
        let ready = entered.map_err(Error::from).and_then(|()| enter(&tree, &socket));
        let socket = UnixStream::from(socket);
        i32::from(theirs(ready, &socket).is_err())
    })?;
    // The other end must be that process's alone, or its death would not show.
    drop(parts);
    let done = ours(&near);
    drop(near);
    child.wait()?;
    done
}

/// Leaves everything behind but the tree and the socket.
fn enter(tree: &Tree, socket: &OwnedFd) -> Result<()> {
    confine(tree).context(|| "the process that copies cannot be confined")?;
    close_all_but(&[socket.as_fd()])?;
    Ok(keep_capabilities_over_files()?)
}

//! Directories of podling's own, reachable for the caller and the pod's root, and for nobody else.

use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use nix::unistd::{Gid, Uid, chown};

use super::{Caller, HostFacts};
use crate::error::{Error, Result};
use crate::sys::Named;

impl HostFacts {
    /// Makes `dir`, and what is missing above it, with mode 0700, and gives `dir` to the pod's root. One that is there stays as it is.
    ///
    /// # Errors
    /// The failed call, with the place where podling's data can be put instead.
    pub fn make_private_dir(&self, dir: &Path) -> Result<()> {
        if let Some(parent) = dir.parent().filter(|parent| !parent.exists()) {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(parent)
                .named(|| format!("mkdir({parent:?})"))
                .map_err(writable)?;
        }
        match DirBuilder::new().mode(0o700).create(dir) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
            made => {
                made.named(|| format!("mkdir({dir:?})")).map_err(writable)?;
                self.give_to_pod_root(dir)
            }
        }
    }

    /// Makes the pod's root the owner of `path`. An ordinary caller is that root already; a pod of real root has another.
    ///
    /// # Errors
    /// The failed call.
    pub fn give_to_pod_root(&self, path: &Path) -> Result<()> {
        if self.caller == Caller::User {
            return Ok(());
        }
        let first = |extents: &[super::IdExtent]| extents.iter().find(|e| e.inside == 0).map(|e| e.outside);
        let (uid, gid) = (first(&self.ids.uids).map(Uid::from_raw), first(&self.ids.gids).map(Gid::from_raw));
        Ok(chown(path, uid, gid).named(|| format!("chown({path:?}, {uid:?}, {gid:?})"))?)
    }
}

fn writable(e: crate::sys::SysError) -> Error {
    Error::from(e).mend("podling keeps its data in $XDG_DATA_HOME/podling, else in ~/.local/share/podling: set XDG_DATA_HOME to a directory that you may write")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_missing_above_is_made_too_and_nobody_else_may_enter() {
        let dir = tempfile::tempdir().unwrap();
        let facts = HostFacts { caller: Caller::User, ..HostFacts::gather() };
        let wanted = dir.path().join("a/b/podling");
        facts.make_private_dir(&wanted).unwrap();
        facts.make_private_dir(&wanted).unwrap();
        assert_eq!(fs::metadata(&wanted).unwrap().permissions().mode() & 0o7777, 0o700);
    }
}

//! Directories of podling's own, reachable for the caller and the pod's root, and for nobody else.

use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use nix::unistd::{Gid, Uid, chown, geteuid};

use super::{IdExtent, IdMap};
use crate::error::{Error, Result};
use crate::sys::{Named, SysError};

impl IdMap {
    /// Makes `dir` with mode 0700 for the pod's root, and, if `top` is missing, `top` and what is above it. `dir` is `top` or below it; a
    /// directory that is there keeps its mode.
    ///
    /// # Errors
    /// The failed call, with the place where podling's data can be put instead.
    pub fn make_private_dir(&self, top: &Path, dir: &Path) -> Result<()> {
        if dir.is_dir() {
            // Whoever made it may have been killed before it could give it away.
            return self.give_to_root(dir);
        }
        match dir.parent() {
            Some(parent) if dir != top && dir.starts_with(top) => self.make_private_dir(top, parent)?,
            // What is above belongs to the caller, as everything in a home does.
            Some(parent) => {
                let made = DirBuilder::new().recursive(true).mode(0o700).create(parent);
                made.named(|| format!("mkdir({parent:?})")).map_err(writable)?;
            }
            None => {}
        }
        match DirBuilder::new().mode(0o700).create(dir) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            made => made.named(|| format!("mkdir({dir:?})")).map_err(writable)?,
        }
        self.give_to_root(dir)
    }

    /// The pod's root's user id outside the pod.
    pub fn root(&self) -> Option<u32> {
        outside_zero(&self.uids)
    }

    /// Makes the pod's root the owner of `path`: of a directory that a pod's processes must pass or write.
    ///
    /// An ordinary caller is that root already, and nothing happens; a pod of real root has another.
    ///
    /// # Errors
    /// The failed call.
    pub fn give_to_root(&self, path: &Path) -> Result<()> {
        let (Some(uid), Some(gid)) = (self.root(), outside_zero(&self.gids)) else {
            return Err(Error::new("the pod's id map has no root"));
        };
        if uid == geteuid().as_raw() {
            return Ok(());
        }
        let owner = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        Ok(chown(path, owner.0, owner.1).named(|| format!("chown({path:?}, {uid}, {gid})"))?)
    }
}

fn outside_zero(extents: &[IdExtent]) -> Option<u32> {
    extents.iter().find(|e| e.inside == 0).map(|e| e.outside)
}

fn writable(e: SysError) -> Error {
    Error::from(e).mend(
        "podling keeps its data in $XDG_DATA_HOME/podling, else in ~/.local/share/podling: \
         set XDG_DATA_HOME to a directory that you may write",
    )
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_missing_above_is_made_too_and_nobody_else_may_enter() {
        let dir = tempfile::tempdir().unwrap();
        let own = |id| vec![IdExtent { inside: 0, outside: id, count: 1 }];
        let ids = IdMap { uids: own(geteuid().as_raw()), gids: own(nix::unistd::getegid().as_raw()) };
        let top = dir.path().join("a/b/podling");
        ids.make_private_dir(&top, &top.join("x/y")).unwrap();
        ids.make_private_dir(&top, &top.join("x/y")).unwrap();
        for made in ["a", "a/b/podling", "a/b/podling/x/y"] {
            let mode = fs::metadata(dir.path().join(made)).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o700, "{made}");
        }
    }
}

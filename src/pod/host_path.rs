//! What a `hostPath` volume is of the host: found, checked as the kubelet does, and copied as a detached mount.

use std::fs::{DirBuilder, File};
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use crate::error::{Context, Result};
use crate::host::beneath::open_or_make_with;
use crate::host::place::{kind, open_base, open_place};
use crate::plan::{HostPathKind, HostPathPlan, PodPlan, VolumeSource};
use crate::sys::Named;
use crate::sys::fs::open_beneath;
use crate::sys::mount::clone_tree;

/// The trees of a pod's `hostPath` volumes, by the volumes' names.
pub(super) type HostTrees = Vec<(String, OwnedFd)>;

/// Finds what all `hostPath` volumes of `plan` are of the host, in this process's mount namespace.
///
/// # Errors
/// What is not there, not of its type, not beneath the directory that was allowed, or may not be looked at.
pub(super) fn trees(plan: &PodPlan) -> Result<HostTrees> {
    let mut trees = Vec::new();
    for volume in &plan.volumes {
        if let VolumeSource::HostPath(host) = &volume.source {
            let tree = find(host).and_then(|place| Ok(clone_tree(place, c"")?));
            trees.push((volume.name.clone(), tree.context(|| format!("hostPath volume {:?}", volume.name))?));
        }
    }
    Ok(trees)
}

/// Opens the path as a place, makes what its type asks for where nothing is, and checks its type on what was opened.
fn find(host: &HostPathPlan) -> Result<OwnedFd> {
    let base = host.beneath.as_deref().map(open_base).transpose().map_err(|e| host.explained(e))?;
    let look = || open_place(base.as_ref(), &host.path);
    let found = match look() {
        Err(e) if e.errno == Errno::ENOENT => {
            host.fits(None)?;
            match host.kind {
                HostPathKind::FileOrCreate => make_file(base.as_ref(), &host.path)?,
                _ => make_directory(base.as_ref(), &host.path)?,
            }
            look()
        }
        found => found,
    };
    let place = found.map_err(|e| host.explained(e))?;
    host.fits(Some(kind(&place)?))?;
    Ok(place)
}

/// As the kubelet makes it: mode 0755, and what is missing above it, too.
fn make_directory(base: Option<&OwnedFd>, path: &Path) -> Result<()> {
    match base {
        Some(base) => Ok(open_or_make_with(base, path, Mode::from_bits_truncate(0o755)).map(drop)?),
        None => Ok(DirBuilder::new().recursive(true).mode(0o755).create(path).named(|| format!("mkdir({path:?})"))?),
    }
}

/// As the kubelet makes it: mode 0644, in a directory that is there.
fn make_file(base: Option<&OwnedFd>, path: &Path) -> Result<()> {
    let made = match base {
        Some(base) => open_beneath(base, path, OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY, 0o644).map(drop),
        None => match File::options().write(true).create_new(true).mode(0o644).open(path) {
            Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
            made => made.map(drop).named(|| format!("open({path:?}, O_CREAT)")),
        },
    };
    match made {
        Err(e) if e.errno == Errno::EEXIST => Ok(()),
        made => Ok(made?),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;

    use super::*;

    fn host(beneath: Option<&Path>, path: impl Into<PathBuf>, kind: HostPathKind) -> HostPathPlan {
        HostPathPlan { beneath: beneath.map(Path::to_owned), path: path.into(), kind }
    }

    #[test]
    fn types_are_checked_in_the_kubelets_words() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        let _socket = UnixListener::bind(dir.path().join("socket")).unwrap();
        use HostPathKind::*;
        for (name, kind, what) in [
            ("file", Directory, "directory"),
            ("file", DirectoryOrCreate, "directory"),
            ("none", Directory, "directory"),
            (".", File, "file"),
            (".", FileOrCreate, "file"),
            ("none", File, "file"),
            ("socket", File, "file"),
            ("file", Socket, "socket file"),
            ("file", CharDevice, "character device"),
            ("file", BlockDevice, "block device"),
        ] {
            for plan in [host(None, dir.path().join(name), kind), host(Some(dir.path()), name, kind)] {
                let error = find(&plan).unwrap_err().to_string();
                assert!(error.starts_with("hostPath type check failed: "), "{error}");
                assert!(error.contains(&format!(" is not a {what}; ")), "{error}");
            }
        }
        for (name, kind) in [(".", Directory), ("file", File), ("socket", Socket), ("socket", Any), ("file", Any)] {
            find(&host(None, dir.path().join(name), kind)).unwrap();
            find(&host(Some(dir.path()), name, kind)).unwrap();
        }
        find(&host(None, "/dev/null", CharDevice)).unwrap();
    }

    #[test]
    fn what_is_missing_is_made_where_the_type_says_so() {
        let dir = tempfile::tempdir().unwrap();
        for (n, beneath) in [(0, None), (1, Some(dir.path()))] {
            let at = |name: &str| if n == 0 { dir.path().join("0").join(name) } else { Path::new("1").join(name) };
            find(&host(beneath, at("a/b"), HostPathKind::DirectoryOrCreate)).unwrap();
            find(&host(beneath, at("c"), HostPathKind::Any)).unwrap();
            find(&host(beneath, at("file"), HostPathKind::FileOrCreate)).unwrap();
            assert!(find(&host(beneath, at("no/file"), HostPathKind::FileOrCreate)).is_err());
            let made = dir.path().join(n.to_string());
            assert!(made.join("a/b").is_dir() && made.join("c").is_dir() && made.join("file").is_file());
        }
    }

    #[test]
    fn no_link_leads_out_of_the_directory_that_was_allowed() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        symlink(outside.path(), dir.path().join("out")).unwrap();
        symlink("..", dir.path().join("up")).unwrap();
        for name in ["out", "out/new", "up", "up/new"] {
            for kind in [HostPathKind::Any, HostPathKind::DirectoryOrCreate, HostPathKind::FileOrCreate] {
                let error = find(&host(Some(dir.path()), name, kind)).unwrap_err();
                assert!(error.to_string().contains("leads out of"), "{name}: {error}");
            }
        }
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
        find(&host(None, dir.path().join("out"), HostPathKind::Directory)).unwrap();
    }
}

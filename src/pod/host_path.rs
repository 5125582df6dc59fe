//! What a `hostPath` volume is of the host: found, checked as the kubelet does, and copied as a detached mount.

use std::fs::{DirBuilder, File};
use std::io::ErrorKind;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open};
use nix::sys::stat::{Mode, fstatat};

use crate::error::{Context, Error, Result};
use crate::host::beneath::open_or_make_with;
use crate::plan::{HostPathKind, HostPathPlan, PodPlan, VolumeSource};
use crate::sys::fs::open_beneath;
use crate::sys::mount::clone_tree;
use crate::sys::{Named, SysError};

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
    let base = host.beneath.as_deref().map(open_directory).transpose()?;
    let look = || match &base {
        Some(base) => open_beneath(base, &host.path, OFlag::O_PATH, 0),
        None => open_place(&host.path),
    };
    let place = match look() {
        Err(e) if e.errno == Errno::ENOENT => {
            match host.kind {
                HostPathKind::Any | HostPathKind::DirectoryOrCreate => make_directory(base.as_ref(), &host.path)?,
                HostPathKind::FileOrCreate => make_file(base.as_ref(), &host.path)?,
                kind => return Err(unfit(host, kind)),
            }
            look().map_err(|e| explained(host, e))?
        }
        found => found.map_err(|e| explained(host, e))?,
    };
    let stat = fstatat(place.as_fd(), "", AtFlags::AT_EMPTY_PATH).named(|| "fstatat(\"\", AT_EMPTY_PATH)")?;
    let wanted = match host.kind {
        HostPathKind::Any => return Ok(place),
        HostPathKind::DirectoryOrCreate | HostPathKind::Directory => libc::S_IFDIR,
        HostPathKind::FileOrCreate | HostPathKind::File => libc::S_IFREG,
        HostPathKind::Socket => libc::S_IFSOCK,
        HostPathKind::CharDevice => libc::S_IFCHR,
        HostPathKind::BlockDevice => libc::S_IFBLK,
    };
    if stat.st_mode & libc::S_IFMT == wanted { Ok(place) } else { Err(unfit(host, host.kind)) }
}

/// The kubelet's words.
fn unfit(host: &HostPathPlan, kind: HostPathKind) -> Error {
    let what = match kind {
        HostPathKind::Any | HostPathKind::DirectoryOrCreate | HostPathKind::Directory => "directory",
        HostPathKind::FileOrCreate | HostPathKind::File => "file",
        HostPathKind::Socket => "socket file",
        HostPathKind::CharDevice => "character device",
        HostPathKind::BlockDevice => "block device",
    };
    Error::new(format!("hostPath type check failed: {} is not a {what}", shown(host)))
}

fn shown(host: &HostPathPlan) -> String {
    host.beneath.as_deref().unwrap_or(Path::new("")).join(&host.path).display().to_string()
}

fn explained(host: &HostPathPlan, e: SysError) -> Error {
    match (e.errno, &host.beneath) {
        (Errno::EXDEV, Some(beneath)) => Error::new(format!("{} leads out of {}: {e}", shown(host), beneath.display()))
            .mend(format!(
                "--allow hostPath={} allows what is below that directory, links included",
                beneath.display()
            )),
        (Errno::EACCES, _) => {
            Error::from(e).mend("the pod has this user's own rights, without those of its supplementary groups")
        }
        _ => e.into(),
    }
}

fn open_place(path: &Path) -> std::result::Result<OwnedFd, SysError> {
    open(path, OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty()).named(|| format!("open({path:?}, O_PATH)"))
}

fn open_directory(path: &Path) -> Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    Ok(open(path, flags, Mode::empty()).named(|| format!("open({path:?}, O_PATH)"))?)
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
                assert!(error.ends_with(&format!("{name} is not a {what}")), "{error}");
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

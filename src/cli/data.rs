//! Where podling keeps its data (XDG Base Directory Specification).

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::unistd::geteuid;

use crate::error::{Error, Result};
use crate::host::HostFacts;

/// `$XDG_DATA_HOME/podling`, else `$HOME/.local/share/podling`.
///
/// # Errors
/// Neither variable holds an absolute path, or somebody else may write what is there.
pub fn directory(facts: &HostFacts) -> Result<PathBuf> {
    checked(|| facts.ids.root())
}

/// The same for verbs that only speak to pods: of the host nothing is looked at unless the directory is somebody else's.
///
/// # Errors
/// Those of [`directory`].
pub fn of_pods() -> Result<PathBuf> {
    checked(|| HostFacts::gather().ids.root())
}

fn checked(root: impl FnOnce() -> Option<u32>) -> Result<PathBuf> {
    let directory = from(|name| std::env::var_os(name).map(PathBuf::from))?;
    match std::fs::metadata(&directory) {
        Ok(found) => check(&directory, &found, root)?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
        Err(e) => return Err(Error::new(format!("cannot look at podling's data in {}: {e}", directory.display()))),
    }
    Ok(directory)
}

/// Whoever can write the store chooses what containers execute.
fn check(directory: &Path, found: &Metadata, root: impl FnOnce() -> Option<u32>) -> Result<()> {
    // A pod's root is the caller, or an id of its own where the caller is real root.
    let is_owned = found.uid() == geteuid().as_raw() || found.uid() == root().unwrap_or(0);
    if found.is_dir() && is_owned && found.mode() & 0o022 == 0 {
        return Ok(());
    }
    let what = format!("{} is not a directory that only its owner, this user, can write", directory.display());
    Err(Error::new(what).mend("set XDG_DATA_HOME to a directory of your own, or mend its owner and mode"))
}

fn from(variable: impl Fn(&str) -> Option<PathBuf>) -> Result<PathBuf> {
    // The specification says that a relative path is invalid and to be ignored.
    let absolute = |name| variable(name).filter(|path| path.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .map(|base| base.join("podling"))
        .ok_or_else(|| {
            Error::new("there is no place for podling's data: neither XDG_DATA_HOME nor HOME holds an absolute path")
                .mend("set one of them: export HOME=…")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_are_ignored() {
        let with = |xdg: &str, home: &str| {
            let (xdg, home) = (PathBuf::from(xdg), PathBuf::from(home));
            from(move |name| Some(if name == "HOME" { home.clone() } else { xdg.clone() })).ok()
        };
        assert_eq!(with("/x", "/h"), Some(PathBuf::from("/x/podling")));
        assert_eq!(with("x", "/h"), Some(PathBuf::from("/h/.local/share/podling")));
        assert_eq!(with("", ""), None);
    }
}

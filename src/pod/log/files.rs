//! The names of log files, and the clearing of old runs.

use std::os::fd::AsFd;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::sys::{Named, SysError};

/// What a log file's name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    /// The container's restart count.
    pub(super) run: u32,
    /// Which rotated file of the run; `None` is the one that is written.
    pub(super) seq: Option<u32>,
}

impl Name {
    /// The file's name for `container`, which is a DNS label and so has no point of its own.
    pub(super) fn of(self, container: &str) -> String {
        match self.seq {
            None => format!("{container}.{}.log", self.run),
            Some(seq) => format!("{container}.{}.log.{seq}", self.run),
        }
    }

    fn read(name: &str, container: &str) -> Option<Name> {
        let (run, rest) = name.strip_prefix(container)?.strip_prefix('.')?.split_once('.')?;
        let name = Name {
            run: run.parse().ok()?,
            seq: match rest.strip_prefix("log")? {
                "" => None,
                seq => Some(seq.strip_prefix('.')?.parse().ok()?),
            },
        };
        Some(name)
    }
}

/// Removes the files of those runs of `container` that came before `run`. A kubelet keeps the current run and the one before, so
/// whoever starts run N forgets what came before N - 1.
///
/// # Errors
/// The first file that could not be removed; the others are, if possible.
pub fn forget_before(dir: impl AsFd, container: &str, run: u32) -> Result<(), SysError> {
    let mut outcome = Ok(());
    if run == 0 {
        return outcome;
    }
    for name in list(&dir, container)?.into_iter().filter(|name| name.run < run) {
        let path = name.of(container);
        match unlinkat(&dir, path.as_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(errno) => outcome = outcome.and(Err(SysError::new(format!("unlinkat({path:?})"), errno))),
        }
    }
    outcome
}

/// The runs of `container` that have written something which is still there, earliest first.
///
/// # Errors
/// The directory could not be read.
pub fn runs(dir: impl AsFd, container: &str) -> Result<Vec<u32>, SysError> {
    let mut runs: Vec<u32> = list(&dir, container)?.into_iter().map(|name| name.run).collect();
    runs.sort_unstable();
    runs.dedup();
    Ok(runs)
}

/// The log files of `container` in no order.
pub(super) fn list(dir: impl AsFd, container: &str) -> Result<Vec<Name>, SysError> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut entries = Dir::openat(dir, ".", flags, Mode::empty()).named(|| "openat(the pod's directory)")?;
    let mut names = Vec::new();
    for entry in entries.iter() {
        let entry = entry.named(|| "readdir(the pod's directory)")?;
        names.extend(entry.file_name().to_str().ok().and_then(|name| Name::read(name, container)));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for name in [Name { run: 0, seq: None }, Name { run: 12, seq: Some(3) }] {
            assert_eq!(Name::read(&name.of("web-1"), "web-1"), Some(name));
            assert_eq!(Name::read(&name.of("web-1"), "web"), None);
        }
        for other in ["web.upper", "web.0.log.", "web.x.log", "web.0.logs", "web.0.log.x", "web.-1.log"] {
            assert_eq!(Name::read(other, "web"), None, "{other}");
        }
    }

    #[test]
    fn old_runs_are_forgotten_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.0.log", "a.0.log.1", "a.1.log", "a.2.log", "b.0.log", "a.upper"] {
            fs::write(dir.path().join(name), "x").unwrap();
        }
        let fd = File::open(dir.path()).unwrap();
        assert_eq!(runs(&fd, "a").unwrap(), [0, 1, 2]);
        forget_before(&fd, "a", 1).unwrap();
        let mut left: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        assert_eq!(left, ["a.1.log", "a.2.log", "a.upper", "b.0.log"]);
    }
}

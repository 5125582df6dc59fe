//! Following the input: the files that a running pod's ConfigMaps and Secrets come from are watched, read again when they change, and the
//! volumes written anew.
//!
//! The supervisor has left the host's files behind, so it holds the directories that the files are in, and an inotify(7) instance that was
//! made while they were in sight; and it keeps nothing of what was in the files. A process of its own reads them, decides and writes, and is
//! gone with all that it had in memory.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Pod;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use nix::sys::stat::Mode;
use serde::{Deserialize, Serialize};

use super::atomic::{self, Present};
use super::status::{Event, EventKind};
use crate::error::{Error, Result};
use crate::host::HostFacts;
use crate::manifest::{self, Input};
use crate::plan::{Anew, Constant, FilePlan, Options, PodPaths};
use crate::sys::fs::open_beneath;
use crate::sys::{Named, SysError};

/// How much of one file is read, in bytes. ConfigMaps and Secrets have at most 1 MiB each.
const LONGEST: u64 = 32 << 20;

/// What a pod follows, and what its volumes are made of beside it.
#[derive(Debug)]
pub struct Follow {
    /// The files of the input, by absolute paths, each with its name for messages.
    pub files: Vec<(String, PathBuf)>,
    /// The objects that stay what they are, as JSON, in memory that is nobody's ([`Constant`]).
    pub constant: OwnedFd,
    /// This host.
    pub facts: HostFacts,
    /// What the command line said.
    pub options: Options,
}

/// The files that are watched.
#[derive(Debug)]
pub(super) struct Watched {
    inotify: Inotify,
    files: Vec<WatchedFile>,
}

#[derive(Debug)]
struct WatchedFile {
    /// For messages.
    name: String,
    dir: OwnedFd,
    file: OsString,
    /// Directories in which something may happen to the file, with its name there.
    watches: Vec<(WatchDescriptor, OsString)>,
}

/// The reason of the events that tell what was not followed.
pub(super) const FAILED: &str = "FailedUpdate";

const UNWATCHED: &str = "the volumes will not follow their files";

/// What is told where the files cannot be watched.
pub(super) fn unwatched(why: &SysError) -> String {
    format!("{UNWATCHED}: {why}")
}

/// Whether this event tells that a pod does not follow its input at all.
pub fn is_unfollowed(event: &Event) -> bool {
    event.reason == FAILED && event.message.starts_with(UNWATCHED)
}

/// What the process that follows has to tell.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct News {
    pub(super) kind: EventKind,
    pub(super) message: String,
}

impl Watched {
    /// Begins to watch, as long as the host's files are in sight.
    ///
    /// # Errors
    /// The failed call: the pod's root cannot reach a file, or the user has no more inotify instances.
    pub(super) fn new(files: &[(String, PathBuf)]) -> std::result::Result<Watched, SysError> {
        let inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).named(|| "inotify_init1()")?;
        let files = files
            .iter()
            .map(|(name, path)| WatchedFile::new(&inotify, name, path))
            .collect::<std::result::Result<_, _>>()?;
        Ok(Watched { inotify, files })
    }

    /// Takes what has happened; whether it is about one of the files.
    pub(super) fn take(&self) -> bool {
        let mut any = false;
        while let Ok(events) = self.inotify.read_events() {
            any |= events.iter().any(|event| self.is_ours(event));
            if events.is_empty() {
                break;
            }
        }
        any
    }

    fn is_ours(&self, event: &InotifyEvent) -> bool {
        let here =
            |(watch, name): &(WatchDescriptor, OsString)| *watch == event.wd && event.name.as_ref() == Some(name);
        // Where the kernel's queue overflowed, nobody knows what happened.
        event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) || self.files.iter().any(|file| file.watches.iter().any(here))
    }

    /// The descriptors that reading takes.
    pub(super) fn directories(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.files.iter().map(|file| file.dir.as_fd())
    }

    fn read(&self) -> Result<Vec<Input>> {
        self.files.iter().map(WatchedFile::read).collect()
    }
}

impl AsFd for Watched {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

impl WatchedFile {
    fn new(inotify: &Inotify, name: &str, path: &Path) -> std::result::Result<WatchedFile, SysError> {
        // Not IN_MODIFY: a file is read when its writer has closed it.
        let flags = AddWatchFlags::IN_CLOSE_WRITE | AddWatchFlags::IN_MOVED_TO | AddWatchFlags::IN_CREATE;
        let watch = |path: &Path| -> std::result::Result<(WatchDescriptor, OsString), SysError> {
            let (parent, name) = split(path)?;
            let descriptor = inotify.add_watch(parent, flags).named(|| format!("inotify_add_watch({parent:?})"))?;
            Ok((descriptor, name.to_owned()))
        };
        let (parent, file) = split(path)?;
        let mut found =
            WatchedFile { name: name.to_owned(), dir: open_dir(parent)?, file: file.to_owned(), watches: Vec::new() };
        found.watches.push(watch(path)?);
        // An editor replaces what a link leads to, and whoever deploys replaces the link.
        let target = std::fs::canonicalize(path).named(|| format!("realpath({path:?})"))?;
        let (parent, file) = split(&target)?;
        let other = watch(&target)?;
        if other != found.watches[0] {
            found.watches.push(other);
        }
        if open_beneath(&found.dir, Path::new(&found.file), OFlag::O_PATH, 0).is_err() {
            // A link that leads out of the directory leads nowhere once the host's files are gone.
            found.dir = open_dir(parent)?;
            found.file = file.to_owned();
        }
        // What cannot be read now will not be later, and what is no file does not change: standard input by its name is this process's by now.
        if !found.open()?.metadata().is_ok_and(|about| about.is_file()) {
            return Err(SysError::new(format!("read({path:?}), which is no regular file"), Errno::EINVAL));
        }
        Ok(found)
    }

    fn open(&self) -> std::result::Result<File, SysError> {
        // Who may write the directory may put a fifo or a device there.
        let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
        open_beneath(&self.dir, Path::new(&self.file), flags, 0).map(File::from)
    }

    fn read(&self) -> Result<Input> {
        let failed = |why: String| Error::new(format!("{}: {why}", self.name));
        let file = self.open().map_err(|e| failed(e.to_string()))?;
        if !file.metadata().is_ok_and(|about| about.is_file()) {
            return Err(failed("it is not a regular file any more".to_owned()));
        }
        let mut bytes = Vec::new();
        file.take(LONGEST + 1).read_to_end(&mut bytes).map_err(|e| failed(e.to_string()))?;
        if bytes.len() as u64 > LONGEST {
            return Err(failed(format!("it is longer than {} MiB", LONGEST >> 20)));
        }
        // Where the file is on the host is nobody's business here; that it is one is.
        Ok(Input { name: self.name.clone(), bytes, path: Some(PathBuf::from(&self.file)) })
    }
}

/// Reads the files again and writes the volumes that have changed; `pod` is the Pod as it was started, as JSON text. What cannot be
/// read or is not valid changes nothing.
pub(super) fn follow(watched: &Watched, what: &mut Follow, pod: &str, paths: &PodPaths) -> Vec<News> {
    match made_anew(watched, what, pod, paths) {
        Ok(volumes) => volumes.into_iter().filter_map(update).collect(),
        Err(e) => vec![warning(format!("{}; the volumes keep what they have", e.what()))],
    }
}

/// Writes new tokens into the volumes that have some, and leaves their other files alone.
pub(super) fn renew(volumes: &[(String, PathBuf, Vec<FilePlan>)]) -> Vec<News> {
    let one = |(name, path, tokens): &(String, PathBuf, Vec<FilePlan>)| match renewed(path, tokens) {
        Ok(()) => None,
        Err(e) => Some(warning(format!("volume {name:?} keeps its old token: {}", e.what()))),
    };
    volumes.iter().filter_map(one).collect()
}

fn renewed(path: &Path, tokens: &[FilePlan]) -> Result<()> {
    let mut files: Vec<FilePlan> = tokens.to_vec();
    for (path, Present { mode, owner, content }) in atomic::present(path)? {
        if !tokens.iter().any(|token| token.path == path) {
            files.push(FilePlan { owner: Some(owner).filter(|uid| *uid != 0), ..FilePlan::new(path, mode, content) });
        }
    }
    atomic::replace(path, &files)
}

fn made_anew(watched: &Watched, what: &mut Follow, pod: &str, paths: &PodPaths) -> Result<Vec<Anew>> {
    let inputs = watched.read()?;
    let bundle = manifest::read_data(&inputs).map_err(|problems| invalid(&problems))?;
    let broken = |e: serde_json::Error| Error::new(format!("what was kept of the pod: {e}"));
    let pod: Pod = serde_json::from_str(pod).map_err(broken)?;
    let mut kept = File::from(what.constant.as_fd().try_clone_to_owned().named(|| "dup(memfd)")?);
    kept.rewind().named(|| "lseek(memfd)")?;
    let constant: Constant = serde_json::from_reader(kept).map_err(broken)?;
    Ok(crate::plan::anew(pod, bundle, constant, &what.facts, paths, &what.options))
}

/// Where the input is not valid. Why is left out: it may quote a Secret, and events are kept on the disk.
fn invalid(problems: &[manifest::Problem]) -> Error {
    let first = problems.first().map(|problem| format!("{} {}", problem.at, problem.path)).unwrap_or_default();
    Error::new(format!("{} is not valid (podling check says why)", first.trim_end()))
}

/// Writes a volume anew if its files are others now.
fn update(volume: Anew) -> Option<News> {
    let Anew { name, path, files } = volume;
    let outcome = files.and_then(|files| {
        let changed = is_changed(&path, &files)?;
        if changed {
            atomic::replace(&path, &files)?;
        }
        Ok(changed)
    });
    match outcome {
        Ok(false) => None,
        Ok(true) => Some(News { kind: EventKind::Normal, message: format!("volume {name:?} has the new files") }),
        // The Pod's own lines are not known any more.
        Err(e) => Some(warning(format!("volume {name:?} keeps what it has: {}", e.what().trim_start_matches(":1: ")))),
    }
}

/// Whether the volume has other files than `files`. Tokens are made anew each time, and do not count.
fn is_changed(path: &Path, files: &[FilePlan]) -> Result<bool> {
    let present = atomic::present(path)?;
    let same = |file: &FilePlan| {
        present.get(&file.path).is_some_and(|now| {
            let owner = file.owner.unwrap_or(0);
            file.lifetime.is_some() || (now.mode, now.owner, &now.content) == (file.mode, owner, &file.content)
        })
    };
    Ok(present.len() != files.len() || !files.iter().all(same))
}

fn warning(message: String) -> News {
    News { kind: EventKind::Warning, message }
}

fn split(path: &Path) -> std::result::Result<(&Path, &OsStr), SysError> {
    let whole = path.parent().zip(path.file_name());
    whole.ok_or_else(|| SysError::new(format!("open({path:?})"), Errno::EISDIR))
}

fn open_dir(path: &Path) -> std::result::Result<OwnedFd, SysError> {
    open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
        .named(|| format!("open({path:?}, O_PATH)"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn watched(path: &Path) -> Watched {
        Watched::new(&[("pod.yaml".to_owned(), path.to_owned())]).unwrap()
    }

    fn text(watched: &Watched) -> String {
        String::from_utf8(watched.read().unwrap().remove(0).bytes).unwrap()
    }

    #[test]
    fn files_are_found_however_they_are_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("a"), "1").unwrap();
        let watched = watched(&at("a"));
        assert!(!watched.take());
        fs::write(at("other"), "x").unwrap();
        assert!(!watched.take());
        fs::write(at("a"), "2").unwrap();
        assert!(watched.take());
        assert_eq!(text(&watched), "2");
        fs::write(at("new"), "3").unwrap();
        fs::rename(at("new"), at("a")).unwrap();
        assert!(watched.take());
        assert_eq!(text(&watched), "3");
    }

    #[test]
    fn links_are_followed_and_so_is_what_they_lead_to() {
        let (dir, far) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let at = |name: &str| dir.path().join(name);
        fs::create_dir(at("v1")).unwrap();
        fs::create_dir(at("v2")).unwrap();
        fs::write(at("v1/a"), "1").unwrap();
        fs::write(at("v2/a"), "2").unwrap();
        symlink("v1/a", at("link")).unwrap();
        let inside = watched(&at("link"));
        fs::write(at("v1/a"), "one").unwrap();
        assert!(inside.take());
        assert_eq!(text(&inside), "one");
        symlink("v2/a", at("new")).unwrap();
        fs::rename(at("new"), at("link")).unwrap();
        assert!(inside.take());
        assert_eq!(text(&inside), "2");
        fs::write(far.path().join("a"), "far").unwrap();
        symlink(far.path().join("a"), at("out")).unwrap();
        let outside = watched(&at("out"));
        fs::write(far.path().join("a"), "farther").unwrap();
        assert!(outside.take());
        assert_eq!(text(&outside), "farther");
    }

    #[test]
    fn what_is_no_file_is_not_followed() {
        let refused = Watched::new(&[("it".to_owned(), "/dev/null".into())]).unwrap_err();
        assert!(is_unfollowed(&Event {
            sequence: 1,
            first_at: 0,
            last_at: 0,
            count: 1,
            kind: EventKind::Warning,
            reason: FAILED.to_owned(),
            container: None,
            message: unwatched(&refused),
        }));
    }

    #[test]
    fn only_regular_files_of_some_length_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("a");
        fs::write(&at, "1").unwrap();
        let watched = watched(&at);
        fs::remove_file(&at).unwrap();
        assert!(watched.read().is_err());
        nix::unistd::mkfifo(&at, Mode::S_IRUSR).unwrap();
        assert!(watched.read().unwrap_err().to_string().contains("not a regular file"));
        fs::remove_file(&at).unwrap();
        symlink("/etc/passwd", &at).unwrap();
        assert!(watched.read().unwrap_err().to_string().contains("EXDEV"));
        fs::remove_file(&at).unwrap();
        File::create(&at).unwrap().set_len(LONGEST + 1).unwrap();
        assert!(watched.read().unwrap_err().to_string().contains("longer than 32 MiB"));
    }
}

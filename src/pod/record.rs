//! What is kept of a detached pod in its directory: how it was started (`pod.json`), and how it ended (`status.json`).

use std::ffi::CString;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::fcntl::{FallocateFlags, OFlag, fallocate, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::control::socket_name;
use super::status::{Event, Summary};
use crate::error::{Context, Error, Result};
use crate::plan::Options;
use crate::sys::Named;

const FIRST: &str = "pod.json";
const LAST: &str = "status.json";

/// More than most pods' last states take, in bytes.
const RESERVED: i64 = 64 * 1024;

/// How a pod was started, so that it can be started again, and told from what an edited file says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct First {
    /// The kernel's name for this boot of the machine (`/proc/sys/kernel/random/boot_id`).
    pub boot_id: String,
    /// The pod's name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// `metadata.uid`.
    pub uid: String,
    /// Seconds since 1970.
    pub started_at: i64,
    /// SHA-256 of everything that was decided, without what the volumes follow ([`crate::plan::fingerprint`]).
    pub fingerprint: String,
    /// The same with what the volumes follow, for a pod whose supervisor could not watch the files.
    #[serde(default)]
    pub whole_fingerprint: String,
    /// The directories of the files that they follow, as they can be told from others that come in their place.
    #[serde(default)]
    pub followed_in: Vec<String>,
    /// What was decided, as `podling plan` prints it, as JSON text: without values of Secrets and contents of volumes.
    #[serde(default)]
    pub plan: String,
    /// The Pod as said, as JSON text.
    pub object: String,
    /// The files that were read.
    pub inputs: Vec<RecordedInput>,
    /// What the command line said beside the files.
    #[serde(default)]
    pub options: Options,
    /// `--time-scale`, as text.
    pub time_scale: String,
    /// Names of the containers, init containers first.
    pub containers: Vec<String>,
}

impl First {
    /// What stands for a record that cannot be read: it has no boot's name, and no containers.
    pub(super) fn damaged(name: &str, dir: &Path) -> First {
        let made = dir.metadata().ok().and_then(|dir| dir.modified().ok());
        let since = made.and_then(|made| made.duration_since(std::time::UNIX_EPOCH).ok());
        First {
            boot_id: String::new(),
            name: name.to_owned(),
            namespace: "default".to_owned(),
            uid: String::new(),
            started_at: since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX)),
            fingerprint: String::new(),
            whole_fingerprint: String::new(),
            followed_in: Vec::new(),
            plan: String::new(),
            object: r#"{"apiVersion":"v1","kind":"Pod","metadata":{}}"#.to_owned(),
            inputs: Vec::new(),
            options: Options::default(),
            time_scale: "1".to_owned(),
            containers: Vec::new(),
        }
    }
}

/// A file of the input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedInput {
    /// Its name, for messages.
    pub name: String,
    /// Where it is, an absolute path; standard input is nowhere.
    pub path: Option<PathBuf>,
    /// What it said; the input was valid, so it is text. Where Secrets are in the input, nothing of it is kept: they are never written to the disk.
    pub text: Option<String>,
}

/// How a pod ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Last {
    /// Its state in short.
    pub summary: Summary,
    /// The Pod with its status, as JSON text.
    pub object: String,
    /// What happened.
    pub events: Vec<Event>,
}

/// Whether `dir` is that of a pod of which something is kept.
pub(super) fn is_kept(dir: &Path) -> bool {
    dir.join(FIRST).exists()
}

/// Writes how a pod is started to its directory.
///
/// # Errors
/// The failed call.
pub(super) fn write_first(dir: impl AsFd, first: &First) -> Result<()> {
    write(dir, FIRST, first)
}

/// Writes how a pod ended to its directory.
///
/// # Errors
/// The failed call.
pub(super) fn write_last(dir: impl AsFd, last: &Last) -> Result<()> {
    write(dir, LAST, last)
}

/// How the pod of `dir` was started; `None` where nothing is kept.
///
/// # Errors
/// A file that cannot be read.
pub fn read_first(dir: &Path) -> Result<Option<First>> {
    read(&dir.join(FIRST))
}

/// How the pod of `dir` ended; `None` where it has not, or could not say so.
///
/// # Errors
/// A file that cannot be read.
pub fn read_last(dir: &Path) -> Result<Option<Last>> {
    read(&dir.join(LAST))
}

/// The kernel's name for this boot.
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// A new `metadata.uid`: the kernel makes random ones (RFC 9562, version 4).
///
/// # Errors
/// procfs cannot be read.
pub fn new_uid() -> Result<String> {
    let uuid = std::fs::read_to_string("/proc/sys/kernel/random/uuid").context(|| "reading a random uuid")?;
    Ok(uuid.trim().to_owned())
}

/// Writes a file of JSON into `dir`, all of it or nothing.
///
/// # Errors
/// The failed call.
pub(super) fn write(dir: impl AsFd, name: &str, value: &impl Serialize) -> Result<()> {
    let json = serde_json::to_vec(value).map_err(|e| Error::new(format!("writing {name}: {e}")))?;
    let new = format!(".{name}.new");
    let mut file = open_new(&dir, &new)?;
    file.write_all(&json).named(|| format!("write({new:?})"))?;
    // What was reserved beyond it goes.
    file.set_len(json.len() as u64).named(|| format!("ftruncate({new:?})"))?;
    renameat(&dir, new.as_str(), &dir, name).named(|| format!("rename({new:?}, {name:?})"))?;
    Ok(())
}

fn open_new(dir: impl AsFd, new: &str) -> Result<File> {
    let flags = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let file = openat(dir, new, flags, Mode::from_bits_truncate(0o600)).named(|| format!("open({new:?})"))?;
    Ok(File::from(file))
}

/// Reads what [`write`] wrote; `None` where it is not there.
///
/// # Errors
/// A file that cannot be read.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let mut json = Vec::new();
    match File::open(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened
            .context(|| format!("open({path:?})"))?
            .read_to_end(&mut json)
            .context(|| format!("read({path:?})"))?,
    };
    serde_json::from_slice(&json).map(Some).map_err(|e| {
        Error::new(format!("{path:?} is damaged: {e}")).mend("remove what is left of the pod with: podling rm")
    })
}

/// Removes the control socket from a pod's directory: nobody answers there any more.
pub(super) fn remove_socket(dir: &OwnedFd) {
    let _ = unlinkat(dir, socket_name(), UnlinkatFlags::NoRemoveDir);
}

/// Reserves room on the disk for how the pod will end: logs may have filled it by then. A file system that cannot reserve leaves it at that.
pub(super) fn reserve_last(dir: impl AsFd) {
    if let Ok(file) = open_new(dir, &format!(".{LAST}.new")) {
        let _ = fallocate(&file, FallocateFlags::FALLOC_FL_KEEP_SIZE, 0, RESERVED);
    }
}

/// Makes room on a full disk: removes the logs that were rotated away. `false` where there are none.
pub(super) fn remove_rotated_logs(dir: &OwnedFd) -> bool {
    let is_rotated = |name: &[u8]| {
        let name = String::from_utf8_lossy(name);
        name.rsplit_once('.').is_some_and(|(log, n)| log.ends_with(".log") && n.parse::<u32>().is_ok())
    };
    let mut removed = false;
    for name in names(dir).iter().filter(|name| is_rotated(name.to_bytes())) {
        removed |= unlinkat(dir, name.as_c_str(), UnlinkatFlags::NoRemoveDir).is_ok();
    }
    removed
}

/// Removes every file of a pod's directory; the containers' directories are gone already, or stay for whoever clears up.
pub(super) fn remove_files(dir: &OwnedFd) {
    for name in names(dir).iter().filter(|name| !matches!(name.to_bytes(), b"." | b"..")) {
        let _ = unlinkat(dir, name.as_c_str(), UnlinkatFlags::NoRemoveDir);
    }
}

fn names(dir: &OwnedFd) -> Vec<CString> {
    // Opened anew, since a copy of the descriptor would share its position.
    let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let Ok(mut entries) = Dir::openat(dir, ".", flags, Mode::empty()) else { return Vec::new() };
    entries.iter().flatten().map(|e| e.file_name().to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_what_is_damaged_is_said() {
        let place = tempfile::tempdir().unwrap();
        let dir = OwnedFd::from(File::open(place.path()).unwrap());
        let first = First {
            boot_id: boot_id(),
            name: "p".to_owned(),
            namespace: "default".to_owned(),
            uid: new_uid().unwrap(),
            started_at: 1,
            fingerprint: String::new(),
            whole_fingerprint: String::new(),
            followed_in: Vec::new(),
            plan: String::new(),
            object: "{}".to_owned(),
            inputs: vec![RecordedInput { name: "pod.yaml".to_owned(), path: None, text: Some("kind: Pod".to_owned()) }],
            options: Options { env: vec![("A".to_owned(), "b".to_owned())], ..Options::default() },
            time_scale: "1".to_owned(),
            containers: vec!["c".to_owned()],
        };
        assert!(!is_kept(place.path()));
        write_first(&dir, &first).unwrap();
        assert!(is_kept(place.path()));
        assert_eq!(read_first(place.path()).unwrap(), Some(first));
        assert_eq!(read_last(place.path()).unwrap(), None);
        std::fs::write(place.path().join(LAST), "{").unwrap();
        assert!(read_last(place.path()).unwrap_err().what().contains("damaged"));
        remove_files(&dir);
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
    }
}

//! The overlay that becomes a container's root (Documentation/filesystems/overlayfs.rst in the kernel's tree).

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, open};
use nix::mount::{MsFlags, mount};
use nix::sys::stat::Mode;

use crate::sys::{Named, SysError};

/// The directories of one overlay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Overlay {
    /// Lower directories, bottom layer first.
    pub lower: Vec<PathBuf>,
    /// The directory that takes every change.
    pub upper: PathBuf,
    /// An empty directory on the upper one's file system.
    pub work: PathBuf,
}

/// mount(2) takes one page of options; some room is left for the words around the paths.
const OPTIONS_LIMIT: usize = 3800;

/// Mounts the directories `lower`, two at least and the bottom one first, one over the other at `target`, in the mount namespace of the
/// caller; nobody can write there.
///
/// # Errors
/// The failed call.
pub fn mount_read_only_overlay(lower: &[PathBuf], target: &Path, flags: MsFlags) -> Result<(), SysError> {
    let mut held = Vec::new();
    let paths: Vec<&Path> = lower.iter().map(PathBuf::as_path).collect();
    let names = names(&paths, &mut held)?;
    let lower: Vec<&[u8]> = names.iter().rev().map(Vec::as_slice).collect();
    let options = [b"lowerdir=", lower.join(&b':').as_slice(), b",userxattr"].concat();
    mount(Some("overlay"), target, Some("overlay"), flags, Some(options.as_slice()))
        .named(|| format!("mount(\"overlay\", {target:?}, {:?})", String::from_utf8_lossy(&options)))
}

impl Overlay {
    /// Mounts the overlay at `target`, in the mount namespace of the caller.
    ///
    /// `userxattr` is what an unprivileged mount needs, and `volatile` spares the disk: the upper directory is thrown away with
    /// its container, so nothing is ever read from it after a crash.
    /// `label` is the SELinux label that its files then have.
    pub(super) fn mount(&self, target: &Path, flags: MsFlags, label: Option<&str>) -> Result<(), SysError> {
        let mut held = Vec::new();
        let paths: Vec<&Path> = self.lower.iter().chain([&self.upper, &self.work]).map(PathBuf::as_path).collect();
        let names = names(&paths, &mut held)?;
        let (lower, ends) = names.split_at(names.len() - 2);
        let lower: Vec<&[u8]> = lower.iter().rev().map(Vec::as_slice).collect();
        let mut options = b"lowerdir=".to_vec();
        options.extend(lower.join(&b':'));
        options.extend(
            [b",upperdir=", ends[0].as_slice(), b",workdir=", ends[1].as_slice(), b",userxattr,volatile"].concat(),
        );
        options.extend(label.map(context_option).unwrap_or_default().into_bytes());
        mount(Some("overlay"), target, Some("overlay"), flags, Some(options.as_slice()))
            .named(|| format!("mount(\"overlay\", {target:?}, {:?})", String::from_utf8_lossy(&options)))
    }
}

/// How the directories are called in the options of a mount.
fn names(paths: &[&Path], held: &mut Vec<OwnedFd>) -> Result<Vec<Vec<u8>>, SysError> {
    let long = paths.iter().map(|p| p.as_os_str().len() + 1).sum::<usize>() > OPTIONS_LIMIT;
    let special = paths.iter().any(|p| p.as_os_str().as_bytes().iter().any(|b| b":,\\\"".contains(b)));
    if long || special { by_descriptor(paths, held) } else { Ok(by_path(paths)) }
}

/// The option that gives all files of a mount one SELinux label; the quotes keep its commas together (mount(8), "context").
pub(super) fn context_option(label: &str) -> String {
    format!(",context=\"{label}\"")
}

fn by_path(paths: &[&Path]) -> Vec<Vec<u8>> {
    paths.iter().map(|p| p.as_os_str().as_bytes().to_vec()).collect()
}

/// Names of a few bytes each, without the characters that overlayfs's options give a meaning to: the directories' descriptors.
fn by_descriptor(paths: &[&Path], held: &mut Vec<OwnedFd>) -> Result<Vec<Vec<u8>>, SysError> {
    paths
        .iter()
        .map(|path| {
            let fd = open(*path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
                .named(|| format!("open({path:?}, O_PATH)"))?;
            let name = format!("/proc/self/fd/{}", fd.as_raw_fd()).into_bytes();
            held.push(fd);
            Ok(name)
        })
        .collect()
}

/// A path as the system calls take it; a NUL byte cannot be in a path that the kernel gave or the Spec's strings passed.
pub(super) fn c_path(path: &Path) -> Result<CString, crate::error::Error> {
    CString::new(path.as_os_str().as_bytes())
        .map_err(|_| crate::error::Error::new(format!("the path {path:?} has a NUL byte in it")))
}

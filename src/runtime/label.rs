//! The labels that Linux security modules give a program at its execve(2): an AppArmor profile, an SELinux context.

use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::unistd::write;
use oci_spec::runtime::Process;

use crate::sys::{Named, SysError};

/// What a program is to be called by a security module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Label {
    /// Where the module takes it, the first that is there.
    files: &'static [&'static str],
    text: String,
}

/// A [`Label`] and the file that takes it, opened before anything of the container's could stand in its place.
#[derive(Debug)]
pub(super) struct Opened<'a> {
    label: &'a Label,
    file: OwnedFd,
}

impl Label {
    /// The labels of a Spec (config.md, "apparmorProfile" and "selinuxLabel").
    pub(super) fn all(process: &Process) -> Vec<Label> {
        let said = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        // Its own directory exists since 5.8; the older file is that of the first module.
        let apparmor = said(process.apparmor_profile()).map(|profile| Label {
            files: &["/proc/self/attr/apparmor/exec", "/proc/self/attr/exec"],
            text: format!("exec {profile}"),
        });
        let selinux =
            said(process.selinux_label()).map(|label| Label { files: &["/proc/self/attr/exec"], text: label });
        apparmor.into_iter().chain(selinux).collect()
    }

    /// Opens its file in the procfs of the caller's mount namespace, which must be podling's own: a container may have
    /// mounted anything over the one that it sees.
    pub(super) fn open(&self) -> Result<Opened<'_>, SysError> {
        let mut last = SysError::new("open(\"/proc/self/attr\")".to_owned(), Errno::ENOENT);
        for path in self.files {
            match open(*path, OFlag::O_WRONLY | OFlag::O_CLOEXEC, Mode::empty())
                .named(|| format!("open({path:?}, O_WRONLY)"))
            {
                Ok(file) => return Ok(Opened { label: self, file }),
                Err(e) => last = e,
            }
        }
        Err(last)
    }
}

impl Opened<'_> {
    /// From the next execve(2) on it holds.
    pub(super) fn take(&self) -> Result<(), SysError> {
        let text = &self.label.text;
        write(&self.file, text.as_bytes()).map(drop).named(|| format!("write(\"/proc/self/attr/exec\", {text:?})"))
    }
}

impl AsFd for Opened<'_> {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_both_modules() {
        let mut process = Process::default();
        assert_eq!(Label::all(&process), []);
        process.set_apparmor_profile(Some("mine".to_owned())).set_selinux_label(Some("u:r:t:s0".to_owned()));
        let texts: Vec<String> = Label::all(&process).into_iter().map(|label| label.text).collect();
        assert_eq!(texts, ["exec mine", "u:r:t:s0"]);
    }

    #[test]
    fn a_kernel_without_the_module_takes_none() {
        let label = Label { files: &["/proc/self/attr/podling-has-no-module"], text: "exec mine".to_owned() };
        assert_eq!(label.open().unwrap_err().errno, Errno::ENOENT);
    }
}

//! Details of this host that only a few pods depend on: looked up for those, so that the others do not pay for it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::unistd::{AccessFlags, eaccess};

use super::place::FileKind;
use super::{HostFacts, place, sysctl};
use crate::sys::SysError;

/// Something that a pod's plan has to know besides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detail {
    /// The devices that the caller may open.
    Devices,
    /// What a seccomp profile says, by its path beside the pod's YAML.
    SeccompProfile(String),
    /// Which security modules are at work.
    SecurityModules,
    /// What the host's ipc namespace has in the file system.
    Ipc,
    /// Which of these settings, by their paths below /proc/sys, the kernel would refuse to a pod.
    Sysctls(Vec<String>),
    /// What is at a path of the host.
    Place(Place),
}

/// A path of the host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The directory that it must not lead out of.
    pub beneath: Option<PathBuf>,
    /// Absolute, or relative to that directory.
    pub path: PathBuf,
}

impl Place {
    /// The whole path.
    pub fn whole(&self) -> PathBuf {
        match &self.beneath {
            None => self.path.clone(),
            Some(beneath) if self.path == Path::new(".") => beneath.clone(),
            Some(beneath) => beneath.join(&self.path),
        }
    }
}

/// What was found of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Details {
    /// Paths of device files below /dev, terminals in /dev/pts left out.
    pub devices: Vec<PathBuf>,
    /// The text of each profile, or why it cannot be read.
    pub seccomp_profiles: BTreeMap<String, Result<String, String>>,
    /// The kernel's version: major and minor.
    pub kernel: (u32, u32),
    /// Whether AppArmor is.
    pub apparmor: Module,
    /// Whether SELinux is.
    pub selinux: Module,
    /// Whether the host's POSIX message queues are at /dev/mqueue.
    pub message_queues: Module,
    /// The settings among those looked for that the kernel refuses to a pod, with what it refuses them.
    pub refused_sysctls: BTreeMap<String, Errno>,
    /// What is at each place; `None` is nothing.
    pub places: BTreeMap<Place, Result<Option<FileKind>, SysError>>,
}

/// Whether a part of the kernel is in use on this host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Module {
    /// It is.
    Enabled,
    /// It is not.
    #[default]
    Absent,
}

/// No seccomp profile is longer, in bytes; docker's own has 15 KiB.
const LONGEST_PROFILE: u64 = 1 << 20;

impl HostFacts {
    /// These facts and the details that are `wanted`. Seccomp profiles are `beside` the file that names them; `None` where that is no file.
    #[must_use]
    pub fn with(&self, wanted: &[Detail], beside: Option<&Path>) -> HostFacts {
        let mut details = Details::default();
        for detail in wanted {
            match detail {
                Detail::Devices => details.devices = devices(Path::new("/dev")),
                Detail::SeccompProfile(name) => {
                    details.kernel = kernel();
                    details.seccomp_profiles.insert(name.clone(), profile(beside, name));
                }
                Detail::SecurityModules => {
                    let apparmor = fs::read_to_string("/sys/module/apparmor/parameters/enabled");
                    details.apparmor = Module::of(apparmor.is_ok_and(|text| text.starts_with('Y')));
                    details.selinux = Module::of(Path::new("/sys/fs/selinux/enforce").exists());
                }
                Detail::Sysctls(names) => details.refused_sysctls = sysctl::look(names),
                Detail::Place(at) => {
                    details.places.insert(at.clone(), place::look(at.beneath.as_deref(), &at.path));
                }
                Detail::Ipc => details.message_queues = Module::of(Path::new("/dev/mqueue").is_dir()),
            }
        }
        HostFacts { details, ..self.clone() }
    }
}

impl Module {
    fn of(is_enabled: bool) -> Module {
        if is_enabled { Module::Enabled } else { Module::Absent }
    }
}

/// What the caller may not open is of no use in a container either. Links are not followed: they lead to devices that are found themselves.
fn devices(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
            if kind.is_dir() && !["pts", "shm", "mqueue", "hugepages"].iter().any(|name| path.ends_with(name)) {
                dirs.push(path);
            } else if (kind.is_char_device() || kind.is_block_device())
                && (eaccess(&path, AccessFlags::R_OK).is_ok() || eaccess(&path, AccessFlags::W_OK).is_ok())
            {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn profile(beside: Option<&Path>, name: &str) -> Result<String, String> {
    let Some(dir) = beside else {
        return Err("the pod was not read from a file, and a seccomp profile is looked for beside that".to_owned());
    };
    let path = dir.join(name);
    let failed = |e: std::io::Error| format!("cannot read {path:?}: {e}");
    // What is looked at is what is read, and a FIFO that somebody has put there is not waited for.
    let open = File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(&path);
    let file = open.map_err(failed)?;
    let unfit = || format!("{path:?} is not a file of at most {LONGEST_PROFILE} bytes");
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(unfit());
    }
    let mut text = String::new();
    file.take(LONGEST_PROFILE + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > LONGEST_PROFILE { Err(unfit()) } else { Ok(text) }
}

fn kernel() -> (u32, u32) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or_default());
    (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{IdExtent, IdMap};

    #[test]
    fn only_what_is_wanted_is_looked_up() {
        let one = vec![IdExtent { inside: 0, outside: 1000, count: 1 }];
        let facts = HostFacts::sample(IdMap { uids: one.clone(), gids: one });
        assert_eq!(facts.with(&[], None), facts);
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("a.json"), "{}").unwrap();
        nix::unistd::mkfifo(&place.path().join("fifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        fs::write(place.path().join("long"), vec![b' '; LONGEST_PROFILE as usize + 1]).unwrap();
        let wanted = ["a.json", "b.json", ".", "fifo", "long"].map(|name| Detail::SeccompProfile(name.to_owned()));
        let details = facts.with(&wanted, Some(place.path())).details;
        assert_eq!(details.seccomp_profiles["a.json"], Ok("{}".to_owned()));
        assert!(details.seccomp_profiles["b.json"].as_ref().unwrap_err().contains("b.json\": No such file"));
        for unfit in [".", "fifo", "long"] {
            let why = details.seccomp_profiles[unfit].as_ref().unwrap_err();
            assert!(why.contains("is not a file of at most"), "{why}");
        }
        assert!(details.kernel >= (5, 0));
        let details = facts.with(&[wanted[0].clone(), Detail::Devices], None).details;
        assert!(details.seccomp_profiles["a.json"].is_err());
        assert!(details.devices.contains(&PathBuf::from("/dev/null")));
        assert!(!details.devices.iter().any(|device| device.starts_with("/dev/pts")));
    }
}

//! Finding out the facts: who calls, which ids there are, which helpers are installed.

use std::ffi::OsStr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::unistd::{getegid, geteuid};

use super::subids::{self, Which};
use super::{Caller, Details, HostFacts, IdExtent, IdMap, Mapper, Node};

/// First host id of the range a pod of real root uses where `/etc/subuid` has none for root: just above the ranges that
/// systemd-nspawn hands out (`systemd.io/UIDS-GIDS`), where no host user lives.
const ROOT_RANGE: IdExtent = IdExtent { inside: 0, outside: 0x7000_0000, count: 65536 };

impl HostFacts {
    /// Looks at this host as the calling user.
    pub fn gather() -> HostFacts {
        let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
        let mut notices = Vec::new();
        let caller = if uid == 0 && owns_all_ids() { Caller::Root } else { Caller::User };
        let (ids, mapper) = match caller {
            Caller::Root => (root_map(), Mapper::Client),
            Caller::User => user_map(uid, gid, &mut notices),
        };
        HostFacts {
            name: node_name(),
            caller,
            ids,
            mapper,
            arch: architecture().to_owned(),
            node: Node::default(),
            notices,
            details: Details::default(),
        }
    }
}

/// The host name in small letters, as a kubelet takes it; a name that is no text is none.
fn node_name() -> String {
    let name = nix::unistd::gethostname().unwrap_or_default().into_string().unwrap_or_default();
    name.trim().to_lowercase()
}

/// Whether this process is root of the first user namespace or of one as large, so that any id may be mapped.
fn owns_all_ids() -> bool {
    std::fs::read_to_string("/proc/self/uid_map")
        .is_ok_and(|map| map.split_ascii_whitespace().eq(["0", "0", "4294967295"]))
}

fn root_map() -> IdMap {
    let range = |which: Which| {
        let text = std::fs::read_to_string(which.path()).unwrap_or_default();
        match subids::parse(&text, "root", 0).first() {
            Some(&(outside, count)) => vec![IdExtent { inside: 0, outside, count }],
            None => vec![ROOT_RANGE],
        }
    };
    IdMap { uids: range(Which::Users), gids: range(Which::Groups) }
}

fn user_map(uid: u32, gid: u32, notices: &mut Vec<String>) -> (IdMap, Mapper) {
    let single = IdMap { uids: subids::extents(uid, &[]), gids: subids::extents(gid, &[]) };
    let texts = [Which::Users, Which::Groups].map(|which| std::fs::read_to_string(which.path()).unwrap_or_default());
    if texts.iter().all(|text| text.trim().is_empty()) {
        return (single, Mapper::Itself);
    }
    let name = user_name(uid).unwrap_or_default();
    let [users, groups] = texts.map(|text| subids::parse(&text, &name, uid));
    if users.is_empty() || groups.is_empty() {
        return (single, Mapper::Itself);
    }
    let (Some(newuidmap), Some(newgidmap)) = (find_program("newuidmap"), find_program("newgidmap")) else {
        notices.push(
            "subordinate ids are not used, because newuidmap and newgidmap are not installed \
             (Debian and Ubuntu: sudo apt install uidmap)"
                .to_owned(),
        );
        return (single, Mapper::Itself);
    };
    let ids = IdMap { uids: subids::extents(uid, &users), gids: subids::extents(gid, &groups) };
    (ids, Mapper::Helpers { newuidmap, newgidmap })
}

/// The login name of `uid` in `/etc/passwd`, else `$USER`: a static binary must not load libc's name-service modules.
fn user_name(uid: u32) -> Option<String> {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    passwd
        .lines()
        .find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)?.parse() == Ok(uid)).then(|| name.to_owned())
        })
        .or_else(|| std::env::var("USER").ok())
}

/// Finds an executable in `$PATH`, else in the places where distributions keep system helpers.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/bin", "/usr/sbin", "/bin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    file.file_name() != Some(OsStr::new(""))
        && file.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

/// The architecture of this program in OCI's words, which are Go's GOARCH (image-spec, "platform").
pub fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "x86" => "386",
        "aarch64" => "arm64",
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        "powerpc64" => "ppc64",
        "loongarch64" => "loong64",
        other => other,
    }
}

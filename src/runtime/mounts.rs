//! The mounts of a Spec: from their fstab words to operations, and the operations done in the child.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag};
use nix::mount::{MsFlags, mount};
use nix::sys::stat::{Mode, fstatat, umask};
use oci_spec::runtime::{Mount, Spec};

use super::overlay::{c_path, context_option};
use super::target::{Kind, find_exactly, find_exactly_or_make, find_or_make};
use crate::error::{Error, Result};
use crate::host::beneath::open_or_make;
use crate::sys::mount::{Depth, Propagation, attach, clone_tree, set_attributes, set_propagation};
use crate::sys::{Named, SysError};

/// One step from the bare root file system to the container's view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Op {
    /// A new file system instance.
    Fresh { kind: CString, target: PathBuf, flags: MsFlags, data: Option<CString> },
    /// The tree at `source` in the supervisor's mount namespace.
    Bind(Bind),
    /// Nothing can be read at `target` any more: /dev/null over a file, an empty file system over a directory.
    Mask { target: PathBuf },
    /// Nothing can be written at or below `target` any more.
    ReadOnly { target: PathBuf },
    /// The devices and links of a new /dev.
    Devices,
    /// A directory, where nothing has this name yet.
    Directory { target: PathBuf },
}

/// What is bound where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bind {
    source: CString,
    target: PathBuf,
    /// What is bound instead of the whole source: a path below it, found at every start and never leaving it.
    below: Option<PathBuf>,
    attributes: u64,
    depth: Depth,
    /// Attributes of this mount and all below it.
    all_attributes: u64,
    propagation: Option<Propagation>,
}

/// The devices that every container has (runtime-spec, "Default Devices"), bound from the host.
const DEVICES: [&std::ffi::CStr; 6] = [c"null", c"zero", c"full", c"random", c"urandom", c"tty"];

/// The links that every container has (runtime-spec, "Dev symbolic links" and "Default Devices" for ptmx).
const LINKS: [(&str, &str); 5] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
];

/// The operations of a Spec, in the order in which they are done.
///
/// # Errors
/// A mount option or type that this runtime does not know: it is refused, never ignored.
pub(super) fn operations(spec: &Spec) -> Result<Vec<Op>> {
    let mut ops = Vec::new();
    let label = spec.linux().as_ref().and_then(|l| l.mount_label().as_deref());
    for m in spec.mounts().as_deref().unwrap_or_default() {
        ops.push(labelled(operation(m)?, label)?);
        if m.destination() == Path::new("/dev") && m.typ().as_deref() == Some("tmpfs") {
            ops.push(Op::Devices);
        }
    }
    if let Some(linux) = spec.linux() {
        let paths = |list: &Option<Vec<String>>| list.clone().unwrap_or_default().into_iter().map(PathBuf::from);
        ops.extend(paths(linux.masked_paths()).map(|target| Op::Mask { target }));
        ops.extend(paths(linux.readonly_paths()).map(|target| Op::ReadOnly { target }));
    }
    if let Some(process) = spec.process() {
        ops.push(Op::Directory { target: process.cwd().clone() });
    }
    Ok(ops)
}

/// The same, with the SELinux label of the container's files on those file systems that can carry one.
fn labelled(op: Op, label: Option<&str>) -> Result<Op> {
    match (op, label) {
        (Op::Fresh { kind, target, flags, data }, Some(label)) if [c"tmpfs", c"devpts"].contains(&kind.as_c_str()) => {
            let said = data.as_ref().map(|data| data.to_string_lossy()).unwrap_or_default();
            let text = format!("{said}{}", context_option(label));
            let data = CString::new(text.trim_start_matches(','))
                .map_err(|_| Error::new("linux.mountLabel has a NUL byte in it"))?;
            Ok(Op::Fresh { kind, target, flags, data: Some(data) })
        }
        (op, _) => Ok(op),
    }
}

fn operation(m: &Mount) -> Result<Op> {
    let refuse = |why: String| Error::new(format!("mount at {:?}: {why}", m.destination()));
    if m.uid_mappings().is_some() || m.gid_mappings().is_some() {
        return Err(refuse("id-mapped mounts are not supported".to_owned()));
    }
    let mut words = Words::new();
    for option in m.options().as_deref().unwrap_or_default() {
        words.take(option);
    }
    let target = m.destination().clone();
    let bind = words.bind.or((m.typ().as_deref() == Some("bind")).then_some(Depth::This));
    if let Some(depth) = bind {
        let Some(source) = m.source() else { return Err(refuse("a bind mount needs a source".to_owned())) };
        if let Some(word) = words.data.first() {
            return Err(refuse(format!("option {word:?} is not one of a bind mount")));
        }
        return Ok(Op::Bind(Bind {
            source: c_path(source)?,
            target,
            below: words.below,
            attributes: words.attributes,
            depth,
            all_attributes: words.all_attributes,
            propagation: words.propagation,
        }));
    }
    let Some(kind) = m.typ().as_deref() else { return Err(refuse("neither a type nor `bind` is given".to_owned())) };
    if !["proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup2"].contains(&kind) {
        return Err(refuse(format!("file system type {kind:?} is not supported")));
    }
    if words.below.is_some() {
        return Err(refuse(format!("option {SUBDIR:?} is one of a bind mount")));
    }
    let c_string = |s: String| CString::new(s).map_err(|_| refuse("an option has a NUL byte in it".to_owned()));
    let data = if words.data.is_empty() { None } else { Some(c_string(words.data.join(","))?) };
    Ok(Op::Fresh { kind: c_string(kind.to_owned())?, target, flags: words.flags, data })
}

/// The options of one mount, sorted by how the kernel takes them.
struct Words {
    flags: MsFlags,
    attributes: u64,
    all_attributes: u64,
    propagation: Option<Propagation>,
    bind: Option<Depth>,
    below: Option<PathBuf>,
    data: Vec<String>,
}

/// mount(8)'s word for a directory below the source that is mounted instead of it; here a file will do, too, and a directory that is
/// missing is made.
const SUBDIR: &str = "X-mount.subdir=";

impl Words {
    fn new() -> Words {
        Words {
            flags: MsFlags::empty(),
            attributes: 0,
            all_attributes: 0,
            propagation: None,
            bind: None,
            below: None,
            data: Vec::new(),
        }
    }

    fn take(&mut self, word: &str) {
        let (flag, attribute) = match word {
            "ro" => (MsFlags::MS_RDONLY, libc::MOUNT_ATTR_RDONLY),
            "nosuid" => (MsFlags::MS_NOSUID, libc::MOUNT_ATTR_NOSUID),
            "nodev" => (MsFlags::MS_NODEV, libc::MOUNT_ATTR_NODEV),
            "noexec" => (MsFlags::MS_NOEXEC, libc::MOUNT_ATTR_NOEXEC),
            "noatime" => (MsFlags::MS_NOATIME, libc::MOUNT_ATTR_NOATIME),
            "strictatime" => (MsFlags::MS_STRICTATIME, libc::MOUNT_ATTR_STRICTATIME),
            "rro" => return self.all_attributes |= libc::MOUNT_ATTR_RDONLY,
            "rnosuid" => return self.all_attributes |= libc::MOUNT_ATTR_NOSUID,
            "rnodev" => return self.all_attributes |= libc::MOUNT_ATTR_NODEV,
            "rnoexec" => return self.all_attributes |= libc::MOUNT_ATTR_NOEXEC,
            // What the kernel does when nothing else is said.
            "rw" | "suid" | "dev" | "exec" | "relatime" => return,
            // A tree is always bound with what is mounted below it, and so has one propagation.
            "private" | "rprivate" => return self.propagation = Some(Propagation::Private),
            "slave" | "rslave" => return self.propagation = Some(Propagation::Slave),
            "bind" => return self.bind = Some(Depth::This),
            "rbind" => return self.bind = Some(Depth::Recursive),
            other => {
                return match other.strip_prefix(SUBDIR) {
                    Some(path) => self.below = Some(PathBuf::from(path)),
                    None => self.data.push(other.to_owned()),
                };
            }
        };
        self.flags |= flag;
        self.attributes |= attribute;
    }
}

/// Does the operations below `root`, the container's mounted root, in the mount namespace of the caller.
pub(super) fn apply(root: BorrowedFd, ops: &[Op]) -> std::result::Result<(), SysError> {
    let mut nothing = Nothing::default();
    for op in ops {
        match op {
            Op::Fresh { kind, target, flags, data } => {
                let place = find_exactly_or_make(root, target)?;
                let path = format!("/proc/self/fd/{}", place.as_raw_fd());
                let fresh = |flags: MsFlags| {
                    mount(Some(kind.as_c_str()), path.as_str(), Some(kind.as_c_str()), flags, data.as_deref())
                };
                match fresh(*flags) {
                    // Where the host's own is read-only, as inside another container, none may be more than that (user_namespaces(7)).
                    Err(Errno::EPERM) if kind.as_c_str() == c"sysfs" => fresh(*flags | MsFlags::MS_RDONLY),
                    made => made,
                }
                .named(|| format!("mount({kind:?}, {target:?}, {data:?})"))?;
            }
            Op::Bind(bind) => bind.apply(root)?,
            Op::Mask { target } => mask(root, target, &mut nothing)?,
            Op::ReadOnly { target } => read_only(root, target)?,
            Op::Devices => devices(root)?,
            Op::Directory { target } => find_or_make(root, target, Kind::Directory).map(drop)?,
        }
    }
    Ok(())
}

impl Bind {
    fn apply(&self, root: BorrowedFd) -> std::result::Result<(), SysError> {
        let Bind { source, target, below, attributes, depth, all_attributes, propagation } = self;
        let tree = match below {
            None => clone_tree(nix::fcntl::AT_FDCWD, source)?,
            Some(path) => {
                let volume = nix::fcntl::open(source.as_c_str(), OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())
                    .named(|| format!("open({source:?}, O_PATH)"))?;
                // What was found is what is mounted, whatever another container calls it by now.
                let before = umask(Mode::empty());
                let found = open_or_make(&volume, path);
                umask(before);
                let failed =
                    |e: SysError| SysError::new(format!("subPath {path:?} at {target:?}: {}", e.call), e.errno);
                clone_tree(found.map_err(failed)?, c"")?
            }
        };
        let place = find_or_make(root, target, kind_of(&tree)?)?;
        // The kernel would say EINVAL, which nobody understands.
        match (kind_of(&tree)?, kind_of(&place)?) {
            (Kind::File, Kind::Directory) => {
                return Err(SysError::new(
                    format!("mount of a file at {target:?}, where the image has a directory"),
                    Errno::EISDIR,
                ));
            }
            (Kind::Directory, Kind::File) => {
                return Err(SysError::new(
                    format!("mount of a directory at {target:?}, where the image has a file"),
                    Errno::ENOTDIR,
                ));
            }
            _ => {}
        }
        if let Some(propagation) = propagation {
            set_propagation(&tree, *propagation, source)?;
        }
        if *all_attributes != 0 {
            set_attributes(&tree, Depth::Recursive, *all_attributes, source)?;
        }
        if *attributes != 0 {
            set_attributes(&tree, *depth, *attributes, source)?;
        }
        attach(&tree, &place, &c_name(target))
    }
}

/// One empty read-only file system, made when the first directory is masked and shared by all of them.
#[derive(Default)]
struct Nothing(Option<OwnedFd>);

fn mask(root: BorrowedFd, target: &Path, nothing: &mut Nothing) -> std::result::Result<(), SysError> {
    let Some(place) = present(root, target)? else { return Ok(()) };
    if kind_of(&place)? == Kind::File {
        return attach(clone_tree(nix::fcntl::AT_FDCWD, c"/dev/null")?, place, &c_name(target));
    }
    if let Some(first) = &nothing.0 {
        return attach(clone_tree(first, c"")?, place, &c_name(target));
    }
    let path = format!("/proc/self/fd/{}", place.as_raw_fd());
    mount(Some("tmpfs"), path.as_str(), Some("tmpfs"), MsFlags::MS_RDONLY, Some("size=0k,nr_inodes=1"))
        .named(|| format!("mount(\"tmpfs\", {target:?}, ro)"))?;
    nothing.0 = Some(find_exactly(root, target)?);
    Ok(())
}

fn read_only(root: BorrowedFd, target: &Path) -> std::result::Result<(), SysError> {
    let Some(place) = present(root, target)? else { return Ok(()) };
    let tree = clone_tree(&place, c"")?;
    set_attributes(&tree, Depth::Recursive, libc::MOUNT_ATTR_RDONLY, &c_name(target))?;
    attach(tree, place, &c_name(target))
}

/// Masked and read-only paths name what some kernels have and others lack.
fn present(root: BorrowedFd, target: &Path) -> std::result::Result<Option<OwnedFd>, SysError> {
    match find_exactly(root, target) {
        Ok(place) => Ok(Some(place)),
        Err(e) if matches!(e.errno, Errno::ENOENT | Errno::ENOTDIR | Errno::EACCES) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Fills the new tmpfs at /dev. It is empty and nobody else's, so plain names in it are safe.
fn devices(root: BorrowedFd) -> std::result::Result<(), SysError> {
    let dev = find_exactly(root, Path::new("/dev"))?;
    nix::unistd::fchdir(&dev).named(|| "fchdir(\"/dev\")")?;
    for name in DEVICES {
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
        nix::fcntl::open(name, flags, Mode::from_bits_truncate(0o666))
            .named(|| format!("open(\"/dev/\" {name:?}, O_CREAT)"))?;
        let source = [b"/dev/", name.to_bytes()].concat();
        mount(Some(source.as_slice()), name, None::<&str>, MsFlags::MS_BIND, None::<&str>)
            .named(|| format!("mount({:?}, MS_BIND)", String::from_utf8_lossy(&source)))?;
    }
    for (name, to) in LINKS {
        nix::unistd::symlinkat(to, &dev, name).named(|| format!("symlink({to:?}, \"/dev/{name}\")"))?;
    }
    Ok(())
}

fn kind_of(fd: impl AsFd) -> std::result::Result<Kind, SysError> {
    let stat = fstatat(fd.as_fd(), "", AtFlags::AT_EMPTY_PATH).named(|| "fstatat(\"\", AT_EMPTY_PATH)")?;
    Ok(if stat.st_mode & libc::S_IFMT == libc::S_IFDIR { Kind::Directory } else { Kind::File })
}

fn c_name(path: &Path) -> CString {
    c_path(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::MountBuilder;

    use super::*;

    fn mount_of(typ: &str, options: &[&str]) -> Mount {
        MountBuilder::default()
            .destination("/x")
            .typ(typ)
            .source("/s")
            .options(options.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>())
            .build()
            .unwrap()
    }

    #[test]
    fn words_become_flags_and_the_rest_becomes_data() {
        let op = operation(&mount_of("tmpfs", &["nosuid", "ro", "mode=1777", "size=64k"])).unwrap();
        let Op::Fresh { flags, data, .. } = op else { panic!("{op:?}") };
        assert_eq!(flags, MsFlags::MS_NOSUID | MsFlags::MS_RDONLY);
        assert_eq!(data.as_deref(), Some(c"mode=1777,size=64k"));
    }

    #[test]
    fn a_label_goes_to_the_file_systems_that_can_carry_one() {
        let labelled = |typ: &str, options: &[&str]| {
            let op = operation(&mount_of(typ, options)).and_then(|op| labelled(op, Some("u:r:t:s0:c1,c2"))).unwrap();
            let Op::Fresh { data, .. } = op else { panic!("{op:?}") };
            data
        };
        assert_eq!(labelled("tmpfs", &["mode=755"]).as_deref(), Some(c"mode=755,context=\"u:r:t:s0:c1,c2\""));
        assert_eq!(labelled("devpts", &[]).as_deref(), Some(c"context=\"u:r:t:s0:c1,c2\""));
        assert_eq!(labelled("proc", &[]), None);
    }

    #[test]
    fn a_read_only_bind_covers_what_is_mounted_below_its_source() {
        let op = operation(&mount_of("bind", &["rbind", "ro"])).unwrap();
        let Op::Bind(Bind { attributes, depth, .. }) = op else { panic!("{op:?}") };
        assert_eq!((attributes, depth), (libc::MOUNT_ATTR_RDONLY, Depth::Recursive));
    }

    #[test]
    fn a_bind_may_be_of_something_below_its_source_and_recursively_read_only() {
        let op = operation(&mount_of("bind", &["bind", "rslave", "rro", "rnoexec", "X-mount.subdir=a/b,c"])).unwrap();
        let Op::Bind(Bind { attributes, all_attributes, below, propagation, .. }) = op else { panic!("{op:?}") };
        assert_eq!((attributes, all_attributes), (0, libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOEXEC));
        assert_eq!((below, propagation), (Some(PathBuf::from("a/b,c")), Some(Propagation::Slave)));
        assert!(operation(&mount_of("tmpfs", &["X-mount.subdir=a"])).is_err());
    }

    #[test]
    fn what_is_not_known_is_refused() {
        assert!(operation(&mount_of("ext4", &[])).is_err());
        assert!(operation(&mount_of("bind", &["uid=0"])).is_err());
    }
}

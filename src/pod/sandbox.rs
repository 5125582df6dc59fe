//! The sandbox: the net, ipc and uts namespaces that the pod's containers share, made by a child that is gone before they start.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::CloneFlags;
use nix::unistd::sethostname;

use crate::error::{Error, Result};
use crate::host::userns::write_file;
use crate::plan::{Namespace, SandboxPlan, Sysfs};
use crate::runtime::Joined;
use crate::sys::clone::{Child, spawn};
use crate::sys::process::loopback_up;
use crate::sys::{Named, SysError, packet};

/// The namespaces, held open by descriptors.
#[derive(Debug)]
pub(super) struct Sandbox {
    network: Option<OwnedFd>,
    ipc: Option<OwnedFd>,
    uts: OwnedFd,
}

/// The transient child at work.
#[derive(Debug)]
pub(super) struct Making {
    child: Child,
    socket: OwnedFd,
    network: Namespace,
    ipc: Namespace,
}

/// Starts the transient child. It works beside the supervisor, in the same mount namespace, with the new root as its working directory.
///
/// # Errors
/// The failed call.
pub(super) fn make(hostname: &str, max_gid: u32, plan: &SandboxPlan) -> Result<Making> {
    let (ours, theirs) = packet::pair()?;
    let mut flags = CloneFlags::CLONE_NEWUTS;
    flags.set(CloneFlags::CLONE_NEWNET, plan.network == Namespace::Own);
    flags.set(CloneFlags::CLONE_NEWIPC, plan.ipc == Namespace::Own);
    let child = spawn(flags, || match configure(hostname, max_gid, plan) {
        Ok(namespaces) => {
            let raw: Vec<_> = namespaces.iter().map(AsRawFd::as_raw_fd).collect();
            i32::from(packet::send(&theirs, b"+", &raw).is_err())
        }
        Err(e) => {
            let _ = packet::send(&theirs, e.to_string().as_bytes(), &[]);
            1
        }
    })?;
    Ok(Making { child, socket: ours, network: plan.network, ipc: plan.ipc })
}

impl Making {
    /// Waits for the namespaces, and for the child's end.
    ///
    /// # Errors
    /// What the child could not do.
    pub(super) fn finish(self) -> Result<Sandbox> {
        let mut said = [0; 2048];
        let (length, received) = packet::receive(&self.socket, &mut said)?;
        let exit = self.child.wait()?;
        let mut received = received.into_iter();
        let network = if self.network == Namespace::Own { received.next() } else { None };
        let ipc = if self.ipc == Namespace::Own { received.next() } else { None };
        let Some(uts) = received.next() else {
            let said = String::from_utf8_lossy(said.get(..length).unwrap_or_default());
            let why =
                if said.is_empty() { format!("the process that makes them died: {exit:?}") } else { said.into_owned() };
            return Err(Error::new(format!("making the pod's namespaces: {why}")));
        };
        Ok(Sandbox { network, ipc, uts })
    }
}

impl Sandbox {
    pub(super) fn joined(&self) -> Joined<'_> {
        Joined {
            network: self.network.as_ref().map(AsFd::as_fd),
            ipc: self.ipc.as_ref().map(AsFd::as_fd),
            uts: self.uts.as_fd(),
            processes: None,
        }
    }
}

/// Sets up the new namespaces from inside, and opens them: net and ipc where they are the pod's own, and uts.
fn configure(hostname: &str, max_gid: u32, plan: &SandboxPlan) -> Result<Vec<OwnedFd>> {
    sethostname(hostname).named(|| format!("sethostname({hostname:?})"))?;
    match plan.network {
        Namespace::Own => configure_network(max_gid, plan.sysfs)?,
        // Whoever does not own the network namespace may mount no sysfs that shows it (the kernel's kobj_ns_current_may_mount).
        Namespace::Hosts => mount(Some("/sys"), "sys", None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)
            .named(|| "mount(\"/sys\", MS_BIND)")?,
    }
    for (name, value) in &plan.sysctls {
        write_sysctl(name, value)?;
    }
    let open = |kind: &str| {
        let path = format!("/proc/self/ns/{kind}");
        std::fs::File::open(&path).map(OwnedFd::from).named(|| format!("open({path:?})"))
    };
    let own = [("net", plan.network), ("ipc", plan.ipc), ("uts", Namespace::Own)];
    Ok(own
        .into_iter()
        .filter(|(_, whose)| *whose == Namespace::Own)
        .map(|(kind, _)| open(kind))
        .collect::<std::result::Result<_, _>>()?)
}

/// Sets what the pod asks for, by its path below /proc/sys, and says why that cannot be.
fn write_sysctl(name: &str, value: &str) -> Result<()> {
    let Err(error) = write_file(&format!("proc/sys/{name}"), value.as_bytes()) else { return Ok(()) };
    let why = match error.errno {
        Errno::ENOENT => "this kernel has no such setting in a pod's namespaces",
        Errno::EACCES | Errno::EPERM => "the kernel lets only the host's root change it",
        Errno::EINVAL | Errno::ERANGE => "the kernel does not take the value",
        _ => return Err(error.into()),
    };
    Err(Error::new(format!("sysctl {:?}: {why}: {error}", name.replace('/', "."))))
}

/// The network namespace as every container may expect it, whatever its user.
fn configure_network(max_gid: u32, sysfs: Sysfs) -> std::result::Result<(), SysError> {
    loopback_up()?;
    // The last wall leaves no capability over the network namespace, so what containers may need is allowed here, for everybody.
    write_file("proc/sys/net/ipv4/ip_unprivileged_port_start", b"0")?;
    write_file("proc/sys/net/ipv4/ping_group_range", format!("0 {max_gid}").as_bytes())?;
    // A sysfs can only be mounted where one is in sight already (the kernel's mount_too_revealing), and shows the network
    // namespace of its mounter: the containers' own instances need this one in the supervisor's root.
    let make = |flags: MsFlags| {
        let flags = flags | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mount(Some("sysfs"), "sys", Some("sysfs"), flags, None::<&str>)
    };
    // The first mount decides for the file system itself, and so for all that come after it.
    let made = match sysfs {
        Sysfs::ReadOnly => Err(Errno::EPERM),
        Sysfs::Writable => make(MsFlags::empty()),
    };
    made.or_else(|_| make(MsFlags::MS_RDONLY)).named(|| "mount(\"sysfs\", the pod's /sys)")
}

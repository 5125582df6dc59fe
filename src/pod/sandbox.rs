//! The sandbox: the net, ipc and uts namespaces that the pod's containers share, made by a child that is gone before they start.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::sethostname;

use crate::error::{Error, Result};
use crate::host::userns::{map_text, write_file};
use crate::host::{IdExtent, IdMap, sysctl};
use crate::plan::{Namespace, SandboxOwner, SandboxPlan, Sysfs};
use crate::runtime::Joined;
use crate::sys::clone::{Child, Exit, spawn};
use crate::sys::process::loopback_up;
use crate::sys::{Named, SysError, packet};

/// The namespaces, held open by descriptors.
#[derive(Debug)]
pub(super) struct Sandbox {
    network: Option<OwnedFd>,
    ipc: Option<OwnedFd>,
    users: Option<OwnedFd>,
    uts: OwnedFd,
}

/// The transient child at work.
#[derive(Debug)]
pub(super) struct Making<'a> {
    child: Child,
    socket: OwnedFd,
    ids: &'a IdMap,
    plan: &'a SandboxPlan,
}

/// What the child says when it is in a user namespace of its own, and hears when that has its maps.
const ENTERED: &[u8] = b"u";
const MAPPED: &[u8] = b"m";

/// Starts the transient child. It works beside the supervisor, in the same mount namespace, with the new root as its working directory.
///
/// # Errors
/// The failed call.
pub(super) fn make<'a>(hostname: &str, ids: &'a IdMap, plan: &'a SandboxPlan) -> Result<Making<'a>> {
    let (ours, theirs) = packet::pair()?;
    let mut flags = CloneFlags::CLONE_NEWUTS;
    flags.set(CloneFlags::CLONE_NEWNET, plan.network == Namespace::Own);
    flags.set(CloneFlags::CLONE_NEWIPC, plan.ipc == Namespace::Own);
    let at_once = if plan.owner == SandboxOwner::Supervisor { flags } else { CloneFlags::empty() };
    let mut ours = Some(ours);
    let child = spawn(at_once, || {
        // The child must not hold the other end, or it would not see the supervisor's death.
        ours.take();
        let entered = match plan.owner {
            SandboxOwner::Supervisor => Ok(()),
            SandboxOwner::Containers { pids } => enter_users(&theirs, ids, pids, flags),
        };
        match entered.and_then(|()| configure(hostname, ids.max_gid(), plan)) {
            Ok(namespaces) => {
                let raw: Vec<_> = namespaces.iter().map(AsRawFd::as_raw_fd).collect();
                i32::from(packet::send(&theirs, b"+", &raw).is_err())
            }
            Err(e) => {
                let _ = packet::send(&theirs, e.to_string().as_bytes(), &[]);
                1
            }
        }
    })?;
    let socket = ours.ok_or_else(|| Error::new("the sandbox's socket is gone"))?;
    Ok(Making { child, socket, ids, plan })
}

impl Making<'_> {
    /// Waits for the namespaces, and for the child's end.
    ///
    /// # Errors
    /// What the child could not do.
    pub(super) fn finish(self) -> Result<Sandbox> {
        let mut said = [0; 2048];
        let (mut length, mut received) = packet::receive(&self.socket, &mut said)?;
        if said.get(..length) == Some(ENTERED) {
            let pid = self.child.pid();
            write_file(&format!("proc/{pid}/uid_map"), identity(&self.ids.uids).as_bytes())?;
            write_file(&format!("proc/{pid}/gid_map"), identity(&self.ids.gids).as_bytes())?;
            packet::send(&self.socket, MAPPED, &[])?;
            (length, received) = packet::receive(&self.socket, &mut said)?;
        }
        let exit = self.child.wait()?;
        let SandboxPlan { network, ipc, owner, sysfs, .. } = *self.plan;
        let mut received = received.into_iter();
        let network = if network == Namespace::Own { received.next() } else { None };
        let ipc = if ipc == Namespace::Own { received.next() } else { None };
        let users = if owner == SandboxOwner::Supervisor { None } else { received.next() };
        let Some(uts) = received.next() else {
            let said = String::from_utf8_lossy(said.get(..length).unwrap_or_default());
            let why =
                if said.is_empty() { format!("the process that makes them died: {exit:?}") } else { said.into_owned() };
            return Err(Error::new(format!("making the pod's namespaces: {why}")));
        };
        match &network {
            // Whoever does not own the network namespace may mount no sysfs that shows it (the kernel's kobj_ns_current_may_mount).
            None => mount(Some("/sys"), "sys", None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)
                .named(|| "mount(\"/sys\", MS_BIND)")?,
            Some(network) if users.is_some() => mount_sysfs_of(network, sysfs)?,
            Some(_) => {}
        }
        Ok(Sandbox { network, ipc, users, uts })
    }
}

impl Sandbox {
    pub(super) fn joined(&self) -> Joined<'_> {
        Joined {
            network: self.network.as_ref().map(AsFd::as_fd),
            ipc: self.ipc.as_ref().map(AsFd::as_fd),
            users: self.users.as_ref().map(AsFd::as_fd),
            uts: self.uts.as_fd(),
            processes: None,
        }
    }
}

/// Makes the namespaces of `flags` inside one more user namespace, which has the ids of the pod's and then owns them.
fn enter_users(socket: &OwnedFd, ids: &IdMap, pids: u64, flags: CloneFlags) -> Result<()> {
    // The kernel takes the limit of all processes of a user namespace from its maker's (since 5.14).
    setrlimit(Resource::RLIMIT_NPROC, pids, pids).named(|| format!("setrlimit(RLIMIT_NPROC, {pids})"))?;
    unshare(CloneFlags::CLONE_NEWUSER).named(|| "unshare(CLONE_NEWUSER)")?;
    if ids.is_single() {
        write_file("proc/self/uid_map", identity(&ids.uids).as_bytes())?;
        write_file("proc/self/gid_map", identity(&ids.gids).as_bytes())?;
    } else {
        packet::send(socket, ENTERED, &[])?;
        let mut said = [0; 8];
        let (length, _) = packet::receive(socket, &mut said)?;
        if said.get(..length) != Some(MAPPED) {
            return Err(Error::new("the supervisor went away during the pod's start"));
        }
    }
    Ok(unshare(flags).named(|| format!("unshare({flags:?})"))?)
}

/// The map from each id of the pod to itself, one extent for each of the pod's.
fn identity(extents: &[IdExtent]) -> String {
    let same = |e: &IdExtent| IdExtent { inside: e.inside, outside: e.inside, count: e.count };
    map_text(&extents.iter().map(same).collect::<Vec<_>>())
}

/// Sets up the new namespaces from inside, and opens them: net and ipc where they are the pod's own, their user namespace where it is
/// not the supervisor's, and uts.
fn configure(hostname: &str, max_gid: u32, plan: &SandboxPlan) -> Result<Vec<OwnedFd>> {
    sethostname(hostname).named(|| format!("sethostname({hostname:?})"))?;
    if plan.network == Namespace::Own {
        configure_network(max_gid)?;
        if plan.owner == SandboxOwner::Supervisor {
            mount_sysfs(plan.sysfs)?;
        }
    }
    for (name, value) in &plan.sysctls {
        sysctl::set(name, value)?;
    }
    let open = |kind: &str| {
        let path = format!("/proc/self/ns/{kind}");
        std::fs::File::open(&path).map(OwnedFd::from).named(|| format!("open({path:?})"))
    };
    let own = [
        ("net", plan.network == Namespace::Own),
        ("ipc", plan.ipc == Namespace::Own),
        ("user", plan.owner != SandboxOwner::Supervisor),
        ("uts", true),
    ];
    Ok(own
        .into_iter()
        .filter(|(_, own)| *own)
        .map(|(kind, _)| open(kind))
        .collect::<std::result::Result<_, SysError>>()?)
}

/// The network namespace as every container may expect it, whatever its user.
fn configure_network(max_gid: u32) -> std::result::Result<(), SysError> {
    loopback_up()?;
    // The last wall leaves no capability over the network namespace, so what containers may need is allowed here, for everybody.
    write_file("proc/sys/net/ipv4/ip_unprivileged_port_start", b"0")?;
    write_file("proc/sys/net/ipv4/ping_group_range", format!("0 {max_gid}").as_bytes())
}

/// Mounts a sysfs of the caller's network namespace at the supervisor's /sys.
///
/// One can only be mounted where one is in sight already (the kernel's mount_too_revealing), and shows the network namespace of its
/// mounter: the containers' own instances need this one in the supervisor's root.
fn mount_sysfs(sysfs: Sysfs) -> std::result::Result<(), SysError> {
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

/// The same of `network`, by a process in between: nobody comes back to the host's network namespace.
fn mount_sysfs_of(network: &OwnedFd, sysfs: Sysfs) -> Result<()> {
    let (ours, theirs) = packet::pair()?;
    let child = spawn(CloneFlags::empty(), || {
        let joined = setns(network, CloneFlags::CLONE_NEWNET).named(|| "setns(net)");
        match joined.and_then(|()| mount_sysfs(sysfs)) {
            Ok(()) => 0,
            Err(e) => i32::from(packet::send(&theirs, e.to_string().as_bytes(), &[]).is_ok()),
        }
    })?;
    if child.wait()? == Exit::Code(0) {
        return Ok(());
    }
    let mut said = [0; 2048];
    drop(theirs);
    let (length, _) = packet::receive(&ours, &mut said)?;
    let said = String::from_utf8_lossy(said.get(..length).unwrap_or_default());
    Err(Error::new(format!("making the pod's namespaces: {said}")))
}

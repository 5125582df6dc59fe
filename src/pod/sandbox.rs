//! The sandbox: the net, ipc and uts namespaces that the pod's containers share, made by a child that is gone before they start.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::mount::{MsFlags, mount};
use nix::sched::CloneFlags;
use nix::unistd::sethostname;

use crate::error::{Error, Result};
use crate::host::userns::write_file;
use crate::runtime::Joined;
use crate::sys::clone::{Child, spawn};
use crate::sys::process::loopback_up;
use crate::sys::{Named, SysError, packet};

/// The namespaces, held open by descriptors.
#[derive(Debug)]
pub(super) struct Sandbox {
    network: OwnedFd,
    ipc: OwnedFd,
    uts: OwnedFd,
}

/// The transient child at work.
#[derive(Debug)]
pub(super) struct Making {
    child: Child,
    socket: OwnedFd,
}

/// Starts the transient child. It works beside the supervisor, in the same mount namespace, with the new root as its working directory.
///
/// # Errors
/// The failed call.
pub(super) fn make(hostname: &str, max_gid: u32) -> Result<Making> {
    let (ours, theirs) = packet::pair()?;
    let flags = CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS;
    let child = spawn(flags, || match configure(hostname, max_gid) {
        Ok(namespaces) => {
            let raw = namespaces.each_ref().map(|fd| fd.as_raw_fd());
            i32::from(packet::send(&theirs, b"+", &raw).is_err())
        }
        Err(e) => {
            let _ = packet::send(&theirs, e.to_string().as_bytes(), &[]);
            1
        }
    })?;
    Ok(Making { child, socket: ours })
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
        let Ok([network, ipc, uts]) = <[OwnedFd; 3]>::try_from(received) else {
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
        Joined { network: self.network.as_fd(), ipc: self.ipc.as_fd(), uts: self.uts.as_fd(), processes: None }
    }
}

/// Sets up the new namespaces from inside, and opens them.
fn configure(hostname: &str, max_gid: u32) -> std::result::Result<[OwnedFd; 3], SysError> {
    sethostname(hostname).named(|| format!("sethostname({hostname:?})"))?;
    loopback_up()?;
    // The last wall leaves no capability over the network namespace, so what containers may need is allowed here, for everybody.
    write_file("proc/sys/net/ipv4/ip_unprivileged_port_start", b"0")?;
    write_file("proc/sys/net/ipv4/ping_group_range", format!("0 {max_gid}").as_bytes())?;
    // A sysfs can only be mounted where one is in sight already (the kernel's mount_too_revealing), and shows the network
    // namespace of its mounter: the containers' own instances need this one in the supervisor's root.
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC | MsFlags::MS_RDONLY;
    mount(Some("sysfs"), "sys", Some("sysfs"), flags, None::<&str>).named(|| "mount(\"sysfs\", the pod's /sys)")?;
    let open = |kind: &str| {
        let path = format!("/proc/self/ns/{kind}");
        std::fs::File::open(&path).map(OwnedFd::from).named(|| format!("open({path:?})"))
    };
    Ok([open("net")?, open("ipc")?, open("uts")?])
}

//! The seam to user namespaces: layers are written and removed where their owners' ids exist.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::thread::JoinHandle;

use nix::sched::CloneFlags;
use nix::sys::prctl;
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};
use nix::sys::stat::{Mode, umask};

use crate::error::{Context, Error, Result};
use crate::host::HostFacts;
use crate::host::confine::{Tree, confine, keep_capabilities_over_files};
use crate::host::userns::{run_mapped, spawn_mapped};
use crate::sys::clone::Child;
use crate::sys::process::close_all_but;

/// Runs work in a child process inside the pod's user namespace, as its root.
pub trait InUserNamespace: Sync {
    /// Runs `job` there and brings back the bytes it made, or its error.
    ///
    /// The child has copies of the caller's descriptors and may start threads; what else it changes in memory is lost. It must
    /// not outlive the caller, whose locks it holds copies of.
    fn run(&self, job: &mut dyn FnMut() -> Result<Vec<u8>>) -> Result<Vec<u8>>;

    /// Starts `server` there, with `socket` and the directory `dir`, which is all of the host's file system that it can reach: the
    /// second wall around whatever reads what strangers made. It ends when the caller closes its end of the socket.
    ///
    /// The caller must have one thread only, as whenever podling clones.
    ///
    /// # Errors
    /// No process or namespace can be made. That the wall cannot be built, the server is told.
    fn serve(&self, dir: &Path, socket: OwnedFd, server: Server) -> Result<Serving>;
}

/// What [`InUserNamespace::serve`] runs: it gets the socket, and the place to work in or the reason why there is none.
pub type Server = Box<dyn FnOnce(OwnedFd, Result<Workplace>) + Send>;

/// Where a server makes its files.
#[derive(Debug)]
pub struct Workplace {
    /// The open directory.
    pub dir: OwnedFd,
    /// The process's umask, which it cannot read itself where it has no `/proc`.
    pub umask: u32,
}

/// A server that runs; dropped, it is waited for or killed.
#[derive(Debug)]
pub enum Serving {
    /// In a process of its own.
    Process(Child),
    /// In this process, where nothing is to be kept from it.
    Thread(JoinHandle<()>),
}

/// Runs the job in the calling process: right where no id is mapped, or where the caller already is the root of the map.
pub struct InPlace;

impl InUserNamespace for InPlace {
    fn run(&self, job: &mut dyn FnMut() -> Result<Vec<u8>>) -> Result<Vec<u8>> {
        job()
    }

    fn serve(&self, dir: &Path, socket: OwnedFd, server: Server) -> Result<Serving> {
        let dir = File::open(dir).context(|| format!("cannot open {}", dir.display()))?;
        let place = Workplace { dir: dir.into(), umask: umask_now() };
        Ok(Serving::Thread(std::thread::spawn(move || server(socket, Ok(place)))))
    }
}

impl InUserNamespace for HostFacts {
    fn run(&self, job: &mut dyn FnMut() -> Result<Vec<u8>>) -> Result<Vec<u8>> {
        run_mapped(self, job)
    }

    fn serve(&self, dir: &Path, socket: OwnedFd, server: Server) -> Result<Serving> {
        let tree = Tree::new(dir, self)?;
        let mut parts = Some((socket, server));
        let child = spawn_mapped(self, CloneFlags::CLONE_NEWNS, |entered| {
            let Some((socket, server)) = parts.take() else { return 125 };
            // The caller's death ends the server, whatever it is doing.
            let _ = prctl::set_pdeathsig(Signal::SIGKILL);
            let _ = sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None);
            let root = entered.map_err(Error::from).and_then(|()| enter(&tree, &socket));
            server(socket, root);
            0
        })?;
        Ok(Serving::Process(child))
    }
}

/// Leaves everything behind but the tree and the socket.
fn enter(tree: &Tree, socket: &OwnedFd) -> Result<Workplace> {
    confine(tree).context(|| "the process that unpacks cannot be confined")?;
    // Descriptors of the host's directories would lead past the wall.
    close_all_but(&[socket.as_fd()])?;
    keep_capabilities_over_files()?;
    // Files get the modes that their makers say.
    umask(Mode::empty());
    let dir = File::open("/").context(|| "cannot open the staging directory")?;
    Ok(Workplace { dir: dir.into(), umask: 0 })
}

/// This process's umask, read without changing it, since other threads may be making files; all bits where it is unknown.
fn umask_now() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let umask = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    umask.and_then(|octal| u32::from_str_radix(octal.trim(), 8).ok()).unwrap_or(0o777)
}

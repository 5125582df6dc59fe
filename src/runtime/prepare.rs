//! From a Spec to everything its process will need, so that the child after the clone only makes system calls.

use std::path::PathBuf;
use std::rc::Rc;

use nix::sched::CloneFlags;
use oci_spec::runtime::{LinuxNamespaceType, Process, Spec};
use seccompiler::BpfProgram;

use super::identity::Identity;
use super::label::Label;
use super::mounts::{Op, operations};
use super::overlay::Overlay;
use super::program::Program;
use super::seccomp::Compiled;
use crate::error::{Error, Result};
use crate::sys::terminal::WindowSize;

/// A Spec made ready to start any number of times.
#[derive(Debug)]
pub struct Prepared {
    pub(super) namespaces: CloneFlags,
    /// The pod's namespaces that it joins; where one is missing it stays in the host's.
    pub(super) joins: CloneFlags,
    pub(super) overlay: Overlay,
    pub(super) root: PathBuf,
    pub(super) root_access: Access,
    pub(super) ops: Vec<Op>,
    pub(super) identity: Identity,
    pub(super) labels: Vec<Label>,
    /// The SELinux label of the files that the container's own mounts make (`linux.mountLabel`).
    pub(super) mount_label: Option<String>,
    pub(super) filters: Option<Rc<[BpfProgram]>>,
    pub(super) program: Program,
    pub(super) terminal: Terminal,
}

/// Whether the Spec asks for a terminal (`process.terminal`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Terminal {
    /// The streams are given.
    None,
    /// They are a terminal of the container's, of the size that the Spec says (`process.consoleSize`).
    Own(WindowSize),
}

/// Whether the container may write its root file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    ReadWrite,
    ReadOnly,
}

impl Prepared {
    /// Checks and translates a Spec (runtime-spec, config.md and config-linux.md) whose root is `overlay`.
    ///
    /// # Errors
    /// Whatever the Spec asks for that this runtime cannot do, by its name in the Spec.
    pub fn new<'a>(spec: &'a Spec, overlay: Overlay, filters: &mut Compiled<'a>) -> Result<Prepared> {
        refuse_unsupported(spec)?;
        let root = spec.root().as_ref().ok_or_else(|| Error::new("the spec has no root"))?;
        let process = spec.process().as_ref().ok_or_else(|| Error::new("the spec has no process"))?;
        let profile = spec.linux().as_ref().and_then(|l| l.seccomp().as_ref());
        let (namespaces, joins) = namespaces(spec)?;
        Ok(Prepared {
            namespaces,
            joins,
            overlay,
            root: root.path().clone(),
            root_access: if root.readonly() == Some(true) { Access::ReadOnly } else { Access::ReadWrite },
            ops: operations(spec)?,
            identity: Identity::new(spec, process)?,
            labels: Label::all(process),
            mount_label: spec.linux().as_ref().and_then(|l| l.mount_label().clone()),
            filters: profile.map(|profile| filters.get(profile)).transpose()?,
            program: Program::new(process)?,
            terminal: terminal(process),
        })
    }

    /// The same with the program and the environment of `process`, which is the Spec's in everything else.
    ///
    /// # Errors
    /// No argument, or a NUL byte in one or in a variable.
    pub fn with_program(&self, process: &Process) -> Result<Prepared> {
        Ok(Prepared {
            namespaces: self.namespaces,
            joins: self.joins,
            overlay: self.overlay.clone(),
            root: self.root.clone(),
            root_access: self.root_access,
            ops: self.ops.clone(),
            identity: self.identity.clone(),
            labels: self.labels.clone(),
            mount_label: self.mount_label.clone(),
            filters: self.filters.clone(),
            program: Program::new(process)?,
            terminal: self.terminal,
        })
    }

    /// Whether the container's streams are a terminal of its own.
    pub fn terminal(&self) -> Terminal {
        self.terminal
    }
}

fn terminal(process: &Process) -> Terminal {
    if process.terminal() != Some(true) {
        return Terminal::None;
    }
    let size = process.console_size();
    let of = |number: Option<u64>| number.and_then(|n| u16::try_from(n).ok()).unwrap_or_default();
    Terminal::Own(WindowSize { columns: of(size.map(|s| s.width())), rows: of(size.map(|s| s.height())) })
}

/// The namespaces that the clone makes, and those that are joined, which come as descriptors; the last user namespace comes later.
fn namespaces(spec: &Spec) -> Result<(CloneFlags, CloneFlags)> {
    let (mut flags, mut joins) = (CloneFlags::empty(), CloneFlags::empty());
    for namespace in spec.linux().as_ref().and_then(|l| l.namespaces().as_ref()).into_iter().flatten() {
        let typ = namespace.typ();
        flags |= match (typ, namespace.path()) {
            (LinuxNamespaceType::Pid, None) => CloneFlags::CLONE_NEWPID,
            (LinuxNamespaceType::Mount, None) => CloneFlags::CLONE_NEWNS,
            (LinuxNamespaceType::Cgroup, None) => CloneFlags::CLONE_NEWCGROUP,
            (LinuxNamespaceType::Network, Some(_)) => join(&mut joins, CloneFlags::CLONE_NEWNET),
            (LinuxNamespaceType::Ipc, Some(_)) => join(&mut joins, CloneFlags::CLONE_NEWIPC),
            (LinuxNamespaceType::Uts, Some(_)) => join(&mut joins, CloneFlags::CLONE_NEWUTS),
            (LinuxNamespaceType::User, Some(_)) => join(&mut joins, CloneFlags::CLONE_NEWUSER),
            (LinuxNamespaceType::Pid, Some(_)) | (LinuxNamespaceType::User, None) => CloneFlags::empty(),
            (_, path) => {
                return Err(Error::new(format!("a {typ} namespace with path {path:?} is not supported")));
            }
        };
    }
    if !flags.contains(CloneFlags::CLONE_NEWNS) {
        return Err(Error::new(
            "the spec has no mount namespace of its own, and podling mounts nothing in a shared one",
        ));
    }
    Ok((flags, joins))
}

/// One more namespace to join, and none to make.
fn join(joins: &mut CloneFlags, namespace: CloneFlags) -> CloneFlags {
    *joins |= namespace;
    CloneFlags::empty()
}

fn refuse_unsupported(spec: &Spec) -> Result<()> {
    let linux = spec.linux().as_ref();
    let process = spec.process().as_ref();
    let written = [
        ("hooks", spec.hooks().is_some()),
        ("process.oomScoreAdj", process.is_some_and(|p| p.oom_score_adj().is_some())),
        ("process.ioPriority", process.is_some_and(|p| p.io_priority().is_some())),
        ("process.scheduler", process.is_some_and(|p| p.scheduler().is_some())),
        ("linux.resources", linux.is_some_and(|l| l.resources().is_some())),
        ("linux.sysctl", linux.is_some_and(|l| l.sysctl().is_some())),
        ("linux.devices", linux.is_some_and(|l| l.devices().is_some())),
        ("linux.cgroupsPath", linux.is_some_and(|l| l.cgroups_path().is_some())),
        ("linux.rootfsPropagation", linux.is_some_and(|l| l.rootfs_propagation().is_some())),
        ("linux.personality", linux.is_some_and(|l| l.personality().is_some())),
    ];
    match written.iter().find(|(_, is_written)| *is_written) {
        Some((field, _)) => Err(Error::new(format!("the runtime spec's {field} is not supported yet"))),
        None => Ok(()),
    }
}

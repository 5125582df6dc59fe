//! What the supervisor has from the client: everything that was read, planned and made ready before it was cloned.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Instant;

use crate::host::confine::Tree;
use crate::plan::PodPlan;
use crate::pod::control::server::Owner;
use crate::pod::follow::Follow;
use crate::pod::host_path::HostTrees;
use crate::pod::output::Label;
use crate::pod::status::TracePoint;
use crate::runtime::Prepared;

/// What the supervisor inherits from the client.
#[derive(Debug)]
pub(in crate::pod) struct Inheritance<'a> {
    pub(in crate::pod) plan: PodPlan,
    /// The init containers, then the others, each made ready.
    pub(in crate::pod) prepared: Vec<Prepared>,
    pub(in crate::pod) data: &'a Tree,
    /// The pod's directory on disk.
    pub(in crate::pod) dir: &'a Path,
    pub(in crate::pod) link: OwnedFd,
    /// The control socket.
    pub(in crate::pod) listener: OwnedFd,
    pub(in crate::pod) owner: Owner,
    pub(in crate::pod) stdin: File,
    /// Where the containers' lines go, unless the pod is started detached.
    pub(in crate::pod) front: Option<FrontDescriptors>,
    pub(in crate::pod) notices: Notices,
    pub(in crate::pod) about: About,
    /// What the volumes follow, if they do.
    pub(in crate::pod) follow: Option<Follow>,
    /// The trees of `hostPath` volumes, where the client had to look for them: a pod of real root is nobody on the host.
    pub(in crate::pod) host_trees: Option<HostTrees>,
}

/// The client's own streams, and how each container is called there, in the order of the plan.
#[derive(Debug)]
pub(in crate::pod) struct FrontDescriptors {
    pub(in crate::pod) stdout: OwnedFd,
    pub(in crate::pod) stderr: OwnedFd,
    pub(in crate::pod) labels: Vec<Label>,
}

/// What is known of the pod beside its plan.
#[derive(Debug)]
pub(in crate::pod) struct About {
    /// The Pod as said, as JSON text.
    pub(in crate::pod) object: String,
    pub(in crate::pod) namespace: String,
    pub(in crate::pod) uid: String,
    pub(in crate::pod) keep: Keep,
    pub(in crate::pod) tells: Tells,
    /// By how much waits are stretched.
    pub(in crate::pod) time_scale: f64,
    /// When the command began.
    pub(in crate::pod) begun: Instant,
    pub(in crate::pod) trace: Vec<TracePoint>,
    /// Whether the foreground shows it.
    pub(in crate::pod) show_trace: ShowTrace,
}

/// What the client learns beside the pod's end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pod) enum Tells {
    /// Nothing.
    PodsEnd,
    /// How each container has ended, and their restarts: a Job decides by them.
    ContainersEnds,
}

/// Whether the user is shown where the start-up time went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShowTrace {
    /// Not, or not any more.
    No,
    /// Once the pod is ready, or has ended.
    Yes,
}

/// What stays of the pod when it has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pod) enum Keep {
    /// Nothing.
    Nothing,
    /// Its last state and its logs, until `podling rm`.
    Record,
}

/// Whether podling says what the user may like to know, beside errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pod) enum Notices {
    Said,
    LeftOut,
}

impl About {
    /// A step of the pod's start has ended.
    pub(super) fn trace(&mut self, step: &str) {
        // Only the first time is the start's: containers may start again, and probes change their minds, for as long as the pod lives.
        if self.trace.iter().any(|point| point.step == step) {
            return;
        }
        let at_us = u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.trace.push(TracePoint { step: step.to_owned(), at_us });
    }
}

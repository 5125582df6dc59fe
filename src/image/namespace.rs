//! The seam to user namespaces: layers are written and removed where their owners' ids exist.

use crate::error::Result;
use crate::host::{HostFacts, userns::run_mapped};

/// Runs work in a child process inside the pod's user namespace, as its root.
pub trait InUserNamespace {
    /// Runs `job` there and brings back the bytes it made, or its error.
    ///
    /// The child has copies of the caller's descriptors and may start threads; what else it changes in memory is lost. It must
    /// not outlive the caller, whose locks it holds copies of.
    fn run(&self, job: &mut dyn FnMut() -> Result<Vec<u8>>) -> Result<Vec<u8>>;
}

/// Runs the job in the calling process: right where no id is mapped, or where the caller already is the root of the map.
pub struct InPlace;

impl InUserNamespace for InPlace {
    fn run(&self, job: &mut dyn FnMut() -> Result<Vec<u8>>) -> Result<Vec<u8>> {
        job()
    }
}

impl InUserNamespace for HostFacts {
    fn run(&self, job: &mut dyn FnMut() -> Result<Vec<u8>>) -> Result<Vec<u8>> {
        run_mapped(self, job)
    }
}

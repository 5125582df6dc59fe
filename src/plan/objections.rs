//! Everything about a valid pod that this host, the policy or the command line does not let podling honour, and that can be told before
//! anything else is decided: all of it at once.

use k8s_openapi::api::core::v1::Pod;

use super::{Options, host_path, placement, policy, sandbox};
use crate::host::{Detail, HostFacts};
use crate::manifest::{Bundle, Objection, Said};

/// What stands against running `pod`: what `check` tells, and what `plan` and `run` refuse.
pub fn objections(pod: &Said<Pod>, bundle: &Bundle, host: &HostFacts, options: &Options) -> Vec<Objection> {
    let mut objections = policy::objections(&host_path::absolute(pod), options);
    let kernels = sandbox::objections(pod, host);
    for objection in objections.iter_mut().filter(|own| kernels.iter().any(|other| other.path == own.path)) {
        // No `--allow` mends what the kernel lacks.
        objection.mend = None;
    }
    objections.extend(host_path::objections(pod, bundle, host, options));
    objections.extend(kernels);
    objections.extend(placement::objections(pod, bundle, host, options));
    objections
}

/// What they and the plan of `pod` have to know about the host besides what every plan does.
pub fn wanted(pod: &Said<Pod>, options: &Options) -> Vec<Detail> {
    let mut wanted = sandbox::wanted(&pod.object);
    wanted.extend(host_path::wanted(pod, options));
    wanted
}

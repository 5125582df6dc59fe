//! Everything about a valid pod that this host, the policy or the command line does not let podling honour, and that can be told before
//! anything else is decided: all of it at once.

use k8s_openapi::api::core::v1::Pod;

use super::{Options, host_path, placement, policy};
use crate::host::HostFacts;
use crate::manifest::{Bundle, Objection, Said};

/// What stands against running `pod`: what `check` tells, and what `plan` and `run` refuse.
pub fn objections(pod: &Said<Pod>, bundle: &Bundle, host: &HostFacts, options: &Options) -> Vec<Objection> {
    let mut objections = policy::objections(&host_path::absolute(pod), options);
    objections.extend(host_path::objections(pod));
    objections.extend(placement::objections(pod, bundle, host, options));
    objections
}

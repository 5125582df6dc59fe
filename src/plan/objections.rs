//! Everything about a valid pod that this host, the policy or the command line does not let podling honour, and that can be told before
//! anything else is decided: all of it at once.

use k8s_openapi::api::core::v1::Pod;

use super::{Options, host_path};
use crate::host::HostFacts;
use crate::manifest::{Bundle, Objection, Said};

/// What stands against running `pod`.
pub fn objections(pod: &Said<Pod>, bundle: &Bundle, host: &HostFacts, options: &Options) -> Vec<Objection> {
    let _ = (bundle, host);
    let Some(spec) = &pod.object.spec else { return Vec::new() };
    host_path::objections(pod, spec, options)
}

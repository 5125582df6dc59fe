//! What this machine can do: tried, not guessed.

mod idmap;

pub use idmap::{IdExtent, IdMap};

/// The facts about this host and caller that a plan depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFacts {
    /// The ids that exist inside the pod's user namespace.
    pub ids: IdMap,
    /// The platform's operating system in OCI's words, `linux`.
    pub os: String,
    /// The platform's architecture in OCI's words (`amd64`, `arm64` …).
    pub arch: String,
}

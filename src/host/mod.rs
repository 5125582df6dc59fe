//! What this machine can do: tried, not guessed.

pub mod beneath;
pub mod confine;
mod details;
mod diagnose;
mod facts;
mod idmap;
mod node;
mod own_program;
pub mod place;
mod private;
pub mod subids;
pub mod sysctl;
pub mod userns;

use std::path::PathBuf;

pub use details::{Detail, Details, Module, Place};
pub use diagnose::explain;
pub use facts::{architecture, find_program};
pub use idmap::{IdExtent, IdMap};
pub use node::Node;
pub use own_program::protect;

/// The facts about this host and caller that a plan depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFacts {
    /// The host's name as a kubelet would name its node: in small letters (gethostname(2)).
    pub name: String,
    /// Who runs podling.
    pub caller: Caller,
    /// The ids that exist inside the pod's user namespace.
    pub ids: IdMap,
    /// Who writes that map.
    pub mapper: Mapper,
    /// The platform's architecture in OCI's words (`amd64`, `arm64` …).
    pub arch: String,
    /// What it offers as a node; nothing unless [`HostFacts::with_node`] has looked.
    pub node: Node,
    /// What works less well than it could here, one sentence each with its mend.
    pub notices: Vec<String>,
    /// What only a few pods depend on, for those.
    pub details: Details,
}

/// Who runs podling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// Root of the machine: pods use a range that maps no host user.
    Root,
    /// Anybody else: the caller becomes the pod's root.
    User,
}

/// Who writes the id map of a new user namespace (user_namespaces(7)).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mapper {
    /// The new process itself: one id needs no privilege.
    Itself,
    /// The process that made it, by its own CAP_SETUID and CAP_SETGID.
    Client,
    /// The setuid helpers of shadow-utils, which know the caller's subordinate ids.
    Helpers {
        /// Path of newuidmap(1).
        newuidmap: PathBuf,
        /// Path of newgidmap(1).
        newgidmap: PathBuf,
    },
}

#[cfg(test)]
impl HostFacts {
    /// An ordinary user's host with these ids, for tests of what is pure.
    pub(crate) fn sample(ids: IdMap) -> HostFacts {
        HostFacts {
            name: "here".to_owned(),
            caller: Caller::User,
            ids,
            mapper: Mapper::Itself,
            arch: "amd64".to_owned(),
            node: Node::default(),
            notices: Vec::new(),
            details: Details::default(),
        }
    }
}

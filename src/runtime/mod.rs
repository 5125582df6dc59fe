//! Executing one OCI runtime Spec: namespaces to join, root file system, mounts, identity, capabilities, seccomp, exec into it.
//!
//! Knows nothing of Kubernetes. Everything that can fail for the Spec's sake fails in [`Prepared::new`], before the clone;
//! the child then makes system calls only, and its first failure travels back as one message.

mod channel;
mod child;
mod exec;
mod identity;
mod label;
mod mounts;
mod overlay;
mod pause;
mod place;
mod prepare;
mod program;
pub mod seccomp;
mod start;
mod target;
mod visit;
mod wall;

pub use exec::{Command, exec, visit};
pub use overlay::{Overlay, mount_read_only_overlay};
pub use pause::Pause;
pub use place::{Joined, SharedProcesses, Stdio, Streams};
pub use prepare::{Prepared, Terminal};
pub use start::{Progress, Starting, start};

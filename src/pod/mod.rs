//! The life of a pod: its supervisor, sandbox, volumes, restarts and output, and the client that waits for it.

mod backoff;
mod base;
mod client;
mod container;
mod events;
mod link;
// Until the supervisor writes logs and a verb reads them.
#[allow(dead_code)]
pub mod log;
mod output;
mod root;
mod sandbox;
mod state;
mod stream;
mod supervisor;
mod volumes;

pub use base::{base_layer, make_base_layer};
pub use client::{Run, run};
pub use output::Style;
pub use state::{Claim, pod_dir, sweep};

//! The life of a pod: its supervisor, sandbox, volumes, restarts and output, and the client that waits for it.

mod backoff;
mod base;
mod client;
mod container;
// Nobody calls it before the control socket carries `cp`.
#[allow(dead_code)]
mod copy;
mod events;
mod link;
mod output;
mod root;
mod sandbox;
mod state;
mod stream;
mod supervisor;
mod volumes;

pub use base::{base_layer, make_base_layer};
pub use client::{Run, run};
pub use copy::{Links, Owner};
pub use output::Style;
pub use state::{Claim, pod_dir, sweep};

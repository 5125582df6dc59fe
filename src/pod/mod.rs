//! The life of a pod: its supervisor, sandbox, volumes, restarts and output, and the client that waits for it.

mod backoff;
mod client;
mod container;
mod events;
mod link;
mod output;
mod root;
mod sandbox;
mod state;
mod stream;
mod supervisor;
mod volumes;

pub use client::{Run, run};
pub use output::Style;
pub use state::{Claim, sweep};

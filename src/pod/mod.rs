//! The life of a pod: its supervisor, sandbox, volumes, restarts and output, the client that waits for it, and those that ask later.

mod backoff;
mod base;
mod client;
mod clock;
mod container;
mod control;
mod copy;
mod errand;
mod events;
mod happenings;
mod leaving;
mod link;
pub mod list;
pub mod log;
mod output;
mod probe;
mod probing;
mod processes;
pub mod record;
mod root;
mod rules;
mod sandbox;
mod state;
pub mod status;
mod stream;
mod supervisor;
mod volumes;

pub use base::{base_layer, make_base_layer};
pub use client::{Mode, Run, Start, Until, run};
pub use clock::now;
pub use control::{Connection, Reply, Request, Usage, connect};
pub use copy::{Copied, Job, Links, Owner, Top, deliver, deliver_archive, fetch, fetch_archive};
pub use output::Style;
pub use state::{Claim, Kept, pod_dir, sweep};
pub use supervisor::ShowTrace;

//! Container logs on disk, in the CRI log format (Kubernetes, design proposals, "CRI: Log management for container stdout/stderr
//! streams"): the supervisor writes them, a client reads them.
//!
//! Each container's files lie in the pod's directory: `CONTAINER.RUN.log` is written now, `CONTAINER.RUN.log.SEQ` were rotated
//! away, with `SEQ` rising from 1. `RUN` is the container's restart count. Only the current run and the one before are kept.

mod cri;
mod files;
mod follow;
mod lines;
mod neutral;
mod printer;
mod reader;
mod sources;
mod stamp;
mod tail;
#[cfg(test)]
mod tests;
mod writer;

pub use cri::LogStream;
pub use files::{forget_before, runs};
pub use follow::{follow, follow_arrivals, print};
pub use neutral::Neutral;
pub use printer::Timestamps;
pub use sources::{Arrival, Arrivals, Lost, Options, Outcome, Progress, Source, Watch};
pub use stamp::Stamp;
pub use writer::{Limits, Trouble, Writer};

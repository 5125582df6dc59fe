//! Jobs: pods that are started one after another until enough of them have succeeded.
//!
//! `controller` decides, knowing neither clock nor process; `run` does it, in the client's loop.

mod backoff;
mod controller;
mod indexes;
mod policy;
mod run;
#[cfg(test)]
mod tests;

pub(super) use policy::PodEnd;
pub(super) use run::{Crew, Notices, Of, Order};
pub use run::{StartJob, Template};

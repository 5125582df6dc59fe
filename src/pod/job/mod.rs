//! Jobs: pods that are started one after another until enough of them have succeeded.
//!
//! `controller` decides, knowing neither clock nor process; `run` does it, in the client's loop or a keeper's; `record` and `status` are what
//! is kept of a detached Job, `claim` is its directory, and `list` finds them.

mod backoff;
mod claim;
mod controller;
mod indexes;
mod list;
mod policy;
mod record;
mod run;
mod status;
#[cfg(test)]
mod tests;

pub use claim::JobClaim;
pub(super) use list::remove_pods;
pub use list::{FoundJob, find_job, get_job, job_in, job_names, jobs, owner, pod_names, sweep_jobs};
pub(super) use policy::PodEnd;
pub use record::JobFirst;
pub(super) use run::{Crew, Notices, Of, Order, STOPPED};
pub use run::{StartJob, Template};
pub(super) use status::{Progress, Times};
pub use status::{condition_of, is_finished};

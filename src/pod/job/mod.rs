//! Jobs: pods that are started one after another until enough of them have succeeded.
//!
//! `controller` decides, knowing neither clock nor process; `run` does it, in the client's loop or a keeper's; `record` and `status` are what
//! is kept of a detached Job.

mod backoff;
mod controller;
mod indexes;
mod policy;
mod record;
mod run;
mod status;
#[cfg(test)]
mod tests;

pub(super) use policy::PodEnd;
pub(super) use record::remove_pods;
pub use record::{
    FoundJob, JobClaim, JobFirst, find_job, get_job, job_in, job_names, jobs, new_pod_names, owner, pod_names,
    sweep_jobs,
};
pub(super) use run::{Crew, Notices, Of, Order, STOPPED};
pub use run::{StartJob, Template};
pub(super) use status::{Progress, Times};
pub use status::{condition_of, is_finished};

//! From a planned Job to a running one: what its pods are made of, and what is kept of it.

use std::path::Path;

use super::first::{LifeArgs, first, hold_volumes};
use super::planner::{Planner, first_pod};
use crate::error::{Context, Error, Result};
use crate::host::HostFacts;
use crate::manifest::{ObjectKey, SaidJob};
use crate::plan::{JobPlan, JobPod, JobStart};
use crate::pod::job::JobFirst;
use crate::pod::record::boot_id;
use crate::pod::{Claim, Kept, Mode, Start, Template};

/// What the pods of a Job are made of.
#[derive(Debug)]
pub struct JobTemplate<'a> {
    /// The Job as said.
    pub said: &'a SaidJob,
    /// What was decided of it.
    pub plan: JobPlan,
    /// Who plans its pods.
    pub planner: &'a Planner<'a>,
    /// This host.
    pub facts: &'a HostFacts,
    /// podling's data.
    pub data: &'a Path,
    /// How its pods live.
    pub life: &'a LifeArgs,
    /// Whether they go on alone.
    pub mode: Mode,
}

impl Template for JobTemplate<'_> {
    fn pod(&mut self, pod: &JobPod) -> Result<Start> {
        let said = crate::plan::job_pod(self.said, &self.plan, pod);
        let plan = self.planner.start(&said)?;
        let mut first = first(self.planner, &said, &plan, self.mode, self.life)?;
        // It is never started again: its Job starts another in its place.
        first.inputs.clear();
        let claim = Claim::new(self.data, &plan.name, self.facts, Kept::Stays)?;
        let volumes = hold_volumes(&plan, self.data, self.facts)?;
        // Their volumes stay as the Job was read: what it makes later must be what it made first.
        Ok(Start { plan, claim, first, follow: None, volumes })
    }
}

/// How a Job is started, to be kept.
///
/// # Errors
/// A pod of it cannot be planned, or the Job not written as JSON.
pub fn first_of_job(planner: &Planner, said: &SaidJob, plan: &JobPlan, life: &LifeArgs) -> Result<JobFirst> {
    let object = &said.said.object;
    let ttl = object.spec.as_ref().and_then(|spec| spec.ttl_seconds_after_finished);
    Ok(JobFirst {
        boot_id: boot_id(),
        name: plan.name.clone(),
        namespace: ObjectKey::of(object).namespace,
        uid: plan.uid.clone(),
        started_at: crate::pod::now(),
        fingerprint: fingerprint(planner, said, plan)?,
        object: text(said)?,
        inputs: planner.given.inputs.clone(),
        options: planner.given.options.clone(),
        time_scale: life.time_scale.to_string(),
        ttl_seconds: ttl.and_then(|ttl| u64::try_from(ttl).ok()),
        suspended: matches!(plan.start, JobStart::Suspended(_)),
    })
}

/// Whether the Job that was started as `first` says is the same as `plan`, the `n`th of the input.
///
/// # Errors
/// A pod that cannot be planned.
pub fn is_same_job(planner: &Planner, n: usize, plan: &JobPlan, first: &JobFirst, life: &LifeArgs) -> Result<bool> {
    let Some(said) = planner.given.bundle.jobs.get(n) else { return Ok(false) };
    Ok(first.object == text(said)?
        && first.time_scale == life.time_scale.to_string()
        && first.fingerprint == fingerprint(planner, said, plan)?)
}

fn text(said: &SaidJob) -> Result<String> {
    serde_json::to_string(&said.said.object).map_err(|e| Error::new(e.to_string())).context(|| "the Job")
}

/// What tells two Jobs' pods apart, whatever uids the Jobs have.
fn fingerprint(planner: &Planner, said: &SaidJob, plan: &JobPlan) -> Result<String> {
    let plan = JobPlan { uid: String::new(), ..plan.clone() };
    crate::plan::fingerprint(&planner.lasting(&first_pod(said, &plan))?)
}

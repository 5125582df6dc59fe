//! How pods are to live, and what is kept of their starts.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;

use super::planner::Planner;
use crate::error::{Context, Error, Result};
use crate::host::HostFacts;
use crate::manifest::{ObjectKey, Said};
use crate::plan::{PodPlan, VolumeSource};
use crate::pod::record::{First, boot_id};
use crate::pod::{Mode, Until, local};

/// Options about pods' lives, of `run`, `up` and `restart`.
#[derive(Debug, Clone, clap::Args)]
pub struct LifeArgs {
    /// Stretch back-offs, probe periods, grace periods and other waits by this factor; 0.01 is for tests
    #[arg(long, value_name = "FACTOR", default_value = "1", value_parser = factor)]
    pub time_scale: f64,

    /// Show where the start-up time went
    #[arg(long)]
    pub trace: bool,
}

/// Options of a start that does not wait for the pods' end.
#[derive(Debug, Clone, clap::Args)]
pub struct WaitArgs {
    /// Wait until every container is ready, not only until it runs
    #[arg(long)]
    pub wait: bool,

    /// Wait no longer than this (30s, 2m); the pods go on
    #[arg(long, value_name = "DURATION", value_parser = super::duration::parse)]
    pub timeout: Option<Duration>,
}

impl WaitArgs {
    /// How long the caller waits.
    pub fn mode(&self) -> Mode {
        Mode::Detached(if self.wait { Until::Ready } else { Until::Running }, self.timeout)
    }
}

fn factor(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(factor) if factor.is_finite() && (0.0001..=1000.0).contains(&factor) => Ok(factor),
        _ => Err("a factor is a number from 0.0001 to 1000; 1 is real time".to_owned()),
    }
}

/// Keeps the local volumes of a pod for it.
pub fn hold_volumes(plan: &PodPlan, data: &Path, facts: &HostFacts) -> Result<Vec<File>> {
    let mut held = Vec::new();
    for volume in &plan.volumes {
        let VolumeSource::Claim(claim) = &volume.source else { continue };
        let key = ObjectKey { namespace: claim.namespace.clone(), name: claim.name.clone() };
        let hold = local::get(data, &key).and_then(|local| local::hold(&local, claim.sharing, facts));
        held.push(hold.context(|| format!("pod {:?}: volume {:?}", plan.name, volume.name))?);
    }
    Ok(held)
}

/// How a pod is started; where it goes on alone, with what later ones are compared with.
///
/// # Errors
/// The pod cannot be planned or written as JSON.
pub fn first(planner: &Planner, said: &Said<Pod>, plan: &PodPlan, mode: Mode, life: &LifeArgs) -> Result<First> {
    let lasts = match mode {
        Mode::Foreground => None,
        Mode::Detached(..) => Some(planner.lasting(said)?),
    };
    let object = serde_json::to_string(&said.object).map_err(|e| Error::new(e.to_string())).context(|| "the pod")?;
    let names = plan.init_containers.iter().chain(&plan.containers).map(|c| c.name.clone());
    Ok(First {
        boot_id: lasts.as_ref().map(|_| boot_id()).unwrap_or_default(),
        name: plan.name.clone(),
        namespace: ObjectKey::of(&said.object).namespace,
        uid: plan.uid.clone(),
        started_at: crate::pod::now(),
        fingerprint: lasts.as_ref().map(crate::plan::fingerprint).transpose()?.unwrap_or_default(),
        plan: lasts
            .as_ref()
            .map(crate::plan::render_kept)
            .transpose()?
            .map(|plan| plan.to_string())
            .unwrap_or_default(),
        object,
        inputs: lasts.map(|_| planner.given.inputs.clone()).unwrap_or_default(),
        options: planner.given.options.clone(),
        time_scale: life.time_scale.to_string(),
        containers: names.collect(),
    })
}

//! The verbs on Jobs that were started detached, which are named `job/NAME`: how they end, are removed, listed and shown.

use std::io::Write;
use std::path::Path;

use serde_json::Value;

use super::ending::{Missing, end, remove};
use super::stdout::Stdout;
use super::table::{lasting, row, table};
use crate::error::{Error, Result};
use crate::host::HostFacts;
use crate::image::timestamp;
use crate::pod::job::{FoundJob, JobClaim, condition_of, find_job, get_job, job_in, jobs, pod_names};
use crate::pod::list::{self, Asked, Life};
use crate::pod::status::ContainerState;
use crate::pod::{Reply, Request};

/// Words that name Jobs, without `job/`, and the others.
pub fn apart(words: &[String]) -> (Vec<String>, Vec<String>) {
    let (jobs, pods): (Vec<&String>, Vec<&String>) = words.iter().partition(|word| job_in(word).is_some());
    (jobs.into_iter().filter_map(|word| job_in(word)).map(str::to_owned).collect(), pods.into_iter().cloned().collect())
}

/// Says which Jobs were started, and which of their first pods failed before their programs ran.
///
/// # Errors
/// A record that cannot be read.
pub fn started(data: &Path, names: &[String], quiet: bool) -> Result<()> {
    for name in names {
        if !quiet {
            writeln!(Stdout::lock(), "job/{name}")?;
        }
        // It may have been removed already, where its time to live is short.
        let Some(job) = find_job(data, name)? else { continue };
        for pod in pod_names(data, &job.first.uid) {
            let Some(found) = list::find(data, &pod)? else { continue };
            let Some(summary) = list::summary(&found, Asked::No)? else { continue };
            let cannot_start = |state: &ContainerState| matches!(state, ContainerState::Terminated { reason, .. } if reason == "StartError");
            if summary.containers.iter().any(|c| cannot_start(&c.state)) {
                let why = summary.message.as_deref().unwrap_or(&summary.state);
                super::say(format_args!(
                    "job {name:?}: pod {pod:?} failed at its start: {why}\n  the Job goes on by its rules: podling wait --for=complete job/{name}"
                ));
            }
        }
    }
    Ok(())
}

/// Asks Jobs to end, and waits until they have; all are asked before the first is waited for.
///
/// # Errors
/// A Job that is not there, unless that is passed, or cannot be asked.
pub fn stop(data: &Path, names: &[String], missing: Missing, grace_seconds: Option<u64>) -> Result<Vec<FoundJob>> {
    let find = |name: &String| match missing {
        Missing::Passed => find_job(data, name).transpose(),
        Missing::Refused => Some(get_job(data, name)),
    };
    let found = names.iter().filter_map(find).collect::<Result<Vec<_>>>()?;
    for job in found.iter().filter(|job| job.runs()) {
        let Some(keeper) = &job.keeper else { continue };
        // From its answer on no other pod is started.
        if keeper.call(&Request::Stop { grace_seconds }, &[])?.is_none() || grace_seconds.is_none() {
            continue;
        }
        for pod in pod_names(data, &job.first.uid) {
            if let Some(list::Found { life: Life::Live(pod), .. }) = list::find(data, &pod)? {
                pod.ask(&Request::Stop { grace_seconds }, &[])?;
            }
        }
    }
    for job in found.iter().filter(|job| job.runs()) {
        // The last answer is how it ended.
        while job.keeper.as_ref().map(|keeper| keeper.answer()).transpose()?.flatten().is_some() {}
    }
    Ok(found)
}

/// Ends the Job called `name`, if it is there, and removes what is kept of it and of its pods.
///
/// # Errors
/// It cannot be asked, or not be removed.
pub fn end_and_remove(data: &Path, facts: &HostFacts, name: &str, grace_seconds: Option<u64>) -> Result<()> {
    for job in stop(data, &[name.to_owned()], Missing::Passed, grace_seconds)? {
        take_away(data, facts, &job)?;
    }
    Ok(())
}

/// Removes what is kept of a Job that has ended, and of its pods.
///
/// # Errors
/// What could not be removed.
pub fn take_away(data: &Path, facts: &HostFacts, job: &FoundJob) -> Result<()> {
    for pause in list::pauses(500) {
        // A keeper that waits to remove the Job itself leaves that to whoever asks.
        if let Some(FoundJob { keeper: Some(keeper), .. }) = find_job(data, &job.name)? {
            keeper.ask(&Request::Stop { grace_seconds: None }, &[])?;
        }
        if let Some(claim) = JobClaim::of_ended(&job.dir)? {
            for pod in pod_names(data, &job.first.uid) {
                // Those of a Job whose keeper was killed may still be ending.
                let Some(found) = list::find(data, &pod)? else { continue };
                end(&found, Some(0))?;
                remove(&found, facts)?;
            }
            return claim.remove();
        }
        if !job.dir.exists() {
            return Ok(());
        }
        std::thread::sleep(pause);
    }
    Err(Error::new(format!("Job {:?} has ended, but something holds its directory {:?}", job.name, job.dir))
        .mend("another podling may be starting a Job of that name: look at podling ps --jobs"))
}

/// Removes a Job that has ended, and with `force` one that runs, too; whether it was there.
///
/// # Errors
/// One that runs, or that is not there, unless that is passed.
pub fn rm(data: &Path, facts: &HostFacts, name: &str, missing: Missing, force: bool) -> Result<bool> {
    let job = match find_job(data, name)? {
        None if missing == Missing::Passed => return Ok(false),
        found => found.map_or_else(|| get_job(data, name), Ok)?,
    };
    if job.runs() && !force {
        return Err(Error::new(format!("Job {name:?} is running"))
            .mend(format!("stop and remove it with: podling down job/{name}")));
    }
    end_and_remove(data, facts, name, Some(0))?;
    Ok(true)
}

/// The names of all Jobs, or of those that have not ended.
///
/// # Errors
/// A record that cannot be read.
pub fn names(data: &Path, which: Which) -> Result<Vec<String>> {
    match which {
        // A directory that its maker left before it was a Job's is none.
        Which::All => Ok(jobs(data)?.into_iter().map(|job| job.name).collect()),
        Which::Running => Ok(jobs(data)?.into_iter().filter(FoundJob::runs).map(|job| job.name).collect()),
        Which::Ended => Ok(jobs(data)?.into_iter().filter(|job| !job.runs()).map(|job| job.name).collect()),
    }
}

/// Which Jobs are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All.
    All,
    /// Those that run.
    Running,
    /// The others.
    Ended,
}

/// The Jobs as a table, as `kubectl get jobs` has it.
pub fn listing(jobs: &[FoundJob]) -> String {
    let now = crate::pod::now();
    let header = row(["NAME", "STATUS", "COMPLETIONS", "DURATION", "AGE"]);
    table(&[header].into_iter().chain(jobs.iter().map(|job| cells(job, now))).collect::<Vec<_>>())
}

fn cells(job: &FoundJob, now: i64) -> Vec<String> {
    let spec: Value = serde_json::from_str::<Value>(&job.first.object).unwrap_or_default()["spec"].take();
    let at = |time: &Value| time.as_str().and_then(timestamp::parse);
    let ended = ["Complete", "Failed"].iter().find_map(|kind| condition_of(&job.status, kind));
    let status = ["Complete", "Failed", "Suspended", "SuccessCriteriaMet", "FailureTarget"];
    let status = status.into_iter().find(|kind| condition_of(&job.status, kind).is_some()).unwrap_or("Running");
    let succeeded = job.status["succeeded"].as_u64().unwrap_or(0);
    let completions = match (spec["completions"].as_u64(), spec["parallelism"].as_u64()) {
        (Some(completions), _) => format!("{succeeded}/{completions}"),
        (None, Some(parallelism)) if parallelism > 1 => format!("{succeeded}/1 of {parallelism}"),
        (None, _) => format!("{succeeded}/1"),
    };
    let end = ended.map_or(Some(now), |condition| at(&condition["lastTransitionTime"]));
    let duration = at(&job.status["startTime"]).zip(end).map(|(start, end)| lasting(end - start));
    let age = lasting(now - job.first.started_at);
    vec![job.name.clone(), status.to_owned(), completions, duration.unwrap_or_default(), age]
}

/// How a Job that `answer` is the last word of has ended: its status.
pub fn last_word(answer: &Reply) -> Option<Value> {
    if let Reply::Object(status) = answer { serde_json::from_str(status).ok() } else { None }
}

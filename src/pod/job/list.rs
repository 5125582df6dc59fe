//! The Jobs of which something is kept, and how each stands: what its keeper says, or what can be told of one that has none.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::claim::JobClaim;
use super::record::{FIRST, JobFirst, job_dir, read_first, read_status};
use super::status::{condition_of, is_finished};
use crate::error::{Context, Error, Result};
use crate::host::HostFacts;
use crate::image::timestamp;
use crate::pod::control::{Connection, connect};
use crate::pod::state::{Claim, pod_dir};
use crate::pod::{list, record};

/// A Job of which something is kept.
#[derive(Debug)]
pub struct FoundJob {
    /// Its name.
    pub name: String,
    /// Its directory.
    pub dir: PathBuf,
    /// How it was started.
    pub first: JobFirst,
    /// `status`.
    pub status: Value,
    /// Its keeper, where it has one.
    pub keeper: Option<Connection>,
}

/// The name in a word that names a Job as kubectl does: `job/NAME`.
pub fn job_in(word: &str) -> Option<&str> {
    ["job/", "jobs/", "job.batch/", "jobs.batch/"].iter().find_map(|prefix| word.strip_prefix(prefix))
}

/// The names of the pods of the Job with this uid, in the order in which they were started.
pub fn pod_names(data: &Path, uid: &str) -> Vec<String> {
    let mut pods = Vec::new();
    for name in list::names(data) {
        if let Ok(Some(first)) = record::read_first(&pod_dir(data, &name))
            && owner(&first.object).is_some_and(|(_, owner)| owner == uid)
        {
            pods.push((first.started_at, name));
        }
    }
    pods.sort_unstable();
    pods.into_iter().map(|(_, name)| name).collect()
}

/// The name and uid of the Job that a pod is one of, whose object is `pod` as JSON text.
pub fn owner(pod: &str) -> Option<(String, String)> {
    let pod: Value = serde_json::from_str(pod).ok()?;
    let mut owners = pod["metadata"]["ownerReferences"].as_array()?.iter();
    let owner = owners.find(|owner| owner["controller"] == true && owner["kind"] == "Job")?;
    Some((owner["name"].as_str()?.to_owned(), owner["uid"].as_str()?.to_owned()))
}

/// The names of all Jobs of which something is kept.
pub fn job_names(data: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(data.join("jobs")) else { return Vec::new() };
    let mut names: Vec<String> = entries.flatten().filter_map(|e| e.file_name().into_string().ok()).collect();
    names.sort_unstable();
    names
}

/// All Jobs of which something is kept, by name.
///
/// # Errors
/// A socket that cannot be connected to.
pub fn jobs(data: &Path) -> Result<Vec<FoundJob>> {
    let mut found = Vec::new();
    for name in job_names(data) {
        found.extend(find_job(data, &name)?);
    }
    Ok(found)
}

/// The Job called `name`.
///
/// # Errors
/// There is none, and which of the others may have been meant.
pub fn get_job(data: &Path, name: &str) -> Result<FoundJob> {
    if let Some(found) = find_job(data, name)? {
        return Ok(found);
    }
    let names = job_names(data);
    let error = Error::new(format!("there is no Job {name:?}"));
    Err(match crate::manifest::nearest(name, names.iter().map(String::as_str).filter(|other| *other != name)) {
        Some(meant) => error.mend(format!("did you mean job/{meant}?")),
        None if names.is_empty() => error.mend("no Job is kept here; start one with: podling run -d FILE"),
        None => error.mend("podling ps --jobs lists them all"),
    })
}

/// The Job called `name`, if there is one.
///
/// # Errors
/// As [`jobs`].
pub fn find_job(data: &Path, name: &str) -> Result<Option<FoundJob>> {
    if name.contains('/') || name.starts_with('.') || name.is_empty() {
        return Ok(None);
    }
    let dir = job_dir(data, name);
    let keeper = connect(&dir)?;
    let first = match read_first(&dir) {
        // One whose record cannot be read must not hide the others, and can be removed like them.
        Err(_) => JobFirst::damaged(name),
        // It is being made or removed.
        Ok(None) => return Ok(None),
        Ok(Some(first)) => first,
    };
    let status = read_status(&dir).ok().flatten();
    let status = match status {
        Some(status) if keeper.is_some() || is_finished(&status) => status,
        None if first.suspended => first.suspended_status(),
        None if keeper.is_some() => json!({ "startTime": timestamp::format(first.started_at), "active": 0 }),
        status => first.lost_status(status),
    };
    Ok(Some(FoundJob { name: name.to_owned(), dir, first, status, keeper }))
}

impl FoundJob {
    /// Whether a keeper has something to do for it, beside waiting for its removal.
    pub fn runs(&self) -> bool {
        self.keeper.is_some() && !is_finished(&self.status)
    }

    /// Whether it was ended by something else than its own rules, so that it has not done what it was for.
    pub fn was_cut_short(&self) -> bool {
        let reasons = ["Stopped", "PodNotRun", "KeeperKilled", "NodeRebooted", "RecordDamaged"];
        condition_of(&self.status, "Failed")
            .is_some_and(|failed| reasons.iter().any(|reason| failed["reason"] == *reason))
    }

    /// The Job as a Kubernetes object, with its status.
    ///
    /// # Errors
    /// The record's object is damaged.
    pub fn object(&self) -> Result<Value> {
        let said = serde_json::from_str(&self.first.object).map_err(|e| Error::new(e.to_string()));
        let mut object: Value = said.context(|| format!("the object of the Job {:?}", self.name))?;
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.insert("name".into(), json!(self.name));
            metadata.insert("namespace".into(), json!(self.first.namespace));
            metadata.insert("uid".into(), json!(self.first.uid));
            metadata.insert("creationTimestamp".into(), json!(timestamp::format(self.first.started_at)));
            if self.first.time_scale != "1"
                && let Some(annotations) = metadata.entry("annotations").or_insert_with(|| json!({})).as_object_mut()
            {
                annotations.insert("podling.dev/time-scale".into(), json!(self.first.time_scale));
            }
        }
        object["status"] = self.status.clone();
        Ok(object)
    }
}

/// Removes what is kept of the ended pods of the Job with this uid.
pub(in crate::pod) fn remove_pods(data: &Path, uid: &str, facts: &HostFacts) -> Result<()> {
    for name in pod_names(data, uid) {
        if let Some(claim) = Claim::of_ended(&pod_dir(data, &name))? {
            claim.release(facts)?;
        }
    }
    Ok(())
}

/// Removes directories below `jobs` that were never a Job's, since their makers were killed, and Jobs that have outlived their time while they
/// had no keeper to see to it.
pub fn sweep_jobs(data: &Path, facts: &HostFacts) {
    for name in job_names(data) {
        let dir = job_dir(data, &name);
        // One that is being made is locked by its maker.
        let Ok(Some(claim)) = JobClaim::of_ended(&dir) else { continue };
        if !dir.join(FIRST).exists() {
            let _ = claim.remove();
            continue;
        }
        // Of one whose keeper could not say how it ended nobody knows when that was, so it stays.
        if let Ok(Some(first)) = read_first(&dir)
            && let Ok(Some(status)) = read_status(&dir)
            && first.is_past(&status, crate::pod::now())
            && remove_pods(data, &first.uid, facts).is_ok()
        {
            let _ = claim.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::STATUS;
    use super::super::status::condition;
    use super::*;
    use crate::host::{IdExtent, IdMap};
    use crate::pod::record::boot_id;
    use crate::pod::state::Kept;

    fn first() -> JobFirst {
        let object = json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "said" }, "spec": {} });
        let boot_id = boot_id();
        JobFirst { boot_id, uid: "u".to_owned(), object: object.to_string(), started_at: 1, ..JobFirst::damaged("j") }
    }

    fn facts() -> HostFacts {
        let extent = vec![IdExtent { inside: 0, outside: 1000, count: 1 }];
        HostFacts::sample(IdMap { uids: extent.clone(), gids: extent })
    }

    #[test]
    fn a_job_that_nobody_keeps_goes_when_its_time_is_over() {
        let place = tempfile::tempdir().unwrap();
        let ended =
            json!({ "conditions": [condition("Complete", "CompletionsReached", "m", crate::pod::now() - 100)] });
        for (ttl_seconds, scale, stays) in
            [(Some(50), "1", false), (Some(500), "1", true), (Some(500), "0.1", false), (None, "1", true)]
        {
            let claim = JobClaim::new(place.path(), "j", Kept::Goes).unwrap();
            claim.write_first(&JobFirst { ttl_seconds, time_scale: scale.to_owned(), ..first() }).unwrap();
            claim.write_status(&ended).unwrap();
            // Whoever has it locked sees to it.
            sweep_jobs(place.path(), &facts());
            assert_eq!(job_names(place.path()), ["j"]);
            drop(claim);
            sweep_jobs(place.path(), &facts());
            assert_eq!(!job_names(place.path()).is_empty(), stays, "{ttl_seconds:?} {scale}");
        }
    }

    #[test]
    fn words_that_name_jobs() {
        assert_eq!(job_in("job/j"), Some("j"));
        assert_eq!(job_in("jobs.batch/j"), Some("j"));
        assert_eq!((job_in("pod/j"), job_in("j")), (None, None));
    }

    #[test]
    fn whose_a_pod_is() {
        let pod = json!({ "metadata": { "ownerReferences": [{ "kind": "Job", "name": "j", "uid": "u", "controller": true }] } });
        assert_eq!(owner(&pod.to_string()), Some(("j".to_owned(), "u".to_owned())));
        assert_eq!(owner(r#"{"metadata":{"ownerReferences":[{"kind":"Job","name":"j","uid":"u"}]}}"#), None);
        assert_eq!(owner("{"), None);
    }

    #[test]
    fn a_job_without_a_keeper_has_failed_unless_it_says_how_it_ended() {
        let place = tempfile::tempdir().unwrap();
        let reason = |data: &Path| {
            let found = find_job(data, "j").unwrap().unwrap();
            assert!(!found.runs() && found.object().unwrap()["metadata"]["name"] == "j");
            condition_of(&found.status, "Failed").map(|c| c["reason"].as_str().unwrap().to_owned())
        };
        let claim = JobClaim::new(place.path(), "j", Kept::Stays).unwrap();
        assert!(find_job(place.path(), "j").unwrap().is_none());
        claim.write_first(&first()).unwrap();
        claim.write_status(&json!({ "active": 2, "succeeded": 1 })).unwrap();
        let other = JobClaim::new(place.path(), "j", Kept::Goes).unwrap_err();
        assert!(other.what().contains("already running"), "{other}");
        drop(claim);
        assert_eq!(reason(place.path()).as_deref(), Some("KeeperKilled"));
        let found = get_job(place.path(), "j").unwrap();
        assert_eq!((&found.status["active"], &found.status["succeeded"]), (&json!(0), &json!(1)));
        let claim = JobClaim::of_ended(&found.dir).unwrap().unwrap();
        claim.write_first(&JobFirst { boot_id: "another".to_owned(), ..first() }).unwrap();
        assert_eq!(reason(place.path()).as_deref(), Some("NodeRebooted"));
        let status = json!({ "conditions": [condition("Failed", "BackoffLimitExceeded", "m", 1)] });
        claim.write_status(&status).unwrap();
        drop(claim);
        assert_eq!(reason(place.path()).as_deref(), Some("BackoffLimitExceeded"));
        fs::write(found.dir.join(FIRST), "{").unwrap();
        fs::remove_file(found.dir.join(STATUS)).unwrap();
        assert_eq!(reason(place.path()).as_deref(), Some("RecordDamaged"));
        assert!(JobClaim::new(place.path(), "j", Kept::Stays).unwrap_err().what().contains("is kept"));
        JobClaim::new(place.path(), "j", Kept::Goes)
            .unwrap()
            .write_first(&JobFirst { suspended: true, ..first() })
            .unwrap();
        assert_eq!(reason(place.path()), None);
        JobClaim::of_ended(&found.dir).unwrap().unwrap().remove().unwrap();
        fs::create_dir(&found.dir).unwrap();
        sweep_jobs(place.path(), &facts());
        assert!(job_names(place.path()).is_empty() && get_job(place.path(), "j").is_err());
    }
}

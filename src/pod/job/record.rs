//! What is kept of a detached Job in `jobs/NAME`: how it was started (`job.json`), and how far it has come (`status.json`).

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::status::{condition, condition_of};
use crate::error::Result;
use crate::image::timestamp;
use crate::plan::Options;
use crate::pod::record::{RecordedInput, boot_id, read};

/// How a Job was started, in its directory.
pub(super) const FIRST: &str = "job.json";
/// `status`, in its directory.
pub(super) const STATUS: &str = "status.json";

/// How a Job was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobFirst {
    /// The kernel's name for this boot of the machine.
    pub boot_id: String,
    /// The Job's name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// `metadata.uid`.
    pub uid: String,
    /// Seconds since 1970.
    pub started_at: i64,
    /// Of a pod of it that has the Job's own name and no uid: [`crate::plan::fingerprint`].
    pub fingerprint: String,
    /// The Job as said, as JSON text.
    pub object: String,
    /// The files that were read; of those with Secrets only where they are.
    pub inputs: Vec<RecordedInput>,
    /// What the command line said beside the files.
    pub options: Options,
    /// `--time-scale`, as text.
    pub time_scale: String,
    /// `spec.ttlSecondsAfterFinished`.
    pub ttl_seconds: Option<u64>,
    /// Whether nothing of it is started, so that it has no keeper.
    pub suspended: bool,
}

/// Where what is kept of the Job called `name` is.
pub(super) fn job_dir(data: &Path, name: &str) -> PathBuf {
    data.join("jobs").join(name)
}

/// How the Job of `dir` was started; `None` where nothing is kept.
///
/// # Errors
/// A file that cannot be read.
pub(super) fn read_first(dir: &Path) -> Result<Option<JobFirst>> {
    read(&dir.join(FIRST))
}

/// How far the Job of `dir` has come; `None` where it has not said so.
///
/// # Errors
/// A file that cannot be read.
pub(super) fn read_status(dir: &Path) -> Result<Option<Value>> {
    read(&dir.join(STATUS))
}

impl JobFirst {
    /// What stands for a record that cannot be read: it has no boot's name.
    pub(super) fn damaged(name: &str) -> JobFirst {
        JobFirst {
            boot_id: String::new(),
            name: name.to_owned(),
            namespace: "default".to_owned(),
            uid: String::new(),
            started_at: 0,
            fingerprint: String::new(),
            object: r#"{"apiVersion":"batch/v1","kind":"Job","metadata":{}}"#.to_owned(),
            inputs: Vec::new(),
            options: Options::default(),
            time_scale: "1".to_owned(),
            ttl_seconds: None,
            suspended: false,
        }
    }

    /// Whether the Job has ended, and its time to live after that is over.
    pub(super) fn is_past(&self, status: &Value, now: i64) -> bool {
        let ended = ["Complete", "Failed"].iter().find_map(|kind| condition_of(status, kind));
        let ended = ended.and_then(|condition| timestamp::parse(condition["lastTransitionTime"].as_str()?));
        let scale: f64 = self.time_scale.parse().unwrap_or(1.0);
        let ttl = self.ttl_seconds.map(|ttl| Duration::from_secs(ttl).mul_f64(scale));
        let ttl = ttl.map(|ttl| i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX));
        ended.zip(ttl).is_some_and(|(ended, ttl)| now > ended.saturating_add(ttl))
    }

    /// What is told of a Job of which nothing is started.
    pub(super) fn suspended_status(&self) -> Value {
        let object: Value = serde_json::from_str(&self.object).unwrap_or_default();
        let mut conditions = Vec::new();
        // With no parallelism it has no pods, but is not suspended.
        if object["spec"]["suspend"] == true {
            conditions.push(condition("Suspended", "JobSuspended", "Job suspended", self.started_at));
        }
        json!({ "active": 0, "conditions": conditions })
    }

    /// What can truly be said of a Job whose keeper could not say how it ended; its pods have ended with it.
    pub(super) fn lost_status(&self, last: Option<Value>) -> Value {
        let (reason, message) = if self.boot_id.is_empty() {
            (
                "RecordDamaged",
                "what was kept of the Job cannot be read, and nothing of it runs; podling rm removes the rest",
            )
        } else if self.boot_id == boot_id() {
            ("KeeperKilled", "the Job's keeper was killed, and its running pods ended with it")
        } else {
            ("NodeRebooted", "the machine was started anew since")
        };
        let mut status = last.unwrap_or_else(|| json!({ "startTime": timestamp::format(self.started_at) }));
        status["active"] = json!(0);
        // Nobody saw when.
        status["conditions"] = json!([condition("Failed", reason, message, self.started_at)]);
        status
    }
}

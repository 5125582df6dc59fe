//! The status of a detached Job, as the Job controller would write it.

use serde_json::{Value, json};

use super::controller::Counts;
use crate::image::timestamp;

/// How far a Job has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::pod) struct Progress {
    pub(super) counts: Counts,
    /// How it ends, as soon as that is decided.
    pub(super) end: Option<End>,
    /// Whether its last pod has ended, too.
    pub(super) is_over: bool,
}

/// How a Job ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct End {
    pub(super) kind: EndKind,
    /// Its condition's reason.
    pub(super) reason: String,
    /// Its condition's message.
    pub(super) message: String,
}

/// Whether a Job ends well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndKind {
    Complete,
    Failed,
}

/// When what happened to a Job, in seconds since 1970.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::pod) struct Times {
    /// It began.
    pub(in crate::pod) started: i64,
    /// Its end was decided.
    pub(in crate::pod) decided: Option<i64>,
    /// Its last pod ended.
    pub(in crate::pod) ended: Option<i64>,
}

impl Progress {
    /// Notes in `times` what has happened by `now`.
    pub(in crate::pod) fn note(&self, times: &mut Times, now: i64) {
        if self.end.is_some() {
            times.decided.get_or_insert(now);
        }
        if self.is_over {
            times.ended.get_or_insert(now);
        }
    }

    /// `status` of the Job.
    pub(in crate::pod) fn status(&self, times: Times) -> Value {
        let mut conditions = Vec::new();
        if let Some(end) = &self.end {
            let (before, last) = match end.kind {
                EndKind::Complete => ("SuccessCriteriaMet", "Complete"),
                EndKind::Failed => ("FailureTarget", "Failed"),
            };
            let at = times.decided.unwrap_or(times.started);
            conditions.push(condition(before, &end.reason, &end.message, at));
            if self.is_over {
                conditions.push(condition(last, &end.reason, &end.message, times.ended.unwrap_or(at)));
            }
        }
        let counts = &self.counts;
        let mut status = json!({
            "startTime": timestamp::format(times.started),
            "active": counts.active,
            "succeeded": counts.succeeded,
            "failed": counts.failed,
            "uncountedTerminatedPods": {},
            "conditions": conditions,
        });
        for (name, list) in [("completedIndexes", &counts.completed_indexes), ("failedIndexes", &counts.failed_indexes)]
        {
            if let Some(list) = list.as_ref().filter(|list| !list.is_empty()) {
                status[name] = json!(list);
            }
        }
        let complete = self.is_over && self.end.as_ref().is_some_and(|end| end.kind == EndKind::Complete);
        if let Some(at) = times.ended.filter(|_| complete) {
            status["completionTime"] = json!(timestamp::format(at));
        }
        status
    }
}

/// One of a Job's conditions, which holds.
pub(super) fn condition(kind: &str, reason: &str, message: &str, at: i64) -> Value {
    let at = timestamp::format(at);
    json!({
        "type": kind,
        "status": "True",
        "reason": reason,
        "message": message,
        "lastProbeTime": at,
        "lastTransitionTime": at,
    })
}

/// The condition of this kind that holds in a Job's status.
pub fn condition_of<'a>(status: &'a Value, kind: &str) -> Option<&'a Value> {
    let mut conditions = status["conditions"].as_array()?.iter();
    conditions.find(|condition| condition["type"] == kind && condition["status"] == "True")
}

/// Whether a Job with this status is complete or has failed, and its last pod has ended.
pub fn is_finished(status: &Value) -> bool {
    ["Complete", "Failed"].iter().any(|kind| condition_of(status, kind).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_decided_before_it_has_come() {
        let counts = Counts {
            active: 1,
            succeeded: 2,
            failed: 0,
            completed_indexes: Some("0,1".to_owned()),
            failed_indexes: Some(String::new()),
        };
        let end = End { kind: EndKind::Complete, reason: "SuccessPolicy".to_owned(), message: "m".to_owned() };
        let mut progress = Progress { counts, end: None, is_over: false };
        let mut times = Times { started: 951_825_600, ..Times::default() };
        let status = progress.status(times);
        assert_eq!((&status["active"], &status["conditions"]), (&json!(1), &json!([])));
        assert_eq!((&status["completedIndexes"], status.get("failedIndexes")), (&json!("0,1"), None));
        progress.end = Some(end);
        progress.note(&mut times, 951_825_601);
        let status = progress.status(times);
        assert!(condition_of(&status, "SuccessCriteriaMet").is_some() && !is_finished(&status), "{status}");
        progress.is_over = true;
        progress.note(&mut times, 951_825_602);
        let status = progress.status(times);
        assert!(is_finished(&status), "{status}");
        assert_eq!(status["completionTime"], "2000-02-29T12:00:02Z");
        assert_eq!(status["conditions"][0]["lastTransitionTime"], "2000-02-29T12:00:01Z");
        assert_eq!(status["conditions"][1]["reason"], "SuccessPolicy");
    }
}

//! A description's Jobs, in the layout of `kubectl describe job`.

use std::path::Path;

use serde_json::{Map, Value};

use super::{Fields, Of, array, container, events_text, pairs, string, time, volumes};
use crate::cli::table::{lasting, one_line, row};
use crate::error::Result;
use crate::image::timestamp;
use crate::pod::job::{FoundJob, condition_of, pod_names};
use crate::pod::list::{self, Asked};
use crate::pod::status::{Event, EventKind, Summary};

/// A list of indexes is cut behind so many characters, as kubectl does it.
const MOST_OF_INDEXES: usize = 50;

/// The ends that nobody saw: when they came is not known.
const UNSEEN: [&str; 3] = ["KeeperKilled", "NodeRebooted", "RecordDamaged"];

/// The Job's pods of which something is kept, in the order in which they were started.
///
/// # Errors
/// A pod that cannot be asked.
pub(super) fn pods(data: &Path, job: &FoundJob) -> Result<Vec<Summary>> {
    let mut pods = Vec::new();
    for name in pod_names(data, &job.first.uid) {
        let Some(found) = list::find(data, &name)? else { continue };
        pods.extend(list::summary(&found, Asked::No)?);
    }
    Ok(pods)
}

/// The whole description.
pub(super) fn text(object: &Value, pods: &[Summary], now: i64) -> String {
    let mut text = head(object, pods).text();
    text.push_str(&template(object));
    text.push_str(&conditions(array(&object["status"]["conditions"])));
    text.push_str(&events_text(&events(&object["status"], pods), now));
    text
}

fn head(object: &Value, pods: &[Summary]) -> Fields {
    let (metadata, spec, status) = (&object["metadata"], &object["spec"], &object["status"]);
    let mut head = Fields::default();
    head.field(0, "Name", string(&metadata["name"]));
    head.field(0, "Namespace", string(&metadata["namespace"]));
    head.field(0, "Selector", selector(object));
    head.values(0, "Labels", &pairs(&metadata["labels"], "="));
    head.values(0, "Annotations", &pairs(&metadata["annotations"], ": "));
    // What is not written is the API server's default.
    let or = |field: &str, default: &str| if spec[field].is_null() { default.to_owned() } else { string(&spec[field]) };
    head.field(0, "Parallelism", or("parallelism", "1"));
    head.field(0, "Completions", or("completions", if spec["parallelism"].is_null() { "1" } else { "<unset>" }));
    head.field(0, "Completion Mode", or("completionMode", "NonIndexed"));
    head.field(0, "Suspend", or("suspend", "false"));
    let most = i32::MAX.to_string();
    head.field(
        0,
        "Backoff Limit",
        or("backoffLimit", if spec["backoffLimitPerIndex"].is_null() { "6" } else { &most }),
    );
    if !spec["ttlSecondsAfterFinished"].is_null() {
        head.field(0, "TTL Seconds After Finished", string(&spec["ttlSecondsAfterFinished"]));
    }
    for (name, field) in [("Start Time", "startTime"), ("Completed At", "completionTime")] {
        if status[field].is_string() {
            head.field(0, name, time(&status[field]));
        }
    }
    let at = |field: &str| status[field].as_str().and_then(timestamp::parse);
    if let Some((start, end)) = at("startTime").zip(at("completionTime")) {
        head.field(0, "Duration", lasting(end - start));
    }
    if !spec["activeDeadlineSeconds"].is_null() {
        head.field(0, "Active Deadline Seconds", format!("{}s", string(&spec["activeDeadlineSeconds"])));
    }
    let count = |field: &str| status[field].as_u64().unwrap_or(0);
    let ready = pods.iter().filter(|pod| pod.ready && pod.ended_at.is_none()).count();
    let (active, succeeded, failed) = (count("active"), count("succeeded"), count("failed"));
    let statuses = format!("{active} Active ({ready} Ready) / {succeeded} Succeeded / {failed} Failed");
    head.field(0, "Pods Statuses", statuses);
    if spec["completionMode"] == "Indexed" {
        head.field(0, "Completed Indexes", indexes(&status["completedIndexes"]));
    }
    if !spec["backoffLimitPerIndex"].is_null() {
        head.field(0, "Failed Indexes", indexes(&status["failedIndexes"]));
    }
    head
}

fn indexes(list: &Value) -> String {
    let list = string(list);
    if list.is_empty() {
        return "<none>".to_owned();
    }
    // They are digits, commas and dashes.
    match list.bytes().skip(MOST_OF_INDEXES).position(|byte| byte == b',') {
        Some(at) => format!("{}...", list.get(..=MOST_OF_INDEXES + at).unwrap_or(&list)),
        None => list,
    }
}

/// The labels that the Job's pods get beside their template's, unless it selects them itself.
fn own_labels(object: &Value) -> Map<String, Value> {
    let (metadata, mut labels) = (&object["metadata"], Map::new());
    if object["spec"]["manualSelector"] != true {
        for (name, value) in [("controller-uid", &metadata["uid"]), ("job-name", &metadata["name"])] {
            labels.insert(name.to_owned(), value.clone());
            labels.insert(format!("batch.kubernetes.io/{name}"), value.clone());
        }
    }
    labels
}

/// The selector in kubectl's words. That of a Job which says none is what the API server would make of it.
fn selector(object: &Value) -> String {
    let said = &object["spec"]["selector"];
    if !said.is_object() {
        let generated = own_labels(object);
        let own = "batch.kubernetes.io/controller-uid";
        return generated.get(own).map_or_else(|| "<unset>".to_owned(), |uid| format!("{own}={}", string(uid)));
    }
    let mut words = pairs(&said["matchLabels"], "=");
    for requirement in array(&said["matchExpressions"]) {
        let key = string(&requirement["key"]);
        let mut values: Vec<String> = array(&requirement["values"]).iter().map(string).collect();
        values.sort_unstable();
        let values = values.join(",");
        words.push(match requirement["operator"].as_str() {
            Some("In") => format!("{key} in ({values})"),
            Some("NotIn") => format!("{key} notin ({values})"),
            Some("DoesNotExist") => format!("!{key}"),
            _ => key,
        });
    }
    words.join(",")
}

fn template(object: &Value) -> String {
    let template = &object["spec"]["template"];
    let (metadata, spec) = (&template["metadata"], &template["spec"]);
    let mut fields = Fields::default();
    fields.heading(0, "Pod Template");
    let mut labels = metadata["labels"].as_object().cloned().unwrap_or_default();
    labels.extend(own_labels(object));
    fields.values(1, "Labels", &pairs(&Value::Object(labels), "="));
    if metadata["annotations"].as_object().is_some_and(|annotations| !annotations.is_empty()) {
        fields.values(1, "Annotations", &pairs(&metadata["annotations"], ": "));
    }
    let account = string(&spec["serviceAccountName"]);
    if !account.is_empty() {
        fields.field(1, "Service Account", account);
    }
    let mut text = fields.text();
    for (title, list) in [("Init Containers", "initContainers"), ("Containers", "containers")] {
        text.push_str(&container::all(Of::Template, title, array(&spec[list]), &[]));
    }
    text.push_str(&volumes::all(Of::Template, array(&spec["volumes"])));
    text
}

/// kubectl does not show them, though they say why a Job has failed when its events are gone.
fn conditions(conditions: &[Value]) -> String {
    let mut fields = Fields::default();
    if conditions.is_empty() {
        fields.field(0, "Conditions", "<none>");
        return fields.text();
    }
    fields.heading(0, "Conditions");
    let mut rows = vec![row(["Type", "Status", "Reason", "Message"]), row(["----", "------", "------", "-------"])];
    let cell = |condition: &Value, field: &str| one_line(&string(&condition[field]));
    rows.extend(
        conditions.iter().map(|c| ["type", "status", "reason", "message"].map(|field| cell(c, field)).to_vec()),
    );
    fields.table(1, &rows);
    fields.text()
}

/// What the Job controller would have told, as far as it is known still: that pods were started, and the end.
fn events(status: &Value, pods: &[Summary]) -> Vec<Event> {
    let event = |at, kind, reason: &str, message: String| Event {
        sequence: 0,
        first_at: at,
        last_at: at,
        count: 1,
        kind,
        reason: reason.to_owned(),
        container: None,
        message,
    };
    let created = |pod: &Summary| {
        event(pod.started_at, EventKind::Normal, "SuccessfulCreate", format!("Created pod: {}", pod.name))
    };
    let mut events: Vec<Event> = pods.iter().map(created).collect();
    let since = |condition: &Value| condition["lastTransitionTime"].as_str().and_then(timestamp::parse);
    for (kind, reason, message) in
        [("Suspended", "Suspended", "Job suspended"), ("Complete", "Completed", "Job completed")]
    {
        if let Some(at) = condition_of(status, kind).and_then(since) {
            events.push(event(at, EventKind::Normal, reason, message.to_owned()));
        }
    }
    if let Some(failed) = condition_of(status, "Failed")
        && let Some(at) = since(failed).filter(|_| !UNSEEN.iter().any(|reason| failed["reason"] == *reason))
    {
        events.push(event(at, EventKind::Warning, &string(&failed["reason"]), string(&failed["message"])));
    }
    events
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::pod::status::Phase;

    fn pod(name: &str, started_at: i64, ready: bool) -> Summary {
        Summary {
            name: name.to_owned(),
            namespace: "default".to_owned(),
            uid: "u".to_owned(),
            phase: Phase::Running,
            state: "Running".to_owned(),
            initialized: true,
            ready,
            started_at,
            ended_at: None,
            exit_code: None,
            reason: None,
            message: None,
            detached: true,
            time_scale: 1.0,
            containers: Vec::new(),
            trace: Vec::new(),
        }
    }

    #[test]
    fn a_whole_job() {
        let object = json!({
            "metadata": { "name": "j", "namespace": "default", "uid": "u-1", "annotations": { "a": "b" } },
            "spec": {
                "completions": 3, "parallelism": 2, "completionMode": "Indexed", "backoffLimitPerIndex": 1,
                "activeDeadlineSeconds": 60, "ttlSecondsAfterFinished": 5,
                "template": {
                    "metadata": { "labels": { "app": "x" } },
                    "spec": {
                        "initContainers": [{ "name": "i", "image": "busybox" }],
                        "containers": [{ "name": "c", "image": "busybox", "command": ["sh", "-c", "true"],
                            "volumeMounts": [{ "name": "v", "mountPath": "/v" }] }],
                        "volumes": [{ "name": "v", "emptyDir": {} }],
                    },
                },
            },
            "status": {
                "startTime": "1970-01-01T00:15:00Z", "completionTime": "1970-01-01T00:16:00Z",
                "active": 1, "succeeded": 2, "failed": 0, "completedIndexes": "0,2",
                "conditions": [
                    { "type": "SuccessCriteriaMet", "status": "True", "reason": "CompletionsReached",
                        "message": "Reached expected number of succeeded pods", "lastTransitionTime": "1970-01-01T00:16:00Z" },
                    { "type": "Complete", "status": "True", "reason": "CompletionsReached",
                        "message": "Reached expected number of succeeded pods", "lastTransitionTime": "1970-01-01T00:16:00Z" },
                ],
            },
        });
        insta::assert_snapshot!(text(&object, &[pod("j-0-abcde", 900, true), pod("j-1-abcde", 905, false)], 1000));
    }

    #[test]
    fn defaults_are_the_api_server_s_and_an_end_that_nobody_saw_is_no_event() {
        let failed = |reason: &str| {
            json!({
                "metadata": { "name": "j", "uid": "u" },
                "spec": { "template": { "spec": { "containers": [{ "name": "c", "image": "i" }] } } },
                "status": { "conditions": [{ "type": "Failed", "status": "True", "reason": reason, "message": "why",
                    "lastTransitionTime": "1970-01-01T00:16:00Z" }] },
            })
        };
        let killed = text(&failed("KeeperKilled"), &[], 1000);
        for line in [
            "Selector:         batch.kubernetes.io/controller-uid=u",
            "Parallelism:      1",
            "Completions:      1",
            "Completion Mode:  NonIndexed",
            "Suspend:          false",
            "Backoff Limit:    6",
            "Pods Statuses:    0 Active (0 Ready) / 0 Succeeded / 0 Failed",
            "  Failed   True     KeeperKilled   why",
            "Events:  <none>",
        ] {
            assert!(killed.lines().any(|l| l == line), "{line} in {killed}");
        }
        let limit = text(&failed("BackoffLimitExceeded"), &[], 1000);
        assert!(limit.contains("Warning   BackoffLimitExceeded   40s    podling   why"), "{limit}");
    }

    #[test]
    fn selectors_and_indexes() {
        let said = |spec: Value| selector(&json!({ "metadata": { "uid": "u" }, "spec": spec }));
        let expressions = json!([
            { "key": "b", "operator": "In", "values": ["2", "1"] },
            { "key": "c", "operator": "NotIn", "values": ["3"] },
            { "key": "d", "operator": "Exists" },
            { "key": "e", "operator": "DoesNotExist" },
        ]);
        let written = json!({ "matchLabels": { "a": "x" }, "matchExpressions": expressions });
        assert_eq!(said(json!({ "manualSelector": true, "selector": written })), "a=x,b in (1,2),c notin (3),d,!e");
        assert_eq!(said(json!({ "manualSelector": true })), "<unset>");
        assert_eq!(indexes(&Value::Null), "<none>");
        let many: Vec<String> = (0..40).map(|n| (2 * n).to_string()).collect();
        let cut = indexes(&json!(many.join(",")));
        assert!(cut.starts_with("0,2,4") && cut.ends_with(",...") && cut.len() < 60, "{cut}");
    }
}

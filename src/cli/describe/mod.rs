//! `podling describe`: everything about pods and Jobs, for people, in the layout of `kubectl describe`.

mod container;
mod job;
mod volumes;

use std::fmt::Write as _;
use std::io::Write;

use serde_json::Value;

use super::events::{kind, last_seen};
use super::stdout::Stdout;
use super::table::{lasting, one_line, row};
use super::{asking, data, harmless};
use crate::error::Result;
use crate::image::timestamp;
use crate::pod::job::{get_job, job_in};
use crate::pod::list;
use crate::pod::status::Event;

/// Show everything about pods or Jobs, for people
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  podling describe web
  podling describe pod/web pod/db
  podling describe job/import")]
pub struct Args {
    /// Pods, or Jobs as job/NAME
    #[arg(value_name = "POD|job/NAME", required = true, add = super::complete::pods_or_jobs())]
    pods: Vec<String>,
}

/// Runs the verb.
///
/// # Errors
/// A pod or Job that is not there, or cannot be asked.
pub fn run(args: &Args) -> Result<u8> {
    let data = data::of_pods()?;
    let now = crate::pod::now();
    let mut texts = Vec::new();
    for name in &args.pods {
        if let Some(job) = job_in(name) {
            let found = get_job(&data, job)?;
            texts.push(job::text(&found.object()?, &job::pods(&data, &found)?, now));
            continue;
        }
        let found = list::get(&data, name)?;
        texts.push(text(&asking::object(&found)?, &asking::events(&found)?, now));
    }
    Stdout::lock().write_all(texts.join("\n\n").as_bytes())?;
    Ok(0)
}

/// What containers and volumes are described of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Of {
    /// A pod: it has a status.
    Pod,
    /// A Job's template, which is below a title of its own, and has none.
    Template,
}

/// Names and values below each other; the values of those on one level line up.
#[derive(Debug, Default)]
struct Fields {
    lines: Vec<Line>,
}

#[derive(Debug)]
enum Line {
    /// `Name:   value`, at a level of the tree.
    Field(usize, String, String),
    /// As it is, at a level.
    Text(usize, String),
}

impl Fields {
    fn field(&mut self, level: usize, name: &str, value: impl AsRef<str>) {
        self.lines.push(Line::Field(level, harmless(name), one_line(value.as_ref())));
    }

    /// A name whose value is below it.
    fn heading(&mut self, level: usize, name: &str) {
        self.lines.push(Line::Text(level, format!("{}:", one_line(name))));
    }

    /// The title of a list of containers or volumes.
    fn title(&mut self, of: Of, name: &str) {
        self.heading(usize::from(of == Of::Template), name);
    }

    /// The name of one of them; kubectl moves those of a template by one column.
    fn name(&mut self, of: Of, name: &str) {
        let column = if of == Of::Template { " " } else { "" };
        self.lines.push(Line::Text(1, format!("{column}{}:", one_line(name))));
    }

    fn line(&mut self, level: usize, text: impl AsRef<str>) {
        self.lines.push(Line::Text(level, one_line(text.as_ref())));
    }

    /// A table below a heading.
    fn table(&mut self, level: usize, rows: &[Vec<String>]) {
        let text = super::table::table(rows);
        self.lines.extend(text.lines().map(|line| Line::Text(level, line.to_owned())));
    }

    /// Several values of one name: the first beside it, the others below.
    fn values(&mut self, level: usize, name: &str, values: &[String]) {
        let Some((first, others)) = values.split_first() else { return self.field(level, name, "<none>") };
        self.field(level, name, first);
        for value in others {
            self.lines.push(Line::Field(level, String::new(), one_line(value)));
        }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        // As kubectl's tabwriter does it: what follows each other without another line between lines up.
        for run in self.lines.chunk_by(|a, b| a.is_field() && b.is_field()) {
            let column = run.iter().map(Line::head).map(|head| head.chars().count()).max().unwrap_or(0) + 2;
            for line in run {
                let head = line.head();
                let _ = match line {
                    Line::Field(_, _, value) => writeln!(text, "{}", format!("{head:<column$}{value}").trim_end()),
                    Line::Text(..) => writeln!(text, "{head}"),
                };
            }
        }
        text
    }
}

impl Line {
    fn is_field(&self) -> bool {
        matches!(self, Line::Field(..))
    }

    /// What is before the value.
    fn head(&self) -> String {
        match self {
            Line::Field(level, name, _) if name.is_empty() => "  ".repeat(*level),
            Line::Field(level, name, _) => format!("{}{name}:", "  ".repeat(*level)),
            Line::Text(level, line) => format!("{}{line}", "  ".repeat(*level)),
        }
    }
}

/// The whole description.
fn text(object: &Value, events: &[Event], now: i64) -> String {
    let (metadata, spec, status) = (&object["metadata"], &object["spec"], &object["status"]);
    let mut text = head(metadata, status, now).text();
    for (title, list, statuses) in [
        ("Init Containers", "initContainers", "initContainerStatuses"),
        ("Containers", "containers", "containerStatuses"),
        ("Ephemeral Containers", "ephemeralContainers", "ephemeralContainerStatuses"),
    ] {
        text.push_str(&container::all(Of::Pod, title, array(&spec[list]), array(&status[statuses])));
    }
    let mut rest = Fields::default();
    rest.heading(0, "Conditions");
    let mut rows = vec![row(["Type", "Status"])];
    rows.extend(array(&status["conditions"]).iter().map(|c| row([&string(&c["type"]), &string(&c["status"])])));
    rest.table(1, &rows);
    text.push_str(&rest.text());
    text.push_str(&volumes::all(Of::Pod, array(&spec["volumes"])));
    let mut rest = Fields::default();
    rest.field(0, "QoS Class", string(&status["qosClass"]));
    text.push_str(&rest.text());
    text.push_str(&events_text(events, now));
    text
}

fn head(metadata: &Value, status: &Value, now: i64) -> Fields {
    let mut head = Fields::default();
    head.field(0, "Name", string(&metadata["name"]));
    head.field(0, "Namespace", string(&metadata["namespace"]));
    head.field(0, "Start Time", time(&status["startTime"]));
    head.values(0, "Labels", &pairs(&metadata["labels"], "="));
    head.values(0, "Annotations", &pairs(&metadata["annotations"], ": "));
    match metadata["deletionTimestamp"].as_str().and_then(timestamp::parse) {
        Some(at) => head.field(0, "Status", format!("Terminating (lasts {})", lasting((at - now).max(0)))),
        None => head.field(0, "Status", string(&status["phase"])),
    }
    for (name, field) in [("Reason", "reason"), ("Message", "message"), ("IP", "podIP")] {
        let value = string(&status[field]);
        if !value.is_empty() || field == "podIP" {
            head.field(0, name, value);
        }
    }
    let addresses = array(&status["podIPs"]);
    if !addresses.is_empty() {
        head.heading(0, "IPs");
        addresses.iter().for_each(|address| head.line(1, format!("IP: {}", string(&address["ip"]))));
    }
    head
}

fn events_text(events: &[Event], now: i64) -> String {
    let mut fields = Fields::default();
    if events.is_empty() {
        fields.field(0, "Events", "<none>");
        return fields.text();
    }
    fields.heading(0, "Events");
    let mut rows =
        vec![row(["Type", "Reason", "Age", "From", "Message"]), row(["----", "------", "----", "----", "-------"])];
    rows.extend(events.iter().map(|event| {
        let (age, message) = (last_seen(event, now), one_line(&event.message));
        row([kind(event), &one_line(&event.reason), &age, "podling", &message])
    }));
    fields.table(1, &rows);
    fields.text()
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// A text, number or boolean as it is; nothing for what is not there.
fn string(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// `True` and `False`, as kubectl writes them.
fn truth(value: &Value) -> &'static str {
    if value.as_bool() == Some(true) { "True" } else { "False" }
}

fn pairs(map: &Value, between: &str) -> Vec<String> {
    map.as_object().into_iter().flatten().map(|(key, value)| format!("{key}{between}{}", string(value))).collect()
}

/// A time of the API as kubectl's descriptions have them (RFC 1123, with a numeric zone), in UTC.
fn time(value: &Value) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let text = string(value);
    let words = || -> Option<String> {
        let seconds = timestamp::parse(&text)?;
        // 1970 began on a Thursday.
        let day = DAYS.get(usize::try_from(seconds.div_euclid(86400).rem_euclid(7)).ok()?)?;
        let month = MONTHS.get(text.get(5..7)?.parse::<usize>().ok()?.checked_sub(1)?)?;
        Some(format!("{day}, {} {month} {} {} +0000", text.get(8..10)?, text.get(..4)?, text.get(11..19)?))
    };
    words().unwrap_or_else(|| if text.is_empty() { "<unknown>".to_owned() } else { text.clone() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::pod::status::EventKind;

    #[test]
    fn times_are_kubectl_s() {
        assert_eq!(time(&json!("2026-11-25T04:17:40Z")), "Wed, 25 Nov 2026 04:17:40 +0000");
        assert_eq!(time(&json!("1969-12-31T00:00:00Z")), "Wed, 31 Dec 1969 00:00:00 +0000");
        assert_eq!(time(&Value::Null), "<unknown>");
    }

    #[test]
    fn a_whole_pod() {
        let object = json!({
            "metadata": { "name": "web", "namespace": "default", "labels": { "app": "web", "tier": "x" } },
            "spec": {
                "containers": [{
                    "name": "c", "image": "nginx", "command": ["sh", "-c", "a\u{1b}[2J\nb"],
                    "ports": [{ "containerPort": 80, "name": "http" }],
                    "env": [{ "name": "A", "value": "1" }],
                    "resources": { "limits": { "memory": "64Mi" } },
                    "livenessProbe": { "httpGet": { "port": 8080, "path": "/healthz" }, "failureThreshold": 5 },
                    "volumeMounts": [{ "name": "data", "mountPath": "/data", "readOnly": true }],
                }],
                "volumes": [{ "name": "data", "emptyDir": {} }],
            },
            "status": {
                "phase": "Running", "podIP": "127.0.0.1", "podIPs": [{ "ip": "127.0.0.1" }],
                "startTime": "2026-11-25T04:17:40Z", "qosClass": "Burstable",
                "conditions": [{ "type": "Initialized", "status": "True" }, { "type": "Ready", "status": "False" }],
                "containerStatuses": [{
                    "name": "c", "image": "docker.io/library/nginx:latest", "imageID": "docker.io/library/nginx@sha256:1",
                    "containerID": "podling://u/c/1", "ready": false, "restartCount": 1,
                    "state": { "running": { "startedAt": "2026-11-25T04:17:41Z" } },
                    "lastState": { "terminated": { "exitCode": 1, "reason": "Error", "message": "boom",
                        "startedAt": "2026-11-25T04:17:40Z", "finishedAt": "2026-11-25T04:17:41Z" } },
                }],
            },
        });
        let event = Event {
            sequence: 1,
            first_at: 900,
            last_at: 990,
            count: 3,
            kind: EventKind::Warning,
            reason: "Unhealthy".to_owned(),
            container: Some("c".to_owned()),
            message: "probe\nsays \u{1b}[31mno".to_owned(),
        };
        let text = text(&object, &[event], 1000);
        insta::assert_snapshot!(text);
    }
}

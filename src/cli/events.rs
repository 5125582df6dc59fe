//! `podling events`: what has happened to pods.

use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use super::objects::{self, Format};
use super::stdout::Stdout;
use super::table::{Columns, lasting, one_line, row};
use super::watches::{News, Watches};
use super::{asking, data};
use crate::error::Result;
use crate::image::timestamp;
use crate::pod::list::{self, Found, Life};
use crate::pod::status::{Event, EventKind, Summary};

/// Show what has happened to pods
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The events of all pods are shown in the order of time, those that have happened several times by the last.

Examples:
  podling events web
  podling events -f web            goes on until the pod ends
  podling events -o json | jq '.items[] | select(.type == \"Warning\")'"
)]
pub struct Args {
    /// Only this pod
    #[arg(value_name = "POD", add = super::complete::pods())]
    pod: Option<String>,

    /// Show what happens from now on, too, until the pods that run now have ended
    #[arg(short, long)]
    follow: bool,

    /// A v1 List of Events; with --follow as JSON, one Event a line
    #[arg(short, long, value_enum, value_name = "FORMAT")]
    output: Option<Format>,
}

/// Whose events they are.
#[derive(Debug, Clone)]
struct Subject {
    name: String,
    namespace: String,
    uid: String,
}

impl Subject {
    fn of(pod: &Summary) -> Subject {
        Subject { name: pod.name.clone(), namespace: pod.namespace.clone(), uid: pod.uid.clone() }
    }
}

/// Runs the verb.
///
/// # Errors
/// A pod that is not there, or cannot be asked.
pub fn run(args: &Args) -> Result<u8> {
    let data = data::of_pods()?;
    let found = match &args.pod {
        Some(name) => vec![list::get(&data, name)?],
        None => list::all(&data)?,
    };
    let mut printer = Printer { output: args.output, columns: Columns::default(), has_header: false };
    if args.follow { follow(&data, found, &mut printer) } else { show(found, &mut printer) }
}

/// Prints what has happened so far.
fn show(found: Vec<Found>, printer: &mut Printer) -> Result<u8> {
    let mut all = Vec::new();
    for pod in &found {
        let Some(summary) = list::summary(pod, list::Asked::No)? else { continue };
        all.extend(asking::events(pod)?.into_iter().map(|event| (Subject::of(&summary), event)));
    }
    all.sort_by_key(|(_, event)| event.last_at);
    let all: Vec<(&Subject, &Event)> = all.iter().map(|(subject, event)| (subject, event)).collect();
    match printer.output {
        Some(format) => {
            let items = all.iter().map(|(subject, event)| object(subject, event)).collect();
            objects::print(&objects::list(items), format)?;
        }
        None if all.is_empty() => super::say("no events found"),
        None => printer.print(&all)?,
    }
    Ok(0)
}

/// Prints what has happened, and what happens, until all pods have ended.
fn follow(data: &Path, found: Vec<Found>, printer: &mut Printer) -> Result<u8> {
    let mut past = Vec::new();
    let mut subjects = Vec::new();
    let mut watches = Watches::default();
    for pod in found {
        let Some(summary) = list::summary(&pod, list::Asked::No)? else { continue };
        let subject = Subject::of(&summary);
        match pod.life {
            Life::Live(_) if let Ok((_, connection)) = list::live(data, &pod.name) => {
                watches.add(subjects.len(), connection);
                subjects.push(subject);
            }
            _ => past.extend(asking::events(&pod)?.into_iter().map(|event| (subject.clone(), event))),
        }
    }
    // What the others have to say first is sorted in.
    let mut unheard: Vec<usize> = (0..subjects.len()).collect();
    while !watches.is_empty() {
        let Some((n, news)) = watches.next(None)? else { continue };
        let Some(subject) = subjects.get(n) else { continue };
        match news {
            News::Events(events) if unheard.is_empty() => {
                printer.print(&events.iter().map(|event| (subject, event)).collect::<Vec<_>>())?;
            }
            News::Events(events) => past.extend(events.into_iter().map(|event| (subject.clone(), event))),
            News::Summary(_) | News::End => {
                unheard.retain(|other| *other != n);
                if unheard.is_empty() {
                    flush(&mut past, printer)?;
                }
            }
        }
    }
    flush(&mut past, printer)?;
    Ok(0)
}

fn flush(past: &mut Vec<(Subject, Event)>, printer: &mut Printer) -> Result<()> {
    past.sort_by_key(|(_, event)| event.last_at);
    let all = std::mem::take(past);
    if all.is_empty() {
        return Ok(());
    }
    printer.print(&all.iter().map(|(subject, event)| (subject, event)).collect::<Vec<_>>())
}

/// Events on their way out, a part at a time.
struct Printer {
    output: Option<Format>,
    columns: Columns,
    has_header: bool,
}

impl Printer {
    fn print(&mut self, events: &[(&Subject, &Event)]) -> Result<()> {
        let mut text = String::new();
        match self.output {
            Some(Format::Json) => {
                for (subject, event) in events {
                    text.push_str(&objects::json_line(&object(subject, event))?);
                    text.push('\n');
                }
            }
            Some(Format::Yaml) => {
                for (subject, event) in events {
                    text.push_str("---\n");
                    text.push_str(&super::yaml::text(&object(subject, event)));
                }
            }
            None => {
                let now = crate::pod::now();
                let mut rows = Vec::new();
                if !self.has_header {
                    self.has_header = true;
                    rows.push(row(["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]));
                }
                rows.extend(events.iter().map(|(subject, event)| {
                    let object = format!("pod/{}", subject.name);
                    let (seen, message) = (last_seen(event, now), one_line(&event.message));
                    row([&seen, kind(event), &one_line(&event.reason), &object, &message])
                }));
                text = self.columns.text(&rows);
            }
        }
        let mut out = Stdout::lock();
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }
}

/// `5s`, or `5s (x3 over 2m)`, as kubectl has it.
pub fn last_seen(event: &Event, now: i64) -> String {
    let last = lasting(now - event.last_at);
    if event.count > 1 { format!("{last} (x{} over {})", event.count, lasting(now - event.first_at)) } else { last }
}

/// `Normal` or `Warning`.
pub fn kind(event: &Event) -> &'static str {
    match event.kind {
        EventKind::Normal => "Normal",
        EventKind::Warning => "Warning",
    }
}

/// A v1 Event.
fn object(subject: &Subject, event: &Event) -> Value {
    let Subject { name, namespace, uid } = subject;
    let mut involved = json!({ "apiVersion": "v1", "kind": "Pod", "name": name, "namespace": namespace, "uid": uid });
    if let Some(container) = &event.container {
        involved["fieldPath"] = json!(format!("spec.containers{{{container}}}"));
    }
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": format!("{name}.{:x}", event.sequence),
            "namespace": namespace,
            "creationTimestamp": timestamp::format(event.first_at),
        },
        "involvedObject": involved,
        "type": kind(event),
        "reason": event.reason,
        "message": event.message,
        "count": event.count,
        "firstTimestamp": timestamp::format(event.first_at),
        "lastTimestamp": timestamp::format(event.last_at),
        "source": { "component": "podling" },
        "reportingComponent": "podling",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_repeats_says_how_often() {
        let mut event = Event {
            sequence: 26,
            first_at: 100,
            last_at: 190,
            count: 1,
            kind: EventKind::Warning,
            reason: "Unhealthy".to_owned(),
            container: Some("c".to_owned()),
            message: "m".to_owned(),
        };
        assert_eq!(last_seen(&event, 200), "10s");
        event.count = 3;
        assert_eq!(last_seen(&event, 200), "10s (x3 over 100s)");
        let subject = Subject { name: "p".to_owned(), namespace: "default".to_owned(), uid: "u".to_owned() };
        let object = object(&subject, &event);
        assert_eq!(object["metadata"]["name"], "p.1a");
        assert_eq!(object["involvedObject"]["fieldPath"], "spec.containers{c}");
        assert_eq!((&object["type"], &object["count"]), (&json!("Warning"), &json!(3)));
    }
}

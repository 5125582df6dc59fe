//! A row of the table: a rule, the pod that shows it, what is done to the pod, and what must be seen. Rows run real pods, those of a
//! group at the same time; all of them run, and those that fail are printed with what was expected beside what was observed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use podling::pod::record::{Last, read_last};
use podling::pod::status::ContainerState;
use podling::pod::{Connection, Reply, Request, connect, pod_dir};
use serde_json::Value;

use crate::support::{Place, Running};

/// One row.
pub struct Row {
    /// The rule, in a sentence.
    pub rule: &'static str,
    /// The page of the Kubernetes documentation, or the kubelet's file, that has it.
    pub source: &'static str,
    /// `--time-scale`.
    pub scale: f64,
    /// The pod's `spec`.
    pub spec: String,
    /// What is done, one after the other: once something has been seen (a part of a line, event or state), this.
    pub steps: Vec<(&'static str, Do)>,
    pub must: Vec<Must>,
}

/// What is done to a running pod.
#[derive(Clone, Copy)]
pub enum Do {
    /// `podling stop`, with seconds of grace instead of the pod's own.
    Stop(Option<u64>),
    /// A signal to the first process of a container.
    Signal(&'static str, i32),
    /// Its object is kept for [`Must::Looked`], once it shows what the row asks there (the object may follow what was seen a moment later).
    Look,
    /// The row ends as soon as all that it asks has been seen, and is given a while for it.
    End,
    /// Nothing: it is only waited for.
    Nothing,
}

/// What must hold of what was seen. Lines are `CONTAINER: TEXT`, events `REASON CONTAINER`; states are what kubectl shows as STATUS, and
/// `ready`, `not ready` and `no longer ready`.
pub enum Must {
    /// All lines, in this order.
    Lines(&'static [&'static str]),
    /// Among the lines these, in this order.
    Order(&'static [&'static str]),
    /// No such line.
    NoLine(&'static str),
    /// This many lines begin like this.
    Times(&'static str, usize),
    /// Among the events these, in this order.
    Events(&'static [&'static str]),
    /// Such an event, whose message has this part.
    Event(&'static str, &'static str),
    /// No such event.
    NoEvent(&'static str),
    /// Among the states these, in this order.
    States(&'static [&'static str]),
    /// From the first line that begins with the first to the next that begins with the second: so many seconds of the pod's clock, or more.
    /// A line's time is when it was read, and a busy machine may read the first one late: half of the wait proves that there is one.
    Gap(&'static str, &'static str, f64),
    /// The pod's exit code and phase.
    Ended(u8, &'static str),
    /// What the last object, or the one of the first look, has at a place (a JSON pointer below `status`).
    Last(&'static str, Value),
    Looked(&'static str, Value),
    /// The same, where it is a text with this part.
    LookedPart(&'static str, &'static str),
    /// The status of a condition of the object of the first look.
    Condition(&'static str, &'static str),
}

/// What was seen of one pod.
#[derive(Default)]
struct Seen {
    /// Nanoseconds since 1970, and the line.
    lines: Vec<(u128, String)>,
    /// Reason and container, and the message.
    events: Vec<(String, String)>,
    states: Vec<String>,
    looks: Vec<Value>,
    last: Option<Last>,
    trouble: Option<String>,
}

/// No row takes longer on any machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// For what follows at once what was waited for.
const A_WHILE: Duration = Duration::from_secs(10);

/// Runs a group's rows.
#[track_caller]
pub fn run(rows: Vec<Row>) {
    let place = Place::with(&["busybox"]);
    let failures: Vec<String> = std::thread::scope(|scope| {
        let rows: Vec<_> = rows
            .iter()
            .enumerate()
            .map(|(n, row)| {
                let place = &place;
                scope.spawn(move || {
                    let seen = observe(place, &format!("row{n}"), row);
                    failure(n, row, &seen)
                })
            })
            .collect();
        rows.into_iter().filter_map(|row| row.join().unwrap()).collect()
    });
    let removed = place.podling(&["rm", "--all", "--force"]);
    assert!(failures.is_empty(), "{} of {} rows failed:\n{}", failures.len(), rows.len(), failures.join("\n"));
    removed.expect_success();
    place.assert_nothing_left();
}

fn observe(place: &Place, name: &str, row: &Row) -> Seen {
    let mut seen = Seen::default();
    let file = format!("{name}.yaml");
    place.write_file(&file, &yaml(name, row));
    let scale = row.scale.to_string();
    let starting = Running::spawn(place, place.command(&["run", "-d", "--time-scale", &scale, &file]));
    let dir = pod_dir(&place.data(), name);
    let deadline = Instant::now() + PATIENCE;
    let mut steps = row.steps.iter();
    let mut next = steps.next();
    let mut watch = None;
    let mut tails = BTreeMap::new();
    let mut is_over = false;
    let (mut looking, mut ending): (Option<Instant>, Option<Instant>) = (None, None);
    while !is_over {
        if watch.is_none() {
            watch = connect(&dir).ok().flatten().filter(|c| c.ask(&Request::Watch, &[]).is_ok());
        }
        // What was printed before the pod's end is in the files when its record is.
        seen.last = read_last(&dir).ok().flatten();
        is_over = seen.last.is_some();
        read_logs(&dir, &mut tails, &mut seen);
        while let Some(connection) = &watch
            && readable(connection)
        {
            match connection.answer() {
                Ok(Some((reply, _))) => note(reply, &mut seen),
                _ => watch = None,
            }
        }
        if let Some(until) = looking {
            look(&dir, &mut seen);
            let holds = row.must.iter().all(|must| !must.is_looked() || unmet(must, &seen, row.scale).is_none());
            looking = Some(until).filter(|until| !holds && Instant::now() < *until);
        }
        while looking.is_none()
            && ending.is_none()
            && let Some((when, act)) = next
            && has(&seen, when)
        {
            next = steps.next();
            match act {
                Do::End => ending = Some(Instant::now() + A_WHILE),
                Do::Look => looking = Some(Instant::now() + A_WHILE),
                act => perform(&dir, *act, &mut seen),
            }
        }
        if let Some(until) = ending {
            seen = sorted(seen);
            if Instant::now() > until || row.must.iter().all(|must| unmet(must, &seen, row.scale).is_none()) {
                ask(&dir, &Request::Stop { grace_seconds: Some(0) });
                drop(starting);
                return seen;
            }
        }
        if Instant::now() > deadline {
            seen.trouble = Some(match next {
                Some((when, _)) => format!("{when:?} was never seen"),
                None => "the pod has not ended".to_owned(),
            });
            // Its start may have failed.
            seen.trouble
                .iter_mut()
                .for_each(|trouble| trouble.push_str(&format!("; podling said: {}", starting.stderr())));
            ask(&dir, &Request::Stop { grace_seconds: Some(0) });
            return sorted(seen);
        }
        std::thread::sleep(Duration::from_millis(4));
    }
    if let Some(last) = &seen.last {
        // What the watch has missed: it ends with the pod.
        for event in last.events.clone() {
            let told = (format!("{} {}", event.reason, event.container.unwrap_or_default()), event.message);
            if !seen.events.contains(&told) {
                seen.events.push(told);
            }
        }
        seen.states.push(seen.last.as_ref().map(|last| last.summary.state.clone()).unwrap_or_default());
    } else if let Some((when, _)) = next {
        seen.trouble = Some(format!("{when:?} was never seen"));
    }
    let said = starting.finish();
    if seen.last.is_none() && said.code != Some(0) {
        seen.trouble = Some(said.to_string());
    }
    sorted(seen)
}

fn sorted(mut seen: Seen) -> Seen {
    // What was read at once has one time, and keeps its order.
    seen.lines.sort_by_key(|(time, _)| *time);
    seen
}

fn perform(dir: &Path, act: Do, seen: &mut Seen) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    match act {
        Do::Stop(grace_seconds) => {
            seen.lines.push((now, "(stop)".to_owned()));
            ask(dir, &Request::Stop { grace_seconds });
        }
        Do::Signal(container, signal) => {
            ask(dir, &Request::Kill { signal, container: Some(container.to_owned()) });
        }
        Do::Look | Do::End | Do::Nothing => {}
    }
}

fn look(dir: &Path, seen: &mut Seen) {
    if let Some(Reply::Object(object)) = ask(dir, &Request::Object) {
        seen.looks = vec![serde_json::from_str(&object).unwrap()];
    }
}

fn ask(dir: &Path, request: &Request) -> Option<Reply> {
    connect(dir).ok()??.call(request, &[]).ok()?.map(|(reply, _)| reply)
}

fn readable(connection: &Connection) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    use std::os::fd::AsFd;
    poll(&mut [PollFd::new(connection.as_fd(), PollFlags::POLLIN)], PollTimeout::ZERO).is_ok_and(|n| n > 0)
}

fn note(reply: Reply, seen: &mut Seen) {
    match reply {
        Reply::Events(events) => {
            for event in events {
                let told = format!("{} {}", event.reason, event.container.unwrap_or_default());
                seen.events.push((told, event.message));
            }
        }
        Reply::Summary(summary) => {
            let mut states = vec![summary.state.clone()];
            if summary.ready {
                states.push("ready".to_owned());
            } else if summary.containers.iter().any(|c| matches!(c.state, ContainerState::Running { .. })) {
                let was_ready = seen.states.iter().any(|state| state == "ready");
                states.push(if was_ready { "no longer ready" } else { "not ready" }.to_owned());
            }
            for state in states {
                let is_news = match state.ends_with("ready") {
                    true => seen.states.iter().rev().find(|s| s.ends_with("ready")) != Some(&state),
                    false => seen.states.iter().rev().find(|s| !s.ends_with("ready")) != Some(&state),
                };
                if is_news {
                    seen.states.push(state);
                }
            }
        }
        _ => {}
    }
}

/// Takes what is new in the containers' log files, which have lines as `TIME STREAM F TEXT` (the CRI's format).
fn read_logs(dir: &Path, tails: &mut BTreeMap<String, u64>, seen: &mut Seen) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let Some((container, _)) = name.split_once('.').filter(|_| name.ends_with(".log")) else { continue };
        let at = tails.entry(name.clone()).or_default();
        let Ok(mut file) = std::fs::File::open(entry.path()) else { continue };
        let mut text = String::new();
        if file.seek(SeekFrom::Start(*at)).is_err() || file.read_to_string(&mut text).is_err() {
            continue;
        }
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        *at += whole as u64;
        for line in text[..whole].lines() {
            let mut words = line.splitn(4, ' ');
            let (time, _, _, said) = (words.next(), words.next(), words.next(), words.next().unwrap_or_default());
            seen.lines.push((nanoseconds(time.unwrap_or_default()), format!("{container}: {}", said.trim_end())));
        }
    }
}

/// RFC 3339 with nanoseconds, in UTC; only differences and the order matter.
fn nanoseconds(time: &str) -> u128 {
    let (whole, rest) = time.split_once('.').unwrap_or((time, ""));
    let fraction: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let number = |range: std::ops::Range<usize>| whole.get(range).and_then(|n| n.parse::<i64>().ok()).unwrap_or(0);
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    // Days since 1970 (the civil calendar, with years that begin in March).
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 719_469;
    let seconds = days * 86_400 + number(11..13) * 3600 + number(14..16) * 60 + number(17..19);
    seconds as u128 * 1_000_000_000 + format!("{fraction:0<9}").parse::<u128>().unwrap_or(0)
}

/// Whether `what` has been seen; behind `2 x ` it is a line that must have been seen as often.
fn has(seen: &Seen, what: &str) -> bool {
    if let Some((times, what)) = what.split_once(" x ")
        && let Ok(times) = times.parse::<usize>()
    {
        return seen.lines.iter().filter(|(_, line)| line.contains(what)).count() >= times;
    }
    seen.lines.iter().any(|(_, line)| line.contains(what))
        || seen.events.iter().any(|(event, message)| format!("{event} {message}").contains(what))
        || seen.states.iter().any(|state| state == what)
}

fn yaml(name: &str, row: &Row) -> String {
    let spec: String = row.spec.lines().map(|line| format!("  {line}\n")).collect();
    format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n{spec}")
}

/// What is wrong with a row, all of it.
fn failure(n: usize, row: &Row, seen: &Seen) -> Option<String> {
    let mut wrong: Vec<String> = row.must.iter().filter_map(|must| unmet(must, seen, row.scale)).collect();
    wrong.extend(seen.trouble.clone());
    if wrong.is_empty() {
        return None;
    }
    let mut text = format!("---- {}\n     ({})\n{}", row.rule, row.source, yaml(&format!("row{n}"), row));
    for what in wrong {
        let _ = writeln!(text, "  ! {what}");
    }
    let lines: Vec<&str> = seen.lines.iter().map(|(_, line)| line.as_str()).collect();
    let events: Vec<String> = seen.events.iter().map(|(event, message)| format!("{event}: {message}")).collect();
    let _ = writeln!(text, "  lines {lines:#?}\n  events {events:#?}\n  states {:?}", seen.states);
    let objects = seen
        .looks
        .iter()
        .chain(seen.last.as_ref().map(|l| serde_json::from_str(&l.object).unwrap()).as_ref())
        .map(|o| o["status"].to_string())
        .collect::<Vec<_>>();
    let _ = writeln!(text, "  status {}", objects.join("\n  status "));
    Some(text)
}

fn unmet(must: &Must, seen: &Seen, scale: f64) -> Option<String> {
    let lines: Vec<&str> = seen.lines.iter().map(|(_, line)| line.as_str()).filter(|line| *line != "(stop)").collect();
    let events: Vec<&str> = seen.events.iter().map(|(event, _)| event.trim_end()).collect();
    let states: Vec<&str> = seen.states.iter().map(String::as_str).collect();
    let looked = || seen.looks.first().map(|look| &look["status"]);
    let holds = match must {
        Must::Lines(expected) => lines == *expected,
        Must::Order(expected) => in_order(expected, &lines),
        Must::NoLine(line) => !lines.contains(line),
        Must::Times(line, times) => lines.iter().filter(|l| l.starts_with(line)).count() == *times,
        Must::Events(expected) => in_order(expected, &events),
        Must::Event(event, part) => seen.events.iter().any(|(e, m)| e.trim_end() == *event && m.contains(part)),
        Must::NoEvent(event) => !events.contains(event),
        Must::States(expected) => in_order(expected, &states),
        Must::Gap(from, to, least) => gap(seen, from, to).is_some_and(|gap| gap >= least * scale * 0.5),
        Must::Ended(code, phase) => seen
            .last
            .as_ref()
            .is_some_and(|last| last.summary.exit_code == Some(*code) && last.summary.phase.to_string() == *phase),
        Must::Last(pointer, value) => {
            let object: Option<Value> = seen.last.as_ref().and_then(|last| serde_json::from_str(&last.object).ok());
            object.is_some_and(|object| object["status"].pointer(pointer).unwrap_or(&Value::Null) == value)
        }
        Must::Looked(pointer, value) => {
            looked().is_some_and(|status| status.pointer(pointer).unwrap_or(&Value::Null) == value)
        }
        Must::LookedPart(pointer, part) => {
            looked().and_then(|status| status.pointer(pointer)?.as_str()).is_some_and(|text| text.contains(part))
        }
        Must::Condition(name, value) => looked()
            .and_then(|status| status["conditions"].as_array()?.iter().find(|c| c["type"] == *name))
            .is_some_and(|condition| condition["status"] == *value),
    };
    (!holds).then(|| match must {
        Must::Lines(expected) => format!("all lines: {expected:?}"),
        Must::Order(expected) => format!("lines in this order: {expected:?}"),
        Must::NoLine(line) => format!("no line {line:?}"),
        Must::Times(line, times) => format!("{times} lines begin with {line:?}"),
        Must::Events(expected) => format!("events in this order: {expected:?}"),
        Must::Event(event, part) => format!("an event {event:?} that says {part:?}"),
        Must::NoEvent(event) => format!("no event {event:?}"),
        Must::States(expected) => format!("states in this order: {expected:?}"),
        Must::Gap(from, to, least) => {
            let found = gap(seen, from, to).map(|gap| gap / scale);
            format!("at least {least} s from {from:?} to {to:?}, not {found:?}")
        }
        Must::Ended(code, phase) => {
            let end = seen.last.as_ref().map(|last| (last.summary.exit_code, last.summary.phase));
            format!("exit code {code} and phase {phase}, not {end:?}")
        }
        Must::Last(pointer, value) => format!("at the end {pointer} is {value}"),
        Must::Looked(pointer, value) => format!("at the look {pointer} is {value}"),
        Must::LookedPart(pointer, part) => format!("at the look {pointer} says {part:?}"),
        Must::Condition(name, value) => format!("at the look the condition {name} is {value}"),
    })
}

fn in_order(expected: &[&str], found: &[&str]) -> bool {
    let mut found = found.iter();
    expected.iter().all(|wanted| found.any(|have| have == wanted))
}

/// Seconds between two lines, by the supervisor's clock.
fn gap(seen: &Seen, from: &str, to: &str) -> Option<f64> {
    let begin = seen.lines.iter().position(|(_, line)| line.starts_with(from))?;
    let (start, _) = seen.lines.get(begin)?;
    let (end, _) = seen.lines.iter().skip(begin + 1).find(|(_, line)| line.starts_with(to))?;
    Some((end - start) as f64 / 1e9)
}

/// A pod's `spec`: lines of its own, init containers, containers. Every container has the pod's volume at /v, and a long grace period is
/// given to all who say none: what ends within it does so by itself.
pub fn spec(lines: &str, inits: &[String], containers: &[String]) -> String {
    let mut text = format!("{lines}\nvolumes: [{{name: v, emptyDir: {{}}}}]\n");
    if !lines.contains("terminationGracePeriodSeconds") {
        text.push_str("terminationGracePeriodSeconds: 3000\n");
    }
    for (field, list) in [("initContainers", inits), ("containers", containers)] {
        if !list.is_empty() {
            let _ = writeln!(text, "{field}:");
            list.iter().for_each(|container| text.push_str(container));
        }
    }
    text
}

/// A container that runs a shell script; `fields` are more of it in flow style.
pub fn c(name: &str, script: &str, fields: &str) -> String {
    let script = serde_json::to_string(&script.replace("$$", "$$$$")).unwrap();
    let fields = if fields.is_empty() { String::new() } else { format!(", {fields}") };
    let mount = "volumeMounts: [{name: v, mountPath: /v}]";
    format!("- {{name: {name}, image: busybox, command: [sh, -c, {script}], {mount}{fields}}}\n")
}

/// An exec action in flow style.
pub fn exec(script: &str) -> String {
    format!("exec: {{command: [sh, -c, {}]}}", serde_json::to_string(script).unwrap())
}

/// Runs until it is asked to end, and ends with 0.
pub const LIVES: &str = "trap 'echo term; exit 0' TERM; echo up; while :; do sleep 9 & wait $!; done";

/// Like [`LIVES`], and deaf.
pub const DEAF: &str = "trap 'echo term' TERM; echo up; while :; do sleep 9 & wait $!; done";

/// A row on a fast clock, to which nothing is done.
pub fn row(rule: &'static str, source: &'static str, spec: String, must: Vec<Must>) -> Row {
    Row { rule, source, scale: 0.02, spec, steps: Vec::new(), must }
}

impl Must {
    fn is_looked(&self) -> bool {
        matches!(self, Must::Looked(..) | Must::LookedPart(..) | Must::Condition(..))
    }
}

impl Row {
    /// Once `when` has been seen, `act`.
    pub fn then(mut self, when: &'static str, act: Do) -> Row {
        self.steps.push((when, act));
        self
    }

    /// Another clock.
    pub fn scaled(mut self, scale: f64) -> Row {
        self.scale = scale;
        self
    }
}

//! Telling newcomers what they wrote instead of what was expected: unknown kinds, unknown fields, wrong types.

use std::fmt::Display;

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_path_to_error::Segment;

use super::Source;
use super::fields::{self, Rule};
use super::kind::{Kind, is_base64, push_key};
use super::kinds;
use super::problems::Problems;
use super::yaml::{Node, Yaml};

/// What a document says it is.
pub(super) enum Said {
    One(Kind),
    /// Objects of every kind, or, in a `PodList`, of that kind where they do not say it.
    List(Option<Kind>),
}

const TAKEN: &str =
    "podling takes Pod, ConfigMap, Secret, PersistentVolumeClaim and List of apiVersion v1, and Job of batch/v1";

/// The kind of the object at `node`, or a problem. `listed` is what an item of a list is that does not say it.
pub(super) fn kind_of(node: &Node, listed: Option<Kind>, source: &Source, problems: &mut Problems) -> Option<Said> {
    if !matches!(node.value, Yaml::Map(_)) {
        let why =
            format!("expected a Kubernetes object, which begins with apiVersion and kind, found {}", node.describe());
        problems.add(source, "", why).mend(TAKEN);
        return None;
    }
    if let Some(kind) = listed.filter(|_| node.entry("kind").is_none() && node.entry("apiVersion").is_none()) {
        return Some(Said::One(kind));
    }
    let text = |field: &str, problems: &mut Problems| match node.entry(field) {
        Some(entry) => match &entry.node.value {
            Yaml::Text(text) if !text.is_empty() => Some(text.clone()),
            _ => {
                let why = format!("{}: expected a text, found {}", source.full_path(field), entry.node.describe());
                problems.add_line(source.order, &source.file, entry.line, why).mend(TAKEN);
                None
            }
        },
        None => {
            problems.add(source, field, "required").mend(TAKEN);
            None
        }
    };
    let version = text("apiVersion", problems);
    let kind = text("kind", problems)?;
    let line = |field: &str| node.entry(field).map_or(node.line, |entry| entry.line);
    let of_list = kind.strip_suffix("List").map(|item| Kind::ALL.into_iter().find(|kind| kind.name() == item));
    let said = match (Kind::ALL.into_iter().find(|known| known.name() == kind), of_list) {
        (Some(kind), _) => Said::One(kind),
        (None, Some(item)) if item.is_some() || kind == "List" => Said::List(item),
        _ => {
            unknown_kind(&kind, version.as_deref(), source, line("kind"), problems);
            return None;
        }
    };
    let wanted = match said {
        Said::One(kind) | Said::List(Some(kind)) => kind.version(),
        Said::List(None) => "v1",
    };
    let version = version?;
    if version != wanted {
        let why = format!("{}: expected {wanted} for a {kind}, found {version:?}", source.full_path("apiVersion"));
        problems
            .add_line(source.order, &source.file, line("apiVersion"), why)
            .mend(format!("write apiVersion: {wanted}"));
        return None;
    }
    Some(said)
}

/// Reports an object of a `kind` that podling does not take.
fn unknown_kind(kind: &str, version: Option<&str>, source: &Source, line: usize, problems: &mut Problems) {
    let path = source.full_path("kind");
    if let Some((needs, mend)) = kinds::needs(kind, version) {
        let why = format!("{path}: {kind:?} is not a kind that podling takes: {needs}");
        problems.refuse_line(source.order, &source.file, line, why).mend(mend);
        return;
    }
    let names = Kind::ALL.into_iter().map(Kind::name).chain(["List"]);
    let mend = match nearest(kind, names) {
        Some(meant) => format!("did you mean \"{meant}\"?"),
        None => TAKEN.into(),
    };
    let why = format!("{path}: {kind:?} is not a kind that podling takes");
    problems.add_line(source.order, &source.file, line, why).mend(mend);
}

/// The items of the List at `node`.
pub(super) fn list_items(node: Node, source: &Source, problems: &mut Problems) -> Vec<Node> {
    let Yaml::Map(entries) = node.value else { return Vec::new() };
    let mut items = Vec::new();
    let mut seen: Vec<(String, usize)> = Vec::new();
    for entry in entries {
        let path = source.full_path(&entry.key);
        let mut problem = |why: String| {
            problems.add_line(source.order, &source.file, entry.line, format!("{path}: {why}"));
        };
        if let Some((_, first)) = seen.iter().find(|(key, _)| *key == entry.key) {
            problem(format!("written twice, first on line {first}"));
            continue;
        }
        match (entry.key.as_str(), entry.node) {
            ("apiVersion" | "kind" | "metadata", _) => {}
            ("items", Node { value: Yaml::List(list), .. }) => items = list,
            ("items", Node { value: Yaml::Null, .. }) => {}
            ("items", other) => problem(format!("expected a list of objects, found {}", other.describe())),
            _ => problem("unknown field; a List has items".into()),
        }
        seen.push((entry.key, entry.line));
    }
    items
}

/// Reports the field at `path`, which `kind` does not have.
pub(super) fn unknown_field(kind: Kind, path: &str, source: &Source, problems: &mut Problems) {
    let (parent, name) = match path.strip_suffix(']').and_then(|path| path.rsplit_once('[')) {
        Some(split) => split,
        None => path.rsplit_once('.').unwrap_or(("", path)),
    };
    let problem = problems.add(source, path, "unknown field");
    let parent = pattern_of(parent);
    let homes = fields::elsewhere(kind, name, &parent);
    let siblings: Vec<(&str, Rule)> = fields::children(kind, &parent).collect();
    let taken = siblings.iter().filter(|(_, rule)| !matches!(rule, Rule::Refused(_))).map(|&(sibling, _)| sibling);
    let taken: Vec<&str> = taken.collect();
    if let Some(meant) = nearest(name, siblings.iter().map(|&(sibling, _)| sibling)) {
        problem.mend(format!("did you mean \"{meant}\"?"));
    } else if (1..=3).contains(&homes.len()) {
        problem.mend(format!("{name} belongs to {}; is the indentation right?", homes.join(" or ")));
    } else if let Some(meant) = same_end(name, &taken) {
        problem.mend(format!("did you mean \"{meant}\"?"));
    } else if (1..=8).contains(&taken.len()) {
        problem.mend(format!("podling takes {} here", taken.join(", ")));
    }
}

/// The one of `known` that `name` was probably meant to be.
pub fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let lower = name.to_lowercase();
    let best = known
        .map(|candidate| (strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()), candidate))
        .min_by_key(|&(distance, _)| distance)?;
    // Two slips of the finger in a long name, one in a short one.
    let allowed = if name.chars().count() > 5 { 2 } else { 1 };
    (best.0 <= allowed).then_some(best.1)
}

/// The only one of `known` that begins or ends as `name` does: `secretName` for `name`, `mountPath` for `path`.
fn same_end<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let name = name.to_lowercase();
    let mut alike = known.iter().copied().filter(|candidate| {
        let candidate = candidate.to_lowercase();
        let (short, long) = if name.len() < candidate.len() { (&name, &candidate) } else { (&candidate, &name) };
        short.len() >= 4 && (long.starts_with(short.as_str()) || long.ends_with(short.as_str()))
    });
    let only = alike.next()?;
    alike.next().is_none().then_some(only)
}

/// Reports each field of `value` that has not the type which `T` wants.
pub(super) fn wrong_types<T: DeserializeOwned>(
    kind: Kind,
    mut value: Value,
    root: &Node,
    source: &Source,
    problems: &mut Problems,
) {
    // Each round reads the whole object again, so a file that is wrong throughout is not searched to its end.
    for _ in 0..50 {
        let Err(e) = serde_path_to_error::deserialize::<_, T>(&value) else { return };
        let mut path = String::new();
        let mut found = Some(root);
        for segment in e.path().iter() {
            push_segment(&mut path, segment);
            found = match (segment, found.map(|node| &node.value)) {
                (Segment::Seq { index }, Some(Yaml::List(items))) => items.get(*index),
                (Segment::Map { key }, Some(_)) => found.and_then(|node| node.entry(key)).map(|entry| &entry.node),
                _ => found,
            };
        }
        let (why, mend) = wrong_type(kind, &path, &e.inner().to_string(), found.unwrap_or(root));
        let problem = problems.add(source, &path, why);
        if let Some(mend) = mend {
            problem.mend(mend);
        }
        let segments: Vec<&Segment> = e.path().iter().collect();
        if !leave_out(&mut value, &segments) {
            return;
        }
    }
}

fn push_segment(path: &mut String, segment: &Segment) {
    match segment {
        Segment::Seq { index } => path.push_str(&format!("[{index}]")),
        Segment::Map { key } => push_key(path, key),
        Segment::Enum { .. } | Segment::Unknown => {}
    }
}

/// Removes the place at `segments` from `value`, so that a second reading finds the next problem; false when it cannot.
fn leave_out(value: &mut Value, segments: &[&Segment]) -> bool {
    match (segments, value) {
        ([Segment::Map { key }], Value::Object(map)) => map.remove(key).is_some(),
        ([Segment::Map { key }, rest @ ..], Value::Object(map)) => map.get_mut(key).is_some_and(|v| leave_out(v, rest)),
        ([Segment::Seq { index }], Value::Array(items)) if *index < items.len() => {
            // Without the item the later ones would change their numbers, so the rest of the list waits for the next run.
            items.truncate(*index);
            true
        }
        ([Segment::Seq { index }, rest @ ..], Value::Array(items)) => {
            items.get_mut(*index).is_some_and(|v| leave_out(v, rest))
        }
        _ => false,
    }
}

/// What was expected and what was found, and the mend, from the decoder's `message`.
fn wrong_type(kind: Kind, path: &str, message: &str, found: &Node) -> (String, Option<String>) {
    if is_base64(kind, path) && matches!(found.value, Yaml::Text(_) | Yaml::Number(..) | Yaml::Bool(..)) {
        let plain = if kind == Kind::Secret { "stringData" } else { "data" };
        // What stands there may be a secret in plain text, so it is not repeated.
        let mend = format!("plain text belongs to {plain}; `printf %s TEXT | base64 -w0` encodes it");
        return ("expected base64, which this is not".into(), Some(mend));
    }
    if kind == Kind::Secret && path.starts_with("stringData.") {
        return ("expected a text, found something else".into(), Some("put the value in quotes".into()));
    }
    let Some((_, wanted)) = message.rsplit_once(", expected ") else {
        return (format!("{} cannot be read: {message}", found.describe()), None);
    };
    let wanted = wanted.trim();
    let range = match wanted {
        "i32" => Some(i64::from(i32::MAX)),
        "i64" => Some(i64::MAX),
        _ => None,
    };
    let found_text = found.describe();
    let (expected, mend) = match (wanted, &found.value) {
        (_, Yaml::Number(n, _)) if range.is_some() && !n.is_f64() => {
            return (format!("expected a whole number up to {}, found {found_text}", range.unwrap_or_default()), None);
        }
        ("i32" | "i64", Yaml::Text(text)) if text.parse::<i64>().is_ok() => {
            ("a whole number", Some(format!("remove the quotes: {text}")))
        }
        ("i32" | "i64", _) => ("a whole number", None),
        ("a boolean", Yaml::Text(text)) if matches!(text.to_lowercase().as_str(), "true" | "false" | "yes" | "no") => {
            let meant = matches!(text.to_lowercase().as_str(), "true" | "yes");
            ("true or false", Some(format!("remove the quotes: {meant}")))
        }
        ("a boolean", _) => ("true or false", None),
        ("a string", Yaml::Bool(_, written) | Yaml::Number(_, written)) => {
            ("a text", Some(format!("quote it: {}", quoted(written))))
        }
        ("a string" | "a base64-encoded string" | "Quantity", _) => ("a text", None),
        ("a sequence", Yaml::Text(text)) if text.len() <= 40 => {
            // Quotes inside the text would say where its words end.
            let words: Vec<String> = match text.contains(['"', '\'']) {
                true => vec![quoted(text)],
                false => text.split_whitespace().map(quoted).collect(),
            };
            ("a list", Some(format!("write a list: [{}]", words.join(", "))))
        }
        ("a sequence", Yaml::Map(_)) => ("a list", Some("put \"- \" before the first field of each item".into())),
        ("a sequence", _) => ("a list", None),
        ("a map", _) => ("a mapping of names to values", None),
        (_, Yaml::Text(text)) if path.contains(".env[") && text.contains('=') => {
            let (name, value) = text.split_once('=').unwrap_or_default();
            ("a mapping of fields", Some(format!("write {{name: {}, value: {}}}", quoted(name), quoted(value))))
        }
        (_, Yaml::List(_)) => ("a mapping of fields", Some("remove the \"- \" before its fields".into())),
        _ => ("a mapping of fields", None),
    };
    (format!("expected {expected}, found {found_text}"), mend)
}

fn quoted(text: impl Display) -> String {
    Value::String(text.to_string()).to_string()
}

/// The table's pattern for a path: `spec.containers[0].env[3]` becomes `spec.containers[].env[]`.
fn pattern_of(path: &str) -> String {
    let mut pattern = String::with_capacity(path.len());
    let mut inside = false;
    for c in path.chars() {
        match c {
            '[' => inside = true,
            ']' => {
                inside = false;
                pattern.push_str("[]");
            }
            _ if inside => {}
            _ => pattern.push(c),
        }
    }
    pattern
}

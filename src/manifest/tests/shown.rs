//! That every field is shown to work, or to be refused: by a test that says so in a comment, `// shows: PATH, PATH`, or by the one below.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::manifest::decode::decode;
use crate::manifest::fields::{self, Rule};
use crate::manifest::kind::Kind;
use crate::manifest::problems::Problems;
use crate::manifest::{Class, Input, Problem};

/// The paths in the `// shows:` comments of all tests, with the file that has them. `PATH.**` is everything below PATH, too; paths of
/// kinds other than Pod begin with the kind, `Secret:type`.
fn shown() -> BTreeMap<String, String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    for dir in ["tests", "src"] {
        sources(&root.join(dir), &mut files);
    }
    let mut shown = BTreeMap::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let lines = text.lines().filter_map(|line| line.trim_start().strip_prefix("// shows:"));
        for path in lines.flat_map(|line| line.split(',')).map(str::trim).filter(|path| !path.is_empty()) {
            shown.insert(path.to_owned(), file.strip_prefix(&root).unwrap().display().to_string());
        }
    }
    shown
}

fn sources(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, files);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            files.push(path);
        }
    }
}

fn named(kind: Kind, path: &str) -> String {
    if kind == Kind::Pod { path.to_owned() } else { format!("{}:{path}", kind.name()) }
}

#[test]
fn every_field_that_is_honoured_is_shown_by_a_test() {
    let shown = shown();
    let whole: Vec<&str> = shown.keys().filter_map(|path| path.strip_suffix(".**")).collect();
    let is_shown = |path: &str| {
        let below =
            |above: &&str| path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
        shown.contains_key(path) || whole.iter().any(below)
    };
    let mut missing = Vec::new();
    for kind in Kind::ALL {
        for (path, rule) in fields::rows(kind) {
            let honoured = !matches!(rule, Rule::Group | Rule::Refused(_));
            // All kinds share these, and the Pod's tests show them.
            let shared = kind != Kind::Pod && (path.starts_with("metadata") || matches!(*path, "apiVersion" | "kind"));
            if honoured && !shared && !is_shown(&named(kind, path)) {
                missing.push(named(kind, path));
            }
        }
    }
    assert!(missing.is_empty(), "no test says `// shows:` of these {}: {missing:#?}", missing.len());
}

#[test]
fn what_tests_show_are_fields() {
    let mut known: BTreeSet<String> = BTreeSet::new();
    for kind in Kind::ALL {
        known.extend(fields::rows(kind).map(|(path, _)| named(kind, path)));
    }
    let unknown = |(path, _): &(String, String)| {
        let path = path.strip_suffix(".**").unwrap_or(path);
        !known.contains(path) && !known.contains(&path.replace("initContainers", "containers"))
    };
    let unknown: Vec<_> = shown().into_iter().filter(unknown).collect();
    assert!(unknown.is_empty(), "these are no rows of the table: {unknown:#?}");
}

/// An object of `kind` in which the field `pattern` is written, as a text, and nothing else is right.
fn object_with(kind: Kind, pattern: &str) -> String {
    let mut yaml = format!("apiVersion: {}\nkind: {}\n", kind.version(), kind.name());
    let mut rest = pattern;
    let mut flow = String::new();
    let mut close = String::new();
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix("[]") {
            flow.push('[');
            close.insert(0, ']');
            rest = after;
        } else {
            let name = rest.strip_prefix('.').unwrap_or(rest);
            let (name, after) = match name.strip_prefix('[').and_then(|name| name.split_once(']')) {
                Some(split) => split,
                None => name.split_at(name.find(['.', '[']).unwrap_or(name.len())),
            };
            let name = if name == "*" { "some" } else { name };
            if flow.is_empty() {
                flow.push_str(&format!("{name}: "));
            } else {
                flow.push_str(&format!("{{{name}: "));
                close.insert(0, '}');
            }
            rest = after;
        }
    }
    yaml.push_str(&format!("{flow}some-text{close}\n"));
    yaml
}

#[test]
fn every_refusal_says_where_and_why() {
    for kind in Kind::ALL {
        for (pattern, rule) in fields::rows(kind) {
            let (Rule::Refused(why) | Rule::Only(_, why)) = rule else { continue };
            // A switch is refused as the other of its two values.
            let value = if matches!(rule, Rule::Only(["false"], _)) { "true" } else { "some-text" };
            let text = object_with(kind, pattern).replace("some-text", value);
            let mut problems = Problems::default();
            decode(&[Input { name: "a.yaml".to_owned(), bytes: text.into_bytes(), path: None }], &mut problems);
            let path = pattern.replace("[]", "[0]").replace('*', "some");
            let found = |problem: &Problem| problem.class == Class::Refused && problem.path == path;
            let refusal = problems.into_sorted().into_iter().find(found);
            let refusal = refusal.unwrap_or_else(|| panic!("{pattern} is not refused"));
            assert_eq!(refusal.at, "a.yaml:3");
            assert!(refusal.why.ends_with(why), "{refusal:?}");
        }
    }
}

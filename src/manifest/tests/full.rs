//! A Pod in which every field of the API's types is written: each gets an answer.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Map, Value, json};

use super::schema;
use crate::manifest::{Input, examine};

/// Writes a text at `pattern` in `value`, below whatever is there.
fn write(value: &mut Value, pattern: &str) {
    if let Some(rest) = pattern.strip_prefix("[]") {
        if !value.is_array() {
            *value = json!([null]);
        }
        return write(&mut value[0], rest);
    }
    let pattern = pattern.strip_prefix('.').unwrap_or(pattern);
    if pattern.is_empty() {
        if value.is_null() {
            *value = json!("text");
        }
        return;
    }
    let (name, rest) = pattern.split_at(pattern.find(['.', '[']).unwrap_or(pattern.len()));
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    write(&mut value[if name == "*" { "some" } else { name }], rest);
}

fn leaves(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                leaves(value, &if path.is_empty() { name.clone() } else { format!("{path}.{name}") }, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| leaves(item, &format!("{path}[0]"), found)),
        _ => found.push(path.to_owned()),
    }
}

#[test]
fn every_field_of_a_full_pod_has_an_answer() {
    let mut pod = json!({ "apiVersion": "v1", "kind": "Pod" });
    for path in schema::paths::<Pod>("Pod") {
        write(&mut pod, &path);
    }
    let examined = examine(&[Input { name: "full".to_owned(), bytes: pod.to_string().into_bytes(), path: None }]);
    let answered: BTreeSet<&str> = examined.objects[0].answers.iter().map(|answer| answer.path.as_str()).collect();
    let mut written = Vec::new();
    leaves(&pod, "", &mut written);
    assert!(written.len() > 900, "{}", written.len());
    let answered = |path: &String| {
        let ends = path.match_indices(['.', '[']).map(|(end, _)| end).chain([path.len()]);
        ends.map(|end| &path[..end]).any(|above| answered.contains(above))
    };
    let silent: Vec<&String> = written.iter().filter(|path| !answered(path)).collect();
    assert!(silent.is_empty(), "no answer to {silent:#?}");
    assert!(!examined.problems.iter().any(|problem| problem.why.contains("unknown field")), "{:#?}", examined.problems);
}

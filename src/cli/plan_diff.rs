//! `podling plan --diff`: a running pod's plan beside that of a file.

use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use super::objects::json_line;
use crate::error::{Error, Result};

/// What must be told apart besides what the plans print: contents of files and values of Secrets, which are not printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hidden {
    /// They are the same.
    Same,
    /// They are not, or something else of the plan that is not printed.
    Different,
}

/// The lines in which two plans of the pod `name` differ, `-` for the running pod's and `+` for the file's; empty where nothing does.
///
/// # Errors
/// A kept plan that is not JSON.
pub fn diff(name: &str, running: &str, said: &Value, hidden: Hidden) -> Result<String> {
    let running: Value =
        serde_json::from_str(running).map_err(|e| Error::new(format!("the plan that is kept of pod {name:?}: {e}")))?;
    let (old, new) = (lines(&running)?, lines(said)?);
    let mut text = String::new();
    for change in TextDiff::from_lines(&old, &new).iter_all_changes() {
        match change.tag() {
            ChangeTag::Equal => {}
            ChangeTag::Delete => text.push_str(&format!("- {}", change.value())),
            ChangeTag::Insert => text.push_str(&format!("+ {}", change.value())),
        }
    }
    if text.is_empty() && hidden == Hidden::Different {
        text = "~ what is in a file of a volume, a Secret's value or an image\n".to_owned();
    }
    if !text.is_empty() {
        text = format!("--- pod {name}, as it runs\n+++ pod {name}, as the file says\n{text}");
    }
    Ok(text)
}

/// A plan as one line for each value, with the whole path before it.
fn lines(plan: &Value) -> Result<String> {
    let mut text = String::new();
    let Value::Object(fields) = plan else { return Ok(text) };
    // Its report follows from the rest, and names lines, which a comment moves.
    for (field, value) in fields.iter().filter(|(field, _)| *field != "report") {
        add(field, value, &mut text)?;
    }
    Ok(text)
}

fn add(path: &str, value: &Value, text: &mut String) -> Result<()> {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (field, value) in fields {
                add(&format!("{path}.{field}"), value, text)?;
            }
        }
        // What a running pod follows is not its plan's.
        Value::Array(items) if items.iter().any(|item| item["followed"] != true) => {
            for item in items.iter().filter(|item| item["followed"] != true) {
                // Items are told apart by their names, not their numbers, which an item before them would change.
                let named = ["name", "destination", "path"].iter().find_map(|field| item.get(field)?.as_str());
                add(&format!("{path}[{}]", named.unwrap_or_default()), item, text)?;
            }
        }
        Value::Array(_) => text.push_str(&format!("{path}: []\n")),
        value => text.push_str(&format!("{path}: {}\n", json_line(value)?)),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_differs_is_named_by_its_whole_path() {
        let old =
            json!({ "containers": [{ "name": "a", "args": ["x", "y"] }, { "name": "b" }], "report": [1], "n": null });
        let new = json!({ "containers": [{ "name": "a", "args": ["x", "z", "y"] }], "report": [2], "n": 3 });
        let text = diff("p", &old.to_string(), &new, Hidden::Different).unwrap();
        assert_eq!(
            text,
            "--- pod p, as it runs\n+++ pod p, as the file says\n+ containers[a].args[]: \"z\"\n\
             - containers[b].name: \"b\"\n- n: null\n+ n: 3\n"
        );
        assert_eq!(diff("p", &old.to_string(), &old, Hidden::Same).unwrap(), "");
        assert!(diff("p", &old.to_string(), &old, Hidden::Different).unwrap().contains("~ what is in a file"));
        assert!(diff("p", "", &old, Hidden::Same).is_err());
    }

    #[test]
    fn what_a_running_pod_follows_is_no_difference() {
        let plan = |files: Value| json!({ "volumes": [{ "name": "v", "files": files }] });
        let followed = |bytes: u32| json!({ "path": "a", "bytes": bytes, "followed": true });
        let told = |old: Value, new: Value| diff("p", &plan(old).to_string(), &plan(new), Hidden::Same).unwrap();
        assert_eq!(told(json!([followed(1)]), json!([followed(2)])), "");
        assert_eq!(told(json!([followed(1)]), json!([])), "");
        assert!(
            told(json!([followed(1)]), json!([{ "path": "b", "bytes": 1 }])).contains("+ volumes[v].files[b].bytes: 1")
        );
    }
}

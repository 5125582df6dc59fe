//! Kubernetes objects on standard output.

use std::io::Write;

use serde_json::{Value, json};

use super::stdout::Stdout;
use super::yaml;
use crate::error::{Error, Result};

/// How objects are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Json,
    Yaml,
}

/// Prints one object.
///
/// # Errors
/// It cannot be written.
pub fn print(object: &Value, format: Format) -> Result<()> {
    let text = match format {
        Format::Yaml => yaml::text(object),
        Format::Json => json_text(object)? + "\n",
    };
    Ok(Stdout::lock().write_all(text.as_bytes())?)
}

/// Objects as `kubectl get` has them where it was not asked for one.
pub fn list(items: Vec<Value>) -> Value {
    json!({ "apiVersion": "v1", "kind": "List", "metadata": { "resourceVersion": "" }, "items": items })
}

/// JSON with every character escaped that would play tricks on a terminal; only strings can hold one.
fn json_text(object: &Value) -> Result<String> {
    let text = serde_json::to_string_pretty(object).map_err(|e| Error::new(format!("printing an object: {e}")))?;
    Ok(escaped(&text))
}

/// The same on one line.
///
/// # Errors
/// It cannot be written as JSON.
pub fn json_line(object: &Value) -> Result<String> {
    let text = serde_json::to_string(object).map_err(|e| Error::new(format!("printing an object: {e}")))?;
    Ok(escaped(&text))
}

fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            c if c != '\n' && yaml::must_be_escaped(c) => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_harmless_and_the_same() {
        let object = json!({ "a": "\u{9b}2J\u{202e}\u{7f}\n", "b": [1, "ä"] });
        let text = json_text(&object).unwrap();
        assert!(text.chars().all(|c| c == '\n' || !yaml::must_be_escaped(c)), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), object);
    }
}

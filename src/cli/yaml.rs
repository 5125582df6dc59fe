//! Values as YAML, as kubectl prints objects: a small writer, since every parser must read the text as the same value.
//!
//! Plain is only what no reader of YAML 1.1 or 1.2 takes for something else than text; everything odd is in double quotes.

use serde_json::{Map, Value};

/// `value` as a YAML document that ends with a line break.
pub fn text(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => write_map(&mut out, map, 0),
        Value::Array(items) if !items.is_empty() => write_list(&mut out, items, 0),
        _ => {
            write_scalar(&mut out, value, 0);
        }
    }
    out
}

/// The entries of a mapping, each on a line of its own; the first follows what is on the line already.
fn write_map(out: &mut String, map: &Map<String, Value>, indent: usize) {
    for (n, (key, value)) in map.iter().enumerate() {
        if n > 0 {
            pad(out, indent);
        }
        out.push_str(&inline(key));
        out.push(':');
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                out.push('\n');
                pad(out, indent + 2);
                write_map(out, inner, indent + 2);
            }
            // kubectl does not indent lists.
            Value::Array(items) if !items.is_empty() => {
                out.push('\n');
                pad(out, indent);
                write_list(out, items, indent);
            }
            _ => {
                out.push(' ');
                write_scalar(out, value, indent + 2);
            }
        }
    }
}

fn write_list(out: &mut String, items: &[Value], indent: usize) {
    for (n, item) in items.iter().enumerate() {
        if n > 0 {
            pad(out, indent);
        }
        out.push_str("- ");
        match item {
            Value::Object(map) if !map.is_empty() => write_map(out, map, indent + 2),
            Value::Array(items) if !items.is_empty() => write_list(out, items, indent + 2),
            _ => write_scalar(out, item, indent + 2),
        }
    }
}

/// What has no entries, and the end of its line; the lines of a text that has several are indented by `indent`.
fn write_scalar(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::String(text) if can_be_block(text) && indent > 0 => write_block(out, text, indent),
        Value::String(text) => {
            out.push_str(&inline(text));
            out.push('\n');
        }
        // JSON's other values, `{}` and `[]` included, are YAML's.
        other => {
            out.push_str(&other.to_string());
            out.push('\n');
        }
    }
}

fn write_block(out: &mut String, text: &str, indent: usize) {
    let kept = text.trim_end_matches('\n');
    out.push_str(match text.len() - kept.len() {
        0 => "|-\n",
        1 => "|\n",
        _ => "|+\n",
    });
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        if !line.is_empty() {
            pad(out, indent);
        }
        out.push_str(line);
        out.push('\n');
    }
}

/// Several lines that need no escapes, and whose spaces at either end of a line nobody has to guess.
fn can_be_block(text: &str) -> bool {
    let tidy = |line: &str| !line.ends_with([' ', '\t']) && !line.starts_with('\t');
    text.trim_end_matches('\n').contains('\n')
        && !text.starts_with([' ', '\n'])
        && text.split('\n').all(tidy)
        && !text.chars().any(|c| c != '\n' && c != '\t' && must_be_escaped(c))
}

/// A text on one line: a key, or a value.
fn inline(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { quoted(text) }
}

fn is_plain(text: &str) -> bool {
    let safe = |b: u8| b.is_ascii_alphanumeric() || b" _-./:@%+=,~$()<>;^\\".contains(&b);
    let Some(first) = text.bytes().next() else { return false };
    let starts_well = first.is_ascii_alphabetic() || first == b'/' || first == b'_' || first == b'$';
    (starts_well || is_option(text) || is_address(text) || is_amount(text))
        && text.bytes().all(safe)
        && !text.ends_with([':', ' '])
        && !text.contains(": ")
        && !is_a_word_of_yaml(text)
}

/// `-c` and `--flag` are neither numbers nor the beginning of a list.
fn is_option(text: &str) -> bool {
    let word = text.strip_prefix("--").or_else(|| text.strip_prefix('-')).unwrap_or_default();
    word.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// Four numbers with points between them are no number in any YAML.
fn is_address(text: &str) -> bool {
    text.split('.').count() == 4 && text.split('.').all(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// `100m` and `64Mi`.
fn is_amount(text: &str) -> bool {
    let units = ["m", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti"];
    units
        .iter()
        .any(|unit| text.strip_suffix(unit).is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit())))
}

/// What some version of YAML takes for nothing or a boolean (yaml.org/type/bool.html).
fn is_a_word_of_yaml(text: &str) -> bool {
    ["null", "true", "false", "yes", "no", "on", "off", "y", "n"].iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// In double quotes, with the escapes that YAML shares with JSON.
fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if must_be_escaped(c) => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// What YAML does not let stand as it is (YAML 1.2, "Character Set"), what it takes for a line's end, and what would turn a terminal's
/// line around. All of it is in the basic plane, so `\u` reaches it.
pub fn must_be_escaped(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
        || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}')
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::manifest::yaml_value;

    #[test]
    fn as_kubectl_prints_it() {
        let value = json!({
            "containers": [{ "args": ["-c", "a: b"], "command": [], "name": "c" }, [["x"], {}]],
            "empty": {},
            "ip": "127.0.0.1",
            "memory": "64Mi",
            "none": null,
            "number": 1.5,
            "text": "one\n\n  two\n",
            "time": "2026-11-25T04:17:40Z",
            "yes": "yes",
        });
        let expected = "\
containers:
- args:
  - -c
  - \"a: b\"
  command: []
  name: c
- - - x
  - {}
empty: {}
ip: 127.0.0.1
memory: 64Mi
none: null
number: 1.5
text: |
  one

    two
time: \"2026-11-25T04:17:40Z\"
\"yes\": \"yes\"
";
        assert_eq!(text(&value), expected);
        assert_eq!(yaml_value(&text(&value)), Some(value));
    }

    #[test]
    fn what_looks_like_something_else_stays_text() {
        for said in [
            "",
            "~",
            "null",
            "Null",
            "true",
            "NO",
            "off",
            "y",
            "1",
            "-1",
            "+1",
            "0x1f",
            "0o7",
            "0b1",
            "1e3",
            "1_000",
            "1:30",
            ".5",
            ".inf",
            ".NaN",
            "1.2.3",
            "2026-11-25",
            "- a",
            "? a",
            "a: b",
            "a:",
            "a #b",
            "#a",
            "&a",
            "*a",
            "!a",
            "|",
            ">",
            "'",
            "\"",
            "@a",
            "`a",
            "%a",
            "{",
            "[a]",
            "a, b",
            " a",
            "a ",
            "=",
            "<<",
            "---",
            "...",
            "\\n",
            "\n",
            "\n\n",
            "a\n\n",
            "\ta\nb",
            "a\n b\n",
            " a\nb",
            "a \nb",
            "a\n\tb",
            "a\rb\nc",
            "\u{85}",
            "\u{feff}",
            "\u{1b}[2J\na",
            "\u{202e}",
            "ä\n\u{1f600}",
        ] {
            let value = json!({ "k": said, "list": [said, { said: said }] });
            let text = text(&value);
            assert_eq!(yaml_value(&text), Some(value), "{text}");
            assert!(!text.contains(['\u{1b}', '\u{202e}', '\u{85}']), "{text}");
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let text = prop_oneof!["\\PC{0,12}", "[a-z0-9:#\\-. \n\t]{0,12}", any::<String>(), "[\n a]{0,8}"];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            text.clone().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, move |inner| {
            let map = proptest::collection::btree_map(text.clone(), inner.clone(), 0..4);
            prop_oneof![
                proptest::collection::vec(inner, 0..4).prop_map(Value::from),
                map.prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read(value in values()) {
            let text = text(&value);
            prop_assert_eq!(yaml_value(&text), Some(value), "{}", text);
        }
    }
}

//! The ways of writing YAML: what each means, or why it is refused. The meanings are those of the library that kubectl is built with.

use serde_json::{Value, json};

use crate::manifest::{Input, read, yaml_value};

/// What `text` means, as the walk over a Pod would see it.
fn meaning(text: &str) -> Value {
    yaml_value(text).unwrap_or_else(|| panic!("{text:?} is not read"))
}

fn refusal(text: &str) -> String {
    read(&[Input { name: "f".to_owned(), bytes: text.as_bytes().to_vec(), path: None }]).unwrap_err().to_string()
}

#[test]
fn styles_and_their_meanings() {
    let abc = json!({ "a": ["b", { "c": "d" }] });
    for (what, text, expected) in [
        ("block style", "a:\n- b\n- c: d\n", abc.clone()),
        ("block style, indented lists", "a:\n  - b\n  -\n    c: d\n", abc.clone()),
        ("flow style", "{a: [b, {c: d}]}", abc.clone()),
        ("JSON", r#"{"a": ["b", {"c": "d"}]}"#, abc.clone()),
        ("JSON with tabs and no spaces", "{\n\t\"a\":[\"b\",{\"c\":\"d\"}]\n}", abc.clone()),
        ("a flow over lines, with a comma at the end", "a: [b,\n  {c: d,},\n  ]\n", abc.clone()),
        ("CRLF", "a:\r\n- b\r\n- c: d\r\n", abc.clone()),
        ("a byte order mark", "\u{feff}a: [b, {c: d}]", abc.clone()),
        ("a mark and a directive", "%YAML 1.1\n---\na: [b, {c: d}]\n...\n", abc.clone()),
        ("comments", "# x\na: # y\n- b # z\n- c: d\n", abc.clone()),
        ("tabs after values and in empty lines", "a:\t[b, {c: d}]\t\n\t\n", abc),
        ("a # inside a word", "a: b#c", json!({ "a": "b#c" })),
        (
            "quotes",
            r#"{a: "\t\u00e9\"", b: 'it''s \t', c: "x y"}"#,
            json!({ "a": "\t\u{e9}\"", "b": "it's \\t", "c": "x y" }),
        ),
        (
            "a literal text",
            "a: |\n  x\n   y\n\nb: |-\n  x\nc: |+\n  x\n\n",
            json!({ "a": "x\n y\n", "b": "x", "c": "x\n\n" }),
        ),
        ("a literal text that the file ends with", "a: |\n  x\n  y", json!({ "a": "x\ny" })),
        ("and one before it", "a: |\n  x\nb: c", json!({ "a": "x\n", "b": "c" })),
        ("a folded text that the file ends with", "a: >+\n  x\n  y", json!({ "a": "x y" })),
        ("a text before a line of spaces", "a: |\n  x\n ", json!({ "a": "x\n" })),
        ("a folded text", "a: >\n  x\n  y\n\n  z\n", json!({ "a": "x y\nz\n" })),
        ("a plain text over lines", "a: x\n  y\n", json!({ "a": "x y" })),
        ("a literal text in CRLF", "a: |\r\n  x\r\n  y\r\n", json!({ "a": "x\ny\n" })),
        (
            "anchors and aliases",
            "a: &x {k: [1]}\nb: *x\nc: [*x]",
            json!({ "a": { "k": [1] }, "b": { "k": [1] }, "c": [{ "k": [1] }] }),
        ),
        ("an anchor that is set anew", "a: &x 1\nb: *x\nc: &x 2\nd: *x", json!({ "a": 1, "b": 1, "c": 2, "d": 2 })),
        (
            "a merge key",
            "x: &x {k: 1, l: 2}\na: {<<: *x, l: 3}",
            json!({ "x": { "k": 1, "l": 2 }, "a": { "k": 1, "l": 3 } }),
        ),
        ("a merge key after the field", "x: &x {l: 2}\na: {l: 3, <<: *x}", json!({ "x": { "l": 2 }, "a": { "l": 3 } })),
        ("merged lists: the first wins", "a: {<<: [{k: 1}, {k: 2, l: 2}]}", json!({ "a": { "k": 1, "l": 2 } })),
        ("merging what is merged", "x: &x {<<: {k: 1}}\na: {<<: *x}", json!({ "x": { "k": 1 }, "a": { "k": 1 } })),
        ("YAML 1.1 booleans", "[y, Y, yes, Yes, YES, on, On, ON, true, True, TRUE]", json!(vec![true; 11])),
        ("and their opposites", "[n, N, no, No, NO, off, Off, OFF, false, False, FALSE]", json!(vec![false; 11])),
        (
            "what only looks like a boolean",
            "[yEs, oN, tRue, 'yes', \"off\", !!str no]",
            json!(["yEs", "oN", "tRue", "yes", "off", "no"]),
        ),
        ("nothing", "[~, null, Null, NULL, '', \"null\"]\n", json!([null, null, null, null, "", "null"])),
        ("nothing at all", "a:\nb: \n", json!({ "a": null, "b": null })),
        ("bases", "[0644, 0o17, 0x1F, 0b11, -0x10, +7, 1_000]", json!([420, 15, 31, 3, -16, 7, 1000])),
        ("fractions", "[0.5, .5, 1e3, 80.0, -1.5E-1]", json!([0.5, 0.5, 1000, 80, -0.15])),
        (
            "what only looks like a number",
            "[08, 1.2.3, 1e, 0x, 12h, '1', 1_000_x]",
            json!([8, "1.2.3", "1e", "0x", "12h", "1", "1_000_x"]),
        ),
        ("dates and times are texts", "[2026-11-25, 12:30:45]", json!(["2026-11-25", "12:30:45"])),
        ("names of fields that are numbers or booleans, quoted", "{'on': 1, \"10\": 2}", json!({ "on": 1, "10": 2 })),
    ] {
        assert_eq!(meaning(text), expected, "{what}: {text:?}");
    }
}

#[test]
fn what_is_refused() {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - name: c\n    image: i\n";
    for (what, text, expected) in [
        (
            "a field twice",
            format!("{pod}    image: j\n"),
            "f:8: spec.containers[0].image: written twice, first on line 7",
        ),
        (
            "a field twice, in flow style",
            pod.replace("{name: p}", "{name: p, name: q}"),
            "f:3: metadata.name: written twice",
        ),
        (
            "a label twice, by two styles of quotes",
            pod.replace("{name: p}", "{name: p, labels: {\"a\": b, 'a': c}}"),
            "metadata.labels.a: written twice",
        ),
        ("a tab as indentation", format!("{pod}\tstdin: true\n"), "found a tab"),
        ("a tab before a field", "a:\n\tb: c\n".to_owned(), "tab"),
        ("a list too deep", format!("a: {}{}", "[".repeat(200), "]".repeat(200)), "nested deeper than 100 levels"),
        ("a bomb of aliases", bomb(), "grows beyond 16 MiB through its aliases"),
        ("an alias of itself", "a: &x [*x]".to_owned(), "the value that it is part of"),
        ("an alias of nothing", "a: *x".to_owned(), "unknown anchor"),
        ("a tag of a program", "a: !!python/object/apply:os.system [ls]".to_owned(), "means nothing to Kubernetes"),
        ("a merge of a text", "a: {<<: b}".to_owned(), "<< merges a mapping or a list of mappings"),
        ("a name that is no text", "on: x".to_owned(), "the name on is read as true by YAML"),
        (
            "a boolean where a text belongs",
            format!("{pod}    workingDir: yes\n"),
            "f:8: spec.containers[0].workingDir: expected a text",
        ),
        (
            "a text where a boolean belongs",
            format!("{pod}    stdin: 'yes'\n"),
            "f:8: spec.containers[0].stdin: expected true or false",
        ),
        ("a broken second document", format!("{pod}---\na: [\n"), "f:9: not YAML"),
        ("a directive in the middle", format!("{pod}%YAML 1.1\n"), "f:8: not YAML"),
        ("control characters", "a: \u{1}".to_owned(), "not YAML"),
        ("UTF-16", "\u{feff}a".encode_utf16().flat_map(u16::to_le_bytes).map(char::from).collect(), "f:1"),
    ] {
        let refusal = refusal(&text);
        assert!(refusal.contains(expected), "{what}: {refusal}");
    }
}

fn bomb() -> String {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for n in 1..20 {
        text.push_str(&format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 10].join(", ")));
    }
    text
}

#[test]
fn documents() {
    let pod = |name: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec: {{containers: [{{name: c, image: i}}]}}\n"
        )
    };
    for (what, text, count) in [
        ("one", pod("a"), 1),
        ("two", format!("{}---\n{}", pod("a"), pod("b")), 2),
        ("empty ones between", format!("---\n---\n# nothing\n---\n{}---\n...\n---\n{}...\n", pod("a"), pod("b")), 2),
        ("CRLF", format!("{}---\n{}", pod("a"), pod("b")).replace('\n', "\r\n"), 2),
        ("no end of line", pod("a").trim_end().to_owned(), 1),
        ("two in JSON", format!("{}\n---\n{}", yaml_value(&pod("a")).unwrap(), yaml_value(&pod("b")).unwrap()), 2),
        (
            "a List",
            format!(
                "apiVersion: v1\nkind: List\nitems: [{}, {}]\n",
                yaml_value(&pod("a")).unwrap(),
                yaml_value(&pod("b")).unwrap()
            ),
            2,
        ),
        ("an anchor for one document only", format!("{}---\n{}", pod("&x a"), pod("&x b")), 2),
    ] {
        let bundle = read(&[Input { name: "f".to_owned(), bytes: text.into_bytes(), path: None }])
            .unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_eq!(bundle.pods.len(), count, "{what}");
    }
    assert!(refusal(&format!("{}---\n{}", pod("&x a"), pod("*x"))).contains("unknown anchor"));
}

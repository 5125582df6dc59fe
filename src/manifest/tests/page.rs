//! `docs/fields.md`, which is made of the table.

use std::fmt::Write;
use std::path::PathBuf;

use super::podman;
use crate::manifest::fields::{self, Field, Rule};
use crate::manifest::kind::Kind;

const HEAD: &str = "\
# Every field, and what podling does with it

This page is made of the one table in the code (`src/manifest/fields/`), by which podling itself reads files: do not edit it.
`podling check FILE` says the same of the fields of a file, and takes the host, the policy and the values into account.

- **enforced**: done as a cluster does it. *By itself*: any value is satisfied on one machine.
- **emulated**: done otherwise; the text says how. What is emulated only for some values or on some hosts stands here as enforced, and
  `podling run` and `podling check` say it when it is so.
- **refused**: podling says so, with the file, the line and this reason, before it makes anything.

A field that is refused or satisfied by itself is so with everything below it. `[]` is any item of a list, `*` any entry of a map.
`initContainers[]` have the fields of `containers[]`, all three probes those of `livenessProbe`, and `preStop` those of `postStart`.
Below a Job's `spec.template` everything is as in a Pod, but for the rows that stand there.

The last column is what `podman kube play` documents about the field (its page of supported Kubernetes fields, November 2026):
yes, no, N/A (cannot be supported on one node), or that the field is not mentioned.
";

/// The page's rows of one kind.
fn section(page: &mut String, kind: Kind) {
    let _ = write!(
        page,
        "\n## {}\n\n| field | podling | how, or why not | podman kube play |\n|---|---|---|---|\n",
        kind.name()
    );
    let mut rows: Vec<&Field> = fields::rows(kind).collect();
    rows.sort();
    for &&(path, rule) in &rows {
        let (verdict, how) = match rule {
            Rule::Group => continue,
            Rule::Enforced(how) => ("enforced", how.to_owned()),
            Rule::Trivial(how) => ("enforced, by itself", how.to_owned()),
            Rule::Emulated(how) => ("emulated", how.to_owned()),
            Rule::Only(taken, why) => {
                let shown = |value: &&str| if value.is_empty() { "`\"\"`".to_owned() } else { format!("`{value}`") };
                let taken: Vec<String> = taken.iter().map(shown).collect();
                ("enforced or refused", format!("{} only: {why}", taken.join(", ")))
            }
            Rule::Refused(why) => ("refused", why.to_owned()),
        };
        let cell = |text: &str| text.replace('|', "\\|");
        let documented = podman::documented(kind.name(), path);
        let _ = writeln!(page, "| `{}` | {verdict} | {} | {documented} |", cell(path), cell(&how));
    }
}

#[test]
fn the_page_of_fields_is_what_the_table_says() {
    let mut page = HEAD.to_owned();
    for kind in Kind::ALL {
        section(&mut page, kind);
    }
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/fields.md");
    if std::env::var_os("PODLING_WRITE_DOCS").is_some() {
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(&file, &page).unwrap();
    }
    let written = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(written == page, "docs/fields.md is out of date: PODLING_WRITE_DOCS=1 cargo test --lib page_of_fields");
}

#[test]
fn every_answer_says_how_or_why() {
    for kind in Kind::ALL {
        for (path, rule) in fields::rows(kind) {
            let text = match rule {
                Rule::Group => continue,
                Rule::Enforced(text) | Rule::Trivial(text) | Rule::Emulated(text) | Rule::Refused(text) => text,
                Rule::Only(_, text) => text,
            };
            assert!(!text.is_empty() && !text.ends_with('.'), "{}: {path}: {text:?}", kind.name());
            assert!(!text.contains(" yet"), "{}: {path}: say why, not when: {text:?}", kind.name());
        }
    }
}

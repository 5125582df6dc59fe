//! The answer to every field that was written: what `podling check` prints.

use std::collections::BTreeMap;

use super::Source;
use super::fields::{self, Rule};
use super::kind::Kind;

/// The answer to one field that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The line in its file, counted from 1; where it is not written, that of what it is missing in.
    pub line: usize,
    /// Its path in its document, `spec.containers[0].image`.
    pub path: String,
    /// What podling does with it.
    pub verdict: Verdict,
    /// How it is done, or why not.
    pub how: String,
}

/// What podling does with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It is done, or satisfied by any value here.
    Enforced,
    /// It is done otherwise than in a cluster.
    Emulated,
    /// It cannot be honoured.
    Refused,
    /// An API server would refuse its value.
    Invalid,
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Verdict::Enforced => "enforced",
            Verdict::Emulated => "emulated",
            Verdict::Refused => "refused",
            Verdict::Invalid => "invalid",
        })
    }
}

/// What the field table answers to each field that an object of `kind` has at `source`, by path and in the order of the lines. What
/// depends on values and on the host is not in it.
pub(super) fn answers(kind: Kind, source: &Source) -> Vec<Answer> {
    let mut answers: Vec<Answer> = Vec::new();
    for (path, &line) in &source.lines {
        let Some((verdict, how)) = own(kind, &pattern_of(kind, path)).and_then(verdict_of) else { continue };
        answers.push(Answer { line, path: source.full_path(path), verdict, how: how.to_owned() });
    }
    answers.sort_by_key(|answer| answer.line);
    answers
}

/// The rule of the field's own row.
fn own(kind: Kind, pattern: &str) -> Option<Rule> {
    fields::rule(kind, pattern)
}

fn verdict_of(rule: Rule) -> Option<(Verdict, &'static str)> {
    match rule {
        Rule::Group => None,
        Rule::Enforced(how) | Rule::Trivial(how) | Rule::Only(_, how) => Some((Verdict::Enforced, how)),
        Rule::Emulated(how) => Some((Verdict::Emulated, how)),
        Rule::Refused(why) => Some((Verdict::Refused, why)),
    }
}

/// The table's pattern for a path: `spec.containers[0].env[3]` becomes `spec.containers[].env[]`, and an entry of a free-form map,
/// `metadata.labels.app`, becomes `metadata.labels.*`.
fn pattern_of(kind: Kind, path: &str) -> String {
    let mut pattern = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(open) = rest.find('[') {
        let close = rest[open..].find(']').map_or(rest.len(), |close| open + close + 1);
        let inside = rest[open + 1..close].trim_end_matches(']');
        pattern.push_str(&rest[..open]);
        let is_index = !inside.is_empty() && inside.bytes().all(|b| b.is_ascii_digit());
        pattern.push_str(if is_index { "[]" } else { &rest[open..close] });
        rest = &rest[close..];
    }
    pattern.push_str(rest);
    if fields::rule(kind, &pattern).is_none() {
        let cut =
            if pattern.ends_with(']') && !pattern.ends_with("[]") { pattern.rfind('[') } else { pattern.rfind('.') };
        let free_form = format!("{}.*", &pattern[..cut.unwrap_or(0)]);
        if fields::rule(kind, &free_form).is_some() {
            return free_form;
        }
    }
    pattern
}

/// Lays the verdicts of `found` over `answers`, by path: the graver one counts, and what has no answer yet is added.
pub(super) fn overlay(answers: &mut Vec<Answer>, found: Vec<Answer>) {
    let mut places: BTreeMap<String, usize> =
        answers.iter().enumerate().map(|(i, answer)| (answer.path.clone(), i)).collect();
    for new in found {
        match places.get(&new.path).and_then(|&i| answers.get_mut(i)) {
            Some(old) if old.verdict < new.verdict => *old = new,
            Some(old) if old.verdict == new.verdict && !old.how.contains(&new.how) => {
                old.how = format!("{}; {}", old.how, new.how);
            }
            Some(_) => {}
            None => {
                places.insert(new.path.clone(), answers.len());
                answers.push(new);
            }
        }
    }
}

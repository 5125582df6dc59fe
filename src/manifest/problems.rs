//! Collecting what is wrong with the input, so that one run names everything that must be mended.

use std::fmt::Display;

use super::{Answer, Place, Source, Verdict};
use crate::error::{Error, Result};

/// How many problems one error lists.
const SHOWN: usize = 10;

/// What is wrong with the input so far.
#[derive(Debug, Default)]
pub(super) struct Problems {
    found: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    order: usize,
    line: usize,
    /// The object that it is about; documents that are no object have none.
    pub(super) object: Option<Place>,
    /// Where it is: `file:line`.
    pub at: String,
    /// The field's path in its document; empty for the document itself.
    pub path: String,
    /// Why it is wrong: lower case, no full stop.
    pub why: String,
    /// What the user can do about it.
    pub mend: Option<String>,
    /// Whose rules it breaks.
    pub class: Class,
}

/// Whose rules a problem breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A Kubernetes API server would not take it either.
    Invalid,
    /// An API server takes it, and podling cannot honour it here.
    Refused,
}

/// Why a field that is valid cannot be honoured here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection {
    /// The field's path, `spec.nodeSelector.disk`.
    pub path: String,
    /// Why not: lower case, no full stop.
    pub why: String,
    /// What the user can do about it.
    pub mend: Option<String>,
}

impl Problem {
    /// Where it stands in the input: the number of its file, and the line.
    pub(super) fn order(&self) -> (usize, usize) {
        (self.order, self.line)
    }

    /// The problem as an answer to its field.
    pub(super) fn answer(&self) -> Answer {
        let how = self.mend.as_ref().map_or_else(|| self.why.clone(), |mend| format!("{}; {mend}", self.why));
        let verdict = match self.class {
            Class::Invalid => Verdict::Invalid,
            Class::Refused => Verdict::Refused,
        };
        Answer { line: self.line, path: self.path.clone(), verdict, how }
    }

    /// Adds what the user can do about it.
    pub(super) fn mend(&mut self, mend: impl Into<String>) {
        self.mend = Some(mend.into());
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Problem { at, path, why, .. } = self;
        if path.is_empty() { write!(f, "{at}: {why}") } else { write!(f, "{at}: {path}: {why}") }
    }
}

impl Problems {
    /// The field at `path` is wrong because of `why`.
    pub fn add(&mut self, source: &Source, path: &str, why: impl Display) -> &mut Problem {
        self.push(source, path, why, Class::Invalid)
    }

    /// The field at `path` is valid, and cannot be honoured because of `why`.
    pub fn refuse(&mut self, source: &Source, path: &str, why: impl Display) -> &mut Problem {
        self.push(source, path, why, Class::Refused)
    }

    /// Line `line` of the file `name`, the input's number `order`, is wrong because of `why`.
    pub fn add_line(&mut self, order: usize, name: &str, line: usize, why: impl Display) -> &mut Problem {
        self.push_line(order, name, line, why, Class::Invalid)
    }

    /// Line `line` of the file `name`, the input's number `order`, is valid, and cannot be honoured because of `why`.
    pub fn refuse_line(&mut self, order: usize, name: &str, line: usize, why: impl Display) -> &mut Problem {
        self.push_line(order, name, line, why, Class::Refused)
    }

    /// Whether something is wrong by the API server's rules.
    pub fn any_invalid(&self) -> bool {
        self.found.iter().any(|problem| problem.class == Class::Invalid)
    }

    /// The problems in the order of the input.
    pub fn into_sorted(mut self) -> Vec<Problem> {
        self.found.sort_by_key(Problem::order);
        self.found
    }

    /// One error that lists the problems in the order of the input, where there are any.
    pub fn into_result(self) -> Result<()> {
        let mut found = self.into_sorted();
        let more = found.len().saturating_sub(SHOWN);
        found.truncate(SHOWN);
        let Some(mut last) = found.pop() else { return Ok(()) };
        if found.is_empty() {
            let error = Error::new(last.to_string()).place(last.at, last.path);
            return Err(match last.mend {
                Some(mend) => error.mend(mend),
                None => error,
            });
        }
        let mut text = String::new();
        for problem in found {
            text.push_str(&format!("{problem}\n"));
            if let Some(mend) = problem.mend {
                text.push_str(&format!("  {mend}\n"));
            }
        }
        text.push_str(&last.to_string());
        if more > 0 {
            if let Some(mend) = last.mend.take() {
                text.push_str(&format!("\n  {mend}"));
            }
            text.push_str(&format!("\nand {more} more"));
        }
        let error = Error::new(text);
        Err(match last.mend {
            Some(mend) => error.mend(mend),
            None => error,
        })
    }

    fn push_line(&mut self, order: usize, name: &str, line: usize, why: impl Display, class: Class) -> &mut Problem {
        let (at, why) = (format!("{name}:{line}"), why.to_string());
        self.keep(Problem { order, line, object: None, at, path: String::new(), why, mend: None, class })
    }

    fn push(&mut self, source: &Source, path: &str, why: impl Display, class: Class) -> &mut Problem {
        let line = source.line(path);
        let at = format!("{}:{line}", source.file);
        let (path, why) = (source.full_path(path), why.to_string());
        let object = Some(source.place());
        self.keep(Problem { order: source.order, line, object, at, path, why, mend: None, class })
    }

    fn keep(&mut self, problem: Problem) -> &mut Problem {
        self.found.push(problem);
        let last = self.found.len() - 1;
        &mut self.found[last]
    }
}

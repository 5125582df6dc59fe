//! Collecting what is wrong with the input, so that one run names everything that must be mended.

use std::fmt::Display;

use super::Source;
use crate::error::{Error, Result};

/// How many problems one error lists.
const SHOWN: usize = 10;

/// What is wrong with the input so far.
#[derive(Debug, Default)]
pub(super) struct Problems {
    found: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Debug)]
pub(super) struct Problem {
    file: usize,
    line: usize,
    what: String,
    mend: Option<String>,
}

impl Problem {
    /// Adds what the user can do about it.
    pub fn mend(&mut self, mend: impl Into<String>) {
        self.mend = Some(mend.into());
    }
}

impl Problems {
    /// The field at `path` is wrong because of `why`.
    pub fn add(&mut self, source: &Source, path: &str, why: impl Display) -> &mut Problem {
        let line = source.line(path);
        let path = source.full_path(path);
        let colon = if path.is_empty() { "" } else { ": " };
        self.push(source.order, line, format!("{}:{line}: {path}{colon}{why}", source.file))
    }

    /// Line `line` of the file `name`, the input's number `file`, is wrong because of `why`.
    pub fn add_line(&mut self, file: usize, name: &str, line: usize, why: impl Display) -> &mut Problem {
        self.push(file, line, format!("{name}:{line}: {why}"))
    }

    /// One error that lists the problems in the order of the input, where there are any.
    pub fn into_result(mut self) -> Result<()> {
        self.found.sort_by_key(|problem| (problem.file, problem.line));
        let more = self.found.len().saturating_sub(SHOWN);
        self.found.truncate(SHOWN);
        let Some(mut last) = self.found.pop() else { return Ok(()) };
        let mut text = String::new();
        for problem in self.found {
            text.push_str(&problem.what);
            text.push('\n');
            if let Some(mend) = problem.mend {
                text.push_str(&format!("  {mend}\n"));
            }
        }
        text.push_str(&last.what);
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

    fn push(&mut self, file: usize, line: usize, what: String) -> &mut Problem {
        self.found.push(Problem { file, line, what, mend: None });
        let last = self.found.len() - 1;
        &mut self.found[last]
    }
}

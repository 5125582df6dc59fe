//! What a copy leaves out or changes: said once for each reason, with the first path and how many there were.

use std::collections::BTreeMap;

use crate::image::layer::tar_entry::quote;

/// Reasons with their first path and their count.
#[derive(Debug, Default)]
pub(super) struct Notes(BTreeMap<&'static str, (String, u64)>);

impl Notes {
    /// Notes that `reason` applies to `path`.
    pub(super) fn add(&mut self, reason: &'static str, path: &[u8]) {
        self.0.entry(reason).or_insert_with(|| (quote(path), 0)).1 += 1;
    }

    /// One sentence for each reason.
    pub(super) fn into_sentences(self) -> Vec<String> {
        let sentence = |(reason, (first, count)): (&str, (String, u64))| match count {
            1 => format!("{reason}: {first}"),
            _ => format!("{reason}: {first} and {} more", count - 1),
        };
        self.0.into_iter().map(sentence).collect()
    }
}

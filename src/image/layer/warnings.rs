//! What a layer has and podling leaves out: said once for each reason, with the first entry and how many there were.

use std::collections::BTreeMap;

use crate::image::layer::tar_entry::{TarEntry, quote};

/// Reasons in alphabetical order, with their first entry and their count.
#[derive(Debug, Default)]
pub struct Warnings(BTreeMap<String, (String, u64)>);

impl Warnings {
    /// Notes that `reason` applies to `entry`.
    pub fn add(&mut self, reason: &str, entry: &TarEntry) {
        if let Some((_, count)) = self.0.get_mut(reason) {
            *count += 1;
            return;
        }
        self.0.insert(reason.to_owned(), (entry.quoted(), 1));
    }

    /// Notes that the extended attribute `name` of `entry` is left out, and `why`.
    pub fn add_attribute(&mut self, why: &str, name: &[u8], entry: &TarEntry) {
        // Names come from outside: a thousand different ones must not become a thousand sentences.
        let known = self.0.len() < 32;
        let name = if known { quote(name) } else { "of other names".to_owned() };
        self.add(&format!("extended attributes {name} {why}"), entry);
    }

    /// One sentence for each reason.
    pub fn into_sentences(self) -> Vec<String> {
        let sentence = |(reason, (first, count)): (String, (String, u64))| match count {
            1 => format!("{reason}: {first}"),
            _ => format!("{reason}: {first} and {} more", count - 1),
        };
        self.0.into_iter().map(sentence).collect()
    }
}

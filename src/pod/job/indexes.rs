//! The indexes of an Indexed Job: which have succeeded, which have failed, and whose turn is next.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::backoff::Backoff;
use crate::plan::SuccessRule;

/// The indexes from 0 to one below the Job's completions.
#[derive(Debug, Default)]
pub(super) struct Indexes {
    completions: u32,
    /// No pod of this index and of those above was ever started.
    fresh: u32,
    active: BTreeSet<u32>,
    /// Those that a pod of has failed, and that get another.
    again: BTreeMap<u32, Again>,
    succeeded: BTreeSet<u32>,
    failed: BTreeSet<u32>,
}

/// What is known of an index whose pod has failed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Again {
    /// How many failures of it count.
    pub failures: u32,
    /// How long it waits, where each index has a limit of its own.
    pub backoff: Backoff,
}

impl Indexes {
    pub(super) fn new(completions: u32) -> Indexes {
        Indexes { completions, ..Indexes::default() }
    }

    /// The lowest `most` indexes that have no pod and need one, with what is known of them.
    pub(super) fn pending(&self, most: usize) -> Vec<(u32, Again)> {
        let again =
            self.again.iter().filter(|(index, _)| !self.active.contains(index)).map(|(&index, &again)| (index, again));
        let fresh = (self.fresh..self.completions).map(|index| (index, Again::default()));
        // Whatever has failed is below what was never tried.
        again.chain(fresh).take(most).collect()
    }

    /// A pod of `index` starts.
    pub(super) fn start(&mut self, index: u32) {
        self.active.insert(index);
        self.fresh = self.fresh.max(index.saturating_add(1));
    }

    /// The pod of `index` has ended; what is known of the index, to be changed.
    pub(super) fn end(&mut self, index: u32) -> &mut Again {
        self.active.remove(&index);
        self.again.entry(index).or_default()
    }

    /// The index gets no more pods: one of it has succeeded.
    pub(super) fn succeed(&mut self, index: u32) {
        self.again.remove(&index);
        self.succeeded.insert(index);
    }

    /// The index gets no more pods: it has failed.
    pub(super) fn fail(&mut self, index: u32) {
        self.again.remove(&index);
        self.failed.insert(index);
    }

    /// How many have succeeded.
    pub(super) fn succeeded(&self) -> u32 {
        u32::try_from(self.succeeded.len()).unwrap_or(u32::MAX)
    }

    /// Those that have succeeded, as the status lists them.
    pub(super) fn completed(&self) -> String {
        ranges(&self.succeeded)
    }

    /// How many have failed.
    pub(super) fn failed(&self) -> u32 {
        u32::try_from(self.failed.len()).unwrap_or(u32::MAX)
    }

    /// The position of the first rule by which enough have succeeded.
    pub(super) fn met(&self, rules: &[SuccessRule]) -> Option<usize> {
        rules.iter().position(|rule| {
            let (have, all) = match &rule.indexes {
                None => (self.succeeded.len() as u64, u64::from(self.completions)),
                Some(ranges) => {
                    let have = ranges.iter().map(|range| self.succeeded.range(range.clone()).count() as u64).sum();
                    (have, ranges.iter().map(|range| u64::from(range.end() - range.start()) + 1).sum())
                }
            };
            // Without any success there is nothing to end the Job for.
            have > 0 && have >= rule.count.map_or(all, u64::from)
        })
    }
}

/// Indexes as the status of a Job lists them: `1,3-5`, where three in a row and more become a range.
impl fmt::Display for Indexes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&ranges(&self.failed))
    }
}

fn ranges(indexes: &BTreeSet<u32>) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for &index in indexes {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(index) => *last = index,
            _ => runs.push((index, index)),
        }
    }
    let words = runs.into_iter().map(|(first, last)| match last - first {
        0 => first.to_string(),
        1 => format!("{first},{last}"),
        _ => format!("{first}-{last}"),
    });
    words.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_indexes() {
        assert_eq!(ranges(&BTreeSet::new()), "");
        assert_eq!(ranges(&BTreeSet::from([7, 0, 1, 3, 4, 5])), "0,1,3-5,7");
        assert_eq!(ranges(&BTreeSet::from([u32::MAX])), "4294967295");
    }

    #[test]
    fn the_lowest_index_that_needs_a_pod_comes_first() {
        let mut indexes = Indexes::new(4);
        let next =
            |indexes: &Indexes, most| indexes.pending(most).into_iter().map(|(index, _)| index).collect::<Vec<_>>();
        assert_eq!(next(&indexes, 2), [0, 1]);
        (0..3).for_each(|index| indexes.start(index));
        assert_eq!(next(&indexes, 9), [3]);
        indexes.end(1).failures += 1;
        assert_eq!(next(&indexes, 9), [1, 3]);
        indexes.start(1);
        assert_eq!(next(&indexes, 9), [3]);
        indexes.end(1);
        indexes.fail(1);
        indexes.end(0);
        indexes.succeed(0);
        assert_eq!(next(&indexes, 9), [3]);
        assert_eq!((indexes.succeeded(), indexes.failed(), indexes.to_string()), (1, 1, "1".to_owned()));
    }

    #[test]
    fn rules_of_success() {
        let mut indexes = Indexes::new(6);
        [1, 3, 5].into_iter().for_each(|index| indexes.succeed(index));
        let rule = |indexes: Option<Vec<std::ops::RangeInclusive<u32>>>, count| SuccessRule { indexes, count };
        for (rule, met) in [
            (rule(None, Some(3)), true),
            (rule(None, Some(4)), false),
            (rule(Some(vec![1..=1, 3..=3]), None), true),
            (rule(Some(vec![1..=3]), None), false),
            (rule(Some(vec![1..=3]), Some(2)), true),
            (rule(Some(vec![1..=4]), Some(3)), false),
            (rule(Some(vec![]), None), false),
            (rule(Some(vec![0..=0]), Some(0)), false),
        ] {
            assert_eq!(indexes.met(std::slice::from_ref(&rule)).is_some(), met, "{rule:?}");
        }
        assert_eq!(indexes.met(&[rule(None, Some(4)), rule(None, Some(3))]), Some(1));
    }
}

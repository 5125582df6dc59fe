//! A Job as said, and the Pod that it makes its pods of.

use std::ops::RangeInclusive;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::Said;

/// A Job, and what its pods are made of.
#[derive(Debug, Clone)]
pub struct SaidJob {
    /// The Job.
    pub said: Said<Job>,
    /// `spec.template` as a Pod without a name, in the Job's namespace. Its fields are where the template's are.
    pub template: Said<Pod>,
}

impl SaidJob {
    /// The Job with its template, whose labels and annotations are all that counts of its metadata.
    pub(super) fn new(said: Said<Job>) -> SaidJob {
        let template = said.object.spec.as_ref().map(|spec| spec.template.clone()).unwrap_or_default();
        let metadata = template.metadata.unwrap_or_default();
        let object = Pod {
            metadata: ObjectMeta {
                labels: metadata.labels,
                annotations: metadata.annotations,
                namespace: said.object.metadata.namespace.clone(),
                ..ObjectMeta::default()
            },
            spec: template.spec,
            status: None,
        };
        let template = Said { object, source: said.source.below("spec.template") };
        SaidJob { said, template }
    }
}

/// The ranges of indexes that `text` lists, `1,3-5`, all below `completions` and in their order.
///
/// # Errors
/// What is wrong with it, by the rules of the API server.
pub fn parse_indexes(text: &str, completions: u32) -> Result<Vec<RangeInclusive<u32>>, String> {
    let mut ranges: Vec<RangeInclusive<u32>> = Vec::new();
    let number = |word: &str| -> Result<u32, String> {
        let is_plain = !word.is_empty() && word.bytes().all(|b| b.is_ascii_digit());
        let number = word.parse::<u32>().ok().filter(|_| is_plain);
        let number = number.ok_or_else(|| format!("{word:?} is not an index; they are written as in \"1,3-5\""))?;
        if number >= completions {
            return Err(format!("the index {number} is not below completions, {completions}"));
        }
        Ok(number)
    };
    for word in text.split(',').filter(|_| !text.is_empty()) {
        let (first, last) = match word.split_once('-') {
            None => (number(word)?, number(word)?),
            Some((first, last)) => (number(first)?, number(last)?),
        };
        if first > last || (first == last && word.contains('-')) {
            return Err(format!("{word:?} is no range of indexes: its end must be above its beginning"));
        }
        if ranges.last().is_some_and(|before| *before.end() >= first) {
            return Err(format!("{word:?} comes after a larger or the same index; they are listed in their order"));
        }
        ranges.push(first..=last);
    }
    Ok(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes() {
        let parse = |text: &str| parse_indexes(text, 10);
        assert_eq!(parse("0,2-4,9"), Ok(vec![0..=0, 2..=4, 9..=9]));
        assert_eq!(parse(""), Ok(vec![]));
        for (text, why) in [
            ("10", "not below completions"),
            ("1-1", "no range"),
            ("4-2", "no range"),
            ("3,1", "in their order"),
            ("1,1", "in their order"),
            ("a", "not an index"),
            ("1,", "not an index"),
            ("+1", "not an index"),
            ("1-2-3", "not an index"),
        ] {
            assert!(parse(text).unwrap_err().contains(why), "{text}");
        }
    }
}

//! The caller's subordinate ids: `/etc/subuid`, `/etc/subgid` (subuid(5)).

use std::path::Path;

use super::IdExtent;

/// Which of the two files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// `/etc/subuid`.
    Users,
    /// `/etc/subgid`.
    Groups,
}

impl Which {
    /// The file's path.
    pub fn path(self) -> &'static Path {
        Path::new(match self {
            Which::Users => "/etc/subuid",
            Which::Groups => "/etc/subgid",
        })
    }
}

/// The ranges that `text` gives to the user called `name` or numbered `uid`, in file order, as (first id, count).
///
/// Malformed lines and ranges beyond 2³²−1 are skipped, as shadow's own tools do.
pub fn parse(text: &str, name: &str, uid: u32) -> Vec<(u32, u32)> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let (owner, first, count) = (fields.next()?, fields.next()?, fields.next()?);
            if fields.next().is_some() || !(owner == name || owner.parse() == Ok(uid)) {
                return None;
            }
            let (first, count): (u32, u32) = (first.trim().parse().ok()?, count.trim().parse().ok()?);
            (count > 0 && first.checked_add(count).is_some()).then_some((first, count))
        })
        .collect()
}

/// Extents that map `own` to 0 and the subordinate ranges to 1, 2, 3 … inside, without the one id's own repetition.
pub fn extents(own: u32, ranges: &[(u32, u32)]) -> Vec<IdExtent> {
    let mut extents = vec![IdExtent { inside: 0, outside: own, count: 1 }];
    let mut inside: u32 = 1;
    for &(outside, count) in ranges {
        let count = count.min(u32::MAX - inside);
        if count == 0 || (outside..outside.saturating_add(count)).contains(&own) {
            continue;
        }
        extents.push(IdExtent { inside, outside, count });
        inside += count;
    }
    extents
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_found_by_name_and_by_number() {
        let text = "alice:100000:65536\nbob:165536:65536\n1000:300000:10\nalice:x:1\nalice:4294967295:2\n\n# c\n";
        assert_eq!(parse(text, "alice", 1000), [(100000, 65536), (300000, 10)]);
        assert_eq!(parse(text, "carol", 7), []);
    }

    #[test]
    fn inside_ids_are_consecutive_from_the_callers_own() {
        let map = extents(1000, &[(100000, 65536), (300000, 10)]);
        assert_eq!(
            map,
            [
                IdExtent { inside: 0, outside: 1000, count: 1 },
                IdExtent { inside: 1, outside: 100000, count: 65536 },
                IdExtent { inside: 65537, outside: 300000, count: 10 },
            ]
        );
    }
}

//! Agreement with the standard's own project about every pod of its fixtures, which are not podling's to carry.

use std::path::{Path, PathBuf};

use super::paths;
use crate::manifest::yaml_value;
use crate::plan::PolicyLevel;

/// Agrees with the verdict on each pod of the newest version in `PODLING_PSS_FIXTURES`, a directory that holds the tree of
/// `kubernetes/pod-security-admission`.
#[test]
#[ignore = "needs PODLING_PSS_FIXTURES=DIR, a tree of kubernetes/pod-security-admission"]
fn the_fixtures_of_the_standard() {
    let tree = std::env::var_os("PODLING_PSS_FIXTURES").map(PathBuf::from);
    let tree = tree.expect("PODLING_PSS_FIXTURES is to name a tree of kubernetes/pod-security-admission");
    let mut judged = 0;
    let mut wrong = Vec::new();
    for (name, level) in [("baseline", PolicyLevel::Baseline), ("restricted", PolicyLevel::Restricted)] {
        let newest = newest(&tree.join("test/testdata").join(name));
        for (verdict, is_good) in [("pass", true), ("fail", false)] {
            for file in files(&newest.join(verdict)) {
                let text = std::fs::read_to_string(&file).unwrap();
                let found = paths(&yaml_value(&text).unwrap(), level);
                judged += 1;
                if found.is_empty() != is_good {
                    wrong.push(format!("{}: {found:?}", file.display()));
                }
            }
        }
        eprintln!("{}: {judged} pods so far", newest.display());
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(judged > 100, "only {judged} pods below {}", tree.display());
}

/// The directory of the highest version, `v1.37`, in `directory`.
fn newest(directory: &Path) -> PathBuf {
    let minor = |path: &PathBuf| -> Option<u32> { path.file_name()?.to_str()?.strip_prefix("v1.")?.parse().ok() };
    files(directory).into_iter().max_by_key(minor).unwrap()
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap_or_else(|e| panic!("{}: {e}", directory.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

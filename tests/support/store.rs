//! What is in a place's store, as podling tells it and as its directories show it.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::Place;

/// What `podling image inspect` says of one image.
#[track_caller]
pub fn inspect(place: &Place, name: &str) -> Value {
    let output = place.podling(&["image", "inspect", name]);
    let images: Value = serde_json::from_str(&output.expect_success().stdout).unwrap();
    images[0].clone()
}

/// The names of `podling images`, sorted.
#[track_caller]
pub fn names(place: &Place) -> Vec<String> {
    let table = place.podling(&["images"]).expect_success().stdout.clone();
    let mut names: Vec<String> =
        table.lines().skip(1).map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(":")).collect();
    names.sort();
    names
}

/// How many unpacked layers of all id maps, and how many blobs there are.
pub fn parts(place: &Place) -> (usize, usize) {
    let count = |dir: &Path| fs::read_dir(dir).map_or(0, |entries| entries.count());
    let maps = fs::read_dir(place.data().join("layers")).map(|maps| maps.map(|map| map.unwrap().path()).collect());
    let maps: Vec<_> = maps.unwrap_or_default();
    let layers = maps.iter().map(|map| count(&map.join("sha256"))).sum();
    (layers, count(&place.data().join("images/blobs/sha256")))
}

/// No podling has left anything half made.
#[track_caller]
pub fn assert_nothing_staged(place: &Place) {
    let left: Vec<_> = match fs::read_dir(place.data().join("staging")) {
        Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
        Err(_) => vec![],
    };
    assert!(left.is_empty(), "left in the staging directory: {left:?}");
}

//! A pod's YAML is read or refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use podling::manifest::{Input, read};

fuzz_target!(|bytes: &[u8]| {
    let _ = read(&[Input { name: "pod.yaml".to_owned(), bytes: bytes.to_vec(), path: None }]);
});

//! Makes archives and images that no honest tool would make, and the place where podling is shown them.
//!
//! Each test file uses its own part of this.
#![allow(dead_code)]

pub mod image;
pub mod snapshot;
pub mod tar;
pub mod tree;
pub mod yard;

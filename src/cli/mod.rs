//! (being built)

pub mod image;

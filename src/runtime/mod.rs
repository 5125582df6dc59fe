//! (being built)

pub mod seccomp;

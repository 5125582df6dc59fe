//! podling: a rootless pod launcher.
//!
//! The rooms, each importing only rooms below it (see `ARCHITECTURE.md`):
//!
//! ```text
//! cli       verbs, tables, exit codes
//! pod       the life of a pod: supervisor, sandbox, volumes, restarts
//! plan      PURE: manifest + image + host facts -> one OCI Spec for each container
//! runtime   executes one OCI Spec
//! image     references, archives, the store, layer unpacking
//! manifest  Kubernetes objects as said, with line numbers
//! host      what this machine can do
//! sys       the only unsafe code: system calls
//! error     one error type
//! ```
#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod cli;
pub mod error;
pub mod host;
pub mod image;
pub mod manifest;
pub mod plan;
pub mod pod;
pub mod runtime;
pub mod sys;

//! The only unsafe code: one thin safe function for each system call that podling needs and nix lacks.
//!
//! A failure names the call and its object, as strace prints it: `mount("overlay", "/x") = EPERM (Operation not permitted)`.
#![allow(unsafe_code)]

pub mod clone;
pub mod fs;
pub mod mount;
pub mod packet;
pub mod process;
pub mod terminal;
pub mod xattr;

use std::fmt;

use nix::errno::Errno;

use crate::error::Error;

/// A failed system call: the call with its telling arguments, and the errno.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SysError {
    /// The call as strace would print it, `mount("overlay", "/x")`.
    pub call: String,
    /// Why the kernel refused.
    pub errno: Errno,
}

impl SysError {
    /// Names the failed call.
    pub fn new(call: impl Into<String>, errno: Errno) -> Self {
        SysError { call: call.into(), errno }
    }
}

impl fmt::Display for SysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {:?} ({})", self.call, self.errno, self.errno.desc())
    }
}

impl std::error::Error for SysError {}

impl From<SysError> for Error {
    fn from(e: SysError) -> Self {
        Error::new(e.to_string())
    }
}

/// Names the call of a failed nix or libc result.
pub trait Named<T> {
    /// Turns the errno into a [`SysError`] that names the lazily made `call`.
    fn named<C: Into<String>>(self, call: impl FnOnce() -> C) -> Result<T, SysError>;
}

impl<T> Named<T> for nix::Result<T> {
    fn named<C: Into<String>>(self, call: impl FnOnce() -> C) -> Result<T, SysError> {
        self.map_err(|errno| SysError::new(call(), errno))
    }
}

impl<T> Named<T> for std::io::Result<T> {
    fn named<C: Into<String>>(self, call: impl FnOnce() -> C) -> Result<T, SysError> {
        self.map_err(|e| SysError::new(call(), Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO))))
    }
}

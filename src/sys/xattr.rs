//! Extended attributes of open files (xattr(7)), which nix lacks.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, AsRawFd};

use nix::errno::Errno;

use super::SysError;

/// fsetxattr(2): sets `name` to `value`, replacing an older value.
pub fn set(file: impl AsFd, name: &CStr, value: &[u8]) -> Result<(), SysError> {
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: `name` is NUL-terminated and `value` is read for exactly its length; the kernel keeps neither.
    let done = unsafe { libc::fsetxattr(fd, name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    Errno::result(done).map(drop).map_err(|errno| SysError::new(format!("fsetxattr({name:?})"), errno))
}

/// fgetxattr(2): the value of `name`, or `None` where the file or its file system has none.
pub fn get(file: impl AsFd, name: &CStr) -> Result<Option<Vec<u8>>, SysError> {
    let fd = file.as_fd().as_raw_fd();
    // The kernel's own limit of a value (XATTR_SIZE_MAX) is 64 KiB; nearly all are a few bytes.
    let mut value = vec![0u8; 256];
    loop {
        // SAFETY: the kernel writes at most `value.len()` bytes into `value`.
        let got = unsafe { libc::fgetxattr(fd, name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
        match Errno::result(got) {
            Ok(length) => {
                value.truncate(length.unsigned_abs());
                return Ok(Some(value));
            }
            Err(Errno::ENODATA | Errno::EOPNOTSUPP) => return Ok(None),
            Err(Errno::ERANGE) if value.len() < 65536 => value.resize(65536, 0),
            Err(errno) => return Err(SysError::new(format!("fgetxattr({name:?})"), errno)),
        }
    }
}

/// flistxattr(2): the names of all attributes that the caller may see.
pub fn list(file: impl AsFd) -> Result<Vec<CString>, SysError> {
    let fd = file.as_fd().as_raw_fd();
    let mut names = vec![0u8; 1024];
    loop {
        // SAFETY: the kernel writes at most `names.len()` bytes into `names`.
        let got = unsafe { libc::flistxattr(fd, names.as_mut_ptr().cast(), names.len()) };
        match Errno::result(got) {
            Ok(length) => {
                names.truncate(length.unsigned_abs());
                let parts = names.split(|b| *b == 0).filter(|name| !name.is_empty());
                return Ok(parts.filter_map(|name| CString::new(name).ok()).collect());
            }
            Err(Errno::EOPNOTSUPP) => return Ok(Vec::new()),
            Err(Errno::ERANGE) if names.len() < 65536 => names.resize(65536, 0),
            Err(errno) => return Err(SysError::new("flistxattr", errno)),
        }
    }
}

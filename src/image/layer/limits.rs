//! How much one layer may ask of this machine.

use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::sys::statvfs::fstatvfs;

use crate::error::{Error, Result};

const GIB: u64 = 1 << 30;

/// Limits that tell a layer from a bomb.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most bytes that the files of one layer may have together.
    pub total: u64,
    /// A layer may become this many times as large as its blob …
    pub ratio: u64,
    /// … and as large as this whatever its blob's size.
    pub free_of_ratio: u64,
    /// The blob's size in bytes.
    pub blob: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { total: 64 * GIB, ratio: 100, free_of_ratio: GIB, blob: 0 }
    }
}

impl Limits {
    /// The limits of a layer whose blob has `blob` bytes.
    ///
    /// gzip packs zeros about 1:1030 and zstd far denser; what real images hold packs 1:2 to 1:10, and the odd one with
    /// preallocated database files stays below 1:100 once it has grown past a gibibyte.
    pub fn of_blob(&self, blob: u64) -> Limits {
        Limits { blob, ..*self }
    }

    /// Fails if a layer that has `total` bytes so far asks for more than it may.
    pub fn check(&self, total: u64) -> Result<()> {
        if total > self.total {
            return Err(Error::new(format!("the layer grows beyond {}", human(self.total))));
        }
        if total > self.free_of_ratio && total / self.ratio > self.blob {
            return Err(Error::new(format!(
                "it makes the layer grow to {}, more than {} times its blob of {}, as only a decompression bomb does",
                human(total),
                self.ratio,
                human(self.blob),
            )));
        }
        Ok(())
    }
}

/// Fails if the file system of `dir` has less than `size` bytes left for us, before they are written.
pub fn check_space(dir: BorrowedFd<'_>, size: u64) -> Result<()> {
    let Ok(stat) = fstatvfs(dir) else { return Ok(()) };
    let free = stat.blocks_available().saturating_mul(stat.fragment_size());
    if size <= free {
        return Ok(());
    }
    Err(Error::new(format!("it needs {} and the store's file system has {} left", human(size), human(free)))
        .mend(FULL_DISK))
}

/// What to do about a full file system.
const FULL_DISK: &str = "remove images with `podling image rm`, or set XDG_DATA_HOME to a larger file system";

/// A failed write to the store, with the mend where the disk or the quota is full.
pub fn write_failed(what: &str, errno: Errno) -> Error {
    let error = Error::new(format!("{what}: {}", errno.desc()));
    if matches!(errno, Errno::ENOSPC | Errno::EDQUOT) { error.mend(FULL_DISK) } else { error }
}

/// A size for people, in the decimal units of `docker images`.
pub fn human(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB", "TB"] {
        // Rounding must not print 1000 of a unit.
        if value < 999.5 {
            return match value {
                _ if unit == "B" || value >= 99.95 => format!("{value:.0}{unit}"),
                _ if value >= 9.995 => format!("{value:.1}{unit}"),
                _ => format!("{value:.2}{unit}"),
            };
        }
        value /= 1000.0;
    }
    format!("{value:.0}PB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bombs_are_told_from_layers() {
        let limits = Limits::default().of_blob(10_400_000);
        assert!(limits.check(GIB).is_ok());
        assert!(limits.check(10 * GIB).is_err());
        assert!(Limits::default().of_blob(3 * GIB).check(9 * GIB).is_ok());
        assert!(Limits::default().of_blob(60 * GIB).check(65 * GIB).is_err());
    }

    #[test]
    fn sizes_read_as_in_docker() {
        for (bytes, text) in [
            (0, "0B"),
            (999, "999B"),
            (1_234, "1.23kB"),
            (45_678, "45.7kB"),
            (123_456_789, "123MB"),
            (999_900_000, "1.00GB"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }
}

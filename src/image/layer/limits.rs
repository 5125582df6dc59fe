//! How much one layer may ask of this machine.

use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::sys::statvfs::fstatvfs;

use crate::error::{Error, Result};
use crate::image::layer::tar_entry::TarEntry;
use crate::manifest::quantity::Quantity;

const GIB: u64 = 1 << 30;

/// What an image may ask of this machine: limits that tell an image from an attack. `--limit NAME=VALUE` sets each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of an index or a manifest; the distribution spec asks registries to take 4 MiB.
    pub manifest_size: u64,
    /// Bytes of a config.
    pub config_size: u64,
    /// Layers of an image; docker builds none with more than 127.
    pub layers: u64,
    /// Entries of a layer.
    pub entries: u64,
    /// Bytes that a layer may have uncompressed.
    pub layer_size: u64,
    /// A layer may become this many times as large as its blob …
    pub ratio: u64,
    /// … and as large as this whatever its blob's size.
    pub free_of_ratio: u64,
    /// Bytes of an entry's name; the kernel takes no more than 4095 at once, and 255 for each part.
    pub name_length: u64,
    /// Bytes of a link's target.
    pub link_length: u64,
    /// Bytes of an entry's extended attributes, names and values.
    pub xattr_size: u64,
    /// Bytes of an extended header, which is read into memory.
    pub header_size: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            manifest_size: 4 << 20,
            config_size: 8 << 20,
            layers: 127,
            entries: 2_000_000,
            layer_size: 64 * GIB,
            // gzip packs zeros about 1:1030 and zstd far denser; what real images hold packs 1:2 to 1:10, and the odd one with
            // preallocated database files stays below 1:100 once it has grown past a gibibyte.
            ratio: 100,
            free_of_ratio: GIB,
            name_length: 4095,
            link_length: 4095,
            xattr_size: 256 << 10,
            header_size: 1 << 20,
        }
    }
}

impl Limits {
    /// Sets one limit as `NAME=VALUE` says it; sizes may be written as quantities, `64Mi`.
    ///
    /// # Errors
    /// An unknown name, with those that there are, or a value that is no number.
    pub fn set(&mut self, text: &str) -> Result<()> {
        let names = self.fields().map(|(name, _)| name).join(", ");
        let unknown = |name: &str| {
            Error::new(format!("--limit {text:?}: there is no limit {name:?}")).mend(format!("the limits are {names}"))
        };
        let (wanted, value) = text.split_once('=').ok_or_else(|| {
            Error::new(format!("--limit {text:?} has no value")).mend("write it as --limit NAME=VALUE")
        })?;
        let value = Quantity::parse(value).map_err(|why| Error::new(format!("--limit {wanted}: {why}")))?;
        let (_, field) = self.fields().into_iter().find(|(name, _)| *name == wanted).ok_or_else(|| unknown(wanted))?;
        if value.units() == 0 {
            return Err(Error::new(format!("--limit {text:?}: nothing could pass a limit of 0")));
        }
        *field = value.units();
        Ok(())
    }

    fn fields(&mut self) -> [(&'static str, &mut u64); 11] {
        [
            ("manifest-size", &mut self.manifest_size),
            ("config-size", &mut self.config_size),
            ("layers", &mut self.layers),
            ("entries", &mut self.entries),
            ("layer-size", &mut self.layer_size),
            ("ratio", &mut self.ratio),
            ("ratio-free-size", &mut self.free_of_ratio),
            ("name-length", &mut self.name_length),
            ("link-length", &mut self.link_length),
            ("xattr-size", &mut self.xattr_size),
            ("header-size", &mut self.header_size),
        ]
    }

    /// Limits for what passed other ones already, and is on disk.
    pub fn for_what_was_accepted(self) -> Limits {
        Limits {
            entries: u64::MAX,
            layer_size: u64::MAX,
            ratio: u64::MAX,
            xattr_size: u64::MAX,
            header_size: 64 << 20,
            ..self
        }
    }

    /// The limits of a layer whose blob has `blob` bytes.
    pub fn of_blob(self, blob: u64) -> Budget {
        Budget { limits: self, blob }
    }

    /// Fails if an image has too many layers.
    pub fn check_layers(&self, count: usize) -> Result<()> {
        let most = self.layers;
        if count as u64 <= most {
            return Ok(());
        }
        Err(beyond("layers", format!("it has {count} layers, more than {most}")))
    }
}

/// The error of something that exceeds the limit `name`.
pub fn beyond(name: &str, what: String) -> Error {
    Error::new(what).mend(format!("if it is to be trusted, raise the limit: --limit {name}=…"))
}

/// The limits of one layer.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// What every layer is held to.
    pub limits: Limits,
    /// The blob's size in bytes.
    pub blob: u64,
}

impl Budget {
    /// Fails if a layer that has `total` bytes so far asks for more than it may.
    pub fn check(&self, total: u64) -> Result<()> {
        let Limits { layer_size, ratio, free_of_ratio, .. } = self.limits;
        if total > layer_size {
            return Err(beyond("layer-size", format!("the layer grows beyond {}", human(layer_size))));
        }
        if total > free_of_ratio && total / ratio.max(1) > self.blob {
            let what = format!(
                "it makes the layer grow to {}, more than {ratio} times its blob of {}, as only a decompression bomb does",
                human(total),
                human(self.blob),
            );
            return Err(beyond("ratio", what));
        }
        Ok(())
    }

    /// Fails if an entry, number `count` of its layer, is too many or has too long a name, target or attributes.
    pub fn check_entry(&self, entry: &TarEntry, count: u64) -> Result<()> {
        let Limits { entries, name_length, link_length, xattr_size, .. } = self.limits;
        if count > entries {
            return Err(beyond("entries", format!("the layer has more than {entries} entries")));
        }
        if entry.name.len() as u64 > name_length {
            return Err(beyond("name-length", format!("its name is longer than {name_length} bytes")));
        }
        if entry.link.len() as u64 > link_length {
            return Err(beyond("link-length", format!("its link target is longer than {link_length} bytes")));
        }
        let attributes: usize = entry.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum();
        if attributes as u64 > xattr_size {
            return Err(beyond("xattr-size", format!("its extended attributes have more than {}", human(xattr_size))));
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
    fn limits_are_set_by_name() {
        let mut limits = Limits::default();
        limits.set("layers=300").unwrap();
        limits.set("layer-size=2Gi").unwrap();
        assert_eq!((limits.layers, limits.layer_size), (300, 2 * GIB));
        assert!(limits.check_layers(301).unwrap_err().to_string().contains("--limit layers"));
        for bad in ["layers", "layers=", "layers=x", "layers=0", "layer=1", "=1"] {
            assert!(limits.set(bad).is_err(), "{bad:?}");
        }
        assert!(limits.set("depth=1").unwrap_err().to_string().contains("manifest-size, config-size"));
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

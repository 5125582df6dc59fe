//! How much there is of what containers may be given amounts of.

use nix::sched::{CpuSet, sched_getaffinity};
use nix::sys::statvfs::statvfs;
use nix::unistd::Pid;

/// What a kubelet would call its node's capacity. What cannot be found out is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// The CPUs that podling may run on.
    pub cpus: u64,
    /// The machine's memory in bytes (sysinfo(2)).
    pub memory: u64,
    /// The size of the root file system in bytes (statvfs(3)).
    pub storage: u64,
}

impl Capacity {
    /// Asks the kernel.
    pub(super) fn gather() -> Capacity {
        let allowed = sched_getaffinity(Pid::from_raw(0)).unwrap_or_default();
        let cpus = (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu).unwrap_or(false)).count();
        Capacity {
            cpus: cpus as u64,
            memory: nix::sys::sysinfo::sysinfo().map_or(0, |info| info.ram_total()),
            storage: statvfs("/").map_or(0, |fs| fs.blocks().saturating_mul(fs.fragment_size())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Capacity;

    #[test]
    fn a_machine_has_something_of_each() {
        let Capacity { cpus, memory, storage } = Capacity::gather();
        assert!(cpus > 0 && memory > 0 && storage > 0);
    }
}

//! What this host would offer to pods as a cluster's node, and the files that pods are told of.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use nix::sched::{CpuSet, sched_getaffinity};
use nix::sys::statvfs::statvfs;
use nix::unistd::Pid;

use super::HostFacts;

/// More of a file of the host's is not read, in bytes: the kubelet's bound for `resolv.conf`.
const LONGEST_FILE: u64 = 10 << 20;

/// What may be otherwise at the next start of the same pod, so two plans are not told apart by it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Node {
    /// The CPUs that podling may use, in thousandths.
    pub cpu_millis: u64,
    /// The machine's memory, in bytes.
    pub memory: u64,
    /// The size of the file system that podling's data is on, in bytes.
    pub storage: u64,
    /// The text of `/etc/resolv.conf`; empty where there is none.
    pub resolv_conf: String,
    /// The text of `/etc/hosts`; empty where there is none.
    pub hosts: String,
}

impl Node {
    /// Looks at this host. `data` is podling's directory, or where it will be.
    pub fn gather(data: &Path) -> Node {
        let there = data.ancestors().find_map(|dir| statvfs(dir).ok());
        #[allow(clippy::unnecessary_cast, reason = "their types differ between libraries of C")]
        let storage = there.map_or(0, |fs| (fs.blocks() as u64).saturating_mul(fs.fragment_size() as u64));
        Node {
            cpu_millis: cpus().saturating_mul(1000),
            memory: memory(&text(Path::new("/proc/meminfo"))),
            storage,
            resolv_conf: text(Path::new("/etc/resolv.conf")),
            hosts: text(Path::new("/etc/hosts")),
        }
    }
}

impl HostFacts {
    /// The same facts with those of the node, which only a plan needs.
    pub fn with_node(&self, data: &Path) -> HostFacts {
        HostFacts { node: Node::gather(data), ..self.clone() }
    }
}

fn cpus() -> u64 {
    let count = |set: CpuSet| (0..CpuSet::count()).filter(|cpu| set.is_set(*cpu) == Ok(true)).count();
    // A machine with more CPUs than the set holds has it fail.
    let counted = sched_getaffinity(Pid::from_raw(0)).ok().map(count);
    let counted = counted.or_else(|| std::thread::available_parallelism().ok().map(usize::from));
    counted.map_or(1, |cpus| cpus as u64)
}

/// `MemTotal` of proc_meminfo(5), whose unit is 1024 bytes whatever it is called.
fn memory(meminfo: &str) -> u64 {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")).unwrap_or_default();
    let kib = total.split_ascii_whitespace().next().and_then(|number| number.parse::<u64>().ok());
    kib.unwrap_or_default().saturating_mul(1024)
}

fn text(path: &Path) -> String {
    let mut bytes = Vec::new();
    if let Ok(file) = File::open(path) {
        // What was read before an error is still true.
        let _ = file.take(LONGEST_FILE).read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_kib() {
        assert_eq!(memory("MemFree:  1 kB\nMemTotal:        2048 kB\n"), 2 << 20);
        assert_eq!(memory(""), 0);
    }

    #[test]
    fn a_node_is_looked_at_even_where_podling_has_no_data_yet() {
        let node = Node::gather(Path::new("/no/such/directory"));
        assert!(
            node.cpu_millis >= 1000
                && node.cpu_millis.is_multiple_of(1000)
                && node.memory > 1 << 20
                && node.storage > 0
        );
    }
}

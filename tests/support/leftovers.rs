//! What a pod may leave: processes, mounts and directories, looked for where the kernel shows them to everybody.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use super::Place;

/// A process, told from a later one of the same number by its time of birth.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    pub pid: i32,
    pub name: String,
    pub parent: i32,
    born: u64,
}

impl Process {
    /// Looks at /proc/PID/stat (proc_pid_stat(5)), which every user may read. A zombie is not there any more.
    pub fn look(pid: i32) -> Option<Process> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (head, rest) = stat.rsplit_once(") ")?;
        let name = head.split_once('(')?.1.to_owned();
        let fields: Vec<&str> = rest.split(' ').collect();
        if matches!(fields.first(), Some(&("Z" | "X"))) {
            return None;
        }
        Some(Process { pid, name, parent: fields.get(1)?.parse().ok()?, born: fields.get(19)?.parse().ok()? })
    }

    pub fn is_alive(&self) -> bool {
        Process::look(self.pid).is_some_and(|now| now.born == self.born)
    }
}

/// Every process of the machine.
pub fn processes() -> Vec<Process> {
    let pids = fs::read_dir("/proc").unwrap().flatten().filter_map(|e| e.file_name().to_str()?.parse().ok());
    pids.filter_map(Process::look).collect()
}

/// The processes below `pid`, children before grandchildren.
pub fn descendants(pid: i32) -> Vec<Process> {
    let all = processes();
    let mut found: Vec<Process> = Vec::new();
    let mut parents = BTreeSet::from([pid]);
    while !parents.is_empty() {
        let children: Vec<Process> = all.iter().filter(|p| parents.contains(&p.parent)).cloned().collect();
        parents = children.iter().map(|p| p.pid).collect();
        found.extend(children);
    }
    found
}

/// The processes of one place's pods that a test has seen.
pub type Seen = Arc<Mutex<BTreeSet<Process>>>;

/// The list for `place`.
pub fn seen(place: &Place) -> Seen {
    static ALL: OnceLock<Mutex<BTreeMap<std::path::PathBuf, Seen>>> = OnceLock::new();
    ALL.get_or_init(Default::default).lock().unwrap().entry(place.path().to_owned()).or_default().clone()
}

/// Looks for a second at most: a pod's processes end a moment after whatever killed them. The bound is wider for slow machines.
#[track_caller]
pub fn assert_none(place: &Place) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let left = look(place);
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "left behind:\n{}", left.join("\n"));
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until nothing but directories is left of the pods of `place`, which the next podling takes away: processes and mounts go by
/// themselves.
#[track_caller]
pub fn until_only_directories(place: &Place) {
    let is_directory = |left: &String| left.starts_with("a directory");
    for _ in 0..1000 {
        if look(place).iter().all(is_directory) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    panic!("processes or mounts are left: {:?}", look(place));
}

/// What there is now of the pods of `place`, a line each.
pub fn look(place: &Place) -> Vec<String> {
    let mut left = Vec::new();
    for process in seen(place).lock().unwrap().iter().filter(|p| p.is_alive()) {
        left.push(format!("a process of the pod: {process:?}"));
    }
    let directory = place.path().to_str().unwrap();
    for process in processes() {
        // Its environment tells podling's own processes, its mounts a container's.
        for file in ["environ", "mountinfo"] {
            let text = fs::read(format!("/proc/{}/{file}", process.pid)).unwrap_or_default();
            if process.pid != std::process::id().cast_signed() && contains(&text, directory.as_bytes()) {
                left.push(format!("{file} of {process:?} names {directory}"));
            }
        }
    }
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    left.extend(mounts.lines().filter(|line| line.contains(directory)).map(|line| format!("a mount: {line}")));
    for state in ["pods", "jobs", "staging"] {
        left.extend(entries(&place.data().join(state)).map(|path| format!("a directory: {path}")));
    }
    left
}

fn entries(dir: &Path) -> impl Iterator<Item = String> {
    fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path().display().to_string())
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

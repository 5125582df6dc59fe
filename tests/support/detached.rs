//! Pods that go on without the podling that started them.

use std::fs;

use super::leftovers::{self, Process, processes};
use super::{Output, Place};

/// The supervisors of the pods of `place`, found by their environment, which only their owner can read.
pub fn supervisors(place: &Place) -> Vec<Process> {
    let directory = place.path().to_str().unwrap().as_bytes();
    let ours = |p: &Process| {
        let environment = fs::read(format!("/proc/{}/environ", p.pid)).unwrap_or_default();
        p.name == "podling-pod" && environment.windows(directory.len()).any(|window| window == directory)
    };
    processes().into_iter().filter(ours).collect()
}

/// The only supervisor of `place`.
#[track_caller]
pub fn supervisor(place: &Place) -> Process {
    let found = supervisors(place);
    assert_eq!(found.len(), 1, "{found:?}");
    let supervisor = found.into_iter().next().unwrap();
    leftovers::seen(place).lock().unwrap().extend(leftovers::descendants(supervisor.pid));
    leftovers::seen(place).lock().unwrap().insert(supervisor.clone());
    supervisor
}

/// Starts a pod detached, and remembers its processes.
#[track_caller]
pub fn start(place: &Place, yaml: &str) -> Process {
    start_with(place, yaml, &[])
}

/// As [`start`], with more options.
#[track_caller]
pub fn start_with(place: &Place, yaml: &str, options: &[&str]) -> Process {
    place.write(yaml);
    let args: Vec<&str> = ["run", "-d"].iter().chain(options).chain(&["pod.yaml"]).copied().collect();
    place.podling(&args).expect_success();
    supervisor(place)
}

/// Ends every pod and removes what is kept of it; then nothing is left.
#[track_caller]
pub fn end_all(place: &Place) -> Output {
    let output = place.podling(&["rm", "--all", "--force"]);
    output.expect_success();
    place.assert_nothing_left();
    output
}

//! Promise: a detached Job goes on without the podling that started it, in a process of its own and no daemon; what becomes of it is kept and
//! told truthfully, whoever was killed and when.

mod support;

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use support::job::{FAST, job, job_with};
use support::leftovers::{self, Process};
use support::running::on_a_terminal;
use support::{Feature, Output, Place, Running, binary, detached, dying, require};

/// What ends when it is asked to, and not before.
const WAITS: &str = "trap 'echo asked; exit 3' TERM; echo ready; sleep 1000 & wait";

fn place() -> Place {
    Place::with(&["busybox"])
}

/// The keepers of `place`, which are remembered, and looked for when nothing should be left.
fn keepers(place: &Place) -> Vec<Process> {
    let directory = place.path().to_str().unwrap().as_bytes();
    let ours = |p: &Process| {
        let environment = std::fs::read(format!("/proc/{}/environ", p.pid)).unwrap_or_default();
        p.name == "podling-job" && environment.windows(directory.len()).any(|window| window == directory)
    };
    let found: Vec<Process> = leftovers::processes().into_iter().filter(ours).collect();
    let seen = leftovers::seen(place);
    seen.lock().unwrap().extend(found.iter().cloned());
    for keeper in &found {
        seen.lock().unwrap().extend(leftovers::descendants(keeper.pid));
    }
    found
}

#[track_caller]
fn keeper(place: &Place) -> Process {
    let found = keepers(place);
    assert_eq!(found.len(), 1, "{found:?}");
    found.into_iter().next().unwrap()
}

fn signal(process: &Process, signal: Signal) {
    kill(Pid::from_raw(process.pid), signal).unwrap();
}

/// Starts the Job detached, with more options.
#[track_caller]
fn start(place: &Place, yaml: &str, options: &[&str]) -> Output {
    place.write(yaml);
    let args: Vec<&str> = ["run", "-d"].iter().chain(options).chain(&["pod.yaml"]).copied().collect();
    let output = place.podling(&args);
    keepers(place);
    output
}

/// The status of the Job `j`.
#[track_caller]
fn status(place: &Place) -> Value {
    let output = place.podling(&["inspect", "-o", "json", "job/j"]);
    let object: Value = serde_json::from_str(&output.expect_success().stdout).unwrap();
    assert_eq!((&object["kind"], &object["metadata"]["name"]), (&"Job".into(), &"j".into()));
    object["status"].clone()
}

/// The reason of this condition.
fn reason(status: &Value, kind: &str) -> Option<String> {
    let mut conditions = status["conditions"].as_array().unwrap().iter();
    Some(conditions.find(|condition| condition["type"] == kind)?["reason"].as_str().unwrap().to_owned())
}

/// Waits until the Job is in this condition.
#[track_caller]
fn wait_for(place: &Place, condition: &str) {
    let output = place.podling(&["wait", "job/j", &format!("--for={condition}"), "--timeout=60s"]);
    assert_eq!(output.expect_success().stdout, "job/j condition met\n");
}

/// A podling that waits for the Job to come into this condition, and is connected to its keeper already.
fn waiting(place: &Place, condition: &str) -> Running {
    let for_condition = format!("--for={condition}");
    let waiting = Running::spawn(place, place.command(&["wait", "job/j", &for_condition, "--timeout=60s"]));
    let is_socket = |fd: std::fs::DirEntry| {
        std::fs::read_link(fd.path()).is_ok_and(|target| target.to_string_lossy().starts_with("socket:"))
    };
    waiting.wait_until("the connection", || {
        let mut fds = std::fs::read_dir(format!("/proc/{}/fd", waiting.pid())).unwrap().flatten();
        fds.any(is_socket).then_some(())
    });
    // From here to its question is no time, and to look whether it sleeps is nothing that every kernel lets one do.
    std::thread::sleep(Duration::from_millis(50));
    waiting
}

/// The names of the pods, those that have ended included.
fn pods(place: &Place) -> Vec<String> {
    place.podling(&["ps", "-aq"]).expect_success().stdout.lines().map(str::to_owned).collect()
}

/// Waits until so many pods have said that they are ready.
#[track_caller]
fn until_ready(place: &Place, count: usize) {
    for _ in 0..3000 {
        if place.podling(&["logs", "job/j"]).stdout.matches("ready").count() >= count {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{count} pods are never ready: {}", place.podling(&["logs", "job/j"]));
}

#[track_caller]
fn remove(place: &Place) {
    assert_eq!(place.podling(&["rm", "job/j"]).expect_success().stdout, "job/j\n");
    place.assert_nothing_left();
}

// shows: Job:spec.completions, Job:spec.parallelism, Job:spec.completionMode
#[test]
fn a_job_goes_on_without_the_terminal_and_its_pods_are_kept() {
    if !require(Feature::Program("script")) {
        return;
    }
    let place = place();
    let script = "echo pod $JOB_COMPLETION_INDEX; while ! test -e /tmp/go; do sleep 0.05; done";
    place.write(&job("completions: 3\nparallelism: 2\ncompletionMode: Indexed", script));
    let line = format!("{} run -d pod.yaml; echo started", binary().display());
    let seen = on_a_terminal(&place, &[], &line, "never typed", "");
    assert!(seen.contains("job/j\nstarted"), "{seen:?}");
    let keeper = keeper(&place);
    for fd in std::fs::read_dir(format!("/proc/{}/fd", keeper.pid)).unwrap().flatten() {
        let target = std::fs::read_link(fd.path()).unwrap_or_default();
        assert!(!target.starts_with("/dev/pts"), "{target:?}");
    }
    let running = pods(&place);
    assert!(running.len() == 2 && running[0].starts_with("j-0-") && running[1].starts_with("j-1-"), "{running:?}");
    let now = status(&place);
    assert_eq!((&now["active"], &now["succeeded"]), (&2.into(), &0.into()));
    let table = place.podling(&["ps", "--jobs"]);
    assert!(table.expect_success().stdout.contains("j      Running   0/3"), "{table}");
    // Each pod answers to its own name, and says whose it is.
    let go = |pod: &str| place.podling(&["exec", pod, "--", "touch", "/tmp/go"]).expect_success().clone();
    for pod in &running {
        let object = place.podling(&["inspect", "-o", "json", pod]);
        let object: Value = serde_json::from_str(&object.expect_success().stdout).unwrap();
        let owner = &object["metadata"]["ownerReferences"][0];
        assert_eq!((&owner["kind"], &owner["name"]), (&"Job".into(), &"j".into()));
        go(pod);
    }
    let third = (0..3000).find_map(|_| {
        std::thread::sleep(Duration::from_millis(10));
        pods(&place).into_iter().find(|pod| pod.starts_with("j-2-"))
    });
    let third = third.unwrap();
    place.podling(&["wait", &third, "--for=running"]).expect_success();
    go(&third);
    wait_for(&place, "complete");
    let now = status(&place);
    assert_eq!((&now["active"], &now["succeeded"], &now["completedIndexes"]), (&0.into(), &3.into(), &"0-2".into()));
    assert_eq!(reason(&now, "Complete").as_deref(), Some("CompletionsReached"));
    assert!(now["completionTime"].is_string() && now["startTime"].is_string(), "{now}");
    assert_eq!(place.podling(&["logs", "job/j"]).expect_success().stdout, "pod 0\npod 1\npod 2\n");
    let describe = place.podling(&["describe", &third]);
    assert!(describe.expect_success().stdout.contains("Succeeded"), "{describe}");
    place.podling(&["events", &third]).expect_success();
    place.podling(&["restart", &third]).expect_refusal(&["is one of the Job \"j\""]);
    assert_eq!(place.podling(&["ps", "--jobs", "-q"]).expect_success().stdout, "job/j\n");
    remove(&place);
}

// shows: Job:spec.backoffLimit, Job:spec.activeDeadlineSeconds, Job:spec.podFailurePolicy.rules[].action
#[test]
fn a_job_fails_as_in_the_foreground_and_says_why() {
    let place = place();
    assert_eq!(start(&place, &job("backoffLimit: 2", "echo try; exit 7"), &FAST).expect_success().stdout, "job/j\n");
    wait_for(&place, "failed");
    let now = status(&place);
    assert_eq!((&now["failed"], reason(&now, "Failed").as_deref()), (&3.into(), Some("BackoffLimitExceeded")));
    assert_eq!(place.podling(&["logs", "job/j"]).expect_success().stdout, "try\n".repeat(3));
    let never = place.podling(&["wait", "job/j", "--for=complete"]);
    never.expect_code(1);
    assert!(never.stderr.contains("BackoffLimitExceeded") && never.stderr.contains("cannot come any more"), "{never}");
    remove(&place);
    start(&place, &job("activeDeadlineSeconds: 200", WAITS), &FAST).expect_success();
    // Whoever waits for the other end learns that it cannot come.
    place.podling(&["wait", "job/j", "--for=complete", "--timeout=60s"]).expect_code(1);
    assert_eq!(reason(&status(&place), "Failed").as_deref(), Some("DeadlineExceeded"));
    assert!(place.podling(&["logs", "job/j"]).stdout.contains("asked"));
    remove(&place);
    let rule = "podFailurePolicy: {rules: [{action: FailJob, onExitCodes: {operator: In, values: [42]}}]}";
    start(&place, &job(rule, "exit 42"), &[]).expect_success();
    wait_for(&place, "condition=Failed");
    assert_eq!(reason(&status(&place), "Failed").as_deref(), Some("PodFailurePolicy"));
    remove(&place);
    // While it waits for its next pod the image is in use.
    start(&place, &job("", "exit 3"), &[]).expect_success();
    place.podling(&["wait", &pods(&place)[0], "--for=failed"]).expect_success();
    place.podling(&["image", "rm", "busybox"]).expect_refusal(&["is used by a running pod"]);
    place.podling(&["rm", "--all", "--force"]).expect_success();
    // The time of a wait passes without the condition.
    start(&place, &job("", WAITS), &[]).expect_success();
    let late = place.podling(&["wait", "job/j", "--for=complete", "--timeout=0"]);
    late.expect_code(1);
    assert!(late.stderr.contains("timed out waiting for the condition on jobs/j"), "{late}");
    assert_eq!(place.podling(&["down", "pod.yaml"]).expect_success().stdout, "job/j\n");
    place.assert_nothing_left();
}

// shows: Job:spec.ttlSecondsAfterFinished
#[test]
fn what_is_kept_goes_when_its_time_is_over() {
    let place = place();
    // At once; who waits for the end learns it all the same.
    start(&place, &job("ttlSecondsAfterFinished: 0", WAITS), &[]).expect_success();
    until_ready(&place, 1);
    let waiting = waiting(&place, "failed");
    place.podling(&["stop", "job/j"]).expect_success();
    assert_eq!(waiting.finish().expect_success().stdout, "job/j condition met\n");
    place.podling(&["wait", "job/j", "--for=deleted", "--timeout=60s"]).expect_success();
    place.assert_nothing_left();
    // Later, on the scaled clock: until then everything is there.
    start(&place, &job("ttlSecondsAfterFinished: 500", "echo once"), &FAST).expect_success();
    wait_for(&place, "complete");
    assert_eq!(place.podling(&["logs", "job/j"]).expect_success().stdout, "once\n");
    // What has ended needs no stopping, and keeps its time.
    place.podling(&["stop", "job/j"]).expect_success();
    assert!(keeper(&place).is_alive());
    wait_for(&place, "deleted");
    assert!(pods(&place).is_empty());
    place.assert_nothing_left();
    // Where the keeper was killed meanwhile, how the Job ended is known, and the next podling that starts something sees to it.
    start(&place, &job("ttlSecondsAfterFinished: 500", "echo once"), &FAST).expect_success();
    wait_for(&place, "complete");
    signal(&keeper(&place), Signal::SIGKILL);
    assert_eq!(reason(&status(&place), "Complete").as_deref(), Some("CompletionsReached"));
    for _ in 0..300 {
        place.run(&job("", "true")).expect_success();
        if place.podling(&["ps", "--jobs", "-q"]).stdout.is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    place.assert_nothing_left();
    // Who does not want to wait so long removes it.
    start(&place, &job("ttlSecondsAfterFinished: 10000", "echo once"), &[]).expect_success();
    wait_for(&place, "complete");
    keeper(&place);
    remove(&place);
}

#[test]
fn a_stopped_job_starts_nothing_more_and_is_kept() {
    let place = place();
    let spec = "completions: 4\nparallelism: 2";
    start(&place, &job(spec, WAITS), &[]).expect_success();
    until_ready(&place, 2);
    place.podling(&["rm", "job/j"]).expect_refusal(&["Job \"j\" is running", "podling down job/j"]);
    assert_eq!(place.podling(&["stop", "job/j"]).expect_success().stdout, "job/j\n");
    assert!(keepers(&place).is_empty() && detached::supervisors(&place).is_empty());
    let now = status(&place);
    assert_eq!((&now["failed"], &now["active"]), (&2.into(), &0.into()));
    assert_eq!(reason(&now, "Failed").as_deref(), Some("Stopped"));
    assert_eq!(place.podling(&["logs", "job/j"]).stdout.matches("asked").count(), 2);
    // It has ended, so that this is no mistake and changes nothing.
    place.podling(&["stop", "job/j"]).expect_success();
    remove(&place);
    // Those that do not listen get the time that the command line gives.
    let deaf = "trap '' TERM; echo ready; while true; do sleep 1; done";
    start(&place, &job_with(spec, "terminationGracePeriodSeconds: 3000", deaf), &[]).expect_success();
    until_ready(&place, 2);
    place.podling(&["stop", "-t", "1", "job/j"]).expect_success();
    remove(&place);
    // And a signal to the keeper asks as well; pods that are ended one by one are replaced.
    start(&place, &job(&format!("backoffLimit: 9\n{spec}"), WAITS), &FAST).expect_success();
    until_ready(&place, 2);
    let first = pods(&place)[0].clone();
    place.podling(&["stop", &first]).expect_success();
    until_ready(&place, 3);
    signal(&keeper(&place), Signal::SIGTERM);
    wait_for(&place, "failed");
    assert_eq!(place.podling(&["rm", "--all"]).expect_success().stdout, "job/j\n");
    place.assert_nothing_left();
    start(&place, &job(spec, deaf), &[]).expect_success();
    place.podling(&["rm", "--force", "job/j"]).expect_success();
    place.assert_nothing_left();
}

#[test]
fn a_killed_keeper_takes_its_pods_with_it_and_the_record_says_so() {
    let place = place();
    let script = "trap '' TERM INT; (setsid sleep 1000 &); echo ready; while true; do sleep 1000; done";
    start(&place, &job("completions: 4\nparallelism: 2", script), &[]).expect_success();
    until_ready(&place, 2);
    let waiting = waiting(&place, "complete");
    let keeper = keeper(&place);
    assert_eq!(leftovers::descendants(keeper.pid).iter().filter(|p| p.name == "podling-pod").count(), 2);
    signal(&keeper, Signal::SIGKILL);
    let output = waiting.finish();
    output.expect_code(1);
    assert!(output.stderr.contains("KeeperKilled"), "{output}");
    let now = status(&place);
    assert_eq!((&now["active"], reason(&now, "Failed").as_deref()), (&0.into(), Some("KeeperKilled")));
    for _ in 0..3000 {
        if detached::supervisors(&place).is_empty() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(detached::supervisors(&place).is_empty());
    // What the pods have said is kept.
    assert_eq!(place.podling(&["logs", "job/j"]).expect_success().stdout, "ready\nready\n");
    let ps = place.podling(&["ps", "-a"]);
    assert!(ps.stdout.lines().count() == 3 && !ps.stdout.contains("Running"), "{ps}");
    remove(&place);
    // A supervisor that is killed is podling's own failure, and ends the Job.
    start(&place, &job("", WAITS), &[]).expect_success();
    until_ready(&place, 1);
    signal(&detached::supervisor(&place), Signal::SIGKILL);
    wait_for(&place, "failed");
    assert_eq!(reason(&status(&place), "Failed").as_deref(), Some("PodNotRun"));
    remove(&place);
}

#[test]
fn a_keeper_that_is_dying_is_as_a_killed_one() {
    let place = place();
    start(&place, &job("", WAITS), &[]).expect_success();
    until_ready(&place, 1);
    signal(&keeper(&place), Signal::SIGKILL);
    support::leftovers::until_only_directories(&place);
    for connections in 1..4 {
        let dying = dying::start(&place.data().join("jobs/j"), connections);
        let output = place.podling(&["wait", "job/j", "--for=complete", "--timeout=60s"]);
        dying.end();
        output.expect_code(1);
        assert!(output.stderr.contains("KeeperKilled"), "{output}");
    }
    remove(&place);
}

#[test]
fn whoever_is_killed_at_any_moment_leaves_only_what_rm_removes() {
    let place = place();
    let spec = "completionMode: Indexed\ncompletions: 8\nparallelism: 3\nbackoffLimit: 100";
    let yaml = job(spec, "echo go; exit $((JOB_COMPLETION_INDEX % 2))");
    place.write(&yaml);
    for n in 0..10 {
        let command = place.command(&["run", "-d", "--replace", "--time-scale", "0.001", "pod.yaml"]);
        let running = Running::spawn(&place, command);
        if n % 2 == 0 {
            running.finish().expect_success();
            std::thread::sleep(Duration::from_millis(5 * n));
            // It may have ended by itself.
            for keeper in keepers(&place) {
                let _ = kill(Pid::from_raw(keeper.pid), Signal::SIGKILL);
            }
        } else {
            std::thread::sleep(Duration::from_millis(4 * n));
            running.processes();
            running.signal(Signal::SIGKILL);
            running.finish();
        }
    }
    // A Job whose client was killed may go on, or may not have begun. Where that came before the record, there is no Job.
    std::fs::create_dir(place.data().join("jobs/none")).unwrap();
    place.podling(&["inspect", "job/none"]).expect_refusal(&["there is no Job \"none\""]);
    for _ in 0..2 {
        place.podling(&["rm", "--all", "--force"]).expect_success();
        place.podling(&["run", "-d", "--replace", "--time-scale", "0.001", "pod.yaml"]).expect_success();
    }
    place.podling(&["down", "--all"]).expect_success();
    place.assert_nothing_left();
}

// shows: Job:spec.suspend
#[test]
fn a_suspended_job_is_recorded_and_has_no_keeper() {
    let place = place();
    let output = start(&place, &job("suspend: true", "echo never"), &[]);
    assert_eq!(output.expect_success().stdout, "job/j\n");
    assert!(output.stderr.contains("pod.yaml:5: spec.suspend: the Job \"j\" is suspended"), "{output}");
    assert!(keepers(&place).is_empty() && pods(&place).is_empty());
    assert_eq!(reason(&status(&place), "Suspended").as_deref(), Some("JobSuspended"));
    let table = place.podling(&["ps", "--jobs"]);
    assert!(table.stdout.contains("j      Suspended   0/1"), "{table}");
    let never = place.podling(&["wait", "job/j", "--for=complete"]);
    never.expect_code(1);
    assert!(never.stderr.contains("it is suspended"), "{never}");
    // `up` with a file that says otherwise begins it.
    place.write(&job("suspend: false", "echo now"));
    assert_eq!(place.podling(&["up", "pod.yaml"]).expect_success().stdout, "job/j replaced\n");
    wait_for(&place, "complete");
    remove(&place);
}

#[test]
fn names_are_taken_and_up_leaves_alone_what_is_the_same() {
    let place = place();
    start(&place, &job("", WAITS), &[]).expect_success();
    place.podling(&["run", "-d", "pod.yaml"]).expect_refusal(&["a Job named \"j\" is already running"]);
    let uid = || {
        let object = place.podling(&["inspect", "-o", "json", "job/j"]);
        serde_json::from_str::<Value>(&object.expect_success().stdout).unwrap()["metadata"]["uid"].clone()
    };
    let before = uid();
    place.write(&format!("# the same\n{}", job("", WAITS)));
    assert_eq!(place.podling(&["up", "pod.yaml"]).expect_success().stdout, "job/j unchanged\n");
    assert_eq!(before, uid());
    place.write(&job("completions: 2", WAITS));
    assert_eq!(place.podling(&["up", "pod.yaml"]).expect_success().stdout, "job/j replaced\n");
    assert_ne!(before, uid());
    place.podling(&["run", "-d", "--replace", "pod.yaml"]).expect_success();
    place.podling(&["stop", "job/j"]).expect_success();
    place
        .podling(&["run", "-d", "pod.yaml"])
        .expect_refusal(&["there is a Job named \"j\" already", "podling rm job/j"]);
    // A pod beside it, and a second Job.
    let other = job("", "echo other").replace("name: j,", "name: k,");
    let pod = support::pod(
        "p",
        "terminationGracePeriodSeconds: 0",
        &[support::container_yaml("c", "busybox", "sleep 1000", "")],
    );
    place.write(&format!("{pod}---\n{}---\n{other}", job("completions: 2", WAITS)));
    assert_eq!(
        place.podling(&["up", "pod.yaml"]).expect_success().stdout,
        "pod/p created\njob/j started\njob/k created\n"
    );
    let jobs = place.podling(&["ps", "--jobs", "-o", "name"]);
    assert_eq!(jobs.expect_success().stdout, "job/j\njob/k\n");
    for verb in [&["exec", "job/j", "--", "true"][..], &["kill", "job/j"], &["restart", "job/j"], &["top", "job/j"]] {
        place
            .podling(verb)
            .expect_refusal(&["names a Job", "describe, inspect, logs, wait, stop, rm, down and ps --jobs"]);
    }
    for verb in [["logs", "j"], ["inspect", "j"]] {
        place.podling(&verb).expect_refusal(&["there is no pod \"j\"", "a Job is called so: job/j"]);
    }
    place.podling(&["wait", "job/k", "p", "--for=deleted"]).expect_refusal(&["two commands"]);
    place.podling(&["wait", "job/k", "--for=ready"]).expect_refusal(&["--for=complete, --for=failed or --for=deleted"]);
    place.podling(&["wait", "p", "--for=complete"]).expect_refusal(&["complete is what Jobs are"]);
    for verb in [&["inspect", "job/l"][..], &["describe", "job/l"], &["logs", "-f", "job/l"]] {
        place.podling(verb).expect_refusal(&["there is no Job \"l\"", "did you mean job/"]);
    }
    place.podling(&["down", "--ignore", "job/l"]).expect_success();
    assert_eq!(place.podling(&["down", "pod.yaml"]).expect_success().stdout, "job/j\njob/k\np\n");
    place.assert_nothing_left();
}

/// Whether the description has this line, however many spaces are in it.
#[track_caller]
fn expect_described(described: &Output, line: &str) {
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let there = described.expect_success().stdout.lines().any(|l| words(l).ends_with(&words(line)));
    assert!(there, "{line:?} is not in {described}");
}

#[test]
fn a_job_is_described_as_kubectl_does() {
    let place = place();
    start(&place, &job("completions: 3\nparallelism: 2\ncompletionMode: Indexed", WAITS), &[]).expect_success();
    until_ready(&place, 2);
    let described = place.podling(&["describe", "job/j"]);
    for line in [
        "Name: j",
        "Namespace: default",
        "Labels: of=job",
        "Parallelism: 2",
        "Completions: 3",
        "Completion Mode: Indexed",
        "Pods Statuses: 2 Active (2 Ready) / 0 Succeeded / 0 Failed",
        "Completed Indexes: <none>",
        "batch.kubernetes.io/job-name=j",
        "Image: busybox",
        "Conditions: <none>",
    ] {
        expect_described(&described, line);
    }
    // Its selector is what its pods have.
    let selector = described.stdout.lines().find_map(|line| line.strip_prefix("Selector:")).unwrap().trim().to_owned();
    for pod in pods(&place) {
        expect_described(&described, &format!("podling Created pod: {pod}"));
        expect_described(&place.podling(&["describe", &pod]), &selector);
    }
    assert!(!described.stdout.contains("Completed At:"), "{described}");
    place.podling(&["stop", "job/j"]).expect_success();
    let described = place.podling(&["describe", "job/j"]);
    expect_described(&described, "Pods Statuses: 0 Active (0 Ready) / 0 Succeeded / 2 Failed");
    assert!(described.stdout.contains("Failed          True     Stopped"), "{described}");
    assert!(described.stdout.contains("Warning   Stopped"), "{described}");
    remove(&place);
    start(&place, &job("", "echo done"), &[]).expect_success();
    wait_for(&place, "complete");
    let described = place.podling(&["describe", "jobs/j"]);
    expect_described(&described, "Pods Statuses: 0 Active (0 Ready) / 1 Succeeded / 0 Failed");
    expect_described(&described, "podling Job completed");
    assert!(described.stdout.contains("Completed At:") && described.stdout.contains("Duration:"), "{described}");
    remove(&place);
}

/// `podling logs -f` of the Job, going on.
fn follow(place: &Place, options: &[&str]) -> Running {
    Running::spawn(place, place.command(&[&["logs", "-f"], options, &["job/j"]].concat()))
}

#[test]
fn logs_are_followed_from_pod_to_pod_until_the_job_has_ended() {
    let place = place();
    let script = "echo first; echo second; while ! test -e /tmp/go; do sleep 0.05; done; echo third; exit $((JOB_COMPLETION_INDEX == 1))";
    let spec = "completions: 3\ncompletionMode: Indexed\nbackoffLimitPerIndex: 0";
    start(&place, &job(spec, script), &FAST).expect_success();
    // The readers come while the first pod is in the middle.
    for _ in 0..3000 {
        if place.podling(&["logs", "job/j"]).stdout.contains("second") {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let plain = follow(&place, &[]);
    let named = follow(&place, &["--tail", "1", "--prefix", "-c", "c"]);
    let timed = follow(&place, &["-t", "--since", "1h"]);
    let late = follow(&place, &["--since-time", "2100-01-01T00:00:00Z"]);
    let interrupted = follow(&place, &[]);
    let started: Vec<String> = (0..3)
        .map(|n| {
            let pod = plain.wait_until("the next pod", || {
                pods(&place).into_iter().find(|pod| pod.starts_with(&format!("j-{n}-")))
            });
            // Each reader has come to this pod before it goes on.
            named.wait_for(&format!("[pod/{pod}/c] second"));
            for reader in [&plain, &timed, &interrupted] {
                reader.wait_until("this pod's lines", || {
                    (reader.stdout().matches("second").count() == n + 1).then_some(())
                });
            }
            if n == 2 {
                let output = Running::spawn(&place, place.command(&["logs", "-f", "job/j"]));
                output.wait_until("all lines", || (output.stdout().matches("second").count() == 3).then_some(()));
                let output = output.stop();
                assert!(output.signal == Some(2) || output.code == Some(130), "{output}");
            }
            place.podling(&["exec", &pod, "--", "touch", "/tmp/go"]).expect_success();
            pod
        })
        .collect();
    for reader in [plain, interrupted] {
        assert_eq!(reader.finish().expect_success().stdout, "first\nsecond\nthird\n".repeat(3));
    }
    let words = ["second", "third", "first", "second", "third", "first", "second", "third"];
    let pods = [0, 0, 1, 1, 1, 2, 2, 2].map(|n| &started[n]);
    let lines: Vec<String> = pods.iter().zip(words).map(|(pod, word)| format!("[pod/{pod}/c] {word}")).collect();
    assert_eq!(named.finish().expect_success().stdout.lines().collect::<Vec<_>>(), lines);
    let timed = timed.finish();
    let stamped = timed.expect_success().stdout.lines().filter(|line| line.starts_with("20") && line.contains("Z "));
    assert_eq!(stamped.count(), 9, "{timed}");
    assert_eq!(late.finish().expect_success().stdout, "");
    // One has failed, which is the Job's end and no reader's.
    wait_for(&place, "failed");
    assert_eq!(follow(&place, &[]).finish().expect_success().stdout, "first\nsecond\nthird\n".repeat(3));
    follow(&place, &["-c", "other"]).finish().expect_refusal(&["has no container \"other\"", "it has: c"]);
    remove(&place);
}

#[test]
fn whoever_follows_a_job_is_let_go_when_that_is_stopped_or_its_keeper_killed() {
    let place = place();
    start(&place, &job("completions: 4\nparallelism: 2", WAITS), &[]).expect_success();
    let reader = follow(&place, &[]);
    reader.wait_until("both pods", || (reader.stdout().matches("ready").count() == 2).then_some(()));
    place.podling(&["stop", "job/j"]).expect_success();
    let output = reader.finish();
    assert_eq!(output.expect_success().stdout.matches("asked").count(), 2, "{output}");
    remove(&place);
    start(&place, &job("completions: 4\nparallelism: 2", WAITS), &[]).expect_success();
    let reader = follow(&place, &[]);
    reader.wait_until("both pods", || (reader.stdout().matches("ready").count() == 2).then_some(()));
    signal(&keeper(&place), Signal::SIGKILL);
    assert_eq!(reader.finish().expect_success().stdout.matches("ready").count(), 2);
    remove(&place);
    // Many pods, which are gone as soon as they have come: nothing of them is missing.
    start(&place, &job("completions: 40\nparallelism: 8", "echo one; echo two"), &FAST).expect_success();
    let output = follow(&place, &["--prefix"]).finish();
    assert_eq!(output.expect_success().stdout.lines().count(), 80, "{output}");
    remove(&place);
    start(&place, &job("suspend: true", "echo never"), &[]).expect_success();
    follow(&place, &[]).finish().expect_refusal(&["no pods whose logs are kept", "podling describe job/j"]);
    remove(&place);
}

#[test]
fn a_start_says_what_became_of_the_first_pods() {
    let place = place();
    let broken = job("backoffLimit: 0", "").replace("command: [sh, -c, \"\"]", "command: [/nonexistent]");
    let output = start(&place, &broken, &[]);
    assert_eq!(output.expect_success().stdout, "job/j\n");
    for part in ["job \"j\": pod \"j-", "failed at its start", "/nonexistent"] {
        assert!(output.stderr.contains(part), "{part} in {output}");
    }
    wait_for(&place, "failed");
    remove(&place);
    // With --wait the pods are ready, or the time is over and the Job goes on.
    let probe = "readinessProbe: {exec: {command: [test, -e, /ready]}, periodSeconds: 1}";
    let yaml = job("", WAITS).replace("image: busybox\n", &format!("image: busybox\n        {probe}\n"));
    let late = start(&place, &yaml, &["--wait", "--timeout", "300ms"]);
    late.expect_refusal(&["--timeout", "they go on"]);
    place.podling(&["exec", &pods(&place)[0], "--", "touch", "/ready"]).expect_success();
    place.podling(&["wait", &pods(&place)[0], "--for=ready", "--timeout=60s"]).expect_success();
    place.podling(&["down", "job/j"]).expect_success();
    let yaml = yaml.replace("-e, /ready", "-e, /etc");
    start(&place, &yaml, &["--wait"]).expect_success();
    let ready = place.podling(&["ps"]);
    assert!(ready.stdout.contains("1/1"), "{ready}");
    place.podling(&["down", "job/j"]).expect_success();
    place.assert_nothing_left();
    // Whoever interrupts the start does not want the Job.
    let never =
        "initContainers: [{name: i, image: busybox, command: [sleep, '1000']}]\nterminationGracePeriodSeconds: 0";
    place.write(&job_with("ttlSecondsAfterFinished: 1000", never, "echo never"));
    let running = Running::spawn(&place, place.command(&["run", "-d", "pod.yaml"]));
    running.wait_until("the pod", || (detached::supervisors(&place).len() == 1).then_some(()));
    running.wait_until("the keeper", || (keepers(&place).len() == 1).then_some(()));
    running.stop().expect_code(130);
    place.assert_nothing_left();
}

#[test]
fn a_secret_is_never_on_the_disk() {
    let place = place();
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {k: dont-tell-anybody}\n---\n";
    let template = "volumes: [{name: v, secret: {secretName: s}}]";
    let yaml = job_with("", template, &format!("test \"$(cat /v/k)\" = dont-tell-anybod''y; {WAITS}"));
    let yaml = yaml.replace("image: busybox\n", "image: busybox\n        volumeMounts: [{name: v, mountPath: /v}]\n");
    start(&place, &format!("{secret}{yaml}"), &[]).expect_success();
    until_ready(&place, 1);
    let holds = |text: &str| {
        let mut grep = std::process::Command::new("grep");
        !support::running::output_of(grep.args(["-rlF", text]).arg(place.data())).stdout.is_empty()
    };
    assert!(holds("secretName") && !holds("dont-tell-anybody"));
    place.podling(&["stop", "job/j"]).expect_success();
    assert!(holds("secretName") && !holds("dont-tell-anybody"));
    remove(&place);
}

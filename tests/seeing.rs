//! Promise: whoever knows kubectl sees what a pod does, in the words and columns that they know, and waits for it.

mod support;

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use support::running::PATIENCE;
use support::{Output, Place, Running, container_yaml, dying, leftovers, pod, shell};

const FOREVER: &str = "trap 'exit 0' TERM; while true; do sleep 1 & wait $!; done";

/// A pod that goes on until it is stopped.
fn lasting(name: &str) -> String {
    pod(name, "restartPolicy: Never", &[container_yaml("c", "busybox", FOREVER, "")])
}

#[track_caller]
fn start(place: &Place, yaml: &str, options: &[&str]) {
    place.write(yaml);
    place.podling(&[&["run", "-d", "-q"], options, &["pod.yaml"]].concat()).expect_success();
}

#[track_caller]
fn json_of(output: &Output) -> Value {
    output.expect_success();
    serde_json::from_str(&output.stdout).unwrap_or_else(|e| panic!("{e}: {output}"))
}

#[track_caller]
fn inspect(place: &Place, name: &str) -> Value {
    json_of(&place.podling(&["inspect", name, "-o", "json"]))
}

/// Looks until there is something to see; what takes longer than the deadline never comes.
#[track_caller]
fn until<T>(what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what} never came");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The words of a line, the header being line 0.
fn words(output: &Output, line: usize) -> Vec<&str> {
    output
        .stdout
        .lines()
        .nth(line)
        .unwrap_or_else(|| panic!("there is no line {line}: {output}"))
        .split_whitespace()
        .collect()
}

#[test]
fn ps_shows_pods_as_kubectl_does() {
    let place = Place::with(&["busybox"]);
    let none = place.podling(&["ps"]);
    none.expect_success();
    assert!(none.stdout.is_empty() && none.stderr.contains("no pods found"), "{none}");
    assert_eq!(json_of(&place.podling(&["ps", "-o", "json"]))["items"], json!([]));

    start(&place, &lasting("web"), &[]);
    start(&place, &shell("exit 3"), &[]);
    place.podling(&["wait", "p", "--for=failed"]).expect_success();
    let running = place.podling(&["ps"]);
    assert_eq!(words(&running, 0), ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]);
    assert_eq!(words(&running, 1)[..4], ["web", "1/1", "Running", "0"], "{running}");
    assert_eq!(running.stdout.lines().count(), 2, "{running}");
    let all = place.podling(&["ps", "-a"]);
    assert_eq!(words(&all, 1)[..4], ["p", "0/1", "Error", "0"], "{all}");
    assert!(all.stdout.lines().all(|line| line.trim_end() == line), "{all}");
    let wide = place.podling(&["ps", "-o", "wide"]);
    assert_eq!(words(&wide, 1)[5..], ["127.0.0.1", "c", "docker.io/library/busybox:latest"], "{wide}");
    assert_eq!(place.podling(&["ps", "-aq"]).stdout, "p\nweb\n");
    assert_eq!(place.podling(&["ps", "-o", "name"]).stdout, "pod/web\n");
    // What is named is shown whether it runs or not.
    assert_eq!(words(&place.podling(&["ps", "pod/p"]), 1)[2], "Error");
    place.podling(&["ps", "wen"]).expect_refusal(&["no pod \"wen\"", "did you mean \"web\"?"]);

    let list = json_of(&place.podling(&["ps", "-a", "-o", "json"]));
    assert_eq!((&list["apiVersion"], &list["kind"]), (&json!("v1"), &json!("List")));
    let seen: Vec<_> =
        list["items"].as_array().unwrap().iter().map(|p| (&p["metadata"]["name"], &p["status"]["phase"])).collect();
    assert_eq!(seen, [(&json!("p"), &json!("Failed")), (&json!("web"), &json!("Running"))]);
    let yaml = place.podling(&["ps", "-o", "yaml"]);
    assert!(yaml.stdout.starts_with("apiVersion: v1\nitems:\n- apiVersion: v1\n  kind: Pod\n"), "{yaml}");
    place.podling(&["rm", "--all", "--force"]).expect_success();
    place.assert_nothing_left();
}

#[test]
fn inspect_is_a_pod_with_a_status_that_kubectl_s_users_can_read() {
    let place = Place::with(&["busybox"]);
    let yaml = "apiVersion: v1\nkind: Pod\nmetadata: {name: p, annotations: {odd: \"yes\", lines: \"a\\n b: c\\n\"}}\nspec:\n  initContainers:\n"
        .to_owned()
        + &container_yaml("first", "busybox", "exit 0", "")
        + &container_yaml("side", "busybox", FOREVER, "restartPolicy: Always")
        + "  containers:\n"
        + &container_yaml("c", "busybox", FOREVER, "readinessProbe: {exec: {command: [test, -e, /ready]}, periodSeconds: 1}")
        + &container_yaml("crash", "busybox", "echo last words > /dev/termination-log; exit 3", "");
    start(&place, &yaml, &["--time-scale", "0.01"]);
    until("a second restart", || {
        inspect(&place, "p")["status"]["containerStatuses"][1]["restartCount"].as_u64().filter(|count| *count >= 2)
    });
    let object = inspect(&place, "p");
    assert_eq!(object["metadata"]["annotations"]["podling.dev/time-scale"], "0.01");
    let status = &object["status"];
    assert_eq!(status["phase"], "Running");
    assert_eq!((&status["qosClass"], &status["podIP"]), (&json!("BestEffort"), &json!("127.0.0.1")));
    assert_eq!(status["startTime"], object["metadata"]["creationTimestamp"]);
    let names = |list: &str| -> Vec<String> {
        status[list].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("initContainerStatuses"), ["first", "side"]);
    assert_eq!(names("containerStatuses"), ["c", "crash"]);
    let [first, side] = [0, 1].map(|n| &status["initContainerStatuses"][n]);
    assert_eq!((&first["state"]["terminated"]["reason"], &first["ready"]), (&json!("Completed"), &json!(true)));
    assert!(side["state"]["running"]["startedAt"].is_string() && side["started"] == true, "{side}");
    let [c, crash] = [0, 1].map(|n| &status["containerStatuses"][n]);
    assert_eq!((&c["ready"], &c["started"], &c["lastState"]), (&json!(false), &json!(true), &json!({})));
    let last = &crash["lastState"]["terminated"];
    assert_eq!(
        (&last["exitCode"], &last["reason"], &last["message"]),
        (&json!(3), &json!("Error"), &json!("last words\n"))
    );
    for container in [first, side, c, crash] {
        assert_eq!(container["image"], "docker.io/library/busybox:latest");
        assert!(container["imageID"].as_str().unwrap().starts_with("docker.io/library/busybox@sha256:"), "{container}");
    }
    let conditions = status["conditions"].as_array().unwrap();
    let held: Vec<_> =
        conditions.iter().map(|c| (c["type"].as_str().unwrap(), c["status"].as_str().unwrap())).collect();
    let expected = [
        ("PodReadyToStartContainers", "True"),
        ("Initialized", "True"),
        ("Ready", "False"),
        ("ContainersReady", "False"),
        ("PodScheduled", "True"),
    ];
    assert_eq!(held, expected);
    assert!(conditions.iter().all(|c| c["lastTransitionTime"].is_string()), "{status}");
    assert_eq!(conditions[2]["reason"], "ContainersNotReady");
    place.podling(&["rm", "--force", "p"]).expect_success();
    place.assert_nothing_left();
}

// shows: metadata.annotations
#[test]
fn what_inspect_prints_is_a_pod_that_podling_takes() {
    let place = Place::with(&["busybox"]);
    let annotations = "annotations: {a: \"yes\", b: \"1\", c: \"line\\n\\n  two\\n\", d: \"\", e: \"\\e[2J\\u202e\", f: \" - x: y #\"}";
    start(&place, &lasting("one").replace("name: one}", &format!("name: one, {annotations}}}")), &[]);
    start(&place, &lasting("two"), &[]);
    let said = inspect(&place, "one")["metadata"]["annotations"].clone();
    assert_eq!(said["e"], "\u{1b}[2J\u{202e}");
    let plan_of = |arguments: &[&str], file: &str| {
        let printed = place.podling(arguments);
        printed.expect_success();
        assert!(!printed.stdout.contains(['\u{1b}', '\u{202e}']), "{printed}");
        place.write_file(file, &printed.stdout);
        json_of(&place.podling(&["plan", file]))
    };
    place.write(&lasting("two"));
    let plain = json_of(&place.podling(&["plan", "pod.yaml"]));
    for arguments in [["inspect", "two"].as_slice(), &["inspect", "two", "-o", "json"]] {
        let plan = plan_of(arguments, "again.yaml");
        assert_eq!((&plan["name"], &plan["containers"]), (&plain["name"], &plain["containers"]));
    }
    assert_eq!(plan_of(&["inspect", "one", "pod/two"], "list.yaml").as_array().unwrap().len(), 2);
    // The annotations come back as they were.
    start_again(&place, "one");
    assert_eq!(inspect(&place, "again")["metadata"]["annotations"], said);
    place.podling(&["rm", "--all", "--force"]).expect_success();
    place.assert_nothing_left();
}

fn start_again(place: &Place, name: &str) {
    let printed = place.podling(&["inspect", name]);
    start(place, &printed.stdout, &["--name", "again"]);
}

#[test]
fn describe_and_events_tell_what_happened_and_strangers_play_no_tricks() {
    let place = Place::with(&["busybox"]);
    let probe = "readinessProbe: {exec: {command: [sh, -c, 'printf \"\\033[2Jbad\\nnews\"; exit 1']}, periodSeconds: 1, failureThreshold: 2}";
    start(&place, &pod("p", "", &[container_yaml("c", "busybox", FOREVER, probe)]), &["--time-scale", "0.01"]);
    let follower = Running::spawn(&place, place.command(&["events", "-f", "p"]));
    follower.wait_for("Readiness probe failed");
    let described = place.podling(&["describe", "pod/p"]);
    described.expect_success();
    for part in [
        "Name:         p\n",
        "Status:       Running\n",
        "Annotations:  podling.dev/time-scale: 0.01\n",
        "    State:          Running\n      Started:      ",
        "    Ready:          False\n    Restart Count:  0\n",
        "delay=0s timeout=1s period=1s #success=1 #failure=2\n",
        "  Initialized                 True\n",
        "QoS Class:  BestEffort\n",
        "Started container c\n",
        "Readiness probe failed: \u{fffd}[2Jbad news\n",
    ] {
        assert!(described.stdout.contains(part), "{part:?} is not said: {described}");
    }
    let events = place.podling(&["events"]);
    assert_eq!(words(&events, 0), ["LAST", "SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"]);
    let json = place.podling(&["events", "p", "-o", "json"]);
    let list = json_of(&json);
    let unhealthy = list["items"].as_array().unwrap().iter().find(|e| e["reason"] == "Unhealthy").unwrap();
    assert_eq!(
        (&unhealthy["type"], &unhealthy["involvedObject"]["fieldPath"]),
        (&json!("Warning"), &json!("spec.containers{c}"))
    );
    assert!(unhealthy["message"].as_str().unwrap().contains("\u{1b}[2Jbad\nnews"), "{unhealthy}");

    place.podling(&["stop", "p"]).expect_success();
    // The follower ends with the pod, having said how it came.
    let followed = follower.finish();
    followed.expect_success();
    assert!(followed.stdout.contains("Stopping container c"), "{followed}");
    let all = [&described, &events, &json, &followed, &place.podling(&["ps", "-a", "-o", "json"])];
    assert!(all.iter().all(|output| !output.stdout.contains('\u{1b}')), "{all:?}");
    let lines = place.podling(&["events", "-f", "-o", "json"]);
    assert!(lines.stdout.lines().count() >= 4, "{lines}");
    assert!(
        lines.stdout.lines().all(|line| serde_json::from_str::<Value>(line).is_ok_and(|e| e["kind"] == "Event")),
        "{lines}"
    );
    place.podling(&["rm", "p"]).expect_success();
    place.assert_nothing_left();
}

#[test]
fn events_of_all_pods_are_in_the_order_of_time() {
    let place = Place::with(&["busybox"]);
    start(&place, &lasting("z"), &[]);
    start(&place, &lasting("a"), &[]);
    let list = json_of(&place.podling(&["events", "-o", "json"]));
    let items = list["items"].as_array().unwrap();
    let times: Vec<&str> = items.iter().map(|e| e["lastTimestamp"].as_str().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    for name in ["a", "z"] {
        assert!(items.iter().any(|e| e["involvedObject"]["name"] == name && e["reason"] == "Started"), "{items:?}");
    }
    place.podling(&["rm", "--all", "--force"]).expect_success();
}

#[test]
fn top_shows_what_each_container_uses() {
    let place = Place::with(&["busybox"]);
    let none = place.podling(&["top"]);
    assert!(none.stdout.is_empty() && none.stderr.contains("no pod runs"), "{none}");
    let containers = [
        container_yaml("busy", "busybox", "while :; do :; done", ""),
        container_yaml("idle", "busybox", "sleep 1000 & sleep 1000 & wait", ""),
    ];
    start(&place, &pod("p", "terminationGracePeriodSeconds: 0", &containers), &[]);
    let top = place.podling(&["top", "p", "--interval", "300ms"]);
    assert_eq!(words(&top, 0), ["POD", "CONTAINER", "CPU(cores)", "MEMORY(bytes)", "PIDS"]);
    let cpu = |line: usize| words(&top, line)[2].strip_suffix('m').unwrap().parse::<u32>().unwrap();
    assert_eq!((words(&top, 1)[1], words(&top, 2)[1]), ("busy", "idle"), "{top}");
    assert!(cpu(1) > 0 && cpu(1) > cpu(2), "{top}");
    assert_eq!((words(&top, 1)[4], words(&top, 2)[4]), ("1", "3"), "{top}");
    place.podling(&["down", "p"]).expect_success();
    place.podling(&["top", "p"]).expect_refusal(&["there is no pod \"p\""]);
    place.assert_nothing_left();
}

#[test]
fn wait_for_each_condition() {
    let place = Place::with(&["busybox"]);
    let wait = |options: &[&str]| place.podling(&[&["wait", "p"], options].concat());
    let met = |options: &[&str]| {
        let output = wait(options);
        output.expect_success();
        assert_eq!(output.stdout, "pod/p condition met\n", "{output}");
    };
    let late = |options: &[&str]| {
        let output = wait(options);
        output.expect_code(1);
        assert!(output.stderr.contains("timed out waiting for the condition on pods/p"), "{output}");
    };
    wait(&["--for=ready"]).expect_refusal(&["there is no pod \"p\""]);
    met(&["--for=deleted"]);

    let probe = "readinessProbe: {exec: {command: [test, -e, /ready]}, periodSeconds: 1}";
    let script = format!("trap 'exit 5' USR1; {FOREVER}");
    start(
        &place,
        &pod("p", "restartPolicy: Never", &[container_yaml("c", "busybox", &script, probe)]),
        &["--time-scale", "0.01"],
    );
    met(&["--for=running"]);
    met(&["--for=condition=Initialized"]);
    met(&["--for=condition=podscheduled=true"]);
    met(&["--for=condition=Ready=False"]);
    late(&["--for=ready", "--timeout=0"]);
    late(&["--for=condition=ContainersReady", "--timeout=100ms"]);
    late(&["--for=deleted", "--timeout=0"]);
    let waiting = Running::spawn(&place, place.command(&["wait", "pod/p", "--for=ready", "--timeout=-1s"]));
    place.podling(&["exec", "p", "--", "touch", "/ready"]).expect_success();
    assert_eq!(waiting.finish().expect_success().stdout, "pod/p condition met\n");

    // One that waits for success is told at once that it cannot come any more.
    let hopeless = Running::spawn(&place, place.command(&["wait", "p", "--for=succeeded", "--timeout=-1s"]));
    let failing = Running::spawn(&place, place.command(&["wait", "p", "--for=failed", "--timeout=-1s"]));
    place.podling(&["kill", "-s", "USR1", "p"]).expect_success();
    let hopeless = hopeless.finish();
    hopeless.expect_code(1);
    assert!(hopeless.stderr.contains("has ended (Error, exit code 5)"), "{hopeless}");
    failing.finish().expect_success();
    met(&["--for=failed", "--timeout=0"]);
    let output = wait(&["--for=ready", "--timeout=-1s"]);
    output.expect_code(1);
    assert!(output.stderr.contains("cannot come any more"), "{output}");
    let deleted = Running::spawn(&place, place.command(&["wait", "p", "--for=deleted", "--timeout=-1s"]));
    place.podling(&["rm", "p"]).expect_success();
    deleted.finish().expect_success();

    start(&place, &shell("exit 0"), &[]);
    met(&["--for=succeeded"]);
    let bad = wait(&["--for=red"]);
    assert!(bad.code == Some(125) && bad.stderr.contains("there are ready, running"), "{bad}");
    place.podling(&["rm", "p"]).expect_success();
    place.assert_nothing_left();
}

#[test]
fn wait_for_several_pods_waits_for_each() {
    let place = Place::with(&["busybox"]);
    for name in ["a", "b"] {
        start(&place, &lasting(name), &[]);
    }
    let output = place.podling(&["wait", "a", "b", "--for=ready"]);
    let mut lines: Vec<&str> = output.expect_success().stdout.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["pod/a condition met", "pod/b condition met"]);
    place.podling(&["stop", "b"]).expect_success();
    let output = place.podling(&["wait", "a", "b", "--for=ready", "--timeout=-1s"]);
    output.expect_code(1);
    assert!(output.stderr.contains("pod \"b\" has ended"), "{output}");
    place.podling(&["rm", "--all", "--force"]).expect_success();
    place.assert_nothing_left();
}

/// Kills the supervisor of the one pod that runs in `place`.
fn kill_supervisor(place: &Place) {
    let directory = place.path().to_str().unwrap().as_bytes().to_vec();
    let is_its = |process: &leftovers::Process| {
        let environ = fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
        process.name == "podling-pod" && environ.windows(directory.len()).any(|part| part == directory)
    };
    let found: Vec<_> = leftovers::processes().into_iter().filter(is_its).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    kill(Pid::from_raw(found[0].pid), Signal::SIGKILL).unwrap();
    until("the supervisor's end", || (!found[0].is_alive()).then_some(()));
}

#[test]
fn a_supervisor_that_is_dying_is_as_a_killed_one() {
    let place = Place::with(&["busybox"]);
    start(&place, &lasting("p"), &[]);
    kill_supervisor(&place);
    let dir = place.data().join("pods/p");
    let told = |args: &[&str], connections| {
        let dying = dying::start(&dir, connections);
        let output = place.podling(args);
        dying.end();
        output
    };
    for connections in 1..4 {
        let output = told(&["wait", "p", "--for=succeeded", "--timeout=60s"], connections);
        output.expect_code(1);
        assert!(output.stderr.contains("pod \"p\" has ended (SupervisorKilled, exit code 137)"), "{output}");
        for args in [["ps", "-a"].as_slice(), &["ps", "p"], &["inspect", "p"], &["describe", "p"]] {
            let output = told(args, connections);
            assert!(output.expect_success().stdout.contains("SupervisorKilled"), "{output}");
        }
    }
    place.podling(&["rm", "--all"]).expect_success();
    place.assert_nothing_left();
}

#[test]
fn a_killed_supervisor_and_a_reboot_are_told_truthfully_and_cleared() {
    let place = Place::with(&["busybox"]);
    start(&place, &lasting("p"), &[]);
    let waiting = Running::spawn(&place, place.command(&["wait", "p", "--for=succeeded", "--timeout=-1s"]));
    kill_supervisor(&place);
    waiting.finish().expect_code(1);
    let look = |reason: &str, message: &str| {
        assert!(place.podling(&["ps"]).stdout.is_empty());
        let all = place.podling(&["ps", "-a"]);
        assert_eq!(words(&all, 1)[..4], ["p", "0/1", reason, "0"], "{all}");
        let status = inspect(&place, "p")["status"].clone();
        assert_eq!((&status["phase"], &status["reason"]), (&json!("Failed"), &json!(reason)), "{status}");
        let end = &status["containerStatuses"][0]["state"]["terminated"];
        assert_eq!((&end["reason"], &end["exitCode"]), (&json!("ContainerStatusUnknown"), &json!(137)), "{status}");
        let described = place.podling(&["describe", "p"]);
        for part in ["Status:       Failed\n", &format!("Reason:       {reason}\n"), message, "Events:  <none>\n"] {
            assert!(described.stdout.contains(part), "{part:?}: {described}");
        }
        place.podling(&["wait", "p", "--for=failed", "--timeout=0"]).expect_success();
        place.podling(&["exec", "p", "--", "true"]).expect_refusal(&["has ended"]);
    };
    look("SupervisorKilled", "the kernel killed all containers with it");
    let record = place.data().join("pods/p/pod.json");
    let mut first: Value = serde_json::from_slice(&fs::read(&record).unwrap()).unwrap();
    first["boot_id"] = json!("00000000-0000-4000-8000-000000000000");
    fs::write(&record, first.to_string()).unwrap();
    look("NodeRebooted", "the machine was started anew since");
    let bytes = place.podling(&["inspect", "p"]).stdout;
    assert!(bytes.contains("reason: NodeRebooted"), "{bytes}");
    assert_eq!(place.podling(&["rm", "p"]).expect_success().stdout, "p\n");
    assert!(place.podling(&["ps", "-aq"]).stdout.is_empty());
    place.assert_nothing_left();
}

#[test]
fn a_damaged_record_hides_no_other_pod_and_can_be_removed() {
    let place = Place::with(&["busybox"]);
    for name in ["first", "last", "sound"] {
        start(&place, &shell("exit 0").replace("name: p}", &format!("name: {name}}}")), &[]);
        place.podling(&["wait", name, "--for=succeeded"]).expect_success();
    }
    // As a machine leaves it that stopped while it was written.
    fs::remove_file(place.data().join("pods/first/status.json")).unwrap();
    fs::write(place.data().join("pods/first/pod.json"), "").unwrap();
    fs::write(place.data().join("pods/last/status.json"), "{").unwrap();
    let all = place.podling(&["ps", "-a"]);
    let states: Vec<_> = (1..4).map(|line| (words(&all, line)[0], words(&all, line)[2])).collect();
    assert_eq!(states, [("first", "RecordDamaged"), ("last", "RecordDamaged"), ("sound", "Completed")], "{all}");
    assert_eq!(inspect(&place, "first")["status"]["reason"], "RecordDamaged");
    place.podling(&["describe", "last"]).expect_success();
    place.podling(&["rm", "first", "last", "sound"]).expect_success();
    place.assert_nothing_left();
}

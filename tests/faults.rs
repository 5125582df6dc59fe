//! Promise: a fault of one part is no fault of the others. Supervisors and clients killed at every step of every verb, containers that
//! misbehave, disks that are full: the pod's other containers go on where they can, the user sees why, and nothing is left.

mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::{Feature, Ids, Place, Running, binary, container_yaml, detached, ids, leftovers, pod, require, shell};

const POLITE: &str = "trap 'exit 0' TERM; echo ready; while true; do sleep 1 & wait $!; done";

/// Two containers that go on until they are asked.
fn two() -> String {
    let containers = [container_yaml("c", "busybox", POLITE, ""), container_yaml("d", "busybox", POLITE, "")];
    pod("p", "terminationGracePeriodSeconds: 5", &containers)
}

/// Waits until a supervisor and all that it had are gone.
#[track_caller]
fn wait_for_end(place: &Place) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let left = leftovers::look(place);
        if left.iter().all(|l| l.starts_with("a directory")) {
            return;
        }
        assert!(Instant::now() < deadline, "left: {left:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The system calls at which supervisors are killed: whatever makes, tells or asks something. strace counts each by itself.
const SUPERVISORS_CALLS: [&str; 9] =
    ["sendmsg", "recvmsg", "clone3", "setns", "accept4", "write", "unlinkat", "rename,renameat", "epoll_ctl"];

/// The same for clients.
const CLIENTS_CALLS: [&str; 12] = [
    "sendmsg",
    "recvmsg",
    "clone3",
    "openat",
    "write",
    "unlink",
    "unlinkat",
    "rename,renameat",
    "rmdir",
    "connect",
    "mkdir",
    "flock",
];

/// Kills the supervisor at its 1st, 2nd, 3rd … of each call while a client runs `verb`, until it survives, or ends by the verb's will.
fn kill_the_supervisor_during(verb: &[&str]) {
    if !require(Feature::Program("strace")) || !require(Feature::Tracing) {
        return;
    }
    let place = Place::with(&["busybox"]);
    let mut kills = 0;
    for call in SUPERVISORS_CALLS {
        for n in 1.. {
            assert!(n < 200, "the verb {verb:?} has no end");
            let supervisor = detached::start(&place, &two());
            let mut command = Command::new("strace");
            let inject = format!("inject={call}:signal=KILL:when={n}");
            place.environment(&mut command).args(["-o", "/dev/null", "-e", "signal=none", "-e"]);
            command.args([&format!("trace={call}"), "-e", &inject, "-p", &supervisor.pid.to_string()]);
            let tracer = Running::spawn(&place, command);
            tracer.wait_until("strace's hold", || {
                if !supervisor.is_alive() {
                    return Some(());
                }
                let status = std::fs::read_to_string(format!("/proc/{}/status", supervisor.pid)).unwrap_or_default();
                status.lines().any(|l| l.starts_with("TracerPid:") && !l.ends_with("\t0")).then_some(())
            });
            // It must end, however it does: its supervisor is gone or it is not.
            let output = place.podling(verb);
            assert!(output.signal.is_none(), "{verb:?} at {call} {n}: {output}");
            // A supervisor that ends by the verb's will has left its record.
            let ended = || {
                std::fs::read_to_string(place.data().join("pods/p/status.json")).is_ok_and(|s| s.contains("exit_code"))
            };
            let stops = verb.contains(&"stop");
            if stops {
                wait_for_end(&place);
            }
            // One that was killed while it answered may live a moment longer than the client.
            for _ in 0..10 {
                if !supervisor.is_alive() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            let survived = supervisor.is_alive() || (stops && ended());
            if supervisor.is_alive() {
                let _ = kill(Pid::from_raw(supervisor.pid), Signal::SIGKILL);
            }
            tracer.signal(Signal::SIGTERM);
            tracer.finish();
            wait_for_end(&place);
            // What is said of it is true: it does not run.
            let ps = place.podling(&["ps", "-q"]);
            assert_eq!(ps.expect_success().stdout, "", "{verb:?} at {call} {n}");
            place.podling(&["rm", "--all"]).expect_success();
            place.assert_nothing_left();
            if survived {
                break;
            }
            kills += 1;
        }
    }
    assert!(kills >= 3, "hardly any call was made: {verb:?}");
}

#[test]
fn a_supervisor_killed_at_every_step_of_exec_leaves_nothing() {
    kill_the_supervisor_during(&["exec", "p", "-c", "c", "--", "true"]);
}

#[test]
fn a_supervisor_killed_at_every_step_of_what_shows_it_leaves_nothing() {
    kill_the_supervisor_during(&["ps"]);
    kill_the_supervisor_during(&["logs", "p", "-c", "c"]);
}

#[test]
fn a_supervisor_killed_at_every_step_of_a_stop_leaves_nothing() {
    kill_the_supervisor_during(&["stop", "p"]);
}

/// Kills the client of `verb` at its 1st, 2nd, 3rd … call. Afterwards the pod is whole or gone, and everything can be cleared up.
fn kill_the_client_of(verb: &[&str]) {
    if !require(Feature::Program("strace")) || !require(Feature::Tracing) {
        return;
    }
    let starts = verb.contains(&"run") || verb.contains(&"up") || verb.contains(&"restart");
    if starts && ids() == Ids::Subordinate {
        let _ = std::io::Write::write_all(
            &mut std::io::stderr(),
            b"clients killed at every call of a start: left to the user with one id, since newuidmap does not work when traced\n",
        );
        return;
    }
    let place = Place::with(&["busybox"]);
    place.write(&two());
    let mut kills = 0;
    for call in CLIENTS_CALLS {
        for n in 1.. {
            assert!(n < 400, "the verb {verb:?} has no end");
            if !verb.contains(&"run") {
                place.podling(&["up", "-q", "pod.yaml"]).expect_success();
            }
            let mut command = Command::new("strace");
            let inject = format!("inject={call}:signal=KILL:when={n}");
            place.environment(&mut command).args(["-qq", "-o", "/dev/null", "-e", "signal=none", "-e"]);
            command.args([&format!("trace={call}"), "-e", &inject]).arg(binary()).args(verb);
            let output = Running::spawn(&place, command).finish();
            // A pod whose client went too early ends at once; one that was let go goes on, all of it.
            let deadline = Instant::now() + Duration::from_secs(10);
            loop {
                let supervisors = detached::supervisors(&place);
                let children = supervisors.first().map(|s| leftovers::descendants(s.pid).len());
                if matches!(children, None | Some(2..)) {
                    break;
                }
                assert!(Instant::now() < deadline, "killed at {call} {n} of {verb:?}: {children:?}");
                std::thread::sleep(Duration::from_millis(5));
            }
            // No record that cannot be read, and no name that is taken by nobody.
            place.podling(&["ps", "-a"]).expect_success();
            place.podling(&["run", "-d", "--replace", "pod.yaml"]).expect_success();
            place.podling(&["rm", "--all", "--force"]).expect_success();
            place.assert_nothing_left();
            if output.code == Some(0) {
                break;
            }
            kills += 1;
        }
    }
    assert!(kills >= 3, "hardly any call was made: {verb:?}");
}

#[test]
fn a_client_killed_at_every_step_of_a_detached_start_leaves_a_whole_pod_or_none() {
    kill_the_client_of(&["run", "-d", "--replace", "pod.yaml"]);
}

#[test]
fn a_client_killed_at_every_step_of_up_and_restart_leaves_a_whole_pod_or_none() {
    kill_the_client_of(&["up", "--force", "pod.yaml"]);
    kill_the_client_of(&["restart", "p"]);
}

#[test]
fn a_client_killed_at_every_step_of_down_stop_and_exec_leaves_nothing_half() {
    kill_the_client_of(&["down", "p"]);
    kill_the_client_of(&["stop", "p"]);
    kill_the_client_of(&["exec", "p", "-c", "c", "--", "true"]);
}

#[test]
fn a_client_killed_in_the_middle_of_exec_takes_its_command_along_and_nothing_else() {
    let place = Place::with(&["busybox"]);
    let supervisor = detached::start(&place, &two());
    let before = leftovers::descendants(supervisor.pid).len();
    let client = Running::spawn(
        &place,
        place.command(&["exec", "p", "-c", "c", "--", "sh", "-c", "echo in; sleep 1000 & sleep 1000"]),
    );
    client.wait_for("in");
    client.wait_until("its processes", || (leftovers::descendants(supervisor.pid).len() >= before + 2).then_some(()));
    client.signal(Signal::SIGKILL);
    client.finish();
    let deadline = Instant::now() + Duration::from_secs(20);
    let sleeps = || leftovers::descendants(supervisor.pid).iter().filter(|p| p.name == "sleep").count();
    // Each container has one sleep of its own.
    while sleeps() > 2 {
        assert!(Instant::now() < deadline, "{:?}", leftovers::descendants(supervisor.pid));
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(supervisor.is_alive());
    detached::end_all(&place);
}

#[test]
fn a_killed_supervisor_is_told_truthfully_and_its_name_is_free() {
    let place = Place::with(&["busybox"]);
    let supervisor = detached::start(&place, &two());
    kill(Pid::from_raw(supervisor.pid), Signal::SIGKILL).unwrap();
    wait_for_end(&place);
    assert_eq!(place.podling(&["ps", "-q"]).expect_success().stdout, "");
    let all = place.podling(&["ps", "-a"]);
    assert!(all.expect_success().stdout.contains("SupervisorKilled"), "{all}");
    place.podling(&["logs", "p", "-c", "c"]).expect_success().expect_line("ready");
    place.podling(&["exec", "p", "--", "true"]).expect_refusal(&["has ended", "podling restart p"]);
    // The next podling clears what its containers wrote, and keeps its record.
    place.write_file("next.yaml", &shell("true").replace("name: p}", "name: next}"));
    place.podling(&["run", "next.yaml"]).expect_success();
    let entries = std::fs::read_dir(place.data().join("pods/p")).unwrap().flatten();
    assert!(entries.into_iter().all(|e| e.file_type().unwrap().is_file() || e.file_name() == "control"));
    place.podling(&["restart", "p"]).expect_success();
    detached::supervisor(&place);
    detached::end_all(&place);
}

#[test]
fn another_podling_that_clears_up_leaves_a_detached_pod_alone() {
    let place = Place::with(&["busybox"]);
    let script = "if [ -e /v/was ]; then echo again; sleep 1000; fi; touch /v/was; echo mine >/mine; sleep 1000";
    let container = container_yaml("c", "busybox", script, "volumeMounts: [{name: v, mountPath: /v}]");
    let spec = "terminationGracePeriodSeconds: 0\nvolumes: [{name: v, emptyDir: {}}]";
    detached::start(&place, &pod("p", spec, &[container]));
    place.write_file("next.yaml", &shell("true").replace("name: p}", "name: next}"));
    place.podling(&["run", "next.yaml"]).expect_success();
    let directory = place.data().join("pods/p");
    assert!(directory.join("c.upper").is_dir() && directory.join("c.work").is_dir());
    place.podling(&["exec", "p", "--", "cat", "/mine"]).expect_success().expect_line("mine");
    // Its name is taken, too.
    place.podling(&["run", "-d", "pod.yaml"]).expect_refusal(&["already running"]);
    detached::end_all(&place);
}

#[test]
fn containers_that_misbehave_leave_the_others_alone() {
    let place = Place::with(&["busybox"]);
    let bad = [
        (
            "orphans",
            "i=0; while [ $i -lt 10000 ]; do (sleep 0.2 &) 2>/dev/null; i=$((i + 1)); done; echo forked; sleep 1000",
        ),
        ("closed", "exec >&- 2>&-; sleep 1000"),
        ("stubborn", "trap '' TERM; while true; do sleep 1; done"),
        ("endless", "head -c 100000000 /dev/zero | tr '\\0' x; sleep 1000"),
    ];
    let mut containers: Vec<String> = bad.iter().map(|(n, s)| container_yaml(n, "busybox", s, "")).collect();
    containers.push(container_yaml("good", "busybox", POLITE, ""));
    detached::start(&place, &pod("p", "terminationGracePeriodSeconds: 1", &containers));
    for round in 0..20 {
        place.podling(&["exec", "p", "-c", "good", "--", "echo", "alive"]).expect_success().expect_line("alive");
        if round % 5 == 0 {
            place.podling(&["ps"]).expect_success();
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    // The log without a newline is bounded, and its end can be read.
    let deadline = Instant::now() + Duration::from_secs(60);
    while std::fs::read_dir(place.data().join("pods/p"))
        .unwrap()
        .flatten()
        .filter(|e| e.file_name().to_string_lossy().starts_with("endless.0.log"))
        .count()
        < 5
    {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(50));
    }
    let sizes: u64 = std::fs::read_dir(place.data().join("pods/p"))
        .unwrap()
        .flatten()
        .filter(|e| e.file_name().to_string_lossy().starts_with("endless.0.log"))
        .map(|e| e.metadata().map_or(0, |m| m.len()))
        .sum();
    assert!(sizes < 60 << 20, "{sizes} bytes");
    let output = place.podling(&["logs", "p", "-c", "endless", "--tail", "1"]);
    assert!(output.expect_success().stdout.trim_end().bytes().all(|b| b == b'x'));
    detached::end_all(&place);
}

#[test]
fn a_terminal_sees_no_control_characters_of_a_log_unless_it_asks_for_them() {
    if !require(Feature::Program("script")) {
        return;
    }
    let place = Place::with(&["busybox"]);
    let script = "printf 'a\\033[2Jb\\007\\302\\233c\\342\\200\\256d\\n'; sleep 1000";
    detached::start(
        &place,
        &pod("p", "terminationGracePeriodSeconds: 0", &[container_yaml("c", "busybox", script, "")]),
    );
    while !place.podling(&["logs", "p"]).expect_success().stdout.contains('d') {
        std::thread::sleep(Duration::from_millis(10));
    }
    let show = |options: &str| {
        let line = format!("{} logs {options} p; echo end", binary().display());
        support::running::on_a_terminal(&place, &[], &line, "never typed", "")
    };
    let seen = show("");
    assert!(seen.contains("a^[[2Jb^G") && !seen.contains('\u{1b}') && !seen.contains('\u{202e}'), "{seen:?}");
    assert!(show("--raw").contains("a\u{1b}[2Jb\u{7}"));
    // A file gets what the container wrote.
    assert!(place.podling(&["logs", "p"]).stdout.contains("a\u{1b}[2Jb"));
    detached::end_all(&place);
}

#[test]
fn a_full_disk_under_the_logs_ends_no_container_and_is_told() {
    if !require(Feature::UserNamespaces) {
        return;
    }
    // A small disk of the test's own needs a mount, and so a user namespace around podling, where it has one id.
    let place = Place::with(&[]);
    let yaml = pod(
        "p",
        "terminationGracePeriodSeconds: 1",
        &[
            container_yaml(
                "noisy",
                "busybox",
                "head -c 60000000 /dev/zero | tr '\\0' x; echo; echo done >/v/done; sleep 1000",
                "volumeMounts: [{name: v, mountPath: /v}]",
            ),
            container_yaml("good", "busybox", POLITE, "volumeMounts: [{name: v, mountPath: /v}]"),
        ],
    );
    place.write(&yaml.replace("  containers:", "  volumes: [{name: v, emptyDir: {}}]\n  containers:"));
    let script = "set -e; mkdir disk; mount -t tmpfs -o size=12m tmpfs disk; export XDG_DATA_HOME=$PWD/disk; \
        \"$0\" image load \"$1\" >/dev/null; \"$0\" run -q -d pod.yaml; \
        i=0; until \"$0\" exec p -c good -- test -e /v/done; do i=$((i + 1)); [ $i -lt 600 ]; sleep 0.1; done; \
        \"$0\" exec p -c good -- echo still alive; grep -c x disk/podling/pods/p/noisy.0.log* >/dev/null; \
        \"$0\" stop p; grep -o 'FailedLogging' disk/podling/pods/p/status.json | head -n 1; \"$0\" rm p; ls disk/podling/pods";
    let mut command = Command::new("unshare");
    place.environment(&mut command).args(["--user", "--map-root-user", "--mount", "sh", "-c", script]);
    command.arg(binary()).arg(support::archive("busybox"));
    let output = Running::spawn(&place, command).finish();
    output.expect_success().expect_line("still alive").expect_line("FailedLogging");
}

/// What import calls on its way to a volume that is there: it makes, renames, and removes what was there before.
const IMPORTS_CALLS: [&str; 5] = ["rename,renameat,renameat2", "unlink,unlinkat", "flock", "sendto", "mkdir,mkdirat"];

#[test]
fn a_volume_that_is_replaced_is_there_whole_whenever_its_replacement_is_killed() {
    if !require(Feature::UserNamespaces) || !require(Feature::Program("strace")) || !require(Feature::Tracing) {
        return;
    }
    if ids() == Ids::Subordinate {
        let _ = std::io::Write::write_all(
            &mut std::io::stderr(),
            b"imports killed at every call: left to the user with one id, since newuidmap does not work when traced\n",
        );
        return;
    }
    let place = Place::with(&["busybox"]);
    let archive = |name: &str, text: &str| {
        let mut builder = tar::Builder::new(std::fs::File::create(place.path().join(name)).unwrap());
        for file in ["a", "d/b"] {
            let mut header = tar::Header::new_ustar();
            header.set_mode(0o644);
            header.set_size(text.len() as u64);
            builder.append_data(&mut header, file, text.as_bytes()).unwrap();
        }
        builder.finish().unwrap();
    };
    archive("old.tar", "old");
    archive("new.tar", "new");
    let mut kills = 0;
    for calls in IMPORTS_CALLS {
        for n in 1.. {
            place.podling(&["volume", "import", "--replace", "data", "old.tar"]).expect_success();
            let mut command = Command::new("strace");
            let inject = format!("inject={calls}:signal=KILL:when={n}");
            place.environment(&mut command).args(["-f", "-qq", "-o", "/dev/null", "-e", "signal=none", "-e"]);
            command.args([&format!("trace={calls}"), "-e", &inject]).arg(binary());
            command.args(["volume", "import", "--replace", "data", "new.tar"]);
            let output = Running::spawn(&place, command).finish();
            let files = place.data().join("volumes/default/data/data");
            let text =
                |name: &str| std::fs::read_to_string(files.join(name)).unwrap_or_else(|e| format!("{name}: {e}"));
            let both = (text("a"), text("d/b"));
            let whole = both.0 == both.1 && (both.0 == "new" || both.0 == "old" && output.code != Some(0));
            assert!(whole, "killed at call {n} of {calls}: {both:?}, {output}");
            if output.code == Some(0) {
                break;
            }
            kills += 1;
            assert!(n < 200, "{calls} have no end");
        }
    }
    assert!(kills > 10, "hardly any call was made");
    // The next start removes what the killed ones have left.
    place.run(&shell("true")).expect_success();
    let left = std::fs::read_dir(place.data().join("volumes")).unwrap().flatten().map(|entry| entry.file_name());
    assert_eq!(left.collect::<Vec<_>>(), ["default"]);
}

#[test]
fn an_import_that_runs_out_of_descriptors_says_so_and_not_what_it_could_not_clear_up() {
    if !require(Feature::UserNamespaces) {
        return;
    }
    let place = Place::with(&["busybox"]);
    let mut builder = tar::Builder::new(std::fs::File::create(place.path().join("a.tar")).unwrap());
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o644);
    header.set_size(1);
    builder.append_data(&mut header, "a", &b"x"[..]).unwrap();
    builder.finish().unwrap();
    let mut failed = 0;
    for limit in 5..30 {
        let mut command = Command::new("sh");
        let line = format!("ulimit -n {limit}; exec \"$0\" volume import data a.tar");
        place.environment(&mut command).args(["-c", &line]).arg(binary());
        let output = Running::spawn(&place, command).finish();
        if output.code == Some(0) {
            break;
        }
        failed += 1;
        assert!(output.stderr.contains("Too many open files") && !output.stderr.contains("removing"), "{output}");
        place.podling(&["volume", "import", "--replace", "data", "a.tar"]).expect_success();
        place.podling(&["volume", "rm", "data"]).expect_success();
    }
    assert!((2..25).contains(&failed), "{failed} limits were too low");
    place.podling(&["volume", "rm", "data"]).expect_success();
    place.run(&shell("true")).expect_success();
    let left = std::fs::read_dir(place.data().join("volumes")).unwrap().count();
    assert_eq!(left, 0);
}

//! Promise: nothing is left behind. Whatever ends a pod, and whenever, no process, mount or directory of it remains.

mod support;

use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use support::{Feature, Ids, Place, Running, binary, container_yaml, ids, pod, require, shell, shell_with};

/// Says so when it is ready and when it is asked to end, and then ends well.
const POLITE: &str = "trap 'echo asked to end; exit 0' TERM; echo ready; while true; do sleep 1 & wait $!; done";
/// Has processes that left its session, files of its own, and no ear for SIGTERM.
const STUBBORN: &str = "trap '' TERM HUP INT; mkdir -m 0 /closed; echo x >/file; (setsid sh -c 'trap \"\" TERM; sleep 1000' &); echo ready; \
    while true; do sleep 1000; done";

fn two(grace: u32, script: &str) -> String {
    let fields = "volumeMounts: [{name: v, mountPath: /v}]";
    let containers = [container_yaml("c", "busybox", script, fields), container_yaml("d", "busybox", script, fields)];
    let spec =
        format!("restartPolicy: Never\nterminationGracePeriodSeconds: {grace}\nvolumes: [{{name: v, emptyDir: {{}}}}]");
    pod("p", &spec, &containers)
}

fn ready(place: &Place, yaml: &str) -> Running {
    let running = place.start(yaml);
    running.wait_for("c | ready").wait_for("d | ready");
    // Otherwise the tests below would look for nothing.
    let processes = running.processes();
    let there = support::leftovers::look(place);
    assert!(processes.len() >= 3 && there.len() > processes.len(), "{processes:?} {there:?}");
    assert!(
        there.iter().any(|l| l.starts_with("a directory")) && there.iter().any(|l| l.starts_with("mountinfo")),
        "{there:?}"
    );
    running
}

/// No process is left, and the next pod, of another name, clears up what a killed client could not.
#[track_caller]
fn the_next_run_clears_up(place: &Place) {
    support::leftovers::until_only_directories(place);
    let next = shell("true").replace("name: p}", "name: next}");
    place.run(&next).expect_success();
    place.assert_nothing_left();
}

#[test]
fn a_pod_that_ends_leaves_nothing() {
    let place = Place::with(&["busybox"]);
    let script = "mkdir -m 0 /tmp/closed; ln -s / /tmp/link; mknod /tmp/fifo p; (sleep 1000 &); exit 3";
    place.run(&shell(script)).expect_code(3);
    place.assert_nothing_left();
}

#[test]
fn files_of_other_owners_go_too() {
    let place = Place::with(&["busybox"]);
    let script = "mkdir /tmp/mine; echo x >/tmp/mine/file; chmod 500 /tmp/mine; chmod 0 /tmp/mine/file";
    place
        .run(&shell_with("busybox", script, "securityContext: {runAsUser: 1000, runAsGroup: 33}", ""))
        .expect_success();
    place.assert_nothing_left();
}

#[test]
fn each_signal_that_asks_ends_the_pod_within_its_grace_period() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT] {
        let place = Place::with(&["busybox"]);
        let running = ready(&place, &two(300, POLITE));
        running.signal(signal);
        let output = running.finish();
        output.expect_success().expect_line("c | asked to end").expect_line("d | asked to end");
        place.assert_nothing_left();
    }
}

#[test]
fn a_container_that_ignores_sigterm_is_killed_after_the_grace_period() {
    let place = Place::with(&["busybox"]);
    let running = ready(&place, &two(1, STUBBORN));
    running.stop().expect_code(137);
    place.assert_nothing_left();
}

#[test]
fn a_second_ctrl_c_does_not_wait_for_the_grace_period() {
    let place = Place::with(&["busybox"]);
    let running = ready(&place, &two(3000, STUBBORN));
    // Two that come at once are one.
    running.signal(Signal::SIGINT).wait_for("waiting up to");
    running.stop().expect_code(137);
    place.assert_nothing_left();
}

#[test]
fn a_grace_period_of_zero_kills_at_once() {
    let place = Place::with(&["busybox"]);
    ready(&place, &two(0, STUBBORN)).stop().expect_code(137);
    place.assert_nothing_left();
}

#[test]
fn the_clients_death_ends_the_pod() {
    let place = Place::with(&["busybox"]);
    let running = ready(&place, &two(3000, STUBBORN));
    running.signal(Signal::SIGKILL);
    assert_eq!(running.finish().signal, Some(9));
    the_next_run_clears_up(&place);
}

#[test]
fn the_supervisors_death_ends_the_pod_and_the_client_says_so() {
    let place = Place::with(&["busybox"]);
    let running = ready(&place, &two(3000, STUBBORN));
    kill(Pid::from_raw(running.supervisor().pid), Signal::SIGKILL).unwrap();
    running.finish().expect_refusal(&["pod \"p\"", "killed the supervisor"]);
    place.assert_nothing_left();
}

#[test]
fn the_death_of_both_ends_the_pod() {
    let place = Place::with(&["busybox"]);
    let running = ready(&place, &two(3000, STUBBORN));
    let supervisor = Pid::from_raw(running.supervisor().pid);
    running.signal(Signal::SIGKILL);
    let _ = kill(supervisor, Signal::SIGKILL);
    assert_eq!(running.finish().signal, Some(9));
    the_next_run_clears_up(&place);
}

#[test]
fn a_client_that_stands_still_while_its_supervisor_dies_leaves_no_process() {
    let place = Place::with(&["busybox"]);
    let running = ready(&place, &two(3000, STUBBORN));
    running.signal(Signal::SIGSTOP);
    let supervisor = running.supervisor();
    kill(Pid::from_raw(supervisor.pid), Signal::SIGKILL).unwrap();
    let own = running.processes();
    running.wait_until("the end of the containers", || own.iter().all(|p| !p.is_alive()).then_some(()));
    running.signal(Signal::SIGCONT);
    running.finish().expect_code(125);
    place.assert_nothing_left();
}

#[test]
fn a_reader_that_goes_away_ends_the_pod() {
    let place = Place::with(&["busybox"]);
    place.write(&shell("trap 'exit 0' TERM; while true; do echo line; sleep 0.01; done"));
    let mut command = Command::new("sh");
    place.environment(&mut command).args(["-c", "\"$0\" run pod.yaml | head -n 1"]).arg(binary());
    Running::spawn(&place, command).finish().expect_line("c | line");
    place.assert_nothing_left();
}

#[test]
fn a_name_is_free_again_only_when_its_pod_has_ended() {
    let place = Place::with(&["busybox"]);
    let running = ready(&place, &two(3000, POLITE));
    place.write_file("second.yaml", &shell("echo no"));
    let second = place.podling(&["run", "second.yaml"]);
    second.expect_refusal(&["a pod named \"p\" is already running", "--name"]);
    assert_eq!(second.stdout, "");
    place.podling(&["run", "--name", "other", "second.yaml"]).expect_success();
    running.stop().expect_success();
    place.podling(&["run", "second.yaml"]).expect_success();
    place.assert_nothing_left();
}

#[test]
fn one_pod_of_two_ends_and_the_other_goes_on() {
    let place = Place::with(&["busybox"]);
    let first = ready(&place, &two(3000, POLITE));
    place.write_file("second.yaml", &two(3000, STUBBORN).replace("name: p}", "name: q}"));
    let second = Running::spawn(&place, place.command(&["run", "second.yaml"]));
    second.wait_for("c | ready").wait_for("d | ready");
    second.signal(Signal::SIGKILL);
    second.finish();
    let supervisor = first.supervisor();
    assert!(supervisor.is_alive() && first.processes().len() >= 3);
    first.stop().expect_success().expect_line("c | asked to end");
    the_next_run_clears_up(&place);
}

#[test]
fn kill_9_of_the_client_at_any_moment_leaves_nothing() {
    let place = Place::with(&["busybox"]);
    for step in 0..60 {
        let running = place.start(&two(3000, STUBBORN));
        std::thread::sleep(Duration::from_micros(700 * step));
        running.processes();
        running.signal(Signal::SIGKILL);
        running.finish();
    }
    the_next_run_clears_up(&place);
}

#[test]
fn kill_9_of_the_supervisor_at_any_moment_leaves_nothing() {
    let place = Place::with(&["busybox"]);
    for step in 0..40 {
        let running = place.start(&two(3000, STUBBORN));
        let supervisor = running.supervisor();
        std::thread::sleep(Duration::from_micros(700 * step));
        running.processes();
        kill(Pid::from_raw(supervisor.pid), Signal::SIGKILL).unwrap();
        running.finish().expect_code(125);
        place.assert_nothing_left();
    }
}

#[test]
fn kill_9_of_a_container_at_any_moment_ends_a_pod_that_never_restarts() {
    let place = Place::with(&["busybox"]);
    for step in 0..30 {
        let running = place.start(&shell_with("busybox", STUBBORN, "", "terminationGracePeriodSeconds: 0"));
        let supervisor = running.supervisor();
        std::thread::sleep(Duration::from_micros(500 * step));
        while supervisor.is_alive() {
            for child in running.processes().into_iter().filter(|p| p.parent == supervisor.pid) {
                let _ = kill(Pid::from_raw(child.pid), Signal::SIGKILL);
            }
        }
        // The transient process that makes the namespaces may be who was hit; then the pod never began.
        let output = running.finish();
        assert!(matches!(output.code, Some(125 | 137)), "{output}");
        place.assert_nothing_left();
    }
}

/// Kills each process at its first, second, third … call of one set of system calls, until the pod ends well because none makes so many.
fn kill_at_every_call(calls: &str) {
    // A traced program has no use of its setuid bit, and without newuidmap nobody gets as far as this.
    if !require(Feature::Program("strace")) || !require(Feature::Tracing) {
        return;
    }
    if ids() == Ids::Subordinate {
        let _ = std::io::Write::write_all(
            &mut std::io::stderr(),
            b"kill -9 at every call: left to the user with one id, since newuidmap does not work when traced\n",
        );
        return;
    }
    let place = Place::with(&["busybox"]);
    place.write(&shell("true"));
    for n in 1.. {
        let mut command = Command::new("strace");
        place.environment(&mut command).args([
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            "signal=none",
            "-e",
            &format!("trace={calls}"),
        ]);
        command
            .args(["-e", &format!("inject={calls}:signal=KILL:when={n}")])
            .arg(binary())
            .args(["run", "-q", "pod.yaml"]);
        let output = Running::spawn(&place, command).finish();
        if output.code == Some(0) {
            assert!(n > 5, "hardly any call was made");
            break;
        }
        assert!(n < 2000, "podling does not recover from what was killed: {output}");
        let left = support::leftovers::look(&place);
        assert!(left.iter().all(|l| l.starts_with("a directory")), "killed at call {n} of {calls}: {left:?}");
    }
    the_next_run_clears_up(&place);
}

#[test]
fn kill_9_at_every_call_that_makes_or_mounts_leaves_nothing() {
    kill_at_every_call("mount,umount2,pivot_root,mkdir,mkdirat,setns,unshare,sethostname");
}

#[test]
fn kill_9_at_every_message_between_processes_leaves_nothing() {
    kill_at_every_call("sendmsg,recvmsg,write,sendto,recvfrom,clone,clone3,execve,prctl,capset");
}

#[test]
fn kill_9_at_every_call_on_the_pods_directory_leaves_nothing() {
    kill_at_every_call(
        "flock,unlink,unlinkat,rmdir,rename,renameat,renameat2,getdents64,fchown,fchownat,chown,fchmod,chdir,fchdir",
    );
}

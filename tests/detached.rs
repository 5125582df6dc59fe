//! Promise: a detached pod goes on without the podling, the terminal and the shell that started it, and the verbs around it do what
//! kubectl, podman and docker taught.

mod support;

use std::time::{Duration, Instant};

use support::{Feature, Place, binary, container_yaml, detached, leftovers, pod, require};

const POLITE: &str = "trap 'echo asked; exit 0' TERM; echo ready; while true; do sleep 1 & wait $!; done";

fn polite(name: &str, script: &str) -> String {
    pod(name, "terminationGracePeriodSeconds: 30", &[container_yaml("c", "busybox", script, "")])
}

/// `metadata.uid`, which tells a pod from a later one of the same name.
#[track_caller]
fn uid(place: &Place, name: &str) -> String {
    let output = place.podling(&["inspect", "-o", "json", name]);
    let object: serde_json::Value = serde_json::from_str(&output.expect_success().stdout).unwrap();
    object["metadata"]["uid"].as_str().unwrap().to_owned()
}

#[test]
fn a_pod_outlives_its_terminal() {
    if !require(Feature::Program("script")) {
        return;
    }
    let place = Place::with(&["busybox"]);
    place.write(&polite("p", POLITE));
    let line = format!("{} run -d pod.yaml; echo started", binary().display());
    let seen = support::running::on_a_terminal(&place, &[], &line, "never typed", "");
    assert!(seen.contains("started"), "{seen:?}");
    // The terminal is gone, and with it its session, whose processes the kernel has sent SIGHUP.
    let supervisor = detached::supervisor(&place);
    place.podling(&["exec", "p", "--", "true"]).expect_success();
    // It holds no file of the terminal's, so nobody waits for it.
    for fd in std::fs::read_dir(format!("/proc/{}/fd", supervisor.pid)).unwrap().flatten() {
        let target = std::fs::read_link(fd.path()).unwrap_or_default();
        assert!(!target.starts_with("/dev/pts"), "{target:?}");
    }
    detached::end_all(&place);
}

#[test]
fn up_starts_what_is_missing_replaces_what_has_changed_and_leaves_the_rest_alone() {
    let place = Place::with(&["busybox"]);
    let (a, b) = (polite("a", POLITE), polite("b", POLITE));
    place.write(&format!("{a}---\n{b}"));
    let up = |options: &[&str]| {
        let output = place.podling(&[&["up"], options, &["pod.yaml"]].concat());
        output.expect_success().stdout.clone()
    };
    assert_eq!(up(&[]), "pod/a created\npod/b created\n");
    let before = (uid(&place, "a"), uid(&place, "b"));
    assert_eq!(up(&[]), "pod/a unchanged\npod/b unchanged\n");
    // A comment changes no plan; a variable does.
    place.write(&format!(
        "# the same\n{a}---\n{}",
        b.replace("  - name: c\n", "  - name: c\n    env: [{name: A, value: b}]\n")
    ));
    assert_eq!(up(&[]), "pod/a unchanged\npod/b replaced\n");
    let after = (uid(&place, "a"), uid(&place, "b"));
    assert!(before.0 == after.0 && before.1 != after.1, "{before:?} {after:?}");
    place.podling(&["exec", "b", "--", "sh", "-c", "test $A = b"]).expect_success();
    assert_eq!(up(&["--force"]), "pod/a replaced\npod/b replaced\n");
    place.podling(&["stop", "a"]).expect_success();
    assert_eq!(up(&[]), "pod/a started\npod/b unchanged\n");
    // The file says which pods it means.
    assert_eq!(place.podling(&["down", "pod.yaml"]).expect_success().stdout, "a\nb\n");
    place.assert_nothing_left();
}

#[test]
fn a_restarted_pod_is_another_one_from_the_same_input() {
    let place = Place::with(&["busybox"]);
    detached::start_with(&place, &polite("p", "echo level $LEVEL; sleep 1000"), &["--name", "q", "-e", "LEVEL=debug"]);
    let before = uid(&place, "q");
    // The file may be gone.
    std::fs::remove_file(place.path().join("pod.yaml")).unwrap();
    place.podling(&["stop", "-t", "0", "q"]).expect_success();
    place.podling(&["restart", "q"]).expect_success();
    assert_ne!(before, uid(&place, "q"));
    place.podling(&["exec", "q", "--", "sh", "-c", "test $LEVEL = debug"]).expect_success();
    detached::end_all(&place);
}

#[test]
fn a_secret_is_never_on_the_disk_of_a_detached_pod() {
    let place = Place::with(&["busybox"]);
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {k: dont-tell-anybody}\n---\n";
    let from = "env: [{name: K, valueFrom: {secretKeyRef: {name: s, key: k}}}]";
    let yaml = pod("p", "terminationGracePeriodSeconds: 0", &[container_yaml("c", "busybox", "sleep 1000", from)]);
    detached::start(&place, &format!("{secret}{yaml}"));
    let holds = |text: &str| {
        let output =
            support::running::output_of(std::process::Command::new("grep").args(["-rlF", text]).arg(place.data()));
        !output.stdout.is_empty()
    };
    // What is kept of the pod is there, and the Secret is not.
    assert!(holds("secretKeyRef") && !holds("dont-tell-anybody"));
    // It is started again from its files, where those are.
    place.podling(&["restart", "p"]).expect_success();
    place.podling(&["exec", "p", "--", "sh", "-c", "test $K = dont-tell-anybody"]).expect_success();
    std::fs::remove_file(place.path().join("pod.yaml")).unwrap();
    place.podling(&["restart", "p"]).expect_refusal(&["cannot read", "pod.yaml", "again"]);
    assert!(detached::supervisor(&place).is_alive());
    place.podling(&["down", "p"]).expect_success();
    assert!(!holds("dont-tell-anybody"));
    place.assert_nothing_left();
}

#[test]
fn what_a_start_fails_by_does_not_tell_a_secret() {
    let place = Place::with(&["busybox"]);
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {k: \"tell-no'body\"}\n---\n";
    let from = "env: [{name: K, valueFrom: {secretKeyRef: {name: s, key: k}}}";
    let file = "{name: F, valueFrom: {fileKeyRef: {volumeName: v, path: f, key: F}}}";
    let mount = |path: &str| format!("{from}]\n    volumeMounts: [{{name: v, mountPath: /v, subPathExpr: {path}}}]");
    let rows = [
        ("a part of a volume that leads out", "[sh]", mount("$(K)/etc"), "leads out of"),
        ("a part of a volume below a file", "[sh]", mount("f/$(K)/etc"), "subPath"),
        ("a command that is not there", "[$(K)]", format!("{from}]"), "was not found"),
        ("a command with a path", "[/bin/$(K) -x]", format!("{from}]"), "was not found"),
        ("an argument that cannot be", "[sh, $(K)$(F)]", format!("{from}, {file}]"), "NUL"),
        ("a variable that cannot be", "[sh]", format!("{from}, {file}, {{name: B, value: $(K)$(F)}}]"), "NUL"),
    ];
    // What is looked for must not be in the Pod itself.
    let write = "ln -s / /v/tell-no\\'\\'body; printf 'F=\\047a\\000b\\047' >/v/f; mv /v/tell* \"/v/$(printf 'tell-no\\047body')\"";
    let init = format!(
        "initContainers:\n  - name: i\n    image: busybox\n    volumeMounts: [{{name: v, mountPath: /v}}]\n    command: [sh, -c, {}]",
        serde_json::to_string(write).unwrap()
    );
    for (what, command, fields, why) in rows {
        let container = format!("  - name: c\n    image: busybox\n    command: {command}\n    {fields}\n");
        let spec = format!("terminationGracePeriodSeconds: 0\nvolumes: [{{name: v, emptyDir: {{}}}}]\n{init}");
        place.write(&format!("{secret}{}", pod("p", &spec, &[container])));
        let output = place.podling(&["run", "-d", "pod.yaml"]);
        assert!(output.stderr.contains(why) && !output.stderr.contains("body"), "{what}: {output}");
        let mut grep = std::process::Command::new("grep");
        let told = support::running::output_of(grep.args(["-rF", "no'body"]).arg(place.data().join("pods"))).stdout;
        assert_eq!(told, "", "{what}");
        place.podling(&["rm", "p"]).expect_success();
    }
}

#[test]
fn a_name_is_taken_by_what_is_kept_until_it_is_removed_or_replaced() {
    let place = Place::with(&["busybox"]);
    detached::start(&place, &polite("p", POLITE));
    place.podling(&["run", "-d", "pod.yaml"]).expect_refusal(&["already running"]);
    place.podling(&["rm", "p"]).expect_refusal(&["is running", "podling down p"]);
    place.podling(&["stop", "p"]).expect_success();
    place.podling(&["logs", "p"]).expect_success().expect_line("asked");
    for command in [&["run", "-d", "pod.yaml"][..], &["run", "pod.yaml"]] {
        place.podling(command).expect_refusal(&["has ended, and its logs are kept", "podling rm p"]);
    }
    place.podling(&["run", "-d", "--replace", "pod.yaml"]).expect_success();
    let running = uid(&place, "p");
    place.podling(&["run", "-d", "--replace", "pod.yaml"]).expect_success();
    assert_ne!(uid(&place, "p"), running);
    place.podling(&["down", "none"]).expect_refusal(&["there is no pod \"none\""]);
    place.podling(&["down", "--ignore", "none"]).expect_success();
    detached::end_all(&place);
}

#[test]
fn a_pod_that_fails_before_it_runs_is_an_error_and_says_why() {
    let place = Place::with(&["busybox"]);
    let bad = "  - {name: c, image: busybox, command: [/nonexistent]}\n".to_owned();
    for verb in [&["run", "-d"][..], &["up"]] {
        place.write(&pod("p", "", std::slice::from_ref(&bad)));
        let output = place.podling(&[verb, &["pod.yaml"]].concat());
        output.expect_code(127);
        assert!(output.stderr.contains("\"/nonexistent\" was not found") && output.stdout.is_empty(), "{output}");
        place.podling(&["rm", "p"]).expect_success();
    }
    let init = format!("initContainers:\n{}", container_yaml("i", "busybox", "exit 3", ""));
    place.write(&pod("p", &format!("restartPolicy: Never\n{init}"), &[container_yaml("c", "busybox", "true", "")]));
    place.podling(&["run", "-d", "pod.yaml"]).expect_code(3);
    place.podling(&["rm", "p"]).expect_success();
    // One that ran was started, whatever came of it; one that was to be ready and never was, was not.
    let probe = "readinessProbe: {exec: {command: [\"false\"]}, initialDelaySeconds: 100}";
    place.write(&pod("p", "restartPolicy: Never", &[container_yaml("c", "busybox", "exit 4", probe)]));
    place.podling(&["run", "-d", "pod.yaml"]).expect_success();
    place.podling(&["wait", "p", "--for=failed"]).expect_success();
    place.podling(&["run", "-d", "--replace", "--wait", "pod.yaml"]).expect_code(4);
    place.podling(&["rm", "p"]).expect_success();
    place.assert_nothing_left();
}

#[test]
fn a_start_waits_no_longer_than_it_may_and_the_pod_goes_on() {
    let place = Place::with(&["busybox"]);
    let probe = "readinessProbe: {exec: {command: [test, -e, /ready]}, periodSeconds: 1}";
    place.write(&pod("p", "terminationGracePeriodSeconds: 0", &[container_yaml("c", "busybox", "sleep 1000", probe)]));
    let output = place.podling(&["run", "-d", "--wait", "--timeout", "300ms", "pod.yaml"]);
    output.expect_refusal(&["--timeout", "they go on"]);
    place.podling(&["exec", "p", "--", "touch", "/ready"]).expect_success();
    place.podling(&["up", "--wait", "pod.yaml"]).expect_success();
    place.podling(&["wait", "p", "--for=ready", "--timeout=60s"]).expect_success();
    detached::end_all(&place);
}

#[test]
fn signals_and_grace_periods_of_the_command_line_reach_the_containers() {
    let place = Place::with(&["busybox"]);
    let script = "trap 'echo got HUP' HUP; trap '' TERM; echo ready; while true; do sleep 0.1; done";
    let two = [container_yaml("c", "busybox", script, ""), container_yaml("d", "busybox", script, "")];
    let supervisor = detached::start(&place, &pod("p", "terminationGracePeriodSeconds: 3000", &two));
    let said = |container: &str, what: &str| {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !place.podling(&["logs", "p", "-c", container]).stdout.contains(what) {
            assert!(Instant::now() < deadline, "{container} never said {what:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    said("c", "ready");
    said("d", "ready");
    place.podling(&["kill", "-s", "HUP", "p", "-c", "c"]).expect_success();
    said("c", "got HUP");
    assert!(!place.podling(&["logs", "p", "-c", "d"]).stdout.contains("got HUP"));
    place.podling(&["kill", "-s", "NOPE", "p"]).expect_refusal(&["\"NOPE\" is not a signal"]);
    // Its own grace period would take an hour.
    place.podling(&["stop", "-t", "1", "p"]).expect_success();
    assert!(!supervisor.is_alive() || leftovers::descendants(supervisor.pid).is_empty());
    let all = place.podling(&["ps", "-a"]);
    assert!(all.expect_success().stdout.contains("Error"), "{all}");
    detached::end_all(&place);
}

//! Promise: nothing is silently ignored. What podling does not honour it refuses, with its file, line and path, before it makes anything.

mod support;

use support::{Place, container_yaml, pod, shell};

/// A good pod of twelve lines, of which one test after the other spoils one.
const GOOD: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  restartPolicy: Never
  containers:
  - name: c
    image: busybox
    command: [\"true\"]
";

#[track_caller]
fn refused(yaml: &str, parts: &[&str]) {
    let place = Place::with(&["busybox"]);
    let output = place.run(yaml);
    output.expect_refusal(parts);
    assert!(output.stdout.is_empty(), "{output}");
    assert!(!place.data().join("pods").exists(), "a pod's directory was made for a refused pod");
    place.assert_nothing_left();
}

fn with(more: &str) -> String {
    format!("{GOOD}{more}\n")
}

#[test]
fn the_pod_that_the_others_spoil_is_good() {
    Place::with(&["busybox"]).run(GOOD).expect_success();
}

#[test]
fn an_unknown_field_is_refused_with_a_suggestion() {
    refused(
        &with("    comand: [x]"),
        &["pod.yaml:10: spec.containers[0].comand: unknown field", "did you mean \"command\"?"],
    );
}

#[test]
fn an_unknown_field_of_a_config_map_is_refused() {
    let config = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndta: {a: b}";
    refused(&with(config), &["pod.yaml:14: dta: unknown field"]);
}

#[test]
fn a_wrong_type_is_refused_with_what_was_expected() {
    refused(
        &with("    env: [{name: A, value: 8080}]"),
        &["pod.yaml:10: spec.containers[0].env[0].value: expected a text, found the number 8080", "quote it: \"8080\""],
    );
    refused(
        &with("    ports: [{containerPort: \"80\"}]"),
        &["pod.yaml:10: spec.containers[0].ports[0].containerPort: expected a whole number"],
    );
}

#[test]
fn a_key_written_twice_is_refused() {
    refused(&with("    image: web"), &["pod.yaml:10: spec.containers[0].image: written twice, first on line 8"]);
}

#[test]
fn a_missing_config_map_is_refused() {
    refused(
        &with("    envFrom: [{configMapRef: {name: settings}}]"),
        &["pod.yaml:10: spec.containers[0].envFrom[0].configMapRef.name: the input has no ConfigMap \"settings\""],
    );
}

#[test]
fn a_missing_secret_is_refused() {
    refused(
        &with("  volumes: [{name: v, secret: {secretName: s}}]"),
        &["pod.yaml:10: spec.volumes[0].secret.secretName: the input has no Secret \"s\""],
    );
}

#[test]
fn an_absent_image_is_refused_with_the_way_to_load_it_whatever_the_pull_policy() {
    for policy in ["Always", "IfNotPresent", "Never"] {
        let yaml = GOOD.replace("image: busybox", &format!("image: not-here:1.2\n    imagePullPolicy: {policy}"));
        refused(&yaml, &["pod.yaml:8: spec.containers[0].image:", "not-here:1.2", "podling image load"]);
    }
}

#[test]
fn a_mount_without_its_volume_is_refused() {
    refused(
        &with("    volumeMounts: [{name: dat, mountPath: /d}]\n  volumes: [{name: data, emptyDir: {}}]"),
        &[
            "pod.yaml:10: spec.containers[0].volumeMounts[0].name: spec.volumes has no volume \"dat\"",
            "did you mean \"data\"?",
        ],
    );
}

#[test]
fn a_duplicate_container_name_is_refused() {
    refused(
        &with("  - name: c\n    image: busybox"),
        &["pod.yaml:10: spec.containers[1].name: the container \"c\" is already defined at pod.yaml:7"],
    );
}

#[test]
fn a_duplicate_port_is_refused() {
    refused(
        &with("    ports: [{containerPort: 80}]\n  - name: d\n    image: busybox\n    ports: [{containerPort: 80}]"),
        &["pod.yaml:13: spec.containers[1].ports[0].containerPort: TCP port 80 is already taken at pod.yaml:10"],
    );
}

#[test]
fn an_impossible_quantity_is_refused() {
    refused(
        &with("  volumes: [{name: d, emptyDir: {sizeLimit: 10MB}}]"),
        &["pod.yaml:10: spec.volumes[0].emptyDir.sizeLimit: \"10MB\" is not a quantity", "did you mean 10M?"],
    );
}

#[test]
fn a_known_field_that_is_not_honoured_is_refused_by_name() {
    for (field, path) in [
        (
            "    livenessProbe: {httpGet: {port: 80, protocol: HTTP2}}",
            "spec.containers[0].livenessProbe.httpGet.protocol: \"HTTP2\"",
        ),
        ("    resources: {limits: {memory: 1Gi}}", "spec.containers[0].resources.limits.memory"),
        ("    lifecycle: {preStop: {tcpSocket: {port: 80}}}", "spec.containers[0].lifecycle.preStop.tcpSocket"),
        ("    securityContext: {privileged: true}", "spec.containers[0].securityContext.privileged"),
        ("  hostNetwork: true", "spec.hostNetwork"),
        ("  hostPID: true", "spec.hostPID: true"),
        ("  volumes: [{name: h, hostPath: {path: /}}]", "spec.volumes[0].hostPath"),
        ("  readinessGates: [{conditionType: a/b}]", "spec.readinessGates"),
    ] {
        refused(&with(field), &[&format!("pod.yaml:10: {path}: ")]);
    }
}

#[test]
fn a_user_that_the_image_does_not_know_is_refused() {
    let place = Place::with(&["busybox"]);
    let yaml = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  restartPolicy: Never\n  containers:\n  - {name: c, image: strange}\n";
    let (archive, change) = (support::archive("busybox"), ["--change", "USER stranger", "--change", "CMD true"]);
    let root = place.path().join("root");
    std::fs::create_dir_all(root.join("bin")).unwrap();
    assert!(archive.exists());
    let root = root.to_str().unwrap();
    place.podling(&[&["image", "import"], &change[..], &[root, "strange"]].concat()).expect_success();
    place.run(yaml).expect_refusal(&["pod.yaml:7: spec.containers[0].image", "\"stranger\"", "/etc/passwd"]);
}

#[test]
fn every_mistake_of_the_input_is_told_at_once() {
    let yaml = with("    env: [{name: A, value: 1}]\n    hostPort: 1\n  hostPID: true");
    refused(
        &yaml,
        &[
            "pod.yaml:10: spec.containers[0].env[0].value",
            "pod.yaml:11: spec.containers[0].hostPort",
            "pod.yaml:12: spec.hostPID",
        ],
    );
}

#[test]
fn a_mistake_in_the_second_pod_keeps_the_first_from_running() {
    let place = Place::with(&["busybox"]);
    let bad = pod("q", "restartPolicy: Never", &[container_yaml("c", "absent", "true", "")]);
    let output = place.run(&format!("{}---\n{bad}", shell("echo I ran")));
    output.expect_refusal(&["absent"]);
    assert_eq!(output.stdout, "", "{output}");
    assert!(!place.data().join("pods").exists());
}

#[test]
fn a_file_that_is_not_there_is_named() {
    Place::with(&[]).podling(&["run", "no-such.yaml"]).expect_refusal(&["no-such.yaml", "No such file"]);
}

#[test]
fn a_word_that_podling_does_not_know_is_refused() {
    Place::with(&[]).podling(&["run", "--frobnicate", "pod.yaml"]).expect_refusal(&["--frobnicate"]);
}

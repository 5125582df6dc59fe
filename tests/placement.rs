//! Promise: what a scheduler decides in a cluster is decided here by this host's labels, and never passed over.

mod support;

use support::{Output, Place, shell_with};

const AFFINITY: &str = "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: ";
const REQUIRED: &str = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
const SPREAD: &str = "topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: DoNotSchedule}]";

fn run(spec: &str, options: &[&str]) -> Output {
    let place = Place::with(&["busybox"]);
    let output = place.run_with(&shell_with("busybox", "echo ran", "", spec), options);
    place.assert_nothing_left();
    output
}

#[track_caller]
fn runs(spec: &str, options: &[&str]) -> String {
    let output = run(spec, options);
    output.expect_success().expect_line("c | ran");
    output.stderr
}

/// Runs, and nothing is said but what one id always makes podling say.
#[track_caller]
fn runs_quietly(spec: &str) {
    let told = runs(spec, &[]);
    let told: Vec<&str> = told.lines().filter(|line| !line.contains("no subordinate ids")).collect();
    assert!(told.is_empty(), "{told:?}");
}

#[track_caller]
fn refused(spec: &str, parts: &[&str]) {
    let output = run(spec, &[]);
    output.expect_refusal(parts);
    assert!(output.stdout.is_empty(), "{output}");
}

// shows: spec.nodeSelector.*
#[test]
fn a_node_selector_needs_the_hosts_label() {
    refused(
        "nodeSelector: {disk: ssd}",
        &[
            "spec.nodeSelector.disk: it wants disk=ssd, and this host has no label disk; its labels: kubernetes.io/arch=",
            "kubernetes.io/os=linux",
            "--node-label disk=ssd gives it that label",
        ],
    );
    runs("nodeSelector: {disk: ssd, kubernetes.io/os: linux}", &["--node-label", "disk=ssd"]);
}

// shows: spec.affinity.nodeAffinity.**
#[test]
fn a_node_affinity_needs_a_term_that_the_host_meets() {
    let gpu = format!("{AFFINITY}[{{matchExpressions: [{{key: gpu, operator: In, values: [a100]}}]}}]}}}}}}");
    refused(
        &gpu,
        &[&format!("{REQUIRED}[0].matchExpressions[0]: it wants gpu in (a100), and this host has no label gpu")],
    );
    runs(&gpu, &["--node-label", "gpu=a100"]);
    let name = format!("{AFFINITY}[{{matchFields: [{{key: metadata.name, operator: In, values: [worker-1]}}]}}]}}}}}}");
    refused(
        &name,
        &[&format!("{REQUIRED}[0].matchFields[0]: it wants metadata.name in (worker-1), and this host is called ")],
    );
    runs(&name, &["--node-label", "kubernetes.io/hostname=worker-1"]);
    let none = "affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, preference: \
                {matchExpressions: [{key: gpu, operator: Exists}]}}]}}";
    runs_quietly(none);
}

/// The YAML of two pods that end at once, the first with `spec`.
fn two(spec: &str) -> String {
    let container = "restartPolicy: Never, containers: [{name: c, image: busybox, command: [echo, ran]}]";
    let pod = |name: &str, spec: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, labels: {{app: {name}}}}}\nspec: {{{spec}{container}}}\n"
        )
    };
    format!("{}---\n{}", pod("web", spec), pod("db", ""))
}

fn term(kind: &str, app: &str) -> String {
    format!(
        "affinity: {{{kind}: {{requiredDuringSchedulingIgnoredDuringExecution: [{{topologyKey: kubernetes.io/hostname, \
         labelSelector: {{matchLabels: {{app: {app}}}}}}}]}}}}, "
    )
}

// shows: spec.affinity.podAffinity.**, spec.affinity.podAntiAffinity.**
#[test]
fn pods_of_one_input_are_beside_each_other() {
    let place = Place::with(&["busybox"]);
    let run = |spec: &str| place.run(&two(spec));
    assert_eq!(run(&term("podAffinity", "db")).expect_success().stdout.matches("ran").count(), 2);
    run(&term("podAffinity", "cache")).expect_refusal(&[
        "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0]: no pod of the input meets it",
    ]);
    run(&term("podAntiAffinity", "db")).expect_refusal(&[
        "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0]: it keeps the pod away from the pod \
         \"db\" (pod.yaml:8), and both would run on this host",
    ]);
    let told = run(&term("podAntiAffinity", "web"));
    told.expect_success();
    assert!(told.stderr.contains("and not what else runs on this host"), "{told}");
    place.assert_nothing_left();
}

// shows: spec.topologySpreadConstraints[].**
#[test]
fn a_spread_needs_the_label_that_makes_the_host_a_domain() {
    refused(
        SPREAD,
        &[
            "spec.topologySpreadConstraints[0].topologyKey: a scheduler groups nodes by it, and this host has no label zone",
        ],
    );
    runs(SPREAD, &["--node-label", "zone=a"]);
    runs(&SPREAD.replace("DoNotSchedule", "ScheduleAnyway"), &[]);
}

// shows: spec.nodeName, spec.schedulerName
#[test]
fn what_another_cluster_decided_is_told() {
    let spec = "nodeName: worker-1\nschedulerName: volcano";
    let told = runs(spec, &[]);
    for part in [
        "spec.nodeName: emulated: podling runs the pod on this host",
        "spec.schedulerName: emulated: podling starts the pod at once",
    ] {
        assert!(told.contains(part), "{told}");
    }
    assert!(!runs(spec, &["--node-label", "kubernetes.io/hostname=worker-1"]).contains("spec.nodeName"));
    run(spec, &["--strict"]).expect_refusal(&["spec.nodeName: --strict refuses what is emulated"]);
}

// shows: spec.tolerations, spec.priority, spec.priorityClassName, spec.preemptionPolicy, spec.os.name
#[test]
fn what_any_placement_satisfies_makes_no_noise() {
    let spec = "tolerations: [{operator: Exists}]\npriority: 7\npriorityClassName: system-node-critical\n\
                preemptionPolicy: Never\nos: {name: linux}";
    runs_quietly(spec);
}

#[test]
fn a_label_that_no_node_can_have_is_a_wrong_option() {
    let place = Place::with(&[]);
    for label in ["disk", "a b=c", "disk=a b"] {
        place.podling(&["check", "--node-label", label, "pod.yaml"]).expect_code(125);
    }
}

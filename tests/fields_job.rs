//! Every field of a Job: what it does, seen from inside its pods or in what podling says.

mod support;

use std::collections::BTreeMap;

use nix::sys::signal::Signal;
use support::job::{FAST, job, job_with};
use support::{Output, Place, Running, container_yaml};

fn place() -> Place {
    Place::with(&["busybox"])
}

/// What each pod printed, by its name, in the order of their first words.
fn by_pod(output: &Output) -> Vec<(String, Vec<String>)> {
    let mut pods: Vec<(String, Vec<String>)> = Vec::new();
    for line in output.stdout.lines() {
        let (prefix, text) = line.split_once(" | ").unwrap();
        let pod = prefix.trim().strip_suffix("/c").unwrap_or_else(|| panic!("{line}")).to_owned();
        match pods.iter_mut().find(|(name, _)| *name == pod) {
            Some((_, lines)) => lines.push(text.to_owned()),
            None => pods.push((pod, vec![text.to_owned()])),
        }
    }
    pods
}

/// All that pods printed, sorted.
fn said(output: &Output) -> Vec<String> {
    let mut lines: Vec<String> = by_pod(output).into_iter().flat_map(|(_, lines)| lines).collect();
    lines.sort();
    lines
}

/// Runs a Job whose pods of index N say `N` and then do what `script` says, and nothing is left of it.
fn indexed(spec: &str, script: &str) -> Output {
    let place = place();
    let script = format!("echo $JOB_COMPLETION_INDEX; i=$JOB_COMPLETION_INDEX; {script}");
    let output = place.run_with(&job(&format!("completionMode: Indexed\n{spec}"), &script), &FAST);
    place.assert_nothing_left();
    output
}

/// One line of standard error has all of `parts`.
#[track_caller]
fn expect_said(output: &Output, parts: &[&str]) {
    let found = output.stderr.lines().any(|line| parts.iter().all(|part| line.contains(part)));
    assert!(found, "{parts:?} in:\n{}", output.stderr);
}

// shows: Job:spec.completions, Job:spec.completionMode, Job:spec.parallelism, Job:spec.podReplacementPolicy
#[test]
fn as_many_pods_succeed_as_are_to_be_completed_and_each_has_a_name_of_its_own() {
    let place = place();
    let spec = "completions: 3\nparallelism: 2\ncompletionMode: NonIndexed\npodReplacementPolicy: Failed";
    let output = place.run(&job(spec, "hostname; echo index $JOB_COMPLETION_INDEX."));
    output.expect_success();
    let pods = by_pod(&output);
    assert_eq!(pods.len(), 3, "{pods:?}");
    for (name, lines) in pods {
        assert_eq!(lines, [name.clone(), "index .".to_owned()]);
        let random = name.strip_prefix("j-").unwrap();
        assert!(random.len() == 5 && random.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()), "{name}");
    }
    place.assert_nothing_left();
    // Two at once: each waits for the user, who sees both.
    let running = place.start(&job(spec, "echo ready $(hostname | cut -c 3-); trap 'exit 0' TERM; sleep 1000 & wait"));
    running.wait_until("two pods", || (running.stdout().matches("ready").count() == 2).then_some(()));
    let names: Vec<String> = running.stdout().lines().filter_map(|l| Some(l.split_once('/')?.0.to_owned())).collect();
    let ps = place.podling(&["ps", "--quiet"]);
    assert!(names.iter().all(|name| ps.stdout.contains(name.as_str())), "{}", ps.stdout);
    // One that is stopped and ends well is done, and the third takes its place.
    place.podling(&["stop", &names[0]]).expect_success();
    running.wait_until("the third", || (running.stdout().matches("ready").count() == 3).then_some(()));
    // The Job is not complete, whatever its pods say at the end.
    let output = running.stop();
    output.expect_code(130);
    expect_said(&output, &["job \"j\" was stopped before it was complete"]);
    place.assert_nothing_left();
}

// shows: Job:spec.completions, Job:spec.parallelism
#[test]
fn without_completions_any_pods_success_is_the_jobs_and_the_others_are_waited_for() {
    let place = place();
    // Of two pods the first to make the directory waits for the other's success, which nothing tells it: so it just ends later.
    let output = place.run(&job("parallelism: 2", "sleep 0.$(od -An -N1 -tu1 /dev/urandom | tr -d ' '); echo done"));
    output.expect_success();
    assert_eq!(said(&output), ["done", "done"]);
    assert_eq!(said(place.run(&job("", "echo once")).expect_success()), ["once"]);
    place.run(&job("completions: 0", "echo never")).expect_success();
    place.assert_nothing_left();
}

// shows: Job:spec.completionMode
#[test]
fn an_index_is_in_the_name_the_host_name_a_variable_a_label_and_an_annotation() {
    let place = place();
    let init = "initContainers: [{name: i, image: busybox, command: [sh, -c, 'echo init $JOB_COMPLETION_INDEX']}]";
    let script = "trap 'exit 3' TERM; echo $(hostname) $JOB_COMPLETION_INDEX ready; sleep 1000 & wait";
    let running = place.start(&job_with("completions: 2\nparallelism: 2\ncompletionMode: Indexed", init, script));
    running.wait_for("j-0 0 ready").wait_for("j-1 1 ready").wait_for("init 0").wait_for("init 1");
    let stdout = running.stdout();
    let pod = stdout.lines().find(|line| line.contains("j-1 1 ready")).unwrap().split('/').next().unwrap();
    assert!(pod.starts_with("j-1-") && pod.len() == 9, "{pod}");
    let object = place.podling(&["inspect", "-o", "json", pod]);
    let value: serde_json::Value = serde_json::from_str(&object.expect_success().stdout).unwrap();
    let metadata = value.get(0).unwrap_or(&value)["metadata"].clone();
    let (labels, annotations) = (&metadata["labels"], &metadata["annotations"]);
    assert_eq!(labels["batch.kubernetes.io/job-completion-index"], "1");
    assert_eq!(annotations["batch.kubernetes.io/job-completion-index"], "1");
    assert_eq!((&labels["batch.kubernetes.io/job-name"], &labels["job-name"]), (&"j".into(), &"j".into()));
    let uid = labels["batch.kubernetes.io/controller-uid"].as_str().unwrap();
    assert_eq!((uid.len(), labels["controller-uid"].as_str()), (36, Some(uid)));
    running.stop().expect_code(3);
    place.assert_nothing_left();
}

// shows: Job:spec.manualSelector, Job:spec.selector, Job:spec.template.metadata.name, Job:spec.template.metadata.generateName,
// shows: Job:spec.template.metadata.namespace
#[test]
fn with_a_selector_of_the_users_the_pods_have_the_templates_labels_only() {
    let place = place();
    let spec =
        "manualSelector: true\nselector: {matchLabels: {app: mine}, matchExpressions: [{key: app, operator: Exists}]}";
    let yaml = job(spec, "trap 'exit 3' TERM; echo ready; sleep 1000 & wait");
    let metadata = "  template:\n    metadata: {labels: {app: mine}, annotations: {note: x}, name: ignored, generateName: ignored-, namespace: ignored}\n";
    let running = place.start(&yaml.replace("  template:\n", metadata));
    running.wait_for("ready");
    let stdout = running.stdout();
    let object = place.podling(&["inspect", "-o", "json", stdout.split('/').next().unwrap()]);
    let value: serde_json::Value = serde_json::from_str(&object.expect_success().stdout).unwrap();
    let metadata = value.get(0).unwrap_or(&value)["metadata"].clone();
    assert_eq!(metadata["labels"], serde_json::json!({ "app": "mine" }));
    assert_eq!(metadata["annotations"], serde_json::json!({ "note": "x" }));
    assert!(metadata["name"].as_str().unwrap().starts_with("j-"), "{metadata}");
    assert_eq!(metadata["namespace"], "default");
    running.stop().expect_code(3);
    place
        .run(&yaml.replace("  template:\n", "  template:\n    metadata: {labels: {app: other}}\n"))
        .expect_refusal(&["they do not fit"]);
}

// shows: Job:spec.backoffLimit
#[test]
fn a_failed_pod_is_replaced_until_the_limit_is_passed() {
    let place = place();
    let output = place.run_with(&job("backoffLimit: 2", "echo try; exit 7"), &FAST);
    output.expect_code(7);
    assert_eq!(said(&output), ["try"; 3]);
    expect_said(&output, &["failed with code 7; the next one waits 0.100 s"]);
    expect_said(&output, &["failed with code 7; the next one waits 0.200 s"]);
    expect_said(&output, &["job \"j\" failed: BackoffLimitExceeded: Job has reached the specified backoff limit"]);
    let quiet = place.run_with(&job("backoffLimit: 0", "exit 7"), &["--quiet"]);
    quiet.expect_code(7);
    assert_eq!(quiet.stderr.lines().count(), 1, "{}", quiet.stderr);
    place.run_with(&job("backoffLimit: 0", ""), &["--quiet"]).expect_success();
    place.assert_nothing_left();
}

// shows: Job:spec.backoffLimit
#[test]
fn with_on_failure_the_restarts_of_containers_count() {
    let place = place();
    let on_failure = |limit: u32, script: &str| {
        place.run_with(&job_with(&format!("backoffLimit: {limit}"), "restartPolicy: OnFailure", script), &FAST)
    };
    let output = on_failure(3, "echo try; exit 7");
    output.expect_code(7);
    let pods = by_pod(&output);
    assert_eq!(pods.len(), 1, "one pod, whose container starts again: {pods:?}");
    assert!((3..=4).contains(&pods[0].1.len()), "{pods:?}");
    expect_said(&output, &["BackoffLimitExceeded"]);
    on_failure(3, "echo x >>/dev/termination-log; test $(wc -l </dev/termination-log) -ge 1").expect_success();
    place.assert_nothing_left();
}

// shows: Job:spec.backoffLimitPerIndex, Job:spec.maxFailedIndexes
#[test]
fn indexes_fail_by_themselves() {
    let output = indexed("completions: 3\nparallelism: 3\nbackoffLimitPerIndex: 1", "test $i != 1 || exit 9");
    output.expect_code(9);
    assert_eq!(said(&output), ["0", "1", "1", "2"]);
    expect_said(&output, &["pod \"j-1-", "failed with code 9; the next one waits 0.100 s"]);
    expect_said(&output, &["pod \"j-1-", "failed with code 9, and with it its index"]);
    expect_said(&output, &["job \"j\" failed: FailedIndexes: Job has failed indexes: 1"]);
    let output = indexed("completions: 4\nparallelism: 1\nbackoffLimitPerIndex: 0\nmaxFailedIndexes: 1", "exit 9");
    output.expect_code(9);
    assert_eq!(said(&output), ["0", "1"]);
    expect_said(&output, &["job \"j\" failed: MaxFailedIndexesExceeded"]);
}

// shows: Job:spec.podFailurePolicy.rules[].action, Job:spec.podFailurePolicy.rules[].onExitCodes.containerName,
// shows: Job:spec.podFailurePolicy.rules[].onExitCodes.operator, Job:spec.podFailurePolicy.rules[].onExitCodes.values
#[test]
fn rules_about_exit_codes() {
    let rules = |rules: &str| format!("podFailurePolicy: {{rules: [{rules}]}}");
    let place = place();
    let run = |spec: String, script: &str| place.run_with(&job(&spec, script), &FAST);
    let output = run(
        rules("{action: FailJob, onExitCodes: {containerName: c, operator: In, values: [41, 42]}}"),
        "echo try; exit 42",
    );
    output.expect_code(42);
    assert_eq!(said(&output), ["try"]);
    let words = [
        "job \"j\" failed: PodFailurePolicy: Container c for pod default/j-",
        "with exit code 42 matching FailJob rule at index 0",
    ];
    expect_said(&output, &words);
    // The same code of another container than the one that the rule is for.
    let init =
        |script: &str| format!("initContainers:\n{}", container_yaml("i", "busybox", script, "")).trim_end().to_owned();
    let of_init = format!(
        "backoffLimit: 0\n{}",
        rules("{action: FailJob, onExitCodes: {containerName: i, operator: In, values: [42]}}")
    );
    let output = place.run(&job_with(&of_init, &init("true"), "exit 42"));
    expect_said(&output, &["BackoffLimitExceeded"]);
    let output = place.run(&job_with(&of_init, &init("exit 42"), "echo never"));
    expect_said(&output, &["PodFailurePolicy: Container i for pod default/j-"]);
    // The second rule is for every code that is not 7; the first is for another.
    let two = rules(
        "{action: FailJob, onExitCodes: {operator: In, values: [1]}}, {action: Ignore, onExitCodes: {operator: NotIn, values: [7]}}",
    );
    let spec = format!("backoffLimit: 0\ncompletionMode: Indexed\ncompletions: 1\n{two}");
    let running = place.start_with(&job(&spec, "echo try; exit 8"), &FAST);
    running.wait_until("three tries", || (running.stdout().matches("try").count() >= 3).then_some(()));
    let output = running.stop();
    output.expect_code(8);
    expect_said(&output, &["failed with code 8, which does not count; the next one waits"]);
    let output = run(
        format!("backoffLimit: 0\n{}", rules("{action: Count, onExitCodes: {operator: In, values: [3]}}")),
        "exit 3",
    );
    expect_said(&output, &["BackoffLimitExceeded"]);
    let index = rules("{action: FailIndex, onExitCodes: {operator: In, values: [3]}}");
    let output = indexed(&format!("completions: 2\nbackoffLimitPerIndex: 5\n{index}"), "exit $((3 - 3 * i))");
    output.expect_code(3);
    assert_eq!(said(&output), ["0", "1"]);
    expect_said(&output, &["job \"j\" failed: FailedIndexes"]);
    place.assert_nothing_left();
}

// shows: Job:spec.podFailurePolicy.rules[].onPodConditions[].type, Job:spec.podFailurePolicy.rules[].onPodConditions[].status
#[test]
fn rules_about_conditions() {
    let place = place();
    let rule = |condition: &str| {
        format!("backoffLimit: 0\npodFailurePolicy: {{rules: [{{action: FailJob, onPodConditions: [{condition}]}}]}}")
    };
    let init = "initContainers: [{name: i, image: busybox, command: ['false']}]";
    let not_initialized = rule("{type: Initialized, status: 'False'}");
    let output = place.run(&job_with(&not_initialized, init, "echo never"));
    output.expect_code(1);
    expect_said(
        &output,
        &["PodFailurePolicy: Pod default/j-", "has condition Initialized matching FailJob rule at index 0"],
    );
    expect_said(&place.run(&job(&not_initialized, "exit 1")), &["BackoffLimitExceeded"]);
    // True is what is meant where no status is written.
    expect_said(&place.run(&job(&rule("{type: PodScheduled}"), "exit 1")), &["has condition PodScheduled"]);
    expect_said(&place.run(&job(&rule("{type: Ready, status: 'False'}"), "exit 1")), &["has condition Ready"]);
    expect_said(&place.run(&job(&rule("{type: DisruptionTarget}"), "exit 1")), &["BackoffLimitExceeded"]);
    place.assert_nothing_left();
}

// shows: Job:spec.successPolicy.rules[].succeededIndexes, Job:spec.successPolicy.rules[].succeededCount
#[test]
fn enough_indexes_end_the_job_and_the_others_are_stopped() {
    let policy = |rule: &str| format!("completions: 3\nparallelism: 3\nsuccessPolicy: {{rules: [{rule}]}}");
    let wait = "test $i = 2 || exec sleep 1000";
    let output = indexed(&policy("{succeededIndexes: '1-2', succeededCount: 1}"), wait);
    output.expect_success();
    assert_eq!(said(&output), ["0", "1", "2"]);
    indexed(&policy("{succeededIndexes: '2'}"), wait).expect_success();
    indexed(&policy("{succeededCount: 2}"), "test $i != 2 || exec sleep 1000").expect_success();
}

// shows: Job:spec.activeDeadlineSeconds
#[test]
fn a_job_that_takes_too_long_is_stopped() {
    let place = place();
    // Two seconds, so that both have said what they do when they are asked.
    let spec = "activeDeadlineSeconds: 200\ncompletions: 2\nparallelism: 2";
    let output = place.run_with(&job(spec, "trap 'echo asked; exit 0' TERM; sleep 1000 & wait"), &FAST);
    output.expect_code(124);
    assert_eq!(said(&output), ["asked", "asked"]);
    expect_said(&output, &["job \"j\" failed: DeadlineExceeded: Job was active longer than specified deadline"]);
    // While it waits for its next pod, too: the first has four fifths of four seconds to fail.
    place.run_with(&job("activeDeadlineSeconds: 8", "exit 3"), &["--time-scale", "0.4"]).expect_code(3);
    place.assert_nothing_left();
}

// shows: Job:spec.suspend, Job:spec.parallelism, Job:spec.ttlSecondsAfterFinished, Job:status
#[test]
fn a_suspended_job_starts_nothing_and_says_so() {
    let place = place();
    for (spec, field) in [("suspend: true", "spec.suspend"), ("parallelism: 0", "spec.parallelism")] {
        let output = place.run(&job(spec, "echo never"));
        output.expect_success();
        assert_eq!(output.stdout, "");
        expect_said(&output, &["pod.yaml:5", field, "the Job \"j\" is suspended, and nothing of it is started"]);
    }
    // What another system last saw is no reason to do nothing.
    let done = job("suspend: false\nttlSecondsAfterFinished: 100", "echo once")
        + "status: {succeeded: 1, conditions: [{type: Complete, status: 'True'}]}\n";
    assert_eq!(said(place.run(&done).expect_success()), ["once"]);
    // In the foreground nothing is kept that could live on; tests/jobs_detached.rs shows what becomes of what is.
    place.assert_nothing_left();
}

// shows: Job:spec.managedBy, Job:spec.scheduling, Job:spec.podReplacementPolicy, Job:spec.parallelism
#[test]
fn what_one_host_cannot_do_is_refused_or_reported() {
    let place = place();
    place.run(&job("managedBy: example.com/other", "")).expect_refusal(&[
        "pod.yaml:5",
        "spec.managedBy",
        "no other controller is here",
    ]);
    place.run(&job("managedBy: kubernetes.io/job-controller", "")).expect_success();
    place.run(&job("scheduling: {schedulingPolicy: {basic: {}}}", "")).expect_refusal(&[
        "pod.yaml:5",
        "spec.scheduling",
        "a cluster's scheduler",
    ]);
    let output = place.run(&job("podReplacementPolicy: TerminatingOrFailed", ""));
    expect_said(
        output.expect_success(),
        &["pod.yaml:5: spec.podReplacementPolicy: emulated: a pod that somebody stops is replaced when it has ended"],
    );
    let strict = place.run_with(&job("podReplacementPolicy: TerminatingOrFailed", ""), &["--strict"]);
    strict.expect_refusal(&["pod.yaml:5", "spec.podReplacementPolicy", "--strict"]);
    // Two of these would not be on one node.
    let apart = "affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {job-name: j}}}]}}";
    let yaml = job_with("completions: 2\nparallelism: 2", apart, "echo begin; sleep 0.2; echo end");
    let output = place.run(&yaml);
    expect_said(
        output.expect_success(),
        &["pod.yaml:6: spec.parallelism: emulated: its required podAntiAffinity keeps its pods away"],
    );
    let words: Vec<&str> = output.stdout.lines().filter_map(|line| line.rsplit(' ').next()).collect();
    assert_eq!(words, ["begin", "end", "begin", "end"]);
    let output = place.run(&job("suspend: true\nparallelism: 111\ncompletions: 200", ""));
    expect_said(
        output.expect_success(),
        &["pod.yaml:6: spec.parallelism: emulated: no more than 110 of its pods run at once"],
    );
    place.assert_nothing_left();
}

#[test]
fn what_cannot_be_honoured_in_a_template_is_told_where_it_is_before_anything_starts() {
    let place = place();
    let yaml = job("", "echo never").replace("image: busybox", "image: none");
    let output = place.run_with(&yaml, &["--pull", "never"]);
    output.expect_refusal(&["pod.yaml:10: spec.template.spec.containers[0].image"]);
    assert_eq!(output.stdout, "");
    let plan = place.podling(&["plan", "pod.yaml"]);
    plan.expect_refusal(&["spec.template.spec.containers[0].image"]);
    place.write(&job("completionMode: Indexed\ncompletions: 1", "true"));
    let plan = place.podling(&["plan", "pod.yaml"]);
    assert!(plan.expect_success().stdout.contains("JOB_COMPLETION_INDEX=0"), "{}", plan.stdout);
}

#[test]
fn check_answers_for_a_job_and_its_template() {
    let place = place();
    place.write(&job("podReplacementPolicy: TerminatingOrFailed", "true"));
    let check = place.podling(&["check", "pod.yaml"]);
    let stdout = check.expect_success().stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    for words in
        ["pod.yaml: Job j", "emulated spec.podReplacementPolicy", "enforced spec.template.spec.containers[0].image"]
    {
        assert!(stdout.contains(words), "{words} in:\n{stdout}");
    }
    place.podling(&["check", "--strict", "pod.yaml"]).expect_code(2);
    place.write(&job("backoffLimit: -1", "true"));
    place.podling(&["check", "pod.yaml"]).expect_code(1);
    // What stands against a pod stands against the template, and is told there.
    place.write(&job_with("", "nodeSelector: {disk: ssd}\nhostNetwork: true", "true"));
    let check = place.podling(&["check", "pod.yaml"]);
    check.expect_code(2);
    for words in ["pod.yaml:8: spec.template.spec.nodeSelector", "pod.yaml:9: spec.template.spec.hostNetwork"] {
        assert!(check.stdout.contains(words), "{words} in:\n{}", check.stdout);
    }
    place.write("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n");
    let check = place.podling(&["check", "pod.yaml"]);
    check.expect_code(2);
    assert!(
        check.stdout.contains("pod.yaml:2: kind: \"Deployment\" is not a kind that podling takes"),
        "{}",
        check.stdout
    );
}

#[test]
fn pods_and_jobs_run_beside_each_other() {
    let place = place();
    let pod = support::pod("p", "restartPolicy: Never", &[container_yaml("c", "busybox", "echo pod; exit 4", "")]);
    let items = format!(
        "{pod}---\n{}---\n{}",
        job("completions: 2", "echo job"),
        job("", "echo other").replace("name: j,", "name: k,")
    );
    let output = place.run(&items);
    output.expect_code(4);
    assert_eq!(said(&output), ["job", "job", "other", "pod"]);
    output.expect_line("p/c | pod");
    let output = place.run_with(&job("", "hostname"), &["--name", "renamed"]);
    assert!(said(output.expect_success())[0].starts_with("renamed-"), "{}", output.stdout);
    place.write(&items);
    place
        .podling(&["run", "--name", "x", "pod.yaml"])
        .expect_refusal(&["--name names one Pod or Job, but the input has 3"]);
    place.assert_nothing_left();
}

#[test]
fn names_and_differences() {
    let place = place();
    place.write(&job("", "echo never"));
    place
        .podling(&["plan", "--diff", "pod.yaml"])
        .expect_refusal(&["pod.yaml:2: kind", "of a Job's pods each is another"]);
    let long = "n".repeat(64);
    place.podling(&["run", "--name", &long, "pod.yaml"]).expect_refusal(&["64 characters; a Job's can have 63"]);
    place.assert_nothing_left();
}

/// A Job of two pods that take their time, both of which have printed.
fn two_ready(place: &Place) -> Running {
    let spec = "completions: 4\nparallelism: 2";
    let running =
        place.start(&job(spec, "trap '' TERM INT; (setsid sleep 1000 &); echo ready; while true; do sleep 1000; done"));
    running.wait_until("two pods", || (running.stdout().matches("ready").count() == 2).then_some(()));
    let processes = running.processes();
    assert!(processes.iter().filter(|p| p.name == "podling-pod").count() == 2, "{processes:?}");
    running
}

/// What a killed client leaves on the disk the next one takes away; processes and mounts are gone by themselves.
#[track_caller]
fn the_next_run_clears_up(place: &Place) {
    support::leftovers::until_only_directories(place);
    place.run(&job("", "echo next")).expect_success();
    place.assert_nothing_left();
}

#[test]
fn the_death_of_the_client_or_of_a_supervisor_leaves_nothing() {
    let place = place();
    let running = two_ready(&place);
    running.signal(Signal::SIGKILL);
    assert_eq!(running.finish().signal, Some(9));
    the_next_run_clears_up(&place);
    // A supervisor that is killed is no failure of the pod's program, and ends the Job with podling's own.
    let running = two_ready(&place);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(running.supervisor().pid), Signal::SIGKILL).unwrap();
    running.signal(Signal::SIGINT);
    running.signal(Signal::SIGINT);
    running.finish().expect_refusal(&["job \"j\"", "pod \"j-", "killed the supervisor"]);
    place.assert_nothing_left();
    // While it waits for its next pod there is nothing to be left.
    let running = place.start(&job("", "exit 5"));
    running.wait_for("the next one waits 10 s");
    running.signal(Signal::SIGKILL);
    assert_eq!(running.finish().signal, Some(9));
    the_next_run_clears_up(&place);
    let running = place.start(&job("", "exit 5"));
    running.wait_for("the next one waits 10 s");
    running.stop().expect_code(5);
    place.assert_nothing_left();
}

#[test]
fn a_client_that_is_killed_at_any_moment_leaves_nothing() {
    let place = place();
    let spec = "completionMode: Indexed\ncompletions: 8\nparallelism: 3\nbackoffLimit: 100";
    let yaml = job(spec, "echo go; exit $((JOB_COMPLETION_INDEX % 2))");
    for n in 0..12 {
        let running = place.start_with(&yaml, &["--time-scale", "0.001"]);
        std::thread::sleep(std::time::Duration::from_millis(7 * n));
        running.processes();
        running.signal(Signal::SIGKILL);
        running.finish();
    }
    the_next_run_clears_up(&place);
}

#[test]
fn a_second_ctrl_c_does_not_wait_for_the_pods() {
    let place = place();
    let running = two_ready(&place);
    running.signal(Signal::SIGINT);
    running.wait_for("waiting up to");
    running.stop().expect_code(137);
    place.assert_nothing_left();
}

#[test]
fn a_reader_that_leaves_ends_the_job() {
    let place = place();
    place.write(&job("completions: 1000", "trap 'exit 0' TERM; echo one; sleep 1000 & wait"));
    let line = format!("{} run pod.yaml | head -n 1", support::binary().display());
    let mut command = std::process::Command::new("sh");
    let output = Running::spawn(&place, {
        place.environment(&mut command).args(["-c", &line]);
        command
    })
    .finish();
    output.expect_success();
    assert!(output.stdout.ends_with("/c | one\n"), "{}", output.stdout);
    place.assert_nothing_left();
}

/// Names are made at random, so many pods have as many names.
#[test]
fn names_differ() {
    let output = indexed("completions: 12\nparallelism: 6", "");
    output.expect_success();
    let names: BTreeMap<String, Vec<String>> = by_pod(&output).into_iter().collect();
    assert_eq!(names.len(), 12, "{names:?}");
    for (name, lines) in names {
        assert_eq!(name.split('-').nth(1), Some(lines[0].as_str()), "{name}");
    }
}

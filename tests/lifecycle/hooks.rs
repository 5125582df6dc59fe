//! Lifecycle hooks.

use serde_json::json;

use crate::harness::{Do, LIVES, Must, Row, c, exec, row, spec};

const PAGE: &str = "Kubernetes, \"Container Lifecycle Hooks\"";

fn hook(name: &str, script: &str) -> String {
    format!("lifecycle: {{{name}: {{{}}}}}", exec(script))
}

fn both(post: &str, pre: &str) -> String {
    format!("lifecycle: {{postStart: {{{}}}, preStop: {{{}}}}}", exec(post), exec(pre))
}

/// Ends with a code of its own when it is asked to.
fn lives(code: u8) -> String {
    LIVES.replace("exit 0", &format!("exit {code}"))
}

pub fn rows() -> Vec<Row> {
    vec![
        // shows: spec.containers[].lifecycle.postStart.exec.command
        row(
            "the next container starts when the postStart hook is over",
            "Kubernetes API, lifecycle.postStart: \"Other management of the container blocks until the hook completes\"",
            spec(
                "restartPolicy: Always",
                &[],
                &[c("a", LIVES, &hook("postStart", "echo begun >/proc/1/fd/1; sleep 0.4; echo hook >/proc/1/fd/1")), c("b", LIVES, "")],
            ),
            vec![Must::Order(&["a: begun", "a: hook", "b: up"]), Must::Events(&["Started a", "Started b"])],
        )
        .then("b: up", Do::End),
        row(
            "until its postStart hook is over a container does not reach the running state",
            PAGE,
            spec("restartPolicy: Always", &[], &[c("a", LIVES, &hook("postStart", "echo begun >/proc/1/fd/1; sleep 0.5"))]),
            vec![
                Must::Looked("/phase", json!("Pending")),
                Must::Looked("/containerStatuses/0/state/waiting/reason", json!("ContainerCreating")),
                Must::Looked("/containerStatuses/0/ready", json!(false)),
                Must::States(&["ContainerCreating", "Running"]),
            ],
        )
        .then("a: begun", Do::Look)
        .then("Running", Do::End),
        // shows: spec.containers[].lifecycle.postStart.exec.command
        row(
            "a postStart hook that fails kills the container, and the policy restarts it",
            PAGE,
            spec("restartPolicy: Always", &[], &[c("a", &lives(3), &hook("postStart", "[ -e /v/x ] || { touch /v/x; exit 1; }"))]),
            vec![
                Must::Events(&["FailedPostStartHook a", "Killing a", "Started a"]),
                Must::Event("FailedPostStartHook a", "PostStartHook failed"),
                Must::Event("Killing a", "FailedPostStartHook"),
                Must::Looked("/containerStatuses/0/restartCount", json!(1)),
            ],
        )
        .then("ready", Do::Look)
        .then("ready", Do::End),
        row(
            "with policy Never it fails the pod",
            PAGE,
            spec("restartPolicy: Never", &[], &[c("a", &lives(3), &hook("postStart", "until grep -q trap /proc/1/cmdline; do :; done; sleep 0.3; exit 1"))]),
            vec![Must::Lines(&["a: up", "a: term"]), Must::Ended(3, "Failed")],
        ),
        row(
            "what is killed for its postStart hook has its preStop hook called",
            "kubelet, kuberuntime_container.go, startContainer and killContainer",
            spec("restartPolicy: Never", &[], &[c("a", &lives(3), &both("sleep 0.3; exit 1", "echo pre >/proc/1/fd/1"))]),
            vec![Must::Lines(&["a: up", "a: pre", "a: term"]), Must::Ended(3, "Failed")],
        ),
        row(
            "a pod that is stopped does not wait for a postStart hook",
            "kubelet, pod_workers.go: the start's context is cancelled",
            spec("restartPolicy: Always", &[], &[c("a", LIVES, &both("sleep 99", "echo pre >/proc/1/fd/1"))]),
            vec![Must::Lines(&["a: up", "a: pre", "a: term"]), Must::Ended(0, "Succeeded")],
        )
        .then("a: up", Do::Stop(None)),
        // shows: spec.containers[].lifecycle.preStop
        row(
            "the preStop hook is over before the stop signal is sent",
            PAGE,
            spec("restartPolicy: Always", &[], &[c("a", LIVES, &hook("preStop", "echo begun >/proc/1/fd/1; sleep 0.3; echo over >/proc/1/fd/1"))]),
            vec![Must::Lines(&["a: up", "a: begun", "a: over", "a: term"]), Must::Ended(0, "Succeeded")],
        )
        .then("a: up", Do::Stop(None)),
        row(
            "a container that ends by itself has no preStop hook called",
            PAGE,
            spec("restartPolicy: Never", &[], &[c("a", "echo a", &hook("preStop", "touch /v/pre")), c("b", "sleep 0.5; [ -e /v/pre ] || echo none", "")]),
            vec![Must::Lines(&["a: a", "b: none"]), Must::Ended(0, "Succeeded")],
        ),
        row(
            "a preStop hook that fails is an event, and the stop signal follows",
            PAGE,
            spec("restartPolicy: Always", &[], &[c("a", LIVES, &hook("preStop", "exit 5"))]),
            vec![Must::Event("FailedPreStopHook a", "PreStopHook failed"), Must::Lines(&["a: up", "a: term"]), Must::Ended(0, "Succeeded")],
        )
        .then("a: up", Do::Stop(None)),
        // shows: spec.containers[].lifecycle.preStop
        row(
            "a preStop hook that outlasts the grace period is given up, and two seconds are left for the end",
            "Kubernetes, \"Pod Lifecycle\", \"Termination of Pods\", step 2",
            spec("restartPolicy: Always\nterminationGracePeriodSeconds: 1", &[], &[c("a", LIVES, &hook("preStop", "echo begun >/proc/1/fd/1; sleep 99"))]),
            vec![Must::Lines(&["a: up", "a: begun", "a: term"]), Must::Event("FailedPreStopHook a", "grace period"), Must::Ended(0, "Succeeded")],
        )
        .then("a: up", Do::Stop(None))
        .scaled(0.8),
        row(
            "the preStop hook is called when a probe's failure ends the container",
            PAGE,
            spec(
                "restartPolicy: Always",
                &[],
                &[c("a", LIVES, &format!("{}, livenessProbe: {{periodSeconds: 1, failureThreshold: 1, initialDelaySeconds: 20, {}}}", hook("preStop", "echo pre >/proc/1/fd/1"), exec("exit 1")))],
            ),
            vec![Must::Order(&["a: up", "a: pre", "a: term", "a: up"])],
        )
        .then("2 x a: up", Do::End),
        row(
            "a preStop hook may sleep",
            PAGE,
            spec("restartPolicy: Always", &[], &[c("a", LIVES, "lifecycle: {preStop: {sleep: {seconds: 50}}}")]),
            vec![Must::Gap("(stop)", "a: term", 50.0), Must::Lines(&["a: up", "a: term"])],
        )
        .then("a: up", Do::Stop(None)),
        // shows: spec.containers[].lifecycle.postStart.sleep.seconds
        row(
            "so may a postStart hook, and the next container waits for it",
            "Kubernetes, \"Container Lifecycle Hooks\", \"Hook handler implementations\"",
            spec("restartPolicy: Always", &[], &[c("a", LIVES, "lifecycle: {postStart: {sleep: {seconds: 50}}}"), c("b", LIVES, "")]),
            vec![Must::Gap("a: up", "b: up", 45.0), Must::Order(&["a: up", "b: up"])],
        )
        .then("b: up", Do::End),
        row(
            "a hook may be an HTTP request to the container",
            PAGE,
            spec(
                "restartPolicy: Always",
                &[],
                &[c(
                    "a",
                    "mkdir /v/cgi-bin; printf '#!/bin/sh\\ntouch /v/bye; printf \"Content-Type: text/plain\\\\r\\\\n\\\\r\\\\nok\"\\n' >/v/cgi-bin/bye; chmod +x /v/cgi-bin/bye; \
                     trap '[ -e /v/bye ] && echo served; exit 0' TERM; httpd -p 8080 -h /v; echo up; while :; do sleep 9 & wait $!; done",
                    "ports: [{name: web, containerPort: 8080}], lifecycle: {preStop: {httpGet: {port: web, path: /cgi-bin/bye}}}",
                )],
            ),
            vec![Must::Lines(&["a: up", "a: served"]), Must::NoEvent("FailedPreStopHook a")],
        )
        .then("a: up", Do::Stop(None)),
    ]
}

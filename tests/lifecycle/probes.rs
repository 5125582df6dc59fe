//! Probes.

use serde_json::json;

use crate::harness::{DEAF, Do, LIVES, Must, Row, c, exec, row, spec};

const PAGE: &str = "Kubernetes, \"Liveness, Readiness, and Startup Probes\"";
const TASK: &str = "Kubernetes, \"Configure Liveness, Readiness and Startup Probes\"";

fn probe(kind: &str, script: &str, more: &str) -> String {
    let more = if more.is_empty() { String::new() } else { format!(", {more}") };
    format!("{kind}Probe: {{periodSeconds: 1, {}{more}}}", exec(script))
}

/// Fails once /v/sick is there, and mends that by failing.
const SICK: &str = "test ! -e /v/sick || { rm /v/sick; false; }";

/// Falls ill in its first run only.
const ILL: &str = "trap 'echo term; exit 0' TERM; echo up; [ -e /v/was ] || touch /v/sick /v/was; while :; do sleep 9 & wait $!; done";

/// A web server whose root is the volume.
const SERVES: &str = "httpd -p 8080 -h /v; echo up; sleep 99";

pub fn rows() -> Vec<Row> {
    let one = |policy: &str, script: &str, fields: &str| {
        spec(&format!("restartPolicy: {policy}"), &[], &[c("c", script, fields)])
    };
    let quick = |spec: String| spec.replace("3000", "0");
    vec![
        // shows: spec.containers[].livenessProbe.exec.command
        row(
            "a liveness probe's failure kills the container, and it is restarted",
            PAGE,
            one("Always", ILL, &probe("liveness", SICK, "failureThreshold: 1")),
            vec![
                Must::Events(&["Unhealthy c", "Killing c", "Started c"]),
                Must::Event("Unhealthy c", "Liveness probe failed: "),
                Must::Event("Killing c", "Container c failed liveness probe, will be restarted"),
                Must::Order(&["c: up", "c: term", "c: up"]),
                Must::Looked("/containerStatuses/0/restartCount", json!(1)),
            ],
        )
        .then("2 x c: up", Do::Look)
        .then("c: up", Do::End),
        row(
            "in a pod with policy Never it ends the container for good",
            "kubelet, kuberuntime_manager.go, computePodActions",
            one("Never", &ILL.replace("exit 0", "exit 8"), &probe("liveness", SICK, "failureThreshold: 1")),
            vec![Must::Event("Killing c", "Container c failed liveness probe"), Must::Times("c: up", 1), Must::Ended(8, "Failed")],
        ),
        row(
            "with policy OnFailure it restarts though the container ends with 0 when it is asked to",
            "kubelet, kuberuntime_manager.go, computePodActions",
            one("OnFailure", ILL, &probe("liveness", SICK, "failureThreshold: 1")),
            vec![Must::Order(&["c: up", "c: term", "c: up"]), Must::Looked("/containerStatuses/0/lastState/terminated/exitCode", json!(0))],
        )
        .then("2 x c: up", Do::Look)
        .then("c: up", Do::End),
        // shows: spec.containers[].readinessProbe
        row(
            "a readiness probe's failure makes the pod unready and restarts nothing",
            PAGE,
            one("Always", "trap 'rm /v/ok' USR1; touch /v/ok; echo up; while :; do sleep 9 & wait $!; done", &probe("readiness", "test -e /v/ok", "failureThreshold: 1")),
            vec![
                Must::States(&["ready", "no longer ready"]),
                Must::Event("Unhealthy c", "Readiness probe failed: "),
                Must::NoEvent("Killing c"),
                Must::Condition("Ready", "False"),
                Must::Condition("ContainersReady", "False"),
                Must::Looked("/containerStatuses/0/started", json!(true)),
                Must::Looked("/containerStatuses/0/restartCount", json!(0)),
            ],
        )
        .then("ready", Do::Signal("c", 10))
        .then("no longer ready", Do::Look)
        .then("c: up", Do::End),
        row(
            "a container is unready before its readiness probe has succeeded",
            PAGE,
            one("Always", "trap 'touch /v/ok' USR1; echo up; while :; do sleep 9 & wait $!; done", &probe("readiness", "test -e /v/ok", "failureThreshold: 1000")),
            vec![Must::States(&["not ready", "ready"]), Must::Condition("Ready", "False"), Must::Looked("/phase", json!("Running"))],
        )
        .then("c: up", Do::Look)
        .then("Unhealthy c", Do::Signal("c", 10))
        .then("ready", Do::End),
        // shows: spec.containers[].livenessProbe.successThreshold
        row(
            "successThreshold counts successes in a row",
            TASK,
            one("Always", "trap 'echo n $(wc -l </v/n)' USR1; echo up; while :; do sleep 9 & wait $!; done", &probe("readiness", "echo >>/v/n", "successThreshold: 3, periodSeconds: 100").replace("periodSeconds: 1, ", "")),
            vec![Must::Lines(&["c: up", "c: n 3"])],
        )
        .then("ready", Do::Signal("c", 10))
        .then("c: n", Do::End),
        // shows: spec.containers[].livenessProbe.failureThreshold
        row(
            "failureThreshold counts failures in a row, and nothing is tried after the last",
            TASK,
            one("Never", "trap 'sleep 0.3; echo n $(wc -l </v/n); exit 1' TERM; echo up; while :; do sleep 9 & wait $!; done", &probe("liveness", "echo >>/v/n; exit 1", "failureThreshold: 4")),
            vec![Must::Lines(&["c: up", "c: n 4"]), Must::Ended(1, "Failed")],
        ),
        row(
            "a success between failures begins the count anew",
            TASK,
            one("Never", "echo up; until [ -e /v/n ] && [ $(wc -l </v/n) -ge 9 ]; do sleep 0.02; done", &probe("liveness", "echo >>/v/n; [ $(($(wc -l </v/n) % 2)) = 0 ]", "failureThreshold: 2")),
            vec![Must::NoEvent("Killing c"), Must::Ended(0, "Succeeded")],
        ),
        // shows: spec.containers[].livenessProbe.initialDelaySeconds
        row(
            "the first attempt waits for initialDelaySeconds",
            TASK,
            one("Always", LIVES, &probe("readiness", "echo probed >/proc/1/fd/1", "initialDelaySeconds: 40")),
            vec![Must::Gap("c: up", "c: probed", 38.0)],
        )
        .scaled(0.05)
        .then("c: probed", Do::End),
        // shows: spec.containers[].livenessProbe.periodSeconds
        row(
            "periodSeconds lie between two attempts",
            TASK,
            one("Always", LIVES, &probe("readiness", "echo probed >/proc/1/fd/1", "").replace("periodSeconds: 1", "periodSeconds: 40")),
            vec![Must::Gap("c: probed", "c: probed", 36.0)],
        )
        .scaled(0.05)
        .then("2 x c: probed", Do::End),
        // shows: spec.containers[].startupProbe
        row(
            "a startup probe keeps the others back until it succeeds",
            PAGE,
            one(
                "Always",
                "echo up; sleep 2; echo open; touch /v/open; sleep 99",
                &format!(
                    "{}, {}, {}",
                    probe("startup", "test -e /v/open", "failureThreshold: 9999"),
                    probe("liveness", "[ -e /v/open ] && echo alive >/proc/1/fd/1 || echo early >/proc/1/fd/1", ""),
                    probe("readiness", "[ -e /v/open ] || echo early >/proc/1/fd/1", "")
                ),
            ),
            vec![
                Must::Order(&["c: up", "c: open", "c: alive"]),
                Must::NoLine("c: early"),
                Must::Looked("/containerStatuses/0/started", json!(false)),
                Must::Looked("/containerStatuses/0/ready", json!(false)),
                Must::Condition("Ready", "False"),
                Must::States(&["not ready", "ready"]),
            ],
        )
        .then("c: up", Do::Look)
        .then("c: alive", Do::Nothing)
        .then("ready", Do::End),
        row(
            "a startup probe is not made again once it has succeeded",
            PAGE,
            one("Never", "echo up; sleep 0.5; wc -l </v/n", &probe("startup", "echo >>/v/n", "")),
            vec![Must::Lines(&["c: up", "c: 1"])],
        ),
        // shows: spec.containers[].startupProbe
        row(
            "a container has failureThreshold × periodSeconds to start, then it is killed and restarted",
            PAGE,
            one("Always", LIVES, &probe("startup", "exit 1", "failureThreshold: 30")),
            vec![
                Must::Gap("c: up", "c: term", 28.0),
                Must::Event("Unhealthy c", "Startup probe failed: "),
                Must::Event("Killing c", "Container c failed startup probe, will be restarted"),
                Must::Events(&["Killing c", "Started c"]),
            ],
        )
        .then("BackOff c", Do::End)
        .scaled(0.01),
        // shows: spec.containers[].livenessProbe.timeoutSeconds
        row(
            "an attempt that takes longer than timeoutSeconds has failed",
            TASK,
            one("Always", LIVES, &probe("readiness", "sleep 99", "timeoutSeconds: 1")),
            vec![Must::Event("Unhealthy c", "timed out")],
        )
        .then("Unhealthy c", Do::End),
        // shows: spec.containers[].livenessProbe.terminationGracePeriodSeconds
        row(
            "a probe's own grace period takes the place of the pod's",
            TASK,
            one("Always", &DEAF.replace("echo up;", "echo up; [ -e /v/was ] || touch /v/sick /v/was;"), &probe("liveness", SICK, "failureThreshold: 1, terminationGracePeriodSeconds: 10")),
            vec![Must::Order(&["c: up", "c: term", "c: up"]), Must::Looked("/containerStatuses/0/lastState/terminated/exitCode", json!(137))],
        )
        .then("2 x c: up", Do::Look)
        .then("c: up", Do::End),
        row(
            "and so does a startup probe's",
            TASK,
            one("Always", DEAF, &probe("startup", "exit 1", "failureThreshold: 1, terminationGracePeriodSeconds: 10")),
            vec![Must::Order(&["c: up", "c: term", "c: up"]), Must::Looked("/containerStatuses/0/lastState/terminated/exitCode", json!(137))],
        )
        .then("2 x c: up", Do::Look)
        .then("c: up", Do::End),
        row(
            "no probe kills a container of a pod that ends",
            "kubelet, prober/worker.go, doProbe",
            one("Always", "trap 'touch /v/sick; sleep 0.5; exit 0' TERM; echo up; while :; do sleep 9 & wait $!; done", &probe("liveness", "test ! -e /v/sick", "failureThreshold: 1")),
            vec![Must::NoEvent("Unhealthy c"), Must::Event("Killing c", "Stopping container c"), Must::Ended(0, "Succeeded")],
        )
        .then("c: up", Do::Stop(None)),
        // shows: spec.containers[].livenessProbe.httpGet.port
        row(
            "httpGet: 200 to 399 is success, by the name of a port",
            TASK,
            quick(one("Always", &format!("echo ok >/v/ok; {SERVES}"), "ports: [{name: web, containerPort: 8080}], readinessProbe: {periodSeconds: 1, httpGet: {port: web, path: /ok}}")),
            vec![Must::States(&["ready"])],
        )
        .then("ready", Do::End),
        // shows: spec.containers[].livenessProbe.httpGet.path
        row(
            "httpGet: another status is failure",
            TASK,
            quick(one("Always", SERVES, "readinessProbe: {periodSeconds: 1, httpGet: {port: 8080, path: /none}}")),
            vec![Must::Event("Unhealthy c", "Readiness probe failed: HTTP probe failed with statuscode: 404")],
        )
        .then("statuscode", Do::End),
        // shows: spec.containers[].livenessProbe.tcpSocket.port
        row(
            "tcpSocket: a connection is success",
            TASK,
            quick(one("Always", SERVES, "readinessProbe: {periodSeconds: 1, tcpSocket: {port: 8080}}")),
            vec![Must::States(&["ready"])],
        )
        .then("ready", Do::End),
        // shows: spec.containers[].livenessProbe.tcpSocket.port
        row(
            "tcpSocket: none is failure",
            TASK,
            one("Always", LIVES, "readinessProbe: {periodSeconds: 1, tcpSocket: {port: 9}}"),
            vec![Must::Event("Unhealthy c", "Readiness probe failed: dial tcp 127.0.0.1:9: connect: connection refused")],
        )
        .then("Unhealthy c", Do::End),
        row(
            "grpc: what does not answer is failure",
            TASK,
            one("Always", LIVES, "readinessProbe: {periodSeconds: 1, grpc: {port: 9}}"),
            vec![Must::Event("Unhealthy c", "Readiness probe failed: ")],
        )
        .then("Unhealthy c", Do::End),
        row(
            "without probes a container is ready and started as soon as it runs",
            PAGE,
            one("Always", LIVES, ""),
            vec![Must::States(&["ready"]), Must::Looked("/containerStatuses/0/started", json!(true))],
        )
        .then("ready", Do::Look)
        .then("ready", Do::End),
    ]
}

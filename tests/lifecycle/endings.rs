//! The end of pods.

use serde_json::json;

use crate::harness::{DEAF, Do, LIVES, Must, Row, c, exec, row, spec};

const PAGE: &str = "Kubernetes, \"Pod Lifecycle\", \"Termination of Pods\"";

pub fn rows() -> Vec<Row> {
    vec![
        row(
            "the containers are sent SIGTERM, and the pod is Terminating meanwhile",
            PAGE,
            spec("restartPolicy: Always", &[], &[c("c", "trap 'echo term; sleep 0.3; exit 0' TERM; echo up; while :; do sleep 9 & wait $!; done", "")]),
            vec![
                Must::Lines(&["c: up", "c: term"]),
                Must::Event("Killing c", "Stopping container c"),
                Must::States(&["Running", "Terminating"]),
                Must::Ended(0, "Succeeded"),
            ],
        )
        .then("c: up", Do::Stop(None)),
        // shows: spec.terminationGracePeriodSeconds
        row(
            "what still runs after the grace period is killed",
            PAGE,
            spec("restartPolicy: Always\nterminationGracePeriodSeconds: 20", &[], &[c("c", DEAF, "")]),
            vec![
                Must::Lines(&["c: up", "c: term"]),
                Must::Ended(137, "Failed"),
                Must::Last("/containerStatuses/0/state/terminated/exitCode", json!(137)),
                Must::Last("/containerStatuses/0/state/terminated/reason", json!("Error")),
            ],
        )
        .then("c: up", Do::Stop(None)),
        row(
            "a grace period of zero kills at once",
            "Kubernetes API, terminationGracePeriodSeconds",
            spec("restartPolicy: Always\nterminationGracePeriodSeconds: 0", &[], &[c("c", LIVES, "")]),
            vec![Must::Lines(&["c: up"]), Must::Ended(137, "Failed")],
        )
        .then("c: up", Do::Stop(None)),
        row(
            "who stops the pod may give it less time",
            PAGE,
            spec("restartPolicy: Always", &[], &[c("c", DEAF, "")]),
            vec![Must::Lines(&["c: up", "c: term"]), Must::Ended(137, "Failed")],
        )
        .then("c: up", Do::Stop(Some(20))),
        row(
            "a container that ends while its pod is Terminating does not start again",
            PAGE,
            spec("restartPolicy: Always", &[], &[c("a", "trap 'exit 3' TERM; echo up; while :; do sleep 9 & wait $!; done", ""), c("b", "trap 'sleep 0.5; exit 0' TERM; echo up; while :; do sleep 9 & wait $!; done", "")]),
            vec![Must::Times("a: up", 1), Must::Last("/containerStatuses/0/restartCount", json!(0)), Must::Ended(3, "Failed")],
        )
        .then("a: up", Do::Nothing)
        .then("b: up", Do::Stop(None)),
        row(
            "a container in its back-off is not waited for, and has failed",
            PAGE,
            spec("restartPolicy: Always", &[], &[c("c", "echo run; exit 6", "")]),
            vec![Must::Ended(6, "Failed"), Must::Last("/containerStatuses/0/state/terminated/exitCode", json!(6))],
        )
        .then("BackOff c", Do::Stop(None))
        .scaled(1.0),
        // shows: spec.containers[].lifecycle.stopSignal
        row(
            "lifecycle.stopSignal takes the place of the image's",
            "Kubernetes, \"Container Lifecycle Hooks\", \"Stop signals\"",
            spec(
                "restartPolicy: Always\nos: {name: linux}",
                &[],
                &[c("c", "trap 'echo usr1; exit 0' USR1; trap 'echo term; exit 1' TERM; echo up; while :; do sleep 9 & wait $!; done", "lifecycle: {stopSignal: SIGUSR1}")],
            ),
            vec![Must::Lines(&["c: up", "c: usr1"]), Must::Ended(0, "Succeeded")],
        )
        .then("c: up", Do::Stop(None)),
        // shows: spec.activeDeadlineSeconds
        row(
            "activeDeadlineSeconds ends a pod that runs, gracefully, and it has failed though its containers end with 0",
            "Kubernetes API, activeDeadlineSeconds; kubelet, active_deadline.go",
            spec("restartPolicy: Always\nactiveDeadlineSeconds: 30", &[], &[c("c", LIVES, "")]),
            vec![
                Must::Lines(&["c: up", "c: term"]),
                Must::Ended(124, "Failed"),
                Must::States(&["DeadlineExceeded"]),
                Must::Last("/reason", json!("DeadlineExceeded")),
                Must::Last("/message", json!("Pod was active on the node longer than the specified deadline")),
                Must::Last("/containerStatuses/0/state/terminated/exitCode", json!(0)),
            ],
        ),
        row(
            "a pod that is stopped during its init containers does not start the others",
            PAGE,
            spec("restartPolicy: Always", &[c("a", LIVES, "")], &[c("c", "echo c", "")]),
            vec![Must::Lines(&["a: up", "a: term"]), Must::NoEvent("Started c"), Must::Ended(143, "Failed")],
        )
        .then("a: up", Do::Stop(None)),
        row(
            "a container that is killed by a signal has 128 + its number, and its policy decides",
            "Kubernetes, \"Pod Lifecycle\", \"Container restart policy\"",
            spec("restartPolicy: OnFailure", &[], &[c("c", "echo x >>/v/n; [ $(wc -l </v/n) = 2 ] && exit 0; echo up; sleep 99", "")]),
            vec![
                Must::Last("/containerStatuses/0/lastState/terminated/exitCode", json!(137)),
                Must::Last("/containerStatuses/0/restartCount", json!(1)),
                Must::NoEvent("Killing c"),
                Must::Ended(0, "Succeeded"),
            ],
        )
        .then("c: up", Do::Signal("c", 9)),
        row(
            "an ended pod is not ready",
            PAGE,
            spec("restartPolicy: Always", &[], &[c("c", LIVES, &format!("readinessProbe: {{periodSeconds: 1, {}}}", exec("true")))]),
            vec![Must::States(&["ready"]), Must::Last("/containerStatuses/0/ready", json!(false)), Must::Last("/conditions/2/status", json!("False"))],
        )
        .then("ready", Do::Stop(None)),
    ]
}

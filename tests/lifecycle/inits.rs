//! Init containers.

use serde_json::json;

use crate::harness::{Do, LIVES, Must, Row, c, row, spec};

const PAGE: &str = "Kubernetes, \"Init Containers\"";

/// Fails as often as it says before it succeeds.
fn fails(times: u32, code: u8) -> String {
    format!("echo x >>/v/$HOSTNAME.n; n=$(wc -l </v/$HOSTNAME.n); echo try $n; [ $n -gt {times} ] || exit {code}")
}

pub fn rows() -> Vec<Row> {
    vec![
        // shows: spec.initContainers
        row(
            "init containers run to completion one after the other, before the others start",
            PAGE,
            spec(
                "restartPolicy: Never",
                &[c("a", "sleep 0.2; echo 1", ""), c("b", "echo 2", "")],
                &[c("c", "echo 3", "")],
            ),
            vec![
                Must::Lines(&["a: 1", "b: 2", "c: 3"]),
                Must::Events(&["Created a", "Started a", "Created b", "Started b", "Created c", "Started c"]),
                Must::Ended(0, "Succeeded"),
                Must::Last("/initContainerStatuses/0/ready", json!(true)),
                Must::Last("/initContainerStatuses/0/state/terminated/reason", json!("Completed")),
            ],
        ),
        row(
            "an init container that fails in a pod with policy Never fails the pod",
            PAGE,
            spec("restartPolicy: Never", &[c("a", "exit 7", ""), c("b", "echo b", "")], &[c("c", "echo c", "")]),
            vec![
                Must::Lines(&[]),
                Must::NoEvent("Started b"),
                Must::NoEvent("Started c"),
                Must::States(&["Init:Error"]),
                Must::Ended(7, "Failed"),
                Must::Last("/containerStatuses/0/state/waiting/reason", json!("PodInitializing")),
                Must::Last("/initContainerStatuses/0/state/terminated/exitCode", json!(7)),
            ],
        ),
        row(
            "with policy Always an init container is tried again until it succeeds, with a back-off",
            PAGE,
            spec("restartPolicy: Always", &[c("a", &fails(2, 1), "")], &[c("c", LIVES, "")]),
            vec![
                Must::Order(&["a: try 1", "a: try 2", "a: try 3", "c: up"]),
                Must::Gap("a: try 2", "a: try 3", 10.0),
                Must::States(&["Init:CrashLoopBackOff", "Running"]),
                Must::Event("BackOff a", "Back-off restarting failed container a in pod"),
                Must::Looked("/initContainerStatuses/0/restartCount", json!(2)),
                Must::Looked("/initContainerStatuses/0/ready", json!(true)),
            ],
        )
        .then("c: up", Do::Look)
        .then("ready", Do::End),
        row(
            "with policy OnFailure, too",
            PAGE,
            spec("restartPolicy: OnFailure", &[c("a", &fails(1, 1), "")], &[c("c", "echo c", "")]),
            vec![Must::Lines(&["a: try 1", "a: try 2", "c: c"]), Must::Ended(0, "Succeeded")],
        ),
        row(
            "one that has succeeded does not run again when the others restart",
            PAGE,
            spec("restartPolicy: Always", &[c("a", "echo once", "")], &[c("c", &fails(9, 1), "")]),
            vec![Must::Times("a: once", 1), Must::Order(&["a: once", "c: try 1", "c: try 2", "c: try 3"])],
        )
        .then("c: try 3", Do::End),
        row(
            "while they run the pod is Pending and not Initialized, and STATUS counts them",
            "Kubernetes, \"Pod Lifecycle\", \"Pod conditions\"; kubectl's printers",
            spec(
                "restartPolicy: Never",
                &[c("a", "echo a", ""), c("b", "echo b; sleep 0.5", "")],
                &[c("c", "echo c", "")],
            ),
            vec![
                Must::States(&["Init:1/2", "Completed"]),
                Must::Looked("/phase", json!("Pending")),
                Must::Condition("Initialized", "False"),
                Must::Condition("PodScheduled", "True"),
                Must::Condition("PodReadyToStartContainers", "True"),
                Must::Condition("Ready", "False"),
                Must::Condition("ContainersReady", "False"),
                Must::Looked("/containerStatuses/0/state/waiting/reason", json!("PodInitializing")),
                Must::Looked("/containerStatuses/0/ready", json!(false)),
                Must::Looked("/conditions/1/message", json!("containers with incomplete status: [b]")),
                Must::Last("/conditions/1/reason", json!("PodCompleted")),
            ],
        )
        .then("b: b", Do::Look),
        row(
            "what one writes to a volume the others find",
            PAGE,
            spec("restartPolicy: Never", &[c("a", "echo left >/v/x", "")], &[c("c", "cat /v/x", "")]),
            vec![Must::Lines(&["c: left"])],
        ),
        row(
            "its own restartPolicy Never fails a pod with policy Always",
            "Kubernetes, \"Pod Lifecycle\", \"Container-level restart policy\"",
            spec("restartPolicy: Always", &[c("a", "exit 3", "restartPolicy: Never")], &[c("c", LIVES, "")]),
            vec![Must::NoEvent("Started c"), Must::Ended(3, "Failed")],
        ),
        row(
            "its restartPolicyRules try it again for the codes that they name, and for no other",
            "Kubernetes, \"Pod Lifecycle\", \"Individual container restart policy and rules\"",
            spec(
                "restartPolicy: Never",
                &[c(
                    "a",
                    "echo x >>/v/n; n=$(wc -l </v/n); echo try $n; [ $n = 1 ] && exit 42; exit 43",
                    "restartPolicy: Never, restartPolicyRules: [{action: Restart, exitCodes: {operator: In, values: [42]}}]",
                )],
                &[c("c", "echo c", "")],
            ),
            vec![Must::Lines(&["a: try 1", "a: try 2"]), Must::Ended(43, "Failed")],
        ),
        row(
            "a rule about code 0 does not repeat one that has succeeded",
            "kubelet, kuberuntime_container.go, computeInitContainerActions",
            spec(
                "restartPolicy: Never",
                &[c(
                    "a",
                    "echo a",
                    "restartPolicy: Never, restartPolicyRules: [{action: Restart, exitCodes: {operator: In, values: [0]}}]",
                )],
                &[c("c", "echo c", "")],
            ),
            vec![Must::Lines(&["a: a", "c: c"]), Must::Ended(0, "Succeeded")],
        ),
        row(
            "activeDeadlineSeconds counts their time, too",
            PAGE,
            spec("restartPolicy: Never\nactiveDeadlineSeconds: 20", &[c("a", LIVES, "")], &[c("c", "echo c", "")]),
            vec![
                Must::NoEvent("Started c"),
                Must::Event("DeadlineExceeded", "Pod was active on the node longer than the specified deadline"),
                Must::Ended(124, "Failed"),
                Must::Last("/reason", json!("DeadlineExceeded")),
            ],
        ),
    ]
}

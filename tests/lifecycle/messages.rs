//! Termination messages.

use serde_json::{Value, json};

use crate::harness::{Must, Row, c, row, spec};

const PAGE: &str = "Kubernetes, \"Determine the Reason for Pod Failure\"";
const MESSAGE: &str = "/containerStatuses/0/state/terminated/message";
const FALLBACK: &str = "terminationMessagePolicy: FallbackToLogsOnError";

pub fn rows() -> Vec<Row> {
    let one = |script: &str, fields: &str| spec("restartPolicy: Never", &[], &[c("c", script, fields)]);
    let lines: String = (921..=1000).map(|n| format!("{n}\n")).collect();
    vec![
        // shows: spec.containers[].terminationMessagePath
        row(
            "a message is read from /dev/termination-log",
            PAGE,
            one("echo -n bye >/dev/termination-log; exit 3", ""),
            vec![Must::Last(MESSAGE, json!("bye"))],
        ),
        row(
            "on success, too",
            PAGE,
            one("echo -n fine >/dev/termination-log", ""),
            vec![Must::Last(MESSAGE, json!("fine"))],
        ),
        // shows: spec.containers[].terminationMessagePath
        row(
            "terminationMessagePath names another file",
            PAGE,
            one("echo -n bye >/tmp/my-log", "terminationMessagePath: /tmp/my-log"),
            vec![Must::Last(MESSAGE, json!("bye"))],
        ),
        row(
            "of a long message the last 4096 bytes count",
            "kubelet, kuberuntime_container.go, getTerminationMessage",
            one("(head -c 5000 /dev/zero | tr '\\0' a; echo -n END) >/dev/termination-log", ""),
            vec![Must::Last(MESSAGE, json!(format!("{}END", "a".repeat(4093))))],
        ),
        row(
            "without a message there is none, whatever was printed",
            PAGE,
            one("echo printed; exit 1", ""),
            vec![Must::Last(MESSAGE, Value::Null)],
        ),
        // shows: spec.containers[].terminationMessagePolicy
        row(
            "FallbackToLogsOnError takes the end of the log of a container that failed",
            PAGE,
            one("echo one; echo two >&2; exit 1", FALLBACK),
            vec![Must::Last(MESSAGE, json!("one\ntwo\n"))],
        ),
        row("and of none that succeeded", PAGE, one("echo one", FALLBACK), vec![Must::Last(MESSAGE, Value::Null)]),
        // shows: spec.containers[].terminationMessagePolicy
        row(
            "a message wins over the log",
            PAGE,
            one("echo one; echo -n mine >/dev/termination-log; exit 1", FALLBACK),
            vec![Must::Last(MESSAGE, json!("mine"))],
        ),
        row(
            "of the log at most 80 lines",
            PAGE,
            one("seq 1000; exit 1", FALLBACK),
            vec![Must::Last(MESSAGE, json!(lines))],
        ),
        row(
            "and at most 2048 bytes",
            PAGE,
            one("for i in 1 2 3; do head -c 999 /dev/zero | tr '\\0' $i; echo; done; exit 1", FALLBACK),
            vec![Must::Last(MESSAGE, json!(format!("{}\n{}\n{}\n", "1".repeat(47), "2".repeat(999), "3".repeat(999))))],
        ),
        row(
            "after a restart the message is that of lastState, and the file is empty again",
            PAGE,
            spec(
                "restartPolicy: OnFailure",
                &[],
                &[c(
                    "c",
                    "echo x >>/v/n; wc -c </dev/termination-log; [ $(wc -l </v/n) = 2 ] && exit 0; echo -n first >/dev/termination-log; exit 1",
                    "",
                )],
            ),
            vec![
                Must::Lines(&["c: 0", "c: 0"]),
                Must::Last("/containerStatuses/0/lastState/terminated/message", json!("first")),
                Must::Last(MESSAGE, Value::Null),
            ],
        ),
        row(
            "all messages of a pod have 12 KiB together, each container the same share",
            PAGE,
            spec(
                "restartPolicy: Never",
                &[],
                &["a", "b", "d", "e", "f", "g"].map(|name| {
                    c(name, "(echo -n BEGIN; head -c 4000 /dev/zero | tr '\\0' a) >/dev/termination-log", "")
                }),
            ),
            vec![Must::Last(MESSAGE, json!(format!("BEGIN{}", "a".repeat(2043))))],
        ),
        row(
            "an init container has one, too",
            PAGE,
            spec(
                "restartPolicy: Never",
                &[c("a", "echo -n no >/dev/termination-log; exit 1", "")],
                &[c("c", "true", "")],
            ),
            vec![Must::Last("/initContainerStatuses/0/state/terminated/message", json!("no"))],
        ),
    ]
}

//! `shareProcessNamespace`, and what a container's standard input is.

use serde_json::json;

use crate::harness::{Do, Must, Row, c, row, spec};

const SHARED: &str = "Kubernetes, \"Share Process Namespace between Containers in a Pod\"";
const INPUT: &str = "Kubernetes API, stdin, stdinOnce, tty";

pub fn rows() -> Vec<Row> {
    let shared = |containers: &[String]| spec("restartPolicy: Never\nshareProcessNamespace: true", &[], containers);
    let find = |word: &str| {
        format!("until grep -l {word} /proc/[0-9]*/cmdline 2>/dev/null | grep -qv /proc/$$/; do sleep 0.02; done")
    };
    let gone = |word: &str| {
        format!("while grep -l {word} /proc/[0-9]*/cmdline 2>/dev/null | grep -qv /proc/$$/; do sleep 0.02; done")
    };
    vec![
        row(
            "a container's own process is PID 1 where processes are not shared",
            SHARED,
            spec("restartPolicy: Never", &[], &[c("c", "echo $$; ls -d /proc/[0-9]* | wc -l", "")]),
            vec![Must::Order(&["c: 1"])],
        ),
        // shows: spec.shareProcessNamespace
        row(
            "in a shared process namespace PID 1 is pause",
            SHARED,
            shared(&[c("c", "cat /proc/1/comm; [ $$ = 1 ] || echo other", "")]),
            vec![Must::Lines(&["c: pause", "c: other"]), Must::Ended(0, "Succeeded")],
        ),
        // shows: spec.shareProcessNamespace
        row(
            "the processes of the other containers are seen",
            SHARED,
            shared(&[c("a", "touch /v/a; exec sleep 4242", ""), c("b", &format!("{}; echo seen", find("[4]242")), "")])
                .replace("3000", "0"),
            vec![Must::Lines(&["b: seen"])],
        )
        .then("b: seen", Do::Stop(None)),
        row(
            "and can be signalled",
            SHARED,
            shared(&[
                c(
                    "a",
                    "trap 'echo term; exit 0' TERM; echo $$ >/v/pid.new; mv /v/pid.new /v/pid; while :; do sleep 9 & wait $!; done",
                    "",
                ),
                c("b", "until [ -e /v/pid ]; do sleep 0.02; done; kill -TERM $(cat /v/pid) && echo sent", ""),
            ]),
            vec![
                Must::Order(&["a: term"]),
                Must::Order(&["b: sent"]),
                Must::NoEvent("Killing a"),
                Must::Ended(0, "Succeeded"),
            ],
        ),
        row(
            "a container's end takes its other processes along",
            SHARED,
            shared(&[
                c("a", "sleep 4343 & until [ -e /v/seen ]; do sleep 0.02; done", ""),
                c("b", &format!("{}; touch /v/seen; {}; echo gone", find("[4]343"), gone("[4]343")), ""),
            ]),
            vec![Must::Lines(&["b: gone"]), Must::Ended(0, "Succeeded")],
        ),
        row(
            "a container starts again in the same process namespace",
            SHARED,
            shared(&[c("a", "cat /proc/1/comm; echo x >>/v/n; [ $(wc -l </v/n) = 2 ]", "restartPolicy: OnFailure")]),
            vec![
                Must::Lines(&["a: pause", "a: pause"]),
                Must::Ended(0, "Succeeded"),
                Must::Last("/containerStatuses/0/restartCount", json!(1)),
            ],
        ),
        row(
            "orphans are reaped",
            SHARED,
            shared(&[c(
                "a",
                "for i in 1 2 3; do (sleep 0.1 &); done; sleep 0.3; while grep -q '^State:.Z' /proc/[0-9]*/status 2>/dev/null; do sleep 0.02; done; echo none",
                "",
            )]),
            vec![Must::Lines(&["a: none"])],
        ),
        row(
            "init containers and sidecars share it, too",
            SHARED,
            spec(
                "restartPolicy: Never\nshareProcessNamespace: true",
                &[c("i", "cat /proc/1/comm", ""), c("s", "exec sleep 4444", "restartPolicy: Always")],
                &[c("c", &format!("{}; echo seen", find("[4]444")), "")],
            )
            .replace("3000", "1"),
            vec![Must::Lines(&["i: pause", "c: seen"]), Must::Ended(0, "Succeeded")],
        ),
        // shows: spec.containers[].stdin
        row(
            "without stdin the input is empty",
            INPUT,
            spec("restartPolicy: Never", &[], &[c("c", "timeout 5 cat && echo end", "")]),
            vec![Must::Lines(&["c: end"])],
        ),
        // shows: spec.containers[].stdin
        row(
            "with stdin it stays open though nobody is attached",
            INPUT,
            spec("restartPolicy: Never", &[], &[c("c", "timeout 1 cat && echo end || echo open", "stdin: true")]),
            vec![Must::Order(&["c: open"]), Must::NoLine("c: end")],
        ),
        // shows: spec.containers[].stdinOnce
        row(
            "with stdinOnce, too, until somebody has been",
            INPUT,
            spec(
                "restartPolicy: Never",
                &[],
                &[c("c", "timeout 1 cat && echo end || echo open", "stdin: true, stdinOnce: true")],
            ),
            vec![Must::Order(&["c: open"]), Must::NoLine("c: end")],
        ),
        // shows: spec.containers[].tty
        row(
            "with tty the container has a terminal",
            INPUT,
            spec(
                "restartPolicy: Never",
                &[],
                &[c("c", "test -t 0 && test -t 1 && test -t 2 && echo terminal", "stdin: true, tty: true")],
            ),
            vec![Must::Lines(&["c: terminal"])],
        ),
        row(
            "and without it none",
            INPUT,
            spec("restartPolicy: Never", &[], &[c("c", "test -t 0 || test -t 1 || echo none", "")]),
            vec![Must::Lines(&["c: none"])],
        ),
    ]
}

//! Sidecars: init containers with `restartPolicy: Always`.

use serde_json::json;

use crate::harness::{DEAF, Do, LIVES, Must, Row, c, exec, row, spec};

const PAGE: &str = "Kubernetes, \"Sidecar Containers\"";
const ENDING: &str = "Kubernetes, \"Pod Lifecycle\", \"Termination of Pods\", \"Pod shutdown and sidecar containers\"";

fn sidecar(name: &str, script: &str, fields: &str) -> String {
    let fields = if fields.is_empty() { String::new() } else { format!(", {fields}") };
    c(name, script, &format!("restartPolicy: Always{fields}"))
}

/// Runs until it is asked to end; /v/NAME is there from then on when it can be asked.
fn lives(name: &str, code: u8) -> String {
    format!("trap 'echo term; exit {code}' TERM; echo up; touch /v/{name}; while :; do sleep 9 & wait $!; done")
}

const UNTIL: &str = "until [ -e /v/s ]; do sleep 0.02; done; ";

pub fn rows() -> Vec<Row> {
    vec![
        // shows: spec.initContainers, spec.containers[].restartPolicy
        row(
            "a sidecar starts before the containers and goes on beside them",
            PAGE,
            spec("restartPolicy: Never", &[sidecar("s", &lives("s", 0), "")], &[c("c", &format!("{UNTIL}echo met"), "")]),
            vec![
                Must::Events(&["Started s", "Started c"]),
                Must::Order(&["s: up", "c: met", "s: term"]),
                Must::Event("Killing s", "Stopping container s"),
                Must::Ended(0, "Succeeded"),
            ],
        ),
        row(
            "sidecars and init containers start in the order of the YAML",
            PAGE,
            spec(
                "restartPolicy: Never",
                &[sidecar("s", &lives("s", 0), ""), c("b", &format!("{UNTIL}echo b"), ""), sidecar("t", &lives("t", 0), "")],
                &[c("c", "until [ -e /v/t ]; do sleep 0.02; done; echo c", "")],
            ),
            vec![Must::Events(&["Started s", "Started b", "Started t", "Started c"]), Must::Order(&["s: up", "b: b", "t: up", "c: c"])],
        ),
        row(
            "a sidecar's startup probe keeps the next container until it succeeds",
            PAGE,
            spec(
                "restartPolicy: Never",
                &[sidecar(
                    "s",
                    "echo up; sleep 0.4; echo open; touch /v/open; sleep 99",
                    &format!("startupProbe: {{periodSeconds: 1, failureThreshold: 5000, {}}}", exec("test -e /v/open")),
                )],
                &[c("c", "echo c", "")],
            )
            .replace("3000", "0"),
            vec![
                Must::Order(&["s: up", "s: open", "c: c"]),
                Must::States(&["Init:0/1"]),
                Must::Looked("/phase", json!("Pending")),
                Must::Condition("Initialized", "False"),
                Must::Looked("/initContainerStatuses/0/started", json!(false)),
            ],
        )
        .then("s: up", Do::Look),
        row(
            "a sidecar whose startup probe never succeeds is restarted, and nothing after it starts",
            PAGE,
            spec(
                "restartPolicy: Never",
                &[sidecar("s", LIVES, &format!("startupProbe: {{periodSeconds: 1, failureThreshold: 2, {}}}", exec("exit 1")))],
                &[c("c", "echo c", "")],
            ),
            vec![
                Must::Events(&["Unhealthy s", "Killing s", "Started s"]),
                Must::Event("Killing s", "Init container s failed startup probe"),
                Must::NoEvent("Started c"),
                Must::Looked("/phase", json!("Pending")),
                Must::Order(&["s: up", "s: term", "s: up"]),
            ],
        )
        .then("BackOff s", Do::Look)
        .then("BackOff s", Do::End)
        // Restarted at once as long as it lives for longer than its wait, it comes to a back-off when the wait has grown.
        .scaled(0.05),
        row(
            "a sidecar without a startup probe that ends at once does not keep the others",
            PAGE,
            spec("restartPolicy: Never", &[sidecar("s", "echo run; exit 1", "")], &[c("c", "echo c; until [ -e /v/x ]; do sleep 0.5; touch /v/x; done", "")]),
            vec![Must::Order(&["s: run", "c: c"]), Must::Ended(0, "Succeeded"), Must::Event("BackOff s", "failed container s")],
        ),
        row(
            "a sidecar's exit code never fails the pod",
            PAGE,
            spec("restartPolicy: Never", &[sidecar("s", &lives("s", 9), "")], &[c("c", UNTIL.trim_end_matches("; "), "")]),
            vec![
                Must::Order(&["s: up", "s: term"]),
                Must::Ended(0, "Succeeded"),
                Must::States(&["Completed"]),
                Must::Last("/initContainerStatuses/0/state/terminated/exitCode", json!(9)),
            ],
        ),
        row(
            "a sidecar that ends starts again whatever the pod's policy",
            PAGE,
            spec(
                "restartPolicy: Never",
                &[sidecar("s", "echo x >>/v/n; echo run; sleep 0.1", "")],
                &[c("c", "until [ $(wc -l </v/n) = 3 ]; do sleep 0.02; done; echo three", "")],
            ),
            vec![Must::Order(&["s: run", "s: run", "s: run", "c: three"]), Must::Ended(0, "Succeeded")],
        ),
        row(
            "a sidecar that ends while a later init container runs starts again",
            "kubelet, kuberuntime_container.go, computeInitContainerActions",
            spec(
                "restartPolicy: Never",
                &[
                    sidecar("s", "echo x >>/v/n; echo run; [ $(wc -l </v/n) = 1 ] && exit 1; sleep 99", ""),
                    c("b", "until [ -e /v/n ] && [ $(wc -l </v/n) = 2 ]; do sleep 0.02; done; echo b", ""),
                ],
                &[c("c", "echo c", "")],
            )
            .replace("3000", "0"),
            vec![Must::Order(&["s: run", "s: run", "b: b", "c: c"]), Must::Ended(0, "Succeeded")],
        ),
        row(
            "sidecars are asked to end when the others have ended, the last one first",
            ENDING,
            spec("restartPolicy: Always", &[sidecar("s", LIVES, ""), sidecar("t", LIVES, "")], &[c("c", LIVES, "")]),
            vec![
                Must::Order(&["c: term", "t: term", "s: term"]),
                Must::States(&["Running", "Terminating"]),
                Must::Ended(0, "Succeeded"),
            ],
        )
        .then("s: up", Do::Nothing)
        .then("t: up", Do::Nothing)
        .then("c: up", Do::Stop(None)),
        row(
            "the preStop hooks of sidecars begin at once, while the others still end",
            ENDING,
            spec(
                "restartPolicy: Always",
                &[sidecar("s", LIVES, &format!("lifecycle: {{preStop: {{{}}}}}", exec("touch /v/hooked")))],
                &[c("c", "trap 'until [ -e /v/hooked ]; do sleep 0.02; done; echo saw it; exit 0' TERM; echo up; while :; do sleep 9 & wait $!; done", "")],
            ),
            vec![Must::Order(&["c: saw it", "s: term"]), Must::Ended(0, "Succeeded")],
        )
        .then("s: up", Do::Nothing)
        .then("c: up", Do::Stop(None)),
        row(
            "the grace period is shared: who has used it up is killed, and the sidecars still get the kubelet's least, two seconds",
            ENDING,
            spec("restartPolicy: Always\nterminationGracePeriodSeconds: 3", &[sidecar("s", LIVES, "")], &[c("c", DEAF, "")]),
            vec![
                Must::Order(&["c: term", "s: term"]),
                Must::Last("/containerStatuses/0/state/terminated/exitCode", json!(137)),
                Must::Last("/initContainerStatuses/0/state/terminated/exitCode", json!(0)),
                Must::Ended(137, "Failed"),
            ],
        )
        .then("s: up", Do::Nothing)
        .then("c: up", Do::Stop(None))
        .scaled(0.5),
        row(
            "a sidecar's readiness counts for the pod's",
            PAGE,
            spec(
                "restartPolicy: Always",
                &[sidecar("s", LIVES, &format!("readinessProbe: {{periodSeconds: 1, {}}}", exec("test -e /v/ready")))],
                &[c("c", "echo up; sleep 0.5; touch /v/ready; sleep 99", "")],
            ),
            vec![
                Must::Condition("Ready", "False"),
                Must::Looked("/containerStatuses/0/ready", json!(true)),
                Must::Looked("/initContainerStatuses/0/ready", json!(false)),
                Must::Looked("/conditions/2/message", json!("containers with unready status: [s]")),
                Must::States(&["not ready", "ready"]),
            ],
        )
        .then("c: up", Do::Look)
        .then("ready", Do::End),
        row(
            "a sidecar whose liveness probe fails is restarted",
            "Kubernetes, \"Sidecar Containers\"; kubelet, kuberuntime_container.go, computeInitContainerActions",
            spec(
                "restartPolicy: Never",
                &[sidecar("s", &lives("s", 0), &format!("livenessProbe: {{periodSeconds: 1, failureThreshold: 1, {}}}", exec("test ! -e /v/sick || { rm /v/sick; false; }")))],
                &[c("c", &format!("{UNTIL}touch /v/sick; rm /v/s; {UNTIL}echo again"), "")],
            ),
            vec![
                Must::Event("Killing s", "Init container s failed liveness probe"),
                Must::Order(&["s: up", "s: term", "s: up", "c: again"]),
                Must::Ended(0, "Succeeded"),
            ],
        ),
    ]
}

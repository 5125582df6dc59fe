//! Restart policies, rules and the back-off.

use serde_json::json;

use crate::harness::{Do, LIVES, Must, Row, c, row, spec};

const PAGE: &str = "Kubernetes, \"Pod Lifecycle\", \"Container restart policy\"";
const OWN: &str = "Kubernetes, \"Pod Lifecycle\", \"Individual container restart policy and rules\"";
const BACKOFF: &str = "Kubernetes, \"Pod Lifecycle\", \"How Pods handle problems with containers\"";

/// Says which run it is, then ends with the code for it; the last code stays.
fn runs(codes: &[u8]) -> String {
    let codes = codes.iter().map(u8::to_string).collect::<Vec<_>>().join(" ");
    format!(
        "echo x >>/v/n; n=$(wc -l </v/n); echo run $n; set -- {codes}; while [ $n -gt 1 ] && [ $# -gt 1 ]; do shift; n=$((n - 1)); done; exit $1"
    )
}

fn rule(operator: &str, values: &str) -> String {
    format!(
        "restartPolicy: Never, restartPolicyRules: [{{action: Restart, exitCodes: {{operator: {operator}, values: [{values}]}}}}]"
    )
}

pub fn rows() -> Vec<Row> {
    let one = |policy: &str, codes: &[u8], fields: &str| {
        spec(&format!("restartPolicy: {policy}"), &[], &[c("c", &runs(codes), fields)])
    };
    vec![
        row("Always restarts after success", PAGE, one("Always", &[0], ""), vec![Must::Order(&["c: run 1", "c: run 2"])])
            .then("c: run 2", Do::End),
        row("Always restarts after failure", PAGE, one("Always", &[1], ""), vec![Must::Order(&["c: run 1", "c: run 2"])])
            .then("c: run 2", Do::End),
        // shows: spec.restartPolicy
        row(
            "OnFailure restarts after failure, and not after success",
            PAGE,
            one("OnFailure", &[1, 0], ""),
            vec![
                Must::Lines(&["c: run 1", "c: run 2"]),
                Must::Ended(0, "Succeeded"),
                Must::Last("/containerStatuses/0/restartCount", json!(1)),
                Must::Last("/containerStatuses/0/lastState/terminated/exitCode", json!(1)),
                Must::Last("/containerStatuses/0/state/terminated/reason", json!("Completed")),
                Must::Events(&["Created c", "Started c"]),
            ],
        ),
        row(
            "Never restarts nothing",
            PAGE,
            one("Never", &[5], ""),
            vec![
                Must::Lines(&["c: run 1"]),
                Must::Ended(5, "Failed"),
                Must::States(&["Error"]),
                Must::Last("/containerStatuses/0/state/terminated/exitCode", json!(5)),
                Must::Last("/containerStatuses/0/state/terminated/reason", json!("Error")),
                Must::Last("/containerStatuses/0/restartCount", json!(0)),
            ],
        ),
        // shows: spec.containers[].restartPolicy
        row(
            "a container's own Never wins over the pod's Always",
            OWN,
            one("Always", &[5], "restartPolicy: Never"),
            vec![Must::Lines(&["c: run 1"]), Must::Ended(5, "Failed")],
        ),
        row(
            "a container's own OnFailure wins over the pod's Never",
            OWN,
            one("Never", &[5, 0], "restartPolicy: OnFailure"),
            vec![Must::Lines(&["c: run 1", "c: run 2"]), Must::Ended(0, "Succeeded")],
        ),
        // shows: spec.containers[].restartPolicyRules[].action, spec.containers[].restartPolicyRules[].exitCodes.operator,
        // shows: spec.containers[].restartPolicyRules[].exitCodes.values
        row(
            "a rule with In restarts for its codes; for others the container's policy decides",
            OWN,
            one("Always", &[42, 7], &rule("In", "41, 42")),
            vec![Must::Lines(&["c: run 1", "c: run 2"]), Must::Ended(7, "Failed")],
        ),
        // shows: spec.containers[].restartPolicyRules[].exitCodes.operator,
        // shows: spec.containers[].restartPolicyRules[].exitCodes.values
        row(
            "a rule with NotIn restarts for all other codes",
            OWN,
            one("Never", &[42, 7], &rule("NotIn", "0, 7")),
            vec![Must::Lines(&["c: run 1", "c: run 2"]), Must::Ended(7, "Failed")],
        ),
        row(
            "a rule may restart what has succeeded",
            OWN,
            one("Never", &[0, 3], &rule("In", "0")),
            vec![Must::Lines(&["c: run 1", "c: run 2"]), Must::Ended(3, "Failed")],
        ),
        // shows: spec.restartPolicy
        row(
            "the first restart is at once, the next ones after 10 s, 20 s and 40 s, and the wait shows as CrashLoopBackOff",
            BACKOFF,
            one("Always", &[1], ""),
            vec![
                Must::Gap("c: run 2", "c: run 3", 10.0),
                Must::Gap("c: run 3", "c: run 4", 20.0),
                Must::Gap("c: run 4", "c: run 5", 40.0),
                Must::States(&["CrashLoopBackOff"]),
                Must::Event("BackOff c", "Back-off restarting failed container c in pod row9_default("),
                Must::Looked("/phase", json!("Running")),
                Must::Looked("/containerStatuses/0/state/waiting/reason", json!("CrashLoopBackOff")),
                Must::LookedPart("/containerStatuses/0/state/waiting/message", "s restarting failed container=c pod=row9_default("),
                Must::Looked("/containerStatuses/0/lastState/terminated/exitCode", json!(1)),
                Must::Looked("/containerStatuses/0/ready", json!(false)),
                Must::Looked("/containerStatuses/0/started", json!(false)),
            ],
        )
        .then("BackOff c", Do::Look)
        .then("c: run 5", Do::End),
        row(
            "no wait is longer than 300 s",
            BACKOFF,
            one("Always", &[1], ""),
            vec![Must::Gap("c: run 7", "c: run 8", 300.0), Must::Gap("c: run 8", "c: run 9", 300.0)],
        )
        .then("c: run 9", Do::End)
        .scaled(0.003),
        row(
            "ten minutes of running forget the back-off",
            BACKOFF,
            spec(
                "restartPolicy: Always",
                &[],
                &[c("c", "echo x >>/v/n; n=$(wc -l </v/n); echo run $n; [ $n = 2 ] && sleep 2; [ $n = 3 ] && sleep 99; exit 1", "")],
            ),
            vec![Must::NoEvent("BackOff c")],
        )
        .then("c: run 3", Do::End)
        .scaled(0.002),
        row(
            "a container that fails for good leaves the others running, and the pod has failed when all have ended",
            "Kubernetes, \"Pod Lifecycle\", \"Pod phase\"",
            spec(
                "restartPolicy: Never",
                &[],
                &[c("a", "exit 4", ""), c("b", "echo up; until [ -e /v/end ]; do sleep 0.05; done; echo end", ""), c("d", "sleep 0.3; touch /v/end", "")],
            ),
            vec![Must::Order(&["b: up", "b: end"]), Must::Ended(4, "Failed"), Must::Last("/containerStatuses/1/state/terminated/exitCode", json!(0))],
        ),
        row(
            "a pod whose containers have partly succeeded is Running and not Ready; STATUS says NotReady",
            "Kubernetes, \"Pod Lifecycle\", \"Pod phase\"; kubectl's printers",
            spec("restartPolicy: OnFailure", &[], &[c("a", "echo done", ""), c("b", LIVES, "")]),
            vec![
                Must::States(&["NotReady"]),
                Must::Looked("/phase", json!("Running")),
                Must::Condition("Initialized", "True"),
                Must::Condition("Ready", "False"),
                Must::Condition("ContainersReady", "False"),
            ],
        )
        .then("NotReady", Do::Look)
        .then("b: up", Do::End),
        row(
            "all containers have succeeded: Succeeded, and no longer ready to start containers",
            "Kubernetes, \"Pod Lifecycle\", \"Pod phase\", \"Pod conditions\"",
            spec("restartPolicy: Never", &[], &[c("a", "true", ""), c("b", "sleep 0.1", "")]),
            vec![
                Must::Ended(0, "Succeeded"),
                Must::States(&["Completed"]),
                Must::Last("/conditions/0/status", json!("False")),
                Must::Last("/conditions/1/status", json!("True")),
                Must::Last("/conditions/2/status", json!("False")),
                Must::Last("/conditions/2/reason", json!("PodCompleted")),
            ],
        ),
        row(
            "a running pod's conditions hold",
            "Kubernetes, \"Pod Lifecycle\", \"Pod conditions\"",
            spec("restartPolicy: Always", &[], &[c("c", LIVES, "")]),
            vec![
                Must::States(&["Running"]),
                Must::Looked("/phase", json!("Running")),
                Must::Condition("PodReadyToStartContainers", "True"),
                Must::Condition("Initialized", "True"),
                Must::Condition("ContainersReady", "True"),
                Must::Condition("Ready", "True"),
                Must::Looked("/containerStatuses/0/started", json!(true)),
                Must::Looked("/containerStatuses/0/ready", json!(true)),
            ],
        )
        .then("ready", Do::Look)
        .then("c: up", Do::End),
    ]
}

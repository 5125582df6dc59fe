//! What the user reads about containers' lives: one small input a row, and the whole error.

use super::messages::{Rows, check, error, pod};

/// What a good pod ends with: nothing is wrong.
const GOOD: &[&str] = &["no error"];

#[test]
fn lives_that_are_good() {
    let rows: Rows<'_> = &[
        ("    livenessProbe: {exec: {command: [x]}, terminationGracePeriodSeconds: 1}", GOOD),
        ("    livenessProbe: {tcpSocket: {port: 1}, successThreshold: 0, failureThreshold: 0, periodSeconds: 0}", GOOD),
        (
            "    readinessProbe: {httpGet: {port: web}, successThreshold: 3}\n    ports: [{containerPort: 1, name: web}]",
            GOOD,
        ),
        ("    readinessProbe: {httpGet: {port: 80, scheme: HTTPS, protocol: HTTP1, path: x, host: '::1'}}", GOOD),
        (
            "    startupProbe: {httpGet: {port: 80, httpHeaders: [{name: A-b, value: \"c\\td\"}, {name: A-b, value: ''}]}}",
            GOOD,
        ),
        ("    startupProbe: {grpc: {port: 1, service: s, mode: Plaintext}}", GOOD),
        ("    lifecycle: {postStart: {httpGet: {port: 1}}, preStop: {sleep: {seconds: 30}}}", GOOD),
        ("    lifecycle: {preStop: {sleep: {seconds: 0}}}\n  terminationGracePeriodSeconds: 0", GOOD),
        ("    lifecycle: {stopSignal: SIGRTMIN+15}\n  os: {name: linux}", GOOD),
        ("    lifecycle: {stopSignal: SIGIOT}\n  os: {name: linux}", GOOD),
        ("    lifecycle: {}", GOOD),
        ("    restartPolicy: Always", GOOD),
        (
            "    restartPolicy: Never\n    restartPolicyRules: [{action: Restart, exitCodes: {operator: NotIn, values: [0, 300]}}]",
            GOOD,
        ),
        (
            "  initContainers: [{name: i, image: i, restartPolicy: Never}, {name: j, image: i, restartPolicy: OnFailure}]",
            GOOD,
        ),
        (
            "  initContainers: [{name: i, image: i, restartPolicy: Always, startupProbe: {exec: {command: [x]}}, lifecycle: {preStop: {exec: {command: [x]}}}}]",
            GOOD,
        ),
        // No exit code is in an empty list.
        ("    restartPolicy: Always\n    restartPolicyRules: [{action: Restart, exitCodes: {operator: In}}]", GOOD),
        ("  activeDeadlineSeconds: 2147483647\n  shareProcessNamespace: true", GOOD),
        ("    stdin: true\n    stdinOnce: true\n    tty: true", GOOD),
        ("    terminationMessagePath: /tmp/last\n    terminationMessagePolicy: FallbackToLogsOnError", GOOD),
        ("    terminationMessagePath: ''\n    terminationMessagePolicy: ''", GOOD),
        (
            "    terminationMessagePath: /data/last\n    volumeMounts: [{name: d, mountPath: /data}]\n  volumes: [{name: d, emptyDir: {}}]",
            GOOD,
        ),
    ];
    check(rows, pod);
}

#[test]
fn probes() {
    let rows: Rows<'_> = &[
        (
            "    livenessProbe: {}",
            &[
                "pod.yaml:8: spec.containers[0].livenessProbe: a probe has one of exec, httpGet, tcpSocket and grpc, found none",
            ],
        ),
        (
            "    livenessProbe: {exec: {command: [x]}, grpc: {port: 1}}",
            &[
                "pod.yaml:8: spec.containers[0].livenessProbe: a probe has one of exec, httpGet, tcpSocket and grpc, found exec and grpc",
            ],
        ),
        (
            "    startupProbe:\n      exec: {}\n      periodSeconds: -1\n      successThreshold: 2\n      terminationGracePeriodSeconds: 0",
            &[
                "pod.yaml:9: spec.containers[0].startupProbe.exec.command: required",
                "pod.yaml:10: spec.containers[0].startupProbe.periodSeconds: -1 must not be negative",
                "pod.yaml:11: spec.containers[0].startupProbe.successThreshold: 2 must be 1: a container that is started or alive is so at the first success",
                "pod.yaml:12: spec.containers[0].startupProbe.terminationGracePeriodSeconds: 0 must be greater than 0",
            ],
        ),
        (
            "    readinessProbe: {tcpSocket: {port: 1}, terminationGracePeriodSeconds: 5}",
            &[
                "pod.yaml:8: spec.containers[0].readinessProbe.terminationGracePeriodSeconds: a readinessProbe has none, since its failure ends nothing",
                "  remove it",
            ],
        ),
        (
            "    livenessProbe: {tcpSocket: {port: http}}\n    ports: [{containerPort: 80, name: htp}, {containerPort: 81, name: dns}]",
            &[
                "pod.yaml:8: spec.containers[0].livenessProbe.tcpSocket.port: the container has no port named \"http\"",
                "  did you mean \"htp\"?",
            ],
        ),
        (
            "    livenessProbe: {tcpSocket: {port: http}}\n    ports: [{containerPort: 80, name: web}, {containerPort: 81, name: dns}]",
            &[
                "pod.yaml:8: spec.containers[0].livenessProbe.tcpSocket.port: the container has no port named \"http\"",
                "  it has web, dns",
            ],
        ),
        (
            "    livenessProbe: {tcpSocket: {port: http}}\n  - name: d\n    image: i\n    ports: [{containerPort: 80, name: http}]",
            &[
                "pod.yaml:8: spec.containers[0].livenessProbe.tcpSocket.port: the container has no port named \"http\"",
                "  none of its ports has a name: write the number, or a name under ports",
            ],
        ),
        (
            "    livenessProbe: {httpGet: {port: '8080'}}",
            &[
                "pod.yaml:8: spec.containers[0].livenessProbe.httpGet.port: \"8080\" is no name for a port",
                "  remove the quotes: 8080",
            ],
        ),
        (
            "    livenessProbe: {httpGet: {port: HTTP}}",
            &[
                "pod.yaml:8: spec.containers[0].livenessProbe.httpGet.port: \"HTTP\" cannot name a port: lower-case letters, digits and single \"-\" between them, at least one letter, at most 15 characters",
            ],
        ),
        (
            "    livenessProbe: {httpGet: {scheme: https, host: a/b}}",
            &[
                "pod.yaml:8: spec.containers[0].livenessProbe.httpGet.port: required, 1 to 65535",
                "pod.yaml:8: spec.containers[0].livenessProbe.httpGet.scheme: expected HTTP or HTTPS, found \"https\"",
                "  did you mean \"HTTPS\"?",
                "pod.yaml:8: spec.containers[0].livenessProbe.httpGet.host: \"a/b\" is no host name and no address",
            ],
        ),
        (
            "    livenessProbe: {tcpSocket: {port: 1, host: db.example}}\n    readinessProbe: {tcpSocket: {port: 1, host: Localhost}}",
            &[
                "pod.yaml:8: spec.containers[0].livenessProbe.tcpSocket.host: \"db.example\" is a name, and podling asks no name server for probes and hooks",
                "  write an address, or localhost",
            ],
        ),
        (
            "    livenessProbe:\n      httpGet:\n        port: 65536\n        httpHeaders:\n        - {name: 'a b', value: x}\n        - {name: a, value: \"x\\r\\ny\"}",
            &[
                "pod.yaml:10: spec.containers[0].livenessProbe.httpGet.port: 65536 is outside 1 to 65535",
                "pod.yaml:12: spec.containers[0].livenessProbe.httpGet.httpHeaders[0].name: \"a b\" cannot name a header: letters, digits and \"-\"",
                "pod.yaml:13: spec.containers[0].livenessProbe.httpGet.httpHeaders[1].value: holds a control character, which no header can",
            ],
        ),
        (
            "    livenessProbe: {grpc: {port: 0, mode: tls}}",
            &[
                "pod.yaml:8: spec.containers[0].livenessProbe.grpc.port: required, 1 to 65535",
                "pod.yaml:8: spec.containers[0].livenessProbe.grpc.mode: expected Plaintext or TLS, found \"tls\"",
                "  did you mean \"TLS\"?",
            ],
        ),
        (
            "    livenessProbe: {grpc: {port: web}}",
            &[
                "pod.yaml:8: spec.containers[0].livenessProbe.grpc.port: expected a whole number, found the text \"web\"",
            ],
        ),
        (
            "    readinessProbe: {path: /x}",
            &[
                "pod.yaml:8: spec.containers[0].readinessProbe.path: unknown field",
                "  path belongs to spec.containers[].readinessProbe.httpGet; is the indentation right?",
            ],
        ),
        (
            "    livenessProbe: {command: [x]}",
            &[
                "pod.yaml:8: spec.containers[0].livenessProbe.command: unknown field",
                "  command belongs to spec.containers[].livenessProbe.exec; is the indentation right?",
            ],
        ),
    ];
    check(rows, pod);
}

#[test]
fn hooks_and_signals() {
    let rows: Rows<'_> = &[
        (
            "    lifecycle: {postStart: {}}",
            &[
                "pod.yaml:8: spec.containers[0].lifecycle.postStart: a hook has one of exec, httpGet and sleep, found none",
            ],
        ),
        (
            "    lifecycle: {preStop: {exec: {command: []}, sleep: {seconds: 1}}}",
            &[
                "pod.yaml:8: spec.containers[0].lifecycle.preStop: a hook has one of exec, httpGet and sleep, found exec and sleep",
                "pod.yaml:8: spec.containers[0].lifecycle.preStop.exec.command: required",
            ],
        ),
        (
            "    lifecycle: {postStart: {sleep: {seconds: -1}}, preStop: {sleep: {seconds: 31}}}",
            &[
                "pod.yaml:8: spec.containers[0].lifecycle.postStart.sleep.seconds: -1 is outside 0 to 30, the pod's terminationGracePeriodSeconds",
                "pod.yaml:8: spec.containers[0].lifecycle.preStop.sleep.seconds: 31 is outside 0 to 30, the pod's terminationGracePeriodSeconds",
            ],
        ),
        // The grace period is wrong already, so the sleep is not measured by it.
        (
            "    lifecycle: {preStop: {sleep: {seconds: 5}}}\n  terminationGracePeriodSeconds: -1",
            &["pod.yaml:9: spec.terminationGracePeriodSeconds: -1 must not be negative"],
        ),
        (
            "    lifecycle: {preStop: {httpGet: {port: web}}}",
            &[
                "pod.yaml:8: spec.containers[0].lifecycle.preStop.httpGet.port: the container has no port named \"web\"",
                "  none of its ports has a name: write the number, or a name under ports",
            ],
        ),
        (
            "    lifecycle: {stopSignal: SIGTERM}",
            &[
                "pod.yaml:8: spec.containers[0].lifecycle.stopSignal: may only be written where spec.os.name is",
                "  write os: {name: linux} in spec",
            ],
        ),
        (
            "    lifecycle: {stopSignal: usr1}\n  os: {name: linux}",
            &[
                "pod.yaml:8: spec.containers[0].lifecycle.stopSignal: \"usr1\" is not a signal",
                "  did you mean \"SIGUSR1\"?",
            ],
        ),
        (
            "    lifecycle: {stopSignal: SIGTREM}\n  os: {name: linux}",
            &[
                "pod.yaml:8: spec.containers[0].lifecycle.stopSignal: \"SIGTREM\" is not a signal",
                "  did you mean \"SIGTERM\"?",
            ],
        ),
        (
            "    lifecycle: {stopSignal: SIGRTMIN+16}\n  os: {name: linux}",
            &["pod.yaml:8: spec.containers[0].lifecycle.stopSignal: \"SIGRTMIN+16\" is not a signal"],
        ),
        (
            "  initContainers:\n  - name: x\n    image: i\n    lifecycle: {}\n    readinessProbe: {exec: {command: [x]}}",
            &[
                "pod.yaml:11: spec.initContainers[0].lifecycle: an init container has none, unless it is a sidecar",
                "  restartPolicy: Always makes a sidecar of it",
                "pod.yaml:12: spec.initContainers[0].readinessProbe: an init container has none, unless it is a sidecar",
                "  restartPolicy: Always makes a sidecar of it",
            ],
        ),
    ];
    check(rows, pod);
}

#[test]
fn restarts_and_deadlines() {
    let rows: Rows<'_> = &[
        (
            "    restartPolicy: always",
            &[
                "pod.yaml:8: spec.containers[0].restartPolicy: expected Always, OnFailure or Never, found \"always\"",
                "  did you mean \"Always\"?",
            ],
        ),
        (
            "    restartPolicyRules: [{action: Restart, exitCodes: {operator: In, values: [1]}}]",
            &[
                "pod.yaml:8: spec.containers[0].restartPolicyRules: a container with rules of its own needs a restartPolicy of its own",
                "  write restartPolicy beside them: what is done when no rule matches",
            ],
        ),
        (
            "    restartPolicy: Never\n    restartPolicyRules:\n    - {}\n    - {action: Restart, exitCodes: {}}\n    - {action: Restart, exitCodes: {operator: in, values: [1]}}",
            &[
                "pod.yaml:10: spec.containers[0].restartPolicyRules[0].action: required, Restart or RestartAllContainers",
                "pod.yaml:10: spec.containers[0].restartPolicyRules[0].exitCodes: required",
                "pod.yaml:11: spec.containers[0].restartPolicyRules[1].exitCodes.operator: required, In or NotIn",
                "pod.yaml:12: spec.containers[0].restartPolicyRules[2].exitCodes.operator: expected In or NotIn, found \"in\"",
                "  did you mean \"In\"?",
            ],
        ),
        (
            "    restartPolicy: Never\n    restartPolicyRules: [{action: RestartAllContainers, exitCodes: {operator: In, values: [1]}}]",
            &[
                "pod.yaml:9: spec.containers[0].restartPolicyRules[0].action: \"RestartAllContainers\": podling restarts the container that ended, and no other",
            ],
        ),
        ("  activeDeadlineSeconds: 0", &["pod.yaml:8: spec.activeDeadlineSeconds: 0 is outside 1 to 2147483647"]),
        (
            "  activeDeadlineSeconds: 2147483648",
            &["pod.yaml:8: spec.activeDeadlineSeconds: 2147483648 is outside 1 to 2147483647"],
        ),
        (
            "    ports: [{containerPort: 80}]\n  initContainers:\n  - {name: a, image: i, ports: [{containerPort: 80}]}\n  - {name: b, image: i, restartPolicy: Always, ports: [{containerPort: 80}]}",
            &[
                "pod.yaml:8: spec.containers[0].ports[0].containerPort: TCP port 80 is already taken at pod.yaml:11",
                "  the containers of a pod share one network: let one of them listen on another port",
            ],
        ),
    ];
    check(rows, pod);
}

#[test]
fn as_many_rules_and_codes_as_the_api_takes() {
    let text = |rules: usize, codes: usize| {
        let rule =
            format!("{{action: Restart, exitCodes: {{operator: In, values: [{}]}}}}", vec!["1"; codes].join(", "));
        pod(&format!("    restartPolicy: Never\n    restartPolicyRules: [{}]", vec![rule; rules].join(", ")))
    };
    assert_eq!(error(&text(20, 255)), "no error");
    assert_eq!(
        error(&text(21, 1)),
        "pod.yaml:9: spec.containers[0].restartPolicyRules: 21 rules; a container has at most 20"
    );
    assert_eq!(
        error(&text(1, 256)),
        "pod.yaml:9: spec.containers[0].restartPolicyRules[0].exitCodes.values: 256 exit codes; a rule has at most 255"
    );
}

#[test]
fn last_messages() {
    let rows: Rows<'_> = &[
        (
            "    terminationMessagePolicy: Logs",
            &[
                "pod.yaml:8: spec.containers[0].terminationMessagePolicy: expected File or FallbackToLogsOnError, found \"Logs\"",
            ],
        ),
        (
            "    terminationMessagePath: last",
            &["pod.yaml:8: spec.containers[0].terminationMessagePath: \"last\" is not an absolute path"],
        ),
        (
            "    terminationMessagePath: /x/..",
            &[
                "pod.yaml:8: spec.containers[0].terminationMessagePath: \"/x/..\" is the container's root, and a file is needed",
            ],
        ),
        (
            "    terminationMessagePath: /dev",
            &[
                "pod.yaml:8: spec.containers[0].terminationMessagePath: \"/dev\" holds the container's own devices; a file below it will do",
            ],
        ),
        (
            "    terminationMessagePath: /dev/stdout",
            &["pod.yaml:8: spec.containers[0].terminationMessagePath: \"/dev/stdout\" is there in every container"],
        ),
        (
            "    terminationMessagePath: /proc/last",
            &[
                "pod.yaml:8: spec.containers[0].terminationMessagePath: \"/proc/last\" belongs to the kernel's own file systems",
            ],
        ),
        (
            "    terminationMessagePath: /tmp/",
            &["pod.yaml:8: spec.containers[0].terminationMessagePath: \"/tmp/\" ends with \"/\", and a file is needed"],
        ),
        (
            "    volumeMounts: [{name: d, mountPath: /dev/termination-log}]\n  volumes: [{name: d, emptyDir: {}}]",
            &[
                "pod.yaml:6: spec.containers[0].terminationMessagePath: \"/dev/termination-log\" is where a volume is mounted (pod.yaml:8), or above it, and a file is needed",
                "  write another terminationMessagePath, in the volume or beside it",
            ],
        ),
    ];
    check(rows, pod);
}

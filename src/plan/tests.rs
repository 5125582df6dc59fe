//! Golden plans: what a whole pod becomes.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::fixture::Fixture;
use super::{ContainerPlan, Contents, fingerprint, render};

/// The plan as printed, without the seccomp sections, which the first golden plan shows in full.
fn printed(fixture: &Fixture) -> Value {
    let mut plan = render(&fixture.plan().unwrap()).unwrap();
    for list in ["initContainers", "containers"] {
        for container in plan[list].as_array_mut().unwrap() {
            let linux = container["spec"]["linux"].as_object_mut().unwrap();
            assert!(linux.remove("seccomp").is_some());
        }
    }
    plan
}

#[test]
fn a_hello_pod() {
    let fixture = Fixture::container(json!({ "command": ["echo", "hello"] }));
    insta::assert_json_snapshot!(render(&fixture.plan().unwrap()).unwrap());
}

#[test]
fn three_containers_with_a_config_map_a_secret_and_an_empty_dir() {
    insta::assert_json_snapshot!(printed(&three_containers()));
}

#[test]
fn three_containers_with_one_id() {
    insta::assert_json_snapshot!(printed(&three_containers().single_id()));
}

#[test]
fn an_image_with_a_user() {
    let config = json!({
        "User": "app",
        "Env": ["PATH=/opt/bin:/bin", "LANG=C.UTF-8"],
        "Entrypoint": ["/entry"],
        "Cmd": ["serve"],
        "WorkingDir": "/srv",
        "StopSignal": "SIGQUIT",
    });
    insta::assert_json_snapshot!(printed(&Fixture::container(json!({})).config(config)));
}

#[test]
fn a_pod_with_everything_of_a_life() {
    insta::assert_json_snapshot!(lives(&lived()));
}

/// The plan as printed without its specs, which the other golden plans show.
fn lives(fixture: &Fixture) -> Value {
    let mut plan = printed(fixture);
    for list in ["initContainers", "containers"] {
        for container in plan[list].as_array_mut().unwrap() {
            container.as_object_mut().unwrap().remove("spec");
        }
    }
    plan.as_object_mut().unwrap().remove("volumes");
    plan
}

#[test]
fn a_containers_plan_survives_the_way_to_another_process() {
    for fixture in [lived(), three_containers(), three_containers().single_id()] {
        let plan = fixture.plan().unwrap();
        for container in plan.init_containers.iter().chain(&plan.containers) {
            let text = serde_json::to_string(container).unwrap();
            let read: ContainerPlan = serde_json::from_str(&text).unwrap();
            assert!(read == *container, "{text}");
        }
    }
}

#[test]
fn secrets_are_printed_as_lengths_only() {
    let fixture = three_containers();
    let plan = fixture.plan().unwrap();
    let volume = plan.volumes.iter().find(|volume| volume.name == "tls").unwrap();
    assert_eq!(volume.files[0].content, b"a private key");
    let printed = render(&plan).unwrap().to_string();
    assert!(!printed.contains("a private key") && !printed.contains("YSBwcml2YXRlIGtleQ"), "{printed}");
    let debug = format!("{plan:?}");
    assert!(!debug.contains("97, 32, 112, 114") && !debug.contains("a private key"), "{debug}");
    let process = plan.containers[0].spec.process().as_ref().unwrap();
    assert_eq!(process.args().as_ref().unwrap()[3], "--token=a private key");
    assert!(process.env().as_ref().unwrap().contains(&"HEADER=Bearer a private key".to_owned()));
}

#[test]
fn the_same_input_gives_the_same_plan() {
    let (one, two) = (three_containers(), three_containers());
    assert_eq!(render(&one.plan().unwrap()).unwrap().to_string(), render(&two.plan().unwrap()).unwrap().to_string());
}

proptest! {
    #[test]
    fn no_string_makes_a_plan_panic(
        odd in prop::collection::vec((0..PLAIN.len(), odd_string()), 0..3),
        user in prop_oneof![Just(1000), any::<i64>()],
        mode in prop_oneof![Just(0o600), any::<i32>()],
    ) {
        let mut strings = PLAIN.map(str::to_owned);
        for (i, odd) in odd {
            strings[i] = odd;
        }
        let s = |i: usize| strings[i].clone();
        let mut fixture = Fixture::new(json!({
            "metadata": { "name": s(0), "namespace": s(1) },
            "spec": {
                "hostname": s(2),
                "volumes": [
                    { "name": s(3), "emptyDir": { "sizeLimit": s(4) } },
                    { "name": s(5), "configMap": { "name": s(1), "items": [{ "key": s(6), "path": s(7), "mode": mode }] } },
                ],
                "containers": [{
                    "name": s(8),
                    "image": "busybox",
                    "command": [s(9)],
                    "args": [s(10)],
                    "workingDir": s(11),
                    "env": [{ "name": s(12), "value": s(13) }, { "name": s(14), "value": s(15) }],
                    "envFrom": [{ "prefix": s(16), "configMapRef": { "name": s(1) } }],
                    "securityContext": { "runAsUser": user, "capabilities": { "add": [s(17)], "drop": [s(18)] } },
                    "volumeMounts": [{ "name": s(3), "mountPath": s(19) }, { "name": s(5), "mountPath": s(20) }],
                    "ports": [{ "name": s(24), "containerPort": mode }],
                    "livenessProbe": { "periodSeconds": mode, "httpGet": {
                        "port": s(25), "host": s(26), "path": s(27), "httpHeaders": [{ "name": s(28), "value": s(29) }],
                    } },
                    "lifecycle": { "stopSignal": s(30), "preStop": { "sleep": { "seconds": user } } },
                    "restartPolicy": s(31),
                    "restartPolicyRules": [{ "action": s(32), "exitCodes": { "operator": s(33), "values": [mode] } }],
                    "terminationMessagePath": s(34),
                    "terminationMessagePolicy": s(35),
                }],
            },
        }))
        .config(json!({ "User": s(21), "WorkingDir": s(22), "StopSignal": s(23), "Env": [s(13)] }))
        .config_map(json!({ "metadata": { "name": s(1) }, "data": { (s(6)): s(7) } }));
        let plain = strings == PLAIN && (user, mode) == (1000, 0o600);
        for _ in 0..2 {
            match fixture.plan() {
                Ok(plan) => {
                    prop_assert!(render(&plan).is_ok());
                    prop_assert!(fingerprint(&plan, Contents::Kept).is_ok());
                }
                Err(e) => prop_assert!(!plain, "{}", e),
            }
            fixture = fixture.single_id();
        }
    }
}

/// Strings that make a plan where the test above puts them.
const PLAIN: [&str; 36] = [
    "pod",
    "default",
    "host",
    "data",
    "1Mi",
    "conf",
    "key",
    "dir/file",
    "main",
    "/bin/sh",
    "$(A)",
    "/srv",
    "A",
    "x=$(B)",
    "B",
    "$$(A)",
    "P_",
    "CHOWN",
    "ALL",
    "/data",
    "/conf",
    "app:adm",
    "/",
    "SIGINT",
    "web",
    "web",
    "localhost",
    "/x?y",
    "X-A",
    "b",
    "SIGUSR1",
    "Never",
    "Restart",
    "In",
    "/tmp/last",
    "File",
];

/// Mostly short strings of the characters that mean something somewhere.
fn odd_string() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,3}",
        "[-./:$()=0-9a-zA-Z\\x00\n\u{e9}\u{ff}]{0,12}",
        Just("default".to_owned()),
        Just("4294967295".to_owned()),
        Just("../..".to_owned()),
        Just("$($(A)$".to_owned()),
    ]
}

fn three_containers() -> Fixture {
    let pod = json!({
        "metadata": { "name": "user-msvc" },
        "spec": {
            "restartPolicy": "OnFailure",
            "terminationGracePeriodSeconds": 5,
            "volumes": [
                { "name": "log", "emptyDir": { "sizeLimit": "64Mi" } },
                { "name": "tls", "secret": { "secretName": "user-msvc", "defaultMode": 0o400 } },
                { "name": "settings", "configMap": {
                    "name": "user-msvc",
                    "items": [{ "key": "nginx.conf", "path": "conf.d/nginx.conf", "mode": 0o600 }],
                } },
            ],
            "initContainers": [{ "name": "prepare", "image": "busybox", "args": ["true"] }],
            "containers": [
                {
                    "name": "user-msvc",
                    "image": "web",
                    "command": ["nginx", "-p", "$(PORT)", "--token=$(TOKEN)"],
                    "env": [
                        { "name": "PORT", "value": "443" },
                        { "name": "TOKEN", "valueFrom": { "secretKeyRef": { "name": "user-msvc", "key": "tls.key" } } },
                        { "name": "HEADER", "value": "Bearer $(TOKEN)" },
                    ],
                    "envFrom": [{ "configMapRef": { "name": "user-msvc" }, "prefix": "CONF_" }],
                    "volumeMounts": [
                        { "name": "tls", "mountPath": "/etc/user-msvc/secret" },
                        { "name": "settings", "mountPath": "/etc/user-msvc", "readOnly": false },
                        { "name": "log", "mountPath": "/var/log" },
                    ],
                },
                {
                    "name": "cloudsql-proxy",
                    "image": "busybox",
                    "args": ["nc", "-l"],
                    "securityContext": { "runAsUser": 1000, "runAsGroup": 33, "capabilities": { "drop": ["ALL"] } },
                },
                {
                    "name": "datadog-agent",
                    "image": "busybox",
                    "args": ["tail", "-f", "/var/log/monitor/user-msvc-error.log"],
                    "securityContext": { "readOnlyRootFilesystem": true, "allowPrivilegeEscalation": true },
                    "volumeMounts": [{ "name": "log", "mountPath": "/var/log/monitor", "readOnly": true }],
                },
            ],
        },
    });
    Fixture::new(pod)
        .config_map(json!({
            "metadata": { "name": "user-msvc" },
            "data": { "nginx.conf": "worker_processes 1;\n", "mode": "test" },
        }))
        .secret(json!({ "metadata": { "name": "user-msvc" }, "data": { "tls.key": "YSBwcml2YXRlIGtleQ==" } }))
}

/// A pod that says everything about its containers' lives.
fn lived() -> Fixture {
    let rule = |operator: &str, values: Value| json!({ "action": "Restart", "exitCodes": { "operator": operator, "values": values } });
    Fixture::new(json!({
        "metadata": { "name": "lived" },
        "spec": {
            "os": { "name": "linux" },
            "restartPolicy": "Never",
            "activeDeadlineSeconds": 600,
            "shareProcessNamespace": true,
            "initContainers": [
                {
                    "name": "proxy",
                    "image": "web",
                    "restartPolicy": "Always",
                    "startupProbe": { "grpc": { "port": 9, "service": "s", "mode": "TLS" }, "failureThreshold": 30 },
                },
                {
                    "name": "migrate",
                    "image": "busybox",
                    "restartPolicy": "OnFailure",
                    "restartPolicyRules": [rule("NotIn", json!([0, 2]))],
                    "terminationMessagePolicy": "FallbackToLogsOnError",
                },
            ],
            "containers": [{
                "name": "main",
                "image": "web",
                "ports": [{ "name": "http", "containerPort": 8080 }],
                "restartPolicy": "OnFailure",
                "restartPolicyRules": [rule("In", json!([42]))],
                "stdin": true,
                "stdinOnce": true,
                "tty": true,
                "livenessProbe": {
                    "httpGet": { "port": "http", "path": "/alive", "httpHeaders": [{ "name": "X", "value": "y" }] },
                    "terminationGracePeriodSeconds": 3,
                },
                "readinessProbe": { "exec": { "command": ["test", "-e", "/ready"] }, "successThreshold": 2 },
                "startupProbe": { "tcpSocket": { "port": "http", "host": "localhost" }, "periodSeconds": 1 },
                "lifecycle": {
                    "postStart": { "exec": { "command": ["touch", "/ready"] } },
                    "preStop": { "sleep": { "seconds": 5 } },
                    "stopSignal": "SIGUSR1",
                },
            }],
        },
    }))
}

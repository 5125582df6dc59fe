//! The API server's rules for metadata, ports, annotations and the data of ConfigMaps and Secrets: what it refuses is
//! invalid, what it takes and podling cannot honour is refused, and what it takes besides is no problem at all.

use super::messages::pod;
use crate::manifest::{Class, Input, examine};

/// Each problem of `text` with its class and the path of its field, in the order of the lines.
pub fn problems(text: &str) -> Vec<String> {
    let mut examined = examine(&[Input { name: "pod.yaml".into(), bytes: text.as_bytes().to_vec(), path: None }]);
    examined.settle();
    let told = examined.problems.into_iter().map(|problem| {
        let class = if problem.class == Class::Invalid { "invalid" } else { "refused" };
        format!("{class} {}: {}", problem.path, problem.why)
    });
    told.collect()
}

fn check(rows: &[(&str, &[&str])], whole: fn(&str) -> String) {
    for (text, expected) in rows {
        assert_eq!(problems(&whole(text)), *expected, "{text}");
    }
}

/// What of a pod with `fields` an API server would refuse.
pub fn invalid(fields: &str) -> Vec<String> {
    problems(&pod(fields)).into_iter().filter(|line| line.starts_with("invalid ")).collect()
}

fn config_map(metadata: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: m\n{metadata}")
}

fn secret(rest: &str) -> String {
    format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\n{rest}")
}

/// A pod with one whole container and the annotation `fields`, and whatever follows on further lines.
fn annotated(fields: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n  annotations: {fields}\nspec:\n  containers:\n  - name: c\n    image: i\n"
    )
}

#[test]
fn defaults_stand_for_empty_words() {
    check(
        &[
            ("    imagePullPolicy: ''\n    ports: [{containerPort: 1, protocol: ''}]\n  restartPolicy: ''", &[]),
            ("    livenessProbe: {httpGet: {port: 1, path: '', scheme: ''}, periodSeconds: 0}", &[]),
            (
                "    restartPolicy: ''",
                &["invalid spec.containers[0].restartPolicy: expected Always, OnFailure or Never, found \"\""],
            ),
            (
                "  preemptionPolicy: ''",
                &["invalid spec.preemptionPolicy: expected PreemptLowerPriority or Never, found \"\""],
            ),
            (
                "    volumeMounts: [{name: v, mountPath: /x, mountPropagation: ''}]\n  volumes: [{name: v, emptyDir: {}}]",
                &[
                    "invalid spec.containers[0].volumeMounts[0].mountPropagation: expected None, HostToContainer or Bidirectional, found \"\"",
                ],
            ),
            (
                "  runtimeClassName: ''",
                &[
                    "invalid spec.runtimeClassName: \"\" is not a DNS name: lower-case letters, digits, \"-\" and \".\", a letter or digit at both ends and beside each \".\", at most 253 characters",
                ],
            ),
        ],
        pod,
    );
}

#[test]
fn what_only_the_kubelet_would_refuse_is_no_invalid_pod() {
    check(
        &[
            ("    workingDir: app", &["refused spec.containers[0].workingDir: \"app\" is not an absolute path"]),
            (
                "    terminationMessagePath: last",
                &["refused spec.containers[0].terminationMessagePath: \"last\" is not an absolute path"],
            ),
            (
                "    terminationMessagePath: /dev/null",
                &["refused spec.containers[0].terminationMessagePath: \"/dev/null\" is there in every container"],
            ),
            (
                "    livenessProbe: {tcpSocket: {port: web}}",
                &["refused spec.containers[0].livenessProbe.tcpSocket.port: the container has no port named \"web\""],
            ),
            (
                "    livenessProbe: {httpGet: {port: 1, host: 'a b', httpHeaders: [{name: a, value: \"b\\nc\"}]}}",
                &[
                    "refused spec.containers[0].livenessProbe.httpGet.host: \"a b\" is no host name and no address",
                    "refused spec.containers[0].livenessProbe.httpGet.httpHeaders[0].value: holds a control character, which no header can",
                ],
            ),
            (
                "    lifecycle: {preStop: {tcpSocket: {port: 1}}}",
                &[
                    "refused spec.containers[0].lifecycle.preStop.tcpSocket: Kubernetes deprecated it, and the kubelet fails every such hook; exec, httpGet and sleep work",
                ],
            ),
            (
                "    lifecycle: {preStop: {tcpSocket: {port: 0}}}",
                &[
                    "refused spec.containers[0].lifecycle.preStop.tcpSocket: Kubernetes deprecated it, and the kubelet fails every such hook; exec, httpGet and sleep work",
                    "invalid spec.containers[0].lifecycle.preStop.tcpSocket.port: required, 1 to 65535",
                ],
            ),
            ("    ports: [{containerPort: 1, name: web}, {containerPort: 1, name: metrics}]", &[]),
            (
                "    ports: [{containerPort: 1}]\n  - {name: d, image: i, ports: [{containerPort: 1}]}",
                &["refused spec.containers[1].ports[0].containerPort: TCP port 1 is already taken at pod.yaml:8"],
            ),
            (
                "  volumes: [{name: v, downwardAPI: {items: [{path: \"a\\0\", fieldRef: {fieldPath: metadata.uid}}]}}]\n  securityContext: {seccompProfile: {type: Localhost, localhostProfile: \"a\\0\"}}",
                &[
                    "refused spec.volumes[0].downwardAPI.items[0].path: holds a NUL character, which the kernel would cut it at",
                    "refused spec.securityContext.seccompProfile.localhostProfile: holds a NUL character, which the kernel would cut it at",
                ],
            ),
            (
                "    args: [\"a\\0b\"]",
                &["refused spec.containers[0].args[0]: holds a NUL character, which the kernel would cut it at"],
            ),
            (
                "    envFrom: [{configMapRef: {name: web}}]",
                &["refused spec.containers[0].envFrom[0].configMapRef.name: the input has no ConfigMap \"web\""],
            ),
            (
                "    restartPolicy: Never\n    restartPolicyRules: [{action: RestartAllContainers, exitCodes: {operator: In}}]",
                &[
                    "refused spec.containers[0].restartPolicyRules[0].action: \"RestartAllContainers\": podling restarts the container that ended, and no other",
                ],
            ),
            (
                "    restartPolicy: Never\n    restartPolicyRules: [{action: Reboot, exitCodes: {operator: In}}]",
                &[
                    "invalid spec.containers[0].restartPolicyRules[0].action: expected Restart or RestartAllContainers, found \"Reboot\"",
                ],
            ),
            (
                "    livenessProbe: {httpGet: {port: 1, protocol: HTTP2, scheme: HTTPS}}",
                &[
                    "invalid spec.containers[0].livenessProbe.httpGet.protocol: HTTP2 goes without TLS, so scheme must be HTTP",
                ],
            ),
            (
                "    livenessProbe: {httpGet: {port: 1, protocol: HTTP2, host: h}}",
                &[
                    "refused spec.containers[0].livenessProbe.httpGet.protocol: \"HTTP2\": podling speaks HTTP/1.1 here (HTTP1), and HTTP/2 without TLS is alpha in Kubernetes too",
                    "invalid spec.containers[0].livenessProbe.httpGet.host: must not be written where protocol is HTTP2",
                ],
            ),
            (
                "    livenessProbe: {httpGet: {port: 1, protocol: h3}}",
                &["invalid spec.containers[0].livenessProbe.httpGet.protocol: expected HTTP1 or HTTP2, found \"h3\""],
            ),
            (
                "  ephemeralContainers: [{name: e, image: i}]",
                &["invalid spec.ephemeralContainers: they are added to a running pod, never written in its YAML"],
            ),
        ],
        pod,
    );
}

#[test]
fn names_that_are_made_up() {
    let whole = |prefix: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{generateName: {prefix}}}\nspec: {{containers: [{{name: c, image: i}}]}}"
        )
    };
    assert_eq!(problems(&whole("web-")), ["refused metadata.name: podling makes no name of generateName"]);
    assert_eq!(problems(&whole("''")), ["invalid metadata.name: required"]);
    let found = problems(&whole("Web-"));
    let prefix = "invalid metadata.generateName: \"Web-\" cannot begin a DNS name";
    assert!(found.iter().any(|line| line.starts_with(prefix)), "{found:?}");
    assert_eq!(problems(&annotated("{}").replace("  name: p\n", "  name: p\n  generateName: x-\n")), [""; 0]);
}

#[test]
fn finalizers_and_owners() {
    check(
        &[
            (
                "  finalizers: [kubernetes, orphan, example.com/x]\n  ownerReferences:\n  - {apiVersion: apps/v1, kind: ReplicaSet, name: r, uid: u, controller: true}\n  - {apiVersion: v1, kind: Node, name: m, uid: u}\n",
                &[],
            ),
            (
                "  finalizers: [mine, orphan, foregroundDeletion]",
                &[
                    "invalid metadata.finalizers[0]: \"mine\" needs a domain, as example.com/mine, or is one of foregroundDeletion, kubernetes, orphan",
                    "invalid metadata.finalizers: orphan and foregroundDeletion contradict each other",
                ],
            ),
            (
                "  finalizers: [a/b/c]",
                &[
                    "invalid metadata.finalizers[0]: \"a/b/c\" cannot be the name of a label or annotation: letters, digits, \"-\", \"_\" and \".\", a letter or digit at both ends, at most 63 characters, with a DNS name and \"/\" before it if need be",
                ],
            ),
            (
                "  ownerReferences:\n  - {apiVersion: a/b/c, kind: '', name: '', uid: ''}\n  - {apiVersion: v1, kind: Event, name: e, uid: u}\n",
                &[
                    "invalid metadata.ownerReferences[0].kind: required",
                    "invalid metadata.ownerReferences[0].name: required",
                    "invalid metadata.ownerReferences[0].uid: required",
                    "invalid metadata.ownerReferences[0].apiVersion: \"a/b/c\" is no version, such as v1 or apps/v1",
                    "invalid metadata.ownerReferences[1].kind: an Event owns nothing",
                ],
            ),
            (
                "  ownerReferences:\n  - {apiVersion: v1, kind: A, name: a, uid: u, controller: true}\n  - {apiVersion: v1, kind: B, name: b, uid: u, controller: true}\n",
                &[
                    "invalid metadata.ownerReferences[1].controller: only one owner is the controller, and one is at pod.yaml:6",
                ],
            ),
        ],
        config_map,
    );
}

#[test]
fn annotations_of_pods() {
    check(
        &[
            (
                "{controller.kubernetes.io/pod-deletion-cost: '-5', seccomp.security.alpha.kubernetes.io/pod: runtime/default}",
                &[],
            ),
            ("{container.apparmor.security.beta.kubernetes.io/c: localhost/mine}", &[]),
            (
                "{kubernetes.io/config.mirror: x}",
                &["invalid metadata.annotations[kubernetes.io/config.mirror]: a mirror pod has a spec.nodeName"],
            ),
            (
                "{controller.kubernetes.io/pod-deletion-cost: '+5'}",
                &[
                    "invalid metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: \"+5\" is no whole number of 32 bits",
                ],
            ),
            (
                "{controller.kubernetes.io/pod-deletion-cost: '2147483648'}",
                &[
                    "invalid metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: \"2147483648\" is no whole number of 32 bits",
                ],
            ),
            (
                "{seccomp.security.alpha.kubernetes.io/pod: default}",
                &[
                    "invalid metadata.annotations[seccomp.security.alpha.kubernetes.io/pod]: \"default\" is none of runtime/default, unconfined and localhost/PATH",
                ],
            ),
            (
                "{container.seccomp.security.alpha.kubernetes.io/c: localhost/../x}",
                &[
                    "invalid metadata.annotations[container.seccomp.security.alpha.kubernetes.io/c]: \"../x\" must not contain \"..\"",
                ],
            ),
            (
                "{container.apparmor.security.beta.kubernetes.io/d: mine}",
                &[
                    "invalid metadata.annotations[container.apparmor.security.beta.kubernetes.io/d]: \"mine\" is none of runtime/default, unconfined and localhost/NAME",
                    "invalid metadata.annotations[container.apparmor.security.beta.kubernetes.io/d]: the pod has no container \"d\"",
                ],
            ),
            ("{scheduler.alpha.kubernetes.io/tolerations: '[{\"key\": \"a\", \"operator\": \"Exists\"}]'}", &[]),
            (
                "{scheduler.alpha.kubernetes.io/tolerations: '[{\"key\": \"a\", \"operator\": \"Is\"}]'}",
                &[
                    "invalid metadata.annotations[scheduler.alpha.kubernetes.io/tolerations][0].operator: expected Equal, Exists, Lt or Gt, found \"Is\"",
                ],
            ),
        ],
        annotated,
    );
    let both = annotated("{container.seccomp.security.alpha.kubernetes.io/c: unconfined}")
        + "    securityContext: {seccompProfile: {type: RuntimeDefault}}\n";
    assert_eq!(
        problems(&both),
        [
            "invalid metadata.annotations[container.seccomp.security.alpha.kubernetes.io/c]: \"unconfined\" is not what the securityContext of spec.containers[0] says"
        ]
    );
    assert_eq!(problems(&both.replace("unconfined", "runtime/default")), [""; 0]);
}

#[test]
fn ports_of_the_host_and_systems() {
    for (fields, expected) in [
        (
            "    ports: [{containerPort: 1, hostPort: 5}, {containerPort: 2, hostPort: 5, protocol: UDP}, {containerPort: 3, hostPort: 5, hostIP: 127.0.0.1}]",
            &[][..],
        ),
        (
            "    ports: [{containerPort: 1, hostPort: 5}]\n  - {name: d, image: i, ports: [{containerPort: 2, hostPort: 5}]}\n  initContainers: [{name: x, image: i, ports: [{containerPort: 1, hostPort: 5}]}]",
            &["spec.containers[1].ports[0].hostPort: TCP port 5 of the host is already taken at pod.yaml:8"],
        ),
        ("  os: {name: linux}\n  securityContext: {runAsUser: 1}", &[]),
        (
            "    securityContext: {windowsOptions: {}}\n  os: {name: linux}\n  securityContext: {windowsOptions: {}}",
            &[
                "spec.containers[0].securityContext.windowsOptions: a Linux pod has none",
                "spec.securityContext.windowsOptions: a Linux pod has none",
            ],
        ),
        (
            "    securityContext: {privileged: false}\n  os: {name: windows}\n  securityContext: {fsGroup: 1, runAsNonRoot: true}\n  shareProcessNamespace: false\n  resources: {}",
            &[
                "spec.containers[0].securityContext.privileged: a Windows pod has none",
                "spec.securityContext.fsGroup: a Windows pod has none",
                "spec.shareProcessNamespace: a Windows pod has none",
                "spec.resources: a Windows pod has none",
            ],
        ),
    ] {
        let expected: Vec<String> = expected.iter().map(|line| format!("invalid {line}")).collect();
        assert_eq!(invalid(fields), expected, "{fields}");
    }
}

#[test]
fn secrets_of_the_built_in_types() {
    check(
        &[
            ("type: ''\ndata: {}", &[]),
            ("type: kubernetes.io/dockerconfigjson\nstringData: {.dockerconfigjson: '{\"auths\": {}}'}", &[]),
            (
                "type: kubernetes.io/dockerconfigjson\nstringData: {.dockerconfigjson: 'hunter2'}",
                &["invalid stringData[.dockerconfigjson]: not a JSON object, see line 1, column 1 of it"],
            ),
            (
                "type: kubernetes.io/dockercfg\ndata: {.dockercfg: W10=}",
                &["invalid data[.dockercfg]: not a JSON object, see line 1, column 0 of it"],
            ),
            (
                "type: kubernetes.io/ssh-auth\ndata: {ssh-privatekey: ''}",
                &["invalid data.ssh-privatekey: a Secret of type kubernetes.io/ssh-auth must have a key here"],
            ),
            (
                "type: kubernetes.io/basic-auth\ndata: {user: ''}",
                &[
                    "invalid type: a Secret of type kubernetes.io/basic-auth must have the key \"username\" or \"password\"",
                ],
            ),
            ("type: kubernetes.io/basic-auth\ndata: {password: ''}", &[]),
            (
                "type: kubernetes.io/service-account-token",
                &[
                    "invalid type: a Secret of type kubernetes.io/service-account-token must have the annotation kubernetes.io/service-account.name",
                ],
            ),
        ],
        secret,
    );
}

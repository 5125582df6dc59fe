//! Promise: every field of a Pod has an answer. Those about the pod itself, its probes and hooks over the network, what it asks of the
//! machine, and the ConfigMaps and Secrets beside it, each seen from inside a container or by what podling says of the pod.

mod support;

use serde_json::{Value, json};
use support::{Place, container_yaml, detached, pod, shell, shell_with};

/// Goes on until it is asked to end.
const LIVES: &str = "trap 'echo term; exit 0' TERM; echo up; while :; do sleep 9 & wait $!; done";

#[track_caller]
fn inspect(place: &Place, name: &str) -> Value {
    let output = place.podling(&["inspect", name, "-o", "json"]);
    output.expect_success();
    serde_json::from_str(&output.stdout).unwrap()
}

/// What `kubectl get pod -o yaml` prints of a pod of a ReplicaSet, on its way out.
const EXPORTED: &str = r#"apiVersion: v1
kind: Pod
metadata:
  annotations:
    kubectl.kubernetes.io/restartedAt: "2026-05-04T10:00:00Z"
  creationTimestamp: "2026-05-04T10:00:01Z"
  deletionGracePeriodSeconds: 30
  deletionTimestamp: "2026-05-04T11:00:00Z"
  finalizers:
  - example.com/cleanup
  generateName: web-6c8b449b8f-
  generation: 2
  labels:
    app: web
    pod-template-hash: 6c8b449b8f
  managedFields:
  - apiVersion: v1
    fieldsType: FieldsV1
    fieldsV1:
      f:metadata:
        f:labels:
          .: {}
          f:app: {}
    manager: kube-controller-manager
    operation: Update
    time: "2026-05-04T10:00:01Z"
  name: web-6c8b449b8f-x7k2p
  namespace: shop
  ownerReferences:
  - apiVersion: apps/v1
    blockOwnerDeletion: true
    controller: true
    kind: ReplicaSet
    name: web-6c8b449b8f
    uid: 3f1f2c3e-7f0e-4a57-8b2e-6c0f3e2a9d11
  resourceVersion: "4711"
  selfLink: /api/v1/namespaces/shop/pods/web-6c8b449b8f-x7k2p
  uid: 0b9d5f4e-52d0-4b52-9c38-3b6d0e2a7c55
spec:
  automountServiceAccountToken: false
  containers:
  - command: [sleep, "1000"]
    image: busybox
    imagePullPolicy: IfNotPresent
    name: web
    resources: {}
    terminationMessagePath: /dev/termination-log
    terminationMessagePolicy: File
  dnsPolicy: ClusterFirst
  enableServiceLinks: true
  nodeName: worker-1
  preemptionPolicy: PreemptLowerPriority
  priority: 0
  restartPolicy: Always
  schedulerName: default-scheduler
  securityContext: {}
  serviceAccount: shopkeeper
  serviceAccountName: shopkeeper
  terminationGracePeriodSeconds: 0
  tolerations:
  - effect: NoExecute
    key: node.kubernetes.io/not-ready
    operator: Exists
    tolerationSeconds: 300
status:
  conditions:
  - lastProbeTime: null
    lastTransitionTime: "2026-05-04T10:00:05Z"
    status: "True"
    type: Ready
  containerStatuses:
  - image: docker.io/library/busybox:latest
    imageID: docker.io/library/busybox@sha256:0000000000000000000000000000000000000000000000000000000000000000
    name: web
    ready: true
    restartCount: 7
    state: {running: {startedAt: "2026-05-04T10:00:04Z"}}
  hostIP: 10.0.0.7
  phase: Failed
  podIP: 10.244.1.9
  qosClass: Guaranteed
  startTime: "2026-05-04T10:00:01Z"
"#;

// shows: metadata.annotations, metadata.creationTimestamp, metadata.deletionGracePeriodSeconds, metadata.deletionTimestamp,
// shows: metadata.finalizers, metadata.generateName, metadata.generation, metadata.labels, metadata.managedFields, metadata.name,
// shows: metadata.namespace, metadata.ownerReferences, metadata.resourceVersion, metadata.selfLink, metadata.uid,
// shows: spec.automountServiceAccountToken, spec.serviceAccount, spec.serviceAccountName, status
#[test]
fn a_pod_that_was_exported_from_a_cluster_runs_as_a_new_one() {
    let place = Place::with(&["busybox"]);
    let name = "web-6c8b449b8f-x7k2p";
    detached::start(&place, EXPORTED);
    // Nothing of an API server is mounted, and the pod is called what it is called.
    let seen = place.podling(&["exec", name, "--", "sh", "-c", "hostname; ls /var/run/secrets 2>&1"]);
    assert_eq!(seen.stdout, format!("{name}\nls: /var/run/secrets: No such file or directory\n"), "{seen}");
    let object = inspect(&place, name);
    let metadata = &object["metadata"];
    assert_eq!(metadata["labels"], json!({ "app": "web", "pod-template-hash": "6c8b449b8f" }));
    assert_eq!(metadata["annotations"]["kubectl.kubernetes.io/restartedAt"], "2026-05-04T10:00:00Z");
    assert_eq!((&metadata["name"], &metadata["namespace"]), (&json!(name), &json!("shop")));
    // Its identity is its own, and so is its state.
    assert_ne!(metadata["uid"], "0b9d5f4e-52d0-4b52-9c38-3b6d0e2a7c55");
    assert_ne!(metadata["creationTimestamp"], "2026-05-04T10:00:01Z");
    let status = &object["status"];
    assert_eq!((&status["phase"], &status["qosClass"]), (&json!("Running"), &json!("BestEffort")), "{status}");
    assert_eq!(status["containerStatuses"][0]["restartCount"], 0, "{status}");
    assert_ne!(status["podIP"], "10.244.1.9");
    detached::end_all(&place);
}

// shows: apiVersion, kind
#[test]
fn an_object_is_what_its_kind_and_version_say() {
    let place = Place::with(&["busybox"]);
    place.run(&shell("echo ran").replace("apiVersion: v1", "apiVersion: \"v1\"")).expect_line("c | ran");
    for (from, to, refusal) in [
        ("apiVersion: v1", "apiVersion: apps/v1", "pod.yaml:1: apiVersion: expected v1 for a Pod, found \"apps/v1\""),
        ("kind: Pod", "kind: Pot", "pod.yaml:2: kind: \"Pot\" is not a kind that podling takes"),
        ("kind: Pod", "kind: ConfigMap", "pod.yaml:4: spec: unknown field"),
    ] {
        place.run(&shell("echo ran").replace(from, to)).expect_refusal(&[refusal]);
    }
}

// shows: metadata.namespace
#[test]
fn a_pod_sees_the_objects_of_its_own_namespace() {
    let place = Place::with(&["busybox"]);
    let map = |namespace: &str, value: &str| {
        format!(
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m, namespace: {namespace}}}\ndata: {{WHO: {value}}}\n"
        )
    };
    let of = |name: &str, namespace: &str| {
        let from = "envFrom: [{configMapRef: {name: m}}]";
        let yaml = pod(name, "restartPolicy: Never", &[container_yaml("c", "busybox", "echo $WHO", from)]);
        yaml.replace(&format!("{{name: {name}}}"), &format!("{{name: {name}{namespace}}}"))
    };
    let maps = map("default", "everybody") + &map("shop", "the-shop");
    let output = place.run(&format!("{}---\n{}{maps}", of("p", ""), of("q", ", namespace: shop")));
    output.expect_success();
    assert_eq!((output.lines_of("p/c"), output.lines_of("q/c")), (vec!["everybody"], vec!["the-shop"]), "{output}");
    // podling's verbs know pods by their name alone.
    let twice = place.run(&format!("{}---\n{}{maps}", of("p", ""), of("p", ", namespace: shop")));
    twice.expect_refusal(&["metadata.name: another pod of this run", "here namespaces do not tell pods apart"]);
    let missing = place.run(&format!("{}{}", of("p", ", namespace: shop"), map("default", "everybody")));
    missing.expect_refusal(&["the input has no ConfigMap \"m\" in the namespace \"shop\"", "its own namespace only"]);
}

// shows: Secret:data, Secret:stringData, Secret:type, Secret:immutable, ConfigMap:data, ConfigMap:binaryData, ConfigMap:immutable
#[test]
fn secrets_and_config_maps_give_what_they_hold() {
    let place = Place::with(&["busybox"]);
    let fields = "envFrom: [{configMapRef: {name: m}}, {secretRef: {name: s}}]\nvolumeMounts: [{name: m, mountPath: /m}, {name: s, mountPath: /s}]";
    let spec = "volumes: [{name: m, configMap: {name: m}}, {name: s, secret: {secretName: s}}]";
    let script = "echo $TEXT $username $password; env | grep -c bytes; od -An -tx1 /m/bytes; cat /m/TEXT /s/username /s/password";
    let objects = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\nimmutable: true\ndata: {TEXT: text}\nbinaryData: {bytes: AAH/}\n\
        ---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\nimmutable: true\ntype: kubernetes.io/basic-auth\n\
        data: {username: dXNlcg==, password: d3Jvbmc=}\nstringData: {password: right}\n";
    let yaml = format!("{}{objects}", shell_with("busybox", script, fields, spec));
    let output = place.run(&yaml);
    // Bytes are no variable, and stringData goes over data.
    assert_eq!(output.lines_of("c"), ["text user right", "0", " 00 01 ff", "textuserright"], "{output}");
    for (kind, missing) in [
        ("kubernetes.io/tls", "must have the key \"tls.crt\""),
        ("kubernetes.io/ssh-auth", "must have the key \"ssh-privatekey\""),
        ("kubernetes.io/dockerconfigjson", "must have the key \".dockerconfigjson\""),
        ("kubernetes.io/service-account-token", "must have the annotation kubernetes.io/service-account.name"),
    ] {
        place.run(&yaml.replace("kubernetes.io/basic-auth", kind)).expect_refusal(&[missing]);
    }
    let bare = yaml.replace("username: dXNlcg==, password: d3Jvbmc=", "k: dg==").replace("password: right", "o: v");
    place
        .run(&bare)
        .expect_refusal(&["type: a Secret of type kubernetes.io/basic-auth must have the key \"username\""]);
    // A type of one's own asks for nothing.
    place.run(&yaml.replace("kubernetes.io/basic-auth", "example.com/mine")).expect_success();
}

// shows: spec.containers[].resources.requests.cpu, spec.containers[].resources.requests.memory,
// shows: spec.containers[].resources.requests.ephemeral-storage, spec.containers[].resizePolicy, spec.resources.requests.cpu,
// shows: spec.resources.requests.memory
#[test]
fn a_request_is_taken_and_sets_nothing_aside() {
    let place = Place::with(&["busybox"]);
    let requests = "resources: {requests: {cpu: 100m, memory: 16Mi, ephemeral-storage: 1Mi}}";
    let resize = "resizePolicy: [{resourceName: cpu, restartPolicy: NotRequired}]";
    // What a kubelet would have changed by a request: the weight of its processor time, and who goes when memory is short.
    let script = "nproc; nice; cat /proc/self/oom_score_adj /proc/self/cgroup; grep Max /proc/self/limits; dd if=/dev/zero of=/big bs=1M count=3 2>/dev/null && echo 3 MiB";
    let said = |container: &str, spec: &str| {
        let output = place.run(&shell_with("busybox", script, container, spec));
        output.expect_success();
        output.said()
    };
    let without = said("", "");
    assert!(without.ends_with("3 MiB"), "{without}");
    assert_eq!(said(&format!("{requests}\n{resize}"), ""), without);
    assert_eq!(said("", "resources: {requests: {cpu: 100m, memory: 16Mi}}"), without);
    // What this machine cannot give is told.
    let output = place.run(&shell_with("busybox", "true", "resources: {requests: {cpu: 100000, memory: 1Mi}}", ""));
    output.expect_success();
    let told = "spec.containers[0].resources.requests.cpu: emulated: this host has ";
    assert!(output.stderr.contains(told) && !output.stderr.contains("requests.memory"), "{output}");
    // It is remembered, and decides what would go first in a cluster.
    let yaml = pod("p", "terminationGracePeriodSeconds: 0", &[container_yaml("c", "busybox", LIVES, requests)]);
    detached::start(&place, &yaml);
    let object = inspect(&place, "p");
    assert_eq!(object["spec"]["containers"][0]["resources"]["requests"]["memory"], "16Mi");
    assert_eq!(object["status"]["qosClass"], "Burstable");
    detached::end_all(&place);
}

/// nginx, which writes down whom it was asked by, how and at which address, and answers gRPC's health service, too: by a file, behind a
/// proxy which adds the trailer and lets the message be seen.
const NGINX: &str = r#"pid /tmp/nginx.pid;
error_log stderr;
daemon off;
master_process off;
events {}
http {
    access_log off;
    log_format asked '$scheme $server_addr:$server_port $server_protocol $request_method $request_uri host=$http_host '
        'agent=$http_user_agent mark=$http_x_mark message=$request_body.';
    client_body_temp_path /tmp/body; proxy_temp_path /tmp/proxy; fastcgi_temp_path /tmp/f; uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s;
    ssl_certificate /tls/tls.crt;
    ssl_certificate_key /tls/tls.key;
    server {
        listen 8080;
        listen 8443 ssl;
        access_log /dev/stdout asked;
        location / { return 204; }
    }
    server {
        listen 9000 http2;
        listen 9443 ssl http2;
        access_log /dev/stdout asked;
        location / { proxy_pass http://127.0.0.1:8081; add_trailer grpc-status 0; }
    }
    server {
        listen 127.0.0.1:8081;
        root /conf;
        default_type application/grpc;
        error_page 405 =200 $uri;
    }
    server { listen 127.0.0.2:8082; }
}
"#;

// shows: spec.containers[].livenessProbe.grpc.port, spec.containers[].livenessProbe.grpc.service, spec.containers[].livenessProbe.grpc.mode,
// shows: spec.containers[].livenessProbe.httpGet.host, spec.containers[].livenessProbe.httpGet.httpHeaders[].name,
// shows: spec.containers[].livenessProbe.httpGet.httpHeaders[].value, spec.containers[].livenessProbe.httpGet.path,
// shows: spec.containers[].livenessProbe.httpGet.port, spec.containers[].livenessProbe.httpGet.protocol,
// shows: spec.containers[].livenessProbe.httpGet.scheme, spec.containers[].livenessProbe.tcpSocket.host,
// shows: spec.containers[].livenessProbe.tcpSocket.port, spec.containers[].lifecycle.postStart.httpGet.host,
// shows: spec.containers[].lifecycle.postStart.httpGet.httpHeaders[].name,
// shows: spec.containers[].lifecycle.postStart.httpGet.httpHeaders[].value, spec.containers[].lifecycle.postStart.httpGet.path,
// shows: spec.containers[].lifecycle.postStart.httpGet.port, spec.containers[].lifecycle.postStart.httpGet.protocol,
// shows: spec.containers[].lifecycle.postStart.httpGet.scheme, spec.containers[].lifecycle.preStop
#[test]
fn probes_and_hooks_ask_what_is_written() {
    let place = Place::with(&["busybox", "web"]);
    // The file holds both a key and a certificate, and nginx takes from it what it needs.
    let pem = serde_json::to_string(include_str!("../src/pod/probe/tests/localhost.pem")).unwrap();
    let conf = serde_json::to_string(NGINX).unwrap();
    let yaml = format!(
        "apiVersion: v1
kind: Pod
metadata: {{name: p}}
spec:
  restartPolicy: Always
  terminationGracePeriodSeconds: 30
  volumes:
  - {{name: tls, secret: {{secretName: tls}}}}
  - name: conf
    configMap: {{name: nginx, items: [{{key: nginx.conf, path: nginx.conf}}, {{key: serving, path: grpc.health.v1.Health/Check}}]}}
  initContainers:
  - name: web
    image: web
    restartPolicy: Always
    command: [nginx, -c, /conf/nginx.conf]
    volumeMounts: [{{name: tls, mountPath: /tls}}, {{name: conf, mountPath: /conf}}]
    startupProbe: {{periodSeconds: 1, failureThreshold: 60, timeoutSeconds: 10, grpc: {{port: 9000, service: my.Service}}}}
    readinessProbe: {{periodSeconds: 1, timeoutSeconds: 10, grpc: {{port: 9443, mode: TLS}}}}
    livenessProbe: {{periodSeconds: 1, timeoutSeconds: 10, httpGet: {{port: 8443, scheme: HTTPS, path: '/live?full=1', protocol: HTTP1}}}}
  containers:
  - name: c
    image: busybox
    command: [sh, -c, \"trap 'exit 0' TERM; echo up; while :; do sleep 9 & wait $!; done\"]
    ports: [{{name: plain, containerPort: 8080}}, {{name: secure, containerPort: 8443}}]
    startupProbe: {{periodSeconds: 1, failureThreshold: 60, timeoutSeconds: 10, tcpSocket: {{host: 127.0.0.2, port: 8082}}}}
    readinessProbe:
      periodSeconds: 1
      timeoutSeconds: 10
      httpGet:
        host: 127.0.0.3
        port: plain
        path: /ready
        httpHeaders: [{{name: Host, value: ready.example}}, {{name: X-Mark, value: of a probe}}]
    lifecycle:
      postStart:
        httpGet:
          scheme: HTTPS
          protocol: HTTP1
          host: 127.0.0.4
          port: secure
          path: started
          httpHeaders: [{{name: Host, value: started.example}}, {{name: X-Mark, value: of a hook}}]
      preStop: {{httpGet: {{port: plain, path: /bye}}}}
---
apiVersion: v1
kind: Secret
metadata: {{name: tls}}
type: kubernetes.io/tls
stringData: {{tls.crt: {pem}, tls.key: {pem}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: nginx}}
data: {{nginx.conf: {conf}}}
binaryData: {{serving: AAAAAAIIAQ==}}
"
    );
    let running = place.start_with(&yaml, &["--allow", "probeHosts"]);
    // gRPC's message is a byte and four for its length; the name of the service is field 1, behind its own length.
    running.wait_for(
        r"http 127.0.0.1:9000 HTTP/2.0 POST /grpc.health.v1.Health/Check host=127.0.0.1:9000 agent=kube-probe/",
    );
    running.wait_for(r"message=\x00\x00\x00\x00\x0C\x0A\x0Amy.Service.");
    running.wait_for(r"https 127.0.0.1:9443 HTTP/2.0 POST /grpc.health.v1.Health/Check host=127.0.0.1:9443");
    running.wait_for(r"message=\x00\x00\x00\x00\x00.");
    running.wait_for("https 127.0.0.1:8443 HTTP/1.1 GET /live?full=1 host=127.0.0.1:8443 agent=kube-probe/");
    running.wait_for("https 127.0.0.4:8443 HTTP/1.1 GET /started host=started.example agent=kube-lifecycle/");
    running.wait_for("mark=of a hook");
    // The startup probe has reached 127.0.0.2, for nobody listens on that port elsewhere; otherwise there would be no other probe.
    running.wait_for("http 127.0.0.3:8080 HTTP/1.1 GET /ready host=ready.example agent=kube-probe/");
    running.wait_for("mark=of a probe");
    let output = running.stop();
    output.expect_success();
    let bye = "http 127.0.0.1:8080 HTTP/1.1 GET /bye host=127.0.0.1:8080 agent=kube-lifecycle/";
    assert!(output.lines_of("web").iter().any(|line| line.starts_with(bye)), "{output}");
    assert!(!output.stderr.contains("hook failed") && !output.stderr.contains("probe failed"), "{output}");
    place.assert_nothing_left();
}

// shows: spec.containers[].livenessProbe.httpGet.host, spec.containers[].livenessProbe.tcpSocket.host
// shows: spec.containers[].lifecycle.postStart.httpGet.host
#[test]
fn a_probe_of_a_name_that_would_have_to_be_looked_up_is_refused() {
    let place = Place::with(&["busybox"]);
    for (field, at) in [
        ("livenessProbe: {tcpSocket: {port: 80, host: db.example}}", "livenessProbe.tcpSocket.host"),
        ("readinessProbe: {httpGet: {port: 80, host: db.example}}", "readinessProbe.httpGet.host"),
        ("lifecycle: {postStart: {httpGet: {port: 80, host: db.example}}}", "lifecycle.postStart.httpGet.host"),
    ] {
        let output = place.run_with(&shell_with("busybox", "true", field, ""), &["--allow", "probeHosts"]);
        output.expect_refusal(&[&format!("spec.containers[0].{at}: \"db.example\" is a name"), "write an address"]);
        // Nor may a pod have others asked, unless that is allowed.
        let output = place.run(&shell_with("busybox", "true", &field.replace("db.example", "127.0.0.2"), ""));
        output
            .expect_refusal(&[&format!("spec.containers[0].{at}: the baseline policy forbids"), "--allow probeHosts"]);
    }
}

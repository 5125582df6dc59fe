//! What is read, rather than refused: YAML's and kubectl's ways of writing things.

use k8s_openapi::api::core::v1::{Container, Pod};

use crate::manifest::{Bundle, Input, ObjectKey, Said, read};

fn bundle(files: &[&str]) -> Bundle {
    let inputs: Vec<Input> = (1..)
        .zip(files)
        .map(|(n, text)| Input { name: format!("{n}.yaml"), bytes: text.as_bytes().to_vec(), path: None })
        .collect();
    read(&inputs).unwrap_or_else(|e| panic!("{e}"))
}

fn pod(text: &str) -> Said<Pod> {
    bundle(&[text]).pods.remove(0)
}

fn container(pod: &Said<Pod>) -> &Container {
    &pod.object.spec.as_ref().unwrap().containers[0]
}

const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - name: c\n    image: i\n";

#[test]
fn several_documents_and_files_and_lists() {
    let map = "---\n# a comment\n---\nkind: ConfigMap\napiVersion: v1\nmetadata: {name: m, namespace: other}\ndata: {a: b}\n...\n";
    let list = r#"{"apiVersion": "v1", "kind": "List", "metadata": {}, "items": [
	{"apiVersion": "v1",
		"kind": "Secret", "metadata": {"name": "s"}, "data": {"k": "aGk=", "o": "aGk="},
	"stringData": {"o": "new"}}]}"#;
    let bundle = bundle(&[&format!("\u{feff}{POD}---\n"), map, list]);
    assert_eq!(bundle.pods.len(), 1);
    let key = |namespace: &str, name: &str| ObjectKey { namespace: namespace.into(), name: name.into() };
    let map = &bundle.config_maps[&key("other", "m")];
    assert_eq!(map.source.at("data.a"), "2.yaml:7");
    let secret = &bundle.secrets[&key("default", "s")];
    let data = secret.object.data.as_ref().unwrap();
    assert_eq!((data["k"].0.as_slice(), data["o"].0.as_slice()), (&b"hi"[..], &b"new"[..]));
    assert_eq!(secret.source.at("stringData.o"), "3.yaml:4");
    assert_eq!(secret.source.at("data"), "3.yaml:3");
    assert_eq!(secret.source.error("data.k", "why").to_string(), "3.yaml:3: items[0].data.k: why");
}

#[test]
fn lines_of_fields_and_of_what_is_not_written() {
    let pod = pod(&format!("{POD}    env:\n    - name: A\n\n      value: |\n        text\n  restartPolicy: Never\n"));
    for (path, at) in [
        ("kind", "1.yaml:2"),
        ("spec.containers[0]", "1.yaml:6"),
        ("spec.containers[0].env[0].value", "1.yaml:11"),
        ("spec.containers[0].env[0].valueFrom.fieldRef", "1.yaml:9"),
        ("spec.containers[1].image", "1.yaml:5"),
        ("spec.restartPolicy", "1.yaml:13"),
        ("status.phase", "1.yaml:1"),
    ] {
        assert_eq!(pod.source.at(path), at, "{path}");
    }
}

#[test]
fn anchors_and_merge_keys() {
    let text = format!(
        "{POD}    env: &env\n    - &a {{name: A, value: '1'}}\n  - <<: [{{name: d, image: j}}, {{image: k, workingDir: /w}}]\n    image: l\n    env: *env\n"
    );
    let pod = pod(&text);
    let second = &pod.object.spec.as_ref().unwrap().containers[1];
    assert_eq!(
        (second.name.as_str(), second.image.as_deref(), second.working_dir.as_deref()),
        ("d", Some("l"), Some("/w"))
    );
    assert_eq!(second.env, container(&pod).env);
    assert_eq!(pod.source.at("spec.containers[1].env"), "1.yaml:12");
}

#[test]
fn numbers_and_booleans_as_kubectl_reads_them() {
    let text = format!(
        "{POD}    stdin: off\n    resources: {{requests: {{cpu: 0.5, memory: 1e3}}}}\n    volumeMounts: [{{name: e, mountPath: /e, readOnly: yes}}]\n  \
         terminationGracePeriodSeconds: 5.0\n  volumes:\n  - name: e\n    emptyDir: {{sizeLimit: 1024}}\n  - name: m\n    secret: {{secretName: s, \
         defaultMode: 0400, optional: On}}\n"
    );
    let pod = pod(&text);
    let requests = container(&pod).resources.as_ref().unwrap().requests.as_ref().unwrap();
    assert_eq!((requests["cpu"].0.as_str(), requests["memory"].0.as_str()), ("0.5", "1000"));
    assert_eq!(container(&pod).volume_mounts.as_ref().unwrap()[0].read_only, Some(true));
    let spec = pod.object.spec.as_ref().unwrap();
    assert_eq!(spec.termination_grace_period_seconds, Some(5));
    assert_eq!(spec.volumes.as_ref().unwrap()[1].secret.as_ref().unwrap().default_mode, Some(0o400));
}

#[test]
fn what_kubectl_exports_is_accepted_and_noted() {
    let text = format!(
        "{POD}    imagePullPolicy: Always\n    resources: {{}}\n    terminationMessagePath: /dev/termination-log\n    terminationMessagePolicy: File\n  \
         dnsPolicy: ClusterFirst\n  enableServiceLinks: true\n  nodeName: node-1\n  preemptionPolicy: PreemptLowerPriority\n  priority: 0\n  \
         restartPolicy: Always\n  schedulerName: default-scheduler\n  securityContext: {{}}\n  serviceAccount: default\n  serviceAccountName: default\n  \
         terminationGracePeriodSeconds: 30\n  tolerations:\n  - {{effect: NoExecute, key: node.kubernetes.io/not-ready, operator: Exists, \
         tolerationSeconds: 300}}\nstatus:\n  phase: Running\n  podIP: 10.0.0.1\n  startTime: \"2026-11-22T18:00:00Z\"\n"
    )
    .replace(
        "metadata: {name: p}",
        "metadata: {name: p, creationTimestamp: \"2026-11-22T18:00:00Z\", generateName: p-, resourceVersion: '1', uid: x, \
         annotations: {kubectl.kubernetes.io/last-applied-configuration: '{}'}}",
    );
    let pod = pod(&text);
    let answers = crate::manifest::report::answers(crate::manifest::kind::Kind::Pod, &pod.source);
    for path in ["spec.nodeName", "status"] {
        assert!(answers.iter().any(|answer| answer.path == path), "{answers:?}");
    }
}

#[test]
fn values_that_are_written_but_unset() {
    pod(&format!(
        "{POD}    livenessProbe: null\n    args:\n    envFrom: []\n  hostAliases: []\n  subdomain: ''\n  nodeSelector: {{}}\n  initContainers:\n"
    ));
}

#[test]
fn base64_may_be_wrapped() {
    let text =
        format!("{POD}---\napiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\ndata:\n  k: |\n    aGVs\n    bG8=\n");
    assert_eq!(bundle(&[&text]).secrets.first_key_value().unwrap().1.object.data.as_ref().unwrap()["k"].0, b"hello");
}

#[test]
fn lines_may_end_in_crlf() {
    assert_eq!(container(&pod(&POD.replace('\n', "\r\n"))).image.as_deref(), Some("i"));
}

#[test]
fn a_containers_own_user_goes_before_the_pods() {
    pod(&format!(
        "{POD}    securityContext: {{runAsUser: 5}}\n  securityContext: {{runAsUser: 0, runAsNonRoot: true}}\n"
    ));
}

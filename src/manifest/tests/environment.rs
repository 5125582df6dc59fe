//! What the user reads about where variables come from: one small input a row, and the whole error.

use super::messages::{Rows, check, error, pod};

/// A container whose variable A comes from `source`, in a pod with an emptyDir `e` and a ConfigMap's volume `m`.
fn from(source: &str) -> String {
    let volumes = "  volumes: [{name: e, emptyDir: {}}, {name: m, configMap: {name: m, optional: true}}]\n";
    pod(&format!("    env: [{{name: A, valueFrom: {source}}}]\n{volumes}"))
}

const AT: &str = "pod.yaml:8: spec.containers[0].env[0].valueFrom";

#[test]
fn sources_that_are_good() {
    for source in [
        "{fieldRef: {fieldPath: metadata.name}}",
        "{fieldRef: {apiVersion: v1, fieldPath: metadata.uid}}",
        "{fieldRef: {apiVersion: '', fieldPath: status.hostIPs}}",
        "{fieldRef: {fieldPath: spec.host}}",
        "{fieldRef: {fieldPath: \"metadata.labels['example.com/a.b_c']\"}}",
        "{fieldRef: {fieldPath: \"metadata.annotations['Example.COM/a']\"}}",
        "{resourceFieldRef: {resource: limits.cpu}}",
        "{resourceFieldRef: {resource: requests.memory, divisor: 1024Ki, containerName: c}}",
        "{resourceFieldRef: {resource: limits.hugepages-2Mi, divisor: 1Mi}}",
        "{fileKeyRef: {volumeName: e, path: a/b.env, key: 'any key', optional: true}}",
    ] {
        assert_eq!(error(&from(source)), "no error", "{source}");
    }
}

#[test]
fn fields_of_the_pod() {
    let fields = "it takes metadata.name, metadata.namespace, metadata.uid, spec.nodeName, spec.serviceAccountName, status.hostIP, \
                  status.hostIPs, status.podIP, status.podIPs, metadata.labels['KEY'] and metadata.annotations['KEY']";
    for (path, why, mend) in [
        ("", "required", ""),
        (
            "metadata.nam",
            "\"metadata.nam\" is not a field that can be selected here",
            "did you mean \"metadata.name\"?",
        ),
        ("spec.restartPolicy", "\"spec.restartPolicy\" is not a field that can be selected here", fields),
        (
            "metadata.labels",
            "\"metadata.labels\" is not a field that can be selected here",
            "a variable takes one entry: metadata.labels['KEY']",
        ),
        ("metadata.labels['a'", "\"metadata.labels['a'\" is not a field that can be selected here", ""),
        (
            "metadata.name['a']",
            "\"metadata.name['a']\": only metadata.labels and metadata.annotations have entries to select",
            "",
        ),
        (
            "metadata.labels['a b']",
            "\"a b\" cannot be the name of a label or annotation: letters, digits, \"-\", \"_\" and \".\", a letter or digit at both \
             ends, at most 63 characters, with a DNS name and \"/\" before it if need be",
            "",
        ),
    ] {
        let path = serde_json::to_string(path).unwrap();
        let found = error(&from(&format!("{{fieldRef: {{fieldPath: {path}}}}}")));
        assert!(found.starts_with(&format!("{AT}.fieldRef.fieldPath: {why}")), "{found}");
        assert!(found.contains(mend), "{found}");
    }
    let other = error(&from("{fieldRef: {apiVersion: v2, fieldPath: metadata.name}}"));
    assert!(other.starts_with(&format!("{AT}.fieldRef.apiVersion: expected v1, found \"v2\"")), "{other}");
}

#[test]
fn other_sources() {
    let rows: Rows<'_> = &[
        (
            "{resourceFieldRef: {resource: limits.cpus}}",
            &[
                "pod.yaml:8: spec.containers[0].env[0].valueFrom.resourceFieldRef.resource: \"limits.cpus\" is not a resource of a container",
                "  did you mean \"limits.cpu\"?",
            ],
        ),
        (
            "{resourceFieldRef: {resource: limits.cpu, divisor: 2}}",
            &[
                "pod.yaml:8: spec.containers[0].env[0].valueFrom.resourceFieldRef.divisor: \"2\" is not a divisor of CPUs, which are 1 and 1m",
            ],
        ),
        (
            "{resourceFieldRef: {resource: limits.memory, divisor: 1m}}",
            &[
                "pod.yaml:8: spec.containers[0].env[0].valueFrom.resourceFieldRef.divisor: \"1m\" is not a divisor: 1, or one k, M, G, T, P, E, Ki, Mi, Gi, Ti, Pi or Ei",
            ],
        ),
        (
            "{resourceFieldRef: {resource: limits.cpu, containerName: none}}",
            &[
                "pod.yaml:8: spec.containers[0].env[0].valueFrom.resourceFieldRef.containerName: the pod has no container \"none\"",
                "  it has c",
            ],
        ),
        (
            "{fileKeyRef: {volumeName: m, path: ../x, key: 'a=b'}}",
            &[
                "pod.yaml:8: spec.containers[0].env[0].valueFrom.fileKeyRef.key: \"a=b\" cannot name a variable: printable ASCII characters without \"=\"",
                "pod.yaml:8: spec.containers[0].env[0].valueFrom.fileKeyRef.path: \"../x\" must not contain \"..\"",
                "pod.yaml:8: spec.containers[0].env[0].valueFrom.fileKeyRef.volumeName: \"m\" is not an emptyDir volume, and variables come from no other",
            ],
        ),
        (
            "{fileKeyRef: {volumeName: none, path: /x, key: ''}}",
            &[
                "pod.yaml:8: spec.containers[0].env[0].valueFrom.fileKeyRef.key: required",
                "pod.yaml:8: spec.containers[0].env[0].valueFrom.fileKeyRef.path: \"/x\" must be a relative path",
                "pod.yaml:8: spec.containers[0].env[0].valueFrom.fileKeyRef.volumeName: spec.volumes has no volume \"none\"",
            ],
        ),
        (
            "{fieldRef: {fieldPath: metadata.name}, resourceFieldRef: {resource: limits.cpu}}",
            &[
                "pod.yaml:8: spec.containers[0].env[0].valueFrom: valueFrom has one source, found fieldRef and resourceFieldRef",
            ],
        ),
    ];
    check(rows, from);
    let long = error(&from(&format!("{{fileKeyRef: {{volumeName: e, path: x, key: {}}}}}", "k".repeat(129))));
    assert_eq!(long, format!("{AT}.fileKeyRef.key: 129 bytes are more than 128"));
}

/// An object that may be missing must have a name that an object can have. That of one whose keys all become variables may end with a dash:
/// an API server judges it as what more could follow.
#[test]
fn names_of_objects() {
    let label = "is not a DNS name: lower-case letters, digits, \"-\" and \".\", a letter or digit at both ends and beside each \".\", \
                 at most 253 characters";
    for kind in ["configMapKeyRef", "secretKeyRef"] {
        for name in ["A_b", "a-"] {
            let found = error(&from(&format!("{{{kind}: {{name: {name}, key: k, optional: true}}}}")));
            assert_eq!(found, format!("{AT}.{kind}.name: \"{name}\" {label}"));
        }
        assert_eq!(error(&from(&format!("{{{kind}: {{name: a.b, key: k, optional: true}}}}"))), "no error");
    }
    for kind in ["configMapRef", "secretRef"] {
        let whole = |name: &str| error(&pod(&format!("    envFrom: [{{{kind}: {{name: {name}, optional: true}}}}]")));
        assert_eq!(whole("a-"), "no error");
        let at = format!("pod.yaml:8: spec.containers[0].envFrom[0].{kind}.name");
        assert!(whole("A_b").starts_with(&format!("{at}: \"A_b\" cannot begin a DNS name")), "{}", whole("A_b"));
    }
}

/// What files in volumes select, by the same grammar as variables.
#[test]
fn selectors_of_files() {
    let file = |selector: &str| {
        let item = format!("{{path: x, {selector}}}");
        let own = error(&pod(&format!("  volumes: [{{name: v, downwardAPI: {{items: [{item}]}}}}]")));
        let source = format!("{{downwardAPI: {{items: [{item}]}}}}");
        let projected = error(&pod(&format!("  volumes: [{{name: v, projected: {{sources: [{source}]}}}}]")));
        assert_eq!(projected.replace("projected.sources[0].downwardAPI", "downwardAPI"), own);
        own.replace("pod.yaml:8: spec.volumes[0].downwardAPI.items[0].", "")
    };
    for field in ["metadata.labels", "metadata.annotations['Example.com/A']", "metadata.uid"] {
        assert_eq!(file(&format!("fieldRef: {{fieldPath: \"{field}\"}}")), "no error", "{field}");
    }
    let unknown = "is not a field that can be selected here";
    for (selector, expected) in [
        ("fieldRef: {fieldPath: ''}", "fieldRef.fieldPath: required".to_owned()),
        (
            "fieldRef: {fieldPath: status.podIP}",
            format!("fieldRef.fieldPath: \"status.podIP\" {unknown}\n  only a variable takes it"),
        ),
        (
            "fieldRef: {fieldPath: metadata.label}",
            format!("fieldRef.fieldPath: \"metadata.label\" {unknown}\n  did you mean \"metadata.labels\"?"),
        ),
        (
            "fieldRef: {fieldPath: spec.tolerations}",
            format!(
                "fieldRef.fieldPath: \"spec.tolerations\" {unknown}\n  it takes metadata.name, metadata.namespace, metadata.uid, \
                 metadata.labels, metadata.annotations, metadata.labels['KEY'] and metadata.annotations['KEY']"
            ),
        ),
        (
            "fieldRef: {apiVersion: v2, fieldPath: metadata.uid}",
            "fieldRef.apiVersion: expected v1, found \"v2\"\n  did you mean \"v1\"?".into(),
        ),
        ("resourceFieldRef: {resource: limits.cpu}", "resourceFieldRef.containerName: required".to_owned()),
        (
            "resourceFieldRef: {containerName: none, resource: limits.cpu}",
            "resourceFieldRef.containerName: the pod has no container \"none\"\n  it has c".to_owned(),
        ),
        (
            "resourceFieldRef: {containerName: c, resource: limits.memory, divisor: '1e3'}",
            "resourceFieldRef.divisor: \"1e3\" is not a divisor: 1, or one k, M, G, T, P, E, Ki, Mi, Gi, Ti, Pi or Ei"
                .into(),
        ),
        ("resourceFieldRef: {containerName: c, resource: requests.hugepages-2Mi, divisor: 1Mi}", "no error".to_owned()),
    ] {
        assert_eq!(file(selector), expected, "{selector}");
    }
}

//! What the user reads: one small input a row, and the whole error.

use crate::manifest::{Input, read};

/// The whole error that reading `text` ends with.
pub fn error(text: &str) -> String {
    let input = Input { name: "pod.yaml".into(), bytes: text.as_bytes().to_vec(), path: None };
    match read(&[input]) {
        Ok(_) => "no error".into(),
        Err(e) => e.to_string(),
    }
}

/// A Pod with one whole container, which goes on with `fields` on line 8.
pub fn pod(fields: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec:\n  containers:\n  - name: c\n    image: i\n{fields}"
    )
}

/// A row for each input: its text, then the lines of the error.
pub type Rows<'a> = &'a [(&'a str, &'a [&'a str])];

pub fn check(rows: Rows<'_>, whole: fn(&str) -> String) {
    for (text, lines) in rows {
        assert_eq!(error(&whole(text)), lines.join("\n"), "{text}");
    }
}

#[test]
fn documents_and_kinds() {
    let rows: Rows<'_> = &[
        (
            "",
            &[
                "pod.yaml: no Pod or Job to run",
                "  at least one document must have `apiVersion: v1` and `kind: Pod`, or `batch/v1` and `Job`",
            ],
        ),
        (
            "hello",
            &[
                "pod.yaml:1: expected a Kubernetes object, which begins with apiVersion and kind, found the text \"hello\"",
                "  podling takes Pod, ConfigMap, Secret, PersistentVolumeClaim and List of apiVersion v1, and Job of batch/v1",
            ],
        ),
        (
            "- a",
            &[
                "pod.yaml:1: expected a Kubernetes object, which begins with apiVersion and kind, found a list",
                "  podling takes Pod, ConfigMap, Secret, PersistentVolumeClaim and List of apiVersion v1, and Job of batch/v1",
            ],
        ),
        (
            "a: b",
            &[
                "pod.yaml:1: apiVersion: required",
                "  podling takes Pod, ConfigMap, Secret, PersistentVolumeClaim and List of apiVersion v1, and Job of batch/v1",
                "pod.yaml:1: kind: required",
                "  podling takes Pod, ConfigMap, Secret, PersistentVolumeClaim and List of apiVersion v1, and Job of batch/v1",
            ],
        ),
        (
            "kind: Pod",
            &[
                "pod.yaml:1: apiVersion: required",
                "  podling takes Pod, ConfigMap, Secret, PersistentVolumeClaim and List of apiVersion v1, and Job of batch/v1",
            ],
        ),
        (
            "apiVersion: v1\nkind: pod",
            &["pod.yaml:2: kind: \"pod\" is not a kind that podling takes", "  did you mean \"Pod\"?"],
        ),
        (
            "apiVersion: apps/v1\nkind: Pod",
            &["pod.yaml:1: apiVersion: expected v1 for a Pod, found \"apps/v1\"", "  write apiVersion: v1"],
        ),
        (
            "apiVersion: v1\nkind: 1",
            &[
                "pod.yaml:2: kind: expected a text, found the number 1",
                "  podling takes Pod, ConfigMap, Secret, PersistentVolumeClaim and List of apiVersion v1, and Job of batch/v1",
            ],
        ),
        ("apiVersion: v1\nkind: List\nitems: {}", &["pod.yaml:3: items: expected a list of objects, found a mapping"]),
        (
            "apiVersion: v1\nkind: List\nitem: []\nkind: List",
            &["pod.yaml:3: item: unknown field; a List has items", "pod.yaml:4: kind: written twice, first on line 2"],
        ),
        (
            "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  metadata: {name: x}\n  spec:\n    containers:\n    - name: a\n      imag: x",
            &["pod.yaml:10: items[0].spec.containers[0].imag: unknown field", "  did you mean \"image\"?"],
        ),
        (
            "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: List\n  items:\n  - hello\n",
            &[
                "pod.yaml:7: items[0].items[0]: expected a Kubernetes object, which begins with apiVersion and kind, found the text \"hello\"",
                "  podling takes Pod, ConfigMap, Secret, PersistentVolumeClaim and List of apiVersion v1, and Job of batch/v1",
            ],
        ),
    ];
    check(rows, str::to_owned);
}

#[test]
fn yaml_itself() {
    let rows: Rows<'_> = &[
        (
            "a: b\n\tc: d",
            &[
                "pod.yaml:1: not YAML: while scanning a plain scalar, found a tab",
                "  a line is indented with a tab; YAML takes spaces only",
            ],
        ),
        (
            "a:\n\t- b",
            &[
                "pod.yaml:2: not YAML: tabs disallowed within this context (block indentation)",
                "  a line is indented with a tab; YAML takes spaces only",
            ],
        ),
        ("a: [", &["pod.yaml:1: not YAML: unclosed bracket '['"]),
        ("a: \"b", &["pod.yaml:1: not YAML: unclosed quote"]),
        (
            "a: b: c",
            &[
                "pod.yaml:1: not YAML: mapping values are not allowed in this context",
                "  is the indentation right? a value that contains \": \" must be in quotes",
            ],
        ),
        (
            "- a\nb: c",
            &[
                "pod.yaml:2: not YAML: while parsing a block collection, did not find expected '-' indicator",
                "  is the indentation right? the items of a list begin in the same column",
            ],
        ),
        (
            "a: *x",
            &[
                "pod.yaml:1: not YAML: while parsing node, found unknown anchor",
                "  a * at the beginning refers to an anchor (&name) further up; quote the value if that is not meant",
            ],
        ),
        ("a: &x [*x]", &["pod.yaml:1: this alias refers to the value that it is part of"]),
        (
            "a: @b",
            &[
                "pod.yaml:1: not YAML: unexpected character: `@'",
                "  a value that begins with this character must be in quotes",
            ],
        ),
        (
            "a: 'it's'",
            &[
                "pod.yaml:1: not YAML: invalid trailing content after single-quoted scalar",
                "  a quote inside single quotes is written twice: ''",
            ],
        ),
        ("on: x", &["pod.yaml:1: the name on is read as true by YAML", "  quote it: \"on\""]),
        ("010: x", &["pod.yaml:1: the name 010 is read as 8 by YAML", "  quote it: \"010\""]),
        (
            "? [a]\n: b",
            &[
                "pod.yaml:1: the name of a field must be a text, found a list or a mapping",
                "  quote a value that begins with [",
            ],
        ),
        (
            "a: {{ .Values.name }}",
            &[
                "pod.yaml:1: the name of a field must be a text, found a list or a mapping",
                "  quote a value that begins with {; a template ({{ ... }}) has to be rendered first",
            ],
        ),
        (": x", &["pod.yaml:1: the name of a field is missing before its colon"]),
        ("a: !foo b", &["pod.yaml:1: the tag !foo means nothing to Kubernetes", "  remove the tag"]),
        ("a: !!int x", &["pod.yaml:1: \"x\" is not what its tag !!int says"]),
        (
            "a: .inf",
            &[
                "pod.yaml:1: .inf is a number that JSON, and so Kubernetes, cannot hold",
                "  write \".inf\" in quotes if the text is meant",
            ],
        ),
        (
            "a: \u{7}",
            &[
                "pod.yaml:1: not YAML: unexpected character: `\\u{7}'",
                "  remove the control character, or write it as an escape in double quotes",
            ],
        ),
        ("<<: 1\na: b", &["pod.yaml:1: << merges a mapping or a list of mappings"]),
        (
            "a:\n    b: 1\n  c: 2",
            &[
                "pod.yaml:3: not YAML: while parsing a block mapping, did not find expected key",
                "  is the indentation right? the fields of a mapping begin in the same column",
            ],
        ),
        (
            "a:\n  b: 1\n  c\n  d: 2",
            &["pod.yaml:3: not YAML: simple key expected ':'", "  is a colon missing after the name of a field?"],
        ),
    ];
    check(rows, str::to_owned);
}

#[test]
fn metadata_config_maps_and_secrets() {
    let rows: Rows<'_> = &[
        (
            "apiVersion: v1\nkind: Pod\nspec: {containers: []}",
            &[
                "pod.yaml:1: metadata.name: required",
                "pod.yaml:3: spec.containers: required: a Pod has at least one container",
            ],
        ),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {generateName: x-}\nspec: 1",
            &["pod.yaml:4: spec: expected a mapping of fields, found the number 1"],
        ),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {generateName: x-}",
            &[
                "pod.yaml:1: spec: required",
                "pod.yaml:3: metadata.name: podling makes no name of generateName",
                "  write metadata.name",
            ],
        ),
        (
            "apiVersion: v1\nkind: Pod\nmetadata: {name: My_Pod, namespace: A}\nspec: {containers: [{name: My_App, image: ' x'}]}",
            &[
                "pod.yaml:3: metadata.name: \"My_Pod\" is not a DNS name: lower-case letters, digits, \"-\" and \".\", a letter or digit at both ends and beside each \".\", at most 253 characters",
                "pod.yaml:3: metadata.namespace: \"A\" is not a DNS label: lower-case letters, digits and \"-\", a letter or digit at both ends, at most 63 characters",
                "  for example \"a\"",
                "pod.yaml:4: spec.containers[0].name: \"My_App\" is not a DNS label: lower-case letters, digits and \"-\", a letter or digit at both ends, at most 63 characters",
                "  for example \"my-app\"",
                "pod.yaml:4: spec.containers[0].image: \" x\" must not begin or end with a space",
            ],
        ),
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\n  labels: {'a b': v}\n  annotations: {a/b/c: x}\n",
            &[
                "pod.yaml:5: metadata.labels[a b]: \"a b\" cannot be the name of a label or annotation: letters, digits, \"-\", \"_\" and \".\", a letter or digit at both ends, at most 63 characters, with a DNS name and \"/\" before it if need be",
                "pod.yaml:6: metadata.annotations[a/b/c]: \"a/b/c\" cannot be the name of a label or annotation: letters, digits, \"-\", \"_\" and \".\", a letter or digit at both ends, at most 63 characters, with a DNS name and \"/\" before it if need be",
            ],
        ),
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {c: 1, d: yes}\nbinaryData: {e: '%'}",
            &[
                "pod.yaml:4: data.c: expected a text, found the number 1",
                "  quote it: \"1\"",
                "pod.yaml:4: data.d: expected a text, found the boolean yes (which YAML reads as true)",
                "  quote it: \"yes\"",
                "pod.yaml:5: binaryData.e: expected base64, which this is not",
                "  plain text belongs to data; `printf %s TEXT | base64 -w0` encodes it",
            ],
        ),
        (
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {a/b: x, d: x}\nbinaryData: {d: aGk=}",
            &[
                "pod.yaml:4: data[a/b]: \"a/b\" cannot be a key: letters, digits, \"-\", \"_\" and \".\", not beginning with \"..\", at most 253 characters",
                "pod.yaml:5: binaryData.d: the key \"d\" is in data too, at pod.yaml:4",
            ],
        ),
        (
            "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\ntype: kubernetes.io/tls\nstringData: {tls.crt: x}",
            &["pod.yaml:4: type: a Secret of type kubernetes.io/tls must have the key \"tls.key\""],
        ),
        (
            "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\ndata: {password: hunter2, num: 12}\nstringData: {pin: 1234}",
            &[
                "pod.yaml:4: data.num: expected base64, which this is not",
                "  plain text belongs to stringData; `printf %s TEXT | base64 -w0` encodes it",
                "pod.yaml:4: data.password: expected base64, which this is not",
                "  plain text belongs to stringData; `printf %s TEXT | base64 -w0` encodes it",
                "pod.yaml:5: stringData.pin: expected a text, found something else",
                "  put the value in quotes",
            ],
        ),
        (
            "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\nstringdata: {x: y}",
            &["pod.yaml:4: stringdata: unknown field", "  did you mean \"stringData\"?"],
        ),
        (
            "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: x, namespace: default}\n",
            &["pod.yaml:7: metadata.name: Secret \"x\" is already defined at pod.yaml:3", "  rename one of them"],
        ),
    ];
    check(rows, str::to_owned);
}

#[test]
fn unknown_and_misplaced_fields() {
    let rows: Rows<'_> = &[
        ("    imge: x", &["pod.yaml:8: spec.containers[0].imge: unknown field", "  did you mean \"image\"?"]),
        ("    Image: x", &["pod.yaml:8: spec.containers[0].Image: unknown field", "  did you mean \"image\"?"]),
        (
            "    volumes: []",
            &[
                "pod.yaml:8: spec.containers[0].volumes: unknown field",
                "  volumes belongs to spec; is the indentation right?",
            ],
        ),
        (
            "  env: []",
            &["pod.yaml:8: spec.env: unknown field", "  env belongs to spec.containers[]; is the indentation right?"],
        ),
        ("  foo: bar", &["pod.yaml:8: spec.foo: unknown field"]),
        (
            "  image: x",
            &[
                "pod.yaml:8: spec.image: unknown field",
                "  image belongs to spec.containers[] or spec.volumes[]; is the indentation right?",
            ],
        ),
        (
            "  metadata: {}",
            &[
                "pod.yaml:8: spec.metadata: unknown field",
                "  metadata belongs to the top level; is the indentation right?",
            ],
        ),
        (
            "labels: {}",
            &["pod.yaml:8: labels: unknown field", "  labels belongs to metadata; is the indentation right?"],
        ),
        ("spec2: {}", &["pod.yaml:8: spec2: unknown field", "  did you mean \"spec\"?"]),
        (
            "    volumeMounts: [{name: d, mountPath: /x, readonly: true}]",
            &["pod.yaml:8: spec.containers[0].volumeMounts[0].readonly: unknown field", "  did you mean \"readOnly\"?"],
        ),
        (
            "  volumes: [{name: d, secret: {name: x}}]",
            &["pod.yaml:8: spec.volumes[0].secret.name: unknown field", "  did you mean \"secretName\"?"],
        ),
        (
            "  volumes: [{name: d, configMap: {configMapName: x}}]",
            &["pod.yaml:8: spec.volumes[0].configMap.configMapName: unknown field", "  did you mean \"name\"?"],
        ),
        (
            "  volumes: [{name: d, emptyDir: {foo: x}}]",
            &[
                "pod.yaml:8: spec.volumes[0].emptyDir.foo: unknown field",
                "  podling takes medium, mode, sizeLimit here",
            ],
        ),
        ("  tolerations: [{ky: x}]", &["pod.yaml:8: spec.tolerations[0].ky: unknown field"]),
        ("  spec.hostname: x", &["pod.yaml:8: spec[spec.hostname]: unknown field", "  did you mean \"hostname\"?"]),
        ("    name: d", &["pod.yaml:8: spec.containers[0].name: written twice, first on line 6"]),
    ];
    check(rows, pod);
}

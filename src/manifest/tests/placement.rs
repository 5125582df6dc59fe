//! What the user reads about where a pod may run: one small input a row, and the whole error.

use super::messages::{Rows, check, error, pod};

const NODE: &str = "spec.affinity.nodeAffinity";
const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

#[test]
fn places_that_are_good() {
    for fields in [
        "nodeSelector: {kubernetes.io/os: linux, disk: ''}",
        "nodeName: worker-1.example",
        "schedulerName: mine",
        "{priority: 5, priorityClassName: system-node-critical, preemptionPolicy: Never}",
        "os: {name: linux}",
        "schedulingGates: []",
        "affinity: {}",
        "affinity: {nodeAffinity: {}, podAffinity: {}, podAntiAffinity: {}}",
        "tolerations: [{operator: Exists}, {key: a, value: b}, {key: a, operator: Equal, effect: NoSchedule}]",
        "tolerations: [{key: a, operator: Exists, effect: NoExecute, tolerationSeconds: -1}]",
        "tolerations: [{key: a, operator: Gt, value: '5', effect: PreferNoSchedule}]",
        "topologySpreadConstraints: [{maxSkew: 1, topologyKey: a, whenUnsatisfiable: DoNotSchedule, minDomains: 1}]",
        "topologySpreadConstraints: [{maxSkew: 1, topologyKey: a, whenUnsatisfiable: ScheduleAnyway, nodeTaintsPolicy: Honor, \
         nodeAffinityPolicy: Ignore, labelSelector: {}, matchLabelKeys: [x]}]",
        // A preference for what no label can be is met by no node.
        "affinity: {nodeAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 100, preference: \
         {matchExpressions: [{key: a, operator: In, values: ['a b']}]}}]}}",
        "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: \
         [{key: a, operator: Gt, values: ['5']}, {key: b, operator: DoesNotExist}], matchFields: [{key: metadata.name, \
         operator: NotIn, values: [m]}]}]}}}",
        "affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{topologyKey: a/b, labelSelector: \
         {matchLabels: {x: z}, matchExpressions: [{key: z, operator: Exists}]}, namespaces: [m], namespaceSelector: {}, \
         matchLabelKeys: [v], mismatchLabelKeys: [w]}]}}",
    ] {
        let fields = if let Some(inner) = fields.strip_prefix('{') {
            inner.trim_end_matches('}').split(", ").map(|field| format!("  {field}\n")).collect()
        } else {
            format!("  {fields}")
        };
        assert_eq!(error(&pod(&fields)), "no error", "{fields}");
    }
}

#[test]
fn nodes_and_names() {
    let rows: Rows<'_> = &[
        (
            "  nodeName: Worker",
            &[
                "pod.yaml:8: spec.nodeName: \"Worker\" is not a DNS name: lower-case letters, digits, \"-\" and \".\", a letter or digit at both ends and beside each \".\", at most 253 characters",
            ],
        ),
        (
            "  nodeSelector: {disk: 'a b'}",
            &[
                "pod.yaml:8: spec.nodeSelector.disk: \"a b\" cannot be the value of a label: letters, digits, \"-\", \"_\" and \".\", a letter or digit at both ends, at most 63 characters",
            ],
        ),
        (
            "  preemptionPolicy: always",
            &["pod.yaml:8: spec.preemptionPolicy: expected PreemptLowerPriority or Never, found \"always\""],
        ),
        ("  os: {}", &["pod.yaml:8: spec.os.name: required"]),
    ];
    check(rows, pod);
}

/// `fields` of the required node affinity, and what is wrong below its terms.
#[test]
fn node_affinity() {
    let at = format!("pod.yaml:8: {NODE}.{REQUIRED}.nodeSelectorTerms");
    for (terms, problems) in [
        ("[]", vec![": required: at least one term"]),
        (
            "[{matchExpressions: [{key: a, operator: In}]}]",
            vec!["[0].matchExpressions[0].values: required where the operator is In"],
        ),
        (
            "[{matchExpressions: [{key: a, operator: Exists, values: [x]}]}]",
            vec!["[0].matchExpressions[0].values: must not be written where the operator is Exists"],
        ),
        (
            "[{}, {matchExpressions: [{key: a, operator: Lt, values: ['1', '2']}]}]",
            vec!["[1].matchExpressions[0].values: Lt takes exactly one value, found 2"],
        ),
        (
            "[{matchExpressions: [{key: a, operator: in, values: [x]}]}]",
            vec![
                "[0].matchExpressions[0].operator: expected In, NotIn, Exists, DoesNotExist, Gt or Lt, found \"in\"\n  did you mean \"In\"?",
            ],
        ),
        (
            "[{matchFields: [{key: metadata.name, operator: In, values: [x, z]}]}]",
            vec!["[0].matchFields[0].values: a field takes exactly one value, found 2"],
        ),
        (
            "[{matchFields: [{key: metadata.namespace, operator: Exists, values: [x]}]}]",
            vec![
                "[0].matchFields[0].key: expected metadata.name, found \"metadata.namespace\"",
                "[0].matchFields[0].operator: expected In or NotIn, found \"Exists\"",
            ],
        ),
    ] {
        let fields = format!("  affinity: {{nodeAffinity: {{{REQUIRED}: {{nodeSelectorTerms: {terms}}}}}}}");
        let expected: Vec<String> = problems.iter().map(|problem| format!("{at}{problem}")).collect();
        assert_eq!(error(&pod(&fields)), expected.join("\n"), "{terms}");
    }
    for weight in [0, 101] {
        let fields = format!("  affinity: {{nodeAffinity: {{{PREFERRED}: [{{weight: {weight}, preference: {{}}}}]}}}}");
        let expected = format!("pod.yaml:8: {NODE}.{PREFERRED}[0].weight: {weight} is outside 1 to 100");
        assert_eq!(error(&pod(&fields)), expected);
    }
}

#[test]
fn pod_affinity() {
    for kind in ["podAffinity", "podAntiAffinity"] {
        for (term, problems) in [
            ("{}", vec![".topologyKey: required"]),
            (
                "{topologyKey: a, labelSelector: {matchExpressions: [{key: a, operator: Gt, values: ['1']}]}}",
                vec![
                    ".labelSelector.matchExpressions[0].operator: expected In, NotIn, Exists or DoesNotExist, found \"Gt\"",
                ],
            ),
            (
                "{topologyKey: a, namespaceSelector: {matchExpressions: [{key: a, operator: NotIn}]}}",
                vec![".namespaceSelector.matchExpressions[0].values: required where the operator is NotIn"],
            ),
            (
                "{topologyKey: a, matchLabelKeys: [x]}",
                vec![".matchLabelKeys: must not be written without a labelSelector"],
            ),
            (
                "{topologyKey: a, labelSelector: {}, matchLabelKeys: [x], mismatchLabelKeys: [z, x]}",
                vec![".mismatchLabelKeys[1]: \"x\" is in matchLabelKeys, too"],
            ),
        ] {
            let required = format!("  affinity: {{{kind}: {{{REQUIRED}: [{term}]}}}}");
            let at = format!("pod.yaml:8: spec.affinity.{kind}.{REQUIRED}[0]");
            let expected: Vec<String> = problems.iter().map(|problem| format!("{at}{problem}")).collect();
            assert_eq!(error(&pod(&required)), expected.join("\n"), "{term}");
            let preferred =
                format!("  affinity: {{{kind}: {{{PREFERRED}: [{{weight: 0, podAffinityTerm: {term}}}]}}}}");
            let told = error(&pod(&preferred));
            let at = format!("pod.yaml:8: spec.affinity.{kind}.{PREFERRED}[0]");
            assert!(told.starts_with(&format!("{at}.weight: 0 is outside 1 to 100\n")), "{told}");
            for problem in problems {
                assert!(told.contains(&format!("{at}.podAffinityTerm{problem}")), "{told}");
            }
        }
    }
}

/// What an API server makes of the keys of which the pod's own values are meant: it adds each that the pod has a label for to the selector,
/// and takes none that then says two things about it.
#[test]
fn keys_in_both() {
    let labelled = |labels: &str, fields: &str| {
        let whole = pod(fields);
        let named = format!("metadata: {{name: p, labels: {labels}}}");
        assert!(whole.contains("metadata: {name: p}"), "{whole}");
        error(&whole.replacen("metadata: {name: p}", &named, 1))
    };
    let constraint = |keys: &str| {
        let said = format!("maxSkew: 1, topologyKey: a, whenUnsatisfiable: ScheduleAnyway, {keys}");
        (format!("  topologySpreadConstraints:\n  - {{{said}}}"), "topologySpreadConstraints[0]".to_owned())
    };
    let term = |kind: &str, keys: &str| {
        let fields = format!("  affinity: {{{kind}: {{{REQUIRED}:\n    [{{topologyKey: a, {keys}}}]}}}}");
        (fields, format!("affinity.{kind}.{REQUIRED}[0]"))
    };
    for (labels, keys, problem) in [
        (
            "{app: x}",
            "labelSelector: {matchLabels: {app: x}}, matchLabelKeys: [b, app]",
            "[1]: \"app\" is in the labelSelector, too, at pod.yaml:9",
        ),
        (
            "{app: x}",
            "labelSelector: {matchExpressions: [{key: app, operator: Exists}]}, matchLabelKeys: [app]",
            "[0]: \"app\" is in the labelSelector, too, at pod.yaml:9",
        ),
        (
            "{}",
            "labelSelector: {matchLabels: {app: x}, matchExpressions: [{key: app, operator: Exists}]}, matchLabelKeys: [app]",
            "[0]: \"app\" is in the labelSelector, too, at pod.yaml:9",
        ),
        ("{app: x}", "labelSelector: {}, matchLabelKeys: [app, app]", "[1]: \"app\" is written twice"),
        ("{b: x}", "labelSelector: {matchLabels: {app: x}}, matchLabelKeys: [app]", ""),
        ("{app: x}", "labelSelector: {matchLabels: {b: x}}, matchLabelKeys: [app]", ""),
    ] {
        for (fields, at) in [constraint(keys), term("podAffinity", keys), term("podAntiAffinity", keys)] {
            let expected = match problem {
                "" => "no error".to_owned(),
                problem => format!("pod.yaml:9: spec.{at}.matchLabelKeys{problem}\n  remove one of them"),
            };
            assert_eq!(labelled(labels, &fields), expected, "{labels} {fields}");
        }
    }
    // A selector may narrow down those that differ.
    let (fields, _) = term("podAffinity", "labelSelector: {matchLabels: {app: x}}, mismatchLabelKeys: [app]");
    assert_eq!(labelled("{app: x}", &fields), "no error");
}

#[test]
fn tolerations_and_spread() {
    for (item, problem) in [
        ("{}", ".operator: must be Exists where no key is written, which means all taints"),
        ("{key: a, operator: Exists, value: b}", ".value: must not be written where the operator is Exists"),
        ("{key: a, operator: Lt, value: b}", ".value: \"b\" is not a whole number"),
        ("{key: a, operator: Like}", ".operator: expected Equal, Exists, Lt or Gt, found \"Like\""),
        ("{key: a, effect: NoRun}", ".effect: expected NoSchedule, PreferNoSchedule or NoExecute, found \"NoRun\""),
        (
            "{key: a, effect: NoSchedule, tolerationSeconds: 5}",
            ".effect: must be NoExecute where tolerationSeconds is written",
        ),
    ] {
        let expected = format!("pod.yaml:8: spec.tolerations[0]{problem}");
        assert_eq!(error(&pod(&format!("  tolerations: [{item}]"))), expected, "{item}");
    }
    let whole = "maxSkew: 1, topologyKey: a, whenUnsatisfiable: ScheduleAnyway";
    for (item, problem) in [
        ("maxSkew: 0, topologyKey: a, whenUnsatisfiable: DoNotSchedule", ".maxSkew: 0 is not greater than 0"),
        ("maxSkew: 1, topologyKey: '', whenUnsatisfiable: DoNotSchedule", ".topologyKey: required"),
        ("maxSkew: 1, topologyKey: a", ".whenUnsatisfiable: required, DoNotSchedule or ScheduleAnyway"),
        (
            "maxSkew: 1, topologyKey: a, whenUnsatisfiable: Never",
            ".whenUnsatisfiable: expected DoNotSchedule or ScheduleAnyway, found \"Never\"",
        ),
        (
            "maxSkew: 1, topologyKey: a, whenUnsatisfiable: DoNotSchedule, minDomains: 0",
            ".minDomains: 0 is not greater than 0",
        ),
        (
            &format!("{whole}, minDomains: 2"),
            ".minDomains: may only be written where whenUnsatisfiable is DoNotSchedule",
        ),
        (&format!("{whole}, nodeTaintsPolicy: Obey"), ".nodeTaintsPolicy: expected Honor or Ignore, found \"Obey\""),
        (&format!("{whole}, matchLabelKeys: [x]"), ".matchLabelKeys: must not be written without a labelSelector"),
    ] {
        let expected = format!("pod.yaml:8: spec.topologySpreadConstraints[0]{problem}");
        assert_eq!(error(&pod(&format!("  topologySpreadConstraints: [{{{item}}}]"))), expected, "{item}");
    }
    let twice = format!("  topologySpreadConstraints:\n  - {{{whole}}}\n  - {{{whole}, nodeTaintsPolicy: Honor}}");
    let expected = "pod.yaml:10: spec.topologySpreadConstraints[1]: another constraint has the same topologyKey and \
                    whenUnsatisfiable at pod.yaml:9";
    assert_eq!(error(&pod(&twice)), expected);
}

#[test]
fn what_needs_a_cluster_is_refused() {
    for (fields, expected) in [
        (
            "schedulingGates: [{name: a/b}]",
            "schedulingGates: there is nobody to take them away, so the pod would stay pending",
        ),
        (
            "readinessGates: [{conditionType: a/b}]",
            "readinessGates: there is nobody to set the condition, so the pod would never be ready",
        ),
        ("runtimeClassName: kata", "runtimeClassName: podling is the runtime, and there are no classes to choose from"),
        (
            "schedulingGroup: {podGroupName: g}",
            "schedulingGroup: podling starts each pod by itself, and there are no groups to start with",
        ),
        (
            "evictionResponders: [{name: a/b, priority: 1}]",
            "evictionResponders: they answer evictions, and nobody evicts a pod from this host",
        ),
        (
            "overhead: {cpu: 100m}",
            "overhead.cpu: only a RuntimeClass has an overhead, and podling is the only runtime here",
        ),
        (
            "resourceClaims: [{name: gpu, resourceClaimName: c}]",
            "resourceClaims: there are no drivers of devices to claim from",
        ),
        ("os: {name: windows}", "os.name: \"windows\": podling runs Linux containers"),
    ] {
        assert_eq!(error(&pod(&format!("  {fields}"))), format!("pod.yaml:8: spec.{expected}"));
    }
}

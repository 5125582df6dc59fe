//! What this host is as a node, and what pods may require of it.

use serde_json::{Value, json};

use super::objections;
use crate::manifest::{Bundle, Input, read};
use crate::plan::fixture::Fixture;

const NODE: &str = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
const OWN: &str = "its labels: kubernetes.io/arch=amd64, kubernetes.io/hostname=here, kubernetes.io/os=linux";

/// A pod as YAML, which is JSON.
fn pod(name: &str, labels: Value, fields: &Value) -> Value {
    let mut spec = json!({ "containers": [{ "name": "main", "image": "busybox" }] });
    if let (Some(spec), Some(fields)) = (spec.as_object_mut(), fields.as_object()) {
        spec.extend(fields.clone());
    }
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "labels": labels }, "spec": spec })
}

/// What is told about the first of `pods` on a host with `labels`: path, reason and mend of each objection, a line each.
fn told(pods: &[Value], labels: &[(&str, &str)]) -> Vec<String> {
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": pods });
    let bundle =
        read(&[Input { name: "pod.yaml".to_owned(), bytes: list.to_string().into_bytes(), path: None }]).unwrap();
    told_in(&bundle, labels)
}

fn told_in(bundle: &Bundle, labels: &[(&str, &str)]) -> Vec<String> {
    let mut fixture = Fixture::new(Value::Null);
    fixture.options.node_labels = labels.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    let objections = objections(&bundle.pods[0], bundle, &fixture.host, &fixture.options);
    objections
        .into_iter()
        .map(|objection| {
            let mend = objection.mend.map_or(String::new(), |mend| format!(" | {mend}"));
            format!("{}: {}{mend}", objection.path, objection.why)
        })
        .collect()
}

#[track_caller]
fn assert_told(fields: Value, labels: &[(&str, &str)], expected: &[String]) {
    assert_eq!(told(&[pod("p", json!({}), &fields)], labels), expected, "{fields}");
}

const NOTHING: &[String] = &[];

#[test]
fn node_selectors() {
    for (selector, labels) in [
        (json!({}), vec![]),
        (json!({ "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64" }), vec![]),
        (json!({ "beta.kubernetes.io/os": "linux", "beta.kubernetes.io/arch": "amd64" }), vec![]),
        (json!({ "kubernetes.io/hostname": "here" }), vec![]),
        (json!({ "disk": "ssd" }), vec![("disk", "ssd")]),
        (json!({ "spot": "" }), vec![("spot", "")]),
        (json!({ "kubernetes.io/hostname": "worker" }), vec![("kubernetes.io/hostname", "worker")]),
    ] {
        assert_told(json!({ "nodeSelector": selector }), &labels, NOTHING);
    }
    let expected = [
        format!(
            "spec.nodeSelector.disk: it wants disk=ssd, and this host has no label disk; {OWN} | --node-label disk=ssd gives it that label"
        ),
        format!(
            "spec.nodeSelector[kubernetes.io/os]: it wants kubernetes.io/os=windows, and this host has kubernetes.io/os=linux; {OWN}"
        ),
    ];
    assert_told(json!({ "nodeSelector": { "kubernetes.io/os": "windows", "disk": "ssd" } }), &[], &expected);
    let expected = "spec.nodeSelector.disk: it wants disk=ssd, and this host has disk=hdd; its labels: disk=hdd, \
                    kubernetes.io/arch=amd64, kubernetes.io/hostname=here, kubernetes.io/os=linux | --node-label disk=ssd \
                    gives it that label";
    assert_told(json!({ "nodeSelector": { "disk": "ssd" } }), &[("disk", "hdd")], &[expected.to_owned()]);
}

fn node_affinity(terms: Value) -> Value {
    json!({ "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": terms } } } })
}

#[test]
fn requirements_of_a_node() {
    let labels = [("disk", "ssd"), ("cores", "8"), ("name", "x")];
    for (key, operator, values, met) in [
        ("disk", "In", vec!["hdd", "ssd"], true),
        ("disk", "In", vec!["hdd"], false),
        ("zone", "In", vec!["a"], false),
        ("disk", "NotIn", vec!["hdd"], true),
        ("disk", "NotIn", vec!["hdd", "ssd"], false),
        ("zone", "NotIn", vec!["a"], true),
        ("disk", "Exists", vec![], true),
        ("zone", "Exists", vec![], false),
        ("zone", "DoesNotExist", vec![], true),
        ("disk", "DoesNotExist", vec![], false),
        ("cores", "Gt", vec!["7"], true),
        ("cores", "Gt", vec!["8"], false),
        ("cores", "Lt", vec!["9"], true),
        ("cores", "Lt", vec!["8"], false),
        ("cores", "Gt", vec!["many"], false),
        ("name", "Gt", vec!["1"], false),
        ("zone", "Lt", vec!["1"], false),
    ] {
        let one = json!({ "key": key, "operator": operator, "values": values });
        let told = told(&[pod("p", json!({}), &node_affinity(json!([{ "matchExpressions": [one] }])))], &labels);
        assert_eq!(told.is_empty(), met, "{one}: {told:?}");
        assert!(met || told[0].starts_with(&format!("{NODE}[0].matchExpressions[0]: it wants ")), "{told:?}");
    }
    for (operator, name, met) in
        [("In", "here", true), ("In", "else", false), ("NotIn", "here", false), ("NotIn", "else", true)]
    {
        let one = json!({ "key": "metadata.name", "operator": operator, "values": [name] });
        let told = told(&[pod("p", json!({}), &node_affinity(json!([{ "matchFields": [one] }])))], &labels);
        assert_eq!(told.is_empty(), met, "{one}: {told:?}");
    }
}

#[test]
fn a_node_affinity_that_is_not_met_says_what_would_meet_it() {
    let gpu = json!({ "key": "gpu", "operator": "In", "values": ["a100", "h100"] });
    let zone = json!({ "key": "zone", "operator": "Exists" });
    let cores = json!({ "key": "cores", "operator": "Gt", "values": ["4"] });
    let old = json!({ "key": "old", "operator": "DoesNotExist" });
    assert_told(
        node_affinity(json!([{ "matchExpressions": [gpu, zone, cores] }])),
        &[],
        &[
            format!(
                "{NODE}[0].matchExpressions[0]: it wants gpu in (a100, h100), and this host has no label gpu; {OWN} | --node-label gpu=a100 gives it that label"
            ),
            format!(
                "{NODE}[0].matchExpressions[1]: it wants a label zone, and this host has no label zone; {OWN} | --node-label zone=VALUE gives it that label"
            ),
            format!(
                "{NODE}[0].matchExpressions[2]: it wants cores greater than 4, and this host has no label cores; {OWN} | --node-label cores=5 gives it that label"
            ),
        ],
    );
    let worker = json!({ "key": "metadata.name", "operator": "In", "values": ["worker-1"] });
    assert_told(
        node_affinity(json!([{ "matchFields": [worker] }])),
        &[],
        &[format!(
            "{NODE}[0].matchFields[0]: it wants metadata.name in (worker-1), and this host is called here; {OWN} | --node-label \
             kubernetes.io/hostname=worker-1 gives it that label"
        )],
    );
    assert_told(
        node_affinity(json!([{ "matchFields": [worker] }])),
        &[("kubernetes.io/hostname", "worker-1")],
        NOTHING,
    );
    // One term that is met is enough.
    assert_told(node_affinity(json!([{ "matchExpressions": [gpu] }, { "matchExpressions": [old] }])), &[], NOTHING);
    assert_told(
        node_affinity(json!([{}, { "matchExpressions": [old] }, { "matchExpressions": [gpu, zone] }])),
        &[("old", "1")],
        &[format!(
            "{NODE}: this host meets none of the terms: [0] an empty term is met by no node; [1] it wants no label old, and this \
             host has old=1; [2] it wants gpu in (a100, h100), and this host has no label gpu, it wants a label zone, and this \
             host has no label zone; {OWN}, old=1 | --node-label gpu=a100 --node-label zone=VALUE would meet one"
        )],
    );
    let told = told(&[pod("p", json!({}), &node_affinity(json!([{ "matchExpressions": [old] }])))], &[("old", "1")]);
    assert!(told[0].ends_with("| leave out --node-label old=1"), "{told:?}");
}

const AFFINITY: &str = "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution";
const ANTI: &str = "spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution";
const PENDING: &str = "no pod of the input meets it, nor does the pod itself, so a scheduler would leave it pending | \
                       give podling the pod that it belongs beside in the same input";

fn terms(kind: &str, terms: Value) -> Value {
    json!({ "affinity": { kind: { "requiredDuringSchedulingIgnoredDuringExecution": terms } } })
}

fn term(selector: Value) -> Value {
    json!({ "topologyKey": "kubernetes.io/hostname", "labelSelector": selector })
}

/// Which labels of the other pod a term means, whichever way it is written.
#[test]
fn terms_mean_pods() {
    let web = json!({ "matchLabels": { "app": "web" } });
    let in_ = |operator: &str, values: &[&str]| json!({ "matchExpressions": [{ "key": "app", "operator": operator, "values": values }] });
    let with = |mut term: Value, field: &str, value: Value| {
        term[field] = value;
        term
    };
    for (said, meant) in [
        (term(web.clone()), true),
        (term(json!({})), true),
        (json!({ "topologyKey": "kubernetes.io/hostname" }), false),
        (term(json!({ "matchLabels": { "app": "web", "tier": "front" } })), false),
        (term(in_("In", &["web", "db"])), true),
        (term(in_("In", &["db"])), false),
        (term(in_("NotIn", &["db"])), true),
        (term(in_("NotIn", &["web"])), false),
        (term(in_("Exists", &[])), true),
        (term(in_("DoesNotExist", &[])), false),
        (with(term(web.clone()), "namespaces", json!(["other"])), false),
        (with(term(web.clone()), "namespaces", json!(["other", "default"])), true),
        (with(term(web.clone()), "namespaceSelector", json!({})), true),
        (
            with(
                term(web.clone()),
                "namespaceSelector",
                json!({ "matchLabels": { "kubernetes.io/metadata.name": "default" } }),
            ),
            true,
        ),
        (with(term(web.clone()), "namespaceSelector", json!({ "matchLabels": { "team": "a" } })), false),
        (with(term(web.clone()), "matchLabelKeys", json!(["version"])), true),
        (with(term(web.clone()), "matchLabelKeys", json!(["build"])), false),
        (with(term(web.clone()), "matchLabelKeys", json!(["absent"])), true),
        (with(term(web.clone()), "mismatchLabelKeys", json!(["version"])), false),
        (with(term(web.clone()), "mismatchLabelKeys", json!(["build"])), true),
    ] {
        let other = pod("other", json!({ "app": "web", "version": "1", "build": "a" }), &json!({}));
        let owner = pod("p", json!({ "version": "1", "build": "b" }), &terms("podAntiAffinity", json!([said])));
        let told = told(&[owner, other], &[]);
        assert_eq!(told.len(), usize::from(meant), "{said}: {told:?}");
    }
}

#[test]
fn the_first_of_the_pods_that_want_to_be_together_is_placed() {
    let web = term(json!({ "matchLabels": { "app": "web" } }));
    let fields = terms("podAffinity", json!([web]));
    assert_eq!(told(&[pod("p", json!({ "app": "web" }), &fields)], &[]), NOTHING);
    assert_eq!(told(&[pod("p", json!({}), &fields)], &[]), [format!("{AFFINITY}[0]: {PENDING}")]);
    assert_eq!(told(&[pod("p", json!({}), &fields), pod("q", json!({ "app": "web" }), &json!({}))], &[]), NOTHING);
    // One pod has to meet all terms.
    let db = term(json!({ "matchLabels": { "app": "db" } }));
    let both = terms("podAffinity", json!([web, db]));
    let others = [
        pod("p", json!({}), &both),
        pod("q", json!({ "app": "web" }), &json!({})),
        pod("r", json!({ "app": "db" }), &json!({})),
    ];
    assert_eq!(told(&others, &[]), [format!("{AFFINITY}: {PENDING}")]);
    // The node has to be of some group, even for the first.
    let zoned = json!({ "topologyKey": "zone", "labelSelector": {} });
    let fields = terms("podAffinity", json!([zoned]));
    let expected = format!(
        "{AFFINITY}[0].topologyKey: a scheduler groups nodes by it, and this host has no label zone; {OWN} | --node-label \
         zone=VALUE gives it one"
    );
    assert_told(fields.clone(), &[], &[expected]);
    assert_told(fields, &[("zone", "a")], NOTHING);
}

#[test]
fn pods_of_one_input_that_keep_away_from_each_other_do_not_both_run_here() {
    let fields = terms("podAntiAffinity", json!([term(json!({ "matchLabels": { "app": "web" } }))]));
    let web = |name: &str| pod(name, json!({ "app": "web" }), &fields);
    assert_eq!(told(&[web("p")], &[]), NOTHING);
    let expected = format!(
        "{ANTI}[0]: it keeps the pod away from the pod \"q\" (pod.yaml:1), and both would run on this host | give podling one of them"
    );
    assert_eq!(told(&[web("p"), web("q")], &[]), [expected]);
    assert_eq!(told(&[web("p"), pod("q", json!({ "app": "db" }), &json!({}))], &[]), NOTHING);
    let zoned = terms("podAntiAffinity", json!([{ "topologyKey": "zone", "labelSelector": {} }]));
    assert_eq!(told(&[pod("p", json!({}), &zoned), web("q")], &[]), NOTHING);
    assert_eq!(told(&[pod("p", json!({}), &zoned), web("q")], &[("zone", "a")]).len(), 1);
}

#[test]
fn a_pod_that_is_started_again_still_has_its_neighbours() {
    let fields = terms("podAffinity", json!([term(json!({ "matchLabels": { "app": "web" } }))]));
    let pods = [pod("p", json!({}), &fields), pod("q", json!({ "app": "web" }), &json!({}))];
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": pods });
    let mut bundle =
        read(&[Input { name: "pod.yaml".to_owned(), bytes: list.to_string().into_bytes(), path: None }]).unwrap();
    bundle.neighbours = bundle.pods.split_off(1);
    assert_eq!(told_in(&bundle, &[]), NOTHING);
}

#[test]
fn what_any_placement_satisfies() {
    let preferred = "preferredDuringSchedulingIgnoredDuringExecution";
    let zone = json!({ "matchExpressions": [{ "key": "zone", "operator": "Exists" }] });
    let pods = json!([{ "weight": 1, "podAffinityTerm": { "topologyKey": "zone", "labelSelector": {} } }]);
    assert_told(
        json!({
            "affinity": {
                "nodeAffinity": { preferred: [{ "weight": 1, "preference": zone }] },
                "podAffinity": { preferred: pods },
                "podAntiAffinity": { preferred: pods },
            },
            "tolerations": [{ "operator": "Exists" }],
            "priorityClassName": "system-node-critical",
            "topologySpreadConstraints": [{ "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway" }],
        }),
        &[],
        NOTHING,
    );
    let spread = json!({ "topologySpreadConstraints": [
        { "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule" },
        { "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule" },
    ] });
    let expected = format!(
        "spec.topologySpreadConstraints[1].topologyKey: a scheduler groups nodes by it, and this host has no label zone; {OWN} | \
         --node-label zone=VALUE gives it one"
    );
    assert_told(spread.clone(), &[], &[expected]);
    assert_told(spread, &[("zone", "a")], NOTHING);
}

#[test]
fn what_is_satisfied_otherwise_than_in_a_cluster() {
    let report = |fields: Value, labels: &[(&str, &str)]| -> Vec<String> {
        let mut fixture = Fixture::new(pod("p", json!({}), &fields));
        fixture.options.node_labels = labels.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
        fixture.plan().unwrap().report.into_iter().map(|verdict| format!("{}: {}", verdict.path, verdict.how)).collect()
    };
    for fields in [
        json!({ "nodeName": "here", "schedulerName": "default-scheduler" }),
        json!({ "nodeName": "", "schedulerName": "" }),
        json!({ "topologySpreadConstraints": [{ "maxSkew": 1, "topologyKey": "kubernetes.io/os", "whenUnsatisfiable": "DoNotSchedule", "minDomains": 1 }] }),
    ] {
        assert_eq!(report(fields, &[]), NOTHING);
    }
    assert_eq!(report(json!({ "nodeName": "worker" }), &[("kubernetes.io/hostname", "worker")]), NOTHING);
    for (fields, expected) in [
        (
            json!({ "nodeName": "worker" }),
            "spec.nodeName: podling runs the pod on this host, \"here\"; a cluster runs it on the node \"worker\" and nowhere else",
        ),
        (
            json!({ "schedulerName": "volcano" }),
            "spec.schedulerName: podling starts the pod at once; a cluster leaves it to the scheduler \"volcano\"",
        ),
        (
            json!({ "topologySpreadConstraints": [{ "maxSkew": 2, "topologyKey": "kubernetes.io/os", "whenUnsatisfiable": "DoNotSchedule", "minDomains": 3 }] }),
            "spec.topologySpreadConstraints[0].minDomains: this host is the only domain, and podling starts any number of such \
             pods on it; a cluster with fewer than 3 domains starts at most 2 in each",
        ),
    ] {
        assert_eq!(report(fields, &[]), [expected]);
    }
}

//! The kinds that podling does not take, and lists of those that it does.

use super::messages::{Rows, check, error};
use crate::manifest::{Class, Input, examine, read};

#[test]
fn kinds_of_a_cluster_are_refused_by_name_with_what_they_need() {
    for (version, kind, words) in [
        ("apps/v1", "Deployment", "a number of like pods running"),
        ("apps/v1", "StatefulSet", "numbered pods"),
        ("apps/v1", "DaemonSet", "a pod on each node"),
        ("apps/v1", "ReplicaSet", "a number of like pods running"),
        ("v1", "ReplicationController", "a number of like pods running"),
        ("batch/v1", "CronJob", "look at the clock"),
        ("v1", "Service", "a network between pods and a name server"),
        ("networking.k8s.io/v1", "Ingress", "a proxy and Services"),
        ("networking.k8s.io/v1", "NetworkPolicy", "a network between pods"),
        ("v1", "Namespace", "a cluster's API server"),
        ("v1", "ServiceAccount", "a cluster's API server"),
        ("rbac.authorization.k8s.io/v1", "Role", "a cluster's API server"),
        ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "a cluster's API server"),
        ("v1", "PersistentVolume", "the driver of that storage"),
        ("storage.k8s.io/v1", "StorageClass", "the driver of that storage"),
        ("autoscaling/v2", "HorizontalPodAutoscaler", "Deployments"),
        ("apiextensions.k8s.io/v1", "CustomResourceDefinition", "API server"),
        ("monitoring.example.com/v1", "Alert", "the controller of monitoring.example.com"),
    ] {
        let text = format!("apiVersion: {version}\nkind: {kind}\nmetadata: {{name: x}}\nspec: {{anything: [1]}}\n");
        let why = error(&text);
        assert!(
            why.starts_with(&format!("pod.yaml:2: kind: \"{kind}\" is not a kind that podling takes: it ")),
            "{why}"
        );
        assert!(why.contains(words) && why.lines().count() == 2, "{why}");
        // A cluster takes it, so the input is not invalid.
        let problems = examine(&[Input { name: "x".into(), bytes: text.into_bytes(), path: None }]).problems;
        assert_eq!(problems.len(), 1);
        assert_eq!(problems[0].class, Class::Refused);
    }
}

#[test]
fn versions_and_slips() {
    let rows: Rows<'_> = &[
        (
            "apiVersion: v1\nkind: Job",
            &["pod.yaml:1: apiVersion: expected batch/v1 for a Job, found \"v1\"", "  write apiVersion: batch/v1"],
        ),
        (
            "apiVersion: batch/v1\nkind: Pod",
            &["pod.yaml:1: apiVersion: expected v1 for a Pod, found \"batch/v1\"", "  write apiVersion: v1"],
        ),
        (
            "apiVersion: batch/v1\nkind: job",
            &["pod.yaml:2: kind: \"job\" is not a kind that podling takes", "  did you mean \"Job\"?"],
        ),
        (
            "apiVersion: v1\nkind: Thing",
            &[
                "pod.yaml:2: kind: \"Thing\" is not a kind that podling takes",
                "  podling takes Pod, ConfigMap, Secret, PersistentVolumeClaim and List of apiVersion v1, and Job of batch/v1",
            ],
        ),
        (
            "apiVersion: v1\nkind: ThingList",
            &[
                "pod.yaml:2: kind: \"ThingList\" is not a kind that podling takes",
                "  podling takes Pod, ConfigMap, Secret, PersistentVolumeClaim and List of apiVersion v1, and Job of batch/v1",
            ],
        ),
        (
            "apiVersion: v1\nkind: JobList\nitems: []",
            &["pod.yaml:1: apiVersion: expected batch/v1 for a JobList, found \"v1\"", "  write apiVersion: batch/v1"],
        ),
    ];
    check(rows, str::to_owned);
}

#[test]
fn items_of_a_pod_list_need_not_say_what_they_are() {
    let pod = "- metadata: {name: a}\n  spec: {containers: [{name: c, image: i}]}\n";
    let text = format!("apiVersion: v1\nkind: PodList\nitems:\n{pod}");
    let bundle = read(&[Input { name: "x".into(), bytes: text.into_bytes(), path: None }]).unwrap();
    assert_eq!(bundle.pods[0].object.metadata.name.as_deref(), Some("a"));
    let why = error(&format!("apiVersion: v1\nkind: List\nitems:\n{pod}"));
    assert!(why.contains("items[0].apiVersion: required"), "{why}");
    let why = error("apiVersion: v1\nkind: PodList\nitems:\n- kind: Pod\n");
    assert!(why.contains("items[0].apiVersion: required"), "{why}");
}

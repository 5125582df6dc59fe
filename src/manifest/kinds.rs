//! The kinds of Kubernetes that podling does not take: what it would need for each.

/// Kinds, what podling would need for them, and what the user can do instead.
type Row = (&'static [&'static str], &'static str, &'static str);

const AS_POD: &str = "write its spec.template as a Pod: apiVersion v1, kind Pod, its metadata and spec";
const LEAVE_OUT: &str = "leave it out: podling's pods run without it";

const KINDS: &[Row] = &[
    (
        &["Deployment", "ReplicaSet", "ReplicationController"],
        "it keeps a number of like pods running and replaces them, for which podling would need a process that is always there to watch over them",
        AS_POD,
    ),
    (
        &["StatefulSet"],
        "it keeps numbered pods running, each with claims of its own, for which podling would need a process that is always there to watch over them",
        AS_POD,
    ),
    (
        &["DaemonSet"],
        "it runs a pod on each node of a cluster, for which podling would need nodes, and a process that is always there to watch over them",
        AS_POD,
    ),
    (
        &["CronJob"],
        "it starts Jobs at set times, for which podling would need a process that is always there to look at the clock",
        "write its spec.jobTemplate as a Job (apiVersion batch/v1, kind Job), and let cron or a systemd timer run podling",
    ),
    (
        &["PodTemplate"],
        "it is only a part that other objects are made of, for which podling would need the controller that makes them",
        "write its template as a Pod: apiVersion v1, kind Pod, its metadata and spec",
    ),
    (
        &["Service", "Endpoints", "EndpointSlice"],
        "it gives pods an address and a name of their own, for which podling would need a network between pods and a name server",
        "leave it out; `podling port-forward` leads from this host to a pod's port",
    ),
    (
        &["Ingress", "IngressClass", "Gateway", "HTTPRoute"],
        "it leads requests from outside to Services, for which podling would need a proxy and Services",
        "leave it out; `podling port-forward` leads from this host to a pod's port",
    ),
    (
        &["NetworkPolicy"],
        "it says which pods may reach each other, for which podling would need a network between pods",
        "leave it out: each pod has a network of its own",
    ),
    (
        &["Namespace"],
        "it is a part of a cluster's API server, which podling has not",
        "leave it out: metadata.namespace needs no Namespace here",
    ),
    (
        &["ServiceAccount", "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"],
        "it says what may be asked of a cluster's API server, which podling has not",
        LEAVE_OUT,
    ),
    (
        &["PersistentVolume", "StorageClass", "VolumeAttachment", "CSIDriver", "VolumeSnapshot"],
        "it describes a cluster's storage, for which podling would need the driver of that storage",
        "leave it out; an emptyDir volume lasts as long as its pod",
    ),
    (
        &["HorizontalPodAutoscaler", "VerticalPodAutoscaler", "PodDisruptionBudget"],
        "it changes how many pods of a workload run, for which podling would need Deployments and a process that is always there",
        LEAVE_OUT,
    ),
    (
        &["ResourceQuota", "LimitRange", "PriorityClass", "RuntimeClass"],
        "it is a rule of a cluster for the pods of many users, for which podling would need a cluster's API server",
        LEAVE_OUT,
    ),
    (
        &["Node", "Lease", "Event", "Binding"],
        "it is what a cluster says of itself, for which podling would need a cluster",
        "leave it out",
    ),
    (
        &["CustomResourceDefinition", "APIService", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"],
        "it extends a cluster's API server, which podling has not",
        LEAVE_OUT,
    ),
    (
        &["Kustomization"],
        "it tells kustomize how to make objects, for which podling would need kustomize",
        "give podling what it makes: kubectl kustomize DIRECTORY | podling run -",
    ),
];

/// What podling would need to take an object of `kind`, and what the user can do; `None` for a kind that Kubernetes does not have either.
pub(super) fn needs(kind: &str, version: Option<&str>) -> Option<(String, String)> {
    if let Some((_, needs, mend)) = KINDS.iter().find(|(names, ..)| names.contains(&kind)) {
        return Some(((*needs).to_owned(), (*mend).to_owned()));
    }
    // Kubernetes' own groups have no point in them, or end in `.k8s.io`.
    let (group, _) = version?.split_once('/')?;
    let is_custom = group.contains('.') && !group.ends_with(".k8s.io");
    is_custom.then(|| {
        let needs = format!("it is a custom resource, for which podling would need the controller of {group}");
        (needs, "leave it out, and give podling the Pods that the controller would make".to_owned())
    })
}

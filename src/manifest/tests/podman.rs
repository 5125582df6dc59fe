//! What `podman kube play` documents about fields: its own page of supported Kubernetes fields (docs/kubernetes_support.md of
//! containers/podman) and, for kinds of volumes, podman-kube-play(1), as they stood in November 2026.

const YES: &[&str] = &[
    "spec.containers",
    "spec.initContainers",
    "spec.volumes",
    "spec.volumes.configMap",
    "spec.volumes.emptyDir",
    "spec.volumes.hostPath",
    "spec.volumes.image",
    "spec.volumes.persistentVolumeClaim",
    "spec.restartPolicy",
    "spec.terminationGracePeriodSeconds",
    "spec.hostname",
    "spec.hostAliases",
    "spec.dnsConfig",
    "spec.hostNetwork",
    "spec.hostPID",
    "spec.hostIPC",
    "spec.shareProcessNamespace",
    "spec.securityContext.runAsUser",
    "spec.securityContext.runAsGroup",
    "spec.securityContext.supplementalGroups",
    "spec.securityContext.seLinuxOptions",
    "spec.securityContext.sysctls",
    "spec.containers.name",
    "spec.containers.image",
    "spec.containers.imagePullPolicy",
    "spec.containers.command",
    "spec.containers.args",
    "spec.containers.workingDir",
    "spec.containers.ports",
    "spec.containers.env.name",
    "spec.containers.env.value",
    "spec.containers.env.valueFrom.configMapKeyRef",
    "spec.containers.env.valueFrom.fieldRef",
    "spec.containers.env.valueFrom.resourceFieldRef",
    "spec.containers.env.valueFrom.secretKeyRef",
    "spec.containers.envFrom.configMapRef",
    "spec.containers.envFrom.secretRef",
    "spec.containers.volumeMounts.mountPath",
    "spec.containers.volumeMounts.name",
    "spec.containers.volumeMounts.readOnly",
    "spec.containers.volumeMounts.subPath",
    "spec.containers.resources.limits",
    "spec.containers.resources.requests",
    "spec.containers.lifecycle.stopSignal",
    "spec.containers.livenessProbe",
    "spec.containers.securityContext.runAsUser",
    "spec.containers.securityContext.runAsGroup",
    "spec.containers.securityContext.readOnlyRootFilesystem",
    "spec.containers.securityContext.procMount",
    "spec.containers.securityContext.privileged",
    "spec.containers.securityContext.allowPrivilegeEscalation",
    "spec.containers.securityContext.capabilities",
    "spec.containers.securityContext.seLinuxOptions",
];

const NO: &[&str] = &[
    "spec.imagePullSecrets",
    "spec.enableServiceLinks",
    "spec.os",
    "spec.runtimeClassName",
    "spec.priorityClassName",
    "spec.priority",
    "spec.activeDeadlineSeconds",
    "spec.readinessGates",
    "spec.setHostnameAsFQDN",
    "spec.subdomain",
    "spec.dnsPolicy",
    "spec.serviceAccountName",
    "spec.automountServiceAccountToken",
    "spec.securityContext.runAsNonRoot",
    "spec.securityContext.fsGroup",
    "spec.securityContext.fsGroupChangePolicy",
    "spec.securityContext.seccompProfile",
    "spec.securityContext.windowsOptions",
    "spec.containers.envFrom.prefix",
    "spec.containers.volumeMounts.mountPropagation",
    "spec.containers.volumeMounts.subPathExpr",
    "spec.containers.volumeDevices",
    "spec.containers.lifecycle.postStart",
    "spec.containers.lifecycle.preStop",
    "spec.containers.terminationMessagePath",
    "spec.containers.terminationMessagePolicy",
    "spec.containers.readinessProbe",
    "spec.containers.startupProbe",
    "spec.containers.securityContext.runAsNonRoot",
    "spec.containers.securityContext.seccompProfile",
    "spec.containers.securityContext.windowsOptions",
    "spec.containers.stdin",
    "spec.containers.stdinOnce",
    "spec.containers.tty",
];

/// It says that one node cannot support them.
const NOT_APPLICABLE: &[&str] = &[
    "spec.nodeSelector",
    "spec.nodeName",
    "spec.affinity",
    "spec.tolerations",
    "spec.schedulerName",
    "spec.topologySpreadConstraints",
];

const KIND_YES: &[(&str, &str)] = &[
    ("ConfigMap", "binaryData"),
    ("ConfigMap", "data"),
    ("PersistentVolumeClaim", "spec.storageClassName"),
    ("PersistentVolumeClaim", "spec.accessModes"),
    ("PersistentVolumeClaim", "spec.resources.requests"),
    ("Job", "spec.template"),
];

const KIND_NO: &[(&str, &str)] = &[
    ("ConfigMap", "immutable"),
    ("PersistentVolumeClaim", "spec.volumeName"),
    ("PersistentVolumeClaim", "spec.volumeMode"),
    ("PersistentVolumeClaim", "spec.selector"),
    ("PersistentVolumeClaim", "spec.resources.limits"),
    ("Job", "spec.activeDeadlineSeconds"),
    ("Job", "spec.selector"),
    ("Job", "spec.backoffLimit"),
    ("Job", "spec.completionMode"),
    ("Job", "spec.completions"),
    ("Job", "spec.manualSelector"),
    ("Job", "spec.parallelism"),
    ("Job", "spec.podFailurePolicy"),
    ("Job", "spec.suspend"),
    ("Job", "spec.ttlSecondsAfterFinished"),
];

/// What is documented about the field `pattern` of `kind`, or about the nearest one above it; `not mentioned` where nothing is.
pub fn documented(kind: &str, pattern: &str) -> &'static str {
    let bare = pattern.replace("[]", "");
    let mut above = bare.as_str();
    loop {
        let of_kind = |list: &[(&str, &str)]| list.contains(&(kind, above));
        // That containers and volumes are supported says nothing about each of their fields.
        let is_list =
            above.len() < bare.len() && matches!(above, "spec.containers" | "spec.initContainers" | "spec.volumes");
        match () {
            () if is_list => return "not mentioned",
            () if of_kind(KIND_YES) || (kind == "Pod" && YES.contains(&above)) => return "yes",
            () if of_kind(KIND_NO) || (kind == "Pod" && NO.contains(&above)) => return "no",
            () if kind == "Pod" && NOT_APPLICABLE.contains(&above) => return "N/A",
            () => {}
        }
        match above.rfind(['.', '[']) {
            Some(cut) => above = &above[..cut],
            None => return "not mentioned",
        }
    }
}

//! Every field of a Pod, ConfigMap and Secret, and what podling does with it: the one table behind "nothing is silently ignored".
//!
//! A path names list items by `[]` and the entries of a free-form map by `*`. A row that is [`Rule::Accepted`] or
//! [`Rule::Refused`] stands for everything below it. `spec.initContainers[]` has the rows of `spec.containers[]`, all three
//! probes have those of `livenessProbe`, and `preStop` has those of `postStart`.

use std::borrow::Cow;

use super::kind::Kind;

/// What podling does with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Rule {
    /// It is done.
    Honoured,
    /// Any value is taken, and why it makes no difference here.
    Accepted(&'static str),
    /// These values are what podling does anyway; any other is refused, and why.
    Only(&'static [&'static str], &'static str),
    /// Refused, and why.
    Refused(&'static str),
}

/// A path and its rule.
pub(super) type Field = (&'static str, Rule);

use Rule::{Accepted, Honoured, Only, Refused};

const EXPORTED: Rule = Accepted("the API server's own bookkeeping");
const ONE_NODE: Rule = Accepted("there is one node, this machine");
const NODE_CHOICE: Rule = Refused("podling does not check the labels of this machine, its only node");
const OTHER_PODS: Rule = Refused("podling does not place pods by other pods");
const NO_CLUSTER: Rule = Refused("it needs a cluster");
const SHARE: Rule = Accepted("what the pod gets at least; nothing is set aside on this machine");
const LIMITS: Rule = Refused("podling does not honour resource limits yet");
const YET: Rule = Refused("podling does not honour it yet");
const VOLUME: Rule =
    Refused("podling does not honour this kind of volume yet; it takes emptyDir, configMap and secret");
const REMOTE: Rule = Refused("podling does not attach storage from elsewhere; it takes emptyDir, configMap and secret");
const WINDOWS: Rule = Refused("podling runs Linux containers");

/// The rows that all kinds share.
const COMMON: &[Field] = &[
    ("", Honoured),
    ("apiVersion", Honoured),
    ("kind", Honoured),
    ("metadata", Honoured),
    ("metadata.annotations", Honoured),
    ("metadata.annotations.*", Honoured),
    ("metadata.creationTimestamp", EXPORTED),
    ("metadata.deletionGracePeriodSeconds", EXPORTED),
    ("metadata.deletionTimestamp", EXPORTED),
    ("metadata.finalizers", EXPORTED),
    ("metadata.generateName", Accepted("metadata.name is what counts")),
    ("metadata.generation", EXPORTED),
    ("metadata.labels", Honoured),
    ("metadata.labels.*", Honoured),
    ("metadata.managedFields", EXPORTED),
    ("metadata.name", Honoured),
    ("metadata.namespace", Honoured),
    ("metadata.ownerReferences", EXPORTED),
    ("metadata.resourceVersion", EXPORTED),
    ("metadata.selfLink", EXPORTED),
    ("metadata.uid", EXPORTED),
];

const CONFIG_MAP: &[Field] = &[
    ("binaryData", Honoured),
    ("binaryData.*", Honoured),
    ("data", Honoured),
    ("data.*", Honoured),
    ("immutable", Accepted("a pod's copy never changes")),
];

const SECRET: &[Field] = &[
    ("data", Honoured),
    ("data.*", Honoured),
    ("immutable", Accepted("a pod's copy never changes")),
    ("stringData", Honoured),
    ("stringData.*", Honoured),
    ("type", Honoured),
];

const POD: &[Field] = &[
    ("spec", Honoured),
    ("spec.activeDeadlineSeconds", Honoured),
    ("spec.affinity", Honoured),
    ("spec.affinity.nodeAffinity", Honoured),
    ("spec.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution", ONE_NODE),
    ("spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution", NODE_CHOICE),
    ("spec.affinity.podAffinity", Honoured),
    ("spec.affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution", ONE_NODE),
    ("spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution", OTHER_PODS),
    ("spec.affinity.podAntiAffinity", Honoured),
    ("spec.affinity.podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution", ONE_NODE),
    ("spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution", OTHER_PODS),
    ("spec.automountServiceAccountToken", Accepted("there is no API server, so no token is mounted")),
    ("spec.containers", Honoured),
    ("spec.containers[]", Honoured),
    ("spec.containers[].args", Honoured),
    ("spec.containers[].args[]", Honoured),
    ("spec.containers[].command", Honoured),
    ("spec.containers[].command[]", Honoured),
    ("spec.containers[].env", Honoured),
    ("spec.containers[].envFrom", Honoured),
    ("spec.containers[].envFrom[]", Honoured),
    ("spec.containers[].envFrom[].configMapRef", Honoured),
    ("spec.containers[].envFrom[].configMapRef.name", Honoured),
    ("spec.containers[].envFrom[].configMapRef.optional", Honoured),
    ("spec.containers[].envFrom[].prefix", Honoured),
    ("spec.containers[].envFrom[].secretRef", Honoured),
    ("spec.containers[].envFrom[].secretRef.name", Honoured),
    ("spec.containers[].envFrom[].secretRef.optional", Honoured),
    ("spec.containers[].env[]", Honoured),
    ("spec.containers[].env[].name", Honoured),
    ("spec.containers[].env[].value", Honoured),
    ("spec.containers[].env[].valueFrom", Honoured),
    ("spec.containers[].env[].valueFrom.configMapKeyRef", Honoured),
    ("spec.containers[].env[].valueFrom.configMapKeyRef.key", Honoured),
    ("spec.containers[].env[].valueFrom.configMapKeyRef.name", Honoured),
    ("spec.containers[].env[].valueFrom.configMapKeyRef.optional", Honoured),
    ("spec.containers[].env[].valueFrom.fieldRef", YET),
    ("spec.containers[].env[].valueFrom.fileKeyRef", YET),
    ("spec.containers[].env[].valueFrom.resourceFieldRef", YET),
    ("spec.containers[].env[].valueFrom.secretKeyRef", Honoured),
    ("spec.containers[].env[].valueFrom.secretKeyRef.key", Honoured),
    ("spec.containers[].env[].valueFrom.secretKeyRef.name", Honoured),
    ("spec.containers[].env[].valueFrom.secretKeyRef.optional", Honoured),
    ("spec.containers[].image", Honoured),
    ("spec.containers[].imagePullPolicy", Honoured),
    ("spec.containers[].lifecycle", Honoured),
    ("spec.containers[].lifecycle.postStart", Honoured),
    ("spec.containers[].lifecycle.postStart.exec", Honoured),
    ("spec.containers[].lifecycle.postStart.exec.command", Honoured),
    ("spec.containers[].lifecycle.postStart.exec.command[]", Honoured),
    ("spec.containers[].lifecycle.postStart.httpGet", Honoured),
    ("spec.containers[].lifecycle.postStart.httpGet.host", Honoured),
    ("spec.containers[].lifecycle.postStart.httpGet.httpHeaders", Honoured),
    ("spec.containers[].lifecycle.postStart.httpGet.httpHeaders[]", Honoured),
    ("spec.containers[].lifecycle.postStart.httpGet.httpHeaders[].name", Honoured),
    ("spec.containers[].lifecycle.postStart.httpGet.httpHeaders[].value", Honoured),
    ("spec.containers[].lifecycle.postStart.httpGet.path", Honoured),
    ("spec.containers[].lifecycle.postStart.httpGet.port", Honoured),
    ("spec.containers[].lifecycle.postStart.httpGet.protocol", Only(&["HTTP1"], HTTP2)),
    ("spec.containers[].lifecycle.postStart.httpGet.scheme", Honoured),
    ("spec.containers[].lifecycle.postStart.sleep", Honoured),
    ("spec.containers[].lifecycle.postStart.sleep.seconds", Honoured),
    (
        "spec.containers[].lifecycle.postStart.tcpSocket",
        Refused("Kubernetes deprecated it, and the kubelet fails every such hook; exec, httpGet and sleep work"),
    ),
    ("spec.containers[].lifecycle.preStop", Honoured),
    ("spec.containers[].lifecycle.stopSignal", Honoured),
    ("spec.containers[].livenessProbe", Honoured),
    ("spec.containers[].livenessProbe.exec", Honoured),
    ("spec.containers[].livenessProbe.exec.command", Honoured),
    ("spec.containers[].livenessProbe.exec.command[]", Honoured),
    ("spec.containers[].livenessProbe.failureThreshold", Honoured),
    ("spec.containers[].livenessProbe.grpc", Honoured),
    ("spec.containers[].livenessProbe.grpc.mode", Honoured),
    ("spec.containers[].livenessProbe.grpc.port", Honoured),
    ("spec.containers[].livenessProbe.grpc.service", Honoured),
    ("spec.containers[].livenessProbe.httpGet", Honoured),
    ("spec.containers[].livenessProbe.httpGet.host", Honoured),
    ("spec.containers[].livenessProbe.httpGet.httpHeaders", Honoured),
    ("spec.containers[].livenessProbe.httpGet.httpHeaders[]", Honoured),
    ("spec.containers[].livenessProbe.httpGet.httpHeaders[].name", Honoured),
    ("spec.containers[].livenessProbe.httpGet.httpHeaders[].value", Honoured),
    ("spec.containers[].livenessProbe.httpGet.path", Honoured),
    ("spec.containers[].livenessProbe.httpGet.port", Honoured),
    ("spec.containers[].livenessProbe.httpGet.protocol", Only(&["HTTP1"], HTTP2)),
    ("spec.containers[].livenessProbe.httpGet.scheme", Honoured),
    ("spec.containers[].livenessProbe.initialDelaySeconds", Honoured),
    ("spec.containers[].livenessProbe.periodSeconds", Honoured),
    ("spec.containers[].livenessProbe.successThreshold", Honoured),
    ("spec.containers[].livenessProbe.tcpSocket", Honoured),
    ("spec.containers[].livenessProbe.tcpSocket.host", Honoured),
    ("spec.containers[].livenessProbe.tcpSocket.port", Honoured),
    ("spec.containers[].livenessProbe.terminationGracePeriodSeconds", Honoured),
    ("spec.containers[].livenessProbe.timeoutSeconds", Honoured),
    ("spec.containers[].name", Honoured),
    ("spec.containers[].ports", Honoured),
    ("spec.containers[].ports[]", Honoured),
    ("spec.containers[].ports[].containerPort", Honoured),
    ("spec.containers[].ports[].hostIP", Refused("podling does not publish ports yet")),
    ("spec.containers[].ports[].hostPort", Refused("podling does not publish ports yet")),
    ("spec.containers[].ports[].name", Honoured),
    ("spec.containers[].ports[].protocol", Accepted("it says what the container listens on, and opens nothing")),
    ("spec.containers[].readinessProbe", Honoured),
    ("spec.containers[].resizePolicy", Accepted("containers are not resized while they run")),
    ("spec.containers[].resources", Honoured),
    ("spec.containers[].resources.claims", NO_CLUSTER),
    ("spec.containers[].resources.limits", Honoured),
    ("spec.containers[].resources.limits.*", LIMITS),
    ("spec.containers[].resources.requests", Honoured),
    ("spec.containers[].resources.requests.*", Refused("this machine offers cpu, memory and ephemeral-storage only")),
    ("spec.containers[].resources.requests.cpu", SHARE),
    ("spec.containers[].resources.requests.ephemeral-storage", SHARE),
    ("spec.containers[].resources.requests.memory", SHARE),
    ("spec.containers[].restartPolicy", Honoured),
    ("spec.containers[].restartPolicyRules", Honoured),
    ("spec.containers[].restartPolicyRules[]", Honoured),
    (
        "spec.containers[].restartPolicyRules[].action",
        Only(&["Restart"], "podling restarts the container that ended, and no other"),
    ),
    ("spec.containers[].restartPolicyRules[].exitCodes", Honoured),
    ("spec.containers[].restartPolicyRules[].exitCodes.operator", Honoured),
    ("spec.containers[].restartPolicyRules[].exitCodes.values", Honoured),
    ("spec.containers[].restartPolicyRules[].exitCodes.values[]", Honoured),
    ("spec.containers[].securityContext", Honoured),
    ("spec.containers[].securityContext.allowPrivilegeEscalation", Honoured),
    ("spec.containers[].securityContext.appArmorProfile", YET),
    ("spec.containers[].securityContext.capabilities", Honoured),
    ("spec.containers[].securityContext.capabilities.add", Honoured),
    ("spec.containers[].securityContext.capabilities.add[]", Honoured),
    ("spec.containers[].securityContext.capabilities.drop", Honoured),
    ("spec.containers[].securityContext.capabilities.drop[]", Honoured),
    (
        "spec.containers[].securityContext.privileged",
        Only(&["false"], "podling does not run privileged containers yet"),
    ),
    ("spec.containers[].securityContext.procMount", Only(&["Default"], "podling always masks /proc")),
    ("spec.containers[].securityContext.readOnlyRootFilesystem", Honoured),
    ("spec.containers[].securityContext.runAsGroup", Honoured),
    ("spec.containers[].securityContext.runAsNonRoot", Honoured),
    ("spec.containers[].securityContext.runAsUser", Honoured),
    ("spec.containers[].securityContext.seLinuxOptions", YET),
    ("spec.containers[].securityContext.seccompProfile", Honoured),
    ("spec.containers[].securityContext.seccompProfile.localhostProfile", YET),
    ("spec.containers[].securityContext.seccompProfile.type", Only(&["RuntimeDefault"], SECCOMP)),
    ("spec.containers[].securityContext.windowsOptions", WINDOWS),
    ("spec.containers[].startupProbe", Honoured),
    ("spec.containers[].stdin", Honoured),
    ("spec.containers[].stdinOnce", Honoured),
    ("spec.containers[].terminationMessagePath", Honoured),
    ("spec.containers[].terminationMessagePolicy", Honoured),
    ("spec.containers[].tty", Honoured),
    ("spec.containers[].volumeDevices", Refused("podling does not hand out block devices")),
    ("spec.containers[].volumeMounts", Honoured),
    ("spec.containers[].volumeMounts[]", Honoured),
    ("spec.containers[].volumeMounts[].bindMountOptions", YET),
    ("spec.containers[].volumeMounts[].mountPath", Honoured),
    ("spec.containers[].volumeMounts[].mountPropagation", Only(&["None"], "podling propagates no mounts")),
    ("spec.containers[].volumeMounts[].name", Honoured),
    ("spec.containers[].volumeMounts[].readOnly", Honoured),
    ("spec.containers[].volumeMounts[].recursiveReadOnly", Only(&["Disabled"], "podling does not honour it yet")),
    ("spec.containers[].volumeMounts[].subPath", YET),
    ("spec.containers[].volumeMounts[].subPathExpr", YET),
    ("spec.containers[].workingDir", Honoured),
    ("spec.dnsConfig", YET),
    ("spec.dnsPolicy", Only(&["ClusterFirst", "Default"], "podling does not honour it yet")),
    ("spec.enableServiceLinks", Accepted("there are no Services to tell of")),
    ("spec.ephemeralContainers", Refused("they are added to a running pod, never written in its YAML")),
    ("spec.evictionResponders", NO_CLUSTER),
    ("spec.hostAliases", YET),
    ("spec.hostIPC", Only(&["false"], "podling keeps a pod out of the host's namespaces")),
    ("spec.hostNetwork", Only(&["false"], "podling keeps a pod out of the host's namespaces")),
    ("spec.hostPID", Only(&["false"], "podling keeps a pod out of the host's namespaces")),
    ("spec.hostUsers", Only(&["false"], "podling always gives a pod a user namespace of its own")),
    ("spec.hostname", Honoured),
    ("spec.hostnameOverride", YET),
    ("spec.imagePullSecrets", Honoured),
    ("spec.imagePullSecrets[]", Honoured),
    ("spec.imagePullSecrets[].name", Honoured),
    ("spec.initContainers", Honoured),
    ("spec.initContainers[]", Honoured),
    ("spec.nodeName", ONE_NODE),
    ("spec.nodeSelector", Honoured),
    ("spec.nodeSelector.*", NODE_CHOICE),
    ("spec.nodeSelector[kubernetes.io/os]", Only(&["linux"], "podling runs Linux containers")),
    ("spec.os", Honoured),
    ("spec.os.name", Only(&["linux"], "podling runs Linux containers")),
    ("spec.overhead", Honoured),
    ("spec.overhead.*", NO_CLUSTER),
    ("spec.preemptionPolicy", Accepted("no other pod is ever displaced")),
    ("spec.priority", Accepted("no other pod is ever displaced")),
    ("spec.priorityClassName", Accepted("no other pod is ever displaced")),
    ("spec.readinessGates", Refused("there is nobody to set the condition, so the pod would never be ready")),
    ("spec.resourceClaims", NO_CLUSTER),
    ("spec.resources", Honoured),
    ("spec.resources.claims", NO_CLUSTER),
    ("spec.resources.limits", Honoured),
    ("spec.resources.limits.*", LIMITS),
    ("spec.resources.requests", Honoured),
    ("spec.resources.requests.*", Refused("this machine offers cpu, memory and ephemeral-storage only")),
    ("spec.resources.requests.cpu", SHARE),
    ("spec.resources.requests.ephemeral-storage", SHARE),
    ("spec.resources.requests.memory", SHARE),
    ("spec.restartPolicy", Honoured),
    ("spec.runtimeClassName", Refused("podling is the runtime")),
    ("spec.schedulerName", ONE_NODE),
    ("spec.schedulingGates", NO_CLUSTER),
    ("spec.schedulingGroup", NO_CLUSTER),
    ("spec.securityContext", Honoured),
    ("spec.securityContext.appArmorProfile", YET),
    ("spec.securityContext.fsGroup", YET),
    ("spec.securityContext.fsGroupChangePolicy", YET),
    ("spec.securityContext.runAsGroup", Honoured),
    ("spec.securityContext.runAsNonRoot", Honoured),
    ("spec.securityContext.runAsUser", Honoured),
    ("spec.securityContext.seLinuxChangePolicy", YET),
    ("spec.securityContext.seLinuxOptions", YET),
    ("spec.securityContext.seccompProfile", Honoured),
    ("spec.securityContext.seccompProfile.localhostProfile", YET),
    ("spec.securityContext.seccompProfile.type", Only(&["RuntimeDefault"], SECCOMP)),
    ("spec.securityContext.supplementalGroups", YET),
    ("spec.securityContext.supplementalGroupsPolicy", YET),
    ("spec.securityContext.sysctls", YET),
    ("spec.securityContext.windowsOptions", WINDOWS),
    ("spec.serviceAccount", Accepted("there is no API server to be known to")),
    ("spec.serviceAccountName", Accepted("there is no API server to be known to")),
    ("spec.setHostnameAsFQDN", Only(&["false"], "podling does not honour it yet")),
    ("spec.shareProcessNamespace", Honoured),
    ("spec.subdomain", YET),
    ("spec.terminationGracePeriodSeconds", Honoured),
    ("spec.tolerations", ONE_NODE),
    ("spec.topologySpreadConstraints", ONE_NODE),
    ("spec.volumes", Honoured),
    ("spec.volumes[]", Honoured),
    ("spec.volumes[].awsElasticBlockStore", REMOTE),
    ("spec.volumes[].azureDisk", REMOTE),
    ("spec.volumes[].azureFile", REMOTE),
    ("spec.volumes[].cephfs", REMOTE),
    ("spec.volumes[].cinder", REMOTE),
    ("spec.volumes[].configMap", Honoured),
    ("spec.volumes[].configMap.defaultMode", Honoured),
    ("spec.volumes[].configMap.defaultUser", YET),
    ("spec.volumes[].configMap.items", Honoured),
    ("spec.volumes[].configMap.items[]", Honoured),
    ("spec.volumes[].configMap.items[].key", Honoured),
    ("spec.volumes[].configMap.items[].mode", Honoured),
    ("spec.volumes[].configMap.items[].path", Honoured),
    ("spec.volumes[].configMap.items[].user", YET),
    ("spec.volumes[].configMap.name", Honoured),
    ("spec.volumes[].configMap.optional", Honoured),
    ("spec.volumes[].csi", REMOTE),
    ("spec.volumes[].downwardAPI", VOLUME),
    ("spec.volumes[].emptyDir", Honoured),
    (
        "spec.volumes[].emptyDir.medium",
        Only(&["", "Memory"], "podling takes \"\" and Memory here, and hands out no huge pages"),
    ),
    ("spec.volumes[].emptyDir.mode", YET),
    ("spec.volumes[].emptyDir.sizeLimit", Honoured),
    ("spec.volumes[].ephemeral", VOLUME),
    ("spec.volumes[].fc", REMOTE),
    ("spec.volumes[].flexVolume", REMOTE),
    ("spec.volumes[].flocker", REMOTE),
    ("spec.volumes[].gcePersistentDisk", REMOTE),
    ("spec.volumes[].gitRepo", REMOTE),
    ("spec.volumes[].glusterfs", REMOTE),
    ("spec.volumes[].hostPath", VOLUME),
    ("spec.volumes[].image", VOLUME),
    ("spec.volumes[].iscsi", REMOTE),
    ("spec.volumes[].name", Honoured),
    ("spec.volumes[].nfs", REMOTE),
    ("spec.volumes[].persistentVolumeClaim", VOLUME),
    ("spec.volumes[].photonPersistentDisk", REMOTE),
    ("spec.volumes[].portworxVolume", REMOTE),
    ("spec.volumes[].projected", VOLUME),
    ("spec.volumes[].quobyte", REMOTE),
    ("spec.volumes[].rbd", REMOTE),
    ("spec.volumes[].scaleIO", REMOTE),
    ("spec.volumes[].secret", Honoured),
    ("spec.volumes[].secret.defaultMode", Honoured),
    ("spec.volumes[].secret.defaultUser", YET),
    ("spec.volumes[].secret.items", Honoured),
    ("spec.volumes[].secret.items[]", Honoured),
    ("spec.volumes[].secret.items[].key", Honoured),
    ("spec.volumes[].secret.items[].mode", Honoured),
    ("spec.volumes[].secret.items[].path", Honoured),
    ("spec.volumes[].secret.items[].user", YET),
    ("spec.volumes[].secret.optional", Honoured),
    ("spec.volumes[].secret.secretName", Honoured),
    ("spec.volumes[].storageos", REMOTE),
    ("spec.volumes[].vsphereVolume", REMOTE),
    ("status", Accepted("it is what another system last saw")),
];

const SECCOMP: &str = "podling takes RuntimeDefault only, which it always applies";
const HTTP2: &str = "podling speaks HTTP/1.1 here (HTTP1), and HTTP/2 without TLS is alpha in Kubernetes too";

/// The rule for the field `pattern` of `kind`; `None` when the table does not know the field.
pub(super) fn rule(kind: Kind, pattern: &str) -> Option<Rule> {
    let pattern = below_shared(pattern);
    tables(kind).into_iter().find_map(|table| find(table, &pattern))
}

/// The fields that `kind` may have directly below the object at `pattern`, with their rules.
pub(super) fn children(kind: Kind, pattern: &str) -> impl Iterator<Item = (&'static str, Rule)> {
    let pattern = shared(pattern);
    rows(kind).filter_map(move |&(path, rule)| {
        let name = if pattern.is_empty() { path } else { path.strip_prefix(&*pattern)?.strip_prefix('.')? };
        (!name.is_empty() && !name.contains(['.', '[', '*'])).then_some((name, rule))
    })
}

/// Where else `kind` has a field called `name`, for a field that was written in the wrong place, directly below `parent`.
///
/// What is below `parent` goes before everything else, and what only probes and hooks have comes last.
pub(super) fn elsewhere(kind: Kind, name: &str, parent: &str) -> Vec<String> {
    let homes = rows(kind).filter_map(|(path, rule)| {
        let (home, last) = path.rsplit_once('.').unwrap_or(("the top level", path));
        (last == name && !matches!(rule, Refused(_))).then_some(home)
    });
    let homes: Vec<&str> = homes.collect();
    let shared = shared(parent);
    let below = homes.iter().filter_map(|home| home.strip_prefix(&*shared)).filter(|rest| rest.starts_with('.'));
    let below: Vec<String> = below.map(|rest| format!("{parent}{rest}")).filter(|_| !parent.is_empty()).collect();
    if !below.is_empty() {
        return below;
    }
    let plain = |home: &&&str| !home.contains("Probe") && !home.contains(".lifecycle");
    let plain: Vec<String> = homes.iter().filter(plain).map(|home| (*home).to_owned()).collect();
    if plain.is_empty() { homes.into_iter().map(str::to_owned).collect() } else { plain }
}

/// All rows of `kind`.
pub(super) fn rows(kind: Kind) -> impl Iterator<Item = &'static Field> {
    tables(kind).into_iter().flatten()
}

/// The tables of `kind`, each in the order of its paths.
pub(super) fn tables(kind: Kind) -> [&'static [Field]; 2] {
    let own = match kind {
        Kind::Pod => POD,
        Kind::ConfigMap => CONFIG_MAP,
        Kind::Secret => SECRET,
    };
    [COMMON, own]
}

/// Where the table has the rows of `pattern`, which may share another field's.
fn below_shared(pattern: &str) -> Cow<'_, str> {
    let Some((parent, name)) = pattern.rsplit_once('.') else { return Cow::Borrowed(pattern) };
    match shared(parent) {
        Cow::Borrowed(_) => Cow::Borrowed(pattern),
        Cow::Owned(parent) => Cow::Owned(format!("{parent}.{name}")),
    }
}

/// Where the table has the rows of the fields below the object at `pattern`.
fn shared(pattern: &str) -> Cow<'_, str> {
    const SHARED: [(&str, &str); 4] = [
        ("spec.initContainers[]", "spec.containers[]"),
        ("spec.containers[].readinessProbe", "spec.containers[].livenessProbe"),
        ("spec.containers[].startupProbe", "spec.containers[].livenessProbe"),
        ("spec.containers[].lifecycle.preStop", "spec.containers[].lifecycle.postStart"),
    ];
    let mut pattern = Cow::Borrowed(pattern);
    for (other, own) in SHARED {
        let rest = pattern.strip_prefix(other).filter(|rest| rest.is_empty() || rest.starts_with('.'));
        if let Some(moved) = rest.map(|rest| format!("{own}{rest}")) {
            pattern = Cow::Owned(moved);
        }
    }
    pattern
}

/// The rows are in the order of their paths, so that a look-up is a binary search.
fn find(table: &[Field], path: &str) -> Option<Rule> {
    table.binary_search_by(|(row, _)| (*row).cmp(path)).ok().and_then(|at| table.get(at)).map(|&(_, rule)| rule)
}

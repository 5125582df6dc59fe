//! The pod's volumes.

use super::Rule::{Emulated, Enforced, Group, Only, Refused};
use super::{Field, Rule};

const REMOTE: Rule = Refused("podling does not attach storage from elsewhere; it takes emptyDir, configMap and secret");
const VOLUME: Rule =
    Refused("podling does not honour this kind of volume yet; it takes emptyDir, configMap and secret");
const YET: Rule = Refused("podling does not honour it yet");

const CONFIG_MAP: &str = "its keys as files, read-only; they follow the ConfigMap's file while the pod runs";
const SECRET: &str = "its keys as files in memory, read-only; they follow the Secret's file while the pod runs";
const MODE: Rule = Enforced("the mode of files without one of their own, 0644 where it is not written");
const OWNER: Rule = Enforced("the user that owns the file, where the pod has that id");
const OPTIONAL: Rule = Enforced("what is missing is left out, and comes when its file says it");

/// The rows, in the order of their paths.
pub(super) const VOLUMES: &[Field] = &[
    ("spec.volumes", Group),
    ("spec.volumes[]", Group),
    ("spec.volumes[].awsElasticBlockStore", REMOTE),
    ("spec.volumes[].azureDisk", REMOTE),
    ("spec.volumes[].azureFile", REMOTE),
    ("spec.volumes[].cephfs", REMOTE),
    ("spec.volumes[].cinder", REMOTE),
    ("spec.volumes[].configMap", Enforced(CONFIG_MAP)),
    ("spec.volumes[].configMap.defaultMode", MODE),
    ("spec.volumes[].configMap.defaultUser", OWNER),
    ("spec.volumes[].configMap.items", Enforced("only these keys become files; without items, each key does")),
    ("spec.volumes[].configMap.items[]", Group),
    ("spec.volumes[].configMap.items[].key", Enforced("the key that becomes the file")),
    ("spec.volumes[].configMap.items[].mode", Enforced("the file's mode; read by fsGroup in any case")),
    (
        "spec.volumes[].configMap.items[].path",
        Enforced("where the file is below the volume's root, by way of ..data as with the kubelet"),
    ),
    ("spec.volumes[].configMap.items[].user", OWNER),
    ("spec.volumes[].configMap.name", Enforced("the ConfigMap of the input, in the pod's namespace")),
    ("spec.volumes[].configMap.optional", OPTIONAL),
    ("spec.volumes[].csi", REMOTE),
    ("spec.volumes[].downwardAPI", Enforced("what podling knows of the pod, as files")),
    ("spec.volumes[].downwardAPI.defaultMode", MODE),
    ("spec.volumes[].downwardAPI.defaultUser", OWNER),
    ("spec.volumes[].downwardAPI.items", Enforced("one file each")),
    ("spec.volumes[].downwardAPI.items[]", Group),
    ("spec.volumes[].downwardAPI.items[].fieldRef", Enforced("the pod's field as the file's content")),
    ("spec.volumes[].downwardAPI.items[].fieldRef.apiVersion", Enforced("v1, the only one that Kubernetes takes")),
    (
        "spec.volumes[].downwardAPI.items[].fieldRef.fieldPath",
        Enforced("the pod's field; labels and annotations as lines of key=\"value\""),
    ),
    ("spec.volumes[].downwardAPI.items[].mode", Enforced("the file's mode; read by fsGroup in any case")),
    (
        "spec.volumes[].downwardAPI.items[].path",
        Enforced("where the file is below the volume's root, by way of ..data as with the kubelet"),
    ),
    ("spec.volumes[].downwardAPI.items[].resourceFieldRef", Enforced("the container's amount as the file's content")),
    (
        "spec.volumes[].downwardAPI.items[].resourceFieldRef.containerName",
        Enforced("the container whose resources are told"),
    ),
    ("spec.volumes[].downwardAPI.items[].resourceFieldRef.divisor", Enforced("the unit; the amount is rounded up")),
    (
        "spec.volumes[].downwardAPI.items[].resourceFieldRef.resource",
        Enforced("the amount as written; what is not limited is all that this host has"),
    ),
    ("spec.volumes[].downwardAPI.items[].user", OWNER),
    ("spec.volumes[].emptyDir", Group),
    (
        "spec.volumes[].emptyDir.medium",
        Only(&["", "Memory"], "podling takes \"\" and Memory here, and hands out no huge pages"),
    ),
    ("spec.volumes[].emptyDir.mode", YET),
    ("spec.volumes[].emptyDir.sizeLimit", Enforced("")),
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
    ("spec.volumes[].name", Enforced("")),
    ("spec.volumes[].nfs", REMOTE),
    ("spec.volumes[].persistentVolumeClaim", VOLUME),
    ("spec.volumes[].photonPersistentDisk", REMOTE),
    ("spec.volumes[].portworxVolume", REMOTE),
    (
        "spec.volumes[].projected",
        Enforced("the files of all sources in one volume; at one path, those of later sources"),
    ),
    ("spec.volumes[].projected.defaultMode", MODE),
    ("spec.volumes[].projected.defaultUser", OWNER),
    ("spec.volumes[].projected.sources", Enforced("one after the other")),
    ("spec.volumes[].projected.sources[]", Group),
    (
        "spec.volumes[].projected.sources[].clusterTrustBundle",
        Refused("ClusterTrustBundles are objects of a cluster, and podling is none"),
    ),
    ("spec.volumes[].projected.sources[].configMap", Enforced(CONFIG_MAP)),
    (
        "spec.volumes[].projected.sources[].configMap.items",
        Enforced("only these keys become files; without items, each key does"),
    ),
    ("spec.volumes[].projected.sources[].configMap.items[]", Group),
    ("spec.volumes[].projected.sources[].configMap.items[].key", Enforced("the key that becomes the file")),
    (
        "spec.volumes[].projected.sources[].configMap.items[].mode",
        Enforced("the file's mode; read by fsGroup in any case"),
    ),
    (
        "spec.volumes[].projected.sources[].configMap.items[].path",
        Enforced("where the file is below the volume's root, by way of ..data as with the kubelet"),
    ),
    ("spec.volumes[].projected.sources[].configMap.items[].user", OWNER),
    (
        "spec.volumes[].projected.sources[].configMap.name",
        Enforced("the ConfigMap of the input, in the pod's namespace"),
    ),
    ("spec.volumes[].projected.sources[].configMap.optional", OPTIONAL),
    ("spec.volumes[].projected.sources[].downwardAPI", Enforced("what podling knows of the pod, as files")),
    ("spec.volumes[].projected.sources[].downwardAPI.items", Enforced("one file each")),
    ("spec.volumes[].projected.sources[].downwardAPI.items[]", Group),
    (
        "spec.volumes[].projected.sources[].downwardAPI.items[].fieldRef",
        Enforced("the pod's field as the file's content"),
    ),
    (
        "spec.volumes[].projected.sources[].downwardAPI.items[].fieldRef.apiVersion",
        Enforced("v1, the only one that Kubernetes takes"),
    ),
    (
        "spec.volumes[].projected.sources[].downwardAPI.items[].fieldRef.fieldPath",
        Enforced("the pod's field; labels and annotations as lines of key=\"value\""),
    ),
    (
        "spec.volumes[].projected.sources[].downwardAPI.items[].mode",
        Enforced("the file's mode; read by fsGroup in any case"),
    ),
    (
        "spec.volumes[].projected.sources[].downwardAPI.items[].path",
        Enforced("where the file is below the volume's root, by way of ..data as with the kubelet"),
    ),
    (
        "spec.volumes[].projected.sources[].downwardAPI.items[].resourceFieldRef",
        Enforced("the container's amount as the file's content"),
    ),
    (
        "spec.volumes[].projected.sources[].downwardAPI.items[].resourceFieldRef.containerName",
        Enforced("the container whose resources are told"),
    ),
    (
        "spec.volumes[].projected.sources[].downwardAPI.items[].resourceFieldRef.divisor",
        Enforced("the unit; the amount is rounded up"),
    ),
    (
        "spec.volumes[].projected.sources[].downwardAPI.items[].resourceFieldRef.resource",
        Enforced("the amount as written; what is not limited is all that this host has"),
    ),
    ("spec.volumes[].projected.sources[].downwardAPI.items[].user", OWNER),
    (
        "spec.volumes[].projected.sources[].podCertificate",
        Refused("a signer of a cluster issues these certificates, and podling is none"),
    ),
    ("spec.volumes[].projected.sources[].secret", Enforced(SECRET)),
    (
        "spec.volumes[].projected.sources[].secret.items",
        Enforced("only these keys become files; without items, each key does"),
    ),
    ("spec.volumes[].projected.sources[].secret.items[]", Group),
    ("spec.volumes[].projected.sources[].secret.items[].key", Enforced("the key that becomes the file")),
    (
        "spec.volumes[].projected.sources[].secret.items[].mode",
        Enforced("the file's mode; read by fsGroup in any case"),
    ),
    (
        "spec.volumes[].projected.sources[].secret.items[].path",
        Enforced("where the file is below the volume's root, by way of ..data as with the kubelet"),
    ),
    ("spec.volumes[].projected.sources[].secret.items[].user", OWNER),
    ("spec.volumes[].projected.sources[].secret.name", Enforced("the Secret of the input, in the pod's namespace")),
    ("spec.volumes[].projected.sources[].secret.optional", OPTIONAL),
    (
        "spec.volumes[].projected.sources[].serviceAccountToken",
        Emulated("podling makes a token by itself, unsigned and marked as its own: no API server takes it"),
    ),
    ("spec.volumes[].projected.sources[].serviceAccountToken.audience", Enforced("the token's claim aud")),
    (
        "spec.volumes[].projected.sources[].serviceAccountToken.expirationSeconds",
        Enforced("the token's claim exp; a new one is written after four fifths of the time"),
    ),
    (
        "spec.volumes[].projected.sources[].serviceAccountToken.path",
        Enforced("where the file is below the volume's root"),
    ),
    ("spec.volumes[].projected.sources[].serviceAccountToken.user", OWNER),
    ("spec.volumes[].quobyte", REMOTE),
    ("spec.volumes[].rbd", REMOTE),
    ("spec.volumes[].scaleIO", REMOTE),
    ("spec.volumes[].secret", Enforced(SECRET)),
    ("spec.volumes[].secret.defaultMode", MODE),
    ("spec.volumes[].secret.defaultUser", OWNER),
    ("spec.volumes[].secret.items", Enforced("only these keys become files; without items, each key does")),
    ("spec.volumes[].secret.items[]", Group),
    ("spec.volumes[].secret.items[].key", Enforced("the key that becomes the file")),
    ("spec.volumes[].secret.items[].mode", Enforced("the file's mode; read by fsGroup in any case")),
    (
        "spec.volumes[].secret.items[].path",
        Enforced("where the file is below the volume's root, by way of ..data as with the kubelet"),
    ),
    ("spec.volumes[].secret.items[].user", OWNER),
    ("spec.volumes[].secret.optional", OPTIONAL),
    ("spec.volumes[].secret.secretName", Enforced("the Secret of the input, in the pod's namespace")),
    ("spec.volumes[].storageos", REMOTE),
    ("spec.volumes[].vsphereVolume", REMOTE),
];

//! The pod's volumes.

use super::Rule::{Emulated, Enforced, Group, Only, Refused};
use super::{Field, Rule};

const CLOUD: Rule = Refused(
    "a cloud provider attaches this disk to its own machines; use a persistentVolumeClaim, which is a local volume here, or mount \
     the disk on this host and name it as a hostPath",
);
const NETWORK: Rule = Refused(
    "only root of the host can mount a network file system; mount it there and name the directory as a hostPath (--allow hostPath=DIR)",
);
const DEVICE: Rule = Refused(
    "only root of the host can attach and mount a network block device; mount it there and name the directory as a hostPath \
     (--allow hostPath=DIR)",
);
const DRIVER: Rule = Refused(
    "a storage driver of the cluster provides it, and none runs on this host; use a persistentVolumeClaim or ephemeral volume, \
     which are local directories here",
);
const GONE: Rule =
    Refused("Kubernetes has removed this kind of volume; use a persistentVolumeClaim, which is a local volume here");
const GIT: Rule = Refused(
    "Kubernetes no longer allows it, since it runs git on the host; clone into an emptyDir in an init container",
);

const CONFIG_MAP: &str = "its keys as files, read-only; they follow the ConfigMap's file while the pod runs";
const SECRET: &str = "its keys as files in memory, read-only; they follow the Secret's file while the pod runs";
const MODE: Rule = Enforced("the mode of files without one of their own, 0644 where it is not written");
const OWNER: Rule = Enforced("the user that owns the file, where the pod has that id");
const OPTIONAL: Rule = Enforced("what is missing is left out, and comes when its file says it");

/// The rows, in the order of their paths.
pub(super) const VOLUMES: &[Field] = &[
    ("spec.volumes", Group),
    ("spec.volumes[]", Group),
    ("spec.volumes[].awsElasticBlockStore", CLOUD),
    ("spec.volumes[].azureDisk", CLOUD),
    ("spec.volumes[].azureFile", NETWORK),
    ("spec.volumes[].cephfs", NETWORK),
    ("spec.volumes[].cinder", CLOUD),
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
    ("spec.volumes[].csi", DRIVER),
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
    (
        "spec.volumes[].emptyDir",
        Enforced("a file system of the pod's own in memory, empty at first and gone with the pod"),
    ),
    (
        "spec.volumes[].emptyDir.medium",
        Only(
            &["", "Memory"],
            "\"\" and Memory are both kept in memory; the kernel lets only root of the host mount hugetlbfs, so there are no huge pages",
        ),
    ),
    ("spec.volumes[].emptyDir.mode", Enforced("the permission bits of its directory, 0777 where none are written")),
    ("spec.volumes[].emptyDir.sizeLimit", Enforced("the file system takes no more than that")),
    (
        "spec.volumes[].ephemeral",
        Emulated(
            "a directory on this host's disk, made for the pod and removed with its end, whatever driver a cluster would ask",
        ),
    ),
    ("spec.volumes[].fc", DEVICE),
    ("spec.volumes[].flexVolume", DRIVER),
    ("spec.volumes[].flocker", GONE),
    ("spec.volumes[].gcePersistentDisk", CLOUD),
    ("spec.volumes[].gitRepo", GIT),
    ("spec.volumes[].glusterfs", GONE),
    (
        "spec.volumes[].hostPath",
        Enforced(
            "bound into the pod, with the rights of the user who runs podling and without devices or set-user-id; only with \
             --allow hostPath, --allow hostPath=DIR, beneath which it then stays, or --policy privileged",
        ),
    ),
    ("spec.volumes[].hostPath.path", Enforced("a relative one is meant beside the YAML file")),
    (
        "spec.volumes[].hostPath.type",
        Enforced(
            "checked as the kubelet does, before anything is started and when the pod starts; with \"\" a missing directory is made, as containerd makes it",
        ),
    ),
    ("spec.volumes[].image", Group),
    ("spec.volumes[].image.pullPolicy", Enforced("as imagePullPolicy, when the pod is run")),
    (
        "spec.volumes[].image.reference",
        Enforced("the image's layers, merged as for a container, read-only and without programs that can be executed"),
    ),
    ("spec.volumes[].iscsi", DEVICE),
    ("spec.volumes[].name", Enforced("what volumeMounts find it by")),
    ("spec.volumes[].nfs", NETWORK),
    ("spec.volumes[].persistentVolumeClaim", Group),
    (
        "spec.volumes[].persistentVolumeClaim.claimName",
        Enforced(
            "a named local volume that outlives pods, made when a PersistentVolumeClaim of the input names it first",
        ),
    ),
    ("spec.volumes[].persistentVolumeClaim.readOnly", Enforced("no mount of the volume can be written")),
    ("spec.volumes[].photonPersistentDisk", GONE),
    ("spec.volumes[].portworxVolume", DRIVER),
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
    ("spec.volumes[].quobyte", GONE),
    ("spec.volumes[].rbd", DEVICE),
    ("spec.volumes[].scaleIO", GONE),
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
    ("spec.volumes[].storageos", GONE),
    ("spec.volumes[].vsphereVolume", CLOUD),
];

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
const OBJECTS: Rule = Refused("podling does not honour this kind of volume yet");
const YET: Rule = Refused("podling does not honour it yet");

/// The rows, in the order of their paths.
pub(super) const VOLUMES: &[Field] = &[
    ("spec.volumes", Group),
    ("spec.volumes[]", Group),
    ("spec.volumes[].awsElasticBlockStore", CLOUD),
    ("spec.volumes[].azureDisk", CLOUD),
    ("spec.volumes[].azureFile", NETWORK),
    ("spec.volumes[].cephfs", NETWORK),
    ("spec.volumes[].cinder", CLOUD),
    ("spec.volumes[].configMap", Group),
    ("spec.volumes[].configMap.defaultMode", Enforced("")),
    ("spec.volumes[].configMap.defaultUser", YET),
    ("spec.volumes[].configMap.items", Group),
    ("spec.volumes[].configMap.items[]", Group),
    ("spec.volumes[].configMap.items[].key", Enforced("")),
    ("spec.volumes[].configMap.items[].mode", Enforced("")),
    ("spec.volumes[].configMap.items[].path", Enforced("")),
    ("spec.volumes[].configMap.items[].user", YET),
    ("spec.volumes[].configMap.name", Enforced("")),
    ("spec.volumes[].configMap.optional", Enforced("")),
    ("spec.volumes[].csi", DRIVER),
    ("spec.volumes[].downwardAPI", OBJECTS),
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
            "checked as the kubelet does when the pod starts; with \"\" a missing directory is made, as containerd makes it",
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
    ("spec.volumes[].projected", OBJECTS),
    ("spec.volumes[].quobyte", GONE),
    ("spec.volumes[].rbd", DEVICE),
    ("spec.volumes[].scaleIO", GONE),
    ("spec.volumes[].secret", Group),
    ("spec.volumes[].secret.defaultMode", Enforced("")),
    ("spec.volumes[].secret.defaultUser", YET),
    ("spec.volumes[].secret.items", Group),
    ("spec.volumes[].secret.items[]", Group),
    ("spec.volumes[].secret.items[].key", Enforced("")),
    ("spec.volumes[].secret.items[].mode", Enforced("")),
    ("spec.volumes[].secret.items[].path", Enforced("")),
    ("spec.volumes[].secret.items[].user", YET),
    ("spec.volumes[].secret.optional", Enforced("")),
    ("spec.volumes[].secret.secretName", Enforced("")),
    ("spec.volumes[].storageos", GONE),
    ("spec.volumes[].vsphereVolume", CLOUD),
];

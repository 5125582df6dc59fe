//! The pod's volumes.

use super::Rule::{Enforced, Group, Only, Refused};
use super::{Field, Rule};

const REMOTE: Rule = Refused("podling does not attach storage from elsewhere; it takes emptyDir, configMap and secret");
const VOLUME: Rule =
    Refused("podling does not honour this kind of volume yet; it takes emptyDir, configMap and secret");
const YET: Rule = Refused("podling does not honour it yet");

/// The rows, in the order of their paths.
pub(super) const VOLUMES: &[Field] = &[
    ("spec.volumes", Group),
    ("spec.volumes[]", Group),
    ("spec.volumes[].awsElasticBlockStore", REMOTE),
    ("spec.volumes[].azureDisk", REMOTE),
    ("spec.volumes[].azureFile", REMOTE),
    ("spec.volumes[].cephfs", REMOTE),
    ("spec.volumes[].cinder", REMOTE),
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
    ("spec.volumes[].csi", REMOTE),
    ("spec.volumes[].downwardAPI", VOLUME),
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
    ("spec.volumes[].projected", VOLUME),
    ("spec.volumes[].quobyte", REMOTE),
    ("spec.volumes[].rbd", REMOTE),
    ("spec.volumes[].scaleIO", REMOTE),
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
    ("spec.volumes[].storageos", REMOTE),
    ("spec.volumes[].vsphereVolume", REMOTE),
];

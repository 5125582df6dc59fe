//! A PersistentVolumeClaim's own fields, in the input and as the template of an `ephemeral` volume.

use super::Field;
use super::Rule::{Emulated, Group, Only, Refused, Trivial};

const SIZE: &str = "the size is noted and bounds nothing: the volume takes what the disk has";
const CLASS: &str = "every class is the same here: a directory on this host's disk";
const NO_BLOCK: &str = "without rights on the host podling has no block device to hand out; a volume is a directory";
const NO_SOURCE: &str = "there is no storage driver here that clones volumes or restores snapshots; \
                         fill the volume with `podling volume import`, or by an init container";
const NO_SELECTOR: &str =
    "there are no PersistentVolumes on one host to select from; a claim's volume has the claim's name";
const NO_ATTRIBUTES: &str = "there is no storage driver here that has attributes to change";

/// The rows, in the order of their paths.
pub(super) const CLAIM: &[Field] = &[
    ("spec", Group),
    (
        "spec.accessModes",
        Emulated(
            "any pod on this host may mount the volume, for writing, too; only with ReadWriteOncePod does it belong to one pod at a time",
        ),
    ),
    ("spec.accessModes[]", Group),
    ("spec.dataSource", Refused(NO_SOURCE)),
    ("spec.dataSourceRef", Refused(NO_SOURCE)),
    ("spec.resources", Group),
    ("spec.resources.limits", Emulated(SIZE)),
    ("spec.resources.limits.*", Group),
    ("spec.resources.requests", Emulated(SIZE)),
    ("spec.resources.requests.*", Group),
    ("spec.selector", Refused(NO_SELECTOR)),
    ("spec.storageClassName", Emulated(CLASS)),
    ("spec.volumeAttributesClassName", Refused(NO_ATTRIBUTES)),
    ("spec.volumeMode", Only(&["Filesystem"], NO_BLOCK)),
    ("spec.volumeName", Refused(NO_SELECTOR)),
    ("status", Trivial("it is what another system last saw")),
];

/// The rows of the template, in the order of their paths.
pub(super) const TEMPLATE: &[Field] = &[
    ("spec.volumes[].ephemeral.volumeClaimTemplate", Group),
    (
        "spec.volumes[].ephemeral.volumeClaimTemplate.metadata",
        Trivial("the claim is no object here that labels or annotations could be on"),
    ),
    ("spec.volumes[].ephemeral.volumeClaimTemplate.spec", Group),
    ("spec.volumes[].ephemeral.volumeClaimTemplate.spec.accessModes", Trivial("the volume is this pod's alone")),
    ("spec.volumes[].ephemeral.volumeClaimTemplate.spec.dataSource", Refused(NO_SOURCE)),
    ("spec.volumes[].ephemeral.volumeClaimTemplate.spec.dataSourceRef", Refused(NO_SOURCE)),
    ("spec.volumes[].ephemeral.volumeClaimTemplate.spec.resources", Group),
    ("spec.volumes[].ephemeral.volumeClaimTemplate.spec.resources.limits", Emulated(SIZE)),
    ("spec.volumes[].ephemeral.volumeClaimTemplate.spec.resources.limits.*", Group),
    ("spec.volumes[].ephemeral.volumeClaimTemplate.spec.resources.requests", Emulated(SIZE)),
    ("spec.volumes[].ephemeral.volumeClaimTemplate.spec.resources.requests.*", Group),
    ("spec.volumes[].ephemeral.volumeClaimTemplate.spec.selector", Refused(NO_SELECTOR)),
    ("spec.volumes[].ephemeral.volumeClaimTemplate.spec.storageClassName", Emulated(CLASS)),
    ("spec.volumes[].ephemeral.volumeClaimTemplate.spec.volumeAttributesClassName", Refused(NO_ATTRIBUTES)),
    ("spec.volumes[].ephemeral.volumeClaimTemplate.spec.volumeMode", Only(&["Filesystem"], NO_BLOCK)),
    ("spec.volumes[].ephemeral.volumeClaimTemplate.spec.volumeName", Refused(NO_SELECTOR)),
];

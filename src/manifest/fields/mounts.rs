//! Where a container sees the pod's volumes.

use super::Field;
use super::Rule::{Enforced, Group, Only, Refused};

/// The rows, in the order of their paths.
pub(super) const MOUNTS: &[Field] = &[
    (
        "spec.containers[].volumeDevices",
        Refused(
            "a block device can be handed out only by whoever may open it on the host, which nobody without rights there may; \
             mount a volume with a file system instead",
        ),
    ),
    ("spec.containers[].volumeMounts", Group),
    ("spec.containers[].volumeMounts[]", Group),
    (
        "spec.containers[].volumeMounts[].bindMountOptions",
        Enforced("noexec, nodev and nosuid are set on the mount and on all mounts below it"),
    ),
    ("spec.containers[].volumeMounts[].bindMountOptions[]", Group),
    (
        "spec.containers[].volumeMounts[].mountPath",
        Enforced(
            "the volume is mounted there, outer mounts before inner ones; /, /dev, /proc and /sys stay the container's own",
        ),
    ),
    (
        "spec.containers[].volumeMounts[].mountPropagation",
        Only(
            &["None", "HostToContainer"],
            "what is mounted on the host later appears in the container with HostToContainer; the other way about the kernel \
             lets no mount out of the pod's user namespace",
        ),
    ),
    ("spec.containers[].volumeMounts[].name", Enforced("finds the volume in spec.volumes")),
    (
        "spec.containers[].volumeMounts[].readOnly",
        Enforced("the mount cannot be written; what the host has mounted below a hostPath can, as in a cluster"),
    ),
    (
        "spec.containers[].volumeMounts[].recursiveReadOnly",
        Enforced("with Enabled and IfPossible no mount below can be written either"),
    ),
    (
        "spec.containers[].volumeMounts[].subPath",
        Enforced(
            "found below the volume at every start of the container, links that lead out of it refused; directories that are \
             missing are made with the mode of the volume's root",
        ),
    ),
    (
        "spec.containers[].volumeMounts[].subPathExpr",
        Enforced(
            "the same after $(NAME) is replaced by the container's variables, none of which may be unset or empty; a Secret's value \
             in the name of a directory on the disk is reported",
        ),
    ),
];

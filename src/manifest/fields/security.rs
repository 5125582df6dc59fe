//! What containers may do, and the host's namespaces other than the network.

use super::Rule::{Enforced, Group, Only, Refused};
use super::{Field, Rule};

const SECCOMP: &str = "podling takes RuntimeDefault only, which it always applies";
const WINDOWS: Rule = Refused("podling runs Linux containers");
const YET: Rule = Refused("podling does not honour it yet");

/// The rows, in the order of their paths.
pub(super) const SECURITY: &[Field] = &[
    ("spec.containers[].securityContext", Group),
    ("spec.containers[].securityContext.allowPrivilegeEscalation", Enforced("")),
    ("spec.containers[].securityContext.appArmorProfile", YET),
    ("spec.containers[].securityContext.capabilities", Group),
    ("spec.containers[].securityContext.capabilities.add", Enforced("")),
    ("spec.containers[].securityContext.capabilities.add[]", Group),
    ("spec.containers[].securityContext.capabilities.drop", Enforced("")),
    ("spec.containers[].securityContext.capabilities.drop[]", Group),
    (
        "spec.containers[].securityContext.privileged",
        Only(&["false"], "podling does not run privileged containers yet"),
    ),
    ("spec.containers[].securityContext.procMount", Only(&["Default"], "podling always masks /proc")),
    ("spec.containers[].securityContext.readOnlyRootFilesystem", Enforced("")),
    ("spec.containers[].securityContext.runAsGroup", Enforced("")),
    ("spec.containers[].securityContext.runAsNonRoot", Enforced("")),
    ("spec.containers[].securityContext.runAsUser", Enforced("")),
    ("spec.containers[].securityContext.seLinuxOptions", YET),
    ("spec.containers[].securityContext.seccompProfile", Group),
    ("spec.containers[].securityContext.seccompProfile.localhostProfile", YET),
    ("spec.containers[].securityContext.seccompProfile.type", Only(&["RuntimeDefault"], SECCOMP)),
    ("spec.containers[].securityContext.windowsOptions", WINDOWS),
    ("spec.hostIPC", Only(&["false"], "podling keeps a pod out of the host's namespaces")),
    ("spec.hostPID", Only(&["false"], "podling keeps a pod out of the host's namespaces")),
    ("spec.hostUsers", Only(&["false"], "podling always gives a pod a user namespace of its own")),
    ("spec.securityContext", Group),
    ("spec.securityContext.appArmorProfile", YET),
    (
        "spec.securityContext.fsGroup",
        Enforced(
            "the group of the volumes that podling makes, who may write them, or read generated files; every process is in it",
        ),
    ),
    (
        "spec.securityContext.fsGroupChangePolicy",
        Enforced(
            "volumes that outlive pods are given to fsGroup always, or where their root is not its; others are new",
        ),
    ),
    ("spec.securityContext.runAsGroup", Enforced("")),
    ("spec.securityContext.runAsNonRoot", Enforced("")),
    ("spec.securityContext.runAsUser", Enforced("")),
    ("spec.securityContext.seLinuxChangePolicy", YET),
    ("spec.securityContext.seLinuxOptions", YET),
    ("spec.securityContext.seccompProfile", Group),
    ("spec.securityContext.seccompProfile.localhostProfile", YET),
    ("spec.securityContext.seccompProfile.type", Only(&["RuntimeDefault"], SECCOMP)),
    ("spec.securityContext.supplementalGroups", Enforced("every process of the pod is in them")),
    (
        "spec.securityContext.supplementalGroupsPolicy",
        Enforced("the groups of the image's /etc/group count with Merge, and not with Strict"),
    ),
    ("spec.securityContext.supplementalGroups[]", Group),
    ("spec.securityContext.sysctls", YET),
    ("spec.securityContext.windowsOptions", WINDOWS),
];

//! What containers may do, and the host's namespaces other than the network.

use super::Rule::{Enforced, Group, Only, Refused, Trivial};
use super::{Field, Rule};

const WINDOWS: Rule = Refused("podling runs Linux containers");
const APPARMOR: Rule = Enforced(
    "where the host has AppArmor, the program changes to the profile when it starts; elsewhere any type but Unconfined is refused",
);
const APPARMOR_TYPE: Rule = Enforced(
    "Unconfined changes nothing; Localhost changes to the named profile; both others need AppArmor on the host",
);
const APPARMOR_PROFILE: Rule = Enforced("the name of a profile that the host's root has loaded");
const SECCOMP_TYPE: Rule = Enforced(
    "RuntimeDefault, also where nothing is written, filters as docker's default profile does; Localhost as its file says; Unconfined not at all",
);
const SECCOMP_PROFILE: Rule = Enforced("a profile of OCI's or docker's form, beside the file that names it");
const SELINUX: Rule = Enforced(
    "the processes and the container's own mounts get the label where the host has SELinux; elsewhere a label is refused",
);
const USER: Rule = Enforced(
    "the container's value before the pod's before the image's user, who is looked up in the image's own files",
);
const NON_ROOT: Rule = Enforced("a container that would run as uid 0 is refused before anything starts");
const HOSTS_PROCESSES: &str = "the end of its first process ends a pod's pid namespace, and so leaves nothing behind; in the host's nothing would end what a dead \
     supervisor leaves, and only the host's root may go back there";

/// The rows, in the order of their paths.
pub(super) const SECURITY: &[Field] = &[
    ("spec.containers[].securityContext", Group),
    (
        "spec.containers[].securityContext.allowPrivilegeEscalation",
        Enforced("no_new_privs is set unless true is written, or the container is privileged or adds SYS_ADMIN"),
    ),
    ("spec.containers[].securityContext.appArmorProfile", APPARMOR),
    ("spec.containers[].securityContext.appArmorProfile.localhostProfile", APPARMOR_PROFILE),
    ("spec.containers[].securityContext.appArmorProfile.type", APPARMOR_TYPE),
    ("spec.containers[].securityContext.capabilities", Group),
    (
        "spec.containers[].securityContext.capabilities.add",
        Enforced(
            "added to podman's eleven; what governs more than files and processes takes the last wall away and is reported",
        ),
    ),
    ("spec.containers[].securityContext.capabilities.add[]", Group),
    (
        "spec.containers[].securityContext.capabilities.drop",
        Enforced("taken out of the bounding set and every other, ALL before anything is added"),
    ),
    ("spec.containers[].securityContext.capabilities.drop[]", Group),
    (
        "spec.containers[].securityContext.privileged",
        Enforced(
            "the pod's root with all capabilities over the pod's namespaces and no filter or mask, and of the host what the caller has",
        ),
    ),
    (
        "spec.containers[].securityContext.procMount",
        Enforced("Default hides and write-protects what of /proc shows the host; Unmasked does not"),
    ),
    (
        "spec.containers[].securityContext.readOnlyRootFilesystem",
        Enforced("the root is mounted read-only, and with it the pod's /etc files"),
    ),
    ("spec.containers[].securityContext.runAsGroup", USER),
    ("spec.containers[].securityContext.runAsNonRoot", NON_ROOT),
    ("spec.containers[].securityContext.runAsUser", USER),
    ("spec.containers[].securityContext.seLinuxOptions", SELINUX),
    ("spec.containers[].securityContext.seLinuxOptions.level", SELINUX),
    ("spec.containers[].securityContext.seLinuxOptions.role", SELINUX),
    ("spec.containers[].securityContext.seLinuxOptions.type", SELINUX),
    ("spec.containers[].securityContext.seLinuxOptions.user", SELINUX),
    ("spec.containers[].securityContext.seccompProfile", Group),
    ("spec.containers[].securityContext.seccompProfile.localhostProfile", SECCOMP_PROFILE),
    ("spec.containers[].securityContext.seccompProfile.type", SECCOMP_TYPE),
    ("spec.containers[].securityContext.windowsOptions", WINDOWS),
    ("spec.hostIPC", Enforced("the containers are in the host's ipc namespace, with its /dev/shm and /dev/mqueue")),
    ("spec.hostPID", Only(&["false"], HOSTS_PROCESSES)),
    ("spec.hostUsers", Enforced("a pod has a user namespace of its own, always; true is reported")),
    ("spec.securityContext", Group),
    ("spec.securityContext.appArmorProfile", APPARMOR),
    ("spec.securityContext.appArmorProfile.localhostProfile", APPARMOR_PROFILE),
    ("spec.securityContext.appArmorProfile.type", APPARMOR_TYPE),
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
    ("spec.securityContext.runAsGroup", USER),
    ("spec.securityContext.runAsNonRoot", NON_ROOT),
    ("spec.securityContext.runAsUser", USER),
    (
        "spec.securityContext.seLinuxChangePolicy",
        Trivial("it says how volumes come to their SELinux label, and podling relabels none"),
    ),
    ("spec.securityContext.seLinuxOptions", SELINUX),
    ("spec.securityContext.seLinuxOptions.level", SELINUX),
    ("spec.securityContext.seLinuxOptions.role", SELINUX),
    ("spec.securityContext.seLinuxOptions.type", SELINUX),
    ("spec.securityContext.seLinuxOptions.user", SELINUX),
    ("spec.securityContext.seccompProfile", Group),
    ("spec.securityContext.seccompProfile.localhostProfile", SECCOMP_PROFILE),
    ("spec.securityContext.seccompProfile.type", SECCOMP_TYPE),
    ("spec.securityContext.supplementalGroups", Enforced("every process of the pod is in them")),
    (
        "spec.securityContext.supplementalGroupsPolicy",
        Enforced("the groups of the image's /etc/group count with Merge, and not with Strict"),
    ),
    ("spec.securityContext.supplementalGroups[]", Group),
    (
        "spec.securityContext.sysctls",
        Enforced(
            "those of the pod's network and ipc namespaces are written before a container starts; a setting of the whole machine, or that this kernel gives to no pod, is refused",
        ),
    ),
    ("spec.securityContext.sysctls[]", Group),
    ("spec.securityContext.sysctls[].name", Enforced("with dots or slashes between its parts")),
    ("spec.securityContext.sysctls[].value", Enforced("written as it is")),
    ("spec.securityContext.windowsOptions", WINDOWS),
];

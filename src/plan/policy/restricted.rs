//! The level restricted: what pods should do is required. What it says about seccomp and /proc is with what baseline says about them.

use k8s_openapi::api::core::v1::Volume;

use super::parts::{Found, Subject};
use super::{Control, Remedy, baseline};

/// The only capability that a container may add.
const CAPABILITIES: [&str; 1] = ["NET_BIND_SERVICE"];

/// The level's own controls.
pub(super) fn check(subject: &Subject, found: &mut Found) {
    // On Windows neither field can be set, so neither is required.
    if !subject.is_windows() {
        baseline::capabilities(subject, found, "restricted", &CAPABILITIES);
        drop_all(subject, found);
        privilege_escalation(subject, found);
    }
    volume_types(subject, found);
    // In a user namespace, root is nobody outside.
    if !subject.has_user_namespace() {
        non_root(subject, found);
        user(subject, found);
    }
}

fn drop_all(subject: &Subject, found: &mut Found) {
    for part in &subject.containers {
        let dropped = part.capabilities().and_then(|capabilities| capabilities.drop.as_ref());
        if !dropped.into_iter().flatten().any(|name| name == "ALL") {
            let why = "the restricted policy requires that all capabilities are dropped";
            let remedy = Remedy::Change("write securityContext: {capabilities: {drop: [ALL]}} in the container");
            found.add(Control::Capabilities, part.at("capabilities.drop"), why, remedy);
        }
    }
}

fn privilege_escalation(subject: &Subject, found: &mut Found) {
    for part in &subject.containers {
        if part.security.and_then(|security| security.allow_privilege_escalation) != Some(false) {
            let why = "the restricted policy requires allowPrivilegeEscalation: false";
            let remedy = Remedy::Change("write securityContext: {allowPrivilegeEscalation: false} in the container");
            found.add(Control::PrivilegeEscalation, part.at("allowPrivilegeEscalation"), why, remedy);
        }
    }
}

/// Volumes of the pod's own, of its objects and of claims.
fn volume_types(subject: &Subject, found: &mut Found) {
    for (at, volume) in subject.spec.volumes.iter().flatten().enumerate() {
        let Some(type_) = forbidden_type(volume) else { continue };
        let why = format!("the restricted policy forbids volumes of the type {type_}");
        let change = Remedy::Change(
            "it allows configMap, csi, downwardAPI, emptyDir, ephemeral, image, persistentVolumeClaim, projected and secret",
        );
        let (control, remedy) = match baseline::host_path_remedy(volume) {
            Some(remedy) => (Control::HostPath, remedy),
            None => (Control::VolumeTypes, change),
        };
        found.add(control, format!("spec.volumes[{at}].{type_}"), why, remedy);
    }
}

/// The type of a volume that is of none of the allowed ones. One without any source becomes an emptyDir before a policy sees it.
fn forbidden_type(volume: &Volume) -> Option<&'static str> {
    let allowed = [
        volume.config_map.is_some(),
        volume.csi.is_some(),
        volume.downward_api.is_some(),
        volume.empty_dir.is_some(),
        volume.ephemeral.is_some(),
        volume.image.is_some(),
        volume.persistent_volume_claim.is_some(),
        volume.projected.is_some(),
        volume.secret.is_some(),
    ];
    if allowed.contains(&true) {
        return None;
    }
    let forbidden = [
        ("hostPath", volume.host_path.is_some()),
        ("awsElasticBlockStore", volume.aws_elastic_block_store.is_some()),
        ("azureDisk", volume.azure_disk.is_some()),
        ("azureFile", volume.azure_file.is_some()),
        ("cephfs", volume.cephfs.is_some()),
        ("cinder", volume.cinder.is_some()),
        ("fc", volume.fc.is_some()),
        ("flexVolume", volume.flex_volume.is_some()),
        ("flocker", volume.flocker.is_some()),
        ("gcePersistentDisk", volume.gce_persistent_disk.is_some()),
        ("gitRepo", volume.git_repo.is_some()),
        ("glusterfs", volume.glusterfs.is_some()),
        ("iscsi", volume.iscsi.is_some()),
        ("nfs", volume.nfs.is_some()),
        ("photonPersistentDisk", volume.photon_persistent_disk.is_some()),
        ("portworxVolume", volume.portworx_volume.is_some()),
        ("quobyte", volume.quobyte.is_some()),
        ("rbd", volume.rbd.is_some()),
        ("scaleIO", volume.scale_io.is_some()),
        ("storageos", volume.storageos.is_some()),
        ("vsphereVolume", volume.vsphere_volume.is_some()),
    ];
    forbidden.into_iter().find_map(|(type_, there)| there.then_some(type_))
}

/// `runAsNonRoot: true` for the pod or for each container, and nowhere `false`.
fn non_root(subject: &Subject, found: &mut Found) {
    const FIELD: &str = "runAsNonRoot";
    const WHY: &str = "the restricted policy requires runAsNonRoot: true";
    let said = subject.everywhere(FIELD, |pod| pod.run_as_non_root, |container| container.run_as_non_root);
    for (path, _) in said.into_iter().filter(|(_, non_root)| !non_root) {
        found.add(Control::NonRoot, path, WHY, Remedy::Change("write runAsNonRoot: true"));
    }
    if subject.security().is_some_and(|pod| pod.run_as_non_root.is_some()) {
        return;
    }
    for part in &subject.containers {
        if part.security.is_none_or(|security| security.run_as_non_root.is_none()) {
            let remedy = Remedy::Change("write securityContext: {runAsNonRoot: true} in spec");
            found.add(Control::NonRoot, part.at(FIELD), WHY, remedy);
        }
    }
}

fn user(subject: &Subject, found: &mut Found) {
    let said = subject.everywhere("runAsUser", |pod| pod.run_as_user, |container| container.run_as_user);
    for (path, _) in said.into_iter().filter(|(_, user)| *user == 0) {
        let why = "the restricted policy forbids to run as user 0";
        found.add(Control::User, path, why, Remedy::Change("write the id of another user"));
    }
}

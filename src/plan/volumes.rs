//! The mounts beside the containers: the Pod's volumes, its own `/etc` files and its shared memory.

use std::collections::BTreeMap;
use std::path::PathBuf;

use k8s_openapi::api::core::v1::Volume;

use super::files::files;
use super::groups::{self, GroupAccess};
use super::scope::{Scope, plain_name};
use super::{Layout, Verdict, VolumePlan, VolumeSource, etc, followed, host_path, storage};
use crate::error::Result;
use crate::image::Image;

/// Whether containers may write to a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    ReadOnly,
    ReadWrite,
}

const SHARED_MEMORY_LIMIT: u64 = 64 << 20;

/// Every tmpfs of the pod: its `/etc` files and its containers' last messages, its shared memory, then the volumes in the order of the YAML.
///
/// # Errors
/// For kinds of volumes that cannot be honoured, and for ConfigMaps, Secrets and keys that are not there.
pub(super) fn volumes(
    scope: &Scope,
    images: &BTreeMap<String, Image>,
    report: &mut Vec<Verdict>,
) -> Result<Vec<VolumePlan>> {
    let mut plans = vec![etc::etc(scope, report)?, shared_memory(scope)];
    for (i, volume) in scope.spec.volumes.iter().flatten().enumerate() {
        let at = format!("spec.volumes[{i}]");
        plain_name(scope, &format!("{at}.name"), &volume.name)?;
        let plan = VolumePlan {
            name: volume.name.clone(),
            path: path(scope, &volume.name),
            source: VolumeSource::Memory { size_limit: None },
            mode: 0o755,
            group: None,
            layout: Layout::Plain,
            follows: None,
            directories: Vec::new(),
            files: Vec::new(),
        };
        let plan = if let Some(source) = &volume.empty_dir {
            storage::empty_dir(scope, &format!("{at}.emptyDir"), source, plan, report)?
        } else if let Some(source) = &volume.host_path {
            let source = host_path::plan(scope, &format!("{at}.hostPath"), source, report)?;
            VolumePlan { source: VolumeSource::HostPath(source), ..plan }
        } else if let Some(source) = &volume.image {
            VolumePlan { source: storage::image(scope, &format!("{at}.image"), source, images)?, ..plan }
        } else if let Some(source) = &volume.persistent_volume_claim {
            VolumePlan { source: storage::claim(scope, &format!("{at}.persistentVolumeClaim"), source)?, ..plan }
        } else if volume.ephemeral.is_some() {
            storage::ephemeral(scope, plan)
        } else if let Some(files) = files(scope, &at, volume, report)? {
            VolumePlan { files, layout: Layout::Atomic, follows: followed::input(scope, &at, volume)?, ..plan }
        } else {
            return Err(scope.error(&at, "podling does not know this kind of volume"));
        };
        plans.push(grouped(scope, volume, plan)?);
    }
    Ok(plans)
}

/// Gives a volume that podling makes to the pod's `fsGroup`.
fn grouped(scope: &Scope, volume: &Volume, plan: VolumePlan) -> Result<VolumePlan> {
    let access = match plan.layout {
        Layout::Atomic => GroupAccess::Reads,
        // What outlives the pod is given to the group as it is found.
        Layout::Plain if volume.persistent_volume_claim.as_ref().is_some_and(|claim| claim.read_only != Some(true)) => {
            return Ok(VolumePlan { group: groups::given(scope)?, ..plan });
        }
        Layout::Plain if volume.empty_dir.is_some() || volume.ephemeral.is_some() => GroupAccess::Writes,
        Layout::Plain => return Ok(plan),
    };
    let (mode, group) = groups::root(scope, plan.mode, access)?;
    Ok(VolumePlan { mode, group, ..plan })
}

/// Where the volume `name` is mounted for the supervisor.
pub(super) fn path(scope: &Scope, name: &str) -> PathBuf {
    scope.paths.run_dir.join("volumes").join(name)
}

/// Where the pod's shared memory is mounted for the supervisor.
pub(super) fn shared_memory_path(scope: &Scope) -> PathBuf {
    scope.paths.run_dir.join("shm")
}

/// Whether containers may write to `volume` at all: never to what is made of objects or images, as with the kubelet.
pub(super) fn access(volume: &Volume) -> Access {
    let claim = volume.persistent_volume_claim.as_ref();
    let writable = volume.empty_dir.is_some()
        || volume.host_path.is_some()
        || volume.ephemeral.is_some()
        || claim.is_some_and(|claim| claim.read_only != Some(true));
    if writable { Access::ReadWrite } else { Access::ReadOnly }
}

/// Where on the disk a container's directories in `volume` are, and for how long; `None` where they are in memory or none can be made.
pub(super) fn on_disk(volume: &Volume) -> Option<&'static str> {
    if volume.persistent_volume_claim.is_some() {
        Some("of the claim's local volume, which outlives the pod")
    } else if volume.host_path.is_some() {
        Some("of the host, which outlives the pod")
    } else {
        volume.ephemeral.is_some().then_some("on the disk until the pod ends")
    }
}

fn shared_memory(scope: &Scope) -> VolumePlan {
    VolumePlan {
        name: "shm".to_owned(),
        path: shared_memory_path(scope),
        source: VolumeSource::Memory { size_limit: Some(SHARED_MEMORY_LIMIT) },
        mode: 0o1777,
        group: None,
        layout: Layout::Plain,
        follows: None,
        directories: Vec::new(),
        files: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::plan::fixture::Fixture;

    #[test]
    fn impossible_volumes() {
        for (said, expected) in [
            (json!({ "name": "v", "nfs": { "server": "s", "path": "/" } }), "spec.volumes[0]: podling does not know"),
            (json!({ "name": "../v", "emptyDir": {} }), "spec.volumes[0].name"),
        ] {
            let refusal = Fixture::with_volume(said).refusal();
            assert!(refusal.contains(expected), "{refusal}");
        }
    }
}

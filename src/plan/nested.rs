//! Mounts below mounts: the directories that a volume must have so that another can be mounted inside it.

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::VolumeMount;

use super::scope::{Scope, cleaned};
use super::{VolumePlan, VolumeSource};
use crate::error::Result;

/// Adds to each volume the directories at which some container mounts another volume inside it.
///
/// A ConfigMap's volume is read-only by the time the inner one is mounted, so nobody can make the directory then. The
/// kubelet makes them beforehand too.
///
/// # Errors
/// Where the volume has a file in the way.
pub(super) fn add_mount_points(scope: &Scope, volumes: &mut [VolumePlan]) -> Result<()> {
    let init = scope.spec.init_containers.iter().flatten().map(|container| ("initContainers", container));
    let all =
        init.enumerate().chain(scope.spec.containers.iter().map(|container| ("containers", container)).enumerate());
    for (c, (list, container)) in all {
        let mounts: Vec<(&VolumeMount, PathBuf)> =
            container.volume_mounts.iter().flatten().map(|mount| (mount, cleaned(&mount.mount_path))).collect();
        for (m, (_, inner)) in mounts.iter().enumerate() {
            let outer = mounts.iter().filter(|(_, path)| path != inner && inner.starts_with(path));
            let Some((mount, path)) = outer.max_by_key(|(_, path)| path.components().count()) else { continue };
            // What is below the volume is known when the container starts.
            if mount.sub_path.as_deref().or(mount.sub_path_expr.as_deref()).is_some_and(|path| !path.is_empty()) {
                continue;
            }
            let name = &mount.name;
            let directory = inner.strip_prefix(path).unwrap_or(Path::new("")).to_owned();
            let at = format!("spec.{list}[{c}].volumeMounts[{m}].mountPath");
            let source = super::volumes::path(scope, name);
            let Some(volume) = volumes.iter_mut().find(|volume| volume.path == source) else { continue };
            // Elsewhere the directory is made where the inner volume is mounted, if the outer one can be written.
            if !matches!(volume.source, VolumeSource::Memory { .. }) {
                continue;
            }
            if let Some(file) = volume.files.iter().find(|file| directory.starts_with(&file.path)) {
                let why = format!("volume {name:?} has a file at {:?}, where this would be mounted", file.path);
                return Err(scope.error(&at, why));
            }
            if !volume.directories.contains(&directory) {
                volume.directories.push(directory);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::{Value, json};

    use crate::plan::fixture::Fixture;

    fn fixture(mounts: Value) -> Fixture {
        let mut fixture = Fixture::container(json!({ "volumeMounts": mounts }))
            .config_map(json!({ "metadata": { "name": "map" }, "data": { "file": "x" } }));
        fixture.pod["spec"]["volumes"] = json!([
            { "name": "conf", "configMap": { "name": "map" } },
            { "name": "data", "emptyDir": { "medium": "Memory" } },
            { "name": "deep", "emptyDir": { "medium": "Memory" } },
        ]);
        fixture
    }

    fn directories(fixture: &Fixture) -> Vec<(String, Vec<PathBuf>)> {
        let volumes = fixture.plan().unwrap().volumes;
        volumes.into_iter().filter(|v| !v.directories.is_empty()).map(|v| (v.name, v.directories)).collect()
    }

    #[test]
    fn the_nearest_volume_around_gets_the_directory() {
        let fixture = fixture(json!([
            { "name": "deep", "mountPath": "/etc/app/data/x/y" },
            { "name": "conf", "mountPath": "/etc/app" },
            { "name": "data", "mountPath": "/etc/app/data" },
            { "name": "deep", "mountPath": "/etc/application" },
        ]));
        let expected = [("conf", "data"), ("data", "x/y")];
        let expected = expected.map(|(volume, path)| (volume.to_owned(), vec![PathBuf::from(path)]));
        assert_eq!(directories(&fixture), expected);
    }

    #[test]
    fn a_file_in_the_way_is_an_error() {
        for path in ["/etc/app/file", "/etc/app/file/below"] {
            let refusal = fixture(json!([
                { "name": "conf", "mountPath": "/etc/app" },
                { "name": "data", "mountPath": path },
            ]))
            .refusal();
            assert!(refusal.contains("volumeMounts[1].mountPath: volume \"conf\" has a file"), "{refusal}");
        }
    }
}

//! The tmpfs mounts beside the containers: the Pod's volumes, its own `/etc` files and its shared memory.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::{ConfigMapVolumeSource, EmptyDirVolumeSource, KeyToPath, SecretVolumeSource, Volume};

use super::scope::{Scope, plain_name};
use super::{FilePlan, Verdict, VolumePlan, etc};
use crate::error::Result;
use crate::manifest::Quantity;

/// Whether containers may write to a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    ReadOnly,
    ReadWrite,
}

const SHARED_MEMORY_LIMIT: u64 = 64 << 20;
const DEFAULT_FILE_MODE: u32 = 0o644;

/// Every tmpfs of the pod: its `/etc` files and its containers' last messages, its shared memory, then the volumes in the order of the YAML.
///
/// # Errors
/// For kinds of volumes that are not honoured yet, and for ConfigMaps, Secrets and keys that are not there.
pub(super) fn volumes(scope: &Scope, report: &mut Vec<Verdict>) -> Result<Vec<VolumePlan>> {
    let mut plans = vec![etc::etc(scope, report)?, shared_memory(scope)];
    for (i, volume) in scope.spec.volumes.iter().flatten().enumerate() {
        let at = format!("spec.volumes[{i}]");
        plain_name(scope, &format!("{at}.name"), &volume.name)?;
        let plan = VolumePlan {
            name: volume.name.clone(),
            path: path(scope, &volume.name),
            size_limit: None,
            mode: 0o755,
            directories: Vec::new(),
            files: Vec::new(),
        };
        plans.push(if let Some(source) = &volume.empty_dir {
            empty_dir(scope, &format!("{at}.emptyDir"), source, plan, report)?
        } else if let Some(source) = &volume.config_map {
            VolumePlan { files: config_map(scope, &format!("{at}.configMap"), source)?, ..plan }
        } else if let Some(source) = &volume.secret {
            VolumePlan { files: secret(scope, &format!("{at}.secret"), source)?, ..plan }
        } else {
            return Err(scope.error(&at, "only emptyDir, configMap and secret volumes are honoured yet"));
        });
    }
    Ok(plans)
}

/// Where the volume `name` is mounted for the supervisor.
pub(super) fn path(scope: &Scope, name: &str) -> PathBuf {
    scope.paths.run_dir.join("volumes").join(name)
}

/// Where the pod's shared memory is mounted for the supervisor.
pub(super) fn shared_memory_path(scope: &Scope) -> PathBuf {
    scope.paths.run_dir.join("shm")
}

/// Whether containers may write to `volume` at all: never to a ConfigMap's or a Secret's, as with the kubelet.
pub(super) fn access(volume: &Volume) -> Access {
    if volume.empty_dir.is_some() { Access::ReadWrite } else { Access::ReadOnly }
}

fn shared_memory(scope: &Scope) -> VolumePlan {
    VolumePlan {
        name: "shm".to_owned(),
        path: shared_memory_path(scope),
        size_limit: Some(SHARED_MEMORY_LIMIT),
        mode: 0o1777,
        directories: Vec::new(),
        files: Vec::new(),
    }
}

fn empty_dir(
    scope: &Scope,
    at: &str,
    source: &EmptyDirVolumeSource,
    plan: VolumePlan,
    report: &mut Vec<Verdict>,
) -> Result<VolumePlan> {
    match source.medium.as_deref() {
        Some("Memory") => {}
        None | Some("") => {
            report.push(scope.verdict(at, "is kept in memory; a cluster would keep it on the node's disk"))
        }
        Some(other) => {
            return Err(scope.error(&format!("{at}.medium"), format!("{other:?} is not honoured, only \"Memory\"")));
        }
    }
    let size_limit = match &source.size_limit {
        // A limit of zero is no limit, as with the kubelet.
        Some(quantity) => {
            let size = Quantity::parse(&quantity.0).map_err(|why| scope.error(&format!("{at}.sizeLimit"), why))?;
            Some(size.units())
        }
        None => None,
    };
    let mode = mode(scope, &format!("{at}.mode"), source.mode)?.unwrap_or(0o777);
    Ok(VolumePlan { size_limit: size_limit.filter(|bytes| *bytes > 0), mode, ..plan })
}

fn config_map(scope: &Scope, at: &str, source: &ConfigMapVolumeSource) -> Result<Vec<FilePlan>> {
    let optional = source.optional == Some(true);
    let Some(map) = scope.config_map(&source.name) else {
        return absent(scope, &format!("{at}.name"), "ConfigMap", &source.name, optional);
    };
    let text = map.data.iter().flatten().map(|(key, value)| (key.as_str(), value.as_bytes()));
    let binary = map.binary_data.iter().flatten().map(|(key, value)| (key.as_str(), value.0.as_slice()));
    let content = Content { kind: "ConfigMap", name: &source.name, keys: text.chain(binary).collect(), optional };
    files(scope, at, &content, source.items.as_deref(), source.default_mode)
}

fn secret(scope: &Scope, at: &str, source: &SecretVolumeSource) -> Result<Vec<FilePlan>> {
    let optional = source.optional == Some(true);
    let name = source.secret_name.as_deref().unwrap_or_default();
    let Some(secret) = scope.secret(name) else {
        return absent(scope, &format!("{at}.secretName"), "Secret", name, optional);
    };
    let keys = secret.data.iter().flatten().map(|(key, value)| (key.as_str(), value.0.as_slice())).collect();
    files(scope, at, &Content { kind: "Secret", name, keys, optional }, source.items.as_deref(), source.default_mode)
}

fn absent(scope: &Scope, at: &str, kind: &str, name: &str, optional: bool) -> Result<Vec<FilePlan>> {
    if optional {
        return Ok(Vec::new());
    }
    let why = format!("there is no {kind} {name:?} in the pod's namespace");
    Err(scope.error(at, why).mend(format!("add the {kind} to the input, or write `optional: true`")))
}

struct Content<'a> {
    kind: &'a str,
    name: &'a str,
    keys: BTreeMap<&'a str, &'a [u8]>,
    optional: bool,
}

/// One file for each of `items`, or for each key where no items are written.
fn files(
    scope: &Scope,
    at: &str,
    content: &Content,
    items: Option<&[KeyToPath]>,
    default_mode: Option<i32>,
) -> Result<Vec<FilePlan>> {
    let default = mode(scope, &format!("{at}.defaultMode"), default_mode)?.unwrap_or(DEFAULT_FILE_MODE);
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        let file = |(key, bytes): (&&str, &&[u8])| {
            let path = PathBuf::from(plain_name(scope, at, key)?);
            Ok(FilePlan { path, mode: default, content: bytes.to_vec() })
        };
        return content.keys.iter().map(file).collect();
    };
    let mut files: Vec<FilePlan> = Vec::with_capacity(items.len());
    for (i, item) in items.iter().enumerate() {
        let at = format!("{at}.items[{i}]");
        let Some(bytes) = content.keys.get(item.key.as_str()) else {
            if content.optional {
                continue;
            }
            let why = format!("{} {:?} has no key {:?}", content.kind, content.name, item.key);
            return Err(scope.error(&format!("{at}.key"), why));
        };
        let path = below(&item.path).ok_or_else(|| {
            scope.error(&format!("{at}.path"), format!("{:?} is not a relative path without '..'", item.path))
        })?;
        if files.iter().any(|file| file.path.starts_with(&path) || path.starts_with(&file.path)) {
            return Err(
                scope.error(&format!("{at}.path"), format!("{:?} collides with another item's path", item.path))
            );
        }
        let mode = mode(scope, &format!("{at}.mode"), item.mode)?.unwrap_or(default);
        files.push(FilePlan { path, mode, content: bytes.to_vec() });
    }
    Ok(files)
}

fn mode(scope: &Scope, at: &str, said: Option<i32>) -> Result<Option<u32>> {
    let Some(said) = said else { return Ok(None) };
    match u32::try_from(said).ok().filter(|mode| *mode <= 0o777) {
        Some(mode) => Ok(Some(mode)),
        None => Err(scope.error(at, format!("{said} is not between 0 and 0777 (511)"))),
    }
}

/// `path` cleaned, where it is relative and stays below its root.
fn below(path: &str) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    (!clean.as_os_str().is_empty() && !path.contains('\0')).then_some(clean)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::plan::VolumePlan;
    use crate::plan::fixture::Fixture;

    fn fixture(volume: Value) -> Fixture {
        let mut fixture = Fixture::container(json!({}))
            .config_map(json!({ "metadata": { "name": "map" }, "data": { "a": "1" }, "binaryData": { "b": "AP8=" } }))
            .secret(json!({ "metadata": { "name": "hush" }, "data": { "k": "c2VjcmV0" } }));
        fixture.pod["spec"]["volumes"] = json!([volume]);
        fixture
    }

    fn volume(said: Value) -> VolumePlan {
        fixture(said).plan().unwrap().volumes.pop().unwrap()
    }

    fn files(said: Value) -> Vec<(String, u32, Vec<u8>)> {
        let files = volume(said).files.into_iter();
        files.map(|file| (file.path.to_string_lossy().into_owned(), file.mode, file.content)).collect()
    }

    #[test]
    fn empty_directories() {
        let memory = volume(json!({ "name": "v", "emptyDir": { "medium": "Memory", "sizeLimit": "1Mi" } }));
        assert_eq!((memory.mode, memory.size_limit, memory.files.len()), (0o777, Some(1 << 20), 0));
        assert_eq!(memory.path.to_str(), Some("/run/pod/volumes/v"));
        assert_eq!(volume(json!({ "name": "v", "emptyDir": { "sizeLimit": "0" } })).size_limit, None);
        let report = fixture(json!({ "name": "v", "emptyDir": {} })).plan().unwrap().report;
        assert_eq!(report[0].path, "spec.volumes[0].emptyDir");
    }

    #[test]
    fn config_maps_and_secrets_become_files() {
        assert_eq!(
            files(json!({ "name": "v", "configMap": { "name": "map" } })),
            [("a".to_owned(), 0o644, b"1".to_vec()), ("b".to_owned(), 0o644, vec![0, 255])]
        );
        let items = json!([{ "key": "k", "path": "x/./y" }, { "key": "k", "path": "z", "mode": 0o400 }]);
        assert_eq!(
            files(json!({ "name": "v", "secret": { "secretName": "hush", "defaultMode": 0o440, "items": items } })),
            [("x/y".to_owned(), 0o440, b"secret".to_vec()), ("z".to_owned(), 0o400, b"secret".to_vec())]
        );
        assert_eq!(files(json!({ "name": "v", "configMap": { "name": "none", "optional": true } })), []);
        let items = json!([{ "key": "none", "path": "x" }, { "key": "a", "path": "y" }]);
        let optional = json!({ "name": "v", "configMap": { "name": "map", "optional": true, "items": items } });
        assert_eq!(files(optional), [("y".to_owned(), 0o644, b"1".to_vec())]);
    }

    #[test]
    fn impossible_volumes() {
        let item = |path: &str| json!({ "name": "map", "items": [{ "key": "a", "path": path }] });
        for (said, expected) in [
            (json!({ "name": "v", "hostPath": { "path": "/" } }), "spec.volumes[0]: only"),
            (json!({ "name": "../v", "emptyDir": {} }), "spec.volumes[0].name"),
            (json!({ "name": "v", "emptyDir": { "medium": "HugePages" } }), "emptyDir.medium"),
            (json!({ "name": "v", "emptyDir": { "sizeLimit": "lots" } }), "emptyDir.sizeLimit: \"lots\""),
            (json!({ "name": "v", "configMap": { "name": "none" } }), "no ConfigMap \"none\""),
            (json!({ "name": "v", "secret": { "secretName": "none" } }), "no Secret \"none\""),
            (json!({ "name": "v", "secret": {} }), "no Secret \"\""),
            (json!({ "name": "v", "configMap": { "name": "map", "defaultMode": 512 } }), "defaultMode"),
            (json!({ "name": "v", "configMap": { "name": "map", "defaultMode": -1 } }), "defaultMode"),
            (json!({ "name": "v", "configMap": item("../x") }), "items[0].path"),
            (json!({ "name": "v", "configMap": item("/x") }), "items[0].path"),
            (json!({ "name": "v", "configMap": item("") }), "items[0].path"),
            (
                json!({ "name": "v", "configMap": { "name": "map", "items": [{ "key": "z", "path": "x" }] } }),
                "no key \"z\"",
            ),
            (
                json!({ "name": "v", "configMap": { "name": "map",
                    "items": [{ "key": "a", "path": "x" }, { "key": "b", "path": "x/y" }] } }),
                "items[1].path",
            ),
        ] {
            let refusal = fixture(said).refusal();
            assert!(refusal.contains(expected), "{refusal}");
        }
    }
}

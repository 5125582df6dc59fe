//! What of a running pod follows its input: the volumes that ConfigMaps and Secrets are in.

use std::path::PathBuf;

use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use serde::{Deserialize, Serialize};

use super::followed::{References, followed, references};
use super::mounts::SUBDIRECTORY;
use super::names::Names;
use super::scope::Scope;
use super::{FilePlan, Options, Origin, PodPaths, PodPlan, VolumePlan, files};
use crate::error::Result;
use crate::host::HostFacts;
use crate::manifest::{Bundle, ObjectKey, Said, Source};

/// The objects in a pod's volumes that stay what they are: immutable ones, and those that come from no file.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Constant {
    config_maps: Vec<ConfigMap>,
    secrets: Vec<Secret>,
}

/// What stays the same in the volumes of `pod`; `None` where everything does, so that nothing needs to be followed.
pub fn constant(pod: &Said<Pod>, bundle: &Bundle) -> Option<Constant> {
    let namespace = ObjectKey::of(&pod.object).namespace;
    let key = |name: &str| ObjectKey { namespace: namespace.clone(), name: name.to_owned() };
    let mut constant = Constant::default();
    let mut changes = false;
    let fixed = |source: &Source, immutable: Option<bool>| followed(source, immutable).is_none();
    for volume in pod.object.spec.iter().flat_map(|spec| &spec.volumes).flatten() {
        let References { config_maps, secrets } = references(volume);
        for name in config_maps {
            match bundle.config_maps.get(&key(name)) {
                Some(said) if fixed(&said.source, said.object.immutable) => {
                    constant.config_maps.push(said.object.clone());
                }
                // One that may be missing, and is, may come.
                _ => changes = true,
            }
        }
        for name in secrets {
            match bundle.secrets.get(&key(name)) {
                Some(said) if fixed(&said.source, said.object.immutable) => constant.secrets.push(said.object.clone()),
                _ => changes = true,
            }
        }
    }
    changes.then_some(constant)
}

/// Whether `file` is what its volume's input says at any time: it follows that, and so does every container that has it. A container keeps a part of
/// a volume that it mounts by `subPath` as it was at its start.
pub(super) fn is_followed(plan: &PodPlan, volume: &VolumePlan, file: &FilePlan) -> bool {
    let containers = plan.init_containers.iter().chain(&plan.containers);
    let mounts = containers.filter_map(|container| container.spec.mounts().as_ref()).flatten();
    let options =
        mounts.filter(|mount| mount.source().as_ref() == Some(&volume.path)).filter_map(|m| m.options().as_ref());
    let mut parts = options.flatten().filter_map(|option| option.strip_prefix(SUBDIRECTORY));
    file.origin == Origin::Followed && !parts.any(|part| file.path.starts_with(part))
}

/// Has the objects that the volumes of `bundle`'s Pods follow be what their files have `now`. One that is not there any more stays as it was.
pub fn take_present(bundle: &mut Bundle, mut now: Bundle) {
    for pod in &bundle.pods {
        let namespace = ObjectKey::of(&pod.object).namespace;
        let key = |name: &str| ObjectKey { namespace: namespace.clone(), name: name.to_owned() };
        for volume in pod.object.spec.iter().flat_map(|spec| &spec.volumes).flatten() {
            let References { config_maps, secrets } = references(volume);
            for key in config_maps.into_iter().map(key) {
                let was = bundle.config_maps.get(&key);
                if was.is_none_or(|was| followed(&was.source, was.object.immutable).is_some())
                    && let Some(is) = now.config_maps.remove(&key)
                {
                    bundle.config_maps.insert(key, is);
                }
            }
            for key in secrets.into_iter().map(key) {
                let was = bundle.secrets.get(&key);
                if was.is_none_or(|was| followed(&was.source, was.object.immutable).is_some())
                    && let Some(is) = now.secrets.remove(&key)
                {
                    bundle.secrets.insert(key, is);
                }
            }
        }
    }
}

/// A volume as the input has it now.
#[derive(Debug)]
pub struct Anew {
    /// Its name.
    pub name: String,
    /// Where it is mounted for the supervisor.
    pub path: PathBuf,
    /// Its files, or why there are none.
    pub files: Result<Vec<FilePlan>>,
}

/// The volumes of a running pod that hold ConfigMaps and Secrets, made of what `bundle` has now, but for what is `constant`. `pod` is the
/// Pod as it was started.
pub fn anew(
    pod: Pod,
    mut bundle: Bundle,
    constant: Constant,
    host: &HostFacts,
    paths: &PodPaths,
    options: &Options,
) -> Vec<Anew> {
    let unwritten = Source::default;
    for object in constant.config_maps {
        bundle.config_maps.insert(ObjectKey::of(&object), Said { object, source: unwritten() });
    }
    for object in constant.secrets {
        bundle.secrets.insert(ObjectKey::of(&object), Said { object, source: unwritten() });
    }
    let said = Said { object: pod, source: unwritten() };
    let Some(spec) = &said.object.spec else { return Vec::new() };
    let (said, bundle) = (&said, &bundle);
    let name = options.name.as_deref().or(said.object.metadata.name.as_deref()).unwrap_or_default();
    // Nothing of a volume's files tells them.
    let names = Names { host: String::new(), domain: None, kernel: String::new() };
    let scope = Scope { said, spec, bundle, host, ids: &host.ids, paths, options, name, names: &names };
    let mut anew = Vec::new();
    for (i, volume) in spec.volumes.iter().flatten().enumerate() {
        if references(volume).is_empty() {
            continue;
        }
        let files =
            files::files(&scope, &format!("spec.volumes[{i}]"), volume, &mut Vec::new()).map(Option::unwrap_or_default);
        anew.push(Anew { name: volume.name.clone(), path: super::volumes::path(&scope, &volume.name), files });
    }
    anew
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::host::{IdExtent, IdMap};
    use crate::manifest::{Input, read};

    fn input(map: &str, path: Option<&str>) -> Input {
        let text = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m}}\n{map}\n---\napiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\n\
             spec:\n  volumes:\n  - {{name: v, configMap: {{name: m}}}}\n  containers: [{{name: c, image: i}}]\n"
        );
        Input { name: "pod.yaml".into(), bytes: text.into_bytes(), path: path.map(PathBuf::from) }
    }

    fn kept(map: &str, path: Option<&str>) -> Option<Value> {
        let bundle = read(&[input(map, path)]).unwrap();
        constant(&bundle.pods[0], &bundle).map(|constant| serde_json::to_value(constant).unwrap())
    }

    #[test]
    fn what_can_change_is_followed() {
        let nothing = json!({ "config_maps": [], "secrets": [] });
        assert_eq!(kept("data: {a: x}", Some("/pod.yaml")), Some(nothing));
        assert_eq!(kept("data: {a: x}\nimmutable: true", Some("/pod.yaml")), None);
        assert_eq!(kept("data: {a: x}", None), None);
    }

    #[test]
    fn volumes_are_made_of_what_the_input_says_now() {
        let extents = vec![IdExtent { inside: 0, outside: 1000, count: 1 }];
        let host = HostFacts::sample(IdMap { uids: extents.clone(), gids: extents });
        let first = read(&[input("data: {a: x}", Some("/pod.yaml"))]).unwrap();
        let now = |map: &str, constant: Constant| {
            let bundle = read(&[input(map, Some("/pod.yaml"))]).unwrap();
            let paths = PodPaths::of_running(String::new(), "/run/pod".into());
            let pod = first.pods[0].object.clone();
            let mut volumes = anew(pod, bundle, constant, &host, &paths, &Options::default());
            volumes.remove(0).files.unwrap().remove(0).content
        };
        assert_eq!(now("data: {a: z}", Constant::default()), b"z");
        let config_maps = vec![first.config_maps.values().next().unwrap().object.clone()];
        assert_eq!(now("data: {a: z}", Constant { config_maps, ..Constant::default() }), b"x");
    }

    #[test]
    fn what_is_followed_is_taken_from_the_files() {
        let taken = |was: &str, now: &str| {
            let mut bundle = read(&[input(was, Some("/pod.yaml"))]).unwrap();
            take_present(&mut bundle, read(&[input(now, Some("/pod.yaml"))]).unwrap());
            bundle.config_maps.into_values().next().unwrap().object.data.unwrap()["a"].clone()
        };
        assert_eq!(taken("data: {a: x}", "data: {a: z}"), "z");
        assert_eq!(taken("data: {a: x}\nimmutable: true", "data: {a: z}"), "x");
        let mut bundle = read(&[input("data: {a: x}", Some("/pod.yaml"))]).unwrap();
        take_present(&mut bundle, Bundle::default());
        assert_eq!(bundle.config_maps.len(), 1);
    }
}

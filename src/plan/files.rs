//! The volumes whose files are generated: ConfigMaps, Secrets, what the downward API tells, and tokens, alone and projected together.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use k8s_openapi::api::core::v1::{DownwardAPIVolumeFile, KeyToPath, ServiceAccountTokenProjection, Volume};

use super::scope::{Scope, plain_name};
use super::{FilePlan, Origin, Verdict, downward, followed, groups, token};
use crate::error::Result;

const DEFAULT_MODE: u32 = 0o644;
/// What nobody but its user may read.
const PRIVATE_MODE: u32 = 0o600;
/// As the kernel has it (`NAME_MAX`, limits.h).
const LONGEST_NAME: usize = 255;
/// How long a token lasts, in seconds, where that is not written.
const TOKEN_LIFETIME: i64 = 3600;

/// The files of a volume that podling generates, in the order of their paths; `None` for every other kind of volume. `at` is the
/// volume's path.
///
/// # Errors
/// For ConfigMaps, Secrets and keys that are not there, values that do not exist, files in the place of directories, and owners that
/// do not exist in the pod's user namespace.
pub(super) fn files(
    scope: &Scope,
    at: &str,
    volume: &Volume,
    report: &mut Vec<Verdict>,
) -> Result<Option<Vec<FilePlan>>> {
    let mut files;
    if let Some(source) = &volume.config_map {
        let at = format!("{at}.configMap");
        files = Files::new(scope, &at, source.default_mode, source.default_user)?;
        files.object(&at, &Object::config_map(&source.name, source.items.as_deref(), source.optional))?;
    } else if let Some(source) = &volume.secret {
        let at = format!("{at}.secret");
        files = Files::new(scope, &at, source.default_mode, source.default_user)?;
        let name = source.secret_name.as_deref().unwrap_or_default();
        let object = Object::secret(name, source.items.as_deref(), source.optional);
        files.object(&at, &Object { field: "secretName", ..object })?;
    } else if let Some(source) = &volume.downward_api {
        let at = format!("{at}.downwardAPI");
        files = Files::new(scope, &at, source.default_mode, source.default_user)?;
        files.downward(&at, source.items.as_deref().unwrap_or_default(), report)?;
    } else if let Some(source) = &volume.projected {
        let at = format!("{at}.projected");
        files = Files::new(scope, &at, source.default_mode, source.default_user)?;
        for (i, source) in source.sources.iter().flatten().enumerate() {
            let at = format!("{at}.sources[{i}]");
            if let Some(source) = &source.config_map {
                let object = Object::config_map(&source.name, source.items.as_deref(), source.optional);
                files.object(&format!("{at}.configMap"), &object)?;
            }
            if let Some(source) = &source.secret {
                let object = Object::secret(&source.name, source.items.as_deref(), source.optional);
                files.object(&format!("{at}.secret"), &object)?;
            }
            if let Some(source) = &source.downward_api {
                files.downward(&format!("{at}.downwardAPI"), source.items.as_deref().unwrap_or_default(), report)?;
            }
            if let Some(source) = &source.service_account_token {
                files.token(&format!("{at}.serviceAccountToken"), source)?;
            }
        }
    } else {
        return Ok(None);
    }
    files.finish().map(Some)
}

#[derive(Clone, Copy)]
enum Kind {
    ConfigMap,
    Secret,
}

/// Whether an object or key may be missing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    Required,
    Optional,
}

/// What is taken of which object.
struct Object<'a> {
    kind: Kind,
    name: &'a str,
    /// The field that names it.
    field: &'static str,
    items: &'a [KeyToPath],
    presence: Presence,
}

impl<'a> Object<'a> {
    fn config_map(name: &'a str, items: Option<&'a [KeyToPath]>, optional: Option<bool>) -> Object<'a> {
        let presence = if optional == Some(true) { Presence::Optional } else { Presence::Required };
        Object { kind: Kind::ConfigMap, name, field: "name", items: items.unwrap_or_default(), presence }
    }

    fn secret(name: &'a str, items: Option<&'a [KeyToPath]>, optional: Option<bool>) -> Object<'a> {
        Object { kind: Kind::Secret, ..Object::config_map(name, items, optional) }
    }

    fn kind(&self) -> &'static str {
        match self.kind {
            Kind::ConfigMap => "ConfigMap",
            Kind::Secret => "Secret",
        }
    }
}

/// The files of one volume as they come together. What comes later goes over what was at its path.
struct Files<'a> {
    scope: &'a Scope<'a>,
    mode: u32,
    owner: Option<u32>,
    /// The files, each with the field that its path comes from.
    files: BTreeMap<PathBuf, (FilePlan, String)>,
}

impl<'a> Files<'a> {
    fn new(scope: &'a Scope<'a>, at: &str, mode: Option<i32>, user: Option<i64>) -> Result<Files<'a>> {
        let mode = self::mode(scope, &format!("{at}.defaultMode"), mode)?.unwrap_or(DEFAULT_MODE);
        let owner = owner(scope, &format!("{at}.defaultUser"), user)?;
        Ok(Files { scope, mode, owner, files: BTreeMap::new() })
    }

    /// One file for each of its items, or for each key where no items are written.
    fn object(&mut self, at: &str, object: &Object) -> Result<()> {
        let name = object.name;
        let Some(keys) = keys(self.scope, object.kind, name) else {
            if object.presence == Presence::Optional {
                return Ok(());
            }
            let why = format!("there is no {} {name:?} in the pod's namespace", object.kind());
            let mend = format!("add the {} to the input, or write `optional: true`", object.kind());
            return Err(self.scope.error(&format!("{at}.{}", object.field), why).mend(mend));
        };
        let origin = match object.kind {
            Kind::ConfigMap => followed::config_map(self.scope, name),
            Kind::Secret => followed::secret(self.scope, name),
        };
        let origin = if origin.is_some() { Origin::Followed } else { Origin::Plan };
        if object.items.is_empty() {
            for (key, bytes) in keys {
                let path = PathBuf::from(plain_name(self.scope, at, key)?);
                self.add(at, FilePlan { owner: self.owner, origin, ..FilePlan::new(path, self.mode, bytes.to_vec()) });
            }
            return Ok(());
        }
        for (i, item) in object.items.iter().enumerate() {
            let at = format!("{at}.items[{i}]");
            match keys.get(item.key.as_str()) {
                Some(bytes) => {
                    self.item(&at, &item.path, item.mode, item.user, bytes.to_vec())?;
                    if let Some((file, _)) = below(&item.path).and_then(|path| self.files.get_mut(&path)) {
                        file.origin = origin;
                    }
                }
                None if object.presence == Presence::Optional => {}
                None => {
                    let why = format!("{} {name:?} has no key {:?}", object.kind(), item.key);
                    return Err(self.scope.error(&format!("{at}.key"), why));
                }
            }
        }
        Ok(())
    }

    fn downward(&mut self, at: &str, items: &[DownwardAPIVolumeFile], report: &mut Vec<Verdict>) -> Result<()> {
        for (i, item) in items.iter().enumerate() {
            let at = format!("{at}.items[{i}]");
            let value = if let Some(field) = &item.field_ref {
                downward::in_file(self.scope, &format!("{at}.fieldRef"), field, report)?
            } else if let Some(resource) = &item.resource_field_ref {
                let at = format!("{at}.resourceFieldRef");
                let name = resource.container_name.as_deref().unwrap_or_default();
                let Some((_, container)) = self.scope.containers().find(|(_, container)| container.name == name) else {
                    let why = format!("the pod has no container {name:?}");
                    return Err(self.scope.error(&format!("{at}.containerName"), why));
                };
                downward::resource(self.scope, &at, resource, container, report)?
            } else {
                return Err(self.scope.error(&at, "has neither a fieldRef nor a resourceFieldRef"));
            };
            self.item(&at, &item.path, item.mode, item.user, value.into_bytes())?;
        }
        Ok(())
    }

    /// A token is nobody's business but its user's: where all containers run as one user, or the volume's files have a group, the
    /// kubelet takes the rights of all others away.
    fn token(&mut self, at: &str, said: &ServiceAccountTokenProjection) -> Result<()> {
        let lifetime = said.expiration_seconds.unwrap_or(TOKEN_LIFETIME);
        let Ok(lifetime) = u64::try_from(lifetime) else {
            return Err(self.scope.error(&format!("{at}.expirationSeconds"), format!("{lifetime} is negative")));
        };
        let claims = token::claims(self.scope, said.audience.as_deref());
        let user = groups::only_user(self.scope);
        let private = user.is_some() || groups::file_group(self.scope)?.is_some();
        let user = user.filter(|user| !self.scope.ids.is_single() && self.scope.ids.has_uid(*user));
        self.item(at, &said.path, None, said.user, claims)?;
        if let Some((file, _)) = below(&said.path).and_then(|path| self.files.get_mut(&path)) {
            file.lifetime = Some(lifetime);
            file.owner = file.owner.or(user);
            file.mode = if private { PRIVATE_MODE } else { file.mode };
        }
        Ok(())
    }

    fn item(
        &mut self,
        at: &str,
        path: &str,
        said_mode: Option<i32>,
        user: Option<i64>,
        content: Vec<u8>,
    ) -> Result<()> {
        let Some(path) = below(path) else {
            let why =
                format!("{path:?} is not a relative path without '..' and with names of at most {LONGEST_NAME} bytes");
            return Err(self.scope.error(&format!("{at}.path"), why));
        };
        let mode = mode(self.scope, &format!("{at}.mode"), said_mode)?.unwrap_or(self.mode);
        let owner = owner(self.scope, &format!("{at}.user"), user)?.or(self.owner);
        self.add(&format!("{at}.path"), FilePlan { owner, ..FilePlan::new(path, mode, content) });
        Ok(())
    }

    fn add(&mut self, at: &str, file: FilePlan) {
        self.files.insert(file.path.clone(), (file, at.to_owned()));
    }

    fn finish(self) -> Result<Vec<FilePlan>> {
        for (path, (_, at)) in &self.files {
            let mut above = path.ancestors().skip(1);
            if let Some((other, _)) = above.find_map(|above| self.files.get(above)) {
                let why = format!("{path:?} collides with the file {:?}, which cannot be a directory too", other.path);
                return Err(self.scope.error(at, why));
            }
        }
        let group = groups::file_group(self.scope)?;
        let files = self.files.into_values().map(|(mut file, _)| {
            // The group can read whatever its mode says (the kubelet's SetVolumeOwnership).
            file.mode |= if group.is_some() { 0o440 } else { 0 };
            file
        });
        Ok(files.collect())
    }
}

fn keys<'a>(scope: &'a Scope, kind: Kind, name: &str) -> Option<BTreeMap<&'a str, &'a [u8]>> {
    Some(match kind {
        Kind::ConfigMap => {
            let map = scope.config_map(name)?;
            let text = map.data.iter().flatten().map(|(key, value)| (key.as_str(), value.as_bytes()));
            let binary = map.binary_data.iter().flatten().map(|(key, value)| (key.as_str(), value.0.as_slice()));
            text.chain(binary).collect()
        }
        Kind::Secret => {
            let data = scope.secret(name)?.data.iter().flatten();
            data.map(|(key, value)| (key.as_str(), value.0.as_slice())).collect()
        }
    })
}

fn mode(scope: &Scope, at: &str, said: Option<i32>) -> Result<Option<u32>> {
    let Some(said) = said else { return Ok(None) };
    match u32::try_from(said).ok().filter(|mode| *mode <= 0o777) {
        Some(mode) => Ok(Some(mode)),
        None => Err(scope.error(at, format!("{said} is not between 0 and 0777 (511)"))),
    }
}

/// The owner of files, where one is written that podling can give them: with one id everything is the container's own.
fn owner(scope: &Scope, at: &str, said: Option<i64>) -> Result<Option<u32>> {
    let Some(said) = said else { return Ok(None) };
    let Some(uid) = i32::try_from(said).ok().and_then(|uid| u32::try_from(uid).ok()) else {
        return Err(scope.error(at, format!("{said} is not an id between 0 and 2147483647")));
    };
    if scope.ids.is_single() {
        return Ok(None);
    }
    if !scope.ids.has_uid(uid) {
        return Err(groups::unmapped(scope, at, "user", uid));
    }
    Ok(Some(uid))
}

/// `path` cleaned, where it is relative, stays below its root, and is short enough for the kernel.
fn below(path: &str) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) if name.len() <= LONGEST_NAME => clean.push(name),
            Component::CurDir => {}
            Component::Normal(_) | Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    let reserved = clean.as_os_str().as_encoded_bytes().starts_with(b"..");
    (!clean.as_os_str().is_empty() && !reserved && !path.contains('\0')).then_some(clean)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::plan::fixture::Fixture;
    use crate::plan::{FilePlan, Layout, VolumePlan};

    fn fixture(volume: Value) -> Fixture {
        let mut fixture = Fixture::container(json!({ "resources": { "limits": { "cpu": "1500m" } } }))
            .config_map(json!({ "metadata": { "name": "map" }, "data": { "a": "1" }, "binaryData": { "b": "AP8=" } }))
            .secret(json!({ "metadata": { "name": "hush" }, "data": { "k": "c2VjcmV0" } }));
        fixture.pod["metadata"] = json!({ "name": "pod", "labels": { "b": "2", "a": "1" } });
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
    fn what_the_pod_is_told_becomes_files() {
        let items = json!([
            { "path": "labels", "fieldRef": { "fieldPath": "metadata.labels" } },
            { "path": "deep/uid", "fieldRef": { "fieldPath": "metadata.uid" }, "mode": 0o400 },
            { "path": "cpu", "resourceFieldRef": { "containerName": "main", "resource": "limits.cpu", "divisor": "1m" } },
        ]);
        assert_eq!(
            files(json!({ "name": "v", "downwardAPI": { "items": items, "defaultMode": 0o440 } })),
            [
                ("cpu".to_owned(), 0o440, b"1500".to_vec()),
                ("deep/uid".to_owned(), 0o400, crate::plan::NO_UID.as_bytes().to_vec()),
                ("labels".to_owned(), 0o440, b"a=\"1\"\nb=\"2\"".to_vec()),
            ]
        );
    }

    #[test]
    fn later_sources_go_over_earlier_ones() {
        let sources = json!([
            { "configMap": { "name": "map" } },
            { "secret": { "name": "hush", "items": [{ "key": "k", "path": "a", "mode": 0o600 }] } },
            { "secret": { "name": "none", "optional": true } },
            { "downwardAPI": { "items": [{ "path": "name", "fieldRef": { "fieldPath": "metadata.name" } }] } },
        ]);
        let said = json!({ "name": "v", "projected": { "sources": sources, "defaultMode": 0o444 } });
        assert_eq!(volume(said.clone()).layout, Layout::Atomic);
        assert_eq!(
            files(said),
            [
                ("a".to_owned(), 0o600, b"secret".to_vec()),
                ("b".to_owned(), 0o444, vec![0, 255]),
                ("name".to_owned(), 0o444, b"pod".to_vec()),
            ]
        );
    }

    fn token(security: Value) -> FilePlan {
        let source = json!({ "serviceAccountToken": { "path": "t", "audience": "me", "expirationSeconds": 600 } });
        let mut fixture = fixture(json!({ "name": "v", "projected": { "sources": [source] } }));
        fixture.pod["spec"]["securityContext"] = security;
        fixture.plan().unwrap().volumes.pop().unwrap().files.remove(0)
    }

    #[test]
    fn a_token_says_whose_it_is_and_is_private_where_one_user_is() {
        let file = token(json!({}));
        let claims: Value = serde_json::from_slice(&file.content).unwrap();
        assert_eq!(claims["aud"], json!(["me"]));
        assert_eq!(claims["sub"], "system:serviceaccount:default:default");
        assert_eq!(claims["kubernetes.io"]["pod"], json!({ "name": "pod", "uid": crate::plan::NO_UID }));
        assert!(claims["notice"].as_str().unwrap().contains("no API server"));
        assert_eq!((file.mode, file.owner, file.lifetime), (0o644, None, Some(600)));
        let file = token(json!({ "runAsUser": 1000 }));
        assert_eq!((file.mode, file.owner), (0o600, Some(1000)));
        let file = token(json!({ "runAsUser": 1000, "fsGroup": 2000 }));
        assert_eq!((file.mode, file.owner), (0o640, Some(1000)));
    }

    #[test]
    fn owners_and_groups() {
        let items = json!([{ "key": "a", "path": "a", "user": 33 }, { "key": "b", "path": "b" }]);
        let said = json!({ "name": "v", "configMap": { "name": "map", "items": items, "defaultUser": 7, "defaultMode": 0o400 } });
        let mut owned = fixture(said.clone());
        owned.pod["spec"]["securityContext"] = json!({ "fsGroup": 2000 });
        let plan = owned.plan().unwrap().volumes.pop().unwrap();
        assert_eq!((plan.mode, plan.group), (0o2755, Some(2000)));
        let seen: Vec<_> = plan.files.iter().map(|file| (file.owner, file.mode)).collect();
        assert_eq!(seen, [(Some(33), 0o440), (Some(7), 0o440)]);
        let plan = owned.single_id().plan().unwrap();
        let single = plan.volumes.last().unwrap();
        assert_eq!((single.mode, single.group, single.files[0].owner), (0o755, None, None));
        assert!(plan.report.iter().any(|verdict| verdict.path == "spec.securityContext.fsGroup"));
        let mut far = said;
        far["configMap"]["defaultUser"] = json!(70_000);
        let refusal = fixture(far).refusal();
        assert!(refusal.contains("configMap.defaultUser") && refusal.contains("/etc/subuid"), "{refusal}");
    }

    #[test]
    fn impossible_files() {
        let item = |path: &str| json!({ "name": "map", "items": [{ "key": "a", "path": path }] });
        let long = "x".repeat(256);
        for (said, expected) in [
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
            (json!({ "name": "v", "configMap": item("..x") }), "items[0].path"),
            (json!({ "name": "v", "configMap": item(&long) }), "at most 255 bytes"),
            (
                json!({ "name": "v", "downwardAPI": { "items": [{ "path": "x", "resourceFieldRef": {
                    "containerName": "none", "resource": "limits.cpu" } }] } }),
                "no container \"none\"",
            ),
        ] {
            let refusal = fixture(said).refusal();
            assert!(refusal.contains(expected), "{refusal}");
        }
    }
}

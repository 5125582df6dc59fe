//! What Pods say about other objects: every ConfigMap and Secret that a Pod needs must be in the input, with the keys it names. An API
//! server takes a Pod without them, and the kubelet waits for them.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{ConfigMap, Container, KeyToPath, Secret, Volume};

use super::check::containers;
use super::mistakes::nearest;
use super::problems::Problems;
use super::{Bundle, ObjectKey, Said, Source};

/// Checks all references of all Pods.
pub(super) fn check(bundle: &Bundle, problems: &mut Problems) {
    for pod in bundle.templates() {
        let Some(spec) = &pod.object.spec else { continue };
        let namespace = ObjectKey::of(&pod.object).namespace;
        let mut check = Check { bundle, namespace: &namespace, source: &pod.source, problems };
        for (at, volume) in spec.volumes.iter().flatten().enumerate() {
            check.volume(&format!("spec.volumes[{at}]"), volume);
        }
        for (path, container) in containers(spec) {
            check.container(&path, container);
        }
    }
}

struct Check<'a> {
    bundle: &'a Bundle,
    namespace: &'a str,
    source: &'a Source,
    problems: &'a mut Problems,
}

/// What a reference demands.
struct Wanted<'a> {
    /// The path of the field with the object's name.
    path: String,
    name: &'a str,
    /// The keys that must exist, each with the path of its field.
    keys: Vec<(String, &'a str)>,
    optional: Option<bool>,
}

impl Check<'_> {
    fn volume(&mut self, path: &str, volume: &Volume) {
        if let Some(map) = &volume.config_map {
            self.whole_config_map(&format!("{path}.configMap"), &map.name, map.items.as_deref(), map.optional);
        }
        if let Some(secret) = &volume.secret {
            let name = secret.secret_name.as_deref().unwrap_or_default();
            let path = format!("{path}.secret");
            self.whole_secret(&path, "secretName", name, secret.items.as_deref(), secret.optional);
        }
        for (at, source) in volume.projected.iter().flat_map(|p| &p.sources).flatten().enumerate() {
            let path = format!("{path}.projected.sources[{at}]");
            if let Some(map) = &source.config_map {
                self.whole_config_map(&format!("{path}.configMap"), &map.name, map.items.as_deref(), map.optional);
            }
            if let Some(secret) = &source.secret {
                let path = format!("{path}.secret");
                self.whole_secret(&path, "name", &secret.name, secret.items.as_deref(), secret.optional);
            }
        }
    }

    fn whole_config_map(&mut self, path: &str, name: &str, items: Option<&[KeyToPath]>, optional: Option<bool>) {
        let keys = item_keys(path, items);
        self.config_map(&Wanted { path: format!("{path}.name"), name, keys, optional }, all_keys);
    }

    fn whole_secret(
        &mut self,
        path: &str,
        field: &str,
        name: &str,
        items: Option<&[KeyToPath]>,
        optional: Option<bool>,
    ) {
        let keys = item_keys(path, items);
        self.secret(&Wanted { path: format!("{path}.{field}"), name, keys, optional });
    }

    fn container(&mut self, path: &str, container: &Container) {
        for (at, from) in container.env_from.iter().flatten().enumerate() {
            let path = format!("{path}.envFrom[{at}]");
            if let Some(map) = &from.config_map_ref {
                let path = format!("{path}.configMapRef.name");
                self.config_map(&Wanted { path, name: &map.name, keys: vec![], optional: map.optional }, text_keys);
            }
            if let Some(secret) = &from.secret_ref {
                let path = format!("{path}.secretRef.name");
                self.secret(&Wanted { path, name: &secret.name, keys: vec![], optional: secret.optional });
            }
        }
        for (at, variable) in container.env.iter().flatten().enumerate() {
            let Some(from) = &variable.value_from else { continue };
            let path = format!("{path}.env[{at}].valueFrom");
            if let Some(map) = &from.config_map_key_ref {
                let keys = vec![(format!("{path}.configMapKeyRef.key"), map.key.as_str())];
                let path = format!("{path}.configMapKeyRef.name");
                self.config_map(&Wanted { path, name: &map.name, keys, optional: map.optional }, text_keys);
            }
            if let Some(secret) = &from.secret_key_ref {
                let keys = vec![(format!("{path}.secretKeyRef.key"), secret.key.as_str())];
                let path = format!("{path}.secretKeyRef.name");
                self.secret(&Wanted { path, name: &secret.name, keys, optional: secret.optional });
            }
        }
    }

    fn config_map(&mut self, wanted: &Wanted<'_>, keys: fn(&ConfigMap) -> BTreeSet<&str>) {
        self.look_up("ConfigMap", &self.bundle.config_maps, wanted, keys);
    }

    fn secret(&mut self, wanted: &Wanted<'_>) {
        self.look_up("Secret", &self.bundle.secrets, wanted, secret_keys);
    }

    fn look_up<T>(
        &mut self,
        kind: &str,
        objects: &BTreeMap<ObjectKey, Said<T>>,
        wanted: &Wanted<'_>,
        keys: fn(&T) -> BTreeSet<&str>,
    ) {
        if wanted.name.is_empty() || wanted.optional == Some(true) {
            return;
        }
        let key = ObjectKey { namespace: self.namespace.to_owned(), name: wanted.name.to_owned() };
        let Some(object) = objects.get(&key) else {
            let why = format!("the input has no {kind} {:?}{}", wanted.name, in_namespace(self.namespace));
            self.problems.refuse(self.source, &wanted.path, why).mend(missing_object(kind, &key, objects));
            return;
        };
        let there = keys(&object.object);
        for (path, key) in wanted.keys.iter().filter(|(_, key)| !key.is_empty() && !there.contains(key)) {
            let why =
                format!("the {kind} {:?} at {} has no key {key:?}", wanted.name, object.source.at("metadata.name"));
            let problem = self.problems.refuse(self.source, path, why);
            if let Some(meant) = nearest(key, there.iter().copied()) {
                problem.mend(format!("did you mean {meant:?}?"));
            } else if there.is_empty() {
                problem.mend("it has no keys at all");
            } else {
                problem.mend(format!("it has {}", some_of(there.iter().copied())));
            }
        }
    }
}

/// What to do about an object that is not there.
fn missing_object<T>(kind: &str, key: &ObjectKey, objects: &BTreeMap<ObjectKey, Said<T>>) -> String {
    if let Some(other) = objects.keys().find(|other| other.name == key.name) {
        return format!("there is one in the namespace {:?}; a Pod sees its own namespace only", other.namespace);
    }
    let here: Vec<&str> =
        objects.keys().filter(|other| other.namespace == key.namespace).map(|other| other.name.as_str()).collect();
    if let Some(meant) = nearest(&key.name, here.iter().copied()) {
        return format!("did you mean {meant:?}?");
    }
    let there = if here.is_empty() { String::new() } else { format!(" (there are: {})", some_of(here.into_iter())) };
    format!("add the {kind}, or its file to the command line, or write optional: true{there}")
}

fn in_namespace(namespace: &str) -> String {
    if namespace == "default" { String::new() } else { format!(" in the namespace {namespace:?}") }
}

fn some_of<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<&str> = names.collect();
    let more = if names.len() > 8 { format!(" and {} more", names.len() - 8) } else { String::new() };
    format!("{}{more}", names.iter().take(8).copied().collect::<Vec<_>>().join(", "))
}

fn item_keys<'a>(path: &str, items: Option<&'a [KeyToPath]>) -> Vec<(String, &'a str)> {
    let items = items.into_iter().flatten().enumerate();
    items.map(|(at, item)| (format!("{path}.items[{at}].key"), item.key.as_str())).collect()
}

/// A variable takes its value from `data`; `binaryData` is for volumes only.
fn text_keys(map: &ConfigMap) -> BTreeSet<&str> {
    map.data.iter().flatten().map(|(key, _)| key.as_str()).collect()
}

fn all_keys(map: &ConfigMap) -> BTreeSet<&str> {
    let binary = map.binary_data.iter().flatten().map(|(key, _)| key.as_str());
    text_keys(map).into_iter().chain(binary).collect()
}

fn secret_keys(secret: &Secret) -> BTreeSet<&str> {
    secret.data.iter().flatten().map(|(key, _)| key.as_str()).collect()
}

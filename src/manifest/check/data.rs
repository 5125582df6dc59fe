//! ConfigMaps and Secrets: keys, sizes, and what a Secret's type demands.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use serde_json::Value;

use super::{Check, key_path, names};

/// How many bytes the values of one ConfigMap or Secret may have together.
const MAX_DATA: usize = 1 << 20;
/// The annotation that says whose token a Secret holds.
const ACCOUNT: &str = "kubernetes.io/service-account.name";

impl Check<'_> {
    pub(super) fn config_map(&mut self, map: &ConfigMap) {
        let texts = map.data.iter().flatten();
        let bytes = map.binary_data.iter().flatten();
        for (key, _) in texts.clone() {
            self.grammar(&key_path("data", key), names::config_key(key));
        }
        for (key, _) in bytes.clone() {
            let path = key_path("binaryData", key);
            self.grammar(&path, names::config_key(key));
            if map.data.as_ref().is_some_and(|data| data.contains_key(key)) {
                let first = self.source.at(&key_path("data", key));
                self.problem(&path, format!("the key {key:?} is in data too, at {first}"));
            }
        }
        let size =
            texts.map(|(_, text)| text.len()).sum::<usize>() + bytes.map(|(_, bytes)| bytes.0.len()).sum::<usize>();
        self.size("data", size);
    }

    /// `stringData` is not merged yet, so that each field is named as it was written.
    pub(super) fn secret(&mut self, secret: &Secret) {
        for key in secret.data.iter().flatten().map(|(key, _)| key) {
            self.grammar(&key_path("data", key), names::config_key(key));
        }
        for key in secret.string_data.iter().flatten().map(|(key, _)| key) {
            self.grammar(&key_path("stringData", key), names::config_key(key));
        }
        let texts = secret.string_data.iter().flatten();
        let overridden = |key: &String| secret.string_data.as_ref().is_some_and(|texts| texts.contains_key(key));
        let bytes = secret.data.iter().flatten().filter(|(key, _)| !overridden(key));
        let size =
            texts.map(|(_, text)| text.len()).sum::<usize>() + bytes.map(|(_, bytes)| bytes.0.len()).sum::<usize>();
        self.size("data", size);
        self.secret_type(secret);
    }

    /// The keys that the built-in types of Secrets demand, and what they hold. `stringData` goes over `data`.
    fn secret_type(&mut self, secret: &Secret) {
        let type_ = secret.type_.as_deref().unwrap_or_default();
        let keys: &[&str] = match type_ {
            "kubernetes.io/tls" => &["tls.crt", "tls.key"],
            "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
            "kubernetes.io/dockercfg" => &[".dockercfg"],
            "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
            _ => &[],
        };
        for key in keys {
            match value(secret, key) {
                None => {
                    self.problem("type", format!("a Secret of type {type_} must have the key {key:?}"));
                }
                Some((field, value)) if *key == "ssh-privatekey" && value.is_empty() => {
                    self.problem(&key_path(field, key), format!("a Secret of type {type_} must have a key here"));
                }
                // What is in it is secret, so the fault is told by its place only.
                Some((field, value)) if key.starts_with(".docker") => {
                    if let Err(e) = serde_json::from_slice::<Option<BTreeMap<String, Value>>>(value) {
                        let why = format!("not a JSON object, see line {}, column {} of it", e.line(), e.column());
                        self.problem(&key_path(field, key), why);
                    }
                }
                Some(_) => {}
            }
        }
        if type_ == "kubernetes.io/basic-auth"
            && ["username", "password"].iter().all(|key| value(secret, key).is_none())
        {
            self.problem("type", format!("a Secret of type {type_} must have the key \"username\" or \"password\""));
        }
        let account = secret.metadata.annotations.as_ref().and_then(|all| all.get(ACCOUNT));
        if type_ == "kubernetes.io/service-account-token" && account.is_none_or(String::is_empty) {
            self.problem("type", format!("a Secret of type {type_} must have the annotation {ACCOUNT}"));
        }
    }

    fn size(&mut self, path: &str, size: usize) {
        if size > MAX_DATA {
            self.problem(path, format!("{size} bytes together; Kubernetes takes {MAX_DATA} in one object"))
                .mend("split it into several objects");
        }
    }
}

/// What `key` holds, and the field that it is written in.
fn value<'a>(secret: &'a Secret, key: &str) -> Option<(&'static str, &'a [u8])> {
    let text = secret.string_data.as_ref().and_then(|texts| texts.get(key));
    let bytes = || secret.data.as_ref()?.get(key).map(|ByteString(bytes)| ("data", bytes.as_slice()));
    text.map(|text| ("stringData", text.as_bytes())).or_else(bytes)
}

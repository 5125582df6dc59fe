//! ConfigMaps and Secrets: keys, sizes, and what a Secret's type demands.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use serde::de::IgnoredAny;

use super::{Check, key_path, names};

/// How many bytes the values of one ConfigMap or Secret may have together.
const MAX_DATA: usize = 1 << 20;

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

    /// The keys that the built-in types of Secrets demand.
    fn secret_type(&mut self, secret: &Secret) {
        let type_ = secret.type_.as_deref().unwrap_or_default();
        let keys: &[&str] = match type_ {
            "kubernetes.io/tls" => &["tls.crt", "tls.key"],
            "kubernetes.io/dockerconfigjson" => &[".dockerconfigjson"],
            "kubernetes.io/dockercfg" => &[".dockercfg"],
            "kubernetes.io/ssh-auth" => &["ssh-privatekey"],
            _ => &[],
        };
        let has =
            |key: &str| has_key(&secret.data, key) || secret.string_data.as_ref().is_some_and(|s| s.contains_key(key));
        for key in keys.iter().filter(|key| !has(key)) {
            self.problem("type", format!("a Secret of type {type_} must have the key {key:?}"));
        }
        if matches!(type_, "kubernetes.io/dockerconfigjson" | "kubernetes.io/dockercfg") {
            for key in keys {
                self.json_object(secret, key, type_);
            }
        }
        let account = "kubernetes.io/service-account.name";
        let annotated = |name: &str| secret.metadata.annotations.as_ref().and_then(|all| all.get(name));
        if type_ == "kubernetes.io/service-account-token" && annotated(account).is_none_or(String::is_empty) {
            self.problem(&key_path("metadata.annotations", account), format!("required for a Secret of type {type_}"));
        }
        if type_ == "kubernetes.io/basic-auth" && !has("username") && !has("password") {
            self.problem("type", format!("a Secret of type {type_} must have the key \"username\" or \"password\""));
        }
    }

    /// The value of `key`, if it is there, must be a JSON object.
    fn json_object(&mut self, secret: &Secret, key: &str, type_: &str) {
        let text = secret.string_data.as_ref().and_then(|texts| texts.get(key));
        let bytes = secret.data.as_ref().and_then(|data| data.get(key));
        let (field, value) = match (text, bytes) {
            (Some(text), _) => ("stringData", text.as_bytes()),
            (None, Some(bytes)) => ("data", bytes.0.as_slice()),
            (None, None) => return,
        };
        if serde_json::from_slice::<BTreeMap<String, IgnoredAny>>(value).is_err() {
            self.problem(&key_path(field, key), format!("no JSON object, which a Secret of type {type_} has here"));
        }
    }

    fn size(&mut self, path: &str, size: usize) {
        if size > MAX_DATA {
            self.problem(path, format!("{size} bytes together; Kubernetes takes {MAX_DATA} in one object"))
                .mend("split it into several objects");
        }
    }
}

fn has_key(data: &Option<BTreeMap<String, ByteString>>, key: &str) -> bool {
    data.as_ref().is_some_and(|data| data.contains_key(key))
}

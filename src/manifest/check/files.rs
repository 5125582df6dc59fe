//! The volumes whose files are generated: what each source must say, and where files may be.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    DownwardAPIVolumeFile, KeyToPath, PodSpec, ProjectedVolumeSource, ServiceAccountTokenProjection, Volume,
    VolumeProjection,
};

use super::downward::Target;
use super::{Check, names};

/// The kinds of sources that a projected volume may have.
const SOURCES: &str = "configMap, secret, downwardAPI and serviceAccountToken";

/// How many seconds a token may last.
const LIFETIMES: std::ops::RangeInclusive<i64> = 600..=1 << 32;

impl Check<'_> {
    /// The parts of a volume whose files are generated, if it has any.
    pub(super) fn generated(&mut self, path: &str, volume: &Volume, spec: &PodSpec) {
        if let Some(map) = &volume.config_map {
            let path = format!("{path}.configMap");
            self.required(&format!("{path}.name"), &map.name);
            self.defaults(&path, map.default_mode, map.default_user);
            self.items(&path, map.items.as_deref());
        }
        if let Some(secret) = &volume.secret {
            let path = format!("{path}.secret");
            self.required(&format!("{path}.secretName"), secret.secret_name.as_deref().unwrap_or_default());
            self.defaults(&path, secret.default_mode, secret.default_user);
            self.items(&path, secret.items.as_deref());
        }
        if let Some(source) = &volume.downward_api {
            let path = format!("{path}.downwardAPI");
            self.defaults(&path, source.default_mode, source.default_user);
            self.told_items(&path, source.items.as_deref(), spec);
        }
        if let Some(source) = &volume.projected {
            let path = format!("{path}.projected");
            self.defaults(&path, source.default_mode, source.default_user);
            for (at, source) in source.sources.iter().flatten().enumerate() {
                self.projection(&format!("{path}.sources[{at}]"), source, spec);
            }
            self.unique_paths(&path, source);
        }
    }

    fn projection(&mut self, path: &str, source: &VolumeProjection, spec: &PodSpec) {
        let there = [
            source.cluster_trust_bundle.is_some(),
            source.config_map.is_some(),
            source.downward_api.is_some(),
            source.pod_certificate.is_some(),
            source.secret.is_some(),
            source.service_account_token.is_some(),
        ];
        match there.iter().filter(|there| **there).count() {
            0 => {
                self.problem(path, format!("a source is one of {SOURCES}, found none"));
            }
            1 => {}
            _ => {
                self.problem(path, format!("a source is one of {SOURCES}, found several"))
                    .mend("write a source for each");
            }
        }
        if let Some(map) = &source.config_map {
            self.required(&format!("{path}.configMap.name"), &map.name);
            self.items(&format!("{path}.configMap"), map.items.as_deref());
        }
        if let Some(secret) = &source.secret {
            self.required(&format!("{path}.secret.name"), &secret.name);
            self.items(&format!("{path}.secret"), secret.items.as_deref());
        }
        if let Some(source) = &source.downward_api {
            self.told_items(&format!("{path}.downwardAPI"), source.items.as_deref(), spec);
        }
        if let Some(token) = &source.service_account_token {
            self.token(&format!("{path}.serviceAccountToken"), token);
        }
    }

    fn token(&mut self, path: &str, token: &ServiceAccountTokenProjection) {
        if let Some(seconds) = token.expiration_seconds.filter(|seconds| !LIFETIMES.contains(seconds)) {
            let (least, most) = LIFETIMES.into_inner();
            self.problem(&format!("{path}.expirationSeconds"), format!("{seconds} is outside {least} to {most}"));
        }
        self.local_path(&format!("{path}.path"), &token.path);
        self.id(&format!("{path}.user"), token.user);
    }

    /// No two sources may say the same path; those of whole ConfigMaps and Secrets are only known later, and go over each other.
    fn unique_paths(&mut self, path: &str, projected: &ProjectedVolumeSource) {
        let mut seen: BTreeMap<&str, String> = BTreeMap::new();
        for (at, said) in said_paths(path, projected) {
            match seen.get(said) {
                Some(first) => {
                    let first = self.source.at(first);
                    self.problem(&at, format!("the path {said:?} is already taken at {first}"));
                }
                None if said.is_empty() => {}
                None => {
                    seen.insert(said, at);
                }
            }
        }
    }

    fn defaults(&mut self, path: &str, mode: Option<i32>, user: Option<i64>) {
        self.mode(&format!("{path}.defaultMode"), mode);
        self.id(&format!("{path}.defaultUser"), user);
    }

    fn items(&mut self, path: &str, items: Option<&[KeyToPath]>) {
        for (at, item) in items.into_iter().flatten().enumerate() {
            let path = format!("{path}.items[{at}]");
            self.required(&format!("{path}.key"), &item.key);
            self.local_path(&format!("{path}.path"), &item.path);
            self.mode(&format!("{path}.mode"), item.mode);
            self.id(&format!("{path}.user"), item.user);
        }
    }

    fn told_items(&mut self, path: &str, items: Option<&[DownwardAPIVolumeFile]>, spec: &PodSpec) {
        for (at, item) in items.into_iter().flatten().enumerate() {
            let path = format!("{path}.items[{at}]");
            self.local_path(&format!("{path}.path"), &item.path);
            self.mode(&format!("{path}.mode"), item.mode);
            self.id(&format!("{path}.user"), item.user);
            match (&item.field_ref, &item.resource_field_ref) {
                (Some(field), None) => self.field_ref(&format!("{path}.fieldRef"), field, Target::File),
                (None, Some(resource)) => {
                    self.resource_ref(&format!("{path}.resourceFieldRef"), resource, Target::File, spec);
                }
                (None, None) => {
                    self.problem(&path, "an item has one of fieldRef and resourceFieldRef, found none");
                }
                (Some(_), Some(_)) => {
                    self.problem(&path, "an item has one of fieldRef and resourceFieldRef, found both");
                }
            }
        }
    }

    fn local_path(&mut self, at: &str, path: &str) {
        if path.is_empty() {
            self.problem(at, "required");
        } else {
            self.grammar(at, names::local_path(path));
        }
    }

    pub(super) fn mode(&mut self, path: &str, mode: Option<i32>) {
        if let Some(mode) = mode.filter(|mode| !(0..=0o777).contains(mode)) {
            let octal = if mode < 0 { String::new() } else { format!(", 0{mode:o} in octal,") };
            let problem = self.problem(path, format!("{mode}{octal} is outside 0 to 0777"));
            // The usual modes, when the zero that makes them octal is forgotten.
            if matches!(mode, 600 | 640 | 644 | 660 | 664 | 666 | 700 | 750 | 755 | 770 | 775 | 777) {
                problem.mend(format!("did you mean 0{mode}?"));
            }
        }
    }
}

/// Every path that the sources of a projected volume say, with its own.
fn said_paths<'a>(path: &str, projected: &'a ProjectedVolumeSource) -> Vec<(String, &'a str)> {
    let mut paths = Vec::new();
    for (at, source) in projected.sources.iter().flatten().enumerate() {
        let path = format!("{path}.sources[{at}]");
        let mut items = |kind: &str, said: Vec<&'a str>| {
            paths.extend(
                said.into_iter().enumerate().map(|(at, said)| (format!("{path}.{kind}.items[{at}].path"), said)),
            );
        };
        if let Some(map) = &source.config_map {
            items("configMap", map.items.iter().flatten().map(|item| item.path.as_str()).collect());
        }
        if let Some(secret) = &source.secret {
            items("secret", secret.items.iter().flatten().map(|item| item.path.as_str()).collect());
        }
        if let Some(source) = &source.downward_api {
            items("downwardAPI", source.items.iter().flatten().map(|item| item.path.as_str()).collect());
        }
        if let Some(token) = &source.service_account_token {
            paths.push((format!("{path}.serviceAccountToken.path"), token.path.as_str()));
        }
    }
    paths
}

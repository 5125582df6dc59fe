//! A container's variables, and where their values come from.

use k8s_openapi::api::core::v1::{EnvFromSource, EnvVar, EnvVarSource, FileKeySelector, PodSpec};

use super::downward::Target;
use super::{Check, names};
use crate::manifest::mistakes::nearest;

/// Longest `fileKeyRef.key`, in bytes.
const LONGEST_KEY: usize = 128;

impl Check<'_> {
    pub(super) fn variable(&mut self, path: &str, variable: &EnvVar, spec: &PodSpec) {
        if variable.name.is_empty() {
            self.problem(&format!("{path}.name"), "required");
        } else {
            self.grammar(&format!("{path}.name"), names::env_name(&variable.name));
        }
        let Some(from) = &variable.value_from else { return };
        let path = format!("{path}.valueFrom");
        let there = self.sources(&path, from, spec);
        if there.is_empty() {
            let why =
                "expected one of fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef and fileKeyRef, found none";
            self.problem(&path, why);
        } else if variable.value.as_deref().is_some_and(|value| !value.is_empty()) {
            self.problem(&path, "a variable has a value or a valueFrom, found both");
        } else if there.len() > 1 {
            self.problem(&path, format!("valueFrom has one source, found {}", there.join(" and ")));
        }
    }

    /// Checks every source that is there, and names them.
    fn sources(&mut self, path: &str, from: &EnvVarSource, spec: &PodSpec) -> Vec<&'static str> {
        let mut there = Vec::new();
        if let Some(said) = &from.field_ref {
            there.push("fieldRef");
            self.field_ref(&format!("{path}.fieldRef"), said, Target::Variable);
        }
        if let Some(said) = &from.resource_field_ref {
            there.push("resourceFieldRef");
            self.resource_ref(&format!("{path}.resourceFieldRef"), said, Target::Variable, spec);
        }
        let keys = [
            ("configMapKeyRef", from.config_map_key_ref.as_ref().map(|r| (&r.name, &r.key))),
            ("secretKeyRef", from.secret_key_ref.as_ref().map(|r| (&r.name, &r.key))),
        ];
        for (field, (name, key)) in keys.into_iter().filter_map(|(field, said)| Some((field, said?))) {
            there.push(field);
            self.object_name(&format!("{path}.{field}.name"), name);
            if key.is_empty() {
                self.problem(&format!("{path}.{field}.key"), "required");
            } else {
                self.grammar(&format!("{path}.{field}.key"), names::config_key(key));
            }
        }
        if let Some(said) = &from.file_key_ref {
            there.push("fileKeyRef");
            self.file_key(&format!("{path}.fileKeyRef"), said, spec);
        }
        there
    }

    fn file_key(&mut self, path: &str, said: &FileKeySelector, spec: &PodSpec) {
        let key = format!("{path}.key");
        if said.key.is_empty() {
            self.problem(&key, "required");
        } else if said.key.len() > LONGEST_KEY {
            self.problem(&key, format!("{} bytes are more than {LONGEST_KEY}", said.key.len()));
        } else {
            self.grammar(&key, names::env_name(&said.key));
        }
        self.required(&format!("{path}.path"), &said.path);
        self.grammar(&format!("{path}.path"), names::local_path(&said.path));
        let volume = format!("{path}.volumeName");
        if said.volume_name.is_empty() {
            self.problem(&volume, "required");
            return;
        }
        let volumes = spec.volumes.as_deref().unwrap_or_default();
        match volumes.iter().find(|volume| volume.name == said.volume_name) {
            Some(there) if there.empty_dir.is_some() => {}
            Some(_) => {
                let why = format!("{:?} is not an emptyDir volume, and variables come from no other", said.volume_name);
                self.problem(&volume, why);
            }
            None => {
                let meant =
                    nearest(&said.volume_name, volumes.iter().map(|volume| volume.name.as_str())).map(str::to_owned);
                let problem = self.problem(&volume, format!("spec.volumes has no volume {:?}", said.volume_name));
                if let Some(meant) = meant {
                    problem.mend(format!("did you mean {meant:?}?"));
                }
            }
        }
    }

    pub(super) fn env_from(&mut self, path: &str, source: &EnvFromSource) {
        if let Some(prefix) = source.prefix.as_deref().filter(|prefix| !prefix.is_empty()) {
            self.grammar(&format!("{path}.prefix"), names::env_name(prefix));
        }
        match (&source.config_map_ref, &source.secret_ref) {
            (Some(map), None) => self.whole_object(&format!("{path}.configMapRef.name"), &map.name),
            (None, Some(secret)) => self.whole_object(&format!("{path}.secretRef.name"), &secret.name),
            (None, None) => {
                self.problem(path, "envFrom has one of configMapRef and secretRef, found none");
            }
            (Some(_), Some(_)) => {
                self.problem(path, "envFrom has one of configMapRef and secretRef, found both");
            }
        }
    }

    /// The name of the ConfigMap or Secret that a key is of.
    fn object_name(&mut self, path: &str, name: &str) {
        if name.is_empty() {
            self.problem(path, "required");
        } else {
            self.grammar(path, names::dns_subdomain(name));
        }
    }

    /// The name of one whose keys all become variables, which an API server judges as if more could follow.
    fn whole_object(&mut self, path: &str, name: &str) {
        if name.is_empty() {
            self.problem(path, "required");
        } else {
            self.grammar(path, names::name_prefix(name));
        }
    }
}

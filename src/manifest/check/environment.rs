//! A container's variables, and what of the downward API they may select.

use k8s_openapi::api::core::v1::{
    EnvFromSource, EnvVar, EnvVarSource, FileKeySelector, ObjectFieldSelector, PodSpec, ResourceFieldSelector,
};

use super::{Check, containers, names};
use crate::manifest::mistakes::nearest;
use crate::manifest::quantity::Quantity;

/// The fields that a variable may have, beside entries of labels and annotations.
const FIELDS: [&str; 10] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
    OLD_NODE_NAME,
];

/// What spec.nodeName was called in old versions of the API, which the API server still takes.
const OLD_NODE_NAME: &str = "spec.host";

/// The resources that can be selected, beside huge pages.
const RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
];

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
            self.field_ref(&format!("{path}.fieldRef"), said, &FIELDS);
        }
        if let Some(said) = &from.resource_field_ref {
            there.push("resourceFieldRef");
            self.resource_ref(&format!("{path}.resourceFieldRef"), said, spec);
        }
        let keys = [
            ("configMapKeyRef", from.config_map_key_ref.as_ref().map(|r| (&r.name, &r.key))),
            ("secretKeyRef", from.secret_key_ref.as_ref().map(|r| (&r.name, &r.key))),
        ];
        for (field, (name, key)) in keys.into_iter().filter_map(|(field, said)| Some((field, said?))) {
            there.push(field);
            self.required(&format!("{path}.{field}.name"), name);
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

    /// A field of the pod: one of `fields`, or an entry of its labels or annotations.
    pub(super) fn field_ref(&mut self, path: &str, said: &ObjectFieldSelector, fields: &[&str]) {
        self.one_of(&format!("{path}.apiVersion"), said.api_version.as_deref().filter(|v| !v.is_empty()), &["v1"]);
        let path = format!("{path}.fieldPath");
        let field = said.field_path.as_str();
        if field.is_empty() {
            self.problem(&path, "required");
        } else if let Some((map, key)) = subscripted(field) {
            match map {
                "metadata.labels" => self.grammar(&path, names::qualified_name(key)),
                "metadata.annotations" => self.grammar(&path, names::qualified_name(&key.to_lowercase())),
                _ => {
                    let why =
                        format!("{field:?}: only metadata.labels and metadata.annotations have entries to select");
                    self.problem(&path, why);
                }
            }
        } else if !fields.contains(&field) {
            let problem = self.problem(&path, format!("{field:?} is not a field that can be selected here"));
            if field == "metadata.labels" || field == "metadata.annotations" {
                problem.mend(format!("a variable takes one entry: {field}['KEY']"));
            } else if let Some(meant) = nearest(field, fields.iter().copied()) {
                problem.mend(format!("did you mean {meant:?}?"));
            } else {
                let words: Vec<&str> = fields.iter().copied().filter(|field| *field != OLD_NODE_NAME).collect();
                problem.mend(format!(
                    "it takes {}, metadata.labels['KEY'] and metadata.annotations['KEY']",
                    words.join(", ")
                ));
            }
        }
    }

    /// A container's resource, in units of a divisor.
    pub(super) fn resource_ref(&mut self, path: &str, said: &ResourceFieldSelector, spec: &PodSpec) {
        let resource = said.resource.as_str();
        let huge = ["limits.hugepages-", "requests.hugepages-"].iter().any(|prefix| resource.starts_with(prefix));
        if resource.is_empty() {
            self.problem(&format!("{path}.resource"), "required");
        } else if !huge && !RESOURCES.contains(&resource) {
            let problem =
                self.problem(&format!("{path}.resource"), format!("{resource:?} is not a resource of a container"));
            problem.mend(match nearest(resource, RESOURCES.iter().copied()) {
                Some(meant) => format!("did you mean {meant:?}?"),
                None => format!("it takes {}, and hugepages-SIZE of both", RESOURCES.join(", ")),
            });
        }
        let divisor = said.divisor.as_ref().map_or("0", |divisor| divisor.0.as_str());
        let path_of = |field: &str| format!("{path}.{field}");
        match is_divisor(divisor, resource.ends_with(".cpu")) {
            Ok(true) => {}
            Ok(false) if resource.ends_with(".cpu") => {
                self.problem(&path_of("divisor"), format!("{divisor:?} is not a divisor of CPUs, which are 1 and 1m"));
            }
            Ok(false) => {
                let why = format!("{divisor:?} is not a divisor: 1, or one k, M, G, T, P, E, Ki, Mi, Gi, Ti, Pi or Ei");
                self.problem(&path_of("divisor"), why);
            }
            Err(why) => {
                self.problem(&path_of("divisor"), why);
            }
        }
        let name = said.container_name.as_deref().unwrap_or_default();
        if !name.is_empty() && !containers(spec).any(|(_, container)| container.name == name) {
            // An API server looks no further, but no kubelet would start the container.
            let meant =
                nearest(name, containers(spec).map(|(_, container)| container.name.as_str())).map(str::to_owned);
            let why = format!("the pod has no container {name:?}");
            let problem = self.refuse(&path_of("containerName"), why);
            if let Some(meant) = meant {
                problem.mend(format!("did you mean {meant:?}?"));
            }
        }
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
            (Some(map), None) => self.required(&format!("{path}.configMapRef.name"), &map.name),
            (None, Some(secret)) => self.required(&format!("{path}.secretRef.name"), &secret.name),
            (None, None) => {
                self.problem(path, "envFrom has one of configMapRef and secretRef, found none");
            }
            (Some(_), Some(_)) => {
                self.problem(path, "envFrom has one of configMapRef and secretRef, found both");
            }
        }
    }
}

/// `map['key']` as its two parts.
fn subscripted(path: &str) -> Option<(&str, &str)> {
    path.strip_suffix("']")?.split_once("['").filter(|(map, _)| !map.is_empty())
}

/// Whether a quantity is one of the divisors as the API server writes it: `1000m` is 1 and `1024Ki` is 1Mi, but 1024 is itself.
fn is_divisor(text: &str, of_cpu: bool) -> Result<bool, String> {
    let divisor = Quantity::parse(text)?;
    let is = |words: &[&str]| words.iter().any(|word| Quantity::parse(word) == Ok(divisor));
    // Zero is what is not written.
    if is(&["0", "1"]) {
        return Ok(true);
    }
    let has_exponent = text.trim_start_matches(['+', '-']).contains(['e', 'E']) && !text.ends_with(['E', 'i']);
    if has_exponent {
        return Ok(false);
    }
    Ok(match (of_cpu, text.ends_with('i')) {
        (true, false) => is(&["1m"]),
        (true, true) => false,
        (false, false) => is(&["1k", "1M", "1G", "1T", "1P", "1E"]),
        (false, true) => is(&["1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divisors_as_the_api_server_writes_them() {
        for text in ["0", "1", "1000m", "1m", "0.001"] {
            assert_eq!(is_divisor(text, true), Ok(true), "{text}");
        }
        for text in ["2", "10m", "1k", "1Ki", "-1", "1e-3"] {
            assert_eq!(is_divisor(text, true), Ok(false), "{text}");
        }
        for text in ["0", "1", "1k", "1000", "1M", "1E", "1Ki", "1024Ki", "1Ei", "0.5Ti", "0.001M"] {
            let fine = !matches!(text, "0.5Ti");
            assert_eq!(is_divisor(text, false), Ok(fine), "{text}");
        }
        for text in ["2", "1m", "1024", "1000Ki", "1e3", "1E3", "10M", "-1Mi"] {
            assert_eq!(is_divisor(text, false), Ok(false), "{text}");
        }
        assert!(is_divisor("much", false).is_err());
    }

    #[test]
    fn entries_of_maps() {
        for (path, parts) in [
            ("metadata.labels['a']", Some(("metadata.labels", "a"))),
            ("a['b']['c']", Some(("a", "b']['c"))),
            ("['a']", None),
            ("a['b'", None),
            ("a[b]", None),
            ("']", None),
            ("a']", None),
            ("a['']", Some(("a", ""))),
        ] {
            assert_eq!(subscripted(path), parts, "{path}");
        }
    }
}

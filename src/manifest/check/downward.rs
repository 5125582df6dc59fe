//! The downward API's selectors, of variables and of files in volumes.

use k8s_openapi::api::core::v1::{ObjectFieldSelector, PodSpec, ResourceFieldSelector};

use super::{Check, containers, names};
use crate::manifest::mistakes::nearest;
use crate::manifest::quantity::Quantity;
use crate::manifest::subscripted;

/// What a selected value becomes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Variable,
    File,
}

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

impl Target {
    /// The fields that can be selected, beside entries of labels and annotations.
    fn fields(self) -> &'static [&'static str] {
        match self {
            Target::Variable => &[
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
            ],
            Target::File => {
                &["metadata.name", "metadata.namespace", "metadata.uid", "metadata.labels", "metadata.annotations"]
            }
        }
    }
}

impl Check<'_> {
    /// A field of the pod, or an entry of its labels or annotations.
    pub(super) fn field_ref(&mut self, path: &str, said: &ObjectFieldSelector, target: Target) {
        self.one_of(&format!("{path}.apiVersion"), said.api_version.as_deref().filter(|v| !v.is_empty()), &["v1"]);
        let path = format!("{path}.fieldPath");
        let field = said.field_path.as_str();
        if field.is_empty() {
            self.problem(&path, "required");
        } else if let Some((map, key)) = subscripted(field) {
            match map {
                "metadata.labels" => self.grammar(&path, names::qualified_name(key)),
                // The API server reads the keys of annotations in small letters.
                "metadata.annotations" => self.grammar(&path, names::qualified_name(&key.to_lowercase())),
                _ => {
                    let why =
                        format!("{field:?}: only metadata.labels and metadata.annotations have entries to select");
                    self.problem(&path, why);
                }
            }
        } else if !target.fields().contains(&field) {
            self.unknown_field(&path, field, target);
        }
    }

    fn unknown_field(&mut self, path: &str, field: &str, target: Target) {
        let problem = self.problem(path, format!("{field:?} is not a field that can be selected here"));
        if target == Target::Variable && matches!(field, "metadata.labels" | "metadata.annotations") {
            problem.mend(format!("a variable takes one entry: {field}['KEY']"));
        } else if target == Target::File && Target::Variable.fields().contains(&field) {
            problem.mend("only a variable takes it");
        } else if let Some(meant) = nearest(field, target.fields().iter().copied()) {
            problem.mend(format!("did you mean {meant:?}?"));
        } else {
            let words: Vec<&str> = target.fields().iter().copied().filter(|field| *field != OLD_NODE_NAME).collect();
            let words = words.join(", ");
            problem.mend(format!("it takes {words}, metadata.labels['KEY'] and metadata.annotations['KEY']"));
        }
    }

    /// A container's resource, in units of a divisor. A file is no container's, so one has to be named.
    pub(super) fn resource_ref(&mut self, path: &str, said: &ResourceFieldSelector, target: Target, spec: &PodSpec) {
        self.resource_name(&format!("{path}.resource"), &said.resource);
        self.divisor(&format!("{path}.divisor"), said);
        let path = format!("{path}.containerName");
        let name = said.container_name.as_deref().unwrap_or_default();
        if name.is_empty() && target == Target::File {
            self.problem(&path, "required");
        }
        if !name.is_empty() && !containers(spec).any(|(_, container)| container.name == name) {
            // An API server looks no further, but no kubelet would start the container.
            let names: Vec<&str> = containers(spec).map(|(_, container)| container.name.as_str()).collect();
            let mend = match nearest(name, names.iter().copied()) {
                Some(meant) => format!("did you mean {meant:?}?"),
                None => format!("it has {}", names.join(", ")),
            };
            self.refuse(&path, format!("the pod has no container {name:?}")).mend(mend);
        }
    }

    fn resource_name(&mut self, path: &str, resource: &str) {
        let huge = ["limits.hugepages-", "requests.hugepages-"].iter().any(|prefix| resource.starts_with(prefix));
        if resource.is_empty() {
            self.problem(path, "required");
        } else if !huge && !RESOURCES.contains(&resource) {
            let problem = self.problem(path, format!("{resource:?} is not a resource of a container"));
            problem.mend(match nearest(resource, RESOURCES.into_iter()) {
                Some(meant) => format!("did you mean {meant:?}?"),
                None => format!("it takes {}, and hugepages-SIZE of both", RESOURCES.join(", ")),
            });
        }
    }

    fn divisor(&mut self, path: &str, said: &ResourceFieldSelector) {
        let divisor = said.divisor.as_ref().map_or("0", |divisor| divisor.0.as_str());
        let of_cpu = said.resource.ends_with(".cpu");
        match is_divisor(divisor, of_cpu) {
            Ok(true) => {}
            Ok(false) if of_cpu => {
                self.problem(path, format!("{divisor:?} is not a divisor of CPUs, which are 1 and 1m"));
            }
            Ok(false) => {
                let why = format!("{divisor:?} is not a divisor: 1, or one k, M, G, T, P, E, Ki, Mi, Gi, Ti, Pi or Ei");
                self.problem(path, why);
            }
            Err(why) => {
                self.problem(path, why);
            }
        }
    }
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
    use super::is_divisor;

    #[test]
    fn divisors_as_the_api_server_writes_them() {
        for text in ["0", "1", "1000m", "1m", "0.001"] {
            assert_eq!(is_divisor(text, true), Ok(true), "{text}");
        }
        for text in ["2", "2m", "10m", "1k", "1000k", "1Ki", "1E", "1Ei", "-1", "1e-3"] {
            assert_eq!(is_divisor(text, true), Ok(false), "{text}");
        }
        for text in ["0", "1", "1000m", "1k", "1000", "1000k", "1M", "1E", "1Ki", "1024Ki", "1Ei", "0.001M"] {
            assert_eq!(is_divisor(text, false), Ok(true), "{text}");
        }
        for text in ["2", "3", "1m", "1024", "1000Ki", "0.5Ti", "1e3", "1E3", "10M", "2Mi", "-1Mi"] {
            assert_eq!(is_divisor(text, false), Ok(false), "{text}");
        }
        assert!(is_divisor("much", false).is_err());
    }
}

//! The downward API's selectors of files in volumes.

use k8s_openapi::api::core::v1::{ObjectFieldSelector, ResourceFieldSelector};

use super::{Check, names};
use crate::manifest::mistakes::nearest;
use crate::manifest::quantity::Quantity;

const IN_FILES: [&str; 5] =
    ["metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"];

const RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

impl Check<'_> {
    pub(super) fn field_selector(&mut self, path: &str, selector: &ObjectFieldSelector) {
        if let Some(version) = selector.api_version.as_deref().filter(|version| !matches!(*version, "" | "v1")) {
            self.problem(&format!("{path}.apiVersion"), format!("expected v1, found {version:?}"));
            return;
        }
        let path = format!("{path}.fieldPath");
        let said = selector.field_path.as_str();
        if said.is_empty() {
            self.problem(&path, "required");
            return;
        }
        if let Some((map, key)) = said.strip_suffix("']").and_then(|said| said.split_once("['")) {
            match map {
                // The API server reads the keys of annotations in small letters.
                "metadata.annotations" => self.grammar(&path, names::qualified_name(&key.to_lowercase())),
                "metadata.labels" => self.grammar(&path, names::qualified_name(key)),
                _ => {
                    self.problem(&path, format!("{said:?}: only metadata.labels and metadata.annotations take a key"));
                }
            }
            return;
        }
        if !IN_FILES.contains(&said) {
            let problem = self.problem(&path, format!("{said:?} is not a field that the downward API tells in a file"));
            match nearest(said, IN_FILES.into_iter()) {
                Some(meant) => problem.mend(format!("did you mean {meant:?}?")),
                None => problem.mend(format!("it tells {}, and labels and annotations by key", IN_FILES.join(", "))),
            };
        }
    }

    pub(super) fn resource_selector(&mut self, path: &str, selector: &ResourceFieldSelector) {
        self.required(&format!("{path}.containerName"), selector.container_name.as_deref().unwrap_or_default());
        let resource = selector.resource.as_str();
        let huge = ["limits.hugepages-", "requests.hugepages-"].iter().any(|prefix| resource.starts_with(prefix));
        if resource.is_empty() {
            self.problem(&format!("{path}.resource"), "required");
            return;
        }
        if !huge && !RESOURCES.contains(&resource) {
            let why = format!("{resource:?} is not a resource that the downward API tells");
            let problem = self.problem(&format!("{path}.resource"), why);
            match nearest(resource, RESOURCES.into_iter()) {
                Some(meant) => problem.mend(format!("did you mean {meant:?}?")),
                None => problem.mend(format!("it tells {}", RESOURCES.join(", "))),
            };
            return;
        }
        let Some(divisor) = &selector.divisor else { return };
        let path = format!("{path}.divisor");
        let fits = match Quantity::parse(&divisor.0) {
            Err(why) => {
                self.problem(&path, why);
                return;
            }
            Ok(quantity) => is_divisor(resource, &divisor.0, quantity),
        };
        if !fits {
            let takes = if resource.ends_with(".cpu") { "1m or 1" } else { "1, 1k, 1M … 1E or 1Ki, 1Mi … 1Ei" };
            self.problem(&path, format!("{:?} cannot be the unit of {resource}, which takes {takes}", divisor.0));
        }
    }
}

/// Whether Kubernetes takes a unit: of CPUs 1 and a thousandth, of everything else 1 and the powers that have a suffix, each written
/// with one of its kind.
fn is_divisor(resource: &str, text: &str, quantity: Quantity) -> bool {
    let unit = |power: u64| quantity == Quantity::of_units(power);
    if quantity == Quantity::default() || unit(1) {
        return true;
    }
    if resource.ends_with(".cpu") {
        return Quantity::parse("1m").is_ok_and(|milli| quantity == milli);
    }
    if text.ends_with('i') {
        return (1..=6).any(|power| unit(1 << (10 * power)));
    }
    (1..=6).any(|power| unit(1000u64.pow(power)))
}

#[cfg(test)]
mod tests {
    use super::{Quantity, is_divisor};

    #[test]
    fn divisors() {
        let fits = |resource: &str, text: &str| is_divisor(resource, text, Quantity::parse(text).unwrap());
        for (text, cpu, memory) in [
            ("0", true, true),
            ("1", true, true),
            ("1000m", true, true),
            ("1m", true, false),
            ("2m", false, false),
            ("1k", false, true),
            ("1000k", false, true),
            ("1Ki", false, true),
            ("1024Ki", false, true),
            ("1024", false, false),
            ("1E", false, true),
            ("1Ei", false, true),
            ("3", false, false),
            ("2Mi", false, false),
        ] {
            assert_eq!(fits("limits.cpu", text), cpu, "cpu / {text}");
            assert_eq!(fits("requests.memory", text), memory, "memory / {text}");
            assert_eq!(fits("limits.hugepages-2Mi", text), memory, "huge pages / {text}");
        }
    }
}

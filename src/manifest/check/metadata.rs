//! What an object says about its own place in a cluster: how its name is made, who owns it, and who has to let go of it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};

use super::{Check, names};

/// The finalizers without a domain that there are.
const FINALIZERS: [&str; 3] = ["foregroundDeletion", "kubernetes", "orphan"];

impl Check<'_> {
    pub(super) fn bookkeeping(&mut self, metadata: &ObjectMeta) {
        if let Some(prefix) = metadata.generate_name.as_deref().filter(|prefix| !prefix.is_empty()) {
            self.grammar("metadata.generateName", names::name_prefix(prefix));
        }
        let finalizers = metadata.finalizers.as_deref().unwrap_or_default();
        for (at, name) in finalizers.iter().enumerate() {
            let path = format!("metadata.finalizers[{at}]");
            self.grammar(&path, names::qualified_name(name));
            if !name.contains('/') && !FINALIZERS.contains(&name.as_str()) {
                let why =
                    format!("{name:?} needs a domain, as example.com/{name}, or is one of {}", FINALIZERS.join(", "));
                self.problem(&path, why);
            }
        }
        let has = |name: &str| finalizers.iter().any(|other| other == name);
        if has("orphan") && has("foregroundDeletion") {
            self.problem("metadata.finalizers", "orphan and foregroundDeletion contradict each other");
        }
        self.owners(metadata.owner_references.as_deref().unwrap_or_default());
    }

    fn owners(&mut self, owners: &[OwnerReference]) {
        let mut controller: Option<String> = None;
        for (at, owner) in owners.iter().enumerate() {
            let path = format!("metadata.ownerReferences[{at}]");
            for (field, value) in [("kind", &owner.kind), ("name", &owner.name), ("uid", &owner.uid)] {
                self.required(&format!("{path}.{field}"), value);
            }
            let version = match owner.api_version.split('/').collect::<Vec<_>>().as_slice() {
                [version] | [_, version] => *version,
                _ => "",
            };
            if version.is_empty() {
                let why = format!("{:?} is no version, such as v1 or apps/v1", owner.api_version);
                self.problem(&format!("{path}.apiVersion"), why);
            }
            if owner.api_version == "v1" && owner.kind == "Event" {
                self.problem(&format!("{path}.kind"), "an Event owns nothing");
            }
            if owner.controller != Some(true) {
                continue;
            }
            let path = format!("{path}.controller");
            match &controller {
                Some(first) => {
                    let first = self.source.at(first);
                    self.problem(&path, format!("only one owner is the controller, and one is at {first}"));
                }
                None => controller = Some(path),
            }
        }
    }
}

//! Volumes that hold bytes rather than objects, the claims on them, and how containers mount them.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Container, HostPathVolumeSource, ImageVolumeSource, PersistentVolumeClaim, PersistentVolumeClaimSpec,
    PersistentVolumeClaimTemplate, PodSpec, Volume, VolumeMount,
};

use super::{Check, key_path, names};
use crate::manifest::quantity::Quantity;

impl Check<'_> {
    pub(super) fn claim(&mut self, claim: &PersistentVolumeClaim) {
        match &claim.spec {
            Some(spec) => self.claim_spec("spec", spec),
            None => {
                self.problem("spec", "required");
            }
        }
    }

    fn claim_spec(&mut self, path: &str, spec: &PersistentVolumeClaimSpec) {
        let modes = spec.access_modes.as_deref().unwrap_or_default();
        let field = format!("{path}.accessModes");
        if modes.is_empty() {
            self.problem(
                &field,
                "required: at least one of ReadWriteOnce, ReadOnlyMany, ReadWriteMany and ReadWriteOncePod",
            );
        }
        const MODES: [&str; 4] = ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"];
        for (at, mode) in modes.iter().enumerate() {
            self.one_of(&format!("{field}[{at}]"), Some(mode), &MODES);
        }
        if modes.len() > 1 && modes.iter().any(|mode| mode == "ReadWriteOncePod") {
            self.problem(&field, "ReadWriteOncePod must not be beside other access modes");
        }
        let requests = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref());
        let requests_path = format!("{path}.resources.requests");
        if !requests.is_some_and(|requests| requests.contains_key("storage")) {
            self.problem(&format!("{requests_path}.storage"), "required");
        }
        for (name, quantity) in requests.into_iter().flatten() {
            let path = key_path(&requests_path, name);
            self.quantity(&path, &quantity.0);
            if Quantity::parse(&quantity.0).is_ok_and(|quantity| quantity.units() == 0) {
                self.problem(&path, format!("{:?} must be greater than zero", quantity.0));
            }
        }
        let limits = spec.resources.as_ref().and_then(|resources| resources.limits.as_ref());
        for (name, quantity) in limits.into_iter().flatten() {
            self.quantity(&key_path(&format!("{path}.resources.limits"), name), &quantity.0);
        }
        for (field, class) in [
            ("storageClassName", &spec.storage_class_name),
            ("volumeAttributesClassName", &spec.volume_attributes_class_name),
        ] {
            if let Some(class) = class.as_deref().filter(|class| !class.is_empty()) {
                self.grammar(&format!("{path}.{field}"), names::dns_subdomain(class));
            }
        }
        self.selector(&format!("{path}.selector"), spec.selector.as_ref());
        self.one_of(&format!("{path}.volumeMode"), spec.volume_mode.as_deref(), &["Filesystem", "Block"]);
    }

    /// Whether there is exactly one source, and what is wrong with those that hold bytes.
    pub(super) fn storage(&mut self, path: &str, volume: &Volume, pod: &str) {
        let sources = sources(volume);
        match sources.as_slice() {
            [] => {
                self.problem(path, "a volume has a source, found none").mend("emptyDir: {} is an empty one");
            }
            [_] => {}
            [rest @ .., last] => {
                self.problem(path, format!("a volume has one source, found {} and {last}", rest.join(", ")));
            }
        }
        if let Some(dir) = &volume.empty_dir {
            if let Some(limit) = &dir.size_limit {
                self.quantity(&format!("{path}.emptyDir.sizeLimit"), &limit.0);
            }
            if let Some(mode) = dir.mode.filter(|mode| !(0..=0o1777).contains(mode)) {
                let octal = if mode < 0 { String::new() } else { format!(", 0{mode:o} in octal,") };
                self.problem(&format!("{path}.emptyDir.mode"), format!("{mode}{octal} is outside 0 to 01777"));
            }
        }
        if let Some(host) = &volume.host_path {
            self.host_path(&format!("{path}.hostPath"), host);
        }
        if let Some(image) = &volume.image {
            self.image_volume(&format!("{path}.image"), image);
        }
        if let Some(claim) = &volume.persistent_volume_claim {
            let path = format!("{path}.persistentVolumeClaim.claimName");
            if claim.claim_name.is_empty() {
                self.problem(&path, "required");
            } else {
                self.grammar(&path, names::dns_subdomain(&claim.claim_name));
            }
        }
        if let Some(ephemeral) = &volume.ephemeral {
            let path = format!("{path}.ephemeral.volumeClaimTemplate");
            match &ephemeral.volume_claim_template {
                Some(template) => self.template(&path, template, pod, &volume.name),
                None => {
                    self.problem(&path, "required");
                }
            }
        }
    }

    fn host_path(&mut self, path: &str, host: &HostPathVolumeSource) {
        let at = format!("{path}.path");
        self.required(&at, &host.path);
        self.grammar(&at, names::no_backsteps(&host.path));
        const TYPES: [&str; 7] =
            ["DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice", "BlockDevice"];
        let written = host.type_.as_deref().filter(|written| !written.is_empty());
        self.one_of(&format!("{path}.type"), written, &TYPES);
    }

    fn image_volume(&mut self, path: &str, image: &ImageVolumeSource) {
        let at = format!("{path}.reference");
        match image.reference.as_deref().unwrap_or_default() {
            reference if reference.trim() != reference => {
                self.problem(&at, format!("{reference:?} must not begin or end with a space"));
            }
            reference => self.required(&at, reference),
        }
        let policy = image.pull_policy.as_deref().filter(|policy| !policy.is_empty());
        self.one_of(&format!("{path}.pullPolicy"), policy, &["Always", "IfNotPresent", "Never"]);
    }

    /// The claim would be called after the `pod` and the `volume`. A Job's pods get their names when they start, so none is judged here.
    fn template(&mut self, path: &str, template: &PersistentVolumeClaimTemplate, pod: &str, volume: &str) {
        if let Err(why) = names::dns_subdomain(&format!("{pod}-{volume}"))
            && !pod.is_empty()
        {
            self.problem(path, format!("the claim has the name of the pod and that of the volume, and {why}"));
        }
        if let Some(metadata) = &template.metadata {
            for (field, there) in [
                ("name", metadata.name.is_some()),
                ("namespace", metadata.namespace.is_some()),
                ("generateName", metadata.generate_name.is_some()),
                ("finalizers", metadata.finalizers.is_some()),
                ("ownerReferences", metadata.owner_references.is_some()),
            ] {
                if there {
                    self.problem(&format!("{path}.metadata.{field}"), "a template has only labels and annotations");
                }
            }
        }
        if let Some(metadata) = &template.metadata {
            self.labels_and_annotations(&format!("{path}.metadata"), metadata);
        }
        self.claim_spec(&format!("{path}.spec"), &template.spec);
    }

    /// How the mount at `path` shows its volume.
    pub(super) fn mount(&mut self, path: &str, mount: &VolumeMount, container: &Container, spec: &PodSpec) {
        let written = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let (sub_path, expression) = (written(&mount.sub_path), written(&mount.sub_path_expr));
        if sub_path.is_some() && expression.is_some() {
            self.problem(&format!("{path}.subPathExpr"), "subPathExpr and subPath are mutually exclusive");
        }
        for (field, said) in [("subPath", sub_path), ("subPathExpr", expression)] {
            if let Some(said) = said {
                self.grammar(&format!("{path}.{field}"), names::descending_path(&said));
            }
        }
        let propagation = mount.mount_propagation.as_deref();
        let field = format!("{path}.mountPropagation");
        self.one_of(&field, propagation, &["None", "HostToContainer", "Bidirectional"]);
        let privileged = container.security_context.as_ref().and_then(|context| context.privileged) == Some(true);
        if propagation == Some("Bidirectional") && !privileged {
            self.problem(&field, "Bidirectional is available only to privileged containers");
        }
        let recursive = mount.recursive_read_only.as_deref();
        let field = format!("{path}.recursiveReadOnly");
        self.one_of(&field, recursive, &["Disabled", "IfPossible", "Enabled"]);
        if matches!(recursive, Some("Enabled" | "IfPossible")) {
            if mount.read_only != Some(true) {
                self.problem(&field, "may only be specified when readOnly is true");
            }
            if propagation.is_some_and(|propagation| propagation != "None") {
                self.problem(&field, "may only be specified when mountPropagation is None or not specified");
            }
        }
        self.bind_options(&format!("{path}.bindMountOptions"), mount, spec);
    }

    fn bind_options(&mut self, path: &str, mount: &VolumeMount, spec: &PodSpec) {
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        let options = mount.bind_mount_options.as_deref().unwrap_or_default();
        for (at, option) in options.iter().enumerate() {
            let path = format!("{path}[{at}]");
            self.one_of(&path, Some(option), &["noexec", "nodev", "nosuid"]);
            if seen.insert(option, at).is_some() {
                self.problem(&path, format!("{option:?} is written twice"));
            }
        }
        let volume = spec.volumes.iter().flatten().find(|volume| volume.name == mount.name);
        if !options.is_empty() && volume.is_some_and(|volume| volume.image.is_some()) {
            self.problem(path, "is not supported with image volumes");
        }
    }
}

/// The sources that a volume has, by their fields' names.
fn sources(volume: &Volume) -> Vec<String> {
    let fields = serde_json::to_value(volume).unwrap_or_default();
    let names = fields.as_object().into_iter().flatten().map(|(name, _)| name.clone());
    names.filter(|name| name != "name").collect()
}

//! A Pod: its policies, its volumes, and that its containers fit together.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Container, KeyToPath, Pod, PodSpec, Volume};

use super::{Check, names};

impl Check<'_> {
    pub(super) fn pod(&mut self, pod: &Pod) {
        let Some(spec) = &pod.spec else {
            self.problem("spec", "required");
            return;
        };
        self.annotations(&pod.metadata, spec);
        let policy = spec.restart_policy.as_deref().filter(|policy| !policy.is_empty());
        self.one_of("spec.restartPolicy", policy, &["Always", "OnFailure", "Never"]);
        if let Some(seconds) = spec.termination_grace_period_seconds.filter(|&seconds| seconds < 0) {
            self.problem("spec.terminationGracePeriodSeconds", format!("{seconds} must not be negative"));
        }
        if let Some(seconds) = spec.active_deadline_seconds.filter(|s| !(1..=i64::from(i32::MAX)).contains(s)) {
            self.problem("spec.activeDeadlineSeconds", format!("{seconds} is outside 1 to {}", i32::MAX));
        }
        self.network(spec);
        if let Some(context) = &spec.security_context {
            self.id("spec.securityContext.runAsUser", context.run_as_user);
            self.id("spec.securityContext.runAsGroup", context.run_as_group);
            self.seccomp("spec.securityContext.seccompProfile", context.seccomp_profile.as_ref());
        }
        if let Some(resources) = &spec.resources {
            self.resources("spec.resources", resources);
        }
        self.placement(spec);
        self.volumes(spec);
        if spec.containers.is_empty() {
            self.problem("spec.containers", "required: a Pod has at least one container");
        }
        if spec.ephemeral_containers.as_ref().is_some_and(|them| !them.is_empty()) {
            self.problem("spec.ephemeralContainers", "they are added to a running pod, never written in its YAML");
        }
        for (path, container) in containers(spec) {
            self.container(&path, container, spec);
        }
        self.non_root(spec);
        self.unique_containers(spec);
        self.unique_ports(spec);
        self.demands(spec);
        self.operating_system(spec);
    }

    /// `runAsNonRoot` beside `runAsUser: 0`, which an API server takes, and a kubelet refuses when it starts the container. A container's own
    /// values go before the pod's.
    fn non_root(&mut self, spec: &PodSpec) {
        let pod = spec.security_context.as_ref();
        let mut paths = BTreeSet::new();
        for (path, container) in containers(spec) {
            let own = container.security_context.as_ref();
            let non_root = own.and_then(|own| own.run_as_non_root).or(pod.and_then(|pod| pod.run_as_non_root));
            let own_user = own.and_then(|own| own.run_as_user);
            if non_root == Some(true) && own_user.or(pod.and_then(|pod| pod.run_as_user)) == Some(0) {
                let path = if own_user.is_some() { path } else { "spec".to_owned() };
                paths.insert(format!("{path}.securityContext.runAsUser"));
            }
        }
        for path in paths {
            self.problems.refuse(self.source, &path, "0 is root, and runAsNonRoot is true");
        }
    }

    fn volumes(&mut self, spec: &PodSpec) {
        let mut seen: BTreeMap<&str, String> = BTreeMap::new();
        for (at, volume) in spec.volumes.iter().flatten().enumerate() {
            let path = format!("spec.volumes[{at}]");
            self.label(&format!("{path}.name"), &volume.name);
            if let Some(first) = seen.insert(&volume.name, format!("{path}.name")).filter(|_| !volume.name.is_empty()) {
                let first = self.source.at(&first);
                self.problem(
                    &format!("{path}.name"),
                    format!("the volume {:?} is already defined at {first}", volume.name),
                );
            }
            self.volume(&path, volume);
        }
    }

    fn volume(&mut self, path: &str, volume: &Volume) {
        let sources = [volume.empty_dir.is_some(), volume.config_map.is_some(), volume.secret.is_some()];
        match sources.iter().filter(|&&there| there).count() {
            0 => {
                self.problem(path, "a volume has one of emptyDir, configMap and secret, found none")
                    .mend("emptyDir: {} is an empty one");
            }
            1 => {}
            _ => {
                self.problem(path, "a volume has one of emptyDir, configMap and secret, found several");
            }
        }
        if let Some(limit) = volume.empty_dir.as_ref().and_then(|dir| dir.size_limit.as_ref()) {
            self.quantity(&format!("{path}.emptyDir.sizeLimit"), &limit.0);
        }
        if let Some(map) = &volume.config_map {
            let path = format!("{path}.configMap");
            self.required(&format!("{path}.name"), &map.name);
            self.mode(&format!("{path}.defaultMode"), map.default_mode);
            self.items(&path, map.items.as_deref());
        }
        if let Some(secret) = &volume.secret {
            let path = format!("{path}.secret");
            let name = secret.secret_name.as_deref().unwrap_or_default();
            self.required(&format!("{path}.secretName"), name);
            self.mode(&format!("{path}.defaultMode"), secret.default_mode);
            self.items(&path, secret.items.as_deref());
        }
    }

    fn items(&mut self, path: &str, items: Option<&[KeyToPath]>) {
        for (at, item) in items.into_iter().flatten().enumerate() {
            let path = format!("{path}.items[{at}]");
            self.required(&format!("{path}.key"), &item.key);
            self.required(&format!("{path}.path"), &item.path);
            self.grammar(&format!("{path}.path"), names::local_path(&item.path));
            self.mode(&format!("{path}.mode"), item.mode);
        }
    }

    fn mode(&mut self, path: &str, mode: Option<i32>) {
        if let Some(mode) = mode.filter(|mode| !(0..=0o777).contains(mode)) {
            let octal = if mode < 0 { String::new() } else { format!(", 0{mode:o} in octal,") };
            let problem = self.problem(path, format!("{mode}{octal} is outside 0 to 0777"));
            // The usual modes, when the zero that makes them octal is forgotten.
            if matches!(mode, 600 | 640 | 644 | 660 | 664 | 666 | 700 | 750 | 755 | 770 | 775 | 777) {
                problem.mend(format!("did you mean 0{mode}?"));
            }
        }
    }

    fn unique_containers(&mut self, spec: &PodSpec) {
        let mut seen: BTreeMap<&str, String> = BTreeMap::new();
        for (path, container) in containers(spec).filter(|(_, container)| !container.name.is_empty()) {
            let path = format!("{path}.name");
            match seen.get(container.name.as_str()) {
                Some(first) => {
                    let first = self.source.at(first);
                    self.problem(&path, format!("the container {:?} is already defined at {first}", container.name));
                }
                None => {
                    seen.insert(&container.name, path);
                }
            }
        }
    }
}

/// All containers with their paths, in the order in which they start.
pub(in crate::manifest) fn containers(spec: &PodSpec) -> impl Iterator<Item = (String, &Container)> {
    let init =
        spec.init_containers.iter().flatten().enumerate().map(|(at, c)| (format!("spec.initContainers[{at}]"), c));
    init.chain(spec.containers.iter().enumerate().map(|(at, c)| (format!("spec.containers[{at}]"), c)))
}

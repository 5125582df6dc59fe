//! A container's life: who may have probes and hooks, its own restart rules, its stop signal and its last message.

use k8s_openapi::api::core::v1::{Container, ContainerRestartRule, PodSpec};

use super::{Check, names};
use crate::manifest::mistakes::nearest;

/// The path at which a container's last message is looked for unless another is written.
const MESSAGE_PATH: &str = "/dev/termination-log";
/// How many rules a container may have, and how many exit codes a rule.
const MAX_RULES: usize = 20;
const MAX_CODES: usize = 255;
/// What every container has in `/dev`, so that no file can be put there.
const DEVICES: [&str; 15] = [
    "console", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty",
    "urandom", "zero",
];

/// Which container of the pod it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Init,
    Sidecar,
    Regular,
}

impl Check<'_> {
    pub(super) fn life(&mut self, path: &str, container: &Container, spec: &PodSpec) {
        let always = container.restart_policy.as_deref() == Some("Always");
        let role = match (path.starts_with("spec.initContainers"), always) {
            (true, true) => Role::Sidecar,
            (true, false) => Role::Init,
            (false, _) => Role::Regular,
        };
        if role == Role::Init {
            self.not_for_init(path, container);
        } else {
            self.probes(path, container);
            if let Some(lifecycle) = &container.lifecycle {
                let path = format!("{path}.lifecycle");
                self.hooks(&path, lifecycle, container, spec.termination_grace_period_seconds.unwrap_or(30));
                self.stop_signal(&format!("{path}.stopSignal"), lifecycle.stop_signal.as_deref(), spec);
            }
        }
        self.restarts(path, container);
        self.message(path, container);
    }

    fn not_for_init(&mut self, path: &str, container: &Container) {
        for (field, there) in [
            ("lifecycle", container.lifecycle.is_some()),
            ("livenessProbe", container.liveness_probe.is_some()),
            ("readinessProbe", container.readiness_probe.is_some()),
            ("startupProbe", container.startup_probe.is_some()),
        ] {
            if there {
                self.problem(&format!("{path}.{field}"), "an init container has none, unless it is a sidecar")
                    .mend("restartPolicy: Always makes a sidecar of it");
            }
        }
    }

    fn stop_signal(&mut self, path: &str, signal: Option<&str>, spec: &PodSpec) {
        let Some(signal) = signal else { return };
        if spec.os.as_ref().is_none_or(|os| os.name.is_empty()) {
            self.problem(path, "may only be written where spec.os.name is").mend("write os: {name: linux} in spec");
        }
        if names::is_signal(signal) {
            return;
        }
        let upper = signal.to_ascii_uppercase();
        let full = if upper.starts_with("SIG") { upper } else { format!("SIG{upper}") };
        let problem = self.problem(path, format!("{signal:?} is not a signal"));
        if names::is_signal(&full) {
            problem.mend(format!("did you mean {full:?}?"));
        } else if let Some(meant) = nearest(&full, names::SIGNALS.iter().copied()) {
            problem.mend(format!("did you mean {meant:?}?"));
        }
    }

    fn restarts(&mut self, path: &str, container: &Container) {
        let policy = container.restart_policy.as_deref();
        self.one_of(&format!("{path}.restartPolicy"), policy, &["Always", "OnFailure", "Never"]);
        let rules = container.restart_policy_rules.as_deref().unwrap_or_default();
        let rules_path = format!("{path}.restartPolicyRules");
        if policy.is_none() && !rules.is_empty() {
            self.problem(&rules_path, "a container with rules of its own needs a restartPolicy of its own")
                .mend("write restartPolicy beside them: what is done when no rule matches");
        }
        if rules.len() > MAX_RULES {
            self.problem(&rules_path, format!("{} rules; a container has at most {MAX_RULES}", rules.len()));
        }
        for (at, rule) in rules.iter().enumerate() {
            self.restart_rule(&format!("{rules_path}[{at}]"), rule);
        }
    }

    fn restart_rule(&mut self, path: &str, rule: &ContainerRestartRule) {
        if rule.action.is_empty() {
            self.problem(&format!("{path}.action"), "required, Restart or RestartAllContainers");
        } else {
            self.one_of(&format!("{path}.action"), Some(&rule.action), &["Restart", "RestartAllContainers"]);
        }
        let path = format!("{path}.exitCodes");
        let Some(codes) = &rule.exit_codes else {
            self.problem(&path, "required");
            return;
        };
        if codes.operator.is_empty() {
            self.problem(&format!("{path}.operator"), "required, In or NotIn");
        } else {
            self.one_of(&format!("{path}.operator"), Some(&codes.operator), &["In", "NotIn"]);
        }
        let many = codes.values.as_ref().map_or(0, Vec::len);
        if many > MAX_CODES {
            self.problem(&format!("{path}.values"), format!("{many} exit codes; a rule has at most {MAX_CODES}"));
        }
    }

    /// The policy's words, and that a file can be put at the path, which an API server leaves to the kubelet.
    fn message(&mut self, path: &str, container: &Container) {
        let policy = container.termination_message_policy.as_deref().filter(|policy| !policy.is_empty());
        self.one_of(&format!("{path}.terminationMessagePolicy"), policy, &["File", "FallbackToLogsOnError"]);
        let said = container.termination_message_path.as_deref().filter(|path| !path.is_empty());
        let at = format!("{path}.terminationMessagePath");
        let place = said.unwrap_or(MESSAGE_PATH);
        if !place.starts_with('/') {
            self.refuse(&at, format!("{place:?} is not an absolute path"));
            return;
        }
        let clean = clean(place);
        let why = match clean.as_slice() {
            [] => Some("is the container's root, and a file is needed"),
            ["proc" | "sys", ..] => Some("belongs to the kernel's own file systems"),
            ["dev"] => Some("holds the container's own devices; a file below it will do"),
            ["dev", name] if DEVICES.contains(name) => Some("is there in every container"),
            ["dev", "pts" | "mqueue" | "fd", ..] => Some("belongs to the kernel's own file systems"),
            _ if place.ends_with('/') => Some("ends with \"/\", and a file is needed"),
            _ => None,
        };
        if let Some(why) = why {
            self.refuse(&at, format!("{place:?} {why}"));
            return;
        }
        for (i, mount) in container.volume_mounts.iter().flatten().enumerate() {
            if self::clean(&mount.mount_path).starts_with(&clean) {
                let mount = self.source.at(&format!("{path}.volumeMounts[{i}].mountPath"));
                let why =
                    format!("{place:?} is where a volume is mounted ({mount}), or above it, and a file is needed");
                self.refuse(&at, why).mend("write another terminationMessagePath, in the volume or beside it");
            }
        }
    }
}

/// The components of an absolute path without `.` and `..`.
fn clean(path: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts
}

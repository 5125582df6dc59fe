//! What the command line says beside the YAML.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What the command line says beside the YAML.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// `--name`: replaces `metadata.name`.
    pub name: Option<String>,
    /// `-e NAME=VALUE`, for every container; wins over the YAML.
    pub env: Vec<(String, String)>,
    /// `--allow`: what the policy would refuse.
    #[serde(default)]
    pub allow: Vec<Allow>,
    /// `--policy`; `None` is podling's own default, baseline with hostPorts allowed.
    #[serde(default)]
    pub policy: Option<PolicyLevel>,
    /// `--node-label`: labels of this host, beside the well-known ones.
    #[serde(default)]
    pub node_labels: BTreeMap<String, String>,
    /// `--strict`.
    #[serde(default)]
    pub emulation: Emulation,
}

/// Whether fields may be honoured otherwise than a cluster would.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Emulation {
    /// They may, and it is reported.
    #[default]
    Reported,
    /// They are refused.
    Refused,
}

/// A level of the Pod Security Standards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum PolicyLevel {
    /// Everything.
    Privileged,
    /// What is known to lead out of a container is refused.
    Baseline,
    /// What pods should do is required, too.
    Restricted,
}

/// What the policy refuses unless it is allowed by name; the names are those of the fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Allow {
    /// `hostPath` volumes, anywhere or below a directory of the host.
    HostPath(Option<PathBuf>),
    /// The host's network namespace (`spec.hostNetwork`).
    HostNetwork,
    /// The host's processes (`spec.hostPID`).
    #[serde(rename = "hostPID")]
    HostPid,
    /// The host's ipc namespace (`spec.hostIPC`).
    #[serde(rename = "hostIPC")]
    HostIpc,
    /// `securityContext.privileged`.
    Privileged,
    /// Capabilities beyond the policy's.
    Capabilities,
    /// An unmasked /proc.
    ProcMount,
    /// Seccomp profiles other than the default one.
    SeccompProfile,
    /// AppArmor profiles other than the default one.
    AppArmorProfile,
    /// SELinux types beyond the policy's.
    SeLinuxOptions,
    /// Sysctls beyond the policy's.
    Sysctls,
    /// Probes and hooks that name a host.
    ProbeHosts,
}

const NAMED: [(&str, Allow); 12] = [
    ("hostPath", Allow::HostPath(None)),
    ("hostNetwork", Allow::HostNetwork),
    ("hostPID", Allow::HostPid),
    ("hostIPC", Allow::HostIpc),
    ("privileged", Allow::Privileged),
    ("capabilities", Allow::Capabilities),
    ("procMount", Allow::ProcMount),
    ("seccompProfile", Allow::SeccompProfile),
    ("appArmorProfile", Allow::AppArmorProfile),
    ("seLinuxOptions", Allow::SeLinuxOptions),
    ("sysctls", Allow::Sysctls),
    ("probeHosts", Allow::ProbeHosts),
];

impl Allow {
    /// The names that `--allow` takes.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMED.iter().map(|(name, _)| *name)
    }
}

impl FromStr for Allow {
    type Err = String;

    /// `hostNetwork`, or `hostPath=/srv`, whatever the case of the name.
    fn from_str(text: &str) -> Result<Allow, String> {
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        let known = NAMED.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        match (known.map(|(_, allow)| allow), value) {
            (Some(Allow::HostPath(_)), Some(path)) if path.starts_with('/') => Ok(Allow::HostPath(Some(path.into()))),
            (Some(Allow::HostPath(_)), Some(_)) => Err("the directory must be an absolute path".to_owned()),
            (Some(_), Some(_)) => Err(format!("{name} takes no value")),
            (Some(allow), None) => Ok(allow.clone()),
            (None, _) => Err(format!("it takes {}", Allow::names().collect::<Vec<_>>().join(", "))),
        }
    }
}

impl fmt::Display for Allow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Allow::HostPath(Some(path)) = self {
            return write!(f, "hostPath={}", path.display());
        }
        f.write_str(NAMED.iter().find(|(_, allow)| allow == self).map_or("", |(name, _)| name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_allowed() {
        for name in Allow::names().chain(["hostPath=/srv"]) {
            assert_eq!(name.parse::<Allow>().unwrap().to_string(), name);
        }
        assert_eq!("HOSTNETWORK".parse(), Ok(Allow::HostNetwork));
        for (text, why) in [("hostNet", "it takes hostPath, "), ("hostPath=srv", "absolute"), ("hostPID=1", "no value")]
        {
            assert!(text.parse::<Allow>().unwrap_err().contains(why), "{text}");
        }
    }
}

//! How a pod calls itself: its host name, its domain, and what the kernel says.

use k8s_openapi::api::core::v1::{Pod, PodSpec};

use crate::error::Result;
use crate::host::HostFacts;
use crate::manifest::{ObjectKey, Said};

/// The domain that a cluster has unless it is given another.
const CLUSTER_DOMAIN: &str = "cluster.local";

/// Longest host name that is the first part of others (RFC 1123, and the kubelet), in bytes.
const LONGEST_LABEL: usize = 63;

/// Longest name that the kernel keeps (uname(2), `__NEW_UTS_LEN`), in bytes.
const LONGEST_NODENAME: usize = 64;

/// A pod's names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Names {
    /// The first part of its name.
    pub host: String,
    /// The rest of it, where the pod has a `subdomain`.
    pub domain: Option<String>,
    /// What uname(2) and `HOSTNAME` say.
    pub kernel: String,
}

impl Names {
    /// The name with its domain.
    pub fn full(&self) -> String {
        self.domain.as_ref().map_or_else(|| self.host.clone(), |domain| format!("{}.{domain}", self.host))
    }
}

/// The names of `pod`, called `name`, as the kubelet decides them.
///
/// # Errors
/// For what cannot be a host name, or is too long for one.
pub(super) fn names(pod: &Said<Pod>, spec: &PodSpec, name: &str, host: &HostFacts) -> Result<Names> {
    let said = |name: &'_ Option<String>| name.clone().filter(|name| !name.is_empty());
    if spec.host_network == Some(true) {
        // The name belongs to the network: such a pod has the node's.
        let host = host.name.clone();
        return Ok(Names { kernel: host.clone(), host, domain: None });
    }
    if let Some(name) = said(&spec.hostname_override) {
        let host = first_part(pod, "spec.hostnameOverride", &name)?;
        return Ok(Names { kernel: host.clone(), host, domain: None });
    }
    let host = match said(&spec.hostname) {
        Some(hostname) => first_part(pod, "spec.hostname", &hostname)?,
        None => first_part(pod, "metadata.name", name)?,
    };
    let Some(subdomain) = said(&spec.subdomain) else {
        return Ok(Names { kernel: host.clone(), host, domain: None });
    };
    if !is_clean(&subdomain) {
        return Err(pod.source.error("spec.subdomain", format!("{subdomain:?} cannot be part of a host name")));
    }
    let namespace = ObjectKey::of(&pod.object).namespace;
    let domain = Some(format!("{subdomain}.{namespace}.svc.{CLUSTER_DOMAIN}"));
    let mut names = Names { kernel: host.clone(), host, domain };
    if spec.set_hostname_as_fqdn == Some(true) {
        let full = names.full();
        if full.len() > LONGEST_NODENAME {
            let why = format!(
                "{full:?} has {} bytes, and the kernel keeps {LONGEST_NODENAME} of a host name; the kubelet would not start the pod either",
                full.len()
            );
            return Err(pod
                .source
                .error("spec.setHostnameAsFQDN", why)
                .mend("shorten the hostname, the subdomain or the namespace"));
        }
        names.kernel = full;
    }
    Ok(names)
}

/// `name` cut to the length of a label, as the kubelet cuts it.
fn first_part(pod: &Said<Pod>, path: &str, name: &str) -> Result<String> {
    let cut = name.get(..LONGEST_LABEL).unwrap_or(name).trim_end_matches(['-', '.']);
    if cut.is_empty() || !is_clean(name) {
        return Err(pod.source.error(path, format!("{name:?} cannot be a host name")));
    }
    Ok(cut.to_owned())
}

/// Whether it can stand in a line of /etc/hosts.
fn is_clean(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::plan::fixture::Fixture;

    /// What uname(2) says, and the pod's own line of /etc/hosts.
    fn names(fixture: &Fixture) -> (String, String) {
        let plan = fixture.plan().unwrap();
        let hosts = plan.volumes[0].files.iter().find(|file| file.path.to_str() == Some("hosts")).unwrap();
        let hosts = String::from_utf8(hosts.content.clone()).unwrap();
        let env = plan.containers[0].spec.process().as_ref().unwrap().env().clone().unwrap();
        assert_eq!(env[0], format!("HOSTNAME={}", plan.hostname));
        (
            plan.hostname,
            hosts
                .lines()
                .find(|line| line.starts_with("127.0.0.1\t") && !line.contains("localhost"))
                .unwrap_or_default()
                .to_owned(),
        )
    }

    #[test]
    fn names_as_the_kubelet_makes_them() {
        let x63 = "x".repeat(63);
        for (spec, kernel, line) in [
            (json!({}), "pod", "pod"),
            (json!({ "hostname": "" }), "pod", "pod"),
            (json!({ "hostname": "web" }), "web", "web"),
            (json!({ "hostname": "web", "subdomain": "sub" }), "web", "web.sub.default.svc.cluster.local\tweb"),
            (json!({ "subdomain": "sub" }), "pod", "pod.sub.default.svc.cluster.local\tpod"),
            (json!({ "setHostnameAsFQDN": true }), "pod", "pod"),
            (
                json!({ "hostname": "web", "subdomain": "sub", "setHostnameAsFQDN": true }),
                "web.sub.default.svc.cluster.local",
                "web.sub.default.svc.cluster.local\tweb",
            ),
            (
                json!({ "hostname": "web", "subdomain": "sub", "hostnameOverride": "db.example.com" }),
                "db.example.com",
                "db.example.com",
            ),
            (json!({ "hostnameOverride": format!("{x63}x") }), x63.as_str(), x63.as_str()),
            (json!({ "hostnameOverride": format!("{}.x", &x63[1..]) }), &x63[1..], &x63[1..]),
        ] {
            assert_eq!(
                names(&Fixture::pod_with(spec.clone())),
                (kernel.to_owned(), format!("127.0.0.1\t{line}")),
                "{spec}"
            );
        }
    }

    #[test]
    fn a_name_is_cut_as_the_kubelet_cuts_it() {
        let mut fixture = Fixture::container(json!({}));
        fixture.options.name = Some(format!("{}-.tail", "x".repeat(62)));
        assert_eq!(names(&fixture).0, "x".repeat(62));
    }

    #[test]
    fn impossible_names() {
        let long = json!({ "hostname": "x".repeat(40), "subdomain": "sub", "setHostnameAsFQDN": true });
        assert!(Fixture::pod_with(long).refusal().contains("the kernel keeps 64"));
        for (field, value) in
            [("hostname", "a b"), ("subdomain", "a\nb"), ("hostnameOverride", "a/b"), ("hostname", "...")]
        {
            let refusal = Fixture::pod_with(json!({ field: value })).refusal();
            assert!(refusal.contains(&format!("spec.{field}")), "{refusal}");
        }
    }

    #[test]
    fn a_pod_in_the_hosts_network_has_the_nodes_name() {
        let mut fixture = Fixture::pod_with(json!({ "hostNetwork": true, "hostname": "web" }));
        fixture.host.node.hosts = "127.0.0.1 localhost\n10.0.0.1\tnode\n".to_owned();
        assert_eq!(names(&fixture).0, "here");
    }
}

//! A pod's names, its lines of `/etc/hosts`, and its `/etc/resolv.conf`.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{HostAlias, PodDNSConfig, PodSpec};

use super::{Check, names};

/// What `dnsConfig` may have (validation.go, `MaxDNSNameservers` and the lines below it).
const MOST_SERVERS: usize = 3;
const MOST_SEARCHES: usize = 32;
const LONGEST_SEARCHES: usize = 2048;

/// Longest `hostnameOverride`: what the kernel keeps, in bytes.
const LONGEST_OVERRIDE: usize = 64;

impl Check<'_> {
    /// Everything of a pod's that is about names.
    pub(super) fn network(&mut self, spec: &PodSpec) {
        for (path, name) in [("spec.hostname", &spec.hostname), ("spec.subdomain", &spec.subdomain)] {
            if let Some(name) = name.as_deref().filter(|name| !name.is_empty()) {
                self.label(path, name);
            }
        }
        self.hostname_override(spec);
        for (i, alias) in spec.host_aliases.iter().flatten().enumerate() {
            self.host_alias(&format!("spec.hostAliases[{i}]"), alias);
        }
        let policies = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];
        self.one_of("spec.dnsPolicy", spec.dns_policy.as_deref().filter(|policy| !policy.is_empty()), &policies);
        if let Some(config) = &spec.dns_config {
            self.dns_config(config);
        }
        let servers = spec.dns_config.as_ref().and_then(|config| config.nameservers.as_ref());
        if spec.dns_policy.as_deref() == Some("None") && servers.is_none_or(Vec::is_empty) {
            let path = if spec.dns_config.is_some() { "spec.dnsConfig.nameservers" } else { "spec.dnsConfig" };
            self.problem(path, "required, with a name server, because dnsPolicy is None");
        }
    }

    fn hostname_override(&mut self, spec: &PodSpec) {
        let path = "spec.hostnameOverride";
        let Some(name) = spec.hostname_override.as_deref() else { return };
        self.grammar(path, names::dns_subdomain(name));
        if name.len() > LONGEST_OVERRIDE {
            self.problem(path, format!("{} characters are more than {LONGEST_OVERRIDE}", name.len()));
        }
        if spec.set_hostname_as_fqdn == Some(true) {
            self.problem(path, "cannot be beside setHostnameAsFQDN: true");
        }
        if spec.host_network == Some(true) {
            self.problem(path, "cannot be beside hostNetwork: true");
        }
    }

    fn host_alias(&mut self, path: &str, alias: &HostAlias) {
        self.ip(&format!("{path}.ip"), &alias.ip);
        for (i, name) in alias.hostnames.iter().flatten().enumerate() {
            self.grammar(&format!("{path}.hostnames[{i}]"), names::dns_subdomain(name));
        }
    }

    fn dns_config(&mut self, config: &PodDNSConfig) {
        let servers = config.nameservers.as_deref().unwrap_or_default();
        if servers.len() > MOST_SERVERS {
            let why = format!("{} name servers are more than {MOST_SERVERS}", servers.len());
            self.problem("spec.dnsConfig.nameservers", why);
        }
        for (i, server) in servers.iter().enumerate() {
            self.ip(&format!("spec.dnsConfig.nameservers[{i}]"), server);
        }
        let searches = config.searches.as_deref().unwrap_or_default();
        if searches.len() > MOST_SEARCHES {
            self.problem(
                "spec.dnsConfig.searches",
                format!("{} domains are more than {MOST_SEARCHES}", searches.len()),
            );
        }
        let length = searches.join(" ").len();
        if length > LONGEST_SEARCHES {
            let why = format!("{length} characters, with the spaces between them, are more than {LONGEST_SEARCHES}");
            self.problem("spec.dnsConfig.searches", why);
        }
        for (i, domain) in searches.iter().enumerate().filter(|(_, domain)| *domain != ".") {
            let domain = domain.strip_suffix('.').unwrap_or(domain);
            self.grammar(&format!("spec.dnsConfig.searches[{i}]"), names::search_domain(domain));
        }
        for (i, option) in config.options.iter().flatten().enumerate() {
            self.required(&format!("spec.dnsConfig.options[{i}].name"), option.name.as_deref().unwrap_or_default());
        }
    }

    fn ip(&mut self, path: &str, text: &str) {
        if text.is_empty() {
            self.problem(path, "required");
        } else if text.parse::<IpAddr>().is_err() {
            self.problem(path, format!("{text:?} is not an IP address, as 192.0.2.1 or 2001:db8::1"));
        }
    }
}

//! `/etc/resolv.conf`, from the host's and `dnsConfig`, as the kubelet merges them (resolv.conf(5)).

use std::net::IpAddr;

use k8s_openapi::api::core::v1::PodDNSConfig;

use super::Verdict;
use super::scope::Scope;
use crate::error::Result;

/// Name servers that resolvers look at (`MAXNS`), and the kubelet writes.
const MOST_SERVERS: usize = 3;
/// Domains that the kubelet writes at most, and their length together, in bytes.
const MOST_SEARCHES: usize = 32;
const LONGEST_SEARCHES: usize = 2048;
/// Longest domain; some resolvers end the program for a longer one.
const LONGEST_DOMAIN: usize = 253;

/// What is in a resolv.conf.
#[derive(Debug, Default, PartialEq, Eq)]
struct Resolver {
    servers: Vec<String>,
    searches: Vec<String>,
    /// Names with their values, as `ndots:5`.
    options: Vec<(String, Option<String>)>,
}

/// Which lines of a resolv.conf lost what no resolver looks at.
struct LeftOut {
    servers: bool,
    searches: bool,
}

/// The text of the pod's resolv.conf.
///
/// # Errors
/// For a policy that is none of the API's words, and for what would be more than one word there.
pub(super) fn resolv_conf(scope: &Scope, report: &mut Vec<Verdict>) -> Result<String> {
    let policy = scope.spec.dns_policy.as_deref().unwrap_or_default();
    let mut resolver = match policy {
        "None" => Resolver::default(),
        "" | "Default" | "ClusterFirst" | "ClusterFirstWithHostNet" => Resolver::parse(&scope.host.node.resolv_conf),
        other => return Err(scope.error("spec.dnsPolicy", format!("{other:?} is not a policy"))),
    };
    if policy.starts_with("ClusterFirst") {
        let how = "there is no cluster's name server, so the host's are written, as the kubelet does without one";
        report.push(scope.verdict("spec.dnsPolicy", how));
    }
    if let Some(config) = &scope.spec.dns_config {
        resolver.add(scope, config)?;
    }
    let left_out = resolver.fit();
    if left_out.searches {
        let how = "the host's search domains and these are more than 32, or longer than 2048 characters together: the last ones are \
                   left out, as the kubelet does";
        report.push(scope.verdict("spec.dnsConfig", how));
    }
    if left_out.servers && scope.spec.dns_config.is_some() {
        let how = "the host's name servers and these are more than the 3 that resolvers ask: the last ones are left out, as the kubelet does";
        report.push(scope.verdict("spec.dnsConfig.nameservers", how));
    }
    let is_said = if scope.spec.dns_config.is_some() { Some("spec.dnsConfig") } else { None };
    let is_said = is_said.or(if policy.is_empty() { None } else { Some("spec.dnsPolicy") });
    let is_within_reach = scope.spec.host_network == Some(true) || resolver.servers.iter().all(|s| is_loopback(s));
    if let (Some(path), false) = (is_said, is_within_reach) {
        let how = "/etc/resolv.conf is as in a cluster, but the pod's network is a loopback interface: no name server beyond it can be asked";
        report.push(scope.verdict(path, how));
    }
    Ok(resolver.text())
}

fn is_loopback(server: &str) -> bool {
    server.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

impl Resolver {
    /// Reads the lines that the kubelet reads: of `search` and `options` the last one counts.
    fn parse(text: &str) -> Resolver {
        let mut resolver = Resolver::default();
        for line in text.lines() {
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => resolver.servers.extend(words.next().map(str::to_owned)),
                Some("search") => {
                    resolver.searches =
                        words.map(|domain| domain.strip_suffix('.').unwrap_or(domain).to_owned()).collect();
                }
                Some("options") => {
                    let option = |word: &str| match word.split_once(':') {
                        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                        None => (word.to_owned(), None),
                    };
                    resolver.options = words.map(option).collect();
                }
                _ => {}
            }
        }
        resolver
    }

    /// Adds what the pod says, each thing once; an option of the pod's replaces the host's.
    fn add(&mut self, scope: &Scope, config: &PodDNSConfig) -> Result<()> {
        let word = |path: String, text: &str| {
            if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
                return Err(scope.error(&path, format!("{text:?} cannot be one word of a line of /etc/resolv.conf")));
            }
            Ok(text.to_owned())
        };
        for (i, server) in config.nameservers.iter().flatten().enumerate() {
            let server = word(format!("spec.dnsConfig.nameservers[{i}]"), server)?;
            if !self.servers.contains(&server) {
                self.servers.push(server);
            }
        }
        for (i, domain) in config.searches.iter().flatten().enumerate() {
            let domain = word(format!("spec.dnsConfig.searches[{i}]"), domain)?;
            if !self.searches.contains(&domain) {
                self.searches.push(domain);
            }
        }
        for (i, option) in config.options.iter().flatten().enumerate() {
            let at = format!("spec.dnsConfig.options[{i}]");
            let name = word(format!("{at}.name"), option.name.as_deref().unwrap_or_default())?;
            let value = option.value.as_deref().filter(|value| !value.is_empty());
            let value = value.map(|value| word(format!("{at}.value"), value)).transpose()?;
            match self.options.iter_mut().find(|(there, _)| *there == name) {
                Some((_, there)) => *there = value,
                None => self.options.push((name, value)),
            }
        }
        Ok(())
    }

    /// Leaves out what no resolver looks at, and tells what that was.
    fn fit(&mut self) -> LeftOut {
        let servers = self.servers.len() > MOST_SERVERS;
        self.servers.truncate(MOST_SERVERS);
        let before = self.searches.len();
        self.searches.truncate(MOST_SEARCHES);
        self.searches.retain(|domain| domain.len() <= LONGEST_DOMAIN);
        while self.searches.join(" ").len() > LONGEST_SEARCHES {
            self.searches.pop();
        }
        LeftOut { servers, searches: self.searches.len() < before }
    }

    fn text(&self) -> String {
        let mut text = String::new();
        if !self.searches.is_empty() {
            text.push_str(&format!("search {}\n", self.searches.join(" ")));
        }
        for server in &self.servers {
            text.push_str(&format!("nameserver {server}\n"));
        }
        if !self.options.is_empty() {
            let option = |(name, value): &(String, Option<String>)| match value {
                Some(value) => format!("{name}:{value}"),
                None => name.clone(),
            };
            text.push_str(&format!("options {}\n", self.options.iter().map(option).collect::<Vec<_>>().join(" ")));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::plan::fixture::Fixture;

    const HOST: &str = "# a comment\nnameserver 192.0.2.1\nnameserver\nsearch old.example\n search a.example. b.example\n\
                        sortlist 192.0.2.0\noptions ndots:1 rotate\nnameserver 192.0.2.2\n";

    fn with(spec: Value) -> Fixture {
        let mut fixture = Fixture::container(json!({}));
        fixture.pod["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        fixture.host.node.resolv_conf = HOST.to_owned();
        fixture
    }

    fn text(fixture: &Fixture) -> String {
        let plan = fixture.plan().unwrap();
        let file = plan.volumes[0].files.iter().find(|file| file.path.to_str() == Some("resolv.conf")).unwrap();
        String::from_utf8(file.content.clone()).unwrap()
    }

    const HOSTS_OWN: &str =
        "search a.example b.example\nnameserver 192.0.2.1\nnameserver 192.0.2.2\noptions ndots:1 rotate\n";

    #[test]
    fn policies() {
        for (spec, reported) in [
            (json!({}), false),
            (json!({ "dnsPolicy": "Default" }), true),
            (json!({ "dnsPolicy": "ClusterFirst" }), true),
            (json!({ "dnsPolicy": "ClusterFirstWithHostNet" }), true),
        ] {
            let fixture = with(spec.clone());
            assert_eq!(text(&fixture), HOSTS_OWN, "{spec}");
            assert_eq!(fixture.plan().unwrap().report.iter().any(|v| v.path == "spec.dnsPolicy"), reported, "{spec}");
        }
        let own = json!({ "nameservers": ["127.0.0.1"] });
        let own = with(json!({ "dnsPolicy": "None", "dnsConfig": own })).plan().unwrap();
        assert!(!own.report.iter().any(|v| v.path.starts_with("spec.dns")));
        let mut none = with(json!({}));
        none.host.node.resolv_conf = String::new();
        assert_eq!(text(&none), "");
        assert!(with(json!({ "dnsPolicy": "Sometimes" })).refusal().contains("spec.dnsPolicy"));
    }

    #[test]
    fn the_pods_own_configuration_alone() {
        let config = json!({
            "nameservers": ["203.0.113.1", "2001:db8::1", "203.0.113.1"],
            "searches": ["x.example", "_tcp.example."],
            "options": [{ "name": "ndots", "value": "2" }, { "name": "edns0" }, { "name": "timeout", "value": "" }],
        });
        assert_eq!(
            text(&with(json!({ "dnsPolicy": "None", "dnsConfig": config }))),
            "search x.example _tcp.example.\nnameserver 203.0.113.1\nnameserver 2001:db8::1\noptions ndots:2 edns0 timeout\n"
        );
    }

    #[test]
    fn the_pods_own_configuration_beside_the_hosts() {
        let config = json!({
            "nameservers": ["192.0.2.2", "203.0.113.1", "203.0.113.2"],
            "searches": ["b.example", "c.example"],
            "options": [{ "name": "rotate", "value": "no" }, { "name": "ndots" }, { "name": "use-vc" }],
        });
        assert_eq!(
            text(&with(json!({ "dnsPolicy": "Default", "dnsConfig": config }))),
            "search a.example b.example c.example\nnameserver 192.0.2.1\nnameserver 192.0.2.2\nnameserver 203.0.113.1\n\
             options ndots rotate:no use-vc\n"
        );
    }

    #[test]
    fn more_domains_than_resolvers_take_are_left_out_and_reported() {
        let searches: Vec<String> = (0..32).map(|n| format!("{n}.example")).collect();
        let fixture = with(json!({ "dnsPolicy": "Default", "dnsConfig": { "searches": searches } }));
        assert!(
            text(&fixture).starts_with("search a.example b.example 0.example")
                && text(&fixture).contains(" 29.example\n")
        );
        assert!(fixture.plan().unwrap().report.iter().any(|v| v.how.contains("more than 32")));
        let long: Vec<String> = (0..9).map(|n| format!("{n}{}", ".y".repeat(126))).collect();
        let fixture = with(json!({ "dnsPolicy": "Default", "dnsConfig": { "searches": long } }));
        assert!(text(&fixture).lines().next().unwrap().len() <= "search ".len() + 2048);
    }

    #[test]
    fn nothing_can_add_a_line() {
        for (config, path) in [
            (json!({ "nameservers": ["1.1.1.1\nnameserver 6.6.6.6"] }), "nameservers[0]"),
            (json!({ "searches": ["a b"] }), "searches[0]"),
            (json!({ "options": [{ "name": "ndots\nsearch x" }] }), "options[0].name"),
            (json!({ "options": [{ "name": "ndots", "value": "2 rotate" }] }), "options[0].value"),
            (json!({ "options": [{}] }), "options[0].name"),
        ] {
            let refusal = with(json!({ "dnsConfig": config })).refusal();
            assert!(refusal.contains(&format!("spec.dnsConfig.{path}")), "{refusal}");
        }
    }
}

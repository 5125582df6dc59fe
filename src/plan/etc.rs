//! The pod's own files: `/etc/hosts`, `/etc/resolv.conf`, `/etc/hostname`, and the files of its containers' last messages.

use std::net::IpAddr;

use super::scope::Scope;
use super::{FilePlan, Layout, POD_IP, Verdict, VolumePlan, VolumeSource, dns, message};
use crate::error::Result;

/// The size of the tmpfs that they are in, unless they are large, in bytes.
const LIMIT: u64 = 1 << 20;
const MODE: u32 = 0o644;

/// The tmpfs of these files.
///
/// # Errors
/// For what cannot stand in one of them.
pub(super) fn etc(scope: &Scope, report: &mut Vec<Verdict>) -> Result<VolumePlan> {
    let file = |name: &str, content: String| FilePlan::new(name, MODE, content);
    let own = [
        file("hosts", hosts(scope)?),
        file("resolv.conf", dns::resolv_conf(scope, report)?),
        file("hostname", format!("{}\n", scope.names.kernel)),
    ];
    let bytes = own.iter().map(|file| file.content.len() as u64).sum::<u64>();
    Ok(VolumePlan {
        name: "etc".to_owned(),
        path: scope.paths.run_dir.join("etc"),
        source: VolumeSource::Memory { size_limit: Some(LIMIT.max(bytes.saturating_mul(2))) },
        mode: 0o755,
        group: None,
        layout: Layout::Plain,
        directories: Vec::new(),
        files: own.into_iter().chain(message::files(scope)?).collect(),
    })
}

/// `/etc/hosts`, line by line as the kubelet writes it.
fn hosts(scope: &Scope) -> Result<String> {
    let mut hosts = "# Written by podling for this pod.\n".to_owned();
    if scope.spec.host_network == Some(true) {
        hosts.push_str(&scope.host.node.hosts);
    } else {
        hosts.push_str(
            "127.0.0.1\tlocalhost\n\
             ::1\tlocalhost ip6-localhost ip6-loopback\n\
             fe00::0\tip6-localnet\n\
             fe00::0\tip6-mcastprefix\n\
             fe00::1\tip6-allnodes\n\
             fe00::2\tip6-allrouters\n",
        );
        let names = scope.names;
        hosts.push_str(&match names.domain {
            Some(_) => format!("{POD_IP}\t{}\t{}\n", names.full(), names.host),
            None => format!("{POD_IP}\t{}\n", names.host),
        });
    }
    let aliases = scope.spec.host_aliases.as_deref().unwrap_or_default();
    if !aliases.is_empty() {
        hosts.push_str("\n# Entries added by HostAliases.\n");
    }
    for (i, alias) in aliases.iter().enumerate() {
        let at = format!("spec.hostAliases[{i}]");
        let ip: IpAddr = alias
            .ip
            .parse()
            .map_err(|_| scope.error(&format!("{at}.ip"), format!("{:?} is not an IP address", alias.ip)))?;
        hosts.push_str(&ip.to_string());
        for (n, name) in alias.hostnames.iter().flatten().enumerate() {
            if name.is_empty() || name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '#') {
                return Err(scope.error(&format!("{at}.hostnames[{n}]"), format!("{name:?} cannot be a host name")));
            }
            hosts.push('\t');
            hosts.push_str(name);
        }
        hosts.push('\n');
    }
    Ok(hosts)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::plan::fixture::Fixture;

    fn text(fixture: &Fixture, name: &str) -> String {
        let plan = fixture.plan().unwrap();
        let file = plan.volumes[0].files.iter().find(|file| file.path.to_str() == Some(name)).unwrap();
        String::from_utf8(file.content.clone()).unwrap()
    }

    #[test]
    fn the_pods_own_files() {
        let fixture = Fixture::pod_with(json!({}));
        assert!(text(&fixture, "hosts").contains("127.0.0.1\tlocalhost\n"));
        assert!(text(&fixture, "hosts").ends_with("127.0.0.1\tpod\n"));
        assert_eq!(text(&fixture, "hostname"), "pod\n");
        let full = Fixture::pod_with(json!({ "subdomain": "sub", "setHostnameAsFQDN": true }));
        assert_eq!(text(&full, "hostname"), "pod.sub.default.svc.cluster.local\n");
    }

    #[test]
    fn aliases_are_lines() {
        let aliases = json!([
            { "ip": "192.0.2.1", "hostnames": ["a.example", "b"] },
            { "ip": "2001:db8::1", "hostnames": ["c"] },
            { "ip": "192.0.2.2" },
        ]);
        let hosts = text(&Fixture::pod_with(json!({ "hostAliases": aliases })), "hosts");
        let end =
            "127.0.0.1\tpod\n\n# Entries added by HostAliases.\n192.0.2.1\ta.example\tb\n2001:db8::1\tc\n192.0.2.2\n";
        assert!(hosts.ends_with(end), "{hosts}");
        for alias in [
            json!({ "ip": "1.2.3" }),
            json!({ "ip": "1.2.3.4 x" }),
            json!({ "ip": "1.2.3.4", "hostnames": ["a\n6.6.6.6 b"] }),
        ] {
            assert!(Fixture::pod_with(json!({ "hostAliases": [alias] })).refusal().contains("spec.hostAliases[0]"));
        }
    }

    #[test]
    fn in_the_hosts_network_the_hosts_own_lines_come_first() {
        let mut fixture = Fixture::pod_with(
            json!({ "hostNetwork": true, "hostAliases": [{ "ip": "192.0.2.1", "hostnames": ["a"] }] }),
        );
        fixture.host.node.hosts = "127.0.0.1 localhost\n".to_owned();
        let hosts = text(&fixture, "hosts");
        assert!(
            hosts.ends_with(
                "podling for this pod.\n127.0.0.1 localhost\n\n# Entries added by HostAliases.\n192.0.2.1\ta\n"
            ),
            "{hosts}"
        );
    }
}

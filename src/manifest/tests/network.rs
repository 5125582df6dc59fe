//! What the user reads about a pod's names and name servers: one small input a row, and the whole error.

use super::messages::{Rows, check, error, pod};

#[test]
fn names_that_are_good() {
    for fields in [
        "  hostname: web\n  subdomain: sub\n  setHostnameAsFQDN: true",
        "  hostname: ''\n  subdomain: ''",
        "  hostnameOverride: db.example.com\n  setHostnameAsFQDN: false",
        "  hostAliases: [{ip: 192.0.2.1, hostnames: [a, b.c]}, {ip: '::1'}]",
        "  dnsPolicy: ClusterFirstWithHostNet\n  dnsConfig: {}",
        "  dnsPolicy: Default\n  dnsConfig: {searches: [., a.example., _tcp.b], options: [{name: x}, {name: ndots, value: '5'}]}",
        "  dnsPolicy: None\n  dnsConfig: {nameservers: [192.0.2.1, '2001:db8::1']}",
        "  enableServiceLinks: false",
    ] {
        assert_eq!(error(&pod(fields)), "no error", "{fields}");
    }
}

#[test]
fn names() {
    let label = "is not a DNS label: lower-case letters, digits and \"-\", a letter or digit at both ends, at most 63 characters";
    for (field, name) in [("hostname", "a.b"), ("subdomain", "a.b")] {
        let found = error(&pod(&format!("  {field}: {name}")));
        assert!(found.starts_with(&format!("pod.yaml:8: spec.{field}: \"{name}\" {label}")), "{found}");
    }
    let rows: Rows<'_> = &[
        (
            "  hostnameOverride: a\n  setHostnameAsFQDN: true",
            &["pod.yaml:8: spec.hostnameOverride: cannot be beside setHostnameAsFQDN: true"],
        ),
        (
            "  hostAliases: [{ip: 1.2.3, hostnames: [a b]}, {ip: ''}]",
            &[
                "pod.yaml:8: spec.hostAliases[0].ip: \"1.2.3\" is not an IP address, as 192.0.2.1 or 2001:db8::1",
                "pod.yaml:8: spec.hostAliases[0].hostnames[0]: \"a b\" is not a DNS name: lower-case letters, digits, \"-\" and \".\", a letter or digit at both ends and beside each \".\", at most 253 characters",
                "pod.yaml:8: spec.hostAliases[1].ip: required",
            ],
        ),
    ];
    check(rows, pod);
    let long = error(&pod(&format!("  hostnameOverride: {}.b", "a".repeat(63))));
    assert_eq!(long, "pod.yaml:8: spec.hostnameOverride: 65 characters are more than 64");
    assert!(error(&pod("  hostnameOverride: ''")).contains("is not a DNS name"));
}

#[test]
fn name_servers() {
    let rows: Rows<'_> = &[
        (
            "  dnsPolicy: Cluster",
            &[
                "pod.yaml:8: spec.dnsPolicy: expected ClusterFirstWithHostNet, ClusterFirst, Default or None, found \"Cluster\"",
            ],
        ),
        ("  dnsPolicy: None", &["pod.yaml:4: spec.dnsConfig: required, with a name server, because dnsPolicy is None"]),
        (
            "  dnsPolicy: None\n  dnsConfig: {nameservers: []}",
            &["pod.yaml:9: spec.dnsConfig.nameservers: required, with a name server, because dnsPolicy is None"],
        ),
        (
            "  dnsConfig: {nameservers: [a, 1.1.1.1, 1.1.1.2, 1.1.1.3], searches: [A], options: [{value: '1'}]}",
            &[
                "pod.yaml:8: spec.dnsConfig.nameservers: 4 name servers are more than 3",
                "pod.yaml:8: spec.dnsConfig.nameservers[0]: \"a\" is not an IP address, as 192.0.2.1 or 2001:db8::1",
                "pod.yaml:8: spec.dnsConfig.searches[0]: \"A\" is not a domain: lower-case letters, digits, \"-\", \"_\" and \".\", a letter or digit at both ends of each part, perhaps behind a \"_\", at most 253 characters",
                "pod.yaml:8: spec.dnsConfig.options[0].name: required",
            ],
        ),
    ];
    check(rows, pod);
    let many: Vec<String> = (0..33).map(|n| format!("s{n}")).collect();
    let many = error(&pod(&format!("  dnsConfig: {{searches: [{}]}}", many.join(", "))));
    assert_eq!(many, "pod.yaml:8: spec.dnsConfig.searches: 33 domains are more than 32");
    let long: Vec<String> = (0..9).map(|n| format!("s{n}{}", ".abcdefghi".repeat(24))).collect();
    let long = error(&pod(&format!("  dnsConfig: {{searches: [{}]}}", long.join(", "))));
    assert_eq!(
        long,
        "pod.yaml:8: spec.dnsConfig.searches: 2186 characters, with the spaces between them, are more than 2048"
    );
}

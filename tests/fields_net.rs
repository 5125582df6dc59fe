//! Promise: a pod has the names, the hosts and the name servers that its YAML says, as a cluster's kubelet makes them.

mod support;

use support::{Output, Place, shell_with};

/// A pod `p` whose container runs `script`, with these lines of spec.
fn run(script: &str, spec: &str) -> Output {
    let place = Place::with(&["busybox"]);
    let output = place.run(&shell_with("busybox", script, "", spec));
    place.assert_nothing_left();
    output
}

const NAMES: &str = "hostname; hostname -f; uname -n; cat /etc/hostname; echo $HOSTNAME; tail -n 1 /etc/hosts";

#[track_caller]
fn has_names(spec: &str, kernel: &str, full: &str, line: &str) {
    let output = run(NAMES, spec);
    output.expect_success();
    assert_eq!(
        output.lines_of("c"),
        [kernel, full, kernel, kernel, kernel, &format!("127.0.0.1\t{line}")],
        "{spec}: {output}"
    );
}

// shows: spec.hostname, spec.subdomain, spec.setHostnameAsFQDN, spec.hostnameOverride
#[test]
fn names() {
    has_names("", "p", "p", "p");
    has_names("hostname: web", "web", "web", "web");
    let full = "web.sub.default.svc.cluster.local";
    has_names("hostname: web\nsubdomain: sub", "web", full, &format!("{full}\tweb"));
    has_names("hostname: web\nsubdomain: sub\nsetHostnameAsFQDN: true", full, full, &format!("{full}\tweb"));
    has_names("setHostnameAsFQDN: true", "p", "p", "p");
    has_names(
        "hostname: web\nsubdomain: sub\nhostnameOverride: db.example.com",
        "db.example.com",
        "db.example.com",
        "db.example.com",
    );
    // All that the kernel keeps.
    let full = format!("{}.sub.default.svc.cluster.local", "x".repeat(34));
    let host = &full[..34];
    let spec = format!("hostname: {host}\nsubdomain: sub\nsetHostnameAsFQDN: true");
    has_names(&spec, &full, &full, &format!("{full}\t{host}"));
    let long = "x".repeat(63);
    has_names(&format!("hostnameOverride: {long}x"), &long, &long, &long);
    let name = "x".repeat(35);
    run(NAMES, &format!("hostname: {name}\nsubdomain: sub\nsetHostnameAsFQDN: true"))
        .expect_refusal(&["spec.setHostnameAsFQDN: ", "the kernel keeps 64 of a host name"]);
}

// shows: spec.hostAliases, spec.hostAliases[].hostnames, spec.hostAliases[].ip
#[test]
fn aliases() {
    let aliases = "hostAliases:\n- {ip: 192.0.2.7, hostnames: [a.example, b]}\n- {ip: '2001:db8::1', hostnames: [c]}";
    let output = run("sed -n '/127.0.0.1.p$/,$p' /etc/hosts; ping -c 1 -W 1 b 2>&1 | head -n 1", aliases);
    output.expect_success();
    let expected = ["127.0.0.1\tp", "", "# Entries added by HostAliases.", "192.0.2.7\ta.example\tb", "2001:db8::1\tc"];
    assert_eq!(output.lines_of("c")[..5], expected, "{output}");
    assert!(output.lines_of("c")[5].contains("192.0.2.7"), "{output}");
}

// shows: spec.dnsPolicy, spec.dnsConfig, spec.dnsConfig.nameservers, spec.dnsConfig.searches
// shows: spec.dnsConfig.options[].name, spec.dnsConfig.options[].value
#[test]
fn name_servers() {
    let script = "cat /etc/resolv.conf";
    let config = "dnsConfig: {nameservers: [203.0.113.1, '2001:db8::1'], searches: [a.example, _tcp.b.], options: [{name: ndots, \
                  value: '2'}, {name: edns0}]}";
    let output = run(script, &format!("dnsPolicy: None\n{config}"));
    let expected = "search a.example _tcp.b.\nnameserver 203.0.113.1\nnameserver 2001:db8::1\noptions ndots:2 edns0";
    assert_eq!(output.said(), expected, "{output}");
    let unreachable =
        "spec.dnsConfig: emulated: /etc/resolv.conf is as in a cluster, but the pod's network is a loopback interface";
    assert!(output.stderr.contains(unreachable), "{output}");

    // The host's own, of which resolvers take three.
    let host = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let servers = |text: &str| -> Vec<String> {
        let server = |line: &str| line.trim().strip_prefix("nameserver ").map(|server| server.trim().to_owned());
        text.lines().filter_map(server).take(3).collect()
    };
    for (policy, reported) in [("Default", false), ("ClusterFirst", true), ("ClusterFirstWithHostNet", true)] {
        let output = run(script, &format!("dnsPolicy: {policy}"));
        output.expect_success();
        assert_eq!(servers(&output.said()), servers(&host), "{output}");
        let is_reported = output.stderr.contains("spec.dnsPolicy: emulated: there is no cluster's name server");
        assert_eq!(is_reported, reported, "{output}");
    }
    let output = run(script, "");
    assert_eq!(servers(&output.said()), servers(&host), "{output}");
    assert!(!output.stderr.contains("spec.dns"), "{output}");
    let own = "dnsPolicy: Default\ndnsConfig: {searches: [more.example], options: [{name: attempts, value: '1'}]}";
    let output = run(script, own);
    assert!(output.said().contains("more.example\n") && output.said().contains("attempts:1"), "{output}");
}

// shows: spec.dnsConfig, spec.dnsConfig.nameservers
#[test]
fn a_pod_in_the_hosts_network_reaches_its_name_servers_and_those_too_many_are_told() {
    let place = Place::with(&["busybox"]);
    let env = "env: [{name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]";
    let three = "[203.0.113.1, 203.0.113.2, 203.0.113.3]";
    let spec = format!("hostNetwork: true\ndnsPolicy: Default\ndnsConfig: {{nameservers: {three}}}");
    let yaml = shell_with("busybox", "grep -c nameserver /etc/resolv.conf", env, &spec);
    let output = place.run_with(&yaml, &["--allow", "hostNetwork"]);
    output.expect_success();
    let host = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let hosts = host.lines().filter(|line| line.trim_start().starts_with("nameserver")).count();
    assert_eq!(output.said(), "3", "{output}");
    let told = output
        .stderr
        .contains("spec.dnsConfig.nameservers: emulated: the host's name servers and these are more than the 3");
    assert_eq!(told, hosts > 0, "{output}");
    assert!(!output.stderr.contains("loopback interface"), "{output}");
    assert!(output.stderr.contains("status.podIP is 127.0.0.1, where this host reaches itself"), "{output}");
    place.assert_nothing_left();
}

// shows: spec.enableServiceLinks
#[test]
fn no_variables_of_services() {
    for (links, reported) in [("true", true), ("false", false)] {
        let output = run("env | grep -c -e SERVICE -e KUBERNETES", &format!("enableServiceLinks: {links}"));
        assert_eq!(output.lines_of("c"), ["0"], "{output}");
        assert_eq!(
            output.stderr.contains("spec.enableServiceLinks: emulated: a cluster tells of"),
            reported,
            "{output}"
        );
    }
}

// shows: spec.containers[].ports[].containerPort, spec.containers[].ports[].name, spec.containers[].ports[].protocol
#[test]
fn ports_are_named_for_probes_and_open_nothing() {
    let place = Place::with(&["busybox"]);
    let ports = "ports: [{containerPort: 8080, name: web, protocol: TCP}, {containerPort: 8080, protocol: UDP}]\n\
                 readinessProbe: {tcpSocket: {port: web}, periodSeconds: 1}";
    let yaml =
        shell_with("busybox", "mkdir /w; exec httpd -f -p 8080 -h /w", ports, "terminationGracePeriodSeconds: 0");
    place.write(&yaml);
    place.podling(&["run", "-d", "--wait", "--time-scale", "0.05", "pod.yaml"]).expect_success();
    support::detached::end_all(&place);
    for field in ["hostPort: 80", "hostIP: 127.0.0.1"] {
        let ports = format!("ports: [{{containerPort: 80, {field}}}]");
        place
            .run(&shell_with("busybox", "true", &ports, ""))
            .expect_refusal(&["spec.containers[0].ports[0].host", "podling publishes no port"]);
    }
    place.assert_nothing_left();
}

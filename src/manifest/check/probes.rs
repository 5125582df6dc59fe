//! Probes and lifecycle hooks, and what both of them try.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{
    Container, ExecAction, GRPCAction, HTTPGetAction, Lifecycle, LifecycleHandler, Probe, SleepAction, TCPSocketAction,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Check, names};
use crate::manifest::mistakes::nearest;

/// Which of a container's probes it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    Liveness,
    Readiness,
    Startup,
}

impl Check<'_> {
    /// The probes of `container`, which is one of the pod's containers or a sidecar.
    pub(super) fn probes(&mut self, path: &str, container: &Container) {
        for (field, which, probe) in [
            ("livenessProbe", Which::Liveness, &container.liveness_probe),
            ("readinessProbe", Which::Readiness, &container.readiness_probe),
            ("startupProbe", Which::Startup, &container.startup_probe),
        ] {
            if let Some(probe) = probe {
                self.probe(&format!("{path}.{field}"), which, probe, container);
            }
        }
    }

    fn probe(&mut self, path: &str, which: Which, probe: &Probe, container: &Container) {
        let there = [
            ("exec", probe.exec.is_some()),
            ("httpGet", probe.http_get.is_some()),
            ("tcpSocket", probe.tcp_socket.is_some()),
            ("grpc", probe.grpc.is_some()),
        ];
        self.one_handler(path, "a probe", &there);
        self.exec(path, probe.exec.as_ref());
        self.http_get(path, probe.http_get.as_ref(), container);
        self.tcp_socket(path, probe.tcp_socket.as_ref(), container);
        self.grpc(path, probe.grpc.as_ref());
        for (field, value) in [
            ("initialDelaySeconds", probe.initial_delay_seconds),
            ("timeoutSeconds", probe.timeout_seconds),
            ("periodSeconds", probe.period_seconds),
            ("successThreshold", probe.success_threshold),
            ("failureThreshold", probe.failure_threshold),
        ] {
            if let Some(value) = value.filter(|&value| value < 0) {
                self.problem(&format!("{path}.{field}"), format!("{value} must not be negative"));
            }
        }
        // Zero is the same as not written, and the default is 1.
        if let Some(value) = probe.success_threshold.filter(|&value| value > 1 && which != Which::Readiness) {
            let why = format!("{value} must be 1: a container that is started or alive is so at the first success");
            self.problem(&format!("{path}.successThreshold"), why);
        }
        let grace = format!("{path}.terminationGracePeriodSeconds");
        match probe.termination_grace_period_seconds {
            Some(_) if which == Which::Readiness => {
                self.problem(&grace, "a readinessProbe has none, since its failure ends nothing").mend("remove it");
            }
            Some(seconds) if seconds <= 0 => {
                self.problem(&grace, format!("{seconds} must be greater than 0"));
            }
            _ => {}
        }
    }

    /// The hooks of `container`, which have the pod's `grace` seconds to end in.
    pub(super) fn hooks(&mut self, path: &str, lifecycle: &Lifecycle, container: &Container, grace: i64) {
        for (field, hook) in [("postStart", &lifecycle.post_start), ("preStop", &lifecycle.pre_stop)] {
            if let Some(hook) = hook {
                self.hook(&format!("{path}.{field}"), hook, container, grace);
            }
        }
    }

    fn hook(&mut self, path: &str, hook: &LifecycleHandler, container: &Container, grace: i64) {
        let there =
            [("exec", hook.exec.is_some()), ("httpGet", hook.http_get.is_some()), ("sleep", hook.sleep.is_some())];
        // An API server still takes a tcpSocket, which the field table refuses.
        if hook.tcp_socket.is_none() || there.iter().any(|(_, there)| *there) {
            self.one_handler(path, "a hook", &there);
        }
        self.tcp_socket(path, hook.tcp_socket.as_ref(), container);
        self.exec(path, hook.exec.as_ref());
        self.http_get(path, hook.http_get.as_ref(), container);
        let outside = |sleep: &&SleepAction| !(0..=grace).contains(&sleep.seconds);
        if let Some(SleepAction { seconds }) = hook.sleep.as_ref().filter(outside).filter(|_| grace >= 0) {
            let why = format!("{seconds} is outside 0 to {grace}, the pod's terminationGracePeriodSeconds");
            self.problem(&format!("{path}.sleep.seconds"), why);
        }
    }

    /// That `what` has exactly one of the handlers that it may have.
    fn one_handler(&mut self, path: &str, what: &str, handlers: &[(&str, bool)]) {
        let there: Vec<&str> = handlers.iter().filter(|(_, there)| *there).map(|(name, _)| *name).collect();
        if there.len() != 1 {
            let names: Vec<&str> = handlers.iter().map(|(name, _)| *name).collect();
            let (last, rest) = names.split_last().map_or(("", &[][..]), |(last, rest)| (*last, rest));
            let found = if there.is_empty() { "none".to_owned() } else { there.join(" and ") };
            self.problem(path, format!("{what} has one of {} and {last}, found {found}", rest.join(", ")));
        }
    }

    fn exec(&mut self, path: &str, exec: Option<&ExecAction>) {
        if exec.is_some_and(|exec| exec.command.as_ref().is_none_or(Vec::is_empty)) {
            self.problem(&format!("{path}.exec.command"), "required");
        }
    }

    fn http_get(&mut self, path: &str, get: Option<&HTTPGetAction>, container: &Container) {
        let Some(get) = get else { return };
        let path = format!("{path}.httpGet");
        self.port(&format!("{path}.port"), &get.port, container);
        let scheme = get.scheme.as_deref().filter(|scheme| !scheme.is_empty());
        self.one_of(&format!("{path}.scheme"), scheme, &["HTTP", "HTTPS"]);
        self.host(&format!("{path}.host"), get.host.as_deref());
        self.one_of(&format!("{path}.protocol"), get.protocol.as_deref(), &["HTTP1", "HTTP2"]);
        if get.protocol.as_deref() == Some("HTTP2") {
            if scheme.is_some_and(|scheme| scheme != "HTTP") {
                self.problem(&format!("{path}.protocol"), "HTTP2 goes without TLS, so scheme must be HTTP");
            }
            if get.host.as_deref().is_some_and(|host| !host.is_empty()) {
                self.problem(&format!("{path}.host"), "must not be written where protocol is HTTP2");
            }
        }
        for (at, header) in get.http_headers.iter().flatten().enumerate() {
            let path = format!("{path}.httpHeaders[{at}]");
            self.grammar(&format!("{path}.name"), names::header_name(&header.name));
            if header.value.chars().any(|c| c.is_control() && c != '\t') {
                self.refuse(&format!("{path}.value"), "holds a control character, which no header can");
            }
        }
    }

    fn tcp_socket(&mut self, path: &str, socket: Option<&TCPSocketAction>, container: &Container) {
        let Some(socket) = socket else { return };
        self.port(&format!("{path}.tcpSocket.port"), &socket.port, container);
        self.host(&format!("{path}.tcpSocket.host"), socket.host.as_deref());
    }

    fn grpc(&mut self, path: &str, grpc: Option<&GRPCAction>) {
        let Some(grpc) = grpc else { return };
        self.port_number(&format!("{path}.grpc.port"), grpc.port);
        self.one_of(&format!("{path}.grpc.mode"), grpc.mode.as_deref(), &["Plaintext", "TLS"]);
    }

    /// A host name or address, which becomes part of a URL. A name is as good as an address to a kubelet, which asks its node's name
    /// servers; who probes here sees the pod's network only.
    fn host(&mut self, path: &str, host: Option<&str>) {
        let Some(host) = host.filter(|host| !host.is_empty()) else { return };
        let odd = |c: char| c.is_whitespace() || c.is_control() || "/?#@\\".contains(c);
        if host.contains(odd) {
            self.refuse(path, format!("{host:?} is no host name and no address"));
        } else if host.parse::<IpAddr>().is_err() && !host.eq_ignore_ascii_case("localhost") {
            let why = format!("{host:?} is a name, and podling asks no name server for probes and hooks");
            self.refuse(path, why).mend("write an address, or localhost");
        }
    }

    /// A port by its number, or by the name that `container` gives it.
    fn port(&mut self, path: &str, port: &IntOrString, container: &Container) {
        let name = match port {
            IntOrString::Int(number) => return self.port_number(path, *number),
            IntOrString::String(name) => name.as_str(),
        };
        if let Ok(number) = name.parse::<u16>() {
            self.problem(path, format!("{name:?} is no name for a port")).mend(format!("remove the quotes: {number}"));
            return;
        }
        if let Err(why) = names::port_name(name) {
            self.problem(path, why);
            return;
        }
        let known: Vec<&str> = container.ports.iter().flatten().filter_map(|port| port.name.as_deref()).collect();
        if known.contains(&name) {
            return;
        }
        let problem = self.refuse(path, format!("the container has no port named {name:?}"));
        if let Some(meant) = nearest(name, known.iter().copied()) {
            problem.mend(format!("did you mean {meant:?}?"));
        } else if known.is_empty() {
            problem.mend("none of its ports has a name: write the number, or a name under ports");
        } else {
            problem.mend(format!("it has {}", known.join(", ")));
        }
    }

    fn port_number(&mut self, path: &str, number: i32) {
        match number {
            1..=65535 => {}
            0 => {
                self.problem(path, "required, 1 to 65535");
            }
            other => {
                self.problem(path, format!("{other} is outside 1 to 65535"));
            }
        }
    }
}

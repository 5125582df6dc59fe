//! Probes and hooks with the API's defaults filled in and the names of ports resolved.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ExecAction, GRPCAction, HTTPGetAction, LifecycleHandler, Probe, TCPSocketAction};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::expand::{MOST, TOO_LONG, expand};
use super::scope::Subject;
use super::{Action, Hooks, HttpGet, NetAction, ProbePlan, Probes, Verdict};
use crate::error::Result;

/// The pod's own address.
const POD: &str = "127.0.0.1";
const OWN_ADDRESS: &str = "is tried at 127.0.0.1; a cluster tries the pod's own address, at which a program that listens \
                           on 127.0.0.1 only would not answer";

/// The container's probes.
///
/// # Errors
/// For probes without exactly one handler, ports that cannot be, and numbers below zero.
pub(super) fn probes(subject: &Subject, report: &mut Vec<Verdict>) -> Result<Probes> {
    let mut one =
        |field: &str, said: &Option<Probe>| said.as_ref().map(|said| probe(subject, field, said, report)).transpose();
    Ok(Probes {
        startup: one("startupProbe", &subject.container.startup_probe)?,
        liveness: one("livenessProbe", &subject.container.liveness_probe)?,
        readiness: one("readinessProbe", &subject.container.readiness_probe)?,
    })
}

/// The container's hooks.
///
/// # Errors
/// For hooks without exactly one handler, for `tcpSocket`, and for ports that cannot be.
pub(super) fn hooks(subject: &Subject, report: &mut Vec<Verdict>) -> Result<Hooks> {
    let Some(lifecycle) = &subject.container.lifecycle else { return Ok(Hooks::default()) };
    let mut one = |field: &str, said: &Option<LifecycleHandler>| {
        said.as_ref().map(|said| hook(subject, &format!("lifecycle.{field}"), said, report)).transpose()
    };
    Ok(Hooks { post_start: one("postStart", &lifecycle.post_start)?, pre_stop: one("preStop", &lifecycle.pre_stop)? })
}

fn probe(subject: &Subject, field: &str, said: &Probe, report: &mut Vec<Verdict>) -> Result<ProbePlan> {
    let action = match (&said.exec, &said.http_get, &said.tcp_socket, &said.grpc) {
        (Some(exec), None, None, None) => {
            let command = command(subject, field, exec)?;
            Action::Exec(
                expanded(subject, command).ok_or_else(|| subject.error(&format!("{field}.exec.command"), TOO_LONG))?,
            )
        }
        (None, Some(get), None, None) => http_get(subject, field, get, report)?,
        (None, None, Some(socket), None) => tcp_socket(subject, field, socket, report)?,
        (None, None, None, Some(said)) => grpc(subject, field, said, report)?,
        _ => return Err(subject.error(field, "must have exactly one of exec, httpGet, tcpSocket and grpc")),
    };
    // The API server takes zero for not written.
    let count = |name: &str, said: Option<i32>, default: u32| -> Result<u32> {
        let said = said.unwrap_or(0);
        let negative = |_| subject.error(&format!("{field}.{name}"), format!("{said} is negative"));
        u32::try_from(said).map(|said| if said == 0 { default } else { said }).map_err(negative)
    };
    let seconds = |name: &str, said: Option<i32>, default: u32| {
        count(name, said, default).map(|seconds| Duration::from_secs(u64::from(seconds)))
    };
    let grace_period = match said.termination_grace_period_seconds {
        None => None,
        Some(seconds) => match u64::try_from(seconds) {
            Ok(seconds) if seconds > 0 => Some(Duration::from_secs(seconds)),
            _ => {
                let why = format!("{seconds} is not greater than 0");
                return Err(subject.error(&format!("{field}.terminationGracePeriodSeconds"), why));
            }
        },
    };
    Ok(ProbePlan {
        action,
        initial_delay: seconds("initialDelaySeconds", said.initial_delay_seconds, 0)?,
        period: seconds("periodSeconds", said.period_seconds, 10)?,
        timeout: seconds("timeoutSeconds", said.timeout_seconds, 1)?,
        success_threshold: count("successThreshold", said.success_threshold, 1)?,
        failure_threshold: count("failureThreshold", said.failure_threshold, 3)?,
        grace_period,
    })
}

fn hook(subject: &Subject, field: &str, said: &LifecycleHandler, report: &mut Vec<Verdict>) -> Result<Action> {
    match (&said.exec, &said.http_get, &said.sleep, &said.tcp_socket) {
        // Unlike a probe's, a hook's command is taken as it is written.
        (Some(exec), None, None, None) => Ok(Action::Exec(command(subject, field, exec)?.to_vec())),
        (None, Some(get), None, None) => http_get(subject, field, get, report),
        (None, None, Some(sleep), None) => {
            let negative =
                |_| subject.error(&format!("{field}.sleep.seconds"), format!("{} is negative", sleep.seconds));
            u64::try_from(sleep.seconds).map(|seconds| Action::Sleep(Duration::from_secs(seconds))).map_err(negative)
        }
        (None, None, None, Some(_)) => {
            Err(subject.error(&format!("{field}.tcpSocket"), "is deprecated, and the kubelet fails every such hook"))
        }
        _ => Err(subject.error(field, "must have exactly one of exec, httpGet and sleep")),
    }
}

fn command<'a>(subject: &Subject, field: &str, said: &'a ExecAction) -> Result<&'a [String]> {
    let field = format!("{field}.exec.command");
    let Some(command) = said.command.as_deref().filter(|command| !command.is_empty()) else {
        return Err(subject.error(&field, "is missing"));
    };
    match command.iter().position(|word| word.contains('\0')) {
        Some(i) => Err(subject.error(&field, format!("argument {i} contains a NUL byte, which ends a string"))),
        None => Ok(command),
    }
}

/// `command` with its `$(NAME)` replaced as the kubelet does in probes: by the values that `env` writes, as they are written. A
/// variable whose value comes from elsewhere counts as empty. `None` where that is longer than any program can be given.
fn expanded(subject: &Subject, command: &[String]) -> Option<Vec<String>> {
    let value = |name: &str| {
        let option = subject.scope.options.env.iter().rev().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        option.or_else(|| {
            let said = subject.container.env.iter().flatten().rev().find(|variable| variable.name == name)?;
            Some(said.value.as_deref().unwrap_or_default())
        })
    };
    let mut left = MOST;
    let mut words = Vec::new();
    for word in command {
        let word = expand(word, left, value)?;
        left -= word.len();
        words.push(word);
    }
    Some(words)
}

fn http_get(subject: &Subject, field: &str, said: &HTTPGetAction, report: &mut Vec<Verdict>) -> Result<Action> {
    let field = format!("{field}.httpGet");
    let tls = match said.scheme.as_deref() {
        None | Some("" | "HTTP") => false,
        Some("HTTPS") => true,
        Some(other) => {
            return Err(subject.error(&format!("{field}.scheme"), format!("{other:?} is neither HTTP nor HTTPS")));
        }
    };
    if let Some(other) = said.protocol.as_deref().filter(|protocol| !matches!(*protocol, "" | "HTTP1")) {
        return Err(subject.error(&format!("{field}.protocol"), format!("{other:?} is not honoured, only HTTP1")));
    }
    let mut headers = Vec::new();
    for (i, header) in said.http_headers.iter().flatten().enumerate() {
        let clean = |text: &str| !text.chars().any(|c| c.is_control() && c != '\t');
        let named = !header.name.is_empty() && header.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !named || !clean(&header.value) {
            return Err(subject.error(&format!("{field}.httpHeaders[{i}]"), "cannot be a header"));
        }
        headers.push((header.name.clone(), header.value.clone()));
    }
    Ok(Action::Net(NetAction::Http(HttpGet {
        tls,
        host: host(subject, &field, said.host.as_deref(), report)?,
        port: port(subject, &format!("{field}.port"), &said.port)?,
        path: request_target(said.path.as_deref().unwrap_or_default()),
        headers,
    })))
}

fn tcp_socket(subject: &Subject, field: &str, said: &TCPSocketAction, report: &mut Vec<Verdict>) -> Result<Action> {
    let field = format!("{field}.tcpSocket");
    Ok(Action::Net(NetAction::Tcp {
        host: host(subject, &field, said.host.as_deref(), report)?,
        port: port(subject, &format!("{field}.port"), &said.port)?,
    }))
}

fn grpc(subject: &Subject, field: &str, said: &GRPCAction, report: &mut Vec<Verdict>) -> Result<Action> {
    let field = format!("{field}.grpc");
    let tls = match said.mode.as_deref() {
        None | Some("" | "Plaintext") => false,
        Some("TLS") => true,
        Some(other) => {
            return Err(subject.error(&format!("{field}.mode"), format!("{other:?} is neither Plaintext nor TLS")));
        }
    };
    host(subject, &field, None, report)?;
    let service = said.service.clone().unwrap_or_default();
    Ok(Action::Net(NetAction::Grpc { port: number(subject, &format!("{field}.port"), said.port)?, service, tls }))
}

/// The host to connect to; the first one of the pod that is not written is reported.
fn host(subject: &Subject, field: &str, said: Option<&str>, report: &mut Vec<Verdict>) -> Result<String> {
    let Some(host) = said.filter(|host| !host.is_empty()) else {
        if !report.iter().any(|verdict| verdict.how == OWN_ADDRESS) {
            report.push(subject.verdict(field, OWN_ADDRESS));
        }
        return Ok(POD.to_owned());
    };
    if host.contains(|c: char| c.is_whitespace() || c.is_control() || "/?#@\\".contains(c)) {
        return Err(subject.error(&format!("{field}.host"), format!("{host:?} is no host name and no address")));
    }
    Ok(host.to_owned())
}

/// A port's number, or that of the container's own port with this name, whatever its protocol.
fn port(subject: &Subject, field: &str, said: &IntOrString) -> Result<u16> {
    let name = match said {
        IntOrString::Int(said) => return number(subject, field, *said),
        IntOrString::String(name) => name.as_str(),
    };
    let mut ports = subject.container.ports.iter().flatten();
    match ports.find(|port| !name.is_empty() && port.name.as_deref() == Some(name)) {
        Some(port) => number(subject, field, port.container_port),
        None => Err(subject.error(field, format!("the container has no port named {name:?}"))),
    }
}

fn number(subject: &Subject, field: &str, said: i32) -> Result<u16> {
    match u16::try_from(said) {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(subject.error(field, format!("{said} is outside 1 to 65535"))),
    }
}

/// What the request line of a GET of `path` says: beginning with `/`, without the fragment, and with every byte escaped that
/// RFC 3986 does not allow there, so that nothing in it can end the line.
fn request_target(path: &str) -> String {
    let path = path.split('#').next().unwrap_or_default();
    let mut target = String::with_capacity(path.len() + 1);
    if !path.starts_with('/') {
        target.push('/');
    }
    for (i, byte) in path.bytes().enumerate() {
        let escape = |at: usize| path.as_bytes().get(at).is_some_and(u8::is_ascii_hexdigit);
        let allowed = match byte {
            b'%' => escape(i + 1) && escape(i + 2),
            _ => byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?".contains(&byte),
        };
        match allowed {
            true => target.push(char::from(byte)),
            false => target.push_str(&format!("%{byte:02X}")),
        }
    }
    target
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::request_target;
    use crate::plan::fixture::Fixture;
    use crate::plan::{Action, ContainerPlan, HttpGet, NetAction, ProbePlan};

    fn fixture(mut fields: Value) -> Fixture {
        fields["ports"] = json!([
            { "containerPort": 53, "protocol": "UDP", "name": "dns" },
            { "containerPort": 8080, "name": "web" },
        ]);
        Fixture::container(fields)
    }

    fn planned(fields: Value) -> ContainerPlan {
        fixture(fields).plan().unwrap().containers.remove(0)
    }

    fn probe(said: Value) -> ProbePlan {
        planned(json!({ "livenessProbe": said })).probes.liveness.unwrap()
    }

    // shows: spec.containers[].livenessProbe.periodSeconds, spec.containers[].livenessProbe.timeoutSeconds,
    // shows: spec.containers[].livenessProbe.successThreshold, spec.containers[].livenessProbe.failureThreshold
    #[test]
    fn numbers_that_are_not_written_or_zero_are_the_api_s_defaults() {
        let seconds = Duration::from_secs;
        for said in [
            json!({ "tcpSocket": { "port": 1 } }),
            json!({ "tcpSocket": { "port": 1 }, "initialDelaySeconds": 0, "periodSeconds": 0, "timeoutSeconds": 0,
                "successThreshold": 0, "failureThreshold": 0 }),
        ] {
            let plan = probe(said);
            assert_eq!((plan.initial_delay, plan.period, plan.timeout), (seconds(0), seconds(10), seconds(1)));
            assert_eq!((plan.success_threshold, plan.failure_threshold, plan.grace_period), (1, 3, None));
        }
        let said = json!({ "exec": { "command": ["true"] }, "initialDelaySeconds": 1, "periodSeconds": 2,
            "timeoutSeconds": 3, "successThreshold": 4, "failureThreshold": 5, "terminationGracePeriodSeconds": 6 });
        let expected = ProbePlan {
            action: Action::Exec(vec!["true".to_owned()]),
            initial_delay: seconds(1),
            period: seconds(2),
            timeout: seconds(3),
            success_threshold: 4,
            failure_threshold: 5,
            grace_period: Some(seconds(6)),
        };
        let all = planned(json!({ "startupProbe": said, "livenessProbe": said, "readinessProbe": said })).probes;
        for probe in [all.startup, all.liveness, all.readiness] {
            assert_eq!(probe.unwrap(), expected);
        }
    }

    #[test]
    fn what_is_tried() {
        let own = "127.0.0.1".to_owned();
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        for (said, expected) in [
            (
                json!({ "httpGet": { "port": "web" } }),
                NetAction::Http(HttpGet {
                    tls: false,
                    host: own.clone(),
                    port: 8080,
                    path: "/".to_owned(),
                    headers: vec![],
                }),
            ),
            (
                json!({ "httpGet": { "port": 443, "scheme": "HTTPS", "host": "h", "path": "x?y=z", "protocol": "HTTP1",
                    "httpHeaders": [{ "name": "B", "value": "1" }, { "name": "A", "value": "" }, { "name": "B", "value": "2" }] } }),
                NetAction::Http(HttpGet {
                    tls: true,
                    host: "h".to_owned(),
                    port: 443,
                    path: "/x?y=z".to_owned(),
                    headers: vec![header("B", "1"), header("A", ""), header("B", "2")],
                }),
            ),
            (json!({ "tcpSocket": { "port": "dns" } }), NetAction::Tcp { host: own, port: 53 }),
            (json!({ "tcpSocket": { "port": 1, "host": "::1" } }), NetAction::Tcp { host: "::1".to_owned(), port: 1 }),
            (json!({ "grpc": { "port": 9 } }), NetAction::Grpc { port: 9, service: String::new(), tls: false }),
            (
                json!({ "grpc": { "port": 9, "service": "s", "mode": "TLS" } }),
                NetAction::Grpc { port: 9, service: "s".to_owned(), tls: true },
            ),
        ] {
            assert_eq!(probe(said.clone()).action, Action::Net(expected), "{said}");
        }
    }

    #[test]
    fn hooks() {
        let hooks = planned(json!({ "lifecycle": {
            "postStart": { "httpGet": { "port": "web", "path": "/up" } },
            "preStop": { "sleep": { "seconds": 3 } },
        } }))
        .hooks;
        assert!(
            matches!(hooks.post_start, Some(Action::Net(NetAction::Http(get))) if get.path == "/up" && get.port == 8080)
        );
        assert_eq!(hooks.pre_stop, Some(Action::Sleep(Duration::from_secs(3))));
    }

    #[test]
    fn a_probes_command_is_expanded_by_what_env_writes_and_a_hooks_is_not() {
        let words = json!(["$(A)", "$(B)", "$(MAP)", "$(NONE)", "$$(A)"]);
        let env = json!([
            { "name": "A", "value": "first" },
            { "name": "A", "value": "last $(B)" },
            { "name": "B", "value": "yaml" },
            { "name": "MAP", "valueFrom": { "configMapKeyRef": { "name": "m", "key": "k", "optional": true } } },
        ]);
        let mut fixture = fixture(json!({
            "env": env,
            "livenessProbe": { "exec": { "command": words } },
            "lifecycle": { "preStop": { "exec": { "command": words } } },
        }));
        fixture.options.env = vec![("B".to_owned(), "option".to_owned())];
        let plan = fixture.plan().unwrap().containers.remove(0);
        let words = |action: Option<Action>| match action {
            Some(Action::Exec(words)) => words,
            other => panic!("{other:?}"),
        };
        let probe = words(plan.probes.liveness.map(|probe| probe.action));
        assert_eq!(probe, ["last $(B)", "option", "", "$(NONE)", "$(A)"]);
        assert_eq!(words(plan.hooks.pre_stop), ["$(A)", "$(B)", "$(MAP)", "$(NONE)", "$$(A)"]);
    }

    #[test]
    fn nothing_in_a_path_ends_the_request_line() {
        for (path, expected) in [
            ("", "/"),
            ("healthz", "/healthz"),
            ("/a/b?c=d&e=%20#fragment", "/a/b?c=d&e=%20"),
            ("/a b", "/a%20b"),
            ("/a\r\nHost: x", "/a%0D%0AHost:%20x"),
            ("/%zz%", "/%25zz%25"),
            ("/é", "/%C3%A9"),
            ("//x", "//x"),
        ] {
            assert_eq!(request_target(path), expected, "{path:?}");
        }
    }

    #[test]
    fn only_the_first_address_of_the_pods_own_is_reported() {
        let tcp = json!({ "tcpSocket": { "port": 1 } });
        let report = |fields: Value| fixture(fields).plan().unwrap().report;
        let told = report(json!({ "livenessProbe": tcp, "readinessProbe": tcp }));
        assert_eq!(
            told.iter().map(|v| v.path.as_str()).collect::<Vec<_>>(),
            ["spec.containers[0].livenessProbe.tcpSocket"]
        );
        assert_eq!(report(json!({ "livenessProbe": { "tcpSocket": { "port": 1, "host": "h" } } })), []);
        assert_eq!(report(json!({ "livenessProbe": { "grpc": { "port": 1 } } })).len(), 1);
    }

    #[test]
    fn impossible_probes_and_hooks() {
        let get = |more: Value| {
            let mut get = json!({ "port": 80 });
            get.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({ "livenessProbe": { "httpGet": get } })
        };
        let tcp = |more: Value| {
            let mut probe = json!({ "tcpSocket": { "port": 80 } });
            probe.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({ "livenessProbe": probe })
        };
        for (fields, expected) in [
            (json!({ "livenessProbe": {} }), "livenessProbe: must have exactly one"),
            (tcp(json!({ "exec": { "command": ["x"] } })), "livenessProbe: must have exactly one"),
            (tcp(json!({ "periodSeconds": -1 })), "livenessProbe.periodSeconds: -1"),
            (tcp(json!({ "failureThreshold": -1 })), "livenessProbe.failureThreshold: -1"),
            (tcp(json!({ "terminationGracePeriodSeconds": 0 })), "livenessProbe.terminationGracePeriodSeconds: 0"),
            (get(json!({ "port": "none" })), "livenessProbe.httpGet.port: the container has no port named \"none\""),
            (get(json!({ "port": 65536 })), "livenessProbe.httpGet.port: 65536"),
            (get(json!({ "scheme": "http" })), "livenessProbe.httpGet.scheme"),
            (get(json!({ "protocol": "HTTP2" })), "livenessProbe.httpGet.protocol"),
            (get(json!({ "host": "a/b" })), "livenessProbe.httpGet.host"),
            (
                get(json!({ "httpHeaders": [{ "name": "a", "value": "b\nc: d" }] })),
                "livenessProbe.httpGet.httpHeaders[0]",
            ),
            (get(json!({ "httpHeaders": [{ "name": "a b", "value": "" }] })), "livenessProbe.httpGet.httpHeaders[0]"),
            (json!({ "livenessProbe": { "exec": { "command": [] } } }), "livenessProbe.exec.command: is missing"),
            (json!({ "livenessProbe": { "exec": { "command": ["a\0"] } } }), "livenessProbe.exec.command: argument 0"),
            (json!({ "livenessProbe": { "grpc": { "port": 0 } } }), "livenessProbe.grpc.port: 0"),
            (json!({ "livenessProbe": { "grpc": { "port": 1, "mode": "tls" } } }), "livenessProbe.grpc.mode"),
            (json!({ "lifecycle": { "preStop": {} } }), "lifecycle.preStop: must have exactly one"),
            (json!({ "lifecycle": { "preStop": { "sleep": { "seconds": -1 } } } }), "preStop.sleep.seconds"),
            (
                json!({ "lifecycle": { "postStart": { "tcpSocket": { "port": 1 } } } }),
                "postStart.tcpSocket: is deprecated",
            ),
        ] {
            let refusal = fixture(fields).refusal();
            assert!(refusal.contains("spec.containers[0].") && refusal.contains(expected), "{refusal}");
        }
    }
}

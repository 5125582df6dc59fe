//! A description's containers.

use serde_json::Value;

use super::{Fields, Of, array, string, time, truth};

/// All containers of one list, below their title; nothing where there are none.
pub(super) fn all(of: Of, title: &str, containers: &[Value], statuses: &[Value]) -> String {
    if containers.is_empty() && statuses.is_empty() {
        return String::new();
    }
    let mut fields = Fields::default();
    fields.title(of, title);
    let none = Value::Null;
    for container in containers {
        let status = statuses.iter().find(|status| status["name"] == container["name"]).unwrap_or(&none);
        one(&mut fields, of, container, status);
    }
    // What `podling debug` has added is in the status only.
    for status in statuses.iter().filter(|s| !containers.iter().any(|c| c["name"] == s["name"])) {
        one(&mut fields, of, &none, status);
    }
    fields.text()
}

fn one(fields: &mut Fields, of: Of, container: &Value, status: &Value) {
    let name = if status["name"].is_null() { &container["name"] } else { &status["name"] };
    fields.name(of, &string(name));
    let id = string(&status["containerID"]);
    if !id.is_empty() {
        fields.field(2, "Container ID", id);
    }
    let image = if container["image"].is_null() { &status["image"] } else { &container["image"] };
    fields.field(2, "Image", string(image));
    if of == Of::Pod {
        fields.field(2, "Image ID", string(&status["imageID"]));
    }
    ports(fields, array(&container["ports"]));
    for (title, list) in [("Command", "command"), ("Args", "args")] {
        let words = array(&container[list]);
        if !words.is_empty() {
            fields.heading(2, title);
            for word in words {
                string(word).lines().for_each(|line| fields.line(3, line));
            }
        }
    }
    if of == Of::Pod {
        life(fields, status);
    }
    for (title, list) in [("Limits", "limits"), ("Requests", "requests")] {
        let amounts = container["resources"][list].as_object();
        if let Some(amounts) = amounts.filter(|amounts| !amounts.is_empty()) {
            fields.heading(2, title);
            amounts.iter().for_each(|(name, amount)| fields.field(3, name, string(amount)));
        }
    }
    for (title, field) in [("Liveness", "livenessProbe"), ("Readiness", "readinessProbe"), ("Startup", "startupProbe")]
    {
        if container[field].is_object() {
            fields.field(2, title, probe(&container[field]));
        }
    }
    environment(fields, container);
    mounts(fields, array(&container["volumeMounts"]));
}

fn life(fields: &mut Fields, status: &Value) {
    state(fields, "State", &status["state"]);
    if status["lastState"].as_object().is_some_and(|last| !last.is_empty()) {
        state(fields, "Last State", &status["lastState"]);
    }
    fields.field(2, "Ready", truth(&status["ready"]));
    let restarts = &status["restartCount"];
    fields.field(2, "Restart Count", if restarts.is_null() { "0".to_owned() } else { string(restarts) });
}

fn ports(fields: &mut Fields, ports: &[Value]) {
    let all = |field: &str| -> Vec<String> {
        let one = |port: &Value| {
            let number = if port[field].is_null() { "0".to_owned() } else { string(&port[field]) };
            let protocol = port["protocol"].as_str().unwrap_or("TCP");
            match (field, port["name"].as_str()) {
                ("containerPort", Some(name)) => format!("{number}/{protocol} ({name})"),
                _ => format!("{number}/{protocol}"),
            }
        };
        ports.iter().map(one).collect()
    };
    if ports.is_empty() {
        fields.field(2, "Port", "<none>");
        return fields.field(2, "Host Port", "<none>");
    }
    let ending = if ports.len() > 1 { "s" } else { "" };
    fields.field(2, &format!("Port{ending}"), all("containerPort").join(", "));
    fields.field(2, &format!("Host Port{ending}"), all("hostPort").join(", "));
}

fn state(fields: &mut Fields, title: &str, state: &Value) {
    if state["running"].is_object() {
        fields.field(2, title, "Running");
        fields.field(3, "Started", time(&state["running"]["startedAt"]));
    } else if state["terminated"].is_object() {
        let end = &state["terminated"];
        fields.field(2, title, "Terminated");
        for (name, field) in [("Reason", "reason"), ("Message", "message")] {
            let value = string(&end[field]);
            if !value.is_empty() {
                fields.field(3, name, value);
            }
        }
        fields.field(3, "Exit Code", string(&end["exitCode"]));
        fields.field(3, "Started", time(&end["startedAt"]));
        fields.field(3, "Finished", time(&end["finishedAt"]));
    } else {
        fields.field(2, title, "Waiting");
        let reason = string(&state["waiting"]["reason"]);
        if !reason.is_empty() {
            fields.field(3, "Reason", reason);
        }
    }
}

/// `http-get http://:8080/healthz delay=0s timeout=1s period=10s #success=1 #failure=3` (kubectl, `DescribeProbe`).
fn probe(probe: &Value) -> String {
    let number = |field: &str, default: u64| match probe[field].as_u64() {
        Some(written) if written > 0 => written,
        _ => default,
    };
    let numbers = format!(
        "delay={}s timeout={}s period={}s #success={} #failure={}",
        number("initialDelaySeconds", 0),
        number("timeoutSeconds", 1),
        number("periodSeconds", 10),
        number("successThreshold", 1),
        number("failureThreshold", 3),
    );
    let what = if probe["exec"].is_object() {
        let words: Vec<String> = array(&probe["exec"]["command"]).iter().map(string).collect();
        format!("exec [{}]", words.join(" "))
    } else if probe["httpGet"].is_object() {
        let get = &probe["httpGet"];
        let scheme = get["scheme"].as_str().unwrap_or("HTTP").to_lowercase();
        let path = get["path"].as_str().unwrap_or("/");
        let slash = if path.starts_with('/') { "" } else { "/" };
        format!("http-get {scheme}://{}:{}{slash}{path}", string(&get["host"]), string(&get["port"]))
    } else if probe["tcpSocket"].is_object() {
        format!("tcp-socket {}:{}", string(&probe["tcpSocket"]["host"]), string(&probe["tcpSocket"]["port"]))
    } else {
        format!("grpc <pod>:{} {}", string(&probe["grpc"]["port"]), string(&probe["grpc"]["service"]))
    };
    format!("{} {numbers}", what.trim_end())
}

fn environment(fields: &mut Fields, container: &Value) {
    let from = array(&container["envFrom"]);
    if !from.is_empty() {
        fields.heading(2, "Environment Variables from");
        for source in from {
            let (kind, reference) = match &source["configMapRef"] {
                Value::Null => ("Secret", &source["secretRef"]),
                map => ("ConfigMap", map),
            };
            let prefix = match source["prefix"].as_str() {
                Some(prefix) if !prefix.is_empty() => format!(" with prefix '{prefix}'"),
                _ => String::new(),
            };
            let optional = truth(&reference["optional"]).to_lowercase();
            fields.line(3, format!("{}  {kind}{prefix}  Optional: {optional}", string(&reference["name"])));
        }
    }
    let variables = array(&container["env"]);
    if variables.is_empty() {
        return fields.field(2, "Environment", "<none>");
    }
    fields.heading(2, "Environment");
    for variable in variables {
        fields.field(3, &string(&variable["name"]), value(variable));
    }
}

/// What a variable is set to; the values of others' keys are not shown.
fn value(variable: &Value) -> String {
    let from = &variable["valueFrom"];
    let of = |kind: &str, reference: &Value| {
        let optional = truth(&reference["optional"]).to_lowercase();
        format!(
            "<set to the key '{}' in {kind} '{}'>  Optional: {optional}",
            string(&reference["key"]),
            string(&reference["name"])
        )
    };
    if from["fieldRef"].is_object() {
        let version = from["fieldRef"]["apiVersion"].as_str().unwrap_or("v1");
        format!(" ({version}:{})", string(&from["fieldRef"]["fieldPath"]))
    } else if from["resourceFieldRef"].is_object() {
        format!(" ({})", string(&from["resourceFieldRef"]["resource"]))
    } else if from["configMapKeyRef"].is_object() {
        of("config map", &from["configMapKeyRef"])
    } else if from["secretKeyRef"].is_object() {
        of("secret", &from["secretKeyRef"])
    } else {
        string(&variable["value"])
    }
}

fn mounts(fields: &mut Fields, mounts: &[Value]) {
    if mounts.is_empty() {
        return fields.field(2, "Mounts", "<none>");
    }
    fields.heading(2, "Mounts");
    for mount in mounts {
        let mut flags = vec![if mount["readOnly"].as_bool() == Some(true) { "ro" } else { "rw" }.to_owned()];
        for (field, name) in [("subPath", "path"), ("subPathExpr", "path")] {
            if let Some(path) = mount[field].as_str().filter(|path| !path.is_empty()) {
                flags.push(format!("{name}=\"{path}\""));
            }
        }
        fields
            .line(3, format!("{} from {} ({})", string(&mount["mountPath"]), string(&mount["name"]), flags.join(",")));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn probes_are_kubectl_s() {
        let numbers = "delay=0s timeout=1s period=10s #success=1 #failure=3";
        for (said, expected) in [
            (json!({ "httpGet": { "port": 8080, "path": "/healthz" } }), "http-get http://:8080/healthz"),
            (
                json!({ "httpGet": { "port": "web", "host": "h", "path": "x", "scheme": "HTTPS" } }),
                "http-get https://h:web/x",
            ),
            (json!({ "exec": { "command": ["cat", "/ok"] } }), "exec [cat /ok]"),
            (json!({ "tcpSocket": { "port": 1 } }), "tcp-socket :1"),
            (json!({ "grpc": { "port": 9, "service": "s" } }), "grpc <pod>:9 s"),
            (json!({ "grpc": { "port": 9 } }), "grpc <pod>:9"),
        ] {
            assert_eq!(probe(&said), format!("{expected} {numbers}"));
        }
    }

    #[test]
    fn values_of_secrets_are_not_there() {
        let said = json!({ "valueFrom": { "secretKeyRef": { "name": "s", "key": "k", "optional": true } } });
        assert_eq!(value(&said), "<set to the key 'k' in secret 's'>  Optional: true");
        assert_eq!(
            value(&json!({ "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } })),
            " (v1:metadata.name)"
        );
    }
}

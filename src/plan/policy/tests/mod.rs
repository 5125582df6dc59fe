//! Each control of the standard with what passes and what fails, at each level.

mod allowing;
mod fixtures;

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::{PolicyLevel, violations};

/// How far a pod gets.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Passes {
    /// The level restricted.
    All,
    /// The level baseline, and not restricted.
    Baseline,
    /// Only the level privileged.
    Nothing,
}
use Passes::{All, Baseline, Nothing};

/// A pod that passes every level, with a container of each sort.
fn good() -> Value {
    let container = |name: &str| {
        let security = json!({ "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } });
        json!({ "name": name, "image": "busybox", "securityContext": security })
    };
    json!({
        "metadata": { "name": "pod" },
        "spec": {
            "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
            "initContainers": [container("a")],
            "containers": [container("b"), container("c")],
            "ephemeralContainers": [container("d")],
        },
    })
}

/// Puts `value` at `pointer`, or takes away what is there where it is null.
fn set(pod: &mut Value, pointer: &str, value: Value) {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let mut at = pod;
    for part in parent.split('/').skip(1) {
        at = match at {
            Value::Array(items) => &mut items[part.parse::<usize>().unwrap()],
            other => other.as_object_mut().unwrap().entry(part).or_insert_with(|| json!({})),
        };
    }
    match value {
        Value::Null => at.as_object_mut().unwrap().remove(name).map_or((), drop),
        value => at[name.replace("~1", "/")] = value,
    }
}

fn changed(changes: &[(&str, Value)]) -> Value {
    let mut pod = good();
    for (pointer, value) in changes {
        set(&mut pod, pointer, value.clone());
    }
    pod
}

fn paths(pod: &Value, level: PolicyLevel) -> Vec<String> {
    let pod: Pod = serde_json::from_value(pod.clone()).unwrap();
    let found = violations(&pod.metadata, &pod.spec.unwrap(), level);
    found.into_iter().map(|violation| violation.path).collect()
}

#[track_caller]
fn assert_judged(pod: &Value, passes: Passes, path: &str) {
    let at_restricted = if passes == All { vec![] } else { vec![path.to_owned()] };
    let at_baseline = if passes == Nothing { vec![path.to_owned()] } else { vec![] };
    assert_eq!(paths(pod, PolicyLevel::Privileged), Vec::<String>::new(), "privileged: {pod}");
    assert_eq!(paths(pod, PolicyLevel::Baseline), at_baseline, "baseline: {pod}");
    assert_eq!(paths(pod, PolicyLevel::Restricted), at_restricted, "restricted: {pod}");
}

#[test]
fn the_pod_that_the_others_change_passes() {
    assert_judged(&good(), All, "");
}

/// One field of one container, in a container of each sort.
#[test]
fn fields_of_containers() {
    let security = "securityContext";
    for (field, value, passes, path) in [
        ("windowsOptions/hostProcess", json!(true), Nothing, "windowsOptions.hostProcess"),
        ("windowsOptions/hostProcess", json!(false), All, ""),
        ("privileged", json!(true), Nothing, "privileged"),
        ("privileged", json!(false), All, ""),
        ("capabilities/add", json!([]), All, ""),
        ("capabilities/add", json!(["NET_BIND_SERVICE"]), All, ""),
        ("capabilities/add", json!(["CHOWN"]), Baseline, "capabilities.add[0]"),
        ("capabilities/add", json!(["NET_BIND_SERVICE", "KILL"]), Baseline, "capabilities.add[1]"),
        ("capabilities/add", json!(["AUDIT_WRITE"]), Baseline, "capabilities.add[0]"),
        ("capabilities/add", json!(["MKNOD"]), Baseline, "capabilities.add[0]"),
        ("capabilities/add", json!(["NET_RAW"]), Nothing, "capabilities.add[0]"),
        ("capabilities/add", json!(["SYS_ADMIN"]), Nothing, "capabilities.add[0]"),
        ("capabilities/add", json!(["ALL"]), Nothing, "capabilities.add[0]"),
        ("capabilities/add", json!(["CAP_NET_BIND_SERVICE"]), Nothing, "capabilities.add[0]"),
        ("capabilities/add", json!(["net_bind_service"]), Nothing, "capabilities.add[0]"),
        ("capabilities/drop", json!(["NET_RAW", "ALL"]), All, ""),
        ("capabilities/drop", json!(["all"]), Baseline, "capabilities.drop"),
        ("capabilities/drop", json!(["CHOWN"]), Baseline, "capabilities.drop"),
        ("capabilities", Value::Null, Baseline, "capabilities.drop"),
        ("allowPrivilegeEscalation", json!(true), Baseline, "allowPrivilegeEscalation"),
        ("allowPrivilegeEscalation", Value::Null, Baseline, "allowPrivilegeEscalation"),
        ("appArmorProfile", json!({ "type": "RuntimeDefault" }), All, ""),
        ("appArmorProfile", json!({ "type": "Localhost", "localhostProfile": "x" }), All, ""),
        ("appArmorProfile", json!({ "type": "Unconfined" }), Nothing, "appArmorProfile.type"),
        ("appArmorProfile", json!({ "type": "" }), Nothing, "appArmorProfile.type"),
        ("seLinuxOptions", json!({}), All, ""),
        ("seLinuxOptions", json!({ "type": "container_t", "level": "s0" }), All, ""),
        ("seLinuxOptions", json!({ "type": "container_init_t" }), All, ""),
        ("seLinuxOptions", json!({ "type": "container_kvm_t" }), All, ""),
        ("seLinuxOptions", json!({ "type": "container_engine_t", "user": "", "role": "" }), All, ""),
        ("seLinuxOptions", json!({ "type": "spc_t" }), Nothing, "seLinuxOptions.type"),
        ("seLinuxOptions", json!({ "user": "system_u" }), Nothing, "seLinuxOptions.user"),
        ("seLinuxOptions", json!({ "role": "object_r" }), Nothing, "seLinuxOptions.role"),
        ("procMount", json!("Default"), All, ""),
        ("procMount", json!("Unmasked"), Nothing, "procMount"),
        ("procMount", json!("Other"), Nothing, "procMount"),
        ("seccompProfile", json!({ "type": "RuntimeDefault" }), All, ""),
        ("seccompProfile", json!({ "type": "Localhost", "localhostProfile": "x" }), All, ""),
        ("seccompProfile", json!({ "type": "Unconfined" }), Nothing, "seccompProfile.type"),
        ("seccompProfile", json!({ "type": "" }), Nothing, "seccompProfile.type"),
        ("runAsNonRoot", json!(true), All, ""),
        ("runAsNonRoot", json!(false), Baseline, "runAsNonRoot"),
        ("runAsUser", json!(0), Baseline, "runAsUser"),
        ("runAsUser", json!(1000), All, ""),
        ("readOnlyRootFilesystem", json!(false), All, ""),
        ("runAsGroup", json!(0), All, ""),
    ] {
        each_sort(&format!("{security}/{field}"), &value, passes, &format!("{security}.{path}"));
    }
    for (field, value, passes, path) in [
        ("ports", json!([{ "containerPort": 80 }, { "containerPort": 81, "hostPort": 0 }]), All, ""),
        (
            "ports",
            json!([{ "containerPort": 80 }, { "containerPort": 81, "hostPort": 8080 }]),
            Nothing,
            "ports[1].hostPort",
        ),
        ("ports", json!([{ "containerPort": 80, "hostIP": "127.0.0.1" }]), All, ""),
    ] {
        each_sort(field, &value, passes, path);
    }
    for action in ["httpGet", "tcpSocket"] {
        for home in ["livenessProbe", "readinessProbe", "startupProbe", "lifecycle/postStart", "lifecycle/preStop"] {
            let path = format!("{}.{action}.host", home.replace('/', "."));
            each_sort(home, &json!({ action: { "port": 80 } }), All, "");
            each_sort(home, &json!({ action: { "port": 80, "host": "" } }), All, "");
            for host in ["127.0.0.1", "localhost", "::1", "example.org"] {
                each_sort(home, &json!({ action: { "port": 80, "host": host } }), Nothing, &path);
            }
        }
        each_sort("livenessProbe", &json!({ "exec": { "command": ["true"] } }), All, "");
    }
}

#[track_caller]
fn each_sort(field: &str, value: &Value, passes: Passes, path: &str) {
    for (sort, at) in [("initContainers", 0), ("containers", 0), ("containers", 1), ("ephemeralContainers", 0)] {
        let pod = changed(&[(&format!("/spec/{sort}/{at}/{field}"), value.clone())]);
        assert_judged(&pod, passes, &format!("spec.{sort}[{at}].{path}"));
    }
}

#[test]
fn fields_of_the_pod() {
    let annotation = "container.apparmor.security.beta.kubernetes.io/";
    let annotated = |name: &str, value: &str| json!({ format!("{annotation}{name}"): value });
    let sysctls = |names: &[&str]| -> Value {
        names.iter().map(|name| json!({ "name": name, "value": "1" })).collect::<Vec<_>>().into()
    };
    let at_annotation = "metadata.annotations[container.apparmor.security.beta.kubernetes.io/b]";
    for (pointer, value, passes, path) in [
        ("/spec/hostNetwork", json!(true), Nothing, "spec.hostNetwork"),
        ("/spec/hostPID", json!(true), Nothing, "spec.hostPID"),
        ("/spec/hostIPC", json!(true), Nothing, "spec.hostIPC"),
        ("/spec/hostNetwork", json!(false), All, ""),
        ("/spec/hostUsers", json!(true), All, ""),
        ("/spec/hostUsers", json!(false), All, ""),
        ("/spec/shareProcessNamespace", json!(true), All, ""),
        (
            "/spec/securityContext/windowsOptions",
            json!({ "hostProcess": true }),
            Nothing,
            "spec.securityContext.windowsOptions.hostProcess",
        ),
        (
            "/spec/securityContext/appArmorProfile",
            json!({ "type": "Unconfined" }),
            Nothing,
            "spec.securityContext.appArmorProfile.type",
        ),
        ("/spec/securityContext/appArmorProfile", json!({ "type": "RuntimeDefault" }), All, ""),
        ("/metadata/annotations", annotated("b", ""), All, ""),
        ("/metadata/annotations", annotated("b", "runtime/default"), All, ""),
        ("/metadata/annotations", annotated("b", "localhost/"), All, ""),
        ("/metadata/annotations", annotated("b", "localhost/mine"), All, ""),
        ("/metadata/annotations", annotated("b", "unconfined"), Nothing, at_annotation),
        ("/metadata/annotations", annotated("b", "docker/default"), Nothing, at_annotation),
        // Since Kubernetes 1.27 nobody reads seccomp's annotations.
        ("/metadata/annotations", json!({ "seccomp.security.alpha.kubernetes.io/pod": "unconfined" }), All, ""),
        (
            "/spec/securityContext/seLinuxOptions",
            json!({ "type": "spc_t" }),
            Nothing,
            "spec.securityContext.seLinuxOptions.type",
        ),
        (
            "/spec/securityContext/seLinuxOptions",
            json!({ "user": "u" }),
            Nothing,
            "spec.securityContext.seLinuxOptions.user",
        ),
        (
            "/spec/securityContext/seLinuxOptions",
            json!({ "role": "r" }),
            Nothing,
            "spec.securityContext.seLinuxOptions.role",
        ),
        (
            "/spec/securityContext/seccompProfile",
            json!({ "type": "Unconfined" }),
            Nothing,
            "spec.securityContext.seccompProfile.type",
        ),
        ("/spec/securityContext/seccompProfile", json!({ "type": "Localhost", "localhostProfile": "x" }), All, ""),
        ("/spec/securityContext/runAsNonRoot", json!(false), Baseline, "spec.securityContext.runAsNonRoot"),
        ("/spec/securityContext/runAsUser", json!(0), Baseline, "spec.securityContext.runAsUser"),
        ("/spec/securityContext/runAsUser", json!(1), All, ""),
        ("/spec/securityContext/sysctls", sysctls(&[]), All, ""),
        ("/spec/securityContext/sysctls", sysctls(&crate::plan::policy::baseline::SYSCTLS), All, ""),
        (
            "/spec/securityContext/sysctls",
            sysctls(&["net.ipv4.tcp_rmem", "kernel.msgmax"]),
            Nothing,
            "spec.securityContext.sysctls[1].name",
        ),
        (
            "/spec/securityContext/sysctls",
            sysctls(&["net/ipv4/tcp_rmem"]),
            Nothing,
            "spec.securityContext.sysctls[0].name",
        ),
    ] {
        assert_judged(&changed(&[(pointer, value)]), passes, path);
    }
}

#[test]
fn volumes() {
    for source in [
        json!({ "configMap": { "name": "m" } }),
        json!({ "csi": { "driver": "d" } }),
        json!({ "downwardAPI": {} }),
        json!({ "emptyDir": {} }),
        json!({ "ephemeral": {} }),
        json!({ "image": { "reference": "busybox" } }),
        json!({ "persistentVolumeClaim": { "claimName": "c" } }),
        json!({ "projected": { "sources": [] } }),
        json!({ "secret": { "secretName": "s" } }),
        json!({}),
    ] {
        assert_judged(&with_volume(source), All, "");
    }
    for (type_, source) in [
        ("awsElasticBlockStore", json!({ "volumeID": "v" })),
        ("azureDisk", json!({ "diskName": "d", "diskURI": "u" })),
        ("azureFile", json!({ "secretName": "s", "shareName": "n" })),
        ("cephfs", json!({ "monitors": ["m"] })),
        ("cinder", json!({ "volumeID": "v" })),
        ("fc", json!({ "wwids": ["w"] })),
        ("flexVolume", json!({ "driver": "d" })),
        ("flocker", json!({ "datasetName": "d" })),
        ("gcePersistentDisk", json!({ "pdName": "p" })),
        ("gitRepo", json!({ "repository": "r" })),
        ("glusterfs", json!({ "endpoints": "e", "path": "p" })),
        ("iscsi", json!({ "iqn": "i", "lun": 0, "targetPortal": "t" })),
        ("nfs", json!({ "server": "s", "path": "/" })),
        ("photonPersistentDisk", json!({ "pdID": "p" })),
        ("portworxVolume", json!({ "volumeID": "v" })),
        ("quobyte", json!({ "registry": "r", "volume": "v" })),
        ("rbd", json!({ "image": "i", "monitors": ["m"] })),
        ("scaleIO", json!({ "gateway": "g", "secretRef": {}, "system": "s" })),
        ("storageos", json!({})),
        ("vsphereVolume", json!({ "volumePath": "v" })),
    ] {
        assert_judged(&with_volume(json!({ type_: source })), Baseline, &format!("spec.volumes[1].{type_}"));
    }
    assert_judged(&with_volume(json!({ "hostPath": { "path": "/" } })), Nothing, "spec.volumes[1].hostPath");
}

fn with_volume(mut source: Value) -> Value {
    source["name"] = json!("v");
    changed(&[("/spec/volumes", json!([{ "name": "first", "emptyDir": {} }, source]))])
}

#[test]
fn what_each_container_may_say_instead_of_the_pod() {
    let sorts = ["initContainers/0", "containers/0", "containers/1", "ephemeralContainers/0"];
    let each = |field: &str, value: &Value, count: usize| -> Vec<(String, Value)> {
        sorts.iter().take(count).map(|at| (format!("/spec/{at}/securityContext/{field}"), value.clone())).collect()
    };
    for (field, good_value) in [("runAsNonRoot", json!(true)), ("seccompProfile", json!({ "type": "RuntimeDefault" }))]
    {
        let without = (format!("/spec/securityContext/{field}"), Value::Null);
        let judge = |count, passes, path: &str| {
            let changes: Vec<(String, Value)> =
                std::iter::once(without.clone()).chain(each(field, &good_value, count)).collect();
            let changes: Vec<(&str, Value)> = changes.iter().map(|(at, value)| (at.as_str(), value.clone())).collect();
            assert_judged(&changed(&changes), passes, path);
        };
        judge(4, All, "");
        judge(3, Baseline, &format!("spec.ephemeralContainers[0].securityContext.{field}"));
        let none = changed(&[(&without.0, Value::Null)]);
        assert_eq!(paths(&none, PolicyLevel::Restricted).len(), 4, "{field}");
        assert_eq!(paths(&none, PolicyLevel::Baseline).len(), 0, "{field}");
    }
}

#[test]
fn a_user_namespace_relaxes_some_controls() {
    let in_namespace = |pointer: &str, value: Value| changed(&[("/spec/hostUsers", json!(false)), (pointer, value)]);
    for (pointer, value, passes, path) in [
        ("/spec/securityContext/runAsNonRoot", Value::Null, All, ""),
        ("/spec/securityContext/runAsNonRoot", json!(false), All, ""),
        ("/spec/containers/0/securityContext/runAsNonRoot", json!(false), All, ""),
        ("/spec/securityContext/runAsUser", json!(0), All, ""),
        ("/spec/containers/0/securityContext/runAsUser", json!(0), All, ""),
        (
            "/spec/containers/0/securityContext/procMount",
            json!("Unmasked"),
            Baseline,
            "spec.containers[0].securityContext.procMount",
        ),
        (
            "/spec/containers/0/securityContext/privileged",
            json!(true),
            Nothing,
            "spec.containers[0].securityContext.privileged",
        ),
        (
            "/spec/containers/0/securityContext/capabilities/add",
            json!(["SYS_ADMIN"]),
            Nothing,
            "spec.containers[0].securityContext.capabilities.add[0]",
        ),
        ("/spec/hostNetwork", json!(true), Nothing, "spec.hostNetwork"),
    ] {
        assert_judged(&in_namespace(pointer, value), passes, path);
    }
}

#[test]
fn a_pod_for_windows_need_not_set_what_it_cannot() {
    let plain = |os: &str| {
        json!({ "metadata": {}, "spec": { "os": { "name": os }, "securityContext": { "runAsNonRoot": true },
                "containers": [{ "name": "c", "securityContext": { "windowsOptions": {} } }] } })
    };
    assert_judged(&plain("windows"), All, "");
    let expected = [
        "spec.containers[0].securityContext.seccompProfile",
        "spec.containers[0].securityContext.capabilities.drop",
        "spec.containers[0].securityContext.allowPrivilegeEscalation",
    ];
    assert_eq!(paths(&plain("linux"), PolicyLevel::Restricted), expected);
    assert_eq!(paths(&plain("linux"), PolicyLevel::Baseline), Vec::<String>::new());
    let mut root = plain("windows");
    set(&mut root, "/spec/securityContext/runAsNonRoot", Value::Null);
    assert_judged(&root, Baseline, "spec.containers[0].securityContext.runAsNonRoot");
    // An API server would not take these, so at the level restricted the standard does not look at them either.
    let security = json!({ "capabilities": { "add": ["SYS_ADMIN"] }, "seccompProfile": { "type": "Unconfined" } });
    let mut strange = plain("windows");
    set(&mut strange, "/spec/containers/0/securityContext", security);
    assert_eq!(paths(&strange, PolicyLevel::Restricted), Vec::<String>::new());
    assert_eq!(paths(&strange, PolicyLevel::Baseline).len(), 2);
}

#[test]
fn everything_is_told_at_once() {
    let pod = changed(&[
        ("/spec/hostPID", json!(true)),
        ("/spec/hostIPC", json!(true)),
        ("/spec/containers/1/securityContext/privileged", json!(true)),
        ("/spec/initContainers/0/securityContext/capabilities/add", json!(["NET_RAW", "NET_ADMIN"])),
    ]);
    assert_eq!(paths(&pod, PolicyLevel::Baseline).len(), 5);
    let bare = json!({ "metadata": {}, "spec": { "containers": [{ "name": "c" }] } });
    assert_eq!(paths(&bare, PolicyLevel::Restricted).len(), 4);
}

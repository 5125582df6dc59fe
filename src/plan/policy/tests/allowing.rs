//! What podling adds to the standard: its own default level, and `--allow`.

use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

use super::{changed, with_volume};
use crate::plan::policy::objections;
use crate::plan::{Allow, Options, PolicyLevel};

fn texts(pod: &Value, policy: Option<PolicyLevel>, allow: &[&str]) -> Vec<String> {
    let pod: Pod = serde_json::from_value(pod.clone()).unwrap();
    let allow = allow.iter().map(|text| text.parse::<Allow>().unwrap()).collect();
    let options = Options { policy, allow, ..Options::default() };
    let told = |objection: crate::manifest::Objection| {
        format!("{}: {}\n{}", objection.path, objection.why, objection.mend.unwrap_or_default())
    };
    objections(&pod, &options).into_iter().map(told).collect()
}

#[test]
fn podlings_own_default_is_baseline_with_host_ports() {
    let bare = json!({ "metadata": {}, "spec": { "containers": [{ "name": "c" }] } });
    assert_eq!(texts(&bare, None, &[]), Vec::<String>::new());
    for (pointer, value) in [
        ("/spec/containers/0/ports", json!([{ "containerPort": 80, "hostPort": 8080 }])),
        ("/spec/containers/0/securityContext/capabilities/add", json!(["CAP_CHOWN", "kill"])),
    ] {
        let pod = changed(&[(pointer, value)]);
        assert_eq!(texts(&pod, None, &[]), Vec::<String>::new());
        assert_ne!(texts(&pod, Some(PolicyLevel::Baseline), &[]), Vec::<String>::new());
        assert_ne!(texts(&pod, Some(PolicyLevel::Restricted), &[]), Vec::<String>::new());
        assert_eq!(texts(&pod, Some(PolicyLevel::Privileged), &[]), Vec::<String>::new());
    }
    let pod = changed(&[("/spec/hostNetwork", json!(true))]);
    let expected = "spec.hostNetwork: the baseline policy forbids a pod in the host's network\n\
                    --allow hostNetwork lets this pod do it";
    assert_eq!(texts(&pod, None, &[]), [expected]);
}

#[test]
fn allow_lifts_what_it_names_at_every_level() {
    let at = |field: &str, value: Value| changed(&[(&format!("/spec/containers/0/{field}"), value)]);
    for (pod, name) in [
        (changed(&[("/spec/hostNetwork", json!(true))]), "hostNetwork"),
        (changed(&[("/spec/hostPID", json!(true))]), "hostPID"),
        (changed(&[("/spec/hostIPC", json!(true))]), "hostIPC"),
        (at("securityContext/privileged", json!(true)), "privileged"),
        (at("securityContext/capabilities/add", json!(["SYS_PTRACE"])), "capabilities"),
        (at("securityContext/procMount", json!("Unmasked")), "procMount"),
        (at("securityContext/seccompProfile", json!({ "type": "Unconfined" })), "seccompProfile"),
        (at("securityContext/appArmorProfile", json!({ "type": "Unconfined" })), "appArmorProfile"),
        (at("securityContext/seLinuxOptions", json!({ "type": "spc_t" })), "seLinuxOptions"),
        (changed(&[("/spec/securityContext/sysctls", json!([{ "name": "kernel.msgmax", "value": "1" }]))]), "sysctls"),
        (at("livenessProbe", json!({ "tcpSocket": { "port": 1, "host": "h" } })), "probeHosts"),
        (with_volume(json!({ "hostPath": { "path": "./here" } })), "hostPath"),
    ] {
        for policy in [None, Some(PolicyLevel::Baseline), Some(PolicyLevel::Restricted)] {
            let told = texts(&pod, policy, &[]);
            assert!(told.len() == 1 && told[0].ends_with(&format!("\n--allow {name} lets this pod do it")), "{told:?}");
            assert_eq!(texts(&pod, policy, &[name]), Vec::<String>::new());
            let others: Vec<&str> = Allow::names().filter(|other| *other != name).collect();
            assert_eq!(texts(&pod, policy, &others), told);
        }
    }
    // What is required is not lifted by allowing what is forbidden.
    let pod = at("securityContext/capabilities", json!({ "add": ["KILL"] }));
    let told = texts(&pod, Some(PolicyLevel::Restricted), &["capabilities"]);
    assert!(told.len() == 1 && told[0].contains("capabilities.drop: "), "{told:?}");
}

#[test]
fn no_allow_is_named_for_a_sysctl_of_the_whole_machine() {
    let pod = changed(&[("/spec/securityContext/sysctls", json!([{ "name": "vm.swappiness", "value": "1" }]))]);
    let told = texts(&pod, None, &["sysctls"]);
    assert!(told.len() == 1 && told[0].contains("which is one setting of the whole machine"), "{told:?}");
    assert!(
        told[0].ends_with("\nthose of a pod begin with net., kernel.shm, kernel.msg, kernel.sem or fs.mqueue."),
        "{told:?}"
    );
}

#[test]
fn a_directory_allows_the_paths_in_it() {
    for (path, directory, allowed) in [
        ("/srv/data", "/srv", true),
        ("/srv", "/srv", true),
        ("/srv/", "/srv", true),
        ("//srv/./data", "/srv/", true),
        ("/srv", "/srv/data", false),
        ("/srvdata", "/srv", false),
        ("/srv/../etc", "/srv", false),
        ("srv/data", "/srv", false),
    ] {
        let pod = with_volume(json!({ "hostPath": { "path": path } }));
        let told = texts(&pod, None, &[&format!("hostPath={directory}")]);
        assert_eq!(told.is_empty(), allowed, "{path} in {directory}: {told:?}");
        assert_eq!(texts(&pod, None, &["hostPath"]), Vec::<String>::new());
    }
    let told = texts(&with_volume(json!({ "hostPath": { "path": "/srv/data/" } })), None, &[]);
    assert!(told[0].ends_with("\n--allow hostPath=/srv/data lets this pod do it"), "{told:?}");
}

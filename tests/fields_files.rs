//! Promise: volumes of ConfigMaps, Secrets, the downward API and tokens hold what a cluster's would, as a cluster would lay it out, and follow
//! their files; fsGroup and the supplementary groups are those of every container.

mod support;

use std::time::{Duration, Instant};

use support::{Ids, Output, Place, Running, container_yaml, detached, ids, pod};

const OBJECTS: &str = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: map}
data: {a: one, b: two}
binaryData: {bytes: AP8=}
---
apiVersion: v1
kind: Secret
metadata: {name: hush}
type: kubernetes.io/basic-auth
data: {username: bWU=, password: b2xk}
stringData: {password: s3cret}
---
";

/// The output of a script in a pod with these volumes, each mounted at `/NAME`, beside [`OBJECTS`].
fn seen(place: &Place, volumes: &[(&str, &str)], spec: &str, container: &str, script: &str) -> Output {
    place.run(&format!("{OBJECTS}{}", yaml(volumes, spec, container, script)))
}

fn yaml(volumes: &[(&str, &str)], spec: &str, container: &str, script: &str) -> String {
    let mounts: Vec<String> = volumes.iter().map(|(name, _)| format!("{{name: {name}, mountPath: /{name}}}")).collect();
    let volumes: Vec<String> = volumes.iter().map(|(name, source)| format!("{{name: {name}, {source}}}")).collect();
    let spec = format!("restartPolicy: Never\nvolumes: [{}]\n{spec}", volumes.join(", "));
    let container = format!("volumeMounts: [{}]\n{container}", mounts.join(", "));
    pod("p", &spec, &[container_yaml("c", "busybox", script, &container)])
}

/// Owners of files are the container's own where there is one id.
fn owner(uid: u32) -> u32 {
    if ids() == Ids::One { 0 } else { uid }
}

// shows: spec.volumes[].configMap, spec.volumes[].configMap.name, spec.volumes[].configMap.items, spec.volumes[].configMap.items[].key,
// shows: spec.volumes[].configMap.items[].path, spec.volumes[].configMap.items[].mode, spec.volumes[].configMap.items[].user,
// shows: spec.volumes[].configMap.defaultMode, spec.volumes[].configMap.defaultUser, spec.volumes[].configMap.optional
// shows: spec.volumes[].secret, spec.volumes[].secret.secretName, spec.volumes[].secret.items, spec.volumes[].secret.items[].key
// shows: spec.volumes[].secret.items[].path, spec.volumes[].secret.items[].mode, spec.volumes[].secret.items[].user,
// shows: spec.volumes[].secret.defaultMode, spec.volumes[].secret.defaultUser, spec.volumes[].secret.optional
// shows: ConfigMap:data, ConfigMap:binaryData, Secret:data, Secret:stringData
#[test]
fn config_maps_and_secrets_are_files_behind_links() {
    let place = Place::with(&["busybox"]);
    let volumes = [
        ("whole", "configMap: {name: map}"),
        (
            "some",
            "configMap: {name: map, defaultMode: 0400, defaultUser: 33, items: [{key: a, path: deep/x}, {key: b, path: yy, mode: 0666, \
             user: 7}]}",
        ),
        ("none", "configMap: {name: none, optional: true}"),
        ("hush", "secret: {secretName: hush, defaultMode: 0440}"),
        (
            "part",
            "secret: {secretName: hush, optional: true, defaultUser: 5, items: [{key: password, path: p, mode: 0600, user: 6}, {key: z, path: z}]}",
        ),
    ];
    let script = "
        cd /whole; ls; cat a b; od -An -tx1 bytes; readlink a; readlink ..data; stat -Lc '%a %u' a; ls -a | grep -c '^\\.\\.20'
        cat ..data/a; echo
        for v in whole some hush; do if echo x 2>/dev/null >/$v/new; then echo written; fi; rm -f /$v/..data 2>/dev/null && echo removed; done
        cd /some; readlink deep; readlink yy; cat deep/x yy; echo; stat -Lc '%a %u' deep/x yy; ls -A /none | grep -v '^\\.\\.'
        cd /hush; cat username password; echo; stat -Lc '%a' password
        cd /part; cat p; echo; stat -Lc '%a %u' p; ls";
    let output = seen(&place, &volumes, "", "", script);
    let lines: Vec<String> = output.expect_success().lines_of("c").iter().map(|line| line.to_string()).collect();
    let stamp = lines[5].clone();
    assert!(stamp.starts_with("..20") && stamp.len() == "..2026_11_25_12_00_00.123456789".len(), "{output}");
    let expected = [
        "a",
        "b",
        "bytes",
        "onetwo 00 ff",
        "..data/a",
        &stamp,
        "644 0",
        "1",
        "one",
        "..data/deep",
        "..data/yy",
        "onetwo",
        &format!("400 {}", owner(33)),
        &format!("666 {}", owner(7)),
        "mes3cret",
        "440",
        "s3cret",
        &format!("600 {}", owner(6)),
        "p",
    ];
    assert_eq!(lines, expected, "{output}");
    place.assert_nothing_left();
}

// shows: spec.volumes[].downwardAPI, spec.volumes[].downwardAPI.items, spec.volumes[].downwardAPI.items[].path,
// shows: spec.volumes[].downwardAPI.items[].mode, spec.volumes[].downwardAPI.items[].user, spec.volumes[].downwardAPI.defaultMode
// shows: spec.volumes[].downwardAPI.defaultUser, spec.volumes[].downwardAPI.items[].fieldRef,
// shows: spec.volumes[].downwardAPI.items[].fieldRef.apiVersion, spec.volumes[].downwardAPI.items[].fieldRef.fieldPath,
// shows: spec.volumes[].downwardAPI.items[].resourceFieldRef, spec.volumes[].downwardAPI.items[].resourceFieldRef.containerName
// shows: spec.volumes[].downwardAPI.items[].resourceFieldRef.resource, spec.volumes[].downwardAPI.items[].resourceFieldRef.divisor
#[test]
fn a_pod_reads_about_itself() {
    let place = Place::with(&["busybox"]);
    let volumes = [(
        "about",
        "downwardAPI: {defaultMode: 0440, defaultUser: 3, items: [\
         {path: name, fieldRef: {apiVersion: v1, fieldPath: metadata.name}}, \
         {path: deep/labels, fieldRef: {fieldPath: metadata.labels}, mode: 0644, user: 4}, \
         {path: note, fieldRef: {fieldPath: \"metadata.annotations['n/x']\"}}, \
         {path: uid, fieldRef: {fieldPath: metadata.uid}}, \
         {path: cpu, resourceFieldRef: {containerName: c, resource: requests.cpu, divisor: 1m}}]}",
    )];
    let script = "cd /about; cat name; echo; cat deep/labels; echo; cat note; echo; grep -cE '^[0-9a-f-]{36}$' uid; cat cpu; echo
                  stat -Lc '%a %u' name deep/labels; readlink deep";
    let text = yaml(&volumes, "", "resources: {requests: {cpu: 250m}}", script).replace(
        "metadata: {name: p}",
        "metadata: {name: p, labels: {b: \"2\", a: \"1\"}, annotations: {n/x: \"say \\\"hi\\\"\"}}",
    );
    let output = place.run(&text);
    let expected = [
        "p",
        "a=\"1\"",
        "b=\"2\"",
        "say \"hi\"",
        "1",
        "250",
        &format!("440 {}", owner(3)),
        &format!("644 {}", owner(4)),
        "..data/deep",
    ];
    assert_eq!(output.expect_success().lines_of("c"), expected, "{output}");
    place.assert_nothing_left();
}

// shows: spec.volumes[].projected.**
// shows: spec.serviceAccountName, spec.serviceAccount, spec.automountServiceAccountToken
#[test]
fn sources_are_projected_together() {
    let place = Place::with(&["busybox"]);
    let volumes = [(
        "all",
        "projected: {defaultMode: 0444, defaultUser: 9, sources: [\
         {configMap: {name: map, optional: true, items: [{key: a, path: m/a, mode: 0640, user: 8}, {key: z, path: z}]}}, \
         {secret: {name: hush}}, \
         {secret: {name: hush, optional: false, items: [{key: password, path: username, mode: 0600, user: 2}]}}, \
         {downwardAPI: {items: [{path: ns, mode: 0600, user: 1, fieldRef: {apiVersion: v1, fieldPath: metadata.namespace}}, \
           {path: mem, resourceFieldRef: {containerName: c, resource: requests.memory, divisor: 1Mi}}]}}, \
         {serviceAccountToken: {path: token, audience: shop, expirationSeconds: 600, user: 4}}]}",
    )];
    let script = "
        cd /all; ls; cat m/a username password ns mem; echo
        stat -Lc '%a %u' m/a username password ns token
        part() { (cut -d. -f$1 token | tr -- -_ +/; echo ==) | tr -d '\\n' | base64 -d 2>/dev/null; echo; }
        part 1; part 2; cut -d. -f3 token; ls /var/run/secrets 2>/dev/null; true";
    let spec = "serviceAccountName: robot\nserviceAccount: robot\nautomountServiceAccountToken: true";
    let output = seen(&place, &volumes, spec, "resources: {requests: {memory: 64Mi}}", script);
    let lines = output.expect_success().lines_of("c");
    let expected = [
        "m",
        "mem",
        "ns",
        "password",
        "token",
        "username",
        // The later source's password goes over the earlier one's user name.
        "ones3crets3cretdefault64",
        &format!("640 {}", owner(8)),
        &format!("600 {}", owner(2)),
        &format!("444 {}", owner(9)),
        &format!("600 {}", owner(1)),
        &format!("444 {}", owner(4)),
        r#"{"alg":"none","typ":"JWT"}"#,
    ];
    assert_eq!(lines[..expected.len()], expected, "{output}");
    let claims: serde_json::Value = serde_json::from_str(lines[expected.len()]).unwrap();
    assert_eq!(claims["aud"][0], "shop");
    assert_eq!(claims["sub"], "system:serviceaccount:default:robot");
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 600);
    assert!(claims["notice"].as_str().unwrap().contains("no API server takes it"));
    assert_eq!(lines[expected.len() + 1..], [""], "{output}");
    for said in ["serviceAccountToken: emulated", "spec.automountServiceAccountToken: emulated"] {
        assert!(output.stderr.contains(said), "{output}");
    }
    place.assert_nothing_left();
}

#[test]
fn impossible_sources() {
    let place = Place::with(&["busybox"]);
    for (source, expected) in [
        ("projected: {sources: [{clusterTrustBundle: {path: x, name: y}}]}", "objects of a cluster"),
        ("projected: {sources: [{podCertificate: {signerName: a/b, keyType: ED25519}}]}", "a signer of a cluster"),
        ("projected: {sources: [{}]}", "a source is one of configMap"),
        ("projected: {sources: [{configMap: {name: map}, secret: {name: hush}}]}", "found several"),
        ("projected: {sources: [{serviceAccountToken: {path: t, expirationSeconds: 599}}]}", "599 is outside 600 to"),
        ("projected: {sources: [{serviceAccountToken: {path: ../t}}]}", "\"../t\" must not contain \"..\""),
        (
            "projected: {sources: [{configMap: {name: map, items: [{key: a, path: x}]}}, {serviceAccountToken: {path: x}}]}",
            "the path \"x\" is already taken at pod.yaml:",
        ),
        ("downwardAPI: {items: [{path: x}]}", "one of fieldRef and resourceFieldRef, found none"),
        (
            "downwardAPI: {items: [{path: x, fieldRef: {fieldPath: spec.nodeName}}]}",
            "\"spec.nodeName\" is not a field that can be selected here",
        ),
        (
            "downwardAPI: {items: [{path: ..x, fieldRef: {fieldPath: metadata.name}}]}",
            "\"..x\" must not begin with \"..\"",
        ),
        (
            "downwardAPI: {items: [{path: x, resourceFieldRef: {resource: limits.cpu}}]}",
            "resourceFieldRef.containerName: required",
        ),
        (
            "downwardAPI: {items: [{path: x, resourceFieldRef: {containerName: d, resource: limits.cpu}}]}",
            "the pod has no container \"d\"",
        ),
        (
            "downwardAPI: {items: [{path: x, resourceFieldRef: {containerName: c, resource: limits.cpu, divisor: 2m}}]}",
            "\"2m\" is not a divisor of CPUs, which are 1 and 1m",
        ),
        ("configMap: {name: map, items: [{key: a, path: x, mode: 01777}]}", "is outside 0 to 0777"),
        ("configMap: {name: map, defaultUser: -1}", "-1 is outside 0 to"),
        ("secret: {secretName: hush}, configMap: {name: map}", "found configMap and secret"),
        ("configMap: {name: map, items: [{key: a, path: x}, {key: b, path: x/y}]}", "collides with the file \"x\""),
    ] {
        seen(&place, &[("v", source)], "", "", "echo never").expect_refusal(&[expected]);
    }
    place.assert_nothing_left();
}

// shows: Secret:type
#[test]
fn a_secrets_type_asks_for_its_keys() {
    let place = Place::with(&[]);
    let secret =
        "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ntype: kubernetes.io/tls\nstringData: {tls.crt: x}\n---\n";
    place.run(&format!("{secret}{}", support::shell("true"))).expect_refusal(&["must have the key \"tls.key\""]);
}

// shows: spec.securityContext.fsGroup, spec.securityContext.fsGroupChangePolicy, spec.securityContext.supplementalGroups,
// shows: spec.securityContext.supplementalGroupsPolicy
#[test]
fn groups_of_processes_and_of_volumes() {
    let place = Place::with(&["busybox"]);
    let volumes = [
        ("data", "emptyDir: {medium: Memory}"),
        ("conf", "configMap: {name: map, defaultMode: 0400}"),
        ("id", "projected: {sources: [{serviceAccountToken: {path: t}}]}"),
    ];
    let script = "
        id -G; stat -c '%a %g' /data /conf; stat -Lc '%a %u %g' /conf/a /id/t; cat /conf/a; echo
        echo mine >/data/file; mkdir /data/sub; stat -c '%g' /data/file /data/sub; stat -c '%a' /data/sub";
    let security = "{runAsUser: 1000, runAsGroup: 3000, fsGroup: 2000, fsGroupChangePolicy: OnRootMismatch, \
                    supplementalGroups: [4000, 5000]";
    for policy in ["Merge", "Strict"] {
        let spec = format!("securityContext: {security}, supplementalGroupsPolicy: {policy}}}");
        let output = seen(&place, &volumes, &spec, "", script);
        let lines = output.expect_success().lines_of("c");
        if ids() == Ids::One {
            let expected =
                ["3000", "777 3000", "755 3000", "440 1000 3000", "640 1000 3000", "one", "3000", "3000", "755"];
            assert_eq!(lines, expected, "{output}");
            for field in ["fsGroup", "supplementalGroups"] {
                assert!(output.stderr.contains(&format!("spec.securityContext.{field}: emulated")), "{output}");
            }
        } else {
            let expected = [
                "3000 2000 4000 5000",
                "2777 2000",
                "2755 2000",
                "440 0 2000",
                "640 1000 2000",
                "one",
                "2000",
                "2000",
                "2755",
            ];
            assert_eq!(lines, expected, "{output}");
        }
    }
    if ids() != Ids::One {
        let far = "securityContext: {fsGroup: 2000000000}";
        let told = ["spec.securityContext.fsGroup", "group id 2000000000 does not exist", "/etc/subgid"];
        seen(&place, &volumes, far, "", "echo never").expect_refusal(&told);
    }
    place.assert_nothing_left();
}

const FOLLOWER: &str = "
    last=
    echo ready $V
    while true; do
        now=$(cat /conf/a 2>/dev/null)$(cat /hush/password)
        if [ \"$now\" != \"$last\" ]; then last=$now; echo \"now $now $V $(ls /conf | tr '\\n' ' ')\"; fi
        sleep 0.05
    done";

fn following(map: &str, password: &str) -> String {
    let volumes = [
        ("conf", "configMap: {name: follow, optional: true}"),
        ("hush", "projected: {sources: [{secret: {name: key}}, {serviceAccountToken: {path: token}}]}"),
    ];
    let variable = "env: [{name: V, valueFrom: {configMapKeyRef: {name: follow, key: a, optional: true}}}]";
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: follow}}\n{map}\n---\n\
         apiVersion: v1\nkind: Secret\nmetadata: {{name: key}}\nstringData: {{password: {password}}}\n---\n{}",
        yaml(&volumes, "terminationGracePeriodSeconds: 0", variable, FOLLOWER)
    )
}

/// Writes beside the file and renames, as careful editors do.
fn replace(place: &Place, text: &str) {
    place.write_file(".pod.yaml.new", text);
    std::fs::rename(place.path().join(".pod.yaml.new"), place.path().join("pod.yaml")).unwrap();
}

#[test]
fn volumes_follow_their_files_in_the_foreground() {
    let place = Place::with(&["busybox"]);
    let running = place.start(&following("data: {a: one}", "p1"));
    running.wait_for("now onep1 one a");
    // In place, and by another file in its stead; the variable stays what it was.
    place.write(&following("data: {a: two, b: more}", "p1"));
    running.wait_for("now twop1 one a b");
    replace(&place, &following("data: {a: three}", "p2"));
    running.wait_for("now threep2 one a");
    // What is not valid is told, without a word of what is in it, and changes nothing.
    place.write(&following("data: {a: [s3cret]}", "p3"));
    running.wait_for("is not valid (podling check says why); the volumes keep what they have");
    assert!(!running.stderr().contains("s3cret"), "{}", running.stderr());
    place.write("a: b: c: [");
    // An object that is not there is told; those of other volumes are written.
    let text = following("data: {a: four}", "p4");
    let (map, rest) = text.split_once("---\n").unwrap();
    place.write(&format!("{map}---\n{}", rest.split_once("---\n").unwrap().1));
    running.wait_for("now fourp2 one a");
    running.wait_for("volume \"hush\" keeps what it has");
    // What may be missing goes.
    place.write(text.split_once("---\n").unwrap().1);
    running.wait_for("now p4 one");
    let output = running.stop();
    assert!(output.lines_of("c").iter().all(|line| !line.contains("p3")), "{output}");
    place.assert_nothing_left();
}

/// Waits for a line of the pod's log.
#[track_caller]
fn wait_for_log(place: &Place, text: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let output = place.podling(&["logs", "p"]);
        if output.stdout.lines().any(|line| line.contains(text)) {
            return;
        }
        assert!(Instant::now() < deadline, "{text:?} is never logged:\n{output}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

// shows: ConfigMap:immutable, Secret:immutable
#[test]
fn volumes_of_a_detached_pod_follow_too_but_for_what_is_immutable() {
    let place = Place::with(&["busybox"]);
    let text =
        |immutable: &str, a: &str, password: &str| following(&format!("data: {{a: {a}}}\n{immutable}"), password);
    detached::start(&place, &text("immutable: true", "one", "p1"));
    wait_for_log(&place, "now onep1");
    replace(&place, &text("immutable: true", "two", "p2"));
    wait_for_log(&place, "now onep2");
    replace(&place, &text("immutable: false", "three", "p3"));
    wait_for_log(&place, "now onep3");
    let events = place.podling(&["events", "p"]);
    assert!(events.expect_success().stdout.contains("volume \"hush\" has the new files"), "{events}");
    // What a Secret says is nowhere on the disk.
    for file in ["pod.json", "status.json"] {
        let kept = std::fs::read(place.data().join("pods/p").join(file)).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&kept).contains("p1"), "{file}");
    }
    let secret =
        |password: &str| following("data: {a: x}", password).replace("stringData:", "immutable: true\nstringData:");
    detached::end_all(&place);
    detached::start(&place, &secret("s1"));
    wait_for_log(&place, "now xs1");
    replace(&place, &secret("s2").replace("data: {a: x}", "data: {a: z}"));
    wait_for_log(&place, "now zs1");
    detached::end_all(&place);
}

/// What `podling plan --diff` and `up` say of `pod.yaml` beside the pod that runs.
#[track_caller]
fn expect_up(place: &Place, word: &str) {
    let differs = place.podling(&["plan", "--diff", "pod.yaml"]);
    differs.expect_code(i32::from(word == "replaced"));
    assert_eq!(differs.stdout.is_empty(), word == "unchanged", "{differs}");
    let output = place.podling(&["up", "pod.yaml"]);
    assert_eq!(output.expect_success().stdout, format!("pod/p {word}\n"), "{differs}");
}

// shows: spec.volumes[].configMap, spec.volumes[].secret, ConfigMap:immutable
#[test]
fn what_a_pod_follows_already_is_no_reason_to_replace_it() {
    let place = Place::with(&["busybox"]);
    let text = |map: &str, a: &str, field: &str| {
        let volumes =
            format!("volumes: [{{name: conf, configMap: {{name: m{field}}}}}]\nterminationGracePeriodSeconds: 0");
        let script = "last=; while true; do now=$(cat /conf/a); if [ \"$now\" != \"$last\" ]; then last=$now; echo now $now; fi; sleep 0.05; done";
        let pod = pod(
            "p",
            &volumes,
            &[container_yaml("c", "busybox", script, "volumeMounts: [{name: conf, mountPath: /conf}]")],
        );
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m}}\n{map}data: {{a: {a}}}\n---\n{pod}")
    };
    detached::start(&place, &text("", "one", ""));
    wait_for_log(&place, "now one");
    place.write(&text("", "two", ""));
    expect_up(&place, "unchanged");
    wait_for_log(&place, "now two");
    // Started once more it begins with what it had.
    place.podling(&["restart", "p"]).expect_success();
    wait_for_log(&place, "now two");
    expect_up(&place, "unchanged");
    assert!(!place.podling(&["logs", "p"]).stdout.contains("one"));
    // What the Pod says of the volume counts, and so does what does not follow.
    place.write(&text("", "two", ", defaultMode: 0444"));
    expect_up(&place, "replaced");
    place.write(&text("immutable: true\n", "two", ", defaultMode: 0444"));
    expect_up(&place, "replaced");
    wait_for_log(&place, "now two");
    place.write(&text("immutable: true\n", "three", ", defaultMode: 0444"));
    expect_up(&place, "replaced");
    wait_for_log(&place, "now three");
    // Where the file is gone, or not valid, the pod begins with what was said first.
    place.write(&text("", "four", ""));
    expect_up(&place, "replaced");
    wait_for_log(&place, "now four");
    place.write("a: b: c: [");
    for why in ["is not valid (podling check says why)", "cannot read pod.yaml again"] {
        let output = place.podling(&["restart", "p"]);
        assert!(output.expect_success().stderr.contains(why), "{output}");
        let _ = std::fs::remove_file(place.path().join("pod.yaml"));
        wait_for_log(&place, "now four");
    }
    detached::end_all(&place);
}

#[test]
fn a_directory_in_the_place_of_the_one_that_is_followed_is_compared() {
    let place = Place::with(&["busybox"]);
    let at = |name: &str| place.path().join(name);
    let map = |dir: &str, a: &str| {
        std::fs::create_dir_all(at(dir)).unwrap();
        let text = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m}}\ndata: {{a: {a}}}\n");
        place.write_file(&format!("{dir}/map.yaml"), &text);
    };
    let spec = "volumes: [{name: conf, configMap: {name: m}}]\nterminationGracePeriodSeconds: 0";
    let mount = "volumeMounts: [{name: conf, mountPath: /conf}]";
    place.write(&pod("p", spec, &[container_yaml("c", "busybox", "sleep 1000", mount)]));
    let up = || place.podling(&["up", "pod.yaml", "now/map.yaml"]).expect_success().stdout.clone();
    let sees = |text: &str| assert_eq!(place.podling(&["exec", "p", "--", "cat", "/conf/a"]).stdout, text);
    map("v1", "one");
    std::os::unix::fs::symlink("v1", at("now")).unwrap();
    assert_eq!(up(), "pod/p created\n");
    // As whoever deploys does it: nothing has happened in the directory that is followed.
    map("v2", "two");
    std::os::unix::fs::symlink("v2", at("new")).unwrap();
    std::fs::rename(at("new"), at("now")).unwrap();
    place.podling(&["plan", "--diff", "pod.yaml", "now/map.yaml"]).expect_code(1);
    assert_eq!(up(), "pod/p replaced\n");
    sees("two");
    // And as whoever builds does it.
    std::fs::remove_dir_all(at("v2")).unwrap();
    map("v2", "three");
    assert_eq!(up(), "pod/p replaced\n");
    sees("three");
    assert_eq!(up(), "pod/p unchanged\n");
    detached::end_all(&place);
}

#[test]
fn what_cannot_be_watched_is_compared() {
    let place = Place::with(&["busybox"]);
    let map = |a: &str| {
        place.write_file(
            "map.yaml",
            &format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m}}\ndata: {{a: {a}}}\n"),
        )
    };
    let spec = "volumes: [{name: conf, configMap: {name: m}}]\nterminationGracePeriodSeconds: 0";
    place.write(&pod(
        "p",
        spec,
        &[container_yaml("c", "busybox", "sleep 1000", "volumeMounts: [{name: conf, mountPath: /conf}]")],
    ));
    let up = || {
        let mut command = place.command(&["up", "pod.yaml", "/dev/stdin"]);
        command.stdin(std::fs::File::open(place.path().join("map.yaml")).unwrap());
        Running::spawn(&place, command).finish().expect_success().stdout.clone()
    };
    map("one");
    assert_eq!(up(), "pod/p created\n");
    let events = place.podling(&["events", "p"]);
    assert!(events.stdout.contains("the volumes will not follow their files"), "{events}");
    assert_eq!(up(), "pod/p unchanged\n");
    map("two");
    assert_eq!(up(), "pod/p replaced\n");
    let shown = || place.podling(&["exec", "p", "--", "cat", "/conf/a"]).expect_success().stdout.clone();
    assert_eq!(shown(), "two");
    // By its name it is the standard input of another command now.
    map("three");
    let mut command = place.command(&["restart", "p"]);
    command.stdin(std::fs::File::open(place.path().join("map.yaml")).unwrap());
    let output = Running::spawn(&place, command).finish();
    assert!(output.expect_success().stderr.contains("cannot read /dev/stdin again: it is no regular file"), "{output}");
    assert_eq!(shown(), "two");
    detached::end_all(&place);
}

#[test]
fn what_comes_from_standard_input_stays() {
    let place = Place::with(&["busybox"]);
    place.write(&following("data: {a: one}", "p1"));
    let parts: Vec<String> = following("data: {a: one}", "p1").split("---\n").map(str::to_owned).collect();
    place.write_file("map.yaml", &parts[0]);
    place.write_file("rest.yaml", &format!("{}---\n{}", parts[1], parts[2]));
    let mut command = place.command(&["run", "map.yaml", "-"]);
    command.stdin(std::fs::File::open(place.path().join("rest.yaml")).unwrap());
    let running = Running::spawn(&place, command);
    running.wait_for("now onep1");
    place.write_file("map.yaml", &parts[0].replace("one", "two"));
    running.wait_for("now twop1");
    running.stop();
    place.assert_nothing_left();
}

#[test]
fn tokens_are_renewed() {
    let place = Place::with(&["busybox"]);
    let volumes = [(
        "id",
        "projected: {sources: [{configMap: {name: map}}, {serviceAccountToken: {path: t, expirationSeconds: 600}}]}",
    )];
    let script = "
        first=$(readlink /id/..data); token=$(cat /id/t)
        while [ \"$(cat /id/t)\" = \"$token\" ]; do sleep 0.1; done
        [ \"$(readlink /id/..data)\" != $first ] && cat /id/a && stat -Lc ' %a' /id/t";
    let text = format!("{OBJECTS}{}", yaml(&volumes, "", "", script));
    // Four fifths of ten minutes, stretched by this, are less than three seconds: the times in the tokens differ then.
    let output = place.run_with(&text, &["--time-scale", "0.005"]);
    assert_eq!(output.expect_success().lines_of("c"), ["one 644"], "{output}");
    place.assert_nothing_left();
}

#[test]
fn a_volume_mounted_inside_one_that_follows_stays_mounted() {
    let place = Place::with(&["busybox"]);
    let text = |value: &str| {
        let volumes = "volumes: [{name: conf, configMap: {name: m, items: [{key: a, path: d/a}]}}, {name: data, emptyDir: {medium: Memory}}]";
        let mounts = "volumeMounts: [{name: conf, mountPath: /conf}, {name: data, mountPath: /conf/d/data}]";
        let script = "
            echo kept >/conf/d/data/file; echo ready
            while [ \"$(cat /conf/d/a)\" = one ]; do sleep 0.05; done
            cat /conf/d/a /conf/d/data/file; ls /conf/d; touch /conf/d/x 2>/dev/null || echo read-only";
        let container = container_yaml("c", "busybox", script, mounts);
        let pod = pod("p", &format!("restartPolicy: Never\n{volumes}"), &[container]);
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m}}\ndata: {{a: {value}}}\n---\n{pod}")
    };
    let running = place.start(&text("one"));
    running.wait_for("ready");
    place.write(&text("two"));
    let output = running.finish();
    assert_eq!(output.expect_success().lines_of("c"), ["ready", "twokept", "a", "data", "read-only"], "{output}");
    place.assert_nothing_left();
}

#[test]
fn a_mount_of_one_file_does_not_follow() {
    let place = Place::with(&["busybox"]);
    let text = |value: &str| {
        let spec = "restartPolicy: Never\nvolumes: [{name: conf, configMap: {name: m}}]";
        let mounts = "volumeMounts: [{name: conf, mountPath: /conf}, {name: conf, mountPath: /one, subPath: a}]";
        let script = "
            cat /one; echo; while [ \"$(cat /conf/a)\" = one ]; do sleep 0.05; done
            cat /conf/a; echo; cat /one; echo; echo x >/one || echo read-only";
        let pod = pod("p", spec, &[container_yaml("c", "busybox", script, mounts)]);
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m}}\ndata: {{a: {value}}}\n---\n{pod}")
    };
    let running = place.start(&text("one"));
    running.wait_for("one");
    place.write(&text("two"));
    let output = running.finish();
    assert_eq!(output.expect_success().lines_of("c"), ["one", "two", "one", "read-only"], "{output}");
    place.assert_nothing_left();
}

#[test]
fn a_volume_that_outlives_pods_is_given_to_the_group() {
    if ids() == Ids::One {
        // There is no other group than the container's own.
        return;
    }
    let place = Place::with(&["busybox"]);
    let claim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: kept}\n\
                 spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}\n---\n";
    let volumes = [("kept", "persistentVolumeClaim: {claimName: kept}")];
    let run = |security: &str, script: &str| {
        let spec = format!("securityContext: {{{security}}}");
        let output = place.run(&format!("{claim}{}", yaml(&volumes, &spec, "", script)));
        output.expect_success().lines_of("c").join(" ")
    };
    run("", "mkdir -m 700 /kept/d && echo x >/kept/d/f && chmod 600 /kept/d/f && ln -s /etc/passwd /kept/link");
    let look = "stat -c '%a %g' /kept /kept/d /kept/d/f; cat /kept/d/f";
    assert_eq!(run("runAsUser: 1000, fsGroup: 2000", look), "2777 2000 2770 2000 660 2000 x");
    let mismatch = "fsGroup: 2000, fsGroupChangePolicy: OnRootMismatch";
    assert_eq!(run(mismatch, &format!("chmod 600 /kept/d/f; {look}")), "2777 2000 2770 2000 600 2000 x");
    assert_eq!(run(mismatch, look), "2777 2000 2770 2000 600 2000 x");
    assert_eq!(run("fsGroup: 3000, fsGroupChangePolicy: OnRootMismatch", look), "2777 3000 2770 3000 660 3000 x");
    assert_eq!(run("fsGroup: 3000", &format!("chmod 600 /kept/d/f; {look}")), "2777 3000 2770 3000 600 3000 x");
    assert_eq!(run("fsGroup: 3000, fsGroupChangePolicy: Always", look), "2777 3000 2770 3000 660 3000 x");
    place.assert_nothing_left();
}

#[test]
fn a_container_cannot_meddle_with_what_follows() {
    let place = Place::with(&["busybox"]);
    let text = |value: &str| {
        let spec =
            "restartPolicy: Never\nterminationGracePeriodSeconds: 0\nvolumes: [{name: conf, configMap: {name: m}}]";
        let mounts = "volumeMounts: [{name: conf, mountPath: /conf}, {name: conf, mountPath: /again, readOnly: false}]";
        let attack = "
            i=0; while [ ! -e /tmp/stop ]; do
                for at in /conf /again; do
                    (echo evil >$at/a; echo evil >$at/..data/a; ln -sfn /etc $at/..data; ln -sf /etc/passwd $at/a; rm -rf $at/..data \
                     $at/..2*; mkdir $at/..data_tmp; mount -o remount,rw $at; umount $at; chmod 777 $at/..data/.) 2>/dev/null
                    case $(cat $at/a 2>&1) in v*) ;; *) echo \"broken: $(cat $at/a 2>&1)\";; esac
                done
                [ $i = 0 ] && echo attacking; i=1
            done";
        let watch = "until [ \"$(cat /conf/a)\" = v-last ]; do sleep 0.05; done; ls -A /conf | sed 's/^\\.\\.2.*/stamp/'; touch /tmp/stop";
        let script = format!("({attack}) & {watch}; wait");
        let pod = pod("p", spec, &[container_yaml("c", "busybox", &script, mounts)]);
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: m}}\ndata: {{a: {value}}}\n---\n{pod}")
    };
    let running = place.start(&text("v-first"));
    running.wait_for("attacking");
    // However quickly they come, the last one stays.
    for n in 0..60 {
        replace(&place, &text(&format!("v-{n}")));
        std::thread::sleep(Duration::from_millis(if n % 10 == 0 { 120 } else { 3 }));
    }
    place.write(&text("v-last"));
    let output = running.finish();
    let mut lines: Vec<&str> = output.expect_success().lines_of("c");
    lines.sort_unstable();
    assert_eq!(lines, ["..data", "a", "attacking", "stamp"], "{output}");
    place.assert_nothing_left();
}

//! `podling check`, `--strict` and `plan --diff`: every field has an answer, and the exit code tells valid, invalid and refused apart.

mod support;

use support::{Feature, Place, detached, require};

/// A pod with fields of every verdict but refused.
const POD: &str = "\
apiVersion: v1
kind: Pod
metadata: {name: p, labels: {app: x}}
spec:
  terminationGracePeriodSeconds: 1
  priority: 3
  volumes: [{name: v, emptyDir: {}}]
  containers:
  - name: c
    image: busybox
    command: [sleep, \"1000\"]
    env: [{name: A, value: \"1\"}]
    volumeMounts: [{name: v, mountPath: /v}]
";

#[test]
fn a_valid_pod_has_an_answer_to_each_field() {
    let place = Place::with(&["busybox"]);
    place.write(POD);
    let output = place.podling(&["check", "pod.yaml"]);
    output.expect_success();
    assert!(output.stdout.starts_with("pod.yaml: Pod p\nLINE"), "{output}");
    for (line, field, verdict) in [
        ("3", "metadata.name", "enforced"),
        ("6", "spec.priority", "enforced"),
        ("7", "spec.volumes[0].emptyDir", "emulated"),
        ("13", "spec.containers[0].volumeMounts[0].mountPath", "enforced"),
    ] {
        let row = output.stdout.lines().find(|row| row.split_whitespace().nth(2) == Some(field));
        let row: Vec<&str> = row.unwrap_or_else(|| panic!("{field}: {output}")).split_whitespace().collect();
        assert_eq!((row[0], row[1]), (line, verdict), "{output}");
        assert!(row.len() > 5, "it must say how: {row:?}");
    }
    assert!(!place.data().join("pods").exists(), "check made something");
}

#[test]
fn json_says_the_same() {
    let place = Place::with(&["busybox"]);
    place.write(&POD.replace("priority: 3", "restartPolicy: Sometimes\n  volumes2: 1"));
    let output = place.podling(&["check", "-o", "json", "pod.yaml"]);
    output.expect_code(1);
    let said: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(said["result"], "invalid");
    assert_eq!((said["objects"][0]["kind"].as_str(), said["objects"][0]["name"].as_str()), (Some("Pod"), Some("p")));
    let fields = said["objects"][0]["fields"].as_array().unwrap();
    let field =
        |path: &str| fields.iter().find(|field| field["path"] == path).unwrap_or_else(|| panic!("{path}: {output}"));
    assert_eq!(
        (field("spec.volumes2")["verdict"].as_str(), field("spec.volumes2")["line"].as_u64()),
        (Some("invalid"), Some(7))
    );
    assert_eq!(said["problems"][0]["class"], "invalid");
    assert_eq!(said["problems"][0]["at"], "pod.yaml:7");
}

#[test]
fn exit_codes_tell_invalid_refused_and_unreadable_apart() {
    let place = Place::with(&["busybox"]);
    for (what, from, to, code, text) in [
        ("valid", "", "", 0, ""),
        ("a value", "priority: 3", "restartPolicy: Sometimes", 1, "invalid: pod.yaml:6: spec.restartPolicy: "),
        ("an unknown field", "priority: 3", "prioritty: 3", 1, "did you mean \"priority\"?"),
        ("a type", "priority: 3", "priority: three", 1, "invalid: pod.yaml:6: spec.priority: expected a whole number"),
        ("YAML", "priority: 3", "priority: [", 1, ": not YAML: "),
        (
            "what is refused",
            "priority: 3",
            "runtimeClassName: gvisor",
            2,
            "refused: pod.yaml:6: spec.runtimeClassName: ",
        ),
        (
            "what only a kubelet would miss",
            "env: [{name: A, value: \"1\"}]",
            "envFrom: [{configMapRef: {name: web}}]",
            2,
            "refused: pod.yaml:12: spec.containers[0].envFrom[0].configMapRef.name: the input has no ConfigMap \"web\"",
        ),
        (
            "a value of what is refused",
            "priority: 3",
            "overhead: {cpu: -1}",
            1,
            "invalid: pod.yaml:6: spec.overhead.cpu: \"-1\" must not be negative",
        ),
        (
            "both",
            "priority: 3",
            "runtimeClassName: gvisor\n  restartPolicy: x",
            1,
            "refused: pod.yaml:6: spec.runtimeClassName: ",
        ),
    ] {
        place.write(&POD.replace(from, to));
        let output = place.podling(&["check", "--quiet", "pod.yaml"]);
        output.expect_code(code);
        assert!(output.stdout.contains(text), "{what}: {output}");
    }
    place.podling(&["check", "missing.yaml"]).expect_code(125);
}

#[test]
fn what_one_field_says_is_not_said_again_by_the_one_around_it() {
    let place = Place::with(&["busybox"]);
    place.write(&POD.replace("emptyDir: {}", "nfs: {server: a, path: /}"));
    let output = place.podling(&["check", "--quiet", "pod.yaml"]);
    output.expect_code(2);
    let told: Vec<&str> = output.stdout.lines().collect();
    assert!(told.len() == 1 && told[0].starts_with("refused: pod.yaml:7: spec.volumes[0].nfs: "), "{output}");
}

#[test]
fn a_directory_is_none_of_the_files() {
    let place = Place::with(&[]);
    std::fs::create_dir(place.path().join("dir")).unwrap();
    place
        .podling(&["check", "dir"])
        .expect_refusal(&["cannot read dir: it is a directory", "name the files in it: dir/*.yaml"]);
}

#[test]
fn an_image_that_is_not_here_is_said_and_keeps_nothing_from_being_checked() {
    let place = Place::with(&[]);
    place.write(POD);
    let output = place.podling(&["check", "pod.yaml"]);
    output.expect_success();
    assert!(output.stderr.contains("spec.containers[0].image: \"busybox\" is not in the store"), "{output}");
    assert!(output.stdout.contains("spec.volumes[0].emptyDir"), "{output}");
    // What names no image cannot be pulled, whoever tries.
    for (from, to, path) in [
        ("image: busybox", "image: Busybox:latest", "spec.containers[0].image"),
        ("emptyDir: {}", "image: {reference: \"a b\"}", "spec.volumes[0].image.reference"),
    ] {
        place.write(&POD.replace(from, to));
        let output = place.podling(&["check", "--quiet", "pod.yaml"]);
        output.expect_code(2);
        assert!(output.stdout.contains(&format!(": {path}: ")), "{output}");
        assert!(output.stdout.contains("is not an image reference"), "{output}");
    }
    // One that is never pulled cannot come.
    place.write(&POD.replace("image: busybox", "image: busybox\n    imagePullPolicy: Never"));
    let output = place.podling(&["check", "--quiet", "pod.yaml"]);
    output.expect_code(2);
    assert!(output.stdout.contains("refused: pod.yaml:10: spec.containers[0].image: image \"busybox\""), "{output}");
}

#[test]
fn strict_refuses_what_would_be_emulated_and_starts_nothing() {
    let place = Place::with(&["busybox"]);
    place.write(POD);
    let output = place.podling(&["check", "--strict", "--quiet", "pod.yaml"]);
    output.expect_code(2);
    let text = "pod.yaml:7: spec.volumes[0].emptyDir: --strict refuses what is emulated: ";
    assert!(output.stdout.contains(&format!("refused: {text}")), "{output}");
    place.podling(&["run", "--strict", "pod.yaml"]).expect_refusal(&[text]);
    assert!(!place.data().join("pods").exists(), "a pod's directory was made for a refused pod");
}

#[test]
fn a_plan_is_told_from_what_runs() {
    let place = Place::with(&["busybox"]);
    detached::start(&place, POD);
    place.write(&format!("# a comment\n{POD}"));
    let same = place.podling(&["plan", "--diff", "pod.yaml"]);
    same.expect_success();
    assert_eq!(same.stdout, "");
    place.write(&POD.replace("value: \"1\"", "value: \"2\"").replace("mountPath: /v", "mountPath: /w"));
    let other = place.podling(&["plan", "--diff", "pod.yaml"]);
    other.expect_code(1);
    for line in ["- containers[c].spec.process.env[]: \"A=1\"", "+ containers[c].spec.process.env[]: \"A=2\""] {
        assert!(other.stdout.lines().any(|found| found == line), "{other}");
    }
    assert!(other.stdout.contains("mounts[/w]") && !other.stdout.contains("report"), "{other}");
    detached::end_all(&place).expect_success();
    place.podling(&["plan", "--diff", "pod.yaml"]).expect_refusal(&["there is no pod \"p\""]);
    place.assert_nothing_left();
}

#[test]
fn a_claim_answers_for_itself() {
    let place = Place::with(&["busybox"]);
    let claim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec:\n  accessModes: [ReadWriteOnce]\n  resources: {requests: {storage: 1Gi}}\n";
    place.write(&format!("{claim}---\n{}", POD.replace("emptyDir: {}", "persistentVolumeClaim: {claimName: data}")));
    let output = place.podling(&["check", "pod.yaml"]);
    output.expect_success();
    assert_eq!(output.stdout.matches("spec.accessModes").count(), 1, "{output}");
    let output = place.podling(&["check", "--strict", "--quiet", "pod.yaml"]);
    output.expect_code(2);
    for text in ["pod.yaml:5: spec.accessModes: ", "pod.yaml:6: spec.resources.requests: "] {
        let text = format!("refused: {text}--strict refuses what is emulated: ");
        assert_eq!(output.stdout.matches(&text).count(), 1, "{output}");
    }
    place.podling(&["run", "--strict", "pod.yaml"]).expect_refusal(&["pod.yaml:5: spec.accessModes: --strict refuses"]);
}

// shows: spec.volumes[].hostPath.type, spec.securityContext.sysctls[].name
#[test]
fn what_this_host_lacks_is_told_before_anything_is_started() {
    if !require(Feature::UserNamespaces) {
        return;
    }
    let place = Place::with(&["busybox"]);
    place.write_file("file", "");
    let allow = ["--allow", "hostPath,sysctls"];
    for (from, to, text) in [
        ("emptyDir: {}", "hostPath: {path: none, type: Directory}", "none is not a directory; nothing is there"),
        ("emptyDir: {}", "hostPath: {path: file, type: Directory}", "file is not a directory; it is a file"),
        ("emptyDir: {}", "hostPath: {path: file, type: DirectoryOrCreate}", "file is not a directory; it is a file"),
        ("emptyDir: {}", "hostPath: {path: none/f, type: FileOrCreate}", "FileOrCreate makes no directory"),
        ("emptyDir: {}", "hostPath: {path: file/f}", "ENOTDIR"),
        ("emptyDir: {}", "hostPath: {path: none, type: Socket}", "none is not a socket file; nothing is there"),
        ("emptyDir: {}", "hostPath: {path: /dev/null, type: BlockDevice}", "it is a character device"),
        (
            "priority: 3",
            "securityContext: {sysctls: [{name: net.core.no_such_thing, value: '1'}]}",
            "sysctls[0].name: \"net.core.no_such_thing\": this kernel has no such setting",
        ),
    ] {
        place.write(&POD.replace(from, to));
        let output = place.podling(&[&["check", "--quiet", "pod.yaml"], &allow[..]].concat());
        output.expect_code(2);
        let line = POD.lines().position(|line| line.contains(from)).unwrap() + 1;
        let refusal = output.stdout.lines().find_map(|line| line.strip_prefix("refused: "));
        let refusal = refusal.unwrap_or_else(|| panic!("{to}: {output}"));
        assert!(refusal.starts_with(&format!("pod.yaml:{line}: ")) && refusal.contains(text), "{to}: {output}");
        place.podling(&[&["run", "pod.yaml"], &allow[..]].concat()).expect_refusal(&[refusal]);
        assert!(!place.data().join("pods").exists(), "a pod's directory was made for a refused pod");
    }
    // What is not allowed is not looked at.
    place.write(&POD.replace("emptyDir: {}", "hostPath: {path: none, type: Directory}"));
    let output = place.podling(&["check", "--quiet", "pod.yaml"]);
    output.expect_code(2);
    assert!(output.stdout.contains("policy") && !output.stdout.contains("nothing is there"), "{output}");
    for fits in ["{path: ., type: Directory}", "{path: file, type: File}", "{path: new, type: DirectoryOrCreate}"] {
        place.write(&POD.replace("emptyDir: {}", &format!("hostPath: {fits}")));
        place.podling(&[&["check", "--quiet", "pod.yaml"], &allow[..]].concat()).expect_success();
    }
    assert!(!place.path().join("new").exists(), "check made something");
}

#[test]
fn no_option_is_named_for_what_none_allows() {
    let place = Place::with(&["busybox"]);
    place.write(&POD.replace("priority: 3", "hostPID: true"));
    let output = place.podling(&["check", "--quiet", "pod.yaml"]);
    output.expect_code(2);
    assert!(output.stdout.contains("spec.hostPID: true: ") && !output.stdout.contains("--allow"), "{output}");
}

#[test]
fn an_input_without_objects_is_no_success() {
    let place = Place::with(&[]);
    place.write("# nothing\n");
    place.podling(&["check", "pod.yaml"]).expect_refusal(&["no object to check"]);
}

//! Promise: volumes of bytes, and how containers mount them, are what the YAML says, seen from inside; and nothing leads out of one.

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;

use support::running::{output_of, program};
use support::{Feature, Output, Place, container_yaml, pod, require, shell_with};

/// A directory of the test's own on the host.
fn host(place: &Place, name: &str) -> PathBuf {
    let dir = place.path().join(name);
    fs::create_dir_all(&dir).unwrap();
    dir
}

fn text(path: impl Into<PathBuf>) -> String {
    path.into().to_str().unwrap().to_owned()
}

/// A pod that runs `script` with `mounts` and `volumes` as flow lists.
fn mounting(script: &str, mounts: &str, volumes: &str) -> String {
    shell_with("busybox", script, &format!("volumeMounts: {mounts}"), &format!("volumes: {volumes}"))
}

#[track_caller]
fn said(output: &Output) -> String {
    output.expect_success();
    output.said()
}

// shows: spec.volumes[].name, spec.volumes[].emptyDir, spec.volumes[].emptyDir.medium, spec.volumes[].emptyDir.mode,
// shows: spec.volumes[].emptyDir.sizeLimit, spec.containers[].volumeMounts[].name, spec.containers[].volumeMounts[].mountPath,
// shows: spec.containers[].volumeMounts[].readOnly
#[test]
fn empty_dirs_have_their_mode_and_no_more_than_their_size() {
    if !require(Feature::UserNamespaces) {
        return;
    }
    let place = Place::with(&["busybox"]);
    let script = "stat -c %a /mem /plain; ls -A /mem /plain | grep -v : | grep .
        dd if=/dev/zero of=/mem/x bs=1024 count=2048 2>&1 | grep -o 'No space left'; stat -c %s /mem/x
        echo one > /plain/x; cat /again/x; echo two > /again/x || echo kept
        awk '$2 == \"/mem\" || $2 == \"/plain\" { print $3 }' /proc/mounts";
    let output = place.run(&mounting(
        script,
        "[{name: mem, mountPath: /mem}, {name: plain, mountPath: /plain}, {name: plain, mountPath: /again, readOnly: true}]",
        "[{name: mem, emptyDir: {medium: Memory, sizeLimit: 1Mi, mode: 01770}}, {name: plain, emptyDir: {}}]",
    ));
    let lines = said(&output);
    assert_eq!(lines, "1770\n777\nNo space left\n1048576\none\nkept\ntmpfs\ntmpfs", "{output}");
    assert!(output.stderr.contains("spec.volumes[1].emptyDir: emulated: is kept in memory"), "{output}");
    place.assert_nothing_left();
}

// shows: spec.volumes[].emptyDir.medium
#[test]
fn huge_pages_are_refused_with_the_reason() {
    let place = Place::with(&[]);
    for medium in ["HugePages", "HugePages-2Mi", "HugePages-1Gi"] {
        let yaml = mounting("true", "[]", &format!("[{{name: v, emptyDir: {{medium: {medium}}}}}]"));
        place.run(&yaml).expect_refusal(&["spec.volumes[0].emptyDir.medium", "hugetlbfs"]);
    }
}

// shows: spec.volumes[].hostPath, spec.volumes[].hostPath.path, spec.volumes[].hostPath.type
#[test]
fn host_paths_are_the_hosts_with_leave_only() {
    if !require(Feature::UserNamespaces) {
        return;
    }
    let place = Place::with(&["busybox"]);
    let dir = host(&place, "host/dir");
    // The pod of real root is another user.
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
    fs::write(dir.join("greeting"), "hello\n").unwrap();
    fs::set_permissions(dir.join("greeting"), fs::Permissions::from_mode(0o644)).unwrap();
    let script = "cat /dir/greeting /file; echo from inside > /dir/written; echo x > /ro/no || echo read-only
        ls -d /made /any; test -f /touched && echo a file; (cat < /null) 2>&1 | grep -o 'denied'
        awk '$2 == \"/dir\" { print $4 }' /proc/mounts | tr , '\\n' | grep -E '^(nosuid|nodev)$' | sort";
    let mounts = "[{name: dir, mountPath: /dir}, {name: dir, mountPath: /ro, readOnly: true}, {name: file, mountPath: /file},
        {name: made, mountPath: /made}, {name: any, mountPath: /any}, {name: touched, mountPath: /touched}, {name: 'null', mountPath: /null}]"
        .replace('\n', "");
    let volumes = "[{name: dir, hostPath: {path: host/./dir, type: Directory}}, {name: file, hostPath: {path: DIR/greeting, type: File}},
        {name: made, hostPath: {path: DIR/made/deep, type: DirectoryOrCreate}}, {name: any, hostPath: {path: DIR/any}},
        {name: touched, hostPath: {path: DIR/touched, type: FileOrCreate}}, {name: 'null', hostPath: {path: /dev/null, type: CharDevice}}]"
        .replace('\n', "")
        .replace("DIR", &text(&dir));
    let yaml = mounting(script, &mounts, &volumes);
    let output = place.run_with(&yaml, &["--allow", "hostPath"]);
    let expected = "hello\nhello\nread-only\n/any\n/made\na file\ndenied\nnodev\nnosuid";
    assert_eq!(said(&output), expected, "{output}");
    assert_eq!(fs::read_to_string(dir.join("written")).unwrap(), "from inside\n");
    assert!(dir.join("made/deep").is_dir() && dir.join("any").is_dir() && dir.join("touched").is_file());
    assert!(output.stderr.contains(&format!("is relative, so it is meant beside the YAML file: {}", dir.display())));
    place.run(&yaml).expect_refusal(&["spec.volumes[0].hostPath", "policy", "--allow hostPath="]);
    let strict = place.run_with(&yaml, &["--allow", "hostPath", "--strict"]);
    strict.expect_refusal(&["spec.volumes[0].hostPath.path: --strict"]);
    place.run_with(&yaml, &["--policy", "privileged"]).expect_success();
    place.assert_nothing_left();
}

// shows: spec.volumes[].hostPath.type, spec.volumes[].hostPath.path
#[test]
fn host_paths_that_are_something_else_end_the_start_in_the_kubelets_words() {
    if !require(Feature::UserNamespaces) {
        return;
    }
    let place = Place::with(&["busybox"]);
    let dir = host(&place, "host");
    fs::write(dir.join("file"), "").unwrap();
    for (path, kind, what) in [
        ("file", "Directory", "is not a directory"),
        ("none", "Directory", "is not a directory"),
        (".", "File", "is not a file"),
        ("none", "File", "is not a file"),
        ("file", "Socket", "is not a socket file"),
        ("file", "CharDevice", "is not a character device"),
        ("file", "BlockDevice", "is not a block device"),
    ] {
        let volumes = format!("[{{name: v, hostPath: {{path: {}/{path}, type: {kind}}}}}]", dir.display());
        let output = place.run_with(&mounting("true", "[]", &volumes), &["--allow", "hostPath"]);
        output.expect_refusal(&["pod.yaml:", "spec.volumes[0].hostPath.type: hostPath type check failed: ", what]);
    }
    // What a volume above makes is there.
    let volumes = "[{name: a, hostPath: {path: host/new/deep, type: DirectoryOrCreate}}, {name: b, hostPath: {path: host/new, type: Directory}}]";
    let made =
        place.run_with(&mounting("test -d /b/deep", "[{name: b, mountPath: /b}]", volumes), &["--allow", "hostPath"]);
    made.expect_success();
    // From standard input there is nothing to be beside.
    let yaml = mounting("true", "[]", "[{name: v, hostPath: {path: data}}]");
    place.write(&yaml);
    let mut command = Command::new("sh");
    place
        .environment(&mut command)
        .args(["-c", "exec \"$0\" run --allow hostPath - < pod.yaml"])
        .arg(support::binary());
    output_of(&mut command).expect_refusal(&["spec.volumes[0].hostPath.path", "standard input", "absolute"]);
    place.assert_nothing_left();
}

// shows: spec.volumes[].hostPath
#[test]
fn no_link_leads_out_of_the_directory_that_was_allowed() {
    if !require(Feature::UserNamespaces) {
        return;
    }
    let place = Place::with(&["busybox"]);
    let dir = host(&place, "allowed/inner");
    let outside = host(&place, "outside");
    fs::write(outside.join("secret"), "secret\n").unwrap();
    fs::write(dir.join("file"), "inside\n").unwrap();
    symlink("inner", place.path().join("allowed/good")).unwrap();
    symlink(&outside, place.path().join("allowed/bad")).unwrap();
    symlink("../../outside", dir.join("worse")).unwrap();
    symlink("/proc/self/root", dir.join("magic")).unwrap();
    let allow = format!("hostPath={}", place.path().join("allowed").display());
    let yaml = |path: &str| {
        let volumes = format!("[{{name: v, hostPath: {{path: {}/{path}}}}}]", place.path().join("allowed").display());
        mounting("ls /v", "[{name: v, mountPath: /v}]", &volumes)
    };
    for path in ["inner", "good"] {
        let output = place.run_with(&yaml(path), &["--allow", &allow]);
        assert!(said(&output).lines().any(|line| line == "file"), "{output}");
    }
    for path in ["bad", "bad/new", "inner/worse", "inner/magic", "inner/magic/etc"] {
        let output = place.run_with(&yaml(path), &["--allow", &allow]);
        output.expect_refusal(&["leads out of", "--allow hostPath="]);
    }
    let elsewhere = mounting("true", "[]", &format!("[{{name: v, hostPath: {{path: {}}}}}]", outside.display()));
    place.run_with(&elsewhere, &["--allow", &allow]).expect_refusal(&["spec.volumes[0].hostPath: ", "forbids"]);
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    // What is inside is followed by the container's own root, not by the host's.
    let script = "cat /v/worse/secret /v/magic/etc/shadow 2>/dev/null; echo done";
    let volumes = format!("[{{name: v, hostPath: {{path: {}}}}}]", dir.display());
    let output = place.run_with(&mounting(script, "[{name: v, mountPath: /v}]", &volumes), &["--allow", &allow]);
    assert!(!output.stdout.contains("secret") && said(&output).ends_with("done"), "{output}");
    place.assert_nothing_left();
}

// shows: spec.volumes[].image.reference, spec.volumes[].image.pullPolicy
#[test]
fn an_image_volume_is_its_files_to_read_only() {
    if !require(Feature::UserNamespaces) {
        return;
    }
    let place = Place::with(&["busybox", "debian"]);
    let script = "head -n1 /img/etc/os-release; cat /release | head -n1; /one/bin/busybox true 2>&1 | grep -o 'Permission denied'
        echo x > /img/x || echo kept; rm /one/bin/busybox 2>/dev/null || echo kept; ls -d /one/bin
        awk '$2 == \"/img\" { print $3, $4 }' /proc/mounts | grep -o '^overlay ro,nosuid,nodev,noexec'";
    let output = place.run(&mounting(
        script,
        "[{name: img, mountPath: /img}, {name: img, mountPath: /release, subPath: etc/os-release}, {name: one, mountPath: /one}]",
        "[{name: img, image: {reference: debian, pullPolicy: Never}}, {name: one, image: {reference: busybox}}]",
    ));
    let lines = said(&output);
    let (release, rest) = lines.split_at(lines.find('\n').unwrap());
    assert!(release.contains("Debian"), "{output}");
    let expected = format!("\n{release}\nPermission denied\nkept\nkept\n/one/bin\noverlay ro,nosuid,nodev,noexec");
    assert_eq!(rest, expected, "{output}");
    // Nobody listens there, so whoever asks is told so.
    let of = |reference: &str, policy: &str| {
        let volume = format!("[{{name: v, image: {{reference: 'localhost:1/{reference}', pullPolicy: {policy}}}}}]");
        place.run(&mounting("echo ran", "[]", &volume))
    };
    let at = "spec.volumes[0].image.reference: ";
    of("none:1", "Never").expect_refusal(&[at, "localhost:1/none", "its pull policy is Never"]);
    of("none:1", "IfNotPresent").expect_refusal(&[at, "it was not pulled", "nobody listens at localhost:1"]);
    place.podling(&["tag", "busybox", "localhost:1/busybox:1"]).expect_success();
    assert_eq!(said(&of("busybox:1", "IfNotPresent")), "ran");
    of("busybox:1", "Always").expect_refusal(&[at, "its pull policy is Always", "nobody listens at localhost:1"]);
    place.assert_nothing_left();
}

const CLAIM: &str = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\n\
    spec: {accessModes: [ReadWriteOnce], storageClassName: fast, volumeMode: Filesystem,\n  \
    resources: {requests: {storage: 1Gi}, limits: {storage: 2Gi}}}\nstatus: {phase: Bound}\n---\n";

/// A pod that mounts the claim `data`.
fn claiming(script: &str, read_only: bool) -> String {
    let volumes = format!("[{{name: v, persistentVolumeClaim: {{claimName: data, readOnly: {read_only}}}}}]");
    mounting(script, "[{name: v, mountPath: /v}]", &volumes)
}

// shows: spec.volumes[].persistentVolumeClaim.claimName, spec.volumes[].persistentVolumeClaim.readOnly,
// shows: PersistentVolumeClaim:spec.accessModes, PersistentVolumeClaim:spec.resources.requests, PersistentVolumeClaim:spec.volumeMode,
// shows: PersistentVolumeClaim:spec.resources.limits, PersistentVolumeClaim:spec.storageClassName, PersistentVolumeClaim:status
#[test]
fn a_claims_volume_outlives_its_pods() {
    if !require(Feature::UserNamespaces) {
        return;
    }
    let place = Place::with(&["busybox"]);
    place
        .run(&claiming("true", false))
        .expect_refusal(&["spec.volumes[0].persistentVolumeClaim.claimName", "podling volume import"]);
    assert_eq!(place.podling(&["volume", "ls", "-q"]).expect_success().stdout, "");
    let output = place.run(&format!("{CLAIM}{}", claiming("stat -c %a /v; echo kept > /v/file; chmod 710 /v", false)));
    assert_eq!(said(&output), "777", "{output}");
    for field in ["spec.accessModes", "spec.resources.requests", "spec.resources.limits", "spec.storageClassName"] {
        assert!(output.stderr.contains(&format!("{field}: emulated: ")), "{field}: {output}");
    }
    // Without the claim in the input it is found by its name.
    let script = "cat /v/file; stat -c %a /v; echo x > /v/no || echo read-only";
    assert_eq!(said(&place.run(&claiming(script, true))), "kept\n710\nread-only");
    let listed = place.podling(&["volume", "ls"]);
    let row: Vec<&str> = listed.expect_success().stdout.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!((row[0], row[1], row[row.len() - 1]), ("default", "data", "<none>"), "{listed}");
    let inspected = place.podling(&["volume", "inspect", "data"]);
    let value: serde_json::Value = serde_json::from_str(&inspected.expect_success().stdout).unwrap();
    assert_eq!(value[0]["accessModes"], serde_json::json!(["ReadWriteOnce"]));
    assert_eq!((&value[0]["requestedStorage"], &value[0]["storageClassName"]), (&"1Gi".into(), &"fast".into()));
    place.podling(&["volume", "inspect", "dta"]).expect_refusal(&["did you mean \"data\"?"]);
    place.podling(&["volume", "rm", "data"]).expect_line("data");
    place.podling(&["volume", "rm", "data"]).expect_refusal(&["there is no volume \"data\""]);
    place.podling(&["volume", "rm", "--ignore", "data"]).expect_success();
    assert!(!place.data().join("volumes/default").exists());
    place.assert_nothing_left();
}

// shows: PersistentVolumeClaim:spec.accessModes
#[test]
fn a_volume_in_use_is_not_removed_and_one_pod_may_have_it_for_itself() {
    if !require(Feature::UserNamespaces) {
        return;
    }
    let place = Place::with(&["busybox"]);
    let claim = CLAIM.replace("[ReadWriteOnce]", "[ReadWriteOncePod]");
    let sleeper = |name: &str, claim: &str| {
        let volumes = format!("volumes: [{{name: v, persistentVolumeClaim: {{claimName: {claim}}}}}]");
        let script = "trap exit TERM; while :; do sleep 1; done";
        let mount = "volumeMounts: [{name: v, mountPath: /v}]";
        pod(name, &volumes, &[container_yaml("c", "busybox", script, mount)])
    };
    place.write(&format!("{claim}{}", sleeper("first", "data")));
    place.podling(&["run", "-d", "pod.yaml"]).expect_success();
    place.podling(&["volume", "rm", "data"]).expect_refusal(&["is used by a running pod"]);
    let listed = place.podling(&["volume", "ls"]);
    assert!(listed.expect_success().stdout.lines().nth(1).unwrap().ends_with(" first"), "{listed}");
    place.run(&sleeper("second", "data")).expect_refusal(&["is in use", "ReadWriteOncePod"]);
    // Whoever holds it is killed: the kernel drops the lock.
    place.podling(&["kill", "first"]).expect_success();
    place.podling(&["rm", "--force", "first"]).expect_success();
    let shared = CLAIM.replace("name: data", "name: shared");
    place.write(&format!("{shared}{}---\n{}", sleeper("second", "shared"), sleeper("third", "shared")));
    place.podling(&["run", "-d", "pod.yaml"]).expect_success();
    place.podling(&["volume", "rm", "data"]).expect_success();
    let listed = place.podling(&["volume", "ls"]);
    assert!(listed.expect_success().stdout.lines().nth(1).unwrap().ends_with(" second,third"), "{listed}");
    place.podling(&["rm", "--force", "second"]).expect_success();
    place.podling(&["volume", "rm", "shared"]).expect_refusal(&["is used by a running pod"]);
    place.podling(&["rm", "--force", "third"]).expect_success();
    place.podling(&["volume", "rm", "shared"]).expect_success();
    place.assert_nothing_left();
}

#[test]
fn volumes_go_out_and_come_in_as_they_are() {
    if !require(Feature::UserNamespaces) {
        return;
    }
    let place = Place::with(&["busybox"]);
    let fill = "mkdir /v/d; echo x > /v/d/f; ln /v/d/f /v/hard; ln -s d/f /v/soft; chmod 4750 /v/d/f; mkfifo /v/p; chmod 622 /v/p; \
                chown 7:8 /v/d /v/p 2>/dev/null; chmod 1755 /v";
    place.run(&format!("{CLAIM}{}", claiming(fill, false))).expect_success();
    let look = "cd /v; find . | sort | xargs stat -c '%n %a %u:%g %F'; readlink soft; test d/f -ef hard && echo same";
    let before = said(&place.run(&claiming(look, false)));
    place.podling(&["volume", "export", "data", "-o", "data.tar"]).expect_success();
    place.podling(&["volume", "import", "data", "data.tar"]).expect_refusal(&["already", "--replace"]);
    place.run(&claiming("rm -r /v/d", false)).expect_success();
    place.podling(&["volume", "import", "--replace", "data", "data.tar"]).expect_line("data");
    assert_eq!(said(&place.run(&claiming(look, false))), before);
    assert!(before.contains("./d/f 4750") && before.contains("\nsame"), "{before}");
    let mut command = Command::new("sh");
    let line = "\"$0\" volume export data | gzip | \"$0\" volume import -n other copy - && \"$0\" volume ls -q";
    place.environment(&mut command).args(["-c", line]).arg(support::binary());
    assert_eq!(output_of(&mut command).expect_success().stdout, "copy\ndata\nother/copy\n");
    place.podling(&["volume", "rm", "-n", "other", "copy"]).expect_success();
    place.podling(&["volume", "import", "Bad", "data.tar"]).expect_refusal(&["no claim can be called \"Bad\""]);
    place.podling(&["volume", "rm", "--all"]).expect_line("data");
    place.assert_nothing_left();
}

#[test]
fn an_archive_that_leads_out_makes_no_volume() {
    if !require(Feature::UserNamespaces) {
        return;
    }
    let place = Place::with(&[]);
    let outside = host(&place, "outside");
    let archive = |name: &str, entries: &[(&str, Option<&str>)]| {
        let mut builder = tar::Builder::new(fs::File::create(place.path().join(name)).unwrap());
        for (path, link) in entries {
            let mut header = tar::Header::new_ustar();
            // As it is: the crate would refuse such names.
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_mode(0o644);
            header.set_size(0);
            header.set_entry_type(tar::EntryType::Regular);
            if let Some(link) = link {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_link_name_literal(link).unwrap();
            }
            header.set_cksum();
            builder.append(&header, std::io::empty()).unwrap();
        }
        builder.finish().unwrap();
    };
    archive("climbing.tar", &[("../../x", None)]);
    archive("absolute.tar", &[("/etc/x", None)]);
    archive("through.tar", &[("link", Some(outside.to_str().unwrap())), ("link/x", None)]);
    fs::write(place.path().join("none.tar"), "this is no archive".repeat(100)).unwrap();
    for name in ["climbing.tar", "through.tar", "none.tar"] {
        place.podling(&["volume", "import", "data", name]).expect_refusal(&[name]);
        assert_eq!(place.podling(&["volume", "ls", "-q"]).expect_success().stdout, "");
    }
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    let left: Vec<_> = fs::read_dir(place.data().join("volumes")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

// shows: spec.volumes[].ephemeral, spec.volumes[].ephemeral.volumeClaimTemplate.spec.resources.requests,
// shows: spec.volumes[].ephemeral.volumeClaimTemplate.spec.resources.limits,
// shows: spec.volumes[].ephemeral.volumeClaimTemplate.spec.storageClassName, spec.volumes[].ephemeral.volumeClaimTemplate.metadata,
// shows: spec.volumes[].ephemeral.volumeClaimTemplate.spec.accessModes, spec.volumes[].ephemeral.volumeClaimTemplate.spec.volumeMode
#[test]
fn an_ephemeral_volume_is_on_the_disk_and_goes_with_the_pod() {
    if !require(Feature::UserNamespaces) {
        return;
    }
    let place = Place::with(&["busybox"]);
    let template = "{metadata: {labels: {a: b}}, spec: {accessModes: [ReadWriteOnce], storageClassName: fast, volumeMode: Filesystem, \
        resources: {requests: {storage: 1Gi}, limits: {storage: 2Gi}}}}";
    let volumes = format!("volumes: [{{name: e, ephemeral: {{volumeClaimTemplate: {template}}}}}]");
    let mount = "volumeMounts: [{name: e, mountPath: /e}]";
    let first = container_yaml("first", "busybox", "ls -A /e; stat -c %a /e; echo shared > /e/x", mount);
    let script = "cat /e/x; awk '$2 == \"/e\" { print ($3 == \"tmpfs\" ? \"memory\" : \"disk\") }' /proc/mounts";
    let yaml = pod(
        "p",
        &format!("restartPolicy: Never\n{volumes}\ninitContainers:\n{first}"),
        &[container_yaml("c", "busybox", script, mount)],
    );
    let output = place.run(&yaml);
    output.expect_success();
    assert_eq!((output.lines_of("first"), output.said()), (vec!["777"], "shared\ndisk".to_owned()), "{output}");
    let path = "spec.volumes[0].ephemeral";
    let spec = format!("{path}.volumeClaimTemplate.spec");
    for field in [
        path,
        &format!("{spec}.resources.requests"),
        &format!("{spec}.resources.limits"),
        &format!("{spec}.storageClassName"),
    ] {
        assert!(output.stderr.contains(&format!(" {field}: emulated: ")), "{field}: {output}");
    }
    assert_eq!(said(&place.run(&yaml)).lines().next(), Some("shared"));
    place.assert_nothing_left();
}

// shows: spec.containers[].volumeMounts[].subPath, spec.containers[].volumeMounts[].subPathExpr,
// shows: spec.containers[].volumeMounts[].bindMountOptions
#[test]
fn parts_of_volumes() {
    if !require(Feature::UserNamespaces) {
        return;
    }
    let place = Place::with(&["busybox"]);
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: conf}\ndata: {key: \"of a key\\n\"}\n---\n";
    let setup = "mkdir -p /all/a/b && echo in b > /all/a/b/f && ln -s a/b /all/link && ln -s ../link /all/a/up && cp /bin/busybox /all/a/run";
    let setup = container_yaml("setup", "busybox", setup, "volumeMounts: [{name: v, mountPath: /all}]");
    let script =
        "cat /b/f /link/f /up/f /file /key; stat -c %a /new /all/new /all/new/er; echo y > /expr/y; cat /all/web/logs/y
        /run/run true 2>&1 | grep -o 'Permission denied'; echo x > /ro/x || echo read-only
        awk '$2 == \"/run\" { print $4 }' /proc/mounts | tr , '\\n' | grep -E '^no(exec|dev|suid)$' | sort";
    let mounts = "[{name: v, mountPath: /all}, {name: v, mountPath: /b, subPath: a/b}, {name: v, mountPath: /link, subPath: link}, \
        {name: v, mountPath: /up, subPath: a/up}, {name: v, mountPath: /file, subPath: a/b/f}, {name: v, mountPath: /new, subPath: new/er}, \
        {name: v, mountPath: /expr, subPathExpr: $(NAME)/logs}, {name: conf, mountPath: /key, subPath: key}, \
        {name: v, mountPath: /run, subPath: a, bindMountOptions: [noexec, nodev, nosuid]}, \
        {name: v, mountPath: /ro, subPath: a, readOnly: true}]";
    let main =
        container_yaml("c", "busybox", script, &format!("env: [{{name: NAME, value: web}}]\nvolumeMounts: {mounts}"));
    let volumes = "volumes: [{name: v, emptyDir: {medium: Memory, mode: 0775}}, {name: conf, configMap: {name: conf}}]";
    let spec = format!("restartPolicy: Never\n{volumes}\ninitContainers:\n{setup}");
    let output = place.run(&format!("{map}{}", pod("p", &spec, &[main])));
    let expected =
        "in b\nin b\nin b\nin b\nof a key\n775\n775\n775\ny\nPermission denied\nread-only\nnodev\nnoexec\nnosuid";
    assert_eq!(said(&output), expected, "{output}");
    let yaml = mounting("true", "[{name: v, mountPath: /v, subPathExpr: $(NONE)}]", "[{name: v, emptyDir: {}}]");
    place.run(&yaml).expect_refusal(&["volumeMounts[0].subPathExpr: missing value for NONE"]);
    place.assert_nothing_left();
}

// shows: spec.containers[].volumeMounts[].subPathExpr
#[test]
fn a_secret_in_the_name_of_a_directory_that_stays_is_told() {
    if !require(Feature::UserNamespaces) {
        return;
    }
    let place = Place::with(&["busybox"]);
    let objects = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {k: hush}\n---\n\
        apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: c}\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}\n---\n";
    let more = "env: [{name: K, valueFrom: {secretKeyRef: {name: s, key: k}}}]\nvolumeMounts: [{name: v, mountPath: /v, subPathExpr: of-$(K)}]";
    let yaml = |volume: &str| {
        format!(
            "{objects}{}",
            shell_with("busybox", "echo x > /v/x", more, &format!("volumes: [{{name: v, {volume}}}]"))
        )
    };
    let told = "spec.containers[0].volumeMounts[0].subPathExpr: emulated: a Secret's value is in it";
    let claim = yaml("persistentVolumeClaim: {claimName: c}");
    let output = place.run(&claim);
    output.expect_success();
    let line = output.stderr.lines().find(|line| line.contains(told)).unwrap_or_else(|| panic!("{output}"));
    let at = 1 + claim.lines().position(|line| line.contains("subPathExpr")).unwrap();
    assert!(line.contains(&format!("pod.yaml:{at}: ")) && line.contains("outlives the pod"), "{line}");
    assert!(!output.stderr.contains("hush"), "{output}");
    let strict = place.podling(&["check", "--strict", "--quiet", "pod.yaml"]);
    strict.expect_code(2);
    assert!(
        strict.stdout.contains("subPathExpr: --strict refuses what is emulated: a Secret's value is in it"),
        "{strict}"
    );
    let memory = place.run(&yaml("emptyDir: {medium: Memory}"));
    memory.expect_success();
    assert!(!memory.stderr.contains("subPathExpr"), "{memory}");
    place.podling(&["volume", "rm", "c"]).expect_success();
    place.assert_nothing_left();
}

// shows: spec.containers[].volumeMounts[].subPath
#[test]
fn a_part_is_found_anew_at_each_start_and_never_outside() {
    if !require(Feature::UserNamespaces) {
        return;
    }
    let place = Place::with(&["busybox"]);
    // The second run of `c` sees what the first put in the place of the directory; the link of `bad` leads out.
    let script = "if [ -e /sub/second ]; then echo second; exit 0; fi; echo first
        mv /all/sub /all/old; mkdir /all/sub; touch /all/sub/second; exit 1";
    let mounts = "volumeMounts: [{name: v, mountPath: /all}, {name: v, mountPath: /sub, subPath: sub}]";
    let spec = "restartPolicy: OnFailure\nvolumes: [{name: v, emptyDir: {medium: Memory}}]";
    let yaml = pod("p", spec, &[container_yaml("c", "busybox", script, mounts)]);
    let output = place.run_with(&yaml, &["--time-scale", "0.001"]);
    assert_eq!(said(&output), "first\nsecond", "{output}");
    for target in ["/", "/proc/self/root", "../../..", "/pod/etc"] {
        let setup = format!("ln -s {target} /all/sub");
        let setup = container_yaml("setup", "busybox", &setup, "volumeMounts: [{name: v, mountPath: /all}]");
        let spec = format!(
            "restartPolicy: Never\nvolumes: [{{name: v, emptyDir: {{medium: Memory}}}}]\ninitContainers:\n{setup}"
        );
        let output = place.run(&pod("p", &spec, &[container_yaml("c", "busybox", "echo started", mounts)]));
        assert!(output.code != Some(0) && output.said().is_empty(), "{target}: {output}");
        assert!(output.stderr.contains("subPath \"sub\"") && output.stderr.contains("leads out"), "{target}: {output}");
    }
    place.assert_nothing_left();
}

// shows: spec.containers[].volumeMounts[].subPath
#[test]
fn a_sibling_that_swaps_links_gets_nothing_mounted_from_outside() {
    if !require(Feature::UserNamespaces) {
        return;
    }
    let place = Place::with(&["busybox"]);
    let evil = "exec 2>/dev/null; mkdir /v/dir; touch /v/dir/marker; ln -s / /v/root; ln -s ../../../../pod /v/up; touch /v/ready
        while :; do for n in dir root up; do mv -T /v/$n /v/sub; mv -T /v/sub /v/$n; done; done";
    // Between two renames nothing has the name, and an empty directory is made; then the renames fail until it goes.
    let victim = "if [ -e /x/proc ] || [ -e /x/volumes ] || [ -e /x/etc ]; then echo ESCAPED; fi
        if [ -e /x/marker ]; then echo inside; else echo empty; rmdir /all/sub; fi; sleep 0.02; rmdir /all/sub 2>/dev/null; true";
    let probe = "restartPolicy: Always\nstartupProbe: {exec: {command: [test, -e, /v/ready]}, periodSeconds: 1}";
    let evil = container_yaml("evil", "busybox", evil, &format!("volumeMounts: [{{name: v, mountPath: /v}}]\n{probe}"));
    let mounts = "volumeMounts: [{name: v, mountPath: /all}, {name: v, mountPath: /x, subPath: sub}]";
    let victims: Vec<String> = (0..6).map(|n| container_yaml(&format!("c{n}"), "busybox", victim, mounts)).collect();
    let spec = format!(
        "restartPolicy: Never\nterminationGracePeriodSeconds: 0\nvolumes: [{{name: v, emptyDir: {{medium: Memory}}}}]\ninitContainers:\n{evil}"
    );
    let yaml = pod("p", &spec, &victims);
    let (mut started, mut refused) = (0, 0);
    // Both must be seen, or the race was none; a machine is never so unlucky for so long.
    for round in 0..200 {
        let output = place.run_with(&yaml, &["--time-scale", "0.01"]);
        assert!(!output.stdout.contains("ESCAPED"), "{output}");
        started += output.stdout.lines().filter(|line| line.ends_with("inside") || line.ends_with("empty")).count();
        refused += usize::from(output.stderr.contains("leads out"));
        if round >= 11 && started > 0 && refused > 0 {
            break;
        }
    }
    assert!(started > 0 && refused > 0, "{started} starts, {refused} refused");
    place.assert_nothing_left();
}

// shows: spec.containers[].volumeMounts[].recursiveReadOnly, spec.containers[].volumeMounts[].mountPropagation,
// shows: spec.containers[].volumeMounts[].readOnly, spec.containers[].volumeMounts[].bindMountOptions
#[test]
fn mounts_below_a_host_path_and_those_that_come_later() {
    if !require(Feature::UserNamespaces) || !require(Feature::Program("unshare")) {
        return;
    }
    let place = Place::with(&["busybox"]);
    let dir = host(&place, "host");
    fs::create_dir_all(dir.join("early")).unwrap();
    fs::create_dir_all(dir.join("late")).unwrap();
    let volumes = format!("volumes: [{{name: h, hostPath: {{path: {}}}}}]", dir.display());
    let mounts = "volumeMounts: [{name: h, mountPath: /ro, readOnly: true}, {name: h, mountPath: /rro, readOnly: true, recursiveReadOnly: Enabled}, \
        {name: h, mountPath: /maybe, readOnly: true, recursiveReadOnly: IfPossible}, \
        {name: h, mountPath: /slave, mountPropagation: HostToContainer}, {name: h, mountPath: /none, mountPropagation: None}, \
        {name: h, mountPath: /bound, bindMountOptions: [noexec]}]";
    let script = "awk '$2 ~ \"^/bound\" { print $2, $4 }' /proc/mounts | grep -w noexec | cut -d ' ' -f 1
        for m in ro rro maybe; do touch /$m/top 2>/dev/null && echo $m top; touch /$m/early/$m 2>/dev/null && echo $m early; done
        echo looked; until [ -e /slave/late/came ]; do sleep 0.05; done; ls /none/late; echo came";
    place.write(&pod(
        "p",
        &format!("restartPolicy: Never\n{volumes}"),
        &[container_yaml("c", "busybox", script, mounts)],
    ));
    // A host of the test's own, where it may mount.
    let outer = format!(
        "mount -t tmpfs early {0}/early && mkfifo {0}/../out && {{ \"$0\" run --allow hostPath pod.yaml > {0}/../out & }}
         while read line; do echo \"$line\"; case $line in *looked) mount -t tmpfs late {0}/late && touch {0}/late/came;; esac; done < {0}/../out; wait $!",
        dir.display()
    );
    // Root keeps its own ids, or its store would be somebody else's.
    let namespaces = if nix::unistd::geteuid().is_root() { "-m" } else { "-Urm" };
    let mut command = Command::new(program("unshare"));
    place
        .environment(&mut command)
        .args([namespaces, "--propagation", "shared", "sh", "-c", &outer])
        .arg(support::binary());
    let output = output_of(&mut command);
    assert_eq!(said(&output), "/bound\n/bound/early\nro early\nlooked\ncame", "{output}");
}

// shows: spec.containers[].volumeMounts[].mountPropagation, spec.containers[].volumeDevices
#[test]
fn what_cannot_be_had_on_one_host_is_refused_by_name() {
    let place = Place::with(&[]);
    let volume = "[{name: v, emptyDir: {}}]";
    let bidirectional = mounting("true", "[{name: v, mountPath: /v, mountPropagation: Bidirectional}]", volume);
    place
        .run(&bidirectional)
        .expect_refusal(&["volumeMounts[0].mountPropagation", "no mount out of the pod's user namespace"]);
    let devices =
        shell_with("busybox", "true", "volumeDevices: [{name: v, devicePath: /dev/x}]", &format!("volumes: {volume}"));
    place.run(&devices).expect_refusal(&["spec.containers[0].volumeDevices", "block device"]);
    for (source, part) in [
        ("nfs: {server: s, path: /}", "hostPath"),
        ("csi: {driver: d}", "driver"),
        ("iscsi: {targetPortal: t, iqn: i, lun: 0}", "hostPath"),
        ("awsElasticBlockStore: {volumeID: x}", "cloud"),
        ("gitRepo: {repository: x}", "init container"),
    ] {
        let name = source.split(':').next().unwrap();
        let output = place.run(&mounting("true", "[]", &format!("[{{name: v, {source}}}]")));
        output.expect_refusal(&[&format!("spec.volumes[0].{name}: "), part]);
    }
    let claim = format!(
        "{}{}",
        CLAIM.replace("volumeMode: Filesystem", "volumeMode: Block, volumeName: pv"),
        claiming("true", false)
    );
    place.run(&claim).expect_refusal(&["spec.volumeMode", "block device", "spec.volumeName"]);
}

/// Files that a pod makes in a claim's volume belong to ids of its map, and can be removed all the same.
#[test]
fn files_of_other_users_are_removed_with_their_volume() {
    if !require(Feature::UserNamespaces) {
        return;
    }
    let place = Place::with(&["busybox"]);
    let yaml = format!("{CLAIM}{}", claiming("mkdir -m 700 /v/d; touch /v/d/f", false))
        .replace("spec:\n  restart", "spec:\n  securityContext: {runAsUser: 1234}\n  restart");
    place.run(&yaml).expect_success();
    let made = place.data().join("volumes/default/data/data/d");
    assert!(made.metadata().is_ok_and(|stat| stat.uid() > 0) || made.metadata().is_err(), "{made:?}");
    place.podling(&["volume", "rm", "data"]).expect_success();
    assert!(!place.data().join("volumes/default").exists());
}

//! Promise: a container's variables are what its YAML says, wherever they come from, as a cluster's kubelet makes them.

mod support;

use support::{Output, Place, container_yaml, detached, pod, shell_with};

const OBJECTS: &str = "\
---
apiVersion: v1
kind: ConfigMap
metadata: {name: map}
data: {A: from-map, B: from-map, a.b-c: dotted}
---
apiVersion: v1
kind: Secret
metadata: {name: hush}
stringData: {TOKEN: '$(A)', LINES: \"one\\ntwo\"}
";

/// A pod whose container `c` prints the variables that `lines` of its YAML make.
fn variables(fields: &str) -> Output {
    let place = Place::with(&["busybox"]);
    // As the kernel has them: a shell leaves out names that are none of its own.
    let script = "tr '\\0' '\\n' < /proc/1/environ; true";
    let output = place.run(&format!("{}{OBJECTS}", shell_with("busybox", script, fields, "")));
    place.assert_nothing_left();
    output
}

#[track_caller]
fn expect(output: &Output, lines: &[&str]) {
    output.expect_success();
    for line in lines {
        assert!(output.lines_of("c").contains(line), "there is no {line:?}:\n{output}");
    }
}

// shows: spec.containers[].env[].name, spec.containers[].env[].value
// shows: spec.containers[].env[].valueFrom.configMapKeyRef.key, spec.containers[].env[].valueFrom.configMapKeyRef.name
// shows: spec.containers[].env[].valueFrom.configMapKeyRef.optional
// shows: spec.containers[].env[].valueFrom.secretKeyRef.key, spec.containers[].env[].valueFrom.secretKeyRef.name
// shows: spec.containers[].env[].valueFrom.secretKeyRef.optional
// shows: spec.containers[].envFrom[].configMapRef.name, spec.containers[].envFrom[].configMapRef.optional
// shows: spec.containers[].envFrom[].secretRef.name, spec.containers[].envFrom[].secretRef.optional
// shows: spec.containers[].envFrom[].prefix
#[test]
fn values_keys_prefixes_and_references() {
    let output = variables(
        "envFrom:\n\
         - {configMapRef: {name: map}}\n\
         - {prefix: S_, secretRef: {name: hush}}\n\
         - {configMapRef: {name: none, optional: true}}\n\
         - {secretRef: {name: none, optional: true}}\n\
         env:\n\
         - {name: EARLY, value: '$(LATE)$(A)$$(A)'}\n\
         - {name: LATE, value: '<$(EARLY)>'}\n\
         - {name: B, value: own}\n\
         - {name: TWICE, value: first}\n\
         - {name: TWICE, value: '$(TWICE), second'}\n\
         - {name: KEY, valueFrom: {configMapKeyRef: {name: map, key: a.b-c}}}\n\
         - {name: TOKEN, valueFrom: {secretKeyRef: {name: hush, key: TOKEN}}}\n\
         - {name: NO_MAP, valueFrom: {configMapKeyRef: {name: none, key: x, optional: true}}}\n\
         - {name: NO_KEY, valueFrom: {secretKeyRef: {name: hush, key: x, optional: true}}}\n\
         - {name: EMPTY}",
    );
    expect(
        &output,
        &[
            "A=from-map",
            "B=own",
            "a.b-c=dotted",
            "S_TOKEN=$(A)",
            "S_LINES=one",
            "two",
            "EARLY=$(LATE)from-map$(A)",
            "LATE=<$(LATE)from-map$(A)>",
            "TWICE=first, second",
            "KEY=dotted",
            "TOKEN=$(A)",
            "EMPTY=",
        ],
    );
    assert!(!output.stdout.contains("NO_MAP") && !output.stdout.contains("NO_KEY"), "{output}");
}

// shows: spec.containers[].env[].valueFrom.fieldRef.apiVersion, spec.containers[].env[].valueFrom.fieldRef.fieldPath
#[test]
fn fields_of_the_pod() {
    let place = Place::with(&["busybox"]);
    let metadata = "metadata: {name: p, namespace: team, labels: {app: web, example.com/a.b_c: odd}, annotations: {Note: \"two\\nlines\", \
                    long: \"LONG\"}}";
    let field = |name: &str, path: &str| {
        format!("- {{name: {name}, valueFrom: {{fieldRef: {{apiVersion: v1, fieldPath: \"{path}\"}}}}}}\n")
    };
    let env: String = [
        ("NAME", "metadata.name"),
        ("NAMESPACE", "metadata.namespace"),
        ("APP", "metadata.labels['app']"),
        ("ODD", "metadata.labels['example.com/a.b_c']"),
        ("NOTE", "metadata.annotations['Note']"),
        ("LONG", "metadata.annotations['long']"),
        ("NONE", "metadata.labels['none']"),
        ("NODE", "spec.nodeName"),
        ("ACCOUNT", "spec.serviceAccountName"),
        ("IP", "status.podIP"),
        ("IPS", "status.podIPs"),
        ("HOST", "status.hostIP"),
        ("HOSTS", "status.hostIPs"),
    ]
    .iter()
    .map(|(name, path)| field(name, path))
    .collect();
    let script = "env | grep -v LONG; echo long ${#LONG}; echo said $0 $1";
    let args = "args: [\"$(NAME)\", \"$(APP)-$(IP)\"]";
    let yaml = shell_with("busybox", script, &format!("{args}\nenv:\n{env}"), "");
    // An annotation may be longer than most: as long as one string of an environment can be.
    let yaml =
        yaml.replace("metadata: {name: p}", metadata).replace("LONG\"}", &format!("{}\"}}", "x".repeat(120_000)));
    let output = place.run(&yaml);
    let node = nix::unistd::gethostname().unwrap().into_string().unwrap().to_lowercase();
    expect(
        &output,
        &[
            "NAME=p",
            "NAMESPACE=team",
            "APP=web",
            "ODD=odd",
            "NOTE=two",
            "lines",
            "NONE=",
            &format!("NODE={node}"),
            "ACCOUNT=default",
            "IP=127.0.0.1",
            "IPS=127.0.0.1",
            "HOST=127.0.0.1",
            "HOSTS=127.0.0.1",
            "long 120000",
            "said p web-127.0.0.1",
        ],
    );
    let told = "spec.containers[0].env[9].valueFrom.fieldRef.fieldPath: emulated: status.podIP is 127.0.0.1: the pod has a loopback interface";
    assert!(output.stderr.contains(told), "{output}");
    // One string of an environment cannot be longer, whoever starts the program.
    let longer = yaml.replace(&"x".repeat(120_000), &"x".repeat(140_000));
    let output = place.run(&longer);
    assert!(output.stderr.contains("its arguments and variables are too long"), "{output}");
    place.assert_nothing_left();
}

#[test]
fn the_uid_is_the_pods_own_and_each_start_has_another() {
    let place = Place::with(&["busybox"]);
    let env = "env:\n- {name: UID_, valueFrom: {fieldRef: {fieldPath: metadata.uid}}}\n- {name: NAMED, value: \"uid $(UID_)\"}";
    let yaml =
        shell_with("busybox", "echo $NAMED; sleep 1000", env, "terminationGracePeriodSeconds: 0\ndnsPolicy: Default");
    let uid = |place: &Place| {
        let object = place.podling(&["inspect", "-o", "json", "p"]);
        let object: serde_json::Value =
            serde_json::from_str(&object.stdout).unwrap_or_else(|e| panic!("{e}: {object}"));
        let object = if object.is_array() { object[0].clone() } else { object };
        object["metadata"]["uid"].as_str().unwrap().to_owned()
    };
    place.write(&yaml);
    place.podling(&["up", "pod.yaml"]).expect_success().expect_line("pod/p created");
    let first = uid(&place);
    let said = |place: &Place| place.podling(&["exec", "p", "--", "sh", "-c", "echo $UID_ $NAMED"]).stdout;
    assert_eq!(said(&place), format!("{first} uid {first}\n"));
    // What each start has of its own makes no other pod of it.
    place.podling(&["up", "pod.yaml"]).expect_success().expect_line("pod/p unchanged");
    assert_eq!(uid(&place), first);
    let same = place.podling(&["plan", "--diff", "pod.yaml"]);
    assert_eq!((same.code, same.stdout.as_str()), (Some(0), ""), "{same}");
    place.podling(&["restart", "p"]).expect_success();
    let second = uid(&place);
    assert_ne!(first, second);
    assert_eq!(said(&place), format!("{second} uid {second}\n"));
    let plans = [place.podling(&["plan", "pod.yaml"]), place.podling(&["plan", "pod.yaml"])];
    assert_eq!(plans[0].stdout, plans[1].stdout);
    assert!(plans[0].stdout.contains("UID_=00000000-0000-0000-0000-000000000000"), "{}", plans[0]);
    detached::end_all(&place);
}

// shows: spec.containers[].env[].valueFrom.resourceFieldRef.containerName
// shows: spec.containers[].env[].valueFrom.resourceFieldRef.divisor
// shows: spec.containers[].env[].valueFrom.resourceFieldRef.resource
#[test]
fn resources_of_containers() {
    let resource =
        |name: &str, rest: &str| format!("- {{name: {name}, valueFrom: {{resourceFieldRef: {{resource: {rest}}}}}}}\n");
    let env = [
        resource("CPU", "requests.cpu"),
        resource("MILLIS", "requests.cpu, divisor: 1m"),
        resource("MIB", "requests.memory, divisor: 1Mi"),
        resource("OTHER", "requests.memory, divisor: 1k, containerName: d"),
        resource("NOTHING", "requests.ephemeral-storage"),
        resource("HUGE", "requests.hugepages-2Mi"),
        resource("CPUS", "limits.cpu"),
        resource("MEMORY", "limits.memory, divisor: 1Ki"),
        resource("DISK", "limits.ephemeral-storage"),
    ]
    .concat();
    let c = container_yaml(
        "c",
        "busybox",
        "env; echo nproc $(nproc); awk '/MemTotal/ {print \"total \" $2}' /proc/meminfo; [ \"$DISK\" -gt 1000 ] && echo disk",
        &format!("resources: {{requests: {{cpu: 250m, memory: 100M}}}}\nenv:\n{env}"),
    );
    let d = container_yaml("d", "busybox", "true", "resources: {requests: {memory: 1500}}");
    let place = Place::with(&["busybox"]);
    let output = place.run(&pod("p", "restartPolicy: Never", &[c, d]));
    expect(&output, &["CPU=1", "MILLIS=250", "MIB=96", "OTHER=2", "NOTHING=0", "HUGE=0", "disk"]);
    let lines = output.lines_of("c");
    let after = |start: &str| {
        lines.iter().find_map(|line| line.strip_prefix(start)).unwrap_or_else(|| panic!("{start}: {output}"))
    };
    assert_eq!(after("CPUS="), after("nproc "), "{output}");
    assert_eq!(after("MEMORY="), after("total "), "{output}");
    assert!(
        output.stderr.contains("env[6].valueFrom.resourceFieldRef.resource: emulated: without a limit limits.cpu is"),
        "{output}"
    );
    place.assert_nothing_left();
}

/// A pod whose init container runs `writes` with the volume `shared` at /shared, and whose container `c`, which does not mount it, prints
/// the variables that come from /shared/vars.
fn from_file(writes: &str, optional: bool, rest: &str) -> String {
    let key = |name: &str, key: &str| {
        format!(
            "- {{name: {name}, valueFrom: {{fileKeyRef: {{volumeName: shared, path: dir/vars, key: {key}, optional: {optional}}}}}}}\n"
        )
    };
    let env = format!(
        "env:\n- {{name: B, value: before}}\n{}{}- {{name: C, value: 'c $(A) $(B)'}}\n",
        key("A", "A"),
        key("B", "B")
    );
    let args = "args: ['$(C)', '$$(C)']";
    let script = "env; echo \"said $0, $1\"";
    let c = container_yaml("c", "busybox", script, &format!("{args}\n{env}"));
    let first = container_yaml("first", "busybox", writes, "volumeMounts: [{name: shared, mountPath: /shared}]");
    let spec = format!("restartPolicy: Never\nvolumes: [{{name: shared, emptyDir: {{}}}}]\n{rest}");
    pod("p", &spec, &[c]).replace("  containers:\n", &format!("  initContainers:\n{first}  containers:\n"))
}

// shows: spec.containers[].env[].valueFrom.fileKeyRef.key, spec.containers[].env[].valueFrom.fileKeyRef.path
// shows: spec.containers[].env[].valueFrom.fileKeyRef.volumeName, spec.containers[].env[].valueFrom.fileKeyRef.optional
#[test]
fn variables_from_a_file_of_an_init_container() {
    let place = Place::with(&["busybox"]);
    let writes = "mkdir /shared/dir; printf \"# a comment\\nA='one\\ntwo'\\nB='\\$X # \\$(A)'\\n\" > /shared/dir/vars";
    let output = place.run(&from_file(writes, false, ""));
    expect(&output, &["A=one", "two", "B=$X # $(A)", "C=c one", "two $X # $(A)", "said c one", "two $X # $(A), $(C)"]);
    // What may be missing leaves what was there before, or nothing.
    let output = place.run(&from_file("true", true, ""));
    expect(&output, &["B=before", "C=c $(A) before", "said c $(A) before, $(C)"]);
    assert!(!output.lines_of("c").iter().any(|line| line.starts_with("A=")), "{output}");
    for (what, writes, says) in [
        ("nothing is written", "true", "there is no value for key \"B\" of file \"dir/vars\" in volume \"shared\""),
        ("no quotes", "mkdir /shared/dir; echo A=1 > /shared/dir/vars", "line 1: the value must be in single quotes"),
        (
            "a pipe",
            "mkdir /shared/dir; mkfifo /shared/dir/vars",
            "file \"dir/vars\" in volume \"shared\": is not a plain file",
        ),
        ("a directory", "mkdir -p /shared/dir/vars", "is not a plain file"),
        ("too long", "mkdir /shared/dir; truncate -s 3G /shared/dir/vars", "is longer than 1048576 bytes"),
        ("a NUL", "mkdir /shared/dir; printf \"A='a\\\\0b'\\nB='x'\\n\" > /shared/dir/vars", "has a NUL byte in it"),
    ] {
        let output = place.run(&from_file(writes, false, ""));
        assert!(output.code != Some(0) && output.stderr.contains(says), "{what}: {output}");
        assert!(output.lines_of("c").is_empty(), "{what}: {output}");
    }
    // Links that a container makes lead to nothing of the pod's or the host's.
    for link in ["/etc/hostname", "../../../etc/hostname", "/proc/self/environ", "/pod/etc/hostname"] {
        let output = place.run(&from_file(&format!("mkdir /shared/dir; ln -s {link} /shared/dir/vars"), true, ""));
        expect(&output, &["B=before"]);
    }
    let inside = "mkdir /shared/dir; printf \"A='1'\\nB='2'\\n\" > /shared/real; ln -s /real /shared/dir/vars";
    expect(&place.run(&from_file(inside, false, "")), &["C=c 1 2"]);
    place.assert_nothing_left();
}

#[test]
fn a_file_of_variables_is_read_at_each_start_and_holds_for_commands_too() {
    let place = Place::with(&["busybox"]);
    let env = "env:\n- {name: RUN, valueFrom: {fileKeyRef: {volumeName: shared, path: next, key: RUN, optional: true}}}\n\
               volumeMounts: [{name: shared, mountPath: /shared}]";
    // Each run writes what the next one finds.
    let script = "echo \"run ${RUN:-0}\"; printf \"RUN='$((${RUN:-0} + 1))'\\n\" > /shared/next; [ \"$RUN\" = 2 ] && exec sleep 1000";
    let c = container_yaml("c", "busybox", script, env);
    let spec = "restartPolicy: Always\nterminationGracePeriodSeconds: 0\nvolumes: [{name: shared, emptyDir: {}}]";
    let running = place.start_with(&pod("p", spec, &[c]), &["--time-scale", "0.001"]);
    running.wait_for("run 2");
    let inside = place.podling(&["exec", "p", "--", "sh", "-c", "echo in $RUN"]);
    assert_eq!(inside.stdout, "in 2\n", "{inside}");
    let output = running.stop();
    assert_eq!(output.lines_of("c")[..3], ["run 0", "run 1", "run 2"], "{output}");
    place.assert_nothing_left();
}

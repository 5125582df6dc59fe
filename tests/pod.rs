//! Promise: the same YAML means what it means to a kubelet.

mod support;

use std::io::Write;
use std::process::{Command, Stdio};

use nix::sys::signal::Signal;
use support::{Feature, Place, Running, binary, container_yaml, pod, require, shell, shell_with};

/// A pod with one container of busybox that is written in flow style.
fn container(fields: &str) -> String {
    pod("p", "restartPolicy: Never", &[format!("  - {{name: c, image: busybox, {fields}}}\n")])
}

const CONFIG: &str = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {ONE: of map, TWO: of map, file: \"text\\n\"}\nbinaryData: {bytes: AAH/}\n";
const SECRET: &str =
    "---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {TWO: of secret, password: hunter2}\n";

#[test]
fn a_variable_of_env_wins_over_envfrom_and_a_later_source_over_an_earlier() {
    let fields = "command: [sh, -c, 'echo $ONE, $TWO, $THREE, $P_ONE'], \
        envFrom: [{configMapRef: {name: m}}, {secretRef: {name: s}}, {prefix: P_, configMapRef: {name: m}}, {configMapRef: {name: absent, optional: true}}], \
        env: [{name: THREE, value: of env}, {name: ONE, value: of env}, {name: ONE, value: of the last env}]";
    let output = Place::with(&["busybox"]).run(&format!("{}{CONFIG}{SECRET}", container(fields)));
    assert_eq!(output.said(), "of the last env, of secret, of env, of map", "{output}");
}

// shows: spec.containers[].command, spec.containers[].args
#[test]
fn references_in_env_command_and_args_are_expanded_as_the_kubelet_does() {
    let fields = "command: [printf, '%s\\n'], args: ['$(A)', '$(B)', '$$(A)', '$(NONE)', '$A', '$(A'], \
        env: [{name: A, value: a}, {name: B, value: '$(A)-$(LATER)'}, {name: LATER, value: x}]";
    let output = Place::with(&["busybox"]).run(&container(fields));
    assert_eq!(output.lines_of("c"), ["a", "a-$(LATER)", "$(A)", "$(NONE)", "$A", "$(A"], "{output}");
}

// shows: ConfigMap:data
#[test]
fn keys_of_config_maps_and_secrets_become_variables() {
    let fields = "command: [sh, -c, 'echo $A, $B, ${C-unset}'], env: [{name: A, valueFrom: {configMapKeyRef: {name: m, key: ONE}}}, \
        {name: B, valueFrom: {secretKeyRef: {name: s, key: password}}}, {name: C, valueFrom: {secretKeyRef: {name: s, key: none, optional: true}}}]";
    let output = Place::with(&["busybox"]).run(&format!("{}{CONFIG}{SECRET}", container(fields)));
    assert_eq!(output.said(), "of map, hunter2, unset", "{output}");
}

// shows: spec.containers[].command, spec.containers[].args, spec.containers[].image, spec.containers[].workingDir
#[test]
fn command_and_args_replace_entrypoint_and_cmd_as_the_documentation_says() {
    let place = Place::with(&["busybox"]);
    let source = support::images().join("busybox");
    assert!(source.exists());
    // An image with both, of the same root file system.
    let root = tree_of_busybox(&place);
    let changes = [
        "--change",
        "ENTRYPOINT [\"/bin/echo\", \"entry\"]",
        "--change",
        "CMD [\"cmd\"]",
        "--change",
        "ENV FROM=image",
    ];
    let changes: Vec<&str> = changes.into_iter().chain(["--change", "WORKDIR /etc", "--change", "USER user"]).collect();
    place.podling(&[&["image", "import"], &changes[..], &[&root, "both"]].concat()).expect_success();
    for (fields, said) in [
        ("", "entry cmd"),
        (", args: [mine]", "entry mine"),
        (", command: [/bin/echo, new]", "new"),
        (", command: [/bin/echo, new], args: [mine]", "new mine"),
        (", command: [sh, -c, 'echo $FROM; pwd; id -u']", "image\n/etc\n1000"),
        (", workingDir: /made/up, command: [pwd]", "/made/up"),
    ] {
        let output =
            place.run(&container(&format!("imagePullPolicy: Never{fields}")).replace("image: busybox", "image: both"));
        assert_eq!(output.said(), said, "{fields}: {output}");
    }
}

/// A root file system that `image import` takes: busybox's program from its archive, found by podling itself.
fn tree_of_busybox(place: &Place) -> String {
    let dir = place.path().join("tree");
    let archive = support::archive("busybox");
    let script = "set -e; mkdir -p layers tree; tar -xf \"$0\" -C layers; for l in $(find layers -name '*.tar' -o -name '*.gz' -o -path '*blobs*' -type f); do \
        tar -tf $l 2>/dev/null | grep -q 'bin/busybox$' || continue; tar -xf $l -C tree --no-same-owner 2>/dev/null; done; test -e tree/bin/busybox; chmod -R u+rwX tree";
    support::running::output_of(Command::new("sh").current_dir(place.path()).args(["-c", script]).arg(archive))
        .expect_success();
    dir.to_str().unwrap().to_owned()
}

// shows: spec.initContainers
#[test]
fn init_containers_run_one_after_the_other_before_all_others() {
    let place = Place::with(&["busybox"]);
    let fields = "volumeMounts: [{name: v, mountPath: /v}]";
    let init = |name: &str| container_yaml(name, "busybox", &format!("sleep 0.2; echo {name} >>/v/order"), fields);
    let spec = format!(
        "restartPolicy: Never\nvolumes: [{{name: v, emptyDir: {{}}}}]\ninitContainers:\n{}{}",
        dedent(&init("first")),
        dedent(&init("second"))
    );
    let output = place.run(&pod("p", &spec, &[container_yaml("c", "busybox", "cat /v/order", fields)]));
    output.expect_success();
    assert_eq!(output.lines_of("c"), ["first", "second"], "{output}");
    place.assert_nothing_left();
}

fn dedent(text: &str) -> String {
    text.lines().map(|l| format!("{}\n", l.strip_prefix("  ").unwrap_or(l))).collect()
}

// shows: spec.initContainers
#[test]
fn an_init_container_that_fails_keeps_the_others_from_starting() {
    let place = Place::with(&["busybox"]);
    let spec =
        format!("restartPolicy: Never\ninitContainers:\n{}", dedent(&container_yaml("i", "busybox", "exit 9", "")));
    let output = place.run(&pod("p", &spec, &[container_yaml("c", "busybox", "echo started", "")]));
    output.expect_code(9);
    assert_eq!(output.stdout, "", "{output}");
    assert!(output.stderr.contains("init container \"i\" failed with code 9"), "{output}");
    place.assert_nothing_left();
}

#[test]
fn the_exit_code_is_that_of_the_container_that_failed_first() {
    let place = Place::with(&["busybox"]);
    let three = |a: &str, b: &str, c: &str| {
        let all = [("a", a), ("b", b), ("d", c)].map(|(name, script)| container_yaml(name, "busybox", script, ""));
        place.run(&pod("p", "restartPolicy: Never", &all))
    };
    three("true", "true", "true").expect_success();
    three("sleep 0.5; exit 3", "exit 4", "true").expect_code(4);
    three("kill -9 $$", "true", "true").expect_code(0);
    three("sh -c 'kill -9 $PPID'; sleep 0.1; exit 5", "true", "true").expect_code(5);
    place.assert_nothing_left();
}

// shows: spec.restartPolicy
#[test]
fn restart_policies_decide_what_starts_again_and_when() {
    let place = Place::with(&["busybox"]);
    for (policy, code, again) in
        [("Always", 0, true), ("Always", 1, true), ("OnFailure", 1, true), ("OnFailure", 0, false), ("Never", 1, false)]
    {
        let yaml = shell(&format!("echo ran; exit {code}"))
            .replace("restartPolicy: Never", &format!("restartPolicy: {policy}"));
        let running = place.start(&yaml);
        if again {
            running.wait_for(&format!("podling: container \"c\" ended with code {code}; it starts again in 10 s"));
            running.stop().expect_code(code);
        } else {
            running.finish().expect_code(code);
        }
        place.assert_nothing_left();
    }
}

#[test]
fn a_container_that_starts_again_has_a_fresh_file_system_and_its_old_volumes() {
    let place = Place::with(&["busybox"]);
    let script = "[ -e /mine ] && echo old root; touch /mine; echo x >>/v/runs; echo run $(wc -l </v/runs); [ $(wc -l </v/runs) = 2 ]";
    let yaml =
        shell_with("busybox", script, "volumeMounts: [{name: v, mountPath: /v}]", "volumes: [{name: v, emptyDir: {}}]");
    let output = place.run(&yaml.replace("restartPolicy: Never", "restartPolicy: OnFailure"));
    output.expect_success();
    assert_eq!(output.lines_of("c"), ["run 1", "run 2"], "{output}");
}

#[test]
fn an_empty_dir_is_shared_by_those_that_mount_it_and_by_no_other_pod() {
    let place = Place::with(&["busybox"]);
    let mounted = "volumeMounts: [{name: v, mountPath: /v}]";
    let yaml = |name: &str| {
        let containers = [
            container_yaml(
                "c",
                "busybox",
                "ls /v | grep -v ready; echo hello >/v/note; touch /v/ready; sleep 1",
                mounted,
            ),
            container_yaml(
                "d",
                "busybox",
                "until [ -e /v/ready ]; do sleep 0.05; done; echo $(cat /v/note; stat -c %a /v; grep ' /v ' /proc/mounts | cut -d' ' -f3)",
                mounted,
            ),
            container_yaml("e", "busybox", "ls -d /v 2>&1", ""),
        ];
        pod(name, "restartPolicy: Never\nvolumes: [{name: v, emptyDir: {}}]", &containers)
    };
    let output = place.run(&format!("{}---\n{}", yaml("one"), yaml("two")));
    assert_eq!(output.code, Some(1), "{output}");
    // Lines of several pods say whose they are.
    for pod in ["one", "two"] {
        let lines = |container: &str| output.lines_of(&format!("{pod}/{container}"));
        assert_eq!(lines("d"), ["hello 777 tmpfs"], "{output}");
        assert_eq!(lines("c"), Vec::<&str>::new(), "{output}");
        assert_eq!(lines("e"), ["ls: /v: No such file or directory"], "{output}");
    }
}

#[test]
fn a_size_limit_holds() {
    let yaml = shell_with(
        "busybox",
        "dd if=/dev/zero of=/v/big bs=64k count=100 2>&1 | grep -o 'No space left.*'; du -k /v/big | cut -f1",
        "volumeMounts: [{name: v, mountPath: /v}]",
        "volumes: [{name: v, emptyDir: {sizeLimit: 1Mi}}]",
    );
    let output = Place::with(&["busybox"]).run(&yaml);
    assert_eq!(output.lines_of("c"), ["No space left on device", "1024"], "{output}");
}

#[test]
fn a_read_only_mount_is_read_only_for_its_container_alone() {
    let containers = [
        container_yaml(
            "c",
            "busybox",
            "touch /v/x 2>&1; touch /v/x 2>/dev/null || echo refused",
            "volumeMounts: [{name: v, mountPath: /v, readOnly: true}]",
        ),
        container_yaml("d", "busybox", "touch /v/x && echo written", "volumeMounts: [{name: v, mountPath: /v}]"),
    ];
    let output = Place::with(&["busybox"]).run(&pod(
        "p",
        "restartPolicy: Never\nvolumes: [{name: v, emptyDir: {}}]",
        &containers,
    ));
    assert_eq!(output.lines_of("c"), ["touch: /v/x: Read-only file system", "refused"], "{output}");
    assert_eq!(output.lines_of("d"), ["written"], "{output}");
}

#[test]
fn a_read_only_root_leaves_volumes_and_devices_writable() {
    let script = "touch /x 2>&1; touch /v/x /dev/shm/x && echo written >/dev/null && echo volumes are";
    let yaml = shell_with(
        "busybox",
        script,
        "securityContext: {readOnlyRootFilesystem: true}\nvolumeMounts: [{name: v, mountPath: /v}]",
        "volumes: [{name: v, emptyDir: {}}]",
    );
    let output = Place::with(&["busybox"]).run(&yaml);
    assert_eq!(output.lines_of("c"), ["touch: /x: Read-only file system", "volumes are"], "{output}");
    let ping = shell_with(
        "debian",
        "ping -q -c 1 127.0.0.1 | grep -c '1 received'",
        "securityContext: {readOnlyRootFilesystem: true}",
        "",
    );
    assert_eq!(Place::with(&["debian"]).run(&ping).said(), "1");
}

// shows: ConfigMap:data, ConfigMap:binaryData, Secret:stringData
#[test]
fn config_maps_and_secrets_become_read_only_files() {
    let script = "cd /m; ls -A | grep -v '^\\.\\.' | tr '\\n' ' '; echo; cat file; od -An -tx1 bytes; stat -Lc %a file; cd /s; ls -A | grep -v '^\\.\\.' | tr '\\n' ' '; echo; \
        cat deep/er/pw; echo; stat -Lc %a deep/er/pw TWO; ls /absent; touch /s/new 2>/dev/null || echo read-only; (echo x >/m/file) 2>/dev/null || echo read-only; \
        grep ' /s ' /proc/mounts | cut -d' ' -f3";
    let spec = "volumes: [{name: m, configMap: {name: m}}, {name: a, configMap: {name: absent, optional: true}}, {name: s, secret: {secretName: s, defaultMode: 0400, \
        items: [{key: password, path: deep/er/pw}, {key: TWO, path: TWO, mode: 0444}]}}]";
    let fields = "volumeMounts: [{name: m, mountPath: /m}, {name: s, mountPath: /s}, {name: a, mountPath: /absent}]";
    let output =
        Place::with(&["busybox"]).run(&format!("{}{CONFIG}{SECRET}", shell_with("busybox", script, fields, spec)));
    let expected = [
        "ONE TWO bytes file ",
        "text",
        " 00 01 ff",
        "644",
        "TWO deep ",
        "hunter2",
        "400",
        "444",
        "read-only",
        "read-only",
        "tmpfs",
    ];
    assert_eq!(output.lines_of("c"), expected, "{output}");
}

#[test]
fn a_secret_is_never_on_the_disk_nor_in_what_is_printed() {
    let place = Place::with(&["busybox"]);
    let yaml = shell_with(
        "busybox",
        "echo ready; sleep 1000",
        "volumeMounts: [{name: s, mountPath: /s}]",
        "terminationGracePeriodSeconds: 0\nvolumes: [{name: s, secret: {secretName: s}}]",
    );
    let yaml = format!("{yaml}{SECRET}");
    let running = place.start(&yaml);
    running.wait_for("c | ready");
    let found = support::running::output_of(Command::new("grep").args(["-rl", "hunter2"]).arg(place.data()));
    assert_eq!(found.stdout, "", "{found}");
    running.stop();
    let plan = place.podling(&["plan", "pod.yaml"]);
    plan.expect_success();
    assert!(!plan.stdout.contains("hunter2") && !plan.stdout.contains("aHVudGVyMg"), "{plan}");
}

// shows: metadata.name
#[test]
fn the_pod_has_a_name_hosts_and_a_resolver() {
    let place = Place::with(&["busybox"]);
    let script = "hostname; cat /etc/hostname; grep -c '127.0.0.1.*localhost' /etc/hosts; wget -q -O /dev/null http://$(hostname):1/ 2>&1 | grep -c refused; [ -s /etc/resolv.conf ] || echo no servers";
    let output = place.run(&shell(script));
    assert_eq!(output.lines_of("c")[..4], ["p", "p", "1", "1"], "{output}");
    let output = place.run(&shell_with("busybox", "hostname", "", "hostname: mine"));
    assert_eq!(output.said(), "mine", "{output}");
    let output = place.run_with(&shell("hostname"), &["--name", "other"]);
    assert_eq!(output.said(), "other", "{output}");
}

#[test]
fn containers_share_localhost_but_not_their_processes_nor_their_files() {
    let place = Place::with(&["busybox"]);
    let serve = "echo from c >/tmp/index.html; httpd -p 8080 -h /tmp; sleep 1000 & wait";
    let ask = "until wget -q -O - http://localhost:8080/ 2>/dev/null; do sleep 0.05; done; ls /tmp; grep -l httpd /proc/[0-9]*/comm; hostname; ls /proc | grep -c '^[0-9]'";
    let containers = [container_yaml("c", "busybox", serve, ""), container_yaml("d", "busybox", ask, "")];
    let running = place.start(&pod("p", "restartPolicy: Never\nterminationGracePeriodSeconds: 0", &containers));
    running.wait_for("d | p");
    let output = running.stop();
    assert_eq!(output.lines_of("d")[..2], ["from c", "p"], "{output}");
}

#[test]
fn the_images_stop_signal_is_what_asks_it_to_end() {
    let place = Place::with(&["web"]);
    let script = "trap 'echo quit; exit 0' QUIT; trap 'echo terminated; exit 1' TERM; echo ready; while true; do sleep 1 & wait $!; done";
    let running = place.start(&shell_with("web", script, "", ""));
    running.wait_for("c | ready");
    running.stop().expect_success().expect_line("c | quit");
}

#[test]
fn name_env_and_quiet_do_what_a_docker_user_expects() {
    let place = Place::with(&["busybox"]);
    let yaml = shell_with("busybox", "echo $A $B $C; hostname", "env: [{name: A, value: of the YAML}]", "");
    place.write(&yaml);
    let mut command = place.command(&[
        "run",
        "-q",
        "--name",
        "named",
        "-e",
        "A=given",
        "--env",
        "B=b=c",
        "-e",
        "C",
        "-e",
        "NOT_THERE",
        "pod.yaml",
    ]);
    command.env("C", "of the caller");
    let output = Running::spawn(&place, command).finish();
    assert_eq!((output.said().as_str(), output.stderr.as_str()), ("given b=c of the caller\nnamed", ""), "{output}");
}

#[test]
fn standard_input_is_a_file_called_dash() {
    let place = Place::with(&["busybox"]);
    let mut child = place
        .command(&["run", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(shell("echo from standard input").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "c | from standard input\n");
}

// shows: spec.containers[].stdin
#[test]
fn a_containers_standard_input_is_empty() {
    let output = Place::with(&["busybox"]).run(&shell("wc -c"));
    assert_eq!(output.said().trim(), "0", "{output}");
}

// shows: kind
#[test]
fn documents_files_and_lists_are_one_input() {
    let place = Place::with(&["busybox"]);
    place.write_file("map.yaml", CONFIG.trim_start_matches("---\n"));
    let object = container("command: [sh, -c, 'echo $ONE'], envFrom: [{configMapRef: {name: m}}]");
    place.write_file("pod.yaml", &object);
    let output = place.podling(&["run", "map.yaml", "pod.yaml"]);
    assert_eq!(output.said(), "of map", "{output}");
    let pod = r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x"},"spec":{"restartPolicy":"Never","containers":[{"name":"c","image":"busybox","command":["echo","of a list"]}]}}"#;
    place.write_file("list.json", &format!(r#"{{"apiVersion":"v1","kind":"List","items":[{pod}]}}"#));
    assert_eq!(place.podling(&["run", "list.json"]).said(), "of a list");
    let two =
        format!("{}---\n{}", shell("echo one; exit 2"), shell("echo two; exit 0").replace("name: p}", "name: q}"));
    let output = place.run(&two);
    output.expect_code(2);
    assert_eq!(output.stdout.lines().count(), 2, "{output}");
    place.assert_nothing_left();
}

// shows: spec.containers[].name
#[test]
fn lines_are_whole_in_order_and_behind_their_containers_name() {
    let place = Place::with(&["busybox"]);
    let script = "for i in $(seq 500); do echo line $i; echo error $i >&2; done; printf unfinished";
    let containers = [container_yaml("c", "busybox", script, ""), container_yaml("longer", "busybox", script, "")];
    let output = place.run(&pod("p", "restartPolicy: Never", &containers));
    let mut expected: Vec<String> = (1..=500).map(|i| format!("line {i}")).collect();
    expected.push("unfinished".to_owned());
    for name in ["c", "longer"] {
        assert_eq!(output.lines_of(name), expected);
    }
    assert!(output.stdout.lines().all(|l| l.starts_with("c      | ") || l.starts_with("longer | ")));
    assert_eq!(output.stderr.lines().filter(|l| l.contains(" | error ")).count(), 1000, "{}", output.stderr);
}

/// Runs `podling run pod.yaml` on a terminal of its own; `keys` are typed once the output contains `ready`.
fn on_a_terminal(place: &Place, environment: &[(&str, &str)], ready: &str, keys: &str) -> Option<String> {
    if !require(Feature::Program("script")) {
        return None;
    }
    let line = format!("trap : INT; {} run pod.yaml; echo code $?", binary().display());
    Some(support::running::on_a_terminal(place, environment, &line, ready, keys))
}

#[test]
fn prefixes_have_colours_on_a_terminal_unless_no_color_is_set() {
    let place = Place::with(&["busybox"]);
    let containers = [container_yaml("c", "busybox", "echo one", ""), container_yaml("d", "busybox", "echo two", "")];
    place.write(&pod("p", "restartPolicy: Never", &containers));
    let Some(seen) = on_a_terminal(&place, &[], "never typed", "") else { return };
    assert!(
        seen.contains("\x1b[36mc |\x1b[0m one\n")
            && seen.contains("\x1b[33md |\x1b[0m two\n")
            && seen.contains("code 0"),
        "{seen:?}"
    );
    let seen = on_a_terminal(&place, &[("NO_COLOR", "1")], "never typed", "").unwrap();
    assert!(seen.contains("c | one\n") && !seen.contains('\x1b'), "{seen:?}");
    let output = place.podling(&["run", "pod.yaml"]);
    assert!(!output.stdout.contains('\x1b'), "{output}");
}

#[test]
fn ctrl_c_on_the_terminal_asks_each_container_once() {
    let place = Place::with(&["busybox"]);
    place.write(&shell("trap 'echo asked' TERM; trap 'echo interrupted' INT; echo ready; n=0; while [ $n -lt 30 ]; do n=$((n + 1)); sleep 0.1 & wait $!; done; exit 4"));
    let Some(seen) = on_a_terminal(&place, &[("NO_COLOR", "1")], "c | ready", "\x03") else { return };
    assert_eq!(seen.matches("c | asked").count(), 1, "{seen:?}");
    assert!(!seen.contains("interrupted") && seen.contains("code 4"), "{seen:?}");
    place.assert_nothing_left();
}

#[test]
fn many_signals_at_once_are_one_wish() {
    let place = Place::with(&["busybox"]);
    let running =
        place.start(&shell("trap 'echo asked; exit 0' TERM; echo ready; while true; do sleep 1 & wait $!; done"));
    running.wait_for("c | ready");
    running.signal(Signal::SIGTERM);
    running.finish().expect_success().expect_line("c | asked");
}

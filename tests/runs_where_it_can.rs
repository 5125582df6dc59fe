//! Promise: it runs where it can. The same YAML gives the same result with subordinate ids, with one id and as root; what does not hold
//! is said.

mod support;

use support::{Ids, Place, container_yaml, ids, pod, shell, shell_with};

#[test]
fn the_pod_has_the_ids_that_the_user_has() {
    let place = Place::with(&["busybox"]);
    let output = place.run(&shell(
        "awk '{ n += $3 } END { print n }' /proc/self/uid_map; awk '{ n += $3 } END { print n }' /proc/self/gid_map",
    ));
    let counts: Vec<u64> = output.lines_of("c").iter().map(|n| n.parse().unwrap()).collect();
    match ids() {
        Ids::One => assert_eq!(counts, [1, 1], "{output}"),
        Ids::Subordinate | Ids::Root => assert!(counts.iter().all(|n| *n > 1000), "{output}"),
    }
}

#[test]
fn each_container_is_the_user_it_asks_for() {
    let place = Place::with(&["busybox"]);
    for (fields, user) in [
        ("", "0:0 root"),
        ("securityContext: {runAsUser: 0}", "0:0 root"),
        ("securityContext: {runAsUser: 999}", "999:0 999"),
        ("securityContext: {runAsUser: 1000, runAsGroup: 1000}", "1000:1000 user"),
        ("securityContext: {runAsUser: 33}", "33:33 www-data"),
        ("securityContext: {runAsGroup: 33}", "0:33 root"),
    ] {
        let script = "echo $(id -u):$(id -g) $(id -un 2>/dev/null); touch /tmp/f; stat -c %u:%g /tmp/f";
        let output = place.run(&shell_with("busybox", script, fields, ""));
        let owner = user.split(' ').next().unwrap();
        assert_eq!(output.lines_of("c"), [user, owner], "{fields}: {output}");
    }
    place.assert_nothing_left();
}

#[test]
fn containers_of_different_users_live_in_one_pod() {
    let place = Place::with(&["busybox"]);
    let script = "id -u; echo $(id -u) >/v/$(id -u); until [ $(ls /v | wc -l) = 3 ]; do sleep 0.05; done; cat /v/*";
    let containers = [0, 999, 1000].map(|uid| {
        let fields = format!("securityContext: {{runAsUser: {uid}}}\nvolumeMounts: [{{name: v, mountPath: /v}}]");
        container_yaml(&format!("u{uid}"), "busybox", script, &fields)
    });
    let output = place.run(&pod("p", "restartPolicy: Never\nvolumes: [{name: v, emptyDir: {}}]", &containers));
    output.expect_success();
    for uid in ["0", "999", "1000"] {
        assert_eq!(output.lines_of(&format!("u{uid}")), [uid, "0", "1000", "999"], "{output}");
    }
}

#[test]
fn the_users_of_a_pod_own_what_the_pod_says() {
    let place = Place::with(&["busybox"]);
    let spec = "securityContext: {runAsUser: 1000, runAsGroup: 33}";
    let output = place.run(&shell_with(
        "busybox",
        "id -u; id -g; cd; pwd; touch f && stat -c %u:%g f; touch /root/f 2>&1",
        "",
        spec,
    ));
    let said = output.lines_of("c");
    assert_eq!(said[..3], ["1000", "33", "/home/user"], "{output}");
    if ids() != Ids::One {
        assert_eq!(said[3..], ["1000:33", "touch: /root/f: Permission denied"], "{output}");
    }
}

#[test]
fn an_image_that_names_its_user_runs_as_that_user() {
    let place = Place::with(&[]);
    let root = place.path().join("root");
    std::fs::create_dir_all(root.join("etc")).unwrap();
    std::fs::create_dir_all(root.join("bin")).unwrap();
    std::fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\napp:x:1234:4321::/srv:/bin/sh\n").unwrap();
    std::fs::write(root.join("etc/group"), "root:x:0:\napp:x:4321:\nmore:x:55:app\n").unwrap();
    // The one program that is sure to be static here is podling itself.
    std::fs::copy(support::binary(), root.join("bin/podling")).unwrap();
    let root = root.to_str().unwrap();
    place
        .podling(&["image", "import", "--change", "USER app", "--change", "ENTRYPOINT [\"/bin/podling\"]", root, "app"])
        .expect_success();
    place.write("apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  restartPolicy: Never\n  containers:\n  - {name: c, image: app, args: [--version]}\n");
    let output = place.podling(&["run", "pod.yaml"]);
    output.expect_success();
    assert!(output.said().starts_with("podling "), "{output}");
    let plan = place.podling(&["plan", "pod.yaml"]);
    assert!(plan.stdout.contains("\"uid\": 1234") && plan.stdout.contains("\"gid\": 4321"), "{plan}");
    assert!(plan.stdout.contains("HOME=/srv"), "{plan}");
    let left_out = output.stderr.contains("supplementary groups 55 are left out");
    assert_eq!(left_out, ids() == Ids::One, "what one id cannot give is said, and nothing else is: {output}");
}

#[test]
fn what_is_emulated_is_said_with_its_field_unless_quiet() {
    let place = Place::with(&["busybox"]);
    let yaml = shell_with("busybox", "true", "", "volumes: [{name: v, emptyDir: {}}]");
    let output = place.run(&yaml);
    assert!(output.stderr.contains("pod.yaml:6: spec.volumes[0].emptyDir: emulated: "), "{output}");
    assert_eq!(place.run_with(&yaml, &["--quiet"]).stderr, "");
    let output = place.run(&shell("true"));
    match ids() {
        Ids::One => assert!(output.stderr.contains("the caller has no subordinate ids"), "{output}"),
        Ids::Subordinate | Ids::Root => assert_eq!(output.stderr, "", "a pod of which all holds needs no words"),
    }
}

#[test]
fn no_runtime_directory_no_terminal_and_hardly_a_variable_are_needed() {
    let place = Place::with(&["busybox"]);
    place.write(&shell("echo works"));
    let mut command = place.command(&["run", "pod.yaml"]);
    command.env_clear().env("XDG_DATA_HOME", place.path());
    let output = support::Running::spawn(&place, command).finish();
    assert_eq!(output.said(), "works", "{output}");
    place.assert_nothing_left();
}

#[test]
fn odd_paths_of_the_data_directory_are_no_trouble() {
    let place = Place::with(&["busybox"]);
    let odd = place.path().join("a b:c,d\\e\"f=ü");
    std::fs::create_dir(&odd).unwrap();
    place.write(&shell("echo works"));
    let archive = support::archive("busybox");
    for args in [&["image", "load", archive.to_str().unwrap()][..], &["run", "pod.yaml"]] {
        let mut command = place.command(args);
        command.env("XDG_DATA_HOME", &odd);
        support::Running::spawn(&place, command).finish().expect_success();
    }
    let mut command = place.command(&["image", "rm", "busybox"]);
    command.env("XDG_DATA_HOME", &odd);
    support::Running::spawn(&place, command).finish().expect_success();
}

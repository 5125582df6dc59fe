//! Promise: it says why. A failure names what failed, on what, and the mend; and its exit code tells podling's own from a command's.

mod support;

use std::process::Command;

use support::{Feature, Ids, Output, Place, Running, binary, ids, pod, require, shell, shell_with};

fn one(fields: &str) -> String {
    pod("p", "restartPolicy: Never", &[format!("  - {{name: c, image: busybox, {fields}}}\n")])
}

/// Runs `script` by a shell in the place, with podling as `$0`.
fn script(place: &Place, words: &[&str], script: &str) -> Output {
    let mut command = Command::new(words.first().copied().unwrap_or("sh"));
    place.environment(&mut command);
    if let Some((_, rest)) = words.split_first() {
        command.args(rest).arg("sh");
    }
    command.args(["-c", script]).arg(binary());
    Running::spawn(place, command).finish()
}

#[test]
fn a_command_that_is_not_there_is_127() {
    let place = Place::with(&["busybox"]);
    for (fields, parts) in [
        ("command: [no-such-program]", ["\"no-such-program\" was not found", "PATH"]),
        ("command: [/no/such]", ["\"/no/such\" was not found", "image"]),
        ("command: ['echo hello']", ["\"echo hello\" was not found", "command: [\"echo\""]),
    ] {
        let output = place.run(&one(fields));
        output.expect_code(127);
        assert!(
            parts.iter().all(|part| output.stderr.contains(part)) && output.stderr.contains("container \"c\""),
            "{output}"
        );
        place.assert_nothing_left();
    }
}

#[test]
fn a_command_that_cannot_be_executed_is_126() {
    let place = Place::with(&["busybox"]);
    for (command, part) in [("/etc/passwd", "may not be executed"), ("/etc", "may not be executed")] {
        let output = place.run(&one(&format!("command: [{command}]")));
        output.expect_code(126);
        assert!(output.stderr.contains(command) && output.stderr.contains(part), "{output}");
    }
    let output = place.run(&one("command: ['true'], workingDir: /etc/passwd"));
    assert!(matches!(output.code, Some(125 | 126)) && output.stderr.contains("/etc/passwd"), "{output}");
    place.assert_nothing_left();
}

#[test]
fn a_command_that_is_found_keeps_its_own_code() {
    let place = Place::with(&["busybox"]);
    for code in [1, 2, 125, 126, 127, 255] {
        place.run(&shell(&format!("exit {code}"))).expect_code(code);
    }
    place.run(&shell("sh -c 'kill -15 $$'; exit $?")).expect_code(143);
}

#[test]
fn podlings_own_failures_are_125() {
    let place = Place::with(&[]);
    place.podling(&["run"]).expect_code(125);
    place.podling(&["no-such-verb"]).expect_code(125);
    place.podling(&["run", "/"]).expect_refusal(&["cannot read /"]);
    place.run("not: a pod").expect_refusal(&["pod.yaml:1"]);
    place.podling(&["--help"]).expect_success();
    place.podling(&["--version"]).expect_success();
}

#[test]
fn an_image_that_is_not_there_comes_with_the_way_to_load_it() {
    Place::with(&[]).run(&shell("true")).expect_refusal(&["pod.yaml:", "busybox", "podling image load"]);
}

#[test]
fn without_home_and_xdg_data_home_the_mend_is_to_set_one() {
    let place = Place::with(&[]);
    place.write(&shell("true"));
    let mut command = place.command(&["run", "pod.yaml"]);
    command.env_remove("HOME").env_remove("XDG_DATA_HOME");
    Running::spawn(&place, command).finish().expect_refusal(&["XDG_DATA_HOME", "HOME", "export HOME="]);
}

#[test]
fn a_home_that_cannot_be_written_is_named_with_another_place_to_use() {
    if !require(Feature::OrdinaryUser) {
        return;
    }
    let place = Place::with(&[]);
    let home = place.path().join("home");
    std::fs::create_dir(&home).unwrap();
    std::fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o555)).unwrap();
    let archive = support::archive("busybox");
    let mut command = place.command(&["image", "load", archive.to_str().unwrap()]);
    command.env_remove("XDG_DATA_HOME").env("HOME", &home);
    let output = Running::spawn(&place, command).finish();
    output.expect_refusal(&[home.to_str().unwrap(), "ermission denied", "XDG_DATA_HOME"]);
}

#[test]
fn a_data_directory_that_became_read_only_is_named_and_nothing_runs() {
    if !require(Feature::OrdinaryUser) {
        return;
    }
    let place = Place::with(&["busybox"]);
    let pods = place.data().join("pods");
    std::fs::create_dir_all(&pods).unwrap();
    std::fs::set_permissions(&pods, std::os::unix::fs::PermissionsExt::from_mode(0o500)).unwrap();
    let output = place.run(&shell("echo ran"));
    std::fs::set_permissions(&pods, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    output.expect_refusal(&[pods.to_str().unwrap()]);
    assert_eq!(output.stdout, "", "{output}");
}

#[test]
fn forbidden_user_namespaces_come_with_the_setting_that_allows_them() {
    if !require(Feature::UserNamespaces) {
        return;
    }
    let place = Place::with(&["busybox"]);
    place.write(&shell("true"));
    // The limit of a user namespace of one's own holds for what is in it.
    let output = script(
        &place,
        &["unshare", "--user", "--map-root-user"],
        "echo 0 >/proc/sys/user/max_user_namespaces && exec \"$0\" run pod.yaml",
    );
    output.expect_refusal(&["clone3", "sysctl user.max_user_namespaces="]);
}

#[test]
fn without_newuidmap_one_id_serves_and_the_package_is_named() {
    if !require(Feature::UserNamespaces) || ids() != Ids::Subordinate {
        return;
    }
    let place = Place::with(&["busybox"]);
    place.write(&shell("id -u; awk '{ n += $3 } END { print n }' /proc/self/uid_map"));
    // Helpers are looked for where distributions have them, whatever PATH says; so they are covered, in a mount namespace.
    let hide = "for f in newuidmap newgidmap; do mount --bind /dev/null $(command -v $f) || exit 99; done; \
        exec setpriv --ambient-caps=-all --inh-caps=-all \"$0\" run pod.yaml";
    let output = script(&place, &["unshare", "--user", "--map-current-user", "--keep-caps", "--mount"], hide);
    assert_eq!(output.lines_of("c"), ["0", "1"], "{output}");
    assert!(output.stderr.contains("newuidmap") && output.stderr.contains("apt install uidmap"), "{output}");
}

#[test]
fn a_newuidmap_without_its_setuid_bit_is_named_with_its_mend() {
    if ids() != Ids::Subordinate {
        return;
    }
    let place = Place::with(&["busybox"]);
    place.write(&shell("true"));
    let output = script(&place, &["setpriv", "--no-new-privs"], "exec \"$0\" run pod.yaml");
    output.expect_refusal(&["uidmap", "setuid root", "apt install --reinstall uidmap"]);
    place.assert_nothing_left();
}

#[test]
fn a_full_disk_is_said_and_the_store_is_as_before() {
    if !require(Feature::UserNamespaces) {
        return;
    }
    let place = Place::with(&[]);
    let full = place.path().join("full");
    std::fs::create_dir(&full).unwrap();
    let archive = support::archive("busybox");
    let load = format!(
        "mount -t tmpfs -o size=1m none {0} || exit 99; export XDG_DATA_HOME={0}; \"$0\" image load {1}; code=$?; \"$0\" images -q; find {0} -type f -size +16k; ls {0}/podling/staging; exit $code",
        full.display(),
        archive.display()
    );
    let output = script(&place, &["unshare", "--user", "--map-root-user", "--mount"], &load);
    output.expect_refusal(&["No space left on device"]);
    assert_eq!(output.stdout, "", "something is left: {output}");
}

#[test]
fn a_pod_on_a_full_disk_is_refused_or_sees_enospc_itself() {
    if !require(Feature::UserNamespaces) {
        return;
    }
    let place = Place::with(&[]);
    let full = place.path().join("full");
    std::fs::create_dir(&full).unwrap();
    place.write(&shell("dd if=/dev/zero of=/big bs=64k 2>&1 | grep -o 'No space.*'"));
    let archive = support::archive("busybox");
    let run = format!(
        "mount -t tmpfs -o size=16m none {0} || exit 99; export XDG_DATA_HOME={0}; \"$0\" image load -q {1} && \"$0\" run pod.yaml; ls {0}/podling/pods",
        full.display(),
        archive.display()
    );
    let output = script(&place, &["unshare", "--user", "--map-root-user", "--mount"], &run);
    assert_eq!(output.lines_of("c"), ["No space left on device"], "{output}");
    assert_eq!(output.stdout.lines().count(), 2, "something is left: {output}");
}

#[test]
fn an_id_beyond_the_subordinate_ones_is_refused_with_the_file_to_extend() {
    let place = Place::with(&["busybox"]);
    let output = place.run(&shell_with("busybox", "id -u", "securityContext: {runAsUser: 100000000}", ""));
    match ids() {
        Ids::One => assert_eq!(output.said(), "100000000", "{output}"),
        Ids::Subordinate | Ids::Root => drop(output.expect_refusal(&["100000000", "/etc/subuid"])),
    }
}

#[test]
fn every_error_is_one_line_and_its_mend() {
    let place = Place::with(&["busybox"]);
    for output in [
        place.run_with(&one("command: [no-such-program]"), &["-q"]),
        place.run(&shell("true").replace("busybox", "absent")),
        place.podling(&["run", "absent.yaml"]),
    ] {
        let lines: Vec<&str> = output.stderr.lines().collect();
        assert!(lines[0].starts_with("podling: ") && !lines[0].ends_with('.'), "{output}");
        assert!(lines[1..].iter().all(|line| line.starts_with("  ")), "{output}");
    }
}

//! What a hostile container, image, caller or moment tries, and what it must not get.

mod support;

use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use support::running::output_of;
use support::{Feature, Ids, Place, Running, archive, container_yaml, ids, pod, require, shell, shell_with};

/// An image called `name`: busybox's file system, changed by `change`.
fn image(place: &Place, name: &str, change: impl FnOnce(&Path)) {
    let (layer, root) = (place.path().join(format!("{name}.tar")), place.path().join(name));
    fs::create_dir(&root).unwrap();
    let tar = |args: &[&str]| output_of(Command::new("tar").args(args)).expect_success().stdout.clone();
    let outer = place.path().join(format!("{name}.outer"));
    fs::create_dir(&outer).unwrap();
    tar(&["-xf", archive("busybox").to_str().unwrap(), "-C", outer.to_str().unwrap()]);
    let inner =
        fs::read_dir(&outer).unwrap().flatten().map(|e| e.path().join("layer.tar")).find(|p| p.exists()).unwrap();
    tar(&["-xf", inner.to_str().unwrap(), "-C", root.to_str().unwrap(), "--no-same-owner"]);
    change(&root);
    tar(&["-cf", layer.to_str().unwrap(), "-C", root.to_str().unwrap(), "--owner=0", "--group=0", "."]);
    place.podling(&["image", "import", layer.to_str().unwrap(), name]).expect_success();
}

/// Makes `root/name` a link, whatever was there.
fn link(root: &Path, name: &str, to: &str) {
    let path = root.join(name);
    let _ = fs::remove_dir_all(&path);
    symlink(to, path).unwrap();
}

#[test]
fn no_descriptor_leads_to_the_host_before_the_program_runs() {
    let place = Place::with(&["busybox"]);
    // A static program of the host's that every user may execute; what must fail is finding it.
    let program = support::binary();
    for fd in 3..16 {
        let up = format!("/proc/self/fd/{fd}/../../../../../../../../..{}", program.display());
        let one = format!("  - {{name: c, image: busybox, command: [\"{up}\", --version]}}\n");
        place.run(&pod("p", "restartPolicy: Never", &[one])).expect_code(127);
        let yaml = shell_with("busybox", "ls -d /var/tmp/*", &format!("workingDir: /proc/self/fd/{fd}"), "");
        assert_ne!(place.run(&yaml).code, Some(0), "descriptor {fd}");
    }
}

#[test]
fn an_image_cannot_move_the_kernels_file_systems_away_from_their_masks() {
    let place = Place::with(&[]);
    for (name, of) in [("evil-proc", "proc"), ("evil-sys", "sys"), ("evil-dev", "dev")] {
        image(&place, name, |root| {
            fs::create_dir(root.join("real")).unwrap();
            link(root, of, "/real");
        });
        place.run(&shell_with(name, "echo ran", "", "")).expect_refusal(&[&format!("/{of}"), "ELOOP"]);
    }
}

#[test]
fn an_images_links_at_mount_targets_lead_nowhere_outside() {
    let place = Place::with(&[]);
    image(&place, "evil", |root| {
        link(root, "etc/hosts", "../../../../../../../../etc/hosts-of-the-host");
        link(root, "data", "/../../../../tmp/of-the-host");
    });
    let yaml = shell_with(
        "evil",
        "grep -c localhost /etc/hosts && touch /data/x && ls /data",
        "volumeMounts: [{name: v, mountPath: /data}]",
        "volumes: [{name: v, emptyDir: {}}]",
    );
    place.run(&yaml).expect_success().expect_line("c | x");
    assert!(!Path::new("/etc/hosts-of-the-host").exists() && !Path::new("/tmp/of-the-host").exists());
}

#[test]
fn a_tree_of_any_depth_is_removed_and_keeps_no_later_pod_from_running() {
    let place = Place::with(&["busybox"]);
    place.write(&shell("cd /root; i=0; while [ $i -lt 1500 ]; do mkdir d && cd d || exit 1; i=$((i+1)); done"));
    // One descriptor for each level would not do.
    let mut command = Command::new("sh");
    place.environment(&mut command).args(["-c", "ulimit -n 300; exec \"$0\" run pod.yaml"]).arg(support::binary());
    Running::spawn(&place, command).finish().expect_success();
    place.run(&shell("echo next")).expect_success().expect_line("c | next");
    place.assert_nothing_left();
}

#[test]
fn the_first_failure_is_told_though_it_cuts_other_starts_short() {
    let place = Place::with(&["busybox"]);
    let mut containers = vec!["  - {name: bad, image: busybox, command: [/nonexistent]}\n".to_owned()];
    containers.extend((0..8).map(|n| container_yaml(&format!("c{n}"), "busybox", "sleep 60", "")));
    let yaml = pod("p", "restartPolicy: Never\nterminationGracePeriodSeconds: 0", &containers);
    for _ in 0..8 {
        let output = place.run(&yaml);
        output.expect_code(127);
        assert!(output.stderr.contains("\"/nonexistent\" was not found"), "{output}");
    }
}

#[test]
fn standard_streams_belong_to_the_containers_user() {
    let place = Place::with(&["busybox"]);
    let yaml =
        shell_with("busybox", "echo out >/dev/stdout; echo err >/dev/stderr", "securityContext: {runAsUser: 1000}", "");
    let output = place.run(&yaml);
    output.expect_success().expect_line("c | out");
    assert!(output.stderr.contains("c | err"), "{output}");
}

#[test]
fn a_container_starts_while_nobody_takes_the_output() {
    let place = Place::with(&["busybox"]);
    // More than podling holds before it lets containers wait, and less than what the pipes hold besides: the first ends
    // meanwhile, and the second starts.
    let flood = "yes 0123456789012345678901234567890123456789 | head -n 7500";
    let init =
        |name| dedent(&container_yaml(name, "busybox", flood, "").replace("    ", "      ").replace("  - ", "    - "));
    let spec = format!("restartPolicy: Never\ninitContainers:\n{}{}", init("one"), init("two"));
    let yaml = pod("p", &spec, &[container_yaml("c", "busybox", flood, "")]);
    place.write(&yaml);
    let mut command = place.command(&["run", "-q", "pod.yaml"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(700));
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(text.lines().count(), 3 * 7500);
}

/// Two columns less, for text that [`pod`] indents.
fn dedent(text: &str) -> String {
    text.lines().map(|line| format!("{}\n", line.strip_prefix("  ").unwrap_or(line))).collect()
}

#[test]
fn output_that_cannot_be_written_is_an_error_and_a_reader_that_left_is_none() {
    let place = Place::with(&["busybox"]);
    place.write(&shell("echo lost"));
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    let output = output_of(place.command(&["run", "pod.yaml"]).stdout(full()));
    output.expect_refusal(&["write(standard output) = ENOSPC"]);
    // What podling itself has to say may be lost; the pod runs all the same.
    place.write(&shell("cd /nonexistent"));
    let code = place.command(&["run", "pod.yaml"]).stdout(Stdio::null()).stderr(full()).status().unwrap().code();
    assert_ne!(code, Some(134), "podling aborted");
}

#[test]
fn a_pod_ends_though_nobody_reads_its_output() {
    let place = Place::with(&["busybox"]);
    place.write(&shell_with("busybox", "yes", "", "terminationGracePeriodSeconds: 1"));
    let mut child = place.command(&["run", "pod.yaml"]).stdout(Stdio::piped()).spawn().unwrap();
    // It writes, and nobody reads on.
    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    // The first asks, the second does not wait for what is unread.
    for _ in 0..2 {
        nix::sys::signal::kill(pid, Signal::SIGTERM).unwrap();
        std::thread::sleep(Duration::from_millis(300));
    }
    assert_eq!(child.wait().unwrap().code(), Some(137));
    place.assert_nothing_left();
}

#[test]
fn a_grace_period_of_any_length_is_no_accident() {
    let place = Place::with(&["busybox"]);
    let script = "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done";
    let spec = "terminationGracePeriodSeconds: 9223372036854775807";
    let running: Running = place.start(&shell_with("busybox", script, "", spec));
    running.wait_for("up").signal(Signal::SIGTERM);
    running.finish().expect_success().expect_line("c | bye");
}

#[test]
fn what_the_caller_ignores_stays_ignored() {
    let place = Place::with(&["busybox"]);
    let script = "trap 'echo asked; exit 0' TERM; echo up; while :; do sleep 0.05; done";
    place.write(&shell(script));
    let mut command = Command::new("sh");
    place.environment(&mut command);
    command.args(["-c", "trap '' HUP; exec \"$0\" run pod.yaml"]).arg(support::binary());
    let running = Running::spawn(&place, command);
    running.wait_for("up").signal(Signal::SIGHUP);
    std::thread::sleep(Duration::from_millis(300));
    assert!(!running.stdout().contains("asked"));
    running.stop().expect_success();
}

#[test]
fn a_store_that_others_may_write_is_refused() {
    let place = Place::with(&["busybox"]);
    fs::set_permissions(place.data(), fs::Permissions::from_mode(0o777)).unwrap();
    place.run(&shell("echo ran")).expect_refusal(&["only its owner", "XDG_DATA_HOME"]);
    fs::set_permissions(place.data(), fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn a_pod_stopped_before_its_containers_started_did_not_succeed() {
    let place = Place::with(&["busybox"]);
    let script = "trap 'exit 0' TERM; echo up; while :; do sleep 0.05; done";
    let init =
        dedent(&container_yaml("one", "busybox", script, "").replace("    ", "      ").replace("  - ", "    - "));
    let yaml = pod(
        "p",
        &format!("restartPolicy: Never\ninitContainers:\n{init}"),
        &[container_yaml("c", "busybox", "echo never", "")],
    );
    let running = place.start(&yaml);
    running.wait_for("up").signal(Signal::SIGTERM);
    running.finish().expect_code(143);
}

#[test]
fn no_container_can_change_podlings_own_program() {
    let place = Place::with(&["busybox"]);
    // A program of the caller's own, who is the pod's root.
    let own = place.path().join("own-podling");
    fs::copy(support::binary(), &own).unwrap();
    let before = fs::metadata(&own).unwrap();
    let yaml = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  terminationGracePeriodSeconds: 0\n  containers:\n  \
         - {name: c, image: busybox, stdin: true, command: [/proc/self/exe, run, \"-\"]}\n";
    place.write(yaml);
    let podling = |args: &[&str]| {
        let mut command = Command::new(&own);
        place.environment(&mut command).args(args);
        Running::spawn(&place, command).finish()
    };
    podling(&["run", "-d", "pod.yaml"]).expect_success();
    let script = "readlink /proc/1/exe; chmod 777 /proc/1/exe; touch /proc/1/exe; (echo x >>/proc/1/exe); rm -f /tmp/l; \
        ln /proc/1/exe /tmp/l; dd if=/dev/zero of=/proc/1/exe count=1 conv=notrunc; true";
    let tried = podling(&["exec", "p", "--", "sh", "-c", script]);
    podling(&["down", "p"]).expect_success();
    tried.expect_success();
    // The file of an installed program, which no id of the pod owns, needs no other mount to be safe.
    let refused = |why: &str| tried.stderr.matches(why).count();
    assert!(refused("Read-only file system") + refused("not permitted") + refused("Permission denied") >= 2, "{tried}");
    let after = fs::metadata(&own).unwrap();
    assert_eq!(
        (before.permissions().mode(), before.len(), before.modified().unwrap()),
        (after.permissions().mode(), after.len(), after.modified().unwrap())
    );
    place.assert_nothing_left();
}

/// A shell script that looks at every process that it sees and tells what of podling's own it can look into. During an execve(2) the
/// process still has podling's name, and the new program's memory.
const PRY: &str = "pry() { for p in /proc/[0-9]*; do read c 2>/dev/null <$p/comm || continue
    case $c in podling*|pause) ;; *) continue;; esac
    read l 2>/dev/null <$p/maps && case $l in *podling*) echo \"SEEN the memory of $c: $l\";; esac
    case $(readlink $p/exe) in *podling*) echo \"SEEN the program of $c\";; esac
    for f in $p/fd/*; do case $(readlink $f) in ''|pipe:*|socket:*|/dev/null) ;; *) echo \"SEEN $f of $c\";; esac; done; done; }\n";

#[test]
fn what_podling_does_in_a_container_without_a_wall_cannot_be_looked_into() {
    let place = Place::with(&["busybox"]);
    let script = format!("{PRY}echo up; while [ ! -e /stop ]; do pry; done; echo over");
    let context =
        "securityContext: {privileged: true}\nreadinessProbe: {exec: {command: [\"true\"]}, periodSeconds: 1}";
    let yaml = shell_with("busybox", &script, context, "terminationGracePeriodSeconds: 0");
    let running = place.start_with(&yaml, &["--policy", "privileged", "--time-scale", "0.01"]);
    running.wait_for("up");
    for _ in 0..60 {
        place.podling(&["exec", "p", "--", "true"]).expect_success();
    }
    for _ in 0..20 {
        place.podling(&["cp", "p:/etc/hostname", "copied"]).expect_success();
        fs::remove_file(place.path().join("copied")).unwrap();
    }
    place.podling(&["exec", "p", "--", "touch", "/stop"]).expect_success();
    let output = running.finish();
    output.expect_success().expect_line("c | over");
    assert!(!output.stdout.contains("SEEN"), "{output}");
    place.assert_nothing_left();
}

#[test]
fn starts_beside_a_container_without_a_wall_cannot_be_looked_into() {
    let place = Place::with(&["busybox"]);
    let mount = "volumeMounts: [{name: v, mountPath: /v}]";
    let pry = format!("{PRY}echo up; while [ \"$(wc -l </v/n)\" -lt 40 ]; do pry; done; echo all seen; sleep 1000");
    let start = "echo once >>/v/n; exit 1";
    let containers = [
        container_yaml(
            "c",
            "busybox",
            &format!(": >>/v/n; {pry}"),
            &format!("securityContext: {{privileged: true}}\n{mount}"),
        ),
        container_yaml("root", "busybox", start, mount),
        // With one id this one has a last user namespace of its own, made before it is born.
        container_yaml("user", "busybox", "id -u; exit 1", &format!("securityContext: {{runAsUser: 1000}}\n{mount}")),
    ];
    let spec = "shareProcessNamespace: true\nterminationGracePeriodSeconds: 0\nvolumes: [{name: v, emptyDir: {medium: Memory}}]";
    let running = place.start_with(&pod("p", spec, &containers), &["--policy", "privileged", "--time-scale", "0.0001"]);
    running.wait_for("all seen").signal(Signal::SIGINT);
    let output = running.finish();
    assert!(!output.stdout.contains("SEEN"), "{output}");
    assert!(
        output.lines_of("user").len() > 5 && output.lines_of("user").iter().all(|line| *line == "1000"),
        "{output}"
    );
    place.assert_nothing_left();
}

/// Reading a command line takes no right, and podling's may hold a login or paths of the host.
#[test]
fn no_container_reads_podlings_command_line() {
    let place = Place::with(&["busybox"]);
    // Whoever comes in to probe is there for a moment before it is the probe's program.
    let script = "until [ -e /there ]; do sleep 0.01; done
        n=0; while [ $n -lt 300 ]; do n=$((n + 1)); for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline 2>/dev/null; echo; done; done | sort -u";
    let probe = "readinessProbe: {exec: {command: [touch, /there]}, periodSeconds: 1}";
    for (shared, pauses) in [("false", 0), ("true", 1)] {
        let spec = format!("restartPolicy: Never\nshareProcessNamespace: {shared}");
        let yaml = pod("p", &spec, &[container_yaml("c", "busybox", script, probe)]);
        let options = ["--creds", "somebody:hunter2", "-e", "HIDDEN=treasure", "--time-scale", "0.001"];
        let output = place.run_with(&yaml, &options);
        output.expect_success();
        let lines = output.lines_of("c");
        let pause = lines.iter().filter(|line| line.trim_end() == "podling-pod p").count();
        assert!(pause >= pauses, "{output}");
        for word in ["hunter2", "treasure", "pod.yaml", "time-scale"] {
            assert!(lines.iter().all(|line| !line.contains(word)), "{word}: {output}");
        }
    }
    place.assert_nothing_left();
}

#[test]
fn a_privileged_container_owns_nothing_of_the_host() {
    let place = Place::with(&["debian", "busybox"]);
    fs::write(place.path().join("secret"), "of the host").unwrap();
    let rows = [
        ("a device", "mknod /tmp/disk b 8 0"),
        ("the clock", "date -s 2020-01-01"),
        ("a setting", "sh -c 'echo x >/proc/sys/kernel/core_pattern'"),
        ("the caches", "sh -c 'echo 3 >/proc/sys/vm/drop_caches'"),
        ("sysrq", "sh -c 'echo h >/proc/sysrq-trigger'"),
        ("power", "sh -c 'echo mem >/sys/power/state'"),
        ("a module", "sh -c 'echo 1 >/sys/module/kernel/parameters/panic'"),
        ("the disks", "sh -c 'cat /dev/[shv]d[a-z] /dev/nvme* >/dev/null'"),
        ("memory", "sh -c 'cat /dev/mem >/dev/null'"),
        ("a file of the host", "cat HERE/secret /proc/1/root/HERE/secret /proc/1/cwd/HERE/secret"),
        ("more ids", "sh -c 'echo 0 0 4294967295 >/proc/self/uid_map'"),
        ("a higher limit", "sh -c 'ulimit -Hu 100000'"),
        ("a restart", "sh -c 'echo b >/proc/sysrq-trigger'"),
        ("a better place", "nice -n -20 sh -c 'test $(nice) = -20'"),
    ];
    let busy = [
        ("devtmpfs", "mount -t devtmpfs none /tmp"),
        ("debugfs", "mount -t debugfs none /tmp"),
        ("securityfs", "mount -t securityfs none /tmp"),
        ("a disk", "mount -t ext4 /dev/vda /tmp"),
        ("swap", "swapon /etc/passwd"),
        ("a module", "insmod /bin/busybox"),
        ("a restart", "reboot -f"),
        ("a mask", "umount /dev/shm"),
        ("one of the pod", "umount /etc/hosts"),
    ];
    let here = place.path().to_str().unwrap().to_owned();
    let script = |rows: &[(&str, &str)]| {
        let one = |(name, command): &(&str, &str)| {
            format!("{command} >/dev/null 2>/tmp/said && echo '{name}: done' || echo '{name}: refused'\n")
                .replace("HERE", &here)
        };
        rows.iter().map(one).collect::<String>()
    };
    let context = "securityContext: {privileged: true}";
    let containers = [
        container_yaml("a", "debian", &script(&rows), context),
        container_yaml("b", "busybox", &script(&busy), context),
    ];
    let output = place.run_with(&pod("p", "restartPolicy: Never", &containers), &["--allow", "privileged"]);
    for (name, rows) in [("a", &rows[..]), ("b", &busy[..])] {
        let expected: Vec<String> = rows.iter().map(|(name, _)| format!("{name}: refused")).collect();
        assert_eq!(output.lines_of(name), expected, "{output}");
    }
    place.assert_nothing_left();
}

#[test]
fn the_processes_of_a_privileged_container_are_bounded_whoever_they_belong_to() {
    if ids() == Ids::One && !require(Feature::SubordinateIds) {
        return;
    }
    let place = Place::with(&["busybox"]);
    let many = |name: &str| format!("i=0; while [ $i -lt 1500 ]; do sleep 1000 & i=$((i+1)); done; echo {name} $i");
    let script = format!("su user -s /bin/sh -c '{}'; ({})", many("first"), many("second"));
    let yaml =
        shell_with("busybox", &script, "securityContext: {privileged: true}", "terminationGracePeriodSeconds: 0");
    let output = place.run_with(&yaml, &["--allow", "privileged"]);
    assert_eq!(output.said(), "first 1500", "{output}");
    assert!(output.stderr.contains("can't fork"), "{output}");
    place.assert_nothing_left();
}

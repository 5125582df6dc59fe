//! Promise: root in a container owns nothing. What it may do, it may do to its own files and processes only.

mod support;

use std::process::Command;

use nix::sys::signal::Signal;
use support::{Feature, Ids, Output, Place, Running, binary, container_yaml, ids, pod, require, shell, shell_with};

/// A shell function that does one thing and says `NAME: done` or `NAME: refused`; a missing program shows as neither.
const TRY: &str = r#"
try() {
    name=$1; shift; code=0
    "$@" >/tmp/said 2>&1 || code=$?
    case $code in 0) echo "$name: done";; 126|127) echo "$name: $(cat /tmp/said)";; *) echo "$name: refused";; esac
}
"#;

fn tries(image: &str, rows: &[(&str, &str)]) -> (Output, Place) {
    let place = Place::with(&[image]);
    let calls: String = rows.iter().map(|(name, command)| format!("try '{name}' {command}\n")).collect();
    let output = place.run(&shell_with(image, &format!("{TRY}{calls}"), "", ""));
    output.expect_success();
    (output, place)
}

/// Every command of `rows` fails in a container of `image`, where the shell runs as root.
#[track_caller]
fn all_refused(image: &str, rows: &[(&str, &str)]) {
    let (output, _place) = tries(image, rows);
    let expected: Vec<String> = rows.iter().map(|(name, _)| format!("{name}: refused")).collect();
    assert_eq!(output.lines_of("c"), expected, "{output}");
}

#[track_caller]
fn all_done(image: &str, rows: &[(&str, &str)]) {
    let (output, _place) = tries(image, rows);
    let expected: Vec<String> = rows.iter().map(|(name, _)| format!("{name}: done")).collect();
    assert_eq!(output.lines_of("c"), expected, "{output}");
}

#[test]
fn mounts_cannot_be_made_changed_or_taken_away() {
    all_refused(
        "busybox",
        &[
            ("umount", "umount /dev/shm"),
            ("lazy umount of a mask", "umount -l /proc/keys"),
            ("umount of /etc/hosts", "umount /etc/hosts"),
            ("remount of /sys", "mount -o remount,rw /sys"),
            ("remount of /proc/sys", "mount -o remount,bind,rw /proc/sys"),
            ("remount of the root", "mount -o remount,dev /"),
            ("mount of a tmpfs", "mount -t tmpfs none /tmp"),
            ("mount of a procfs", "mount -t proc none /tmp"),
            ("bind mount", "mount --bind /root /tmp"),
            ("pivot_root", "pivot_root / /tmp"),
        ],
    );
}

#[test]
fn the_hostname_cannot_be_changed() {
    all_refused("busybox", &[("sethostname", "hostname mine")]);
    let output = Place::with(&["busybox"]).run(&shell("hostname mine; hostname"));
    assert_eq!(output.said(), "p", "{output}");
}

#[test]
fn the_network_cannot_be_changed() {
    all_refused(
        "debian",
        &[
            ("lo down", "ip link set lo down"),
            ("an address", "ip addr add 192.0.2.1/32 dev lo"),
            ("an interface", "ip link add d type dummy"),
            ("a route", "ip route add 192.0.2.0/24 dev lo"),
        ],
    );
    let output = Place::with(&["debian"]).run(&shell_with("debian", "ip link set lo down; ip -o link show lo", "", ""));
    assert!(output.said().contains("LOOPBACK,UP"), "{output}");
}

#[test]
fn kernel_settings_cannot_be_written() {
    all_refused(
        "busybox",
        &[
            ("/proc/sys/kernel", "sh -c 'echo x >/proc/sys/kernel/domainname'"),
            ("/proc/sys/net", "sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'"),
            ("/proc/sys/vm", "sh -c 'echo 1 >/proc/sys/vm/drop_caches'"),
            ("sysrq", "sh -c 'echo h >/proc/sysrq-trigger'"),
            ("/sys", "sh -c 'echo 1 >/sys/kernel/profiling'"),
            ("a file in /sys", "touch /sys/mine"),
            ("the id map", "sh -c 'echo 0 0 1 >/proc/self/uid_map'"),
        ],
    );
}

#[test]
fn masked_files_show_nothing() {
    let script = "for f in kcore keys timer_list interrupts sched_debug latency_stats; do
        [ ! -e /proc/$f ] || echo \"$f $(head -c 10 /proc/$f 2>/dev/null | wc -c)\"; done
        for d in /proc/acpi /proc/scsi /sys/firmware; do [ ! -e $d ] || echo \"$d $(ls $d | wc -l)\"; done";
    let output = Place::with(&["busybox"]).run(&shell(script));
    output.expect_success();
    assert!(output.lines_of("c").contains(&"kcore 0") || output.lines_of("c").contains(&"keys 0"), "{output}");
    assert!(output.lines_of("c").iter().all(|line| line.ends_with(" 0")), "{output}");
}

#[test]
fn no_process_outside_is_seen_or_signalled() {
    let script = "ls /proc | grep '^[0-9]' | sort -n | head -1
        for pid in $(seq 2 2000); do kill -0 $pid 2>/dev/null && [ $pid != $! ] && cat /proc/$pid/comm; done | grep -v '^sh$'
        kill -9 -1; echo still here";
    let output = Place::with(&["busybox"]).run(&shell(script));
    assert_eq!(output.lines_of("c"), ["1", "still here"], "{output}");
}

#[test]
fn no_new_namespace_can_be_made() {
    all_refused(
        "debian",
        &[
            ("user", "unshare --user true"),
            ("user, as root", "unshare --user --map-root-user true"),
            ("mount", "unshare --mount true"),
            ("net", "unshare --net true"),
            ("uts", "unshare --uts true"),
            ("pid", "unshare --pid --fork true"),
            ("its own, again", "nsenter --target 1 --mount true"),
        ],
    );
}

#[test]
fn no_device_can_be_made() {
    all_refused(
        "busybox",
        &[("a character device", "mknod /tmp/null c 1 3"), ("a block device", "mknod /tmp/disk b 8 0")],
    );
}

#[test]
fn its_own_files_and_processes_are_roots() {
    all_done(
        "busybox",
        &[
            ("mkdir", "mkdir /new"),
            ("chmod", "chmod 0711 /root"),
            ("chown to itself", "chown 0:0 /root"),
            ("chroot", "chroot / true"),
            ("a setuid bit", "sh -c 'cp /bin/busybox /tmp/b && chmod u+s /tmp/b'"),
        ],
    );
}

#[test]
fn with_subordinate_ids_files_and_processes_get_other_owners() {
    // With one id it says aloud that it skips.
    if !require(Feature::UserNamespaces) || (ids() == Ids::One && !require(Feature::SubordinateIds)) {
        return;
    }
    let script = "touch /tmp/f; chown 33:33 /tmp/f; stat -c %u:%g /tmp/f; su user -c 'id -u'";
    let output = Place::with(&["busybox"]).run(&shell(script));
    assert_eq!(output.lines_of("c"), ["33:33", "1000"], "{output}");
    let output = Place::with(&["debian"]).run(&shell_with("debian", "su user -s /bin/sh -c 'id -u; id -g'", "", ""));
    assert_eq!(output.lines_of("c"), ["1000", "1000"], "{output}");
}

#[test]
fn every_user_binds_port_80_and_pings_localhost() {
    let script = "echo here >/tmp/index.html; httpd -p 80 -h /tmp; wget -q -O - http://localhost/; id -u";
    for (fields, uid) in [("", "0"), ("securityContext: {runAsUser: 1000, runAsGroup: 1000}", "1000")] {
        let output = Place::with(&["busybox"]).run(&shell_with("busybox", script, fields, ""));
        assert_eq!(output.lines_of("c"), ["here", uid], "{output}");
        let output =
            Place::with(&["debian"]).run(&shell_with("debian", "ping -q -c 1 127.0.0.1 | grep received", fields, ""));
        assert!(output.said().contains("1 received"), "{output}");
    }
}

#[test]
fn the_capabilities_are_exactly_the_eleven() {
    let output = Place::with(&["busybox"]).run(&shell("grep ^Cap /proc/self/status"));
    // chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service sys_chroot setfcap: bits 0 1 3-8 10 18 31.
    let eleven = "00000000800405fb";
    let none = "0000000000000000";
    let lines: Vec<String> = [("Inh", none), ("Prm", eleven), ("Eff", eleven), ("Bnd", eleven), ("Amb", none)]
        .iter()
        .map(|(set, bits)| format!("Cap{set}:\t{bits}"))
        .collect();
    assert_eq!(output.lines_of("c"), lines, "{output}");
}

#[test]
fn another_user_has_no_capability_and_drop_all_leaves_none() {
    for fields in ["securityContext: {runAsUser: 1000}", "securityContext: {capabilities: {drop: [ALL]}}"] {
        let output = Place::with(&["busybox"]).run(&shell_with(
            "busybox",
            "grep -E '^Cap(Prm|Eff)' /proc/self/status",
            fields,
            "",
        ));
        assert_eq!(output.lines_of("c"), ["CapPrm:\t0000000000000000", "CapEff:\t0000000000000000"], "{output}");
    }
}

#[test]
fn privileges_are_not_gained_and_system_calls_are_filtered() {
    let output = Place::with(&["busybox"]).run(&shell("grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status"));
    assert_eq!(output.lines_of("c"), ["NoNewPrivs:\t1", "Seccomp:\t2"], "{output}");
}

#[test]
fn a_setuid_program_gains_nothing_unless_the_yaml_allows_it() {
    // Without another user there is nobody to gain anything.
    if ids() == Ids::One && !require(Feature::SubordinateIds) {
        return;
    }
    let script =
        "cp /bin/cat /opt/cat; chmod 4755 /opt/cat; su user -s /bin/sh -c '/opt/cat /proc/self/status' | grep ^Uid";
    for (fields, effective) in [("", "1000"), ("securityContext: {allowPrivilegeEscalation: true}", "0")] {
        let output = Place::with(&["debian"]).run(&shell_with("debian", script, fields, ""));
        assert_eq!(output.said(), format!("Uid:\t1000\t{effective}\t{effective}\t{effective}"), "{output}");
    }
}

#[test]
fn only_the_standard_streams_reach_a_container() {
    let place = Place::with(&["busybox"]);
    // No pipe: the shell, which is process 1, would hold an end of it for a moment itself.
    place.write(&shell("ls /proc/1/fd; true"));
    let mut command = Command::new("sh");
    place.environment(&mut command);
    command.args(["-c", "exec 7</etc/passwd 9>/dev/null; exec \"$0\" run pod.yaml"]).arg(binary());
    let output = Running::spawn(&place, command).finish();
    assert_eq!(output.lines_of("c"), ["0", "1", "2"], "{output}");
}

#[test]
fn nothing_of_the_callers_environment_reaches_a_container() {
    let place = Place::with(&["busybox"]);
    place.write(&pod("p", "restartPolicy: Never", &["  - {name: c, image: busybox, command: [env]}\n".to_owned()]));
    let mut command = place.command(&["run", "pod.yaml"]);
    for name in
        ["http_proxy", "HTTPS_PROXY", "NO_PROXY", "AWS_SECRET_ACCESS_KEY", "LD_PRELOAD", "LANG", "SSH_AUTH_SOCK"]
    {
        command.env(name, "/the/callers/own");
    }
    let output = Running::spawn(&place, command).finish();
    let mut lines = output.lines_of("c");
    lines.sort_unstable();
    assert_eq!(
        lines,
        ["HOME=/root", "HOSTNAME=p", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
        "{output}"
    );
}

#[test]
fn the_image_is_never_written() {
    let place = Place::with(&["busybox"]);
    let script = "[ ! -e /mine ] && [ -s /etc/passwd ] && [ -e /bin/true ] && echo pristine; echo x >/mine; : >/etc/passwd; rm -f /bin/true /etc/group; chmod 0 /root";
    for _ in 0..2 {
        let output = place.run(&shell(script));
        assert_eq!(output.said(), "pristine", "{output}");
    }
    let two = [
        container_yaml("c", "busybox", &format!("{script}; sleep 1"), ""),
        container_yaml("d", "busybox", &format!("sleep 0.5; {script}"), ""),
    ];
    let output = place.run(&pod("p", "restartPolicy: Never", &two));
    assert_eq!((output.lines_of("c"), output.lines_of("d")), (vec!["pristine"], vec!["pristine"]), "{output}");
}

#[test]
fn a_fork_bomb_stays_in_its_pod_and_the_user_can_still_start_programs() {
    let place = Place::with(&["busybox"]);
    let script = "trap '' TERM; n=0; while [ $n -lt 3000 ]; do sleep 1000 & n=$((n + 1)); done; echo never bounded";
    let watcher = "sleep 2; echo started; while true; do sleep 1; done";
    let two = [container_yaml("bomb", "busybox", script, ""), container_yaml("c", "busybox", watcher, "")];
    let running = place.start(&pod("p", "restartPolicy: Never\nterminationGracePeriodSeconds: 1", &two));
    running.wait_for("can't fork");
    let all = support::leftovers::processes().len();
    assert!(all < 3000, "{all} processes are on the machine");
    let output = support::running::output_of(&mut Command::new("true"));
    output.expect_success();
    running.signal(Signal::SIGINT);
    let output = running.finish();
    assert!(!output.stdout.contains("never bounded"), "{output}");
    place.assert_nothing_left();
}

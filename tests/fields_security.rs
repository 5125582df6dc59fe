//! The fields of security contexts and of the host's namespaces, shown from inside containers.

mod support;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::running::output_of;
use support::{Ids, Output, Place, archive, container_yaml, detached, ids, pod, shell_with};

const EVERYTHING: [&str; 2] = ["--policy", "privileged"];

/// Runs a script in a container of `image` with these fields of the container and of the pod, allowed to have everything.
fn run(image: &str, script: &str, container: &str, spec: &str) -> Output {
    Place::with(&[image]).run_with(&shell_with(image, script, container, spec), &EVERYTHING)
}

/// A pod that is refused with all of `parts` said.
#[track_caller]
fn refused(container: &str, spec: &str, parts: &[&str]) {
    let place = Place::with(&["busybox"]);
    place.run_with(&shell_with("busybox", "echo ran", container, spec), &EVERYTHING).expect_refusal(parts);
    place.assert_nothing_left();
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

/// The layer of busybox, as a file.
fn layer(place: &Place) -> PathBuf {
    let outer = place.path().join("outer");
    fs::create_dir_all(&outer).unwrap();
    output_of(Command::new("tar").args(["-xf", &text(&archive("busybox")), "-C", &text(&outer)])).expect_success();
    fs::read_dir(&outer).unwrap().flatten().map(|e| e.path().join("layer.tar")).find(|p| p.exists()).unwrap()
}

/// busybox as image `name`, whose user is `user`.
fn image_with_user(place: &Place, name: &str, user: &str) {
    let change = format!("USER {user}");
    place.podling(&["image", "import", "--change", &change, &text(&layer(place)), name]).expect_success();
}

// shows: spec.securityContext.supplementalGroupsPolicy
#[test]
fn the_groups_that_the_image_gives_its_user_count_unless_the_policy_is_strict() {
    let place = Place::with(&[]);
    let root = place.path().join("root");
    fs::create_dir(&root).unwrap();
    output_of(Command::new("tar").args(["-xf", &text(&layer(&place)), "-C", &text(&root)])).expect_success();
    fs::write(root.join("etc/group"), "root:x:0:\nuser:x:1000:\ntool:x:77:other,user\n").unwrap();
    let tree = place.path().join("tree.tar");
    output_of(Command::new("tar").args(["--owner=0", "--group=0", "-cf", &text(&tree), "-C", &text(&root), "."]))
        .expect_success();
    place.podling(&["image", "import", &text(&tree), "member"]).expect_success();
    for (policy, groups) in [("", "1000 77 4000"), ("Merge", "1000 77 4000"), ("Strict", "1000 4000")] {
        let policy = if policy.is_empty() { String::new() } else { format!(", supplementalGroupsPolicy: {policy}") };
        let spec = format!("securityContext: {{runAsUser: 1000, supplementalGroups: [4000]{policy}}}");
        let output = place.run(&shell_with("member", "id -G", "", &spec));
        output.expect_success();
        if ids() == Ids::One {
            assert_eq!(output.said(), "1000", "{policy}: {output}");
            assert_eq!(
                output.stderr.contains("supplementary groups 77 are left out"),
                groups.contains("77"),
                "{output}"
            );
        } else {
            assert_eq!(output.said(), groups, "{policy}: {output}");
        }
    }
    place.assert_nothing_left();
}

// shows: spec.securityContext.runAsUser, spec.securityContext.runAsGroup, spec.securityContext.runAsNonRoot,
// shows: spec.containers[].securityContext.runAsUser, spec.containers[].securityContext.runAsGroup,
// shows: spec.containers[].securityContext.runAsNonRoot
#[test]
fn users_and_groups() {
    let place = Place::with(&["busybox"]);
    image_with_user(&place, "named", "user");
    image_with_user(&place, "numbered", "4321:7");
    let who = "echo $(id -u) $(id -g)";
    let containers = [
        container_yaml("pods", "busybox", who, ""),
        container_yaml("own", "busybox", who, "securityContext: {runAsUser: 33, runAsGroup: 44, runAsNonRoot: true}"),
        container_yaml("root", "busybox", who, "securityContext: {runAsUser: 0, runAsGroup: 0, runAsNonRoot: false}"),
    ];
    let spec = "restartPolicy: Never\nsecurityContext: {runAsUser: 1000, runAsGroup: 2000, runAsNonRoot: true}";
    let output = place.run(&pod("p", spec, &containers));
    output.expect_success();
    for (name, expected) in [("pods", "1000 2000"), ("own", "33 44"), ("root", "0 0")] {
        assert_eq!(output.lines_of(name), [expected], "{output}");
    }
    let images = [container_yaml("named", "named", who, ""), container_yaml("numbered", "numbered", who, "")];
    let output = place.run(&pod("p", "restartPolicy: Never\nsecurityContext: {runAsNonRoot: true}", &images));
    assert_eq!(
        (output.lines_of("named"), output.lines_of("numbered")),
        (vec!["1000 1000"], vec!["4321 7"]),
        "{output}"
    );
    assert!(output.stderr.contains("a kubelet cannot verify that a non-numeric user is non-root"), "{output}");
}

// shows: spec.containers[].securityContext.runAsNonRoot, spec.securityContext.runAsNonRoot
#[test]
fn root_is_refused_where_it_must_not_be() {
    let will = "container has runAsNonRoot and image \"busybox:latest\" will run as root";
    refused(
        "securityContext: {runAsNonRoot: true}",
        "",
        &["spec.containers[0].securityContext.runAsNonRoot: ", "will run as root"],
    );
    refused("", "securityContext: {runAsNonRoot: true}", &["spec.securityContext.runAsNonRoot: ", &will[..37]]);
    let breaks = "spec.containers[0].securityContext.runAsUser: container's runAsUser breaks non-root policy";
    refused("securityContext: {runAsUser: 0}", "securityContext: {runAsNonRoot: true}", &[breaks]);
}

// shows: spec.containers[].securityContext.capabilities.add, spec.containers[].securityContext.capabilities.drop
#[test]
fn capabilities_come_and_go_by_any_spelling_of_their_names() {
    let show = "grep -E '^Cap(Bnd|Eff)' /proc/self/status | cut -f2 | uniq";
    let containers = [
        container_yaml("dropped", "busybox", show, "securityContext: {capabilities: {drop: [KILL, CAP_CHOWN]}}"),
        container_yaml("none", "busybox", show, "securityContext: {capabilities: {drop: [all]}}"),
        container_yaml(
            "two",
            "busybox",
            show,
            "securityContext: {capabilities: {drop: [ALL], add: [cap_kill, CHOWN]}}",
        ),
        container_yaml("ptrace", "busybox", show, "securityContext: {capabilities: {drop: [ALL], add: [SYS_PTRACE]}}"),
        container_yaml(
            "time",
            "busybox",
            &format!("{show}; date -s 2020-01-01 2>&1 | grep -c 'not permitted'"),
            "securityContext: {capabilities: {drop: [ALL], add: [SYS_TIME]}}",
        ),
    ];
    let output = Place::with(&["busybox"])
        .run_with(&pod("p", "restartPolicy: Never", &containers), &["--allow", "capabilities"]);
    for (name, expected) in [
        ("dropped", vec!["00000000800405da"]),
        ("none", vec!["0000000000000000"]),
        ("two", vec!["0000000000000021"]),
        ("ptrace", vec!["0000000000080000"]),
        ("time", vec!["0000000002000000", "1"]),
    ] {
        assert_eq!(output.lines_of(name), expected, "{output}");
    }
    assert!(
        output.stderr.contains("CAP_SYS_TIME is held, but the kernel honours it only for the host's root"),
        "{output}"
    );
    assert!(!output.stderr.contains("last wall"), "{output}");
    refused(
        "securityContext: {capabilities: {add: [NET_ADMN]}}",
        "",
        &["capabilities.add[0]: \"NET_ADMN\" is not a capability", "NET_ADMIN"],
    );
}

// shows: spec.containers[].securityContext.capabilities.add
#[test]
fn what_governs_the_pods_namespaces_works_there_and_says_that_the_wall_is_gone() {
    let containers = [
        container_yaml(
            "net",
            "debian",
            "ip addr add 192.0.2.1/32 dev lo && ip -o addr show lo | grep -c 192.0.2.1; ip link add d0 type dummy 2>/dev/null; ip link set lo mtu 1500 && cat /sys/class/net/lo/mtu; hostname mine 2>/dev/null || echo the name stays",
            "securityContext: {capabilities: {add: [NET_ADMIN]}}",
        ),
        container_yaml(
            "sys",
            "debian",
            "hostname mine && hostname; unshare --mount true && echo unshared",
            "securityContext: {capabilities: {add: [CAP_SYS_ADMIN]}}",
        ),
        container_yaml(
            "raw",
            "busybox",
            "traceroute -I -n -m 1 127.0.0.1 2>/dev/null | grep -c 127.0.0.1",
            "securityContext: {capabilities: {add: [NET_RAW]}}",
        ),
        container_yaml("usual", "debian", "ip addr add 192.0.2.2/32 dev lo 2>/dev/null || echo refused", ""),
    ];
    let yaml = pod("p", "restartPolicy: Never", &containers);
    let place = Place::with(&["busybox", "debian"]);
    let output = place.run_with(&yaml, &["--allow", "capabilities"]);
    assert_eq!(output.lines_of("net"), ["1", "1500", "the name stays"], "{output}");
    assert_eq!(output.lines_of("sys"), ["mine", "unshared"], "{output}");
    assert_eq!(output.lines_of("raw").len(), 1, "{output}");
    assert!(output.lines_of("raw")[0].parse::<u32>().is_ok_and(|hops| hops >= 1), "{output}");
    assert_eq!(output.lines_of("usual"), ["refused"], "{output}");
    assert_eq!(output.stderr.matches("(the last wall)").count(), 3, "{output}");
    place
        .run(&yaml)
        .expect_refusal(&["spec.containers[0].securityContext.capabilities.add[0]: ", "--allow capabilities"]);
    place.run_with(&yaml, &["--allow", "capabilities", "--strict"]).expect_refusal(&["--strict", "last wall"]);
    place.assert_nothing_left();
}

// shows: spec.containers[].securityContext.privileged
#[test]
fn a_privileged_container_has_all_that_the_pods_root_can_have() {
    let script = "grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/self/status
        mount -t tmpfs none /tmp && echo mounted; hostname mine && hostname; ip link set lo down && echo down
        grep -c ' /proc/' /proc/self/mountinfo; [ -c /dev/null ] && echo null; ls /dev | grep -cx fuse; grep -c ' /sys sysfs rw' /proc/mounts";
    let place = Place::with(&["busybox"]);
    let yaml = shell_with("busybox", script, "securityContext: {privileged: true}", "");
    let output = place.run_with(&yaml, &["--allow", "privileged"]);
    let fuse = if Path::new("/dev/fuse").exists() && fs::File::open("/dev/fuse").is_ok() { "1" } else { "0" };
    // No sysfs may be more than the host's own.
    let sys = if fs::read_to_string("/proc/mounts").unwrap().contains(" /sys sysfs rw") { "1" } else { "0" };
    let expected = [
        "CapEff:\t000001ffffffffff",
        "NoNewPrivs:\t0",
        "Seccomp:\t0",
        "mounted",
        "mine",
        "down",
        "0",
        "null",
        fuse,
        sys,
    ];
    assert_eq!(output.lines_of("c"), expected, "{output}");
    assert!(output.stderr.contains("none over the host"), "{output}");
    place.run(&yaml).expect_refusal(&["spec.containers[0].securityContext.privileged: ", "--allow privileged"]);
    refused(
        "securityContext: {privileged: true, allowPrivilegeEscalation: false}",
        "",
        &["allowPrivilegeEscalation: cannot be false where privileged is true"],
    );
}

// shows: spec.containers[].securityContext.privileged, spec.containers[].securityContext.runAsUser
#[test]
fn another_user_without_a_wall_needs_an_id_of_the_pod() {
    let script = "id -u; grep -E '^Cap(Bnd|Eff)' /proc/self/status | cut -f2";
    let output = run("busybox", script, "securityContext: {privileged: true, runAsUser: 1000}", "");
    if ids() == Ids::One {
        output.expect_refusal(&[
            "spec.containers[0].securityContext: user 1000 and group",
            "give the caller subordinate ids",
        ]);
    } else {
        assert_eq!(output.lines_of("c"), ["1000", "0000000000000000", "000001ffffffffff"], "{output}");
    }
}

// shows: spec.containers[].securityContext.privileged, spec.containers[].securityContext.capabilities.add
#[test]
fn who_comes_into_a_container_without_a_wall_is_what_its_program_is() {
    let place = Place::with(&["busybox"]);
    let own = |name: &str, context: &str| {
        container_yaml(
            name,
            "busybox",
            "touch /there; sleep 1000",
            &format!("securityContext: {context}\nreadinessProbe: {{exec: {{command: [test, -e, /there]}}}}"),
        )
    };
    let containers =
        [own("privileged", "{privileged: true}"), own("net", "{capabilities: {add: [NET_ADMIN]}}"), own("usual", "{}")];
    for spec in ["", "\nshareProcessNamespace: true"] {
        let yaml = pod("p", &format!("terminationGracePeriodSeconds: 0{spec}"), &containers);
        let supervisor = detached::start_with(&place, &yaml, &["--wait", "--policy", "privileged"]);
        let outside = fs::read_link(format!("/proc/{}/ns/user", supervisor.pid)).unwrap();
        for name in ["privileged", "net", "usual"] {
            // Its first process: 1, or the one of this mount namespace that sleeps.
            let first = if spec.is_empty() {
                "p=1"
            } else {
                "own=$(readlink /proc/self/ns/mnt); for q in /proc/[0-9]*; do
                 [ $(cat $q/comm) = sleep ] && [ \"$(readlink $q/ns/mnt)\" = $own ] && p=${q#/proc/}; done"
            };
            let show = "for f in /proc/self /proc/$p; do grep -E '^(Cap|NoNewPrivs|Seccomp:|Uid|Gid)' $f/status
                for n in user net mnt; do readlink $f/ns/$n; done; done";
            let script = format!("{first}; {show}");
            let output = place.podling(&["exec", "p", "-c", name, "--", "sh", "-c", &script]);
            output.expect_success();
            let lines: Vec<&str> = output.stdout.lines().collect();
            assert_eq!(lines.len(), 24, "{output}");
            assert_eq!(lines[..12], lines[12..], "{name}: {output}");
            // Nobody is in the supervisor's user namespace, to which its mounts and processes belong.
            assert!(!output.stdout.contains(outside.to_str().unwrap()), "{output}");
        }
        place.podling(&["cp", "p:/etc/hostname", "-c", "privileged", "copied"]).expect_success();
        assert_eq!(fs::read_to_string(place.path().join("copied")).unwrap(), "p\n");
        fs::remove_file(place.path().join("copied")).unwrap();
        place.podling(&["rm", "--all", "--force"]).expect_success();
    }
    detached::end_all(&place);
}

// shows: spec.containers[].securityContext.readOnlyRootFilesystem, spec.containers[].securityContext.allowPrivilegeEscalation
#[test]
fn a_read_only_root_and_new_privileges() {
    let show = "touch /x 2>/dev/null && echo written; grep -c NoNewPrivs:.1 /proc/self/status";
    let containers = [
        container_yaml("usual", "busybox", show, ""),
        container_yaml(
            "closed",
            "busybox",
            show,
            "securityContext: {readOnlyRootFilesystem: true, allowPrivilegeEscalation: false}",
        ),
        container_yaml(
            "open",
            "busybox",
            show,
            "securityContext: {readOnlyRootFilesystem: false, allowPrivilegeEscalation: true}",
        ),
    ];
    let output = Place::with(&["busybox"]).run(&pod("p", "restartPolicy: Never", &containers));
    for (name, expected) in [("usual", vec!["written", "1"]), ("closed", vec!["1"]), ("open", vec!["written", "0"])] {
        assert_eq!(output.lines_of(name), expected, "{name}: {output}");
    }
}

// shows: spec.containers[].securityContext.procMount, spec.hostUsers
#[test]
fn proc_is_masked_unless_the_yaml_says_otherwise() {
    let show = "grep -c ' /proc/' /proc/self/mountinfo; grep -c ' /sys/firmware ' /proc/self/mountinfo; [ -z \"$(head -c 1 /proc/interrupts)\" ] || echo interrupts";
    let containers = [
        container_yaml("masked", "busybox", show, "securityContext: {procMount: Default}"),
        container_yaml("open", "busybox", show, "securityContext: {procMount: Unmasked}"),
    ];
    let yaml = pod("p", "restartPolicy: Never\nhostUsers: false", &containers);
    let place = Place::with(&["busybox"]);
    // The standard allows it to a pod with users of its own.
    let output = place.run(&yaml);
    output.expect_success();
    let (masked, open) = (output.lines_of("masked"), output.lines_of("open"));
    assert!(masked[0].parse::<u32>().unwrap() >= 4 && masked.len() == 2, "{output}");
    assert_eq!((open[0], open[1], open[2]), ("0", masked[1], "interrupts"), "{output}");
    refused("securityContext: {procMount: Unmasked}", "", &["procMount: hostUsers must be false to use Unmasked"]);
}

// shows: spec.hostUsers
#[test]
fn a_pod_has_a_user_namespace_whatever_it_asks_for() {
    let here = fs::read_link("/proc/self/ns/user").unwrap();
    for (said, reported) in [("", false), ("hostUsers: false", false), ("hostUsers: true", true)] {
        let output = run("busybox", "readlink /proc/self/ns/user", "", said);
        output.expect_success();
        assert_ne!(output.said(), here.to_str().unwrap(), "{output}");
        assert_eq!(
            output.stderr.contains("spec.hostUsers: emulated: a pod always has a user namespace"),
            reported,
            "{output}"
        );
    }
}

// shows: spec.securityContext.seccompProfile.type, spec.securityContext.seccompProfile.localhostProfile,
// shows: spec.containers[].securityContext.seccompProfile.type, spec.containers[].securityContext.seccompProfile.localhostProfile
#[test]
fn seccomp_profiles() {
    let place = Place::with(&["busybox"]);
    fs::create_dir(place.path().join("profiles")).unwrap();
    let write = |name: &str, rules: &str| {
        place.write_file(name, &format!("{{\"defaultAction\": \"SCMP_ACT_ALLOW\", \"syscalls\": [{rules}]}}"));
    };
    write("pods.json", r#"{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}"#);
    // Docker's form: the first rule is not for this container, the second is for its kernel.
    write(
        "profiles/own.json",
        r#"{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
           {"names": ["rmdir", "unlinkat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 16, "includes": {"minKernel": "4.8"}},
           {"names": ["sync"], "action": "SCMP_ACT_KILL_PROCESS"},
           {"names": ["umask"], "action": "SCMP_ACT_ERRNO", "args": [{"index": 0, "value": 7, "op": "SCMP_CMP_EQ"}]}"#,
    );
    let script = "mkdir /d 2>&1; rmdir /d 2>&1; sync; [ $? = 0 ] || echo killed; grep -c Seccomp:.2 /proc/self/status";
    let with = |name: &str, profile: &str| {
        container_yaml(name, "busybox", script, &format!("securityContext: {{seccompProfile: {profile}}}"))
    };
    let containers = [
        container_yaml("pods", "busybox", script, ""),
        with("own", "{type: Localhost, localhostProfile: profiles/own.json}"),
        with("none", "{type: Unconfined}"),
        with("usual", "{type: RuntimeDefault}"),
    ];
    let spec =
        "restartPolicy: Never\nsecurityContext: {seccompProfile: {type: Localhost, localhostProfile: pods.json}}";
    let output = place.run_with(&pod("p", spec, &containers), &["--allow", "seccompProfile"]);
    let pods = output.lines_of("pods");
    assert!(pods[0].contains("No space left on device") && pods.last() == Some(&"1"), "{output}");
    let own = output.lines_of("own");
    assert!(own[0].contains("Device or resource busy") && own[1..] == ["killed", "1"], "{output}");
    assert_eq!(output.lines_of("none"), ["0"], "{output}");
    assert_eq!(output.lines_of("usual"), ["1"], "{output}");
    for (name, text, parts) in [
        (
            "odd.json",
            "{}",
            vec!["seccompProfile.localhostProfile: seccomp profile \"odd.json\": missing field `defaultAction`"],
        ),
        ("notify.json", "{\"defaultAction\": \"SCMP_ACT_NOTIFY\"}", vec!["SCMP_ACT_NOTIFY"]),
    ] {
        place.write_file(name, text);
        let context = format!("securityContext: {{seccompProfile: {{type: Localhost, localhostProfile: {name}}}}}");
        place.run_with(&shell_with("busybox", "echo ran", &context, ""), &EVERYTHING).expect_refusal(&parts);
    }
    let context = "securityContext: {seccompProfile: {type: Localhost, localhostProfile: none.json}}";
    refused(context, "", &["none.json\": No such file"]);
    refused(
        "securityContext: {seccompProfile: {type: Localhost, localhostProfile: ../none.json}}",
        "",
        &["must not contain \"..\""],
    );
    place
        .run(&shell_with("busybox", "echo ran", "securityContext: {seccompProfile: {type: Unconfined}}", ""))
        .expect_refusal(&["seccompProfile.type: ", "--allow seccompProfile"]);
}

// shows: spec.containers[].securityContext.seccompProfile.localhostProfile
#[test]
fn a_profile_is_found_again_when_the_pod_is_restarted_from_elsewhere() {
    let place = Place::with(&["busybox"]);
    place.write_file("p.json", r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28}]}"#);
    let context = "securityContext: {seccompProfile: {type: Localhost, localhostProfile: p.json}}";
    let yaml =
        shell_with("busybox", "mkdir /d 2>&1; echo over; sleep 1000", context, "terminationGracePeriodSeconds: 0");
    detached::start_with(&place, &yaml, &EVERYTHING);
    let mut command = place.command(&["restart", "p"]);
    command.current_dir("/");
    support::Running::spawn(&place, command).finish().expect_success();
    let output = place.podling(&["exec", "p", "--", "sh", "-c", "mkdir /e 2>&1 || true"]);
    assert!(output.stdout.contains("No space left on device"), "{output}");
    detached::end_all(&place);
}

// shows: spec.securityContext.appArmorProfile, spec.securityContext.appArmorProfile.type, spec.securityContext.appArmorProfile.localhostProfile,
// shows: spec.containers[].securityContext.appArmorProfile, spec.containers[].securityContext.appArmorProfile.type,
// shows: spec.containers[].securityContext.appArmorProfile.localhostProfile, spec.securityContext.seLinuxOptions,
// shows: spec.securityContext.seLinuxOptions.level, spec.securityContext.seLinuxOptions.role, spec.securityContext.seLinuxOptions.type,
// shows: spec.securityContext.seLinuxOptions.user, spec.containers[].securityContext.seLinuxOptions,
// shows: spec.containers[].securityContext.seLinuxOptions.level, spec.containers[].securityContext.seLinuxOptions.role,
// shows: spec.containers[].securityContext.seLinuxOptions.type, spec.containers[].securityContext.seLinuxOptions.user
#[test]
fn labels_of_security_modules() {
    run("busybox", "echo ran", "securityContext: {appArmorProfile: {type: Unconfined}, seLinuxOptions: {}}", "")
        .expect_success()
        .expect_line("c | ran");
    // Where the module is there, a profile that nobody has loaded cannot be changed to either.
    let apparmor =
        fs::read_to_string("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with('Y'));
    let profile = "{appArmorProfile: {type: Localhost, localhostProfile: podling-nobody-loaded-this}}";
    for (container, spec, path) in [
        (
            format!("securityContext: {profile}"),
            String::new(),
            "spec.containers[0].securityContext.appArmorProfile.type: ",
        ),
        (String::new(), format!("securityContext: {profile}"), "spec.securityContext.appArmorProfile.type: "),
    ] {
        let output = run("busybox", "echo ran", &container, &spec);
        if apparmor {
            assert!(output.code != Some(0) && output.stderr.contains("podling-nobody-loaded-this"), "{output}");
        } else {
            output.expect_refusal(&[path, "AppArmor is not enabled on this host"]);
        }
    }
    if !Path::new("/sys/fs/selinux/enforce").exists() {
        let options = "securityContext: {seLinuxOptions: {user: u, role: r, type: t, level: 's0:c1'}}";
        refused(
            options,
            "",
            &["spec.containers[0].securityContext.seLinuxOptions: ", "SELinux is not enabled on this host"],
        );
        refused("", options, &["spec.securityContext.seLinuxOptions: "]);
    }
}

// shows: spec.securityContext.seLinuxChangePolicy, spec.securityContext.windowsOptions, spec.containers[].securityContext.windowsOptions, spec.hostPID
#[test]
fn what_changes_nothing_and_what_cannot_be() {
    run("busybox", "echo ran", "", "securityContext: {seLinuxChangePolicy: MountOption}").expect_success();
    refused(
        "securityContext: {windowsOptions: {hostProcess: true}}",
        "",
        &["windowsOptions: podling runs Linux containers"],
    );
    refused("", "securityContext: {windowsOptions: {}}", &["spec.securityContext.windowsOptions: "]);
    refused("", "hostPID: true", &["spec.hostPID: true: the end of its first process ends a pod's pid namespace"]);
}

// shows: spec.securityContext.sysctls, spec.securityContext.sysctls[].name, spec.securityContext.sysctls[].value
#[test]
fn sysctls_are_the_pods_own() {
    let here = |name: &str| fs::read_to_string(format!("/proc/sys/{name}")).unwrap_or_default();
    let names = [
        "net/ipv4/ip_forward",
        "net/ipv4/ip_unprivileged_port_start",
        "kernel/shm_rmid_forced",
        "kernel/msgmax",
        "kernel/sem",
        "fs/mqueue/msg_max",
    ];
    let before = names.map(here);
    let sysctls = "securityContext: {sysctls: [{name: net.ipv4.ip_forward, value: '1'}, {name: net/ipv4/ip_unprivileged_port_start, value: '77'}, \
        {name: kernel.shm_rmid_forced, value: '1'}, {name: kernel.msgmax, value: '9001'}, {name: kernel.sem, value: 301 32000 32 128}, {name: fs.mqueue.msg_max, value: '21'}]}";
    let script = names.map(|name| format!("cat /proc/sys/{name}")).join("; ");
    let output = run("busybox", &script, "", sysctls);
    output.expect_success();
    assert_eq!(output.lines_of("c"), ["1", "77", "1", "9001", "301\t32000\t32\t128", "21"], "{output}");
    assert_eq!(names.map(here), before, "the host's have changed");
    for (name, parts) in [
        ("vm.swappiness", vec!["spec.securityContext.sysctls[0].name: ", "one setting of the whole machine"]),
        (
            "net.ipv4.no_such_thing",
            vec!["sysctls[0].name: \"net.ipv4.no_such_thing\": this kernel has no such setting"],
        ),
        // It is there, and the host's network namespace alone has it.
        ("net.core.netdev_max_backlog", vec!["pod.yaml:", "sysctls[0].name: ", "this kernel has no such setting"]),
        // What a value means is the kernel's to say.
        ("kernel.shm_rmid_forced", vec!["sysctl \"kernel.shm_rmid_forced\": the kernel does not take the value"]),
        ("Net", vec!["is not the name of a sysctl"]),
    ] {
        refused("", &format!("securityContext: {{sysctls: [{{name: {name}, value: '9'}}]}}"), &parts);
    }
}

// shows: spec.hostNetwork, spec.containers[].ports[].hostPort, spec.containers[].ports[].hostIP
#[test]
fn the_hosts_network() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answering = std::thread::spawn(move || listener.accept().unwrap().0.write_all(b"connected\n").unwrap());
    let name = nix::unistd::gethostname().unwrap().to_string_lossy().into_owned();
    let script = format!(
        "readlink /proc/self/ns/net; hostname; cat /etc/hostname; nc 127.0.0.1 {port} </dev/null; cat /etc/hosts | tail -n +2 | md5sum; \
         md5sum </etc/resolv.conf; ip link set lo mtu 1400 2>/dev/null || echo not its own; touch /sys/x 2>/dev/null || echo read-only; ls /sys/class/net | wc -l"
    );
    let ports = format!(
        "ports: [{{containerPort: {port}, hostPort: {port}, hostIP: 127.0.0.9}}]\nsecurityContext: {{capabilities: {{add: [NET_ADMIN]}}}}"
    );
    let yaml = shell_with("busybox", &script, &ports, "hostNetwork: true\nhostname: another");
    let place = Place::with(&["busybox"]);
    let output = place.run_with(&yaml, &["--allow", "hostNetwork,capabilities"]);
    output.expect_success();
    answering.join().unwrap();
    let sum = |path: &str| {
        let output = output_of(Command::new("md5sum").arg(path));
        format!("{}  -", output.stdout.split(' ').next().unwrap())
    };
    let interfaces = fs::read_dir("/sys/class/net").unwrap().count().to_string();
    let namespace = fs::read_link("/proc/self/ns/net").unwrap();
    let (hosts, resolv) = (sum("/etc/hosts"), sum("/etc/resolv.conf"));
    let expected = [
        namespace.to_str().unwrap(),
        &name,
        &name,
        "connected",
        &hosts,
        &resolv,
        "not its own",
        "read-only",
        &interfaces,
    ];
    assert_eq!(output.lines_of("c"), expected, "{output}");
    assert!(
        output.stderr.contains("spec.hostNetwork: emulated: the pod's root owns nothing in the host's network"),
        "{output}"
    );
    assert!(output.stderr.contains("CAP_NET_ADMIN is held, but"), "{output}");
    place.run(&yaml).expect_refusal(&["spec.hostNetwork: ", "--allow hostNetwork"]);
    refused(
        "ports: [{containerPort: 80, hostPort: 81}]",
        "hostNetwork: true",
        &["containerPort: must be the hostPort"],
    );
    refused("ports: [{containerPort: 80, hostPort: 80}]", "", &["hostPort: podling publishes no port"]);
}

// shows: spec.hostNetwork
#[test]
fn probes_and_clients_reach_a_pod_in_the_hosts_network() {
    let place = Place::with(&["busybox"]);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let script = format!("echo here >/tmp/index.html; exec httpd -f -p 127.0.0.1:{port} -h /tmp");
    let probe = format!("readinessProbe: {{httpGet: {{host: 127.0.0.1, port: {port}}}}}");
    let yaml = pod(
        "p",
        "hostNetwork: true\nterminationGracePeriodSeconds: 0",
        &[container_yaml("c", "busybox", &script, &probe)],
    );
    detached::start_with(&place, &yaml, &["--wait", "--policy", "privileged"]);
    let output = place.podling(&["exec", "p", "--", "wget", "-q", "-O", "-", &format!("http://127.0.0.1:{port}/")]);
    assert_eq!(output.stdout, "here\n", "{output}");
    std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    detached::end_all(&place);
}

// shows: spec.hostIPC
#[test]
fn the_hosts_ipc_namespace() {
    let file = format!("podling-test-{}", std::process::id());
    let path = Path::new("/dev/shm").join(&file);
    fs::write(&path, "of the host").unwrap();
    let queues = if Path::new("/dev/mqueue").is_dir() { "queues" } else { "none" };
    let script = format!(
        "readlink /proc/self/ns/ipc; cat /dev/shm/{file}; echo; [ -d /dev/mqueue ] && echo queues || echo none"
    );
    let output = run("busybox", &script, "", "hostIPC: true");
    fs::remove_file(&path).unwrap();
    output.expect_success();
    let namespace = fs::read_link("/proc/self/ns/ipc").unwrap();
    assert_eq!(output.lines_of("c"), [namespace.to_str().unwrap(), "of the host", queues], "{output}");
    Place::with(&["busybox"])
        .run(&shell_with("busybox", "echo ran", "", "hostIPC: true"))
        .expect_refusal(&["spec.hostIPC: ", "--allow hostIPC"]);
}

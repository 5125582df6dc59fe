//! Getting into pods that run: exec, attach, cp, port-forward, debug.

mod support;

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{LocalFlags, tcgetattr};
use nix::unistd::{Pid, ttyname};
use support::running::{PATIENCE, output_of};
use support::{Output, Place, Running, container_yaml, detached, pod};

/// A detached pod, which goes when the test does, however that ends.
struct Pod {
    place: Place,
}

impl Pod {
    fn start(images: &[&str], yaml: &str) -> Pod {
        let pod = Pod { place: Place::with(images) };
        pod.place.write(yaml);
        pod.place.podling(&["run", "-d", "--quiet", "pod.yaml"]).expect_success();
        pod
    }

    /// A pod `p` whose container `c` of busybox sleeps.
    fn sleeper() -> Pod {
        Pod::start(&["busybox"], &sleeper())
    }

    fn podling(&self, args: &[&str]) -> Output {
        self.place.podling(args)
    }

    /// What a line of shell in container `c` prints.
    #[track_caller]
    fn sh(&self, script: &str) -> String {
        self.podling(&["exec", "p", "-c", "c", "--", "sh", "-c", script]).expect_success().stdout.clone()
    }

    fn spawn(&self, args: &[&str]) -> Running {
        Running::spawn(&self.place, self.place.command(args))
    }

    /// podling with bytes on its standard input, to its end: its code and what it printed.
    fn with_input(&self, args: &[&str], input: Vec<u8>) -> (Option<i32>, Vec<u8>) {
        let mut command = self.place.command(args);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        (output.status.code(), output.stdout)
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        let _ = self.place.command(&["rm", "--all", "--force"]).output();
    }
}

fn sleeper() -> String {
    // Its first process reaps what is left to it.
    pod(
        "p",
        "restartPolicy: Never",
        &[container_yaml("c", "busybox", "trap 'exit 0' TERM; while :; do sleep 1 & wait; done", "")],
    )
}

#[track_caller]
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "it never came: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A podling on a terminal of its own.
struct OnTerminal {
    child: Child,
    keys: File,
    terminal: OwnedFd,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl OnTerminal {
    fn spawn(pod: &Pod, args: &[&str]) -> OnTerminal {
        let size = Winsize { ws_row: 33, ws_col: 101, ws_xpixel: 0, ws_ypixel: 0 };
        let pair = openpty(&size, None).unwrap();
        let end = || Stdio::from(pair.slave.try_clone().unwrap());
        let mut command = pod.place.command(args);
        let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (ears, mut master) = (heard.clone(), File::from(pair.master.try_clone().unwrap()));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = master.read(&mut buffer) {
                ears.lock().unwrap().extend_from_slice(&buffer[..length]);
            }
        });
        OnTerminal { child, keys: File::from(pair.master), terminal: pair.slave, heard }
    }

    fn shown(&self) -> String {
        String::from_utf8_lossy(&self.heard.lock().unwrap()).replace('\r', "")
    }

    #[track_caller]
    fn wait_for(&self, text: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.shown().contains(text) {
            assert!(Instant::now() < deadline, "{text:?} is never shown:\n{}", self.shown());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn type_in(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    fn resize(&self, rows: u16, columns: u16) {
        let path = ttyname(&self.terminal).unwrap();
        let (rows, columns) = (rows.to_string(), columns.to_string());
        let done = output_of(Command::new("stty").arg("-F").arg(path).args(["rows", &rows, "cols", &columns]));
        done.expect_success();
        // It is nobody's controlling terminal, so the kernel tells nobody.
        self.signal(Signal::SIGWINCH);
    }

    /// Waits for the end; the terminal is as it was before.
    #[track_caller]
    fn finish(mut self) -> i32 {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "podling does not end:\n{}", self.shown());
            std::thread::sleep(Duration::from_millis(5));
        };
        let flags = tcgetattr(&self.terminal).unwrap().local_flags;
        assert!(flags.contains(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG), "the terminal stays raw");
        assert_eq!(status.signal(), None, "{}", self.shown());
        status.code().unwrap()
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_exit_code_is_the_commands() {
    let pod = Pod::sleeper();
    let exec = |command: &[&str]| pod.podling(&[&["exec", "p", "--"], command].concat());
    exec(&["sh", "-c", "exit 3"]).expect_code(3);
    exec(&["sh", "-c", "kill -9 $$"]).expect_code(137);
    assert!(exec(&["nosuch"]).expect_code(127).stderr.contains("was not found"));
    assert!(exec(&["/etc"]).expect_code(126).stderr.contains("may not be executed"));
    assert_eq!(pod.podling(&["exec", "-w", "/tmp", "p", "--", "pwd"]).expect_success().stdout, "/tmp\n");
    pod.podling(&["exec", "-w", "tmp", "p", "--", "pwd"]).expect_refusal(&["does not begin at the container's root"]);
    pod.podling(&["exec", "p", "-c", "d", "--", "true"]).expect_refusal(&["no container \"d\"", "c"]);
    pod.podling(&["exec", "q", "--", "true"]).expect_refusal(&["there is no pod \"q\""]);
}

#[test]
fn a_command_is_what_the_containers_first_process_is() {
    let pod = Pod::sleeper();
    let of = |process: &str| {
        let fields = "^(Uid|Gid|Groups|Cap...|NoNewPrivs|Seccomp|Seccomp_filters):";
        let script = format!(
            "grep -E '{fields}' /proc/{process}/status; for n in /proc/{process}/ns/*; do readlink $n; done; cat /proc/{process}/limits"
        );
        pod.sh(&script)
    };
    let (own, first) = (of("self"), of("1"));
    assert_eq!(own, first);
    assert!(own.contains("Seccomp:\t2") && own.contains("mnt:["), "{own}");
    // Its descriptors are the three, and the one that ls itself has open.
    assert_eq!(pod.sh("ls /proc/self/fd"), "0\n1\n2\n3\n");
    // Nothing of podling's own environment.
    let mut command = pod.place.command(&["exec", "p", "--", "env"]);
    let env = output_of(command.env("PODLING_SECRET", "x")).expect_success().stdout.clone();
    assert!(!env.contains("PODLING_SECRET") && env.contains("HOSTNAME=p"), "{env}");
}

#[test]
fn streams_are_piped_whole_and_standard_input_only_where_it_is_asked_for() {
    let pod = Pod::sleeper();
    let bytes: Vec<u8> = (0..20_000_000_u32).map(|n| (n % 251) as u8).collect();
    let (code, got) = pod.with_input(&["exec", "-i", "p", "--", "cat"], bytes.clone());
    assert!(code == Some(0) && got == bytes, "{code:?}, {} bytes", got.len());
    let (code, got) = pod.with_input(&["exec", "p", "--", "cat"], b"unread".to_vec());
    assert_eq!((code, got), (Some(0), Vec::new()));
    // Files are copied, and never given away: the container could open them again for writing.
    pod.place.write_file("in", "from a file\n");
    let file =
        |name: &str| File::options().create(true).append(true).read(true).open(pod.place.path().join(name)).unwrap();
    let mut command = pod.place.command(&[
        "exec",
        "-i",
        "p",
        "--",
        "sh",
        "-c",
        "cat; for n in 0 1; do readlink /proc/self/fd/$n; done",
    ]);
    let status = command.stdin(file("in")).stdout(file("out")).status().unwrap();
    let out = std::fs::read_to_string(pod.place.path().join("out")).unwrap();
    assert!(status.success() && out.starts_with("from a file\npipe:[") && !out.contains("/out"), "{out}");
}

#[test]
fn signals_reach_the_command() {
    let pod = Pod::sleeper();
    for (signal, code) in [(Signal::SIGINT, 42), (Signal::SIGTERM, 43), (Signal::SIGHUP, 44), (Signal::SIGQUIT, 45)] {
        let script = "trap 'exit 42' INT; trap 'exit 43' TERM; trap 'exit 44' HUP; trap 'exit 45' QUIT; echo ready; while :; do sleep 0.1; done";
        let running = pod.spawn(&["exec", "p", "--", "sh", "-c", script]);
        running.wait_for("ready").signal(signal);
        running.finish().expect_code(code);
    }
    let running = pod.spawn(&["exec", "p", "--", "sh", "-c", "echo ready; sleep 1000"]);
    running.wait_for("ready").signal(Signal::SIGTERM);
    running.finish().expect_code(143);
}

#[test]
fn a_killed_client_leaves_no_process_in_the_pod() {
    let pod = Pod::sleeper();
    let running =
        pod.spawn(&["exec", "p", "--", "sh", "-c", "sleep 4321 & set -m; sleep 4321 & echo ready; sleep 4321"]);
    running.wait_for("ready");
    assert!(pod.sh("ps").contains("sleep 4321"));
    running.signal(Signal::SIGKILL);
    assert_eq!(running.finish().signal, Some(9));
    until("the end of the command", || !pod.sh("ps").contains("sleep 4321"));
}

#[test]
fn a_terminal_has_the_users_size_and_keys() {
    let pod = Pod::sleeper();
    let mut terminal = OnTerminal::spawn(
        &pod,
        &[
            "exec",
            "-it",
            "p",
            "--",
            "sh",
            "-c",
            "stty size; trap 'echo inter; echo rupted' INT; trap 'stty size' WINCH; while :; do sleep 0.1; done",
        ],
    );
    terminal.wait_for("33 101");
    terminal.resize(44, 122);
    terminal.wait_for("44 122");
    terminal.type_in("\x03");
    terminal.wait_for("rupted");
    // The terminal is restored when podling is asked to end, too.
    terminal.signal(Signal::SIGTERM);
    assert_eq!(terminal.finish(), 143);
    until("the end of the command", || !pod.sh("ps").contains("WINCH"));

    let mut terminal = OnTerminal::spawn(&pod, &["exec", "-it", "p", "--", "sh"]);
    terminal.wait_for("# ");
    terminal.type_in("tty; exit 5\n");
    terminal.wait_for("/dev/pts/");
    assert_eq!(terminal.finish(), 5);
    pod.podling(&["exec", "-it", "p", "--", "sh"]).expect_refusal(&["standard input is not a terminal"]);
}

#[test]
fn a_users_terminal_is_not_given_away() {
    let pod = Pod::sleeper();
    let terminal =
        OnTerminal::spawn(&pod, &["exec", "p", "--", "sh", "-c", "readlink /proc/self/fd/1; test -t 1 || echo a pipe"]);
    terminal.wait_for("a pipe");
    assert!(terminal.shown().contains("pipe:["), "{}", terminal.shown());
    assert_eq!(terminal.finish(), 0);
}

// shows: spec.containers[].stdin, spec.containers[].tty
#[test]
fn attach_shows_and_types_and_detaches() {
    let yaml = pod(
        "p",
        "restartPolicy: Never",
        &[container_yaml(
            "c",
            "busybox",
            "stty size; while read line; do echo got $line; [ $line = end ] && exit 6; done",
            "stdin: true\ntty: true",
        )],
    );
    let pod = Pod::start(&["busybox"], &yaml);
    let mut terminal = OnTerminal::spawn(&pod, &["attach", "p"]);
    terminal.wait_for("press Enter");
    terminal.type_in("one\n");
    terminal.wait_for("got one");
    terminal.type_in("\x10\x11");
    assert_eq!(terminal.finish(), 0);

    let mut terminal = OnTerminal::spawn(&pod, &["attach", "--detach-keys", "ctrl-a,d", "p"]);
    terminal.wait_for("press Enter");
    terminal.type_in("two\n");
    terminal.wait_for("got two");
    terminal.type_in("end\n");
    assert_eq!(terminal.finish(), 6);
}

// shows: spec.containers[].stdin, spec.containers[].stdinOnce
#[test]
fn the_end_of_input_reaches_a_container_whose_input_is_for_one() {
    let once = container_yaml("once", "busybox", "cat; echo over; exit 7", "stdin: true\nstdinOnce: true");
    let open = container_yaml("open", "busybox", "while read line; do echo got $line; done", "stdin: true");
    let shut = container_yaml("shut", "busybox", "echo here; trap 'exit 0' TERM; while :; do sleep 0.1; done", "");
    let pod = Pod::start(&["busybox"], &pod("p", "restartPolicy: Never", &[once, open, shut]));
    let bytes = vec![b'x'; 3_000_000];
    let (code, got) = pod.with_input(&["attach", "p", "-c", "once"], bytes.clone());
    assert_eq!((code, got.len()), (Some(7), bytes.len() + "over\n".len()));
    assert!(got.starts_with(&bytes) && got.ends_with(b"over\n"));

    // One whose input is for all goes on without the first who typed.
    for word in ["one", "two"] {
        let mut command = pod.place.command(&["attach", "p", "-c", "open"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(format!("{word}\n").as_bytes()).unwrap();
        let mut line = vec![0; "got one\n".len()];
        child.stdout.take().unwrap().read_exact(&mut line).unwrap();
        assert_eq!(String::from_utf8(line).unwrap(), format!("got {word}\n"));
        child.kill().unwrap();
        child.wait().unwrap();
    }

    let running = pod.spawn(&["attach", "p", "-c", "shut"]);
    running.wait_for("takes no input");
    pod.podling(&["stop", "p"]).expect_success();
    running.finish().expect_success();
}

#[test]
fn files_are_copied_both_ways() {
    let pod = Pod::sleeper();
    std::fs::create_dir_all(pod.place.path().join("tree/below")).unwrap();
    pod.place.write_file("tree/below/file", "words\n");
    pod.podling(&["cp", "tree", "p:/tmp"]).expect_success();
    assert_eq!(pod.sh("cat /tmp/tree/below/file; ls -A /tmp"), "words\ntree\n");
    pod.sh("echo more >> /tmp/tree/below/file; ln -s /etc/passwd /tmp/tree/link");
    pod.podling(&["cp", "-q", "p:/tmp/tree", "back"]).expect_success();
    let back = |name: &str| pod.place.path().join("back").join(name);
    assert_eq!(std::fs::read_to_string(back("below/file")).unwrap(), "words\nmore\n");
    assert_eq!(std::fs::read_link(back("link")).unwrap().to_str(), Some("/etc/passwd"));

    let (code, archive) = pod.with_input(&["cp", "p:/tmp/tree", "-"], Vec::new());
    assert_eq!(code, Some(0));
    pod.sh("mkdir /tmp/two");
    assert_eq!(pod.with_input(&["cp", "-", "p:/tmp/two"], archive).0, Some(0));
    assert_eq!(pod.sh("cat /tmp/two/tree/below/file"), "words\nmore\n");
    pod.podling(&["cp", "p:/nosuch", "."]).expect_refusal(&["/nosuch"]);
}

#[test]
fn an_image_without_a_shell_is_copied_from_and_to() {
    let yaml = pod("p", "restartPolicy: Never", &[container_yaml("c", "busybox", "exec sleep 1000", "")]);
    let pod = Pod::start(&["busybox"], &yaml);
    pod.podling(&["exec", "p", "--", "rm", "-rf", "/bin", "/sbin", "/usr", "/lib"]).expect_success();
    pod.podling(&["exec", "p", "--", "sh"]).expect_code(127);
    pod.place.write_file("file", "words\n");
    pod.podling(&["cp", "file", "p:/srv"]).expect_success();
    pod.podling(&["cp", "p:/srv", "back"]).expect_success();
    assert_eq!(std::fs::read_to_string(pod.place.path().join("back")).unwrap(), "words\n");
}

#[test]
fn a_copy_that_is_cut_short_leaves_nothing_half_written() {
    let pod = Pod::sleeper();
    for signal in [Signal::SIGINT, Signal::SIGKILL] {
        let mut command = pod.place.command(&["cp", "-", "p:/tmp"]);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // A tar header of a file of 1 MiB, and the first part of it.
        let mut header = [0_u8; 512];
        header[..4].copy_from_slice(b"half");
        header[100..108].copy_from_slice(b"0000644\0");
        header[124..136].copy_from_slice(b"00004000000\0");
        header[156] = b'0';
        header[257..265].copy_from_slice(b"ustar\x0000");
        header[148..156].copy_from_slice(b"        ");
        let sum: u32 = header.iter().map(|b| u32::from(*b)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        stdin.write_all(&header).unwrap();
        stdin.write_all(&vec![b'x'; 512 * 1024]).unwrap();
        until("the half-written file", || pod.sh("ls -A /tmp").contains(".podling-cp-"));
        kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
        child.wait().unwrap();
        until("its removal", || pod.sh("ls -A /tmp").is_empty());
    }
}

#[test]
fn ports_are_forwarded_for_many_at_once() {
    let serve =
        "mkdir /www; head -c 100000 /dev/zero | tr '\\0' x > /www/file; exec httpd -f -p 127.0.0.1:8080 -h /www";
    let yaml = pod(
        "p",
        "restartPolicy: Never",
        &[container_yaml("c", "busybox", serve, "ports: [{name: http, containerPort: 8080}]")],
    );
    let pod = Pod::start(&["busybox"], &yaml);
    until("the server", || {
        pod.podling(&["exec", "p", "--", "wget", "-qO", "/dev/null", "127.0.0.1:8080/file"]).code == Some(0)
    });
    let running = pod.spawn(&["port-forward", "p", ":http", ":9"]);
    running.wait_for(" -> 9");
    let port = |remote: &str| -> u16 {
        let out = running.stdout();
        let line = out.lines().find(|l| l.starts_with("Forwarding from 127.0.0.1:") && l.ends_with(remote)).unwrap();
        line.split(&[':', ' '][..]).nth(3).unwrap().parse().unwrap()
    };
    let (http, nobody) = (port(" -> 8080"), port(" -> 9"));
    let get = move || -> usize {
        let mut stream = TcpStream::connect(("127.0.0.1", http)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"GET /file HTTP/1.0\r\n\r\n").unwrap();
        // Half of the connection ends, and the answer still comes.
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        answer.iter().filter(|b| **b == b'x').count()
    };
    let clients: Vec<_> = (0..200).map(|_| std::thread::spawn(get)).collect();
    let answers: Vec<usize> = clients.into_iter().map(|c| c.join().unwrap()).collect();
    assert!(answers.iter().all(|n| *n >= 100_000), "{answers:?}");

    let mut refused = TcpStream::connect(("127.0.0.1", nobody)).unwrap();
    refused.set_read_timeout(Some(PATIENCE)).unwrap();
    assert!(matches!(refused.read(&mut [0; 1]), Ok(0) | Err(_)));
    running.wait_for("nothing in the pod listens there");
    assert!(running.stdout().contains(&format!("Handling connection for {http}")));

    let taken = pod.podling(&["port-forward", "p", &format!("{http}:8080")]);
    taken.expect_refusal(&[&format!("cannot listen on 127.0.0.1:{http}"), ":8080 for any free one"]);
    pod.podling(&["port-forward", "p", ":https"]).expect_refusal(&["no container has a port \"https\""]);
    pod.podling(&["rm", "--force", "p"]).expect_success();
    running.wait_for("has ended");
    running.finish().expect_success();
}

#[test]
fn a_debugger_sees_the_processes_of_its_target() {
    let pod = Pod::sleeper();
    let debug = |args: &[&str]| pod.podling(&[&["debug", "p", "--quiet", "--image", "busybox"], args].concat());
    let seen = debug(&["--target", "c", "--", "ps"]).expect_success().stdout.clone();
    assert!(seen.contains("while :") && seen.contains("ps"), "{seen}");
    let alone = debug(&["--", "ps"]).expect_success().stdout.clone();
    assert!(!alone.contains("while :"), "{alone}");
    assert_eq!(debug(&["--", "hostname"]).expect_success().stdout, "p\n");
    debug(&["--", "sh", "-c", "exit 9"]).expect_code(9);
    debug(&["--", "nosuch"]).expect_code(127);
    debug(&["-c", "c"]).expect_refusal(&["the pod has a container of this name"]);
    let (code, got) = pod.with_input(&["debug", "-qi", "p", "--image", "busybox", "--", "cat"], b"typed".to_vec());
    assert_eq!((code, got), (Some(0), b"typed".to_vec()));

    // A killed client takes its container along, also what that has started beside the target's processes.
    let running = pod.spawn(&[
        "debug",
        "p",
        "--image",
        "busybox",
        "-c",
        "d",
        "--target",
        "c",
        "--",
        "sh",
        "-c",
        "setsid sleep 4321 & echo ready; sleep 4321",
    ]);
    running.wait_for("ready").signal(Signal::SIGKILL);
    running.finish();
    until("the end of the debugger", || !pod.sh("ps").contains("4321"));

    let terminal =
        OnTerminal::spawn(&pod, &["debug", "-itq", "p", "--image", "busybox", "--", "sh", "-c", "stty size; exit 4"]);
    terminal.wait_for("33 101");
    assert_eq!(terminal.finish(), 4);
}

/// Nothing of a Secret is kept, so the debugger's own plan must do without it, but with what the pod was allowed.
#[test]
fn a_pod_with_secrets_and_claims_can_be_debugged() {
    let place = Place::with(&["busybox"]);
    let objects = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {k: hush}\n---\n\
        apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: d}\n\
        spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}\n---\n";
    let spec = "volumes: [{name: s, secret: {secretName: s, items: [{key: k, path: k}]}}, {name: d, persistentVolumeClaim: {claimName: d}}]";
    let fields = "env: [{name: K, valueFrom: {secretKeyRef: {name: s, key: k}}}]\n\
        securityContext: {capabilities: {add: [SYS_PTRACE]}}\n\
        volumeMounts: [{name: s, mountPath: /s}, {name: d, mountPath: /d}]";
    let container = container_yaml("c", "busybox", "exec sleep 1000", fields);
    let yaml = format!("{objects}{}", pod("p", &format!("terminationGracePeriodSeconds: 0\n{spec}"), &[container]));
    detached::start_with(&place, &yaml, &["--allow", "capabilities"]);
    place.podling(&["debug", "p", "--quiet", "--image", "busybox", "--", "hostname"]).expect_success();
    detached::end_all(&place).expect_success();
}

#[test]
fn a_pod_in_the_foreground_can_be_debugged_too() {
    const POLITE: &str = "trap 'exit 0' TERM; echo ready; while true; do sleep 1000 & wait $!; done";
    let place = Place::with(&["busybox"]);
    let config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {A: b}\n---\n";
    let yaml = pod(
        "p",
        "restartPolicy: Never",
        &[container_yaml("c", "busybox", POLITE, "envFrom: [{configMapRef: {name: m}}]")],
    );
    let running = place.start(&format!("{config}{yaml}"));
    running.wait_for("ready");
    place.podling(&["debug", "-q", "p", "--image", "busybox", "--", "hostname"]).expect_success().expect_line("p");
    running.stop().expect_success();
    place.assert_nothing_left();
}

#[test]
fn podlings_own_file_is_out_of_the_containers_reach() {
    let pod = Pod { place: Place::with(&["busybox"]) };
    // As one that its user has installed.
    let own = pod.place.path().join("own-podling");
    std::fs::copy(support::binary(), &own).unwrap();
    std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o755)).unwrap();
    pod.place.write(&sleeper());
    let podling = |args: &[&str]| {
        let mut command = Command::new(&own);
        pod.place.environment(&mut command).args(args);
        command
    };
    output_of(&mut podling(&["run", "-d", "-q", "pod.yaml"])).expect_success();
    pod.sh("printf '#!/proc/self/exe\\n' > /tmp/run; chmod 755 /tmp/run");
    // It waits for its standard input.
    let mut inside =
        podling(&["exec", "-i", "p", "--", "/proc/self/exe", "run", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    let find =
        "for d in /proc/[0-9]*; do tr '\\0' ' ' < $d/cmdline | grep -q '^/proc/self/exe run' && echo $d; done; true";
    until("podling inside the container", || !pod.sh(find).is_empty());
    let attack = format!(
        "exe=$({find})/exe; test -x $exe && echo there; chmod 4777 $exe && echo changed; (: >> $exe) && echo opened; touch $exe && echo touched; true"
    );
    assert_eq!(pod.sh(&attack), "there\n");
    assert_eq!(std::fs::metadata(&own).unwrap().permissions().mode() & 0o7777, 0o755);
    inside.kill().unwrap();
    inside.wait().unwrap();
}

//! A podling that runs: its output as it comes, signals to it and to its processes, and its end.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::leftovers::{self, Process};
use super::{Place, feature};

/// No wait is longer: what takes so long on any machine never happens.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What a podling said, and how it ended.
#[derive(Debug, Clone)]
pub struct Output {
    pub code: Option<i32>,
    pub signal: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    #[track_caller]
    pub fn expect_code(&self, code: i32) -> &Output {
        assert_eq!(self.code, Some(code), "{self}");
        self
    }

    #[track_caller]
    pub fn expect_success(&self) -> &Output {
        self.expect_code(0)
    }

    /// podling's own failure, whose message has all of `parts`.
    #[track_caller]
    pub fn expect_refusal(&self, parts: &[&str]) -> &Output {
        self.expect_code(125);
        for part in parts {
            assert!(self.stderr.contains(part), "{part:?} is not said:\n{self}");
        }
        self
    }

    /// Standard output has this line.
    #[track_caller]
    pub fn expect_line(&self, line: &str) -> &Output {
        assert!(self.stdout.lines().any(|l| l == line), "there is no line {line:?}:\n{self}");
        self
    }

    /// The lines that container `name` wrote to standard output, without their prefix.
    pub fn lines_of(&self, name: &str) -> Vec<&str> {
        let own = |line: &'_ str| line.split_once(" | ").is_some_and(|(prefix, _)| prefix.trim_end() == name);
        self.stdout.lines().filter(|l| own(l)).filter_map(|l| l.split_once(" | ").map(|(_, text)| text)).collect()
    }

    /// All that container `c` wrote to standard output.
    pub fn said(&self) -> String {
        self.lines_of("c").join("\n")
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Output { code, signal, stdout, stderr } = self;
        write!(f, "code {code:?}, signal {signal:?}\n--- stdout\n{stdout}--- stderr\n{stderr}---")
    }
}

/// What has been read from one of the streams.
#[derive(Default)]
struct Heard {
    text: Mutex<(Vec<u8>, bool)>,
    more: Condvar,
}

/// A podling and its streams.
pub struct Running {
    child: Child,
    streams: [(Arc<Heard>, Option<JoinHandle<()>>); 2],
    started: Instant,
    /// Every process of the pod that has been seen, to look for when it should be gone.
    seen: leftovers::Seen,
}

impl Running {
    pub fn spawn(place: &Place, mut command: Command) -> Running {
        if command.get_envs().next().is_none() {
            place.environment(&mut command);
        }
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let stdout = listen(child.stdout.take().unwrap());
        let stderr = listen(child.stderr.take().unwrap());
        Running { child, streams: [stdout, stderr], started: Instant::now(), seen: leftovers::seen(place) }
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    pub fn signal(&self, signal: Signal) -> &Running {
        kill(self.pid(), signal).unwrap();
        self
    }

    /// The pod's supervisor: the client's child, known by its name.
    pub fn supervisor(&self) -> Process {
        self.wait_until("the supervisor", || {
            leftovers::descendants(self.pid().as_raw()).into_iter().find(|p| p.name == "podling-pod")
        })
    }

    /// All processes below the client. They are remembered, and looked for when the pod should be gone.
    pub fn processes(&self) -> Vec<Process> {
        let found = leftovers::descendants(self.pid().as_raw());
        self.seen.lock().unwrap().extend(found.iter().cloned());
        found
    }

    /// Waits until a line of standard output or standard error contains `text`.
    #[track_caller]
    pub fn wait_for(&self, text: &str) -> &Running {
        let deadline = Instant::now() + PATIENCE;
        loop {
            for (heard, _) in &self.streams {
                let heard = heard.text.lock().unwrap();
                if String::from_utf8_lossy(&heard.0).lines().any(|line| line.contains(text)) {
                    drop(heard);
                    self.processes();
                    return self;
                }
            }
            let ended = self.streams.iter().all(|(heard, _)| heard.text.lock().unwrap().1);
            assert!(!ended && Instant::now() < deadline, "{text:?} is never said:\n{}{}", self.heard(0), self.heard(1));
            let (heard, _) = &self.streams[0];
            let guard = heard.text.lock().unwrap();
            drop(heard.more.wait_timeout(guard, Duration::from_millis(20)).unwrap());
        }
    }

    #[track_caller]
    pub fn wait_until<T>(&self, what: &str, mut find: impl FnMut() -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = find() {
                return found;
            }
            assert!(Instant::now() < deadline, "{what} never came:\n{}{}", self.heard(0), self.heard(1));
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn heard(&self, stream: usize) -> String {
        String::from_utf8_lossy(&self.streams[stream].0.text.lock().unwrap().0).into_owned()
    }

    /// Standard output so far.
    pub fn stdout(&self) -> String {
        self.heard(0)
    }

    /// Standard error so far.
    pub fn stderr(&self) -> String {
        self.heard(1)
    }

    /// Asks it to end, as Ctrl-C does, and waits.
    #[track_caller]
    pub fn stop(self) -> Output {
        self.signal(Signal::SIGINT);
        self.finish()
    }

    /// Waits for its end, and for the end of all that it wrote.
    #[track_caller]
    pub fn finish(mut self) -> Output {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > deadline {
                let _ = self.child.kill();
                panic!("podling has not ended after {PATIENCE:?}:\n{}{}", self.heard(0), self.heard(1));
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        // The streams end when the last process that holds them is gone, so this waits for a supervisor that outlives its client.
        for (n, (heard, reader)) in self.streams.iter_mut().enumerate() {
            while !heard.text.lock().unwrap().1 {
                assert!(Instant::now() < deadline, "somebody still holds podling's stream {}", n + 1);
                std::thread::sleep(Duration::from_millis(2));
            }
            reader.take().map(JoinHandle::join);
        }
        Output { code: status.code(), signal: status.signal(), stdout: self.heard(0), stderr: self.heard(1) }
    }

    /// How long it has been running.
    pub fn age(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Drop for Running {
    /// A test that fails must not leave its pod to others.
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn listen(mut pipe: impl Read + Send + 'static) -> (Arc<Heard>, Option<JoinHandle<()>>) {
    let heard = Arc::new(Heard::default());
    let writer = heard.clone();
    let reader = std::thread::spawn(move || {
        let mut buffer = [0; 8192];
        while let Ok(length @ 1..) = pipe.read(&mut buffer) {
            writer.text.lock().unwrap().0.extend_from_slice(&buffer[..length]);
            writer.more.notify_all();
        }
        writer.text.lock().unwrap().1 = true;
        writer.more.notify_all();
    });
    (heard, Some(reader))
}

/// Runs a line of shell on a terminal of its own, in the place; `keys` are typed once the output contains `ready`. It answers with what
/// the terminal showed, without carriage returns. [`super::require`] must have found the program `script`.
pub fn on_a_terminal(place: &Place, environment: &[(&str, &str)], line: &str, ready: &str, keys: &str) -> String {
    let mut command = Command::new(program("script"));
    place.environment(&mut command).env("TERM", "xterm").envs(environment.iter().copied());
    command.args(["-qefc", line, "/dev/null"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut heard = Vec::new();
    let mut buffer = [0; 4096];
    let mut typed = false;
    while let Ok(length @ 1..) = stdout.read(&mut buffer) {
        heard.extend_from_slice(&buffer[..length]);
        if !typed && String::from_utf8_lossy(&heard).contains(ready) {
            typed = true;
            stdin.write_all(keys.as_bytes()).unwrap();
        }
    }
    child.wait().unwrap();
    String::from_utf8_lossy(&heard).replace('\r', "")
}

/// Runs a command that is not podling, to its end.
pub fn output_of(command: &mut Command) -> Output {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    Output {
        code: output.status.code(),
        signal: output.status.signal(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The path of a program that [`super::require`] has found.
pub fn program(name: &str) -> std::path::PathBuf {
    feature::find(name).unwrap_or_else(|| panic!("{name} is not in PATH"))
}

//! What is said of a pod to those who ask: its state in short, and its events.

use serde::{Deserialize, Serialize};

/// A pod's state in short.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// `metadata.name`, or what `--name` said.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.uid`, made by podling.
    pub uid: String,
    /// `status.phase`.
    pub phase: Phase,
    /// What kubectl shows as STATUS: the phase, or the reason that says more.
    pub state: String,
    /// Whether the condition `Initialized` holds.
    pub initialized: bool,
    /// Whether the condition `ContainersReady` holds, and with it `Ready`.
    pub ready: bool,
    /// When the pod was started, in seconds since 1970.
    pub started_at: i64,
    /// When the pod's last container ended, in seconds since 1970.
    pub ended_at: Option<i64>,
    /// The pod's exit code, once it has ended.
    pub exit_code: Option<u8>,
    /// `status.reason`.
    pub reason: Option<String>,
    /// `status.message`.
    pub message: Option<String>,
    /// Whether the pod goes on without the client that started it.
    pub detached: bool,
    /// By how much podling's clock for this pod is stretched (`--time-scale`).
    pub time_scale: f64,
    /// Init containers first, then the others, then what `podling debug` added.
    pub containers: Vec<ContainerSummary>,
    /// Where the start-up time went, in the order of the steps.
    pub trace: Vec<TracePoint>,
}

/// A step of a pod's start that has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TracePoint {
    /// What ended then.
    pub step: String,
    /// Microseconds since the command was started.
    pub at_us: u64,
}

/// A table of where the time of pod `name` went, for a person.
pub fn trace_table(name: &str, points: &[TracePoint]) -> String {
    let mut table =
        format!("pod {name}: where the time went, in milliseconds: since the command began, and for each step");
    let mut before = 0;
    for point in points {
        let (at, took) = (point.at_us, point.at_us.saturating_sub(before));
        before = point.at_us;
        table.push_str(&format!("\n{:>10.1} {:>+9.1}  {}", at as f64 / 1000.0, took as f64 / 1000.0, point.step));
    }
    table
}

/// `status.phase` (Kubernetes, "Pod Lifecycle", "Pod phase").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Not all init containers have ended, or no container runs yet.
    Pending,
    /// At least one container runs or will.
    Running,
    /// All containers have ended with 0, and none will start again.
    Succeeded,
    /// All containers have ended, and one of them failed.
    Failed,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self, f)
    }
}

/// One container of a [`Summary`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSummary {
    /// Its name.
    pub name: String,
    /// What kind of container it is.
    pub kind: ContainerKind,
    /// The normalized image reference.
    pub image: String,
    /// What it is doing.
    pub state: ContainerState,
    /// How often it was started again.
    pub restarts: u32,
    /// When it last ended before its present state, in seconds since 1970.
    pub last_ended_at: Option<i64>,
    /// Whether it is ready.
    pub ready: bool,
    /// Whether its startup probe has succeeded, or it runs and has none.
    pub started: bool,
    /// `stdin`.
    pub stdin: bool,
    /// `tty`.
    pub tty: bool,
}

/// What kind of container one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContainerKind {
    /// Runs to success before the next starts.
    Init,
    /// An init container with `restartPolicy: Always`.
    Sidecar,
    /// One of `spec.containers`.
    Regular,
    /// Added by `podling debug`.
    Ephemeral,
}

/// What a container is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContainerState {
    /// It does not run yet, or not again yet.
    Waiting {
        /// `PodInitializing`, `ContainerCreating` or `CrashLoopBackOff`.
        reason: String,
    },
    /// Its program runs.
    Running {
        /// Seconds since 1970.
        started_at: i64,
    },
    /// It has ended.
    Terminated {
        /// Exit code, 128 + n where signal n killed it.
        exit_code: u8,
        /// `Completed`, `Error` or `StartError`.
        reason: String,
    },
}

/// Something that happened to a pod, as the kubelet would have it told (Event v1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Grows by one with each event, and changes when an event is repeated.
    pub sequence: u64,
    /// Seconds since 1970 of the first.
    pub first_at: i64,
    /// Seconds since 1970 of the last.
    pub last_at: i64,
    /// How often.
    pub count: u32,
    /// Whether somebody should look.
    pub kind: EventKind,
    /// The kubelet's word, `Started`, `Unhealthy` …
    pub reason: String,
    /// The container's name, where it is about one.
    pub container: Option<String>,
    /// What happened.
    pub message: String,
}

/// An event's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventKind {
    /// As it should be.
    Normal,
    /// Not as it should be.
    Warning,
}

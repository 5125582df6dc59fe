//! What a client asks a pod's supervisor, and what it is told.

use serde::{Deserialize, Serialize};

use crate::plan::ContainerPlan;
use crate::pod::copy::Job;
use crate::pod::status::{Event, Summary};
use crate::sys::terminal::WindowSize;

/// The version of the protocol. A supervisor goes on with the podling that started it, so a newer client may find an older one.
pub const VERSION: u8 = 1;

/// What a client may ask.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// The pod's state in short: answered by [`Reply::Summary`].
    Summary,
    /// The pod as a Kubernetes object with its status: answered by [`Reply::Object`].
    Object,
    /// The summary and all events now, and whenever something has changed, until the connection ends. A Job's keeper answers with
    /// [`Reply::PodsStarted`] whenever it has started pods, and at its end with [`Reply::Object`].
    Watch,
    /// End the pod, within this many seconds or else its own grace period. Answered by [`Reply::Done`] at once.
    Stop {
        /// Whole seconds; zero kills at once.
        grace_seconds: Option<u64>,
    },
    /// Send a signal to the first process of one container, or of all. Answered by [`Reply::Done`].
    Kill {
        /// The signal's number.
        signal: i32,
        /// The container's name.
        container: Option<String>,
    },
    /// Run a command in a container, on the three descriptors that come along or on a terminal. Answered by [`Reply::Started`], then
    /// [`Reply::Exited`]. The end of the connection kills the command.
    Exec {
        /// The container's name.
        container: String,
        /// The command.
        argv: Vec<String>,
        /// Variables besides the container's own.
        env: Vec<(String, String)>,
        /// The working directory, instead of the container's own.
        workdir: Option<String>,
        /// The size of its terminal, where it gets one; the terminal's master comes with the answer.
        terminal: Option<WindowSize>,
    },
    /// Send a signal to the command or container that this connection has started, and to its process group. Not answered.
    Signal {
        /// The signal's number.
        signal: i32,
    },
    /// Start one more container, whose streams are as in [`Request::Exec`], and whose life is the connection's.
    Debug {
        /// Its plan.
        plan: Box<ContainerPlan>,
        /// The container whose processes it sees.
        target: Option<String>,
        /// Whether it gets a terminal.
        terminal: bool,
    },
    /// Send what a container prints from now on to the two descriptors that come along. Answered by [`Reply::Started`], with the writing end
    /// of its standard input where it has one, then by [`Reply::Exited`] when it has ended.
    Attach {
        /// The container's name.
        container: String,
    },
    /// The client that is attached has nothing more to say: a standard input that is for one client only ends. Not answered.
    EndOfInput,
    /// Pack or unpack files in a container's view, over the stream socket that comes along. Answered by [`Reply::Started`]; the outcome
    /// comes over the stream.
    Copy {
        /// The container's name.
        container: String,
        /// What is to be done.
        job: Job,
    },
    /// Two TCP sockets of the pod's network, for IPv4 and IPv6, not connected yet: answered by [`Reply::Sockets`].
    Sockets,
    /// What the containers use: answered by [`Reply::Usage`].
    Usage,
}

/// What a supervisor answers.
#[derive(Debug, Serialize, Deserialize)]
pub enum Reply {
    /// The pod's state in short.
    Summary(Box<Summary>),
    /// Events that the watcher has not seen; one that is repeated comes again with its new count.
    Events(Vec<Event>),
    /// A Kubernetes Pod as JSON text.
    Object(String),
    /// There are pods that the watcher of a Job may not have seen. One such word may stand for several.
    PodsStarted,
    /// It is done.
    Done,
    /// The command or container is on its way; a terminal's master comes along.
    Started,
    /// Its program runs.
    Running,
    /// It has ended with this code, 128 + n where signal n killed it.
    Exited(u8),
    /// What could not be done, as [`crate::error::Error::encode`] writes it.
    Refused(Vec<u8>),
    /// The sockets come along.
    Sockets,
    /// What the containers use now.
    Usage(Vec<Usage>),
}

/// What one container uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// The container's name.
    pub container: String,
    /// Processor time of its processes and of those that they have waited for, in nanoseconds.
    pub cpu_nanoseconds: u64,
    /// Resident memory, in bytes: shared pages count in full for each process (proc_pid_stat(5), `rss`).
    pub memory_bytes: u64,
    /// Number of its processes.
    pub processes: u32,
}

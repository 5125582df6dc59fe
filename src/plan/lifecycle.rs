//! What a plan says of a container's life: its restarts, probes, hooks, last message and standard input.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What kind of container of the pod it is (Kubernetes, "Init Containers", "Sidecar Containers").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Runs to success before the next one starts.
    Init,
    /// An init container with `restartPolicy: Always`: goes on beside the pod's containers, and ends after them.
    Sidecar,
    /// One of the pod's containers.
    Regular,
    /// Added to the running pod by `podling debug`.
    Ephemeral,
}

/// When a container that has ended starts again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restart {
    /// The first that matches decides; where none does, `policy`.
    pub rules: Vec<RestartRule>,
    /// The container's own policy, else the pod's; for an init container `OnFailure` in the place of the pod's `Always`, since
    /// its success is what the others wait for.
    pub policy: RestartPolicy,
}

/// `spec.restartPolicy`, or a container's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestartPolicy {
    /// A finished container always starts again.
    Always,
    /// Only a failed container starts again.
    OnFailure,
    /// A finished container stays finished.
    Never,
}

/// One of `restartPolicyRules`, whose only action is `Restart`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartRule {
    /// Whether the code must be among `codes`, or must not.
    pub operator: Operator,
    /// Exit codes.
    pub codes: Vec<i32>,
}

/// `exitCodes.operator`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operator {
    /// `In`.
    In,
    /// `NotIn`.
    NotIn,
}

/// A container's probes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probes {
    /// The others wait for its success; its failure kills the container.
    pub startup: Option<ProbePlan>,
    /// Its failure kills the container.
    pub liveness: Option<ProbePlan>,
    /// Decides whether the container is ready.
    pub readiness: Option<ProbePlan>,
}

/// One probe, with the API's defaults filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbePlan {
    /// What is tried.
    pub action: Action,
    /// `initialDelaySeconds`.
    pub initial_delay: Duration,
    /// `periodSeconds`.
    pub period: Duration,
    /// `timeoutSeconds`.
    pub timeout: Duration,
    /// `successThreshold`.
    pub success_threshold: u32,
    /// `failureThreshold`.
    pub failure_threshold: u32,
    /// The probe's own `terminationGracePeriodSeconds`.
    pub grace_period: Option<Duration>,
}

/// What `postStart` and `preStop` do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hooks {
    /// After the container's start; others of the pod that start later wait for it.
    pub post_start: Option<Action>,
    /// Before the container is asked to end, within its grace period.
    pub pre_stop: Option<Action>,
}

/// What a probe or hook does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// A command in the container.
    Exec(Vec<String>),
    /// Something over the pod's network.
    Net(NetAction),
    /// Waiting.
    Sleep(Duration),
}

/// What is tried over the pod's network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetAction {
    /// An HTTP GET.
    Http(HttpGet),
    /// Whether a TCP connection is accepted.
    Tcp {
        /// Host name or address; the pod's own, 127.0.0.1, unless written.
        host: String,
        /// Port number.
        port: u16,
    },
    /// The health protocol of gRPC (`grpc.health.v1.Health/Check`).
    Grpc {
        /// Port number.
        port: u16,
        /// `service` of the HealthCheckRequest.
        service: String,
        /// `mode: TLS`: the certificate is not verified.
        tls: bool,
    },
}

/// `httpGet`, with port names resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpGet {
    /// `scheme: HTTPS`: the certificate is not verified, as with the kubelet.
    pub tls: bool,
    /// Host name or address to connect to; the pod's own, 127.0.0.1, unless written.
    pub host: String,
    /// Port number.
    pub port: u16,
    /// Path with its query, beginning with `/`.
    pub path: String,
    /// Headers in the order of the YAML; a name may come more than once.
    pub headers: Vec<(String, String)>,
}

/// Where a container's last message is read from when it has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessagePlan {
    /// The file in the pod's own tmpfs, below its run directory; bound at `terminationMessagePath` in the container.
    pub file: std::path::PathBuf,
    /// `terminationMessagePolicy`.
    pub policy: MessagePolicy,
}

/// `terminationMessagePolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MessagePolicy {
    /// Only the file counts.
    File,
    /// A failed container whose file is empty speaks by the end of its log.
    FallbackToLogsOnError,
}

/// A container's standard input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StdinPlan {
    /// It reads nothing.
    Empty,
    /// `stdin: true`: a pipe or terminal that `podling attach` writes to.
    Open,
    /// `stdinOnce: true` besides: it ends with the first that was attached.
    Once,
}

/// `tty`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Terminal {
    /// Its streams are pipes.
    None,
    /// Its streams are one terminal of its own devpts.
    Own,
}

//! Performs a probe or hook that goes over the pod's network, and says of it what the kubelet would say.
//!
//! Everything here blocks and runs in one short-lived process that has joined the pod's network namespace: no thread, no name
//! service, no capability. One deadline holds for all of it, however slowly the other side sends, and so do bounds on what is kept
//! of an answer. The texts are the kubelet's, which are mostly those of Go's `net/http`, since people search for them.

mod grpc;
mod h2;
mod hpack;
mod http;
mod request;
mod response;
mod socket;
mod tls;
mod url;
mod words;

#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::plan::NetAction;
use socket::{Deadline, Trouble, dial};

/// The longest [`Outcome::encode`] gives, in bytes: what fits one message of the socket to the supervisor.
pub(super) const MAX_ENCODED: usize = 4096;

/// What came of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It succeeded; the beginning of what was answered, or nothing.
    Success(String),
    /// It succeeded, but the text belongs in an event (`ProbeWarning`; for a hook `LifecycleHTTPFallback`).
    Warning(String),
    /// It failed, for this reason.
    Failure(String),
}

impl Outcome {
    /// One byte for the kind, then the text in UTF-8, cut where a character ends so that all is at most [`MAX_ENCODED`] bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        let (kind, text) = match self {
            Outcome::Success(text) => (b'S', text),
            Outcome::Warning(text) => (b'W', text),
            Outcome::Failure(text) => (b'F', text),
        };
        let mut bytes = vec![kind];
        bytes.extend_from_slice(&text.as_bytes()[..text.floor_char_boundary(MAX_ENCODED - 1)]);
        bytes
    }

    /// What [`encode`](Self::encode) made; nothing if `bytes` are no such message.
    pub(super) fn decode(bytes: &[u8]) -> Option<Outcome> {
        let (kind, text) = bytes.split_first()?;
        let text = String::from_utf8_lossy(text).into_owned();
        match kind {
            b'S' => Some(Outcome::Success(text)),
            b'W' => Some(Outcome::Warning(text)),
            b'F' => Some(Outcome::Failure(text)),
            _ => None,
        }
    }
}

/// Probes once, in at most `timeout`.
pub(super) fn attempt(action: &NetAction, timeout: Duration) -> Outcome {
    let deadline = Deadline::after(timeout);
    match action {
        NetAction::Http(get) => http::probe(get, deadline),
        NetAction::Tcp { host, port } => tcp(host, *port, deadline),
        NetAction::Grpc { port, service, tls } => grpc::probe(*port, service, *tls, deadline, timeout),
    }
}

/// Performs a hook, in at most `timeout`.
///
/// The kubelet's rules differ from a probe's: whatever answers is success, its status does not count; an HTTPS hook that is answered
/// in plain HTTP is tried again as HTTP, without the `Authorization` header; and the user agent is `kube-lifecycle`. The API keeps
/// `tcpSocket` for hooks only so that old objects decode, and has no `grpc`: neither runs.
pub(super) fn attempt_hook(action: &NetAction, timeout: Duration) -> Outcome {
    let kind = match action {
        NetAction::Http(get) => return http::hook(get, Deadline::after(timeout)),
        NetAction::Tcp { .. } => "tcpSocket",
        NetAction::Grpc { .. } => "grpc",
    };
    Outcome::Failure(format!("invalid handler: a lifecycle hook cannot be {kind}"))
}

fn tcp(host: &str, port: u16, deadline: Deadline) -> Outcome {
    match dial(host, port, deadline) {
        Ok(_) => Outcome::Success(String::new()),
        Err(Trouble::Deadline) => {
            Outcome::Failure(format!("dial tcp {}: i/o timeout", words::join_host_port(host, port)))
        }
        Err(Trouble::Other(text)) => Outcome::Failure(text),
    }
}

/// The version of Kubernetes whose kubelet is followed; it stands in the user agent.
const VERSION: &str = "1.37";

//! What the client and the supervisor tell each other: facts in the past tense, one packet each. The end of the link is the
//! other's death.

use std::os::fd::AsFd;

use crate::error::Error;
use crate::sys::{SysError, packet};

/// A message on the link.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fact {
    /// Client: the user asked for the pod's end.
    StopRequested,
    /// Client: the user asked again, and will not wait for the grace period.
    KillRequested,
    /// Client: it leaves, and the pod is to go on.
    LeaveRequested,
    /// Supervisor: the pod goes on without the client.
    ClientLeft,
    /// Supervisor: every container has ended; the pod's exit code.
    PodEnded(u8),
    /// Supervisor: the pod could not run.
    PodFailed(Error),
}

/// A message is one packet; a longer error text is cut.
const LONGEST: usize = 8192;

pub(super) fn tell(to: impl AsFd, fact: &Fact) -> Result<(), SysError> {
    let mut bytes = match fact {
        Fact::StopRequested => b"s".to_vec(),
        Fact::KillRequested => b"k".to_vec(),
        Fact::LeaveRequested => b"l".to_vec(),
        Fact::ClientLeft => b"c".to_vec(),
        Fact::PodEnded(code) => vec![b'e', *code],
        Fact::PodFailed(e) => [b"f".as_slice(), &e.encode()].concat(),
    };
    bytes.truncate(LONGEST);
    packet::send(to, &bytes, &[])
}

/// The next message; `None` when the other side is gone.
pub(super) fn hear(from: impl AsFd) -> Result<Option<Fact>, SysError> {
    let mut bytes = [0; LONGEST];
    let (length, _) = packet::receive(from, &mut bytes)?;
    Ok(match bytes.get(..length).unwrap_or_default() {
        [b's', ..] => Some(Fact::StopRequested),
        [b'k', ..] => Some(Fact::KillRequested),
        [b'l', ..] => Some(Fact::LeaveRequested),
        [b'c', ..] => Some(Fact::ClientLeft),
        [b'e', code, ..] => Some(Fact::PodEnded(*code)),
        [b'f', rest @ ..] => Some(Fact::PodFailed(Error::decode(rest))),
        _ => None,
    })
}

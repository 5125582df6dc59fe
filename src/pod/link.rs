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
    /// Supervisor of a Job's pod: containers were started again so often, all together; and the code that the last of them had ended with.
    ContainersRestarted(u32, u8),
    /// Supervisor of a Job's pod, at its end: what kind of container ended with which code, and its name.
    ContainerEnded(Ended, u8, String),
    /// Supervisor of a Job's pod, at its end: the pod's condition `Initialized` holds.
    PodInitialized,
    /// Keeper of a detached Job: its first pods were started, by these names.
    JobBegun(Vec<String>),
    /// Supervisor: every container has ended; the pod's exit code.
    PodEnded(u8),
    /// Supervisor: the pod could not run. Keeper: the Job could not.
    PodFailed(Error),
}

/// What kind of container has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    /// One of `initContainers`.
    Init,
    /// One of `containers`.
    Regular,
}

/// A message is one packet; a longer error text is cut.
const LONGEST: usize = 8192;

pub(super) fn tell(to: impl AsFd, fact: &Fact) -> Result<(), SysError> {
    packet::send(to, &bytes(fact), &[])
}

/// As [`tell`], but where the other side has not taken so much for so long that there is no room, it is lost.
pub(super) fn mention(to: impl AsFd, fact: &Fact) {
    let _ = packet::send_if_room(to, &bytes(fact));
}

fn bytes(fact: &Fact) -> Vec<u8> {
    let mut bytes = match fact {
        Fact::StopRequested => b"s".to_vec(),
        Fact::KillRequested => b"k".to_vec(),
        Fact::LeaveRequested => b"l".to_vec(),
        Fact::ClientLeft => b"c".to_vec(),
        Fact::ContainersRestarted(times, code) => [[b'r', *code].as_slice(), &times.to_le_bytes()].concat(),
        Fact::ContainerEnded(kind, code, name) => {
            let kind = if *kind == Ended::Init { b'i' } else { b'c' };
            [&[b'x', kind, *code], name.as_bytes()].concat()
        }
        Fact::PodInitialized => b"i".to_vec(),
        Fact::JobBegun(pods) => [b"b".as_slice(), pods.join("\n").as_bytes()].concat(),
        Fact::PodEnded(code) => vec![b'e', *code],
        Fact::PodFailed(e) => [b"f".as_slice(), &e.encode()].concat(),
    };
    bytes.truncate(LONGEST);
    bytes
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
        [b'r', code, a, b, c, d, ..] => Some(Fact::ContainersRestarted(u32::from_le_bytes([*a, *b, *c, *d]), *code)),
        [b'x', kind, code, name @ ..] => {
            let kind = if *kind == b'i' { Ended::Init } else { Ended::Regular };
            Some(Fact::ContainerEnded(kind, *code, String::from_utf8_lossy(name).into_owned()))
        }
        [b'i', ..] => Some(Fact::PodInitialized),
        [b'b', pods @ ..] => Some(Fact::JobBegun(String::from_utf8_lossy(pods).lines().map(str::to_owned).collect())),
        [b'e', code, ..] => Some(Fact::PodEnded(*code)),
        [b'f', rest @ ..] => Some(Fact::PodFailed(Error::decode(rest))),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_heard() {
        let (ours, theirs) = packet::pair().unwrap();
        for fact in [
            Fact::StopRequested,
            Fact::ContainersRestarted(70_000, 3),
            Fact::ContainerEnded(Ended::Init, 3, "first".to_owned()),
            Fact::ContainerEnded(Ended::Regular, 255, String::new()),
            Fact::PodInitialized,
            Fact::JobBegun(vec!["j-a".to_owned(), "j-b".to_owned()]),
            Fact::JobBegun(Vec::new()),
            Fact::PodEnded(7),
            Fact::PodFailed(Error::new("why")),
        ] {
            tell(&ours, &fact).unwrap();
            assert_eq!(hear(&theirs).unwrap(), Some(fact));
        }
        // Nobody listens: what is only mentioned does not wait.
        (0..10_000).for_each(|n| mention(&ours, &Fact::ContainersRestarted(n, 0)));
        assert_eq!(hear(&theirs).unwrap(), Some(Fact::ContainersRestarted(0, 0)));
    }
}

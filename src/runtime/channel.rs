//! What a starting container and the supervisor tell each other: facts in the past tense, one packet each.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use crate::error::Error;
use crate::sys::{SysError, packet};

/// A message on the channel. The end of the channel is one, too: the program runs, or its process died.
#[derive(Debug)]
pub(super) enum Fact {
    /// Child: it is behind the wall, in a user namespace without maps.
    WallEntered,
    /// Supervisor: the maps are written.
    MapsWritten,
    /// Child: the container's terminal is there; this is its master.
    TerminalOpened(OwnedFd),
    /// Child: the start failed.
    StartFailed(Error),
}

/// A message is one packet; a longer error text is cut.
const LONGEST: usize = 4096;

pub(super) fn tell(to: impl AsFd, fact: &Fact) -> Result<(), SysError> {
    let mut bytes = match fact {
        Fact::WallEntered => b"w".to_vec(),
        Fact::MapsWritten => b"m".to_vec(),
        Fact::TerminalOpened(master) => return packet::send(to, b"t", &[master.as_raw_fd()]),
        Fact::StartFailed(e) => [b"f".as_slice(), &e.encode()].concat(),
    };
    bytes.truncate(LONGEST);
    packet::send(to, &bytes, &[])
}

/// The next message; `None` at the channel's end.
pub(super) fn hear(from: impl AsFd) -> Result<Option<Fact>, SysError> {
    let mut bytes = [0; LONGEST];
    let (length, mut fds) = packet::receive(from, &mut bytes)?;
    Ok(match bytes.get(..length).unwrap_or_default() {
        [] => None,
        [b'w', ..] => Some(Fact::WallEntered),
        [b'm', ..] => Some(Fact::MapsWritten),
        [b't', ..] => fds.pop().map(Fact::TerminalOpened),
        [_, rest @ ..] => Some(Fact::StartFailed(Error::decode(rest))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn facts_arrive_as_they_were_told() {
        let (a, b) = packet::pair().unwrap();
        for fact in [
            Fact::WallEntered,
            Fact::MapsWritten,
            Fact::StartFailed(Error::new("no").mend("do").kind(Kind::NotFound)),
            Fact::StartFailed(Error::new("x")),
        ] {
            tell(&a, &fact).unwrap();
            assert_eq!(format!("{:?}", hear(&b).unwrap()), format!("{:?}", Some(fact)));
        }
        tell(&a, &Fact::TerminalOpened(std::fs::File::open("/dev/null").unwrap().into())).unwrap();
        assert!(matches!(hear(&b).unwrap(), Some(Fact::TerminalOpened(_))));
        drop(a);
        assert!(hear(&b).unwrap().is_none());
    }
}

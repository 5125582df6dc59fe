//! What a starting container and the supervisor tell each other: facts in the past tense, one packet each.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};

use crate::error::Error;
use crate::sys::{Named, SysError};

/// A message on the channel. The end of the channel is one, too: the program runs, or its process died.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fact {
    /// Child: it is behind the wall, in a user namespace without maps.
    WallEntered,
    /// Supervisor: the maps are written.
    MapsWritten,
    /// Child: the start failed.
    StartFailed(Error),
}

/// A message is one packet; a longer error text is cut.
const LONGEST: usize = 4096;

/// Both ends, close-on-exec: the program's execve(2) ends the child's.
pub(super) fn channel() -> Result<(OwnedFd, OwnedFd), SysError> {
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
        .named(|| "socketpair(AF_UNIX, SOCK_SEQPACKET)")
}

pub(super) fn tell(to: impl AsFd, fact: &Fact) -> Result<(), SysError> {
    let mut packet = match fact {
        Fact::WallEntered => b"w".to_vec(),
        Fact::MapsWritten => b"m".to_vec(),
        Fact::StartFailed(e) => [b"f".as_slice(), &e.encode()].concat(),
    };
    packet.truncate(LONGEST);
    send(to.as_fd().as_raw_fd(), &packet, MsgFlags::MSG_NOSIGNAL).map(drop).named(|| "send(channel)")
}

/// The next message; `None` at the channel's end.
pub(super) fn hear(from: impl AsFd) -> Result<Option<Fact>, SysError> {
    let mut packet = [0; LONGEST];
    let length = loop {
        match recv(from.as_fd().as_raw_fd(), &mut packet, MsgFlags::empty()) {
            Err(Errno::EINTR) => {}
            Err(Errno::ECONNRESET) => break 0,
            received => break received.named(|| "recv(channel)")?,
        }
    };
    Ok(match packet.get(..length).unwrap_or_default() {
        [] => None,
        [b'w', ..] => Some(Fact::WallEntered),
        [b'm', ..] => Some(Fact::MapsWritten),
        [_, rest @ ..] => Some(Fact::StartFailed(Error::decode(rest))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn facts_arrive_as_they_were_told() {
        let (a, b) = channel().unwrap();
        for fact in [
            Fact::WallEntered,
            Fact::MapsWritten,
            Fact::StartFailed(Error::new("no").mend("do").kind(Kind::NotFound)),
            Fact::StartFailed(Error::new("x")),
        ] {
            tell(&a, &fact).unwrap();
            assert_eq!(hear(&b).unwrap(), Some(fact));
        }
        drop(a);
        assert_eq!(hear(&b).unwrap(), None);
    }
}

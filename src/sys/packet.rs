//! Packets between two related processes, with descriptors (unix(7), `SOCK_SEQPACKET` and `SCM_RIGHTS`).

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, accept4, recvmsg, sendmsg,
    socketpair,
};

use super::{Named, SysError};

/// Two connected ends, close-on-exec.
///
/// # Errors
/// The failed call.
pub fn pair() -> Result<(OwnedFd, OwnedFd), SysError> {
    socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
        .named(|| "socketpair(AF_UNIX, SOCK_SEQPACKET)")
}

/// The next connection of a listening socket, non-blocking and close-on-exec.
///
/// # Errors
/// The failed call; `EAGAIN` where nobody waits and the listener does not block.
pub fn accept(listener: impl AsFd) -> Result<OwnedFd, SysError> {
    let raw = accept4(listener.as_fd().as_raw_fd(), SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK)
        .named(|| "accept4(AF_UNIX)")?;
    // SAFETY: the kernel has just made this descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Sends `bytes`, of which there must be at least one, with the descriptors.
///
/// # Errors
/// The failed call; `EPIPE` where the other end is closed, and no signal.
pub fn send(socket: impl AsFd, bytes: &[u8], fds: &[RawFd]) -> Result<(), SysError> {
    let rights = [ControlMessage::ScmRights(fds)];
    let control: &[ControlMessage] = if fds.is_empty() { &[] } else { &rights };
    sendmsg::<()>(socket.as_fd().as_raw_fd(), &[IoSlice::new(bytes)], control, MsgFlags::MSG_NOSIGNAL, None)
        .map(drop)
        .named(|| "sendmsg(AF_UNIX)")
}

/// Sends `bytes`, of which there must be at least one, unless there is no room for them now.
///
/// # Errors
/// The failed call; `EAGAIN` where there is no room.
pub fn send_if_room(socket: impl AsFd, bytes: &[u8]) -> Result<(), SysError> {
    let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
    sendmsg::<()>(socket.as_fd().as_raw_fd(), &[IoSlice::new(bytes)], &[], flags, None)
        .map(drop)
        .named(|| "sendmsg(AF_UNIX)")
}

/// Receives one packet into `bytes`, which it may cut: its length, 0 where the other end is closed, and the descriptors that came
/// with it, close-on-exec.
///
/// # Errors
/// The failed call.
pub fn receive(socket: impl AsFd, bytes: &mut [u8]) -> Result<(usize, Vec<OwnedFd>), SysError> {
    let mut space = nix::cmsg_space!([RawFd; 8]);
    let raw = socket.as_fd().as_raw_fd();
    let mut reset = false;
    loop {
        let mut parts = [IoSliceMut::new(bytes)];
        match recvmsg::<()>(raw, &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC) {
            Err(Errno::EINTR) => {}
            // The other end died with something of ours unread. The kernel says so once, and before what that end has sent.
            Err(Errno::ECONNRESET) if !reset => reset = true,
            Err(Errno::ECONNRESET) => return Ok((0, Vec::new())),
            Err(errno) => return Err(SysError::new("recvmsg(AF_UNIX)", errno)),
            Ok(message) => {
                let mut fds = Vec::new();
                for control in message.cmsgs().named(|| "recvmsg(SCM_RIGHTS)")? {
                    if let ControlMessageOwned::ScmRights(received) = control {
                        // SAFETY: the kernel has just installed these descriptors for this message, and nothing else owns them.
                        fds.extend(received.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
                    }
                }
                return Ok((message.bytes, fds));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_keep_their_bounds_and_bring_descriptors() {
        let (a, b) = pair().unwrap();
        send(&a, b"one", &[]).unwrap();
        send(&a, b"two", &[a.as_raw_fd()]).unwrap();
        let mut bytes = [0; 8];
        assert_eq!(receive(&b, &mut bytes).unwrap().0, 3);
        let (length, fds) = receive(&b, &mut bytes).unwrap();
        assert_eq!((&bytes[..length], fds.len()), (b"two".as_slice(), 1));
        drop((a, fds));
        assert_eq!(receive(&b, &mut bytes).unwrap().0, 0);
    }

    #[test]
    fn last_words_arrive_though_the_speaker_has_not_listened() {
        let (a, b) = pair().unwrap();
        send(&a, b"unheard", &[]).unwrap();
        send(&b, b"last words", &[]).unwrap();
        drop(b);
        let mut bytes = [0; 16];
        assert_eq!(receive(&a, &mut bytes).unwrap().0, b"last words".len());
        assert_eq!(receive(&a, &mut bytes).unwrap().0, 0);
    }
}

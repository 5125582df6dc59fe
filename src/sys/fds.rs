//! Descriptors over a unix socket (unix(7), `SCM_RIGHTS`).

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

use super::{Named, SysError};

/// Sends `bytes`, of which there must be at least one, with the descriptors.
///
/// # Errors
/// The failed call.
pub fn send(socket: impl AsFd, bytes: &[u8], fds: &[RawFd]) -> Result<(), SysError> {
    let rights = [ControlMessage::ScmRights(fds)];
    let control: &[ControlMessage] = if fds.is_empty() { &[] } else { &rights };
    sendmsg::<()>(socket.as_fd().as_raw_fd(), &[IoSlice::new(bytes)], control, MsgFlags::MSG_NOSIGNAL, None)
        .map(drop)
        .named(|| "sendmsg(SCM_RIGHTS)")
}

/// Receives one packet into `bytes`: its length, and the descriptors that came with it, close-on-exec.
///
/// # Errors
/// The failed call.
pub fn receive(socket: impl AsFd, bytes: &mut [u8]) -> Result<(usize, Vec<OwnedFd>), SysError> {
    let mut space = nix::cmsg_space!([RawFd; 8]);
    let mut parts = [IoSliceMut::new(bytes)];
    let message = recvmsg::<()>(socket.as_fd().as_raw_fd(), &mut parts, Some(&mut space), MsgFlags::MSG_CMSG_CLOEXEC)
        .named(|| "recvmsg(SCM_RIGHTS)")?;
    let mut fds = Vec::new();
    for control in message.cmsgs().named(|| "recvmsg(SCM_RIGHTS)")? {
        if let ControlMessageOwned::ScmRights(received) = control {
            // SAFETY: the kernel has just installed these descriptors for this message, and nothing else owns them.
            fds.extend(received.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
        }
    }
    Ok((message.bytes, fds))
}

//! The clients' side, and the socket's place: `control` in the pod's directory.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, connect as connect_to, socket};
use nix::sys::stat::Mode;

use super::message::{Reply, Request};
use super::packet::{Received, receive, send};
use crate::error::{Error, Result};
use crate::sys::{Named, SysError};

/// The socket's name in a pod's directory.
pub(in crate::pod) fn socket_name() -> &'static str {
    "control"
}

/// A socket address has 108 bytes (unix(7)); the path of a pod's directory may be longer, its descriptor's never is.
fn address(dir: BorrowedFd) -> nix::Result<UnixAddr> {
    UnixAddr::new(format!("/proc/self/fd/{}/{}", dir.as_raw_fd(), socket_name()).as_str())
}

/// The listening socket of the pod whose directory is `dir`, for its supervisor.
///
/// # Errors
/// The failed call.
pub(in crate::pod) fn listen(dir: BorrowedFd) -> Result<OwnedFd> {
    let named = |call: &'static str| move || format!("{call}(the pod's control socket)");
    let listener =
        socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)
            .named(named("socket"))?;
    let address = address(dir).named(named("bind"))?;
    match bind(listener.as_raw_fd(), &address) {
        // A killed podling's.
        Err(Errno::EADDRINUSE) => {
            nix::unistd::unlinkat(dir, socket_name(), nix::unistd::UnlinkatFlags::NoRemoveDir)
                .named(named("unlink"))?;
            bind(listener.as_raw_fd(), &address).named(named("bind"))?;
        }
        bound => bound.named(named("bind"))?,
    }
    // The directory keeps others out already; this keeps out those of the caller's group where somebody has opened it.
    let mode = Mode::S_IRUSR | Mode::S_IWUSR;
    nix::sys::stat::fchmodat(dir, socket_name(), mode, nix::sys::stat::FchmodatFlags::FollowSymlink)
        .named(named("chmod"))?;
    nix::sys::socket::listen(&listener, Backlog::new(128).unwrap_or(Backlog::MAXCONN)).named(named("listen"))?;
    Ok(listener)
}

/// A connection to a pod's supervisor.
#[derive(Debug)]
pub struct Connection {
    socket: OwnedFd,
}

/// Connects to the pod whose directory is `dir`; `None` where nobody listens, since the pod has ended.
///
/// # Errors
/// The failed call.
pub fn connect(dir: &Path) -> Result<Option<Connection>> {
    let dir_fd = match open(dir, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty()) {
        Err(Errno::ENOENT) => return Ok(None),
        opened => opened.named(|| format!("open({dir:?}, O_PATH)"))?,
    };
    let socket =
        socket(AddressFamily::Unix, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None).named(|| "socket(AF_UNIX)")?;
    let address = address(dir_fd.as_fd()).named(|| "connect(AF_UNIX)")?;
    loop {
        match connect_to(socket.as_raw_fd(), &address) {
            Ok(()) => return Ok(Some(Connection { socket })),
            Err(Errno::EINTR) => {}
            Err(Errno::ENOENT | Errno::ECONNREFUSED) => return Ok(None),
            Err(errno) => {
                return Err(SysError::new(format!("connect(the control socket in {dir:?})"), errno).into());
            }
        }
    }
}

impl Connection {
    /// The same connection once more.
    ///
    /// # Errors
    /// The failed call.
    pub fn try_clone(&self) -> Result<Connection> {
        Ok(Connection { socket: self.socket.try_clone().named(|| "dup(the control socket)")? })
    }

    /// Asks something. A supervisor that has just ended shows so when the answer is read.
    ///
    /// # Errors
    /// The failed call.
    pub fn ask(&self, request: &Request, fds: &[BorrowedFd]) -> Result<()> {
        send(&self.socket, request, fds).map(drop)
    }

    /// The next answer and its descriptors; `None` where the pod has ended.
    ///
    /// # Errors
    /// What the supervisor refused, or the failed call.
    pub fn answer(&self) -> Result<Option<(Reply, Vec<OwnedFd>)>> {
        match receive(&self.socket)? {
            Received::Value(Reply::Refused(error), _) => Err(Error::decode(&error)),
            Received::Value(reply, fds) => Ok(Some((reply, fds))),
            // The socket waits, so nothing is the end.
            Received::Nothing | Received::End => Ok(None),
        }
    }

    /// Asks something whose answer is one packet; `None` where the pod ended meanwhile.
    ///
    /// # Errors
    /// Those of [`Connection::ask`] and [`Connection::answer`].
    pub fn call(&self, request: &Request, fds: &[BorrowedFd]) -> Result<Option<(Reply, Vec<OwnedFd>)>> {
        self.ask(request, fds)?;
        self.answer()
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

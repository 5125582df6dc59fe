//! One connection to this host, carried to a port in a pod.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::rc::Rc;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::{SockaddrIn, SockaddrIn6, connect, getsockopt, sockopt::SocketError};

use super::pump::{AtEnd, Buffer, Flow, Pump};
use crate::error::{Error, Result};
use crate::sys::{Named, SysError};

/// Both ends, and how far the way between them is.
#[derive(Debug)]
pub struct Tunnel {
    port: u16,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The pod's side is being reached; the sockets that are left are tried next.
    Reaching { local: OwnedFd, trying: OwnedFd, left: Vec<OwnedFd> },
    /// Bytes go both ways.
    Open([Pump; 2]),
    /// The pod did not take the connection.
    Refused(Errno),
}

/// A part of a tunnel that waits for something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The connection into the pod.
    Reaching,
    /// The bytes of one direction.
    Pump(usize),
}

impl Tunnel {
    /// Begins to reach `port` on the pod's loopback interface with one of `sockets`, which are its IPv4 and IPv6 ones.
    ///
    /// # Errors
    /// A socket that is none.
    pub fn begin(local: OwnedFd, sockets: Vec<OwnedFd>, port: u16) -> Result<Tunnel> {
        for socket in &sockets {
            fcntl(socket, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).named(|| "fcntl(F_SETFL, O_NONBLOCK)")?;
        }
        Ok(Tunnel { port, stage: reach(local, sockets, port, Errno::EAFNOSUPPORT) })
    }

    /// What each of its parts waits for.
    pub fn waits_for(&self) -> Vec<(Part, PollFd<'_>)> {
        match &self.stage {
            Stage::Reaching { trying, .. } => vec![(Part::Reaching, PollFd::new(trying.as_fd(), PollFlags::POLLOUT))],
            Stage::Open(pumps) => {
                let parts = pumps.iter().enumerate();
                parts.filter_map(|(n, pump)| Some((Part::Pump(n), pump.waits_for()?))).collect()
            }
            Stage::Refused(_) => Vec::new(),
        }
    }

    /// Does the step that `part` has waited for.
    pub fn step(&mut self, part: Part, buffer: &mut Buffer) {
        match (part, &mut self.stage) {
            (Part::Pump(n), Stage::Open(pumps)) => {
                if let Some(pump) = pumps.get_mut(n) {
                    pump.step(buffer);
                }
                // Where nobody takes one direction any more, the connection is broken, and the other has nobody to answer to.
                if pumps.iter().any(|pump| pump.flow() == Flow::Broken) {
                    self.stage = Stage::Refused(Errno::UnknownErrno);
                }
            }
            (Part::Reaching, Stage::Reaching { .. }) => self.reached(),
            _ => {}
        }
    }

    fn reached(&mut self) {
        let stage = std::mem::replace(&mut self.stage, Stage::Refused(Errno::UnknownErrno));
        let Stage::Reaching { local, trying, left } = stage else { return };
        let error = getsockopt(&trying, SocketError).unwrap_or(libc::EBADF);
        self.stage =
            if error == 0 { open(local, trying) } else { reach(local, left, self.port, Errno::from_raw(error)) };
    }

    /// Whether nothing is left to do.
    pub fn is_over(&self) -> bool {
        match &self.stage {
            Stage::Reaching { .. } => false,
            Stage::Open(pumps) => pumps.iter().all(|pump| pump.flow() != Flow::Open),
            Stage::Refused(_) => true,
        }
    }

    /// Why the pod did not take the connection, if that is how it ended.
    pub fn complaint(&self) -> Option<Error> {
        match self.stage {
            Stage::Refused(Errno::UnknownErrno) => None,
            Stage::Refused(errno) => {
                let error = Error::from(SysError::new(format!("connect(port {} of the pod)", self.port), errno));
                Some(match errno {
                    Errno::ECONNREFUSED => error.mend("nothing in the pod listens there"),
                    _ => error,
                })
            }
            _ => None,
        }
    }
}

/// Tries the next socket; `last` is why the one before failed.
fn reach(local: OwnedFd, mut left: Vec<OwnedFd>, port: u16, last: Errno) -> Stage {
    let mut last = last;
    while !left.is_empty() {
        let trying = left.remove(0);
        match begin_connect(&trying, port) {
            Ok(()) => return open(local, trying),
            Err(Errno::EINPROGRESS) => return Stage::Reaching { local, trying, left },
            // What the first family said matters more than that the pod may not have the second.
            Err(errno) if last == Errno::EAFNOSUPPORT => last = errno,
            Err(_) => {}
        }
    }
    Stage::Refused(last)
}

fn begin_connect(socket: &OwnedFd, port: u16) -> nix::Result<()> {
    let v6 = SockaddrIn6::from(std::net::SocketAddrV6::new(std::net::Ipv6Addr::LOCALHOST, port, 0, 0));
    match connect(socket.as_raw_fd(), &SockaddrIn::new(127, 0, 0, 1, port)) {
        Err(Errno::EAFNOSUPPORT | Errno::EINVAL) => connect(socket.as_raw_fd(), &v6),
        connected => connected,
    }
}

fn open(local: OwnedFd, remote: OwnedFd) -> Stage {
    let (local, remote) = (Rc::new(local), Rc::new(remote));
    Stage::Open([
        Pump::new(Rc::clone(&local), Rc::clone(&remote), AtEnd::Shutdown),
        Pump::new(remote, local, AtEnd::Shutdown),
    ])
}

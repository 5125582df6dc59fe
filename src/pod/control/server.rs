//! The supervisor's side of the control socket: who is connected, and what they wait for.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use serde::Serialize;

use super::message::{Reply, Request};
pub(in crate::pod) use super::packet::Sent;
use super::packet::{Received, receive, send};
use crate::error::{Error, Result};
use crate::pod::events::{Events, Source};
use crate::sys::packet;

/// More connections at once are refused: each costs the supervisor memory and a descriptor.
const MOST: usize = 256;

/// Everybody who is connected.
#[derive(Debug)]
pub(in crate::pod) struct Server {
    listener: OwnedFd,
    owner: Owner,
    connections: Vec<Peer>,
    next: usize,
}

/// Who may connect, as the pod's user namespace sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::pod) enum Owner {
    /// The caller, who is the pod's root.
    PodRoot,
    /// Real root, who has no id in the pod: the kernel shows it as the overflow id (user_namespaces(7)). The socket's directory keeps
    /// all others out.
    Unmapped,
}

/// The id that stands for those that are not mapped (`/proc/sys/kernel/overflowuid`).
const OVERFLOW: u32 = 65534;

/// One connection.
#[derive(Debug)]
pub(in crate::pod) struct Peer {
    pub(in crate::pod) id: usize,
    socket: OwnedFd,
    /// The last event that a watcher has been told; `None` for those who do not watch.
    pub(in crate::pod) watching: Option<u64>,
    /// Whether the watcher has not been told the latest.
    pub(in crate::pod) behind: bool,
    writable_watched: bool,
}

impl Server {
    pub(in crate::pod) fn new(listener: OwnedFd, owner: Owner, events: &Events) -> Result<Server> {
        events.watch(&listener, Source::Control)?;
        Ok(Server { listener, owner, connections: Vec::new(), next: 0 })
    }

    /// Takes everybody who waits to be connected, and answers with their numbers: they may have asked already.
    pub(in crate::pod) fn accept(&mut self, events: &Events) -> Vec<usize> {
        let mut accepted = Vec::new();
        loop {
            let socket = match packet::accept(&self.listener) {
                Ok(socket) => socket,
                Err(e) if matches!(e.errno, Errno::EINTR | Errno::ECONNABORTED) => continue,
                // Nobody waits, or the limit on open files is reached: whoever waits goes on waiting, and the pod lives.
                Err(_) => return accepted,
            };
            let Ok(credentials) = getsockopt(&socket, PeerCredentials) else { continue };
            let allowed = match self.owner {
                Owner::PodRoot => 0,
                Owner::Unmapped => OVERFLOW,
            };
            if credentials.uid() != allowed || self.connections.len() >= MOST {
                let why = Error::new(
                    "this pod's control socket takes its owner's requests only, and 256 connections at most",
                );
                let _ = send(&socket, &Reply::Refused(why.encode()), &[]);
                continue;
            }
            let id = self.next;
            self.next += 1;
            // A limit that keeps this one from being heard is no reason for the pod to end.
            if events.watch(&socket, Source::Connection(id)).is_err() {
                continue;
            }
            self.connections.push(Peer { id, socket, watching: None, behind: false, writable_watched: false });
            accepted.push(id);
        }
    }

    pub(in crate::pod) fn get_mut(&mut self, id: usize) -> Option<&mut Peer> {
        self.connections.iter_mut().find(|peer| peer.id == id)
    }

    pub(in crate::pod) fn watchers(&mut self) -> impl Iterator<Item = &mut Peer> {
        self.connections.iter_mut().filter(|peer| peer.watching.is_some())
    }

    /// The next request of connection `id`; `None` where there is none now, and an error at its end or at what cannot be read.
    pub(in crate::pod) fn hear(&mut self, id: usize) -> Option<Result<(Request, Vec<OwnedFd>)>> {
        let peer = self.get_mut(id)?;
        match receive(&peer.socket) {
            Ok(Received::Value(request, fds)) => Some(Ok((request, fds))),
            Ok(Received::End) => Some(Err(Error::new("the end of the connection"))),
            Ok(Received::Nothing) => None,
            Err(e) => {
                let _ = send(&peer.socket, &Reply::Refused(e.encode()), &[]);
                Some(Err(e))
            }
        }
    }

    /// Answers connection `id`, which may be gone.
    pub(in crate::pod) fn answer(&mut self, id: usize, reply: &Reply, fds: &[BorrowedFd]) {
        if let Some(peer) = self.get_mut(id) {
            let _ = peer.send(reply, fds);
        }
    }

    pub(in crate::pod) fn refuse(&mut self, id: usize, error: &Error) {
        self.answer(id, &Reply::Refused(error.encode()), &[]);
    }

    pub(in crate::pod) fn close(&mut self, id: usize, events: &Events) {
        if let Some(at) = self.connections.iter().position(|peer| peer.id == id) {
            let peer = self.connections.swap_remove(at);
            events.forget(&peer.socket);
        }
    }
}

impl Peer {
    pub(in crate::pod) fn send(&self, value: &impl Serialize, fds: &[BorrowedFd]) -> Sent {
        // Whatever is wrong with one client's socket is no concern of the pod's.
        send(&self.socket, value, fds).unwrap_or(Sent::Gone)
    }

    /// Has the loop say when the peer takes more, or no longer.
    pub(in crate::pod) fn wait_for_room(&mut self, wait: bool, events: &Events) -> Result<()> {
        if self.writable_watched != wait {
            events.watch_both(&self.socket, Source::Connection(self.id), wait)?;
            self.writable_watched = wait;
        }
        Ok(())
    }
}

impl AsFd for Peer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

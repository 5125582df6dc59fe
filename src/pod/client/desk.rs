//! Where a keeper is spoken to, and what it writes down: its socket, its record, and the client that started it, as long as that waits.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use nix::poll::{PollFd, PollFlags};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::geteuid;
use serde_json::Value;

use super::Pod;
use crate::error::Error;
use crate::pod::control::packet::{Received, receive, send};
use crate::pod::control::{Reply, Request};
use crate::pod::job::{Crew, JobClaim, JobFirst, Progress, Times};
use crate::pod::link::{Fact, tell};
use crate::sys::packet;

/// More connections at once are refused.
const MOST: usize = 256;

/// The desk of one Job's keeper.
#[derive(Debug)]
pub(super) struct Desk {
    claim: JobClaim,
    listener: OwnedFd,
    peers: Vec<Peer>,
    /// The client, until it has been told that the Job has begun.
    client: Option<OwnedFd>,
    uid: String,
    times: Times,
    last: Option<Progress>,
    /// The Job's last status, once it has ended.
    finished: Option<Value>,
}

/// Somebody who has connected.
#[derive(Debug)]
struct Peer {
    socket: OwnedFd,
    listens: Listens,
}

/// What somebody wants to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listens {
    /// The Job's end, as whoever is connected.
    ForTheEnd,
    /// That pods were started, too.
    ForPods,
}

impl AsFd for Peer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// What somebody wants of the Job, the stronger the later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wish {
    Nothing,
    /// Its pods are asked to end.
    Stop,
    /// They are killed.
    Kill,
}

impl Desk {
    pub(super) fn new(claim: JobClaim, listener: OwnedFd, client: OwnedFd, first: &JobFirst) -> Desk {
        Desk {
            claim,
            listener,
            peers: Vec::new(),
            client: Some(client),
            uid: first.uid.clone(),
            times: Times { started: first.started_at, ..Times::default() },
            last: None,
            finished: None,
        }
    }

    /// What no supervisor may hold: somebody would wait for its end.
    pub(super) fn descriptors(&self) -> Vec<RawFd> {
        let client = self.client.iter().map(AsRawFd::as_raw_fd);
        let own = [self.claim.descriptor(), self.listener.as_raw_fd()];
        self.peers.iter().map(|peer| peer.socket.as_raw_fd()).chain(client).chain(own).collect()
    }

    /// What is polled; [`Desk::serve`] takes the outcome in the same order.
    pub(super) fn polled(&self) -> impl Iterator<Item = PollFd<'_>> {
        let all = std::iter::once(self.listener.as_fd()).chain(self.peers.iter().map(AsFd::as_fd));
        all.map(|fd| PollFd::new(fd, PollFlags::POLLIN))
    }

    /// Hears whoever has something to say.
    pub(super) fn serve(&mut self, ready: &[bool]) -> Wish {
        let mut wish = Wish::Nothing;
        let finished = self.finished.as_ref();
        let mut peers = ready.iter().skip(1);
        self.peers.retain_mut(|peer| peers.next() != Some(&true) || hear(peer, finished, &mut wish));
        if ready.first() == Some(&true) {
            while let Ok(socket) = packet::accept(&self.listener) {
                // The directory keeps all others out already.
                let is_own = getsockopt(&socket, PeerCredentials).is_ok_and(|who| who.uid() == geteuid().as_raw());
                let mut peer = Peer { socket, listens: Listens::ForTheEnd };
                if is_own && self.peers.len() < MOST && hear(&mut peer, finished, &mut wish) {
                    self.peers.push(peer);
                }
            }
        }
        wish
    }

    /// Tells whoever listens that pods were started. Where there is no room for that, the same has been said before and not been heard yet.
    pub(super) fn pods_started(&self) {
        for peer in self.peers.iter().filter(|peer| peer.listens == Listens::ForPods) {
            let _ = send(peer, &Reply::PodsStarted, &[]);
        }
    }

    /// Writes down how far the Job has come, if that has changed, and tells the client once that it has begun. The client may be gone: then the
    /// Job is to end with it.
    pub(super) fn note(&mut self, crew: &Crew, pods: &[Pod]) -> Wish {
        let Some(progress) = crew.progress() else { return Wish::Nothing };
        if self.last.as_ref() != Some(&progress) {
            progress.note(&mut self.times, crate::pod::now());
            // A disk that is full now may not be when the next change comes, and the Job goes on.
            let _ = self.claim.write_status(&progress.status(self.times));
            self.last = Some(progress);
        }
        if crew.error().is_some() {
            return Wish::Nothing;
        }
        let Some(client) = self.client.take() else { return Wish::Nothing };
        let begun = Fact::JobBegun(pods.iter().map(|pod| pod.name.clone()).collect());
        if tell(client, &begun).is_ok() { Wish::Nothing } else { Wish::Kill }
    }

    /// The client, where it still waits to be told that the Job has begun.
    pub(super) fn waiting_client(&mut self) -> Option<OwnedFd> {
        self.client.take()
    }

    /// The Job has ended: everybody learns how, and hears nothing more.
    pub(super) fn finish(&mut self) {
        let status = self.last.as_ref().map(|progress| progress.status(self.times)).unwrap_or_default();
        for peer in self.peers.drain(..) {
            let _ = send(&peer, &Reply::Object(status.to_string()), &[]);
        }
        self.finished = Some(status);
    }

    pub(super) fn uid(&self) -> &str {
        &self.uid
    }

    /// The record, when nobody is heard any more.
    pub(super) fn into_claim(self) -> JobClaim {
        self.claim
    }
}

/// Hears one connection; whether it goes on.
fn hear(peer: &mut Peer, finished: Option<&Value>, wish: &mut Wish) -> bool {
    loop {
        let request = match receive(&*peer) {
            Ok(Received::Value(request, _)) => request,
            Ok(Received::Nothing) => return true,
            Ok(Received::End) => return false,
            Err(error) => {
                let _ = send(&*peer, &Reply::Refused(error.encode()), &[]);
                return false;
            }
        };
        let asked = match request {
            Request::Stop { grace_seconds: Some(0) } => Wish::Kill,
            Request::Stop { .. } => Wish::Stop,
            Request::Watch => match finished {
                None => {
                    peer.listens = Listens::ForPods;
                    // Some may have been started since it has asked.
                    let _ = send(&*peer, &Reply::PodsStarted, &[]);
                    continue;
                }
                Some(status) => {
                    let _ = send(&*peer, &Reply::Object(status.to_string()), &[]);
                    return false;
                }
            },
            _ => {
                let why = Error::new("the keeper of a Job takes Stop and Watch, and its pods' supervisors the rest");
                let _ = send(&*peer, &Reply::Refused(why.encode()), &[]);
                return false;
            }
        };
        *wish = asked.max(*wish);
        let _ = send(&*peer, &Reply::Done, &[]);
    }
}

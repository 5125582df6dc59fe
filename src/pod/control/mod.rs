//! The control socket of a running pod: a listening Unix socket in the pod's directory, which only the pod's owner can reach.
//!
//! The protocol has a version, the first byte of each packet. A request is one packet, an answer is one or more; descriptors travel
//! beside them. Only `connect` is the clients' side; the supervisor's is `server`.

mod connect;
pub(super) mod message;
pub(super) mod packet;
pub(super) mod server;

pub use connect::{Connection, connect};
pub(super) use connect::{listen, socket_name};
pub use message::{Reply, Request, Usage};

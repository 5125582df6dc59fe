//! TCP connections under one deadline.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::words::cause;

/// When the whole attempt is over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Deadline(Instant);

/// Far enough for a duration that the clock cannot add.
const AGES: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

impl Deadline {
    pub(super) fn after(timeout: Duration) -> Deadline {
        Deadline(Instant::now() + timeout.min(AGES))
    }

    /// What is left; never zero.
    pub(super) fn remaining(self) -> Result<Duration, Trouble> {
        match self.0.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(Trouble::Deadline),
            left => Ok(left),
        }
    }
}

/// Why something over the network did not come about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Time ran out. What the kubelet says of it depends on what it was doing, so there is no text yet.
    Deadline,
    /// Anything else, in the kubelet's words.
    Other(String),
}

impl Trouble {
    pub(super) fn other(text: impl Into<String>) -> Trouble {
        Trouble::Other(text.into())
    }
}

/// The errors of [`Stream`] carry a `Trouble`; those of rustls speak for themselves.
impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Trouble>()) {
            Some(trouble) => trouble.clone(),
            None if error.kind() == ErrorKind::UnexpectedEof => Trouble::other("unexpected EOF"),
            None => Trouble::Other(cause(&error)),
        }
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Trouble::Deadline => f.write_str("i/o timeout"),
            Trouble::Other(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for Trouble {}

/// How many of the first bytes that came in are kept, enough to know an HTTP answer by its `HTTP/`.
const FIRST: usize = 5;

/// A TCP connection whose every read and write ends at the deadline.
#[derive(Debug)]
pub(super) struct Stream {
    tcp: TcpStream,
    deadline: Deadline,
    first: [u8; FIRST],
    received: usize,
}

/// Connects. A host is an address or `localhost`: names need a resolver, which the pod's own network may not reach and a static
/// binary does not carry.
pub(super) fn dial(host: &str, port: u16, deadline: Deadline) -> Result<Stream, Trouble> {
    let addresses = match host.parse::<IpAddr>() {
        Ok(address) => vec![address],
        Err(_) if host.eq_ignore_ascii_case("localhost") => {
            vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
        }
        Err(_) => return Err(Trouble::Other(format!("dial tcp: lookup {host}: no such host"))),
    };
    let mut first = None;
    for address in addresses {
        let address = SocketAddr::new(address, port);
        match TcpStream::connect_timeout(&address, deadline.remaining()?) {
            Ok(tcp) => {
                // Else the second of two small writes waits for the first's acknowledgement, which the other side holds back 40 ms.
                let _ = tcp.set_nodelay(true);
                return Ok(Stream { tcp, deadline, first: [0; FIRST], received: 0 });
            }
            // The kernel's own ETIMEDOUT has a number; that of the deadline has none.
            Err(error) if error.kind() == ErrorKind::TimedOut && error.raw_os_error().is_none() => {
                return Err(Trouble::Deadline);
            }
            Err(error) => _ = first.get_or_insert(format!("dial tcp {address}: connect: {}", cause(&error))),
        }
    }
    Err(Trouble::Other(first.unwrap_or_default()))
}

impl Stream {
    /// Whether what came in began as an HTTP answer.
    pub(super) fn spoke_http(&self) -> bool {
        self.received >= FIRST && &self.first == b"HTTP/"
    }

    fn failed(&self, verb: &str, error: &io::Error) -> io::Error {
        let ends = match (self.tcp.local_addr(), self.tcp.peer_addr()) {
            (Ok(local), Ok(peer)) => format!(" {local}->{peer}"),
            _ => String::new(),
        };
        io::Error::new(error.kind(), Trouble::Other(format!("{verb} tcp{ends}: {verb}: {}", cause(error))))
    }

    fn remaining(&self) -> io::Result<Duration> {
        self.deadline.remaining().map_err(|trouble| io::Error::new(ErrorKind::TimedOut, trouble))
    }
}

/// Whether the call only has to be made again: the socket's own timeout is rounded, and the deadline decides.
fn again(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.tcp.set_read_timeout(Some(self.remaining()?))?;
            match self.tcp.read(buffer) {
                Ok(count) => {
                    for &byte in buffer.iter().take(count.min(FIRST)) {
                        if let Some(place) = self.first.get_mut(self.received) {
                            *place = byte;
                            self.received += 1;
                        }
                    }
                    return Ok(count);
                }
                Err(error) if again(&error) => {}
                Err(error) => return Err(self.failed("read", &error)),
            }
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            self.tcp.set_write_timeout(Some(self.remaining()?))?;
            match self.tcp.write(bytes) {
                Ok(count) => return Ok(count),
                Err(error) if again(&error) => {}
                Err(error) => return Err(self.failed("write", &error)),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

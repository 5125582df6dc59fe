//! Probes against servers on loopback, well-behaved and not.

mod grpc;
mod hostile;
mod http;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use rustls::{ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion};

use super::*;

/// Long enough for any machine; nothing that succeeds waits for it.
const AMPLE: Duration = Duration::from_secs(60);
/// For what fails by waiting.
const SHORT: Duration = Duration::from_millis(500);

/// A server that gives each connection, with its number, to `serve`, until the tests end.
fn listen(serve: impl Fn(usize, TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            serve(number, stream.unwrap());
        }
    });
    port
}

/// A port that nobody listens on, nor can while this lives: it is one end of a connection.
struct Refused {
    port: u16,
    _held: (TcpListener, TcpStream),
}

fn refused() -> Refused {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    Refused { port: stream.local_addr().unwrap().port(), _held: (listener, stream) }
}

/// The head of a request.
fn head(stream: &mut impl Read) -> String {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).unwrap_or(0) > 0 {}
    head
}

/// A server that answers its connections in turn, the last answer for all that follow; and what it is asked.
fn answering(answers: Vec<Vec<u8>>) -> (u16, mpsc::Receiver<String>) {
    let (tell, told) = mpsc::channel();
    let port = listen(move |number, mut stream| {
        let _ = tell.send(head(&mut stream));
        let _ = stream.write_all(answers.get(number).or(answers.last()).unwrap());
    });
    (port, told)
}

/// The server's side of TLS, with a certificate that nobody vouches for.
fn secured(
    stream: TcpStream,
    protocol: &[u8],
    version: &'static SupportedProtocolVersion,
) -> StreamOwned<ServerConnection, TcpStream> {
    let pem = include_bytes!("localhost.pem");
    let certificate = CertificateDer::from_pem_slice(pem).unwrap();
    let key = PrivateKeyDer::from_pem_slice(pem).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    config.alpn_protocols = vec![protocol.to_vec()];
    StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), stream)
}

fn success(text: &str) -> Outcome {
    Outcome::Success(text.to_owned())
}

fn failure(text: impl Into<String>) -> Outcome {
    Outcome::Failure(text.into())
}

fn tcp(host: &str, port: u16) -> Outcome {
    attempt(&NetAction::Tcp { host: host.to_owned(), port }, AMPLE)
}

#[test]
fn a_port_that_accepts_is_open() {
    let port = listen(|_, _| {});
    assert_eq!(tcp("127.0.0.1", port), success(""));
    assert_eq!(tcp("localhost", port), success(""));
}

#[test]
fn a_port_that_refuses_says_so() {
    let refused = refused();
    let port = refused.port;
    assert_eq!(tcp("127.0.0.1", port), failure(format!("dial tcp 127.0.0.1:{port}: connect: connection refused")));
    assert_eq!(tcp("localhost", port), failure(format!("dial tcp 127.0.0.1:{port}: connect: connection refused")));
}

#[test]
fn a_name_does_not_resolve() {
    assert_eq!(tcp("db.example", 1), failure("dial tcp: lookup db.example: no such host"));
}

#[test]
fn no_time_is_a_timeout() {
    let action = NetAction::Tcp { host: "127.0.0.1".to_owned(), port: listen(|_, _| {}) };
    let Outcome::Failure(text) = attempt(&action, Duration::ZERO) else { panic!("nothing can succeed in no time") };
    assert!(text.ends_with(": i/o timeout"), "{text}");
}

#[test]
fn an_outcome_travels_cut_to_its_bound() {
    let long = format!("x{}", "é".repeat(3000));
    for outcome in [success(""), Outcome::Warning("héllo".to_owned()), failure("why")] {
        assert_eq!(Outcome::decode(&outcome.encode()), Some(outcome));
    }
    let encoded = failure(long.clone()).encode();
    assert_eq!(encoded.len(), MAX_ENCODED);
    assert_eq!(Outcome::decode(&encoded), Some(failure(&long[..MAX_ENCODED - 1])));
    let encoded = failure(&long[1..]).encode();
    assert_eq!(encoded.len(), MAX_ENCODED - 1);
    assert_eq!(Outcome::decode(&encoded), Some(failure(&long[1..MAX_ENCODED - 1])));
    assert_eq!(Outcome::decode(b""), None);
    assert_eq!(Outcome::decode(b"?text"), None);
}

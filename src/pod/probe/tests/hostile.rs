//! Whatever a server sends, an attempt neither panics nor outlives its deadline.

use std::sync::atomic::{AtomicBool, Ordering};

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::h2::frame;
use super::*;
use crate::plan::HttpGet;

/// So that many cases are tried, most of which end by it.
const BRIEF: Duration = Duration::from_millis(30);

/// What becomes of the connection when all is sent.
#[derive(Debug, Clone, Copy)]
enum Then {
    Close,
    Hold,
}

/// Sends `bytes` to every connection, and probes; an attempt that hangs fails the test.
fn survives(bytes: Vec<u8>, then: Then, action: impl FnOnce(u16) -> NetAction) -> Result<(), TestCaseError> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let action = action(address.port());
    let (tell, told) = mpsc::channel();
    let over = Arc::new(AtomicBool::new(false));
    let stop = over.clone();
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept()
            && !stop.load(Ordering::SeqCst)
        {
            let _ = stream.write_all(&bytes);
            while matches!(then, Then::Hold) && stream.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {}
        }
    });
    std::thread::spawn(move || {
        let _ = tell.send((attempt(&action, BRIEF), attempt_hook(&action, BRIEF)));
    });
    let outcomes = told.recv_timeout(AMPLE).map_err(|_| TestCaseError::fail("the attempts do not end"));
    over.store(true, Ordering::SeqCst);
    let _ = TcpStream::connect(address);
    let (probed, hooked) = outcomes?;
    for outcome in [probed, hooked] {
        prop_assert!(outcome.encode().len() <= MAX_ENCODED);
        prop_assert!(Outcome::decode(&outcome.encode()).is_some());
    }
    Ok(())
}

fn then() -> impl Strategy<Value = Then> {
    prop_oneof![Just(Then::Close), Just(Then::Hold)]
}

fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..300)
}

/// Pieces of answers, in any order.
fn http_like() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.0 302 Found\r\n",
            "HTTP/1.1 100 Continue\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Content-Length: 18446744073709551615\r\n",
            "Location: ",
            "../",
            "http://127.0.0.2",
            ":",
            "%",
            "//",
            "\r\n",
            "\r\n\r\n",
            " ",
            "ffffffffffffffff\r\n",
            "3\r\nabc\r\n",
            "0\r\n",
        ])
        .prop_map(|piece| piece.as_bytes().to_vec()),
        vec(any::<u8>(), 0..8),
    ];
    vec(piece, 0..12).prop_map(|pieces| [b"HTTP/1.1 200 OK\r\n".to_vec(), pieces.concat()].concat())
}

/// Frames in any order, after the server's opening.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let one = (0_u8..11, any::<u8>(), 0_u32..3, vec(any::<u8>(), 0..40));
    let one = one.prop_map(|(kind, flags, stream, payload)| frame(kind, flags, stream, &payload));
    vec(one, 0..8).prop_map(|frames| [frame(4, 0, 0, &[]), frames.concat()].concat())
}

fn http(port: u16, tls: bool) -> NetAction {
    NetAction::Http(HttpGet { tls, host: "127.0.0.1".to_owned(), port, path: "/".to_owned(), headers: Vec::new() })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn http_survives_what_is_sent(bytes in prop_oneof![any_bytes(), http_like()], then in then()) {
        survives(bytes, then, |port| http(port, false))?;
    }

    #[test]
    fn https_survives_what_is_sent(bytes in any_bytes(), record: bool, then in then()) {
        let mut sent = if record { vec![0x16, 3, 3, 0, 200] } else { Vec::new() };
        sent.extend(bytes);
        survives(sent, then, |port| http(port, true))?;
    }

    #[test]
    fn grpc_survives_what_is_sent(bytes in prop_oneof![any_bytes(), frames(), frames()], then in then()) {
        survives(bytes, then, |port| NetAction::Grpc { port, service: "x".to_owned(), tls: false })?;
    }
}

//! `grpc`, against answers that were recorded from gRPC's own server (grpcio 1.85 with its health service) and made ones.

use super::super::h2::frame;
use super::super::hpack::{Decoder, encode};
use super::*;

/// SETTINGS and WINDOW_UPDATE, as grpcio opens a connection.
const HELLO: &str = "000018040000000000000400400000000500400000000600004000fe0300000001000004080000000000003f0001";
const PING: &str = "0000080600000000004ee260bfab809640";
const SERVING: &str = "\
    00004e01040000000188400c636f6e74656e742d74797065106170706c69636174696f6e2f677270634014677270632d6163636570742d656e636f64\
    696e67176964656e746974792c206465666c6174652c20677a69700000070000000000010000000002080100001e010500000001400b677270632d73\
    74617475730130000c677270632d6d6573736167650000000408000000000000000005";
const NOT_SERVING: &str = "\
    00004e01040000000188400c636f6e74656e742d74797065106170706c69636174696f6e2f677270634014677270632d6163636570742d656e636f64\
    696e67176964656e746974792c206465666c6174652c20677a69700000070000000000010000000002080200001e010500000001400b677270632d73\
    74617475730130000c677270632d6d65737361676500";
const NOT_FOUND: &str = "\
    00004e01040000000188400c636f6e74656e742d74797065106170706c69636174696f6e2f677270634014677270632d6163636570742d656e636f64\
    696e67176964656e746974792c206465666c6174652c20677a6970000005000000000001000000000000001e010500000001400b677270632d737461\
    7475730135000c677270632d6d657373616765000000040800000000000000000c";
const UNIMPLEMENTED: &str = "\
    00005001050000000188400c636f6e74656e742d74797065106170706c69636174696f6e2f67727063400b677270632d737461747573023132000c67\
    7270632d6d657373616765114d6574686f64206e6f7420666f756e642100000408000000000000000005";
const PERMISSION_DENIED: &str = "\
    00005901050000000188400c636f6e74656e742d74797065106170706c69636174696f6e2f67727063400b677270632d7374617475730137000c6772\
    70632d6d6573736167651b6e2543332542363a20313030253235206e6f7420616c6c6f7765640000040800000000000000000c";

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

/// Reads a whole frame: type, flags, payload.
fn read_frame(stream: &mut impl Read) -> Option<(u8, u8, Vec<u8>)> {
    let mut head = [0; 9];
    stream.read_exact(&mut head).ok()?;
    let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
    stream.read_exact(&mut payload).ok()?;
    Some((head[3], head[4], payload))
}

/// What one request looked like: its header fields and its message.
type Asked = (Vec<(String, String)>, Vec<u8>);

/// Serves one connection: opens it, reads the request, answers, and holds the connection until the client goes.
fn serve(stream: &mut (impl Read + Write), reply: &[u8]) -> Option<Asked> {
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).ok()?;
    assert_eq!(&preface, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    stream.write_all(&hex(HELLO)).ok()?;
    let mut fields = Vec::new();
    let mut acknowledged = false;
    loop {
        let (kind, flags, payload) = read_frame(stream)?;
        match kind {
            1 => fields = Decoder::new().decode(&payload).unwrap(),
            4 if flags & 1 == 0 => stream.write_all(&frame(4, 1, 0, &[])).ok()?,
            4 => acknowledged = true,
            0 => {
                assert!(acknowledged && flags & 1 == 1);
                stream.write_all(reply).ok()?;
                let text = |bytes| String::from_utf8(bytes).unwrap();
                let fields = fields.into_iter().map(|(name, value)| (text(name), text(value))).collect();
                while read_frame(stream).is_some() {}
                return Some((fields, payload));
            }
            _ => {}
        }
    }
}

fn server(reply: Vec<u8>) -> (u16, mpsc::Receiver<Asked>) {
    let (tell, told) = mpsc::channel();
    let port = listen(move |_, mut stream| {
        if let Some(asked) = serve(&mut stream, &reply) {
            let _ = tell.send(asked);
        }
    });
    (port, told)
}

fn probe(port: u16, service: &str, timeout: Duration) -> Outcome {
    attempt(&NetAction::Grpc { port, service: service.to_owned(), tls: false }, timeout)
}

fn said_of(reply: Vec<u8>) -> Outcome {
    probe(server(reply).0, "", AMPLE)
}

/// An answer of headers, a message and trailers.
fn answer(headers: &[(&str, &str)], message: &[u8], trailers: &[(&str, &str)]) -> Vec<u8> {
    [frame(1, 4, 1, &encode(headers)), frame(0, 0, 1, message), frame(1, 5, 1, &encode(trailers))].concat()
}

const OK: [(&str, &str); 2] = [(":status", "200"), ("content-type", "application/grpc")];

#[test]
fn recorded_answers_are_read() {
    assert_eq!(said_of(hex(SERVING)), success("service healthy"));
    assert_eq!(said_of(hex(&[PING, SERVING].concat())), success("service healthy"));
    assert_eq!(said_of(hex(NOT_SERVING)), failure(r#"service unhealthy (responded with "NOT_SERVING")"#));
    let failed = "error: health rpc probe failed: rpc error: code =";
    assert_eq!(said_of(hex(NOT_FOUND)), failure(format!("{failed} NotFound desc = ")));
    assert_eq!(
        said_of(hex(PERMISSION_DENIED)),
        failure(format!("{failed} PermissionDenied desc = nö: 100% not allowed"))
    );
    assert_eq!(
        said_of(hex(UNIMPLEMENTED)),
        failure(
            "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): Method not found!"
        )
    );
}

#[test]
fn the_request_is_a_health_check() {
    let (port, asked) = server(hex(SERVING));
    assert_eq!(probe(port, "my.Service", AMPLE), success("service healthy"));
    let (mut fields, message) = asked.recv().unwrap();
    let (name, timeout) = fields.pop().unwrap();
    assert_eq!(name, "grpc-timeout");
    assert!((1..=60_000).contains(&timeout.strip_suffix('m').unwrap().parse::<u32>().unwrap()), "{timeout}");
    let authority = format!("127.0.0.1:{port}");
    let expected = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/grpc.health.v1.Health/Check"),
        (":authority", authority.as_str()),
        ("content-type", "application/grpc"),
        ("user-agent", "kube-probe/1.37"),
        ("te", "trailers"),
    ];
    assert_eq!(fields, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(message, b"\0\0\0\0\x0c\x0a\x0amy.Service");
    probe(port, "", AMPLE);
    assert_eq!(asked.recv().unwrap().1, b"\0\0\0\0\0");
}

#[test]
fn compressed_and_split_headers_are_read() {
    // Huffman's code and the tables, by another implementation; the second block in two frames, the first padded.
    let headers = hex("885f901d75d0620d263d4c4d6564ff75d8749f");
    let (one, two) = (hex("40889acac8b2"), hex("1234da8f810740899acac8b5254207317f80"));
    let padded = [vec![3], headers, vec![0; 3]].concat();
    let reply = [
        frame(1, 4 | 8, 1, &padded),
        frame(0, 0, 1, b"\0\0\0"),
        frame(0, 8, 1, b"\x01\0\x02\x08\x01\0"),
        frame(1, 1, 1, &one),
        frame(9, 4, 1, &two),
    ];
    // A block over two frames whose first ends the stream: the flag counts, though the block goes on.
    assert_eq!(said_of(reply.concat()), success("service healthy"));
}

#[test]
fn what_does_not_speak_grpc_says_so() {
    let failed = |text: &str| failure(format!("error: health rpc probe failed: rpc error: {text}"));
    assert_eq!(
        said_of(frame(1, 5, 1, &hex("8d5f87497ca58ae819aa"))),
        failure(
            "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): unexpected HTTP \
             status code received from server: 404 (Not Found); transport: received unexpected content-type \"text/plain\""
        )
    );
    assert_eq!(
        said_of(frame(1, 5, 1, &encode(&[(":status", "503")]))),
        failed(
            "code = Unavailable desc = unexpected HTTP status code received from server: 503 (Service Unavailable); \
             malformed header: missing HTTP content-type"
        )
    );
    let reset = frame(3, 0, 1, &7_u32.to_be_bytes());
    assert_eq!(
        said_of(reset),
        failed("code = Unavailable desc = stream terminated by RST_STREAM with error code: REFUSED_STREAM")
    );
    let away = frame(7, 0, 0, &[0; 8]);
    assert_eq!(said_of(away), failed("code = Unavailable desc = the connection is draining"));
}

#[test]
fn messages_are_held_to_their_form() {
    let status = [("grpc-status", "0")];
    // An unknown field of each kind, then the status.
    let message = b"\0\0\0\0\x16\x12\x01x\x19\0\0\0\0\0\0\0\0\x25\0\0\0\0\x28\x96\x01\x08\x01";
    assert_eq!(said_of(answer(&OK, message, &status)), success("service healthy"));
    let unhealthy = |name: &str| failure(format!("service unhealthy (responded with \"{name}\")"));
    assert_eq!(said_of(answer(&OK, b"\0\0\0\0\0", &status)), unhealthy("UNKNOWN"));
    assert_eq!(said_of(answer(&OK, b"\0\0\0\0\x02\x08\x03", &status)), unhealthy("SERVICE_UNKNOWN"));
    assert_eq!(said_of(answer(&OK, b"\0\0\0\0\x02\x08\x63", &status)), unhealthy("99"));
    for message in [b"\0\0\0\0\x02\x08\xff".as_slice(), b"\0\0\0\0\x09\x08\x01", b"\0\0\0\0\x01\x0b"] {
        let outcome = said_of(answer(&OK, message, &status));
        let Outcome::Failure(text) = outcome else { panic!("{outcome:?}") };
        assert!(text.contains("code = Internal desc = grpc: failed to unmarshal"), "{text}");
    }
    let internal =
        |text: &str| failure(format!("error: health rpc probe failed: rpc error: code = Internal desc = {text}"));
    assert_eq!(
        said_of(answer(&OK, b"", &status)),
        internal("cardinality violation: received no response message from non-server-streaming RPC")
    );
    assert_eq!(
        said_of([frame(1, 4, 1, &encode(&OK)), frame(0, 1, 1, b"\0\0\0\0\0")].concat()),
        internal("server closed the stream without sending trailers")
    );
    assert_eq!(
        said_of(answer(&OK, b"", &[("grpc-status", "fine")])),
        internal(r#"transport: malformed grpc-status: "fine""#)
    );
}

#[test]
fn a_server_that_is_late_or_absent_is_a_timeout() {
    let late = failure("timeout: health rpc did not complete within 500ms");
    assert_eq!(probe(server(Vec::new()).0, "", SHORT), late);
    assert_eq!(
        said_of(answer(&OK, b"", &[("grpc-status", "4")])),
        failure("timeout: health rpc did not complete within 1m0s")
    );
    let absent = |port: u16| {
        failure(format!(
            "timeout: failed to connect service \"127.0.0.1:{port}\" within 500ms: context deadline exceeded"
        ))
    };
    let silent = listen(|_, mut stream| while stream.read(&mut [0; 100]).is_ok_and(|count| count > 0) {});
    let (other, _) = answering(vec![b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()]);
    let refused = refused();
    for port in [refused.port, silent, other] {
        assert_eq!(probe(port, "", SHORT), absent(port));
    }
}

#[test]
fn a_server_that_comes_up_in_time_is_found() {
    let port = listen(|number, mut stream| {
        if number > 0 {
            serve(&mut stream, &hex(SERVING));
        }
    });
    assert_eq!(probe(port, "", AMPLE), success("service healthy"));
}

#[test]
fn tls_takes_any_certificate_but_wants_http2() {
    for (protocol, outcome) in [(b"h2".as_slice(), success("service healthy")), (b"http/1.1", failure(""))] {
        let port = listen(move |_, stream| _ = serve(&mut secured(stream, protocol, &TLS13), &hex(SERVING)));
        let action = NetAction::Grpc { port, service: String::new(), tls: true };
        // The second is refused at once, and the time for another try is not there.
        let timeout = if matches!(outcome, Outcome::Success(_)) { AMPLE } else { Duration::from_millis(900) };
        match (attempt(&action, timeout), outcome) {
            (Outcome::Failure(text), Outcome::Failure(_)) => {
                assert!(text.starts_with("timeout: failed to connect"), "{text}")
            }
            (outcome, expected) => assert_eq!(outcome, expected),
        }
    }
}

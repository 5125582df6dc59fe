//! `grpc`: one `grpc.health.v1.Health/Check` (the gRPC health checking protocol, and gRPC over HTTP/2).
//!
//! By hand rather than by a gRPC library: the one call is a few frames, and every library brings a runtime of threads or tasks.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::h2::{Broken, Client, MAX_FRAME, Reply};
use super::hpack::Field;
use super::socket::{Deadline, Trouble, dial};
use super::tls::{Connection, secure};
use super::words::{duration, join_host_port, quote};
use super::{Outcome, VERSION};

/// How long after a failed connection the next is tried, at first; and by how much that grows (gRPC, "Connection Backoff").
const FIRST_WAIT: Duration = Duration::from_secs(1);
const WAIT_GROWS: f64 = 1.6;

/// Success is the answer `SERVING`.
pub(super) fn probe(port: u16, service: &str, tls: bool, deadline: Deadline, timeout: Duration) -> Outcome {
    let host = Ipv4Addr::LOCALHOST.to_string();
    let address = join_host_port(&host, port);
    let Some(mut client) = connect(&host, port, tls, deadline) else {
        return Outcome::Failure(format!(
            "timeout: failed to connect service {} within {}: context deadline exceeded",
            quote(&address),
            duration(timeout)
        ));
    };
    match check(&mut client, &address, service, tls, deadline) {
        Ok(1) => Outcome::Success("service healthy".to_owned()),
        Ok(status) => Outcome::Failure(format!("service unhealthy (responded with {})", quote(serving_status(status)))),
        Err(Status { code: UNIMPLEMENTED, message }) => Outcome::Failure(format!(
            "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {message}"
        )),
        Err(Status { code: DEADLINE_EXCEEDED, .. }) => {
            Outcome::Failure(format!("timeout: health rpc did not complete within {}", duration(timeout)))
        }
        Err(Status { code, message }) => Outcome::Failure(format!(
            "error: health rpc probe failed: rpc error: code = {} desc = {message}",
            code_name(code)
        )),
    }
}

/// A connection over which the server has spoken. The kubelet's client takes every failure before that for a passing one and tries
/// again until its time is up; where no further try would fit, this one says so at once.
fn connect(host: &str, port: u16, tls: bool, deadline: Deadline) -> Option<Client> {
    let mut wait = FIRST_WAIT;
    loop {
        if let Ok(client) = open(host, port, tls, deadline) {
            return Some(client);
        }
        if deadline.remaining().ok()? <= wait {
            return None;
        }
        std::thread::sleep(wait);
        wait = wait.mul_f64(WAIT_GROWS);
    }
}

fn open(host: &str, port: u16, tls: bool, deadline: Deadline) -> Result<Client, Trouble> {
    let stream = dial(host, port, deadline)?;
    if !tls {
        return Client::open(Connection::Plain(stream));
    }
    let connection = secure(stream, host, b"h2")?;
    if connection.protocol() != Some(b"h2") {
        return Err(Trouble::other("the server did not choose HTTP/2 (ALPN)"));
    }
    Client::open(connection)
}

/// A gRPC status other than OK.
#[derive(Debug, PartialEq, Eq)]
struct Status {
    code: u32,
    message: String,
}

impl Status {
    fn new(code: u32, message: impl Into<String>) -> Status {
        Status { code, message: message.into() }
    }
}

// The codes that are spoken of here; their numbers are their places in `CODES`.
const CANCELED: u32 = 1;
const UNKNOWN: u32 = 2;
const DEADLINE_EXCEEDED: u32 = 4;
const PERMISSION_DENIED: u32 = 7;
const RESOURCE_EXHAUSTED: u32 = 8;
const UNIMPLEMENTED: u32 = 12;
const INTERNAL: u32 = 13;
const UNAVAILABLE: u32 = 14;
const UNAUTHENTICATED: u32 = 16;

const CODES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

fn code_name(code: u32) -> String {
    CODES.get(code as usize).map_or_else(|| format!("Code({code})"), |name| (*name).to_owned())
}

fn serving_status(status: u64) -> String {
    let names = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
    let name = usize::try_from(status).ok().and_then(|status| names.get(status));
    // An enum is a signed number of 32 bits, cut from the varint's 64.
    name.map_or_else(|| (status as i32).to_string(), |name| (*name).to_owned())
}

/// `status` of the HealthCheckResponse.
fn check(client: &mut Client, address: &str, service: &str, tls: bool, deadline: Deadline) -> Result<u64, Status> {
    let late = || Status::new(DEADLINE_EXCEEDED, "context deadline exceeded");
    let left = deadline.remaining().map_err(|_| late())?;
    // At most eight digits and a unit. Rounded up, so that a server which stops by it does not stop before the deadline here.
    let timeout = format!("{}m", left.as_nanos().div_ceil(1_000_000).min(99_999_999));
    let agent = format!("kube-probe/{VERSION}");
    let fields = [
        (":method", "POST"),
        (":scheme", if tls { "https" } else { "http" }),
        (":path", "/grpc.health.v1.Health/Check"),
        (":authority", address),
        ("content-type", "application/grpc"),
        ("user-agent", agent.as_str()),
        ("te", "trailers"),
        ("grpc-timeout", timeout.as_str()),
    ];
    let request = message(service);
    if request.len() > MAX_FRAME {
        let text = format!("trying to send message larger than max ({} vs. {MAX_FRAME})", request.len());
        return Err(Status::new(RESOURCE_EXHAUSTED, text));
    }
    match client.request(&fields, &request) {
        Ok(reply) => received(&reply),
        Err(Broken::Connection(Trouble::Deadline)) => Err(late()),
        Err(Broken::Connection(Trouble::Other(text))) => Err(Status::new(UNAVAILABLE, text)),
        Err(Broken::Reset(CANCEL)) if deadline.remaining().is_err() => Err(late()),
        Err(Broken::Reset(code)) => Err(reset(code)),
    }
}

/// A HealthCheckRequest in gRPC's framing: a byte for compression, four for the length, the message.
fn message(service: &str) -> Vec<u8> {
    let mut request = Vec::new();
    if !service.is_empty() {
        request.push(1 << 3 | 2);
        let mut length = service.len();
        while length >= 0x80 {
            request.push(length as u8 | 0x80);
            length >>= 7;
        }
        request.push(length as u8);
        request.extend_from_slice(service.as_bytes());
    }
    let mut framed = vec![0];
    framed.extend((request.len() as u32).to_be_bytes());
    framed.extend(request);
    framed
}

fn received(reply: &Reply) -> Result<u64, Status> {
    http_error(&reply.headers)?;
    let fields = reply.trailers.as_ref().unwrap_or(&reply.headers);
    let code = match field(fields, "grpc-status") {
        Some(code) => code
            .parse()
            .map_err(|_| Status::new(INTERNAL, format!("transport: malformed grpc-status: {}", quote(&code))))?,
        None if reply.trailers.is_none() && !reply.body.is_empty() => {
            return Err(Status::new(INTERNAL, "server closed the stream without sending trailers"));
        }
        None => UNKNOWN,
    };
    if code != 0 {
        return Err(Status::new(code, unescaped(&field(fields, "grpc-message").unwrap_or_default())));
    }
    let Some((head, message)) = reply.body.split_first_chunk::<5>() else {
        let text = "cardinality violation: received no response message from non-server-streaming RPC";
        return Err(Status::new(INTERNAL, text));
    };
    let [compressed, length @ ..] = *head;
    if compressed != 0 {
        let text = "grpc: the response is compressed, which was not asked for";
        return Err(Status::new(INTERNAL, text));
    }
    let message = message.get(..u32::from_be_bytes(length) as usize);
    message.and_then(status_field).ok_or_else(|| {
        Status::new(
            INTERNAL,
            "grpc: failed to unmarshal the received message: proto: cannot parse invalid wire-format data",
        )
    })
}

/// What a server that does not speak gRPC answered.
fn http_error(headers: &[Field]) -> Result<(), Status> {
    let mut said = Vec::new();
    let status = field(headers, ":status");
    match status.as_deref() {
        Some("200") => {}
        Some(status) => {
            said.push(format!("unexpected HTTP status code received from server: {status} ({})", reason(status)));
        }
        None => said.push("malformed header: missing HTTP status".to_owned()),
    }
    match field(headers, "content-type") {
        None => said.push("malformed header: missing HTTP content-type".to_owned()),
        Some(kind) if kind.to_ascii_lowercase().strip_prefix("application/grpc").is_some_and(ends_type) => {}
        Some(kind) => said.push(format!("transport: received unexpected content-type {}", quote(kind))),
    }
    if said.is_empty() {
        return Ok(());
    }
    let code = match status.as_deref() {
        None | Some("400") => INTERNAL,
        Some("401") => UNAUTHENTICATED,
        Some("403") => PERMISSION_DENIED,
        Some("404") => UNIMPLEMENTED,
        Some("429" | "502" | "503" | "504") => UNAVAILABLE,
        Some(_) => UNKNOWN,
    };
    Err(Status::new(code, said.join("; ")))
}

/// Whether `application/grpc` is followed by nothing, a format or a parameter.
fn ends_type(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with(['+', ';'])
}

/// The words of the statuses that a server or proxy without gRPC answers a POST with.
fn reason(status: &str) -> &'static str {
    match status {
        "301" => "Moved Permanently",
        "302" => "Found",
        "400" => "Bad Request",
        "401" => "Unauthorized",
        "403" => "Forbidden",
        "404" => "Not Found",
        "405" => "Method Not Allowed",
        "411" => "Length Required",
        "415" => "Unsupported Media Type",
        "429" => "Too Many Requests",
        "500" => "Internal Server Error",
        "501" => "Not Implemented",
        "502" => "Bad Gateway",
        "503" => "Service Unavailable",
        "504" => "Gateway Timeout",
        _ => "",
    }
}

/// The code of a server that gave up, perhaps because the time that it was given is over.
const CANCEL: u32 = 8;

/// What a reset of the stream means (gRPC over HTTP/2, "HTTP2 Transport Mapping").
fn reset(number: u32) -> Status {
    let (code, name) = match number {
        0 => (INTERNAL, "NO_ERROR"),
        1 => (INTERNAL, "PROTOCOL_ERROR"),
        2 => (INTERNAL, "INTERNAL_ERROR"),
        3 => (RESOURCE_EXHAUSTED, "FLOW_CONTROL_ERROR"),
        4 => (INTERNAL, "SETTINGS_TIMEOUT"),
        5 => (INTERNAL, "STREAM_CLOSED"),
        6 => (INTERNAL, "FRAME_SIZE_ERROR"),
        7 => (UNAVAILABLE, "REFUSED_STREAM"),
        CANCEL => (CANCELED, "CANCEL"),
        9 => (INTERNAL, "COMPRESSION_ERROR"),
        10 => (INTERNAL, "CONNECT_ERROR"),
        11 => (RESOURCE_EXHAUSTED, "ENHANCE_YOUR_CALM"),
        12 => (PERMISSION_DENIED, "INADEQUATE_SECURITY"),
        13 => (INTERNAL, "HTTP_1_1_REQUIRED"),
        _ => (UNKNOWN, ""),
    };
    let name = if name.is_empty() { format!("unknown error code {number:#x}") } else { name.to_owned() };
    Status::new(code, format!("stream terminated by RST_STREAM with error code: {name}"))
}

fn field(fields: &[Field], wanted: &str) -> Option<String> {
    let found = fields.iter().find(|(name, _)| name == wanted.as_bytes());
    found.map(|(_, value)| String::from_utf8_lossy(value).into_owned())
}

/// `grpc-message` without its percent signs; what is no escape stands for itself.
fn unescaped(message: &str) -> String {
    let mut bytes = Vec::with_capacity(message.len());
    let mut rest = message.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let escaped =
            after.first_chunk::<2>().filter(|digits| first == b'%' && digits.iter().all(u8::is_ascii_hexdigit));
        let escaped = escaped.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        bytes.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Field 1 of a HealthCheckResponse, 0 where it is absent; nothing if the message is no protobuf. Unknown fields are skipped.
fn status_field(mut message: &[u8]) -> Option<u64> {
    let mut status = 0;
    while !message.is_empty() {
        let key = varint(&mut message)?;
        let skipped = match key & 7 {
            0 => {
                let value = varint(&mut message)?;
                if key >> 3 == 1 {
                    status = value;
                }
                0
            }
            1 => 8,
            2 => usize::try_from(varint(&mut message)?).ok()?,
            5 => 4,
            _ => return None,
        };
        message = message.get(skipped..)?;
    }
    Some(status)
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

//! An HTTP/1.1 answer, read as Go's `net/http` reads it (RFC 9112), with bounds on all that is kept of it.

use std::io::{BufRead, BufReader, Read};

use super::request::token;
use super::socket::Trouble;
use super::tls::Connection;
use super::words::quote;

/// How much of a body is read, in bytes; that of the kubelet.
const MAX_BODY: usize = 10 * 1024;
/// The longest head, in bytes. The kubelet's is ten times that, and no server is known that comes near.
const MAX_HEAD: u64 = 1 << 20;
/// How many informational answers may come before the answer.
const MAX_INFORMATIONAL: usize = 5;
/// The longest line that gives a chunk's size, in bytes, with its extensions.
const MAX_CHUNK_LINE: u64 = 4096;

/// An answer whose head has been read.
#[derive(Debug)]
pub(super) struct Response {
    /// The status code: three digits.
    pub status: u16,
    /// The first `Location`.
    pub location: Option<String>,
    framing: Framing,
    reader: BufReader<Connection>,
}

/// Where the body ends (RFC 9112, 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

impl Response {
    /// Reads the head.
    pub fn read(connection: Connection) -> Result<Response, Trouble> {
        let mut reader = BufReader::new(connection);
        if reader.fill_buf()?.is_empty() {
            return Err(Trouble::other("EOF"));
        }
        for _ in 0..=MAX_INFORMATIONAL {
            let head = Head::read(&mut reader).map_err(|trouble| match trouble {
                Trouble::Other(text) if !text.starts_with("read tcp") && !text.starts_with("net/http:") => {
                    Trouble::Other(format!("net/http: HTTP/1.x transport connection broken: {text}"))
                }
                other => other,
            })?;
            // 101 ends the talk in HTTP, so it is an answer.
            if !matches!(head.status, 100 | 102..=199) {
                return Ok(Response { status: head.status, location: head.location, framing: head.framing, reader });
            }
        }
        Err(Trouble::other("net/http: too many 1xx informational responses"))
    }

    /// The body, of which no more than 10 KiB are read.
    pub fn body(&mut self) -> Result<Vec<u8>, Trouble> {
        let mut body = Vec::new();
        match self.framing {
            Framing::UntilClose => {
                self.reader.by_ref().take(MAX_BODY as u64).read_to_end(&mut body)?;
            }
            Framing::Length(length) => self.exactly(length, &mut body)?,
            Framing::Chunked => {
                while body.len() < MAX_BODY {
                    let length = self.chunk_length()?;
                    if length == 0 {
                        break;
                    }
                    self.exactly(length, &mut body)?;
                    if body.len() < MAX_BODY {
                        self.chunk_end()?;
                    }
                }
            }
        }
        Ok(body)
    }

    /// Whether the kubelet throws the body of an answer away unread, because it is known to be long.
    pub fn is_long(&self) -> bool {
        matches!(self.framing, Framing::Length(length) if length > MAX_BODY as u64)
    }

    /// Appends `length` bytes, or as many as the body may still have.
    fn exactly(&mut self, length: u64, body: &mut Vec<u8>) -> Result<(), Trouble> {
        let wanted = length.min((MAX_BODY - body.len()) as u64);
        let read = self.reader.by_ref().take(wanted).read_to_end(body)?;
        if (read as u64) < wanted { Err(Trouble::other("unexpected EOF")) } else { Ok(()) }
    }

    fn chunk_end(&mut self) -> Result<(), Trouble> {
        let mut end = [0; 2];
        self.reader.read_exact(&mut end)?;
        if &end == b"\r\n" { Ok(()) } else { Err(Trouble::other("malformed chunked encoding")) }
    }

    fn chunk_length(&mut self) -> Result<u64, Trouble> {
        let line = line(&mut self.reader, MAX_CHUNK_LINE)?;
        let digits = line.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(Trouble::other("invalid byte in chunk length"));
        }
        u64::from_str_radix(&String::from_utf8_lossy(digits), 16)
            .map_err(|_| Trouble::other("http chunk length too large"))
    }
}

#[derive(Debug)]
struct Head {
    status: u16,
    location: Option<String>,
    framing: Framing,
}

/// The names of the headers that count; the others are read and forgotten.
const COUNTED: [&str; 3] = ["location", "transfer-encoding", "content-length"];

impl Head {
    fn read(reader: &mut BufReader<Connection>) -> Result<Head, Trouble> {
        let mut budget = MAX_HEAD;
        let (status, minor) = status_line(&head_line(reader, &mut budget)?)?;
        let mut fields: Vec<(&str, String)> = Vec::new();
        let mut counts = false;
        loop {
            let line = head_line(reader, &mut budget)?;
            if line.is_empty() {
                break;
            }
            if line.starts_with(b" ") || line.starts_with(b"\t") {
                // The line before goes on (RFC 9112, 5.2).
                if let Some((_, value)) = fields.last_mut().filter(|_| counts) {
                    let more = format!("{value} {}", String::from_utf8_lossy(line.trim_ascii()));
                    more.trim().clone_into(value);
                }
                continue;
            }
            let (name, value) = field(&line)?;
            let name = COUNTED.into_iter().find(|counted| name.eq_ignore_ascii_case(counted.as_bytes()));
            counts = name.is_some();
            fields.extend(name.map(|name| (name, value)));
        }
        let values = |wanted: &str| -> Vec<&str> {
            fields.iter().filter(|(name, _)| *name == wanted).map(|(_, value)| value.as_str()).collect()
        };
        let framing = framing(status, minor, &values("transfer-encoding"), &values("content-length"))?;
        Ok(Head { status, location: values("location").first().map(|location| (*location).to_owned()), framing })
    }
}

/// The next line of a head of which `budget` bytes may still come.
fn head_line(reader: &mut BufReader<Connection>, budget: &mut u64) -> Result<Vec<u8>, Trouble> {
    let line = line(reader, *budget).map_err(|trouble| match trouble {
        Trouble::Other(text) if text == TOO_LONG => {
            Trouble::Other(format!("net/http: server response headers exceeded {MAX_HEAD} bytes; aborted"))
        }
        other => other,
    })?;
    *budget = budget.saturating_sub(line.len() as u64 + 1);
    Ok(line)
}

fn framing(status: u16, minor: u8, encodings: &[&str], lengths: &[&str]) -> Result<Framing, Trouble> {
    let refused = |text: String| Err(Trouble::Other(text));
    let body = match (encodings, lengths) {
        // HTTP/1.0 has no transfer encodings.
        ([encoding], _) if minor > 0 && encoding.eq_ignore_ascii_case("chunked") => Framing::Chunked,
        ([encoding], _) if minor > 0 => return refused(format!("unsupported transfer encoding: {}", quote(encoding))),
        ([_, ..], _) if minor > 0 => return refused(format!("too many transfer encodings: [{}]", quoted(encodings))),
        (_, []) => Framing::UntilClose,
        (_, [first, others @ ..]) if others.iter().any(|other| other != first) => {
            let got = quoted(lengths);
            return refused(format!("http: message cannot contain multiple Content-Length headers; got [{got}]"));
        }
        (_, [digits, ..]) => match digits.parse() {
            Ok(length) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Framing::Length(length),
            _ => return refused(format!("bad Content-Length {}", quote(digits))),
        },
    };
    Ok(if matches!(status, 100..=199 | 204 | 304) { Framing::Length(0) } else { body })
}

fn quoted(values: &[&str]) -> String {
    values.iter().map(quote).collect::<Vec<_>>().join(" ")
}

/// The status, and the minor version of HTTP/1.
fn status_line(line: &[u8]) -> Result<(u16, u8), Trouble> {
    let malformed = |what: &str, part: &[u8]| Trouble::Other(format!("malformed HTTP {what} {}", quote(part)));
    let space = line.iter().position(|&byte| byte == b' ').ok_or_else(|| malformed("response", line))?;
    let (version, rest) = line.split_at(space);
    let code = rest.trim_ascii_start().split(|&byte| byte == b' ').next().unwrap_or_default();
    let status = match code {
        [a, b, c] if code.iter().all(u8::is_ascii_digit) => {
            [a, b, c].into_iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0'))
        }
        _ => return Err(malformed("status code", code)),
    };
    match version {
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor] if major.is_ascii_digit() && minor.is_ascii_digit() => {
            Ok((status, if *major == b'1' { minor - b'0' } else { u8::from(*major > b'1') }))
        }
        _ => Err(malformed("version", version)),
    }
}

fn field(line: &[u8]) -> Result<(&[u8], String), Trouble> {
    let malformed = || Trouble::Other(format!("malformed MIME header line: {}", String::from_utf8_lossy(line)));
    let colon = line.iter().position(|&byte| byte == b':').ok_or_else(malformed)?;
    let (name, value) = line.split_at(colon);
    if name.is_empty() || !name.iter().all(|&byte| byte == b' ' || token(byte)) {
        return Err(malformed());
    }
    Ok((name, String::from_utf8_lossy(value.get(1..).unwrap_or_default().trim_ascii()).into_owned()))
}

const TOO_LONG: &str = "header line too long";

/// The next line without its end, of at most `limit` bytes.
fn line(reader: &mut BufReader<Connection>, limit: u64) -> Result<Vec<u8>, Trouble> {
    let mut line = Vec::new();
    reader.by_ref().take(limit).read_until(b'\n', &mut line)?;
    if line.pop_if(|byte| *byte == b'\n').is_none() {
        return Err(Trouble::other(if line.len() as u64 >= limit { TOO_LONG } else { "unexpected EOF" }));
    }
    line.pop_if(|byte| *byte == b'\r');
    Ok(line)
}

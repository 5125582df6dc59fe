//! As much of HTTP/2 as one request over one connection takes (RFC 9113).

use std::io::{Read, Write};

use super::hpack::{Decoder, Field, encode};
use super::socket::Trouble;
use super::tls::Connection;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The longest payload of a frame that either side takes without having said otherwise, in bytes.
pub(super) const MAX_FRAME: usize = 16 * 1024;
/// The longest block of headers over all its frames, in bytes.
const MAX_BLOCK: usize = 64 * 1024;
/// The longest body, in bytes: the window that a server has as long as the client widens none.
const MAX_BODY: usize = 65_535;
/// The one stream.
const STREAM: u32 = 1;

// Types of frames (RFC 9113, 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;

// Flags.
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 32;

/// SETTINGS_ENABLE_PUSH = 0: this client cannot take what it did not ask for.
const NO_PUSH: [u8; 6] = [0, 2, 0, 0, 0, 0];

/// A connection that both sides have opened.
#[derive(Debug)]
pub(super) struct Client {
    connection: Connection,
    decoder: Decoder,
}

/// A whole answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Reply {
    /// The fields before the body; where there is no body, all of them.
    pub headers: Vec<Field>,
    /// The body.
    pub body: Vec<u8>,
    /// The fields after the body; none if the body ended the stream, or there was none.
    pub trailers: Option<Vec<Field>>,
}

/// Why there is no whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Broken {
    /// The server gave the stream up, with this code (RFC 9113, 7).
    Reset(u32),
    /// The connection failed, or its deadline came.
    Connection(Trouble),
}

impl<T: Into<Trouble>> From<T> for Broken {
    fn from(trouble: T) -> Broken {
        Broken::Connection(trouble.into())
    }
}

impl Client {
    /// Opens with prior knowledge: writes the preface and waits for the server's, its SETTINGS.
    pub fn open(mut connection: Connection) -> Result<Client, Trouble> {
        let mut hello = PREFACE.to_vec();
        hello.extend(frame(SETTINGS, 0, 0, &NO_PUSH));
        send(&mut connection, &hello)?;
        let mut client = Client { connection, decoder: Decoder::new() };
        let settings = client.receive()?;
        if (settings.kind, settings.flags & ACK, settings.stream) != (SETTINGS, 0, 0) {
            return Err(Trouble::other("error reading server preface: the first frame is not SETTINGS"));
        }
        send(&mut client.connection, &frame(SETTINGS, ACK, 0, &[]))?;
        Ok(client)
    }

    /// Makes the one request. `body` is at most [`MAX_FRAME`] long, so that it is one frame and fits any server's first window.
    pub fn request(&mut self, fields: &[(&str, &str)], body: &[u8]) -> Result<Reply, Broken> {
        let mut bytes = frame(HEADERS, END_HEADERS, STREAM, &encode(fields));
        bytes.extend(frame(DATA, END_STREAM, STREAM, body));
        let sent = send(&mut self.connection, &bytes);
        // A server may have said why it does not read on.
        match (self.reply(), sent) {
            (Err(Broken::Connection(Trouble::Other(_))), Err(sending)) => Err(sending.into()),
            (reply, _) => reply,
        }
    }

    fn reply(&mut self) -> Result<Reply, Broken> {
        let mut reply = Reply::default();
        let mut answered = false;
        loop {
            let frame = self.receive()?;
            let ends = frame.flags & END_STREAM != 0;
            match (frame.kind, frame.stream) {
                (HEADERS, STREAM) => {
                    let block = self.block(frame)?;
                    let fields = self
                        .decoder
                        .decode(&block)
                        .map_err(|_| Trouble::other("connection error: COMPRESSION_ERROR"))?;
                    match answered {
                        false => {
                            answered = ends || !informational(&fields);
                            reply.headers = fields;
                        }
                        true => reply.trailers = Some(fields),
                    }
                    if ends {
                        return Ok(reply);
                    }
                }
                (DATA, STREAM) => {
                    reply.body.extend_from_slice(unpadded(&frame.payload, frame.flags)?);
                    if reply.body.len() > MAX_BODY {
                        return Err(Trouble::other("connection error: FLOW_CONTROL_ERROR").into());
                    }
                    if ends {
                        return Ok(reply);
                    }
                }
                (RST_STREAM, STREAM) => return Err(Broken::Reset(number(&frame.payload))),
                (SETTINGS, 0) if frame.flags & ACK == 0 => {
                    send(&mut self.connection, &self::frame(SETTINGS, ACK, 0, &[]))?;
                }
                (PING, 0) if frame.flags & ACK == 0 && frame.payload.len() == 8 => {
                    send(&mut self.connection, &self::frame(PING, ACK, 0, &frame.payload))?;
                }
                // A server that stops still answers the streams up to the one it names.
                (GOAWAY, 0) if number(&frame.payload) < STREAM => {
                    return Err(Trouble::other("the connection is draining").into());
                }
                // What a stream was not asked for cannot be skipped: its headers would change the decoder's table.
                (HEADERS | CONTINUATION | PUSH_PROMISE, _) => {
                    return Err(Trouble::other("connection error: PROTOCOL_ERROR").into());
                }
                _ => {}
            }
        }
    }

    /// The block of headers that begins with this frame.
    fn block(&mut self, first: Frame) -> Result<Vec<u8>, Trouble> {
        let payload = unpadded(&first.payload, first.flags)?;
        let skipped = if first.flags & PRIORITY != 0 { 5 } else { 0 };
        let mut block =
            payload.get(skipped..).ok_or_else(|| Trouble::other("connection error: FRAME_SIZE_ERROR"))?.to_vec();
        let mut flags = first.flags;
        while flags & END_HEADERS == 0 {
            let next = self.receive()?;
            if (next.kind, next.stream) != (CONTINUATION, STREAM) {
                return Err(Trouble::other("connection error: PROTOCOL_ERROR"));
            }
            block.extend_from_slice(&next.payload);
            if block.len() > MAX_BLOCK {
                return Err(Trouble::other("connection error: the header list is too large"));
            }
            flags = next.flags;
        }
        Ok(block)
    }

    fn receive(&mut self) -> Result<Frame, Trouble> {
        let mut head = [0; 9];
        self.connection.read_exact(&mut head).map_err(ended)?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        if length > MAX_FRAME {
            return Err(Trouble::other("connection error: FRAME_SIZE_ERROR"));
        }
        let mut payload = vec![0; length];
        self.connection.read_exact(&mut payload).map_err(ended)?;
        Ok(Frame { kind, flags, stream: u32::from_be_bytes(stream) & 0x7fff_ffff, payload })
    }
}

#[derive(Debug)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// A frame's bytes (RFC 9113, 4.1).
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = payload.len() as u32;
    let mut bytes = length.to_be_bytes().into_iter().skip(1).collect::<Vec<u8>>();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

fn send(connection: &mut Connection, bytes: &[u8]) -> Result<(), Trouble> {
    Ok(connection.write_all(bytes).and_then(|()| connection.flush())?)
}

fn ended(error: std::io::Error) -> Trouble {
    match error.into() {
        Trouble::Other(text) if text == "unexpected EOF" => Trouble::other("error reading from server: EOF"),
        Trouble::Other(text) => Trouble::Other(format!("error reading from server: {text}")),
        Trouble::Deadline => Trouble::Deadline,
    }
}

/// The payload without its padding (RFC 9113, 6.1).
fn unpadded(payload: &[u8], flags: u8) -> Result<&[u8], Trouble> {
    if flags & PADDED == 0 {
        return Ok(payload);
    }
    let unpadded =
        payload.split_first().and_then(|(&padding, rest)| rest.get(..rest.len().checked_sub(padding.into())?));
    unpadded.ok_or_else(|| Trouble::other("connection error: PROTOCOL_ERROR"))
}

/// The number in the first four bytes.
fn number(payload: &[u8]) -> u32 {
    payload.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes) & 0x7fff_ffff)
}

fn informational(fields: &[Field]) -> bool {
    fields.iter().any(|(name, value)| name == b":status" && value.starts_with(b"1"))
}

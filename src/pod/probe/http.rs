//! `httpGet`, by an own small client of HTTP/1.1.
//!
//! ureq, which pulls images, would not do: it cannot tell that an HTTPS server answered in plain HTTP (on which the hooks' fallback
//! hangs), it sends the names of headers in small letters, refuses paths and headers that the kubelet sends, and its errors do not
//! say enough to be put in the kubelet's words. Sockets with a deadline, and TLS over them, are needed for gRPC anyway; what is left
//! is a request of a few lines and the head of an answer. The kubelet speaks HTTP/2 to an HTTPS server that offers it; nothing a
//! probe can see depends on that, so HTTP/1.1 is all that is offered here.

use std::io::Write;

use super::Outcome;
use super::request::{Host, Request, Sender, bytes};
use super::response::Response;
use super::socket::{Deadline, Trouble, dial};
use super::tls::{Connection, GAVE_HTTP, secure};
use super::url::{Url, Written};
use super::words::quote;
use crate::plan::HttpGet;

/// How many requests one attempt makes at most, by redirects.
const MAX_REQUESTS: usize = 10;

/// A status from 200 to 399 is success, and one from 300 a warning: that redirect led to another host, or nowhere.
pub(super) fn probe(get: &HttpGet, deadline: Deadline) -> Outcome {
    let mut response = match fetch(&url_of(get, scheme(get)), &get.headers, Sender::Probe, deadline) {
        Ok(response) => response,
        Err(failed) => return Outcome::Failure(failed.to_string()),
    };
    let body = match response.body() {
        Ok(body) => String::from_utf8_lossy(&body).into_owned(),
        // The kubelet counts such an attempt neither as success nor as failure, and only tells of it. A server that sends heads
        // and no bodies is not well, so it is a failure here.
        Err(Trouble::Deadline) => {
            return Outcome::Failure(
                "context deadline exceeded (Client.Timeout or context cancellation while reading body)".to_owned(),
            );
        }
        Err(Trouble::Other(text)) => return Outcome::Failure(text),
    };
    match response.status {
        200..=299 => Outcome::Success(body),
        300..=399 => Outcome::Warning(format!("Probe terminated redirects, Response body: {body}")),
        status => Outcome::Failure(format!("HTTP probe failed with statuscode: {status}")),
    }
}

/// Any answer is success.
pub(super) fn hook(get: &HttpGet, deadline: Deadline) -> Outcome {
    let url = url_of(get, scheme(get));
    let failed = match fetch(&url, &get.headers, Sender::Hook, deadline) {
        Ok(response) => {
            drain(response);
            return Outcome::Success(String::new());
        }
        Err(failed) => failed,
    };
    if failed.trouble != Trouble::other(GAVE_HTTP) {
        return Outcome::Failure(failed.to_string());
    }
    // Credentials that were meant for TLS do not go in the clear.
    let mut headers = get.headers.clone();
    headers.retain(|(name, _)| !name.eq_ignore_ascii_case("authorization"));
    match fetch(&url_of(get, "http"), &headers, Sender::Hook, deadline) {
        Ok(response) => {
            drain(response);
            Outcome::Warning(format!(
                "request to HTTPS lifecycle hook {} got HTTP response, retry with HTTP succeeded",
                url.authority()
            ))
        }
        Err(_) => Outcome::Failure(failed.to_string()),
    }
}

/// Lets the server send its answer whole, since some take a cut connection for a client that changed its mind.
fn drain(mut response: Response) {
    if !response.is_long() {
        let _ = response.body();
    }
}

fn url_of(get: &HttpGet, scheme: &str) -> Url {
    Url::new(scheme, &get.host, get.port, &get.path)
}

fn scheme(get: &HttpGet) -> &'static str {
    if get.tls { "https" } else { "http" }
}

/// A request that got no answer.
#[derive(Debug)]
struct Failed {
    url: String,
    trouble: Trouble,
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let why = match &self.trouble {
            Trouble::Deadline => "context deadline exceeded (Client.Timeout exceeded while awaiting headers)",
            Trouble::Other(text) => text,
        };
        write!(f, "Get {}: {why}", quote(&self.url))
    }
}

/// The answer, after the redirects that stay on the host.
fn fetch(first: &Url, headers: &[(String, String)], sender: Sender, deadline: Deadline) -> Result<Response, Failed> {
    let mut url = first.clone();
    let mut host = Host::OfHeaders;
    let mut referer = None;
    let mut made = 0;
    loop {
        made += 1;
        let request = Request { url: &url, headers, sender, host, referer: referer.as_deref() };
        let failed = |trouble| Failed { url: url.to_string(), trouble };
        let response = exchange(&request, deadline).map_err(failed)?;
        let Some(location) = redirect(&response) else { return Ok(response) };
        let (next, written) = url.resolve(location).map_err(|text| failed(Trouble::Other(text)))?;
        if next.host != first.host {
            return Ok(response);
        }
        if made == MAX_REQUESTS {
            let trouble = Trouble::Other(format!("stopped after {MAX_REQUESTS} redirects"));
            return Err(Failed { url: location.to_owned(), trouble });
        }
        host = match written {
            Written::Absolute => Host::OfUrl,
            Written::Relative => Host::OfHeaders,
        };
        // A page of HTTPS does not tell where it was in the clear (RFC 9110, 10.1.3).
        referer = (url.scheme != "https" || next.scheme == "https").then(|| url.to_string());
        url = next;
    }
}

/// Where a redirect leads; without a `Location` it is an answer as any other.
fn redirect(response: &Response) -> Option<&str> {
    let location = response.location.as_deref().filter(|location| !location.is_empty());
    location.filter(|_| matches!(response.status, 301 | 302 | 303 | 307 | 308))
}

fn exchange(request: &Request<'_>, deadline: Deadline) -> Result<Response, Trouble> {
    let url = request.url;
    let tls = match url.scheme.as_str() {
        "http" => false,
        "https" => true,
        other => return Err(Trouble::Other(format!("unsupported protocol scheme {}", quote(other)))),
    };
    let bytes = bytes(request).map_err(Trouble::Other)?;
    let stream = dial(&url.host, url.port(), deadline)?;
    let mut connection = if tls { secure(stream, &url.host, b"http/1.1")? } else { Connection::Plain(stream) };
    let sent = connection.write_all(&bytes).and_then(|()| connection.flush()).map_err(Trouble::from);
    match (Response::read(connection), sent) {
        // A server may answer, and close, before it has read all.
        (Err(Trouble::Other(_)), Err(sending)) => Err(sending),
        (response, _) => response,
    }
}

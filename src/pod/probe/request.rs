//! The bytes of a GET request, with the headers that the kubelet sends.

use super::VERSION;
use super::url::Url;
use super::words::quote;

/// Whom the request comes from; it stands in the user agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sender {
    Probe,
    Hook,
}

/// What differs between the requests of one chain of redirects.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub url: &'a Url,
    /// As the YAML has them; they replace the defaults, and an empty `User-Agent` or `Accept` removes it.
    pub headers: &'a [(String, String)],
    pub sender: Sender,
    /// Whether a `Host` among the headers counts: not after a redirect that names its host.
    pub host: Host,
    /// Where the redirect came from.
    pub referer: Option<&'a str>,
}

/// Which host the `Host` header names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Host {
    /// That among the headers, if there is one.
    OfHeaders,
    /// The URL's.
    OfUrl,
}

/// Headers that Go writes itself, whatever the request's map of headers says.
const OWN: [&str; 5] = ["Host", "User-Agent", "Content-Length", "Transfer-Encoding", "Trailer"];

/// The request as it goes over the wire.
///
/// # Errors
/// A header that cannot be sent, in Go's words.
pub(super) fn bytes(request: &Request<'_>) -> Result<Vec<u8>, String> {
    let mut headers = Vec::with_capacity(request.headers.len() + 4);
    for (name, value) in request.headers {
        if name.is_empty() || !name.bytes().all(token) {
            return Err(format!("net/http: invalid header field name {}", quote(name)));
        }
        if value.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
            return Err(format!("net/http: invalid header field value for {}", quote(canonical(name))));
        }
        headers.push((canonical(name), value.trim_matches([' ', '\t']).to_owned()));
    }

    let host = first(&headers, "Host").filter(|host| !host.is_empty() && request.host == Host::OfHeaders);
    let host = host.unwrap_or_else(|| request.url.authority());
    if !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!$%&'()*+,-.:;=[]_~".contains(&byte)) {
        return Err("http: invalid Host header".to_owned());
    }
    let sender = match request.sender {
        Sender::Probe => "probe",
        Sender::Hook => "lifecycle",
    };
    let agent = first(&headers, "User-Agent").unwrap_or_else(|| format!("kube-{sender}/{VERSION}"));
    match first(&headers, "Accept").as_deref() {
        None => headers.push(("Accept".to_owned(), "*/*".to_owned())),
        Some("") => headers.retain(|(name, _)| name != "Accept"),
        Some(_) => {}
    }
    if let (None, Some(referer)) = (first(&headers, "Referer"), request.referer) {
        headers.push(("Referer".to_owned(), referer.to_owned()));
    }
    let closes = |(name, value): &(String, String)| {
        name == "Connection" && value.split(',').any(|option| option.trim().eq_ignore_ascii_case("close"))
    };
    let closes = headers.iter().any(closes);
    headers.retain(|(name, _)| !OWN.contains(&name.as_str()));
    headers.sort_by(|(one, _), (other, _)| one.cmp(other));
    if !closes {
        headers.push(("Connection".to_owned(), "close".to_owned()));
    }

    let mut text = format!("GET {} HTTP/1.1\r\nHost: {host}\r\n", request.url.target());
    if !agent.is_empty() {
        text.push_str(&format!("User-Agent: {agent}\r\n"));
    }
    headers.iter().for_each(|(name, value)| text.push_str(&format!("{name}: {value}\r\n")));
    text.push_str("\r\n");
    Ok(text.into_bytes())
}

fn first(headers: &[(String, String)], wanted: &str) -> Option<String> {
    headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone())
}

/// What a header's name may be made of (RFC 9110, 5.6.2).
pub(super) fn token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// `x-my-header` as `X-My-Header`.
fn canonical(name: &str) -> String {
    let mut start = true;
    let case = |character: char| {
        let upper = std::mem::replace(&mut start, character == '-');
        if upper { character.to_ascii_uppercase() } else { character.to_ascii_lowercase() }
    };
    name.chars().map(case).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(headers: &[(&str, &str)], sender: Sender) -> Result<String, String> {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let url = Url::new("http", "127.0.0.1", 80, "/ready?now");
        let request = Request { url: &url, headers: &headers, sender, host: Host::OfHeaders, referer: None };
        bytes(&request).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn the_defaults_are_the_kubelets() {
        let head = "GET /ready?now HTTP/1.1\r\nHost: 127.0.0.1:80\r\n";
        let tail = "Accept: */*\r\nConnection: close\r\n\r\n";
        assert_eq!(sent(&[], Sender::Probe).unwrap(), format!("{head}User-Agent: kube-probe/1.37\r\n{tail}"));
        assert_eq!(sent(&[], Sender::Hook).unwrap(), format!("{head}User-Agent: kube-lifecycle/1.37\r\n{tail}"));
    }

    #[test]
    fn headers_of_the_yaml_replace_the_defaults() {
        let headers = [
            ("x-b", "2"),
            ("x-a", " 1 "),
            ("X-B", "3"),
            ("host", "web.example"),
            ("user-agent", "me"),
            ("accept", "text/*"),
        ];
        assert_eq!(
            sent(&headers, Sender::Probe).unwrap(),
            "GET /ready?now HTTP/1.1\r\nHost: web.example\r\nUser-Agent: me\r\nAccept: text/*\r\nX-A: 1\r\nX-B: 2\r\nX-B: 3\r\n\
             Connection: close\r\n\r\n"
        );
        assert_eq!(
            sent(
                &[("User-Agent", ""), ("Accept", ""), ("Connection", "close"), ("Content-Length", "7")],
                Sender::Probe
            )
            .unwrap(),
            "GET /ready?now HTTP/1.1\r\nHost: 127.0.0.1:80\r\nConnection: close\r\n\r\n"
        );
    }

    #[test]
    fn what_would_break_the_request_is_not_sent() {
        let refused = |name, value| sent(&[(name, value)], Sender::Probe).unwrap_err();
        assert_eq!(refused("a b", "x"), r#"net/http: invalid header field name "a b""#);
        assert_eq!(refused("x-a", "1\r\nEvil: 1"), r#"net/http: invalid header field value for "X-A""#);
        assert_eq!(refused("Host", "a b"), "http: invalid Host header");
    }
}

//! URLs as Go's `net/url` makes them of a probe's path and of a `Location` header (RFC 3986).

use std::fmt;

use super::words::{join_host_port, quote};

/// A URL, split; what stands in `path` is already escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Url {
    /// In small letters; `http` and `https` are those that can be asked.
    pub scheme: String,
    /// Without port and brackets; empty where the URL has none.
    pub host: String,
    /// As written; else the scheme's own.
    pub port: Option<u16>,
    path: String,
    query: Option<String>,
    fragment: Option<String>,
}

impl Url {
    /// The URL of a probe. As with the kubelet a path that is none is not refused: all of it is then escaped.
    pub fn new(scheme: &str, host: &str, port: u16, path: &str) -> Url {
        let reference =
            Reference::parse(path).unwrap_or_else(|_| Reference { path: escape(path), ..Reference::default() });
        Url {
            scheme: scheme.to_owned(),
            host: host.to_owned(),
            port: Some(port),
            path: reference.path,
            query: reference.query,
            fragment: reference.fragment,
        }
    }

    /// Where a `Location` header of this URL's answer leads, and whether it was written with its scheme.
    ///
    /// # Errors
    /// What Go says of a reference that it cannot read.
    pub fn resolve(&self, location: &str) -> Result<(Url, Written), String> {
        let reference = Reference::parse(location).map_err(|why| {
            format!("failed to parse Location header {}: parse {}: {why}", quote(location), quote(location))
        })?;
        let written = if reference.scheme.is_some() { Written::Absolute } else { Written::Relative };
        let own_place = reference.scheme.is_some() || reference.authority.is_some();
        let (host, port) = match reference.authority {
            Some(authority) => authority,
            None if own_place => (String::new(), None),
            None => (self.host.clone(), self.port),
        };
        let same_document = !own_place && reference.path.is_empty() && reference.query.is_none();
        let path = match () {
            () if own_place => without_dots(&reference.path),
            () if reference.path.is_empty() => self.path.clone(),
            () if reference.path.starts_with('/') => without_dots(&reference.path),
            () => {
                without_dots(&format!("{}/{}", self.path.rsplit_once('/').map_or("", |(dir, _)| dir), reference.path))
            }
        };
        let url = Url {
            scheme: reference.scheme.unwrap_or_else(|| self.scheme.clone()),
            host,
            port,
            path,
            query: if same_document { self.query.clone() } else { reference.query },
            fragment: reference.fragment,
        };
        Ok((url, written))
    }

    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.port.unwrap_or(if self.scheme == "https" { 443 } else { 80 })
    }

    /// What the `Host` header says: the port only where it is written, be it the scheme's own.
    pub fn authority(&self) -> String {
        match self.port {
            Some(port) => join_host_port(&self.host, port),
            None if self.host.contains(':') => format!("[{}]", self.host),
            None => self.host.clone(),
        }
    }

    /// What the request line says: path and query.
    pub fn target(&self) -> String {
        let path = if self.path.is_empty() { "/" } else { &self.path };
        self.query.as_ref().map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"))
    }
}

/// How a `Location` header was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// With its scheme.
    Absolute,
    /// Without.
    Relative,
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.authority())?;
        if !self.path.is_empty() && !self.path.starts_with('/') {
            f.write_str("/")?;
        }
        f.write_str(&self.path)?;
        self.query.as_ref().map_or(Ok(()), |query| write!(f, "?{query}"))?;
        self.fragment.as_ref().map_or(Ok(()), |fragment| write!(f, "#{fragment}"))
    }
}

#[derive(Debug, Default)]
struct Reference {
    scheme: Option<String>,
    authority: Option<(String, Option<u16>)>,
    path: String,
    query: Option<String>,
    fragment: Option<String>,
}

impl Reference {
    fn parse(text: &str) -> Result<Reference, String> {
        if text.bytes().any(|byte| byte.is_ascii_control()) {
            return Err("net/url: invalid control character in URL".to_owned());
        }
        let (text, fragment) = cut(text, '#');
        let (scheme, rest) = scheme(text)?;
        let (rest, query) = cut(rest, '?');
        let mut reference = Reference { scheme, query, fragment, ..Reference::default() };
        if let Some(fragment) = &reference.fragment {
            unescape(fragment)?;
        }
        let path = match rest.strip_prefix("//") {
            Some(place) if reference.scheme.is_some() || !place.starts_with('/') => {
                let (place, path) = place.split_at(place.find('/').unwrap_or(place.len()));
                reference.authority = Some(authority(place)?);
                path
            }
            _ => rest,
        };
        reference.path = if path.bytes().all(allowed) && unescape(path).is_ok() {
            path.to_owned()
        } else {
            escape_bytes(&unescape(path)?)
        };
        Ok(reference)
    }
}

fn cut(text: &str, at: char) -> (&str, Option<String>) {
    text.split_once(at).map_or((text, None), |(before, after)| (before, Some(after.to_owned())))
}

fn scheme(text: &str) -> Result<(Option<String>, &str), String> {
    let Some((before, after)) = text.split_once(':') else { return Ok((None, text)) };
    if before.is_empty() {
        return Err("missing protocol scheme".to_owned());
    }
    let letters = before.starts_with(|c: char| c.is_ascii_alphabetic())
        && before.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    Ok(if letters { (Some(before.to_ascii_lowercase()), after) } else { (None, text) })
}

/// Host and port; a user's name and password are left out, which no probe has.
fn authority(place: &str) -> Result<(String, Option<u16>), String> {
    let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
    let (host, port) = match place.strip_prefix('[') {
        Some(address) => address.split_once(']').ok_or("missing ']' in host")?,
        None => place.split_at(place.find(':').unwrap_or(place.len())),
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => None,
        Some("") => None,
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse().map_err(|_| format!("invalid port {} after host", quote(port)))?)
        }
        _ => return Err(format!("invalid port {} after host", quote(port))),
    };
    Ok((host.to_owned(), port))
}

/// What may stand in a path as it is written.
fn allowed(byte: u8) -> bool {
    plain(byte) || b"!'()*[]%".contains(&byte)
}

/// What Go does not escape in a path.
fn plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&byte)
}

fn escape(path: &str) -> String {
    escape_bytes(path.as_bytes())
}

fn escape_bytes(path: &[u8]) -> String {
    path.iter().map(|&byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    loop {
        match rest {
            [b'%', high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0) as u8;
                bytes.push(digit(*high) << 4 | digit(*low));
                rest = after;
            }
            [b'%', ..] => return Err(format!("invalid URL escape {}", quote(rest.get(..3).unwrap_or(rest)))),
            [byte, after @ ..] => {
                bytes.push(*byte);
                rest = after;
            }
            [] => return Ok(bytes),
        }
    }
}

/// The path with its `.` and `..` resolved, beginning with `/` unless it is empty.
fn without_dots(path: &str) -> String {
    if path.is_empty() {
        return String::new();
    }
    let mut kept: Vec<&str> = Vec::new();
    let mut directory = false;
    for segment in path.strip_prefix('/').unwrap_or(path).split('/') {
        directory = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => _ = kept.pop(),
            segment => kept.push(segment),
        }
    }
    format!("/{}{}", kept.join("/"), if directory && !kept.is_empty() { "/" } else { "" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probes_path_becomes_a_url() {
        let cases = [
            ("/", "/", "http://10.0.0.1:80/"),
            ("/a%2Fb?x=1&y= 2", "/a%2Fb?x=1&y= 2", "http://10.0.0.1:80/a%2Fb?x=1&y= 2"),
            ("/a b/é", "/a%20b/%C3%A9", "http://10.0.0.1:80/a%20b/%C3%A9"),
            ("/x#part", "/x", "http://10.0.0.1:80/x#part"),
            ("/100%", "/100%25", "http://10.0.0.1:80/100%25"),
            ("/a\tb?c", "/a%09b%3Fc", "http://10.0.0.1:80/a%09b%3Fc"),
            ("//elsewhere/x", "/x", "http://10.0.0.1:80/x"),
            ("", "/", "http://10.0.0.1:80"),
        ];
        for (path, target, text) in cases {
            let url = Url::new("http", "10.0.0.1", 80, path);
            assert_eq!((url.target().as_str(), url.to_string().as_str()), (target, text), "{path}");
        }
        assert_eq!(Url::new("https", "::1", 8443, "/").to_string(), "https://[::1]:8443/");
    }

    #[test]
    fn a_location_is_resolved() {
        let url = Url::new("http", "127.0.0.1", 8080, "/a/b?q=1");
        let cases = [
            ("/c", "http://127.0.0.1:8080/c"),
            ("c?d#e", "http://127.0.0.1:8080/a/c?d#e"),
            ("../../c/./d/..", "http://127.0.0.1:8080/c/"),
            ("?z", "http://127.0.0.1:8080/a/b?z"),
            ("#top", "http://127.0.0.1:8080/a/b?q=1#top"),
            ("//other:1/x", "http://other:1/x"),
            ("https://[::1]/x", "https://[::1]/x"),
            ("HTTP://user:pw@other", "http://other"),
            ("ftp://127.0.0.1/x", "ftp://127.0.0.1/x"),
        ];
        for (location, text) in cases {
            assert_eq!(url.resolve(location).unwrap().0.to_string(), text, "{location}");
        }
        assert_eq!(url.resolve("mailto:someone").unwrap().0.host, "");
        assert_eq!(
            url.resolve("http://h:port/").unwrap_err(),
            r#"failed to parse Location header "http://h:port/": parse "http://h:port/": invalid port ":port" after host"#
        );
    }
}

//! Image references: docker's short names made full, and full names made short again for tables.

use std::fmt;

use crate::error::{Error, Result};
use crate::image::digest::Digest;

const DEFAULT_DOMAIN: &str = "docker.io";
const OFFICIAL: &str = "library/";

/// A normalized image reference: `domain/path`, and a tag, a digest or both.
///
/// The grammar is that of the distribution project (`reference.go`): what `docker run` accepts is accepted here and means the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Reads `busybox`, `user/x:1`, `localhost:5000/a@sha256:…`; without a tag and a digest, the tag is `latest`.
    pub fn parse(text: &str) -> Result<Reference> {
        let mut reference = Self::parse_untagged(text)?;
        if reference.tag.is_none() && reference.digest.is_none() {
            reference.tag = Some("latest".into());
        }
        Ok(reference)
    }

    /// The same without the default tag, for `--name debian` of an archive that brings tags of its own.
    pub fn parse_untagged(text: &str) -> Result<Reference> {
        let bad = |why: &str| {
            Error::new(format!("{text:?} is not an image reference: {why}"))
                .mend("write it as NAME[:TAG], HOST[:PORT]/NAME[:TAG] or NAME@sha256:DIGEST")
        };
        if text.is_empty() {
            return Err(bad("it is empty"));
        }
        if Digest::from_hex(text).is_some() {
            return Err(bad("64 hexadecimal digits cannot be told from an image id"));
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(Digest::parse(digest).map_err(|e| bad(e.what()))?)),
            None => (text, None),
        };
        // A colon after the last slash starts the tag; one before it belongs to a port.
        let name_start = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match rest[name_start..].find(':') {
            Some(colon) => (&rest[..name_start + colon], Some(&rest[name_start + colon + 1..])),
            None => (rest, None),
        };
        if let Some(tag) = tag {
            check_tag(tag).map_err(|why| bad(&why))?;
        }
        let (domain, path) = split_domain(name);
        check_domain(domain).map_err(|why| bad(&why))?;
        let path = match domain {
            DEFAULT_DOMAIN if !path.contains('/') => format!("{OFFICIAL}{path}"),
            _ => path.to_owned(),
        };
        check_path(&path).map_err(|why| bad(&why))?;
        if domain.len() + 1 + path.len() > 255 {
            return Err(bad("its name is longer than 255 characters"));
        }
        Ok(Reference { domain: domain.to_owned(), path, tag: tag.map(str::to_owned), digest })
    }

    /// Whether a name as written says its registry, or leaves it to the configuration.
    pub fn has_registry(text: &str) -> bool {
        text.contains('/')
            && (split_domain(text).0 != DEFAULT_DOMAIN
                || text.starts_with("docker.io/")
                || text.starts_with("index.docker.io/"))
    }

    /// The registry, `docker.io` where none is written.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The name within its registry, `library/busybox`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The name without tag and digest, `docker.io/library/busybox`.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// The tag, where there is one.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, where there is one.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The same repository with another tag; the tag is checked.
    pub fn with_tag(&self, tag: &str) -> Result<Reference> {
        check_tag(tag).map_err(|why| Error::new(format!("{tag:?} is not an image tag: {why}")))?;
        Ok(Reference { tag: Some(tag.to_owned()), digest: None, ..self.clone() })
    }

    /// The repository as people write it: `busybox`, `user/x`, `localhost:5000/a`.
    pub fn familiar_repository(&self) -> String {
        if self.domain != DEFAULT_DOMAIN {
            return self.repository();
        }
        let short = self.path.strip_prefix(OFFICIAL).filter(|rest| !rest.contains('/')).unwrap_or(&self.path);
        // Some names mean something else when they are short: a first part that looks like a host, digits like an id.
        let means_it = split_domain(short) == (DEFAULT_DOMAIN, short) && Digest::from_hex(short).is_none();
        if means_it { short.to_owned() } else { self.repository() }
    }

    /// The whole reference as people write it, `busybox:latest`.
    pub fn familiar(&self) -> String {
        self.with_suffixes(self.familiar_repository())
    }

    fn with_suffixes(&self, mut text: String) -> String {
        if let Some(tag) = &self.tag {
            text.push(':');
            text.push_str(tag);
        }
        if let Some(digest) = &self.digest {
            text.push('@');
            text.push_str(&digest.to_string());
        }
        text
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.with_suffixes(self.repository()))
    }
}

/// The part before the first slash is a registry only if it looks like a host: it has a dot or a port, is `localhost`, or
/// has a capital letter, which no path may have.
fn split_domain(name: &str) -> (&str, &str) {
    match name.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.contains(|c: char| c.is_ascii_uppercase()) =>
        {
            // Docker Hub's old name for itself.
            (if first == "index.docker.io" { DEFAULT_DOMAIN } else { first }, rest)
        }
        _ => (DEFAULT_DOMAIN, name),
    }
}

fn check_tag(tag: &str) -> std::result::Result<(), String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let starts = tag.chars().next().is_some_and(word);
    if starts && tag.len() <= 128 && tag.chars().all(|c| word(c) || c == '.' || c == '-') {
        return Ok(());
    }
    Err(format!(
        "the tag {tag:?} must be 1 to 128 letters, digits, \"_\", \".\" and \"-\", and start with none of the last two"
    ))
}

fn check_domain(domain: &str) -> std::result::Result<(), String> {
    let (host, port) = match domain.rsplit_once(':') {
        // The colons of an IPv6 address are inside its brackets.
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (domain, None),
    };
    if port.is_some_and(|port| port.is_empty() || !port.bytes().all(|b| b.is_ascii_digit())) {
        return Err(format!("the registry {domain:?} has a port that is not a number"));
    }
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let address = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    let good = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.split('.').all(label),
    };
    if good { Ok(()) } else { Err(format!("{domain:?} is not a registry's host name")) }
}

fn check_path(path: &str) -> std::result::Result<(), String> {
    for part in path.split('/') {
        if part.is_empty() {
            return Err("a part of its name is empty".into());
        }
        if part.contains(|c: char| c.is_ascii_uppercase()) {
            return Err("its name must be in lower case".into());
        }
        if !is_path_component(part) {
            return Err(format!(
                "the part {part:?} of its name must be lower-case letters and digits, separated by \".\", \"_\", \"__\" or dashes"
            ));
        }
    }
    Ok(())
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
fn is_path_component(part: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    let ends_well = bytes.first().copied().is_some_and(alphanumeric) && bytes.last().copied().is_some_and(alphanumeric);
    let separators = part.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    ends_well && separators.into_iter().all(|s| matches!(s, "" | "." | "_" | "__") || s.bytes().all(|b| b == b'-'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn short_names_become_full_as_docker_makes_them() {
        for (short, full) in [
            ("busybox", "docker.io/library/busybox:latest"),
            ("busybox:1.36", "docker.io/library/busybox:1.36"),
            ("user/x:1", "docker.io/user/x:1"),
            ("docker.io/busybox", "docker.io/library/busybox:latest"),
            ("index.docker.io/user/x", "docker.io/user/x:latest"),
            ("localhost/x", "localhost/x:latest"),
            ("localhost:5000/a", "localhost:5000/a:latest"),
            ("localhost:5000", "docker.io/library/localhost:5000"),
            ("quay.io/a/b/c:v1.2-rc_3", "quay.io/a/b/c:v1.2-rc_3"),
            ("Host/a", "Host/a:latest"),
            ("[::1]:5000/a", "[::1]:5000/a:latest"),
            ("a__b/c--d.e", "docker.io/a__b/c--d.e:latest"),
        ] {
            assert_eq!(Reference::parse(short).unwrap().to_string(), full, "{short}");
        }
        let pinned = format!("localhost:5000/a@sha256:{HEX}");
        assert_eq!(Reference::parse(&pinned).unwrap().to_string(), pinned);
        let both = format!("a:1@sha256:{HEX}");
        assert_eq!(Reference::parse(&both).unwrap().to_string(), format!("docker.io/library/{both}"));
    }

    #[test]
    fn what_docker_refuses_is_refused() {
        for bad in [
            "",
            ":tag",
            "a:",
            "a@",
            "a@sha256:12",
            "UPPER",
            "a/B",
            "a//b",
            "/a",
            "a/",
            "a:b:c",
            "a b",
            "a:.x",
            "-a",
            "a-",
            "a___b",
            "a..b",
            "host:x/a",
            "[::z]/a",
            "ho_st.x/a",
            "http://x/y",
            "a\0b",
            "ä",
            HEX,
        ] {
            assert!(Reference::parse(bad).is_err(), "{bad:?} was accepted");
        }
        assert!(Reference::parse(&"a".repeat(300)).is_err());
        assert!(Reference::parse(&format!("a:{}", "t".repeat(129))).is_err());
    }

    #[test]
    fn familiar_names_are_short() {
        for (full, short) in [
            ("docker.io/library/busybox:latest", "busybox:latest"),
            ("docker.io/user/x:1", "user/x:1"),
            ("localhost/x:1", "localhost/x:1"),
            ("docker.io/library/a/b:1", "library/a/b:1"),
            ("docker.io/a.b/c:1", "docker.io/a.b/c:1"),
            ("docker.io/localhost/c:1", "docker.io/localhost/c:1"),
            ("docker.io/index.docker.io/c:1", "docker.io/index.docker.io/c:1"),
        ] {
            assert_eq!(Reference::parse(full).unwrap().familiar(), short);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
            let _ = Reference::parse(&text);
        }

        #[test]
        fn a_normalized_reference_reads_as_itself(
            text in "([a-z]{1,5}\\.[a-z]{2}(:[0-9]{1,4})?/)?[a-z0-9]{1,8}(/[a-z0-9]{1,5}([._-][a-z0-9]{1,4})?){0,3}(:[A-Za-z0-9_][a-z.-]{0,6})?"
        ) {
            let reference = Reference::parse(&text).unwrap();
            prop_assert_eq!(&Reference::parse(&reference.to_string()).unwrap(), &reference);
            prop_assert_eq!(&Reference::parse(&reference.familiar()).unwrap(), &reference);
        }
    }
}

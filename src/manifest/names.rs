//! The grammars of names in Kubernetes (apimachinery's `validation` package). Each function says what is wrong, or nothing.

/// A DNS label (RFC 1123): container, volume, host and namespace names.
pub(super) fn dns_label(name: &str) -> Result<(), String> {
    if name.len() <= 63 && is_label(name) {
        return Ok(());
    }
    Err(format!(
        "{name:?} is not a DNS label: lower-case letters, digits and \"-\", a letter or digit at both ends, at most 63 characters"
    ))
}

/// A DNS subdomain (RFC 1123): the names of objects.
pub(super) fn dns_subdomain(name: &str) -> Result<(), String> {
    if name.len() <= 253 && name.split('.').all(is_label) {
        return Ok(());
    }
    Err(format!(
        "{name:?} is not a DNS name: lower-case letters, digits, \"-\" and \".\", a letter or digit at both ends and beside \
         each \".\", at most 253 characters"
    ))
}

/// A domain to search in: a DNS name whose labels may have underscores, as those of services do (`_tcp`).
pub(super) fn search_domain(name: &str) -> Result<(), String> {
    let is_label = |label: &str| {
        let plain = label.replace('_', "-");
        let first = label.strip_prefix('_').unwrap_or(label).bytes().next();
        first.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
            && plain.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !plain.ends_with('-')
    };
    if name.len() <= 253 && name.split('.').all(is_label) {
        return Ok(());
    }
    Err(format!(
        "{name:?} is not a domain: lower-case letters, digits, \"-\", \"_\" and \".\", a letter or digit at both ends of each \
         part, perhaps behind a \"_\", at most 253 characters"
    ))
}

/// What the API server makes an object's name of (`generateName`), which may end with dashes.
pub(super) fn name_prefix(prefix: &str) -> Result<(), String> {
    let goes_on = if prefix.ends_with('-') { format!("{prefix}x") } else { prefix.to_owned() };
    if prefix.len() <= 253 && goes_on.split('.').all(is_label) {
        return Ok(());
    }
    Err(format!(
        "{prefix:?} cannot begin a DNS name: lower-case letters, digits, \"-\" and \".\", a letter or digit first and beside each \
         \".\", at most 253 characters"
    ))
}

/// The key of a label or an annotation: a name, perhaps after a DNS subdomain and a slash.
pub(super) fn qualified_name(key: &str) -> Result<(), String> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    if prefix.is_none_or(|prefix| dns_subdomain(prefix).is_ok()) && !name.is_empty() && is_label_value(name) {
        return Ok(());
    }
    Err(format!(
        "{key:?} cannot be the name of a label or annotation: letters, digits, \"-\", \"_\" and \".\", a letter or digit at both \
         ends, at most 63 characters, with a DNS name and \"/\" before it if need be"
    ))
}

/// The value of a label.
pub(super) fn label_value(value: &str) -> Result<(), String> {
    if is_label_value(value) {
        return Ok(());
    }
    Err(format!(
        "{value:?} cannot be the value of a label: letters, digits, \"-\", \"_\" and \".\", a letter or digit at both ends, at \
         most 63 characters"
    ))
}

/// The name of an environment variable: printable ASCII without `=`, as Kubernetes has it since 1.34.
pub(super) fn env_name(name: &str) -> Result<(), String> {
    if !name.is_empty() && name.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'=') {
        return Ok(());
    }
    Err(format!("{name:?} cannot name a variable: printable ASCII characters without \"=\""))
}

/// A key of a ConfigMap or Secret, which is a file name where it is mounted.
pub(super) fn config_key(key: &str) -> Result<(), String> {
    let grammar = key.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
    if grammar && (1..=253).contains(&key.len()) && key != "." && !key.starts_with("..") {
        return Ok(());
    }
    Err(format!(
        "{key:?} cannot be a key: letters, digits, \"-\", \"_\" and \".\", not beginning with \"..\", at most 253 characters"
    ))
}

/// The name of a port (RFC 6335).
pub(super) fn port_name(name: &str) -> Result<(), String> {
    let letter = name.bytes().any(|b| b.is_ascii_lowercase());
    if name.len() <= 15 && is_label(name) && letter && !name.contains("--") {
        return Ok(());
    }
    Err(format!(
        "{name:?} cannot name a port: lower-case letters, digits and single \"-\" between them, at least one letter, at most 15 \
         characters"
    ))
}

/// The name of an HTTP header (a token of RFC 9110 without the characters that Kubernetes leaves out).
pub(super) fn header_name(name: &str) -> Result<(), String> {
    if !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
        return Ok(());
    }
    Err(format!("{name:?} cannot name a header: letters, digits and \"-\""))
}

/// The signals that `stopSignal` may name on Linux, without the real-time ones between `SIGRTMIN` and `SIGRTMAX`.
pub(super) const SIGNALS: [&str; 36] = [
    "SIGABRT",
    "SIGALRM",
    "SIGBUS",
    "SIGCHLD",
    "SIGCLD",
    "SIGCONT",
    "SIGFPE",
    "SIGHUP",
    "SIGILL",
    "SIGINT",
    "SIGIO",
    "SIGIOT",
    "SIGKILL",
    "SIGPIPE",
    "SIGPOLL",
    "SIGPROF",
    "SIGPWR",
    "SIGQUIT",
    "SIGRTMAX",
    "SIGRTMIN",
    "SIGSEGV",
    "SIGSTKFLT",
    "SIGSTOP",
    "SIGSYS",
    "SIGTERM",
    "SIGTRAP",
    "SIGTSTP",
    "SIGTTIN",
    "SIGTTOU",
    "SIGURG",
    "SIGUSR1",
    "SIGUSR2",
    "SIGVTALRM",
    "SIGWINCH",
    "SIGXCPU",
    "SIGXFSZ",
];

/// Whether `stopSignal` may be `name` on Linux: one of [`SIGNALS`], `SIGRTMIN+1` to `+15`, or `SIGRTMAX-1` to `-14`.
pub(super) fn is_signal(name: &str) -> bool {
    let offset = |prefix: &str, most: u32| {
        let digits = name.strip_prefix(prefix).filter(|digits| !digits.starts_with(['0', '+']));
        digits.and_then(|digits| digits.parse::<u32>().ok()).is_some_and(|n| (1..=most).contains(&n))
    };
    SIGNALS.contains(&name) || offset("SIGRTMIN+", 15) || offset("SIGRTMAX-", 14)
}

/// A path that leads down only, from the root of a volume or the directory of the profiles.
pub(super) fn descending_path(path: &str) -> Result<(), String> {
    if path.starts_with('/') {
        return Err(format!("{path:?} must be a relative path"));
    }
    no_backsteps(path)
}

/// The path of a file that is generated below a volume's root, where names that begin with `..` are kept for the kubelet's own.
pub(super) fn local_path(path: &str) -> Result<(), String> {
    descending_path(path)?;
    if path.starts_with("..") {
        return Err(format!("{path:?} must not begin with \"..\""));
    }
    Ok(())
}

/// A path none of whose parts leads up.
pub(super) fn no_backsteps(path: &str) -> Result<(), String> {
    if path.split('/').any(|part| part == "..") {
        return Err(format!("{path:?} must not contain \"..\""));
    }
    Ok(())
}

/// An entry of a map as a field path has it, `map['key']`, as its two parts.
pub fn subscripted(path: &str) -> Option<(&str, &str)> {
    path.strip_suffix("']")?.split_once("['").filter(|(map, _)| !map.is_empty())
}

/// A label made of `name`, for a mend; nothing when no letter or digit is left.
pub(super) fn like_label(name: &str) -> Option<String> {
    let mapped: String = name
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' })
        .take(63)
        .collect();
    let trimmed = mapped.trim_matches('-');
    (!trimmed.is_empty()).then(|| trimmed.to_owned())
}

fn is_label(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    match (name.as_bytes().first(), name.as_bytes().last()) {
        (Some(&first), Some(&last)) => inner(first) && inner(last) && name.bytes().all(|b| inner(b) || b == b'-'),
        _ => false,
    }
}

fn is_label_value(value: &str) -> bool {
    match (value.as_bytes().first(), value.as_bytes().last()) {
        (Some(first), Some(last)) => {
            value.len() <= 63
                && first.is_ascii_alphanumeric()
                && last.is_ascii_alphanumeric()
                && value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grammars() {
        type Grammar = fn(&str) -> Result<(), String>;
        let x63 = "x".repeat(63);
        let x64 = "x".repeat(64);
        let long = format!("{x63}.{x63}.{x63}.{x63}");
        for (grammar, good, bad) in [
            (dns_label as Grammar, vec!["a", "a-b", "0", &x63], vec!["", "A", "a_b", "-a", "a-", "a.b", &x64, "é"]),
            (dns_subdomain, vec!["a.b", "x"], vec!["", "a..b", ".a", "a.-b", "A.b", &long]),
            (
                search_domain,
                vec!["a.b", "_tcp.a", "a_b.c-d", "0"],
                vec!["", "a..b", "_", "a_", "-a", "A", "a b", "__a", &long],
            ),
            (name_prefix, vec!["a", "a-", "a.b--"], vec!["", "-", "A-", "a.", "a.-", &long]),
            (descending_path, vec!["", "a", "a/..b", "..a"], vec!["/a", "..", "a/../b"]),
            (no_backsteps, vec!["/a", "a..b/..c"], vec!["..", "/a/.."]),
            (qualified_name, vec!["app", "k8s.io/App_x.y"], vec!["", "/a", "K/a", "a/", "a/b/c", "a b"]),
            (label_value, vec!["", "v1.0", "A_b"], vec!["a b", "-a", "a/", &x64]),
            (env_name, vec!["A", "a.b-c", "1", "A B"], vec!["", "A=B", "A\n", "é"]),
            (config_key, vec!["a", ".a", "nginx.conf", "A_-"], vec!["", ".", "..", "..a", "a/b", "a b"]),
            (
                port_name,
                vec!["http", "a-1"],
                vec!["", "80", "a--b", "-a", "sixteen-letters-", "Http", "sixteen-letters1"],
            ),
            (local_path, vec!["a", "a/b", "a..b", ".a"], vec!["/a", "..", "a/../b", "..a"]),
        ] {
            for name in good {
                assert_eq!(grammar(name), Ok(()), "{name:?}");
            }
            for name in bad {
                assert!(grammar(name).is_err(), "{name:?}");
            }
        }
        assert_eq!(like_label("My_App"), Some("my-app".into()));
        assert_eq!(like_label("__"), None);
    }
    #[test]
    fn entries_of_maps() {
        for (path, parts) in [
            ("metadata.labels['a']", Some(("metadata.labels", "a"))),
            ("a['b']['c']", Some(("a", "b']['c"))),
            ("['a']", None),
            ("a['b'", None),
            ("a[b]", None),
            ("']", None),
            ("a']", None),
            ("a['']", Some(("a", ""))),
        ] {
            assert_eq!(subscripted(path), parts, "{path}");
        }
    }
}

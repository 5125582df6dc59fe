//! Go's way of writing what stands in the kubelet's texts: quoted strings, durations, addresses and error numbers.

use std::fmt::Write as _;
use std::io;
use std::time::Duration;

/// `bytes` as Go's verb `%q` writes them.
pub(super) fn quote(bytes: impl AsRef<[u8]>) -> String {
    let mut quoted = String::from("\"");
    for chunk in bytes.as_ref().utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' => quoted.push_str("\\\""),
                '\\' => quoted.push_str("\\\\"),
                '\x07' => quoted.push_str("\\a"),
                '\x08' => quoted.push_str("\\b"),
                '\x0b' => quoted.push_str("\\v"),
                '\x0c' => quoted.push_str("\\f"),
                '\n' => quoted.push_str("\\n"),
                '\r' => quoted.push_str("\\r"),
                '\t' => quoted.push_str("\\t"),
                ' '..='~' => quoted.push(character),
                '\0'..='\x7f' => hex(&mut quoted, character as u8),
                '\u{80}'..='\u{a0}' => {
                    let _ = write!(quoted, "\\u{:04x}", u32::from(character));
                }
                _ => quoted.push(character),
            }
        }
        chunk.invalid().iter().for_each(|&byte| hex(&mut quoted, byte));
    }
    quoted.push('"');
    quoted
}

fn hex(quoted: &mut String, byte: u8) {
    let _ = write!(quoted, "\\x{byte:02x}");
}

/// A duration as Go's `time.Duration` writes itself: `1s`, `1m30s`, `1.5s`, `10ms`.
pub(super) fn duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    match nanos {
        0 => "0s".to_owned(),
        1..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => format!("{}µs", decimal(nanos, 1_000, 3)),
        1_000_000..1_000_000_000 => format!("{}ms", decimal(nanos, 1_000_000, 6)),
        _ => {
            let (hours, minutes) = (duration.as_secs() / 3600, duration.as_secs() / 60 % 60);
            let seconds = decimal(nanos % 60_000_000_000, 1_000_000_000, 9);
            match (hours, minutes) {
                (0, 0) => format!("{seconds}s"),
                (0, _) => format!("{minutes}m{seconds}s"),
                _ => format!("{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

fn decimal(nanos: u128, unit: u128, digits: usize) -> String {
    let written = format!("{}.{:0digits$}", nanos / unit, nanos % unit);
    written.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `host:port`, with brackets around an IPv6 address.
pub(super) fn join_host_port(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// What the kernel said, in Go's small letters and without its number.
pub(super) fn cause(error: &io::Error) -> String {
    let mut text = error.to_string();
    if let Some(number) = error.raw_os_error()
        && let Some(bare) = text.strip_suffix(&format!(" (os error {number})"))
    {
        text = bare.to_owned();
    }
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_quoted_as_go_quotes_them() {
        assert_eq!(quote("plain \"x\" \\ é\n"), r#""plain \"x\" \\ é\n""#);
        assert_eq!(quote(b"\x00\x06\xff\x7f\xc2\x85"), r#""\x00\x06\xff\x7f\u0085""#);
    }

    #[test]
    fn durations_are_written_as_go_writes_them() {
        let cases = [
            (Duration::ZERO, "0s"),
            (Duration::from_nanos(15), "15ns"),
            (Duration::from_micros(1500), "1.5ms"),
            (Duration::from_nanos(1100), "1.1µs"),
            (Duration::from_millis(10), "10ms"),
            (Duration::from_secs(1), "1s"),
            (Duration::from_millis(2500), "2.5s"),
            (Duration::from_secs(90), "1m30s"),
            (Duration::from_secs(60), "1m0s"),
            (Duration::from_secs(3660), "1h1m0s"),
        ];
        for (value, written) in cases {
            assert_eq!(duration(value), written);
        }
    }

    #[test]
    fn error_numbers_are_written_as_go_writes_them() {
        assert_eq!(cause(&io::Error::from_raw_os_error(nix::libc::ECONNREFUSED)), "connection refused");
        assert_eq!(cause(&io::Error::from_raw_os_error(nix::libc::EHOSTUNREACH)), "no route to host");
    }
}

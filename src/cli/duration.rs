//! Durations as Go and kubectl write them: `1h30m`, `45s`, `1.5s`, `200ms`.

use std::time::Duration;

/// Reads one; a plain number is seconds.
///
/// # Errors
/// What is wrong with it, with an example.
pub fn parse(text: &str) -> std::result::Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration; write it as in 30s, 1h30m or 200ms");
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).map_err(|_| wrong());
    }
    let mut rest = text;
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(wrong)?;
        let (number, after) = rest.split_at_checked(end).ok_or_else(wrong)?;
        let end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, next) = after.split_at_checked(end).ok_or_else(wrong)?;
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(wrong()),
        };
        let number: f64 = number.parse().map_err(|_| wrong())?;
        sum += Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong())?;
        rest = next;
    }
    if text.is_empty() { Err(wrong()) } else { Ok(sum) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_go_writes_them() {
        for (text, milliseconds) in [
            ("1h30m", 5_400_000),
            ("45s", 45_000),
            ("1.5s", 1500),
            ("200ms", 200),
            ("0", 0),
            ("2", 2000),
            ("1m0.5s", 60_500),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "s", "1x", "-1s", "1s2", "1e400", "h1", "99999999999999999999h"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}

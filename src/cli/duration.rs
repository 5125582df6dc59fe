//! Lengths of time as kubectl takes them: Go's form (`time.ParseDuration`), `1h30m` or `1.5s`.

use std::time::Duration;

/// The units, in nanoseconds. Two letters look like µ: the micro sign and the Greek letter.
const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// Reads a length of time that is not negative.
///
/// # Errors
/// What is wrong, in words for the command line.
pub fn parse(text: &str) -> Result<Duration, String> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.starts_with('-') {
        return Err("must not be negative".into());
    }
    if rest.is_empty() {
        return Err("must be a length of time such as 1h30m, 45s or 500ms".into());
    }
    let mut nanos: u128 = 0;
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = after.strip_prefix('.').map_or(("", after), digits);
        if whole.is_empty() && fraction.is_empty() {
            return Err(format!("{rest:?} does not begin with a number; write 1h30m, 45s or 500ms"));
        }
        let (unit, after) = after.split_at(after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len()));
        let Some((_, size)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            let number = rest.get(..rest.len() - unit.len() - after.len()).unwrap_or(rest);
            return Err(match unit {
                "" => format!("{number} has no unit; write {number}s for seconds, or m, h, ms"),
                _ => format!("{unit:?} is no unit; there are ns, us, ms, s, m and h"),
            });
        };
        nanos = part(whole, fraction, *size).and_then(|part| nanos.checked_add(part)).ok_or("is too long")?;
        rest = after;
    }
    u64::try_from(nanos).map(Duration::from_nanos).map_err(|_| "is too long".into())
}

fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// `whole.fraction` of `size` nanoseconds; the fraction counts to its eighteenth digit, which is below a nanosecond of any unit.
fn part(whole: &str, fraction: &str, size: u128) -> Option<u128> {
    let number = |digits: &str| if digits.is_empty() { Some(0u128) } else { digits.parse().ok() };
    let fraction = fraction.get(..18).unwrap_or(fraction);
    let scale = 10u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
    number(whole)?.checked_mul(size)?.checked_add(number(fraction)?.checked_mul(size)? / scale)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn go_s_durations_are_read() {
        for (text, millis) in [
            ("0", 0),
            ("5s", 5_000),
            ("1h30m", 5_400_000),
            ("1.5h", 5_400_000),
            (".5s", 500),
            ("1.s", 1_000),
            ("+300ms", 300),
            ("1h15m30.918s", 4_530_918),
            ("1000\u{b5}s", 1),
            ("1000us1000000ns", 2),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn what_go_refuses_is_refused_with_the_reason() {
        for (text, why) in [
            ("", "such as 1h30m"),
            ("5", "write 5s"),
            ("1h5", "write 5s"),
            ("5d", "\"d\" is no unit"),
            ("-5s", "negative"),
            ("s", "does not begin with a number"),
            (".s", "does not begin with a number"),
            ("5s ", "\"s \" is no unit"),
            ("99999999999999999999h", "too long"),
            ("9999999999999999999999999999999999999999h", "too long"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[0-9.hmsuµn+ -]{0,12}|\\PC{0,8}") {
            let _ = parse(&text);
        }
    }
}

//! What a plain YAML scalar means to kubectl.
//!
//! kubectl reads YAML 1.1 (`yes`, `off`, `0644`, `1_000`), turns it into JSON and sends that to the API server. The same file
//! must mean the same here, so the rules are those of the YAML library that kubectl is built with (sigs.k8s.io/yaml).

use serde_json::Number;

/// The meaning of one scalar.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    Number(Number),
    Text,
    /// A number that JSON cannot hold (`.nan`, `.inf`).
    NotJson,
}

/// The meaning of the unquoted scalar `text`.
pub(super) fn resolve(text: &str) -> Scalar {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Scalar::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Scalar::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Scalar::Bool(false);
        }
        ".nan" | ".NaN" | ".NAN" | ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf"
        | "-.INF" => return Scalar::NotJson,
        _ => {}
    }
    match text.as_bytes().first() {
        Some(b'0'..=b'9' | b'+' | b'-') => number(&text.replace('_', "")),
        Some(b'.') => float(text),
        _ => None,
    }
    .map_or(Scalar::Text, Scalar::Number)
}

fn number(plain: &str) -> Option<Number> {
    integer(plain).or_else(|| float(plain))
}

/// An integer with YAML 1.1's bases: `0x1f`, `0b11`, `0o17` and the leading zero that means octal.
fn integer(plain: &str) -> Option<Number> {
    let (negative, digits) = match plain.as_bytes().first()? {
        b'-' => (true, &plain[1..]),
        b'+' => (false, &plain[1..]),
        _ => (false, plain),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if !digits.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if negative { 0i64.checked_sub_unsigned(magnitude).map(Number::from) } else { Some(Number::from(magnitude)) }
}

/// A decimal fraction. A whole one (`80.0`, `1e3`) becomes an integer, as it does on its way through JSON.
fn float(plain: &str) -> Option<Number> {
    if !is_yaml_float(plain.as_bytes()) {
        return None;
    }
    let value: f64 = plain.parse().ok()?;
    // Beyond 2^53 not every integer is a float, so the exact digits are no longer known.
    if value.fract() == 0.0 && value.abs() < 9_007_199_254_740_992.0 {
        #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
        return Some(Number::from(value as i64));
    }
    Number::from_f64(value)
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_yaml_float(text: &[u8]) -> bool {
    let skip_digits = |s: &mut &[u8]| {
        let count = s.iter().take_while(|b| b.is_ascii_digit()).count();
        *s = &s[count..];
        count
    };
    let mut rest = text;
    if let [b'-' | b'+', tail @ ..] = rest {
        rest = tail;
    }
    let whole = skip_digits(&mut rest);
    if let [b'.', tail @ ..] = rest {
        rest = tail;
        if skip_digits(&mut rest) + whole == 0 {
            return false;
        }
    } else if whole == 0 {
        return false;
    }
    if let [b'e' | b'E', tail @ ..] = rest {
        rest = tail;
        if let [b'-' | b'+', tail @ ..] = rest {
            rest = tail;
        }
        if skip_digits(&mut rest) == 0 {
            return false;
        }
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::{Scalar, resolve};

    #[test]
    fn means_what_kubectl_reads() {
        let number = |n: i64| Scalar::Number(n.into());
        for (text, meaning) in [
            ("", Scalar::Null),
            ("~", Scalar::Null),
            ("yes", Scalar::Bool(true)),
            ("Off", Scalar::Bool(false)),
            ("yEs", Scalar::Text),
            ("0644", number(0o644)),
            ("0o644", number(0o644)),
            ("0x1F", number(31)),
            ("-0b11", number(-3)),
            ("1_000", number(1000)),
            ("08", number(8)),
            ("80.0", number(80)),
            ("1e3", number(1000)),
            ("-9223372036854775808", number(i64::MIN)),
            ("18446744073709551615", Scalar::Number(u64::MAX.into())),
            ("1:30", Scalar::Text),
            ("1.2.3", Scalar::Text),
            ("2026-11-22", Scalar::Text),
            ("-", Scalar::Text),
            ("+", Scalar::Text),
            (".", Scalar::Text),
            ("0x", Scalar::Text),
            ("--1", Scalar::Text),
            ("1e", Scalar::Text),
            (".5", Scalar::Number(serde_json::Number::from_f64(0.5).unwrap())),
            ("-.inf", Scalar::NotJson),
        ] {
            assert_eq!(resolve(text), meaning, "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn takes_any_text(text in ".{0,12}") {
            resolve(&text);
        }

        #[test]
        fn reads_integers_back(n: i64) {
            proptest::prop_assert_eq!(resolve(&n.to_string()), Scalar::Number(n.into()));
        }
    }
}

//! Kubernetes quantities as bytes.

/// `quantity` in bytes, rounded up: digits with at most one point, then a suffix or a decimal exponent.
///
/// Source: the API reference of `resource.Quantity`.
pub(super) fn bytes(quantity: &str) -> Result<u64, String> {
    parse(quantity).ok_or_else(|| format!("{quantity:?} is not a size in bytes such as 64Mi, 1G or 1048576"))
}

fn parse(quantity: &str) -> Option<u64> {
    let text = quantity.strip_prefix('+').unwrap_or(quantity);
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at_checked(end)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    let mut value: u128 = digits.parse().ok()?;
    let mut tens = -i32::try_from(fraction.len()).ok()?;
    match suffix {
        "" => {}
        "n" => tens -= 9,
        "u" => tens -= 6,
        "m" => tens -= 3,
        "k" => tens += 3,
        "M" => tens += 6,
        "G" => tens += 9,
        "T" => tens += 12,
        "P" => tens += 15,
        "E" => tens += 18,
        "Ki" => value = value.checked_mul(1 << 10)?,
        "Mi" => value = value.checked_mul(1 << 20)?,
        "Gi" => value = value.checked_mul(1 << 30)?,
        "Ti" => value = value.checked_mul(1 << 40)?,
        "Pi" => value = value.checked_mul(1 << 50)?,
        "Ei" => value = value.checked_mul(1 << 60)?,
        exponent => tens = tens.checked_add(exponent.strip_prefix(['e', 'E'])?.parse().ok()?)?,
    }
    let scale = 10u128.checked_pow(tens.unsigned_abs());
    let bytes = match (tens < 0, scale) {
        (true, Some(scale)) => value.div_ceil(scale),
        // Smaller than any byte, or larger than any size.
        (true, None) => u128::from(value > 0),
        (false, scale) => {
            value.checked_mul(scale.filter(|_| value > 0).unwrap_or(u128::from(value > 0) * u128::MAX))?
        }
    };
    u64::try_from(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn sizes_round_up_to_bytes() {
        for (text, expected) in [
            ("0", Some(0)),
            ("1", Some(1)),
            ("64Mi", Some(64 << 20)),
            ("1.5Gi", Some(3 << 29)),
            ("1G", Some(1_000_000_000)),
            ("1e3", Some(1000)),
            ("1E3", Some(1000)),
            ("2E", Some(2_000_000_000_000_000_000)),
            ("9Ei", Some(9 << 60)),
            ("1500m", Some(2)),
            ("1n", Some(1)),
            ("+5", Some(5)),
            ("5.", Some(5)),
            (".5", Some(1)),
            ("0e999", Some(0)),
            ("1e-999", Some(1)),
            ("1e999", None),
            ("99Ei", None),
            ("-1", None),
            ("", None),
            (".", None),
            ("Mi", None),
            ("1 Mi", None),
            ("1mi", None),
            ("1.2.3", None),
            ("1e", None),
            ("99999999999999999999999999999999999999999999", None),
        ] {
            assert_eq!(bytes(text).ok(), expected, "{text}");
        }
    }
}

//! Kubernetes quantities: `500m`, `64Mi`, `1e3`, `2E`, `.5Gi` (apimachinery's `resource.Quantity`).

/// How many nanos one unit has; a quantity knows nothing smaller.
const NANOS: i128 = 1_000_000_000;

/// The greatest magnitude, 2^63-1 units; what is greater becomes this.
const MAX: i128 = i64::MAX as i128 * NANOS;

/// A fixed-point number of units (bytes, cores …), exact to a billionth.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity {
    nanos: i128,
}

impl Quantity {
    /// Reads a quantity as the API server does: without the spaces around it, what is finer than a billionth is rounded away from zero,
    /// what is greater than 2^63-1 becomes that, and no digits at all are zero.
    ///
    /// # Errors
    /// What is wrong with `text`, to be put after the path of the field.
    pub fn parse(text: &str) -> Result<Quantity, String> {
        let bad = || {
            format!(
                "{text:?} is not a quantity: a number, then m, k, M, G, T, P, E, or Ki, Mi, Gi, Ti, Pi, Ei, or an exponent such as e3"
            )
        };
        let trimmed = text.trim();
        let (negative, rest) = match trimmed.as_bytes().first() {
            Some(b'-') => (true, &trimmed[1..]),
            Some(b'+') => (false, &trimmed[1..]),
            Some(_) => (false, trimmed),
            None => return Err(bad()),
        };
        let (whole, rest) = split_digits(rest);
        let (fraction, suffix) = match rest.strip_prefix('.') {
            Some(rest) => split_digits(rest),
            None => ("", rest),
        };
        let (power_of_ten, power_of_two) = suffix_powers(suffix).ok_or_else(bad)?;
        let magnitude = nanos(whole, fraction, power_of_ten, power_of_two);
        Ok(Quantity { nanos: if negative { -magnitude } else { magnitude } })
    }

    /// So many whole units.
    pub fn of_units(units: u64) -> Quantity {
        Quantity { nanos: (i128::from(units) * NANOS).min(MAX) }
    }

    /// Whether it is less than zero.
    pub fn is_negative(self) -> bool {
        self.nanos < 0
    }

    /// Whether it is a whole number of units.
    pub fn is_whole(self) -> bool {
        self.nanos % NANOS == 0
    }

    /// What the API server stores of an amount of a resource: thousandths, rounded away from zero.
    pub fn stored(self) -> Quantity {
        let milli = NANOS / 1000;
        let magnitude = div_up(self.nanos.abs(), milli) * milli;
        Quantity { nanos: if self.is_negative() { -magnitude } else { magnitude } }
    }

    /// The sum of both, at most the greatest quantity.
    pub fn plus(self, other: Quantity) -> Quantity {
        Quantity { nanos: self.nanos.saturating_add(other.nanos).clamp(-MAX, MAX) }
    }

    /// Whole units, rounded up, as `Quantity.Value()` in Kubernetes; 0 when it is negative.
    pub fn units(self) -> u64 {
        u64::try_from(div_up(self.nanos.max(0), NANOS)).unwrap_or(u64::MAX)
    }

    /// Thousandths of a unit, rounded up, as `Quantity.MilliValue()` in Kubernetes; 0 when it is negative.
    pub fn millis(self) -> u64 {
        u64::try_from(div_up(self.nanos.max(0), NANOS / 1000)).unwrap_or(u64::MAX)
    }
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

/// The powers of ten and of two that `suffix` multiplies by.
fn suffix_powers(suffix: &str) -> Option<(i64, u32)> {
    Some(match suffix {
        "n" => (-9, 0),
        "u" => (-6, 0),
        "m" => (-3, 0),
        "" => (0, 0),
        "k" => (3, 0),
        "M" => (6, 0),
        "G" => (9, 0),
        "T" => (12, 0),
        "P" => (15, 0),
        "E" => (18, 0),
        "Ki" => (0, 10),
        "Mi" => (0, 20),
        "Gi" => (0, 30),
        "Ti" => (0, 40),
        "Pi" => (0, 50),
        "Ei" => (0, 60),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?;
            let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            // Whatever is beyond these bounds is zero or the maximum anyway.
            let greatest = 1_000_000_000;
            (exponent.parse::<i64>().ok()?.clamp(-greatest, greatest), 0)
        }
    })
}

/// `whole.fraction` × 10^`power_of_ten` × 2^`power_of_two` in nanos, rounded up and capped.
fn nanos(whole: &str, fraction: &str, power_of_ten: i64, power_of_two: u32) -> i128 {
    // So many digits times 2^60 still fit; the digits behind them can only matter by being there at all.
    let kept = if power_of_two == 0 { 28 } else { 19 };
    let mut mantissa: i128 = 0;
    let mut taken = 0;
    let mut dropped = 0i64;
    let mut inexact = false;
    for digit in whole.bytes().chain(fraction.bytes()).map(|b| i128::from(b - b'0')).skip_while(|&digit| digit == 0) {
        if taken < kept {
            mantissa = mantissa * 10 + digit;
            taken += 1;
        } else {
            dropped += 1;
            inexact |= digit != 0;
        }
    }
    if mantissa == 0 {
        return 0;
    }
    mantissa <<= power_of_two;
    let fraction = i64::try_from(fraction.len()).unwrap_or(i64::MAX);
    let power = (power_of_ten + 9).saturating_add(dropped).saturating_sub(fraction);
    let factor = u32::try_from(power.unsigned_abs()).ok().and_then(|power| 10i128.checked_pow(power));
    let nanos = match (power < 0, factor) {
        (false, Some(factor)) => mantissa.checked_mul(factor).unwrap_or(MAX),
        (false, None) => MAX,
        (true, Some(factor)) => div_up(mantissa, factor),
        (true, None) => 1,
    };
    nanos.saturating_add(i128::from(inexact && power <= 0)).min(MAX)
}

fn div_up(n: i128, by: i128) -> i128 {
    n / by + i128::from(n % by > 0)
}

#[cfg(test)]
mod tests {
    use super::Quantity;
    use proptest::prelude::*;

    #[test]
    fn reads_what_the_api_server_reads() {
        for (text, units, millis) in [
            ("0", 0, 0),
            ("1", 1, 1000),
            ("+1", 1, 1000),
            ("100m", 1, 100),
            ("0.1m", 1, 1),
            ("1n", 1, 1),
            ("1.5", 2, 1500),
            ("1.5Gi", 1_610_612_736, 1_610_612_736_000),
            (".5k", 500, 500_000),
            ("5.", 5, 5000),
            ("1e3", 1000, 1_000_000),
            ("1E3", 1000, 1_000_000),
            ("1e-3", 1, 1),
            ("64Mi", 67_108_864, 67_108_864_000),
            ("2E", 2_000_000_000_000_000_000, u64::MAX),
            (" 64Mi\n", 67_108_864, 67_108_864_000),
            ("Mi", 0, 0),
            (".", 0, 0),
            ("-", 0, 0),
            ("1e-9223372036854775808", 1, 1),
        ] {
            let quantity = Quantity::parse(text).unwrap();
            assert_eq!(quantity.units(), units, "{text}");
            assert_eq!(quantity.millis(), millis, "{text}");
        }
        // 9Ei is more than 2^63-1.
        for text in ["9Ei", "10E", "1e400", "1E9223372036854775807", "99999999999999999999999999999999999999"] {
            assert_eq!(Quantity::parse(text).unwrap().units(), i64::MAX as u64, "{text}");
        }
        assert_eq!(Quantity::parse("7Ei").unwrap().units(), 7 << 60);
        assert!(Quantity::parse("-1").unwrap().is_negative());
    }

    #[test]
    fn is_stored_in_thousandths() {
        for (text, stored) in
            [("1.5", "1500m"), ("1u", "1m"), ("-1n", "-1m"), ("1000.0001", "1000001m"), ("2Ki", "2048")]
        {
            assert_eq!(Quantity::parse(text).unwrap().stored(), Quantity::parse(stored).unwrap(), "{text}");
        }
        let whole = |text: &str| Quantity::parse(text).unwrap().is_whole();
        assert!(whole("2") && whole("1.5k") && whole("1000m") && !whole("1.5") && !whole("1n"));
        let sum = |a: &str, b: &str| Quantity::parse(a).unwrap().plus(Quantity::parse(b).unwrap());
        assert_eq!(sum("500m", "1.5"), Quantity::parse("2").unwrap());
        assert_eq!(sum("9Ei", "9Ei"), Quantity::parse("9Ei").unwrap());
    }

    #[test]
    fn refuses_what_is_none() {
        for text in
            ["", " ", "1 Mi", "1mi", "1KI", "1kk", "1e", "1e+", "1.2.3", "1_0", "0x10", "١", "1e9223372036854775808"]
        {
            assert!(Quantity::parse(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn takes_any_text(text in "[-+0-9.eEinumkKMGTP]{0,40}|.{0,9}") {
            let _ = Quantity::parse(&text);
        }

        #[test]
        fn suffixes_multiply(n in 0u64..8000) {
            let units = |suffix: &str| Quantity::parse(&format!("{n}{suffix}")).unwrap().units();
            prop_assert_eq!(units("Ki"), n << 10);
            prop_assert_eq!(units("Pi"), n << 50);
            prop_assert_eq!(units("P"), n * 1_000_000_000_000_000);
            prop_assert_eq!(units("e15"), units("P"));
            prop_assert_eq!(units("m"), n.div_ceil(1000));
        }

        #[test]
        fn order_is_that_of_numbers(a in 0u64..1_000_000_000, b in 0u64..1_000_000_000, places in 0usize..9) {
            let read = |n: u64| {
                let (whole, fraction) = (n / 10u64.pow(places as u32), n % 10u64.pow(places as u32));
                Quantity::parse(&format!("{whole}.{fraction:0places$}Ki")).unwrap()
            };
            prop_assert_eq!(read(a).cmp(&read(b)), a.cmp(&b));
        }
    }
}

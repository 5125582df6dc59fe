//! The times of log entries: RFC 3339 in UTC with nine digits of a second, so that all have one width and sort as bytes.

use std::time::{Duration, SystemTime};

use crate::image::timestamp;

/// The width of a time, `2016-10-06T00:17:09.669794202Z`.
pub(super) const WIDTH: usize = 30;

/// Years outside 0001 to 9999 have no such form (RFC 3339, section 1).
const FIRST_SECOND: i64 = -62_135_596_800;
const LAST_SECOND: i64 = 253_402_300_799;

/// A time as log entries have it. The order of its bytes is the order of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp([u8; WIDTH]);

impl Stamp {
    /// Before every other.
    pub(super) const EARLIEST: Stamp = Stamp(*b"0000-00-00T00:00:00.000000000Z");

    /// The form of `time`; outside the years 1 to 9999 the nearest time that has one.
    pub fn of(time: SystemTime) -> Stamp {
        let (seconds, nanos) = since_epoch(time);
        let mut stamp = Stamp::of_second(seconds);
        stamp.set_nanos(nanos);
        stamp
    }

    /// Reads any RFC 3339 time: any zone, any number of digits after the second, of which nine count.
    pub fn parse(text: &str) -> Option<Stamp> {
        let mut stamp = Stamp::of_second(timestamp::parse(text)?);
        if let Some(fraction) = text.get(19..)?.strip_prefix('.') {
            let digits = fraction.len() - fraction.trim_start_matches(|c: char| c.is_ascii_digit()).len();
            if digits == 0 {
                return None;
            }
            let nine: String = fraction.chars().take(digits.min(9)).chain("000000000".chars()).take(9).collect();
            stamp.set_nanos(nine.parse().ok()?);
        }
        Some(stamp)
    }

    /// Reads the form that log entries have, and no other.
    pub(super) fn read(bytes: &[u8; WIDTH]) -> Option<Stamp> {
        const SHAPE: &[u8; WIDTH] = b"dddd-dd-ddTdd:dd:dd.dddddddddZ";
        let fits = |(byte, shape): (&u8, &u8)| if *shape == b'd' { byte.is_ascii_digit() } else { byte == shape };
        bytes.iter().zip(SHAPE).all(fits).then_some(Stamp(*bytes))
    }

    /// The form's bytes.
    pub(super) fn bytes(&self) -> &[u8; WIDTH] {
        &self.0
    }

    fn of_second(seconds: i64) -> Stamp {
        let text = timestamp::format(seconds.clamp(FIRST_SECOND, LAST_SECOND));
        let mut stamp = Stamp::EARLIEST;
        stamp.0.iter_mut().take(19).zip(text.bytes()).for_each(|(to, from)| *to = from);
        stamp
    }

    fn set_nanos(&mut self, nanos: u32) {
        let mut rest = nanos;
        for digit in self.0.iter_mut().skip(20).take(9).rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    }
}

/// The system's clock, which works out date and time only once for each second.
#[derive(Debug)]
pub(super) struct Clock {
    second: i64,
    stamp: Stamp,
}

impl Clock {
    pub(super) fn new() -> Clock {
        Clock { second: 0, stamp: Stamp::of_second(0) }
    }

    pub(super) fn now(&mut self) -> Stamp {
        let (second, nanos) = since_epoch(SystemTime::now());
        if second != self.second {
            *self = Clock { second, stamp: Stamp::of_second(second) };
        }
        self.stamp.set_nanos(nanos);
        self.stamp
    }
}

/// Whole seconds since 1970, rounded down, and the nanoseconds after them.
fn since_epoch(time: SystemTime) -> (i64, u32) {
    let whole = |d: Duration| i64::try_from(d.as_secs()).unwrap_or(i64::MAX);
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(after) => (whole(after), after.subsec_nanos()),
        Err(e) => match (whole(e.duration()), e.duration().subsec_nanos()) {
            (seconds, 0) => (-seconds, 0),
            (seconds, nanos) => (-seconds - 1, 1_000_000_000 - nanos),
        },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(stamp: Stamp) -> String {
        String::from_utf8(stamp.bytes().to_vec()).unwrap()
    }

    #[test]
    fn times_have_one_width() {
        let at = SystemTime::UNIX_EPOCH + Duration::new(1_475_713_029, 669_794_202);
        assert_eq!(text(Stamp::of(at)), "2016-10-06T00:17:09.669794202Z");
        let before = SystemTime::UNIX_EPOCH - Duration::from_nanos(1);
        assert_eq!(text(Stamp::of(before)), "1969-12-31T23:59:59.999999999Z");
    }

    #[test]
    fn times_of_people_are_read() {
        for (said, meant) in [
            ("2016-10-06T02:17:09+02:00", "2016-10-06T00:17:09.000000000Z"),
            ("2016-10-06T00:17:09.5Z", "2016-10-06T00:17:09.500000000Z"),
            ("2016-10-06T00:17:09.1234567899Z", "2016-10-06T00:17:09.123456789Z"),
        ] {
            assert_eq!(Stamp::parse(said).map(text).as_deref(), Some(meant), "{said}");
        }
        for bad in ["yesterday", "2016-10-06T00:17:09.Z", "2016-10-06T00:17:09"] {
            assert_eq!(Stamp::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn the_order_of_bytes_is_that_of_time(a in 0u64..1 << 62, b in 0u64..1 << 62) {
            let at = |nanos| SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos);
            prop_assert_eq!(Stamp::of(at(a)).cmp(&Stamp::of(at(b))), a.cmp(&b));
            prop_assert_eq!(Stamp::read(Stamp::of(at(a)).bytes()), Some(Stamp::of(at(a))));
            prop_assert_eq!(Stamp::parse(&text(Stamp::of(at(a)))), Some(Stamp::of(at(a))));
        }
    }
}

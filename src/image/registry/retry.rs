//! How often, and how long apart, something that may pass is tried again.

use std::time::{Duration, SystemTime};

use crate::error::Error;
use crate::image::timestamp;

/// How a request failed.
#[derive(Debug)]
pub enum Failure {
    /// Trying again would not help.
    Final(Error),
    /// It may pass; the server may have said when.
    Passing(Error, Option<Duration>),
}

impl From<Error> for Failure {
    fn from(e: Error) -> Failure {
        Failure::Final(e)
    }
}

/// The waits between attempts.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// How often something is tried before it is given up.
    pub attempts: u32,
    /// The wait after the first failure; each further one is twice as long.
    pub first_wait: Duration,
    /// The longest wait, whatever the server asks for.
    pub longest_wait: Duration,
}

impl Default for Patience {
    fn default() -> Patience {
        Patience { attempts: 5, first_wait: Duration::from_millis(500), longest_wait: Duration::from_secs(60) }
    }
}

impl Patience {
    /// How long to wait after failure number `failures`, counted from 1.
    pub fn wait(&self, failures: u32, asked: Option<Duration>) -> Duration {
        let doubled = self.first_wait.saturating_mul(1 << failures.saturating_sub(1).min(16));
        asked.unwrap_or_else(|| doubled.mul_f64(jitter())).min(self.longest_wait)
    }
}

/// Between 0.75 and 1.25, so that many clients of one server do not come back all at once.
fn jitter() -> f64 {
    let nanos = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.subsec_nanos());
    0.75 + f64::from(nanos % 1000) / 2000.0
}

/// Reads `Retry-After`: seconds, or a date (RFC 9110, 10.2.3).
pub fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(seconds) = value.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = http_date(value.trim())?;
    let now = now.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs().cast_signed();
    Some(Duration::from_secs(u64::try_from(at - now).unwrap_or(0)))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, in seconds since 1970.
fn http_date(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut words = text.split_once(", ")?.1.split(' ');
    let (day, month, year, time) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    timestamp::parse(&format!("{year}-{month:02}-{day}T{time}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_asks_for_is_read_and_bounded() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777 - 30);
        for (text, seconds) in [
            ("120", Some(120)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(30)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            assert_eq!(retry_after(text, now).map(|d| d.as_secs()), seconds, "{text}");
        }
        let patience = Patience::default();
        assert_eq!(patience.wait(1, Some(Duration::from_secs(9000))), Duration::from_secs(60));
        assert!(patience.wait(1, None) < Duration::from_secs(1));
        assert!(patience.wait(4, None) > Duration::from_secs(2));
        assert_eq!(patience.wait(40, None), Duration::from_secs(60));
    }
}

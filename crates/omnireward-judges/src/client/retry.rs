use std::time::{Duration, SystemTime};

use rand::RngExt;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};

/// How long to wait before asking again when the server does not say.
///
/// Before retry number `n` (from 0) the wait is drawn evenly between nothing and
/// `min(cap, first × 2ⁿ)`, so that requests that failed together do not come back together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The longest wait before the first retry.
    pub first: Duration,
    /// The longest wait before any retry.
    pub cap: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(500),
            cap: Duration::from_secs(30),
        }
    }
}

impl Backoff {
    /// The longest wait before retry `retry`, counted from 0.
    pub fn ceiling(&self, retry: u32) -> Duration {
        self.first
            .saturating_mul(2_u32.saturating_pow(retry))
            .min(self.cap)
    }

    pub(crate) fn draw(&self, retry: u32) -> Duration {
        self.ceiling(retry).mul_f64(rand::rng().random::<f64>())
    }
}

/// A wait that the server asked for, made up to a tenth longer at random so that several clients
/// that were told the same do not return in the same instant.
pub(crate) fn spread(asked: Duration) -> Duration {
    asked.mul_f64(1.0 + 0.1 * rand::rng().random::<f64>())
}

/// The wait that a response asks for: `retry-after-ms`, or `Retry-After` in seconds or as a date.
///
/// A date is read against the server's own `Date` where it gives one, because clocks differ.
pub(crate) fn requested_wait(headers: &HeaderMap) -> Option<Duration> {
    if let Some(milliseconds) = number(headers, "retry-after-ms") {
        return Duration::try_from_secs_f64(milliseconds / 1000.0).ok();
    }
    if let Some(seconds) = number(headers, RETRY_AFTER.as_str()) {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    let until = date(headers, RETRY_AFTER.as_str())?;
    let now = date(headers, DATE.as_str()).unwrap_or_else(SystemTime::now);
    Some(until.duration_since(now).unwrap_or_default())
}

fn number(headers: &HeaderMap, name: &str) -> Option<f64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

fn date(headers: &HeaderMap, name: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?.trim()).ok()
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderName;

    use super::*;

    fn wait(headers: &[(&'static str, &str)]) -> Option<Duration> {
        let map = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
            .collect();
        requested_wait(&map)
    }

    #[test]
    fn every_form_of_the_header_is_read() {
        let date = ("date", "Wed, 21 Oct 2015 07:28:00 GMT");
        for (headers, expected) in [
            (vec![("retry-after", "3")], Some(3000)),
            (vec![("retry-after", " 0.25 ")], Some(250)),
            (
                vec![("retry-after-ms", "40"), ("retry-after", "3")],
                Some(40),
            ),
            (
                vec![date, ("retry-after", "Wed, 21 Oct 2015 07:28:05 GMT")],
                Some(5000),
            ),
            (
                vec![date, ("retry-after", "Wed, 21 Oct 2015 07:00:00 GMT")],
                Some(0),
            ),
            (vec![("retry-after", "-1")], None),
            (vec![("retry-after", "NaN")], None),
            (vec![("retry-after", "soon")], None),
            (vec![], None),
        ] {
            assert_eq!(
                wait(&headers),
                expected.map(Duration::from_millis),
                "{headers:?}"
            );
        }
    }

    #[test]
    fn a_date_without_the_servers_clock_is_read_against_ours() {
        let until = SystemTime::now() + Duration::from_secs(100);
        let asked = wait(&[("retry-after", &httpdate::fmt_http_date(until))]).unwrap();
        assert!((98..=100).contains(&asked.as_secs()), "{asked:?}");
    }

    #[test]
    fn backoff_doubles_up_to_its_cap_and_is_jittered() {
        let backoff = Backoff {
            first: Duration::from_secs(1),
            cap: Duration::from_secs(10),
        };
        let ceilings: Vec<_> = (0..6).map(|n| backoff.ceiling(n).as_secs()).collect();
        assert_eq!(ceilings, [1, 2, 4, 8, 10, 10]);
        assert_eq!(backoff.ceiling(4_000_000).as_secs(), 10);

        let draws: Vec<_> = (0..1000).map(|_| backoff.draw(2).as_secs_f64()).collect();
        assert!(draws.iter().all(|wait| (0.0..4.0).contains(wait)));
        let mean = draws.iter().sum::<f64>() / 1000.0;
        assert!((1.7..2.3).contains(&mean), "{mean}");
    }

    #[test]
    fn an_asked_wait_is_never_shortened() {
        for _ in 0..1000 {
            let wait = spread(Duration::from_secs(1)).as_secs_f64();
            assert!((1.0..=1.1).contains(&wait), "{wait}");
        }
    }
}

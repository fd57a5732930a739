//! The rate limit: a number of requests within a sliding window.

use std::collections::VecDeque;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The service's limit, in requests per hour and token.
const USUAL_REQUESTS_PER_HOUR: u64 = 5000;

/// A limit to enforce. Read it from a text such as `250/minute` with [`str::parse`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests within the window; at least one.
    pub requests: u64,
    /// The length of the window.
    pub window: Duration,
}

/// Why a text is not a [`RateLimit`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a rate limit: write a number of requests from 1 on, and how often: 5000/hour, 250/minute, 10/second"
)]
pub struct ParseRateLimitError(String);

impl FromStr for RateLimit {
    type Err = ParseRateLimitError;

    fn from_str(text: &str) -> Result<Self, ParseRateLimitError> {
        let (requests, window) = text.split_once('/').unwrap_or((text, "hour"));
        let seconds = match window {
            "hour" | "h" => Some(3600),
            "minute" | "m" => Some(60),
            "second" | "s" => Some(1),
            _ => None,
        };
        match (requests.parse(), seconds) {
            (Ok(requests), Some(seconds)) if requests > 0 => {
                Ok(Self { requests, window: Duration::from_secs(seconds) })
            }
            _ => Err(ParseRateLimitError(text.to_owned())),
        }
    }
}

/// What a response tells about the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RateLimitStatus {
    pub(crate) limit: u64,
    pub(crate) remaining: u64,
    /// Until the oldest request leaves the window.
    pub(crate) reset: Duration,
    /// How long to wait, if this request is refused.
    pub(crate) refused: Option<Duration>,
}

/// Counts requests. Without a limit to enforce it only reports the service's.
#[derive(Debug)]
pub(crate) struct RateLimiter {
    limit: RateLimit,
    is_enforced: bool,
    counted: Mutex<VecDeque<Instant>>,
}

impl RateLimiter {
    pub(crate) fn new(limit: Option<RateLimit>) -> Self {
        let reported = RateLimit { requests: USUAL_REQUESTS_PER_HOUR, window: Duration::from_secs(3600) };
        Self { limit: limit.unwrap_or(reported), is_enforced: limit.is_some(), counted: Mutex::default() }
    }

    /// Counts a request that arrives now. A refused request does not count.
    pub(crate) fn count_request(&self, now: Instant) -> RateLimitStatus {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        while counted.front().is_some_and(|at| now.saturating_duration_since(*at) >= self.limit.window) {
            counted.pop_front();
        }
        let used = counted.len() as u64;
        let is_exceeded = used >= self.limit.requests;
        // Without enforcement the queue needs no more than the limit.
        if !is_exceeded {
            counted.push_back(now);
        }
        let oldest = counted.front().copied().unwrap_or(now);
        let reset = (oldest + self.limit.window).saturating_duration_since(now);
        RateLimitStatus {
            limit: self.limit.requests,
            remaining: self.limit.requests.saturating_sub(used + 1),
            reset,
            refused: (self.is_enforced && is_exceeded).then_some(reset),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_with_their_window() {
        let limit = |requests, seconds| Ok(RateLimit { requests, window: Duration::from_secs(seconds) });
        assert_eq!("5000".parse(), limit(5000, 3600));
        assert_eq!("250/minute".parse(), limit(250, 60));
        assert_eq!("3/s".parse(), limit(3, 1));
        for bad in ["", "0", "-1/hour", "5/day", "5/", "many"] {
            assert_eq!(bad.parse::<RateLimit>(), Err(ParseRateLimitError(bad.to_owned())), "{bad}");
        }
    }

    #[test]
    fn the_window_slides() {
        let limiter = RateLimiter::new(Some("2/s".parse().unwrap()));
        let start = Instant::now();
        let at = |ms| limiter.count_request(start + Duration::from_millis(ms));
        assert_eq!((at(0).remaining, at(300).remaining), (1, 0));
        assert_eq!(at(400).refused, Some(Duration::from_millis(600)));
        assert_eq!(at(999).refused, Some(Duration::from_millis(1)), "the third within a second");
        assert_eq!(at(1000).refused, None);
        assert_eq!(at(1100).refused, Some(Duration::from_millis(200)));
        let reporting = RateLimiter::new(None);
        assert!((0..6000).all(|_| reporting.count_request(start).refused.is_none()));
        assert_eq!(reporting.count_request(start).remaining, 0);
    }
}

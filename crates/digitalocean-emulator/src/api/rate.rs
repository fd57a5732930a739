//! The rate limit: so many requests within an hour (or a minute, or a second), as a window that moves with time.

use std::collections::VecDeque;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The service's limit, in requests an hour and token.
const USUAL: u64 = 5000;

/// A limit that is enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests within the window; at least one.
    pub requests: u64,
    /// How long the window is.
    pub window: Duration,
}

/// A text that is no limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no limit: write a number of requests from 1 on, and how often: 5000/hour, 250/minute, 10/second")]
pub struct BadLimit(String);

impl FromStr for RateLimit {
    type Err = BadLimit;

    fn from_str(text: &str) -> Result<Self, BadLimit> {
        let bad = || BadLimit(text.to_owned());
        let (requests, window) = text.split_once('/').unwrap_or((text, "hour"));
        let seconds = match window {
            "hour" | "h" => 3600,
            "minute" | "m" => 60,
            "second" | "s" => 1,
            _ => return Err(bad()),
        };
        let requests = requests.parse().ok().filter(|requests| *requests > 0).ok_or_else(bad)?;
        Ok(Self { requests, window: Duration::from_secs(seconds) })
    }
}

/// What a request is told of the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) limit: u64,
    pub(super) remaining: u64,
    /// Until the oldest request leaves the window.
    pub(super) reset: Duration,
    /// How long to wait, when this request is refused.
    pub(super) refused: Option<Duration>,
}

/// Counts requests; without a limit it only reports the service's.
#[derive(Debug)]
pub(super) struct Meter {
    limit: RateLimit,
    enforced: bool,
    taken: Mutex<VecDeque<Instant>>,
}

impl Meter {
    pub(super) fn new(limit: Option<RateLimit>) -> Self {
        let reported = RateLimit { requests: USUAL, window: Duration::from_secs(3600) };
        Self { limit: limit.unwrap_or(reported), enforced: limit.is_some(), taken: Mutex::default() }
    }

    /// Counts a request that comes in now. A request that is refused does not count.
    pub(super) fn take(&self, now: Instant) -> Standing {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        while taken.front().is_some_and(|at| now.saturating_duration_since(*at) >= self.limit.window) {
            taken.pop_front();
        }
        let until_oldest_leaves = |taken: &VecDeque<Instant>| {
            let oldest = taken.front().copied().unwrap_or(now);
            (oldest + self.limit.window).saturating_duration_since(now)
        };
        let used = taken.len() as u64;
        if self.enforced && used >= self.limit.requests {
            let reset = until_oldest_leaves(&taken);
            return Standing { limit: self.limit.requests, remaining: 0, reset, refused: Some(reset) };
        }
        // Unenforced, nobody needs more than this.
        if used < self.limit.requests {
            taken.push_back(now);
        }
        let remaining = self.limit.requests.saturating_sub(used + 1);
        Standing { limit: self.limit.requests, remaining, reset: until_oldest_leaves(&taken), refused: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_written() {
        let limit = |requests, seconds| Ok(RateLimit { requests, window: Duration::from_secs(seconds) });
        assert_eq!("5000".parse(), limit(5000, 3600));
        assert_eq!("250/minute".parse(), limit(250, 60));
        assert_eq!("3/s".parse(), limit(3, 1));
        for bad in ["", "0", "-1/hour", "5/day", "5/", "many"] {
            assert_eq!(bad.parse::<RateLimit>(), Err(BadLimit(bad.to_owned())), "{bad}");
        }
    }

    #[test]
    fn the_window_moves() {
        let meter = Meter::new(Some("2/s".parse().unwrap()));
        let start = Instant::now();
        let at = |ms| meter.take(start + Duration::from_millis(ms));
        assert_eq!((at(0).remaining, at(300).remaining), (1, 0));
        assert_eq!(at(999).refused, Some(Duration::from_millis(1)), "the third within a second");
        assert_eq!(at(400).refused, Some(Duration::from_millis(600)));
        assert_eq!(at(1000).refused, None);
        assert_eq!(at(1100).refused, Some(Duration::from_millis(200)));
        let reported = Meter::new(None);
        assert!((0..6000).all(|_| reported.take(start).refused.is_none()));
    }
}

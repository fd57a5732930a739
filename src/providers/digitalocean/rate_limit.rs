//! One rate limit for all requests of a process to an API.
//!
//! DigitalOcean counts requests by account: 5,000 an hour and 250 a minute. Beyond that it refuses all requests with any
//! token of the account. So reads are delayed before that happens:
//!
//! - by the minute: [`BURST`] at once, then [`PER_SECOND`], which stays below 250 in any minute (not for an API on this
//!   machine);
//! - by the hour: once `ratelimit-remaining` is below a tenth of `ratelimit-limit`, reads are spaced out, further apart the
//!   less remains, up to [`MAX_SPACE`]. Requests of other processes count there, too;
//! - after a 429 nothing is sent until `retry-after` is over.
//!
//! The first two do not delay requests that change something: a droplet that is not destroyed costs more than a request.

use std::sync::Mutex;
use std::time::Duration;

use reqwest::header::HeaderMap;
use tokio::time::Instant;

/// Requests that may be sent at once.
const BURST: f64 = 70.0;
/// Requests a second after that: 70 + 60 · 3 = 250.
const PER_SECOND: f64 = 3.0;
/// The longest interval between two reads, when almost no request of the hour remains.
const MAX_SPACE: Duration = Duration::from_secs(5);
/// Reads are spaced out when less than this part of the limit remains.
const LOW: f64 = 0.1;

/// The rate limit of a client.
#[derive(Debug)]
pub(super) struct RateLimit {
    by_minute: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// How many requests may be sent at once; below zero after changes that were not delayed.
    tokens: f64,
    filled: Instant,
    /// The interval between two reads.
    space: Duration,
    /// When the next read may be sent.
    next_read: Instant,
    /// Until when nothing may be sent.
    closed: Instant,
}

impl RateLimit {
    /// `by_minute`: whether to limit requests by the minute, before the API reports anything.
    pub(super) fn new(by_minute: bool) -> Self {
        let now = Instant::now();
        let state = State { tokens: BURST, filled: now, space: Duration::ZERO, next_read: now, closed: now };
        Self { by_minute, state: Mutex::new(state) }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Waits until a request may be sent; returns how long it waited.
    pub(super) async fn admit(&self, read: bool) -> Duration {
        let wait = self.reserve(read, Instant::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        wait
    }

    /// Reserves a request; returns how long to wait for it.
    fn reserve(&self, read: bool, now: Instant) -> Duration {
        let mut state = self.state();
        let state = &mut *state;
        let passed = now.saturating_duration_since(state.filled).as_secs_f64();
        state.tokens = (state.tokens + passed * PER_SECOND).min(BURST);
        state.filled = now;
        state.tokens -= 1.0;
        let mut at = now.max(state.closed);
        if read {
            if self.by_minute && state.tokens < 0.0 {
                at = at.max(now + Duration::from_secs_f64(-state.tokens / PER_SECOND));
            }
            at = at.max(state.next_read);
            state.next_read = at + state.space;
        }
        at.saturating_duration_since(now)
    }

    /// Adapts to the headers of an answer.
    pub(super) fn update(&self, headers: &HeaderMap, refused_for: Option<Duration>) {
        let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<u32>().ok();
        let mut state = self.state();
        if let (Some(limit), Some(remaining)) = (number("ratelimit-limit"), number("ratelimit-remaining")) {
            state.space = space(limit, remaining);
        }
        if let Some(pause) = refused_for {
            state.closed = state.closed.max(Instant::now() + pause);
        }
    }
}

fn space(limit: u32, remaining: u32) -> Duration {
    let low = f64::from(limit) * LOW;
    if low < 1.0 || f64::from(remaining) >= low {
        return Duration::ZERO;
    }
    MAX_SPACE.mul_f64(1.0 - f64::from(remaining) / low)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(limit: u32, remaining: u32) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert("ratelimit-limit", limit.into());
        headers.insert("ratelimit-remaining", remaining.into());
        headers
    }

    #[tokio::test(start_paused = true)]
    async fn no_minute_has_more_than_250_reads() {
        let budget = RateLimit::new(true);
        let start = Instant::now();
        let mut sent = Vec::new();
        for _ in 0..600 {
            budget.admit(true).await;
            sent.push(start.elapsed());
        }
        for from in &sent {
            let minute = sent.iter().filter(|at| *at >= from && **at < *from + Duration::from_secs(60)).count();
            assert!(minute <= 251, "{minute} from {from:?}");
        }
        assert!(start.elapsed() < Duration::from_secs(180), "and no fewer than it may be: {:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn several_share_one_budget() {
        let budget = RateLimit::new(true);
        let start = Instant::now();
        let reads = async || {
            for _ in 0..100 {
                budget.admit(true).await;
            }
        };
        tokio::join!(reads(), reads(), reads());
        let spent = start.elapsed().as_secs_f64();
        assert!((spent - 230.0 / 3.0).abs() < 1.0, "{spent}");
        assert!(budget.reserve(false, Instant::now()).is_zero(), "a change does not wait");
    }

    #[tokio::test(start_paused = true)]
    async fn few_remaining_requests_are_spaced_out_and_a_429_delays_all() {
        let budget = RateLimit::new(false);
        for _ in 0..1_000 {
            assert!(budget.admit(true).await.is_zero(), "an API on this machine has no minute");
        }
        budget.update(&headers(5_000, 500), None);
        assert!(budget.admit(true).await.is_zero());
        budget.update(&headers(5_000, 250), None);
        budget.admit(true).await;
        assert_eq!(budget.admit(true).await, Duration::from_millis(2_500));
        budget.update(&headers(5_000, 0), None);
        budget.admit(true).await;
        assert_eq!(budget.admit(true).await, Duration::from_secs(5));
        assert!(budget.admit(false).await.is_zero(), "what changes something goes ahead");
        budget.update(&headers(5_000, 4_000), Some(Duration::from_secs(30)));
        assert_eq!(budget.admit(false).await, Duration::from_secs(30), "nothing goes before retry-after is over");
        assert!(budget.admit(true).await <= Duration::from_secs(5));
        assert!(budget.admit(true).await.is_zero());
        // Headers that make no sense change nothing.
        budget.update(&headers(0, 0), None);
        assert!(budget.admit(true).await.is_zero());
    }
}

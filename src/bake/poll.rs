//! Waiting. Everything that a bake waits for goes through one loop, [`Poller::poll_until`]: a deadline, intervals that
//! grow up to `poll_interval`, an outage budget, and an end when the user interrupts.
//!
//! The deadline is for what the provider itself needs. Whether it is working cannot be known while it gives no usable
//! answer (no connection, no answer, 5xx, 429, an answer that cannot be read), so an outage has a budget of its own, and
//! a much shorter one:
//!
//! - On the way forward each wait has the whole budget, and one usable answer restores it.
//! - While cleaning up all waits share one budget. After that each resource is tried once more, and named if it cannot be
//!   seen to be gone.
//! - `mkimg gc` may have hundreds of resources to delete: see `orphans`.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::outcome::{Failure, FailureKind, Stop};
use super::ports::{Clock, ProviderError, ProviderErrorKind};
use super::spec::{LimitKind, Stage};

/// How long a 404 or a missing list entry may be the fault of an eventually consistent list.
pub(super) const LIST_LAG: Duration = Duration::from_secs(10);
/// One failed attempt counts for no more than this: a laptop that slept between two attempts was not waiting.
const MAX_OUTAGE_STEP: Duration = Duration::from_secs(45);
/// The first interval.
const FIRST_INTERVAL: Duration = Duration::from_millis(30);
/// Each interval is longer than the one before by this part of it.
const GROWTH_DIVISOR: u32 = 24;

/// Intervals between attempts: they grow with the wait, up to a maximum. So a result is seen late only by a small part of
/// the time that it took: three waits of 5, 3 and 10 seconds are seen 0.4 seconds late together, after some 150 attempts.
#[derive(Debug)]
struct Backoff {
    next: Duration,
    max: Duration,
}

impl Backoff {
    fn new(max: Duration) -> Self {
        Self { next: FIRST_INTERVAL.min(max), max }
    }

    fn next_interval(&mut self) -> Duration {
        let interval = self.next;
        self.next = (interval + interval / GROWTH_DIVISOR).min(self.max);
        interval
    }
}

/// An attempt to see what is awaited.
#[derive(Debug)]
pub(super) struct Attempt {
    /// 1 for the first one.
    pub(super) number: u32,
    /// When the wait began.
    pub(super) start: Duration,
    /// When this attempt began.
    pub(super) began: Duration,
    /// When the time until the deadline began. An attempt may move it.
    pub(super) deadline_start: Duration,
}

impl Attempt {
    /// How long the wait had taken when this attempt began.
    pub(super) fn elapsed(&self) -> Duration {
        self.began.saturating_sub(self.start)
    }
}

/// What an attempt saw.
#[derive(Debug)]
pub(super) enum Poll<T> {
    /// What was awaited.
    Ready(T),
    /// A usable answer, and not yet what is awaited; the text says what a timeout should mention.
    Pending(Option<String>),
    /// No usable answer: it counts against the outage budget.
    Outage(ProviderError),
}

/// Why a wait ended without what was awaited.
#[derive(Debug)]
pub(super) enum PollEnd {
    Interrupted,
    /// The outage budget is spent.
    Unavailable {
        budget: Duration,
        last: Box<ProviderError>,
    },
    TimedOut {
        /// What the last attempt saw.
        last: Option<String>,
    },
}

/// Polls at the pace of one bake or one command.
#[derive(Clone)]
pub(super) struct Poller<'p> {
    pub(super) clock: &'p dyn Clock,
    /// The longest interval between two attempts.
    pub(super) interval: Duration,
    /// How often the user has asked to stop, and how often is enough.
    pub(super) stops: Option<(watch::Receiver<u32>, u32)>,
    pub(super) outage_budget: Duration,
    /// The outage of a whole clean-up.
    pub(super) shared_outage: Option<Arc<SharedOutage>>,
}

impl Poller<'_> {
    /// Attempts until something is ready. `end` makes the error of a wait that ends without it.
    ///
    /// An attempt that began before the deadline is never the last one, however long it took. If
    /// the process was suspended (the laptop slept), its outdated result must not end the wait.
    pub(super) async fn poll_until<T, E>(
        &self,
        limit: Duration,
        end: impl Fn(PollEnd) -> E,
        mut attempt: impl AsyncFnMut(&mut Attempt) -> Result<Poll<T>, E>,
    ) -> Result<T, E> {
        let start = self.clock.now();
        let mut current = Attempt { number: 0, start, began: start, deadline_start: start };
        let mut backoff = Backoff::new(self.interval);
        let mut outage = Outage::default();
        loop {
            current.began = self.clock.now();
            current.number = current.number.saturating_add(1);
            let last = match attempt(&mut current).await? {
                Poll::Ready(value) => return Ok(value),
                Poll::Pending(last) => {
                    outage.reset();
                    last
                }
                Poll::Outage(error) => {
                    self.count_outage(&mut outage, current.began, &error).map_err(&end)?;
                    Some(error.to_string())
                }
            };
            let spent = current.began.saturating_sub(current.deadline_start);
            if spent >= limit {
                return Err(end(PollEnd::TimedOut { last }));
            }
            let until_deadline = limit.saturating_sub(spent).max(Duration::from_millis(1));
            let sleep = self.clock.sleep(backoff.next_interval().min(until_deadline));
            self.unless_stopped(sleep).await.map_err(&end)?;
        }
    }

    /// Counts an attempt that began at `began`; fails when the budget is spent.
    pub(super) fn count_outage(
        &self,
        outage: &mut Outage,
        began: Duration,
        error: &ProviderError,
    ) -> Result<(), PollEnd> {
        let budget = self.outage_budget;
        let step = outage.count(began, self.clock.now(), error, budget);
        let total = self.shared_outage.as_ref().map_or(outage.total, |shared| shared.add(step));
        if total < budget { Ok(()) } else { Err(PollEnd::Unavailable { budget, last: Box::new(error.clone()) }) }
    }

    /// Drops the work when the user interrupts.
    pub(super) async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T, PollEnd> {
        let Some((stops, threshold)) = &self.stops else { return Ok(work.await) };
        unless_stopped(stops.clone(), *threshold, work).await.ok_or(PollEnd::Interrupted)
    }
}

/// Does the work; `None` as soon as the user has asked to stop `threshold` times.
pub(super) async fn unless_stopped<T>(
    mut stops: watch::Receiver<u32>,
    threshold: u32,
    work: impl Future<Output = T>,
) -> Option<T> {
    let stopped = async {
        if stops.wait_for(|count| *count >= threshold).await.is_err() {
            // The sender is gone, so no request to stop can arrive.
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        biased;
        () = stopped => None,
        value = work => Some(value),
    }
}

/// What a bake waits for, and how long.
#[derive(Debug, Clone)]
pub(super) struct Wait {
    pub(super) stage: Stage,
    pub(super) what: String,
    pub(super) kind: LimitKind,
    pub(super) limit: Duration,
}

impl Wait {
    /// The failure of a wait whose deadline has passed.
    pub(super) fn timeout(&self, last: Option<String>) -> Stop {
        let Self { stage, what, kind, limit } = self.clone();
        Stop::failed(stage, FailureKind::Timeout { what, kind, limit, last, log: None })
    }

    fn stop(&self, end: PollEnd) -> Stop {
        match end {
            PollEnd::Interrupted => Stop::Interrupted,
            PollEnd::TimedOut { last } => self.timeout(last),
            PollEnd::Unavailable { budget, last } => {
                Stop::failed(self.stage, FailureKind::Unavailable { what: self.what.clone(), budget, last })
            }
        }
    }
}

/// A [`Poller`] that waits for one thing.
pub(super) struct WaitPoller<'p> {
    pub(super) poller: Poller<'p>,
    pub(super) wait: Wait,
}

impl WaitPoller<'_> {
    /// See [`Poller::poll_until`].
    pub(super) async fn poll_until<T>(
        &self,
        attempt: impl AsyncFnMut(&mut Attempt) -> Result<Poll<T>, Stop>,
    ) -> Result<T, Stop> {
        self.poller.poll_until(self.wait.limit, |end| self.wait.stop(end), attempt).await
    }

    /// Polls the provider until a lookup returns a value. Waits out transient failures, and a 404
    /// for as long as lists may lag.
    pub(super) async fn look_until<T>(
        &self,
        mut look: impl AsyncFnMut() -> Result<Option<T>, ProviderError>,
    ) -> Result<T, Stop> {
        let mut missing_since = None;
        self.poll_until(async |attempt| {
            let looked = self.poller.unless_stopped(look()).await.map_err(|end| self.wait.stop(end))?;
            match looked {
                Ok(Some(seen)) => Ok(Poll::Ready(seen)),
                Ok(None) => {
                    missing_since = None;
                    Ok(Poll::Pending(None))
                }
                Err(error) if error.is_transient() => Ok(Poll::Outage(error)),
                Err(error) if error.kind == ProviderErrorKind::NotFound => {
                    let since = *missing_since.get_or_insert(attempt.began);
                    if attempt.began.saturating_sub(since) >= LIST_LAG {
                        return Err(Stop::Failed(Failure::provider(self.wait.stage, error)));
                    }
                    Ok(Poll::Pending(Some(error.to_string())))
                }
                Err(error) => Err(Stop::Failed(Failure::provider(self.wait.stage, error))),
            }
        })
        .await
    }

    /// Counts an attempt outside of [`Self::poll_until`].
    pub(super) fn count_outage(&self, outage: &mut Outage, began: Duration, error: &ProviderError) -> Result<(), Stop> {
        self.poller.count_outage(outage, began, error).map_err(|end| self.wait.stop(end))
    }
}

/// How long a service has given no usable answer.
#[derive(Debug, Default)]
pub(super) struct Outage {
    pub(super) total: Duration,
    /// Up to when it is counted; in the future where the service said how long to wait.
    counted_until: Option<Duration>,
}

impl Outage {
    /// There was a usable answer.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Counts an attempt that took from `began` to `now`; returns what it adds.
    pub(super) fn count(
        &mut self,
        began: Duration,
        now: Duration,
        error: &ProviderError,
        budget: Duration,
    ) -> Duration {
        // One sleep must not use up a short budget.
        self.add(began, now, error.retry_after.unwrap_or_default(), MAX_OUTAGE_STEP.min(budget / 2))
    }

    fn add(&mut self, began: Duration, now: Duration, retry_after: Duration, max: Duration) -> Duration {
        let step = now.saturating_sub(self.counted_until.unwrap_or(began)).min(max);
        self.counted_until = Some(now + retry_after);
        self.total += step;
        step
    }
}

/// The outage of all waits of a clean-up together.
#[derive(Debug, Default)]
pub(super) struct SharedOutage(Mutex<Duration>);

impl SharedOutage {
    fn add(&self, step: Duration) -> Duration {
        let mut total = self.total();
        *total += step;
        *total
    }

    pub(super) fn is_over(&self, budget: Duration) -> bool {
        *self.total() >= budget
    }

    fn total(&self) -> MutexGuard<'_, Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_counts_from_its_start_and_a_long_sleep_counts_little() {
        let seconds = Duration::from_secs;
        let mut outage = Outage::default();
        let mut add =
            |began, now, retry_after| outage.add(seconds(began), seconds(now), seconds(retry_after), MAX_OUTAGE_STEP);
        assert_eq!(add(100, 110, 0), seconds(10), "the attempt itself");
        assert_eq!(add(112, 115, 0), seconds(5), "and the interval before it");
        assert_eq!(add(4_000, 4_001, 0), MAX_OUTAGE_STEP, "asleep for an hour");
        assert_eq!(add(4_002, 4_003, 60), seconds(2));
        assert_eq!(add(4_010, 4_011, 0), Duration::ZERO, "inside retry-after");
        assert_eq!(outage.total, seconds(17) + MAX_OUTAGE_STEP);
        outage.reset();
        assert_eq!(outage.total, Duration::ZERO);
    }
}

//! How long a service is waited for that says nothing of use: no connection, no answer, one that cannot be read, 5xx, 429.
//!
//! The limit of a stage is for what the provider itself takes. Whether it is at work cannot be known while nothing is
//! heard, so that has a bound of its own, and a much shorter one (`--timeout-unreachable`). On the way forward each wait
//! counts for itself, and one good answer ends its count. While cleaning up all waits have this time together; after that
//! each thing is tried once more, and named if it cannot be seen to be gone.
//!
//! What has no machine (`mkimg gc`, which may have hundreds of things to ask for) has a [`Patience`]: one good answer ends
//! its count, and when it is over, nothing more is asked for.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::ports::{Clock, ProviderError, ProviderErrorKind};

/// One look counts for no more than this: a laptop that slept between two looks has not listened all that time.
const LONGEST_STEP: Duration = Duration::from_secs(45);

/// What was listened for in vain.
#[derive(Debug, Default)]
pub(super) struct Silence {
    spent: Duration,
    /// Up to when it is counted; in the future where the service said how long to wait.
    until: Option<Duration>,
}

/// What all waits of a clean-up have listened for in vain.
#[derive(Debug, Default)]
pub(super) struct Spent(Mutex<Duration>);

impl Spent {
    /// Adds what was listened for in vain; gives all of it.
    pub(super) fn add(&self, step: Duration) -> Duration {
        let mut all = self.all();
        *all += step;
        *all
    }

    /// Whether it is as much as may be.
    pub(super) fn is_over(&self, limit: Duration) -> bool {
        *self.all() >= limit
    }

    fn all(&self) -> MutexGuard<'_, Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Silence {
    /// Something was heard: counted from nothing again.
    pub(super) fn heard(&mut self) {
        *self = Self::default();
    }

    /// Nothing was, by a look that took from `began` to `now`; gives what is new.
    pub(super) fn missed(
        &mut self,
        began: Duration,
        now: Duration,
        error: &ProviderError,
        limit: Duration,
    ) -> Duration {
        let asked_to_wait = Duration::from_secs(error.retry_after.unwrap_or_default().into());
        self.count(began, now, asked_to_wait, longest_step(limit))
    }

    /// What was listened for in vain since something was heard.
    pub(super) fn spent(&self) -> Duration {
        self.spent
    }

    fn count(&mut self, began: Duration, now: Duration, asked_to_wait: Duration, most: Duration) -> Duration {
        let step = now.saturating_sub(self.until.unwrap_or(began)).min(most);
        self.until = Some(now + asked_to_wait);
        self.spent += step;
        step
    }
}

/// No sleep is the whole of a short limit either.
fn longest_step(limit: Duration) -> Duration {
    LONGEST_STEP.min(limit / 2)
}

/// As on the command line.
pub(super) fn written(limit: Duration) -> String {
    humantime::format_duration(limit).to_string().replace(' ', "")
}

/// Nothing of use was heard of the API for too long.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the API gave no usable answer for {limit}; last: {last}")]
pub struct Unheard {
    /// The limit, as it is written on the command line.
    pub limit: String,
    /// The last answer.
    pub last: Box<ProviderError>,
}

/// How long a whole command goes on with a service that says nothing of use.
pub struct Patience<'c> {
    clock: &'c dyn Clock,
    limit: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    looks: Silence,
    /// Requests that change something may be lost where looks are answered.
    requests: Silence,
    over: Option<Unheard>,
}

impl<'c> Patience<'c> {
    /// `limit`: as with `--timeout-unreachable`.
    pub fn new(clock: &'c dyn Clock, limit: Duration) -> Self {
        Self { clock, limit, state: Mutex::default() }
    }

    /// What measures it.
    pub(super) fn clock(&self) -> &'c dyn Clock {
        self.clock
    }

    /// Why nothing more is asked for, once it is so.
    pub fn over(&self) -> Option<Unheard> {
        self.state().over.clone()
    }

    /// Counts a look that began at `began`. What may go away by itself is no news of the service, but for an event that
    /// holds something; every other answer is. Fails when there was none for too long.
    pub(super) fn count(&self, began: Duration, failed: Option<&ProviderError>) -> Result<(), Unheard> {
        let state = &mut *self.state();
        self.counted(&mut state.looks, began, failed).inspect_err(|unheard| state.over = Some(unheard.clone()))
    }

    /// Counts a request that changes something, in the same way. Those of all things count together: where none was
    /// answered for too long, each further thing is asked for once.
    pub(super) fn count_request(&self, began: Duration, failed: Option<&ProviderError>) -> Result<(), Unheard> {
        self.counted(&mut self.state().requests, began, failed)
    }

    fn counted(&self, silence: &mut Silence, began: Duration, failed: Option<&ProviderError>) -> Result<(), Unheard> {
        let nothing_said = |error: &&ProviderError| error.is_transient() && error.kind != ProviderErrorKind::Pending;
        let Some(error) = failed.filter(nothing_said) else {
            silence.heard();
            return Ok(());
        };
        silence.missed(began, self.clock.now(), error, self.limit);
        if silence.spent() < self.limit {
            return Ok(());
        }
        Err(Unheard { limit: written(self.limit), last: Box::new(error.clone()) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_counts_from_its_beginning_and_a_long_sleep_for_little() {
        let seconds = Duration::from_secs;
        let mut silence = Silence::default();
        let mut missed = |began, now, asked| silence.count(seconds(began), seconds(now), seconds(asked), LONGEST_STEP);
        assert_eq!(missed(100, 110, 0), seconds(10), "the look itself");
        assert_eq!(missed(112, 115, 0), seconds(5), "and the pause before it");
        assert_eq!(missed(4_000, 4_001, 0), LONGEST_STEP, "asleep for an hour");
        assert_eq!(missed(4_002, 4_003, 60), seconds(2));
        assert_eq!(missed(4_010, 4_011, 0), Duration::ZERO, "as it was told");
        assert_eq!(silence.spent, seconds(17) + LONGEST_STEP);
        silence.heard();
        assert_eq!(silence.spent, Duration::ZERO);
    }
}

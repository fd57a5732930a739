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

use super::failure::{Failure, FailureKind};
use super::machine::{Machine, Stop};
use super::ports::{Clock, ProviderError, ProviderErrorKind};
use super::spec::Stage;

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
    fn get(&self) -> MutexGuard<'_, Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Silence {
    /// Something was heard: counted from nothing again.
    pub(super) fn heard(&mut self) {
        *self = Self::default();
    }

    /// Nothing was, by a look that took from `began` to `now`; gives what is new, at most `most`.
    fn missed(&mut self, began: Duration, now: Duration, asked_to_wait: Duration, most: Duration) -> Duration {
        let step = now.saturating_sub(self.until.unwrap_or(began)).min(most);
        self.until = Some(now + asked_to_wait);
        self.spent += step;
        step
    }
}

impl Machine<'_> {
    /// Whether a clean-up has listened for as long as it may.
    pub(super) fn is_unheard(&self) -> bool {
        *self.unheard.get() >= self.spec.limits.unreachable
    }

    /// Counts a look that began at `began` and failed with what may go away by itself; fails when it has been so for too
    /// long. `what`: what was looked for.
    pub(super) fn missed(
        &self,
        silence: &mut Silence,
        began: Duration,
        stage: Stage,
        what: &str,
        error: &ProviderError,
    ) -> Result<(), Stop> {
        let now = self.ports.clock.now();
        let most = longest_step(self.spec.limits.unreachable);
        let step = silence.missed(began, now, Duration::from_secs(error.retry_after.unwrap_or_default().into()), most);
        let mut spent = silence.spent;
        if self.is_cleaning_up() {
            let mut all = self.unheard.get();
            *all += step;
            spent = *all;
        }
        if spent < self.spec.limits.unreachable {
            return Ok(());
        }
        let limit = written(self.spec.limits.unreachable);
        Err(Stop::Failed(Failure::new(
            stage,
            FailureKind::Silent { what: what.to_owned(), limit, last: Box::new(error.clone()) },
        )))
    }
}

/// No sleep is the whole of a short limit either.
fn longest_step(limit: Duration) -> Duration {
    LONGEST_STEP.min(limit / 2)
}

/// As on the command line.
fn written(limit: Duration) -> String {
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
    state: Mutex<(Silence, Option<Unheard>)>,
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
        self.state().1.clone()
    }

    /// Counts a look that began at `began`. What may go away by itself is no news of the service, but for an event that
    /// holds something; every other answer is. Fails when there was none for too long.
    pub(super) fn count(&self, began: Duration, failed: Option<&ProviderError>) -> Result<(), Unheard> {
        let mut state = self.state();
        let nothing_said = |error: &&ProviderError| error.is_transient() && error.kind != ProviderErrorKind::Pending;
        let Some(error) = failed.filter(nothing_said) else {
            state.0.heard();
            return Ok(());
        };
        let asked_to_wait = Duration::from_secs(error.retry_after.unwrap_or_default().into());
        state.0.missed(began, self.clock.now(), asked_to_wait, longest_step(self.limit));
        if state.0.spent < self.limit {
            return Ok(());
        }
        let unheard = Unheard { limit: written(self.limit), last: Box::new(error.clone()) };
        state.1 = Some(unheard.clone());
        Err(unheard)
    }

    fn state(&self) -> MutexGuard<'_, (Silence, Option<Unheard>)> {
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
        let mut missed = |began, now, asked| silence.missed(seconds(began), seconds(now), seconds(asked), LONGEST_STEP);
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

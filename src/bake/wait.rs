//! Waiting: with a limit, at an adapting pace, until the person says stop.

use std::future::Future;
use std::time::Duration;

use super::failure::{Failure, FailureKind};
use super::machine::{Machine, Stop};
use super::ports::{ProviderError, ProviderErrorKind};
use super::silence::{Silence, written};
use super::spec::Stage;

/// How long a 404 may be an eventually consistent list's fault rather than the truth.
pub(super) const LAG: Duration = Duration::from_secs(10);

/// Pauses that grow with the wait: each is [`SHORTEST`] and a part of what was waited so far, up to the poll interval. So
/// what is seen late is late by a small part of what it took: three waits of 5, 3 and 10 seconds are seen 0.4 seconds late
/// together, for some 150 looks.
#[derive(Debug)]
pub(super) struct Pace {
    next: Duration,
    longest: Duration,
}

/// The first pause.
const SHORTEST: Duration = Duration::from_millis(30);
/// A pause is this part of what was waited before it.
const PART: u32 = 24;

impl Pace {
    pub(super) fn new(longest: Duration) -> Self {
        Self { next: SHORTEST.min(longest), longest }
    }

    pub(super) fn next(&mut self) -> Duration {
        let now = self.next;
        self.next = (now + now / PART).min(self.longest);
        now
    }
}

/// What is awaited, and how long.
pub(super) struct Wait {
    pub(super) stage: Stage,
    pub(super) what: String,
    pub(super) limit: Duration,
    pub(super) option: &'static str,
}

impl Wait {
    pub(super) fn timeout(&self, last: Option<String>) -> Stop {
        let limit = humantime::format_duration(self.limit).to_string().replace(' ', "");
        Stop::Failed(Failure::new(
            self.stage,
            FailureKind::Timeout { what: self.what.clone(), limit, option: self.option, last, log: None },
        ))
    }
}

impl Machine<'_> {
    /// Looks until there is something to see. What may go away by itself is waited for, a 404 for as long as lists lag.
    pub(super) async fn wait<T>(
        &self,
        wait: &Wait,
        mut look: impl AsyncFnMut() -> Result<Option<T>, ProviderError>,
    ) -> Result<T, Stop> {
        let start = self.ports.clock.now();
        let mut pace = Pace::new(self.poll());
        let mut missing = None;
        let mut silence = Silence::default();
        loop {
            // A look that began after the limit is the last one: what a process saw before it was stopped for long (a
            // laptop that slept) is no reason to give up.
            let spent = self.elapsed_since(start);
            let last = match self.unless_stopped(look()).await? {
                Ok(Some(seen)) => return Ok(seen),
                Ok(None) => {
                    silence.heard();
                    None
                }
                Err(error) if error.is_transient() => {
                    self.missed(&mut silence, start + spent, wait.stage, &wait.what, &error)?;
                    Some(error.to_string())
                }
                Err(error) if error.kind == ProviderErrorKind::NotFound => {
                    silence.heard();
                    let now = start + spent;
                    if now.saturating_sub(*missing.get_or_insert(now)) >= LAG {
                        return Err(Stop::Failed(Failure::provider(wait.stage, error)));
                    }
                    Some(error.to_string())
                }
                Err(error) => return Err(Stop::Failed(Failure::provider(wait.stage, error))),
            };
            if last.is_none() {
                missing = None;
            }
            if spent >= wait.limit {
                return Err(wait.timeout(last));
            }
            self.pause(pace.next().min(wait.limit.saturating_sub(spent).max(Duration::from_millis(1)))).await?;
        }
    }

    /// Whether a clean-up has listened for as long as it may.
    pub(super) fn is_unheard(&self) -> bool {
        self.unheard.is_over(self.spec.limits.unreachable)
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
        let limit = self.spec.limits.unreachable;
        let step = silence.missed(began, self.ports.clock.now(), error, limit);
        let spent = if self.is_cleaning_up() { self.unheard.add(step) } else { silence.spent() };
        if spent < limit {
            return Ok(());
        }
        let last = Box::new(error.clone());
        let kind = FailureKind::Silent { what: what.to_owned(), limit: written(limit), last };
        Err(Stop::Failed(Failure::new(stage, kind)))
    }

    /// The longest pause between two looks.
    pub(super) fn poll(&self) -> Duration {
        Duration::from_millis(self.spec.poll_ms.max(1))
    }

    /// Sleeps, unless told to stop.
    pub(super) async fn pause(&self, duration: Duration) -> Result<(), Stop> {
        self.unless_stopped(self.ports.clock.sleep(duration)).await
    }

    /// Does something that changes nothing: it is dropped when the person says stop.
    pub(super) async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T, Stop> {
        self.until(self.threshold, work).await
    }

    /// Sends a request that changes something: only a second Ctrl-C drops it, because a request that was dropped may
    /// still arrive after we looked for its effect.
    pub(super) async fn change<T>(&self, work: impl Future<Output = T>) -> Result<T, Stop> {
        self.until(2, work).await
    }

    pub(super) async fn until<T>(&self, threshold: u32, work: impl Future<Output = T>) -> Result<T, Stop> {
        let mut stops = self.ports.stops.clone();
        let stopped = async {
            if stops.wait_for(|count| *count >= threshold).await.is_err() {
                // Nobody can say stop any more.
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            biased;
            () = stopped => Err(Stop::Stopped),
            value = work => Ok(value),
        }
    }
}

//! What the account looked like a while ago: lists of the service lag behind what was done.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::model::State;

/// States of the past, for as long as a list may show them.
#[derive(Debug)]
pub(super) struct History {
    lag: Duration,
    /// What was seen until when; the oldest first.
    past: VecDeque<(Instant, State)>,
}

impl History {
    pub(super) fn new(lag: Duration) -> Self {
        Self { lag, past: VecDeque::new() }
    }

    /// The state has just been replaced; this is what it was.
    pub(super) fn replaced(&mut self, now: Instant, was: State) {
        if self.lag.is_zero() {
            return;
        }
        // Beyond the lag nobody looks.
        while self.past.front().is_some_and(|(until, _)| now.saturating_duration_since(*until) > self.lag) {
            self.past.pop_front();
        }
        self.past.push_back((now, was));
    }

    /// The state that lists show now: as it was a lag ago. `None` when that is what it is.
    pub(super) fn listed(&self, now: Instant) -> Option<&State> {
        self.past.iter().find(|(until, _)| now.saturating_duration_since(*until) < self.lag).map(|(_, state)| state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_shows_what_was_there_a_lag_ago() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let state = |account: &str| State::empty(account.to_owned());
        let seen = |history: &History, now| history.listed(now).map(|state| state.account.clone());
        let mut history = History::new(Duration::from_secs(5));
        history.replaced(at(10), state("a"));
        history.replaced(at(12), state("b"));
        assert_eq!(seen(&history, at(11)).as_deref(), Some("a"));
        assert_eq!(seen(&history, at(14)).as_deref(), Some("a"), "b was there since 10, lists show it from 15 on");
        assert_eq!(seen(&history, at(16)).as_deref(), Some("b"));
        assert_eq!(seen(&history, at(17)), None);
        let mut none = History::new(Duration::ZERO);
        none.replaced(at(1), state("a"));
        assert_eq!(seen(&none, at(1)), None);
    }
}

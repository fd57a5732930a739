//! Faults that the emulator plays on demand: `--fault SPEC`. What a client does when the service fails is then tried out
//! as easily as what it does when all is well.
//!
//! A spec is `WHEN:FAULT` (`spec.rs`). There are two kinds of faults: of the exchange ([`http::Http`]: what happens to a
//! request and its answer, whatever it asks for) and of an event ([`event::Trouble`]: what becomes of an accepted action).
//! To add one: a variant and its line in the table of its file; what it does is one arm in `api/faults.rs` (exchange) or
//! in `cloud/work.rs` (event). The list that a bad spec is answered with, and its documentation, come from the tables.

pub mod event;
pub mod http;
mod spec;

use std::sync::{Mutex, PoisonError};

use self::event::Trouble;
use self::http::Http;
pub use self::spec::{BadSpec, Spec};
use self::spec::{Fault, When};

/// The faults of one emulator, and how often each has had its occasion. The counts are not kept: an emulator that is
/// started again begins to count anew.
#[derive(Debug, Default)]
pub(super) struct Faults {
    state: Mutex<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    /// Requests that have come in.
    requests: u64,
    /// Each spec, and how often its pattern was met.
    specs: Vec<(Spec, u64)>,
}

impl Faults {
    pub(super) fn new(specs: &[Spec]) -> Self {
        let specs = specs.iter().map(|spec| (spec.clone(), 0)).collect();
        Self { state: Mutex::new(Counted { requests: 0, specs }) }
    }

    /// A request has come in: which fault is played on it, if any. The first spec that fits is taken; all of them count.
    pub(super) fn of_request(&self, method: &str, path: &str, query: Option<&str>) -> Option<Http> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.requests += 1;
        let number = state.requests;
        let mut found = None;
        for (spec, met) in &mut state.specs {
            let Fault::Http(fault) = spec.fault else { continue };
            let fits = match &spec.when {
                When::Request(numbers) => numbers.has(number),
                When::Pattern { method: wanted, path: pattern, which } => {
                    if !pattern.fits(wanted, method, path, query) {
                        continue;
                    }
                    *met += 1;
                    which.has(*met)
                }
                When::Event { .. } => false,
            };
            if fits {
                found = found.or(Some(fault));
            }
        }
        found
    }

    /// An event begins (`create`, `snapshot`, `power_off` …): what goes wrong with it, if anything.
    pub(super) fn of_event(&self, name: &str) -> Option<Trouble> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = None;
        for (spec, met) in &mut state.specs {
            let (When::Event { name: wanted, which }, Fault::Event(fault)) = (&spec.when, spec.fault) else { continue };
            if wanted == "*" || wanted == name {
                *met += 1;
                if which.has(*met) {
                    found = found.or(Some(fault));
                }
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(specs: &[&str]) -> Faults {
        Faults::new(&specs.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>())
    }

    #[test]
    fn requests_are_counted_and_each_pattern_counts_its_own() {
        let faults = faults(&["2:hang", "POST /v2/droplets#2:lost", "GET /v2/droplets/*:404"]);
        assert_eq!(faults.of_request("POST", "/v2/droplets", None), None, "request 1, the first POST");
        assert_eq!(faults.of_request("POST", "/v2/droplets", None), Some(Http::Hang), "both fit, the first is taken");
        assert_eq!(faults.of_request("POST", "/v2/droplets", None), None, "its second occasion was the last request");
        assert_eq!(faults.of_request("GET", "/v2/droplets/7", Some("a=b")), Some(Http::NotFound));
        assert_eq!(faults.of_request("GET", "/v2/droplets/7/actions", None), None);
    }

    #[test]
    fn events_are_counted_by_name() {
        let faults = faults(&["snapshot#2:errored", "shutdown:ignored"]);
        assert_eq!(faults.of_event("snapshot"), None);
        assert_eq!(faults.of_event("create"), None);
        assert_eq!(faults.of_event("snapshot"), Some(Trouble::Errored));
        assert_eq!(faults.of_event("shutdown"), Some(Trouble::Ignored));
    }
}

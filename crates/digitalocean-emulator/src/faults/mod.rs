//! Faults that the emulator injects on demand, so that a client's handling of failures can be
//! tested.
//!
//! A [`FaultSpec`] is written `WHEN:FAULT`. There are two kinds: faults of a request and its answer
//! ([`RequestFault`]) and faults of an accepted event ([`EventFault`]). To add one: a variant and
//! its line in the table of `kinds.rs`, and what it does as one arm in `api/fault_injection.rs`
//! (requests) or `cloud/actions.rs` (events).

mod kinds;
mod spec;

use std::sync::{Mutex, PoisonError};

pub use self::kinds::{EventFault, RequestFault};
use self::spec::{Fault, Trigger};
pub use self::spec::{FaultSpec, ParseFaultError};

/// The faults of one emulator. The counts are not persistent: a restarted emulator counts anew.
#[derive(Debug, Default)]
pub(crate) struct FaultPlan {
    state: Mutex<Counters>,
}

#[derive(Debug, Default)]
struct Counters {
    requests: u64,
    /// Each spec with the number of its matches.
    specs: Vec<(FaultSpec, u64)>,
}

impl FaultPlan {
    pub(crate) fn new(specs: Vec<FaultSpec>) -> Self {
        let specs = specs.into_iter().map(|spec| (spec, 0)).collect();
        Self { state: Mutex::new(Counters { requests: 0, specs }) }
    }

    /// Counts a request and returns the fault to inject, if any: of several that match, the first.
    pub(crate) fn for_request(&self, method: &str, path: &str, query: Option<&str>) -> Option<RequestFault> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.requests += 1;
        let number = state.requests;
        let mut found = None;
        for (spec, matches) in &mut state.specs {
            let Fault::Request(fault) = spec.fault else { continue };
            let is_due = match &spec.trigger {
                Trigger::Request(numbers) => numbers.contains(number),
                Trigger::Route { method: wanted, path: pattern, which } => {
                    if !pattern.matches(wanted, method, path, query) {
                        continue;
                    }
                    *matches += 1;
                    which.contains(*matches)
                }
                Trigger::Event { .. } => false,
            };
            if is_due {
                found = found.or(Some(fault));
            }
        }
        found
    }

    /// Counts an event (`create`, `snapshot`, `power_off` …) and returns the fault to inject, if
    /// any.
    pub(crate) fn for_event(&self, name: &str) -> Option<EventFault> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = None;
        for (spec, matches) in &mut state.specs {
            let (Trigger::Event { name: wanted, which }, Fault::Event(fault)) = (&spec.trigger, spec.fault) else {
                continue;
            };
            if wanted == "*" || wanted == name {
                *matches += 1;
                if which.contains(*matches) {
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

    fn plan(specs: &[&str]) -> FaultPlan {
        FaultPlan::new(specs.iter().map(|text| text.parse().unwrap()).collect())
    }

    #[test]
    fn requests_are_counted_in_total_and_per_route() {
        let plan = plan(&["2:hang", "POST /v2/droplets#2:lost", "GET /v2/droplets/*:404"]);
        let post = || plan.for_request("POST", "/v2/droplets", None);
        assert_eq!(post(), None, "request 1, the first POST");
        assert_eq!(post(), Some(RequestFault::Hang), "both match, the first is injected");
        assert_eq!(post(), None, "the second match was the last request");
        assert_eq!(plan.for_request("GET", "/v2/droplets/7", Some("a=b")), Some(RequestFault::NotFound));
        assert_eq!(plan.for_request("GET", "/v2/droplets/7/actions", None), None);
    }

    #[test]
    fn events_are_counted_by_name() {
        let plan = plan(&["snapshot#2:errored", "shutdown:ignored"]);
        assert_eq!(plan.for_event("snapshot"), None);
        assert_eq!(plan.for_event("create"), None);
        assert_eq!(plan.for_event("snapshot"), Some(EventFault::Errored));
        assert_eq!(plan.for_event("shutdown"), Some(EventFault::Ignored));
    }

    #[test]
    fn a_star_counts_all_events() {
        let plan = plan(&["*#2:errored"]);
        assert_eq!(plan.for_event("create"), None);
        assert_eq!(plan.for_event("snapshot"), Some(EventFault::Errored));
        assert_eq!(plan.for_event("create"), None);
    }
}

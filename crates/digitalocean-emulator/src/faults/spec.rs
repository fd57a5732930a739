//! Fault specifications, `WHEN:FAULT`, as they are written on the command line.
//!
//! WHEN is the number of a request (`3`, `3-5`, `3-`), a method and a path with the matches that
//! are meant (`POST /v2/droplets#1`, `* /v2/droplets/*#2-`; all matches without `#`), or an event
//! (`snapshot#1`). In a path `*` matches anything except a slash; a path with `?` is compared with
//! the query as well.

use std::fmt::Write as _;
use std::str::FromStr;
use std::time::Duration;

use super::kinds::{EVENT_FAULTS, EVENTS, EventFault, REQUEST_FAULTS, RequestFault};

/// One fault and when it happens. Read it from a text such as `POST /v2/droplets#1:lost` with
/// [`str::parse`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultSpec {
    pub(super) trigger: Trigger,
    pub(super) fault: Fault,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trigger {
    Request(Range),
    Route { method: String, path: PathPattern, which: Range },
    Event { name: String, which: Range },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Request(RequestFault),
    Event(EventFault),
}

/// Numbers from 1 on, including both ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    first: u64,
    last: u64,
}

impl Range {
    const ALL: Self = Self { first: 1, last: u64::MAX };

    pub(super) fn contains(self, number: u64) -> bool {
        (self.first..=self.last).contains(&number)
    }

    fn parse(text: &str) -> Option<Self> {
        let (first, last) = match text.split_once('-') {
            None => (text.parse().ok()?, text.parse().ok()?),
            Some((first, "")) => (first.parse().ok()?, u64::MAX),
            Some((first, last)) => (first.parse().ok()?, last.parse().ok()?),
        };
        (first >= 1 && first <= last).then_some(Self { first, last })
    }
}

/// A path in which `*` matches anything except a slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PathPattern(String);

impl PathPattern {
    pub(super) fn matches(&self, wanted: &str, method: &str, path: &str, query: Option<&str>) -> bool {
        if wanted != "*" && !wanted.eq_ignore_ascii_case(method) {
            return false;
        }
        match query.filter(|_| self.0.contains('?')) {
            Some(query) => matches_stars(self.0.as_bytes(), format!("{path}?{query}").as_bytes()),
            None => matches_stars(self.0.as_bytes(), path.as_bytes()),
        }
    }
}

/// Backtracks to the last star only, so that the time stays within length × length.
fn matches_stars(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut read, mut backtrack) = (0, 0, None);
    while read < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                backtrack = Some((at, read));
                at += 1;
            }
            Some(byte) if *byte == text[read] => {
                at += 1;
                read += 1;
            }
            _ => match backtrack {
                Some((star, consumed)) if text[consumed] != b'/' => {
                    backtrack = Some((star, consumed + 1));
                    at = star + 1;
                    read = consumed + 1;
                }
                _ => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// Why a text is not a [`FaultSpec`]. The message ends with a list of everything that can be
/// written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}{}", syntax())]
pub struct ParseFaultError {
    why: String,
}

fn syntax() -> String {
    let mut text = String::from(
        "\nA fault is WHEN:FAULT. WHEN is the number of a request (3, 3-5, 3-), a method and path with the matches that\n\
         are meant (POST /v2/droplets#1, GET /v2/droplets/*; * matches anything except a slash), or an event (snapshot#1).\n\
         Faults of requests:\n",
    );
    for (name, description, _) in REQUEST_FAULTS {
        let _ = writeln!(text, "  {name:<12} {description}");
    }
    let _ = writeln!(text, "Faults of events ({}; * for any):", EVENTS.join(", "));
    for (name, description, _) in EVENT_FAULTS {
        let _ = writeln!(text, "  {name:<12} {description}");
    }
    text.truncate(text.trim_end().len());
    text
}

impl FromStr for FaultSpec {
    type Err = ParseFaultError;

    fn from_str(text: &str) -> Result<Self, ParseFaultError> {
        parse(text).map_err(|why| ParseFaultError { why })
    }
}

fn parse(text: &str) -> Result<FaultSpec, String> {
    let (trigger, fault) =
        text.rsplit_once(':').ok_or_else(|| format!("`{text}` names no fault: a colon is missing"))?;
    let trigger = parse_trigger(trigger.trim())?;
    let (name, time) = match fault.trim().split_once('=') {
        None => (fault.trim(), None),
        Some((name, time)) => {
            let time = humantime::parse_duration(time)
                .map_err(|error| format!("`{time}` is not a duration: {error}; write 500ms, 5s or 2m"))?;
            (name, Some(time))
        }
    };
    let fault = if let Trigger::Event { name: event, .. } = &trigger {
        let fault = find_fault(&EVENT_FAULTS, "events", name, time, EventFault::with_duration)?;
        if fault == EventFault::NoAddress && event != "create" {
            return Err(format!("`no-address` is a fault of `create`, not of `{event}`"));
        }
        Fault::Event(fault)
    } else {
        Fault::Request(find_fault(&REQUEST_FAULTS, "requests", name, time, RequestFault::with_duration)?)
    };
    Ok(FaultSpec { trigger, fault })
}

fn find_fault<F: Copy>(
    table: &[(&str, &str, F)],
    kind: &str,
    name: &str,
    time: Option<Duration>,
    with_duration: fn(F, Duration) -> Option<F>,
) -> Result<F, String> {
    let found = table.iter().find(|(known, ..)| *known == name);
    let (.., fault) = found.ok_or_else(|| format!("there is no fault `{name}` of {kind}"))?;
    match time {
        None => Ok(*fault),
        Some(time) => with_duration(*fault, time).ok_or_else(|| format!("`{name}` takes no duration")),
    }
}

fn parse_trigger(text: &str) -> Result<Trigger, String> {
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        return Range::parse(text).map(Trigger::Request).ok_or_else(|| {
            format!("`{text}` is neither a request's number nor a range; numbers are counted from 1: 3, 3-5, 3-")
        });
    }
    let (what, which) = match text.rsplit_once('#') {
        None => (text, Range::ALL),
        Some((what, which)) => {
            (what, Range::parse(which).ok_or_else(|| format!("`#{which}` is not a range: write #1, #2-4 or #3-"))?)
        }
    };
    if let Some((method, path)) = what.split_once(' ') {
        let methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "*"];
        if !methods.iter().any(|known| known.eq_ignore_ascii_case(method)) {
            return Err(format!("`{method}` is not a method: write GET, POST, PUT, DELETE or *"));
        }
        let path = path.trim();
        if !path.starts_with(['/', '*']) {
            return Err(format!("`{path}` is not a path: it must begin with a slash"));
        }
        return Ok(Trigger::Route { method: method.to_owned(), path: PathPattern(path.to_owned()), which });
    }
    if what == "*" || EVENTS.contains(&what) {
        return Ok(Trigger::Event { name: what.to_owned(), which });
    }
    Err(format!("`{what}` is neither a request nor an event"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specs_are_read_in_all_their_forms() {
        let route = |method: &str, path: &str, which| Trigger::Route {
            method: method.into(),
            path: PathPattern(path.into()),
            which,
        };
        let event = |name: &str, which| Trigger::Event { name: name.into(), which };
        let range = |first, last| Range { first, last };
        let seconds = Duration::from_secs;
        for (text, trigger, fault) in [
            ("3:hang", Trigger::Request(range(3, 3)), Fault::Request(RequestFault::Hang)),
            ("3-5:500", Trigger::Request(range(3, 5)), Fault::Request(RequestFault::ServerError)),
            (
                "3-:429=5s",
                Trigger::Request(range(3, u64::MAX)),
                Fault::Request(RequestFault::TooManyRequests(seconds(5))),
            ),
            ("1:429", Trigger::Request(range(1, 1)), Fault::Request(RequestFault::TooManyRequests(seconds(1)))),
            (
                "POST /v2/tags/mkimg:bake:*/resources#2:lost",
                route("POST", "/v2/tags/mkimg:bake:*/resources", range(2, 2)),
                Fault::Request(RequestFault::Lost),
            ),
            ("snapshot#1:errored", event("snapshot", range(1, 1)), Fault::Event(EventFault::Errored)),
            ("*:held=2s", event("*", Range::ALL), Fault::Event(EventFault::Held(seconds(2)))),
        ] {
            assert_eq!(text.parse::<FaultSpec>().unwrap(), FaultSpec { trigger, fault }, "{text}");
        }
    }

    #[test]
    fn a_bad_spec_is_answered_with_the_list() {
        for (text, why) in [
            ("hang", "a colon is missing"),
            ("0:hang", "counted from 1"),
            ("5-3:hang", "counted from 1"),
            ("3:hanged", "there is no fault `hanged` of requests"),
            ("3:hang=5s", "`hang` takes no duration"),
            ("3:429=soon", "`soon` is not a duration"),
            ("FETCH /v2:500", "`FETCH` is not a method"),
            ("GET v2:500", "must begin with a slash"),
            ("GET /v2#x:500", "`#x` is not a range"),
            ("explode:500", "neither a request nor an event"),
            ("snapshot:500", "there is no fault `500` of events"),
            ("3:errored", "there is no fault `errored` of requests"),
            ("snapshot:no-address", "a fault of `create`"),
        ] {
            let error = text.parse::<FaultSpec>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
            for name in REQUEST_FAULTS.map(|(name, ..)| name).into_iter().chain(EVENT_FAULTS.map(|(name, ..)| name)) {
                assert!(error.contains(name), "{name} is not listed");
            }
        }
    }

    #[test]
    fn a_star_stops_at_a_slash() {
        for (pattern, path, query, expected) in [
            ("/v2/droplets/*", "/v2/droplets/7", None, true),
            ("/v2/droplets/*", "/v2/droplets/7", Some("per_page=1"), true),
            ("/v2/droplets/*", "/v2/droplets/7/actions", None, false),
            ("/v2/*/*/actions", "/v2/droplets/7/actions", None, true),
            ("/v2/droplets", "/v2/droplets/7", None, false),
            ("/v2/droplets?tag_name=*", "/v2/droplets", Some("tag_name=mkimg&per_page=200"), true),
            ("/v2/droplets?tag_name=*", "/v2/droplets", None, false),
            ("/v2/t*s", "/v2/tags", None, true),
            ("/v2/t*g", "/v2/tags", None, false),
        ] {
            assert_eq!(PathPattern(pattern.into()).matches("GET", "GET", path, query), expected, "{pattern} {path}");
        }
        assert!(!PathPattern("/v2".into()).matches("POST", "GET", "/v2", None));
        assert!(PathPattern("/v2".into()).matches("*", "GET", "/v2", None));
    }

    #[test]
    fn ranges_include_both_ends() {
        let range = Range::parse("3-5").unwrap();
        assert_eq!((1..=7).filter(|number| range.contains(*number)).collect::<Vec<_>>(), [3, 4, 5]);
        let open = Range::parse("2-").unwrap();
        assert_eq!((open.contains(1), open.contains(2), open.contains(u64::MAX)), (false, true, true));
    }

    #[test]
    fn the_usual_faults_have_names() {
        for name in RequestFault::USUAL {
            assert!(format!("1:{name}").parse::<FaultSpec>().is_ok(), "{name}");
        }
    }
}

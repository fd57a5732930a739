//! `WHEN:FAULT`, as it is written on the command line.
//!
//! WHEN is a request's number (`3`, `3-5`, `3-`), a method and a path with the occasions that are meant
//! (`POST /v2/droplets#1`, `* /v2/droplets/*#2-`; all of them without `#`), or an event (`snapshot#1`).
//! In a path `*` stands for anything but a slash; a path with `?` is compared with the query as well.

use std::fmt::Write as _;
use std::str::FromStr;
use std::time::Duration;

use super::event::{self, Trouble};
use super::http::{self, Http};

/// One fault and its occasions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    pub(super) when: When,
    pub(super) fault: Fault,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum When {
    Request(Range),
    Pattern { method: String, path: Pattern, which: Range },
    Event { name: String, which: Range },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Http(Http),
    Event(Trouble),
}

/// Numbers from 1 on, both ends among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    first: u64,
    last: u64,
}

impl Range {
    const ALL: Self = Self { first: 1, last: u64::MAX };

    pub(super) fn has(self, number: u64) -> bool {
        (self.first..=self.last).contains(&number)
    }

    fn read(text: &str) -> Option<Self> {
        let (first, last) = match text.split_once('-') {
            None => (text.parse().ok()?, text.parse().ok()?),
            Some((first, "")) => (first.parse().ok()?, u64::MAX),
            Some((first, last)) => (first.parse().ok()?, last.parse().ok()?),
        };
        (first >= 1 && first <= last).then_some(Self { first, last })
    }
}

/// A path in which `*` stands for anything but a slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern(String);

impl Pattern {
    pub(super) fn fits(&self, wanted: &str, method: &str, path: &str, query: Option<&str>) -> bool {
        if wanted != "*" && !wanted.eq_ignore_ascii_case(method) {
            return false;
        }
        match query.filter(|_| self.0.contains('?')) {
            Some(query) => fits(self.0.as_bytes(), format!("{path}?{query}").as_bytes()),
            None => fits(self.0.as_bytes(), path.as_bytes()),
        }
    }
}

/// One star after the other, going back to the last one where the rest does not fit: no more than length times length.
fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut seen, mut back) = (0, 0, None);
    while seen < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                back = Some((at, seen));
                at += 1;
            }
            Some(byte) if *byte == text[seen] => {
                at += 1;
                seen += 1;
            }
            _ => match back {
                Some((star, taken)) if text[taken] != b'/' => {
                    back = Some((star, taken + 1));
                    at = star + 1;
                    seen = taken + 1;
                }
                _ => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

/// A text that is no fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}{}", list())]
pub struct BadSpec {
    why: String,
}

/// All that can be written, for a person who has written something else.
fn list() -> String {
    let mut text = String::from(
        "\nA fault is WHEN:FAULT. WHEN is a request's number (3, 3-5, 3-), a method and path with the occasions that are meant\n\
         (POST /v2/droplets#1, GET /v2/droplets/*; * stands for anything but a slash), or an event (snapshot#1).\n\
         Faults of requests:\n",
    );
    for (name, what, _) in http::TABLE {
        let _ = writeln!(text, "  {name:<12} {what}");
    }
    let events: Vec<&str> = event::EVENTS.iter().copied().filter(|name| *name != "*").collect();
    let _ = writeln!(text, "Faults of events ({}; * for any):", events.join(", "));
    for (name, what, _) in event::TABLE {
        let _ = writeln!(text, "  {name:<12} {what}");
    }
    text.truncate(text.trim_end().len());
    text
}

impl FromStr for Spec {
    type Err = BadSpec;

    fn from_str(text: &str) -> Result<Self, BadSpec> {
        let bad = |why: String| BadSpec { why };
        let Some((when, fault)) = text.rsplit_once(':') else {
            return Err(bad(format!("`{text}` names no fault: a colon is missing")));
        };
        let when = read_when(when.trim()).map_err(bad)?;
        let (name, time) = match fault.trim().split_once('=') {
            None => (fault.trim(), None),
            Some((name, time)) => {
                let time = humantime::parse_duration(time)
                    .map_err(|error| bad(format!("`{time}` is no duration: {error}; write 500ms, 5s, 2m")))?;
                (name, Some(time))
            }
        };
        let unlasting = || bad(format!("`{name}` takes no duration"));
        let unknown = |kind: &str| bad(format!("there is no fault `{name}` of {kind}"));
        let fault = if let When::Event { name: event, .. } = &when {
            let found = event::TABLE.iter().find(|(known, ..)| *known == name).ok_or_else(|| unknown("events"))?;
            let trouble = lasting(found.2, time, Trouble::lasting).ok_or_else(unlasting)?;
            if trouble == Trouble::NoAddress && event != "create" {
                return Err(bad(format!("`no-address` is a fault of `create`, not of `{event}`")));
            }
            Fault::Event(trouble)
        } else {
            let found = http::TABLE.iter().find(|(known, ..)| *known == name).ok_or_else(|| unknown("requests"))?;
            Fault::Http(lasting(found.2, time, Http::lasting).ok_or_else(unlasting)?)
        };
        Ok(Self { when, fault })
    }
}

fn lasting<F>(fault: F, time: Option<Duration>, with: impl Fn(F, Duration) -> Option<F>) -> Option<F> {
    match time {
        None => Some(fault),
        Some(time) => with(fault, time),
    }
}

fn read_when(text: &str) -> Result<When, String> {
    if text.starts_with(|first: char| first.is_ascii_digit()) {
        return Range::read(text).map(When::Request).ok_or_else(|| {
            format!("`{text}` is no number of a request and no range: they are counted from 1 (3, 3-5, 3-)")
        });
    }
    let (what, which) = match text.rsplit_once('#') {
        None => (text, Range::ALL),
        Some((what, which)) => {
            (what, Range::read(which).ok_or_else(|| format!("`#{which}` is no occasion: write #1, #2-4 or #3-"))?)
        }
    };
    if let Some((method, path)) = what.split_once(' ') {
        let methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "*"];
        if !methods.iter().any(|known| known.eq_ignore_ascii_case(method)) {
            return Err(format!("`{method}` is no method: write GET, POST, PUT, DELETE or *"));
        }
        let path = path.trim();
        if !path.starts_with(['/', '*']) {
            return Err(format!("`{path}` is no path: it begins with a slash"));
        }
        return Ok(When::Pattern { method: method.to_owned(), path: Pattern(path.to_owned()), which });
    }
    if event::EVENTS.contains(&what) {
        return Ok(When::Event { name: what.to_owned(), which });
    }
    Err(format!("`{what}` is neither a request nor an event"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        text.parse::<Spec>().unwrap_err().to_string()
    }

    #[test]
    fn what_can_be_written() {
        let path = |text: &str| Pattern(text.to_owned());
        let spec = |when, fault| Spec { when, fault };
        let range = |first, last| Range { first, last };
        let cases = [
            ("3:hang", spec(When::Request(range(3, 3)), Fault::Http(Http::Hang))),
            ("3-5:500", spec(When::Request(range(3, 5)), Fault::Http(Http::ServerError))),
            ("3-:429=5s", spec(When::Request(range(3, u64::MAX)), Fault::Http(Http::TooMany(Duration::from_secs(5))))),
            (
                "POST /v2/tags/mkimg:bake:*/resources#2:lost",
                spec(
                    When::Pattern {
                        method: "POST".into(),
                        path: path("/v2/tags/mkimg:bake:*/resources"),
                        which: range(2, 2),
                    },
                    Fault::Http(Http::Lost),
                ),
            ),
            (
                "snapshot#1:errored",
                spec(When::Event { name: "snapshot".into(), which: range(1, 1) }, Fault::Event(Trouble::Errored)),
            ),
            (
                "*:held=2s",
                spec(
                    When::Event { name: "*".into(), which: Range::ALL },
                    Fault::Event(Trouble::Held(Duration::from_secs(2))),
                ),
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<Spec>().unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_is_answered_with_the_list() {
        for (text, why) in [
            ("hang", "a colon is missing"),
            ("0:hang", "counted from 1"),
            ("5-3:hang", "counted from 1"),
            ("3:hanged", "there is no fault `hanged` of requests"),
            ("3:hang=5s", "`hang` takes no duration"),
            ("3:429=soon", "`soon` is no duration"),
            ("FETCH /v2:500", "`FETCH` is no method"),
            ("GET v2:500", "begins with a slash"),
            ("GET /v2#x:500", "`#x` is no occasion"),
            ("explode:500", "neither a request nor an event"),
            ("snapshot:500", "there is no fault `500` of events"),
            ("3:errored", "there is no fault `errored` of requests"),
            ("snapshot:no-address", "a fault of `create`"),
        ] {
            let said = refused(text);
            assert!(said.contains(why), "{text}: {said}");
            for (name, ..) in http::TABLE {
                assert!(said.contains(name), "{name} is not listed");
            }
            for (name, ..) in event::TABLE {
                assert!(said.contains(name), "{name} is not listed");
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
            assert_eq!(Pattern(pattern.into()).fits("GET", "GET", path, query), expected, "{pattern} {path}");
        }
        assert!(!Pattern("/v2".into()).fits("POST", "GET", "/v2", None));
        assert!(Pattern("/v2".into()).fits("*", "GET", "/v2", None));
    }

    #[test]
    fn ranges_include_both_ends() {
        let range = Range::read("3-5").unwrap();
        assert_eq!((1..=7).filter(|number| range.has(*number)).collect::<Vec<_>>(), [3, 4, 5]);
        let open = Range::read("2-").unwrap();
        assert_eq!((open.has(1), open.has(2), open.has(u64::MAX)), (false, true, true));
    }

    #[test]
    fn the_usual_faults_have_names() {
        for name in Http::USUAL {
            assert!(format!("1:{name}").parse::<Spec>().is_ok(), "{name}");
        }
    }
}

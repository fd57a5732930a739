//! How long actions and answers take that are instantaneous here. To add one: a field and its line
//! in `Timing::field`.

use std::str::FromStr;
use std::time::Duration;

/// How long an action stays `in-progress` beyond what the backend needs for it, and how long
/// answers take. Read it from a text such as `create=5s,jitter=30%` with [`str::parse`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// From the creation of a droplet until it is `active`.
    pub create: Duration,
    /// Power, rename, resize and similar events.
    pub power: Duration,
    /// A snapshot, beyond the copying.
    pub snapshot: Duration,
    /// A transfer of an image to another region.
    pub transfer: Duration,
    /// The destruction of a droplet or an image; the answer to DELETE waits for it.
    pub destroy: Duration,
    /// Every request, before it is handled.
    pub request: Duration,
    /// By how many per cent (0 to 100) each duration varies at most, up or down; evenly
    /// distributed.
    pub jitter: u8,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            create: Duration::from_millis(500),
            power: Duration::from_millis(300),
            snapshot: Duration::from_millis(300),
            transfer: Duration::from_secs(1),
            ..Self::none()
        }
    }
}

/// Why a text is not a [`Timing`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0}; write NAME=TIME with commas between: create=5s,power=3s,snapshot=10s,transfer=20s,destroy=1s,request=20ms,jitter=30%"
)]
pub struct ParseTimingError(String);

impl FromStr for Timing {
    type Err = ParseTimingError;

    /// Durations that the text does not name keep their defaults.
    fn from_str(text: &str) -> Result<Self, ParseTimingError> {
        let mut timing = Self::default();
        for part in text.split(',') {
            let error = |why: String| ParseTimingError(why);
            let (name, value) = part.trim().split_once('=').ok_or_else(|| error(format!("`{part}` has no value")))?;
            if name == "jitter" {
                let percent = value.trim_end_matches('%').parse().ok().filter(|percent| *percent <= 100);
                timing.jitter =
                    percent.ok_or_else(|| error(format!("the jitter `{value}` is not between 0% and 100%")))?;
            } else {
                let field = timing.field(name).ok_or_else(|| error(format!("there is no time named `{name}`")))?;
                *field = humantime::parse_duration(value)
                    .map_err(|why| error(format!("`{value}` is not a duration: {why}")))?;
            }
        }
        Ok(timing)
    }
}

impl Timing {
    /// As fast as possible, for tests.
    pub fn none() -> Self {
        let none = Duration::ZERO;
        Self { create: none, power: none, snapshot: none, transfer: none, destroy: none, request: none, jitter: 0 }
    }

    fn field(&mut self, name: &str) -> Option<&mut Duration> {
        Some(match name {
            "create" => &mut self.create,
            "power" => &mut self.power,
            "snapshot" => &mut self.snapshot,
            "transfer" => &mut self.transfer,
            "destroy" => &mut self.destroy,
            "request" => &mut self.request,
            _ => return None,
        })
    }

    /// Waits for this time, with jitter.
    pub(crate) async fn pause(&self, time: Duration) {
        let time = with_jitter(time, self.jitter, getrandom::u32().unwrap_or(u32::MAX / 2));
        if !time.is_zero() {
            tokio::time::sleep(time).await;
        }
    }
}

/// The time, changed by at most this many per cent; `random` chooses by how many.
fn with_jitter(time: Duration, percent: u8, random: u32) -> Duration {
    let share = f64::from(percent) / 100.0 * (f64::from(random) / f64::from(u32::MAX) * 2.0 - 1.0);
    time.mul_f64(1.0 + share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_by_name() {
        let timing: Timing = "create=5s,snapshot=10s, request=20ms,jitter=30%".parse().unwrap();
        let expected = Timing {
            create: Duration::from_secs(5),
            snapshot: Duration::from_secs(10),
            request: Duration::from_millis(20),
            jitter: 30,
            ..Timing::default()
        };
        assert_eq!(timing, expected);
        assert_eq!("jitter=100%".parse::<Timing>().unwrap().jitter, 100);
        for (bad, why) in [
            ("", "has no value"),
            ("create", "has no value"),
            ("create=fast", "`fast` is not a duration"),
            ("delete=5s", "there is no time named `delete`"),
            ("jitter=101%", "not between 0% and 100%"),
        ] {
            let error = bad.parse::<Timing>().unwrap_err().to_string();
            assert!(error.contains(why) && error.contains("create=5s"), "{bad}: {error}");
        }
    }

    #[test]
    fn jitter_stays_within_its_bounds() {
        let second = Duration::from_secs(1);
        assert_eq!(with_jitter(second, 0, 7), second);
        assert_eq!(with_jitter(second, 30, 0), Duration::from_millis(700));
        assert_eq!(with_jitter(second, 30, u32::MAX), Duration::from_millis(1300));
        assert_eq!(with_jitter(second, 100, 0), Duration::ZERO);
    }
}

//! How long things take that are instantaneous here. To add one: a field, and a line in [`Timing::field`].

use std::str::FromStr;
use std::time::Duration;

/// How long an action stays `in-progress` beyond what the backend needs for it, and how long answers take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// From the creation of a droplet until it is `active`.
    pub create: Duration,
    /// Power, rename, resize and the like.
    pub power: Duration,
    /// A snapshot, beyond the copying.
    pub snapshot: Duration,
    /// A transfer of an image to another region.
    pub transfer: Duration,
    /// The destruction of a droplet or an image; the answer to DELETE waits for it.
    pub destroy: Duration,
    /// Every request, before it is looked at.
    pub request: Duration,
    /// By how many per cent each of these varies at most, up or down (0 to 100); evenly distributed.
    pub jitter: u8,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            create: Duration::from_millis(500),
            power: Duration::from_millis(300),
            snapshot: Duration::from_millis(300),
            transfer: Duration::from_secs(1),
            destroy: Duration::ZERO,
            request: Duration::ZERO,
            jitter: 0,
        }
    }
}

/// A text that is no timing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0}; write NAME=TIME with commas between: create=5s,power=3s,snapshot=10s,transfer=20s,destroy=1s,request=20ms,jitter=30%"
)]
pub struct BadTiming(String);

impl FromStr for Timing {
    type Err = BadTiming;

    /// What is not named stays as it is by default.
    fn from_str(text: &str) -> Result<Self, BadTiming> {
        let mut timing = Self::default();
        for part in text.split(',') {
            let Some((name, value)) = part.trim().split_once('=') else {
                return Err(BadTiming(format!("`{part}` has no value")));
            };
            if name == "jitter" {
                let percent = value.trim_end_matches('%').parse().ok().filter(|percent| *percent <= 100);
                timing.jitter =
                    percent.ok_or_else(|| BadTiming(format!("the jitter `{value}` is not from 0% to 100%")))?;
                continue;
            }
            let field = timing.field(name).ok_or_else(|| BadTiming(format!("`{name}` is nothing that takes time")))?;
            *field = humantime::parse_duration(value)
                .map_err(|error| BadTiming(format!("`{value}` is no duration: {error}")))?;
        }
        Ok(timing)
    }
}

impl Timing {
    /// As fast as can be, for tests.
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

    /// Waits this long, more or less.
    pub(super) async fn pause(&self, time: Duration) {
        let time = vary(time, self.jitter, getrandom::u32().unwrap_or(u32::MAX / 2));
        if !time.is_zero() {
            tokio::time::sleep(time).await;
        }
    }
}

/// The time, varied by at most so many per cent; `random` chooses how much.
fn vary(time: Duration, percent: u8, random: u32) -> Duration {
    let share = f64::from(percent) / 100.0 * (f64::from(random) / f64::from(u32::MAX) * 2.0 - 1.0);
    time.mul_f64(1.0 + share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_written() {
        let timing: Timing = "create=5s,snapshot=10s, request=20ms,jitter=30%".parse().unwrap();
        let seconds = Duration::from_secs;
        let expected = Timing {
            create: seconds(5),
            snapshot: seconds(10),
            request: Duration::from_millis(20),
            jitter: 30,
            ..Timing::default()
        };
        assert_eq!(timing, expected);
        for (bad, why) in [
            ("", "has no value"),
            ("create", "has no value"),
            ("create=fast", "`fast` is no duration"),
            ("delete=5s", "`delete` is nothing that takes time"),
            ("jitter=101%", "not from 0% to 100%"),
        ] {
            let said = bad.parse::<Timing>().unwrap_err().to_string();
            assert!(said.contains(why) && said.contains("create=5s"), "{bad}: {said}");
        }
    }

    #[test]
    fn times_vary_within_their_bounds() {
        let second = Duration::from_secs(1);
        assert_eq!(vary(second, 0, 7), second);
        assert_eq!(vary(second, 30, 0), Duration::from_millis(700));
        assert_eq!(vary(second, 30, u32::MAX), Duration::from_millis(1300));
        assert_eq!(vary(second, 100, 0), Duration::ZERO);
    }
}

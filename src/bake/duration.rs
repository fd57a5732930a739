//! Durations at the edges: as JSON writes them, and as a person reads them. Inside, a duration is a [`Duration`].

use std::time::Duration;

/// As the command line reads it: `1h30m`.
pub fn exact(duration: Duration) -> String {
    humantime::format_duration(duration).to_string().replace(' ', "")
}

/// For tables and progress lines: `12.3s`, `1m05s`.
pub fn short(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, _) => format!("{:.1}s", duration.as_secs_f64()),
        (0, minutes, seconds) => format!("{minutes}m{seconds:02}s"),
        (hours, minutes, seconds) => format!("{hours}h{minutes:02}m{seconds:02}s"),
    }
}

/// Seconds, with a fraction.
pub(super) mod seconds {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(in crate::bake) fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(value.as_secs_f64())
    }

    pub(in crate::bake) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        Duration::try_from_secs_f64(seconds).map_err(serde::de::Error::custom)
    }
}

/// Seconds that a droplet reports. It is not trusted: a number that is not a duration counts as missing.
#[allow(clippy::ref_option, reason = "serde calls it so")]
pub(super) mod reported_seconds {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serialize as _, Serializer};

    pub(in crate::bake) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.map(|duration| duration.as_secs_f64()).serialize(serializer)
    }

    pub(in crate::bake) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        let seconds = Option::<f64>::deserialize(deserializer)?;
        Ok(seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()))
    }
}

/// Whole milliseconds.
pub(super) mod milliseconds {
    use std::time::Duration;

    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(in crate::bake) fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(value.as_millis()).unwrap_or(u64::MAX))
    }

    pub(in crate::bake) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_durations() {
        for (seconds, text) in [(4.04, "4.0s"), (65.4, "1m05s"), (3_725.0, "1h02m05s")] {
            assert_eq!(short(Duration::from_secs_f64(seconds)), text);
        }
    }

    #[test]
    fn exact_durations() {
        assert_eq!(exact(Duration::from_secs(5_400)), "1h30m");
    }

    #[test]
    fn a_droplet_may_report_nonsense() {
        let step = |seconds: &str| -> crate::bake::ports::RunnerStep {
            serde_json::from_str(&format!(r#"{{"name": "a", "state": "passed", "seconds": {seconds}}}"#)).unwrap()
        };
        assert_eq!(step("1.5").elapsed, Some(Duration::from_millis(1_500)));
        for nonsense in ["-1.0", "1e300", "null"] {
            assert_eq!(step(nonsense).elapsed, None, "{nonsense}");
        }
    }
}

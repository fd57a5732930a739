//! What a droplet does from its start on, as a file in YAML says it.

use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

/// Scenarios with a name, and what each shows.
pub(super) const NAMED: [(&str, &str); 12] = [
    ("passes", include_str!("scenarios/passes.yaml")),
    ("fails", include_str!("scenarios/fails.yaml")),
    ("check-fails", include_str!("scenarios/check-fails.yaml")),
    ("never-ends", include_str!("scenarios/never-ends.yaml")),
    ("dies", include_str!("scenarios/dies.yaml")),
    ("deaf", include_str!("scenarios/deaf.yaml")),
    ("wrong-certificate", include_str!("scenarios/wrong-certificate.yaml")),
    ("plain-http", include_str!("scenarios/plain-http.yaml")),
    ("other-bake", include_str!("scenarios/other-bake.yaml")),
    ("garbage", include_str!("scenarios/garbage.yaml")),
    ("endless", include_str!("scenarios/endless.yaml")),
    ("silent", include_str!("scenarios/silent.yaml")),
];

/// What a droplet does from its start on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Until something answers.
    #[serde(default, deserialize_with = "duration")]
    pub(super) boot: Duration,
    /// In order.
    #[serde(default)]
    pub(super) steps: Vec<Step>,
    /// The image check, after all steps.
    #[serde(default)]
    pub(super) check: Option<Check>,
    /// Who answers instead of the droplet.
    #[serde(default)]
    pub(super) hostile: Option<Hostile>,
    /// It powers off by itself, whatever it is at, this long after its start.
    #[serde(default, deserialize_with = "maybe_duration")]
    pub(super) dies: Option<Duration>,
    /// It takes the acknowledgement of its result, and does not power off.
    #[serde(default)]
    pub(super) deaf: bool,
}

/// One step of the runner.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    pub(super) name: String,
    #[serde(default, deserialize_with = "duration")]
    pub(super) takes: Duration,
    /// What it writes into the log, at its end.
    #[serde(default)]
    pub(super) log: String,
    /// It fails, and why.
    #[serde(default)]
    pub(super) fails: Option<String>,
    /// The exit status of a step that fails.
    #[serde(default = "one")]
    pub(super) exit: i64,
    /// It runs for ever.
    #[serde(default)]
    pub(super) endless: bool,
}

/// The image check.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Check {
    #[serde(default, deserialize_with = "duration")]
    pub(super) takes: Duration,
    #[serde(default)]
    pub(super) passed: u64,
    /// A finding each.
    #[serde(default)]
    pub(super) warnings: Vec<String>,
    /// A finding each; one is enough to fail.
    #[serde(default)]
    pub(super) failures: Vec<String>,
}

/// Who answers instead of the droplet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Hostile {
    pub(super) answer: Answer,
    /// So many connections; then the droplet itself answers. All of them, when it is not said.
    #[serde(default)]
    pub(super) connections: Option<u64>,
}

/// What a hostile server does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Answer {
    /// TLS with another certificate.
    WrongCertificate,
    /// HTTP without TLS.
    PlainHttp,
    /// The droplet's certificate, another bake's status.
    OtherBake,
    /// The droplet's certificate, no JSON.
    Garbage,
    /// The droplet's certificate, a body without an end.
    Endless,
    /// The droplet's certificate, a byte now and then.
    Slow,
    /// The droplet's certificate, 401.
    Unauthorized,
    /// It accepts the connection, and says nothing.
    Silent,
    /// It accepts the connection, and closes it.
    Closed,
}

fn one() -> i64 {
    1
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text)
        .map_err(|error| serde::de::Error::custom(format!("`{text}` is no duration ({error}); write 200ms, 5s, 2m")))
}

fn maybe_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

fn names() -> String {
    NAMED.map(|(name, _)| name).join(", ")
}

/// A text that is no scenario.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadScenario {
    /// The file's text is not one.
    #[error("it is no scenario: {0}")]
    Unreadable(String),
    /// A name that none has.
    #[error("`{name}` is neither a file nor the name of a scenario; there are: {}", names())]
    Unknown {
        /// What was given.
        name: String,
    },
}

impl Scenario {
    /// A scenario that comes with the emulator.
    pub fn named(name: &str) -> Result<Self, BadScenario> {
        let found = NAMED.iter().find(|(known, _)| *known == name);
        found.ok_or_else(|| BadScenario::Unknown { name: name.to_owned() })?.1.parse()
    }
}

impl FromStr for Scenario {
    type Err = BadScenario;

    fn from_str(text: &str) -> Result<Self, BadScenario> {
        serde_yaml::from_str(text).map_err(|error| BadScenario::Unreadable(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_named_scenario_can_be_read() {
        for (name, _) in NAMED {
            Scenario::named(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        let said = Scenario::named("nothing").unwrap_err().to_string();
        assert!(said.contains("passes, fails"), "{said}");
    }

    #[test]
    fn a_scenario_with_a_mistake_is_refused() {
        for (text, why) in [
            ("steps: [{name: a, takes: soon}]", "`soon` is no duration"),
            ("stepps: []", "unknown field `stepps`"),
            ("hostile: {answer: rude}", "unknown variant `rude`"),
            ("3", "invalid type"),
        ] {
            let said = text.parse::<Scenario>().unwrap_err().to_string();
            assert!(said.contains(why), "{text}: {said}");
        }
    }
}

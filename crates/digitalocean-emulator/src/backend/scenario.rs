//! Scenarios of scripted droplets: their YAML form, and what the status channel answers at each
//! moment.

use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

/// The named scenarios.
const NAMED: &str = include_str!("scenarios.yaml");

/// How many bytes of the log one status carries at most.
const MAX_LOG_BYTES: usize = 64 << 10;

/// What a droplet does from its start on. Read it from YAML with [`str::parse`], or take one by
/// name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Scenario {
    /// Time from the start until the status channel answers.
    #[serde(deserialize_with = "duration")]
    pub(super) boot: Duration,
    /// The runner's steps, in order.
    pub(super) steps: Vec<ScenarioStep>,
    /// The image check, after all steps.
    pub(super) check: Option<ImageCheck>,
    /// A server that answers instead of the droplet.
    pub(super) hostile: Option<HostileServer>,
    /// Powers off by itself this long after its start, in any state.
    #[serde(deserialize_with = "some_duration")]
    pub(super) dies: Option<Duration>,
    /// Accepts the acknowledgement of its result, but does not power off.
    pub(super) deaf: bool,
}

/// One step of the runner.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScenarioStep {
    name: String,
    #[serde(default, deserialize_with = "duration")]
    takes: Duration,
    /// What it writes to the log at its end.
    #[serde(default)]
    log: String,
    /// Why it fails, if it does.
    #[serde(default)]
    fails: Option<String>,
    /// Its exit status if it fails.
    #[serde(default = "default_exit")]
    exit: i64,
    #[serde(default)]
    endless: bool,
}

/// The image check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ImageCheck {
    #[serde(deserialize_with = "duration")]
    takes: Duration,
    passed: u64,
    warnings: Vec<String>,
    /// One is enough to fail.
    failures: Vec<String>,
}

/// A server that answers instead of the droplet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HostileServer {
    pub(super) answer: HostileAnswer,
    /// After this many connections the droplet itself answers.
    #[serde(default)]
    pub(super) connections: Option<u64>,
}

/// What a hostile server does. From `OtherBake` to `Unauthorized` it has the droplet's own
/// certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum HostileAnswer {
    WrongCertificate,
    PlainHttp,
    OtherBake,
    Garbage,
    /// A body without an end.
    Endless,
    /// One byte every half second.
    Slow,
    Unauthorized,
    /// Accepts the connection and never answers.
    Silent,
    /// Accepts the connection and closes it.
    Closed,
}

fn default_exit() -> i64 {
    1
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(|error| {
        serde::de::Error::custom(format!("`{text}` is not a duration ({error}); write 200ms, 5s or 2m"))
    })
}

fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

/// Why a text is not a scenario.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseScenarioError {
    /// The file's text is not a scenario.
    #[error("it is not a scenario: {0}")]
    Invalid(String),
    /// No scenario has this name.
    #[error("`{name}` is neither a file nor the name of a scenario; the names are {}", Scenario::names().join(", "))]
    Unknown {
        /// What was given.
        name: String,
    },
}

impl Scenario {
    /// A scenario that comes with the emulator.
    pub fn named(name: &str) -> Result<Self, ParseScenarioError> {
        let unknown = || ParseScenarioError::Unknown { name: name.to_owned() };
        let found = named_scenarios().get(name).cloned().ok_or_else(unknown)?;
        serde_yaml::from_value(found).map_err(|error| ParseScenarioError::Invalid(error.to_string()))
    }

    /// The names that [`Scenario::named`] knows.
    pub fn names() -> Vec<String> {
        named_scenarios().keys().filter_map(|name| Some(name.as_str()?.to_owned())).collect()
    }
}

fn named_scenarios() -> serde_yaml::Mapping {
    serde_yaml::from_str(NAMED).unwrap_or_default()
}

impl FromStr for Scenario {
    type Err = ParseScenarioError;

    fn from_str(text: &str) -> Result<Self, ParseScenarioError> {
        serde_yaml::from_str(text).map_err(|error| ParseScenarioError::Invalid(error.to_string()))
    }
}

/// The runner's overall state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RunState {
    Running,
    Complete,
    Passed,
    Failed,
}

impl RunState {
    fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Complete => "complete",
            Self::Passed => "passed",
            Self::Failed => "failed",
        }
    }
}

/// The progress of a scenario at one moment.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    pub(super) state: RunState,
    pub(super) log: String,
    elapsed: Duration,
    steps: Vec<Value>,
    check: Value,
    error: Value,
}

impl Progress {
    /// The scenario's progress this long after the status channel came up.
    pub(super) fn at(scenario: &Scenario, elapsed: Duration) -> Self {
        let mut progress = Self {
            state: RunState::Running,
            log: String::new(),
            elapsed,
            steps: Vec::new(),
            check: Value::Null,
            error: Value::Null,
        };
        let mut begins = Duration::ZERO;
        let mut is_over = true;
        for step in &scenario.steps {
            is_over &= progress.add_step(step, begins);
            begins += step.takes;
        }
        if let Some(check) = &scenario.check {
            let is_reached = is_over && progress.state == RunState::Running && elapsed >= begins;
            if is_reached {
                progress.state = RunState::Complete;
            }
            is_over &= progress.add_step(&check.as_step(), begins);
            if is_reached && is_over {
                progress.check = check.result();
            }
        }
        if is_over && progress.state != RunState::Failed {
            progress.state = RunState::Passed;
        }
        progress
    }

    /// The progress while files are uploaded, or why that failed.
    pub(super) fn of_upload(failure: Option<&str>) -> Self {
        let scenario = ScenarioStep {
            name: "upload".to_owned(),
            takes: Duration::ZERO,
            log: String::new(),
            fails: failure.map(str::to_owned),
            exit: 1,
            endless: failure.is_none(),
        };
        Self::at(&Scenario { steps: vec![scenario], ..Scenario::default() }, Duration::ZERO)
    }

    /// Adds a step that begins at this time; returns whether it is over.
    fn add_step(&mut self, step: &ScenarioStep, begins: Duration) -> bool {
        let ends = begins + step.takes;
        let (state, seconds, exit) = if self.state == RunState::Failed {
            ("skipped", Value::Null, Value::Null)
        } else if self.elapsed < begins || self.steps.iter().any(|before| before["state"] == "running") {
            ("pending", Value::Null, Value::Null)
        } else if step.endless || self.elapsed < ends {
            ("running", json!(self.elapsed.saturating_sub(begins).as_secs_f64()), Value::Null)
        } else {
            let (state, exit) = if step.fails.is_some() { ("failed", step.exit) } else { ("passed", 0) };
            (state, json!(step.takes.as_secs_f64()), json!(exit))
        };
        self.steps.push(json!({"name": step.name, "state": state, "seconds": seconds, "exit": exit}));
        if matches!(state, "passed" | "failed") || step.endless && state == "running" {
            self.log.extend(step.log.lines().map(|line| format!("{}: {line}\n", step.name)));
        }
        if let ("failed", Some(message)) = (state, &step.fails) {
            self.state = RunState::Failed;
            self.error = json!({"step": step.name, "message": message, "exit": step.exit, "tail": step.log.trim_end()});
        }
        matches!(state, "passed" | "failed" | "skipped")
    }

    /// The status document of the channel, with the log from this byte on.
    pub(super) fn status(&self, bake: &str, log_offset: usize) -> Value {
        let from = log_offset.min(self.log.len());
        let to = (from + MAX_LOG_BYTES).min(self.log.len());
        let part = self.log.as_bytes().get(from..to).unwrap_or_default();
        json!({
            "version": 1,
            "bake": bake,
            "state": self.state.name(),
            "elapsed": self.elapsed.as_secs_f64(),
            "steps": self.steps,
            "log": {"next": to, "text": String::from_utf8_lossy(part)},
            "check": self.check,
            "error": self.error,
        })
    }
}

impl ImageCheck {
    fn as_step(&self) -> ScenarioStep {
        let warnings = self.warnings.iter().map(|text| ("WARN", text));
        let failures = self.failures.iter().map(|text| ("FAIL", text));
        let line = |(level, text): (&str, &String)| format!("[{level}] {text}\n");
        let failed = |first: &String| format!("{} of the check's tests failed: {first}", self.failures.len());
        ScenarioStep {
            name: "check 99-img-check.sh".to_owned(),
            takes: self.takes,
            log: warnings.chain(failures).map(line).collect(),
            fails: self.failures.first().map(failed),
            exit: 1,
            endless: false,
        }
    }

    fn result(&self) -> Value {
        let finding = |level: &str, text: &String| json!({"level": level, "text": text});
        let failures = self.failures.iter().map(|text| finding("fail", text));
        let warnings = self.warnings.iter().map(|text| finding("warn", text));
        json!({
            "exit": i64::from(!self.failures.is_empty()),
            "passed": self.passed,
            "warnings": self.warnings.len(),
            "failed": self.failures.len(),
            "findings": failures.chain(warnings).collect::<Vec<_>>(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_named_scenario_can_be_read() {
        let names = Scenario::names();
        assert_eq!(names.len(), 12);
        for name in names {
            Scenario::named(&name).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        let error = Scenario::named("nothing").unwrap_err().to_string();
        assert!(error.contains("passes, fails"), "{error}");
    }

    #[test]
    fn a_scenario_with_a_mistake_is_refused() {
        for (text, why) in [
            ("steps: [{name: a, takes: soon}]", "`soon` is not a duration"),
            ("stepps: []", "unknown field `stepps`"),
            ("hostile: {answer: rude}", "unknown variant `rude`"),
            ("3", "invalid type"),
        ] {
            let error = text.parse::<Scenario>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    fn at(scenario: &str, milliseconds: u64) -> (RunState, String, Value) {
        let scenario: Scenario = scenario.parse().unwrap();
        let progress = Progress::at(&scenario, Duration::from_millis(milliseconds));
        let states: Vec<&str> = progress.steps.iter().filter_map(|step| step["state"].as_str()).collect();
        (progress.state, states.join(" "), progress.status("b", 0))
    }

    #[test]
    fn a_scenario_that_passes() {
        let scenario = "steps: [{name: a, takes: 1s, log: \"x\\ny\\n\"}, {name: b, takes: 1s}]\ncheck: {takes: 1s, passed: 2, warnings: [w]}";
        assert_eq!(at(scenario, 0).1, "running pending pending");
        assert_eq!(at(scenario, 1500).1, "passed running pending");
        let (state, steps, status) = at(scenario, 2500);
        assert_eq!(
            (state, steps.as_str(), &status["check"]),
            (RunState::Complete, "passed passed running", &Value::Null)
        );
        let (state, steps, status) = at(scenario, 3000);
        assert_eq!((state, steps.as_str()), (RunState::Passed, "passed passed passed"));
        assert_eq!(status["check"]["passed"], 2);
        assert_eq!(status["log"], json!({"next": 42, "text": "a: x\na: y\ncheck 99-img-check.sh: [WARN] w\n"}));
    }

    #[test]
    fn a_step_that_fails_and_one_that_never_ends() {
        let (state, steps, status) = at("steps: [{name: a, fails: why, log: l}, {name: b}]\ncheck: {}", 9000);
        assert_eq!((state, steps.as_str()), (RunState::Failed, "failed skipped skipped"));
        assert_eq!(status["error"], json!({"step": "a", "message": "why", "exit": 1, "tail": "l"}));
        let (state, steps, _) = at("steps: [{name: a, endless: true}, {name: b}]\ncheck: {}", 9000);
        assert_eq!((state, steps.as_str()), (RunState::Running, "running pending pending"));
        let (state, _, status) = at("check: {failures: [f]}", 0);
        assert_eq!((state, &status["check"]["failed"]), (RunState::Failed, &json!(1)));
        assert_eq!(at("{}", 0).0, RunState::Passed);
    }

    #[test]
    fn a_status_carries_at_most_64_kib_of_the_log() {
        // A line of the log is "a: ", the text and a line feed.
        let status = |length: usize, offset: usize| {
            let scenario: Scenario = format!("steps: [{{name: a, log: {}}}]", "x".repeat(length - 4)).parse().unwrap();
            let log = Progress::at(&scenario, Duration::ZERO).status("b", offset)["log"].clone();
            (log["next"].as_u64().unwrap(), log["text"].as_str().unwrap().len())
        };
        assert_eq!(status(MAX_LOG_BYTES, 0), (65_536, 65_536));
        assert_eq!(status(MAX_LOG_BYTES + 1, 0), (65_536, 65_536));
        assert_eq!(status(MAX_LOG_BYTES + 1, 65_536), (65_537, 1));
        assert_eq!(status(MAX_LOG_BYTES, 70_000), (65_536, 0));
    }
}

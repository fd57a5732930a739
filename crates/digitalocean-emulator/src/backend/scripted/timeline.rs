//! Where a scenario stands at a moment: what the status channel says then. Nothing but arithmetic.

use std::time::Duration;

use serde_json::{Value, json};

use super::scenario::{Scenario, Step};

/// What a status carries of the log at most.
const PIECE: usize = 64 << 10;

/// Where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Running,
    Complete,
    Passed,
    Failed,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Complete => "complete",
            Self::Passed => "passed",
            Self::Failed => "failed",
        }
    }
}

/// A moment of a scenario.
#[derive(Debug, Clone)]
pub(super) struct Moment {
    pub(super) state: State,
    pub(super) log: String,
    elapsed: Duration,
    steps: Vec<Value>,
    check: Value,
    error: Value,
}

impl Moment {
    /// The scenario, so long after the droplet was up.
    pub(super) fn of(scenario: &Scenario, elapsed: Duration) -> Self {
        let mut moment = Self {
            state: State::Running,
            log: String::new(),
            elapsed,
            steps: Vec::new(),
            check: Value::Null,
            error: Value::Null,
        };
        let mut begins = Duration::ZERO;
        let mut over = true;
        for step in &scenario.steps {
            over &= moment.step(step, begins);
            begins += step.takes;
        }
        if let Some(check) = &scenario.check {
            let fails = check
                .failures
                .first()
                .map(|first| format!("{} of the check's tests failed: {first}", check.failures.len()));
            let mut log = String::new();
            for (level, findings) in [("WARN", &check.warnings), ("FAIL", &check.failures)] {
                log.extend(findings.iter().map(|text| format!("[{level}] {text}\n")));
            }
            let reached = over && moment.state == State::Running && elapsed >= begins;
            let step = Step {
                name: "check 99-img-check.sh".to_owned(),
                takes: check.takes,
                log,
                exit: 1,
                endless: false,
                fails,
            };
            if reached {
                moment.state = State::Complete;
            }
            over &= moment.step(&step, begins);
            if reached && over {
                let finding = |level: &str, text: &String| json!({"level": level, "text": text});
                let warnings = check.warnings.iter().map(|text| finding("warn", text));
                let failures = check.failures.iter().map(|text| finding("fail", text));
                moment.check = json!({
                    "exit": i64::from(!check.failures.is_empty()),
                    "passed": check.passed,
                    "warnings": check.warnings.len(),
                    "failed": check.failures.len(),
                    "findings": failures.chain(warnings).collect::<Vec<_>>(),
                });
            }
        }
        if over && moment.state != State::Failed {
            moment.state = State::Passed;
        }
        moment
    }

    /// Counts a step that begins then; whether it is over.
    fn step(&mut self, step: &Step, begins: Duration) -> bool {
        let ends = begins + step.takes;
        let (state, seconds, exit) = if self.state == State::Failed {
            ("skipped", Value::Null, Value::Null)
        } else if self.elapsed < begins || self.steps.iter().any(|before| before["state"] == "running") {
            ("pending", Value::Null, Value::Null)
        } else if step.endless || self.elapsed < ends {
            ("running", json!(self.elapsed.saturating_sub(begins).as_secs_f64()), Value::Null)
        } else {
            let failed = step.fails.is_some();
            let exit = if failed { step.exit } else { 0 };
            (if failed { "failed" } else { "passed" }, json!(step.takes.as_secs_f64()), json!(exit))
        };
        self.steps.push(json!({"name": step.name, "state": state, "seconds": seconds, "exit": exit}));
        if matches!(state, "passed" | "failed") || step.endless && state == "running" {
            self.log.extend(step.log.lines().map(|line| format!("{}: {line}\n", step.name)));
        }
        if let ("failed", Some(message)) = (state, &step.fails) {
            self.state = State::Failed;
            self.error = json!({"step": step.name, "message": message, "exit": step.exit, "tail": step.log.trim_end()});
        }
        matches!(state, "passed" | "failed" | "skipped")
    }

    /// The status, with the log from this byte on.
    pub(super) fn status(&self, bake: &str, offset: usize) -> Value {
        let from = offset.min(self.log.len());
        let piece = self.log.as_bytes().get(from..(from + PIECE).min(self.log.len())).unwrap_or_default();
        json!({
            "version": 1,
            "bake": bake,
            "state": self.state.name(),
            "elapsed": self.elapsed.as_secs_f64(),
            "steps": self.steps,
            "log": {"next": from + piece.len(), "text": String::from_utf8_lossy(piece)},
            "check": self.check,
            "error": self.error,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(scenario: &str, milliseconds: u64) -> (State, String, Value) {
        let scenario: Scenario = scenario.parse().unwrap();
        let moment = Moment::of(&scenario, Duration::from_millis(milliseconds));
        let states: Vec<&str> = moment.steps.iter().filter_map(|step| step["state"].as_str()).collect();
        (moment.state, states.join(" "), moment.status("b", 0))
    }

    #[test]
    fn a_scenario_that_passes() {
        let scenario = "steps: [{name: a, takes: 1s, log: \"x\\ny\\n\"}, {name: b, takes: 1s}]\ncheck: {takes: 1s, passed: 2, warnings: [w]}";
        assert_eq!(at(scenario, 0).1, "running pending pending");
        assert_eq!(at(scenario, 1500).1, "passed running pending");
        let (state, steps, status) = at(scenario, 2500);
        assert_eq!((state, steps.as_str(), &status["check"]), (State::Complete, "passed passed running", &Value::Null));
        let (state, steps, status) = at(scenario, 3000);
        assert_eq!((state, steps.as_str()), (State::Passed, "passed passed passed"));
        assert_eq!(status["check"]["passed"], 2);
        assert_eq!(status["log"], json!({"next": 42, "text": "a: x\na: y\ncheck 99-img-check.sh: [WARN] w\n"}));
    }

    #[test]
    fn a_step_that_fails_and_one_that_never_ends() {
        let (state, steps, status) = at("steps: [{name: a, fails: why, log: l}, {name: b}]\ncheck: {}", 9000);
        assert_eq!((state, steps.as_str()), (State::Failed, "failed skipped skipped"));
        assert_eq!(status["error"], json!({"step": "a", "message": "why", "exit": 1, "tail": "l"}));
        let (state, steps, _) = at("steps: [{name: a, endless: true}, {name: b}]\ncheck: {}", 9000);
        assert_eq!((state, steps.as_str()), (State::Running, "running pending pending"));
        let (state, _, status) = at("check: {failures: [f]}", 0);
        assert_eq!((state, &status["check"]["failed"]), (State::Failed, &json!(1)));
        assert_eq!(at("{}", 0).0, State::Passed);
    }

    #[test]
    fn a_status_carries_at_most_64_kib_of_the_log() {
        // A line of the log is "a: ", the text and a line feed.
        let status = |length: usize, offset: usize| {
            let scenario: Scenario = format!("steps: [{{name: a, log: {}}}]", "x".repeat(length - 4)).parse().unwrap();
            let log = Moment::of(&scenario, Duration::ZERO).status("b", offset)["log"].clone();
            (log["next"].as_u64().unwrap(), log["text"].as_str().unwrap().len())
        };
        assert_eq!(status(PIECE, 0), (65_536, 65_536));
        assert_eq!(status(PIECE + 1, 0), (65_536, 65_536));
        assert_eq!(status(PIECE + 1, 65_536), (65_537, 1));
        assert_eq!(status(PIECE, 70_000), (65_536, 0));
    }
}

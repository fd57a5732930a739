//! The report of a bake: what was baked, how long each stage and step took, what the check found, and the result. As JSON
//! for programs, and as one self-contained HTML page for people.

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;

use super::duration::{self, seconds};
use super::outcome::{FailureKind, Outcome};
use super::ports::{Check, Event, RunnerStep};
use super::spec::{MarkerKind, Spec, Stage};

#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Always 1.
    pub version: u32,
    pub bake: String,
    /// What the bake was to do.
    pub spec: Spec,
    /// RFC 3339, UTC.
    pub started: String,
    /// How long the bake took.
    #[serde(rename = "seconds", with = "seconds")]
    pub elapsed: Duration,
    /// `sha256:…` of the rendered document.
    pub document: String,
    /// Whether the programs are stubs.
    #[serde(rename = "stand_ins")]
    pub stubs: bool,
    pub stages: Vec<StageTime>,
    /// The build droplet's steps, in order.
    pub steps: Vec<RunnerStep>,
    /// What the check script found.
    pub check: Option<Check>,
    /// `done`, `failed` or `interrupted`.
    pub result: String,
    pub exit: u8,
    /// The snapshot, where there is one.
    pub snapshot: Option<super::ports::Snapshot>,
    /// Whether a droplet was started from it and passed.
    pub verified: bool,
    pub failure: Option<String>,
    /// Errors of local droplets.
    #[serde(rename = "mishaps")]
    pub droplet_errors: Vec<String>,
    /// The last lines of the failed step.
    pub tail: Option<String>,
    /// What costs money and still exists.
    #[serde(rename = "left")]
    pub remaining: Vec<String>,
    /// The command that removes it.
    pub remove: Option<String>,
    /// The command that finishes the bake, where the snapshot is complete.
    pub resume: Option<String>,
    /// The bake's warnings.
    pub warnings: Vec<String>,
    /// When the current stage began.
    #[serde(skip)]
    running_since: Option<Duration>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StageTime {
    pub stage: Stage,
    /// What it did.
    pub detail: String,
    /// How long it took.
    #[serde(rename = "seconds", with = "seconds")]
    pub elapsed: Duration,
}

impl Report {
    /// An empty report of a bake that began at `started`, in seconds since 1970.
    pub fn new(spec: &Spec, started: u64, document: String, stubs: bool) -> Self {
        Self {
            version: 1,
            bake: spec.id.to_string(),
            spec: spec.clone(),
            started: humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(started)).to_string(),
            elapsed: Duration::ZERO,
            document,
            stubs,
            stages: Vec::new(),
            steps: Vec::new(),
            check: None,
            result: String::new(),
            exit: 0,
            snapshot: None,
            verified: false,
            failure: None,
            droplet_errors: Vec::new(),
            tail: None,
            remaining: Vec::new(),
            remove: None,
            resume: None,
            warnings: Vec::new(),
            running_since: None,
        }
    }

    /// Adds an event; `at` is the time since the bake began.
    pub fn add_event(&mut self, at: Duration, event: &Event) {
        match event {
            Event::Stage { stage, detail } => {
                self.end_stage(at);
                self.stages.push(StageTime { stage: *stage, detail: detail.clone(), elapsed: Duration::ZERO });
                self.running_since = Some(at);
            }
            Event::Step(step) if !self.in_verification() => {
                match self.steps.iter_mut().find(|known| known.name == step.name) {
                    Some(known) => known.clone_from(step),
                    None => self.steps.push(step.clone()),
                }
            }
            Event::Checked(check) if !self.in_verification() => self.check = Some(check.clone()),
            Event::Warning { message } => self.warnings.push(message.clone()),
            _ => {}
        }
    }

    fn in_verification(&self) -> bool {
        self.stages.last().is_some_and(|last| last.stage == Stage::Verify)
    }

    fn end_stage(&mut self, at: Duration) {
        if let (Some(last), Some(since)) = (self.stages.last_mut(), self.running_since.take()) {
            last.elapsed = at.saturating_sub(since);
        }
    }

    /// Adds the outcome; `at` is the time since the bake began.
    pub fn end(&mut self, at: Duration, outcome: &Outcome) {
        self.end_stage(at);
        self.elapsed = at;
        self.exit = outcome.exit_status();
        self.remaining = outcome.remaining().iter().map(ToString::to_string).collect();
        match outcome {
            Outcome::Done(product) => {
                "done".clone_into(&mut self.result);
                self.snapshot = Some(product.snapshot.clone());
                self.verified = product.verified;
            }
            Outcome::Failed { failure, .. } => {
                "failed".clone_into(&mut self.result);
                self.failure = Some(failure.to_string());
                if let FailureKind::Runner(runner) = &failure.kind {
                    self.tail = Some(runner.error.tail.clone()).filter(|tail| !tail.is_empty());
                    self.check = runner.check.clone().or(self.check.take());
                }
            }
            Outcome::Interrupted { .. } => "interrupted".clone_into(&mut self.result),
        }
    }

    fn title(&self) -> &str {
        self.snapshot.as_ref().map_or(&self.spec.snapshot.name, |snapshot| &snapshot.name)
    }

    /// The HTML page of one bake, or of several with a table of them first.
    pub fn html(reports: &[&Self]) -> String {
        let mut page = String::with_capacity(8 * 1024);
        let title = match reports {
            [one] => escape(one.title()),
            several => format!("{} bakes", several.len()),
        };
        let _ = writeln!(
            page,
            "<!doctype html>\n<html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\n<title>{title} — mkimg bake</title>\n<style>{STYLE}</style>"
        );
        if reports.len() != 1 {
            let _ = writeln!(page, "<h1>{title}</h1>\n<table>");
            for report in reports {
                let (bake, name, result) = (escape(&report.bake), escape(report.title()), escape(&report.result));
                let mood = if report.result == "done" { "good" } else { "bad" };
                let (image, region) = (escape(&report.spec.droplet.image), escape(&report.spec.droplet.region));
                let time = duration::short(report.elapsed);
                let _ = writeln!(
                    page,
                    "<tr><td><a href=\"#{bake}\">{name}</a><td>{image}<td>{region}<td class={mood}>{result}<td class=n>{time}"
                );
            }
            page.push_str("</table>\n");
        }
        for report in reports {
            report.section(&mut page);
        }
        let bakes: Vec<String> = reports.iter().map(|report| escape(&report.bake)).collect();
        let _ =
            writeln!(page, "<footer>mkimg {}, bake {}</footer>\n</html>", env!("CARGO_PKG_VERSION"), bakes.join(", "));
        page
    }

    fn section(&self, page: &mut String) {
        let (mood, word, proof) = match self.result.as_str() {
            "done" if self.verified => ("good", "done", ", and verified"),
            "done" => ("good", "done", "; not verified"),
            "interrupted" => ("bad", "interrupted", ""),
            _ => ("bad", "failed", ""),
        };
        let _ = write!(
            page,
            "<div id=\"{bake}\"></div>\n<h1>{title}</h1>\n<p class=\"result {mood}\">{word} in {time}{proof}</p>\n",
            bake = escape(&self.bake),
            title = escape(self.title()),
            time = duration::short(self.elapsed),
        );
        if self.stubs {
            page.push_str("<p class=\"result warn\"><b>Made with stand-ins:</b> its programs are test programs instead of the real ones. Not for production.</p>\n");
        }
        if let Some(failure) = &self.failure {
            let _ = writeln!(page, "<p class=\"result bad\">{}</p>", escape(failure));
        }
        for error in &self.droplet_errors {
            let _ = writeln!(page, "<p>{}</p>", escape(error));
        }
        if let Some(tail) = &self.tail {
            let _ = writeln!(page, "<pre>{}</pre>", escape(tail));
        }
        if !self.remaining.is_empty() {
            page.push_str("<h2>Still there, and costs money</h2>\n<ul>\n");
            for resource in &self.remaining {
                let _ = writeln!(page, "<li class=bad>{}", escape(resource));
            }
            page.push_str("</ul>\n");
            if let Some(command) = &self.resume {
                let _ = writeln!(
                    page,
                    "<p>The snapshot is finished, so nothing was deleted. Finish the bake: <code>{}</code></p>",
                    escape(command)
                );
            }
            if let Some(command) = &self.remove {
                let _ = writeln!(page, "<p>Remove it: <code>{}</code></p>", escape(command));
            }
        }
        self.facts(page);
        if !self.stages.is_empty() {
            page.push_str("<h2>Stages</h2>\n<table>\n");
            let longest = self.stages.iter().map(|stage| stage.elapsed).max().unwrap_or_default();
            let mut before = None;
            for stage in &self.stages {
                // The name of a stage that has several parts is written once.
                let name = if before == Some(stage.stage) { String::new() } else { stage.stage.to_string() };
                before = Some(stage.stage);
                let (detail, time, bar) =
                    (escape(&stage.detail), duration::short(stage.elapsed), bar(stage.elapsed, longest));
                let _ = writeln!(page, "<tr><th>{name}<td>{detail}<td class=n>{time}{bar}");
            }
            page.push_str("</table>\n");
        }
        if !self.steps.is_empty() {
            page.push_str("<h2>Steps on the droplet</h2>\n<table>\n");
            let longest = self.steps.iter().filter_map(|step| step.elapsed).max().unwrap_or_default();
            for step in &self.steps {
                let class = match step.state.as_str() {
                    "failed" => "bad",
                    "passed" => "good",
                    _ => "warn",
                };
                let time = step.elapsed.map(duration::short).unwrap_or_default();
                let (name, state) = (escape(&step.name), escape(&step.state));
                let bar = bar(step.elapsed.unwrap_or_default(), longest);
                let _ = writeln!(page, "<tr><td>{name}<td class={class}>{state}<td class=n>{time}{bar}");
            }
            page.push_str("</table>\n");
        }
        self.check_table(page);
        if !self.warnings.is_empty() {
            page.push_str("<h2>Warnings</h2>\n<ul>\n");
            for warning in &self.warnings {
                let _ = writeln!(page, "<li class=warn>{}", escape(warning));
            }
            page.push_str("</ul>\n");
        }
    }

    fn facts(&self, page: &mut String) {
        let spec = &self.spec;
        let marker = match spec.marker {
            MarkerKind::Https => "the droplet's status channel, over TLS",
            MarkerKind::Poweroff => "the droplet powering itself off",
        };
        let mut facts = vec![
            ("Bake", self.bake.clone()),
            ("Started", self.started.clone()),
            ("Base image", spec.droplet.image.clone()),
            ("Droplet", format!("{}, {}", spec.droplet.size, spec.droplet.region)),
            ("Document", self.document.clone()),
            ("Marker", marker.to_owned()),
        ];
        if let Some(snapshot) = &self.snapshot {
            facts.push(("Snapshot", format!("{} (id {})", snapshot.name, snapshot.id)));
            facts.push(("Regions", snapshot.regions.join(", ")));
            if snapshot.size_gb > 0.0 {
                facts.push(("Size", format!("{:.2} GB", snapshot.size_gb)));
            }
            facts.push(("Tags", snapshot.tags.join(", ")));
        }
        page.push_str("<table>\n");
        for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
            let _ = writeln!(page, "<tr><th>{name}<td>{}", escape(value));
        }
        page.push_str("</table>\n");
    }

    fn check_table(&self, page: &mut String) {
        let Some(check) = &self.check else { return };
        let _ = writeln!(
            page,
            "<h2>Image check</h2>\n<p>{} passed, <span class={}>{} warnings</span>, <span class={}>{} failed</span></p>",
            check.passed,
            if check.warnings > 0 { "warn" } else { "good" },
            check.warnings,
            if check.failed > 0 { "bad" } else { "good" },
            check.failed
        );
        if !check.findings.is_empty() {
            page.push_str("<table>\n");
            for finding in &check.findings {
                let class = if finding.level == "fail" { "bad" } else { "warn" };
                let _ = writeln!(page, "<tr><td class={class}>{}<td>{}", escape(&finding.level), escape(&finding.text));
            }
            page.push_str("</table>\n");
        }
    }
}

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1b1f24;background:#fff}\
h1{margin-bottom:.5rem;overflow-wrap:anywhere}h2{margin-top:2rem;font-size:1.15rem}table{border-collapse:collapse;width:100%}\
td,th{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #d8dee4;vertical-align:top;overflow-wrap:anywhere}th{width:7rem;font-weight:600;white-space:nowrap}\
.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}.bar{width:25%}.bar i{display:block;height:.7rem;margin-top:.45rem;background:#0969da;border-radius:.2rem;min-width:2px}\
.result{padding:.5rem .8rem;border-left:.3rem solid;background:#f6f8fa}.good{color:#1a7f37}.warn{color:#9a6700}.bad{color:#cf222e}\
pre{background:#f6f8fa;padding:1rem;overflow:auto;border-radius:.4rem}footer{margin-top:2rem;color:#59636e;font-size:.85rem}\
@media(prefers-color-scheme:dark){body{background:#0d1117;color:#e6edf3}td,th{border-color:#30363d}pre,.result{background:#161b22}footer{color:#9198a1}\
.good{color:#3fb950}.warn{color:#d29922}.bad{color:#f85149}.bar i{background:#58a6ff}}@media print{body{max-width:none}}";

/// A table cell with a bar, if it is long enough to be seen.
fn bar(elapsed: Duration, longest: Duration) -> String {
    let longest = longest.max(Duration::from_millis(100));
    let width = (elapsed.as_secs_f64() / longest.as_secs_f64() * 100.0).clamp(0.0, 100.0);
    if width < 0.2 {
        return "<td class=bar>".to_owned();
    }
    format!("<td class=bar><i style=\"width:{width:.1}%\"></i>")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bake::outcome::{Failure, Product, RunnerFailure};
    use crate::bake::ports::{CheckFinding, RunnerError, Snapshot};
    use crate::bake::tests::support::spec;
    use crate::bake::{RemainingResource, ResourceId};

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn step(name: &str, state: &str, seconds: u64) -> Event {
        Event::Step(RunnerStep { name: name.into(), state: state.into(), elapsed: Some(at(seconds)), exit: Some(0) })
    }

    fn check(passed: u64) -> Check {
        let finding = CheckFinding { level: "warn".into(), text: "no <swap>".into() };
        Check { exit: Some(0), passed, warnings: 1, failed: 0, findings: vec![finding] }
    }

    /// A bake that is under way: provisioned, and being verified.
    fn under_way() -> Report {
        let mut report = Report::new(&spec(), 60, "sha256:abc".into(), true);
        let stage = |stage, detail: &str| Event::Stage { stage, detail: detail.into() };
        for (seconds, event) in [
            (0, stage(Stage::Create, "build droplet")),
            (2, stage(Stage::Provision, "following")),
            (3, step("script 01", "running", 1)),
            (4, step("script 01", "passed", 2)),
            (4, step("trim", "skipped", 0)),
            (5, Event::Warning { message: "the list lags".into() }),
            (5, Event::Note { message: "nothing of note".into() }),
            (6, Event::Checked(check(8))),
            (10, stage(Stage::Verify, "a new droplet")),
            (11, stage(Stage::Verify, "following it")),
            (12, step("verify commands", "passed", 1)),
            (13, Event::Checked(check(3))),
        ] {
            report.add_event(at(seconds), &event);
        }
        report
    }

    fn done() -> Outcome {
        let snapshot = Snapshot {
            id: "77".into(),
            name: "product-1".into(),
            regions: vec!["nyc3".into(), "fra1".into()],
            tags: vec!["release".into()],
            droplet: Some(1),
            size_gb: 1.5,
        };
        Outcome::Done(Product { snapshot, check: Some(check(8)), verified: true })
    }

    fn failed() -> Outcome {
        let error = RunnerError {
            step: "check".into(),
            message: "exit <status> 1".into(),
            exit: Some(1),
            tail: "[FAIL] <ufw>".into(),
        };
        let runner = RunnerFailure { error, check: Some(Check { failed: 2, ..check(6) }), log: None };
        let failure = Failure::new(Stage::Provision, FailureKind::Runner(Box::new(runner)));
        let remaining = vec![ResourceId::Droplet(1).remaining("kept")];
        Outcome::Failed { failure, remaining, resumable: false }
    }

    #[test]
    fn each_field_of_the_json_says_what_happened() {
        let mut report = under_way();
        report.end(at(20), &done());
        let mut found = serde_json::to_value(&report).unwrap();
        assert_eq!(found["spec"], serde_json::to_value(spec()).unwrap());
        found.as_object_mut().unwrap().remove("spec");
        let stage = |stage, detail, seconds: f64| json!({"stage": stage, "detail": detail, "seconds": seconds});
        let expected = json!({
            "version": 1, "bake": spec().id.to_string(), "started": "1970-01-01T00:01:00Z", "seconds": 20.0,
            "document": "sha256:abc", "stand_ins": true,
            "stages": [
                stage("create", "build droplet", 2.0),
                stage("provision", "following", 8.0),
                stage("verify", "a new droplet", 1.0),
                stage("verify", "following it", 9.0),
            ],
            // The steps and the check of the verification droplet do not take the place of the image's.
            "steps": [
                {"name": "script 01", "state": "passed", "seconds": 2.0, "exit": 0},
                {"name": "trim", "state": "skipped", "seconds": 0.0, "exit": 0},
            ],
            "check": {"exit": 0, "passed": 8, "warnings": 1, "failed": 0, "findings": [{"level": "warn", "text": "no <swap>"}]},
            "result": "done", "exit": 0,
            "snapshot": {"id": "77", "name": "product-1", "regions": ["nyc3", "fra1"], "tags": ["release"], "droplet": 1, "size_gb": 1.5},
            "verified": true, "failure": null, "mishaps": [], "tail": null, "left": [], "remove": null, "resume": null,
            "warnings": ["the list lags"],
        });
        assert_eq!(found, expected);

        let mut report = under_way();
        report.end(at(20), &failed());
        let found = serde_json::to_value(&report).unwrap();
        for (field, expected) in [
            ("result", json!("failed")),
            ("exit", json!(4)),
            ("failure", json!("provision: on the droplet, step `check` failed: exit <status> 1")),
            ("tail", json!("[FAIL] <ufw>")),
            ("left", json!(["droplet 1 (kept)"])),
            ("verified", json!(false)),
            ("snapshot", json!(null)),
        ] {
            assert_eq!(found[field], expected, "{field}");
        }
        assert_eq!(found["check"]["failed"], 2, "the check of the failure is the last one");

        let mut report = under_way();
        report.end(
            at(20),
            &Outcome::Interrupted { remaining: vec![RemainingResource::Snapshot { id: "7".into(), why: "x".into() }] },
        );
        assert_eq!((report.result.as_str(), report.exit, report.failure), ("interrupted", 130, None));
        assert_eq!(report.remaining, ["snapshot 7 (x)"]);
    }

    /// What a person looks for, in the order of the page.
    #[track_caller]
    fn assert_page(reports: &[&Report], parts: &[&str]) {
        let page = Report::html(reports);
        let mut rest = page.as_str();
        for part in parts {
            let Some(at) = rest.find(part) else { panic!("`{part}` is not at its place in\n{page}") };
            rest = &rest[at + part.len()..];
        }
    }

    #[test]
    fn the_page_has_everything_that_the_json_has() {
        let mut report = under_way();
        report.end(at(20), &done());
        assert_page(
            &[&report],
            &[
                "<title>product-1 — mkimg bake</title>",
                "<div id=\"19700101-000000-010203\"></div>\n<h1>product-1</h1>\n<p class=\"result good\">done in 20.0s, and verified</p>",
                "<b>Made with stand-ins:</b>",
                "<tr><th>Bake<td>19700101-000000-010203",
                "<tr><th>Started<td>1970-01-01T00:01:00Z",
                "<tr><th>Base image<td>debian-12-x64",
                "<tr><th>Droplet<td>s-1vcpu-1gb, nyc3",
                "<tr><th>Document<td>sha256:abc",
                "<tr><th>Marker<td>the droplet's status channel, over TLS",
                "<tr><th>Snapshot<td>product-1 (id 77)",
                "<tr><th>Regions<td>nyc3, fra1",
                "<tr><th>Size<td>1.50 GB",
                "<tr><th>Tags<td>release",
                "<h2>Stages</h2>",
                "<tr><th>create<td>build droplet<td class=n>2.0s<td class=bar><i style=\"width:22.2%\">",
                "<tr><th>provision<td>following<td class=n>8.0s",
                "<tr><th>verify<td>a new droplet<td class=n>1.0s",
                "<tr><th><td>following it<td class=n>9.0s<td class=bar><i style=\"width:100.0%\">",
                "<h2>Steps on the droplet</h2>",
                "<tr><td>script 01<td class=good>passed<td class=n>2.0s<td class=bar><i style=\"width:100.0%\">",
                "<tr><td>trim<td class=warn>skipped<td class=n>0.0s<td class=bar>\n",
                "<h2>Image check</h2>\n<p>8 passed, <span class=warn>1 warnings</span>, <span class=good>0 failed</span></p>",
                "<tr><td class=warn>warn<td>no &lt;swap&gt;",
                "<h2>Warnings</h2>\n<ul>\n<li class=warn>the list lags",
                &format!("<footer>mkimg {}, bake 19700101-000000-010203</footer>", env!("CARGO_PKG_VERSION")),
            ],
        );
        assert!(!Report::html(&[&report]).contains("Still there"));

        let mut bad = under_way();
        bad.spec.marker = MarkerKind::Poweroff;
        bad.stubs = false;
        bad.end(at(20), &failed());
        bad.droplet_errors = vec!["droplet 1: it <crashed>".into()];
        (bad.remove, bad.resume) = (Some("mkimg gc 1".into()), Some("mkimg resume 1".into()));
        assert_page(
            &[&bad],
            &[
                "<h1>product</h1>\n<p class=\"result bad\">failed in 20.0s</p>\n<p class=\"result bad\">provision: on the droplet, step `check` failed: exit &lt;status&gt; 1</p>",
                "<p>droplet 1: it &lt;crashed&gt;</p>",
                "<pre>[FAIL] &lt;ufw&gt;</pre>",
                "<h2>Still there, and costs money</h2>\n<ul>\n<li class=bad>droplet 1 (kept)",
                "Finish the bake: <code>mkimg resume 1</code>",
                "Remove it: <code>mkimg gc 1</code>",
                "<tr><th>Marker<td>the droplet powering itself off",
                "<span class=bad>2 failed</span>",
            ],
        );
        assert!(!Report::html(&[&bad]).contains("stand-ins:"));

        let mut stopped = under_way();
        stopped.end(at(95), &Outcome::Interrupted { remaining: Vec::new() });
        assert_page(&[&stopped], &["<p class=\"result bad\">interrupted in 1m35s</p>"]);
        let unverified = Report { verified: false, ..report.clone() };
        assert_page(&[&unverified], &["<p class=\"result good\">done in 20.0s; not verified</p>"]);
        // A table of several comes first.
        assert_page(
            &[&report, &bad],
            &[
                "<title>2 bakes — mkimg bake</title>",
                "<h1>2 bakes</h1>\n<table>\n<tr><td><a href=\"#19700101-000000-010203\">product-1</a><td>debian-12-x64<td>nyc3<td class=good>done<td class=n>20.0s",
                ">product</a><td>debian-12-x64<td>nyc3<td class=bad>failed<td class=n>20.0s",
                "<h1>product-1</h1>",
                "<h1>product</h1>",
                "bake 19700101-000000-010203, 19700101-000000-010203</footer>",
            ],
        );
    }

    #[test]
    fn a_stage_has_its_own_time() {
        let mut report = Report::new(&spec(), 0, String::new(), false);
        for (seconds, stage) in [(10, Stage::Create), (25, Stage::Boot)] {
            report.add_event(at(seconds), &Event::Stage { stage, detail: String::new() });
        }
        report.end(at(45), &Outcome::Interrupted { remaining: Vec::new() });
        let times: Vec<u64> = report.stages.iter().map(|stage| stage.elapsed.as_secs()).collect();
        assert_eq!((times, report.elapsed, report.exit), (vec![15, 20], at(45), 130));
    }
}

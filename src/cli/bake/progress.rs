//! What a bake shows while it works: a line that redraws itself on a terminal, plain lines elsewhere, JSON lines for programs.

use std::collections::BTreeMap;
use std::io::{BufRead as _, IsTerminal as _};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::super::{Global, Terminal};
use super::crew::Crew;
use crate::bake::Left;
use crate::bake::foreign::Foreign as _;
use crate::bake::ports::{Check, Event, Observer};
use crate::bake::report::{Report, duration};

/// Watches one bake.
pub(in crate::cli) struct Watcher<'g> {
    terminal: &'g Terminal,
    json: bool,
    start: Instant,
    bar: ProgressBar,
    pub(in crate::cli) report: Mutex<Report>,
    stage: Mutex<String>,
    droplets: Mutex<BTreeMap<u64, Option<IpAddr>>>,
    asking: Arc<tokio::sync::Mutex<()>>,
    /// `[label] ` before each line, where several bakes speak.
    label: String,
}

impl<'g> Watcher<'g> {
    pub(in crate::cli) fn new(
        global: &'g Global,
        json: bool,
        report: Report,
        crew: &Crew,
        label: Option<String>,
    ) -> Self {
        let bar = crew.lines.add(ProgressBar::new_spinner());
        let label = label.map(|label| format!("[{label}] ")).unwrap_or_default();
        if json || !global.terminal.is_interactive() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        } else {
            let style = ProgressStyle::with_template(&format!(
                "{{spinner}} {{elapsed}} {}{{prefix:.bold}} {{wide_msg}}",
                label.replace('{', "{{").replace('}', "}}")
            ));
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        let start = Instant::now();
        Self {
            terminal: &global.terminal,
            json,
            start,
            bar,
            report: Mutex::new(report),
            stage: Mutex::default(),
            droplets: Mutex::default(),
            asking: crew.asking.clone(),
            label,
        }
    }

    /// The droplets, and their addresses as far as they were seen.
    pub(super) fn droplets(&self) -> BTreeMap<u64, Option<IpAddr>> {
        self.droplets.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    pub(in crate::cli) fn seconds(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    /// Ends the redrawing: what follows are ordinary lines.
    pub(in crate::cli) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn line(&self, text: &str) {
        let text = format!("{:>7} {}{text}", duration(self.seconds()), self.label);
        self.bar.suspend(|| self.terminal.eprint(&format!("{text}\n")));
    }

    /// `news`: it is the first time that this is said of a droplet.
    fn show(&self, event: &Event, news: bool) {
        let quiet = self.terminal.is_quiet();
        match event {
            Event::Warning { message } => {
                self.bar.suspend(|| self.terminal.warning(&format!("{}{message}", self.label)));
            }
            _ if quiet => {}
            Event::Stage { stage, detail } => {
                self.bar.set_prefix(stage.to_string());
                self.bar.set_message(detail.clone());
                *self.stage.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = stage.to_string();
                self.line(&format!("{stage}: {detail}"));
            }
            Event::Droplet { id, role, address } => {
                if let Some(address) = address.filter(|_| news) {
                    self.line(&format!("  {role} droplet {id} at {address}"));
                }
            }
            Event::Step(step) => {
                let time = step
                    .seconds
                    .filter(|_| step.state != "running")
                    .map(|s| format!(" ({})", duration(s)))
                    .unwrap_or_default();
                let stage = self.stage.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
                self.bar.set_prefix(format!("{stage}: {}", step.name));
                self.line(&format!("  {}: {}{time}", step.name, step.state));
            }
            Event::Log { line } => {
                if self.bar.is_hidden() || self.terminal.verbosity() > 0 {
                    self.line(&format!("  | {line}"));
                }
                self.bar.set_message(line.clone());
            }
            Event::Complete => self.line("  complete: everything is installed; the check script runs"),
            Event::Checked(check) => {
                for line in check_lines(check) {
                    self.line(&format!("  {line}"));
                }
            }
            Event::Note { message } => self.line(&format!("  {message}")),
        }
    }
}

/// The check's result, a line each.
pub(in crate::cli) fn check_lines(check: &Check) -> Vec<String> {
    let mut lines =
        vec![format!("image check: {} passed, {} warnings, {} failed", check.passed, check.warnings, check.failed)];
    lines.extend(
        check.findings.iter().map(|finding| format!("  {}: {}", finding.level, crate::bake::printable(&finding.text))),
    );
    lines
}

#[async_trait]
impl Observer for Watcher<'_> {
    fn event(&self, event: &Event) {
        // The terminal hides secrets too; the progress line, the report and JSON do not pass through it.
        let mut event = event.clone();
        event.each_text(&mut |text| self.terminal.redaction().clean_in_place(text));
        let event = &event;
        self.report.lock().unwrap_or_else(std::sync::PoisonError::into_inner).event(self.seconds(), event);
        let mut news = true;
        if let Event::Droplet { id, address, .. } = event {
            let mut droplets = self.droplets.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let known = droplets.entry(*id).or_default();
            news = address.is_none() || known != address;
            *known = address.or(*known);
        }
        if self.json {
            let bake = self.report.lock().unwrap_or_else(std::sync::PoisonError::into_inner).bake.clone();
            if let Ok(mut text) = serde_json::to_value(event) {
                text["bake"] = bake.into();
                // A reader that went away does not end a bake: the droplet must still be cleaned up.
                let _ = self.terminal.print(format!("{text}\n"));
            }
            if let Event::Warning { message } = event {
                self.terminal.warning(&format!("{}{message}", self.label));
            }
        } else {
            self.show(event, news);
        }
    }

    async fn keep(&self, why: &str, left: &[Left]) -> bool {
        if !std::io::stdin().is_terminal() {
            self.terminal.warning("--on-error ask: there is no terminal to ask at; destroying");
            return false;
        }
        let _one_at_a_time = self.asking.lock().await;
        let things: Vec<String> = left.iter().map(ToString::to_string).collect();
        self.bar.suspend(|| {
            self.terminal.eprint(&format!(
                "{}The bake failed: {}\nKeep {}? [y/N] ",
                self.label,
                why,
                things.join(", ")
            ));
        });
        let answer = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            std::io::stdin().lock().read_line(&mut line).map(|_| line)
        });
        matches!(answer.await, Ok(Ok(line)) if line.trim().eq_ignore_ascii_case("y"))
    }
}

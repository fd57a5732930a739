//! What a bake prints: progress (a line that redraws itself on a terminal, plain lines elsewhere,
//! JSON lines for programs), and at the end the product, or what failed, what to do, what remains
//! and how to remove it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead as _, IsTerminal as _};
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use tokio::sync::watch;

use super::advice;
use super::api::Api;
use super::prepare::TemplatePlaces;
use crate::bake::ports::{Check, Event, Observer};
use crate::bake::preflight::Preflight;
use crate::bake::report::Report;
use crate::bake::untrusted::{UntrustedText, printable};
use crate::bake::{FailureKind, MarkerKind, OnError, Outcome, Product, RemainingResource, Spec, duration};
use crate::cli::escape::one_line;
use crate::cli::{Failure, Global, Terminal};
use crate::render::{DOCUMENT_LIMIT, RenderedDocument};
use crate::workspace::write_atomically;

/// The terminal that the bakes of one command share.
#[derive(Clone, Default)]
pub(crate) struct SharedTerminal {
    /// The progress lines of all bakes.
    pub(crate) progress: MultiProgress,
    /// Held while a bake asks a question.
    pub(crate) question: Arc<tokio::sync::Mutex<()>>,
}

/// Prints the progress of one bake and records its report.
pub(crate) struct Watcher<'g> {
    terminal: &'g Terminal,
    json: bool,
    start: Instant,
    bar: ProgressBar,
    pub(crate) report: Mutex<Report>,
    stage: Mutex<String>,
    droplets: Mutex<BTreeMap<u64, Option<IpAddr>>>,
    question: Arc<tokio::sync::Mutex<()>>,
    /// `[label] ` before each line, if there are several bakes.
    label: String,
}

impl<'g> Watcher<'g> {
    pub(crate) fn new(
        global: &'g Global,
        json: bool,
        report: Report,
        shared: &SharedTerminal,
        label: Option<String>,
    ) -> Self {
        let bar = shared.progress.add(ProgressBar::new_spinner());
        let label = label.map(|label| format!("[{label}] ")).unwrap_or_default();
        if json || !global.terminal.is_interactive() {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        } else {
            let style = ProgressStyle::with_template(&format!(
                "{{spinner}} {{elapsed}} {}{{prefix:.bold}} {{wide_msg}}",
                one_line(&label).replace('{', "{{").replace('}', "}}")
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
            question: shared.question.clone(),
            label,
        }
    }

    /// The droplets with their known addresses.
    pub(crate) fn droplets(&self) -> BTreeMap<u64, Option<IpAddr>> {
        self.droplets.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Removes the progress line.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn line(&self, text: &str) {
        let text = format!("{:>7} {}{text}", duration::short(self.elapsed()), self.label);
        self.bar.suspend(|| self.terminal.eprint(&format!("{}\n", one_line(&text))));
    }

    /// `news`: the event says something new about a droplet.
    fn show(&self, event: &Event, news: bool) {
        let quiet = self.terminal.is_quiet();
        match event {
            Event::Warning { message } => {
                self.bar.suspend(|| self.terminal.warning(&format!("{}{message}", self.label)));
            }
            _ if quiet => {}
            Event::Stage { stage, detail } => {
                self.bar.set_prefix(stage.to_string());
                self.bar.set_message(one_line(detail));
                *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage.to_string();
                self.line(&format!("{stage}: {detail}"));
            }
            Event::Droplet { id, role, address } => {
                if let Some(address) = address.filter(|_| news) {
                    self.line(&format!("  {role} droplet {id} at {address}"));
                }
            }
            Event::Step(step) => {
                let time = step
                    .elapsed
                    .filter(|_| step.state != "running")
                    .map(|elapsed| format!(" ({})", duration::short(elapsed)))
                    .unwrap_or_default();
                let stage = self.stage.lock().unwrap_or_else(PoisonError::into_inner).clone();
                self.bar.set_prefix(format!("{stage}: {}", one_line(&step.name)));
                self.line(&format!("  {}: {}{time}", step.name, step.state));
            }
            Event::Log { line } => {
                if self.bar.is_hidden() || self.terminal.verbosity() > 0 {
                    self.line(&format!("  | {line}"));
                }
                self.bar.set_message(one_line(line));
            }
            Event::Complete => self.line("  complete: everything is installed; running the check script"),
            Event::Checked(check) => {
                for line in check_lines(check) {
                    self.line(&format!("  {line}"));
                }
            }
            Event::Note { message } => self.line(&format!("  {message}")),
        }
    }
}

/// The result of the check script as lines.
pub(crate) fn check_lines(check: &Check) -> Vec<String> {
    let mut lines =
        vec![format!("image check: {} passed, {} warnings, {} failed", check.passed, check.warnings, check.failed)];
    lines.extend(check.findings.iter().map(|finding| one_line(&format!("  {}: {}", finding.level, finding.text))));
    lines
}

#[async_trait]
impl Observer for Watcher<'_> {
    fn event(&self, event: &Event) {
        // The progress line, the report and JSON do not pass through the terminal's own redaction.
        let mut event = event.clone();
        event.for_each_text(&mut |text| self.terminal.redaction().clean_in_place(text));
        let event = &event;
        self.report.lock().unwrap_or_else(PoisonError::into_inner).add_event(self.elapsed(), event);
        let mut news = true;
        if let Event::Droplet { id, address, .. } = event {
            let mut droplets = self.droplets.lock().unwrap_or_else(PoisonError::into_inner);
            let known = droplets.entry(*id).or_default();
            news = address.is_none() || known != address;
            *known = address.or(*known);
        }
        if self.json {
            let bake = self.report.lock().unwrap_or_else(PoisonError::into_inner).bake.clone();
            if let Ok(mut text) = serde_json::to_value(event) {
                text["bake"] = bake.into();
                // A reader that went away does not end the bake: the droplet must still be cleaned
                // up.
                let _ = self.terminal.print_json(text);
            }
            if let Event::Warning { message } = event {
                self.terminal.warning(&format!("{}{message}", self.label));
            }
        } else {
            self.show(event, news);
        }
    }

    async fn keep(&self, why: &str, remaining: &[RemainingResource]) -> bool {
        if !std::io::stdin().is_terminal() {
            self.terminal.warning("--on-error ask: there is no terminal to ask on; destroying");
            return false;
        }
        let _one_at_a_time = self.question.lock().await;
        let things: Vec<String> = remaining.iter().map(ToString::to_string).collect();
        self.bar.suspend(|| {
            self.terminal.eprint(&format!(
                "{}The bake failed: {}\nKeep {}? [y/N] ",
                self.label,
                one_line(why),
                one_line(&things.join(", "))
            ));
        });
        let answer = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            std::io::stdin().lock().read_line(&mut line).map(|_| line)
        });
        matches!(answer.await, Ok(Ok(line)) if line.trim().eq_ignore_ascii_case("y"))
    }
}

/// Prints the result of one bake.
pub(crate) struct ResultPrinter<'e> {
    pub(crate) global: &'e Global,
    pub(crate) spec: &'e Spec,
    pub(crate) outcome: &'e Outcome,
    pub(crate) report: &'e Report,
    pub(crate) api: &'e Api,
    pub(crate) json: bool,
    /// Distinguishes it from the other bakes of the same command, which print one summary.
    pub(crate) label: Option<String>,
    /// Its droplets with their known addresses.
    pub(crate) droplets: BTreeMap<u64, Option<IpAddr>>,
    pub(crate) places: &'e TemplatePlaces,
}

impl ResultPrinter<'_> {
    pub(crate) fn print(&self) -> Result<(), Failure> {
        let terminal = &self.global.terminal;
        let prefix = self.prefix();
        match self.outcome {
            Outcome::Done(product) => return self.print_product(product),
            Outcome::Failed { failure, .. } => {
                terminal.error(&format!("{prefix}{failure}"));
                if let FailureKind::Runner(runner) = &failure.kind {
                    if let Some((key, place)) = advice::place_in_template(&runner.error, self.places) {
                        terminal.help(&format!("look at `{key}`, which comes from {place}"));
                    }
                    for line in runner.error.tail.lines() {
                        terminal.eprint(&format!("  | {}\n", printable(line)));
                    }
                    for line in runner.check.iter().flat_map(check_lines) {
                        terminal.eprint(&format!("  {line}\n"));
                    }
                }
                for error in &self.report.droplet_errors {
                    let mut lines = error.lines().map(printable);
                    terminal.note(&format!("{prefix}{}", lines.next().unwrap_or_default()));
                    lines.for_each(|line| terminal.eprint(&format!("  | {line}\n")));
                }
                if let Some(advice) = advice::for_failure(failure) {
                    terminal.help(&advice);
                }
            }
            Outcome::Interrupted { .. } => terminal.error(&format!("{prefix}interrupted")),
        }
        self.print_remaining();
        if self.json {
            let mut remaining = self.outcome.remaining().to_vec();
            for resource in &mut remaining {
                self.redact(resource);
            }
            let failure = match self.outcome {
                Outcome::Failed { failure, .. } => Some(failure),
                _ => None,
            };
            let mut step = failure.and_then(|failure| match &failure.kind {
                FailureKind::Runner(runner) => Some(runner.error.step.clone()),
                _ => None,
            });
            if let Some(step) = &mut step {
                self.global.terminal.redaction().clean_in_place(step);
            }
            let end = json!({
                "event": "failed",
                "bake": self.spec.id,
                "exit": self.outcome.exit_status(),
                "failure": self.report.failure,
                "stage": failure.map(|failure| failure.stage),
                "step": step,
                "tail": self.report.tail,
                "check": self.report.check,
                "mishaps": self.report.droplet_errors,
                "log": failure.and_then(|failure| failure.log()),
                "left": remaining,
                "remove": self.report.remove,
                "resume": self.report.resume,
                "requests": self.api.client().requests_sent(),
                "seconds": self.report.elapsed.as_secs_f64(),
            });
            terminal.print_json(end)?;
        }
        Ok(())
    }

    /// Redacts text from an API or a droplet. Standard output is not redacted as a whole: its names
    /// and numbers must not change.
    fn redact(&self, untrusted: &mut impl UntrustedText) {
        untrusted.for_each_text(&mut |text| self.global.terminal.redaction().clean_in_place(text));
    }

    fn prefix(&self) -> String {
        self.label.as_ref().map(|label| format!("[{label}] ")).unwrap_or_default()
    }

    fn print_remaining(&self) {
        let terminal = &self.global.terminal;
        let prefix = self.prefix();
        if self.outcome.remaining().is_empty() {
            terminal.note(&format!("{prefix}no resources remain that cost money"));
            return;
        }
        for resource in self.outcome.remaining() {
            terminal.error(&format!("{prefix}still exists: {resource}"));
            if let RemainingResource::Droplet { id, .. } = resource
                && let Some(console) = self.api.console(*id)
            {
                terminal.note(&format!("its console: {}", console.display()));
            }
        }
        if let Some(command) = &self.report.resume {
            terminal.note(&format!("{prefix}the snapshot is finished, so nothing was destroyed"));
            terminal.help(&format!("finish the bake: {command}"));
        }
        if let Some(command) = &self.report.remove {
            terminal.help(&format!("remove it: {command}"));
        }
        if self.api.is_local() || self.report.resume.is_some() {
            return;
        }
        for id in self.outcome.remaining().iter().filter_map(|resource| match resource {
            RemainingResource::Droplet { id, .. } => Some(id),
            _ => None,
        }) {
            self.print_debugging_help(*id);
        }
    }

    /// Says how to debug a kept droplet.
    fn print_debugging_help(&self, droplet: u64) {
        let (terminal, provider) = (&self.global.terminal, self.api.provider());
        let address = self.droplets.get(&droplet).copied().flatten();
        match (self.spec.droplet.ssh_keys.is_empty(), address) {
            (false, Some(address)) => terminal.help(&format!("log in: ssh root@{address}")),
            (false, None) => terminal.help(&format!("log in: {}", (provider.login_command)(droplet))),
            (true, _) => terminal.help("use --ssh-key next time to log in with ssh; now there is its console:"),
        }
        terminal.help(&format!("its console: {}", (provider.console_page)(droplet)));
        terminal.help(&format!("what it is doing: {}", (provider.inspect_commands)(droplet)));
    }

    fn print_product(&self, product: &Product) -> Result<(), Failure> {
        let terminal = &self.global.terminal;
        let snapshot = &product.snapshot;
        let place = self.api.snapshot_dir(&snapshot.id);
        let mut check = product.check.clone();
        if let Some(check) = &mut check {
            self.redact(check);
        }
        if self.json {
            let end = json!({
                "event": "done",
                "snapshot": {"id": snapshot.id, "name": snapshot.name, "regions": snapshot.regions, "tags": snapshot.tags, "path": place},
                "bake": self.spec.id,
                "verified": product.verified,
                "stand_ins": self.report.stubs,
                "check": check,
                "requests": self.api.client().requests_sent(),
                "seconds": self.report.elapsed.as_secs_f64(),
            });
            return terminal.print_json(end);
        }
        if self.label.is_some() {
            terminal.note(&format!("{}snapshot {} ({}) is done", self.prefix(), snapshot.name, snapshot.id));
            return Ok(());
        }
        let mut text = String::new();
        let _ = write!(text, "snapshot {} ({})", one_line(&snapshot.name), snapshot.id);
        if snapshot.size_gb > 0.0 {
            let _ = write!(text, ", {:.2} GB", snapshot.size_gb);
        }
        if !snapshot.regions.is_empty() {
            let _ = write!(text, ", in {}", one_line(&snapshot.regions.join(", ")));
        }
        text.push('\n');
        if let Some(place) = place {
            let _ = writeln!(text, "  at {}", place.display());
        }
        if let Some(check) = &check {
            let _ = writeln!(text, "  {}", check_lines(check).join("\n  "));
        }
        let verified = if product.verified {
            "verified: an instance of it was started and checked"
        } else {
            "not verified: --verify starts an instance of it and checks it"
        };
        let _ = writeln!(text, "  {verified}");
        if self.report.stubs {
            let _ = writeln!(text, "  STUBS: test programs instead of the real ones; not for production");
        }
        let _ = writeln!(
            text,
            "  baked in {}, {} API requests",
            duration::short(self.report.elapsed),
            self.api.client().requests_sent()
        );
        terminal.print(text)
    }
}

/// The plan that `--dry-run` prints.
pub(crate) fn plan(spec: &Spec, preflight: &Preflight, document: &RenderedDocument, api: &Api) -> String {
    let droplet = &spec.droplet;
    let marker = match spec.marker {
        MarkerKind::Https => "the droplet's status channel, over TLS",
        MarkerKind::Poweroff => "the droplet powering itself off",
    };
    let mut regions = vec![droplet.region.as_str()];
    regions.extend(spec.snapshot.regions.iter().map(String::as_str).filter(|region| *region != droplet.region));
    let disk = preflight.disk_gib.map(|disk| format!(", at most {disk} GiB")).unwrap_or_default();
    let tags = match spec.snapshot.tags.as_slice() {
        [] => String::new(),
        tags => format!(", tags {}", tags.join(", ")),
    };
    let upload_bytes: u64 = document.uploads.iter().map(|file| file.content.size()).sum();
    let uploads = match document.uploads.len() {
        0 => String::new(),
        1 => format!(", and 1 file of {upload_bytes} bytes to upload"),
        files => format!(", and {files} files of {upload_bytes} bytes to upload"),
    };
    let lines = [
        ("account", preflight.account.clone()),
        ("document", format!("{} of {DOCUMENT_LIMIT} bytes, {}{uploads}", document.text.len(), document.digest)),
        ("droplet", format!("{} in {}, from {}", droplet.size, droplet.region, droplet.image)),
        ("marker", format!("{marker}, within {}", duration::exact(spec.limits.provision))),
        ("snapshot", format!("{} in {}{disk}{tags}", spec.snapshot.name, regions.join(", "))),
        ("price", price(preflight, api)),
        (
            "verification",
            if spec.verify {
                format!(
                    "a droplet is started from the snapshot and checked, within {}",
                    duration::exact(spec.limits.verify)
                )
            } else {
                "none (use --verify)".to_owned()
            },
        ),
        (
            "on error",
            match spec.on_error {
                OnError::Destroy => "destroy everything that was created",
                OnError::Keep => "keep what was created, and name it",
                OnError::Ask => "ask whether to keep what was created",
            }
            .to_owned(),
        ),
    ];
    let mut text = String::new();
    for (name, value) in lines {
        let _ = writeln!(text, "{name:<12}  {}", one_line(&value));
    }
    text
}

/// An estimate: the time and the snapshot's size are not known yet.
fn price(preflight: &Preflight, api: &Api) -> String {
    if api.is_local() {
        return "nothing: everything runs on this machine".to_owned();
    }
    let gb_month = api.provider().snapshot_gb_month;
    let droplet = match (preflight.price_hourly, preflight.price_monthly) {
        (Some(hour), Some(month)) => format!("droplet ${hour:.5} an hour (${month:.2} a month)"),
        (Some(hour), None) => format!("droplet ${hour:.5} an hour"),
        (None, _) => "price of the droplet not known".to_owned(),
    };
    let most = |gib: u64| {
        // The compressed snapshot of a full disk; no disk has more GiB than a u32 can count.
        let most = f64::from(u32::try_from(gib).unwrap_or(u32::MAX)) * gb_month;
        format!(", at most ${most:.2}")
    };
    let most = preflight.disk_gib.map(most).unwrap_or_default();
    format!("{droplet}; snapshot ${gb_month:.2} a GB and month{most} (estimate)")
}

/// Writes the report of one or several bakes; a failure is only a warning.
pub(crate) fn write_reports(global: &Global, path: &Path, reports: &[&Report]) {
    let path = global.path(path);
    let text = if path.extension().is_some_and(|ending| ending == "html") {
        Ok(Report::html(reports))
    } else {
        match reports {
            [report] => serde_json::to_string_pretty(report),
            several => serde_json::to_string_pretty(&json!({"version": 1, "bakes": several})),
        }
        .map(|text| text + "\n")
    };
    let written = text
        .map_err(|error| error.to_string())
        .and_then(|text| write_atomically(&path, text.as_bytes()).map_err(|error| error.to_string()));
    match written {
        Ok(()) => global.terminal.note(&format!("report: {}", path.display())),
        Err(error) => global.terminal.warning(&format!("the report was not written: {error}")),
    }
}

/// Waits for Ctrl-C: a kept local droplet runs as long as this process.
pub(crate) async fn wait_for_stop(global: &Global, mut stops: watch::Receiver<u32>) {
    let now = *stops.borrow();
    global.terminal.note("the kept droplet runs as long as this command: Ctrl-C ends it");
    // An error means that no signal can arrive any more.
    let _ = stops.wait_for(|count| *count > now).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bake::tests::support::spec;
    use crate::cli::bake::api::tests::unused_api;
    use crate::model::{FileTree, Inputs, Lock, Plan, Template};
    use crate::render::{Target, render};

    #[test]
    fn the_plan_of_a_dry_run_has_a_line_for_each_decision() {
        let text = "snapshot: {name: x}\n";
        let source = diagnostics::source::Source::new("templates/image.yaml", text);
        let template = Template::new(source, yaml11::parse(text).unwrap());
        let spec_of_template = template.resolve(&Inputs::default()).unwrap().spec;
        let image = Plan::new("templates/image.yaml", spec_of_template, FileTree::default(), &Lock::default()).unwrap();
        let document = render(&image, Target::DIGITALOCEAN).unwrap();
        let found = Preflight {
            account: "me".into(),
            price_hourly: Some(0.009),
            price_monthly: Some(6.0),
            disk_gib: Some(25),
            warnings: Vec::new(),
        };
        let of_document = format!("{} of 52736 bytes, {}", document.text.len(), document.digest);
        let api = unused_api("https://api.example");
        assert_eq!(
            plan(&spec(), &found, &document, &api),
            format!(
                "account       me\n\
                 document      {of_document}\n\
                 droplet       s-1vcpu-1gb in nyc3, from debian-12-x64\n\
                 marker        the droplet's status channel, over TLS, within 5m\n\
                 snapshot      product in nyc3, fra1, at most 25 GiB, tags release\n\
                 price         droplet $0.00900 an hour ($6.00 a month); snapshot $0.06 a GB and month, at most $1.50 \
                 (estimate)\n\
                 verification  a droplet is started from the snapshot and checked, within 2m\n\
                 on error      destroy everything that was created\n"
            )
        );
        let mut other = Spec { marker: MarkerKind::Poweroff, verify: false, on_error: OnError::Keep, ..spec() };
        other.snapshot.regions = vec!["nyc3".into()];
        other.snapshot.tags.clear();
        let unknown = Preflight { price_hourly: None, disk_gib: None, ..found.clone() };
        assert_eq!(
            plan(&other, &unknown, &document, &api),
            format!(
                "account       me\n\
                 document      {of_document}\n\
                 droplet       s-1vcpu-1gb in nyc3, from debian-12-x64\n\
                 marker        the droplet powering itself off, within 5m\n\
                 snapshot      product in nyc3\n\
                 price         price of the droplet not known; snapshot $0.06 a GB and month (estimate)\n\
                 verification  none (use --verify)\n\
                 on error      keep what was created, and name it\n"
            )
        );
        let asks = plan(&Spec { on_error: OnError::Ask, ..spec() }, &found, &document, &api);
        assert!(asks.ends_with("on error      ask whether to keep what was created\n"), "{asks}");
        for (found, expected) in [
            (Preflight { price_monthly: None, ..found.clone() }, "droplet $0.00900 an hour; snapshot "),
            (unknown, "price of the droplet not known; snapshot $0.06 a GB and month (estimate)"),
        ] {
            assert!(price(&found, &api).starts_with(expected), "{}", price(&found, &api));
        }
    }
}

//! Following the droplet until its marker: its steps, its log, its check.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::failure::{Failure, FailureKind, RunnerFailure};
use super::journal::{Entry, Role};
use super::machine::{Machine, Stop};
use super::ports::{DropletStatus, Event, Marker, MarkerError, RunnerState, Status};
use super::spec::Stage;
use super::wait::{Pace, Wait};

/// How often the API is asked whether the droplet still runs while its own channel is followed.
const LOOK_AT_DROPLET: Duration = Duration::from_secs(15);
/// How long a droplet that has passed waits to be heard before it powers off by itself; a laptop may sleep so long.
pub const POWER_OFF_AFTER: Duration = Duration::from_secs(3_600);

/// What was shown already.
#[derive(Default)]
struct Shown {
    steps: BTreeMap<String, String>,
    offset: u64,
    line: String,
    complete: bool,
    heard: Option<Duration>,
    warned: bool,
}

impl Machine<'_> {
    /// Waits until the droplet of this role has passed.
    pub(super) async fn provision(&mut self, role: Role) -> Result<(), Stop> {
        let record = self.ledger.droplet(role).clone();
        let (Some(id), false) = (record.id, record.passed) else { return Ok(()) };
        let (stage, limit, option) = match role {
            Role::Build => (Stage::Provision, self.spec.limits.provision, "--timeout-provision"),
            Role::Verification => (Stage::Verify, self.spec.limits.verify, "--timeout-verify"),
        };
        let wait = Wait { stage, what: format!("the {} droplet's marker", role.name()), limit, option };
        let marker = if role == Role::Build { self.ports.marker } else { self.ports.verification };
        match (marker, record.address) {
            (Some(marker), Some(address)) => self.follow(role, id, marker, address, &wait).await,
            (None, _) => self.wait_for_off(role, id, &wait).await,
            (Some(_), None) => Err(Stop::Failed(Failure::new(
                stage,
                FailureKind::Droplet(format!("droplet {id} has no public IPv4 address")),
            ))),
        }
    }

    /// `--marker poweroff`: off is the marker.
    async fn wait_for_off(&mut self, role: Role, id: u64, wait: &Wait) -> Result<(), Stop> {
        self.stage(wait.stage, format!("waiting until {} droplet {id} powers itself off (the marker)", role.name()));
        let provider = self.ports.provider;
        self.wait(wait, async || {
            let droplet = provider.droplet(id).await?;
            Ok((droplet.status == DropletStatus::Off).then_some(()))
        })
        .await?;
        self.record(&Entry::Passed { role, check: None })
    }

    async fn follow(
        &mut self,
        role: Role,
        id: u64,
        marker: &dyn Marker,
        address: IpAddr,
        wait: &Wait,
    ) -> Result<(), Stop> {
        self.stage(wait.stage, format!("following {} droplet {id} at {address}", role.name()));
        let start = self.ports.clock.now();
        let mut pace = Pace::new(self.poll());
        let mut shown = Shown::default();
        let mut looked = start;
        loop {
            // As in `wait`: a look that began before the limit is not the last one, however long it took.
            let spent = self.elapsed_since(start);
            let last = match self.unless_stopped(marker.status(address, shown.offset)).await? {
                Ok(status) => {
                    shown.heard = Some(self.ports.clock.now());
                    self.show(&mut shown, &status);
                    match status.state {
                        RunnerState::Passed => {
                            self.show_rest(&mut shown);
                            if let Some(check) = &status.check {
                                self.ports.observer.event(&Event::Checked(check.clone()));
                            }
                            return self.record(&Entry::Passed { role, check: status.check });
                        }
                        RunnerState::Failed => {
                            self.show_rest(&mut shown);
                            return Err(self.runner_failed(role, marker, address, wait.stage, status).await?);
                        }
                        RunnerState::Running | RunnerState::Complete => None,
                    }
                }
                Err(error) => {
                    let odd = !matches!(error, MarkerError::NotUp(_));
                    if odd && !shown.warned {
                        shown.warned = true;
                        self.warn(format!("{error}; it is not believed, and asked again"));
                    }
                    Some(error.to_string())
                }
            };
            let now = self.ports.clock.now();
            if now.saturating_sub(looked) >= LOOK_AT_DROPLET {
                looked = now;
                self.still_runs(role, id, &shown, wait.stage).await?;
            }
            if spent >= wait.limit {
                let last = last.unwrap_or_else(|| match shown.steps.iter().find(|(_, state)| *state == "running") {
                    Some((step, _)) => format!("step `{step}` is still running"),
                    None => "the droplet is still running its steps".to_owned(),
                });
                let mut stop = wait.timeout(Some(last));
                if let (Some(_), Stop::Failed(Failure { kind: FailureKind::Timeout { log, .. }, .. })) =
                    (shown.heard, &mut stop)
                {
                    *log = self.save_log(role, marker, address).await?.map(Into::into);
                }
                return Err(stop);
            }
            self.pause(pace.next().min(wait.limit.saturating_sub(spent).max(Duration::from_millis(1)))).await?;
        }
    }

    /// Fails where a droplet that is followed is off: it powers off only after it has passed, but so does one that crashes
    /// or that somebody switches off, and only its own word `passed` tells them apart. One that passes waits
    /// [`POWER_OFF_AFTER`] for us to hear it.
    async fn still_runs(&self, role: Role, id: u64, shown: &Shown, stage: Stage) -> Result<(), Stop> {
        // The channel and the limit decide; this look is an extra.
        let Ok(droplet) = self.unless_stopped(self.ports.provider.droplet(id)).await? else { return Ok(()) };
        if droplet.status != DropletStatus::Off {
            return Ok(());
        }
        let (role, last) = (role.name(), shown.steps.iter().find(|(_, state)| *state == "running"));
        let during = last.map(|(step, _)| format!(" during step `{step}`")).unwrap_or_default();
        let why = match shown.heard {
            Some(_) => format!("the {role} droplet {id} went off by itself{during}, before it had passed"),
            None => format!("the {role} droplet {id} is off, and its status channel never said that it passed"),
        };
        Err(Stop::Failed(Failure::new(stage, FailureKind::Droplet(why))))
    }

    fn show(&self, shown: &mut Shown, status: &Status) {
        let observer = self.ports.observer;
        for step in &status.steps {
            if shown.steps.get(&step.name) != Some(&step.state) {
                shown.steps.insert(step.name.clone(), step.state.clone());
                if step.state != "pending" {
                    observer.event(&Event::Step(step.clone()));
                }
            }
        }
        // A piece that does not move forward would be shown for ever.
        if status.log.next > shown.offset {
            shown.offset = status.log.next;
            shown.line.push_str(&status.log.text);
            while let Some(end) = shown.line.find('\n') {
                let rest = shown.line.split_off(end + 1);
                let line = std::mem::replace(&mut shown.line, rest);
                observer.event(&Event::Log { line: printable(line.trim_end()) });
            }
        }
        if status.state == RunnerState::Complete && !shown.complete {
            shown.complete = true;
            observer.event(&Event::Complete);
        }
    }

    fn show_rest(&self, shown: &mut Shown) {
        let line = std::mem::take(&mut shown.line);
        if !line.trim().is_empty() {
            self.ports.observer.event(&Event::Log { line: printable(line.trim_end()) });
        }
    }

    async fn runner_failed(
        &self,
        role: Role,
        marker: &dyn Marker,
        address: IpAddr,
        stage: Stage,
        status: Status,
    ) -> Result<Stop, Stop> {
        if let Some(check) = &status.check {
            self.ports.observer.event(&Event::Checked(check.clone()));
        }
        let log = self.save_log(role, marker, address).await?;
        let failure = RunnerFailure { error: status.error.unwrap_or_default(), check: status.check, log };
        Ok(Stop::Failed(Failure::new(stage, FailureKind::Runner(Box::new(failure)))))
    }

    /// Saves the droplet's whole log beside the journal; says where.
    async fn save_log(&self, role: Role, marker: &dyn Marker, address: IpAddr) -> Result<Option<String>, Stop> {
        let mut last = None;
        for _ in 0..3 {
            match self.unless_stopped(marker.log(address)).await? {
                Ok(text) => {
                    return Ok(match self.ports.journal.save(&format!("{}.log", role.name()), text.as_bytes()) {
                        Ok(path) => Some(path),
                        Err(error) => {
                            self.warn(format!("the droplet's log is not saved: {error}"));
                            None
                        }
                    });
                }
                Err(error) => last = Some(error),
            }
            self.pause(self.poll()).await?;
        }
        if let Some(error) = last {
            self.warn(format!("the droplet's log could not be fetched: {error}"));
        }
        Ok(None)
    }

    /// Tells the droplet that its result was received; it would go off by itself, later.
    pub(super) async fn acknowledge(&self) -> Result<(), Stop> {
        let (Some(marker), Some(address)) = (self.ports.marker, self.ledger.build.address) else { return Ok(()) };
        for _ in 0..3 {
            if self.unless_stopped(marker.acknowledge(address)).await?.is_ok() {
                return Ok(());
            }
            self.pause(self.poll()).await?;
        }
        self.note("the droplet did not take the acknowledgement; it may be off already");
        Ok(())
    }
}

/// A line of a droplet's log is foreign text: what would move the cursor or colour the terminal is taken out.
pub(crate) fn printable(line: &str) -> String {
    let mut out = String::with_capacity(line.len().min(2_000));
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        if out.len() >= 2_000 {
            out.push('…');
            break;
        }
        match c {
            '\u{1b}' if chars.peek() == Some(&'[') => {
                chars.next();
                while chars.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
            }
            // A progress bar overwrites its line; what counts is what stood there last.
            '\r' => out.clear(),
            '\t' => out.push(' '),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn foreign_lines_cannot_move_the_cursor() {
        assert_eq!(printable("\u{1b}[31mred\u{1b}[0m\ttext\u{7}"), "red text");
        assert_eq!(printable("10%\r20%"), "20%");
        assert!(printable(&"x".repeat(5_000)).len() < 2_010);
    }
}

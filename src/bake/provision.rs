//! Following the droplet until its completion marker: its steps, its log, its check.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::journal::JournalEntry;
use super::machine::Machine;
use super::outcome::{Failure, FailureKind, RunnerFailure, Stop};
use super::poll::{Poll, WaitPoller};
use super::ports::{DropletStatus, Event, Marker, MarkerError, RunnerState, Status};
use super::spec::{LimitKind, Stage};
use super::state::DropletRole;
use super::untrusted::printable;

/// How often the API is asked whether the droplet is still on while its status channel is followed.
const DROPLET_CHECK_INTERVAL: Duration = Duration::from_secs(15);
/// How long an upload goes on before the status is read again.
const UPLOAD_INTERVAL: Duration = Duration::from_secs(10);
/// How long a droplet that has passed waits for the acknowledgement before it powers off by itself: a laptop may sleep
/// that long.
pub const POWER_OFF_AFTER: Duration = Duration::from_secs(3_600);

/// What was reported to the observer.
#[derive(Default)]
struct Reported {
    steps: BTreeMap<String, String>,
    /// Up to where the log was read.
    offset: u64,
    /// The line that is not finished.
    line: String,
    complete: bool,
    warned: bool,
}

impl Reported {
    fn running_step(&self) -> Option<&str> {
        self.steps.iter().find(|(_, state)| *state == "running").map(|(step, _)| step.as_str())
    }
}

impl Machine<'_> {
    /// Waits until the droplet with this role has passed.
    pub(super) async fn provision(&mut self, role: DropletRole) -> Result<(), Stop> {
        let droplet = self.state.droplet(role);
        let address = droplet.address();
        let Some(id) = droplet.present_id().filter(|_| !droplet.has_passed()) else { return Ok(()) };
        let (stage, limit, marker) = match role {
            DropletRole::Build => (Stage::Provision, LimitKind::Provision, self.ports.marker),
            DropletRole::Verification => (Stage::Verify, LimitKind::Verify, self.ports.verification),
        };
        let wait = self.wait(stage, limit, format!("the {} droplet's marker", role.name()));
        match (marker, address) {
            (Some(marker), Some(address)) => self.follow(role, id, marker, address, wait).await,
            (None, _) => self.wait_for_power_off(role, id, wait).await,
            (Some(_), None) => {
                Err(Stop::failed(stage, FailureKind::Droplet(format!("droplet {id} has no public IPv4 address"))))
            }
        }
    }

    /// Without a status channel: powering off is the marker.
    async fn wait_for_power_off(&mut self, role: DropletRole, id: u64, wait: WaitPoller<'_>) -> Result<(), Stop> {
        let detail = format!("waiting until {} droplet {id} powers itself off (the marker)", role.name());
        self.stage(wait.wait.stage, detail);
        let provider = self.ports.provider;
        wait.look_until(async || Ok((provider.droplet(id).await?.status == DropletStatus::Off).then_some(()))).await?;
        self.record(&JournalEntry::Passed { role, check: None })
    }

    async fn follow(
        &mut self,
        role: DropletRole,
        id: u64,
        marker: &dyn Marker,
        address: IpAddr,
        wait: WaitPoller<'_>,
    ) -> Result<(), Stop> {
        let stage = wait.wait.stage;
        self.stage(stage, format!("following {} droplet {id} at {address}", role.name()));
        let clock = self.ports.clock;
        let mut reported = Reported::default();
        let mut answered = false;
        let mut checked = clock.now();
        let followed = wait
            .poll_until(async |_| {
                let answer = match self.unless_stopped(marker.status(address, reported.offset)).await? {
                    Ok(status) => {
                        answered = true;
                        self.report_status(&mut reported, &status);
                        if matches!(status.state, RunnerState::Passed | RunnerState::Failed) {
                            return Ok(Poll::Ready(status));
                        }
                        match status.upload {
                            Some(offset) => self.upload(marker, address, offset, stage).await?,
                            None => Ok(()),
                        }
                    }
                    Err(error) => Err(error),
                };
                let last = match answer {
                    Ok(()) => None,
                    Err(error) => {
                        if !matches!(error, MarkerError::NotUp(_)) && !reported.warned {
                            reported.warned = true;
                            self.warn(format!("{error}; ignoring it and asking again"));
                        }
                        Some(error.to_string())
                    }
                };
                let now = clock.now();
                if now.saturating_sub(checked) >= DROPLET_CHECK_INTERVAL {
                    checked = now;
                    self.check_still_on(role, id, &reported, answered, stage).await?;
                }
                Ok(Poll::Pending(Some(last.unwrap_or_else(|| match reported.running_step() {
                    Some(step) => format!("step `{step}` is still running"),
                    None => "the droplet is still running its steps".to_owned(),
                }))))
            })
            .await;
        let status = match followed {
            Ok(status) => status,
            Err(mut stop) => {
                if let Stop::Failed(Failure { kind: FailureKind::Timeout { log, .. }, .. }) = &mut stop
                    && answered
                {
                    *log = self.save_log(role, marker, address).await?.map(Into::into);
                }
                return Err(stop);
            }
        };
        self.report_rest(&mut reported);
        if let Some(check) = &status.check {
            self.ports.observer.event(&Event::Checked(check.clone()));
        }
        if status.state == RunnerState::Passed {
            return self.record(&JournalEntry::Passed { role, check: status.check });
        }
        let log = self.save_log(role, marker, address).await?;
        let failure = RunnerFailure { error: status.error.unwrap_or_default(), check: status.check, log };
        Err(Stop::failed(stage, FailureKind::Runner(Box::new(failure))))
    }

    /// Fails if a droplet that is followed is off. It powers off after it has passed, but also when it crashes or when
    /// somebody switches it off; only its own report `passed` tells these apart, and it waits [`POWER_OFF_AFTER`] to
    /// deliver that.
    async fn check_still_on(
        &self,
        role: DropletRole,
        id: u64,
        reported: &Reported,
        answered: bool,
        stage: Stage,
    ) -> Result<(), Stop> {
        // This check is optional: the status channel and the deadline decide.
        let Ok(droplet) = self.unless_stopped(self.ports.provider.droplet(id)).await? else { return Ok(()) };
        if droplet.status != DropletStatus::Off {
            return Ok(());
        }
        let role = role.name();
        let during = reported.running_step().map(|step| format!(" during step `{step}`")).unwrap_or_default();
        let why = if answered {
            format!("the {role} droplet {id} powered off by itself{during}, before it had passed")
        } else {
            format!("the {role} droplet {id} is off, and its status channel never reported that it passed")
        };
        Err(Stop::failed(stage, FailureKind::Droplet(why)))
    }

    /// Sends what the droplet waits for, for some seconds; then its status is worth a look again.
    async fn upload(
        &self,
        marker: &dyn Marker,
        address: IpAddr,
        mut offset: u64,
        stage: Stage,
    ) -> Result<Result<(), MarkerError>, Stop> {
        let began = self.ports.clock.now();
        while self.ports.clock.now().saturating_sub(began) < UPLOAD_INTERVAL {
            match self.unless_stopped(marker.upload(address, offset)).await? {
                Ok(Some(next)) if next > offset => offset = next,
                Ok(_) => break,
                Err(error @ MarkerError::Upload { .. }) => {
                    return Err(Stop::failed(stage, FailureKind::Upload(error.to_string())));
                }
                Err(error) => return Ok(Err(error)),
            }
        }
        if self.ports.clock.now().saturating_sub(began) >= UPLOAD_INTERVAL {
            self.note(format!("uploaded {} MB so far", offset / 1_000_000));
        }
        Ok(Ok(()))
    }

    fn report_status(&self, reported: &mut Reported, status: &Status) {
        let observer = self.ports.observer;
        for step in &status.steps {
            if reported.steps.get(&step.name) != Some(&step.state) {
                reported.steps.insert(step.name.clone(), step.state.clone());
                if step.state != "pending" {
                    observer.event(&Event::Step(step.clone()));
                }
            }
        }
        // A chunk that does not advance the offset would be shown again and again.
        if status.log.next > reported.offset {
            reported.offset = status.log.next;
            reported.line.push_str(&status.log.text);
            while let Some(end) = reported.line.find('\n') {
                let rest = reported.line.split_off(end + 1);
                let line = std::mem::replace(&mut reported.line, rest);
                observer.event(&Event::Log { line: printable(line.trim_end()) });
            }
        }
        if status.state == RunnerState::Complete && !reported.complete {
            reported.complete = true;
            observer.event(&Event::Complete);
        }
    }

    fn report_rest(&self, reported: &mut Reported) {
        let line = std::mem::take(&mut reported.line);
        if !line.trim().is_empty() {
            self.ports.observer.event(&Event::Log { line: printable(line.trim_end()) });
        }
    }

    /// Saves the droplet's whole log beside the journal; returns its path.
    async fn save_log(&self, role: DropletRole, marker: &dyn Marker, address: IpAddr) -> Result<Option<String>, Stop> {
        let mut last = None;
        let fetched =
            self.try_three_times(async || marker.log(address).await.map_err(|error| last = Some(error)).ok()).await?;
        match fetched {
            Some(text) => match self.ports.journal.save(&format!("{}.log", role.name()), text.as_bytes()) {
                Ok(path) => return Ok(Some(path)),
                Err(error) => self.warn(format!("the droplet's log is not saved: {error}")),
            },
            None => {
                let reason = last.map(|error| error.to_string()).unwrap_or_default();
                self.warn(format!("the droplet's log could not be fetched: {reason}"));
            }
        }
        Ok(None)
    }

    /// Tells the droplet that its result was received; otherwise it would power off later.
    pub(super) async fn acknowledge(&self) -> Result<(), Stop> {
        let (Some(marker), Some(address)) = (self.ports.marker, self.state.build.address()) else { return Ok(()) };
        if self.try_three_times(async || marker.acknowledge(address).await.ok()).await?.is_none() {
            self.note("the droplet did not take the acknowledgement; it may be off already");
        }
        Ok(())
    }
}

//! The life of a droplet: requested, booted, powered off; and a second one that verifies the snapshot.
//!
//! The answer to a create request may be lost while the droplet comes up. The request is never simply repeated: the
//! machine first looks for the bake's tag, for longer than the provider's lists lag.

use std::time::Duration;

use super::id::MKIMG_TAG;
use super::journal::JournalEntry;
use super::machine::Machine;
use super::outcome::{Failure, FailureKind, Stop};
use super::poll::{LIST_LAG, Poll};
use super::ports::{Action, ActionStatus, CreateDroplet, Droplet, DropletAction, DropletStatus, Event, Snapshot};
use super::resources::ResourceId;
use super::spec::{LimitKind, MarkerKind, Stage};
use super::state::{DropletProgress, DropletRole};

const MAX_CREATE_ATTEMPTS: u32 = 3;
/// How often the action that creates a droplet is checked; when it fails, the droplet stays `new` for ever.
const CREATE_ACTION_INTERVAL: Duration = Duration::from_secs(5);

impl Machine<'_> {
    fn droplet_name(&self, role: DropletRole) -> String {
        match role {
            DropletRole::Build => self.spec.droplet.name.clone(),
            DropletRole::Verification => {
                let mut name: String = self.spec.droplet.name.chars().take(240).collect();
                name.push_str("-verification");
                name
            }
        }
    }

    /// Makes sure that there is exactly one droplet with this role.
    ///
    /// The loop is not a wait: each round sends a request, which is finished even if the user interrupts. Between two
    /// requests, `find_droplet` polls for what the last one did.
    pub(super) async fn create(&mut self, role: DropletRole) -> Result<(), Stop> {
        if self.state.droplet(role).id().is_some() {
            return Ok(());
        }
        let stage = if role == DropletRole::Build { Stage::Create } else { Stage::Verify };
        let image = match role {
            DropletRole::Build => self.spec.droplet.image.clone(),
            DropletRole::Verification => self.state.snapshot.id().unwrap_or_default().to_owned(),
        };
        let spec = &self.spec.droplet;
        self.stage(stage, format!("{} droplet: {}, {}, image {image}", role.name(), spec.region, spec.size));
        if self.state.droplet(role).is_unsettled()
            && let Some(found) = self.find_droplet(role, stage).await?
        {
            return self.record_created(role, &found);
        }
        let (secrets, name) = (self.secrets, self.droplet_name(role));
        let user_data = match role {
            DropletRole::Build => &secrets.user_data,
            DropletRole::Verification => secrets.verification.as_ref().unwrap_or(&secrets.user_data),
        };
        let mut tags = vec![MKIMG_TAG.to_owned(), self.spec.tag().to_string()];
        if role == DropletRole::Build {
            tags.extend(self.spec.droplet.tags.iter().filter(|tag| *tag != MKIMG_TAG).cloned());
        }
        let request = CreateDroplet { spec: &self.spec.droplet, name: &name, image: &image, tags, user_data };
        let provider = self.ports.provider;
        let mut attempts = 0;
        loop {
            // Between two requests the bake can be interrupted. The request itself is finished, so that its effect can be
            // seen.
            self.check_stopped().await?;
            self.record(&JournalEntry::Creating { role })?;
            attempts += 1;
            match self.change(provider.create_droplet(&request)).await? {
                Ok(droplet) => return self.record_created(role, &droplet),
                Err(error) if error.is_ambiguous() => {
                    self.warn(format!("{error}; looking for the bake's tag first"));
                    if let Some(found) = self.find_droplet(role, stage).await? {
                        return self.record_created(role, &found);
                    }
                    if attempts >= MAX_CREATE_ATTEMPTS {
                        let last = Box::new(error);
                        return Err(Stop::failed(stage, FailureKind::CreateLost { attempts, last }));
                    }
                }
                Err(error) => {
                    self.record(&JournalEntry::CreateRefused { role })?;
                    return Err(Stop::provider(stage, error));
                }
            }
        }
    }

    fn record_created(&mut self, role: DropletRole, droplet: &Droplet) -> Result<(), Stop> {
        self.record(&JournalEntry::Created { role, droplet: droplet.id })?;
        let role = role.name().to_owned();
        self.ports.observer.event(&Event::Droplet { id: droplet.id, role, address: droplet.address });
        Ok(())
    }

    /// Looks for this bake's droplet with a role. Only a lookup that began after lists stopped
    /// lagging proves that there is none. A failed lookup proves nothing and never justifies a
    /// second request.
    pub(super) async fn find_droplet(&self, role: DropletRole, stage: Stage) -> Result<Option<Droplet>, Stop> {
        let name = self.droplet_name(role);
        let (provider, tag) = (self.ports.provider, self.spec.tag().to_string());
        let poller = self.wait_without_limit(stage, "the bake's droplets");
        poller
            .poll_until(async |attempt| match self.unless_stopped(provider.droplets_tagged(&tag)).await? {
                Ok(droplets) => match droplets.into_iter().find(|droplet| droplet.name == name) {
                    Some(found) => Ok(Poll::Ready(Some(found))),
                    None if attempt.elapsed() >= LIST_LAG => Ok(Poll::Ready(None)),
                    None => Ok(Poll::Pending(None)),
                },
                Err(error) if error.is_transient() => Ok(Poll::Outage(error)),
                // A refusal may be temporary.
                Err(error) if attempt.elapsed() >= LIST_LAG * 3 => Err(Stop::provider(stage, error)),
                Err(error) => Ok(Poll::Pending(Some(error.to_string()))),
            })
            .await
    }

    pub(super) async fn boot(&mut self, role: DropletRole) -> Result<(), Stop> {
        let droplet = self.state.droplet(role);
        let Some(id) = droplet.present_id().filter(|_| !droplet.has_reached(DropletProgress::Active)) else {
            return Ok(());
        };
        let stage = if role == DropletRole::Build { Stage::Boot } else { Stage::Verify };
        self.stage(stage, format!("waiting until {} droplet {id} is active", role.name()));
        let (provider, https) = (self.ports.provider, self.spec.marker == MarkerKind::Https);
        let (clock, mut checked) = (self.ports.clock, self.ports.clock.now());
        let booted = self
            .wait(stage, LimitKind::Create, format!("droplet {id} becoming active"))
            .look_until(async || {
                let droplet = provider.droplet(id).await?;
                if droplet.status == DropletStatus::New && clock.now().saturating_sub(checked) >= CREATE_ACTION_INTERVAL
                {
                    checked = clock.now();
                    // This check is optional: the wait also works with a service that does not list
                    // actions.
                    let actions = provider.droplet_actions(id).await.unwrap_or_default();
                    let failed = |action: &&Action| action.kind == "create" && action.status == ActionStatus::Errored;
                    if let Some(action) = actions.iter().find(failed) {
                        return Ok(Some(Err(action.id)));
                    }
                }
                let booted = match droplet.status {
                    // The status channel needs an address: a droplet without one is not ready.
                    DropletStatus::Active if https && droplet.address.is_none() => None,
                    DropletStatus::Active => Some(droplet.address),
                    // A fast droplet has finished between two attempts.
                    DropletStatus::Off if !droplet.locked => Some(droplet.address),
                    _ => None,
                };
                Ok(booted.map(Ok))
            })
            .await?;
        let address = booted.map_err(|action| {
            let what = format!("creating droplet {id}");
            Stop::failed(stage, FailureKind::ActionErrored { action, what })
        })?;
        self.record(&JournalEntry::Active { role, address })?;
        self.ports.observer.event(&Event::Droplet { id, role: role.name().to_owned(), address });
        Ok(())
    }

    /// Waits until the build droplet is off: acknowledges its result, then asks it to shut down,
    /// then switches it off.
    pub(super) async fn power_off(&mut self) -> Result<(), Stop> {
        let build = &self.state.build;
        let Some(id) = build.present_id().filter(|_| !build.has_reached(DropletProgress::Off)) else { return Ok(()) };
        self.stage(Stage::PowerOff, format!("waiting until droplet {id} is off"));
        self.acknowledge().await?;
        if !self.is_off_within_limit(id, None).await? {
            self.warn("the droplet did not power off by itself: asking it to shut down");
            if !self.stop_droplet(id, DropletAction::Shutdown).await? {
                self.warn("the guest ignores the shutdown: switching the droplet off");
                if !self.stop_droplet(id, DropletAction::PowerOff).await? {
                    let what = format!("droplet {id} going off after power_off");
                    return Err(self.wait(Stage::PowerOff, LimitKind::PowerOff, what).wait.timeout(None));
                }
            }
        }
        self.record(&JournalEntry::Off)
    }

    async fn stop_droplet(&self, id: u64, action: DropletAction<'_>) -> Result<bool, Stop> {
        let provider = self.ports.provider;
        match self.change(provider.droplet_action(id, action)).await? {
            Ok(action) => self.is_off_within_limit(id, Some(action.id)).await,
            // Held by another event, or the answer was lost: what counts is whether the droplet powers off.
            Err(error) if error.is_transient() => {
                self.warn(error.to_string());
                self.is_off_within_limit(id, None).await
            }
            // Refused: perhaps because it is off by now.
            Err(error) => match self.unless_stopped(provider.droplet(id)).await? {
                Ok(droplet) if droplet.status == DropletStatus::Off => Ok(true),
                _ if action == DropletAction::Shutdown => {
                    self.warn(error.to_string());
                    Ok(false)
                }
                _ => Err(Stop::provider(Stage::PowerOff, error)),
            },
        }
    }

    /// Whether the droplet powers off within the limit. An action that ends with `errored` ends the wait at once.
    async fn is_off_within_limit(&self, id: u64, action: Option<u64>) -> Result<bool, Stop> {
        let provider = self.ports.provider;
        let off = self
            .wait(Stage::PowerOff, LimitKind::PowerOff, format!("droplet {id} going off"))
            .look_until(async || {
                if provider.droplet(id).await?.status == DropletStatus::Off {
                    return Ok(Some(true));
                }
                if let Some(action) = action
                    && let Ok(action) = provider.action(action, &ResourceId::Droplet(id)).await
                    && action.status == ActionStatus::Errored
                {
                    return Ok(Some(false));
                }
                Ok(None)
            })
            .await;
        match off {
            Err(Stop::Failed(Failure { kind: FailureKind::Timeout { .. }, .. })) => Ok(false),
            other => other,
        }
    }

    /// Starts a second droplet from the snapshot, which reports whether everything runs. The snapshot itself is not
    /// changed. Returns whether the snapshot is verified.
    pub(super) async fn verify(&mut self, snapshot: &Snapshot) -> Result<bool, Stop> {
        if !self.spec.verify || self.secrets.verification.is_none() {
            return Ok(false);
        }
        if !self.state.verification.is_gone() {
            self.stage(Stage::Verify, format!("a new droplet from snapshot {}", snapshot.id));
            self.create(DropletRole::Verification).await?;
            self.boot(DropletRole::Verification).await?;
            self.provision(DropletRole::Verification).await?;
            self.destroy_droplets(Stage::Verify).await?;
        }
        Ok(self.state.verification.has_passed())
    }
}

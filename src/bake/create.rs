//! Asking for a droplet and waiting until it runs.
//!
//! The answer to the request may be lost while the droplet comes up. The request is never simply repeated: the machine
//! first looks for the bake's tag, for longer than the provider's lists lag.

use std::time::Duration;

use super::failure::{Failure, FailureKind};
use super::id::MKIMG_TAG;
use super::journal::{Entry, Role};
use super::machine::{Machine, Stop};
use super::ports::{Action, ActionStatus, CreateDroplet, Droplet, DropletStatus, Event};
use super::silence::Silence;
use super::spec::{MarkerKind, Stage};
use super::wait::{LAG, Pace, Wait};

const ATTEMPTS: u32 = 3;
/// How often the action that makes a droplet is looked at; one that failed leaves the droplet `new` for ever.
const LOOK_AT_ACTION: Duration = Duration::from_secs(5);

impl Machine<'_> {
    pub(super) fn droplet_name(&self, role: Role) -> String {
        match role {
            Role::Build => self.spec.droplet.name.clone(),
            Role::Verification => {
                let mut name: String = self.spec.droplet.name.chars().take(240).collect();
                name.push_str("-verification");
                name
            }
        }
    }

    /// Makes sure that there is a droplet of this role, and exactly one.
    pub(super) async fn create(&mut self, role: Role) -> Result<(), Stop> {
        if self.ledger.droplet(role).id.is_some() {
            return Ok(());
        }
        let stage = if role == Role::Build { Stage::Create } else { Stage::Verify };
        let image = match role {
            Role::Build => self.spec.droplet.image.clone(),
            Role::Verification => self.ledger.snapshot.clone().unwrap_or_default(),
        };
        let spec = &self.spec.droplet;
        self.stage(stage, format!("{} droplet: {}, {}, image {image}", role.name(), spec.region, spec.size));
        if self.ledger.droplet(role).unsettled
            && let Some(found) = self.look_up(role, stage).await?
        {
            return self.created(role, &found);
        }
        let (secrets, name) = (self.secrets, self.droplet_name(role));
        let user_data = match role {
            Role::Build => &secrets.user_data,
            Role::Verification => secrets.verification.as_ref().unwrap_or(&secrets.user_data),
        };
        let mut tags = vec![MKIMG_TAG.to_owned(), self.spec.tag().to_string()];
        if role == Role::Build {
            tags.extend(self.spec.droplet.tags.iter().filter(|tag| *tag != MKIMG_TAG).cloned());
        }
        let request = CreateDroplet { spec: &self.spec.droplet, name: &name, image: &image, tags, user_data };
        let provider = self.ports.provider;
        let mut attempts = 0;
        loop {
            // Between two requests a stop is heeded; the request itself is let finish, so that its effect can be seen.
            self.unless_stopped(std::future::ready(())).await?;
            self.record(&Entry::Creating { role })?;
            attempts += 1;
            match self.change(provider.create_droplet(&request)).await? {
                Ok(droplet) => return self.created(role, &droplet),
                Err(error) if error.is_ambiguous() => {
                    self.warn(format!("{error}; looking for the bake's tag before anything else"));
                    if let Some(found) = self.look_up(role, stage).await? {
                        return self.created(role, &found);
                    }
                    if attempts >= ATTEMPTS {
                        return Err(Stop::Failed(Failure::new(
                            stage,
                            FailureKind::CreateLost { attempts, last: Box::new(error) },
                        )));
                    }
                }
                Err(error) => {
                    self.record(&Entry::CreateRefused { role })?;
                    return Err(Stop::Failed(Failure::provider(stage, error)));
                }
            }
        }
    }

    fn created(&mut self, role: Role, droplet: &Droplet) -> Result<(), Stop> {
        self.record(&Entry::Created { role, droplet: droplet.id })?;
        self.ports.observer.event(&Event::Droplet {
            id: droplet.id,
            role: role.name().to_owned(),
            address: droplet.address,
        });
        Ok(())
    }

    /// Looks for this bake's droplet of a role. That there is none is known from a look that began when lists no longer lagged:
    /// an earlier one says nothing, and none at all is no ground for a second request.
    pub(super) async fn look_up(&self, role: Role, stage: Stage) -> Result<Option<Droplet>, Stop> {
        let start = self.ports.clock.now();
        let mut pace = Pace::new(self.poll());
        let name = self.droplet_name(role);
        let (provider, tag) = (self.ports.provider, self.spec.tag().to_string());
        let mut silence = Silence::default();
        loop {
            let spent = self.elapsed_since(start);
            match self.unless_stopped(provider.droplets_tagged(&tag)).await? {
                Ok(droplets) => {
                    silence.heard();
                    if let Some(found) = droplets.into_iter().find(|d| d.name == name) {
                        return Ok(Some(found));
                    }
                    if spent >= LAG {
                        return Ok(None);
                    }
                }
                Err(error) if error.is_transient() => {
                    self.missed(&mut silence, start + spent, stage, "the bake's droplets", &error)?;
                }
                // What is refused may be an accident, for a while.
                Err(error) if spent >= LAG * 3 => return Err(Stop::Failed(Failure::provider(stage, error))),
                Err(_) => {}
            }
            self.pause(pace.next()).await?;
        }
    }

    /// Waits until a droplet runs.
    pub(super) async fn boot(&mut self, role: Role) -> Result<(), Stop> {
        let record = self.ledger.droplet(role);
        let (Some(id), false) = (record.id, record.active) else { return Ok(()) };
        let stage = if role == Role::Build { Stage::Boot } else { Stage::Verify };
        self.stage(stage, format!("waiting until {} droplet {id} is active", role.name()));
        let wait = Wait {
            stage,
            what: format!("droplet {id} becoming active"),
            limit: self.spec.limits.create,
            option: "--timeout-create",
        };
        let (provider, https) = (self.ports.provider, self.spec.marker == MarkerKind::Https);
        let (clock, mut looked) = (self.ports.clock, self.ports.clock.now());
        let booted = self
            .wait(&wait, async || {
                let droplet = provider.droplet(id).await?;
                if droplet.status == DropletStatus::New && clock.now().saturating_sub(looked) >= LOOK_AT_ACTION {
                    looked = clock.now();
                    // An extra: a service that does not say goes on being waited for.
                    let actions = provider.droplet_actions(id).await.unwrap_or_default();
                    let failed = |action: &&Action| action.kind == "create" && action.status == ActionStatus::Errored;
                    if let Some(action) = actions.iter().find(failed) {
                        return Ok(Some(Err(action.id)));
                    }
                }
                let booted = match droplet.status {
                    // The status channel needs an address; one without it is not ready for us.
                    DropletStatus::Active if https && droplet.address.is_none() => None,
                    DropletStatus::Active => Some(droplet.address),
                    // A quick one has finished between two looks.
                    DropletStatus::Off if !droplet.locked => Some(droplet.address),
                    _ => None,
                };
                Ok(booted.map(Ok))
            })
            .await?;
        let address = booted.map_err(|action| {
            Stop::Failed(Failure::new(stage, FailureKind::Errored { action, what: format!("creating droplet {id}") }))
        })?;
        self.record(&Entry::Active { role, address })?;
        self.ports.observer.event(&Event::Droplet { id, role: role.name().to_owned(), address });
        Ok(())
    }
}

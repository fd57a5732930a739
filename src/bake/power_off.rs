//! Until the droplet is off: it is told that its result was received, then asked to shut down, then switched off.

use super::failure::{Failure, FailureKind};
use super::journal::Entry;
use super::machine::{Machine, Stop};
use super::ports::{ActionOf, ActionStatus, DropletAction, DropletStatus};
use super::spec::Stage;
use super::wait::Wait;

impl Machine<'_> {
    pub(super) async fn power_off(&mut self) -> Result<(), Stop> {
        let (Some(id), false) = (self.ledger.build.id, self.ledger.off) else { return Ok(()) };
        self.stage(Stage::PowerOff, format!("waiting until droplet {id} is off"));
        self.acknowledge().await?;
        if !self.off_within_limit(id, None).await? {
            self.warn("the droplet did not go off by itself: asking it to shut down");
            if !self.ask_and_wait(id, DropletAction::Shutdown, "shutdown").await? {
                self.warn("the guest ignores the shutdown: switching the droplet off");
                if !self.ask_and_wait(id, DropletAction::PowerOff, "power_off").await? {
                    let limit = self.spec.limits.power_off;
                    let wait = Wait {
                        stage: Stage::PowerOff,
                        what: format!("droplet {id} going off after power_off"),
                        limit,
                        option: "--timeout-power-off",
                    };
                    return Err(wait.timeout(None));
                }
            }
        }
        self.record(&Entry::Off)
    }

    async fn ask_and_wait(&self, id: u64, action: DropletAction<'_>, name: &str) -> Result<bool, Stop> {
        let provider = self.ports.provider;
        match self.change(provider.droplet_action(id, action)).await? {
            Ok(action) => self.off_within_limit(id, Some(action.id)).await,
            // Held by another event, or the answer was lost: what counts is whether the droplet goes off.
            Err(error) if error.is_transient() => {
                self.warn(error.to_string());
                self.off_within_limit(id, None).await
            }
            // Refused: perhaps because it is off by now.
            Err(error) => match self.unless_stopped(provider.droplet(id)).await? {
                Ok(droplet) if droplet.status == DropletStatus::Off => Ok(true),
                _ if name == "shutdown" => {
                    self.warn(error.to_string());
                    Ok(false)
                }
                _ => Err(Stop::Failed(Failure::provider(Stage::PowerOff, error))),
            },
        }
    }

    /// Whether the droplet goes off within the limit; an action that ends with `errored` ends the wait at once.
    async fn off_within_limit(&self, id: u64, action: Option<u64>) -> Result<bool, Stop> {
        let limit = self.spec.limits.power_off;
        let wait = Wait {
            stage: Stage::PowerOff,
            what: format!("droplet {id} going off"),
            limit,
            option: "--timeout-power-off",
        };
        let provider = self.ports.provider;
        let looked = self
            .wait(&wait, async || {
                if provider.droplet(id).await?.status == DropletStatus::Off {
                    return Ok(Some(true));
                }
                if let Some(action) = action
                    && let Ok(action) = provider.action(action, ActionOf::Droplet(id)).await
                    && action.status == ActionStatus::Errored
                {
                    return Ok(Some(false));
                }
                Ok(None)
            })
            .await;
        match looked {
            Err(Stop::Failed(Failure { kind: FailureKind::Timeout { .. }, .. })) => Ok(false),
            other => other,
        }
    }
}

//! Booting the snapshot: a second droplet starts from it and says whether everything that should run does.
//! The snapshot itself is not touched.

use super::journal::Role;
use super::machine::{Machine, Stop};
use super::ports::Snapshot;
use super::spec::Stage;

impl Machine<'_> {
    /// Whether the snapshot was proved.
    pub(super) async fn verify(&mut self, snapshot: &Snapshot) -> Result<bool, Stop> {
        if !self.spec.verify || self.secrets.verification.is_none() {
            return Ok(false);
        }
        if !self.ledger.verification.gone {
            self.stage(Stage::Verify, format!("a new droplet from snapshot {}", snapshot.id));
            self.create(Role::Verification).await?;
            self.boot(Role::Verification).await?;
            self.provision(Role::Verification).await?;
            self.destroy_all(Stage::Verify).await?;
        }
        Ok(self.ledger.verification.passed)
    }
}

//! A bake whose snapshot is whole, and which cannot do what remains: its droplet is not to be destroyed (a token without that
//! right), or the service went away. The snapshot is what the bake was for, and nothing speaks against it, so nothing is
//! cleaned up: what is there is named, and `mkimg resume` goes on.

use super::failure::{Failure, FailureKind};
use super::journal::Entry;
use super::left::Left;
use super::machine::Machine;
use super::outcome::Outcome;
use super::ports::ProviderErrorKind;
use super::spec::Stage;

impl Machine<'_> {
    /// Whether this failure says nothing against the snapshot, and another process may get further.
    pub(super) fn may_go_on(&self, failure: &Failure) -> bool {
        if !self.ledger.whole {
            return false;
        }
        match &failure.kind {
            // The snapshot is gone.
            FailureKind::Provider(error) => error.kind != ProviderErrorKind::NotFound,
            FailureKind::Silent { .. } => true,
            FailureKind::Timeout { .. } => match failure.stage {
                Stage::Destroy | Stage::Commit => true,
                // It was proved: only its second droplet remains. One that has not proved it in time speaks against it.
                Stage::Verify => self.ledger.verification.passed,
                _ => false,
            },
            _ => false,
        }
    }

    /// Ends here, and leaves everything as it is.
    pub(super) fn halt(&mut self, failure: Failure) -> Outcome {
        self.journal_matters = false;
        let left = self.halted();
        // Where this cannot be written, the journal is that of a bake that was killed: it can be resumed all the same.
        let _ = self.record(&Entry::Halted { failure: failure.to_string(), left: left.clone() });
        Outcome::Failed { failure, left, resumable: true }
    }

    fn halted(&self) -> Vec<Left> {
        let mut left = self.known("not seen to be gone", "finished");
        let droplets = left.iter().filter(|one| matches!(one, Left::Droplet { .. })).count();
        if self.ledger.asked_for > droplets {
            let why = "a droplet was asked for, and it is not known whether it is there".to_owned();
            left.push(Left::Unknown { tag: self.spec.tag().to_string(), why });
        }
        left
    }
}

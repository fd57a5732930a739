//! The droplet's end of the status channel, in memory.

use std::net::IpAddr;

use async_trait::async_trait;

use super::Fake;
use crate::bake::ports::*;

#[async_trait]
impl Marker for Fake {
    async fn status(&self, address: IpAddr, log_offset: u64) -> Result<Status, MarkerError> {
        let now = self.seconds();
        let state = self.state.lock().unwrap();
        let up = state.droplets.values().rfind(|d| d.gone_at.is_none() && self.status(d, now) == DropletStatus::Active);
        let (Some(droplet), true) = (up, self.world.marker_answers) else {
            return Err(MarkerError::NotUp(address.to_string()));
        };
        let finished = now >= droplet.born + self.world.active_after.unwrap_or(0) + self.world.provision;
        let failed = finished && self.world.final_state == RunnerState::Failed;
        let text = if log_offset == 0 { "hello from the droplet\n" } else { "" };
        Ok(Status {
            bake: "x".into(),
            state: if finished { self.world.final_state } else { RunnerState::Running },
            steps: vec![RunnerStep {
                name: format!("script 01 of {}", droplet.image),
                state: if failed {
                    "failed"
                } else if finished {
                    "passed"
                } else {
                    "running"
                }
                .into(),
                seconds: Some(1.0),
                exit: None,
            }],
            log: LogPiece { next: log_offset + text.len() as u64, text: text.into() },
            check: finished.then(|| Check {
                exit: Some(0),
                passed: 8,
                warnings: 0,
                failed: u64::from(failed),
                findings: vec![],
            }),
            error: failed.then(|| RunnerError {
                step: "check 99-img-check.sh".into(),
                message: "exit status 1".into(),
                exit: Some(1),
                tail: "[FAIL] ufw".into(),
            }),
        })
    }
    async fn acknowledge(&self, _address: IpAddr) -> Result<(), MarkerError> {
        let now = self.seconds();
        if self.world.heeds_acknowledgement {
            for droplet in self.state.lock().unwrap().droplets.values_mut() {
                droplet.off_at.get_or_insert(now + 3);
            }
        }
        Ok(())
    }
    async fn log(&self, _address: IpAddr) -> Result<String, MarkerError> {
        Ok("the whole log".into())
    }
}

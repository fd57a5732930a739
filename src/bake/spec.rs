//! What a bake is to do. All of it can be written to the journal; none of it is secret.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::duration::{milliseconds, seconds};
use super::id::{BakeId, BakeTag};

/// Default maximum interval between two attempts.
pub const DEFAULT_POLL_INTERVAL: Duration = Duration::from_secs(2);

/// What one bake is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    pub id: BakeId,
    /// When `mkimg gc` may delete what the bake made, in seconds since 1970.
    pub deadline: u64,
    pub droplet: DropletSpec,
    pub snapshot: SnapshotSpec,
    /// How the droplet says that it is finished.
    pub marker: MarkerKind,
    /// What happens to the droplet and the snapshot of a bake that fails.
    pub on_error: OnError,
    /// Whether a droplet is started from the snapshot, and must pass, before the bake is done.
    pub verify: bool,
    /// How long each wait may take.
    pub limits: Limits,
    /// Maximum interval between two attempts to see the same thing; the first intervals are shorter.
    #[serde(rename = "poll_ms", with = "milliseconds")]
    pub poll_interval: Duration,
}

impl Spec {
    /// The tag of what this bake creates.
    pub fn tag(&self) -> BakeTag {
        BakeTag { id: self.id.clone(), deadline: self.deadline }
    }
}

/// The build droplet, as the API wants it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DropletSpec {
    /// `^[a-zA-Z0-9]?[a-z0-9A-Z.\-]*[a-z0-9A-Z]$`, at most 255 characters.
    pub name: String,
    /// Slug of the region, such as `nyc3`.
    pub region: String,
    /// Slug of the size, such as `s-1vcpu-1gb`.
    pub size: String,
    /// Slug or number of the base image.
    pub image: String,
    /// The VPC, if not the region's default one.
    pub vpc_uuid: Option<String>,
    /// Whether it gets an IPv6 address.
    pub ipv6: bool,
    /// Whether the provider's metrics agent is installed.
    pub monitoring: bool,
    /// Whether the agent behind the provider's web console is installed; its folder fails the image check.
    #[serde(default)]
    pub droplet_agent: bool,
    /// Ids or fingerprints of SSH keys, to look inside a droplet that is kept.
    pub ssh_keys: Vec<String>,
    /// Tags besides mkimg's own.
    pub tags: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotSpec {
    pub name: String,
    /// Regions to transfer it to, besides the droplet's own.
    pub regions: Vec<String>,
    /// Whether the bake waits until the transfers are complete; otherwise they only need to be accepted.
    #[serde(default = "yes")]
    pub await_transfers: bool,
    /// Tags it keeps.
    pub tags: Vec<String>,
}

fn yes() -> bool {
    true
}

/// How the droplet says that it is finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MarkerKind {
    /// The droplet's status channel (TLS, pinned certificate).
    Https,
    /// The droplet opens no port, and powers itself off.
    Poweroff,
}

/// What happens to the droplet and the snapshot of a bake that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    Destroy,
    Keep,
    Ask,
}

/// How long each wait may take. The journal has them in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// From the request until the droplet is active.
    #[serde(with = "seconds")]
    pub create: Duration,
    /// From active until the marker says passed or failed.
    #[serde(with = "seconds")]
    pub provision: Duration,
    /// From the acknowledgement until off; again after `shutdown`, again after `power_off`.
    #[serde(with = "seconds")]
    pub power_off: Duration,
    /// From the snapshot request until the snapshot is finished.
    #[serde(with = "seconds")]
    pub snapshot: Duration,
    /// All transfers together.
    #[serde(with = "seconds")]
    pub transfer: Duration,
    /// From an active verification droplet until it has passed.
    #[serde(with = "seconds")]
    pub verify: Duration,
    /// From the request to destroy a droplet until it is gone, pending events included.
    #[serde(with = "seconds")]
    pub destroy: Duration,
    /// The outage budget: how long the API may give no usable answer, on the way forward in one wait, while cleaning up in
    /// all of them together.
    #[serde(with = "seconds", default = "unreachable")]
    pub unreachable: Duration,
}

/// The outage budget of a bake whose journal does not contain it.
fn unreachable() -> Duration {
    Limits::default().unreachable
}

/// One of the [`Limits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitKind {
    Create,
    Provision,
    PowerOff,
    Snapshot,
    Transfer,
    Verify,
    Destroy,
    Unreachable,
}

impl Limits {
    pub fn get(&self, kind: LimitKind) -> Duration {
        match kind {
            LimitKind::Create => self.create,
            LimitKind::Provision => self.provision,
            LimitKind::PowerOff => self.power_off,
            LimitKind::Snapshot => self.snapshot,
            LimitKind::Transfer => self.transfer,
            LimitKind::Verify => self.verify,
            LimitKind::Destroy => self.destroy,
            LimitKind::Unreachable => self.unreachable,
        }
    }

    /// The longest time that a bake can take: the sum of all its waits. After that, it is presumed
    /// dead.
    pub fn total(&self) -> Duration {
        self.create * 2
            + self.provision
            + self.power_off * 3
            + self.snapshot
            + self.transfer
            + self.verify
            + self.destroy * 2
            + Duration::from_secs(600)
    }
}

impl Default for Limits {
    fn default() -> Self {
        let minutes = |n: u64| Duration::from_secs(n * 60);
        Self {
            create: minutes(6),
            provision: minutes(45),
            power_off: minutes(3),
            snapshot: minutes(60),
            transfer: minutes(60),
            verify: minutes(20),
            destroy: minutes(5),
            unreachable: minutes(3),
        }
    }
}

/// A stage of a bake; a failure names the one that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Account, region, size, image and snapshot name are checked.
    Preflight,
    /// The build droplet is requested.
    Create,
    /// Until the droplet is active.
    Boot,
    /// Until the completion marker.
    Provision,
    /// Until the droplet is off.
    PowerOff,
    Snapshot,
    /// The snapshot gets its tags.
    Tag,
    /// The snapshot is transferred to its other regions.
    Transfer,
    /// The build droplet is destroyed.
    Destroy,
    /// A second droplet verifies the snapshot.
    Verify,
    /// The bake's tag is taken off the snapshot.
    Commit,
    /// After a failure or Ctrl-C.
    CleanUp,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Preflight => "preflight",
            Self::Create => "create",
            Self::Boot => "boot",
            Self::Provision => "provision",
            Self::PowerOff => "power off",
            Self::Snapshot => "snapshot",
            Self::Tag => "tag",
            Self::Transfer => "transfer",
            Self::Destroy => "destroy",
            Self::Verify => "verify",
            Self::Commit => "commit",
            Self::CleanUp => "clean up",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_is_its_own() {
        let seconds = Duration::from_secs;
        let limits = Limits {
            create: seconds(1),
            provision: seconds(2),
            power_off: seconds(3),
            snapshot: seconds(4),
            transfer: seconds(5),
            verify: seconds(6),
            destroy: seconds(7),
            unreachable: seconds(8),
        };
        for (kind, expected) in [
            (LimitKind::Create, 1),
            (LimitKind::Provision, 2),
            (LimitKind::PowerOff, 3),
            (LimitKind::Snapshot, 4),
            (LimitKind::Transfer, 5),
            (LimitKind::Verify, 6),
            (LimitKind::Destroy, 7),
            (LimitKind::Unreachable, 8),
        ] {
            assert_eq!(limits.get(kind), seconds(expected), "{kind:?}");
        }
    }

    /// A bake whose waits all take their whole time must not be taken for dead by another machine's `mkimg gc`.
    #[test]
    fn the_deadline_covers_the_sum_of_all_limits() {
        let none = Limits {
            create: Duration::ZERO,
            provision: Duration::ZERO,
            power_off: Duration::ZERO,
            snapshot: Duration::ZERO,
            transfer: Duration::ZERO,
            verify: Duration::ZERO,
            destroy: Duration::ZERO,
            unreachable: Duration::ZERO,
        };
        let hour = Duration::from_secs(3_600);
        // Two droplets are created and destroyed; a droplet is off by itself, after `shutdown` or after `power_off`.
        for (limits, times) in [
            (Limits { create: hour, ..none }, 2),
            (Limits { provision: hour, ..none }, 1),
            (Limits { power_off: hour, ..none }, 3),
            (Limits { snapshot: hour, ..none }, 1),
            (Limits { transfer: hour, ..none }, 1),
            (Limits { verify: hour, ..none }, 1),
            (Limits { destroy: hour, ..none }, 2),
        ] {
            assert!(limits.total() >= hour * times, "{limits:?}");
        }
        let minute = Duration::from_secs(60);
        let all = Limits {
            create: minute,
            provision: minute,
            power_off: minute,
            snapshot: minute,
            transfer: minute,
            verify: minute,
            destroy: minute,
            unreachable: minute,
        };
        assert!(all.total() >= minute * 11);
    }
}

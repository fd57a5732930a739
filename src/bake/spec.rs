//! What a bake was asked to do: all of it can be written to the journal, none of it is secret.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::id::{BakeId, BakeTag};

/// One bake.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Its name.
    pub id: BakeId,
    /// Seconds since 1970 after which `mkimg gc` takes the bake for dead.
    pub deadline: u64,
    /// The build droplet.
    pub droplet: DropletSpec,
    /// The snapshot.
    pub snapshot: SnapshotSpec,
    /// What says that the droplet is finished.
    pub marker: MarkerKind,
    /// What happens to the droplet and the snapshot of a bake that fails.
    pub on_error: OnError,
    /// Whether the snapshot is booted and proved before the bake counts as done.
    pub verify: bool,
    /// How long each wait may take.
    pub limits: Limits,
    /// The longest pause between two looks at the same thing, in milliseconds; the first pauses are shorter.
    pub poll_ms: u64,
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
    /// Whether DigitalOcean's metrics agent is installed.
    pub monitoring: bool,
    /// Whether the agent behind the control panel's console is installed; its folder fails the image check.
    #[serde(default)]
    pub droplet_agent: bool,
    /// Ids or fingerprints of SSH keys, for looking inside with `--on-error keep`.
    pub ssh_keys: Vec<String>,
    /// Tags besides mkimg's own.
    pub tags: Vec<String>,
}

/// The snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotSpec {
    /// Its name.
    pub name: String,
    /// Regions it is transferred to; the droplet's own needs no mention.
    pub regions: Vec<String>,
    /// Whether the bake waits until it is there; otherwise it is enough that the provider has accepted the transfers.
    #[serde(default = "yes")]
    pub await_transfers: bool,
    /// Tags it keeps.
    pub tags: Vec<String>,
}

fn yes() -> bool {
    true
}

/// What says that the droplet is finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MarkerKind {
    /// The droplet's status channel (TLS, pinned certificate).
    Https,
    /// The droplet opens no port; powering itself off is the marker.
    Poweroff,
}

/// What happens to the droplet and the snapshot of a bake that fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// They are destroyed.
    Destroy,
    /// They are kept, and the bake says how to look inside.
    Keep,
    /// The person is asked.
    Ask,
}

/// How long each wait may take, in seconds on disk.
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
    /// The snapshot.
    #[serde(with = "seconds")]
    pub snapshot: Duration,
    /// All transfers together.
    #[serde(with = "seconds")]
    pub transfer: Duration,
    /// The verification droplet, from its creation until it has passed.
    #[serde(with = "seconds")]
    pub verify: Duration,
    /// How long a destroyed droplet may take until it is gone, pending events included.
    #[serde(with = "seconds")]
    pub destroy: Duration,
    /// How long nothing of use may be heard from the API, whatever else may take longer: on the way forward in one wait,
    /// while cleaning up in all of them together.
    #[serde(with = "seconds", default = "unreachable")]
    pub unreachable: Duration,
}

/// Of a bake whose journal does not say it.
fn unreachable() -> Duration {
    Limits::default().unreachable
}

impl Limits {
    /// Everything that a bake can take when each wait runs to its end; after that it is dead or forgotten.
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

mod seconds {
    use super::Duration;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(value.as_secs_f64())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let seconds = f64::deserialize(deserializer)?;
        Duration::try_from_secs_f64(seconds).map_err(serde::de::Error::custom)
    }
}

/// Where a bake stands; also the step that a failure names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Account, region, size, image, snapshot name.
    Preflight,
    /// The request for the build droplet.
    Create,
    /// Until the droplet is active.
    Boot,
    /// Until the marker.
    Provision,
    /// Until the droplet is off.
    PowerOff,
    /// The snapshot.
    Snapshot,
    /// The snapshot's tags.
    Tag,
    /// The snapshot's other regions.
    Transfer,
    /// The build droplet goes.
    Destroy,
    /// A second droplet proves the snapshot.
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

//! The template after its expressions: typed, but with files and scripts still as names on disk.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::{Deserialize, Deserializer};

use super::mode::{Mode, Owner};
use super::value::Mapping;

/// What a template says.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ImageSpec {
    pub droplet: Option<Droplet>,
    pub users: Vec<User>,
    pub upgrade: bool,
    pub packages: Vec<String>,
    pub artifacts: Vec<ArtifactSpec>,
    pub files: Vec<FilesSpec>,
    pub attributes: Vec<Attributes>,
    pub environment: BTreeMap<String, String>,
    /// Paths and globs in the project.
    pub scripts: Vec<String>,
    pub cleanup: Option<String>,
    pub check: Option<String>,
    pub time_limits: TimeLimits,
    pub snapshot: Snapshot,
    pub verify: Verify,
    pub allow: Vec<Allowance>,
    pub cloud_config: Mapping,
}

/// A finding about the rendered document that is meant to be so.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Allowance {
    /// Code or name of a rule of the validator.
    pub code: String,
    /// A file on the machine, or a path in the document; `None` for the whole of it.
    pub path: Option<String>,
    pub reason: String,
}

/// The build droplet, in the API's own terms.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Droplet {
    pub image: String,
    pub region: String,
    pub size: String,
    #[serde(default)]
    pub tags: Vec<String>,
    pub vpc_uuid: Option<String>,
    #[serde(default)]
    pub ipv6: bool,
    #[serde(default)]
    pub monitoring: bool,
    #[serde(default)]
    pub droplet_agent: bool,
    pub name: Option<String>,
}

/// A user of the machine. `default` is the distribution's own.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct User {
    pub name: String,
    #[serde(default)]
    pub system: bool,
    pub home: Option<String>,
    pub create_home: Option<bool>,
    pub shell: Option<String>,
    #[serde(default)]
    pub groups: Vec<String>,
    pub comment: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct ArtifactSpec {
    pub url: String,
    pub checksum: Option<String>,
    #[serde(default)]
    pub unpack: IndexMap<String, Placed>,
    pub to: Option<String>,
    #[serde(default, deserialize_with = "owner")]
    pub owner: Option<Owner>,
    #[serde(default, deserialize_with = "mode")]
    pub mode: Option<Mode>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Placed {
    pub to: String,
    #[serde(default, deserialize_with = "owner")]
    pub owner: Option<Owner>,
    #[serde(default, deserialize_with = "mode")]
    pub mode: Option<Mode>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct FilesSpec {
    pub source: String,
    pub to: String,
    #[serde(default, deserialize_with = "owner")]
    pub owner: Option<Owner>,
    #[serde(default, deserialize_with = "mode")]
    pub mode: Option<Mode>,
}

/// Owner and mode by path on the machine.
#[derive(Debug, Clone, Deserialize)]
pub struct Attributes {
    pub path: String,
    #[serde(default, deserialize_with = "owner")]
    pub owner: Option<Owner>,
    #[serde(default, deserialize_with = "mode")]
    pub mode: Option<Mode>,
}

/// Seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TimeLimits {
    pub packages: u64,
    pub download: u64,
    pub script: u64,
}

impl Default for TimeLimits {
    fn default() -> Self {
        Self { packages: 1800, download: 1800, script: 1800 }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Snapshot {
    pub name: String,
    pub regions: Vec<String>,
    pub tags: Vec<String>,
}

/// What is expected of a fresh instance.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Verify {
    pub services: Vec<String>,
    pub ports: Vec<u16>,
    pub commands: Vec<String>,
    /// Seconds.
    pub ready: u64,
}

impl Default for Verify {
    fn default() -> Self {
        Self { services: Vec::new(), ports: Vec::new(), commands: Vec::new(), ready: 300 }
    }
}

fn owner<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Owner>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    text.map(|text| text.parse().map_err(serde::de::Error::custom)).transpose()
}

fn mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Mode>, D::Error> {
    let bits: Option<u32> = Option::deserialize(deserializer)?;
    Ok(bits.map(Mode))
}

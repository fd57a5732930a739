//! The provider's API, as far as a bake needs it, and the things that it speaks of.

use std::net::IpAddr;

use async_trait::async_trait;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::provider_error::ProviderError;
use crate::bake::spec::DropletSpec;

/// The account that the token belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// E-mail address, or the team's name.
    pub name: String,
    /// `active`, `warning` or `locked`.
    pub status: String,
    /// Why, where it is not active.
    pub status_message: String,
    /// How many droplets it may have at once.
    pub droplet_limit: u64,
}

/// A size of droplet.
#[derive(Debug, Clone, PartialEq)]
pub struct Size {
    /// Such as `s-1vcpu-1gb`.
    pub slug: String,
    /// Whether new droplets may have it.
    pub available: bool,
    /// Where, if the provider says so.
    pub regions: Option<Vec<String>>,
    /// US dollars an hour, if the provider says so.
    pub price_hourly: Option<f64>,
    /// US dollars a month, if the provider says so.
    pub price_monthly: Option<f64>,
    /// Disk in GiB; no snapshot of it is larger.
    pub disk_gib: u64,
}

/// A region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// Such as `nyc3`.
    pub slug: String,
    /// Whether it takes new droplets.
    pub available: bool,
}

/// A base image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Slug or number.
    pub name: String,
    /// Where it can be used.
    pub regions: Vec<String>,
    /// `available`, `new`, `retired` …
    pub status: String,
    /// The smallest disk that it fits on, GiB.
    pub min_disk_gib: Option<u64>,
}

/// What a droplet is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropletStatus {
    /// Being made.
    New,
    /// Running.
    Active,
    /// Not running.
    Off,
    /// Put away.
    Archive,
}

/// A droplet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Droplet {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// What it is doing.
    pub status: DropletStatus,
    /// Whether an event holds it.
    pub locked: bool,
    /// Its public IPv4 address, once it has one.
    pub address: Option<IpAddr>,
    /// Its tags.
    pub tags: Vec<String>,
}

/// A request for a droplet.
#[derive(Debug)]
pub struct CreateDroplet<'a> {
    /// What the template asks for.
    pub spec: &'a DropletSpec,
    /// The name, where it differs from the template's.
    pub name: &'a str,
    /// The image, where it differs from the template's.
    pub image: &'a str,
    /// All tags.
    pub tags: Vec<String>,
    /// The user-data document, with the bake's own entry: secret.
    pub user_data: &'a SecretString,
}

/// What can be asked of a droplet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropletAction<'a> {
    /// Asks the guest to go down.
    Shutdown,
    /// Pulls the plug.
    PowerOff,
    /// Makes a snapshot of this name.
    Snapshot(&'a str),
}

/// How an action stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionStatus {
    /// Not finished.
    InProgress,
    /// Done.
    Completed,
    /// It failed.
    Errored,
}

/// Something that the provider does over a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// Its number.
    pub id: u64,
    /// Its kind, such as `snapshot`.
    pub kind: String,
    /// How it stands.
    pub status: ActionStatus,
}

/// A snapshot of a droplet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// A string, though its image's number is an integer.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Where it is.
    pub regions: Vec<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// The droplet it was made from.
    pub droplet: Option<u64>,
    /// Compressed size in GB, as the provider bills it.
    pub size_gb: f64,
}

/// What an action is done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActionOf<'a> {
    /// A droplet.
    Droplet(u64),
    /// A snapshot.
    Snapshot(&'a str),
}

/// The provider's API. Reads and deletes are retried inside; a create is never.
#[async_trait]
pub trait Provider: Send + Sync {
    /// The account of the token.
    async fn account(&self) -> Result<Account, ProviderError>;
    /// How many droplets there are.
    async fn droplet_count(&self) -> Result<u64, ProviderError>;
    /// All sizes.
    async fn sizes(&self) -> Result<Vec<Size>, ProviderError>;
    /// All regions.
    async fn regions(&self) -> Result<Vec<Region>, ProviderError>;
    /// An image by its slug or number. `None`: there is none; [`ProviderErrorKind::NotFound`]: this API can't be asked.
    async fn image(&self, name: &str) -> Result<Option<Image>, ProviderError>;
    /// The region of a private network, empty where it is not said; `None` and `NotFound` as with an image.
    async fn vpc_region(&self, uuid: &str) -> Result<Option<String>, ProviderError>;
    /// Whether the account has this SSH key (number or fingerprint); `NotFound`: this API can't be asked.
    async fn has_ssh_key(&self, key: &str) -> Result<bool, ProviderError>;
    /// All snapshots of droplets.
    async fn snapshots(&self) -> Result<Vec<Snapshot>, ProviderError>;
    /// One snapshot.
    async fn snapshot(&self, id: &str) -> Result<Snapshot, ProviderError>;
    /// Asks for a droplet; the answer means only that the request was accepted.
    async fn create_droplet(&self, request: &CreateDroplet<'_>) -> Result<Droplet, ProviderError>;
    /// One droplet.
    async fn droplet(&self, id: u64) -> Result<Droplet, ProviderError>;
    /// All droplets with a tag.
    async fn droplets_tagged(&self, tag: &str) -> Result<Vec<Droplet>, ProviderError>;
    /// Asks something of a droplet.
    async fn droplet_action(&self, id: u64, action: DropletAction<'_>) -> Result<Action, ProviderError>;
    /// A droplet's actions, newest first.
    async fn droplet_actions(&self, id: u64) -> Result<Vec<Action>, ProviderError>;
    /// One action of a droplet or a snapshot.
    async fn action(&self, id: u64, of: ActionOf<'_>) -> Result<Action, ProviderError>;
    /// The snapshots made from a droplet.
    async fn droplet_snapshots(&self, id: u64) -> Result<Vec<Snapshot>, ProviderError>;
    /// Puts a tag on a snapshot; the tag is made where it is missing.
    async fn tag_snapshot(&self, id: &str, tag: &str) -> Result<(), ProviderError>;
    /// Takes a tag off a snapshot.
    async fn untag_snapshot(&self, id: &str, tag: &str) -> Result<(), ProviderError>;
    /// Removes a tag that nothing carries any more.
    async fn delete_tag(&self, tag: &str) -> Result<(), ProviderError>;
    /// Copies a snapshot to another region.
    async fn transfer(&self, snapshot: &str, region: &str) -> Result<Action, ProviderError>;
    /// Destroys a droplet.
    async fn delete_droplet(&self, id: u64) -> Result<(), ProviderError>;
    /// Deletes a snapshot.
    async fn delete_snapshot(&self, id: &str) -> Result<(), ProviderError>;
}

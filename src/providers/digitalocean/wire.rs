//! The bodies as DigitalOcean writes them. Only fields that mkimg uses are read, so that new fields
//! do no harm.

use std::net::IpAddr;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use crate::bake::BakeTag;
use crate::bake::ports::{self, ActionStatus, DropletStatus, ProviderError, ProviderErrorKind};

/// A page of a list.
pub(super) trait Page: DeserializeOwned {
    type Item;
    fn take(self) -> (Vec<Self::Item>, Option<String>);
}

macro_rules! page {
    ($name:ident, $field:ident: $item:ty) => {
        #[derive(Deserialize)]
        pub(super) struct $name {
            // An empty list may be null; one that is missing is another answer.
            #[serde(deserialize_with = "lenient")]
            pub(super) $field: Vec<$item>,
            #[serde(default, deserialize_with = "if_readable")]
            links: Option<Links>,
            #[serde(default, deserialize_with = "if_readable")]
            #[allow(dead_code, reason = "only the count of droplets is read")]
            pub(super) meta: Option<Meta>,
        }

        impl Page for $name {
            type Item = $item;
            fn take(self) -> (Vec<$item>, Option<String>) {
                (self.$field, self.links.and_then(|links| links.pages).and_then(|pages| pages.next))
            }
        }
    };
}

page!(SizesPage, sizes: Size);
page!(RegionsPage, regions: Region);
page!(SnapshotsPage, snapshots: Snapshot);
page!(DropletsPage, droplets: Droplet);
page!(ActionsPage, actions: Action);

#[derive(Deserialize)]
struct Links {
    #[serde(default)]
    pages: Option<Pages>,
}

#[derive(Deserialize)]
struct Pages {
    #[serde(default)]
    next: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Meta {
    #[serde(deserialize_with = "number")]
    pub(super) total: u64,
}

#[derive(Deserialize)]
pub(super) struct ErrorBody {
    #[serde(default)]
    pub(super) id: String,
    #[serde(default)]
    pub(super) message: String,
    #[serde(default)]
    pub(super) request_id: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct AccountBody {
    pub(super) account: Account,
}

#[derive(Deserialize)]
pub(super) struct Account {
    #[serde(default)]
    email: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    status_message: String,
    #[serde(default, deserialize_with = "if_readable")]
    droplet_limit: Number,
    #[serde(default, deserialize_with = "if_readable")]
    team: Option<Team>,
}

#[derive(Deserialize)]
struct Team {
    #[serde(default)]
    name: String,
}

impl From<Account> for ports::Account {
    fn from(account: Account) -> Self {
        let team = account
            .team
            .filter(|team| !team.name.is_empty())
            .map(|team| format!(" (team {})", team.name))
            .unwrap_or_default();
        let status = if account.status.is_empty() { "active".to_owned() } else { account.status };
        Self {
            name: format!("{}{team}", account.email),
            status,
            status_message: account.status_message,
            droplet_limit: account.droplet_limit.0,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Size {
    pub(super) slug: String,
    #[serde(default = "yes")]
    available: bool,
    #[serde(default, deserialize_with = "if_readable")]
    regions: Option<Vec<String>>,
    #[serde(default, deserialize_with = "if_readable")]
    price_hourly: Option<f64>,
    #[serde(default, deserialize_with = "if_readable")]
    price_monthly: Option<f64>,
    #[serde(default, deserialize_with = "if_readable")]
    disk: Number,
}

impl From<Size> for ports::Size {
    fn from(size: Size) -> Self {
        Self {
            slug: size.slug,
            available: size.available,
            regions: size.regions,
            price_hourly: size.price_hourly,
            price_monthly: size.price_monthly,
            disk_gib: size.disk.0,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Region {
    pub(super) slug: String,
    #[serde(default = "yes")]
    available: bool,
}

fn yes() -> bool {
    true
}

impl From<Region> for ports::Region {
    fn from(region: Region) -> Self {
        Self { slug: region.slug, available: region.available }
    }
}

#[derive(Deserialize)]
pub(super) struct ImageBody {
    pub(super) image: Image,
}

#[derive(Deserialize)]
pub(super) struct Image {
    #[serde(default, deserialize_with = "if_readable")]
    pub(super) regions: Vec<String>,
    #[serde(default, deserialize_with = "if_readable")]
    pub(super) status: Option<String>,
    #[serde(default, deserialize_with = "if_readable")]
    pub(super) min_disk_size: Option<Number>,
}

/// A snapshot, shown as an image: the same fields, except the droplet that it was made from.
#[derive(Deserialize)]
pub(super) struct ImageOfDropletBody {
    pub(super) image: Snapshot,
}

#[derive(Deserialize)]
pub(super) struct VpcBody {
    pub(super) vpc: Vpc,
}

#[derive(Deserialize)]
pub(super) struct Vpc {
    #[serde(default)]
    pub(super) region: String,
}

#[derive(Deserialize)]
pub(super) struct SnapshotBody {
    pub(super) snapshot: Snapshot,
}

#[derive(Deserialize)]
pub(super) struct Snapshot {
    #[serde(deserialize_with = "number_or_text")]
    id: String,
    #[serde(default, deserialize_with = "lenient")]
    name: String,
    #[serde(default, deserialize_with = "lenient")]
    regions: Vec<String>,
    #[serde(default)]
    tags: Option<Vec<String>>,
    #[serde(default, deserialize_with = "maybe_number_or_text")]
    resource_id: Option<String>,
    #[serde(default, deserialize_with = "if_readable")]
    size_gigabytes: f64,
}

impl From<Snapshot> for ports::Snapshot {
    fn from(snapshot: Snapshot) -> Self {
        Self {
            id: snapshot.id,
            name: snapshot.name,
            regions: snapshot.regions,
            tags: snapshot.tags.unwrap_or_default(),
            droplet: snapshot.resource_id.and_then(|id| id.parse().ok()),
            size_gb: snapshot.size_gigabytes,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct DropletBody {
    pub(super) droplet: Droplet,
}

#[derive(Deserialize)]
pub(super) struct Droplet {
    #[serde(deserialize_with = "number")]
    id: u64,
    #[serde(default, deserialize_with = "lenient")]
    name: String,
    status: String,
    #[serde(default, deserialize_with = "if_readable")]
    locked: bool,
    #[serde(default, deserialize_with = "if_readable")]
    networks: Networks,
    #[serde(default)]
    tags: Option<Vec<String>>,
}

#[derive(Default, Deserialize)]
struct Networks {
    #[serde(default, deserialize_with = "lenient")]
    v4: Vec<Network>,
}

#[derive(Deserialize)]
struct Network {
    ip_address: String,
    #[serde(rename = "type", default)]
    kind: String,
}

impl Droplet {
    /// Whether it carries the tag. If a service shows no tags, only a resource with the bake's id
    /// in its name is accepted.
    pub(super) fn carries(&self, tag: &str) -> bool {
        match &self.tags {
            Some(tags) => tags.iter().any(|one| one == tag),
            None => BakeTag::parse(tag).is_some_and(|tag| self.name.contains(tag.id.as_str())),
        }
    }

    pub(super) fn read(self) -> Result<ports::Droplet, ProviderError> {
        let status = match self.status.as_str() {
            "new" => DropletStatus::New,
            "active" => DropletStatus::Active,
            "off" => DropletStatus::Off,
            "archive" => DropletStatus::Archive,
            other => {
                return Err(ProviderError {
                    kind: ProviderErrorKind::Unanswered,
                    request: format!("GET /v2/droplets/{}", self.id),
                    status: Some(200),
                    request_id: None,
                    message: format!("the droplet has a status that mkimg does not know: `{}`", other.escape_debug()),
                    advice: None,
                    retry_after: None,
                });
            }
        };
        let address: Option<IpAddr> =
            self.networks.v4.iter().find(|n| n.kind == "public").and_then(|n| n.ip_address.parse().ok());
        Ok(ports::Droplet {
            id: self.id,
            name: self.name,
            status,
            locked: self.locked,
            address,
            tags: self.tags.unwrap_or_default(),
        })
    }
}

#[derive(Deserialize)]
pub(super) struct ActionBody {
    pub(super) action: Action,
}

#[derive(Deserialize)]
pub(super) struct Action {
    #[serde(deserialize_with = "number")]
    id: u64,
    #[serde(default)]
    status: String,
    #[serde(rename = "type", default)]
    kind: String,
}

impl From<Action> for ports::Action {
    fn from(action: Action) -> Self {
        let status = match action.status.as_str() {
            "completed" => ActionStatus::Completed,
            "errored" => ActionStatus::Errored,
            _ => ActionStatus::InProgress,
        };
        Self { id: action.id, kind: action.kind, status }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrText {
    Number(u64),
    Text(String),
}

impl From<NumberOrText> for String {
    fn from(value: NumberOrText) -> Self {
        match value {
            NumberOrText::Number(number) => number.to_string(),
            NumberOrText::Text(text) => text,
        }
    }
}

/// A number, or a string that contains one.
#[derive(Default, Deserialize)]
pub(super) struct Number(#[serde(deserialize_with = "number")] pub(super) u64);

/// An optional value that cannot be read counts as missing.
fn if_readable<'de, D: Deserializer<'de>, T: Default + DeserializeOwned>(deserializer: D) -> Result<T, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

/// Null counts as missing.
fn lenient<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// A number, which services other than DigitalOcean may write as a string.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    String::from(NumberOrText::deserialize(deserializer)?).parse().map_err(serde::de::Error::custom)
}

fn number_or_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    NumberOrText::deserialize(deserializer).map(Into::into)
}

fn maybe_number_or_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(Option::<NumberOrText>::deserialize(deserializer)?.map(Into::into))
}

//! `/run/mkimg/bake.json`: the one entry that a bake adds. `docs/design/first-boot.md` is the contract.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::encoding::Encoding;
use crate::model::{Mapping, Value};
use crate::yaml::{self, Node};

const PATH: &str = "/run/mkimg/bake.json";

/// What the runner of a bake needs to know.
#[derive(Debug)]
pub struct BakeEntry {
    /// The bake's id.
    pub bake: String,
    pub channel: Channel,
    /// Seconds after which a droplet that passed powers off by itself.
    pub power_off_after: u64,
    /// Where all artifacts come from instead of their own addresses.
    pub artifacts_url: Option<String>,
}

/// How the controller learns of the end.
#[derive(Debug)]
pub enum Channel {
    Https(HttpsChannel),
    /// No port: powering off is the marker.
    PowerOff,
}

/// The status channel's port and secrets.
pub struct HttpsChannel {
    pub port: u16,
    /// base64url of 32 random bytes.
    pub token: SecretString,
    /// base64 of DER.
    pub certificate: String,
    /// base64 of PKCS#8 DER.
    pub key: SecretString,
}

impl fmt::Debug for HttpsChannel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("HttpsChannel").field("port", &self.port).finish_non_exhaustive()
    }
}

/// Why the entry cannot be added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BakeEntryError {
    #[error("the bake's entry takes {bytes} bytes of the document, more than the 2,048 that are kept for it")]
    TooLarge { bytes: usize },
    #[error("internal error: the bake's entry does not stand at the end of the document")]
    NotAppended,
    #[error("internal error: the bake's entry does not come back from the document as it went in")]
    Proof,
}

impl BakeEntry {
    fn json(&self) -> String {
        let mut object = json!({"version": 1, "bake": self.bake});
        match &self.channel {
            Channel::Https(channel) => {
                object["channel"] = json!("https");
                object["port"] = json!(channel.port);
                object["token"] = json!(channel.token.expose_secret());
                object["certificate"] = json!(channel.certificate);
                object["key"] = json!(channel.key.expose_secret());
            }
            Channel::PowerOff => object["channel"] = json!("poweroff"),
        }
        object["power_off_after"] = json!(self.power_off_after);
        if let Some(url) = &self.artifacts_url {
            object["artifacts_url"] = json!(url);
        }
        object.to_string()
    }

    pub(super) fn value(&self) -> Value {
        let pairs = [("path", PATH), ("owner", "root:root"), ("permissions", "0600")];
        let mut mapping: Mapping =
            pairs.into_iter().map(|(key, value)| (Value::from(key), Value::from(value))).collect();
        let json = self.json();
        let encoding = Encoding::readable(json.as_bytes());
        if encoding != Encoding::Text {
            mapping.insert(Value::from("encoding"), Value::from(encoding.name()));
        }
        mapping.insert(Value::from("content"), Value::from(encoding.encode(json.as_bytes()).unwrap_or_default()));
        Value::Mapping(mapping)
    }

    /// Reads the entry back.
    pub(super) fn check(&self, text: &str) -> Result<(), BakeEntryError> {
        let tree = yaml::parse(text).map_err(|_| BakeEntryError::Proof)?;
        let last = tree.root().and_then(|root| root.get("write_files")).and_then(|files| files.items()?.last());
        let expected = self.value();
        let same = last.is_some_and(|entry| {
            ["path", "permissions", "content"]
                .iter()
                .all(|key| entry.get(key).and_then(Node::as_str) == expected.get(*key).and_then(Value::as_str))
        });
        if same { Ok(()) } else { Err(BakeEntryError::Proof) }
    }
}

//! `/run/mkimg/bake.json`, the entry that a bake adds. `docs/design/first-boot.md` defines it.

use std::fmt;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use yaml11::Node;

use super::bundle::{Effort, base85, compress};
use super::error::BakeEntryError;
use super::runner;
use crate::model::{Mapping, Value, hexadecimal};

const PATH: &str = "/run/mkimg/bake.json";

/// What the runner needs in a bake.
#[derive(Debug)]
pub struct BakeEntry {
    pub bake: String,
    pub channel: Channel,
    /// When a droplet that passed powers off by itself.
    pub power_off_after: Duration,
    /// Base address of all artifacts, instead of their own addresses.
    pub artifacts_url: Option<String>,
    /// What the droplet waits for, if files are uploaded.
    pub upload: Option<UploadIndex>,
}

/// The index of the uploaded files, the first part of the upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadIndex {
    /// In bytes.
    pub size: usize,
    /// 64 hexadecimal digits.
    pub sha256: String,
}

impl UploadIndex {
    #[must_use]
    pub fn new(index: &str) -> Self {
        Self { size: index.len(), sha256: hexadecimal(&Sha256::digest(index)) }
    }
}

/// How the droplet reports its status.
#[derive(Debug)]
pub enum Channel {
    Https(HttpsChannel),
    /// Without a port: power-off is the completion marker.
    PowerOff,
}

/// Port and secrets of the status channel.
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
        let program = compress(runner::bake_program(self.upload.is_some()).as_bytes(), Effort::Best);
        object["runner"] = json!(base85(&program));
        object["power_off_after"] = json!(self.power_off_after.as_secs());
        if let Some(url) = &self.artifacts_url {
            object["artifacts_url"] = json!(url);
        }
        if let Some(upload) = &self.upload {
            object["upload"] = json!({"size": upload.size, "sha256": upload.sha256});
        }
        object.to_string()
    }

    pub(super) fn value(&self) -> Value {
        let pairs = [("path", PATH), ("owner", "root:root"), ("permissions", "0600")];
        let mut mapping: Mapping =
            pairs.into_iter().map(|(key, value)| (Value::from(key), Value::from(value))).collect();
        // JSON of ASCII letters, digits and signs is always text.
        mapping.insert(Value::from("content"), Value::from(self.json()));
        Value::Mapping(mapping)
    }

    /// Checks that the entry is the first one of a document.
    pub(super) fn verify(&self, text: &str) -> Result<(), BakeEntryError> {
        let tree = yaml11::parse(text).map_err(|_| BakeEntryError::ReadBack)?;
        let first = tree.root().and_then(|root| root.get("write_files")).and_then(|files| files.items()?.next());
        let expected = self.value();
        let same = first.is_some_and(|entry| {
            ["path", "permissions", "content"]
                .iter()
                .all(|key| entry.get(key).and_then(Node::as_str) == expected.get(*key).and_then(Value::as_str))
        });
        if same { Ok(()) } else { Err(BakeEntryError::ReadBack) }
    }
}

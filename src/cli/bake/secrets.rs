//! What a bake sends to its droplets, and what it needs to go on: kept in the bake's folder while it is at work.

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use super::Failure;
use crate::bake::ports::Marker;
use crate::bake::{MarkerKind, POWER_OFF_AFTER, Secrets, Spec};
use crate::marker::{Client as MarkerClient, Credentials, CredentialsError, Limits, PORT};
use crate::render::{BakeEntry, Channel, Document, HttpsChannel};

/// Both documents of a bake, and what must not be seen in what is said of it.
pub(in crate::cli) struct Sealed {
    pub(super) build: SealedDocument,
    pub(super) verification: Option<SealedDocument>,
    /// Values of sensitive variables.
    pub(super) sensitive: Vec<SecretString>,
}

/// The form on the disk.
#[derive(Serialize, Deserialize)]
struct OnDisk {
    version: u32,
    build: DocumentOnDisk,
    verification: Option<DocumentOnDisk>,
    sensitive: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct DocumentOnDisk {
    user_data: String,
    credentials: Option<String>,
}

const VERSION: u32 = 1;

impl Sealed {
    /// For the file of mode 0600 from which [`Sealed::from_json`] reads it back.
    pub(in crate::cli) fn to_json(&self) -> Result<SecretString, Failure> {
        let disk = OnDisk {
            version: VERSION,
            build: self.build.on_disk()?,
            verification: self.verification.as_ref().map(SealedDocument::on_disk).transpose()?,
            sensitive: self.sensitive.iter().map(|value| value.expose_secret().to_owned()).collect(),
        };
        serde_json::to_string(&disk).map(Into::into).map_err(Failure::usage)
    }

    /// What [`Sealed::to_json`] wrote. The message quotes nothing of it.
    pub(in crate::cli) fn from_json(text: &str) -> Result<Self, String> {
        let disk: OnDisk = serde_json::from_str(text)
            .map_err(|error| format!("it is broken at line {} column {}", error.line(), error.column()))?;
        if disk.version != VERSION {
            return Err(format!("it is of version {}, this mkimg reads version {VERSION}", disk.version));
        }
        Ok(Self {
            build: SealedDocument::from_disk(disk.build)?,
            verification: disk.verification.map(SealedDocument::from_disk).transpose()?,
            sensitive: disk.sensitive.into_iter().map(Into::into).collect(),
        })
    }

    /// What the machine sends.
    pub(super) fn secrets(&self) -> Secrets {
        Secrets {
            user_data: self.build.text.clone(),
            verification: self.verification.as_ref().map(|sealed| sealed.text.clone()),
        }
    }

    /// Everything that must not be seen.
    pub(super) fn redact(&self) -> Vec<String> {
        let sensitive = self.sensitive.iter().map(|value| value.expose_secret().to_owned());
        let documents = [Some(&self.build), self.verification.as_ref()];
        sensitive.chain(documents.into_iter().flatten().flat_map(SealedDocument::redact)).collect()
    }
}

/// A document with the bake's own entry, and the client that knows its secrets.
pub(super) struct SealedDocument {
    text: SecretString,
    credentials: Option<Credentials>,
    client: Option<MarkerClient>,
}

impl SealedDocument {
    pub(super) fn new(document: &Document, spec: &Spec, artifacts_url: Option<String>) -> Result<Self, Failure> {
        let credentials = match spec.marker {
            MarkerKind::Https => Some(Credentials::new(&spec.id).map_err(Failure::usage)?),
            MarkerKind::Poweroff => None,
        };
        let channel = match &credentials {
            Some(made) => Channel::Https(HttpsChannel {
                port: PORT,
                token: made.token.clone(),
                certificate: made.certificate.clone(),
                key: made.key.clone(),
            }),
            None => Channel::PowerOff,
        };
        let power_off_after = POWER_OFF_AFTER.as_secs();
        let entry = BakeEntry { bake: spec.id.to_string(), channel, power_off_after, artifacts_url };
        let text = document.with_bake_entry(&entry).map_err(Failure::usage)?.into();
        let client = credentials.as_ref().map(client).transpose().map_err(Failure::usage)?;
        Ok(Self { text, credentials, client })
    }

    fn on_disk(&self) -> Result<DocumentOnDisk, Failure> {
        let credentials = self.credentials.as_ref().map(Credentials::to_json).transpose().map_err(Failure::usage)?;
        Ok(DocumentOnDisk {
            user_data: self.text.expose_secret().to_owned(),
            credentials: credentials.map(|text| text.expose_secret().to_owned()),
        })
    }

    fn from_disk(disk: DocumentOnDisk) -> Result<Self, String> {
        let credentials = disk.credentials.as_deref().map(Credentials::from_json).transpose();
        let credentials = credentials.map_err(|error| error.to_string())?;
        let client = credentials.as_ref().map(client).transpose().map_err(|error| error.to_string())?;
        Ok(Self { text: disk.user_data.into(), credentials, client })
    }

    pub(super) fn marker(&self) -> Option<&dyn Marker> {
        self.client.as_ref().map(|client| client as &dyn Marker)
    }

    fn redact(&self) -> Vec<String> {
        let made = self.credentials.iter();
        made.flat_map(|made| [made.token.expose_secret().to_owned(), made.key.expose_secret().to_owned()]).collect()
    }
}

fn client(credentials: &Credentials) -> Result<MarkerClient, CredentialsError> {
    MarkerClient::new(credentials, PORT, Limits::default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bake::BakeId;

    #[test]
    fn what_is_written_is_read_back_and_a_broken_file_is_not_quoted() {
        let credentials = Credentials::new(&BakeId::new(0, [1, 2, 3])).unwrap();
        let token = credentials.token.expose_secret().to_owned();
        let build =
            SealedDocument { text: "#cloud-config\n".to_owned().into(), credentials: Some(credentials), client: None };
        let sealed = Sealed { build, verification: None, sensitive: vec!["a password".to_owned().into()] };
        let text = sealed.to_json().unwrap();
        let back = Sealed::from_json(text.expose_secret()).unwrap();
        assert_eq!(back.secrets().user_data.expose_secret(), "#cloud-config\n");
        assert!(back.build.marker().is_some());
        assert_eq!(back.redact(), sealed.redact());
        assert!(back.redact().contains(&token));
        let broken = Sealed::from_json(&text.expose_secret()[..40]).err().unwrap();
        assert!(broken.contains("broken at line 1") && !broken.contains("cloud-config"), "{broken}");
        assert!(Sealed::from_json(&text.expose_secret().replace("\"version\":1", "\"version\":7")).is_err());
    }
}

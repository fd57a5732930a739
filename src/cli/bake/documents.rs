//! The documents that a bake sends to its droplets, with their credentials, and their form on disk.

use std::path::Path;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::bake::ports::Marker;
use crate::bake::{MarkerKind, POWER_OFF_AFTER, Secrets, Spec};
use crate::cli::error::Failure;
use crate::marker::{Client as MarkerClient, Credentials, CredentialsError, Limits, PORT};
use crate::render::{BakeEntry, Channel, HttpsChannel, RenderedDocument, UploadIndex};

/// Both documents of a bake, and the secrets to redact.
pub(crate) struct BakeDocuments {
    pub(crate) build: DocumentWithCredentials,
    pub(crate) verification: Option<DocumentWithCredentials>,
    /// Values of sensitive variables.
    pub(crate) sensitive: Vec<SecretString>,
    /// The index of the files that are uploaded to the build droplet.
    pub(crate) upload: Option<SecretString>,
}

/// The form on the disk.
#[derive(Serialize, Deserialize)]
struct StoredDocuments {
    version: u32,
    build: StoredDocument,
    verification: Option<StoredDocument>,
    sensitive: Vec<String>,
    #[serde(default)]
    upload: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct StoredDocument {
    user_data: String,
    credentials: Option<String>,
}

const VERSION: u32 = 1;

impl BakeDocuments {
    /// For the file of mode 0600 from which [`BakeDocuments::from_json`] reads it back.
    pub(crate) fn to_json(&self) -> Result<SecretString, Failure> {
        let disk = StoredDocuments {
            version: VERSION,
            build: self.build.on_disk()?,
            verification: self.verification.as_ref().map(DocumentWithCredentials::on_disk).transpose()?,
            sensitive: self.sensitive.iter().map(|value| value.expose_secret().to_owned()).collect(),
            upload: self.upload.as_ref().map(|index| index.expose_secret().to_owned()),
        };
        Ok(serde_json::to_string(&disk)?.into())
    }

    /// Reads what [`BakeDocuments::to_json`] wrote. The error message does not quote it.
    pub(crate) fn from_json(text: &str) -> Result<Self, String> {
        let disk: StoredDocuments = serde_json::from_str(text)
            .map_err(|error| format!("it is broken at line {} column {}", error.line(), error.column()))?;
        if disk.version != VERSION {
            return Err(format!("it has version {}, but this mkimg reads version {VERSION}", disk.version));
        }
        Ok(Self {
            build: DocumentWithCredentials::from_disk(disk.build)?,
            verification: disk.verification.map(DocumentWithCredentials::from_disk).transpose()?,
            sensitive: disk.sensitive.into_iter().map(Into::into).collect(),
            upload: disk.upload.map(Into::into),
        })
    }

    /// What the bake sends.
    pub(crate) fn secrets(&self) -> Secrets {
        Secrets {
            user_data: self.build.text.clone(),
            verification: self.verification.as_ref().map(|document| document.text.clone()),
        }
    }

    /// Makes the build droplet's client send the files whose contents are in this file.
    pub(crate) fn attach_upload(&mut self, contents: &Path) {
        if let (Some(index), Some(client)) = (&self.upload, &mut self.build.client) {
            client.attach_upload(index.expose_secret().as_bytes().to_vec(), contents.to_path_buf());
        }
    }

    /// Everything to redact.
    pub(crate) fn secret_texts(&self) -> Vec<String> {
        let sensitive = self.sensitive.iter().map(|value| value.expose_secret().to_owned());
        let documents = [Some(&self.build), self.verification.as_ref()];
        sensitive.chain(documents.into_iter().flatten().flat_map(DocumentWithCredentials::secret_texts)).collect()
    }
}

/// A document with the bake's own entry, and the client that knows its secrets.
pub(crate) struct DocumentWithCredentials {
    text: SecretString,
    credentials: Option<Credentials>,
    client: Option<MarkerClient>,
}

impl DocumentWithCredentials {
    pub(crate) fn new(
        document: &RenderedDocument,
        spec: &Spec,
        artifacts_url: Option<String>,
        upload: Option<UploadIndex>,
    ) -> Result<Self, Failure> {
        let credentials = match spec.marker {
            MarkerKind::Https => Some(Credentials::new(&spec.id)?),
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
        let power_off_after = POWER_OFF_AFTER;
        let entry = BakeEntry { bake: spec.id.to_string(), channel, power_off_after, artifacts_url, upload };
        let text = document.with_bake_entry(&entry)?.into();
        let client = credentials.as_ref().map(client).transpose()?;
        Ok(Self { text, credentials, client })
    }

    fn on_disk(&self) -> Result<StoredDocument, Failure> {
        let credentials = self.credentials.as_ref().map(Credentials::to_json).transpose()?;
        Ok(StoredDocument {
            user_data: self.text.expose_secret().to_owned(),
            credentials: credentials.map(|text| text.expose_secret().to_owned()),
        })
    }

    fn from_disk(disk: StoredDocument) -> Result<Self, String> {
        let credentials = disk.credentials.as_deref().map(Credentials::from_json).transpose();
        let credentials = credentials.map_err(|error| error.to_string())?;
        let client = credentials.as_ref().map(client).transpose().map_err(|error| error.to_string())?;
        Ok(Self { text: disk.user_data.into(), credentials, client })
    }

    pub(crate) fn marker(&self) -> Option<&dyn Marker> {
        self.client.as_ref().map(|client| client as &dyn Marker)
    }

    fn secret_texts(&self) -> Vec<String> {
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
    fn documents_are_read_back_and_a_broken_file_is_not_quoted() {
        let credentials = Credentials::new(&BakeId::new(0, [1, 2, 3])).unwrap();
        let token = credentials.token.expose_secret().to_owned();
        let build = DocumentWithCredentials {
            text: "#cloud-config\n".to_owned().into(),
            credentials: Some(credentials),
            client: None,
        };
        let documents = BakeDocuments {
            build,
            verification: None,
            sensitive: vec!["a password".to_owned().into()],
            upload: Some("[]".to_owned().into()),
        };
        let text = documents.to_json().unwrap();
        let back = BakeDocuments::from_json(text.expose_secret()).unwrap();
        assert_eq!(back.secrets().user_data.expose_secret(), "#cloud-config\n");
        assert!(back.build.marker().is_some());
        assert_eq!(back.upload.as_ref().map(ExposeSecret::expose_secret), Some("[]"));
        assert_eq!(back.secret_texts(), documents.secret_texts());
        assert!(back.secret_texts().contains(&token));
        let broken = BakeDocuments::from_json(&text.expose_secret()[..40]).err().unwrap();
        assert!(broken.contains("broken at line 1") && !broken.contains("cloud-config"), "{broken}");
        assert!(BakeDocuments::from_json(&text.expose_secret().replace("\"version\":1", "\"version\":7")).is_err());
    }
}

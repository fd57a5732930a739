//! How a droplet and mkimg authenticate each other. Credentials are made for one droplet and useless after its bake.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, date_time_ymd,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::bake::BakeId;

/// Certificate, key and token of one droplet's status channel.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The bake that they were made for.
    pub bake: BakeId,
    /// DER in base64; not secret.
    pub certificate: String,
    /// PKCS#8 DER in base64.
    pub key: SecretString,
    /// 32 random bytes in base64url without padding.
    pub token: SecretString,
}

/// The form on disk, in a file of mode 0600.
#[derive(Serialize, Deserialize)]
struct StoredCredentials {
    bake: BakeId,
    certificate: String,
    key: String,
    token: String,
}

/// The credentials could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// The system has no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(String),
    /// The certificate could not be made.
    #[error("the bake's certificate could not be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The file is damaged.
    #[error("the bake's credentials cannot be read: {0}")]
    Unreadable(String),
}

impl Credentials {
    /// New credentials. The certificate is valid from 1975 to 4096: the droplet's clock may be wrong, and the pin counts,
    /// not the date.
    pub fn new(bake: &BakeId) -> Result<Self, CredentialsError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new(vec![server_name(bake)])?;
        params.not_before = date_time_ymd(1975, 1, 1);
        params.not_after = date_time_ymd(4096, 1, 1);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.distinguished_name.push(DnType::CommonName, "mkimg bake");
        debug_assert!(!matches!(params.is_ca, IsCa::Ca(BasicConstraints::Unconstrained)));
        let certificate = params.self_signed(&key)?;
        let mut token = [0_u8; 32];
        getrandom::fill(&mut token).map_err(|error| CredentialsError::Random(error.to_string()))?;
        Ok(Self {
            bake: bake.clone(),
            certificate: STANDARD.encode(certificate.der()),
            key: STANDARD.encode(key.serialize_der()).into(),
            token: URL_SAFE_NO_PAD.encode(token).into(),
        })
    }

    /// For the file from which `mkimg resume` reads them; secret.
    pub fn to_json(&self) -> Result<SecretString, CredentialsError> {
        let disk = StoredCredentials {
            bake: self.bake.clone(),
            certificate: self.certificate.clone(),
            key: self.key.expose_secret().to_owned(),
            token: self.token.expose_secret().to_owned(),
        };
        serde_json::to_string(&disk).map(Into::into).map_err(|error| CredentialsError::Unreadable(error.to_string()))
    }

    /// What [`Credentials::to_json`] wrote.
    pub fn from_json(text: &str) -> Result<Self, CredentialsError> {
        // serde's message could quote the file.
        let disk: StoredCredentials = serde_json::from_str(text).map_err(|error| {
            CredentialsError::Unreadable(format!("not valid at line {} column {}", error.line(), error.column()))
        })?;
        Ok(Self { bake: disk.bake, certificate: disk.certificate, key: disk.key.into(), token: disk.token.into() })
    }
}

/// The certificate's DNS name. `.invalid` never resolves, so a mistake cannot send the token to another machine.
pub(super) fn server_name(bake: &BakeId) -> String {
    format!("{bake}.mkimg.invalid")
}

//! The bake's own entry in a droplet's user-data: `/run/mkimg/bake.json` among the `write_files`.

use std::io::Read as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

const PATH: &str = "/run/mkimg/bake.json";
/// The entry takes 2,048 bytes of a document at most.
const LARGEST: u64 = 1 << 20;

/// What a bake tells its droplet.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Entry {
    pub(super) bake: String,
    /// `https` or `poweroff`.
    pub(super) channel: String,
    #[serde(default)]
    pub(super) port: u16,
    #[serde(default)]
    pub(super) token: String,
    /// DER, base64.
    #[serde(default)]
    pub(super) certificate: String,
    /// PKCS#8 DER, base64.
    #[serde(default)]
    pub(super) key: String,
    /// Seconds.
    #[serde(default)]
    power_off_after: u64,
}

impl Entry {
    pub(super) fn has_channel(&self) -> bool {
        self.channel == "https"
    }

    /// How long a droplet that has passed waits for its acknowledgement.
    pub(super) fn patience(&self) -> Duration {
        Duration::from_secs(self.power_off_after)
    }
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    write_files: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    path: String,
    #[serde(default)]
    content: String,
    #[serde(default)]
    encoding: Option<String>,
}

/// The entry, if the document is one of a bake.
pub(super) fn read(user_data: &str) -> Option<Entry> {
    let document: Document = serde_yaml::from_str(user_data).ok()?;
    let file = document.write_files.into_iter().rev().find(|file| file.path == PATH)?;
    let bytes = match file.encoding.as_deref() {
        None | Some("" | "text/plain") => file.content.into_bytes(),
        Some("b64" | "base64") => STANDARD.decode(file.content.trim()).ok()?,
        Some("gz+b64" | "gz+base64" | "gzip+b64" | "gzip+base64") => {
            let packed = STANDARD.decode(file.content.trim()).ok()?;
            let mut bytes = Vec::new();
            flate2::read::GzDecoder::new(packed.as_slice()).take(LARGEST).read_to_end(&mut bytes).ok()?;
            bytes
        }
        Some(_) => return None,
    };
    serde_json::from_slice(&bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_found_in_each_form() {
        let json = r#"{"version": 1, "bake": "b", "channel": "poweroff", "power_off_after": 900}"#;
        let document = |entry: &str| {
            format!("#cloud-config\nwrite_files:\n- {{path: /etc/motd, content: hello}}\n- {{path: {PATH}, {entry}}}\n")
        };
        let plain = document(&format!("content: '{json}', permissions: '0600'"));
        let coded = document(&format!("content: {}, encoding: b64", STANDARD.encode(json)));
        for text in [plain, coded] {
            let entry = read(&text).unwrap();
            assert_eq!((entry.bake.as_str(), entry.has_channel()), ("b", false), "{text}");
            assert_eq!(entry.patience(), Duration::from_secs(900));
        }
        for none in ["", "#!/bin/sh\n", "#cloud-config\nruncmd: [true]\n", "#cloud-config\nwrite_files: 3\n"] {
            assert_eq!(read(none), None, "{none}");
        }
    }
}

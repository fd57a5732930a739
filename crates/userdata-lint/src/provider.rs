//! Cloud providers and their limits for user-data.
//!
//! To add a provider, add a line to [`PROVIDERS`] with the source of its limit. Providers that
//! document no limit, or contradictory ones, are not listed; `--limit N` is for them.

use std::fmt;
use std::str::FromStr;

#[derive(Debug, PartialEq, Eq)]
pub struct Provider {
    /// The value of `--provider`.
    pub name: &'static str,
    /// The name in messages.
    pub title: &'static str,
    /// The limit in bytes.
    pub limit: usize,
    /// Whether the limit applies to the base64 form, which is a third longer.
    pub encoded: bool,
    /// Whether user-data may be any bytes, such as a gzip of the document, because its API takes
    /// base64. Others take text.
    pub takes_bytes: bool,
}

/// The default provider.
pub static DIGITALOCEAN: &Provider = &PROVIDERS[2];

/// All providers, in no particular order.
pub static PROVIDERS: [Provider; 8] = [
    // "The maximum length of the binary array is 65535 bytes": Compute REST API,
    // OSProfile.customData.
    Provider { name: "azure", title: "Azure", limit: 65_535, encoded: false, takes_bytes: true },
    // A custom metadata value has at most 256 KB: Compute Engine, "Limitations of custom metadata".
    Provider { name: "gcp", title: "Google Cloud", limit: 262_144, encoded: false, takes_bytes: false },
    // 64 KiB: API reference, POST /v2/droplets.
    Provider { name: "digitalocean", title: "DigitalOcean", limit: 65_536, encoded: false, takes_bytes: false },
    // 16 KB "in raw form, before it is base64-encoded": EC2 User Guide. The API's error says 16384 bytes.
    Provider { name: "ec2", title: "Amazon EC2", limit: 16_384, encoded: false, takes_bytes: true },
    // 32 KiB: Cloud API, POST /servers.
    Provider { name: "hetzner", title: "Hetzner", limit: 32_768, encoded: false, takes_bytes: false },
    // 65535 bytes of base64: Compute API of OpenStack, POST /servers. OVHcloud's public cloud is one.
    Provider { name: "openstack", title: "OpenStack", limit: 65_535, encoded: true, takes_bytes: true },
    // 32 KiB, unencoded: API description.
    Provider { name: "oxide", title: "Oxide", limit: 32_768, encoded: false, takes_bytes: true },
    // 524288 bytes: vSphere API, CustomizationCloudinitPrep.userdata.
    Provider { name: "vsphere", title: "vSphere", limit: 524_288, encoded: false, takes_bytes: false },
];

impl Provider {
    /// The size of a document in the form that the limit applies to.
    #[must_use]
    pub const fn counted_bytes(&self, bytes: usize) -> usize {
        if self.encoded { bytes.div_ceil(3) * 4 } else { bytes }
    }

    /// The maximum size of a document.
    #[must_use]
    pub const fn max_bytes(&self) -> usize {
        if self.encoded { self.limit / 4 * 3 } else { self.limit }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}

/// A provider as a command-line argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProviderArgument(pub &'static Provider);

impl fmt::Display for ProviderArgument {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl FromStr for ProviderArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = match text.to_ascii_lowercase().as_str() {
            "aws" | "amazon" => "ec2".into(),
            "google" | "gce" => "gcp".into(),
            "do" => "digitalocean".into(),
            "ovh" | "ovhcloud" => "openstack".into(),
            "vmware" => "vsphere".into(),
            other => other.to_owned(),
        };
        PROVIDERS.iter().find(|provider| provider.name == name).map(Self).ok_or_else(|| {
            let mut names: Vec<_> = PROVIDERS.iter().map(|provider| provider.name).collect();
            names.sort_unstable();
            format!("expected one of {}; use `--limit N` for any other provider", names.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_base64_are_counted() {
        let Ok(ProviderArgument(openstack)) = "ovh".parse() else { panic!("it is known") };
        assert_eq!(openstack.counted_bytes(openstack.max_bytes()), 65_532);
        assert!(openstack.counted_bytes(openstack.max_bytes() + 1) > openstack.limit);
        assert_eq!(DIGITALOCEAN.counted_bytes(65_537), 65_537);
        assert_eq!(DIGITALOCEAN.name, "digitalocean");
        for (name, expected) in
            [("aws", "ec2"), ("Amazon", "ec2"), ("gce", "gcp"), ("do", "digitalocean"), ("VMware", "vsphere")]
        {
            assert_eq!(name.parse::<ProviderArgument>().map(|named| named.0.name), Ok(expected), "{name}");
        }
        assert!("nobody".parse::<ProviderArgument>().unwrap_err().contains("digitalocean, ec2"));
    }
}

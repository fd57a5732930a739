//! Providers of machines, and how much user-data each takes.
//!
//! To add one, add a line to [`PROVIDERS`] with the source of its figure. Providers whose documents name no figure, or
//! contradict themselves about it, are left out: `--limit N` is for them.

use std::fmt;
use std::str::FromStr;

/// A provider and its limit.
#[derive(Debug, PartialEq, Eq)]
pub struct Provider {
    /// As `--provider` takes it.
    pub name: &'static str,
    /// As people write it.
    pub title: &'static str,
    /// The most bytes that it takes.
    pub limit: usize,
    /// What counts is the document in base64, which is longer by a third.
    pub encoded: bool,
}

/// DigitalOcean: what `--provider` says when it is not given.
pub static DIGITALOCEAN: &Provider = &PROVIDERS[2];

/// All of them, by name.
pub static PROVIDERS: [Provider; 8] = [
    // "The maximum length of the binary array is 65535 bytes": Compute REST API, OSProfile.customData.
    Provider { name: "azure", title: "Azure", limit: 65_535, encoded: false },
    // A custom metadata value has at most 256 KB: Compute Engine, "Limitations of custom metadata".
    Provider { name: "gcp", title: "Google Cloud", limit: 262_144, encoded: false },
    // 64 KiB: API reference, POST /v2/droplets.
    Provider { name: "digitalocean", title: "DigitalOcean", limit: 65_536, encoded: false },
    // 16 KB "in raw form, before it is base64-encoded": EC2 User Guide. The API's error says 16384 bytes.
    Provider { name: "ec2", title: "Amazon EC2", limit: 16_384, encoded: false },
    // 32 KiB: Cloud API, POST /servers.
    Provider { name: "hetzner", title: "Hetzner", limit: 32_768, encoded: false },
    // 65535 bytes of base64: Compute API of OpenStack, POST /servers. OVHcloud's public cloud is one.
    Provider { name: "openstack", title: "OpenStack", limit: 65_535, encoded: true },
    // 32 KiB, unencoded: its API's description.
    Provider { name: "oxide", title: "Oxide", limit: 32_768, encoded: false },
    // 524288 bytes: vSphere API, CustomizationCloudinitPrep.userdata.
    Provider { name: "vsphere", title: "vSphere", limit: 524_288, encoded: false },
];

impl Provider {
    /// What a document of so many bytes counts.
    #[must_use]
    pub const fn counts(&self, bytes: usize) -> usize {
        if self.encoded { bytes.div_ceil(3) * 4 } else { bytes }
    }

    /// The most bytes that a document may have.
    #[must_use]
    pub const fn most(&self) -> usize {
        if self.encoded { self.limit / 4 * 3 } else { self.limit }
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}

/// A provider by its name, for a command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named(pub &'static Provider);

impl FromStr for Named {
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
            format!("expected one of {}; `--limit N` is for any other", names.join(", "))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_counted_where_the_provider_counts_it() {
        let Ok(Named(openstack)) = "ovh".parse() else { panic!("it is known") };
        assert_eq!(openstack.counts(openstack.most()), 65_532);
        assert!(openstack.counts(openstack.most() + 1) > openstack.limit);
        assert_eq!(DIGITALOCEAN.counts(65_537), 65_537);
        assert_eq!(DIGITALOCEAN.name, "digitalocean");
        for (name, expected) in
            [("aws", "ec2"), ("Amazon", "ec2"), ("gce", "gcp"), ("do", "digitalocean"), ("VMware", "vsphere")]
        {
            assert_eq!(name.parse::<Named>().map(|named| named.0.name), Ok(expected), "{name}");
        }
        assert!("nobody".parse::<Named>().unwrap_err().contains("digitalocean, ec2"));
    }
}

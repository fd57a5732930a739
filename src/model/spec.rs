//! The typed template, after its expressions are evaluated. Files and scripts are still names.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use indexmap::IndexMap;
use serde::{Deserialize, Deserializer};

use super::value::Mapping;

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ImageSpec {
    pub droplet: Option<Droplet>,
    pub users: Vec<User>,
    pub upgrade: bool,
    pub packages: Vec<String>,
    pub artifacts: Vec<ArtifactSpec>,
    pub files: Vec<FilesSpec>,
    pub attributes: Vec<Attributes>,
    pub environment: BTreeMap<String, String>,
    /// Paths and globs in the project.
    pub scripts: Vec<String>,
    pub cleanup: Option<String>,
    pub check: Option<String>,
    pub time_limits: TimeLimits,
    pub snapshot: Snapshot,
    pub verify: Verify,
    pub allow: Vec<Allowance>,
    pub cloud_config: Mapping,
}

/// A finding about the rendered document that the author accepts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Allowance {
    /// Code or name of a rule.
    pub code: String,
    /// A file on the machine or a path in the document; `None` for all of it.
    pub path: Option<String>,
    pub reason: String,
}

/// The build droplet, in the terms of the API.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Droplet {
    pub image: String,
    pub region: String,
    pub size: String,
    #[serde(default)]
    pub tags: Vec<String>,
    pub vpc_uuid: Option<String>,
    #[serde(default)]
    pub ipv6: bool,
    #[serde(default)]
    pub monitoring: bool,
    #[serde(default)]
    pub droplet_agent: bool,
    pub name: Option<String>,
}

/// A user of the machine. `default` is the distribution's own user.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct User {
    pub name: String,
    #[serde(default)]
    pub system: bool,
    pub home: Option<String>,
    pub create_home: Option<bool>,
    pub shell: Option<String>,
    #[serde(default)]
    pub groups: Vec<String>,
    pub comment: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct ArtifactSpec {
    pub url: String,
    pub checksum: Option<String>,
    #[serde(default)]
    pub unpack: IndexMap<String, Placed>,
    pub to: Option<String>,
    #[serde(default, deserialize_with = "owner")]
    pub owner: Option<Owner>,
    #[serde(default, deserialize_with = "mode")]
    pub mode: Option<Mode>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Placed {
    pub to: String,
    #[serde(default, deserialize_with = "owner")]
    pub owner: Option<Owner>,
    #[serde(default, deserialize_with = "mode")]
    pub mode: Option<Mode>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct FilesSpec {
    pub source: String,
    pub to: String,
    #[serde(default, deserialize_with = "owner")]
    pub owner: Option<Owner>,
    #[serde(default, deserialize_with = "mode")]
    pub mode: Option<Mode>,
    /// Path or name of the script after which they are placed.
    pub after: Option<String>,
}

/// Owner, mode and place in the document, by path on the machine.
#[derive(Debug, Clone, Deserialize)]
pub struct Attributes {
    pub path: String,
    #[serde(default, deserialize_with = "owner")]
    pub owner: Option<Owner>,
    #[serde(default, deserialize_with = "mode")]
    pub mode: Option<Mode>,
    pub bundle: Option<bool>,
}

/// Time limits of the steps on the droplet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TimeLimits {
    #[serde(deserialize_with = "seconds")]
    pub packages: Duration,
    #[serde(deserialize_with = "seconds")]
    pub download: Duration,
    #[serde(deserialize_with = "seconds")]
    pub script: Duration,
}

impl Default for TimeLimits {
    fn default() -> Self {
        let limit = Duration::from_secs(30 * 60);
        Self { packages: limit, download: limit, script: limit }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Snapshot {
    pub name: String,
    pub regions: Vec<String>,
    pub tags: Vec<String>,
}

/// Expectations of a fresh instance.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Verify {
    pub services: Vec<String>,
    pub ports: Vec<u16>,
    pub commands: Vec<String>,
    /// How long the instance may take to meet them.
    #[serde(deserialize_with = "seconds")]
    pub ready: Duration,
}

impl Default for Verify {
    fn default() -> Self {
        Self { services: Vec::new(), ports: Vec::new(), commands: Vec::new(), ready: Duration::from_secs(5 * 60) }
    }
}

fn owner<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Owner>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    text.map(|text| text.parse().map_err(serde::de::Error::custom)).transpose()
}

fn mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Mode>, D::Error> {
    let bits: Option<u32> = Option::deserialize(deserializer)?;
    Ok(bits.map(Mode))
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_secs)
}

/// Returns the image's name: the name of the template's file, without directory and extension.
pub(super) fn image_name(template: &str) -> &str {
    let file = template.rsplit('/').next().unwrap_or_default();
    file.rsplit_once('.').map_or(file, |(stem, _)| stem)
}

/// Permission bits of a file, 0 to 0o7777; shown as four octal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mode(pub u32);

impl fmt::Display for Mode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:04o}", self.0)
    }
}

/// Why a text is not a mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadMode {
    #[error("expected a mode of three or four octal digits, found `{0}`")]
    NotOctal(String),
    #[error("`{written}` is ambiguous: the mode {octal}, or the decimal form of {decimal}")]
    Ambiguous { written: String, octal: Mode, decimal: Mode },
    #[error("`{written}` is the decimal form of the mode {decimal}")]
    Decimal { written: String, decimal: Mode },
}

impl BadMode {
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::NotOctal(_) => "write it as for `chmod`, such as 0644".to_owned(),
            Self::Ambiguous { octal, decimal, .. } => format!("write \"{octal}\" or \"{decimal}\""),
            Self::Decimal { decimal, .. } => format!("write {decimal}"),
        }
    }
}

/// Common modes. A decimal number that equals one of them is probably a mode.
const COMMON_MODES: [u32; 16] =
    [0o400, 0o440, 0o444, 0o500, 0o550, 0o555, 0o600, 0o640, 0o644, 0o660, 0o664, 0o666, 0o700, 0o750, 0o755, 0o777];

/// Reads the digits in the source: `0644`, `644`, `0o644`. YAML 1.1 reads an unquoted `0644` as
/// 420, so its value is ambiguous.
impl std::str::FromStr for Mode {
    type Err = BadMode;

    fn from_str(written: &str) -> Result<Self, BadMode> {
        let digits = written.strip_prefix("0o").unwrap_or(written);
        let explicit = written.starts_with('0');
        let decimal = written.parse().ok().filter(|number| !explicit && COMMON_MODES.contains(number)).map(Mode);
        let octal = (digits.len() >= 3 && digits.len() <= 5 && digits.bytes().all(|digit| digit.is_ascii_digit()))
            .then(|| u32::from_str_radix(digits, 8).ok().filter(|mode| *mode <= 0o7777).map(Mode))
            .flatten();
        match (octal, decimal) {
            // 644, 755, 600 … are common in octal, so the decimal number was not meant.
            (Some(octal), _) if explicit || COMMON_MODES.contains(&octal.0) => Ok(octal),
            (Some(octal), Some(decimal)) => Err(BadMode::Ambiguous { written: written.to_owned(), octal, decimal }),
            (Some(octal), None) => Ok(octal),
            (None, Some(decimal)) => Err(BadMode::Decimal { written: written.to_owned(), decimal }),
            (None, None) => Err(BadMode::NotOctal(written.to_owned())),
        }
    }
}

/// `user:group`, each a name or a number.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    pub user: String,
    pub group: String,
}

/// Why a text is not an owner.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected `user` or `user:group`, found `{0}`")]
pub struct BadOwner(String);

impl Owner {
    #[must_use]
    pub fn root() -> Self {
        Self { user: "root".to_owned(), group: "root".to_owned() }
    }

    /// Returns whether both exist on every Debian and Ubuntu before anything is installed.
    #[must_use]
    pub fn is_in_base_system(&self) -> bool {
        is_base_name(&self.user, BASE_USERS) && is_base_name(&self.group, BASE_GROUPS)
    }

    /// Returns the user and the group, each if it does not exist on every Debian and Ubuntu.
    pub fn names_beyond_base_system(&self) -> impl Iterator<Item = &str> {
        let user = (!is_base_name(&self.user, BASE_USERS)).then_some(self.user.as_str());
        let group = (!is_base_name(&self.group, BASE_GROUPS)).then_some(self.group.as_str());
        user.into_iter().chain(group.filter(|group| Some(*group) != user))
    }
}

fn is_base_name(name: &str, names: &[&str]) -> bool {
    names.contains(&name) || name.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns the users and groups of every Debian and Ubuntu.
pub fn base_names() -> impl Iterator<Item = &'static str> {
    BASE_USERS.iter().chain(BASE_GROUPS).copied()
}

/// Debian's base-passwd, `/usr/share/base-passwd/passwd.master`.
const BASE_USERS: &[&str] = &[
    "root", "daemon", "bin", "sys", "sync", "games", "man", "lp", "mail", "news", "uucp", "proxy", "www-data",
    "backup", "list", "irc", "nobody",
];

/// Debian's base-passwd, `/usr/share/base-passwd/group.master`.
const BASE_GROUPS: &[&str] = &[
    "root", "daemon", "bin", "sys", "adm", "tty", "disk", "lp", "mail", "news", "uucp", "man", "proxy", "kmem",
    "dialout", "fax", "voice", "cdrom", "floppy", "tape", "sudo", "audio", "dip", "www-data", "backup", "operator",
    "list", "irc", "src", "shadow", "utmp", "video", "sasl", "plugdev", "staff", "games", "users", "nogroup",
];

/// Directories whose scripts cloud-init runs at boot.
const ON_BOOT_DIRECTORIES: [&str; 3] =
    ["/var/lib/cloud/scripts/per-instance/", "/var/lib/cloud/scripts/per-boot/", "/var/lib/cloud/scripts/per-once/"];

/// Returns whether a path, or each path that a glob matches, is in one of these directories.
pub(super) fn is_on_boot(path: &str) -> bool {
    ON_BOOT_DIRECTORIES.iter().any(|directory| path.starts_with(directory))
}

impl fmt::Display for Owner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.user, self.group)
    }
}

impl std::str::FromStr for Owner {
    type Err = BadOwner;

    fn from_str(written: &str) -> Result<Self, BadOwner> {
        let (user, group) = written.split_once(':').unwrap_or((written, written));
        let is_valid =
            |name: &str| is_user_name(name) || (!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()));
        if is_valid(user) && is_valid(group) {
            Ok(Self { user: user.to_owned(), group: group.to_owned() })
        } else {
            Err(BadOwner(written.to_owned()))
        }
    }
}

/// Returns whether `useradd` accepts a name: shadow's rule, at most 32 characters.
pub(super) fn is_user_name(name: &str) -> bool {
    let mut characters = name.chars();
    name.len() <= 32
        && characters.next().is_some_and(|first| first.is_ascii_lowercase() || first == '_')
        && characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_read_as_written() {
        for (written, mode) in [
            ("0644", 0o644),
            ("644", 0o644),
            ("0o755", 0o755),
            ("4755", 0o4755),
            ("01777", 0o1777),
            ("0420", 0o420),
            ("600", 0o600),
        ] {
            assert_eq!(written.parse(), Ok(Mode(mode)), "{written}");
        }
        assert_eq!(Mode(0o40).to_string(), "0040");
    }

    #[test]
    fn decimal_numbers_are_explained() {
        let ambiguous: Result<Mode, _> = "420".parse();
        assert_eq!(
            ambiguous.unwrap_err().to_string(),
            "`420` is ambiguous: the mode 0420, or the decimal form of 0644"
        );
        let decimal: Result<Mode, _> = "493".parse();
        assert_eq!(decimal.unwrap_err().help(), "write 0755");
    }

    #[test]
    fn other_texts_are_not_modes() {
        for written in ["", "rw-r--r--", "0888", "77777", "8", "-644", "+644", "0x1a4", "0o", "64"] {
            assert!(written.parse::<Mode>().is_err(), "{written}");
        }
    }

    #[test]
    fn owners_are_read() {
        assert_eq!("nakama".parse::<Owner>().unwrap().to_string(), "nakama:nakama");
        assert_eq!("root:adm".parse::<Owner>().unwrap().to_string(), "root:adm");
        assert_eq!("0:0".parse::<Owner>().unwrap().to_string(), "0:0");
        for written in ["", ":", "a:", ":b", "a:b:c", "A", "a b", "-x", "root:$x"] {
            assert!(written.parse::<Owner>().is_err(), "{written}");
        }
    }
}

//! The version of cloud-init to check for, by number or by the distribution release that ships it.
//!
//! To support a version, add it to [`Version::PROVEN`] and run `tests/differential/validate.rs`. To
//! support a release, add it to `RELEASES` and to the table in `docs/cloud-init-versions.md`.

use std::fmt;
use std::str::FromStr;

/// A release of cloud-init: year and number, such as 26.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    year: u8,
    number: u8,
}

/// The error for an unknown or unsupported version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownVersion {
    /// A version that mkimg was not compared with.
    #[error("cloud-init {found} is not supported; the nearest supported version is {nearest} (of {})", offered())]
    NotProven {
        /// The requested version.
        found: Version,
        /// The nearest supported version.
        nearest: Version,
    },
    /// Neither a version nor a release.
    #[error("expected a version of cloud-init, {}, or a release, such as {}; found `{found}`{}", offered(), releases(), meant(.nearest.as_deref()))]
    NotKnown {
        /// The requested text.
        found: String,
        /// The most similar known name.
        nearest: Option<String>,
    },
}

/// Distribution releases and the version of cloud-init that they ship. Debian keeps the version of
/// the release; Ubuntu updates it in all supported releases.
const RELEASES: &[(&str, &[&str], Version)] = &[
    ("debian", &["12", "bookworm"], Version::new(22, 4)),
    ("debian", &["13", "trixie"], Version::new(25, 1)),
    ("debian", &["14", "forky", "testing", "sid", "unstable"], Version::new(26, 2)),
    ("ubuntu", &["22.04", "jammy"], Version::new(26, 2)),
    ("ubuntu", &["24.04", "noble"], Version::new(26, 2)),
    ("ubuntu", &["25.04", "plucky"], Version::new(25, 1)),
    ("ubuntu", &["25.10", "questing"], Version::new(26, 2)),
    ("ubuntu", &["26.04", "resolute"], Version::new(26, 2)),
    ("ubuntu", &["26.10"], Version::new(26, 2)),
];

impl Version {
    /// The default version.
    pub const LATEST: Self = Self::new(26, 2);
    /// The oldest supported version, that of Debian 12.
    pub const OLDEST: Self = Self::new(22, 4);
    /// The supported versions, which mkimg was compared with.
    pub const PROVEN: &'static [Self] = &[Self::OLDEST, Self::new(25, 1), Self::LATEST];

    #[must_use]
    pub const fn new(year: u8, number: u8) -> Self {
        Self { year, number }
    }

    /// The distance in quarters, which is about one release each.
    fn distance(self, other: Self) -> u16 {
        let quarters = |version: Self| u16::from(version.year) * 4 + u16::from(version.number);
        quarters(self).abs_diff(quarters(other))
    }

    /// A number as `cloud-init --version` and packages write it: `26.2`, `25.1.4`,
    /// `25.1.4-1+deb13u1`.
    fn from_number(text: &str) -> Option<Self> {
        let text = text.split_once('-').map_or(text, |(upstream, _)| upstream);
        let mut parts = text.split('.').map(|part| {
            let is_number =
                part.bytes().all(|byte| byte.is_ascii_digit()) && (part.len() == 1 || !part.starts_with('0'));
            if is_number { part.parse::<u8>().ok() } else { None }
        });
        let version = Self { year: parts.next()??, number: parts.next()?? };
        // cloud-init uses this scheme since 2017 and has only a few releases per year.
        let plausible = (17..=99).contains(&version.year) && (1..=9).contains(&version.number);
        (plausible && parts.all(|part| part.is_some())).then_some(version)
    }

    /// A release: `noble`, `24.04`, `ubuntu-24.04`, `Ubuntu 24.04`, or a provider's slug,
    /// `ubuntu-24-04-x64`.
    fn from_release(text: &str) -> Option<Self> {
        let text = text.strip_suffix("-x64").unwrap_or(text);
        let (distribution, rest) = text.split_at(text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len()));
        let named = ["debian", "ubuntu"].contains(&distribution);
        let release =
            if named { rest.trim_start_matches(['-', ' ', ':', '_']).replace('-', ".") } else { text.to_string() };
        // A bare 12 is ambiguous.
        let bare = |name: &str| name.contains('.') || !name.bytes().all(|byte| byte.is_ascii_digit());
        let fits = |(of, names, _): &&(&str, &[&str], Self)| {
            names.contains(&release.as_str()) && if named { *of == distribution } else { bare(&release) }
        };
        RELEASES.iter().find(fits).map(|(_, _, version)| *version)
    }
}

/// "22.4, 25.1, 26.2"
fn offered() -> String {
    Version::PROVEN.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Every release by one name, for messages and help.
fn releases() -> String {
    let name = |(of, names, _): &(&str, &[&str], Version)| format!("{of}-{}", names[0]);
    RELEASES.iter().map(name).collect::<Vec<_>>().join(", ")
}

fn meant(nearest: Option<&str>) -> String {
    nearest.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default()
}

/// The most similar known name, if one is similar enough.
fn nearest_name(text: &str) -> Option<String> {
    let of_release = |(of, names, _): &(&str, &'static [&'static str], Version)| {
        let of = (*of).to_string();
        names.iter().flat_map(move |name| [(*name).to_string(), format!("{of}-{name}")])
    };
    let known = RELEASES.iter().flat_map(of_release).chain(Version::PROVEN.iter().map(ToString::to_string));
    let distance = |name: &String| strsim::damerau_levenshtein(text, name);
    // Suggesting a different number would be wrong.
    let is_word = text.bytes().any(|byte| byte.is_ascii_alphabetic());
    known.filter(|name| is_word && distance(name) <= 2 && distance(name) < name.len() / 2).min_by_key(distance)
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.year, self.number)
    }
}

impl FromStr for Version {
    type Err = UnknownVersion;

    /// `26.2`, `22.4.2`, or a release of Debian or Ubuntu.
    fn from_str(text: &str) -> Result<Self, UnknownVersion> {
        let lower = text.trim().to_ascii_lowercase();
        if lower == "latest" {
            return Ok(Self::LATEST);
        }
        if let Some(version) = Self::from_release(&lower) {
            return Ok(version);
        }
        match Self::from_number(&lower) {
            Some(version) if Self::PROVEN.contains(&version) => Ok(version),
            Some(found) => {
                let nearest = Self::PROVEN.iter().copied().min_by_key(|version| version.distance(found));
                Err(UnknownVersion::NotProven { found, nearest: nearest.unwrap_or(Self::LATEST) })
            }
            None => Err(UnknownVersion::NotKnown { found: text.into(), nearest: nearest_name(&lower) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn package_versions_are_parsed() {
        for (text, version) in [
            ("22.4", "22.4"),
            ("22.4.2", "22.4"),
            ("22.4.2-1+deb12u4", "22.4"),
            ("25.1", "25.1"),
            ("25.1.4-1+deb13u1", "25.1"),
            ("26.2-0ubuntu1~24.04.1", "26.2"),
            ("latest", "26.2"),
        ] {
            assert_eq!(text.parse::<Version>().unwrap().to_string(), version, "{text}");
        }
    }

    #[test]
    fn releases_are_parsed() {
        for (version, releases) in [
            ("22.4", &["Bookworm", "debian-12", "debian 12", "debian12", "debian-12-x64", "debian-bookworm"][..]),
            ("25.1", &["trixie", "debian-13", "debian-13-x64", "25.04", "ubuntu-25-04-x64", "plucky"]),
            ("26.2", &["jammy", "22.04", "ubuntu-22-04-x64", "noble", "24.04", "ubuntu-24.04", "Ubuntu 24.04"]),
            ("26.2", &["ubuntu-24-04-x64", "resolute", "26.04", "25.10", "sid", "unstable", "testing", "forky"]),
        ] {
            for release in releases {
                assert_eq!(release.parse::<Version>().map(|found| found.to_string()), Ok(version.into()), "{release}");
            }
        }
        for (_, names, version) in RELEASES {
            assert!(Version::PROVEN.contains(version), "{names:?}");
        }
    }

    #[test]
    fn unknown_versions_are_rejected_with_suggestions() {
        let error_of = |text: &str| text.parse::<Version>().unwrap_err().to_string();
        assert_eq!(
            error_of("24.1"),
            "cloud-init 24.1 is not supported; the nearest supported version is 25.1 (of 22.4, 25.1, 26.2)"
        );
        assert!(error_of("26.3").contains("the nearest supported version is 26.2"));
        assert!(error_of("bokworm").ends_with("found `bokworm`; did you mean `bookworm`?"), "{}", error_of("bokworm"));
        assert!(error_of("ubunut-24.04").ends_with("did you mean `ubuntu-24.04`?"), "{}", error_of("ubunut-24.04"));
        assert!(error_of("jessie").contains("22.4, 25.1, 26.2, or a release, such as debian-12, debian-13"));
        for wrong in
            ["", "22", "12", "22.x", "26.2.x", "99.99", "22.40", "debian-24.04", "ubuntu-12", "26.2.", "fedora-41"]
        {
            assert!(matches!(wrong.parse::<Version>(), Err(UnknownVersion::NotKnown { .. })), "{wrong}");
        }
    }
}

//! The version of cloud-init whose verdict is asked for.

use std::fmt;
use std::str::FromStr;

/// A release of cloud-init: year and number, such as 26.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    year: u8,
    number: u8,
}

/// A text that names no version of cloud-init that can be judged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected 26.2, 22.4 or debian-12; found `{0}`")]
pub struct UnknownVersion(String);

impl Version {
    /// The version whose verdict is given unless another one is asked for.
    pub const LATEST: Self = Self::new(26, 2);
    /// The oldest version that can be asked for: Debian 12's.
    pub const OLDEST: Self = Self::new(22, 4);
    /// The versions that can be asked for: those that were compared with cloud-init itself.
    pub const PROVEN: &'static [Self] = &[Self::OLDEST, Self::LATEST];

    #[must_use]
    pub const fn new(year: u8, number: u8) -> Self {
        Self { year, number }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.year, self.number)
    }
}

impl FromStr for Version {
    type Err = UnknownVersion;

    /// `26.2`, `22.4.2`, or the name of a release that ships that version.
    fn from_str(text: &str) -> Result<Self, UnknownVersion> {
        let version = match text.to_ascii_lowercase().as_str() {
            "latest" | "sid" => Some(Self::LATEST),
            "debian-12" | "bookworm" => Some(Self::new(22, 4)),
            other => {
                let mut parts = other.split('.').map(str::parse::<u8>);
                match (parts.next(), parts.next(), parts.all(|part| part.is_ok())) {
                    (Some(Ok(year)), Some(Ok(number)), true) => Some(Self { year, number }),
                    _ => None,
                }
            }
        };
        version.filter(|version| Self::PROVEN.contains(version)).ok_or_else(|| UnknownVersion(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_releases_are_read() {
        assert_eq!("22.4.2".parse(), Ok(Version::OLDEST));
        assert_eq!("Bookworm".parse(), Ok(Version::OLDEST));
        assert_eq!("26.2".parse(), Ok(Version::LATEST));
        for wrong in ["", "22", "22.x", "21.4", "25.1", "99.1", "26.2.x", "jessie"] {
            assert_eq!(wrong.parse::<Version>(), Err(UnknownVersion(wrong.into())));
        }
    }
}

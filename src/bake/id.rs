//! The id of a bake, and the tag that its droplets and its snapshot carry.
//!
//! Tags consist of letters, digits, `:`, `_` and `-`, at most 255 of them, which every provider accepts. A bake's
//! id is also the first label of its certificate's DNS name, so it is lower case and has no `_`.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// The tag of every droplet that mkimg creates.
pub const MKIMG_TAG: &str = "mkimg";
/// The tag of a snapshot whose programs are stubs.
pub const STUBS_TAG: &str = "mkimg:stand-ins";
const PREFIX: &str = "mkimg:bake:";

/// The id of a bake, such as `20261122-153408-3f9c2a` (the time of its start in UTC, then three random bytes).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BakeId(String);

impl BakeId {
    /// A new id. `unix` is the time in seconds since 1970; `random` distinguishes bakes that start in the same second.
    pub fn new(unix: u64, random: [u8; 3]) -> Self {
        let [a, b, c] = random;
        Self(format!("{}-{a:02x}{b:02x}{c:02x}", compact_time(unix)))
    }

    /// Parses an id, as a user types it.
    pub fn parse(text: &str) -> Result<Self, InvalidBakeId> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if text.is_empty() || text.len() > 63 || !text.chars().all(fits) || text.starts_with('-') || text.ends_with('-')
        {
            return Err(InvalidBakeId(text.chars().take(80).collect()));
        }
        Ok(Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text that is not the id of a bake.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not the id of a bake; ids look like 20261122-153408-3f9c2a (`mkimg bakes` lists them)")]
pub struct InvalidBakeId(String);

impl TryFrom<String> for BakeId {
    type Error = InvalidBakeId;
    fn try_from(text: String) -> Result<Self, InvalidBakeId> {
        Self::parse(&text)
    }
}

impl From<BakeId> for String {
    fn from(id: BakeId) -> Self {
        id.0
    }
}

impl fmt::Display for BakeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `mkimg:bake:<id>:<deadline>`: the bake that owns a resource, and the time (seconds since 1970)
/// before which nothing else may delete it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BakeTag {
    pub id: BakeId,
    /// Seconds since 1970.
    pub deadline: u64,
}

impl BakeTag {
    /// Parses a tag. Anything that is not exactly a bake's tag is `None`, so that nothing else is ever deleted.
    pub fn parse(tag: &str) -> Option<Self> {
        let (id, deadline) = tag.strip_prefix(PREFIX)?.rsplit_once(':')?;
        if !deadline.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        Some(Self { id: BakeId::parse(id).ok()?, deadline: deadline.parse().ok()? })
    }
}

impl fmt::Display for BakeTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}:{}", self.id, self.deadline)
    }
}

/// `20261122-153408`, in UTC.
pub fn compact_time(unix: u64) -> String {
    let text = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(unix)).to_string();
    text.chars()
        .filter_map(|c| match c {
            'T' => Some('-'),
            '0'..='9' => Some(c),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_contains_its_time() {
        assert_eq!(BakeId::new(1_795_361_648, [0x3f, 0x9c, 0x2a]).as_str(), "20261122-153408-3f9c2a");
    }

    #[test]
    fn a_tag_is_read_back_and_other_tags_are_rejected() {
        let tag = BakeTag { id: BakeId::new(0, [1, 2, 3]), deadline: 99 };
        assert_eq!(BakeTag::parse(&tag.to_string()), Some(tag.clone()));
        assert!(tag.to_string().chars().all(|c| c.is_ascii_alphanumeric() || "_:-".contains(c)), "{tag}");
        for other in [
            "mkimg", "mkimg:bake:", "mkimg:bake:x", "mkimg:bake:x:", "mkimg:bake:x:-5", "mkimg:bake:x:+5",
            "mkimg:bake::5", "bake:x:5", "mkimg:bake:X:5",
        ] {
            assert_eq!(BakeTag::parse(other), None, "{other}");
        }
    }
}

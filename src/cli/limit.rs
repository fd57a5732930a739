//! `--limit N|none`, of every command that counts a document's bytes.

use std::fmt;
use std::str::FromStr;

/// A number of bytes, or none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit(pub(super) Option<usize>);

impl FromStr for Limit {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Self(None)),
            text => text.parse().map(|bytes| Self(Some(bytes))).map_err(|_| "expected a number of bytes, or `none`"),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(bytes) => write!(formatter, "{bytes}"),
            None => formatter.write_str("none"),
        }
    }
}

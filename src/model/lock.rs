//! `mkimg.lock`: the checksum and size of every artifact, as Cargo.lock is for crates.
//!
//! `mkimg lock` writes this YAML file, sorted by address, and users commit it:
//!
//! ```yaml
//! # Written by `mkimg lock`: commit it, do not edit it.
//! version: 1
//! artifacts:
//!   - url: "https://downloads.example/nakama.tar.gz"
//!     sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
//!     size: 31457280
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;

use diagnostics::source::Source;
use yaml11::{Node, Scalar, Tree};

/// The checksum and size of an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// 64 lowercase hexadecimal digits.
    pub sha256: String,
    /// Size in bytes.
    pub size: u64,
}

/// Writes bytes in lowercase hexadecimal digits.
#[must_use]
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The pins of artifacts, by address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock {
    pins: BTreeMap<String, Pin>,
}

/// Why a lock cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {what}")]
pub struct BadLock {
    file: String,
    line: usize,
    column: usize,
    what: String,
}

impl Lock {
    #[must_use]
    pub fn get(&self, url: &str) -> Option<&Pin> {
        self.pins.get(url)
    }

    pub fn insert(&mut self, url: &str, pin: Pin) {
        self.pins.insert(url.to_owned(), pin);
    }

    /// Removes pins for which `keep` returns `false`.
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.pins.retain(|url, _| keep(url));
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &Pin)> {
        self.pins.iter().map(|(url, pin)| (url.as_str(), pin))
    }

    /// Returns the text of the file.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = "# Written by `mkimg lock`: commit it, do not edit it.\nversion: 1\n".to_owned();
        if self.pins.is_empty() {
            text.push_str("artifacts: []\n");
            return text;
        }
        text.push_str("artifacts:\n");
        for (url, pin) in &self.pins {
            // The template reader refuses addresses with quotes, backslashes or control characters.
            let _ = writeln!(text, "  - url: \"{url}\"\n    sha256: \"{}\"\n    size: {}", pin.sha256, pin.size);
        }
        text
    }

    /// Reads a lock from YAML.
    ///
    /// # Errors
    ///
    /// Fails if the file does not have the form that [`Lock::to_text`] writes.
    pub fn from_tree(source: &Source, tree: &Tree) -> Result<Self, BadLock> {
        let fail = |node: Option<Node<'_>>, what: &str| {
            let place = source.position(node.map_or(0, |node| node.used_at().start));
            let (line, column) = (place.line, place.column);
            BadLock { file: source.name().to_owned(), line, column, what: what.to_owned() }
        };
        let Some(root) = tree.root() else { return Ok(Self::default()) };
        if root.entries().is_none() {
            return Err(fail(Some(root), "expected `version` and `artifacts`"));
        }
        match root.get("version").and_then(Node::scalar) {
            Some(Scalar::Int(version)) if version == "1" => {}
            _ => {
                return Err(fail(
                    root.get("version").or(Some(root)),
                    "expected `version: 1`; another version of mkimg wrote this file",
                ));
            }
        }
        let mut lock = Self::default();
        let artifacts = root.get("artifacts").ok_or_else(|| fail(Some(root), "`artifacts` is missing"))?;
        let items = artifacts.items().ok_or_else(|| fail(Some(artifacts), "expected a list of artifacts"))?;
        for item in items {
            let text = |key: &str| {
                item.get(key)
                    .and_then(Node::as_str)
                    .ok_or_else(|| fail(item.get(key).or(Some(item)), &format!("expected a text under `{key}`")))
            };
            let (url, sha256) = (text("url")?, text("sha256")?);
            if sha256.len() != 64 || !sha256.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
                return Err(fail(item.get("sha256"), "expected 64 lowercase hexadecimal digits"));
            }
            let size = match item.get("size").and_then(Node::scalar) {
                Some(Scalar::Int(digits)) => digits.parse().ok(),
                _ => None,
            };
            let size =
                size.ok_or_else(|| fail(item.get("size").or(Some(item)), "expected a number of bytes under `size`"))?;
            if lock.pins.insert(url.to_owned(), Pin { sha256: sha256.to_owned(), size }).is_some() {
                return Err(fail(item.get("url"), "this address is listed twice"));
            }
        }
        Ok(lock)
    }
}

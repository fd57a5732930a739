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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Lock, BadLock> {
        let source = Source::new("mkimg.lock", text);
        let tree = yaml11::parse(source.text()).unwrap();
        Lock::from_tree(&source, &tree)
    }

    #[test]
    fn a_lock_is_read_as_it_is_written() {
        let mut lock = Lock::default();
        assert_eq!(read(&lock.to_text()).unwrap(), lock);
        assert_eq!(read("").unwrap(), lock);
        for (url, size) in [("https://a.example/x", 0), ("https://a.example/y?v=1#z", 1 << 40)] {
            lock.insert(url, Pin { sha256: "0123456789abcdef".repeat(4), size });
        }
        assert_eq!(read(&lock.to_text()).unwrap(), lock);
        lock.retain(|url| url.ends_with('x'));
        assert_eq!(lock.iter().map(|(url, pin)| (url, pin.size)).collect::<Vec<_>>(), [("https://a.example/x", 0)]);
    }

    /// A lock decides what is installed: what cannot be read in full is not used in part.
    #[test]
    fn a_broken_lock_is_refused_at_its_place() {
        let sum = "a".repeat(64);
        let list = |items: &str| format!("version: 1\nartifacts:\n{items}");
        let pin = |url: &str| format!("  - {{url: '{url}', sha256: {sum}, size: 1}}\n");
        for (text, expected) in [
            ("[1]".to_owned(), "mkimg.lock:1:1: expected `version` and `artifacts`"),
            ("artifacts: []\n".to_owned(), "mkimg.lock:1:1: expected `version: 1`; another version of mkimg wrote"),
            ("version: 2\nartifacts: []\n".to_owned(), "mkimg.lock:1:10: expected `version: 1`; another version"),
            ("version: '1'\nartifacts: []\n".to_owned(), "mkimg.lock:1:10: expected `version: 1`; another version"),
            ("version: 1\n".to_owned(), "mkimg.lock:1:1: `artifacts` is missing"),
            ("version: 1\nartifacts: {}\n".to_owned(), "mkimg.lock:2:12: expected a list of artifacts"),
            (list("  - {}\n"), "mkimg.lock:3:5: expected a text under `url`"),
            (list("  - {url: a, sha256: 12, size: 1}\n"), "mkimg.lock:3:22: expected a text under `sha256`"),
            (list(&pin("a").replace("aaaa,", "aaa,")), "mkimg.lock:3:24: expected 64 lowercase hexadecimal digits"),
            (list(&pin("a").replace("aaaa,", "aaaaa,")), "mkimg.lock:3:24: expected 64 lowercase hexadecimal digits"),
            (list(&pin("a").replace("aaaa,", "aaaA,")), "mkimg.lock:3:24: expected 64 lowercase hexadecimal digits"),
            (list(&pin("a").replace("aaaa,", "aaag,")), "mkimg.lock:3:24: expected 64 lowercase hexadecimal digits"),
            (list(&pin("a").replace(", size: 1", "")), "mkimg.lock:3:5: expected a number of bytes under `size`"),
            (list(&pin("a").replace("size: 1", "size: -1")), "expected a number of bytes under `size`"),
            (list(&[pin("a"), pin("b"), pin("a")].concat()), "mkimg.lock:5:11: this address is listed twice"),
        ] {
            let error = read(&text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}

//! How an entry's bytes stand in the document: as text, base64, or gzip and base64.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::{Compression, GzBuilder};

use crate::yaml::emit::{Representation, representation};

/// cloud-init's `encoding` of a `write_files` entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Text,
    Base64,
    GzipBase64(Effort),
}

/// How hard to look for the shortest gzip. What comes out is gzip either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// Microseconds a kilobyte.
    Quick,
    /// Some 2 ms a kilobyte, and 3 to 5 % shorter: for documents that are over the limit without it.
    Thorough,
}

impl Encoding {
    /// As cloud-init names it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text/plain",
            Self::Base64 => "b64",
            Self::GzipBase64(_) => "gz+b64",
        }
    }

    /// What reads best: text if YAML carries it, else base64.
    #[must_use]
    pub fn readable(bytes: &[u8]) -> Self {
        if as_text(bytes).is_some() { Self::Text } else { Self::Base64 }
    }

    /// The encoded bytes; `None` for text that YAML cannot carry.
    #[must_use]
    pub fn encode(self, bytes: &[u8]) -> Option<String> {
        match self {
            Self::Text => as_text(bytes).map(str::to_owned),
            Self::Base64 => Some(STANDARD.encode(bytes)),
            Self::GzipBase64(effort) => Some(STANDARD.encode(gzip(bytes, effort)?)),
        }
    }
}

/// The bytes as text, if a reviewer can read them and YAML brings them back unchanged.
///
/// cloud-init takes a user-data with `mime-version:` near its beginning for a MIME message, whatever it is: a file that says so (a
/// mail template) is not shown as text.
fn as_text(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    (representation(bytes) == Representation::Text && !text.to_ascii_lowercase().contains(MIME)).then_some(text)
}

/// What cloud-init looks for, in any case, in the first 4,096 characters.
pub(super) const MIME: &str = "mime-version:";

/// gzip without time or file name. Writing to memory cannot fail.
fn gzip(bytes: &[u8], effort: Effort) -> Option<Vec<u8>> {
    match effort {
        Effort::Quick => {
            let mut encoder = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
            encoder.write_all(bytes).ok()?;
            encoder.finish().ok()
        }
        Effort::Thorough => {
            let mut zipped = Vec::new();
            zopfli::compress(zopfli::Options::default(), zopfli::Format::Gzip, bytes, &mut zipped).ok()?;
            Some(zipped)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn what_a_reviewer_can_read_is_text() {
        for text in ["", "a\tb\n", "é日本\n", "{{ x }}", "'\"#: &*!|>%@`", "---\n...\n", "\n\n  x"] {
            assert_eq!(Encoding::readable(text.as_bytes()), Encoding::Text, "{text:?}");
        }
    }

    #[test]
    fn other_bytes_are_base64() {
        for bytes in
            [&b"\0"[..], b"\xff", b"a\r\n", b"\x1b[0m", b"\xef\xbb\xbfx", b"MIME-Version: 1.0\n", "\u{85}".as_bytes()]
        {
            assert_eq!(Encoding::readable(bytes), Encoding::Base64, "{bytes:?}");
        }
    }

    #[test]
    fn gzip_has_no_time() {
        for effort in [Effort::Quick, Effort::Thorough] {
            assert_eq!(gzip(b"x", effort).unwrap()[3..8], [0, 0, 0, 0, 0]);
        }
    }

    #[test]
    fn thorough_is_shorter_and_the_same_file() {
        let text: Vec<u8> =
            (0..2_000_u32).flat_map(|n| format!("line {} of a file\n", n * n % 977).into_bytes()).collect();
        let [quick, thorough] = [Effort::Quick, Effort::Thorough].map(|effort| gzip(&text, effort).unwrap());
        assert!(thorough.len() < quick.len(), "{} and {}", thorough.len(), quick.len());
        let mut read = Vec::new();
        flate2::read::GzDecoder::new(thorough.as_slice()).read_to_end(&mut read).unwrap();
        assert_eq!(read, text);
    }
}

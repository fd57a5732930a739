//! Redacts secrets in every form in which they may appear: unchanged, line by line, escaped as in
//! JSON, HTML and URLs, and in base64 (at each of its three alignments).
//!
//! Everything on standard error passes through it, as do the bake's journal, report and saved logs.
//! To add a form, add it to [`forms`].

use std::borrow::Cow;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// A shorter text would match by chance.
const MIN_SECRET_BYTES: usize = 4;
/// Minimum length for redacting single lines and encoded forms too.
const MIN_ENCODED_BYTES: usize = 8;
const MARK: &str = "[redacted]";

/// The secrets of one process. Clones share them.
#[derive(Clone, Default)]
pub(super) struct Redaction(Arc<RwLock<Vec<String>>>);

impl std::fmt::Debug for Redaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redaction")
    }
}

impl Redaction {
    /// Redacts this secret from now on.
    pub(super) fn hide(&self, secret: &str) {
        let mut hidden = self.0.write().unwrap_or_else(PoisonError::into_inner);
        hidden.extend(forms(secret));
        // Longer secrets first, so that one that contains another is redacted completely.
        hidden.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        hidden.dedup();
    }

    /// The text with every secret redacted.
    pub(super) fn clean<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut text = Cow::Borrowed(text);
        for secret in self.0.read().unwrap_or_else(PoisonError::into_inner).iter() {
            if text.contains(secret.as_str()) {
                text = Cow::Owned(text.replace(secret.as_str(), MARK));
            }
        }
        text
    }

    /// Redacts the secrets in place.
    pub(super) fn clean_in_place(&self, text: &mut String) {
        if let Cow::Owned(cleaned) = self.clean(text) {
            *text = cleaned;
        }
    }
}

fn forms(secret: &str) -> Vec<String> {
    let secret = secret.trim();
    if secret.len() < MIN_SECRET_BYTES {
        return Vec::new();
    }
    let mut forms = vec![secret.to_owned()];
    if secret.len() >= MIN_ENCODED_BYTES {
        if secret.contains('\n') {
            forms.extend(
                secret.lines().map(str::trim).filter(|line| line.len() >= MIN_ENCODED_BYTES).map(str::to_owned),
            );
        }
        forms.push(utf8_percent_encode(secret, RESERVED).to_string());
        forms.push(secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;"));
        let json = serde_json::Value::from(secret).to_string();
        forms.extend(json.get(1..json.len() - 1).map(str::to_owned));
        for before in 0..3 {
            forms.extend(in_base64(secret, before));
        }
    }
    forms
}

/// Everything but letters, digits and `-._~`.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The base64 characters that depend on the secret alone, if this many bytes (modulo 3) precede it.
fn in_base64(secret: &str, before: usize) -> Vec<String> {
    let bytes = [&[0; 2][..before], secret.as_bytes()].concat();
    let first = (before * 8).div_ceil(6);
    let last = bytes.len() * 8 / 6;
    [STANDARD_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)]
        .iter()
        .filter_map(|text| text.get(first..last).map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "pass/word+<42>\"&";

    fn cleaned(text: &str) -> String {
        let redaction = Redaction::default();
        redaction.hide(SECRET);
        redaction.clean(text).into_owned()
    }

    #[test]
    fn a_secret_is_redacted_in_every_form() {
        assert_eq!(cleaned(&format!("a {SECRET} b")), "a [redacted] b");
        assert_eq!(cleaned("a pass%2Fword%2B%3C42%3E%22%26 b"), "a [redacted] b");
        assert_eq!(cleaned("a pass/word+&lt;42&gt;&quot;&amp; b"), "a [redacted] b");
        assert_eq!(cleaned(&serde_json::json!({"x": SECRET}).to_string()), "{\"x\":\"[redacted]\"}");
        for prefix in ["", "u", "us", "use", "user:"] {
            let text = STANDARD_NO_PAD.encode(format!("{prefix}{SECRET} and more"));
            let clean = cleaned(&text);
            assert!(clean.contains(MARK), "{prefix}: {text} -> {clean}");
            // At either end, less than one character of the secret remains.
            assert!(clean.replace(MARK, "").len() <= text.len() - (SECRET.len() * 8 / 6 - 1), "{clean}");
        }
        assert_eq!(cleaned("nothing of it"), "nothing of it");
    }

    #[test]
    fn a_key_is_redacted_line_by_line_and_short_texts_are_not() {
        let redaction = Redaction::default();
        redaction.hide("-----BEGIN KEY-----\nabcdefghijkl\nmn\n-----END KEY-----\n");
        assert_eq!(redaction.clean("line 2: abcdefghijkl"), "line 2: [redacted]");
        redaction.hide("abc");
        assert_eq!(redaction.clean("abc"), "abc");
        redaction.hide("1234");
        assert_eq!(redaction.clean("pin 1234."), "pin [redacted].");
    }

    #[test]
    fn clones_share_their_secrets() {
        let redaction = Redaction::default();
        let copy = redaction.clone();
        redaction.hide("a long secret");
        let mut text = "say a long secret".to_owned();
        copy.clean_in_place(&mut text);
        assert_eq!(text, "say [redacted]");
    }
}

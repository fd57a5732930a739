//! What must not be seen, and the forms in which it is looked for: as it is, line by line, escaped as in JSON, HTML and
//! URLs, and in base64 (at each of the three places at which it may begin there).
//!
//! [`super::Terminal`] passes everything that it writes on standard error through one; the bake's journal, report and
//! saved logs do the same. To hide a form more: a line in [`forms`].

use std::borrow::Cow;
use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// A shorter text would be found by chance in everything, and hiding it would hide nothing.
const SHORTEST: usize = 4;
/// From this length on, single lines and encoded forms are looked for too.
const SHORTEST_FORM: usize = 8;
const MARK: &str = "[redacted]";

/// The secrets of one process. Copies share what they hide.
#[derive(Clone, Default)]
pub(super) struct Redaction(Arc<RwLock<Vec<String>>>);

impl std::fmt::Debug for Redaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redaction")
    }
}

impl Redaction {
    /// Hides this from now on.
    pub(super) fn hide(&self, secret: &str) {
        let mut hidden = self.0.write().unwrap_or_else(PoisonError::into_inner);
        hidden.extend(forms(secret));
        // A secret that holds another one goes first, so that nothing of it stays.
        hidden.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        hidden.dedup();
    }

    /// The text without what is hidden.
    pub(super) fn clean<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut text = Cow::Borrowed(text);
        for secret in self.0.read().unwrap_or_else(PoisonError::into_inner).iter() {
            if text.contains(secret.as_str()) {
                text = Cow::Owned(text.replace(secret.as_str(), MARK));
            }
        }
        text
    }

    /// The same, in place.
    pub(super) fn clean_in_place(&self, text: &mut String) {
        if let Cow::Owned(cleaned) = self.clean(text) {
            *text = cleaned;
        }
    }
}

fn forms(secret: &str) -> Vec<String> {
    let secret = secret.trim();
    if secret.len() < SHORTEST {
        return Vec::new();
    }
    let mut forms = vec![secret.to_owned()];
    if secret.len() >= SHORTEST_FORM {
        if secret.contains('\n') {
            forms.extend(secret.lines().map(str::trim).filter(|line| line.len() >= SHORTEST_FORM).map(str::to_owned));
        }
        forms.push(percent(secret));
        forms.push(secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;"));
        let json = serde_json::Value::from(secret).to_string();
        forms.extend(json.get(1..json.len() - 1).map(str::to_owned));
        for before in 0..3 {
            forms.extend(in_base64(secret, before));
        }
    }
    forms
}

/// As a part of a URL: everything but letters, digits and `-._~` as `%XX`.
fn percent(secret: &str) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(secret.len());
    for byte in secret.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    text
}

/// The characters of a base64 text that depend on the secret alone, where this many bytes (modulo 3) stand before it.
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
    fn a_secret_is_hidden_in_every_form() {
        assert_eq!(cleaned(&format!("a {SECRET} b")), "a [redacted] b");
        assert_eq!(cleaned("a pass%2Fword%2B%3C42%3E%22%26 b"), "a [redacted] b");
        assert_eq!(cleaned("a pass/word+&lt;42&gt;&quot;&amp; b"), "a [redacted] b");
        assert_eq!(cleaned(&serde_json::json!({"x": SECRET}).to_string()), "{\"x\":\"[redacted]\"}");
        for prefix in ["", "u", "us", "use", "user:"] {
            let text = STANDARD_NO_PAD.encode(format!("{prefix}{SECRET} and more"));
            let clean = cleaned(&text);
            assert!(clean.contains(MARK), "{prefix}: {text} -> {clean}");
            // What stays of it is less than a character of the secret at either end.
            assert!(clean.replace(MARK, "").len() <= text.len() - (SECRET.len() * 8 / 6 - 1), "{clean}");
        }
        assert_eq!(cleaned("nothing of it"), "nothing of it");
    }

    #[test]
    fn a_key_is_hidden_line_by_line_and_short_texts_are_not_looked_for() {
        let redaction = Redaction::default();
        redaction.hide("-----BEGIN KEY-----\nabcdefghijkl\nmn\n-----END KEY-----\n");
        assert_eq!(redaction.clean("line 2: abcdefghijkl"), "line 2: [redacted]");
        redaction.hide("abc");
        assert_eq!(redaction.clean("abc"), "abc");
        redaction.hide("1234");
        assert_eq!(redaction.clean("pin 1234."), "pin [redacted].");
    }

    #[test]
    fn a_copy_hides_what_the_other_learns() {
        let redaction = Redaction::default();
        let copy = redaction.clone();
        redaction.hide("a long secret");
        let mut text = "say a long secret".to_owned();
        copy.clean_in_place(&mut text);
        assert_eq!(text, "say [redacted]");
    }
}

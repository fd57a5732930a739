//! Redacts the secrets that findings point at, wherever a report would show them.

use super::CODES;
use diagnostics::Diagnostic;
use diagnostics::source::{Source, Span, floor_char_boundary};

/// The number of characters at the start of a secret that identify it in a message.
const IDENTIFYING_CHARACTERS: usize = 6;
/// A secret of this length is redacted everywhere, also in paths and inside words.
const UNMISTAKABLE_BYTES: usize = 16;
/// Maximum length of the start of a secret that is shown.
const MAX_SHOWN_BYTES: usize = 4;

/// Returns the source with the secrets hidden, and removes them from the findings.
pub(crate) fn redact(source: &Source, diagnostics: &mut [Diagnostic]) -> Source {
    let secrets = diagnostics.iter().filter(|found| CODES.contains(&found.rule.code)).filter_map(|found| found.span);
    let mut places: Vec<Span> = secrets.filter(|span| span.end > span.start).collect();
    if places.is_empty() {
        return source.clone();
    }
    places.sort_unstable();
    places.dedup();
    let mut bodies: Vec<&str> = Vec::new();
    for place in &mut places {
        let text = source.slice(*place);
        let label = if text.starts_with("-----BEGIN ") { text.find("-----\n").or(text.find("-----\r")) } else { None };
        // The part that identifies the kind is shown; of a password, nothing.
        let shown = match label {
            Some(label) => label + 5,
            None if text.len() >= 20 => floor_char_boundary(text, MAX_SHOWN_BYTES),
            None => 0,
        };
        bodies.push(text);
        place.start += shown;
    }
    for found in diagnostics {
        let is_ours = CODES.contains(&found.rule.code);
        for body in &bodies {
            // A path consists of keys, and later passes need it unchanged. A short password in it
            // is a coincidence.
            if body.trim().len() >= UNMISTAKABLE_BYTES {
                redact_text(&mut found.path, body);
            }
            let related = found.related.iter_mut().map(|(_, label)| label);
            for text in related.chain(&mut found.help).chain((!is_ours).then_some(&mut found.message)) {
                redact_text(text, body);
            }
        }
    }
    source.hiding(places)
}

/// Replaces a secret in a message, also if the message truncates it.
fn redact_text(message: &mut String, secret: &str) {
    let secret = secret.trim();
    let beginning: String = secret.chars().take(IDENTIFYING_CHARACTERS).collect();
    if beginning.chars().count() < 4 {
        return;
    }
    let in_word = |character: Option<char>| character.is_some_and(|one| one.is_alphanumeric() || one == '_');
    let mut from = 0;
    while let Some(at) = message[from..].find(&beginning).map(|at| from + at) {
        let same = message[at..].chars().zip(secret.chars()).take_while(|(one, two)| one == two);
        let length: usize = same.map(|(one, _)| one.len_utf8()).sum();
        // `pass` in `mkpasswd` is not the password: a short secret must be a word of its own, or
        // truncated.
        let (before, after) = (&message[..at], &message[at + length..]);
        let is_part = in_word(before.chars().next_back()) && in_word(secret.chars().next())
            || in_word(after.chars().next()) && in_word(secret.chars().next_back());
        if secret.len() < UNMISTAKABLE_BYTES && is_part {
            from = at + beginning.len();
            continue;
        }
        message.replace_range(at..at + length, "****");
        from = at + 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncated_secrets_are_redacted() {
        let mut message = "found the string `tokenABCDEFGH…`, not `tokenABCDEFGHIJKL`".to_string();
        redact_text(&mut message, "tokenABCDEFGHIJKL");
        assert_eq!(message, "found the string `****…`, not `****`");
        redact_text(&mut message, "*");
        assert!(message.starts_with("found"));
    }

    #[test]
    fn words_with_a_short_secret_inside_stay() {
        let mut message = "`password` is `pass`, or `pas…`; `mkpasswd` makes a hash of `pass word`".to_string();
        redact_text(&mut message, "pass");
        assert_eq!(message, "`password` is `****`, or `pas…`; `mkpasswd` makes a hash of `**** word`");
    }
}

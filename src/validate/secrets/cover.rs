//! Hides what the findings of this room point at, wherever a report would show it.

use super::CODES;
use crate::diag::Diagnostic;
use crate::source::{Source, Span};

/// So many characters of a secret's beginning are enough to be taken for it in a message.
const TELLING: usize = 6;
/// The most of a secret's beginning that may be shown, in bytes.
const MOST_SHOWN: usize = 4;

/// The source with its secrets hidden, and messages that no longer repeat them.
pub(in crate::validate) fn cover(source: &Source, diagnostics: &mut [Diagnostic]) -> Source {
    let secrets = diagnostics.iter().filter(|found| CODES.contains(&found.code)).filter_map(|found| found.span);
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
        // What says of which kind it is, is shown; of a password nothing.
        let shown = match label {
            Some(label) => label + 5,
            None if text.len() >= 20 => (0..=MOST_SHOWN).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0),
            None => 0,
        };
        bodies.push(text);
        place.start += shown;
    }
    for found in diagnostics {
        let is_ours = CODES.contains(&found.code);
        let related = found.related.iter_mut().map(|(_, label)| label);
        let texts = related.chain(&mut found.help).chain(std::iter::once(&mut found.path));
        for text in texts.chain((!is_ours).then_some(&mut found.message)) {
            for body in &bodies {
                strike(text, body);
            }
        }
    }
    source.hiding(places)
}

/// Replaces a secret in a message, and its beginning where the message cuts it.
fn strike(message: &mut String, secret: &str) {
    let secret = secret.trim();
    let telling: String = secret.chars().take(TELLING).collect();
    if telling.chars().count() < 4 {
        return;
    }
    let mut from = 0;
    while let Some(at) = message[from..].find(&telling).map(|at| from + at) {
        let same = message[at..].chars().zip(secret.chars()).take_while(|(one, two)| one == two);
        let length: usize = same.map(|(one, _)| one.len_utf8()).sum();
        message.replace_range(at..at + length, "****");
        from = at + 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_secrets_are_struck_too() {
        let mut message = "found the string `tokenABCDEFGH…`, not `tokenABCDEFGHIJKL`".to_string();
        strike(&mut message, "tokenABCDEFGHIJKL");
        assert_eq!(message, "found the string `****…`, not `****`");
        strike(&mut message, "*");
        assert!(message.starts_with("found"));
    }
}

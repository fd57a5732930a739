//! Hides what the findings of this room point at, wherever a report would show it.

use super::CODES;
use diagnostics::Diagnostic;
use diagnostics::source::{Source, Span};

/// So many characters of a secret's beginning are enough to be taken for it in a message.
const TELLING: usize = 6;
/// A text of so many bytes that is a secret in one place is one wherever it stands.
const UNMISTAKABLE: usize = 16;
/// The most of a secret's beginning that may be shown, in bytes.
const MOST_SHOWN: usize = 4;

/// The source with its secrets hidden, and messages that no longer repeat them.
pub(crate) fn cover(source: &Source, diagnostics: &mut [Diagnostic]) -> Source {
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
        for body in &bodies {
            // A path is made of keys, and what follows a verdict needs it as it is: nobody's password is a secret there.
            if body.trim().len() >= UNMISTAKABLE {
                strike(&mut found.path, body);
            }
            let related = found.related.iter_mut().map(|(_, label)| label);
            for text in related.chain(&mut found.help).chain((!is_ours).then_some(&mut found.message)) {
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
    let in_word = |character: Option<char>| character.is_some_and(|one| one.is_alphanumeric() || one == '_');
    let mut from = 0;
    while let Some(at) = message[from..].find(&telling).map(|at| from + at) {
        let same = message[at..].chars().zip(secret.chars()).take_while(|(one, two)| one == two);
        let length: usize = same.map(|(one, _)| one.len_utf8()).sum();
        // The password `pass` does not stand in `mkpasswd`: a short secret is a word of its own, or is cut.
        let (before, after) = (&message[..at], &message[at + length..]);
        let is_part = in_word(before.chars().next_back()) && in_word(secret.chars().next())
            || in_word(after.chars().next()) && in_word(secret.chars().next_back());
        if secret.len() < UNMISTAKABLE && is_part {
            from = at + telling.len();
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
    fn cut_secrets_are_struck_too() {
        let mut message = "found the string `tokenABCDEFGH…`, not `tokenABCDEFGHIJKL`".to_string();
        strike(&mut message, "tokenABCDEFGHIJKL");
        assert_eq!(message, "found the string `****…`, not `****`");
        strike(&mut message, "*");
        assert!(message.starts_with("found"));
    }

    #[test]
    fn words_that_hold_a_short_secret_stay() {
        let mut message = "`password` is `pass`, or `pas…`; `mkpasswd` makes a hash of `pass word`".to_string();
        strike(&mut message, "pass");
        assert_eq!(message, "`password` is `****`, or `pas…`; `mkpasswd` makes a hash of `**** word`");
    }
}
